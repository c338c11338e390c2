# SPDX-License-Identifier: Apache-2.0
"""The sides of bench/run control: gantry-control on SQLite, and upstream's kube-apiserver with one member of etcd, each with its
data on the disk that has this tree. A side is started and ended at will and keeps its data in between."""
import base64
import contextlib
import os
import pathlib
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/support"))
import checks as c
from control import BIN, free_port
from processes import proportional_size
from stores import Etcd
from upstream import apiserver, end


class Side:
    """`options` are the driver's words for it while it runs."""

    def __init__(self, folder):
        self.folder, self.port, self.processes = folder, free_port(), []
        folder.mkdir(parents=True)

    def spawn(self, *command):
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def is_ready(self):
        for process in self.processes:
            if process.poll() is not None:
                raise c.Failure(f"{self.name}: {process.args[0]} ended: {(self.folder / 'log').read_text()[-2000:]}")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with contextlib.suppress(OSError, urllib.error.URLError):
            with urllib.request.urlopen(f"https://127.0.0.1:{self.port}/readyz", timeout=5, context=context) as answer:
                return answer.status == 200
        return False

    def start(self):
        """The seconds from the first exec to the first good answer of /readyz."""
        begin = time.monotonic()
        self.launch()
        c.wait_until(f"{self.name} is ready", self.is_ready, limit=120, pause=0.005)
        return time.monotonic() - begin

    def end(self):
        end(self.processes)
        self.processes = []

    @property
    def options(self):
        return ("--url", f"https://127.0.0.1:{self.port}", "--ca", self.folder / "ca", "--cert", self.folder / "cert", "--key",
                self.folder / "key", "--pids", ",".join(str(process.pid) for process in self.processes))

    def memory(self):
        return sum(proportional_size(process.pid) for process in self.processes)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Gantry(Side):
    name = "gantry-control"

    def __init__(self, folder, *arguments):
        super().__init__(folder)
        self.arguments = arguments

    def launch(self):
        self.spawn(BIN / "gantry-control", "--data-dir", self.folder / "data", "--listen", f"127.0.0.1:{self.port}",
                   *self.arguments)

    @property
    def options(self):
        text = (self.folder / "data/admin.kubeconfig").read_text()
        for name, file in (("certificate-authority-data", "ca"), ("client-certificate-data", "cert"), ("client-key-data", "key")):
            (self.folder / file).write_bytes(base64.b64decode(re.search(name + ': *"?([A-Za-z0-9+/=]+)', text).group(1)))
        return super().options


class Upstream(Side):
    name = "kube-apiserver, etcd"

    def __init__(self, folder, program):
        super().__init__(folder)
        self.program, self.etcd = program, Etcd(folder)
        self.make_certificates()

    def make_certificates(self):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        ca = ("-CA", "ca", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE")
        self.openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca", "-subj", "/CN=ca")
        self.openssl("req", "-x509", *key, *ca, "-keyout", "server.key", "-out", "server", "-subj", "/CN=server", "-addext",
                     "subjectAltName=IP:127.0.0.1")
        self.openssl("req", "-x509", *key, *ca, "-keyout", "key", "-out", "cert", "-subj", "/O=system:masters/CN=admin",
                     "-addext", "extendedKeyUsage=clientAuth")
        self.openssl("genrsa", "-out", "tokens.key", "2048")

    def openssl(self, *arguments):
        done = subprocess.run(("openssl", *arguments), cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise c.Failure(f"openssl {arguments[0]}: {done.stderr}")

    def launch(self):
        self.processes.append(self.etcd.start(0))
        self.spawn(*apiserver(self.program, self.etcd.clients[0], self.port, self.folder, self.folder / "tokens.key",
                              "--client-ca-file", self.folder / "ca", "--tls-cert-file", self.folder / "server",
                              "--tls-private-key-file", self.folder / "server.key", "--advertise-address", "192.0.2.1",
                              "--endpoint-reconciler-type", "none"))


def driver(program, *arguments, limit=600):
    """What the driver of that name printed."""
    command = [str(word) for word in (BIN / "bench" / program, *arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit)
    if done.returncode:
        raise c.Failure(f"{' '.join(command[:4])}: {done.stderr[-2000:]}")
    return done.stdout
