#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 900
"""StatefulSets by kubectl alone, over nodes that the test plays: pods that come and go in order, with names and claims of their own; new
templates from the last pod on, with partition, in parallel, undone; pods that fail; claims that go with pods and sets; and gantry-control
killed in the middle."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from played_nodes import PlayedNodes, image_of, is_ending, is_ready, of_app

BROKEN = "broken"


def stateful_set(name, image="my-app:1", replicas=3, **spec):
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
            "spec": {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": image}]}},
                     **spec}}


def claim(name):
    return {"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}}


def volume(number):
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"volume-{number}"},
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
                     "hostPath": {"path": f"/none/{number}"}}}


def name_of(pod):
    return pod["metadata"]["name"]


class Story:
    def __init__(self, checks, control, nodes):
        self.checks, self.control, self.nodes = checks, control, nodes

    def apply(self, wanted):
        self.control.out("apply", "-f", "-", given=json.dumps(wanted))

    def status(self, name):
        return self.control.json("get", "sts", name)["status"]

    def pods(self, name):
        return self.control.json("get", "pods", "-l", f"app={name}")["items"]

    def claims(self, name):
        return sorted(name_of(each) for each in self.control.json("get", "pvc", "-l", f"app={name}")["items"])

    def has(self, name, ordinals, image=None):
        """Until the set has exactly these pods, ready."""
        wanted = [f"{name}-{ordinal}" for ordinal in ordinals]

        def holds():
            pods = self.pods(name)
            return sorted(map(name_of, pods)) == sorted(wanted) and all(
                is_ready(pod) and not is_ending(pod) and image in (None, image_of(pod)) for pod in pods)
        c.wait_until(f"{name} has {ordinals} {image or ''}", holds)

    def rolled_out(self, name):
        return self.control.rolled_out(f"sts/{name}")

    def delete(self, *names):
        """Pods, until they are others. kubectl's own waiting may take the pod that comes under the name for the one that goes."""
        uids = {pod["metadata"]["uid"] for pod in self.control.json("get", "pods", "-l", "app")["items"] if name_of(pod) in names}
        self.control.out("delete", "pod", *names, "--wait=false")
        c.wait_until(f"{names} are gone", lambda: not uids & {each["metadata"]["uid"] for each in self.control.json("get", "pods")["items"]})

    def has_event(self, name, reason, message):
        def said():
            found = self.control.json("get", "events", "--field-selector", f"involvedObject.name={name},reason={reason}")["items"]
            return any(each["message"] == message for each in found)
        c.wait_until(f"{name} has an event {reason}: {message}", said)

    def watched(self, remark):
        """From now on remark(pods) is kept of each change of a pod."""
        self.nodes.watch(remark)

    def remarks(self):
        self.nodes.seen = lambda pods: None
        return self.nodes.remarks

    def gone(self, name):
        self.control.out("delete", "sts", name)
        c.wait_until(f"the pods of {name} are gone", lambda: not self.pods(name))


def ordered(story):
    control, checks = story.control, story.checks

    def alive(pods):
        return sorted(name_of(pod) + (" ready" if is_ready(pod) else "") for pod in of_app(pods, "web") if not is_ending(pod))
    story.watched(alive)
    story.apply(stateful_set("web", volumeClaimTemplates=[claim("data")]))
    checks.contains(story.rolled_out("web"), "complete", "kubectl rollout status knows its end")
    story.has("web", [0, 1, 2])
    seen = story.remarks()
    early = [each for each in seen if any(name.startswith("web-1") for name in each) and "web-0 ready" not in each or
             any(name.startswith("web-2") for name in each) and "web-1 ready" not in each]
    checks.ok(seen and not early, "each pod comes when the one before it is ready", early)
    pod = control.json("get", "pod", "web-1")
    labels = pod["metadata"]["labels"]
    checks.equal((labels["statefulset.kubernetes.io/pod-name"], labels["apps.kubernetes.io/pod-index"], pod["spec"]["hostname"],
                  pod["spec"]["subdomain"]), ("web-1", "1", "web-1", "web"), "who it is")
    checks.equal([volume["persistentVolumeClaim"]["claimName"] for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume],
                 ["data-web-1"], "its claim")
    checks.equal(story.claims("web"), ["data-web-0", "data-web-1", "data-web-2"], "each has one")
    c.wait_until("the status is whole", lambda: [story.status("web").get(each, 0) for each in (
        "replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas")] == [3] * 5)
    status = story.status("web")
    checks.equal((status["currentRevision"], labels["controller-revision-hash"]), (status["updateRevision"],) * 2, "its revision")
    story.has_event("web", "SuccessfulCreate", "create Pod web-2 in StatefulSet web successful")
    story.has_event("web", "SuccessfulCreate", "create Claim data-web-2 Pod web-2 in StatefulSet web success")

    story.watched(alive)
    control.out("scale", "sts", "web", "--replicas=5")
    story.has("web", range(5))
    control.out("scale", "sts", "web", "--replicas=1")
    story.has("web", [0])
    early = [each for each in story.remarks() if "web-4 ready" in each and "web-3 ready" not in each or "web-3 ready" in each and
             "web-2 ready" not in each or "web-2 ready" in each and "web-1 ready" not in each]
    checks.ok(not early, "the last pod goes first", early)
    checks.equal(len(story.claims("web")), 5, "claims stay")
    story.has_event("web", "SuccessfulDelete", "delete Pod web-4 in StatefulSet web successful")

    # One that is not ready holds up what follows.
    story.nodes.becomes_ready = lambda pod: name_of(pod) != "web-1"
    control.out("scale", "sts", "web", "--replicas=3")
    c.wait_until("web-1 is there", lambda: len(story.pods("web")) == 2)
    c.wait_until("that is told", lambda: story.status("web")["replicas"] == 2)
    checks.equal(sorted(map(name_of, story.pods("web"))), ["web-0", "web-1"], "a pod that is not ready holds up the next")
    story.nodes.becomes_ready = lambda pod: True
    story.nodes.again()
    story.has("web", range(3))

    victim = control.json("get", "pod", "web-1")
    story.nodes.say(victim, "Failed", ready=False)
    c.wait_until("web-1 is another one", lambda: [pod["metadata"]["uid"] for pod in story.pods("web") if name_of(pod) == "web-1"] not in (
        [], [victim["metadata"]["uid"]]))
    story.has("web", range(3))
    checks.ok(True, "a failed pod is made again under its name")
    story.delete("web-0")
    story.has("web", range(3))
    checks.ok(True, "so is one that was deleted")


