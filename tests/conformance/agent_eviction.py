#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""What a node does that is short of something, as kubectl shows it: pods that use more of the disk than their limits say are
evicted, under memory pressure pods go until only static ones are left, and best-effort ones are not taken, and for a full disk
pods go and what they had on it. The thresholds are such that the machine's own memory and disk decide about nothing."""
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import SLEEPS, ready_node
from cri_client import IMAGE

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
NEVER, ALWAYS = (HEAD + f"evictionHard: {{memory.available: {amount}}}\n" for amount in ("1Ki", "100000Ti"))
DISK = HEAD + "evictionHard: {nodefs.available: 100000Ti}\n"
MANIFEST = f"""
apiVersion: v1
kind: Pod
metadata: {{name: fixed}}
spec:
  containers: [{{name: web, image: "{IMAGE}", imagePullPolicy: IfNotPresent, command: [/bin/sh, -c, "{SLEEPS}"]}}]
"""


class World:
    def __init__(self, checks, control, node, config):
        self.checks, self.control, self.node, self.config = checks, control, node, config

    def create(self, name, command=SLEEPS, resources=None, volumes=(), mounts=(), restart="Always"):
        container = {"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "resources": resources or {},
                     "command": ["/bin/sh", "-c", command], "volumeMounts": list(mounts)}
        self.control.out("create", "-f", "-", given=json.dumps(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
             "spec": {"nodeName": self.node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
                      "restartPolicy": restart,
                      "volumes": list(volumes), "containers": [container]}}))

    def field(self, name, path):
        return self.control.kubectl("get", "pod", name, "-o", f"jsonpath={{{path}}}").stdout

    def wait(self, name, path, wanted):
        c.wait_until(f"{name}: {path} is {wanted}", lambda: self.field(name, path) == wanted)

    def is_evicted(self, name, message, is_disruption):
        self.wait(name, ".status.reason", "Evicted")
        status = self.control.json("get", "pod", name)["status"]
        self.checks.equal(status["phase"], "Failed", f"{name}: its phase")
        self.checks.ok(status["message"].startswith(message), f"{name}: why it was evicted", status["message"])
        found = [one["reason"] for one in status["conditions"] if one["type"] == "DisruptionTarget"]
        self.checks.equal(found, ["TerminationByKubelet"] if is_disruption else [], f"{name}: whether the node was in need")
        self.has_event(name, "Evicted", message)

    def has_event(self, name, reason, message):
        def is_there():
            events = self.control.json("get", "events", "-A")["items"]
            return any(one["reason"] == reason and one["message"].startswith(message) and one["involvedObject"]["name"] == name
                       for one in events)
        c.wait_until(f"{name} has an event {reason}: {message}", is_there)

    def configure(self, text):
        self.config.write_text(text)
        self.node.kill_gantryd()
        self.node.wait_for_gantryd()

    def has_pressure(self, is_on, kind="MemoryPressure"):
        wanted = "True" if is_on else "False"
        c.wait_until(f"{kind} is {wanted}", lambda: self.node.condition(self.control, kind).get("status") == wanted)


def limits(world):
    """The whole of them is over before any is looked at: one round of the agent's serves all."""
    world.create("modest", "head -c 500000 /dev/zero > /data; " + SLEEPS, {"limits": {"ephemeral-storage": "20Mi"}})
    world.create("large", "head -c 3000000 /dev/zero > /data; " + SLEEPS, {"limits": {"ephemeral-storage": "1Mi"}})
    world.create("volume", "head -c 3000000 /dev/zero > /v/data; " + SLEEPS, volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}],
                 mounts=[{"name": "v", "mountPath": "/v"}])
    world.is_evicted("large", "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ", False)
    world.is_evicted("volume", 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ', False)
    world.wait("modest", ".status.phase", "Running")
    world.checks.ok(True, "one within its limits runs on")


def pressure(world):
    (world.node.manifests / "fixed.yaml").write_text(MANIFEST)
    fixed = f"fixed-{world.node.name}"
    world.wait(fixed, ".status.phase", "Running")
    world.configure(ALWAYS)
    world.is_evicted("modest", "The node was low on resource: memory. Threshold quantity: 100000Ti, available: ", True)
    world.has_pressure(True)
    world.has_event(world.node.name, "EvictionThresholdMet", "Attempting to reclaim memory")
    world.create("late")
    world.wait("late", ".status.phase", "Failed")
    world.checks.equal((world.field("late", ".status.reason"), world.field("late", ".status.message")),
                       ("Evicted", "Pod was rejected: The node had condition: [MemoryPressure]. "), "a best-effort pod is not taken")
    world.checks.equal(world.field(fixed, ".status.phase"), "Running", "a static pod runs on")
    world.configure(NEVER)
    world.has_pressure(False)
    world.checks.equal(world.field("modest", ".status.reason"), "Evicted", "who was evicted stays so")
    world.create("again")
    world.wait("again", ".status.phase", "Running")


def full_disk(world):
    world.create("finished", "true", restart="Never")
    world.wait("finished", ".status.phase", "Succeeded")
    world.create("writer", "head -c 100000 /dev/zero > /v/data; " + SLEEPS, volumes=[{"name": "v", "emptyDir": {}}],
                 mounts=[{"name": "v", "mountPath": "/v"}])
    world.wait("writer", ".status.phase", "Running")
    uid = world.field("writer", ".metadata.uid")
    volume = world.node.state / "kubelet/pods" / uid / "volumes/kubernetes.io~empty-dir/v"
    logs = world.node.state / "log/pods" / f"default_writer_{uid}"
    world.checks.equal((volume.exists(), logs.exists()), (True, True), "it has a volume and logs")
    world.configure(DISK)
    world.is_evicted("writer", "The node was low on resource: ephemeral-storage. Threshold quantity: 100000Ti, available: ", True)
    world.has_pressure(True, "DiskPressure")
    c.wait_until("its volume and its logs are gone", lambda: not volume.exists() and not logs.exists())
    gone = {"writer", "finished"}
    c.wait_until("its container is gone, and that of a pod that was at its end", lambda: not gone & {
        one["labels"]["io.kubernetes.pod.name"] for one in world.node.containers().values()})
    world.checks.equal(world.field("finished", ".status.containerStatuses[0].state.terminated.reason"), "Completed",
                       "which is told as before")
    status = world.control.json("get", "pod", "writer")["status"]
    world.checks.ok("terminated" in status["containerStatuses"][0]["state"], "how it ended is still told", json.dumps(status))
    world.checks.equal(world.field(f"fixed-{world.node.name}", ".status.phase"), "Running", "a static pod runs on")


def story(checks):
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "kubelet.yaml"
        config.write_text(NEVER)
        with ready_node(checks, kubelet_config=config) as (node, control):
            world = World(checks, control, node, config)
            limits(world)
            pressure(world)
            full_disk(world)


c.main(story)
