#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: kube-apiserver kube-scheduler
# limit: 3600
# long
"""The same pods to gantry-control's scheduler and to upstream's kube-scheduler over upstream's kube-apiserver, on generated clusters
of nodes that are objects only (--rounds, --first: the seed of the first of them): who gets a node, and what those are told who get
none, to the letter. For pods that are more important than others: how many leave, and how important these are. Where nodes are equally
good either may be taken."""
import argparse
import pathlib
import random
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from hollow_nodes import HollowNodes
from upstream import Upstream, api_of, upstream_scheduler

PROBES = 8
CLASSES = 12  # of priorities 1, 2, ...: p1, p2, ...
ZONES = ("a", "b", "c")


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--first", type=int, default=1)
    return parser.parse_args()


class Side:
    """One control plane and its scheduler."""

    def __init__(self, control, nodes):
        self.control, self.nodes = control, nodes
        self.api = control.api if isinstance(control, Upstream) else api_of(control)

    def ask(self, method, path, body=None, expected=(200, 201)):
        status, _, answer = self.api.ask(method, path, body)
        if status not in expected:
            raise c.Failure(f"{method} {path}: {status} {answer}")
        return answer

    def pod(self, ns, name):
        return self.ask("GET", f"/api/v1/namespaces/{ns}/pods/{name}")

    def placed(self, ns, name):
        """("", node) or (the sentence, "")."""
        def look():
            pod = self.pod(ns, name)
            if pod["spec"].get("nodeName"):
                return "", pod["spec"]["nodeName"]
            said = next((each for each in pod.get("status", {}).get("conditions", []) if each["type"] == "PodScheduled"), {})
            return said.get("reason") == "Unschedulable" and (said["message"], "")
        return c.wait_until(f"{name} has a node or is told why not", look)

    def remove(self, ns, name):
        self.ask("DELETE", f"/api/v1/namespaces/{ns}/pods/{name}?gracePeriodSeconds=0")

    def probe(self, ns, pod):
        self.ask("POST", f"/api/v1/namespaces/{ns}/pods", pod)
        told = self.placed(ns, pod["metadata"]["name"])
        self.remove(ns, pod["metadata"]["name"])
        return told


