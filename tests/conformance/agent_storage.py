#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""Volumes of pods that the API server binds to a node, with real kubectl: parts of them (subPath, subPathExpr),
persistent volumes, images."""
import json
import os
import pathlib
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import ready_node
from cri_client import IMAGE
from oci import Image, entry, tar

MESSAGE = ".status.containerStatuses[0].state.terminated.message"
WAITING = ".status.containerStatuses[0].state.waiting"


class World:
    def __init__(self, checks, control, node):
        self.checks, self.control, self.node = checks, control, node

    def create(self, name, command, mounts, volumes, **more):
        container = {"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "volumeMounts": mounts,
                     "command": ["/bin/sh", "-c", command], **more.pop("container", {})}
        spec = {"nodeName": self.node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
                "restartPolicy": "Never", "volumes": volumes, "containers": [container], **more}
        self.control.out("create", "-f", "-", given=json.dumps(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}))

    def field(self, name, jsonpath):
        return self.control.kubectl("get", "pod", name, "-o", f"jsonpath={{{jsonpath}}}").stdout

    def wait(self, name, jsonpath, wanted):
        c.wait_until(f"{name}: {jsonpath} is {wanted}", lambda: self.field(name, jsonpath) == wanted)

    def says(self, name, wanted, what):
        """The pod's last words, once it has ended."""
        c.wait_until(f"{name} has ended", lambda: self.field(name, ".status.phase") in ("Succeeded", "Failed"))
        self.checks.equal(self.field(name, MESSAGE).strip(), wanted, what)

    def delete(self, *names):
        self.control.out("delete", "pod", *names, "--wait=false")
        c.wait_until(f"{' '.join(names)}: gone", lambda: not any(self.field(name, ".metadata.name") for name in names))
        # The API server forgets a pod that has ended before the node does.
        c.wait_until(f"nothing of {' '.join(names)} is left", lambda: not self.folders())

    def folders(self):
        return os.listdir(self.node.state / "kubelet/pods")


def parts(world):
    """Of an emptyDir: made, seen by two mounts, expanded, kept over a restart, and gone with the pod."""
    mounts = [{"name": "v", "mountPath": "/whole"}, {"name": "v", "mountPath": "/part", "subPath": "a/b"},
              {"name": "v", "mountPath": "/own", "subPathExpr": "logs/$(POD)"}]
    env = [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    volumes = [{"name": "v", "emptyDir": {}}]
    world.create("parts", "test -e /whole/again && { cat /own/x /part/y > /dev/termination-log; exit 0; };"
                 "echo one > /whole/logs/parts/x; echo two > /whole/a/b/y; touch /whole/again; exit 1",
                 mounts, volumes, container={"env": env}, restartPolicy="OnFailure")
    world.says("parts", "one\ntwo", "the same files by both ways, also of the container's next attempt")
    world.checks.equal(len(list(world.node.state.glob("kubelet/pods/*/volume-subpaths/v/web/*"))), 2, "where kubelet has them")
    world.delete("parts")


def expressions(world):
    world.create("missing", "true", [{"name": "v", "mountPath": "/v", "subPathExpr": "$(NOBODY)"}], [{"name": "v", "emptyDir": {}}])
    world.wait("missing", f"{WAITING}.message", "missing value for NOBODY")
    world.checks.equal(world.field("missing", f"{WAITING}.reason"), "CreateContainerConfigError", "an expression that fails")
    world.delete("missing")


def links(world):
    """CVE-2017-1002101: a link in the volume leads to the host's files; it heals when the link does."""
    world.create("victim", "test -e /v/link && { cat /host/file > /dev/termination-log; exit 0; }; ln -s / /v/link; exit 0",
                 [{"name": "v", "mountPath": "/v"}], [{"name": "v", "hostPath": {"path": str(world.node.work / "shared"),
                                                                             "type": "DirectoryOrCreate"}}])
    c.wait_until("victim has ended", lambda: world.field("victim", ".status.phase") == "Succeeded")
    link = world.node.work / "shared/link"
    world.checks.ok(link.is_symlink(), "a pod plants a link to the host's root")
    world.create("evil", "until [ -s /v/file ]; do sleep 0.1; done; cat /v/file > /dev/termination-log", [{"name": "v", "mountPath": "/v", "subPath": "link/etc"}],
                 [{"name": "v", "hostPath": {"path": str(world.node.work / "shared")}}])
    world.wait("evil", f"{WAITING}.message", 'failed to prepare subPath for volumeMount "v" of container "web"')
    world.checks.equal(world.field("evil", f"{WAITING}.reason"), "CreateContainerConfigError", "and none gets there by it")
    link.unlink()
    (link / "etc").mkdir(parents=True, exist_ok=True)  # it is made for who asks for it
    (link / "etc/file").write_text("healed")
    world.says("evil", "healed", "with a folder in its place it goes on")
    world.delete("victim", "evil")
    world.checks.equal((link / "etc/file").read_text(), "healed", "what a hostPath leads to stays")


def volume(name, **spec):
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain", **spec}}


def claim(name, volume_name):
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": volume_name,
        "resources": {"requests": {"storage": "1Gi"}}}}


