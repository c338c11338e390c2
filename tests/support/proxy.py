# SPDX-License-Identifier: Apache-2.0
"""A small proxy for HTTP, with CONNECT for TLS, on loopback in the network namespace of its maker."""
import contextlib
import http.client
import http.server
import select
import socket
import threading
import urllib.parse

from checks import PATIENCE


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def place(self, target):
        """Where a host with its port really is; None when the proxy knows none of that name."""
        proxy = self.server.proxy
        with proxy.lock:
            proxy.requests.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        return proxy.places.get(target)

    def refuse(self):
        self.send_response(502)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        place = self.place(url.netloc)
        if not place:
            return self.refuse()
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        with contextlib.closing(http.client.HTTPConnection(place, timeout=PATIENCE)) as connection:
            connection.request("GET", f"{url.path}?{url.query}" if url.query else url.path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("date", "server"):
                self.send_header(name, value)
        self.end_headers()
        return self.wfile.write(body)

    def do_CONNECT(self):
        place = self.place(self.path)
        if not place:
            return self.refuse()
        host, port = place.rsplit(":", 1)
        with contextlib.closing(socket.create_connection((host, int(port)), PATIENCE)) as other:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            relay(self.connection, other)
        return None

    def log_message(self, *_):
        pass


def relay(one, other):
    """Until one of them ends."""
    ways = {one: other, other: one}
    while True:
        ready, _, _ = select.select(list(ways), [], [], PATIENCE)
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            ways[source].sendall(data)
        if not ready:
            return


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that has left


class Proxy:
    """`places` says where "host:port" is. requests: method, target and headers of what it was asked."""

    def __init__(self):
        self.places, self.requests, self.lock = {}, [], threading.Lock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.proxy = self
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def asked(self):
        """Methods and hosts, each once, since the last call."""
        with self.lock:
            found = {(method, urllib.parse.urlsplit(target).netloc or target) for method, target, _ in self.requests}
            self.requests.clear()
        return sorted(found)
