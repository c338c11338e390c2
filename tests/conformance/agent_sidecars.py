#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Sidecars: a pod is Ready when they are, and when its work is done they end after it, the last one first, and the pod with them."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import READY, SLEEPS, ready_node
from cri_client import IMAGE

MOUNT = [{"name": "out", "mountPath": "/out"}]
# Hears TERM, says so, and ends when it may.
ENDS_WHEN_TOLD = ("trap 'echo NAME >> /out/heard; while ! test -e /out/NAME-may-end; do sleep 0.1; done; exit 0' TERM; touch /out/NAME-listens; "
                  "while :; do sleep 0.1; done")


def container(name, command, **more):
    return {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", command], "volumeMounts": MOUNT, **more}


def sidecar(name, command, **more):
    return container(name, command, restartPolicy="Always", **more)


class World:
    def __init__(self, checks, control, node):
        self.checks, self.control, self.node = checks, control, node

    def create(self, name, **spec):
        """Its containers' /out is the folder that this answers."""
        out = self.node.state / name
        out.mkdir()
        self.control.out("create", "-f", "-", given=json.dumps({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"nodeName": self.node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 3600,
                     "volumes": [{"name": "out", "hostPath": {"path": str(out)}}], **spec}}))
        return out

    def status(self, name):
        return self.control.json("get", "pod", name)["status"]

    def condition(self, name, kind):
        return next((one for one in self.status(name).get("conditions", []) if one["type"] == kind), {})


def readiness(world):
    probe = {"exec": {"command": ["/bin/busybox", "test", "-e", "/out/ready"]}, "periodSeconds": 1, "timeoutSeconds": 60}
    out = world.create("served", initContainers=[sidecar("proxy", SLEEPS, readinessProbe=probe)], containers=[container("web", SLEEPS)])
    c.wait_until("the main container runs", lambda: "running" in world.status("served").get("containerStatuses", [{}])[0].get("state", {}))
    for kind in ("ContainersReady", "Ready"):
        seen = world.condition("served", kind)
        world.checks.equal((seen.get("status"), seen.get("message")), ("False", "containers with unready status: [proxy]"),
                           f"a sidecar that is not ready counts for {kind}")
    (out / "ready").touch()
    world.control.wait_for("served", "is Ready", READY, "True")
    world.control.out("delete", "pod", "served", "--wait=false", "--grace-period=1")


def ends_after_its_work(world):
    main = container("work", "while ! test -e /out/done; do sleep 0.1; done")
    out = world.create("job", restartPolicy="Never", containers=[main],
                       initContainers=[sidecar(name, ENDS_WHEN_TOLD.replace("NAME", name)) for name in ("first", "second")])

    def heard():
        return (out / "heard").read_text().split() if (out / "heard").exists() else []
    c.wait_until("the sidecars listen", lambda: (out / "first-listens").exists() and (out / "second-listens").exists())
    (out / "done").touch()
    c.wait_until("a sidecar hears of the end", heard)
    c.wait_until("the API tells of the work's end", lambda: "terminated" in world.status("job")["containerStatuses"][0]["state"])
    world.checks.equal((heard(), world.status("job")["phase"]), (["second"], "Running"),
                       "the work is done: the last sidecar is told, and the pod runs until they have ended")
    (out / "second-may-end").touch()
    c.wait_until("the other one hears of it, too", lambda: heard() == ["second", "first"])
    world.checks.equal(world.status("job")["phase"], "Running", "and the pod runs on")
    (out / "first-may-end").touch()
    c.wait_until("the pod has ended", lambda: world.status("job")["phase"] == "Succeeded")
    seen = world.status("job")
    world.checks.equal([one["state"]["terminated"]["exitCode"] for one in seen["initContainerStatuses"]], [0, 0], "with its sidecars, by themselves")
    ready = world.condition("job", "Ready")
    world.checks.equal((ready["status"], ready["reason"]), ("False", "PodCompleted"), "it is not Ready any more, as it is done")


def story(checks):
    with ready_node(checks) as (node, control):
        world = World(checks, control, node)
        readiness(world)
        ends_after_its_work(world)


c.main(story)