def claims(world):
    """A pod waits for its claim, says so, and has what it is bound to, which outlives the pod."""
    local = world.node.work / "local"
    local.mkdir(mode=0o700)
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": [world.node.name]}]}]}}
    volumes = [{"name": "l", "persistentVolumeClaim": {"claimName": "local"}},
               {"name": "h", "persistentVolumeClaim": {"claimName": "host", "readOnly": True}}]
    mounts = [{"name": "l", "mountPath": "/l"}, {"name": "l", "mountPath": "/part", "subPath": "a"}, {"name": "h", "mountPath": "/h"}]
    world.create("claims", "[ $(stat -c %a:%g /l) = 2770:2000 ] || exit 1; echo kept > /part/x; touch /h/x 2>/dev/null || echo read-only > /dev/termination-log; exit 0",
                 mounts, volumes, securityContext={"fsGroup": 2000})
    c.wait_until("an event says what it waits for", lambda: 'error processing PVC default/local: failed to fetch PVC from API '
                 'server: persistentvolumeclaims "local" not found' in world.control.out("describe", "pod", "claims"))
    world.checks.contains(world.control.out("describe", "pod", "claims"), "FailedMount", "as kubelet does")
    for one in (volume("local", local={"path": str(local)}, nodeAffinity=affinity), claim("local", "local"),
                volume("host", hostPath={"path": str(world.node.work / "host"), "type": "DirectoryOrCreate"}), claim("host", "host")):
        world.control.out("create", "-f", "-", given=json.dumps(one))
    world.says("claims", "read-only", "it goes on when both are bound; one is read-only")
    world.checks.equal(len(list(world.node.state.glob("kubelet/pods/*/volumes/kubernetes.io~local-volume/local"))), 1,
                       "where kubelet has it")
    world.delete("claims")
    world.checks.equal((local / "a/x").read_text(), "kept\n", "and all of the volume")


def images(world):
    """An image as a volume, whole and a part of it; one that is not there is waited for."""
    data = world.node.work / "data.tar"
    Image(tar([entry("conf/", tarfile.DIRTYPE), entry("conf/file", content=b"of the image")])).archive(data, "volume:data")
    volumes = [{"name": "i", "image": {"reference": "volume:data", "pullPolicy": "Never"}}]
    world.create("images", "touch /i/x 2>/dev/null || cat /i/conf/file /part/file > /dev/termination-log; exit 0",
                 [{"name": "i", "mountPath": "/i"}, {"name": "i", "mountPath": "/part", "subPath": "conf"}], volumes)
    world.wait("images", f"{WAITING}.reason", "ErrImageNeverPull")
    world.node.image("load", data)
    world.says("images", "of the imageof the image", "an image is mounted when it is there, read-only")
    world.delete("images")


def story(checks):
    with ready_node(checks) as (node, control):
        world = World(checks, control, node)
        parts(world)
        expressions(world)
        links(world)
        claims(world)
        images(world)


c.main(story)
