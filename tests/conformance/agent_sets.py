#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""A DaemonSet and a StatefulSet over a real node: their pods run there, with their names, and get new templates, across the ends of
gantryd and gantry-control."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import SLEEPS, ready_node
from cri_client import IMAGE
from played_nodes import is_ending, is_ready


def owner(kind, name, **spec):
    container = {"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", SLEEPS],
                 "env": [{"name": "VERSION", "value": "1"}]}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}}, **spec,
        "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1, "containers": [container]}}}}


class Story:
    def __init__(self, checks, control):
        self.checks, self.control = checks, control

    def uids(self):
        return {pod["metadata"]["uid"] for pod in self.control.json("get", "pods")["items"] if not is_ending(pod)}

    def running(self, name):
        """{pod: version} of those that are ready."""
        found = self.control.json("get", "pods", "-l", f"app={name}")["items"]
        return {pod["metadata"]["name"]: pod["spec"]["containers"][0]["env"][0]["value"] for pod in found
                if not is_ending(pod) and is_ready(pod)}

    def are(self, versions, what):
        """One pod of the DaemonSet and two of the StatefulSet are ready, of these versions."""
        def holds():
            daemons, replicas = self.running("daemon"), self.running("state")
            return list(daemons.values()) == [versions[0]] and replicas == {"state-0": versions[1], "state-1": versions[1]}
        c.wait_until(what, holds, limit=2 * c.PATIENCE)
        self.checks.ok(True, what)

    def update(self, target, version):
        self.control.out("set", "env", target, f"VERSION={version}")


def story(checks):
    with ready_node(checks) as (node, control):
        told = Story(checks, control)
        wanted = [owner("DaemonSet", "daemon"), owner("StatefulSet", "state", replicas=2, serviceName="state")]
        control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted}))
        told.are(("1", "1"), "the node runs a pod of the DaemonSet and those of the StatefulSet")
        asked = "read name < /proc/sys/kernel/hostname; echo $name"
        names = [node.crictl("exec", "-s", key, "/bin/sh", "-c", asked).stdout.strip() for key, item in node.containers().items()
                 if item["state"] == "CONTAINER_RUNNING" and item["labels"]["io.kubernetes.pod.name"].startswith("state-")]
        checks.equal(sorted(names), ["state-0", "state-1"], "pods of a StatefulSet know their names")
        told.update("ds/daemon", 2)
        told.update("sts/state", 2)
        told.are(("2", "2"), "new templates come to them")
        before = told.uids()
        node.kill_gantryd()
        node.wait_for_gantryd()
        control.kill()
        control.start()
        told.are(("2", "2"), "all is as it was after the ends of gantryd and gantry-control")
        checks.equal(told.uids(), before, "with the same pods")
        told.update("sts/state", 3)
        control.kill()
        control.start()
        told.are(("2", "3"), "an update goes on after gantry-control's end")
        control.out("delete", "ds/daemon", "sts/state")
        c.wait_until("nothing is left", lambda: not control.json("get", "pods")["items"] and not node.pods(), limit=2 * c.PATIENCE)
        checks.ok(True, "pods go with their owners")


c.main(story)