def rolling(story):
    control, checks, nodes = story.control, story.checks, story.nodes

    def versions(pods):
        return {name_of(pod): image_of(pod) + ("" if is_ready(pod) else " starting") for pod in of_app(pods, "web") if not is_ending(pod)}
    story.watched(versions)
    control.out("set", "image", "sts/web", "main=my-app:2")
    story.rolled_out("web")
    story.has("web", range(3), "my-app:2")
    seen = story.remarks()
    checks.ok(seen and min(sum("starting" not in image for image in each.values()) for each in seen) >= 2, "one pod at a time is replaced", seen)
    wrong = [each for each in seen if each.get("web-0", "").startswith("my-app:2") and not each.get("web-1", "").startswith("my-app:2") or
             each.get("web-1", "").startswith("my-app:2") and not each.get("web-2", "").startswith("my-app:2")]
    checks.ok(not wrong, "from the last one on", wrong)
    c.wait_until("the new revision is the current one", lambda: story.status("web")["currentRevision"] == story.status("web")["updateRevision"])
    history = control.out("rollout", "history", "sts/web")
    checks.ok(len(history.strip().splitlines()) == 4, "kubectl rollout history shows both revisions", history)
    control.out("rollout", "undo", "sts/web")
    story.rolled_out("web")
    story.has("web", range(3), "my-app:1")
    checks.equal(sorted(each["revision"] for each in control.json("get", "controllerrevisions", "-l", "app=web")["items"]), [2, 3],
                 "kubectl rollout undo goes back to the first one, which is the newest now")
    before = {pod["metadata"]["uid"] for pod in story.pods("web")}
    control.out("rollout", "restart", "sts/web")
    story.rolled_out("web")
    c.wait_until("all pods are others", lambda: not before & {pod["metadata"]["uid"] for pod in story.pods("web")})
    story.has("web", range(3))
    checks.ok(True, "kubectl rollout restart replaces all")

    def partition(number):
        control.out("patch", "sts", "web", "-p", json.dumps({"spec": {"updateStrategy": {"rollingUpdate": {"partition": number}}}}))
    partition(2)
    control.out("set", "image", "sts/web", "main=my-app:3")
    checks.contains(story.rolled_out("web"), "partitioned roll out complete: 1 new pods have been updated", "with a partition kubectl waits for those above it")
    c.wait_until("that is told", lambda: (story.status("web").get("currentReplicas"), story.status("web").get("updatedReplicas")) == (2, 1))
    story.delete("web-0", "web-2")
    story.has("web", range(3))
    checks.equal({name_of(pod): image_of(pod) for pod in story.pods("web")}, {"web-0": "my-app:1", "web-1": "my-app:1", "web-2": "my-app:3"},
                 "pods below the partition are made again as they were")
    partition(0)
    story.has("web", range(3), "my-app:3")
    checks.ok(True, "without the partition the others follow")

    nodes.becomes_ready = lambda pod: BROKEN not in image_of(pod)
    control.out("set", "image", "sts/web", f"main={BROKEN}:1")
    c.wait_until("the last pod is broken", lambda: {name_of(pod): image_of(pod) for pod in story.pods("web")}.get("web-2") == f"{BROKEN}:1")
    c.wait_until("that is told", lambda: story.status("web").get("updatedReplicas") == 1)
    checks.equal(sum(image_of(pod) == f"{BROKEN}:1" for pod in story.pods("web")), 1, "a template that does not work stops at one pod")
    control.out("rollout", "undo", "sts/web")
    c.wait_until("that is seen", lambda: story.status("web")["observedGeneration"] == control.json("get", "sts", "web")["metadata"]["generation"])
    # As upstream: it is not replaced by itself before it was ready.
    story.delete("web-2")
    story.has("web", range(3), "my-app:3")
    checks.ok(True, "undone, and the broken pod deleted, it is whole")
    nodes.becomes_ready = lambda pod: True

    control.out("patch", "sts", "web", "-p", '{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}')
    control.out("set", "image", "sts/web", "main=my-app:4")
    c.wait_until("that is seen", lambda: story.status("web").get("updatedReplicas", 0) == 0)
    story.delete("web-1")
    story.has("web", range(3))
    checks.equal({name_of(pod): image_of(pod) for pod in story.pods("web")}, {"web-0": "my-app:3", "web-1": "my-app:4", "web-2": "my-app:3"},
                 "OnDelete replaces what is deleted by hand")
    story.gone("web")
    checks.equal(len(story.claims("web")), 5, "claims outlive their set")


