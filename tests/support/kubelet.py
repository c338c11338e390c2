# SPDX-License-Identifier: Apache-2.0
"""The routes of a node's port 10250 that the API server leads on to, with answers that a test can know: logs, exec and attach
over WebSocket (v5.channel.k8s.io), port-forward over SPDY, plain or within a WebSocket, and whatever a proxy asks for. Its
certificate is one of the cluster's CA."""
import base64
import hashlib
import http.server
import json
import ssl
import struct
import subprocess
import threading
import urllib.parse
import zlib

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PROTOCOL = "v5.channel.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


def run(*command):
    subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)


def make_authority(certificate, key):
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate, "-subj",
        "/CN=other", "-days", "1")


def subject_of(node):
    return f"/O=system:nodes/CN=system:node:{node}"


def make_certificate(pki, folder, address="127.0.0.1", own_ca=False, subject=subject_of("n1")):
    """(certificate, key) of that user for `address`, as a server and as a client, signed by the CA of the folder `pki`, or by one that
    nobody knows."""
    key, request, certificate, extensions = (folder / name for name in ("n.key", "n.csr", "n.crt", "n.ext"))
    extensions.write_text(f"subjectAltName=IP:{address}\nextendedKeyUsage=serverAuth,clientAuth\n")
    ca, ca_key = pki / "ca.crt", pki / "ca.key"
    if own_ca:
        ca, ca_key = folder / "other.crt", folder / "other.key"
        make_authority(ca, ca_key)
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj", subject)
    run("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-out", certificate, "-days", "1",
        "-extfile", extensions)
    return certificate, key


class Channels:
    """One upgraded connection: messages of a channel and bytes."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    def read(self):
        """(channel, bytes), or None at the end."""
        head = self.reader.read(2)
        if len(head) < 2 or head[0] & 15 == 8:
            return None
        size = head[1] & 127
        if size == 126:
            size = struct.unpack(">H", self.reader.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.reader.read(8))[0]
        mask = self.reader.read(4)
        data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.reader.read(size)))
        if head[0] & 15 != 2 or not data:
            return self.read()
        return data[0], data[1:]

    def write(self, channel, data):
        payload = bytes([channel]) + data
        size = bytes([len(payload)]) if len(payload) < 126 else struct.pack(">BH", 126, len(payload))
        self.writer.write(b"\x82" + size + payload)
        self.writer.flush()

    def end(self, code):
        status = {"metadata": {}, "status": "Success"}
        if code:
            status = {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": f"exit {code}",
                      "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}}
        self.write(ERROR, json.dumps(status).encode())
        self.writer.write(b"\x88\x02" + struct.pack(">H", 1000))
        self.writer.flush()


class Tunnel:
    """The bytes of a WebSocket's messages, as a file that is read and written."""

    def __init__(self, reader, writer):
        self.channels, self.writer, self.ahead = Channels(reader, writer), writer, b""

    def read(self, size):
        while len(self.ahead) < size and (message := self.channels.read()):
            self.ahead += bytes([message[0]]) + message[1]
        data, self.ahead = self.ahead[:size], self.ahead[size:]
        return data

    def write(self, data):
        self.channels.write(data[0], data[1:])

    def flush(self):
        pass


def serve_spdy(reader, writer):
    """A port that sends back what it is sent, in capitals, until the client leaves. A client opens the errors' stream of a
    connection, and then that of its data; nothing is said of errors. SPDY/3.1, as far as that needs it."""
    packer, streams = zlib.compressobj(), []

    def control(kind, flags, payload):
        writer.write(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload)

    def data(stream, flags, payload=b""):
        writer.write(struct.pack(">II", stream, flags << 24 | len(payload)) + payload)
    while len(head := reader.read(8)) == 8:
        first, second = struct.unpack(">II", head)
        flags, payload = second >> 24, reader.read(second & 0xffffff)
        kind = first & 0xffff if first >> 31 else None
        if kind == 1:  # SYN_STREAM
            stream = struct.unpack(">I", payload[:4])[0] & 0x7fffffff
            streams.append(stream)
            names = packer.compress(struct.pack(">I", 0)) + packer.flush(zlib.Z_SYNC_FLUSH)
            control(2, 0, struct.pack(">I", stream) + names)
            if len(streams) % 2:
                data(stream, 1)
        elif kind == 6:  # PING
            control(6, 0, payload)
        elif kind is None and (payload or flags & 1):
            data(first, flags & 1, payload.upper())
        writer.flush()


