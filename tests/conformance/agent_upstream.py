#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl kube-apiserver
# limit: 1800
# long
"""gantryd as a node of upstream's kube-apiserver, which has the node authorizer, NodeRestriction and RBAC and no controller: the node
registers and says that it lives, its pods have all that a pod has (agent_core.py), a static pod has its mirror; the node asks for nothing
that upstream does not allow a node, and gets nothing more."""
import base64
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from agent_core import Core
from cluster import NODE_ADDRESS, JoiningNode
from control import peer
from cri_client import IMAGE
from kubelet import make_authority, make_certificate, subject_of
from registry import network_of
from upstream import Upstream


class World:
    """The files of a cluster's CA, and of those who have certificates of it."""

    def __init__(self, node):
        self.node, self.pki = node, node.work / "pki"
        self.pki.mkdir()
        make_authority(self.ca, self.pki / "ca.key")
        # gantryd's options name its own ones.
        self.own = make_certificate(self.pki, node.work, NODE_ADDRESS, subject=subject_of(node.name))
        self.server = self.certificate("server", "/CN=kube-apiserver")
        self.client = self.certificate("client", "/O=system:masters/CN=kube-apiserver-kubelet-client")

    @property
    def ca(self):
        return self.pki / "ca.crt"

    def certificate(self, name, subject):
        folder = self.pki / name
        folder.mkdir()
        return make_certificate(self.pki, folder, subject=subject)

    def flags(self):
        pair = lambda option, files: [f"--{option[0]}", files[0], f"--{option[1]}", files[1]]
        return ["--client-ca-file", self.ca, "--kubelet-certificate-authority", self.ca,
                *pair(("tls-cert-file", "tls-private-key-file"), self.server),
                *pair(("kubelet-client-certificate", "kubelet-client-key"), self.client),
                "--kubelet-preferred-address-types", "InternalIP"]

    def kubeconfig(self, port):
        data = lambda path: base64.b64encode(path.read_bytes()).decode()
        return json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": data(self.ca)}}],
            "users": [{"name": "it", "user": {"client-certificate-data": data(self.own[0]), "client-key-data": data(self.own[1])}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]})


def registers(checks, upstream, node):
    node.wait_until_ready(upstream)
    status = upstream.json("get", "node", node.name)["status"]
    checks.equal([one for one in status["addresses"] if one["type"] == "InternalIP"], [{"type": "InternalIP", "address": NODE_ADDRESS}],
                 "the node registers with its address")
    checks.ok(all(status["capacity"].get(name) for name in ("cpu", "memory", "pods", "ephemeral-storage")), "and what it has",
              status["capacity"])
    renewed = lambda: upstream.kubectl("get", "lease", "-n", "kube-node-lease", node.name, "-o", "jsonpath={.spec.renewTime}").stdout
    before = c.wait_until("it has a lease", renewed)
    c.wait_until("and renews it", lambda: renewed() not in ("", before), pause=0.2)
    checks.ok(True, "it says that it lives")


def may_no_more(checks, upstream, node):
    """What a node's certificate opens: the API server is the judge, and the node is refused for its name alone."""
    upstream.out("create", "secret", "generic", "others", "--from-literal=key=secret")
    upstream.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "far"}}))
    as_node = lambda *arguments, given=None: subprocess.run(
        [*upstream.kubectl_command(*arguments)[:1], "--kubeconfig", node.kubeconfig, *upstream.kubectl_command(*arguments)[3:]],
        input=given, capture_output=True, text=True, timeout=c.PATIENCE, env={**os.environ, "HOME": str(upstream.folder)})
    checks.equal(as_node("get", "node", node.name).returncode, 0, "a node reads its Node")
    pod = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "own"}, "spec": {
        "nodeName": node.name, "containers": [{"name": "main", "image": IMAGE}]}})
    owner = json.dumps({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Namespace", "name": "x", "uid": "x"}]}})
    for what, arguments, given in (
            ("another's secrets", ("get", "secret", "others"), None), ("all secrets", ("get", "secrets"), None),
            ("another node", ("label", "node", "far", "a=b"), None),
            ("its taints", ("patch", "node", node.name, "--type=merge", "-p", '{"spec": {"taints": []}}'), None),
            ("its owner", ("patch", "node", node.name, "--type=merge", "-p", owner), None),
            ("a pod that is no mirror", ("create", "-f", "-"), pod)):
        done = as_node(*arguments, given=given)
        checks.ok(done.returncode != 0 and "forbidden" in done.stderr, f"{what}: not its own to read or to write",
                  done.stdout + done.stderr)


def story(checks):
    for name in ("kubectl", "etcd"):
        peer(name)  # there is no way out of the node's network
    folder = f"/var/lib/gantry-nodes/t{os.getpid()}/test"
    options = [f"--option=--tls-cert-file={folder}/n.crt", f"--option=--tls-private-key-file={folder}/n.key"]
    with JoiningNode(checks, options=options) as node:
        node.build_image()
        world = World(node)
        subprocess.run(["nsenter", f"--net=/proc/{node.supervisor()}/ns/net", "--", "ip", "address", "replace", f"{NODE_ADDRESS}/32",
                        "dev", "lo"], check=True)
        with network_of(node.supervisor()), Upstream(checks, world.flags()) as upstream:
            # As controllers do where there are some.
            upstream.out("create", "serviceaccount", "default")
            upstream.out("create", "configmap", "kube-root-ca.crt", f"--from-file=ca.crt={world.ca}")
            # As docs/control-plane.md has it: nodes are to see Services, EndpointSlices and Nodes.
            upstream.out("create", "clusterrolebinding", "gantry:node-network", "--clusterrole=system:node-proxier", "--group=system:nodes")
            node.join_as(world.kubeconfig(upstream.port))
            registers(checks, upstream, node)

            def restart():
                node.kill_gantryd()
                node.wait_for_gantryd()
            core = Core(checks, upstream, node.name, IMAGE, restart)
            core.tell()
            core.static(node.manifests)
            c.wait_until("nothing is left on the node", lambda: not node.pods())
            may_no_more(checks, upstream, node)
            # The authorizer hears of a pod when the node does: what the pod needs may be the node's a moment later.
            refused = [line for line in node.log_file.read_text(errors="replace").splitlines()
                       if "forbidden" in line and "no relationship found between node" not in line]
            checks.equal(refused, [], "gantryd asked for nothing that a node may not")


c.main(story)