def parallel(story):
    control, checks, nodes = story.control, story.checks, story.nodes
    nodes.becomes_ready = lambda pod: False
    story.apply(stateful_set("par", podManagementPolicy="Parallel", ordinals={"start": 5}, minReadySeconds=1))
    c.wait_until("all are made", lambda: sorted(map(name_of, story.pods("par"))) == ["par-5", "par-6", "par-7"])
    checks.ok(True, "Parallel: none waits for another, and ordinals may begin anywhere")
    nodes.becomes_ready = lambda pod: True
    nodes.again()
    story.has("par", [5, 6, 7])
    c.wait_until("all are available", lambda: story.status("par").get("availableReplicas") == 3)
    checks.ok(True, "minReadySeconds is over by itself")
    control.out("scale", "sts", "par", "--replicas=0")
    c.wait_until("all are gone", lambda: not story.pods("par"))
    story.gone("par")


def retention(story):
    control, checks = story.control, story.checks
    story.apply(stateful_set("keep", replicas=2, volumeClaimTemplates=[claim("data")],
                             persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete", "whenScaled": "Delete"}))
    story.has("keep", [0, 1])
    control.out("scale", "sts", "keep", "--replicas=1")
    story.has("keep", [0])
    c.wait_until("the claim of the pod that went is gone", lambda: story.claims("keep") == ["data-keep-0"])
    control.out("scale", "sts", "keep", "--replicas=2")
    story.has("keep", [0, 1])
    checks.equal(story.claims("keep"), ["data-keep-0", "data-keep-1"], "whenScaled: Delete: a claim goes with its pod, and comes again")
    story.gone("keep")
    c.wait_until("all claims are gone", lambda: not story.claims("keep"))
    checks.ok(True, "whenDeleted: Delete: claims go with their set")


def killed(story):
    """gantry-control killed while pods are made, replaced and removed: never two of one ordinal, and it goes on."""
    control, checks, nodes = story.control, story.checks, story.nodes
    story.apply(stateful_set("kill", replicas=4))
    for turn in range(2, 5):
        c.wait_until("something is under way", lambda: any(image_of(pod) == f"my-app:{turn - 1}" for pod in story.pods("kill")))
        control.kill()
        control.start()
        control.out("set", "image", "sts/kill", f"main=my-app:{turn}")
    story.has("kill", range(4), "my-app:4")
    revisions = control.json("get", "controllerrevisions", "-l", "app=kill")["items"]
    checks.equal(sorted(each["revision"] for each in revisions), [1, 2, 3, 4], "killed in the middle of updates, none is lost and none told twice")
    # Names are the API server's to keep apart; that a set goes on in order is ours.
    story.watched(lambda pods: sum(is_ready(pod) and not is_ending(pod) for pod in of_app(pods, "kill")))
    control.out("rollout", "restart", "sts/kill")
    story.rolled_out("kill")
    seen = story.remarks()
    checks.ok(seen and min(seen) >= 3, "and goes on one pod at a time", seen)
    story.gone("kill")


def story(checks):
    with Control(checks) as control, PlayedNodes(control) as nodes:
        control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": [volume(i) for i in range(12)]}))
        nodes.add("n1")
        nodes.add("n2")
        told = Story(checks, control, nodes)
        ordered(told)
        rolling(told)
        parallel(told)
        retention(told)
        killed(told)


c.main(story)
