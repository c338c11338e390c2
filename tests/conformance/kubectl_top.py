#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""metrics.k8s.io: kubectl top and what else asks for it, with a node whose use the test says (tests/support/usage.py) and nodes that do not answer, and
with a real one."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import READY, SLEEPS, ready_node
from control import Control
from cri_client import IMAGE
from kubelet import Kubelet, make_certificate, subject_of
from usage import Usage

GROUP = "/apis/metrics.k8s.io"
# Two readings make a rate; a second between them is enough for a test.
FAST = ("--metric-resolution", "1s")


def make_node(control, name, port=None):
    control.out("create", "-f", "-", given=json.dumps({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"which": name}}}))
    status = {"capacity": {"cpu": "4", "memory": "4Gi"}, "allocatable": {"cpu": "4", "memory": "4Gi"}}
    if port:
        status |= {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                   "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
    control.out("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def make_pod(control, name, containers, node="n1", namespace="default"):
    control.out("create", "-n", namespace, "-f", "-", given=json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": [{"name": one, "image": "i"} for one in containers]}}))


def rows(text):
    """The words of each line but the first."""
    return [line.split() for line in text.splitlines()[1:]]


def near(words, wanted):
    """An amount as kubectl shows it, "250m", within a tenth of that."""
    return abs(int(words.removesuffix("m")) - wanted) <= wanted / 10


def of_documents(checks, control):
    for version in ("v1", "v1beta1"):
        found = json.loads(control.out("get", "--raw", f"{GROUP}/{version}"))
        checks.equal([(one["name"], one["kind"], one["namespaced"], one["verbs"]) for one in found["resources"]],
                     [("nodes", "NodeMetrics", False, ["get", "list"]), ("pods", "PodMetrics", True, ["get", "list"])],
                     f"discovery has {version}")
    checks.equal(json.loads(control.out("get", "--raw", GROUP))["preferredVersion"]["version"], "v1", "and prefers v1")
    checks.contains(control.out("explain", "podmetrics.containers.usage"), "working set", "kubectl explain")
    checks.equal(control.out("get", "pods", "-o", "name"), "", "pods and nodes are still the core group's")


def of_a_scripted_node(checks, control):
    of_documents(checks, control)
    checks.contains(control.kubectl("top", "node").stderr, "metrics not available yet", "there is nothing before there are nodes")
    folder = control.folder / "n1"
    folder.mkdir()
    certificate, key = make_certificate(control.data / "pki", folder, subject=subject_of("n1"))
    usage = Usage(cores=2.0, memory=1 << 30)
    for pod, container, cores, memory in (("web", "a", 0.25, 64 << 20), ("web", "b", 0.5, 32 << 20), ("idle", "main", 0.0, 1 << 20),
                                          ("elsewhere", "a", 1, 1 << 20), ("no-object", "a", 1, 1 << 20)):
        usage.put(pod, container, cores, memory)
    usage.put("web", "a", 1.0, 1 << 20, namespace="other")
    with Kubelet(certificate, key, control.data / "pki/ca.crt") as kubelet:
        kubelet.usage = usage
        make_node(control, "n1", kubelet.port)
        # Neither answers: one has no address, behind the other's is another node.
        make_node(control, "silent")
        make_node(control, "other", kubelet.port)
        make_pod(control, "web", ("a", "b"))
        make_pod(control, "idle", ("main",))
        control.out("create", "namespace", "other")
        make_pod(control, "web", ("a",), namespace="other")
        make_pod(control, "unmeasured", ("a",))
        make_pod(control, "elsewhere", ("a",), node="silent")
        c.wait_until("kubectl top knows the pods", lambda: len(rows(control.kubectl("top", "pod", "-A").stdout)) == 3)
        checks.equal({(one["path"], one["user"]) for one in kubelet.seen}, {("/metrics/resource", "kube-apiserver-kubelet-client")},
                     "the node is asked for one page, by the API server's own certificate")
        nodes = {words[0]: words[1:] for words in rows(control.out("top", "node"))}
        checks.ok(near(nodes["n1"][0], 2000) and nodes["n1"][2:] == ["1024Mi", "25%"], "top node: CPU and memory of what there is",
                  nodes["n1"])
        checks.equal([nodes[name] for name in ("silent", "other")], [["<unknown>"] * 4] * 2,
                     "a node that does not answer, or is another, has none")
        by_cpu = rows(control.out("top", "pod", "--sort-by=cpu"))
        checks.equal([words[0] for words in by_cpu], ["web", "idle"], "top pod --sort-by=cpu")
        checks.ok(near(by_cpu[0][1], 750) and by_cpu[0][2] == "96Mi", "a pod is the sum of its containers", by_cpu[0])
        containers = {tuple(words[:3]): words[3:] for words in rows(control.out("top", "pod", "-A", "--containers", "--sort-by=memory"))}
        checks.equal(set(containers), {("default", "web", "a"), ("default", "web", "b"), ("default", "idle", "main"),
                                       ("other", "web", "a")}, "top pod -A --containers")
        checks.ok(near(containers["default", "web", "a"][0], 250), "and each has its own", containers)
        checks.equal([words[0] for words in rows(control.out("top", "pod", "-l", "app=idle"))], ["idle"], "a label selects")
        checks.equal([words[0] for words in rows(control.out("top", "pod", "-A", "--field-selector", "metadata.namespace=other"))],
                     ["other"], "a field selects")
        checks.contains(control.kubectl("top", "pod", "unmeasured").stderr, 'podmetrics.metrics.k8s.io "default/unmeasured" not found',
                        "a pod without is named as upstream does")
        of_forms(checks, control)
        of_rights(checks, control)
        kubelet.usage = None
        c.wait_until("a node that does not answer any more has none",
                     lambda: rows(control.kubectl("top", "node", "n1").stdout) == [])
        checks.equal(json.loads(control.out("get", "--raw", f"{GROUP}/v1/pods"))["items"], [], "and neither have its pods")
        kubelet.usage = usage
        c.wait_until("until it answers again", lambda: len(rows(control.kubectl("top", "pod", "-A").stdout)) == 3)
        control.out("delete", "node", "n1")
        c.wait_until("a node that is gone has none", lambda: json.loads(
            control.out("get", "--raw", f"{GROUP}/v1beta1/nodes"))["items"] == [])


def of_forms(checks, control):
    for version in ("v1", "v1beta1"):
        found = json.loads(control.out("get", "--raw", f"{GROUP}/{version}/namespaces/default/pods/web"))
        checks.equal((found["kind"], found["apiVersion"], found["metadata"]["labels"], [one["name"] for one in found["containers"]]),
                     ("PodMetrics", f"metrics.k8s.io/{version}", {"app": "web"}, ["a", "b"]), f"PodMetrics of {version}")
        checks.ok(found["window"].endswith("s") and found["timestamp"].endswith("Z") and found["containers"][0]["usage"]["memory"] == "64Mi",
                  "with when and how long that was", found)
        found = json.loads(control.out("get", "--raw", f"{GROUP}/{version}/nodes?labelSelector=which%3Dn1"))
        checks.equal((found["kind"], [one["metadata"]["name"] for one in found["items"]], found["metadata"]),
                     ("NodeMetricsList", ["n1"], {}), f"NodeMetricsList of {version}")
    table = control.out("get", "podmetrics", "-A").splitlines()
    checks.equal((table[0].split(), len(table)), (["NAMESPACE", "NAME", "CPU", "MEMORY", "WINDOW"], 4), "kubectl get podmetrics")
    checks.equal(control.out("get", "nodes.metrics.k8s.io", "n1").splitlines()[0].split(), ["NAME", "CPU", "MEMORY", "WINDOW"],
                 "kubectl get nodes.metrics.k8s.io NAME")
    refused = control.kubectl("get", "podmetrics", "--watch")
    checks.ok(refused.returncode != 0 and "the server does not allow this method" in refused.stderr, "nobody watches them", refused.stderr)
    checks.ok(control.kubectl("delete", "podmetrics", "web").returncode != 0, "nor deletes them")


def of_rights(checks, control):
    control.out("create", "serviceaccount", "viewer")
    user = "--as=system:serviceaccount:default:viewer"
    checks.contains(control.kubectl("top", "pod", user).stderr, 'cannot list resource "pods" in API group "metrics.k8s.io"',
                    "who has no right is refused")
    control.out("create", "rolebinding", "viewer", "--clusterrole=view", "--serviceaccount=default:viewer")
    c.wait_until("who may view may see what is used", lambda: control.kubectl("top", "pod", user).returncode == 0)
    checks.ok(control.kubectl("top", "pod", "-A", user).returncode != 0, "in that namespace alone")


POD = f"""
apiVersion: v1
kind: Pod
metadata: {{name: busy}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  containers:
  - name: busy
    image: {IMAGE}
    command: [/bin/sh, -c, "trap 'exit 0' TERM; while :; do :; done"]
  - name: idle
    image: {IMAGE}
    command: [/bin/sh, -c, "{SLEEPS}"]
"""


def of_a_real_node(checks):
    with ready_node(checks) as (node, control):
        node.approve_serving(control)
        control.out("create", "-f", "-", given=POD)
        control.wait_for("busy", "is Ready", READY, "True")
        c.wait_until("kubectl top knows the node", lambda: rows(control.kubectl("top", "node", node.name).stdout), limit=300)
        c.wait_until("and its pods", lambda: rows(control.kubectl("top", "pod", "busy").stdout), limit=300)
        words = rows(control.out("top", "node"))[0]
        checks.ok(words[0] == node.name and int(words[1].removesuffix("m")) > 0 and words[3] != "0Mi", "a real node's use is known", words)
        containers = {words[1]: words for words in rows(control.out("top", "pod", "busy", "--containers"))}
        checks.equal(set(containers), {"busy", "idle"}, "and that of its containers")

        def busy():
            of = {words[1]: int(words[2].removesuffix("m")) for words in rows(control.kubectl("top", "pod", "busy", "--containers").stdout)}
            return of.get("busy", 0) > 2 * of.get("idle", 0) and of["busy"] > 0
        c.wait_until("who is busy uses more than who is not", busy, limit=300)


def story(checks):
    with Control(checks, FAST) as control:
        of_a_scripted_node(checks, control)
    of_a_real_node(checks)


c.main(story)
