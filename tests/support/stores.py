# SPDX-License-Identifier: Apache-2.0
"""Stores of the control plane under test: the program that drives them, and clusters of etcd on loopback."""
import os
import pathlib
import signal
import subprocess
import time

import checks as c
from control import free_port

BIN = pathlib.Path(os.environ.get("GANTRY_BIN") or pathlib.Path(__file__).resolve().parents[2] / "build/release/bin")
CHECK = BIN / "tests/conformance/gantry-test-store-check"
PEERS = pathlib.Path(__file__).resolve().parents[2] / "scripts/peers"


def check(store, *words, text=None, environment=None):
    """Runs the driver to its end; its exit status and what it said."""
    done = subprocess.run([CHECK, store, *map(str, words)], input=text, capture_output=True, text=True,
                          stdin=None if text is not None else subprocess.DEVNULL,
                          env={**os.environ, **(environment or {})}, timeout=300)
    return done.returncode, done.stdout + done.stderr


def retold(checks, status, output):
    """The TAP lines of the driver as checks of ours; one that died has not said them all."""
    for line in output.splitlines():
        if line.startswith(("ok", "not ok")):
            checks.ok(line.startswith("ok"), line.split(" - ", 1)[1], output)
    checks.ok(status == 0, "the driver comes to its end", (status, output[-2000:]))


class Writer:
    """The driver writing; what it was answered is in `lines`."""

    def __init__(self, store, prefix, folder, environment=None):
        self.path = folder / f"answers-{time.monotonic_ns()}"
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen([CHECK, store, "write", prefix], stdin=subprocess.DEVNULL, stdout=out,
                                            env={**os.environ, **(environment or {})})

    def lines(self):
        # What was cut off by the kill was not an answer.
        text = self.path.read_text()
        return text[: text.rfind("\n") + 1]

    def wait_for(self, count):
        c.wait_until(f"{count} writes", lambda: self.lines().count("\n") >= count)

    def end(self):
        self.process.kill()
        self.process.wait()
        return self.lines()


class Certificates:
    """A CA, and certificates of a server on 127.0.0.1 and of a client."""

    def __init__(self, folder):
        self.folder = folder
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        self._openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca")
        for name in ("server", "client"):
            self._openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}",
                          "-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE",
                          "-addext", "subjectAltName=IP:127.0.0.1")
        self.client = {"CA": f"{folder}/ca.crt", "CERT": f"{folder}/client.crt", "KEY": f"{folder}/client.key"}

    def _openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True)
        if done.returncode:
            raise c.Failure(f"openssl {arguments[0]}: {done.stderr}")


class Etcd:
    """A cluster of etcd. `members` are processes; kill(i) and start(i) one of them."""

    def __init__(self, folder, count=1, certificates=None, arguments=()):
        self.folder, self.certificates, self.arguments = folder, certificates, list(arguments)
        self.program = subprocess.run([PEERS, "etcd"], check=True, capture_output=True, text=True).stdout.split()[-1]
        ports = [free_port() for _ in range(2 * count)]
        scheme = "https" if certificates else "http"
        self.clients = [f"{scheme}://127.0.0.1:{port}" for port in ports[:count]]
        self.peers = [f"http://127.0.0.1:{port}" for port in ports[count:]]
        self.members = [None] * count
        self.store = "etcd:" + ",".join(self.clients)
        self.environment = certificates.client if certificates else {}

    def command(self, i):
        """What a member is started with, before the program itself."""
        return []

    def start(self, i):
        options = {
            "name": f"m{i}", "data-dir": self.folder / f"m{i}", "listen-client-urls": self.clients[i],
            "advertise-client-urls": self.clients[i], "listen-peer-urls": self.peers[i],
            "initial-advertise-peer-urls": self.peers[i],
            "initial-cluster": ",".join(f"m{n}={url}" for n, url in enumerate(self.peers)),
        }
        if self.certificates:
            options |= {"cert-file": self.certificates.folder / "server.crt",
                        "key-file": self.certificates.folder / "server.key",
                        "trusted-ca-file": self.certificates.folder / "ca.crt", "client-cert-auth": "true"}
        with open(self.folder / f"m{i}.log", "ab") as log:
            self.members[i] = subprocess.Popen([*self.command(i), self.program, *(f"--{k}={v}" for k, v in options.items()), *self.arguments],
                                               stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self.members[i]

    def signal(self, i, number):
        self.members[i].send_signal(number)

    def kill(self, i):
        self.members[i].kill()
        self.members[i].wait()

    def ready(self):
        c.wait_until("the cluster answers", lambda: check(self.store, "put", "/ready", "1", environment=self.environment)[0] == 0)

    def __enter__(self):
        for i in range(len(self.members)):
            self.start(i)
        self.ready()
        return self

    def __exit__(self, *_):
        for member in self.members:
            if member:
                member.send_signal(signal.SIGCONT)
                member.kill()
                member.wait()
