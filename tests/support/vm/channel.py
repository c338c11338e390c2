# SPDX-License-Identifier: Apache-2.0
"""The host's end of a machine's control channel; tests/vm/agent/vm_agent.cc has the frames."""
import contextlib
import itertools
import os
import queue
import signal
import socket
import struct
import threading

HEADER = struct.Struct("<IcI")
CHUNK = 256 << 10


class Lost(Exception):
    """The machine does not answer any more."""


class Command:
    """A command that runs in a machine."""

    def __init__(self, channel, number):
        self._channel, self._number = channel, number
        self._frames = queue.SimpleQueue()
        self.output, self.error = bytearray(), bytearray()

    def take(self, kind, data):
        self._frames.put((kind, data))

    def write(self, data):
        for at in range(0, len(data), CHUNK):
            self._channel.send(self._number, b"I", data[at:at + CHUNK])

    def close(self):
        self._channel.send(self._number, b"C", b"")

    def kill(self, number=signal.SIGKILL):
        self._channel.send(self._number, b"K", bytes([number]))

    def frame(self, timeout):
        try:
            kind, data = self._frames.get(timeout > 0, timeout)
        except queue.Empty:
            raise TimeoutError from None
        if kind == b"O":
            self.output += data
        elif kind == b"E":
            self.error += data
        elif kind == b"F":
            raise RuntimeError(data.decode(errors="replace"))
        elif kind == b"L":
            raise Lost("the machine is gone")
        return kind, data

    def collect(self):
        """Takes into `output` and `error` what has come so far, also of a machine that is gone."""
        with contextlib.suppress(TimeoutError, Lost):
            while True:
                self.frame(0)

    def wait(self, timeout):
        """Its exit status, negative for a signal. TimeoutError when it did not end in `timeout` seconds."""
        while True:
            kind, data = self.frame(timeout)
            if kind == b"X":
                return os.waitstatus_to_exitcode(struct.unpack("<i", data)[0])


class Channel:
    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._numbers = itertools.count(1)
        self._commands, self._lock = {}, threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def start(self, argv):
        with self._lock:
            number = next(self._numbers)
            command = self._commands[number] = Command(self, number)
        self.send(number, b"R", b"".join(word.encode() + b"\0" for word in argv))
        return command

    def send(self, number, kind, data):
        with self._lock:
            try:
                self._socket.sendall(HEADER.pack(number, kind, len(data)) + data)
            except OSError as error:
                raise Lost(f"the machine is gone: {error}") from None

    def close(self):
        with self._lock:
            self._socket.close()

    def _read(self):
        try:
            while True:
                number, kind, size = HEADER.unpack(self._exactly(HEADER.size))
                data = self._exactly(size)
                if command := self._commands.get(number):
                    command.take(kind, data)
        except OSError:
            for command in list(self._commands.values()):
                command.take(b"L", b"")

    def _exactly(self, size):
        data = bytearray()
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise ConnectionError
            data += piece
        return bytes(data)
