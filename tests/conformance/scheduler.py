#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 1800
"""Which node a pod gets, and what it is told when it gets none, by kubectl alone: each rule with upstream's sentence, over nodes that are
objects only; pods that wait until something changes; pods that leave for more important ones; and gantry-control killed while it does
these things."""
import json
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from hollow_nodes import HollowNodes

NO_NODES = "no nodes available to schedule pods"
HELP = " preemption: "


def pod(name, requests=None, labels=None, ports=None, **spec):
    limits = {each: amount for each, amount in (requests or {}).items() if "/" in each}
    container = {"name": "main", "image": "my-app:1.0", "resources": {"requests": requests or {}, "limits": limits}, "ports": ports or []}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}},
            "spec": {"containers": [container], **spec}}


class Story:
    def __init__(self, checks, control):
        self.checks, self.control, self.settled = checks, control, 0

    def settle(self):
        """Until what was done to nodes is known to the controllers and the scheduler: they see nodes in one order each. One of the
        controllers copies this label, and a pod that asks for it gets its node."""
        self.settled += 1
        mark = f"t{self.settled}"
        self.control.out("label", "node", "n1", f"kubernetes.io/arch={mark}", "--overwrite")
        c.wait_until("the controllers know the nodes", lambda: self.control.json("get", "node", "n1")["metadata"]["labels"].get(
            "beta.kubernetes.io/arch") == mark)
        name = self.make(pod(f"settled-{mark}", nodeSelector={"kubernetes.io/arch": mark}, tolerations=[{"operator": "Exists"}]))
        c.wait_until("the scheduler knows the nodes", lambda: self.node_of(name))
        self.remove(name)

    def uncordoned(self, node):
        """Until the taint that a cordoned node has is gone, too, and that is known."""
        c.wait_until(f"{node} has no taint", lambda: not self.control.json("get", "node", node)["spec"].get("taints"))
        self.settle()

    def make(self, wanted):
        self.control.out("create", "-f", "-", given=json.dumps(wanted))
        return wanted["metadata"]["name"]

    def condition(self, name):
        conditions = self.control.json("get", "pod", name)["status"].get("conditions", [])
        return next((each for each in conditions if each["type"] == "PodScheduled"), {})

    def node_of(self, name):
        return self.control.json("get", "pod", name)["spec"].get("nodeName", "")

    def events(self, name, reason):
        found = self.control.json("get", "events", "--field-selector", f"involvedObject.name={name},reason={reason}")["items"]
        return [(each["type"], each["message"], each["source"]["component"]) for each in found]

    def placed(self, wanted, nodes, what):
        """It gets one of `nodes`."""
        name = self.make(wanted)
        node = c.wait_until(f"{name} has a node", lambda: self.node_of(name))
        self.checks.ok(node in nodes, what, f"{node}: expected {nodes}")
        return node

    def refused(self, wanted, sentence, what, stays=False):
        """It gets no node, and is told this."""
        name = self.make(wanted)
        self.told(name, sentence, what)
        if not stays:
            self.remove(name)

    def told(self, name, sentence, what):
        """With a sentence on preemption, that is all; without one, any may follow."""
        def is_it(message):
            return message == sentence or sentence != NO_NODES and HELP not in sentence and message.startswith(sentence + HELP)
        condition = c.wait_until(f"{name} is told {sentence!r}", lambda: (it := self.condition(name)) and is_it(it.get("message", "")) and it)
        said = ("Warning", condition["message"], "default-scheduler")
        c.wait_until(f"{name} has an event", lambda: said in self.events(name, "FailedScheduling"))
        self.checks.equal((condition["status"], condition["reason"], self.node_of(name)), ("False", "Unschedulable", ""), what)

    def remove(self, *names):
        self.control.out("delete", "pod", *names, "--force", "--grace-period=0")

    def clear(self):
        self.control.out("delete", "pods", "--all", "--force", "--grace-period=0")


