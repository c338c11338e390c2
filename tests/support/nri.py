# SPDX-License-Identifier: Apache-2.0
"""Plugins of the Node Resource Interface for a test: tests/conformance/tools/nri, over the stub of the interface's own module,
and connections on which a test says what no plugin would."""
import contextlib
import json
import shutil
import signal
import socket
import subprocess

from checks import PATIENCE, Failure, wait_until

# Of a node whose plugins are not to be dropped because the machine is busy.
PATIENT = ["--option=--nri-request-timeout=60", "--option=--nri-registration-timeout=60"]


class Plugin:
    """One that connects by itself. `calls` are the lines of its log."""

    def __init__(self, node, index, name, program="nri-plugin", **files):
        """`files` are METHOD={...}: what it answers."""
        self.folder = node.work / f"nri-{index}-{name}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for method, answer in files.items():
            self.play(method, **answer)
        self.node, self.name = node, f"{index}-{name}"
        self.command = [program, "-idx", index, "-name", name, "-folder", self.folder, "-socket", node.root / "run/nri/nri.sock"]

    def start(self):
        with open(self.folder / "output", "ab") as output:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        return self

    def __enter__(self):
        self.start()
        return self.wait_ready()

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        if self.node.gantryd_pid():
            wait_until("the runtime sees it go", lambda: self.name not in ready(self.node))

    def wait_ready(self):
        wait_until(f"plugin {self.name} is ready", lambda: self.name in ready(self.node) or self.check_alive())
        return self

    def check_alive(self):
        if self.process.poll() is not None:
            raise Failure(f"plugin {self.name} ended: {(self.folder / 'output').read_text()}")

    def play(self, method, **answer):
        """From now on METHOD is answered so; without anything, with nothing."""
        path = self.folder / f"{method}.json"
        if answer:
            path.with_suffix(".new").write_text(json.dumps(answer))
            path.with_suffix(".new").rename(path)
        else:
            path.unlink(missing_ok=True)

    @property
    def calls(self):
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in (self.folder / "log").read_text().splitlines(keepends=True)
                    if line.endswith("\n")]
        return []

    def methods(self, name):
        """The calls about the pod or container of that name, in their order."""
        return [call["method"] for call in self.calls
                if name in (call.get("container", {}).get("name"), "container" not in call and call.get("pod", {}).get("name"))]

    def last(self, method):
        return [call for call in self.calls if call["method"] == method][-1]

    def wait_for(self, method, count=1):
        wait_until(f"plugin {self.name} is asked {method}",
                   lambda: sum(call["method"] == method for call in self.calls) >= count)
        return self.last(method)

    def ask_update(self, *updates):
        """An update that nobody asked it for: the ids that failed."""
        before = sum(call["method"] == "UpdatedContainers" for call in self.calls)
        self.play("UpdateContainers", update=updates)
        self.process.send_signal(signal.SIGUSR1)
        done = self.wait_for("UpdatedContainers", before + 1)
        if done["error"] != "<nil>":
            raise Failure(f"UpdateContainers: {done['error']}")
        return done["failed"]


def ready(node):
    """The plugins that the runtime has now, by what it logs."""
    names = []
    for line in node.log_file.read_text(errors="replace").splitlines():
        if line.startswith("gantryd ended by signal"):
            names = []
        elif "an NRI plugin is ready" in line:
            names.append(line.split('plugin="')[1].split('"')[0])
        elif "an NRI plugin is gone" in line:
            name = line.split('plugin="')[1].split('"')[0]
            if name in names:
                names.remove(name)
    return names


# ---- by hand

RUNTIME, PLUGIN = 2, 1
REQUEST, RESPONSE, DATA = 1, 2, 3


def field(number, value):
    """A field of a protobuf message: bytes, or a number."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def message(channel, stream, kind, data, flags=0):
    frame = len(data).to_bytes(4, "big") + stream.to_bytes(4, "big") + bytes([kind, flags]) + data
    return channel.to_bytes(4, "big") + len(frame).to_bytes(4, "big") + frame


def register(name=b"rubbish", index=b"55"):
    call = field(1, b"nri.pkg.api.v1alpha1.Runtime") + field(2, b"RegisterPlugin") + field(3, field(1, name) + field(2, index))
    return message(RUNTIME, 1, REQUEST, call)


class Connection:
    """A plugin's, byte by byte."""

    def __init__(self, node):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(node.root / "run/nri/nri.sock"))
        self.socket.settimeout(PATIENCE)
        self.bytes = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def receive(self):
        """(channel, stream, type, data) of the next message, or None at the end."""
        while True:
            if len(self.bytes) >= 18:
                size = int.from_bytes(self.bytes[8:12], "big")
                if len(self.bytes) >= 18 + size:
                    head, data = self.bytes[:18], self.bytes[18:18 + size]
                    self.bytes = self.bytes[18 + size:]
                    return (int.from_bytes(head[:4], "big"), int.from_bytes(head[12:16], "big"), head[16], data)
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self.bytes += more

    def ends(self):
        """True when the runtime closes it, whatever it says before."""
        while self.receive():
            pass
        return True

    def answer(self, data=b""):
        """The runtime's next call is answered with this payload."""
        call = self.receive()
        self.send(message(PLUGIN, call[1], RESPONSE, field(1, b"") + field(2, data)))

    def become_ready(self, node, name=b"hand"):
        """As one that is asked about new containers, and nothing else."""
        self.send(register(name))
        self.receive()  # the answer
        self.answer(field(2, 1 << 3))  # Configure
        self.answer()  # Synchronize
        wait_until("it is ready", lambda: f"55-{name.decode()}" in ready(node))
        return self
