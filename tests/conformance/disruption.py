#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 1200
"""PodDisruptionBudgets by kubectl, over nodes that are objects only: what they say of their pods, a drain that goes no further than they
let it, pods that are not ready, budgets of which nothing can be said, and gantry-control killed between."""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from hollow_nodes import HollowNodes
from played_nodes import is_ending, is_ready

REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


def replica_set(name, replicas, kind="ReplicaSet"):
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        **({"replicas": replicas} if replicas is not None else {}), "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "my-app:1.0"}]}}}}


def budget(name, **spec):
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": name}}, **spec}}


class Story:
    def __init__(self, checks, control, nodes):
        self.checks, self.control, self.nodes, self.addresses = checks, control, nodes, 0

    def make(self, *objects):
        self.control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def pods(self, name):
        return self.control.json("get", "pods", "-l", f"app={name}")["items"]

    def run(self, name, skip=(), found=None):
        """Pods that have a node are made ready, as their nodes would, but those whose names are in `skip`; all of them."""
        found = self.pods(name) if found is None else found
        for pod in found:
            if pod["spec"].get("nodeName") and not is_ready(pod) and pod["metadata"]["name"] not in skip:
                self.addresses += 1
                self.nodes.tell(pod["metadata"]["name"], f"10.1.0.{self.addresses}")
        return found

    def ending(self, name):
        return [each["metadata"]["name"] for each in self.pods(name) if is_ending(each)]

    def end(self, *names):
        self.control.out("delete", "pod", *names, "--force", "--grace-period=0")

    def status(self, name):
        return self.control.json("get", "pdb", name).get("status", {})

    def says(self, name, allowed, healthy, desired, expected, what, skip=()):
        """The budget comes to say this, while the pods' nodes do their part."""
        def holds():
            self.run(name, skip)
            seen = self.status(name)
            return (seen.get("disruptionsAllowed"), seen.get("currentHealthy"), seen.get("desiredHealthy"),
                    seen.get("expectedPods")) == (allowed, healthy, desired, expected)
        c.wait_until(f"{name}: {allowed} may leave, {healthy} of {expected} healthy, {desired} wanted", holds)
        self.checks.ok(True, what)

    def condition(self, name):
        found = [each for each in self.status(name).get("conditions", []) if each["type"] == "DisruptionAllowed"]
        return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else None

    def has_event(self, about, reason, message):
        def events():
            found = self.control.json("get", "events", "--field-selector", f"involvedObject.name={about},reason={reason}")["items"]
            return any(message in each["message"] for each in found)
        c.wait_until(f"an event {reason} of {about}", events)
        self.checks.ok(True, f"the event {reason}")

    def evict(self, pod):
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "default"}}
        return self.control.kubectl("create", "--raw", f"/api/v1/namespaces/default/pods/{pod}/eviction", "-f", "-", given=json.dumps(body))


def drain(story):
    checks, control, nodes = story.checks, story.control, story.nodes
    story.make(budget("web", minAvailable=3))
    story.says("web", 0, 0, 3, 0, "a budget without pods lets none go")
    story.has_event("web", "NoPods", "No matching pods found")
    nodes.add("n1")
    story.make(replica_set("web", 4))
    story.says("web", 1, 4, 3, 4, "four pods, of which three are wanted: one may leave")
    checks.equal(story.condition("web"), ("True", "SufficientPods", ""), "which is its condition")
    checks.contains(control.out("get", "pdb", "web"), ["MIN AVAILABLE", "ALLOWED DISRUPTIONS"], "kubectl get pdb")
    nodes.add("n2")
    errors = control.folder / "drain.log"
    with open(errors, "wb") as log:
        drained = subprocess.Popen(control.kubectl_command("drain", "n1", "--force", "--timeout=0"), stdout=log, stderr=log)
    try:
        c.wait_until("a pod leaves", lambda: story.ending("web"), limit=5 * c.PATIENCE)
        c.wait_until("kubectl drain is refused the next", lambda: REFUSED in errors.read_text(errors="replace"), limit=5 * c.PATIENCE)
        checks.equal(len(story.ending("web")), 1, "kubectl drain is refused a second pod while the first one leaves")
        c.wait_until("the budget says so", lambda: story.condition("web")[:2] == ("False", "InsufficientPods"))
        checks.equal(story.status("web")["disruptionsAllowed"], 0, "the budget says so")
        counts = []

        def goes_on():
            # One look decides: as soon as all are ready the next may leave.
            found = story.pods("web")
            if leaving := [each["metadata"]["name"] for each in found if is_ending(each)]:
                counts.append(len(leaving))
                story.end(*leaving)
            else:
                story.run("web", found=found)
            return drained.poll() is not None
        c.wait_until("the drain has ended", goes_on, limit=5 * c.PATIENCE)
        checks.equal((drained.returncode, counts), (0, [1, 1, 1, 1]), "one pod after the other leaves, as others come")
    finally:
        drained.kill()
        drained.wait()
    story.says("web", 1, 4, 3, 4, "the budget is whole again")
    checks.equal({each["spec"]["nodeName"] for each in story.pods("web")}, {"n2"}, "all of them are on the other node")


