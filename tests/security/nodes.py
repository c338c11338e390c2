#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 1800
"""Attacks on the control plane by a node that somebody has taken over: what it writes with its own credentials, and what it answers
the API server.

CVE-2025-5187: a node gives its Node an owner that is not there, is removed, and comes back without its taints; the same with claims
of its pods. CVE-2025-4563: a node makes a pod of its own that names claims for devices. CVE-2020-8559: a node answers exec with a way
to somewhere else. CVE-2022-3294: a node says that its address is another's. CVE-2018-1002105: a connection to a node that is left
over from an upgrade that failed."""
import contextlib
import http.client
import json
import pathlib
import socket
import ssl
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from kubelet import Kubelet, make_certificate, subject_of

UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "v5.channel.k8s.io"}
KEY = {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
NODES, PODS = "/api/v1/nodes", "/api/v1/namespaces/default/pods"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
GONE = [{"apiVersion": "v1", "kind": "Namespace", "name": "gone", "uid": "00000000-0000-4000-8000-000000000000"}]


class World:
    def __init__(self, checks, control):
        self.checks, self.control = checks, control
        self.context = ssl.create_default_context(cafile=control.data / "pki/ca.crt")
        self.context.load_cert_chain(*control.administrator())

    def connect(self):
        raw = socket.create_connection(("127.0.0.1", self.control.port), timeout=c.PATIENCE)
        return self.context.wrap_socket(raw, server_hostname="127.0.0.1")

    def ask(self, path, headers=None, method="GET", body=None):
        """(status, headers, body), by the administrator, who follows no redirect."""
        connection = http.client.HTTPConnection("127.0.0.1")
        connection.sock = self.connect()
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, "" if answer.status == 101 else answer.read().decode(errors="replace")

    def as_node(self, name, method, path, document=None):
        """(status, body) of what a node asks with its own rights; a PATCH is a merge patch."""
        headers = {"Impersonate-User": f"system:node:{name}", "Impersonate-Group": "system:nodes",
                   "Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
        status, _, body = self.ask(path, headers, method, json.dumps(document) if document else None)
        return status, body

    def does(self, name, *request):
        status, body = self.as_node(name, *request)
        if status not in (200, 201):
            raise c.Failure(f"{name}: {request}: {status} {body}")

    def is_refused(self, answer, why, what):
        """By what the API server says, and not because the attack was a wrong one."""
        status, body = answer
        self.checks.ok(status == 403 and why in body, what, answer)

    def said_of(self, name, port):
        """The node says of itself where it is."""
        status = {"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                             "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}}
        self.does(name, "PATCH", f"{NODES}/{name}/status", status)


def pod(name, node, **more):
    metadata = {"name": name, **more.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "i"}], **more}}


def prepare(world):
    control = world.control
    for name in ("n1", "n2"):
        world.does(name, "POST", NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        control.out("create", "-f", "-", given=json.dumps(pod(f"on-{name}", name)))
        # kubectl waits for a pod that runs before it enters it.
        world.does(name, "PATCH", f"{PODS}/on-{name}/status", {"status": {"phase": "Running"}})


def owners(world):
    checks, control = world.checks, world.control
    control.out("taint", "node", "n1", "trust=none:NoSchedule")
    owned = {"metadata": {"ownerReferences": GONE}}
    for where in ("", "/status"):
        world.is_refused(world.as_node("n1", "PATCH", f"{NODES}/n1{where}", owned), "is not allowed to modify ownerReferences",
                         f"CVE-2025-5187: a node gives itself no owner, at its path{where}")
    control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n3"}}))
    control.out("patch", "node", "n3", "--type=merge", "-p", json.dumps(owned))
    c.wait_until("who has one that is gone is removed", lambda: control.kubectl("get", "node", "n3").returncode)
    checks.ok(True, "CVE-2025-5187 bites: a Node whose owner is not there is removed")
    checks.contains(control.out("get", "node", "n1", "-o", "jsonpath={.spec.taints}"), "trust", "the node has its taint still")
    world.is_refused(world.as_node("n1", "PATCH", f"{NODES}/n1", {"spec": {"taints": None}}), "is not allowed to modify taints",
                     "and does not take it away itself")
    world.is_refused(world.as_node("n1", "DELETE", f"{NODES}/n1"), "cannot delete resource", "nor removes itself")

    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
             "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}}
    control.out("create", "-f", "-", given=json.dumps(claim))
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    control.out("create", "-f", "-", given=json.dumps(pod("user", "n1", volumes=[volume])))
    grown = {"status": {"capacity": {"storage": "2Gi"}}}
    # Its right to write the claim's status begins with the pod.
    c.wait_until("the node says how large a claim of its pod is",
                 lambda: world.as_node("n1", "PATCH", f"{CLAIMS}/data/status", grown)[0] == 200)
    world.is_refused(world.as_node("n1", "PATCH", f"{CLAIMS}/data/status", owned), "is not allowed to update fields other than",
                     "CVE-2025-5187: it gives the claim no owner")


def devices(world):
    uid = world.control.out("get", "node", "n1", "-o", "jsonpath={.metadata.uid}")
    mirror = {"annotations": {"kubernetes.io/config.mirror": "x"},
              "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": True}]}
    world.does("n1", "POST", PODS, pod("mirror", "n1", metadata=mirror))
    claims = [{"name": "device", "resourceClaimName": "secret"}]
    world.is_refused(world.as_node("n1", "POST", PODS, pod("device", "n1", metadata=mirror, resourceClaims=claims)), "resourceclaims",
                     "CVE-2025-4563: a node makes a pod of its own, but none that names a claim for devices")
    named = {"status": {"resourceClaimStatuses": claims}}
    world.is_refused(world.as_node("n1", "PATCH", f"{PODS}/on-n1/status", named), "resource claim statuses",
                     "CVE-2025-4563: nor says so of one that it runs")


