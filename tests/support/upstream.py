# SPDX-License-Identifier: Apache-2.0
"""Upstream's kube-apiserver over an etcd of its own, on ports of loopback; their data in a folder that goes with them."""
import base64
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
from control import ROOT, free_port, peer

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


class Upstream:
    """with Upstream(checks) as upstream: upstream.api is its admin."""

    def __init__(self, checks, arguments=(), etcd=None):
        self.checks, self.arguments = checks, list(arguments)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gantry-upstream-"))
        self.processes, self.port, self.etcd = [], free_port(), etcd
        self.token = secrets.token_hex(16)
        self.api = Api(self.port, trusting(), {"Authorization": f"Bearer {self.token}"})

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        if self.checks.failed:
            c.log(self.log("kube-apiserver")[-2000:])
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, name):
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def run(self, name, *command):
        with open(self.folder / f"{name}.log", "wb") as log:
            self.processes.append(subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def start(self):
        if self.etcd is None:
            client, other = free_port(), free_port()
            self.etcd = f"http://127.0.0.1:{client}"
            self.run("etcd", peer("etcd"), "--data-dir", self.folder / "etcd", "--listen-client-urls", self.etcd,
                     "--advertise-client-urls", self.etcd, "--listen-peer-urls", f"http://127.0.0.1:{other}",
                     "--initial-advertise-peer-urls", f"http://127.0.0.1:{other}",
                     "--initial-cluster", f"default=http://127.0.0.1:{other}", "--unsafe-no-fsync", "--log-level", "error")
        built = subprocess.run([ROOT / "scripts/tools", "kube-apiserver"], capture_output=True, text=True, check=True)
        key, tokens = self.folder / "sa.key", self.folder / "tokens.csv"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        tokens.write_text(f'{self.token},admin,admin,"system:masters"\n')
        self.run("kube-apiserver", built.stdout.split()[2], "--etcd-servers", self.etcd, "--bind-address", "127.0.0.1",
                 "--secure-port", self.port, "--cert-dir", self.folder / "pki", "--token-auth-file", tokens,
                 "--advertise-address", "192.0.2.100", "--authorization-mode", "Node,RBAC",
                 "--enable-admission-plugins", "NodeRestriction", "--service-cluster-ip-range", "10.96.0.0/12",
                 "--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
                 "--service-account-key-file", key, "--service-account-signing-key-file", key,
                 "--enable-bootstrap-token-auth", *self.arguments)
        c.wait_until("kube-apiserver is ready", self.is_ready, limit=PATIENCE, pause=0.2)

    def is_ready(self):
        if self.processes[-1].poll() is not None:
            raise c.Failure(f"kube-apiserver ended: {self.log('kube-apiserver')[-2000:]}")
        try:
            return self.api.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False
