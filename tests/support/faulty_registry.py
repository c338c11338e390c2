# SPDX-License-Identifier: Apache-2.0
"""A registry that serves what it is told, rightly or wrongly, on loopback in the network namespace of its maker.

A route is a path and what answers it: a function of the handler, in a thread of its own. answer() and the functions below it
make such ones. Paths without a route are 404.
"""
import http.server
import socket
import ssl
import struct
import threading

from oci import digest
from registry import OCI_INDEX


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        registry = self.server.registry
        with registry.lock:
            registry.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        path = self.path.split("?")[0]
        respond = registry.routes.get(path) or answer(404, b'{"errors":[{"code":"UNKNOWN","message":"no route"}]}')
        try:
            respond(self)
        except OSError:
            self.close_connection = True  # the client has had enough

    def do_POST(self):
        self.form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.do_GET()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # resets are what it is here for


class FaultyRegistry:
    """`tls` is a folder that make_certificate() has filled."""

    def __init__(self, tls=None, address="127.0.0.1"):
        self.routes, self.requests, self.lock, self.closing = {}, [], threading.Lock(), threading.Event()
        self.server = Server((address, 0), Handler)
        self.server.registry = self
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls / "server.crt", tls / "server.key")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.host = f"{address}:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def put(self, name, image, index=None):
        """Serves an image as it should be, as "repository:tag". Routes may be replaced afterwards."""
        repository, tag = name.split(":")
        for blob_digest, data in image.blobs.items():
            self.routes[f"/v2/{repository}/blobs/{blob_digest}"] = blob(data)
        manifest = answer(200, image.manifest, {"Content-Type": image.types["manifest"]})
        self.routes[f"/v2/{repository}/manifests/{digest(image.manifest)}"] = manifest
        top = answer(200, index, {"Content-Type": OCI_INDEX}) if index else manifest
        self.routes[f"/v2/{repository}/manifests/{tag}"] = top
        return f"{self.host}/{name}"

    def asked(self, part):
        """Headers of the requests with this in their path."""
        with self.lock:
            return [headers for path, headers in self.requests if part in path]


# ---- answers -------------------------------------------------------------------------------------------------------------

def answer(status, body=b"", headers=None):
    def respond(handler):
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
    return respond


def blob(data):
    """By ranges, too."""
    def respond(handler):
        start = int((handler.headers.get("Range") or "bytes=0-")[len("bytes="):].rstrip("-"))
        if start == 0:
            return answer(200, data)(handler)
        return answer(206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})(handler)
    return respond


def redirect(url, status=307):
    return answer(status, b"", {"Location": url})


BASIC = {"WWW-Authenticate": 'Basic realm="registry"', "Content-Length": "0"}


def guarded(respond, challenge=None, right=None):
    """Answers whoever shows `right` (or anything, when none is given), and the others with 401."""
    def check(handler):
        shown = handler.headers.get("Authorization")
        if shown and right in (None, shown):
            return respond(handler)
        return answer(401, b"", challenge or BASIC)(handler)
    return check


def truncated(data, at, last=None):
    """Promises all, sends what comes before `at` and hangs up. The requests after the first get `last`, when it is given."""
    calls = iter([1])

    def respond(handler):
        if last and not next(calls, None):
            return last(handler)
        handler.close_connection = True
        return answer(200, data[:at], {"Content-Length": str(len(data))})(handler)
    return respond


def without_ranges(data):
    return answer(200, data)


def endless(handler, block=b"x" * 65536, most=256 << 20):
    """More than anybody may want, without saying how much."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
    handler.end_headers()
    handler.close_connection = True
    for _ in range(most // len(block)):
        handler.wfile.write(block)


def hang(data=b"", length=None):
    """Sends `data`, if any, and then nothing, until the test is over or the client has gone."""
    def respond(handler):
        handler.close_connection = True
        if data:
            answer(200, data, {"Content-Length": str(length)})(handler)
        handler.wfile.flush()
        wait_for_end(handler)
    return respond


def behind(gate, respond):
    """Answers when the event is set."""
    def wait(handler):
        while not gate.is_set():
            if wait_for_end(handler, 0.1):
                return None
        return respond(handler)
    return wait


def drip(data):
    """A byte each tenth of a second."""
    def respond(handler):
        handler.close_connection = True
        answer(200, b"", {"Content-Length": str(len(data))})(handler)
        for i in range(len(data)):
            if wait_for_end(handler, 0.1):
                return
            handler.wfile.write(data[i:i + 1])
    return respond


def wait_for_end(handler, limit=None):
    """True when the test is over or the client has gone. Without a limit it waits for that."""
    registry, waited = handler.server.registry, 0.0
    handler.connection.settimeout(0.1)
    while limit is None or waited < limit:
        if registry.closing.is_set():
            return True
        try:
            if not handler.connection.recv(1):
                return True
        except TimeoutError:
            waited += 0.1
        except OSError:
            return True
    return False


def reset(handler):
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def first(times, before, then):
    """`before` for the first requests, `then` for those after."""
    left = iter(range(times))

    def respond(handler):
        return (then if next(left, None) is None else before)(handler)
    return respond
