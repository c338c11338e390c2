# SPDX-License-Identifier: Apache-2.0
"""A control plane of a test's own: gantry-control on a port of loopback, its data in a folder that goes with it."""
import base64
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import checks as c

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("GANTRY_BIN") or ROOT / "build/release/bin")


# Sockets that keep the ports of free_port() to the end of this process.
HELD = []


def free_port():
    """A port of 127.0.0.1 that nobody else is given, also while its server is away: who connects is refused then. A server
    with SO_REUSEADDR listens beside what keeps it."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    HELD.append(held)
    return held.getsockname()[1]


def peer(name):
    """The path of a peer of scripts/peers."""
    done = subprocess.run([ROOT / "scripts/peers", name], capture_output=True, text=True, check=True)
    return done.stdout.split()[2]


class Kubectl:
    """A program that kubectl speaks to: `kubeconfig`, a `folder` for what kubectl keeps, start() and stop(). `with` has it run inside,
    and its folder goes with it."""

    kubectl_path = None
    headers = {}  # of the administrator's requests, where client_context() does not say who it is

    def __enter__(self):
        try:
            self.start()
            self.settle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        if self.checks.failed:
            c.log(self.log()[-4000:])
        shutil.rmtree(self.folder, ignore_errors=True)

    def settle(self):
        """Until a story can begin."""

    def kubectl_command(self, *arguments):
        if self.kubectl_path is None:
            self.kubectl_path = peer("kubectl")
        return [self.kubectl_path, "--kubeconfig", str(self.kubeconfig), "--cache-dir", str(self.folder / "cache"),
                *map(str, arguments)]

    def kubectl(self, *arguments, given=None, limit=5 * c.PATIENCE):
        """Runs kubectl to its end: a CompletedProcess with both outputs as text."""
        environment = {**os.environ, "HOME": str(self.folder), "KUBE_EDITOR": "true"}
        return subprocess.run(self.kubectl_command(*arguments), input=given, capture_output=True, text=True,
                              timeout=limit * c.slowness, env=environment)

    def out(self, *arguments, given=None):
        """kubectl's output; a failure of it ends the story."""
        done = self.kubectl(*arguments, given=given)
        if done.returncode:
            raise c.Failure(f"kubectl {' '.join(map(str, arguments))}: {done.stderr or done.stdout}")
        return done.stdout

    def rolled_out(self, what, limit=3 * c.PATIENCE):
        """What kubectl says of the rollout ("ds/web") when it has ended, well or not."""
        done = self.kubectl("rollout", "status", what, f"--timeout={limit * c.slowness:.0f}s", limit=limit + c.PATIENCE)
        return done.stdout + done.stderr

    def json(self, *arguments):
        return json.loads(self.out(*arguments, "-o", "json"))

    def wait_for(self, name, what, jsonpath, wanted):
        """Until a field of the pod, such as cluster.READY, is that."""
        c.wait_until(f"{name} {what}", lambda: self.kubectl("get", "pod", name, "-o", f"jsonpath={{{jsonpath}}}").stdout == wanted)


class Control(Kubectl):
    """with Control(checks) as control: ... kubectl works at once, and pods can be made in the namespace
    default. kill() and start() again keep the data.
    GANTRY_CONTROL_ARGUMENTS has further arguments of it, so that a test can be run over another store. With `enter`
    (nsenter ...) it runs in other namespaces, where its data is in `data`, which is `seen` here."""

    def __init__(self, checks, arguments=(), data=None, seen=None, enter=(), host="127.0.0.1", port=None):
        self.checks, self.arguments = checks, [*os.environ.get("GANTRY_CONTROL_ARGUMENTS", "").split(), *arguments]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gantry-control-"))
        self.data, self.enter = data or self.folder / "data", list(enter)
        self.host, self.port = host, port or free_port()
        self.url = f"https://{host}:{self.port}"
        self.kubeconfig = (seen or self.data) / "admin.kubeconfig"
        self.log_path = self.folder / "log"
        self.process = None

    def start(self):
        """Returns when /readyz says ok; the seconds that it took."""
        began = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.enter, BIN / "gantry-control", "--data-dir", self.data, "--listen",
                                             f"{self.host}:{self.port}", *self.arguments],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        c.wait_until("gantry-control is ready", self.is_ready, pause=0.005)
        return time.monotonic() - began

    def settle(self):
        self.wait_for_namespace("default")

    def wait_for_namespace(self, name):
        """Until pods can be made in it: what the controllers put into each namespace is there, and so do they work."""
        c.wait_until(f"{name} has what every namespace has", lambda: self.kubectl(
            "get", "-n", name, "serviceaccount/default", "configmap/kube-root-ca.crt").returncode == 0)

    def is_ready(self):
        if self.process.poll() is not None:
            raise c.Failure(f"gantry-control ended with {self.process.returncode}: {self.log()[-2000:]}")
        try:
            return self.raw("/readyz")[0] == 200
        except (OSError, urllib.error.URLError):
            return False

    def raw(self, path):
        """A GET as nobody: the status and the body."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(self.url + path, timeout=10, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def administrator(self):
        """(certificate, key): files with what the kubeconfig has."""
        config = json.loads(self.out("config", "view", "--raw", "-o", "json"))
        user, files = config["users"][0]["user"], []
        for field, name in (("client-certificate-data", "admin.crt"), ("client-key-data", "admin.key")):
            files.append(self.folder / name)
            files[-1].write_bytes(base64.b64decode(user[field]))
        return tuple(files)

    def client_context(self):
        """TLS of the administrator's own requests."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.load_cert_chain(*self.administrator())
        return context

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(c.PATIENCE)
            except subprocess.TimeoutExpired:
                self.checks.ok(False, "gantry-control ends when it is told to")
                self.process.kill()
                self.process.wait()
        self.process = None
        c.no_sanitizer_reports(self.checks, "gantry-control", self.log_path)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