def make_nodes(chance, prefix):
    nodes = []
    for i in range(chance.randint(3, 7)):
        name = f"{prefix}-{i}"
        labels = {"kubernetes.io/hostname": name, "disk": chance.choice(("ssd", "hdd"))}
        if chance.random() < 0.85:
            labels["zone"] = chance.choice(ZONES)
        room = {"cpu": chance.choice(("1", "2", "4")), "memory": chance.choice(("2Gi", "4Gi")), "ephemeral-storage": "10Gi",
                "pods": str(chance.choice((3, 5, 10)))}
        if chance.random() < 0.3:
            room["example.com/gpu"] = "2"
        taints = []
        if chance.random() < 0.25:
            taints.append({"key": "dedicated", "value": chance.choice(("db", "web")),
                           "effect": chance.choice(("NoSchedule", "PreferNoSchedule"))})
        cordoned = chance.random() < 0.15
        if cordoned:  # as a controller would have it
            taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
        nodes.append({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
                      "spec": {"unschedulable": cordoned, "taints": taints},
                      "status": {"capacity": room, "allocatable": room,
                                 "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}})
    return nodes


def selector(chance):
    return chance.choice(({"matchLabels": {"app": chance.choice("xy")}}, {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
                          {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]}))


def make_affinity(chance, names):
    affinity = {}
    if chance.random() < 0.35:
        terms = []
        for _ in range(chance.randint(1, 2)):
            expressions = [{"key": "zone", "operator": chance.choice(("In", "NotIn")), "values": [chance.choice(ZONES)]}]
            if chance.random() < 0.3:
                expressions = [{"key": "disk", "operator": chance.choice(("Exists", "DoesNotExist"))}]
            term = {"matchExpressions": expressions}
            if chance.random() < 0.3:
                term["matchFields"] = [{"key": "metadata.name", "operator": chance.choice(("In", "In", "NotIn")),
                                        "values": [chance.choice([*names, "nowhere"])]}]
            terms.append(term)
        affinity["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    for kind, share in (("podAffinity", 0.15), ("podAntiAffinity", 0.25)):
        if chance.random() < share:
            affinity[kind] = {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"labelSelector": selector(chance), "topologyKey": chance.choice(("zone", "kubernetes.io/hostname"))}]}
    return affinity


def make_pod(chance, name, names, priority, alone=True):
    requests = {"cpu": chance.choice(("100m", "500m", "1", "1500m", "3")), "memory": chance.choice(("128Mi", "1Gi", "3Gi"))}
    if chance.random() < 0.2:
        requests = {}
    limits = {}
    if chance.random() < 0.15:
        requests["example.com/gpu"] = limits["example.com/gpu"] = str(chance.randint(1, 3))
    container = {"name": "c", "image": "i", "resources": {"requests": requests, "limits": limits}}
    if chance.random() < 0.25:
        container["ports"] = [{"containerPort": 80, "hostPort": chance.choice((8080, 8081)), "protocol": chance.choice(("TCP", "UDP")),
                               **({"hostIP": "10.0.0.1"} if chance.random() < 0.3 else {})}]
    spec = {"containers": [container], "priorityClassName": priority, "affinity": make_affinity(chance, names)}
    if chance.random() < 0.2:
        spec["initContainers"] = [{"name": "s", "image": "i", **({"restartPolicy": "Always"} if chance.random() < 0.5 else {}),
                                   "resources": {"requests": {"cpu": chance.choice(("500m", "2"))}}}]
    if chance.random() < 0.2:
        spec["nodeSelector"] = {"disk": chance.choice(("ssd", "hdd", "tape"))}
    if chance.random() < 0.4:
        spec["tolerations"] = [chance.choice(({"operator": "Exists"}, {"key": "dedicated", "operator": "Equal", "value": "db"},
                                              {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}))]
    if alone and chance.random() < 0.35:
        spec["topologySpreadConstraints"] = [
            {"maxSkew": chance.randint(1, 2), "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector(chance),
             **({"minDomains": chance.randint(1, 4)} if chance.random() < 0.3 else {}),
             **({"nodeTaintsPolicy": "Honor"} if chance.random() < 0.3 else {}),
             **({"nodeAffinityPolicy": "Ignore"} if chance.random() < 0.3 else {})}
            for key in chance.sample(("zone", "kubernetes.io/hostname"), chance.randint(1, 2))]
    labels = {"app": chance.choice("xy")} if chance.random() < 0.8 else {}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


class Round:
    """One cluster, which both sides get."""

    def __init__(self, sides, seed):
        self.sides, self.seed, self.ns = sides, seed, f"r{seed}"
        chance = random.Random(seed)
        self.nodes = make_nodes(chance, self.ns)
        self.names = [node["metadata"]["name"] for node in self.nodes]
        self.bound = []
        for node in self.names:
            ports = set()  # upstream forgets a port that two pods have when one of them goes
            for i, priority in enumerate(chance.sample(range(1, CLASSES + 1), chance.randint(0, 4))):
                pod = make_pod(chance, f"on-{node}-{i}", self.names, f"p{priority}", alone=False)
                pod["spec"]["nodeName"] = node
                container = pod["spec"]["containers"][0]
                for port in container.get("ports", []):
                    if (port["hostPort"], port["protocol"]) in ports:
                        del container["ports"]
                    else:
                        ports.add((port["hostPort"], port["protocol"]))
                self.bound.append(pod)
        self.probes = [make_pod(chance, f"probe-{i}", self.names, "least") for i in range(PROBES)]
        # One more important than all, and one than some.
        self.preemptors = [make_pod(chance, f"above-{i}", self.names, priority) for i, priority in
                           enumerate(("p100", f"p{chance.randint(2, CLASSES)}"))]

    def __enter__(self):
        for side in self.sides:
            side.ask("POST", "/api/v1/namespaces", {"metadata": {"name": self.ns}})
            for node in self.nodes:
                side.ask("POST", "/api/v1/nodes", node)
                side.nodes.names.append(node["metadata"]["name"])
            side.nodes.renew()
        for side in self.sides:
            if isinstance(side.control, Control):
                side.control.wait_for_namespace(self.ns)
            self.fill(side)
            # Nodes are seen in one order: who goes to the last one knows them all, and that those of the last round are gone.
            self.settle(side)
        return self

    def fill(self, side):
        for pod in self.bound:
            side.ask("POST", f"/api/v1/namespaces/{self.ns}/pods", pod)

    def settle(self, side):
        last = {"metadata": {"name": "z-last", "labels": {"kubernetes.io/hostname": "z-last"}},
                "status": {"capacity": {"pods": "1"}, "allocatable": {"pods": "1"}, "conditions": [{"type": "Ready", "status": "True"}]}}
        side.ask("POST", "/api/v1/nodes", last)
        pod = {"metadata": {"name": "last"}, "spec": {"tolerations": [{"operator": "Exists"}], "containers": [{"name": "c", "image": "i"}],
                                                      "nodeSelector": {"kubernetes.io/hostname": "z-last"}}}
        side.ask("POST", f"/api/v1/namespaces/{self.ns}/pods", pod)
        c.wait_until("the scheduler knows the nodes", lambda: side.pod(self.ns, "last")["spec"].get("nodeName"))
        side.remove(self.ns, "last")

    def __exit__(self, *_):
        for side in self.sides:
            side.ask("DELETE", f"/api/v1/namespaces/{self.ns}/pods?gracePeriodSeconds=0")
            for name in [*self.names, "z-last"]:
                side.ask("DELETE", f"/api/v1/nodes/{name}")
            side.nodes.names.clear()

    def compare(self, checks):
        for pod in self.probes:
            name = pod["metadata"]["name"]
            ours, theirs = (side.probe(self.ns, pod) for side in self.sides)
            checks.equal((ours[0], bool(ours[1])), (theirs[0], bool(theirs[1])), f"round {self.seed}: {name}") or c.log(pod)

    def victims(self, side, pod):
        """What is told, without the node's name, and of the pods that leave the highest priority, the sum and the number."""
        name = pod["metadata"]["name"]
        side.ask("POST", f"/api/v1/namespaces/{self.ns}/pods", pod)
        told, node = side.placed(self.ns, name)
        found = re.search(r"on node \S+, preempting (\d+) victims", told)

        def leaving():
            pods = side.ask("GET", f"/api/v1/namespaces/{self.ns}/pods")["items"]
            priorities = [each["spec"]["priority"] for each in pods if each["metadata"].get("deletionTimestamp")]
            return len(priorities) == int(found[1]) and priorities
        priorities = c.wait_until(f"{found[1]} pods leave for {name}", leaving) if found else []
        return re.sub(r"on node \S+,", "on a node,", told), bool(node), max(priorities, default=0), sum(priorities), len(priorities)

    def compare_preemption(self, checks):
        for i, pod in enumerate(self.preemptors):
            seen = []
            for side in self.sides:
                if i > 0:  # as it was
                    side.ask("DELETE", f"/api/v1/namespaces/{self.ns}/pods?gracePeriodSeconds=0")
                    c.wait_until("they are gone", lambda: not side.ask("GET", f"/api/v1/namespaces/{self.ns}/pods")["items"])
                    self.fill(side)
                seen.append(self.victims(side, pod))
            checks.equal(seen[0], seen[1], f"round {self.seed}: {pod['metadata']['name']}") or c.log(pod)


def priorities(side):
    classes = [("least", -100), ("p100", 100), *((f"p{i}", i) for i in range(1, CLASSES + 1))]
    for name, value in classes:
        side.ask("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": name}, "value": value})


def story(checks):
    asked = options()
    # There are no controllers: service accounts would be missing, and nobody would take the first taint of a node away.
    with Control(checks) as ours, Upstream(checks, ["--disable-admission-plugins", "ServiceAccount,TaintNodesByCondition"]) as theirs, \
            upstream_scheduler(checks, theirs, "--leader-elect=false"), \
            HollowNodes(ours) as our_nodes, HollowNodes(theirs) as their_nodes:
        sides = Side(ours, our_nodes), Side(theirs, their_nodes)
        for side in sides:
            priorities(side)
        for seed in range(asked.first, asked.first + asked.rounds):
            with Round(sides, seed) as one:
                one.compare(checks)
                one.compare_preemption(checks)


c.main(story)
