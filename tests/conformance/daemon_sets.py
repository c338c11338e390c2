#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 900
"""DaemonSets by kubectl alone, over nodes that the test plays: which nodes get a pod, also of those that join; new templates that come to
them bit by bit or pod first; rollout status, history, undo and restart; pods that fail; and gantry-control killed in the middle."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from played_nodes import PlayedNodes, image_of, is_ending, is_ready, of_app

BROKEN = "broken"


def daemon_set(name, image="my-app:1", **spec):
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": image}]}},
                     **spec}}


class Story:
    def __init__(self, checks, control, nodes):
        self.checks, self.control, self.nodes = checks, control, nodes

    def apply(self, wanted):
        self.control.out("apply", "-f", "-", given=json.dumps(wanted))

    def settle(self):
        """Until what was done to nodes is known to all controllers: they see nodes in one order, and one of them copies this label."""
        self.control.out("label", "node", "a", "kubernetes.io/arch=settled")
        c.wait_until("the controllers know the nodes", lambda: self.control.json("get", "node", "a")["metadata"]["labels"].get(
            "beta.kubernetes.io/arch") == "settled")

    def status(self, name):
        return self.control.json("get", "ds", name)["status"]

    def pods(self, name):
        return [pod for pod in self.control.json("get", "pods", "-l", f"app={name}")["items"] if not is_ending(pod)]

    def on_nodes(self, name, wanted, image=None):
        """Until exactly these nodes have one pod each, ready."""
        def holds():
            pods = self.pods(name)
            return sorted(pod["spec"].get("nodeName", "") for pod in pods) == sorted(wanted) and all(
                is_ready(pod) and image in (None, image_of(pod)) for pod in pods)
        c.wait_until(f"{name} is on {wanted}", holds)

    def rolled_out(self, name):
        return self.control.rolled_out(f"ds/{name}")

    def revisions(self, name):
        found = self.control.json("get", "controllerrevisions", "-l", f"app={name}")["items"]
        return sorted(each["revision"] for each in found)

    def has_event(self, name, reason, part):
        def said():
            found = self.control.json("get", "events", "--field-selector", f"involvedObject.name={name},reason={reason}")["items"]
            return any(part in each["message"] for each in found)
        c.wait_until(f"{name} has an event {reason}: {part}", said)

    def gone(self, name):
        self.control.out("delete", "ds", name)
        c.wait_until(f"the pods of {name} are gone", lambda: not self.control.json("get", "pods", "-l", f"app={name}")["items"])


def placing(story):
    nodes, control, checks = story.nodes, story.control, story.checks
    nodes.add("a")
    nodes.add("b", {"disk": "ssd"})
    nodes.add("own")
    control.out("taint", "node", "own", "dedicated=it:NoSchedule")
    story.settle()
    story.apply(daemon_set("place"))
    story.on_nodes("place", ["a", "b"])
    checks.contains(story.rolled_out("place"), "successfully rolled out", "kubectl rollout status knows its end")
    fields = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "numberAvailable", "updatedNumberScheduled", "numberMisscheduled")
    c.wait_until("its status is whole", lambda: [story.status("place").get(each) for each in fields] == [2, 2, 2, 2, 2, 0])
    checks.ok(True, "its status")
    pod = story.pods("place")[0]
    checks.equal((pod["metadata"]["ownerReferences"][0]["kind"], pod["metadata"]["generateName"]), ("DaemonSet", "place-"), "whose its pods are")
    checks.ok({"controller-revision-hash", "pod-template-generation"} <= set(pod["metadata"]["labels"]), "their labels")
    control.out("taint", "node", "own", "dedicated-")
    story.on_nodes("place", ["a", "b", "own"])
    nodes.add("late")
    story.on_nodes("place", ["a", "b", "late", "own"])
    checks.ok(True, "a node that loses a taint and one that joins get a pod")
    control.out("cordon", "late")
    control.out("taint", "node", "late", "ends=all:NoExecute")
    story.on_nodes("place", ["a", "b", "own"])
    control.out("taint", "node", "late", "ends-")
    story.on_nodes("place", ["a", "b", "late", "own"])
    checks.ok(True, "a cordoned node keeps its pod, one with NoExecute does not")
    control.out("patch", "ds", "place", "-p", '{"spec":{"template":{"spec":{"nodeSelector":{"disk":"ssd"}}}}}')
    story.on_nodes("place", ["b"])
    c.wait_until("that is told", lambda: story.status("place")["desiredNumberScheduled"] == 1)
    checks.ok(True, "a selector that comes later counts")
    control.out("label", "node", "a", "disk=ssd")
    story.on_nodes("place", ["a", "b"])
    story.has_event("place", "SuccessfulCreate", "Created pod: place-")
    story.has_event("place", "SuccessfulDelete", "Deleted pod: place-")
    story.gone("place")
    control.out("uncordon", "late")


def rolling(story):
    control, checks, nodes = story.control, story.checks, story.nodes
    everywhere = ["a", "b", "late", "own"]
    story.apply(daemon_set("roll"))
    story.on_nodes("roll", everywhere)

    def fewest(pods):
        return ("roll", sum(is_ready(pod) and not is_ending(pod) for pod in of_app(pods, "roll")))
    nodes.watch(fewest)
    control.out("set", "image", "ds/roll", "main=my-app:2")
    control.out("annotate", "ds/roll", "kubernetes.io/change-cause=second")
    story.rolled_out("roll")
    story.on_nodes("roll", everywhere, "my-app:2")
    nodes.seen = lambda pods: None
    checks.ok(nodes.remarks and min(count for _, count in nodes.remarks) >= 3, "at no time more than one pod is missing", nodes.remarks)
    checks.equal(story.revisions("roll"), [1, 2], "each template has a revision")
    history = control.out("rollout", "history", "ds/roll")
    checks.ok(len(history.strip().splitlines()) == 4, "kubectl rollout history shows both", history)
    checks.contains(control.out("rollout", "history", "ds/roll", "--revision=1"), "my-app:1", "and what was in the first one")
    checks.contains(control.out("rollout", "undo", "ds/roll"), "rolled back", "kubectl rollout undo")
    story.rolled_out("roll")
    story.on_nodes("roll", everywhere, "my-app:1")
    checks.equal(story.revisions("roll"), [2, 3], "goes back: the first revision is the newest one")
    control.out("rollout", "undo", "ds/roll", "--to-revision=2")
    story.rolled_out("roll")
    story.on_nodes("roll", everywhere, "my-app:2")
    before = {pod["metadata"]["uid"] for pod in story.pods("roll")}
    control.out("rollout", "restart", "ds/roll")
    story.rolled_out("roll")
    c.wait_until("all pods are others", lambda: not before & {pod["metadata"]["uid"] for pod in story.pods("roll")})
    checks.ok(True, "kubectl rollout restart replaces all")

    nodes.becomes_ready = lambda pod: BROKEN not in image_of(pod)
    control.out("set", "image", "ds/roll", f"main={BROKEN}:1")
    c.wait_until("one pod is broken", lambda: any(image_of(pod) == f"{BROKEN}:1" for pod in story.pods("roll")))
    c.wait_until("that is told", lambda: story.status("roll").get("numberUnavailable") == 1)
    checks.equal(sum(image_of(pod) == f"{BROKEN}:1" for pod in story.pods("roll")), 1, "a template that does not work stops at one pod")
    kept = {pod["metadata"]["uid"] for pod in story.pods("roll") if BROKEN not in image_of(pod)}
    control.out("rollout", "undo", "ds/roll")
    story.rolled_out("roll")
    story.on_nodes("roll", everywhere, "my-app:2")
    checks.ok(kept <= {pod["metadata"]["uid"] for pod in story.pods("roll")}, "undone, the others were not touched")

    control.out("patch", "ds", "roll", "-p", '{"spec":{"revisionHistoryLimit":1}}')
    c.wait_until("old revisions go", lambda: len(story.revisions("roll")) == 2)
    checks.ok(True, "revisionHistoryLimit counts")
    control.out("patch", "ds", "roll", "-p", '{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}')
    control.out("set", "image", "ds/roll", "main=my-app:5")
    c.wait_until("that is seen", lambda: story.status("roll").get("updatedNumberScheduled", 0) == 0)
    checks.equal({image_of(pod) for pod in story.pods("roll")}, {"my-app:2"}, "OnDelete replaces nothing by itself")
    victim = next(pod for pod in story.pods("roll") if pod["spec"]["nodeName"] == "a")
    control.out("delete", "pod", victim["metadata"]["name"])
    c.wait_until("what is deleted is replaced", lambda: [image_of(pod) for pod in story.pods("roll") if pod["spec"].get("nodeName") == "a"] == ["my-app:5"])
    checks.ok(True, "but what is deleted by hand gets the new template")
    story.gone("roll")


def surging(story):
    control, checks, nodes = story.control, story.checks, story.nodes
    everywhere = ["a", "b", "late", "own"]
    story.apply(daemon_set("surge", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}))
    story.on_nodes("surge", everywhere)

    def counts(pods):
        alive = [pod for pod in of_app(pods, "surge") if not is_ending(pod)]
        return sum(map(is_ready, alive)), len(alive)
    nodes.watch(counts)
    control.out("set", "image", "ds/surge", "main=my-app:2")
    story.rolled_out("surge")
    story.on_nodes("surge", everywhere, "my-app:2")
    nodes.seen = lambda pods: None
    checks.ok(nodes.remarks and min(ready for ready, _ in nodes.remarks) >= 4, "with maxSurge no pod is ever missing", nodes.remarks)
    checks.ok(max(alive for _, alive in nodes.remarks) <= 5, "and there is at most one too many", nodes.remarks)
    story.gone("surge")


def failing(story):
    control, checks = story.control, story.checks
    story.apply(daemon_set("fail"))
    story.on_nodes("fail", ["a", "b", "late", "own"])
    victim = next(pod for pod in story.pods("fail") if pod["spec"]["nodeName"] == "b")
    failed = victim["metadata"]["name"]
    story.nodes.say(victim, "Failed", ready=False)
    c.wait_until("the failed one is gone", lambda: control.kubectl("get", "pod", failed).returncode != 0)
    story.on_nodes("fail", ["a", "b", "late", "own"])
    story.has_event("fail", "FailedDaemonPod", f"Found failed daemon pod default/{failed} on node b, will try to kill it")
    checks.ok(True, "a failed pod is replaced by one of another name, and that is told")

    uids = {pod["metadata"]["uid"] for pod in story.pods("fail")}
    control.out("delete", "ds", "fail", "--cascade=orphan")
    c.wait_until("its pods are let go", lambda: all("ownerReferences" not in pod["metadata"] for pod in story.pods("fail")))
    story.apply(daemon_set("fail"))
    c.wait_until("they are taken again", lambda: all("ownerReferences" in pod["metadata"] for pod in story.pods("fail")))
    story.rolled_out("fail")
    checks.equal({pod["metadata"]["uid"] for pod in story.pods("fail")}, uids, "a set that is made again takes the pods that it had, and replaces none")
    story.gone("fail")


def killed(story):
    """gantry-control killed while templates come to the nodes."""
    control, checks, nodes = story.control, story.checks, story.nodes
    story.apply(daemon_set("kill"))
    story.on_nodes("kill", ["a", "b", "late", "own"])

    def most(pods):
        there = [pod["spec"].get("nodeName") for pod in of_app(pods, "kill") if not is_ending(pod) and pod["spec"].get("nodeName")]
        return max((there.count(node) for node in there), default=0)
    for turn in range(2, 5):
        control.out("set", "image", "ds/kill", f"main=my-app:{turn}")
        c.wait_until("the first pod is replaced", lambda: any(image_of(pod) == f"my-app:{turn}" for pod in story.pods("kill")))
        control.kill()
        control.start()
        story.on_nodes("kill", ["a", "b", "late", "own"], f"my-app:{turn}")
    # A watch that begins anew does not tell what went meanwhile: what is looked at is what is there after each kill.
    nodes.watch(most)
    control.out("rollout", "restart", "ds/kill")
    story.rolled_out("kill")
    nodes.seen = lambda pods: None
    checks.ok(nodes.remarks and max(nodes.remarks) == 1, "no node has two", nodes.remarks)
    checks.equal(len(story.pods("kill")), 4, "killed in the middle, it goes on where it was")
    story.gone("kill")


def story(checks):
    with Control(checks) as control, PlayedNodes(control) as nodes:
        told = Story(checks, control, nodes)
        placing(told)
        rolling(told)
        surging(told)
        failing(told)
        killed(told)


c.main(story)
