# SPDX-License-Identifier: Apache-2.0
"""HTTP/2's frames by hand, for what no client would send."""
import contextlib
import struct


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)


def get(stream, path="/who", end=4):
    block = b"\x82\x87\x41\x09localhost\x04" + bytes([len(path)]) + path.encode()
    return frame(1, 1 | end, stream, block)


def frames(connection):
    """What the server sends, until it closes: (kind, flags, stream, payload)."""
    data = b""
    with contextlib.suppress(OSError):
        while piece := connection.recv(65536):
            data += piece
    found = []
    while len(data) >= 9:
        size = int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:9 + size]))
        data = data[9 + size:]
    return found
