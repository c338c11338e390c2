# SPDX-License-Identifier: Apache-2.0
"""QEMU's control socket (QMP): commands, and events that are waited for."""
import json
import socket


class Qmp:
    def __init__(self, connection):
        self._connection = connection
        self._lines = connection.makefile("r")
        self._events = []
        self._read()  # the greeting
        self.command("qmp_capabilities")

    @classmethod
    def connect(cls, path):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        return cls(connection)

    def command(self, name, /, **arguments):
        self._connection.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
        while True:
            answer = self._read()
            if "event" in answer:
                self._events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"QEMU: {name}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def wait_for(self, event, holds=lambda data: True):
        """The data of an event of that name for which `holds`; events before it are dropped."""
        while True:
            answer = self._events.pop(0) if self._events else self._read()
            if answer.get("event") == event and holds(answer.get("data", {})):
                return answer.get("data", {})

    def _read(self):
        line = self._lines.readline()
        if not line:
            raise EOFError("QEMU has ended")
        return json.loads(line)