def resources(story, nodes):
    story.refused(pod("early"), NO_NODES, "without nodes", stays=True)
    nodes.add("n1", {"zone": "a", "disk": "ssd"})
    c.wait_until("the first node is taken", lambda: story.node_of("early") == "n1")
    said = ("Normal", "Successfully assigned default/early to n1", "default-scheduler")
    c.wait_until("that is told", lambda: story.events("early", "Scheduled") == [said])
    story.checks.equal(story.condition("early")["status"], "True", "a node that comes is taken, and that is told")
    nodes.add("n2", {"zone": "a", "disk": "hdd"})
    nodes.add("n3", {"zone": "b", "disk": "hdd"}, {"cpu": "1"})
    story.settle()
    story.refused(pod("large", {"cpu": "3"}), "0/3 nodes are available: 3 Insufficient cpu.", "cpu")
    story.refused(pod("larger", {"memory": "5Gi", "cpu": "1500m"}),
                  "0/3 nodes are available: 1 Insufficient cpu, 3 Insufficient memory.", "cpu and memory")
    story.refused(pod("gpu", {"example.com/gpu": "1"}), "0/3 nodes are available: 3 Insufficient example.com/gpu.",
                  "a resource that no node has")
    story.placed(pod("two", {"cpu": "2"}), ["n1", "n2"], "a pod goes where there is room for it")
    story.placed(pod("second", {"cpu": "1900m"}), ["n1", "n2"], "and the next one to the other node")
    sidecar = {"name": "s", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": "700m"}}}
    story.refused(pod("sidecar", {"cpu": "400m"}, initContainers=[sidecar]),
                  "0/3 nodes are available: 3 Insufficient cpu.", "sidecars count beside containers")
    story.clear()


def selection(story):
    story.placed(pod("ssd", nodeSelector={"disk": "ssd"}), ["n1"], "nodeSelector")
    story.refused(pod("tape", nodeSelector={"disk": "tape"}),
                  "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.", "a selector that no node meets", stays=True)
    story.control.out("label", "node", "n2", "disk=tape", "--overwrite")
    c.wait_until("tape has a node", lambda: story.node_of("tape") == "n2")
    story.checks.ok(True, "a label that comes is enough")

    def affinity(**terms):
        return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [terms]}}}
    story.placed(pod("b", affinity=affinity(matchExpressions=[{"key": "zone", "operator": "NotIn", "values": ["a"]}])), ["n3"], "node affinity")
    story.placed(pod("named", affinity=affinity(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["n2"]}])), ["n2"],
                 "affinity by name, as of daemon sets")
    story.refused(pod("missing", affinity=affinity(matchFields=[{"key": "metadata.name", "operator": "In", "values": ["n9"]}])),
                  "0/3 nodes are available: 3 node(s) didn't satisfy plugin(s) [NodeAffinity].", "and by the name of none")
    prefers = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 100, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}}]}}
    story.placed(pod("prefers", affinity=prefers), ["n3"], "a preference counts")
    story.clear()


