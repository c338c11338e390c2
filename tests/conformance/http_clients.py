#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""src/http as strangers meet it: curl, nghttp2's own clients and raw sockets against a server of a few lines
(programs/http_server.cc) with TLS, HTTP/1.1, HTTP/2 and certificates of control/pki; floods, slow clients and idle ones."""
import contextlib
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from http2 import PREFACE, frame, frames, get
from node import BIN

IDLE = 2000 if c.ALL else 300
LARGE = 10 << 20


class Server:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.process = subprocess.Popen([BIN / "tests/conformance/gantry-test-http-server", folder], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"https://localhost:{self.port}"

    def command(self, path, *arguments):
        return ["curl", "-sS", "--max-time", "60", "--cacert", self.folder / "ca.pem", *arguments, self.url + path]

    def curl(self, path, *arguments, data=None):
        return subprocess.run(self.command(path, *arguments), input=data, capture_output=True, check=False)

    def text(self, path, *arguments):
        done = self.curl(path, *arguments)
        return done.stdout.decode() + done.stderr.decode()

    def connect(self, protocols=()):
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        if protocols:
            context.set_alpn_protocols(protocols)
        raw = socket.create_connection(("localhost", self.port), timeout=c.PATIENCE)
        return context.wrap_socket(raw, server_hostname="localhost")

    def memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) << 10


def requests(checks, server):
    mine = ("--cert", server.folder / "client.pem", "--key", server.folder / "client.key")
    checks.equal(server.text("/who"), "HTTP/2 GET", "curl is given HTTP/2")
    checks.equal(server.text("/who", "--http1.1", *mine), "HTTP/1 GET tester one two", "a client is known by its certificate")
    checks.equal(server.text("/who", *mine), "HTTP/2 GET tester one two", "with HTTP/2, too")
    checks.equal(server.text("/who", "--tls-max", "1.2", *mine), "HTTP/2 GET tester one two", "and TLS 1.2")
    checks.contains(server.text("/who", "--tls-max", "1.1"), "curl:", "older versions are refused")
    body = bytes(range(256)) * 11000
    for version in ("--http1.1", "--http2"):
        done = server.curl("/echo", version, "--data-binary", "@-", data=body)
        checks.ok(done.stdout == body, f"{version}: 2.8 MB there and back", done.stderr)
        done = server.curl("/echo", version, "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", data=body * 2)
        checks.contains(done.stdout.decode(), "413", f"{version}: a larger body is refused")
        checks.contains(server.text("/large", version, "-o", "/dev/null", "-w", "%{size_download}"), str(LARGE),
                        f"{version}: a large answer")
        checks.equal(server.curl("/large", version, "--compressed").stdout, b"x" * LARGE, f"{version}: and one that is compressed")
        small = int(server.text("/large", version, "-H", "Accept-Encoding: gzip", "-o", "/dev/null", "-w", "%{size_download}"))
        checks.ok(0 < small < LARGE // 20, f"{version}: which is smaller", small)
        checks.equal(server.text("/lines?1000", version).count("\n"), 1000, f"{version}: an answer that comes over time")
        checks.contains(server.text("/cut", version), "curl:", f"{version}: one that is cut off is no whole one")
        with subprocess.Popen(server.command("/hold", version, "-N"), stdout=subprocess.PIPE) as client:
            checks.equal(client.stdout.readline(), b"held\n", f"{version}: what is written comes at once")
            client.kill()
        c.wait_until("the client's end is noticed", lambda: server.text("/held") == "0")
    # A certificate that nobody here has signed.
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=root",
                    "-keyout", server.folder / "other.key", "-out", server.folder / "other.pem"], check=True, capture_output=True)
    checks.equal(server.text("/who", "--cert", server.folder / "other.pem", "--key", server.folder / "other.key"), "HTTP/2 GET",
                 "a stranger's certificate makes nobody of its client")
    facts = subprocess.run(["openssl", "verify", "-CAfile", server.folder / "ca.pem", "-purpose", "sslclient",
                            server.folder / "client.pem"], capture_output=True, text=True, check=False)
    checks.contains(facts.stdout, ": OK", "openssl finds our certificates in order")


def load(checks, server):
    for arguments, what in ((("-n", "5000", "-c", "20", "-m", "20", "/who"), "HTTP/2"), (("-n", "2000", "-c", "20", "--h1", "/who"), "HTTP/1.1"),
                            (("-n", "20", "-c", "2", "-m", "5", "/large"), "10 MB answers")):
        done = subprocess.run(["h2load", *arguments[:-1], server.url + arguments[-1]], capture_output=True, text=True, check=False)
        checks.contains(done.stdout, f"{arguments[1]} succeeded, 0 failed", f"h2load, {what}")
        c.log(next((line for line in done.stdout.splitlines() if line.startswith("finished")), ""))


def attacks(checks, server):
    with server.connect(["h2"]) as rapid:
        rapid.sendall(PREFACE)
        with contextlib.suppress(OSError):
            for first in range(1, 20001, 200):
                rapid.sendall(b"".join(get(stream, "/hold") + frame(3, 0, stream, b"\0\0\0\x08") for stream in range(first, first + 200, 2)))
        goaway = [each[3] for each in frames(rapid) if each[0] == 7]
    checks.equal([each[4:8] for each in goaway], [b"\0\0\0\x0b"] * len(goaway), "the reason is ENHANCE_YOUR_CALM")
    checks.ok(goaway, "rapid resets end their connection")
    c.wait_until("and all that they began", lambda: server.text("/held") == "0")
    with server.connect(["h2"]) as flood:
        flood.sendall(PREFACE + get(1, end=0))
        with contextlib.suppress(OSError):
            for _ in range(2000):
                flood.sendall(frame(9, 0, 1, b"\x40\x01a\x7f\x00" + b"b" * 120) * 20)
        answered = [each for each in frames(flood) if each[0] == 0]
    checks.equal(answered, [], "an endless header is not answered as one")
    with server.connect(["h2"]) as pings:
        pings.sendall(PREFACE)
        before = server.memory()
        pings.settimeout(2)
        with contextlib.suppress(OSError):
            for _ in range(2000):
                pings.sendall((frame(6, 0, 0, b"12345678") + frame(4, 0, 0, b"\0\x04\0\0\xff\xff")) * 100)
        checks.ok(server.memory() - before < 32 << 20, "pings that nobody reads the answers of cost no memory", server.memory() - before)
    checks.equal(server.text("/who"), "HTTP/2 GET", "others are served")


def idle(checks, server):
    before = server.memory()
    kept = []
    for _ in range(IDLE):
        connection = server.connect(["h2"])
        connection.sendall(PREFACE + get(1))
        connection.recv(9)
        kept.append(connection)
    each = (server.memory() - before) // IDLE
    checks.ok(each < 80 << 10, f"an idle HTTP/2 connection has {each >> 10} KiB", each)
    silent = [socket.create_connection(("localhost", server.port)) for _ in range(IDLE)]
    start = time.monotonic()
    checks.equal(server.text("/who"), "HTTP/2 GET", f"among {2 * IDLE} idle connections a new one is served")
    c.log(f"in {time.monotonic() - start:.3f} s")
    silent[0].settimeout(c.PATIENCE)
    checks.equal(silent[0].recv(1), b"", "who does not begin a handshake is closed")
    for connection in silent + kept:
        connection.close()
    with socket.create_connection(("localhost", server.port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        checks.contains(plain.recv(1000).decode(), "HTTP request to an HTTPS server", "who speaks plain HTTP is told")


def drain(checks, server):
    with server.connect(["h2"]) as connection:
        connection.sendall(PREFACE + get(1, "/hold"))
        c.wait_until("it is held", lambda: server.text("/held") == "1")
        server.process.stdin.close()
        checks.ok(any(each[0] == 7 for each in frames(connection)), "a server that stops says so (GOAWAY)")
    checks.equal(server.process.wait(c.PATIENCE), 0, "and ends")


def story(checks):
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        try:
            requests(checks, server)
            load(checks, server)
            attacks(checks, server)
            idle(checks, server)
            drain(checks, server)
        finally:
            server.process.kill()
            server.process.wait()


c.main(story)
