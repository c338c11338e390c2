#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""How a node joins, step by step and with nothing of ours: a token, cluster-info and its signature, a certificate (by openssl, kubectl
and client-go's own code for kubelets), the Node, its Lease and its serving certificate; and what each of them may not."""
# tools: client-go
import base64
import hashlib
import hmac
import json
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.request
import ssl

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import BIN, ROOT, Control

NODE_IP = "192.0.2.7"


def command(*arguments, given=None, binary=False):
    done = subprocess.run([*map(str, arguments)], input=given, capture_output=True, text=not binary)
    if done.returncode:
        raise c.Failure(f"{' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def token_command(control, *arguments):
    return command(BIN / "gantry-control", "token", *arguments, "--data-dir", control.data)


def ask(control, path, token):
    """A GET with a token, by one who can't know the server yet."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(control.url + path, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=c.PATIENCE, context=context) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def plain(text):
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signature(content, token):
    """What upstream's k8s.io/cluster-bootstrap makes: JWS, HS256, without the content."""
    ident, secret = token.split(".")
    header = plain(f'{{"alg":"HS256","kid":"{ident}"}}'.encode())
    code = hmac.new(secret.encode(), f"{header}.{plain(content.encode())}".encode(), hashlib.sha256).digest()
    return f"{header}..{plain(code)}"


class Joining:
    """A node to be, with kubeconfigs of its own."""

    def __init__(self, control, name, ca):
        self.control, self.name, self.folder = control, name, control.folder
        self.ca = self.folder / "join-ca.crt"
        self.ca.write_text(ca)

    def kubeconfig(self, name, **user):
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.control.url, "certificate-authority": str(self.ca)}}],
            "users": [{"name": "c", "user": user}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]}))
        return path

    def kubectl(self, kubeconfig, *arguments, given=None):
        words = [str(kubeconfig) if word == str(self.control.kubeconfig) else word
                 for word in self.control.kubectl_command(*arguments)]
        return subprocess.run(words, input=given, capture_output=True, text=True, timeout=c.PATIENCE)

    def request(self, kubeconfig, name, signer, usages, names=""):
        """Makes a key and a request for a certificate, and returns the key's file."""
        key = self.folder / f"{name}.key"
        extra = ["-addext", f"subjectAltName={names}"] if names else []
        request = command("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                          "-subj", f"/O=system:nodes/CN=system:node:{self.name}", *extra)
        csr = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
               "spec": {"request": base64.b64encode(request.encode()).decode(), "signerName": f"kubernetes.io/{signer}",
                        "usages": ["digital signature", usages]}}
        done = self.kubectl(kubeconfig, "create", "-f", "-", given=json.dumps(csr))
        if done.returncode:
            raise c.Failure(f"create csr {name}: {done.stderr}")
        return key

    def certificate(self, kubeconfig, name):
        def issued():
            return self.kubectl(kubeconfig, "get", "csr", name, "-o", "jsonpath={.status.certificate}").stdout
        text = c.wait_until(f"{name} is signed", issued)
        path = self.folder / f"{name}.crt"
        path.write_bytes(base64.b64decode(text))
        return path


def discovery(checks, control, line):
    found = re.fullmatch(r"gantry join (https://\S+) --token ([a-z0-9]{6}\.[a-z0-9]{16}) --ca-hash (sha256:[0-9a-f]{64})\n", line)
    if not checks.ok(found, "token create prints how a node joins", line):
        raise c.Failure("no token")
    url, token, pin = found.groups()
    path = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
    checks.equal(ask(control, path, None)[0], 403, "nobody reads cluster-info without a token")
    checks.equal(ask(control, path, token[:7] + "0" * 16)[0], 401, "nor with a wrong one")
    ident = token.split(".")[0]
    info = c.wait_until("cluster-info is signed", lambda: next(
        (body["data"] for _, body in [ask(control, path, token)] if f"jws-kubeconfig-{ident}" in body.get("data", {})), None))
    checks.equal(info[f"jws-kubeconfig-{ident}"], signature(info["kubeconfig"], token), "cluster-info is signed with the token")
    checks.contains(info["kubeconfig"], f"server: {url}", "it names the server as the join command does")
    ca = base64.b64decode(re.search(r"certificate-authority-data: (\S+)", info["kubeconfig"])[1]).decode()
    public = command("openssl", "x509", "-noout", "-pubkey", given=ca)
    der = command("openssl", "pkey", "-pubin", "-outform", "DER", given=public.encode(), binary=True)
    checks.equal("sha256:" + hashlib.sha256(der).hexdigest(), pin, "its CA is the one that the join command pins")
    return token, ca


