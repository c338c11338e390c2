#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Deployments, ReplicaSets and ReplicationControllers by kubectl alone, over nodes that the test plays: rolling updates that keep what they
promise, every moment of them; rollout status, history, undo, pause, resume, restart; scale; Recreate; quotas and deadlines that are in
the way; adoption; gantry-control killed in the middle; and an update on a real node."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import SLEEPS, ready_node
from control import Control
from cri_client import IMAGE
from played_nodes import PlayedNodes, image_of, is_ending, is_ready, of_app

BROKEN = "broken"
KILLS = 12
# What a rollout may take, step by step, where much else runs.
LONG = 600


def deployment(name, image="my-app:1", replicas=4, container=None, **spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}},
                                  "spec": {"containers": [{"name": "main", "image": image, **(container or {})}],
                                           "terminationGracePeriodSeconds": 1}}, **spec}}


def until(what, holds):
    return c.wait_until(what, holds, limit=LONG)


class Promise:
    """What holds of the pods of an app at every moment, from begin() on: at least so many are ready, at most so many are there."""

    def __init__(self):
        self.begin(None, 0, 0)

    def begin(self, app, least, most, apart=False):
        self.app, self.least, self.most, self.apart = app, least, most, apart

    def judge(self, pods):
        if self.app is None:
            return None
        its = of_app(pods, self.app)
        there = [pod for pod in its if not is_ending(pod)]
        ready = [pod for pod in there if is_ready(pod)]
        if len(ready) < self.least or len(there) > self.most:
            return f"{self.app}: {len(ready)} ready, {len(there)} there; promised {self.least} to {self.most}"
        if self.apart and len({image_of(pod) for pod in its}) > 1:
            return f"{self.app}: pods of two templates at once"
        return None


class Story:
    def __init__(self, checks, control, nodes, promise):
        self.checks, self.control, self.nodes, self.promise = checks, control, nodes, promise

    def apply(self, wanted, namespace="default"):
        self.control.out("apply", "-n", namespace, "-f", "-", given=json.dumps(wanted))

    def pods(self, name, namespace="default"):
        found = self.control.json("get", "pods", "-n", namespace, "-l", f"app={name}")["items"]
        return [pod for pod in found if not is_ending(pod)]

    def sets(self, name):
        return self.control.json("get", "rs", "-l", f"app={name}")["items"]

    def sizes(self, name):
        """Of the sets that want pods, the smallest first."""
        return sorted(each["spec"]["replicas"] for each in self.sets(name) if each["spec"]["replicas"])

    def rolled_out(self, name):
        return self.control.rolled_out(f"deployment/{name}", limit=LONG)

    def runs(self, name, count, image):
        """Until exactly so many pods of the image are ready, and none of another is there."""
        def holds():
            pods = self.pods(name)
            return len(pods) == count and all(is_ready(pod) and image_of(pod) == image for pod in pods)
        until(f"{name} has {count} pods of {image}", holds)

    def condition(self, name, kind, namespace="default"):
        conditions = self.control.json("get", "deployment", name, "-n", namespace)["status"].get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    def events(self, name, reason, namespace="default"):
        found = self.control.json("get", "events", "-n", namespace, "--field-selector", f"involvedObject.name={name},reason={reason}")
        return [each["message"] for each in found["items"]]

    def set_image(self, name, image):
        self.control.out("set", "image", f"deployment/{name}", f"main={image}")

    def watched(self):
        """Until the played nodes, who judge, have seen all that has happened."""
        self.nodes.caught_up()

    def promised(self, *what, **more):
        """From now on: see Promise."""
        self.watched()
        self.promise.begin(*what, **more)

    def kept(self, what):
        """What was promised was kept until now. Nothing is, from now on."""
        self.watched()
        self.checks.equal(self.nodes.remarks[:5], [], what)
        self.promise.begin(None, 0, 0)
        self.nodes.remarks.clear()

    def has_ready(self, name, count):
        until(f"{count} pods of {name} are ready", lambda: sum(is_ready(pod) for pod in self.pods(name)) == count)


