#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 1200
"""Volumes that are made for claims, of the class gantry-local, over nodes that the test plays: a StatefulSet whose pods come back to what is
theirs, nodes that make no volumes, what becomes of a volume whose claim is gone, what a node may do and not do, a node that goes, the
class that people take away, and gantry-control killed while claims come."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from played_nodes import PlayedNodes, is_ending, is_ready

FINALIZER = "gantry.io/local-volume"


def claim(name, **spec):
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}}


def pod(name, node=None):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        **({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}),
        "containers": [{"name": "main", "image": "my-app:1.0"}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]}}


def replicas(name, count):
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": {
        "replicas": count, "serviceName": name, "selector": {"matchLabels": {"app": name}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim("data")["spec"]}],
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "my-app:1.0"}]}}}}


class Story:
    def __init__(self, checks, control, nodes):
        self.checks, self.control, self.nodes = checks, control, nodes

    def make(self, *objects):
        self.control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def told(self, node):
        """The node says where it makes volumes."""
        self.control.out("annotate", "node", node, f"gantry.io/local-volumes=/srv/{node}")

    def runs(self, name):
        """Until the pod is ready; itself."""
        def ready():
            done = self.control.kubectl("get", "pod", name, "-o", "json")
            found = json.loads(done.stdout) if done.returncode == 0 else None
            return found if found and is_ready(found) and not is_ending(found) else None
        return c.wait_until(f"{name} is ready", ready, limit=2 * c.PATIENCE)

    def volume(self, name):
        """The claim's; None when there is none."""
        found = self.control.json("get", "pvc", name)["spec"].get("volumeName")
        return self.control.json("get", "pv", found) if found else None

    def ending(self, name):
        """Until the volume is being deleted and its node alone holds it."""
        def holds():
            metadata = self.control.json("get", "pv", name)["metadata"]
            return "deletionTimestamp" in metadata and metadata["finalizers"] == [FINALIZER]
        c.wait_until(f"{name} waits for its node", holds)

    def as_node(self, node, volume, change):
        """kubectl's answer when the node puts the volume, as somebody else has read it, with these metadata."""
        found = self.control.json("get", "pv", volume)
        found["metadata"] |= change
        return self.control.kubectl("replace", "--raw", f"/api/v1/persistentvolumes/{volume}", "-f", "-",
                                    "--as", f"system:node:{node}", "--as-group", "system:nodes", given=json.dumps(found))

    def is_gone(self, kind, name):
        c.wait_until(f"{kind} {name} is gone", lambda: not self.control.out("get", kind, name, "-o", "name", "--ignore-not-found"))

    def has_event(self, name, reason, part):
        c.wait_until(f"{name}: {reason}", lambda: part in self.control.out(
            "get", "events", "--field-selector", f"involvedObject.name={name},reason={reason}", "-o", "jsonpath={.items[*].message}"))
        self.checks.ok(True, f"{name}: {reason}: {part}")


def classes(story):
    found = story.control.json("get", "storageclass", "gantry-local")
    story.checks.equal((found["provisioner"], found["volumeBindingMode"], found["reclaimPolicy"]),
                       ("gantry.io/local-path", "WaitForFirstConsumer", "Delete"), "a new cluster has a class")
    story.checks.contains(story.control.out("get", "storageclass"), "gantry-local (default)", "which is the default")


