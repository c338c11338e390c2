#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 1800
"""HorizontalPodAutoscalers: a Deployment whose pods share a load that the test says (a kubelet of its own serves what they use), under kubectl
autoscale: up, to its bound, down again, without metrics, two for one target, and over a kill of gantry-control."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from kubelet import Kubelet, make_certificate, subject_of
from played_nodes import PlayedNodes, is_ending, is_ready
from usage import Usage

# A story is not to wait for minutes; that the defaults are upstream's is a unit test's matter.
FAST = ("--metric-resolution", "1s", "--horizontal-pod-autoscaler-sync-period", "1s",
        "--horizontal-pod-autoscaler-downscale-stabilization", "2s", "--horizontal-pod-autoscaler-cpu-initialization-period", "0s")
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: i, resources: {requests: {cpu: "1"}}}]
"""
POLICY = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}, "spec": {
    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 6,
    "metrics": [{"type": "ContainerResource", "containerResource": {
        "name": "memory", "container": "main", "target": {"type": "AverageValue", "averageValue": "64Mi"}}}],
    "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 1}]},
                 "scaleDown": {"selectPolicy": "Disabled"}}}}


class SharedLoad:
    """The page of a kubelet: the pods that are Ready have the load among them, in equal parts."""

    def __init__(self, nodes):
        self.nodes, self.usage, self.cores, self.memory = nodes, Usage(), 0.0, 1 << 20

    def __call__(self):
        with self.nodes.lock:
            pods = [pod["metadata"]["name"] for pod in self.nodes.pods.values() if is_ready(pod) and not is_ending(pod)]
        with self.usage.lock:
            gone = {key[1] for key in self.usage.containers} - set(pods)
        for name in gone:
            self.usage.drop(name)
        for name in pods:
            self.usage.put(name, "main", self.cores / len(pods), self.memory)
        return self.usage()


def replicas(control):
    return control.json("get", "deployment", "web")["spec"]["replicas"]


def condition(control, kind, name="web"):
    found = [one for one in control.json("get", "hpa", name)["status"].get("conditions") or [] if one["type"] == kind]
    return found[0] if found else {"status": "", "reason": "", "message": ""}


def reason(control, kind, name="web"):
    return condition(control, kind, name)["reason"]


def said(control, name="web"):
    """(reason, message) of all events of the autoscaler."""
    return {(one["reason"], one["message"]) for one in control.json("get", "events")["items"] if one["involvedObject"]["name"] == name and
            one["involvedObject"]["kind"] == "HorizontalPodAutoscaler"}


def percentage(control):
    metrics = control.json("get", "hpa", "web")["status"].get("currentMetrics") or [{}]
    return metrics[0].get("resource", {}).get("current", {}).get("averageUtilization", -1)


def without_metrics(checks, control):
    control.out("create", "-f", "-", given=DEPLOYMENT)
    control.out("autoscale", "deployment", "web", "--min=1", "--max=6", "--cpu-percent=50")
    c.wait_until("what can't be measured is said", lambda: reason(control, "ScalingActive") == "FailedGetResourceMetric")
    checks.contains(condition(control, "ScalingActive")["message"], "the HPA was unable to compute the replica count: failed to get cpu "
                    "utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API", "in upstream's words")
    c.wait_until("and there is an event", lambda: any(one[0] == "FailedGetResourceMetric" for one in said(control)))
    checks.equal(replicas(control), 1, "without metrics nothing changes")


def up_and_down(checks, control, load):
    load.cores = 2.0
    c.wait_until("so many pods that each uses half of what it requests",
                 lambda: replicas(control) == 4 and percentage(control) in (49, 50), limit=180)
    c.wait_until("with an event that says why", lambda: any(
        one[0] == "SuccessfulRescale" and one[1].endswith("reason: cpu resource utilization (percentage of request) above target")
        for one in said(control)))
    status = control.json("get", "hpa", "web")
    checks.equal(status["status"]["observedGeneration"], status["metadata"]["generation"], "the status is of this spec")
    checks.ok("lastScaleTime" in status["status"], "and says when it was scaled", status["status"])
    checks.contains(control.out("get", "hpa", "web"), "/50%", "kubectl get hpa shows use and target")
    load.cores = 60.0
    c.wait_until("no more than its bound", lambda: replicas(control) == 6 and reason(control, "ScalingLimited") == "TooManyReplicas",
                 limit=180)
    control.process.kill()
    control.process.wait()
    control.start()
    load.cores = 0.1
    c.wait_until("fewer when less is to be done, also for one that has just begun", lambda: replicas(control) == 1, limit=180)
    c.wait_until("and an event says so", lambda: any(one[1].endswith("reason: All metrics below target") for one in said(control)))


def off(checks, control, load):
    control.out("scale", "deployment", "web", "--replicas=0")
    c.wait_until("none is none", lambda: reason(control, "ScalingActive") == "ScalingDisabled")
    load.cores = 60.0
    checks.equal(replicas(control), 0, "whatever there is to do")
    load.cores = 0.5
    control.out("scale", "deployment", "web", "--replicas=1")
    c.wait_until("one is counted again", lambda: reason(control, "ScalingActive") == "ValidMetricFound", limit=180)


def two(checks, control):
    control.out("autoscale", "deployment", "web", "--name=again", "--min=1", "--max=3", "--cpu-percent=50")
    c.wait_until("two for the same pods do nothing", lambda: {reason(control, "ScalingActive", name) for name in ("web", "again")} ==
                 {"AmbiguousSelector"})
    control.out("delete", "hpa", "again")
    c.wait_until("until there is one", lambda: reason(control, "ScalingActive") == "ValidMetricFound", limit=180)
    lost = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "missing"}, "maxReplicas": 3}
    control.out("create", "-f", "-", given=json.dumps({**POLICY, "metadata": {"name": "lost"}, "spec": lost}))
    c.wait_until("what is not there is said", lambda: condition(control, "AbleToScale", "lost")["message"].endswith(
        'unable to get the target\'s current scale: deployments.apps "missing" not found'))
    control.out("delete", "hpa", "lost")


def by_policy(checks, control, load):
    control.out("delete", "hpa", "web")
    load.memory = 128 << 20
    begin = control.json("get", "deployment", "web")
    control.out("create", "-f", "-", given=json.dumps(POLICY))
    c.wait_until("by the memory of one container, to the bound", lambda: replicas(control) == 6, limit=180)
    steps = control.json("get", "deployment", "web")["metadata"]["generation"] - begin["metadata"]["generation"]
    checks.ok(steps >= 6 - begin["spec"]["replicas"], "one pod after the other, as its policy says", steps)
    load.memory = 1 << 20
    c.wait_until("and not down, for that is disabled", lambda: reason(control, "ScalingLimited") == "ScaleDownLimit", limit=180)
    checks.equal(replicas(control), 6, "whatever they use")


def story(checks):
    with Control(checks, FAST) as control, PlayedNodes(control) as nodes:
        folder = control.folder / "n1"
        folder.mkdir()
        certificate, key = make_certificate(control.data / "pki", folder, subject=subject_of("n1"))
        load = SharedLoad(nodes)
        with Kubelet(certificate, key, control.data / "pki/ca.crt") as kubelet:
            nodes.add("n1", room={"cpu": "64"})
            control.out("patch", "node", "n1", "--subresource=status", "--type=merge", "-p", json.dumps({"status": {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}}}}))
            without_metrics(checks, control)
            kubelet.usage = load
            up_and_down(checks, control, load)
            off(checks, control, load)
            two(checks, control)
            by_policy(checks, control, load)


c.main(story)