def taints(story):
    story.control.out("taint", "node", "n1", "n2", "dedicated=db:NoSchedule")
    story.control.out("cordon", "n3")
    story.settle()
    tolerant = {"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}
    story.placed(pod("db", tolerations=[tolerant]), ["n1", "n2"], "a taint that is tolerated")
    # The cordoned node has a taint of that name, too, as soon as the controllers have seen it; the first reason counts.
    story.refused(pod("web"), "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) had untolerated taint(s).",
                  "taints, and a node that was cordoned", stays=True)
    story.control.out("uncordon", "n3")
    c.wait_until("web has a node", lambda: story.node_of("web") == "n3")
    story.checks.ok(True, "an uncordoned node is taken")
    story.control.out("taint", "node", "n1", "n2", "dedicated-")
    story.settle()
    story.clear()


def ports(story):
    def listens(name, **port):
        return pod(name, ports=[{"containerPort": 80, "hostPort": 8080, **port}], nodeSelector={"zone": "b"})
    story.placed(listens("first", hostIP="127.0.0.1"), ["n3"], "a port of the host's")
    refusal = ("0/3 nodes are available: 1 node(s) didn't have free ports for the requested pod ports, "
               "2 node(s) didn't match Pod's node affinity/selector.")
    story.refused(listens("any"), refusal, "is there once", stays=True)
    story.placed(listens("other", hostIP="127.0.0.2"), ["n3"], "but for each address")
    story.placed(listens("udp", protocol="UDP"), ["n3"], "and protocol")
    story.remove("first", "other")
    c.wait_until("any has a node", lambda: story.node_of("any") == "n3")
    story.checks.ok(True, "and again when it is free")
    story.clear()


def neighbours(story):
    def near(kind, key="zone", **more):
        return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": key, **more}]}}
    story.refused(pod("cache", affinity=near("podAffinity")),
                  "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.", "nobody to be near to", stays=True)
    story.placed(pod("web", labels={"app": "web"}, nodeSelector={"zone": "b"}), ["n3"], "somebody comes")
    c.wait_until("cache has a node", lambda: story.node_of("cache") == "n3")
    story.checks.ok(True, "and has company")
    story.placed(pod("far", affinity=near("podAntiAffinity")), ["n1", "n2"], "anti-affinity")
    story.refused(pod("alone", labels={"app": "web"}, nodeSelector={"zone": "a"}),
                  "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
                  "2 node(s) didn't satisfy existing pods anti-affinity rules.", "and that of others", stays=True)
    story.remove("far")
    c.wait_until("alone has a node", lambda: story.node_of("alone") in ("n1", "n2"))
    story.checks.ok(True, "until they are gone")
    story.refused(pod("nowhere", affinity=near("podAntiAffinity")),
                  "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.", "in every zone somebody")
    story.clear()


def spreading(story):
    def spread(name, **more):
        return pod(name, labels={"app": "spread"}, topologySpreadConstraints=[
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "spread"}}}],
            **more)
    zones = {"n1": "a", "n2": "a", "n3": "b"}
    first = zones[story.placed(spread("s1"), zones, "the first may go anywhere")]
    second = zones[story.placed(spread("s2"), zones, "the second has a node")]
    story.checks.equal({first, second}, {"a", "b"}, "in the other zone")
    story.placed(spread("s3", nodeSelector={"zone": "a"}), ["n1", "n2"], "nodes that a pod does not select don't count")
    story.placed(spread("s4", nodeSelector={"zone": "a"}), ["n1", "n2"], "for any number of them")
    story.control.out("cordon", "n3")
    story.settle()
    story.refused(spread("s5"), "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match pod topology spread constraints.",
                  "no zone gets too many more")
    story.control.out("uncordon", "n3")
    story.control.out("label", "node", "n1", "n2", "n3", "zone-")
    story.uncordoned("n3")
    story.refused(spread("s6"), "0/3 nodes are available: 3 node(s) didn't match pod topology spread constraints (missing required label).",
                  "nodes in no zone at all")
    for name, zone in zones.items():
        story.control.out("label", "node", name, f"zone={zone}")
    story.settle()
    story.clear()


def groups(story):
    """Of n1 and n2 the first has more left, and a pod of the service's already."""
    def web(name):
        return pod(name, labels={"app": "grouped"}, nodeSelector={"zone": "a"})

    def next_node():
        name = story.make(web("probe"))
        node = c.wait_until("probe has a node", lambda: story.node_of(name))
        story.remove("probe")
        return node
    story.placed(pod("large", {"cpu": "1"}, nodeSelector={"kubernetes.io/hostname": "n2"}), ["n2"], "a large pod")
    story.placed(pod("web", labels={"app": "grouped"}, nodeSelector={"kubernetes.io/hostname": "n1"}), ["n1"], "a small one")
    story.checks.equal(next_node(), "n1", "the next goes where more is left")
    story.control.out("create", "service", "clusterip", "grouped", "--tcp=80")
    c.wait_until("the next goes where there is none yet", lambda: next_node() == "n2", limit=2 * c.PATIENCE)
    story.checks.ok(True, "if they are of a service, where there is none of it yet")
    story.control.out("delete", "service", "grouped")
    story.clear()


def volumes(story):
    """Local volumes, whose claims wait for a pod: it goes where there is one, and each gets its own."""
    def volume(name, node):
        return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
                "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
                         "local": {"path": f"/mnt/{name}"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [
                             {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}}}

    def claim(name):
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
                "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "local", "resources": {"requests": {"storage": "1Gi"}}}}

    def uses(name):
        return pod(name, volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": name}}])
    story.make({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "local"},
                "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"})
    # A claim that comes late is told of by another watch than the pod.
    name = story.make(uses("data1"))
    story.told(name, '0/3 nodes are available: persistentvolumeclaim "data1" not found.', "a claim that is not there")
    story.make(claim("data1"))
    story.told(name, "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind.", "no volume for it")
    story.make(volume("v2", "n2"))
    c.wait_until("data1 has a node", lambda: story.node_of(name) == "n2")
    story.checks.equal(story.control.json("get", "pvc", "data1")["spec"]["volumeName"], "v2", "the pod goes where the volume is, which is the claim's")
    story.make(volume("v3", "n3"))
    story.make(claim("data2"))
    c.wait_until("the claim waits", lambda: story.control.json("get", "pvc", "data2").get("status", {}).get("phase") == "Pending")
    story.make(uses("data2"))
    c.wait_until("data2 has a node", lambda: story.node_of("data2") == "n3")
    story.checks.equal(story.control.json("get", "pvc", "data2")["spec"]["volumeName"], "v3", "and the next one the next")
    story.clear()


