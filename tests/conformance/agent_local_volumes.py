#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1200
"""A StatefulSet with a claim of the default class over a real node that joined by a token: gantryd makes the folder, a pod that comes back
finds what is in it, and with the claim the folder goes, also when gantryd was away; what is to be retained stays."""
import contextlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from bound_pods import BoundPods
from cluster import JoiningNode, NodeControl
from cri_client import IMAGE
from pods import container

# Somebody who is not root, and no group's.
USER = {"runAsUser": 1000, "runAsGroup": 1000}
WRITES = "echo $HOSTNAME >> /data/file; cat /data/file > /dev/termination-log; trap 'exit 0' TERM; while :; do sleep 0.1; done"


def replicas(name):
    """One pod that adds a line to what is in its volume whenever it starts."""
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": {
        "replicas": 1, "serviceName": name, "selector": {"matchLabels": {"app": name}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}],
        "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1, "securityContext": USER,
            "containers": [container("web", WRITES, volumeMounts=[{"name": "data", "mountPath": "/data"}])]}}}}


class Story:
    def __init__(self, checks, control, node):
        self.checks, self.control, self.node = checks, control, node
        self.pods = BoundPods(checks, control, node)

    def make(self, name):
        """The set, and the folder that its pod has."""
        self.control.out("create", "-f", "-", given=json.dumps(replicas(name)))
        self.pods.wait(f"{name}-0", ".status.phase", "Running")
        volume = self.control.json("get", "pvc", f"data-{name}-0")["spec"]["volumeName"]
        return pathlib.Path(self.control.json("get", "pv", volume)["spec"]["local"]["path"])

    def has_lines(self, path, count):
        def holds():
            with contextlib.suppress(FileNotFoundError):  # it runs, and has not written yet
                return (path / "file").read_text().count("\n") == count
            return False
        c.wait_until(f"{count} lines are in it", holds)

    def end(self, name):
        self.control.out("delete", "statefulset", name)
        c.wait_until("its pod is gone", lambda: not self.control.out("get", "pods", "-o", "name"))

    def is_gone(self, path):
        c.wait_until(f"{path} is gone", lambda: not path.exists())
        c.wait_until("and so is the volume", lambda: not self.control.out("get", "pv", path.name, "-o", "name", "--ignore-not-found"))


def comes_back(story):
    checks, control, node = story.checks, story.control, story.node
    path = story.make("web")
    story.has_lines(path, 1)
    checks.equal((path.stat().st_mode & 0o7777, path.parent.stat().st_mode & 0o777), (0o777, 0o700),
                 "anybody may write in it, and only root gets there on the host")
    checks.equal((path / "file").stat().st_uid, 1000, "who is not root writes")
    before = control.json("get", "pod", "web-0")["metadata"]["uid"]
    control.out("delete", "pod", "web-0", "--wait=false")
    c.wait_until("another one comes", lambda: control.kubectl("get", "pod", "web-0", "-o", "jsonpath={.metadata.uid}").stdout not in ("", before))
    story.has_lines(path, 2)
    checks.ok(True, "a pod that comes back finds what was there")
    node.kill_gantryd()
    node.wait_until_ready(control)
    story.end("web")
    checks.equal((path / "file").read_text(), "web-0\nweb-0\n", "it outlives gantryd and the set")
    control.out("delete", "pvc", "data-web-0")
    story.is_gone(path)
    checks.ok(True, "with the claim it goes, and then the volume")


def away(story):
    """gantryd is killed when the claim is deleted, and what was put into the volume's place leads elsewhere."""
    path = story.make("away")
    story.has_lines(path, 1)
    story.end("away")
    elsewhere = story.node.state / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("kept")
    (path / "link").symlink_to(elsewhere)
    with story.node.without_gantryd():
        story.control.out("delete", "pvc", "data-away-0")
        c.wait_until("the volume waits for its node",
                     lambda: "deletionTimestamp" in story.control.json("get", "pv", path.name)["metadata"])
        story.checks.ok(path.exists(), "as long as gantryd is away it stays")
    story.is_gone(path)
    story.checks.equal((elsewhere / "file").read_text(), "kept", "it goes when gantryd is back, and nothing that a link leads to")


def retained(story):
    path = story.make("kept")
    story.has_lines(path, 1)
    story.control.out("patch", "pv", path.name, "-p", '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}')
    story.end("kept")
    story.control.out("delete", "pvc", "data-kept-0")
    c.wait_until("it is let go", lambda: story.control.json("get", "pv", path.name)["status"]["phase"] == "Released")
    story.control.out("delete", "pv", path.name)
    story.checks.equal((path / "file").read_text(), "kept-0\n", "Retain: what is in it stays, also when the volume is deleted by hand")


def story(checks):
    with JoiningNode(checks) as node:
        node.build_image(IMAGE)
        with NodeControl(checks, node) as control:
            node.join(control.join_words())
            node.kill_gantryd()
            node.wait_until_ready(control)
            told = Story(checks, control, node)
            for part in comes_back, away, retained:
                part(told)


c.main(story)
