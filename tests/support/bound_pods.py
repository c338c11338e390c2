# SPDX-License-Identifier: Apache-2.0
"""Pods that are bound to one node of a test's cluster (cluster.py), of one container each, and what kubectl says of them."""
import json
import os

import checks as c
from pods import SeenPods, container

MESSAGE = ".status.containerStatuses[0].state.terminated.message"
WAITING = ".status.containerStatuses[0].state.waiting"


class BoundPods(SeenPods):
    def pod(self, name, command, mounts=(), volumes=(), **more):
        """A Pod as an object. `more` is of its spec, `container` of its container and `labels` its own."""
        web = container("web", command, volumeMounts=list(mounts)) | more.pop("container", {})
        metadata = {"name": name, "labels": more.pop("labels", {})}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {
            "nodeName": self.node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
            "restartPolicy": "Never", "volumes": list(volumes), "containers": [web], **more}}

    def create(self, name, command, mounts=(), volumes=(), **more):
        self.add(self.pod(name, command, mounts, volumes, **more))

    def add(self, *objects):
        self.control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def runs(self, *names):
        for name in names:
            self.wait(name, ".status.phase", "Running")

    def last_words(self, name):
        """Once it has ended."""
        self.ends(name)
        return self.field(name, MESSAGE).strip()

    def says(self, name, wanted, what):
        self.checks.equal(self.last_words(name), wanted, what)

    def has_event(self, name, reason, message):
        """Waits for one of the pod's with that reason, and with that in its message."""
        self.wait_event(name, reason, message)
        self.checks.ok(True, f"{name}: {reason}: {message}")

    def container(self, name):
        """The id of its container that runs."""
        return c.wait_until(f"{name} runs", lambda: self.running(name))[0][0]

    def run(self, name, script):
        """What the script says in its container."""
        done = self.node.crictl("exec", "--sync", self.container(name), "/bin/sh", "-c", script, check=False)
        return (done.stdout + done.stderr).strip()

    def delete(self, *names):
        """Waits until nothing of them is left, and of no other pod."""
        super().delete(*names)
        # The API server forgets a pod that has ended before the node does.
        c.wait_until(f"nothing of {' '.join(names)} is left", lambda: not self.folders() and not self.node.pods(),
                     limit=5 * c.PATIENCE)

    def folders(self):
        return os.listdir(self.node.state / "kubelet/pods")