def updates(story):
    checks, control = story.checks, story.control
    story.apply(deployment("web"))
    checks.contains(story.rolled_out("web"), "successfully rolled out", "rollout status waits until all pods are there")
    first = story.sets("web")[0]["metadata"]["name"]
    checks.equal(until("an event says it", lambda: story.events("web", "ScalingReplicaSet")),
                 [f"Scaled up replica set {first} from 0 to 4"], "and the event says so")
    checks.contains(control.out("get", "deployment", "web"), "4/4", "get shows its pods")
    names = {pod["metadata"]["name"] for pod in story.pods("web")}
    checks.ok(all(name.startswith(f"{first}-") for name in names), "pods are named after their set", names)
    story.promised("web", 3, 5)
    control.out("annotate", "deployment", "web", "kubernetes.io/change-cause=two")
    story.set_image("web", "my-app:2")
    checks.contains(story.rolled_out("web"), "successfully rolled out", "a new image is rolled out")
    story.runs("web", 4, "my-app:2")
    story.kept("at every moment of it 3 pods are ready and no more than 5 there")
    story.promised("web", 3, 5)
    history = control.out("rollout", "history", "deployment/web")
    checks.ok([line.split()[0] for line in history.splitlines()[2:4]] == ["1", "2"] and "two" in history,
              "rollout history has both revisions, and why", history)
    checks.contains(control.out("rollout", "history", "deployment/web", "--revision=1"), "my-app:1", "and what each of them is")
    control.out("rollout", "undo", "deployment/web")
    checks.contains(story.rolled_out("web"), "successfully rolled out", "rollout undo goes back")
    story.runs("web", 4, "my-app:1")
    revisions = [line.split()[0] for line in control.out("rollout", "history", "deployment/web").splitlines()[2:4]]
    checks.equal(revisions, ["2", "3"], "what is gone back to is the newest revision")
    checks.equal(len(story.sets("web")), 2, "by the set that was there")
    control.out("rollout", "undo", "deployment/web", "--to-revision=2")
    story.rolled_out("web")
    story.runs("web", 4, "my-app:2")
    control.out("rollout", "restart", "deployment/web")
    checks.contains(story.rolled_out("web"), "successfully rolled out", "rollout restart replaces all pods")
    until("all are new", lambda: {pod["metadata"]["name"] for pod in story.pods("web")}.isdisjoint(names))
    story.kept("the promise is kept all the while")


def pauses(story):
    checks, control = story.checks, story.control
    control.out("rollout", "pause", "deployment/web")
    until("it is paused", lambda: story.condition("web", "Progressing").get("reason") == "DeploymentPaused")
    before = len(story.sets("web"))
    story.set_image("web", "my-app:3")
    control.out("scale", "deployment/web", "--replicas=6")
    story.has_ready("web", 6)
    checks.ok(len(story.sets("web")) == before and not any(image_of(pod) == "my-app:3" for pod in story.pods("web")),
              "what is paused can be scaled, and is not rolled")
    story.promised("web", 5, 8)
    control.out("rollout", "resume", "deployment/web")
    story.rolled_out("web")
    story.runs("web", 6, "my-app:3")
    story.kept("resumed it rolls, within 25 % of 6")


