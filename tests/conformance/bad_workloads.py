#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 900
"""Workloads that cannot be, over nodes that the test plays: each is refused with a sentence, or says by an event or a condition why nothing comes
of it; and those beside them go on. Owners in a circle are kubectl_gc.py's."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from played_nodes import PlayedNodes, is_ready

CROWD = 1000 if c.ALL else 100
LIMIT = 5 * c.PATIENCE


def workload(kind, name, labels=None, pod=None, **spec):
    labels = labels or {"app": name}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": labels}, **spec, "template": {"metadata": {"labels": labels}, "spec": {
            "containers": [{"name": "main", "image": "my-app:1", "resources": {"requests": {"cpu": "10m"}}}], **(pod or {})}}}}


def autoscaler(name, target, **spec):
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
            "spec": {"scaleTargetRef": target, "maxReplicas": 3, **spec}}


def budget(name, app):
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": app}}}}


def cron_job(name, **spec):
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "my-app:1"}]}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}, **spec}}


class Story:
    def __init__(self, checks, control):
        self.checks, self.control = checks, control

    def make(self, *wanted):
        self.control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(wanted)}))

    def refused(self, wanted, parts, what):
        done = self.control.kubectl("create", "-f", "-", given=json.dumps(wanted))
        self.checks.ok(done.returncode, f"{what} is refused")
        self.checks.contains(done.stderr, parts, f"{what}: the sentence says why")

    def until(self, what, holds):
        c.wait_until(what, holds, limit=LIMIT, pause=0.2)
        self.checks.ok(True, what)

    def ready(self, label):
        return [pod for pod in self.control.json("get", "pods", "-l", label)["items"] if is_ready(pod)]

    def said(self, name):
        return {(each["reason"], each["message"]) for each in self.control.json("get", "events")["items"] if each["involvedObject"]["name"] == name}

    def condition(self, what, kind):
        found = [each for each in self.control.json("get", what)["status"].get("conditions") or [] if each["type"] == kind]
        return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else ("", "", "")

    def others_work(self, name):
        """Whatever else there is."""
        self.make(workload("Deployment", name, replicas=2))
        self.until(f"another Deployment gets its pods ({name})", lambda: len(self.ready(f"app={name}")) == 2)

    def refusals(self):
        wrong = workload("Deployment", "wrong")
        wrong["spec"]["selector"]["matchLabels"] = {"app": "another"}
        for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"):
            self.refused({**wrong, "kind": kind}, ["spec.template.metadata.labels", "`selector` does not match template `labels`"],
                         f"a {kind} whose template its selector does not find")
        wrong["spec"]["selector"] = {}
        self.refused(wrong, "spec.selector", "a Deployment that would select every pod")
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}
        self.refused(workload("Deployment", "wrong", strategy=strategy), "maxUnavailable", "an update that could replace nothing")
        self.refused(cron_job("wrong", schedule="61 * * * *"), "spec.schedule", "a CronJob whose time never comes")
        self.make(cron_job("atlantis", schedule="* * * * *", timeZone="Nowhere/Atlantis"))
        self.until("a time zone that the machine does not know is an event", lambda: any(
            reason == "UnknownTimeZone" and "Nowhere/Atlantis" in text for reason, text in self.said("atlantis")))
        web = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        self.refused(autoscaler("wrong", web, minReplicas=5), "maxReplicas", "an autoscaler of at least 5 and at most 3")
        self.refused(autoscaler("wrong", web, metrics=[{"type": "Resource"}]), "spec.metrics[0].resource", "a metric that says nothing")

    def overlap(self):
        """Each has its own pods: who made one owns it, and nobody takes it from him."""
        shared = {"app": "shared"}
        sets = [workload("ReplicaSet", f"set-{i}", labels=shared, replicas=2) for i in range(2)]
        deployments = [workload("Deployment", f"both-{i}", labels={"app": "both"}, replicas=2) for i in range(2)]
        self.make(*sets, *deployments)
        self.until("two ReplicaSets of one selector have the pods of both", lambda: len(self.ready("app=shared")) == 4)
        self.until("so have two Deployments", lambda: len(self.ready("app=both")) == 4)
        uids = {pod["metadata"]["uid"] for pod in self.ready("app=shared")}
        owners = [pod["metadata"]["ownerReferences"][0]["name"] for pod in self.ready("app=shared")]
        self.checks.equal(sorted(owners), ["set-0", "set-0", "set-1", "set-1"], "each has two")
        self.until("and counts its own", lambda: [
            each["status"]["replicas"] for each in self.control.json("get", "rs", "set-0", "set-1")["items"]] == [2, 2])
        self.control.out("scale", "rs", "set-0", "--replicas=0")
        self.until("what one gives up the other does not miss", lambda: {
            pod["metadata"]["ownerReferences"][0]["name"] for pod in self.control.json("get", "pods", "-l", "app=shared")["items"]} == {"set-1"})
        self.checks.ok({pod["metadata"]["uid"] for pod in self.ready("app=shared")} < uids, "its pods are the same")
        for i in range(2):
            self.checks.contains(self.control.rolled_out(f"deployment/both-{i}"), "successfully rolled out", f"both-{i} is rolled out")

    def budgets(self):
        self.make(budget("one", "both"), budget("two", "both"))
        for name in ("one", "two"):
            self.until(f"budget {name} knows its pods", lambda name=name: self.control.json("get", "pdb", name)["status"].get("currentHealthy") == 4)
        pod = self.ready("app=both")[0]["metadata"]["name"]
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "default"}}
        done = self.control.kubectl("create", "--raw", f"/api/v1/namespaces/default/pods/{pod}/eviction", "-f", "-", given=json.dumps(body))
        self.checks.contains(done.stderr, "more than one PodDisruptionBudget", "a pod that two budgets are for is not evicted, and why")

    def autoscalers(self):
        kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
        self.make(autoscaler("nobody", {**kind, "name": "nobody"}), autoscaler("unknown", {"apiVersion": "example.com/v1", "kind": "Thing", "name": "x"}),
                  autoscaler("daemon", {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "daemon"}))
        for name in ("nobody", "unknown", "daemon"):
            self.until(f"an autoscaler whose target is {name} says so", lambda name=name: self.condition(f"hpa/{name}", "AbleToScale")[:2] == (
                "False", "FailedGetScale"))
            self.until(f"and by an event, too ({name})", lambda name=name: any(reason == "FailedGetScale" for reason, _ in self.said(name)))

    def crowd(self):
        affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": "torn"}}, "topologyKey": "kubernetes.io/hostname"}]}}
        affinity["podAntiAffinity"] = affinity["podAffinity"]
        self.make(workload("Deployment", "crowd", replicas=CROWD, pod={"nodeSelector": {"nowhere": "yes"}}),
                  workload("Deployment", "torn", replicas=2, pod={"affinity": affinity}),
                  workload("Deployment", "giant", replicas=1, pod={"overhead": None, "containers": [
                      {"name": "main", "image": "my-app:1", "resources": {"requests": {"cpu": "1000", "memory": "100Ti"}}}]}))
        self.others_work("small")
        self.until("each of a crowd that fits nowhere is told why", lambda: self.told("crowd", "didn't match Pod's node affinity/selector") == CROWD)
        self.until("so is who wants to be beside himself, and not", lambda: self.told("torn", "anti-affinity rules") >= 1)
        self.until("and who is too large", lambda: self.told("giant", "Insufficient cpu") == 1)
        pod = self.control.json("get", "pods", "-l", "app=giant")["items"][0]["metadata"]["name"]
        self.until("there is an event, too", lambda: any(reason == "FailedScheduling" and "Insufficient memory" in text for reason, text in self.said(pod)))
        self.others_work("late")

    def told(self, app, part):
        """How many pods of it are told that."""
        found = self.control.json("get", "pods", "-l", f"app={app}")["items"]
        return sum(any(each["type"] == "PodScheduled" and part in each.get("message", "") for each in pod["status"].get("conditions", []))
                   for pod in found)


def story(checks):
    with Control(checks, ["--horizontal-pod-autoscaler-sync-period", "1s"]) as control, PlayedNodes(control) as nodes:
        nodes.add("n1", room={"pods": "100"})
        nodes.add("n2", room={"pods": "100"})
        told = Story(checks, control)
        told.make(workload("DaemonSet", "daemon"))
        for part in (told.refusals, told.overlap, told.budgets, told.autoscalers, told.crowd):
            part()


c.main(story)
