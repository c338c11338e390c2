# SPDX-License-Identifier: Apache-2.0
"""Upstream's kube-apiserver over an etcd of its own, on ports of loopback; their data in a folder that goes with them. And who works
for an API server from outside: upstream's kube-scheduler and kube-controller-manager, or gantry-control without a server of its own."""
import base64
import contextlib
import http.client
import json
import pathlib
import secrets
import shutil
import ssl
import subprocess
import tempfile

import yaml

import checks as c
from control import BIN, ROOT, Kubectl, free_port
from stores import Etcd

PATIENCE = 120.0  # it makes thousands of things before it is ready


class Api:
    """Requests to one API server over one connection."""

    def __init__(self, port, context, headers=None):
        self.port, self.context, self.headers, self.connection = port, context, headers or {}, None

    def ask(self, method, path, body=None, content_type="application/json", accept="application/json"):
        """The status, the headers and the body: as JSON where it is."""
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        headers = {"Accept": accept, "User-Agent": "conformance", **self.headers}
        if body is not None:
            headers["Content-Type"] = content_type
        for attempt in range(2):
            if self.connection is None:
                self.connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=c.PATIENCE)
            try:
                self.connection.request(method, path, body=body, headers=headers)
                answer = self.connection.getresponse()
                content = answer.read()
                break
            except (http.client.HTTPException, ConnectionResetError):
                self.connection.close()
                self.connection = None
                if attempt:  # Go's servers end the connection when a handler panics
                    return 0, http.client.HTTPMessage(), "no answer"
        if "json" in answer.headers.get("Content-Type", ""):
            content = json.loads(content)
        else:
            content = content.decode(errors="replace")
        return answer.status, answer.headers, content


def trusting():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def api_of(control):
    """The admin of a gantry-control (control.Control)."""
    user = yaml.safe_load(control.kubeconfig.read_text())["users"][0]["user"]
    pair = control.folder / "admin.pem"
    pair.write_bytes(b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")))
    context = trusting()
    context.load_cert_chain(pair)
    return Api(control.port, context)


def apiserver(program, etcd, port, folder, key, *more):
    """The command line of a kube-apiserver with roles, over that etcd; tokens of service accounts are signed with `key`."""
    return [program, "--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", port, "--cert-dir", folder / "pki",
            "--authorization-mode", "Node,RBAC", "--service-cluster-ip-range", "10.96.0.0/12",
            "--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
            "--service-account-key-file", key, "--service-account-signing-key-file", key, *more]


def end(processes):
    """SIGTERM, the last one first, and SIGKILL for who takes too long."""
    for process in reversed(processes):
        process.terminate()
        try:
            process.wait(c.PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Upstream(Kubectl):
    """with Upstream(checks) as upstream: upstream.api is its admin, as is kubectl. With `etcd`, a URL, over that one."""

    def __init__(self, checks, arguments=(), etcd=None):
        self.checks, self.arguments = checks, list(arguments)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gantry-upstream-"))
        self.processes, self.port, self.etcd = [], free_port(), etcd
        self.token = secrets.token_hex(16)
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}}],
            "users": [{"name": "it", "user": {"token": self.token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]}))
        self.url, self.headers = f"https://127.0.0.1:{self.port}", {"Authorization": f"Bearer {self.token}"}
        self.api = Api(self.port, trusting(), self.headers)
        self.ca, self.key = self.folder / "pki/apiserver.crt", self.folder / "sa.key"

    def client_context(self):
        return trusting()

    def stop(self):
        """What it is asked comes to its end, and its leases go; its etcd is the last to end."""
        end(self.processes)
        self.processes = []

    def log(self):
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self):
        if self.etcd is None:
            own = Etcd(self.folder, arguments=["--unsafe-no-fsync", "--log-level=error"])
            self.etcd = own.clients[0]
            self.processes.append(own.start(0))
        tokens = self.folder / "tokens.csv"
        subprocess.run(["openssl", "genrsa", "-out", self.key, "2048"], check=True, capture_output=True)
        tokens.write_text(f'{self.token},admin,admin,"system:masters"\n')
        command = apiserver(built("kube-apiserver"), self.etcd, self.port, self.folder, self.key, "--token-auth-file", tokens,
                            "--advertise-address", "192.0.2.100", "--enable-admission-plugins", "NodeRestriction",
                            "--enable-bootstrap-token-auth", *self.arguments)
        with open(self.folder / "log", "wb") as log:
            self.processes.append(subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        c.wait_until("kube-apiserver is ready", self.is_ready, limit=PATIENCE, pause=0.2)

    def is_ready(self):
        if self.processes[-1].poll() is not None:
            raise c.Failure(f"kube-apiserver ended: {self.log()[-2000:]}")
        try:
            return self.api.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False


# Of 1.37 for a server without resource.k8s.io: docs/control-plane.md.
WITHOUT_CLAIMS = ["--emulated-version=1.34", "--feature-gates=DynamicResourceAllocation=false,DRAAdminAccess=false,"
                  "DRAPrioritizedList=false,DRASchedulerFilterTimeout=false"]


def built(name):
    """The path of a program of scripts/tools."""
    return subprocess.run([ROOT / "scripts/tools", name], capture_output=True, text=True, check=True).stdout.split()[2]


@contextlib.contextmanager
def beside(checks, control, name, command):
    """A program that works for that API server meanwhile, and is still there at the end."""
    path = control.folder / f"{name}.log"
    with open(path, "ab") as log:
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
        checks.equal(process.poll(), None, f"{name} works to the end")
    finally:
        end([process])
        if checks.failed:
            c.log(path.read_text(errors="replace")[-8000:])
        c.no_sanitizer_reports(checks, name, path)


def upstream_scheduler(checks, control, *more):
    return beside(checks, control, "kube-scheduler", [
        built("kube-scheduler"), "--kubeconfig", control.kubeconfig, "--secure-port", "0", "--kube-api-qps", "10000",
        "--kube-api-burst", "10000", *more])


def upstream_controllers(checks, control, ca, *more):
    """They ask as the service account that each of them has."""
    return beside(checks, control, "kube-controller-manager", [
        built("kube-controller-manager"), "--kubeconfig", control.kubeconfig, "--secure-port", "0", "--root-ca-file", ca,
        "--use-service-account-credentials", "--kube-api-qps", "10000", "--kube-api-burst", "10000", *more])


def our_controllers(checks, upstream, health_port, *more):
    """The server is known by its CA."""
    config = json.loads(upstream.kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": upstream.url, "certificate-authority": str(upstream.ca)}
    path = upstream.folder / "controllers.kubeconfig"
    path.write_text(json.dumps(config))
    return beside(checks, upstream, "gantry-control", [
        BIN / "gantry-control", "--kubeconfig", path, "--health-listen", f"127.0.0.1:{health_port}", *more])