def redirects(world, kubelet, stranger):
    checks = world.checks
    kubelet.elsewhere = f"https://127.0.0.1:{stranger.port}/exec/default/on-n1/main?command=id&output=1"
    world.said_of("n1", kubelet.port)
    for what, path, headers in (
            ("exec", f"{PODS}/on-n1/exec?command=id&stdout=true", UPGRADE | KEY),
            ("attach", f"{PODS}/on-n1/attach?stdout=true", UPGRADE | KEY),
            ("port-forward", f"{PODS}/on-n1/portforward?ports=80", UPGRADE | KEY),
            ("an upgrade through a proxy", "/api/v1/nodes/n1/proxy/x", UPGRADE | KEY), ("a log", f"{PODS}/on-n1/log", {})):
        before = len(kubelet.seen)
        status, answered, body = world.ask(path, headers)
        checks.equal(len(kubelet.seen), before + 1, f"{what}: the node was asked, and sends on")
        checks.ok(status >= 500 and "Location" not in answered and str(stranger.port) not in body,
                  f"CVE-2020-8559: {what}: nobody is sent on by it", (status, answered.items(), body))
    for what in ("exec?command=id&stdout=true", "attach?stdout=true", "portforward?ports=80"):
        before = len(kubelet.seen)
        status, answered, body = world.ask(f"{PODS}/on-n1/{what}")
        checks.ok((status, len(kubelet.seen)) == (400, before) and "Location" not in answered,
                  f"CVE-2020-8559: {what.split('?')[0]} without an upgrade comes to no node", (status, body))
    done = world.control.kubectl("exec", "on-n1", "--", "id")
    checks.ok(done.returncode != 0 and stranger.seen == [], "CVE-2020-8559: nor is kubectl", (done.stderr, stranger.seen))
    kubelet.elsewhere = None


def addresses(world, kubelet, other):
    """A node that says that it is another one, or the API server, and somebody who may ask for that node alone."""
    checks, control = world.checks, world.control
    control.out("create", "clusterrole", "proxies-n1", "--verb=get,create", "--resource=nodes/proxy", "--resource-name=n1")
    control.out("create", "clusterrolebinding", "jane", "--clusterrole=proxies-n1", "--user=jane")
    world.said_of("n2", other.port)
    ask = lambda path: control.kubectl("get", "--raw", f"/api/v1/nodes/n1/proxy{path}", "--as=jane")
    c.wait_until("she may ask her node", lambda: ask("/x").stdout == "GET /x ")
    for what, port, path in (("another node", other.port, "/x"),
                             ("the API server", control.port, "/api/v1/nodes/n2/proxy/exec/default/on-n2/main")):
        other.seen.clear()
        world.said_of("n1", port)
        done = ask(path)
        checks.ok(done.returncode != 0 and "certificate is of" in done.stderr,
                  f"CVE-2022-3294: a node that has the address of {what}: nobody is led there", done.stdout + done.stderr)
        done = control.kubectl("logs", "on-n1")
        checks.ok(done.returncode != 0 and "certificate is of" in done.stderr, f"{what}: nor for a log", done.stdout + done.stderr)
        checks.equal(other.seen, [], f"{what}: and no other node was asked anything")
    world.said_of("n1", kubelet.port)
    checks.equal(ask("/x").stdout, "GET /x ", "the node is reached again when it says where it is")
    # It is the name in the certificate that was missing: address and CA are right.
    checks.equal(control.kubectl("get", "--raw", "/api/v1/nodes/n2/proxy/x").stdout, "GET /x ", "as the other one is")


def left_over(world, kubelet):
    """What the node would answer on the connection of an upgrade that failed, which is the API server's."""
    kubelet.seen.clear()
    lines = [f"GET {PODS}/on-n1/portforward?ports=80 HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: nothing"]
    with world.connect() as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        first = http.client.HTTPResponse(connection)
        first.begin()
        first.read()
        world.checks.equal((first.status, len(kubelet.seen)), (400, 1), "an upgrade that the node refuses")
        answer = b""
        with contextlib.suppress(OSError):
            connection.sendall(b"GET /runningpods/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            while piece := connection.recv(4096):
                answer += piece
    world.checks.ok(answer == b"" or b'"kind":"Status"' in answer.replace(b" ", b"") or answer.startswith(b"HTTP/1.1 404"),
                    "CVE-2018-1002105: what comes after it on the connection is asked of the API server", answer)
    world.checks.equal(len(kubelet.seen), 1, "CVE-2018-1002105: and not of the node")


def nobodys_servers(world):
    done = world.control.kubectl("get", "apiservices.apiregistration.k8s.io")
    world.checks.ok(done.returncode != 0 and "the server doesn't have a resource type" in done.stderr,
                    "CVE-2022-3172: there are no API servers of others that could lead clients elsewhere", done.stdout + done.stderr)


def story(checks):
    with Control(checks) as control, contextlib.ExitStack() as servers:
        world, ca = World(checks, control), control.data / "pki/ca.crt"

        def kubelet(name, **more):
            folder = control.folder / name
            folder.mkdir()
            return servers.enter_context(Kubelet(*make_certificate(control.data / "pki", folder, **more), ca))
        own, other, stranger = kubelet("own"), kubelet("other", subject=subject_of("n2")), kubelet("stranger", own_ca=True)
        prepare(world)
        owners(world)
        devices(world)
        redirects(world, own, stranger)
        addresses(world, own, other)
        left_over(world, own)
        nobodys_servers(world)


c.main(story)
