# SPDX-License-Identifier: Apache-2.0
"""A gRPC answer that comes over time, read by curl, and as much of protobuf's wire format as it takes to look into it."""
import pathlib
import signal
import subprocess


def fields(message):
    """[(number, value)]: whole numbers, or bytes of what has a length."""
    found, at = [], 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = number()
        if key & 7 == 0:
            found.append((key >> 3, number()))
        elif key & 7 == 2:
            size = number()
            found.append((key >> 3, message[at:at + size]))
            at += size
        elif key & 7 == 1:
            found.append((key >> 3, message[at:at + 8]))
            at += 8
        else:
            raise ValueError(f"wire type {key & 7}")
    return found


def field(message, number, default=b""):
    """The last of them."""
    return next((value for each, value in reversed(fields(message)) if each == number), default)


class GrpcStream:
    """A call under way, on a connection of its own. Used as a context: leaving it ends the call."""

    def __init__(self, node, method, name):
        self.answer, self.heads = node.work / f"stream-{name}", node.work / f"stream-{name}-headers"
        request = node.work / "stream-request"
        request.write_bytes(bytes(5))
        socket = node.root / "run/gantry/gantryd.sock"
        self.curl = subprocess.Popen(["curl", "-sSN", "--http2-prior-knowledge", "--unix-socket", str(socket),
                                      "-o", self.answer, "-D", self.heads, "-H", "content-type: application/grpc",
                                      "--data-binary", f"@{request}", f"http://localhost/runtime.v1.{method}"],
                                     stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.curl.kill()
        self.curl.wait()

    def pause(self):
        self.curl.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.curl.send_signal(signal.SIGCONT)

    def headers(self):
        """Those of the answer, and when it has ended its trailers."""
        path = pathlib.Path(self.heads)
        lines = path.read_text().splitlines() if path.exists() else []
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    def began(self):
        return "content-type" in self.headers()

    def messages(self):
        rest, found = self.answer.read_bytes() if self.answer.exists() else b"", []
        while len(rest) >= 5 and len(rest) >= (size := 5 + int.from_bytes(rest[1:5], "big")):
            found.append(rest[5:size])
            rest = rest[size:]
        return found
