#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""A ReplicaSet, its Service and its PodDisruptionBudget over a real node: EndpointSlices follow what the pods' probes say, evictions what
the budget says, and gantryd's and gantry-control's ends change neither."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import SLEEPS, ready_node
from cri_client import IMAGE

OBJECTS = [
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
     "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "pages"}]}},
    {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
     "spec": {"selector": {"matchLabels": {"app": "web"}}, "maxUnavailable": 1}},
    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"}, "spec": {
        "replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
            "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1, "containers": [{
                "name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", f"touch /tmp/ok; {SLEEPS}"],
                "ports": [{"name": "pages", "containerPort": 8080}],
                "readinessProbe": {"exec": {"command": ["/bin/sh", "-c", "test -e /tmp/ok"]}, "periodSeconds": 1, "timeoutSeconds": 60,
                                   "failureThreshold": 1}}]}}}}]


class Story:
    def __init__(self, checks, control, node):
        self.checks, self.control, self.node = checks, control, node

    def pods(self):
        """{name: address} of those that are not being deleted."""
        found = self.control.json("get", "pods", "-l", "app=web")["items"]
        return {each["metadata"]["name"]: each["status"].get("podIP") for each in found if "deletionTimestamp" not in each["metadata"]}

    def endpoints(self):
        """{pod: (address, ready)}"""
        found = self.control.json("get", "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
        return {one["targetRef"]["name"]: (one["addresses"][0], one["conditions"]["ready"])
                for each in found for one in each.get("endpoints") or []}

    def are_ready(self, what, without=()):
        """All three pods are endpoints, and ready but for those of `without`."""
        def holds():
            pods = self.pods()
            return len(pods) == 3 and self.endpoints() == {name: (address, name not in without) for name, address in pods.items()}
        c.wait_until(what, holds, limit=2 * c.PATIENCE)
        self.checks.ok(True, what)

    def allows(self, many):
        c.wait_until(f"{many} may leave", lambda: self.control.json("get", "pdb", "web")["status"]["disruptionsAllowed"] == many)

    def run_in(self, pod, script):
        for key, item in self.node.containers().items():
            if item["labels"]["io.kubernetes.pod.name"] == pod and item["state"] == "CONTAINER_RUNNING":
                self.node.crictl("exec", "-s", key, "/bin/sh", "-c", script)

    def evict(self, pod):
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "default"}}
        return self.control.kubectl("create", "--raw", f"/api/v1/namespaces/default/pods/{pod}/eviction", "-f", "-", given=json.dumps(body))


def story(checks):
    with ready_node(checks) as (node, control):
        told = Story(checks, control, node)
        control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": OBJECTS}))
        told.are_ready("the pods of a ReplicaSet are the endpoints of its service")
        told.allows(1)
        checks.ok(True, "and one of them may leave")
        sick, well, _ = sorted(told.pods())
        told.run_in(sick, "rm /tmp/ok")
        told.are_ready("one whose probe says no is not ready", without=[sick])
        told.allows(0)
        checks.contains(told.evict(well).stderr, "disruption budget", "then no other may leave")
        node.kill_gantryd()
        node.wait_for_gantryd()
        told.are_ready("all is as it was after gantryd's end", without=[sick])
        told.run_in(sick, "touch /tmp/ok")
        told.are_ready("and ready again when its probe says so")
        told.allows(1)
        checks.equal(told.evict(well).returncode, 0, "one may leave")
        c.wait_until("another comes", lambda: well not in told.pods() and len(told.pods()) == 3)
        told.are_ready("and another comes in its place")
        control.kill()
        control.start()
        told.are_ready("nothing changes with gantry-control's end")
        told.allows(1)
        control.out("delete", "rs/web", "service/web", "pdb/web")
        c.wait_until("nothing is left", lambda: not told.pods() and not told.endpoints() and not node.pods(), limit=2 * c.PATIENCE)
        checks.ok(True, "what belongs to them goes with them")


c.main(story)
