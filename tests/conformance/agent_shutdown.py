#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""A node whose machine shuts down, as kubectl shows it: on logind's word it is not ready and takes no pod, its pods end by their
priority, hooks and all, and say why, and only then logind's lock is given back. A shutdown that is cancelled leaves a node as
before. logind, the bus and gantryd itself may begin anew meanwhile."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import READY, ready_node
from cri_client import IMAGE
from node import BIN

# Long ones: a machine that is busy decides about nothing.
CONFIG = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
evictionHard: {memory.available: 1Ki}
shutdownGracePeriodByPodPriority:
- {priority: 1000, shutdownGracePeriodSeconds: 600}
- {priority: 0, shutdownGracePeriodSeconds: 600}
"""
CLASS = """apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: important}
value: 5000
"""
WHY = "Pod was terminated in response to imminent node shutdown."
REFUSED = "Pod was rejected: Pod was rejected as the node is shutting down."


class Logind:
    """gantry-test-logind: says what it is told to, and counts the locks that it gave."""

    def __init__(self, folder):
        self.process = subprocess.Popen([BIN / "tests/conformance/gantry-test-logind", folder], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "serving\n":
            raise c.Failure("logind does not serve")
        self.taken = self.held = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.taken, self.held = map(int, line.split()[1:])

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def wait(self, what, holds):
        c.wait_until(what, holds, limit=5 * c.PATIENCE)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class World:
    def __init__(self, checks, control, node, logind, out):
        self.checks, self.control, self.node, self.logind, self.out = checks, control, node, logind, out

    def spec(self, name):
        """A pod that writes into `out` what happens to it, and takes its time."""
        said = f"echo {name} $1 >> /out/said"
        script = f"say() {{ {said}; }}; trap 'sleep 1; say ended; exit 0' TERM; say runs; while :; do sleep 0.1; done"
        hook = {"preStop": {"exec": {"command": ["/bin/sh", "-c", f"echo {name} hook >> /out/said"]}}}
        return {"terminationGracePeriodSeconds": 300,
                "containers": [{"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "lifecycle": hook,
                                "command": ["/bin/sh", "-c", script], "volumeMounts": [{"name": "out", "mountPath": "/out"}]}],
                "volumes": [{"name": "out", "hostPath": {"path": str(self.out)}}]}

    def create(self, name, **more):
        spec = self.spec(name) | {"nodeName": self.node.name, "automountServiceAccountToken": False} | more
        self.control.out("create", "-f", "-", given=json.dumps(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}))

    def running(self, *names):
        for name in names:
            self.control.wait_for(name, "is ready", READY, "True")
            c.wait_until(f"{name} runs", lambda name=name: f"{name} runs" in self.said())

    def said(self):
        file = self.out / "said"
        return file.read_text().splitlines() if file.exists() else []

    def field(self, name, path):
        return self.control.kubectl("get", "pod", name, "-o", f"jsonpath={{{path}}}").stdout

    def was_ended(self, name):
        c.wait_until(f"{name} says that it was ended", lambda: self.field(name, ".status.reason") == "Terminated")
        status = self.control.json("get", "pod", name)["status"]
        self.checks.equal((status["phase"], status["message"]), ("Failed", WHY), f"{name}: how and why it ended")
        found = [(one["status"], one["reason"], one["message"]) for one in status["conditions"] if one["type"] == "DisruptionTarget"]
        self.checks.equal(found, [("True", "TerminationByKubelet", WHY)], f"{name}: its condition DisruptionTarget")

    def has_event(self, message):
        def is_there():
            events = self.control.json("get", "events", "-A")["items"]
            return any((one["reason"], one["message"], one["involvedObject"]["name"]) == ("NodeShutdown", message, self.node.name)
                       for one in events)
        c.wait_until(f"the node has an event: {message}", is_there)

    def is_ready(self, wanted):
        c.wait_until(f"the node's condition Ready is {wanted}",
                     lambda: self.node.condition(self.control).get("status") == wanted)
        return self.node.condition(self.control)


def shutdown(world):
    (world.node.manifests / "fixed.json").write_text(json.dumps(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fixed"}, "spec": world.spec("fixed")}))
    world.create("ordinary")
    world.create("important", priorityClassName="important")
    world.create("brief", terminationGracePeriodSeconds=0)
    world.running("ordinary", "important", "brief")
    world.control.wait_for(f"fixed-{world.node.name}", "is ready", READY, "True")
    c.wait_until("fixed runs", lambda: "fixed runs" in world.said())
    world.checks.equal(world.field("important", ".spec.priority"), "5000", "one pod is more important than the others")
    world.logind.wait("the lock is taken", lambda: world.logind.held == 1)
    world.logind.say("shutdown")
    condition = world.is_ready("False")
    world.checks.equal((condition["reason"], condition["message"]), ("KubeletNotReady", "node is shutting down"),
                       "the node says that it is not ready, and why")
    world.has_event("Shutdown manager detected shutdown event")
    world.logind.wait("the lock is given back", lambda: world.logind.held == 0)
    said = [line for line in world.said() if not line.endswith("runs")]
    world.checks.equal(sorted(said[:4]), ["fixed ended", "fixed hook", "ordinary ended", "ordinary hook"],
                       "pods end by their hooks and signals, in the time that they need")
    world.checks.equal(said[4:], ["important hook", "important ended"], "the important one after the others have ended")
    for name in ("ordinary", "important", "brief"):
        world.was_ended(name)
    world.was_ended(f"fixed-{world.node.name}")


def refused(world):
    world.create("late")
    c.wait_until("a pod that comes now is refused", lambda: world.field("late", ".status.phase") == "Failed")
    world.checks.equal((world.field("late", ".status.reason"), world.field("late", ".status.message")),
                       ("NodeShutdown", REFUSED), "with kubelet's words")


def cancelled(world):
    world.logind.say("cancel")
    world.logind.wait("the lock is taken again", lambda: world.logind.held == 1)
    world.checks.equal(world.is_ready("True")["reason"], "KubeletReady", "a shutdown that is cancelled: the node is ready")
    world.has_event("Shutdown manager detected shutdown cancellation")
    world.create("again")
    world.running("again")
    world.checks.equal(world.field("ordinary", ".status.phase"), "Failed", "what has ended stays so, and new pods run")


def begun_anew(world):
    taken = world.logind.taken
    world.logind.say("restart")
    world.logind.wait("the lock is taken on the new bus", lambda: world.logind.taken > taken and world.logind.held == 1)
    taken = world.logind.taken
    world.node.kill_gantryd()
    world.logind.wait("the next gantryd takes it", lambda: world.logind.taken > taken and world.logind.held == 1)
    world.node.wait_for_gantryd()
    world.checks.equal(world.field("again", ".status.phase"), "Running", "a bus that began anew, and a gantryd, end no pod")
    # Whichever of them hears it: the second one asks.
    world.logind.say("shutdown")
    world.node.kill_gantryd()
    world.was_ended("again")
    c.wait_until("its container has ended by its signal", lambda: "again ended" in world.said())


def story(checks):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        config, out = folder / "kubelet.yaml", folder / "out"
        config.write_text(CONFIG)
        out.mkdir()
        logind = Logind(folder)
        try:
            os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={folder}/bus"
            with ready_node(checks, kubelet_config=config) as (node, control):
                control.out("create", "-f", "-", given=CLASS)
                world = World(checks, control, node, logind, out)
                shutdown(world)
                refused(world)
                cancelled(world)
                begun_anew(world)
        finally:
            logind.stop()


c.main(story)
