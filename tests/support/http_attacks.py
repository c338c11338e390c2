# SPDX-License-Identifier: Apache-2.0
"""What strangers send to any of our servers over TLS: slowness, floods of HTTP/2, what is no HTTP. Published: CVE-2019-9512, 9514, 9515
and CVE-2023-44487 (HTTP/2 floods, rapid reset), CVE-2023-45288 (endless headers)."""
import contextlib
import http.client
import selectors
import socket
import ssl

import checks as c
from http2 import PREFACE, frame, frames, get


class Target:
    """A server at `host`:`port`, with a certificate of `ca`; without one any is taken. `credentials`: files of a certificate and its
    key, of one whom it knows."""

    def __init__(self, host, port, ca, credentials):
        self.host, self.port, self.ca, self.credentials = host, port, ca, credentials

    def raw(self):
        return socket.create_connection((self.host, self.port), timeout=c.PATIENCE)

    def context(self, known):
        context = ssl.create_default_context(cafile=self.ca)
        if self.ca is None:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if known:
            context.load_cert_chain(*self.credentials)
        return context

    def connect(self, protocols=(), known=True):
        context = self.context(known)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context.wrap_socket(self.raw(), server_hostname=self.host)

    def connect_many(self, count):
        """Strangers, who shake hands all at once."""
        context = self.context(False)
        many = [context.wrap_socket(self.raw(), server_hostname=self.host, do_handshake_on_connect=False) for _ in range(count)]
        waiting = selectors.DefaultSelector()
        for one in many:
            one.setblocking(False)
            waiting.register(one, selectors.EVENT_WRITE)
        while waiting.get_map():
            for key, _ in waiting.select(c.PATIENCE):
                try:
                    key.fileobj.do_handshake()
                    key.fileobj.settimeout(c.PATIENCE)
                    waiting.unregister(key.fileobj)
                except ssl.SSLWantReadError:
                    waiting.modify(key.fileobj, selectors.EVENT_READ)
                except ssl.SSLWantWriteError:
                    waiting.modify(key.fileobj, selectors.EVENT_WRITE)
                except OSError:  # it had to make room
                    waiting.unregister(key.fileobj)
        return many

    def ask(self, method, path, body=None, headers=(), known=True):
        """(status, body); status 0: the connection was ended without an answer."""
        connection = http.client.HTTPConnection(self.host)
        connection.sock = self.connect(known=known)
        try:
            with contextlib.suppress(ConnectionError, ssl.SSLError):  # refused before all of it was read
                connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()


def begin_slow(world, path):
    """Who sends a byte now and then: half a head, half a body, half of a handshake."""
    slow = {"a head": world.connect(), "a body": world.connect(), "nothing at all": world.connect(),
            "a handshake": world.raw()}
    slow["a head"].sendall(b"GET /api HTTP/1.1\r\nHost: a\r\nX-")
    slow["a body"].sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{".encode())
    slow["a handshake"].sendall(b"\x16\x03\x01")
    return slow


def end_slow(checks, slow):
    for what, connection in slow.items():
        connection.settimeout(2 * c.PATIENCE)
        data = b"?"
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data:
                data = connection.recv(4096)
        checks.ok(True, f"who is slow with {what} is closed")
        connection.close()


def floods(checks, world, path, known=True):
    """By HTTP/2; `path` is what is asked for again and again, by one with credentials or without."""
    with world.connect(["h2"], known) as rapid:
        rapid.sendall(PREFACE)
        with contextlib.suppress(OSError):
            for first in range(1, 40_001, 200):
                rapid.sendall(b"".join(get(stream, path) + frame(3, 0, stream, b"\0\0\0\x08")
                                       for stream in range(first, first + 200, 2)))
        rapid.settimeout(2)
        frames(rapid)
    with world.connect(["h2"], known) as headers:
        headers.sendall(PREFACE + get(1, path, end=0))
        with contextlib.suppress(OSError):
            for _ in range(2000):
                headers.sendall(frame(9, 0, 1, b"\x40\x01a\x7f\x00" + b"b" * 120) * 20)
        checks.equal([each for each in frames(headers) if each[0] == 0], [], "an endless header is not answered as one")
    with world.connect(["h2"], known) as pings:
        pings.sendall(PREFACE)
        pings.settimeout(2)
        with contextlib.suppress(OSError):
            for _ in range(1000):
                pings.sendall((frame(6, 0, 0, b"12345678") + frame(4, 0, 0, b"\0\x04\0\0\xff\xff")) * 100)


def garbage(checks, world):
    for what, data in (("plain HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), ("zeros", bytes(4096)),
                       ("TLS of 1996", b"\x80\x2e\x01\0\x02")):
        with world.raw() as raw:
            # It may have ended already.
            with contextlib.suppress(OSError):
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while raw.recv(4096):
                    pass
        checks.ok(True, f"{what} ends its connection")
    for head in (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
                 b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"):
        with world.connect() as connection:
            answer = b""
            with contextlib.suppress(OSError):
                connection.sendall(head)
                answer = connection.recv(4096)
            checks.ok(answer.startswith(b"HTTP/1.1 4"), "a request of two lengths is refused", answer[:100])