def sets(story):
    """A StatefulSet as people write it."""
    checks, control = story.checks, story.control
    story.make(replicas("web", 2))
    first, second = story.runs("web-0"), story.runs("web-1")
    volumes = [story.volume(f"data-web-{i}") for i in range(2)]
    for each, running in zip(volumes, (first, second)):
        node, name = running["spec"]["nodeName"], each["metadata"]["name"]
        uid = control.json("get", "pvc", f"data-{running['metadata']['name']}")["metadata"]["uid"]
        checks.equal((name, each["spec"]["local"]["path"], each["spec"]["capacity"], each["status"]["phase"]),
                     (f"pvc-{uid}", f"/srv/{node}/{name}", {"storage": "1Gi"}, "Bound"), f"a volume on {node}, where its pod is")
    story.has_event("data-web-0", "ProvisioningSucceeded", volumes[0]["metadata"]["name"])
    node = first["spec"]["nodeName"]
    c.wait_until("the node is told that it has volumes", lambda: control.json("get", "node", node)["metadata"]["annotations"].get(
        "gantry.io/has-local-volumes") == "true")
    control.out("delete", "pod", "web-0", "--wait=false")
    c.wait_until("another one is ready", lambda: story.runs("web-0")["metadata"]["uid"] != first["metadata"]["uid"])
    checks.equal((story.runs("web-0")["spec"]["nodeName"], story.volume("data-web-0")["metadata"]["name"]),
                 (node, volumes[0]["metadata"]["name"]), "the pod comes back to its node and its volume")
    control.out("delete", "statefulset", "web")
    story.is_gone("pod", "web-0")
    checks.ok(story.volume("data-web-0") is not None, "claims and volumes outlive the set")
    control.out("delete", "pvc", "data-web-0", "data-web-1")
    name, other = volumes[0]["metadata"]["name"], "n1" if node == "n2" else "n2"
    story.ending(name)
    checks.ok(True, "without its claim a volume goes when its node says so")
    gone = {"finalizers": None}
    checks.contains(story.as_node(other, name, gone).stderr, "can only change persistent volumes that are folders of its own",
                    "another node may not say so")
    checks.contains(story.as_node(node, name, {"finalizers": None, "labels": {"a": "b"}}).stderr,
                    "may only take its finalizer off", "nor may it say anything else")
    checks.equal(story.as_node(node, name, gone).returncode, 0, "its own may")
    story.is_gone("pv", name)
    left = volumes[1]["metadata"]["name"]
    story.ending(left)
    story.as_node(second["spec"]["nodeName"], left, gone)
    story.is_gone("pv", left)


def others(story):
    """What is not made, and why."""
    checks, control = story.checks, story.control
    story.nodes.add("bare")
    story.make(claim("late"), pod("late", "bare"))
    story.has_event("late", "ProvisioningFailed", 'node "bare" makes no volumes')
    story.told("bare")
    story.runs("late")
    checks.equal(story.volume("late")["spec"]["local"]["path"].split("/")[2], "bare", "it is made when the node can")
    story.make(claim("many", accessModes=["ReadWriteMany"]), pod("many"), claim("disk", volumeMode="Block"), pod("disk"))
    story.has_event("many", "ProvisioningFailed", "ReadWriteOnce and ReadWriteOncePod alone")
    story.has_event("disk", "ProvisioningFailed", "no block devices of this class")
    control.out("delete", "pod", "many", "disk", "--grace-period=0", "--force")
    control.out("delete", "pvc", "many", "disk")
    name = story.volume("late")["metadata"]["name"]
    control.out("delete", "pod", "late")
    control.out("delete", "pvc", "late")
    story.ending(name)
    story.nodes.remove("bare")
    story.is_gone("pv", name)
    checks.ok(True, "of a node that is gone nobody is asked")


def retained(story):
    checks, control = story.checks, story.control
    story.make(claim("kept"), pod("kept"))
    story.runs("kept")
    name = story.volume("kept")["metadata"]["name"]
    control.out("patch", "pv", name, "-p", '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}')
    control.out("delete", "pod", "kept")
    control.out("delete", "pvc", "kept")
    c.wait_until("it is let go", lambda: control.json("get", "pv", name)["status"]["phase"] == "Released")
    story.make(claim("next"), pod("next"))
    story.runs("next")
    checks.ok("deletionTimestamp" not in control.json("get", "pv", name)["metadata"], "Retain: a volume stays when its claim has gone")
    control.out("delete", "pod", "next")


def killed(story):
    """gantry-control is killed while ten pods come, each with a claim."""
    checks, control = story.checks, story.control
    names = [f"k{i}" for i in range(10)]
    for i, name in enumerate(names):
        story.make(claim(name), pod(name))
        if i in (3, 7):
            control.kill()
            control.start()
    for name in names:
        story.runs(name)
    claims = {each["metadata"]["name"]: each for each in control.json("get", "pvc")["items"]}
    volumes = [each for each in control.json("get", "pv")["items"] if each["spec"]["claimRef"]["name"] in names]
    checks.equal(sorted(each["spec"]["claimRef"]["uid"] for each in volumes), sorted(claims[name]["metadata"]["uid"] for name in names),
                 "killed while claims come: each has one volume, and none another")
    control.out("delete", "storageclass", "gantry-local")
    control.kill()
    control.start()
    control.settle()
    checks.equal(control.out("get", "storageclass", "-o", "name"), "", "a class that was taken away does not come back")


def story(checks):
    with Control(checks) as control, PlayedNodes(control) as nodes:
        told = Story(checks, control, nodes)
        classes(told)
        for name in ("n1", "n2"):
            nodes.add(name)
            told.told(name)
        for part in sets, others, retained, killed:
            part(told)


c.main(story)