def deadlines(story):
    """An update whose pods never become ready, scaled meanwhile, and taken back."""
    checks, control = story.checks, story.control
    story.promised("web", 5, 8)
    control.out("patch", "deployment", "web", "-p", '{"spec": {"progressDeadlineSeconds": 3}}')
    story.rolled_out("web")
    story.set_image("web", BROKEN)
    checks.contains(story.rolled_out("web"), "exceeded its progress deadline", "rollout status says that nothing comes")
    condition = story.condition("web", "Progressing")
    checks.ok((condition["status"], condition["reason"]) == ("False", "ProgressDeadlineExceeded")
              and "has timed out progressing." in condition["message"], "and so does its condition", condition)
    until("it is as far as it can be", lambda: story.sizes("web") == [3, 5])
    story.kept("those that are ready stay")
    story.promised("web", 5, 15)
    control.out("scale", "deployment/web", "--replicas=12")
    until("both templates get their parts", lambda: story.sizes("web") == [6, 9])
    checks.ok(True, "scaled in the middle, each template has its part of 12 and 3 more")
    story.has_ready("web", 9)
    story.kept("and none goes below")
    story.promised("web", 9, 15)
    control.out("rollout", "undo", "deployment/web")
    story.rolled_out("web")
    story.runs("web", 12, "my-app:3")
    until("it is whole again", lambda: story.condition("web", "Progressing").get("reason") == "NewReplicaSetAvailable")
    story.kept("undone, it is whole again, with the old ones all the while")
    control.out("delete", "deployment", "web")
    until("all that it had goes with it", lambda: not story.sets("web") and not story.pods("web"))


def recreation(story):
    story.apply(deployment("solo", replicas=3, strategy={"type": "Recreate"}))
    story.rolled_out("solo")
    story.promised("solo", 0, 3, apart=True)
    story.set_image("solo", "my-app:2")
    story.rolled_out("solo")
    story.runs("solo", 3, "my-app:2")
    story.kept("Recreate: no pod of the new template before the last one of the old has gone")
    story.control.out("delete", "deployment", "solo")


def quotas(story):
    checks, control = story.checks, story.control
    control.out("create", "namespace", "tight")
    control.wait_for_namespace("tight")
    control.out("create", "quota", "few", "-n", "tight", "--hard=pods=2")
    until("the quota counts", lambda: control.json("get", "quota", "-n", "tight", "few")["status"].get("used"))
    story.apply(deployment("web", replicas=3), "tight")
    condition = until("it says what fails", lambda: story.condition("web", "ReplicaFailure", "tight"))
    checks.ok(condition["reason"] == "FailedCreate" and "exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2"
              in condition["message"], "what a quota refuses is the condition ReplicaFailure", condition)
    name = control.json("get", "rs", "-n", "tight")["items"][0]["metadata"]["name"]
    told = until("an event says so", lambda: story.events(name, "FailedCreate", "tight"))
    checks.contains(told[0], ["Error creating: pods", "exceeded quota"], "and an event of the set's")
    control.out("patch", "quota", "few", "-n", "tight", "--type=merge", "-p", '{"spec": {"hard": {"pods": "9"}}}')
    until("the third comes", lambda: len(story.pods("web", "tight")) == 3)
    until("nothing fails any more", lambda: not story.condition("web", "ReplicaFailure", "tight"))
    checks.ok(True, "with room for it the third pod comes, and the condition goes")
    control.out("delete", "namespace", "tight")


def adoption(story):
    checks, control = story.checks, story.control
    story.apply(deployment("home", replicas=2))
    story.rolled_out("home")
    name = story.sets("home")[0]["metadata"]["name"]
    pod = story.pods("home")[0]["metadata"]["name"]
    control.out("label", "pod", pod, "app=away", "--overwrite")
    until("another takes its place", lambda: len(story.pods("home")) == 2)
    until("it is let go", lambda: not control.json("get", "pod", pod)["metadata"].get("ownerReferences"))
    checks.ok(True, "a pod with another label is let go, and replaced")
    control.out("label", "pod", pod, "app=home", "--overwrite")
    until("one of three goes", lambda: len(story.pods("home")) == 2)
    checks.ok(True, "it is taken back, and one is too many")
    before = {each["metadata"]["name"] for each in story.pods("home")}
    control.out("delete", "deployment", "home", "--cascade=orphan")
    until("its set is alone", lambda: not story.sets("home")[0]["metadata"].get("ownerReferences"))
    story.apply(deployment("home", replicas=2))
    until("it is adopted", lambda: story.sets("home")[0]["metadata"].get("ownerReferences"))
    story.rolled_out("home")
    checks.equal(({each["metadata"]["name"] for each in story.pods("home")}, [each["metadata"]["name"] for each in story.sets("home")]),
                 (before, [name]), "a deployment that comes again takes over what the first one left")
    control.out("delete", "deployment", "home")