def joining(checks, control, node, token):
    bootstrap = node.kubeconfig("bootstrap", token=token)
    key = node.request(bootstrap, "csr-client", "kube-apiserver-client-kubelet", "client auth")
    certificate = node.certificate(bootstrap, "csr-client")
    subject = command("openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", certificate)
    checks.contains(subject, "CN=system:node:n1,O=system:nodes", "who has a token gets a node's certificate")
    checks.contains(node.kubectl(bootstrap, "get", "secrets", "-A").stderr, "forbidden", "and nothing else")
    own = node.kubeconfig("node", **{"client-certificate": str(certificate), "client-key": str(key)})
    done = node.kubectl(own, "create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}))
    checks.equal(done.returncode, 0, "the node registers itself")
    done = node.kubectl(own, "create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}}))
    checks.contains(done.stderr, "forbidden", "and no other")
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n1", "namespace": "kube-node-lease"},
             "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 40}}
    checks.equal(node.kubectl(own, "create", "-f", "-", given=json.dumps(lease)).returncode, 0, "it has its Lease")
    c.wait_until("a node has its part of the pods' network",
                 lambda: control.out("get", "node", "n1", "-o", "jsonpath={.spec.podCIDR}") == "10.244.0.0/24")
    status = {"status": {"addresses": [{"type": "InternalIP", "address": NODE_IP}, {"type": "Hostname", "address": "n1"}],
                         "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}}
    node.kubectl(own, "patch", "node", "n1", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    c.wait_until("a node that is ready takes pods", lambda: "not-ready" not in control.out("get", "node", "n1", "-o", "jsonpath={.spec.taints}"))
    checks.contains(control.out("get", "nodes"), "Ready", "kubectl shows it ready")
    c.wait_until("events tell of it", lambda: "RegisteredNode" in control.out("get", "events"))
    return own


def serving(checks, control, node, own):
    node.request(own, "csr-other", "kubelet-serving", "server auth", "DNS:kubernetes.default.svc")
    node.request(own, "csr-serving", "kubelet-serving", "server auth", f"DNS:n1,IP:{NODE_IP}")
    certificate = node.certificate(own, "csr-serving")
    command("openssl", "verify", "-CAfile", node.ca, "-purpose", "sslserver", "-verify_ip", NODE_IP, certificate)
    checks.ok(True, "a node gets a serving certificate for its own name and address")
    other = control.json("get", "csr", "csr-other")["status"]
    checks.equal(other, {}, "one for the API server's name waits for people")
    control.out("certificate", "deny", "csr-other")
    checks.contains(control.out("get", "csr"), ["Approved,Issued", "Denied"], "kubectl shows what became of each")


def people(checks, control, node):
    """kubectl certificate approve, for a user."""
    key = node.folder / "jane.key"
    request = command("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/O=dev/CN=jane")
    csr = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "jane"},
           "spec": {"request": base64.b64encode(request.encode()).decode(), "signerName": "kubernetes.io/kube-apiserver-client",
                    "usages": ["client auth"], "expirationSeconds": 3600}}
    control.out("create", "-f", "-", given=json.dumps(csr))
    control.out("certificate", "approve", "jane")
    certificate = node.certificate(control.kubeconfig, "jane")
    jane = node.kubeconfig("jane", **{"client-certificate": str(certificate), "client-key": str(key)})
    who = json.loads(node.kubectl(jane, "auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]
    checks.equal((who["username"], "dev" in who["groups"]), ("jane", True), "who was approved is who the certificate says")


def client_go(checks, node, token):
    program = command(ROOT / "scripts/tools", "client-go").split()[2]
    bootstrap = node.kubeconfig("client-go", token=token)
    done = subprocess.run([program, "-kubeconfig", bootstrap, "-join", "n3"], capture_output=True, text=True, timeout=50)
    checks.contains(done.stdout, "ok - a certificate for system:node:n3", "client-go's code for kubelets gets a certificate")


def tokens(checks, control, token):
    ident = token.split(".")[0]
    checks.contains(token_command(control, "list"), [token, "23h", "authentication,signing"], "token list shows it")
    token_command(control, "create", "abcdef.0123456789abcdef", "--ttl", "1h", "--description", "for tests")
    checks.contains(token_command(control, "list"), ["abcdef.0123456789abcdef", "for tests"], "a token that was chosen, with its words")
    token_command(control, "delete", ident)
    checks.ok(token not in token_command(control, "list"), "token delete")
    c.wait_until("a token that is gone opens nothing",
                 lambda: ask(control, "/api/v1/namespaces/kube-public/configmaps/cluster-info", token)[0] == 401)
    c.wait_until("its signature is gone", lambda: f"jws-kubeconfig-{ident}" not in control.out("get", "cm", "cluster-info", "-n", "kube-public", "-o", "json"))


def story(checks):
    with Control(checks) as control:
        checks.contains(control.log(), "gantry-control token create", "it says at its start how to join a node")
        token, ca = discovery(checks, control, token_command(control, "create", "--print-join-command"))
        node = Joining(control, "n1", ca)
        own = joining(checks, control, node, token)
        serving(checks, control, node, own)
        people(checks, control, node)
        client_go(checks, node, token)
        tokens(checks, control, token)


c.main(story)
