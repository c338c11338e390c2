#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""In which order a node that is short of something ends its pods, and by which of its signals: who uses more than he asked for
goes first, then the lower priority, then who uses more; critical pods stay, and come also then. A soft threshold waits for its
grace period. Inodes, the images' disk and processes are counted, too."""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import SLEEPS
from cri_client import IMAGE
from short_node import ENOUGH, NO_DISK, hard, short_node

GRACE = 20


def writer(world, name, size, request=None, **more):
    """A pod that has so many bytes in a volume when it runs."""
    mounts = [{"name": "v", "mountPath": "/v"}]
    writes = {"name": "writes", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "volumeMounts": mounts,
              "command": ["/bin/sh", "-c", f"head -c {size} /dev/zero > /v/data"]}
    resources = {"resources": {"requests": {"ephemeral-storage": request}}} if request else {}
    return world.pod(name, SLEEPS, mounts, [{"name": "v", "emptyDir": {}}], initContainers=[writes], container=resources, **more)


def order(world):
    world.add({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000},
              writer(world, "within", 3_000_000, "100Mi"), writer(world, "little", 1_000_000), writer(world, "much", 6_000_000),
              writer(world, "high", 8_000_000, priorityClassName="high"),
              writer(world, "critical", 9_000_000, priorityClassName="system-cluster-critical"))
    going = ("much", "little", "high", "within")
    world.runs(*going, "critical")
    world.configure(NO_DISK)
    for name in going:
        world.wait(name, ".status.reason", "Evicted")

    def evicted():
        """In their order."""
        events = world.control.json("get", "events", "--field-selector=reason=Evicted")["items"]
        found = {event["involvedObject"]["name"]: int(event["metadata"]["resourceVersion"]) for event in events}
        return len(found) == len(going) and tuple(sorted(found, key=found.get))
    world.checks.equal(c.wait_until("there is an event of each", evicted), going,
                       "beyond its request before within it, the lower priority first, then who has more")
    world.has_pressure(True, "DiskPressure")
    world.create("late", SLEEPS)
    world.is_not_taken("late", "DiskPressure")
    world.create("urgent", SLEEPS, priorityClassName="system-cluster-critical")
    world.runs("urgent")
    world.checks.equal(world.field("critical", ".status.phase"), "Running", "critical pods stay, and are taken also then")


def soft(world):
    world.configure(ENOUGH)
    world.has_pressure(False, "DiskPressure")
    world.create("soft", SLEEPS)
    world.runs("soft")
    began = time.monotonic()
    world.configure(hard("memory.available", "1Ki") + "evictionSoft: {nodefs.available: 100000Ti}\n"
                    f"evictionSoftGracePeriod: {{nodefs.available: {GRACE}s}}\n")
    world.has_pressure(True, "DiskPressure")
    c.wait_until("soft is evicted", lambda: world.field("soft", ".status.reason") == "Evicted", limit=GRACE + 4 * c.PATIENCE)
    world.is_evicted("soft", "The node was low on resource: ephemeral-storage. Threshold quantity: 100000Ti, available: ")
    waited = time.monotonic() - began
    world.checks.ok(waited >= GRACE, "not before the grace period of the threshold", f"{waited:.1f} s")


def signals(world):
    for name, signal, amount, resource, condition in (
            ("inodes", "nodefs.inodesFree", "1000000000000", "inodes", "DiskPressure"),
            ("images", "imagefs.available", "100000Ti", "ephemeral-storage", "DiskPressure"),
            ("processes", "pid.available", "1000000000", "pids", "PIDPressure")):
        world.configure(ENOUGH)
        world.has_pressure(False, "DiskPressure")
        world.create(name, SLEEPS)
        world.runs(name)
        world.configure(hard(signal, f'"{amount}"'))
        world.is_evicted(name, f"The node was low on resource: {resource}. Threshold quantity: ")
        world.has_pressure(True, condition)
        world.has_event(world.node.name, "EvictionThresholdMet", f"Attempting to reclaim {resource}")
        others = {"MemoryPressure", "DiskPressure", "PIDPressure"} - {condition}
        seen = {kind: world.node.condition(world.control, kind)["status"] for kind in others}
        world.checks.equal(seen, {kind: "False" for kind in others}, f"{signal}: {condition} alone")


def story(checks):
    with short_node(checks) as world:
        for part in (order, soft, signals):
            part(world)


c.main(story)