def killed(story):
    checks, control = story.checks, story.control
    first, second = [each["metadata"]["name"] for each in story.pods("web")][:2]
    checks.equal(story.evict(first).returncode, 0, "an eviction")
    control.kill()
    control.start()
    checks.contains(story.evict(second).stderr, "disruption budget", "after kill -9 nothing is forgotten: the next is refused")
    story.end(first)
    story.says("web", 1, 4, 3, 4, "until there are four again")


def shares(story):
    checks, control = story.checks, story.control
    control.out("delete", "pdb", "web")
    story.make(budget("web", maxUnavailable="30%"))
    story.says("web", 2, 4, 2, 4, "maxUnavailable of 30%: of four, rounded up")
    control.out("scale", "rs", "web", "--replicas=6")
    story.says("web", 2, 6, 4, 6, "of what the ReplicaSet is scaled to")
    sick = story.pods("web")[0]["metadata"]["name"]
    story.nodes.tell(sick, "10.1.9.1", ready=False)
    story.says("web", 1, 5, 4, 6, "a pod that is not ready", skip=[sick])
    control.out("patch", "pdb", "web", "--type=merge", "-p", json.dumps({"spec": {"maxUnavailable": 0, "unhealthyPodEvictionPolicy": "AlwaysAllow"}}))
    story.says("web", 0, 5, 6, 6, "maxUnavailable of 0: none may leave", skip=[sick])
    well = next(each["metadata"]["name"] for each in story.pods("web") if each["metadata"]["name"] != sick)
    checks.contains(story.evict(well).stderr, "disruption budget", "one that is ready may not")
    checks.equal(story.evict(sick).returncode, 0, "one that is not ready may with AlwaysAllow")
    story.end(sick)
    story.says("web", 0, 6, 6, 6, "another comes in its place")
    control.out("delete", "rs/web", "pdb/web")


def failures(story):
    checks, control = story.checks, story.control
    story.make(budget("lone", maxUnavailable=1), {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lone", "labels": {"app": "lone"}},
                                                  "spec": {"nodeName": "n2", "containers": [{"name": "main", "image": "my-app:1.0"}]}})
    story.says("lone", 0, 1, 0, 0, "a pod that nobody owns counts nowhere")
    story.has_event("lone", "UnmanagedPods", "selector: &LabelSelector{MatchLabels:map[string]string{app: lone,}")
    control.out("patch", "pdb", "lone", "--type=merge", "-p", '{"spec":{"maxUnavailable":null,"minAvailable":1}}')
    story.says("lone", 0, 1, 1, 1, "but with minAvailable as a number")
    control.out("delete", "pdb", "lone")
    story.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}})
    owner = control.json("get", "cm", "owner")["metadata"]
    story.make(budget("odd", maxUnavailable=1), {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd", "labels": {"app": "odd"}, "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"], "controller": True}]},
        "spec": {"nodeName": "n2", "containers": [{"name": "main", "image": "my-app:1.0"}]}})
    sentence = "configmaps does not implement the scale subresource"
    c.wait_until("nothing can be said", lambda: story.condition("odd") == ("False", "SyncFailed", sentence))
    checks.ok(True, "an owner without a scale: SyncFailed says why")
    story.has_event("odd", "CalculateExpectedPodCountFailed", f"Failed to calculate the number of expected pods: {sentence}")


def story(checks):
    with Control(checks) as control, HollowNodes(control) as nodes:
        told = Story(checks, control, nodes)
        for part in drain, killed, shares, failures:
            part(told)


c.main(story)
