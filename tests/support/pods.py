# SPDX-License-Identifier: Apache-2.0
"""Pods of the API on a test's node (cluster.py), by real kubectl: made, looked at and waited for."""
import json

import checks as c
from cluster import READY, SLEEPS
from cri_client import IMAGE

HOLD = {"finalizers": ["example.com/hold"]}
ENDED = ("Succeeded", "Failed")


def shell(script):
    return ["/bin/sh", "-c", script]


def container(name="web", script=SLEEPS, **more):
    """A busybox container that runs `script`; with None what its image says. `more` are further fields."""
    return {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent"} | ({"command": shell(script)} if script else {}) | more


class SeenPods:
    """How pods are, and what comes of them."""

    def __init__(self, checks, control, node):
        self.checks, self.control, self.node = checks, control, node

    def patch(self, name, change, *arguments):
        self.control.out("patch", "pod", name, "--type=merge", "-p", json.dumps(change), *arguments)

    # ---- how they are

    def object(self, name):
        return self.control.json("get", "pod", name)

    def status(self, name):
        return self.object(name)["status"]

    def states(self, name, kind="containerStatuses"):
        """The statuses of its containers (initContainerStatuses, ...), by name."""
        return {one["name"]: one for one in self.status(name).get(kind, [])}

    def field(self, name, jsonpath):
        """As kubectl prints it; "" when there is none, or no pod."""
        return self.control.kubectl("get", "pod", name, "-o", f"jsonpath={{{jsonpath}}}").stdout

    def shown(self, name):
        """Its STATUS in kubectl's table."""
        return self.control.out("get", "pod", name, "--no-headers").split()[2]

    def condition(self, name, kind):
        return next((one for one in self.status(name).get("conditions", []) if one["type"] == kind), {})

    def running(self, name):
        """(id, name) of its containers that run, as the runtime says."""
        return [(item["id"], item["metadata"]["name"]) for item in self.node.containers().values()
                if item["state"] == "CONTAINER_RUNNING" and item["labels"]["io.kubernetes.pod.name"] == name]

    def sandboxes(self, name):
        """The ids of its sandboxes that are ready."""
        return [key for key, item in self.node.pods().items()
                if item["metadata"]["name"] == name and item["state"] == "SANDBOX_READY"]

    # ---- what comes of them

    def wait(self, name, jsonpath, wanted):
        c.wait_until(f"{name}: {jsonpath} is {wanted}", lambda: self.field(name, jsonpath) == wanted)

    def wait_ready(self, name, wanted="True"):
        self.wait(name, READY, wanted)

    def wait_shown(self, name, wanted):
        c.wait_until(f"{name} is shown as {wanted}", lambda: self.shown(name) == wanted)

    def wait_event(self, name, reason, part):
        """An event of it with that reason, and with `part` in its message."""
        def is_said():
            events = self.control.json("get", "events", f"--field-selector=involvedObject.name={name},reason={reason}")
            return any(part in event["message"] for event in events["items"])
        c.wait_until(f"{name} has an event {reason}: {part}", is_said)

    def ends(self, name):
        """How its containers ended, by name, when it has."""
        c.wait_until(f"{name} has ended", lambda: self.field(name, ".status.phase") in ENDED)
        return {key: one["state"].get("terminated") for key, one in self.states(name).items()}

    def delete(self, *names):
        self.control.out("delete", "pod", *names, "--wait=false")
        c.wait_until(f"{' '.join(names)}: gone", lambda: not any(self.field(name, ".metadata.name") for name in names),
                     limit=5 * c.PATIENCE)

    def release(self, name):
        """One that was made with HOLD, and so outlived its deletion."""
        self.patch(name, {"metadata": {"finalizers": None}})

    def clear(self):
        self.control.out("delete", "pod", "--all", "--wait=false")
        c.wait_until("all are gone", lambda: self.control.json("get", "pods")["items"] == [] and not self.node.pods(),
                     limit=5 * c.PATIENCE)


class Pods(SeenPods):
    """`spec` is part of each pod's."""

    def __init__(self, checks, control, node, **spec):
        super().__init__(checks, control, node)
        self.spec = {"nodeName": node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1} | spec

    def create(self, name, *containers, metadata=None, **spec):
        self.control.out("create", "-f", "-", given=json.dumps({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name} | (metadata or {}),
            "spec": self.spec | {"containers": list(containers or (container(),))} | spec}))

    def tell(self, name, *containers, **spec):
        """Runs a pod once: what its containers left as their last words, by name."""
        self.create(name, *containers, restartPolicy="Never", **spec)
        return {key: (end or {}).get("message", "") for key, end in self.ends(name).items()}


def words(script, name="web", **more):
    """A container whose last words are what `script` prints."""
    return container(name, f"( {script} ) > /dev/termination-log 2>&1", **more)
