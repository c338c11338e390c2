#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""What a KubeletConfiguration says of the node's own servers, seen by curl, openssl and kubectl: where they are, what they show and
speak, whom they take, and what they keep to themselves."""
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import NODE_ADDRESS, JoiningNode, NodeControl
from kubelet import make_certificate, subject_of

NARROW = """
address: {address}
port: 10260
readOnlyPort: 0
tlsCertFile: {folder}/n.crt
tlsPrivateKeyFile: {folder}/n.key
tlsMinVersion: VersionTLS13
authentication: {{x509: {{clientCAFile: {folder}/clients.crt}}, webhook: {{enabled: false}}}}
enableDebuggingHandlers: false
healthzPort: 10349
registryPullQPS: 7
"""
ANONYMOUS = """
serverTLSBootstrap: false
tlsCipherSuites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]
authentication: {{anonymous: {{enabled: true}}}}
authorization: {{webhook: {{cacheAuthorizedTTL: 1s, cacheUnauthorizedTTL: 1s}}}}
"""
TRUSTING = """
authorization: {{mode: AlwaysAllow}}
healthzPort: 0
"""


class World:
    def __init__(self, checks, control, node, config):
        self.checks, self.control, self.node, self.config = checks, control, node, config
        self.certificate, self.key = control.administrator()
        self.admin = ("--cert", self.certificate, "--key", self.key)
        self.other = ()  # certificate and key of somebody whom another CA than the cluster's has signed

    def configure(self, text):
        """gantryd starts anew with it."""
        self.config.write_text(JoiningNode.KUBELET_CONFIG.read_text() + text.format(address=NODE_ADDRESS, folder=self.node.work))

    def restart(self, text):
        self.configure(text)
        self.node.kill_gantryd()
        self.node.wait_for_gantryd()

    def run(self, *command, given=""):
        return subprocess.run([*self.control.enter, *map(str, command)], capture_output=True, text=True, input=given)

    def curl(self, url, *arguments):
        """(status, body); (0, why) when nobody answers."""
        for _ in range(5):  # a handshake that takes the server too long is broken off
            done = self.run("curl", "-sSk", "-m", 60, "-w", "\n%{http_code}", *arguments, url)
            if done.returncode not in (35, 56):
                break
        if done.returncode:
            return 0, done.stderr
        body, status = done.stdout.rsplit("\n", 1)
        return int(status), body

    def wait_served(self, url, *arguments):
        c.wait_until(f"{url} is answered", lambda: self.curl(url, *arguments)[0] == 200)


def narrow(world):
    checks, node = world.checks, world.node
    api = f"https://{NODE_ADDRESS}:10260"
    world.wait_served(f"{api}/healthz", *world.admin)
    c.wait_until("the Node tells the port", lambda: world.control.json("get", "node", node.name)["status"]["daemonEndpoints"] == {
        "kubeletEndpoint": {"Port": 10260}})
    told = json.loads(world.control.out("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/configz"))["kubeletconfig"]
    checks.equal({field: told[field] for field in ("address", "port", "tlsMinVersion", "healthzPort", "registryPullQPS")},
                 {"address": NODE_ADDRESS, "port": 10260, "tlsMinVersion": "VersionTLS13", "healthzPort": 10349,
                  "registryPullQPS": 7}, "it is found there, and tells what it was told")
    checks.equal(world.curl("https://127.0.0.1:10260/healthz", *world.admin)[0], 0, "address: on no other")
    checks.equal(world.curl(f"{api}/healthz", "--tls-max", "1.2", *world.admin)[0], 0, "tlsMinVersion: TLS 1.2 is not spoken")
    done = c.wait_until("curl has its handshake", lambda: (answer := world.run(
        "curl", "-sS", "--cacert", world.control.data / "pki/ca.crt", *world.admin, f"{api}/healthz")).returncode != 35 and answer)
    checks.equal((done.returncode, done.stdout), (0, "ok\n"), f"tlsCertFile: it is shown {done.stderr}")
    status, said = world.curl(f"{api}/pods", "--cert", world.other[0], "--key", world.other[1])
    checks.ok(status == 403 and "user=system:node:n1" in said, "clientCAFile: who is signed by a CA of that file has a name", said)
    world.control.out("create", "serviceaccount", "robot")
    token = world.control.out("create", "token", "robot").strip()
    world.control.out("create", "clusterrolebinding", "robots", "--clusterrole=cluster-admin", "--serviceaccount=default:robot")
    checks.equal(world.curl(f"{api}/pods", "-H", f"Authorization: Bearer {token}")[0], 401,
                 "authentication.webhook.enabled: false: no token counts")
    checks.equal(world.curl(f"{api}/containerLogs/default/web/web", *world.admin), (405, "Debug endpoints are disabled.\n"),
                 "enableDebuggingHandlers: false: no logs")
    checks.equal(world.curl("http://127.0.0.1:10349/healthz"), (200, "ok\n"), "healthzPort: asked by anybody")
    checks.equal(world.curl("http://127.0.0.1:10349/pods")[0], 404, "and nothing else is there")


def anonymous(world):
    checks, control = world.checks, world.control
    world.restart(ANONYMOUS)
    api = f"https://{NODE_ADDRESS}:10250"
    world.wait_served("http://127.0.0.1:10248/healthz")
    world.wait_served(f"{api}/healthz", *world.admin)
    checks.equal(world.curl(f"{api}/pods"), (403, "Forbidden (user=system:anonymous, verb=get, resource=nodes, "
                                                  "subresource(s)=[pods proxy])\n"), "who shows nothing is anonymous, without rights")
    checks.equal(world.curl(f"{api}/pods", "-H", "Authorization: Bearer a.b.c")[0], 401, "a token that is none is not nothing")
    control.out("create", "clusterrole", "lister", "--verb=get", "--resource=nodes/pods")
    control.out("create", "clusterrolebinding", "listers", "--clusterrole=lister", "--group=system:unauthenticated")
    world.wait_served(f"{api}/pods")
    def handshake():
        said = world.run("openssl", "s_client", "-connect", f"{NODE_ADDRESS}:10250", "-tls1_2", "-ign_eof",
                         given="GET / HTTP/1.0\r\n\r\n").stdout
        return said if "issuer=" in said else None
    shown = c.wait_until("openssl has its handshake", handshake)
    checks.contains(shown, "Cipher is ECDHE-ECDSA-AES256-GCM-SHA384", "tlsCipherSuites")
    names = [line.split("=", 1)[1] for line in shown.splitlines() if line.startswith(("subject=", "issuer="))]
    checks.ok(len(names) == 2 and names[0] == names[1], "serverTLSBootstrap: false: its certificate signs itself", names)
    signers = {csr["spec"]["signerName"] for csr in control.json("get", "csr")["items"]}
    checks.ok("kubernetes.io/kubelet-serving" not in signers, "and the cluster is not asked for one", signers)


def trusting(world):
    token = world.control.out("create", "token", "default").strip()
    api = f"https://{NODE_ADDRESS}:10250"
    authorization = ("-H", f"Authorization: Bearer {token}")
    c.wait_until("without a right one is refused", lambda: world.curl(f"{api}/runningpods/", *authorization)[0] == 403)
    world.restart(TRUSTING)
    world.wait_served(f"{api}/runningpods/", *authorization)
    world.checks.equal(world.curl(f"{api}/runningpods/")[0], 401, "AlwaysAllow: whoever has a name may all, and none without")
    world.checks.equal(world.curl("http://127.0.0.1:10248/healthz")[0], 0, "healthzPort: 0: nothing is served")


def story(checks):
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "kubelet.yaml"
        config.write_text(JoiningNode.KUBELET_CONFIG.read_text())
        with JoiningNode(checks, kubelet_config=config) as node, NodeControl(checks, node) as control:
            pki = control.data / "pki"
            world = World(checks, control, node, config)
            world.other = make_certificate(pki, pathlib.Path(folder), own_ca=True)
            make_certificate(pki, node.work, NODE_ADDRESS, subject=subject_of(node.name))
            (node.work / "clients.crt").write_bytes((pki / "ca.crt").read_bytes() + (pathlib.Path(folder) / "other.crt").read_bytes())
            world.configure(NARROW)
            node.join_as(control.kubeconfig.read_text())
            node.wait_until_ready(control)
            narrow(world)
            anonymous(world)
            trusting(world)


c.main(story)
