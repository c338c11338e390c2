#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""What people do with a cluster, over a real node: a HorizontalPodAutoscaler makes a busy Deployment larger by what its pods use, as gantryd
measures it, and smaller again; and kubectl drain empties the node but for a DaemonSet's pod, no faster than a budget lets it."""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import SLEEPS, JoiningNode, NodeControl
from cri_client import IMAGE
from played_nodes import is_ending, is_ready
from pods import container

FAST = ("--metric-resolution", "1s", "--horizontal-pod-autoscaler-sync-period", "1s",
        "--horizontal-pod-autoscaler-downscale-stabilization", "2s", "--horizontal-pod-autoscaler-cpu-initialization-period", "0s")
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget"
# As long as there is no file /work/rest its only matter is the time that it takes.
BUSY = "trap 'exit 0' TERM; until [ -e /work/rest ]; do :; done; while :; do sleep 2; done"


def owner(kind, name, containers, volumes=(), **spec):
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}}, **spec, "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1, "volumes": list(volumes),
            "containers": containers}}}}


class Story:
    def __init__(self, checks, control, node):
        self.checks, self.control, self.node = checks, control, node

    def make(self, *objects):
        self.control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def ready(self, name):
        """The uids of its pods that are."""
        found = self.control.json("get", "pods", "-l", f"app={name}")["items"]
        return {pod["metadata"]["uid"] for pod in found if is_ready(pod) and not is_ending(pod)}

    def has(self, name, count, what):
        c.wait_until(f"{name} has {count} pods", lambda: len(self.ready(name)) == count, limit=300)
        self.checks.ok(True, what)


def scaled(story):
    checks, control = story.checks, story.control
    work = story.node.work / "shared"
    work.mkdir()
    story.make(owner("Deployment", "busy", [container("web", BUSY, volumeMounts=[{"name": "work", "mountPath": "/work"}],
                                                      resources={"requests": {"cpu": "20m"}})],
                     [{"name": "work", "hostPath": {"path": str(work)}}], replicas=1))
    control.out("autoscale", "deployment", "busy", "--cpu-percent=50", "--min=1", "--max=3")
    story.has("busy", 3, "kubectl autoscale: busy pods become more, by what the node has measured")
    c.wait_until("events tell", lambda: "SuccessfulRescale" in control.out("describe", "hpa", "busy"))
    (work / "rest").touch()
    story.has("busy", 1, "and fewer when they rest")

    def conditions():
        return {each["type"]: each["status"] for each in control.json("get", "hpa", "busy")["status"].get("conditions", [])}
    c.wait_until("its conditions are good", lambda: {"AbleToScale": "True", "ScalingActive": "True"}.items() <= conditions().items())
    checks.ok(True, "its conditions")
    control.out("delete", "hpa,deployment", "busy")
    c.wait_until("they are gone", lambda: not control.out("get", "pods", "-l", "app=busy", "-o", "name"))


def drained(story):
    checks, control, node = story.checks, story.control, story.node.name
    story.make(owner("DaemonSet", "daemon", [container("web", SLEEPS)]), owner("Deployment", "web", [container("web", SLEEPS)], replicas=2),
               {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
                "spec": {"selector": {"matchLabels": {"app": "web"}}, "minAvailable": 1}})
    story.has("web", 2, "two pods, of which one has to be there")
    story.has("daemon", 1, "beside a DaemonSet's")
    daemon, before = story.ready("daemon"), story.ready("web")
    refused = control.kubectl("drain", node)
    checks.contains(refused.stderr, "cannot delete DaemonSet-managed Pods", "kubectl drain asks for --ignore-daemonsets")
    c.wait_until("the budget knows them", lambda: control.json("get", "pdb", "web")["status"]["disruptionsAllowed"] == 1)
    errors = control.folder / "drain.log"
    with open(errors, "wb") as log:
        drain = subprocess.Popen(control.kubectl_command("drain", node, "--ignore-daemonsets", "--timeout=0"), stdout=log, stderr=log)
    try:
        c.wait_until("kubectl drain is refused the second", lambda: REFUSED in errors.read_text(errors="replace"), limit=300)
        left = story.ready("web")
        checks.ok(len(left) == 1 and left <= before, "it evicts one, and no other as long as that is missing", left)
        # Where else should it come.
        control.out("uncordon", node)
        checks.equal(drain.wait(300 * c.slowness), 0, "when another is there the second goes, and the drain is done")
    finally:
        drain.kill()
        drain.wait()
    story.has("web", 2, "both come again")
    checks.ok(not story.ready("web") & before, "as other pods")
    checks.equal(story.ready("daemon"), daemon, "the DaemonSet's has stayed")


def story(checks):
    with JoiningNode(checks) as node:
        node.build_image(IMAGE)
        with NodeControl(checks, node, FAST) as control:
            node.join(control.join_words())
            node.kill_gantryd()
            node.wait_until_ready(control)
            node.approve_serving(control)
            told = Story(checks, control, node)
            for part in scaled, drained:
                part(told)


c.main(story)