def preemption(story):
    """n1 and n2 have room for one pod of 2 CPUs each, n3 for one of 1 CPU."""
    def on(node, name, cpu, **more):
        return pod(name, {"cpu": cpu}, nodeSelector={"kubernetes.io/hostname": node}, **more)

    def nominated(name):
        return story.control.json("get", "pod", name)["status"].get("nominatedNodeName", "")

    def leaves(name):
        """Until the pod is on its way, with a grace of its own: what is said of that."""
        found = c.wait_until(f"{name} leaves", lambda: (it := story.control.json("get", "pod", name)) and
                             it["metadata"].get("deletionTimestamp") and it)
        return next((each for each in found["status"]["conditions"] if each["type"] == "DisruptionTarget"), {})
    for name, value, more in (("high", 1000, {}), ("higher", 2000, {}), ("polite", 1000, {"preemptionPolicy": "Never"})):
        story.make({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value, **more})
    story.make({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "kept"},
                "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "kept"}}}})
    story.placed(on("n1", "kept", "2", labels={"app": "kept"}), ["n1"], "a pod that a budget keeps")
    # It is more important, and leaves all the same.
    story.make({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "some"}, "value": 10})
    story.placed(on("n2", "free", "2", priorityClassName="some"), ["n2"], "and one that none keeps")
    story.placed(on("n3", "small", "1"), ["n3"], "and a small one")
    story.settle()
    full = "0/3 nodes are available: 3 Insufficient cpu."
    story.refused(pod("polite", {"cpu": "2"}, priorityClassName="polite"),
                  f"{full}{HELP}not eligible due to preemptionPolicy=Never.", "who makes nobody leave")
    story.refused(pod("low", {"cpu": "1"}, priorityClassName="some", nodeSelector={"kubernetes.io/hostname": "n2"}),
                  "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector."
                  f"{HELP}0/3 nodes are available: 1 No preemption victims found for incoming pod, "
                  "2 Preemption is not helpful for scheduling.", "who is no more important than others")
    story.refused(pod("large", {"cpu": "3"}, priorityClassName="high"),
                  f"{full}{HELP}0/3 nodes are available: 3 Preemption is not helpful for scheduling.", "who would fit nowhere")
    story.refused(pod("high", {"cpu": "2"}, priorityClassName="high"),
                  f"{full}{HELP}found a potential placement for pod on node n2, preempting 1 victims", "who is helped", stays=True)
    told = leaves("free")
    story.checks.equal((nominated("high"), told["status"], told["reason"], told["message"]),
                       ("n2", "True", "PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod"),
                       "has a node, which a pod leaves that no budget keeps")
    said = ("Normal", f"Preempted by pod {story.control.json('get', 'pod', 'high')['metadata']['uid']} on node n2", "default-scheduler")
    c.wait_until("that is told", lambda: said in story.events("free", "Preempted"))
    story.refused(pod("next", {"cpu": "1"}, priorityClassName="some", nodeSelector={"kubernetes.io/hostname": "n2"}),
                  "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector.",
                  "who is less important does not get its place", stays=True)
    story.remove("free")
    c.wait_until("high has a node", lambda: story.node_of("high"))
    story.checks.equal((story.node_of("high"), nominated("high"), story.node_of("next")), ("n2", "", ""), "which it gets when that is gone")
    # Only the pod that a budget keeps is left, and what was begun there is gone on with.
    story.remove("next")
    story.make(pod("other", {"cpu": "2"}, priorityClassName="high"))
    c.wait_until("other has a nomination", lambda: nominated("other"))
    story.control.kill()
    story.control.start()
    leaves("kept")
    story.checks.equal((nominated("other"), story.node_of("high"), story.node_of("small")), ("n1", "n2", "n3"), "and it alone when nothing else helps")
    story.make(pod("higher", {"cpu": "2"}, priorityClassName="higher", nodeSelector={"kubernetes.io/hostname": "n1"}))
    c.wait_until("who is more important gets the place", lambda: (nominated("higher"), nominated("other")) == ("n1", ""))
    story.remove("kept")
    c.wait_until("higher has a node", lambda: story.node_of("higher") == "n1")
    story.checks.equal(story.node_of("other"), "", "and who has lost it waits")
    story.clear()


