#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""What a node does that is short of something, as kubectl shows it: pods that use more of the disk than their limits say are
evicted, under memory pressure pods go until only static ones are left, and best-effort ones are not taken, and for a full disk
images go that nobody uses, pods, and what they had on it. The thresholds are such that the machine's own memory and disk decide
about nothing."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import SLEEPS
from cri_client import IMAGE
from oci import Image, entry, tar
from short_node import ENOUGH, NO_DISK, NO_MEMORY, short_node

MANIFEST = f"""
apiVersion: v1
kind: Pod
metadata: {{name: fixed}}
spec:
  containers: [{{name: web, image: "{IMAGE}", imagePullPolicy: IfNotPresent, command: [/bin/sh, -c, "{SLEEPS}"]}}]
"""
MOUNTS = [{"name": "v", "mountPath": "/v"}]


def limits(world):
    """The whole of them is over before any is looked at: one round of the agent's serves all."""
    def of_disk(amount):
        return {"resources": {"limits": {"ephemeral-storage": amount}}}
    world.create("modest", "head -c 500000 /dev/zero > /data; " + SLEEPS, container=of_disk("20Mi"))
    world.create("large", "head -c 3000000 /dev/zero > /data; " + SLEEPS, container=of_disk("1Mi"))
    world.create("volume", "head -c 3000000 /dev/zero > /v/data; " + SLEEPS, MOUNTS, [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}])
    world.is_evicted("large", "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ", False)
    world.is_evicted("volume", 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ', False)
    world.runs("modest")
    world.checks.ok(True, "one within its limits runs on")


def pressure(world):
    (world.node.manifests / "fixed.yaml").write_text(MANIFEST)
    fixed = f"fixed-{world.node.name}"
    world.runs(fixed)
    world.configure(NO_MEMORY)
    world.is_evicted("modest", "The node was low on resource: memory. Threshold quantity: 100000Ti, available: ")
    world.has_pressure(True)
    world.has_event(world.node.name, "EvictionThresholdMet", "Attempting to reclaim memory")
    world.create("late", SLEEPS)
    world.is_not_taken("late", "MemoryPressure")
    world.checks.equal(world.field(fixed, ".status.phase"), "Running", "a static pod runs on")
    world.configure(ENOUGH)
    world.has_pressure(False)
    world.checks.equal(world.field("modest", ".status.reason"), "Evicted", "who was evicted stays so")
    world.create("again", SLEEPS)
    world.runs("again")


def full_disk(world):
    world.create("finished", "true")
    world.wait("finished", ".status.phase", "Succeeded")
    world.create("writer", "head -c 100000 /dev/zero > /v/data; " + SLEEPS, MOUNTS, [{"name": "v", "emptyDir": {}}])
    world.runs("writer")
    uid = world.field("writer", ".metadata.uid")
    volume = world.node.state / "kubelet/pods" / uid / "volumes/kubernetes.io~empty-dir/v"
    logs = world.node.state / "log/pods" / f"default_writer_{uid}"
    world.checks.equal((volume.exists(), logs.exists()), (True, True), "it has a volume and logs")
    spare = world.node.work / "spare.tar"
    Image(tar([entry("spare", content=b"x")])).archive(spare, "spare:test")
    world.node.image("load", spare)
    world.configure(NO_DISK)
    world.is_evicted("writer", "The node was low on resource: ephemeral-storage. Threshold quantity: 100000Ti, available: ")
    world.has_pressure(True, "DiskPressure")
    c.wait_until("its volume and its logs are gone", lambda: not volume.exists() and not logs.exists())
    gone = {"writer", "finished"}
    c.wait_until("its container is gone, and that of a pod that was at its end", lambda: not gone & {
        one["labels"]["io.kubernetes.pod.name"] for one in world.node.containers().values()})
    world.checks.equal(world.field("finished", ".status.containerStatuses[0].state.terminated.reason"), "Completed",
                       "which is told as before")
    names = world.node.crictl("images", "-o", "json").stdout
    world.checks.ok("spare:test" not in names and IMAGE in names, "an image that nobody uses was removed before, one that is used not", names)
    status = world.control.json("get", "pod", "writer")["status"]
    world.checks.ok("terminated" in status["containerStatuses"][0]["state"], "how it ended is still told", json.dumps(status))
    world.checks.equal(world.field(f"fixed-{world.node.name}", ".status.phase"), "Running", "a static pod runs on")


def story(checks):
    with short_node(checks) as world:
        limits(world)
        pressure(world)
        full_disk(world)


c.main(story)