def controllers(story):
    checks, control = story.checks, story.control
    control.out("create", "-f", "-", given=json.dumps({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "old"},
        "spec": {"replicas": 2, "template": deployment("old")["spec"]["template"], "selector": {"app": "old"}}}))
    story.runs("old", 2, "my-app:1")
    control.out("scale", "rc", "old", "--replicas=5")
    story.runs("old", 5, "my-app:1")
    until("its status says it", lambda: control.json("get", "rc", "old")["status"].get("availableReplicas") == 5)
    checks.ok(True, "ReplicationControllers are served, too")
    control.out("delete", "rc", "old")


def kills(story):
    """gantry-control dies in the middle of updates; the promise holds all the while, and each update comes to its end."""
    checks, control = story.checks, story.control
    story.apply(deployment("long", replicas=8, strategy={"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 1}}))
    story.rolled_out("long")
    story.promised("long", 7, 10)
    for number in range(KILLS):
        image = f"my-app:{number + 2}"
        story.set_image("long", image)
        # Each time a little further.
        until("the update begins", lambda image=image, number=number: sum(
            image_of(pod) == image for pod in story.pods("long")) >= number % 5)
        control.kill()
        control.start()
        if number % 3 == 2:
            story.runs("long", 8, image)
    story.runs("long", 8, f"my-app:{KILLS + 1}")
    until("it says so", lambda: story.condition("long", "Progressing").get("reason") == "NewReplicaSetAvailable")
    story.kept("killed in the middle of updates, no pod is too many and none missing that was promised")
    images = [each["spec"]["template"]["spec"]["containers"][0]["image"] for each in story.sets("long")]
    checks.equal(len(images), len(set(images)), "each template has one set")
    control.out("delete", "deployment", "long")


def choice(checks):
    with Control(checks, arguments=["--controllers=*,-deployment-controller"]) as control:
        control.out("create", "deployment", "web", "--image=my-app:1")
        wanted = deployment("set", replicas=1)
        wanted["kind"] = "ReplicaSet"
        control.out("create", "-f", "-", given=json.dumps(wanted))
        until("the other set has its pod", lambda: control.json("get", "rs", "set")["status"]["replicas"] == 1)
        checks.ok(len(control.json("get", "rs")["items"]) == 1, "--controllers=*,-deployment-controller leaves deployments to others")


def real_node(checks):
    with ready_node(checks) as (_, control):
        nobody = PlayedNodes(control)
        story = Story(checks, control, nobody, Promise())
        container = {"command": ["/bin/sh", "-c", SLEEPS], "imagePullPolicy": "IfNotPresent",
                     "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}
        story.apply(deployment("web", image=IMAGE, replicas=3, container=container))
        checks.contains(story.rolled_out("web"), "successfully rolled out", "on a real node a deployment is rolled out")
        before = {pod["metadata"]["name"] for pod in story.pods("web")}
        control.out("set", "env", "deployment/web", "COLOR=red")
        checks.contains(story.rolled_out("web"), "successfully rolled out", "and so is what is changed of it")
        story.runs("web", 3, IMAGE)
        checks.ok(before.isdisjoint(pod["metadata"]["name"] for pod in story.pods("web")), "by new pods")
        control.out("delete", "deployment", "web")
        until("all its pods go", lambda: not control.json("get", "pods")["items"])


def story(checks):
    promise = Promise()
    with Control(checks) as control, PlayedNodes(control) as nodes:
        nodes.becomes_ready, nodes.seen = (lambda pod: image_of(pod) != BROKEN), promise.judge
        for name in "abc":
            nodes.add(name)
        told = Story(checks, control, nodes, promise)
        for part in updates, pauses, deadlines, recreation, quotas, adoption, controllers, kills:
            part(told)
    choice(checks)
    real_node(checks)


c.main(story)