def others(story):
    story.make(pod("gated", schedulingGates=[{"name": "example.com/wait"}]))
    story.make(pod("foreign", schedulerName="another"))
    story.placed(pod("ours"), ["n1", "n2", "n3"], "who comes later is served")
    story.checks.equal((story.node_of("gated"), story.condition("gated").get("reason")), ("", "SchedulingGated"), "who has a gate is not")
    story.checks.equal((story.node_of("foreign"), story.condition("foreign")), ("", {}), "and nothing is said of another scheduler's")
    story.control.out("patch", "pod", "gated", "--type=json", "-p", '[{"op": "remove", "path": "/spec/schedulingGates"}]')
    c.wait_until("gated has a node", lambda: story.node_of("gated"))
    story.checks.ok(True, "until the gate is gone")
    story.clear()


def killed(story):
    """Pods that come while gantry-control is killed: each gets one node, and no node too many."""
    made = [pod(f"p{i}", {"cpu": "100m"}) for i in range(60)]
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    creation = threading.Thread(target=lambda: story.control.kubectl("create", "-f", "-", given=document, limit=10 * c.PATIENCE),
                                daemon=True)
    creation.start()

    def bound():
        done = story.control.kubectl("get", "pods", "-o", "json")
        items = json.loads(done.stdout)["items"] if done.returncode == 0 else []
        return {each["metadata"]["uid"]: each["spec"]["nodeName"] for each in items if each["spec"].get("nodeName")}
    before = c.wait_until("some have a node", bound)
    story.control.kill()
    creation.join(10 * c.PATIENCE)
    story.control.start()
    story.control.kubectl("create", "-f", "-", given=document, limit=10 * c.PATIENCE)  # those that are there already are refused
    names = {each["metadata"]["name"] for each in story.control.json("get", "pods")["items"]}
    story.checks.equal(len(names), 60, "all pods are there")
    # 50 fit: 20 on each of two nodes, 10 on the third.
    after = c.wait_until("as many as fit have a node", lambda: (found := bound()) and len(found) >= 50 and found, limit=5 * c.PATIENCE)
    c.wait_until("the others are told why", lambda: sum(
        "Insufficient cpu" in next((each.get("message", "") for each in item["status"].get("conditions", [])), "")
        for item in story.control.json("get", "pods")["items"]) == 10, limit=5 * c.PATIENCE)
    after = bound()
    story.checks.equal({uid: after.get(uid) for uid in before}, before, "who had a node keeps it")
    counts = {node: list(after.values()).count(node) for node in ("n1", "n2", "n3")}
    story.checks.equal(counts, {"n1": 20, "n2": 20, "n3": 10}, "and no node has more than fit")
    story.clear()


def led(story):
    """Somebody else has the scheduler's lease: no pod gets a node, and the controllers go on."""
    lease = ("lease", "kube-scheduler", "-n", "kube-system")

    def lost():
        return story.control.log().count("the lease of the scheduler was lost")

    def give(who, seconds):
        story.control.out("patch", *lease, "-p", json.dumps({"spec": {"holderIdentity": who, "leaseDurationSeconds": seconds}}))
    before = lost()
    give("somebody", 3600)
    c.wait_until("the scheduler stops", lambda: lost() > before, limit=2 * c.PATIENCE)
    story.control.out("create", "namespace", "led")
    story.control.out("create", "deployment", "web", "-n", "led", "--image=my-app:1.0", "--replicas=2")

    def pods():
        return story.control.json("get", "pods", "-n", "led")["items"]
    made = c.wait_until("the controllers make its pods", lambda: len(found := pods()) == 2 and found, limit=2 * c.PATIENCE)
    story.checks.equal([each["spec"].get("nodeName") for each in made], [None] * 2, "which get no node while another scheduler has the lease")
    give("somebody", 1)
    c.wait_until("they have nodes", lambda: all(each["spec"].get("nodeName") for each in pods()), limit=2 * c.PATIENCE)
    holders = [story.control.json("get", "lease", name, "-n", "kube-system")["spec"]["holderIdentity"]
               for name in ("kube-scheduler", "kube-controller-manager")]
    story.checks.equal(holders[0], holders[1], "until that has lapsed")