class Kubelet(http.server.ThreadingHTTPServer):
    """with Kubelet(certificate, key, client_ca) as kubelet: what it was asked is in `seen`."""
    daemon_threads = True

    def __init__(self, certificate, key, client_ca):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.follow = [], threading.Event()
        self.refusal = None  # what it says instead of a log
        self.elsewhere = None  # the URL to which it sends whoever asks for anything
        self.tunnels = True  # whether port-forward is served within a WebSocket
        self.usage = None  # what /metrics/resource says: a function that makes the page's text, or None to refuse
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.port = self.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.follow.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, address):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_any(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        subject = dict(pair[0] for pair in self.connection.getpeercert()["subject"])
        self.server.seen.append({"path": url.path, "query": query, "user": subject.get("commonName"),
                                 "headers": {name.lower(): value for name, value in self.headers.items()}})
        if self.server.elsewhere:
            return self.answer(302, b"", {"Location": self.server.elsewhere})
        if url.path.startswith("/containerLogs/"):
            return self.logs(query)
        if url.path.startswith(("/exec/", "/attach/")):
            return self.channels(query)
        if url.path.startswith("/portForward/"):
            return self.forward()
        if url.path == "/metrics/resource":
            page = self.server.usage and self.server.usage()
            return self.answer(500, b"not measured") if page is None else self.answer(200, page.encode())
        if url.path == "/moved":
            return self.answer(302, b"", {"Location": "/elsewhere"})
        length = int(self.headers.get("Content-Length") or 0)
        return self.answer(200, f"{self.command} {self.path} {self.rfile.read(length).decode()}".encode())

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def answer(self, code, body, headers=None):
        self.send_response(code)
        for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def logs(self, query):
        """Two lines; with follow a third when the test says so."""
        if self.server.refusal:
            return self.answer(400, self.server.refusal)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.chunk(b"first line\nsecond line\n")
        if "follow" in query:
            self.server.follow.wait(60)
            self.chunk(b"third line\n")
        self.chunk(b"")

    def switch(self, headers):
        self.send_response(101)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True

    def accept_websocket(self, protocol):
        accept = base64.b64encode(hashlib.sha1((self.headers["Sec-WebSocket-Key"] + GUID).encode()).digest()).decode()
        self.switch((("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept),
                     ("Sec-WebSocket-Protocol", protocol)))

    def forward(self):
        kind = self.headers.get("Upgrade", "").lower()
        if kind == "websocket" and self.server.tunnels:
            self.accept_websocket(TUNNEL)
            return serve_spdy(*[Tunnel(self.rfile, self.wfile)] * 2)
        if kind != "spdy/3.1":
            return self.answer(400, b"expected SPDY")
        self.switch((("Upgrade", "SPDY/3.1"), ("Connection", "Upgrade"), ("X-Stream-Protocol-Version", "portforward.k8s.io")))
        return serve_spdy(self.rfile, self.wfile)

    def channels(self, query):
        """The command decides: `cat` sends stdin back, `exit N` ends so, else its words go to stdout and "oops" to stderr."""
        if self.headers.get("Upgrade", "").lower() != "websocket":
            return self.answer(400, b"expected a WebSocket")
        self.accept_websocket(PROTOCOL)
        channels, command = Channels(self.rfile, self.wfile), query.get("command", ["attached"])
        if command == ["cat"]:
            while (message := channels.read()) and message[0] != CLOSE:
                if message[0] == STDIN:
                    channels.write(STDOUT, message[1])
            return channels.end(0)
        if command[0] == "exit":
            return channels.end(int(command[1]))
        channels.write(STDOUT, (" ".join(command) + "\n").encode())
        channels.write(STDERR, b"oops\n")
        return channels.end(0)
