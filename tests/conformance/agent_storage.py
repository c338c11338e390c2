#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Volumes of pods that the API server binds to a node, with real kubectl: empty ones on disk and in memory, parts of volumes
(subPath, subPathExpr), persistent ones, whose they become (fsGroup), block devices, claims of a pod's own, images."""
import json
import os
import pathlib
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from bound_pods import MESSAGE, WAITING, BoundPods
from cluster import ready_node
from oci import Image, entry, tar

# What waits for a file in this volume.
GOES_ON = "until [ -e {}/go ]; do sleep 0.1; done"


def empty(world):
    """What anybody may write to, on disk and in memory, which is bounded; with fsGroup they are the group's."""
    volumes = [{"name": "d", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    mounts = [{"name": "d", "mountPath": "/d"}, {"name": "m", "mountPath": "/m"}]
    look = "stat -c '%a %u %g' /d /m; stat -f -c %T /m; touch /d/x /m/x; stat -c '%u %g' /d/x /m/x;"
    full = "head -c 2000000 /dev/zero 2>/dev/null > /m/large && echo unbounded; stat -c %s /m/large;"
    user = {"securityContext": {"runAsUser": 1000, "runAsGroup": 1000}}
    world.add(world.pod("empty", f"{{ {look} rm /m/x; {full} }} > /dev/termination-log", mounts, volumes, container=user),
              world.pod("group", f"{{ {look} }} > /dev/termination-log", mounts, volumes, container=user,
                        securityContext={"fsGroup": 2000}))
    world.says("empty", "777 0 0\n777 0 0\ntmpfs\n1000 1000\n1000 1000\n1048576", "anybody's, and no larger than its limit in memory")
    world.says("group", "2777 0 2000\n2777 0 2000\ntmpfs\n1000 2000\n1000 2000", "with fsGroup of the group, also what is made in it")
    world.delete("empty", "group")


def parts(world):
    """Of an emptyDir: made, seen by two mounts, expanded, kept over a restart, and gone with the pod."""
    mounts = [{"name": "v", "mountPath": "/whole"}, {"name": "v", "mountPath": "/part", "subPath": "a/b"},
              {"name": "v", "mountPath": "/own", "subPathExpr": "logs/$(POD)"}]
    env = [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    volumes = [{"name": "v", "emptyDir": {}}]
    world.create("parts", f"test -e /whole/again && {{ cat /own/x /part/y > /dev/termination-log; {GOES_ON.format('/whole')}; exit 0; }};"
                 "echo one > /whole/logs/parts/x; echo two > /whole/a/b/y; touch /whole/again; exit 1",
                 mounts, volumes, container={"env": env}, restartPolicy="OnFailure")
    world.wait("parts", ".status.containerStatuses[0].restartCount", "1")
    world.wait("parts", ".status.phase", "Running")
    world.checks.equal(len(list(world.node.state.glob("kubelet/pods/*/volume-subpaths/v/web/*"))), 2, "where kubelet has them")
    whole = next(world.node.state.glob("kubelet/pods/*/volumes/kubernetes.io~empty-dir/v"))
    (whole / "go").touch()
    world.says("parts", "one\ntwo", "the same files by both ways, also of the container's next attempt")
    pod = whole.parent.parent.parent
    c.wait_until("a pod that has ended has no volumes", lambda: not {"volumes", "volume-subpaths"} & set(os.listdir(pod)))
    world.checks.equal(world.field("parts", MESSAGE).strip(), "one\ntwo", "a pod that has ended has its last words, and no volumes")
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


def here(node):
    """A volume's nodeAffinity: on this node."""
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": [node.name]}]}]}}


def claim(name, volume_name, **spec):
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": volume_name,
        "resources": {"requests": {"storage": "1Gi"}}, **spec}}


def unbound(name, claim_name):
    """How the event begins of a pod whose volume of that name has no claim that it may use."""
    return (f"Unable to attach or mount volumes: unmounted volumes=[{name}], unattached volumes=[], failed to process volumes=[{name}]: "
            f"error processing PVC default/{claim_name}: ")


def claims(world):
    """A pod waits for its claim, says so, and has what it is bound to, which outlives the pod."""
    local = world.node.work / "local"
    local.mkdir(mode=0o700)
    volumes = [{"name": "l", "persistentVolumeClaim": {"claimName": "local"}},
               {"name": "h", "persistentVolumeClaim": {"claimName": "host", "readOnly": True}}]
    mounts = [{"name": "l", "mountPath": "/l"}, {"name": "l", "mountPath": "/part", "subPath": "a"}, {"name": "h", "mountPath": "/h"}]
    world.create("claims", "[ $(stat -c %a:%g /l) = 2770:2000 ] || exit 1; echo kept > /part/x; touch /h/x 2>/dev/null || "
                 f"echo read-only > /dev/termination-log; {GOES_ON.format('/l')}; exit 0",
                 mounts, volumes, securityContext={"fsGroup": 2000})
    c.wait_until("an event says what it waits for", lambda: 'error processing PVC default/local: failed to fetch PVC from API '
                 'server: persistentvolumeclaims "local" not found' in world.control.out("describe", "pod", "claims"))
    world.checks.contains(world.control.out("describe", "pod", "claims"), "FailedMount", "as kubelet does")
    for one in (volume("local", local={"path": str(local)}, nodeAffinity=here(world.node)), claim("local", "local"),
                volume("host", hostPath={"path": str(world.node.work / "host"), "type": "DirectoryOrCreate"}), claim("host", "host")):
        world.control.out("create", "-f", "-", given=json.dumps(one))
    world.wait("claims", ".status.phase", "Running")
    world.checks.equal(len(list(world.node.state.glob("kubelet/pods/*/volumes/kubernetes.io~local-volume/local"))), 1,
                       "where kubelet has it")
    (local / "go").touch()
    world.says("claims", "read-only", "it goes on when both are bound; one is read-only")
    world.delete("claims")
    world.checks.equal((local / "a/x").read_text(), "kept\n", "and all of the volume")


def group_policies(world):
    """OnRootMismatch: what is in a volume is given to the group when the volume's own folder is not the group's."""
    folder = world.node.work / "policies"
    folder.mkdir()
    inner = folder / "inner"
    inner.write_text("x")
    world.add(volume("policies", local={"path": str(folder)}, nodeAffinity=here(world.node)), claim("policies", "policies"))

    def owners(name, policy, root):
        os.chown(folder, -1, root)
        folder.chmod(0o2770)
        os.chown(inner, -1, 0)
        inner.chmod(0o600)
        world.create(name, "stat -c %g:%a /v /v/inner > /dev/termination-log", [{"name": "v", "mountPath": "/v"}],
                     [{"name": "v", "persistentVolumeClaim": {"claimName": "policies"}}],
                     securityContext={"fsGroup": 2000, **({"fsGroupChangePolicy": policy} if policy else {})})
        said = world.last_words(name).split()
        world.delete(name)
        return said

    world.checks.equal(owners("right", "OnRootMismatch", 2000), ["2000:2770", "0:600"],
                       "OnRootMismatch: where the folder is right nothing changes")
    world.checks.equal(owners("wrong", "OnRootMismatch", 0), ["2000:2770", "2000:660"], "where it is not all does")
    world.checks.equal(owners("always", "Always", 2000), ["2000:2770", "2000:660"], "Always: all does")
    world.checks.equal(owners("unsaid", None, 2000), ["2000:2770", "2000:660"], "which is so when nothing is said")


def block(world):
    """A device is one in the container, and none is mounted as a folder."""
    image = world.node.work / "disk"
    image.write_bytes(b"of the disk".ljust(1 << 20, b"\0"))
    device = world.node.exec("losetup", "--find", "--show", image).stdout.strip()
    try:
        world.add(volume("disk", volumeMode="Block", local={"path": device}, nodeAffinity=here(world.node)),
                  claim("disk", "disk", volumeMode="Block"))
        volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "disk"}}]
        world.create("block", "stat -c %F /dev/data > /dev/termination-log; head -c 11 /dev/data >> /dev/termination-log", [], volumes,
                     container={"volumeDevices": [{"name": "d", "devicePath": "/dev/data"}]})
        world.says("block", "block special file\nof the disk", "volumeMode Block: a device")
        world.create("folder", "true", [{"name": "d", "mountPath": "/d"}], volumes)
        world.has_event("folder", "FailedMount", unbound("d", "disk") + "volume disk has volumeMode Block, but is specified in volumeMounts")
        world.delete("block", "folder")
    finally:
        world.node.exec("losetup", "--detach", device, check=False)


def own_claims(world):
    """A generic ephemeral volume is a claim of the pod's name, which a controller makes. Another's of that name is not used."""
    folder = world.node.work / "own"
    folder.mkdir()
    world.add(volume("own", local={"path": str(folder)}, nodeAffinity=here(world.node)), claim("own-e", "nowhere"))
    world.create("own", "echo x > /e/x; echo written > /dev/termination-log", [{"name": "e", "mountPath": "/e"}],
                 [{"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {
                     "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "own",
                     "resources": {"requests": {"storage": "1Gi"}}}}}}])
    world.has_event("own", "FailedMount", unbound("e", "own-e") + "PVC default/own-e was not created for pod default/own (pod is not owner)")
    world.control.out("delete", "pvc", "own-e", "--wait=false")  # another of that name comes at once
    world.says("own", "written", "with the pod as its owner it is the pod's")
    world.delete("own")
    world.checks.ok((folder / "x").exists(), "what was written is in it")


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
        world = BoundPods(checks, control, node)
        for part in (empty, parts, expressions, links, claims, group_policies, block, own_claims, images):
            part(world)


c.main(story)