def hopeless(story):
    """What nobody can give: each is told why, and a thousand such pods hold nobody up."""
    def node_affinity(*expressions):
        return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}}

    def expression(operator, key="zone", values=("a",)):
        return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}
    unmatched = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
    story.refused(pod("both", affinity=node_affinity(expression("In"), expression("NotIn"))), unmatched, "a label that has a value, and has it not")
    story.refused(pod("absent", affinity=node_affinity(expression("Exists", values=()), expression("DoesNotExist", values=()))), unmatched,
                  "one that is there and is not")
    story.refused(pod("order", affinity=node_affinity(expression("Gt", values=["5"]))), unmatched, "a number that no label is")
    terms = {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": {"app": "torn"}}, "topologyKey": "zone"}]}
    story.placed(pod("torn", labels={"app": "torn"}), ["n1", "n2", "n3"], "somebody to be near to")
    name = story.make(pod("torn-too", affinity={"podAffinity": terms, "podAntiAffinity": terms}))
    condition = c.wait_until("it is told why", lambda: (it := story.condition(name)).get("reason") == "Unschedulable" and it)
    story.checks.ok("node(s) didn't match pod affinity rules" in condition["message"] and
                    "node(s) didn't match pod anti-affinity rules" in condition["message"], "to be near and far of the same pods", condition["message"])
    template = {"metadata": {"labels": {"app": "vast"}}, "spec": pod("vast", {"cpu": "100"})["spec"]}
    story.make({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "vast"},
                "spec": {"replicas": 1000, "selector": {"matchLabels": {"app": "vast"}}, "template": template}})

    def waiting():
        # By the scheduler's own word.
        lines = story.control.out("get", "--raw", "/metrics").splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith("scheduler_pending_pods{"))
    c.wait_until("many wait", lambda: waiting() >= 100, limit=5 * c.PATIENCE)
    story.placed(pod("modest", {"cpu": "100m"}), ["n1", "n2", "n3"], "who fits gets a node while they come")
    c.wait_until("all wait", lambda: waiting() >= 1000, limit=10 * c.PATIENCE)
    story.placed(pod("humble", {"cpu": "100m"}), ["n1", "n2", "n3"], "and when all of them wait")

    def told():
        pods = story.control.json("get", "pods", "-l", "app=vast")["items"]
        return len(pods) == 1000 and all(any("3 Insufficient cpu" in each.get("message", "") for each in item["status"].get("conditions", []))
                                         for item in pods)
    c.wait_until("each is told why", told, limit=10 * c.PATIENCE)

    def events():
        found = story.control.json("get", "events", "--field-selector", "reason=FailedScheduling")["items"]
        return len({each["involvedObject"]["name"] for each in found if each["involvedObject"]["name"].startswith("vast-")}) == 1000
    c.wait_until("and by an event", events, limit=10 * c.PATIENCE)
    story.checks.ok(True, "each of a thousand has an event that says why")


def story(checks):
    with Control(checks) as control, HollowNodes(control) as nodes:
        told = Story(checks, control)
        resources(told, nodes)
        for part in selection, taints, ports, neighbours, spreading, groups, volumes, preemption, others, killed, led, hopeless:
            part(told)
        metrics = control.out("get", "--raw", "/metrics")
        names = ["scheduler_unplaced_pod", "scheduler_pending_pods", "scheduler_schedule_attempts_total", "scheduler_preemption_attempts_total",
                 "scheduler_pod_scheduling_sli_duration_seconds_bucket", "scheduler_unschedulable_pods", "scheduler_queue_incoming_pods_total"]
        checks.equal([name for name in names if name not in metrics], [], "the scheduler tells its metrics")
    with Control(checks, ["--scheduler=false"]) as control:
        checks.ok("scheduler_" not in control.out("get", "--raw", "/metrics"), "--scheduler=false: there is none")


c.main(story)
