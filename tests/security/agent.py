#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""Attacks on the agent from its pods, by what it makes and reads for them.

CVE-2017-1002102 (kubelet): volumes of configuration whose links a container exchanges. Links in the place of a pod's logs (2019,
"pod escape using log mounts"). CVE-2020-8557 (kubelet): /etc/hosts that fills the disk. CVE-2023-3676, 3955, 5528, 2024-9042
(kubelet, Windows): names that a shell would run. CVE-2024-10220, 2025-1767 (kubelet): gitRepo. CVE-2020-8563 to 8566, 2023-2878:
secrets in logs. CVE-2019-11248 (kubelet): ports that tell more than they should. Our own: last words without an end, images whose files are links where the agent puts its own, paths that climb."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import cycles
from attacks import Canary
from cluster import READY, SLEEPS, ready_node
from cri_client import APPLETS, IMAGE
from oci import Image, entry
from registry import busybox_layer

BUSYBOX = "/bin/busybox"
EVIL = "evil:test"
WORD = "gantry-canary-f6b1"  # of a secret's
MESSAGE = ".status.containerStatuses[0].state.terminated.message"


class World:
    def __init__(self, checks, control, node):
        self.checks, self.control, self.node = checks, control, node
        self.canary = Canary(node)
        # Lines as logs have them, where somebody would look for one.
        (self.canary.folder / "0.log").write_text(f"2026-01-01T00:00:00.000000000Z stdout F {Canary.SECRET}\n")
        self.canary.changes()

    def create(self, name, command=SLEEPS, volumes=(), mounts=(), container=None, **spec):
        one = {"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", command],
               "volumeMounts": [{"name": volume, "mountPath": f"/{volume}"} for volume in mounts or [v["name"] for v in volumes]],
               **(container or {})}
        self.control.out("create", "-f", "-", given=json.dumps({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"nodeName": self.node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
                     "restartPolicy": "Never", "volumes": list(volumes), "containers": [one], **spec}}))

    def run(self, name, **more):
        self.create(name, **more)
        self.control.wait_for(name, "is Ready", READY, "True")

    def field(self, name, path):
        return self.control.kubectl("get", "pod", name, "-o", f"jsonpath={{{path}}}").stdout

    def uid(self, name):
        return self.field(name, ".metadata.uid")

    def shell(self, name, command):
        container = next(key for key, item in self.node.containers().items()
                         if item["labels"]["io.kubernetes.pod.name"] == name and item["state"] == "CONTAINER_RUNNING")
        return self.node.crictl("exec", container, "/bin/sh", "-c", command).stdout

    def said(self, name):
        """A pod's last words."""
        c.wait_until(f"{name} has ended", lambda: self.field(name, ".status.phase") in ("Succeeded", "Failed"))
        return self.field(name, MESSAGE)

    def delete(self, *names):
        folders = [self.node.state / "kubelet/pods" / self.uid(name) for name in names]
        self.control.out("delete", "pod", *names, "--wait=false")
        c.wait_until(f"{' '.join(names)}: gone", lambda: not any(self.field(name, ".metadata.name") for name in names))
        c.wait_until(f"nothing of {' '.join(names)} is left", lambda: not any(folder.exists() for folder in folders))

    def is_untouched(self, what):
        self.checks.equal(self.canary.changes(), [], what)


# ---- volumes

def plant(world, name, volumes):
    """A privileged container makes each volume writable and puts links to the canary where the agent's own links are."""
    target = world.canary.folder
    script = "".join(
        f"{BUSYBOX} mount -o remount,bind,rw /{volume} && cd /{volume} && {BUSYBOX} rm -rf ..2* ..data ..data_tmp color && "
        f"{BUSYBOX} ln -s {target} ..data && {BUSYBOX} ln -s {target} ..data_tmp && {BUSYBOX} ln -s {target}/file color && "
        f"{BUSYBOX} ln -s {target} ..2026_01_01_00_00_00.000000001 && " for volume in volumes)
    script += f"cd /empty && {BUSYBOX} ln -sf {target} link && {BUSYBOX} mkdir -p a/b && {BUSYBOX} ln -sf {target} a/b/link && echo planted"
    return world.shell(name, script).strip()


def config_volumes(world):
    control, checks = world.control, world.checks
    control.out("create", "configmap", "settings", "--from-literal=color=red")
    control.out("create", "secret", "generic", "keys", f"--from-literal=color={WORD}")
    item = {"path": "color", "fieldRef": {"fieldPath": "metadata.labels"}}
    volumes = [{"name": "settings", "configMap": {"name": "settings"}}, {"name": "keys", "secret": {"secretName": "keys"}},
               {"name": "facts", "downwardAPI": {"items": [item]}},
               {"name": "all", "projected": {"sources": [{"configMap": {"name": "settings"}}]}}]
    names = [volume["name"] for volume in volumes]
    world.run("planter", volumes=[*volumes, {"name": "empty", "emptyDir": {}}],
              container={"securityContext": {"privileged": True}})
    checks.equal(plant(world, "planter", names), "planted", "a privileged container exchanges the links in its volumes")
    folder = world.node.state / "kubelet/pods" / world.uid("planter") / "volumes"
    seen = world.shell("planter", "".join(f"{BUSYBOX} readlink /{name}/..data;" for name in names)).split()
    checks.equal(seen, [str(world.canary.folder)] * 4, "which lead to the host's files")
    # What is read by them is the host's for who follows them on the host.
    checks.equal((folder / "kubernetes.io~configmap/settings/..data/file").read_text().strip(), Canary.SECRET,
                 "CVE-2017-1002102 bites: by a path the agent would be there")
    control.out("patch", "configmap", "settings", "-p", '{"data": {"color": "blue"}}')
    control.out("patch", "secret", "keys", "-p", '{"stringData": {"color": "new"}}')
    control.out("label", "pod", "planter", "color=blue")
    # The data of each volume is where it is said to be, whatever was there.
    wanted = ["blue", "new", 'color="blue"', "blue"]
    c.wait_until("the volumes are written again", lambda: world.shell(
        "planter", "".join(f"{BUSYBOX} cat /{name}/..data/color; echo;" for name in names)).split() == wanted)
    world.is_untouched("CVE-2017-1002102: volumes that are written again change nothing of the host's")
    checks.equal(plant(world, "planter", names), "planted", "it does so again")
    world.delete("planter")
    world.is_untouched("CVE-2017-1002102: nor do those of a pod that is deleted")
    careless = world.node.work / "careless"
    careless.mkdir()
    (careless / "..data").symlink_to(shutil.copytree(world.canary.folder, world.node.work / "copy"))
    for path in (careless / "..data").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    checks.equal(os.listdir(world.node.work / "copy"), [], "CVE-2017-1002102 bites: who removes by path removes the host's")


# ---- logs

def logs(world):
    """A pod that has the logs' folder as a hostPath, as collectors of logs do, exchanges another's log for a link."""
    checks, control = world.checks, world.control
    root = world.node.state / "log/pods"
    world.run("victim", command=f"echo honest; {SLEEPS}")
    world.run("collector", volumes=[{"name": "logs", "hostPath": {"path": str(root)}}])
    c.wait_until("kubectl logs says what it should", lambda: control.kubectl("logs", "victim").stdout == "honest\n")
    folder = f"default_victim_{world.uid('victim')}"
    inside, log = f"/logs/{folder}", root / folder / "web/0.log"
    ways = {"a link": f"{BUSYBOX} mv {inside}/web/0.log {inside}/web/kept; {BUSYBOX} ln -s {world.canary.folder}/file {inside}/web/0.log",
            "a FIFO": f"{BUSYBOX} rm {inside}/web/0.log; {BUSYBOX} mkfifo {inside}/web/0.log",
            "a container's folder that is a link": f"{BUSYBOX} mv {inside}/web {inside}/kept; {BUSYBOX} ln -s {world.canary.folder} {inside}/web",
            "a pod's folder that is a link": f"{BUSYBOX} rm {inside}/web; {BUSYBOX} mv {inside} /logs/kept; "
                                             f"{BUSYBOX} mkdir /logs/evil; {BUSYBOX} ln -s {world.canary.folder} /logs/evil/web; "
                                             f"{BUSYBOX} ln -s evil {inside}"}
    for what, command in ways.items():
        world.shell("collector", command)
        if "FIFO" not in what:
            checks.contains(log.read_text(), Canary.SECRET, f"our own, of 2019, bites: {what}: who opens it by its path reads the host's file")
        done = control.kubectl("logs", "victim")
        checks.ok(Canary.SECRET not in done.stdout + done.stderr and done.returncode != 0,
                  f"our own, of 2019: a log that is {what}: kubectl logs says nothing of it", done.stdout + done.stderr)
    world.shell("collector", f"{BUSYBOX} rm {inside}; {BUSYBOX} mv /logs/kept {inside}; {BUSYBOX} rm -rf /logs/evil; {BUSYBOX} mv {inside}/kept {inside}/web")

    # The same, of which a container's last words are made.
    world.run("talker", command="until [ -e /tmp/end ]; do sleep 0.1; done; echo honest; exit 1",
              container={"terminationMessagePolicy": "FallbackToLogsOnError"})
    inside = f"/logs/default_talker_{world.uid('talker')}"
    world.shell("collector", f"{BUSYBOX} mv {inside}/web {inside}/kept; {BUSYBOX} ln -s {world.canary.folder} {inside}/web")
    world.shell("talker", "touch /tmp/end")
    checks.equal(world.said("talker"), "", "our own: last words by FallbackToLogsOnError are not taken from behind a link")
    # And where the log of its next container would be made.
    world.run("comer", restartPolicy="OnFailure", command=f"[ -e /mark/x ] && {{ {SLEEPS}; }}; until [ -e /tmp/end ]; do sleep 0.1; done; "
              "touch /mark/x; exit 1", volumes=[{"name": "mark", "emptyDir": {}}])
    inside = f"/logs/default_comer_{world.uid('comer')}"
    world.shell("collector", f"{BUSYBOX} mv {inside} /logs/kept; {BUSYBOX} ln -s {world.canary.folder} {inside}")
    world.shell("comer", "touch /tmp/end")
    c.wait_until("its next container is not started", lambda: 'log "' in world.field(
        "comer", ".status.containerStatuses[0].lastState.terminated.message"))
    world.is_untouched("our own: a container's log is not made behind a link")
    world.shell("collector", f"{BUSYBOX} rm {inside}; {BUSYBOX} mv /logs/kept {inside}")
    world.delete("talker", "victim", "comer", "collector")
    world.is_untouched("our own, of 2019: and all that the links led to is as it was")


# ---- files that the agent puts into containers

def files(world):
    checks, canary = world.checks, world.canary.folder
    links = [entry("etc/hosts", tarfile.SYMTYPE, linkname=f"{canary}/file"),
             entry("etc/resolv.conf", tarfile.SYMTYPE, linkname="../" * 20 + f"{canary}/0.log"),
             entry("evil", tarfile.SYMTYPE, linkname=str(canary))]
    Image(busybox_layer(APPLETS, entry("etc/", tarfile.DIRTYPE), *links)).archive(world.node.work / "evil.tar", EVIL)
    world.node.image("load", world.node.work / "evil.tar")
    world.create("links", command="[ -s /etc/hosts ] && echo told > /evil/folder/words; cat /etc/hosts > /evil/more; exit 0",
                 container={"image": EVIL, "terminationMessagePath": "/evil/folder/words"})
    checks.equal(world.said("links"), "told\n", "our own: an image's links at terminationMessagePath and /etc/hosts lead nowhere else")
    world.is_untouched("our own: and nothing of the host's is changed by them")

    before = cycles.resident(world.node)
    world.create("long", command=f"{BUSYBOX} truncate -s 1T /etc/hosts; {BUSYBOX} head -c 20000000 /dev/zero | {BUSYBOX} tr '\\000' x > "
                 f"/dev/termination-log; {BUSYBOX} truncate -s 1T /dev/termination-log; echo end >> /dev/termination-log; exit 0")
    said = world.said("long")
    checks.ok(said.endswith("end\n") and len(said.encode()) <= 3 * 4096, "our own: last words of a terabyte: their end is told", len(said))
    checks.ok(cycles.resident(world.node) - before < 32 << 10, "and gantryd is no bigger for it",
              f"{before} -> {cycles.resident(world.node)} KiB")
    # The next container of a pod whose first has spoilt /etc/hosts.
    world.create("again", restartPolicy="OnFailure",
                 command=f"[ -e /mark/x ] && {{ cat /etc/hosts > /dev/termination-log; exit 0; }}; touch /mark/x; "
                         f"{BUSYBOX} truncate -s 1T /etc/hosts; exit 1", volumes=[{"name": "mark", "emptyDir": {}}])
    checks.ok(world.said("again").startswith("# Kubernetes-managed hosts file.\n"),
              "our own: the next container finds /etc/hosts as it should be")
    for name, path in (("fills-hosts", "/etc/hosts"), ("fills-words", "/dev/termination-log")):
        world.create(name, command=f"{BUSYBOX} head -c 3000000 /dev/zero > {path}; {SLEEPS}",
                     container={"resources": {"limits": {"ephemeral-storage": "1Mi"}}})
    for name, path in (("fills-hosts", "/etc/hosts"), ("fills-words", "/dev/termination-log")):
        world.control.wait_for(name, "is evicted", ".status.reason", "Evicted")
        checks.contains(world.field(name, ".status.message"), "Pod ephemeral local storage usage exceeds the total limit",
                        f"CVE-2020-8557: a pod that fills the disk by {path} is evicted")
    world.delete("links", "long", "again", "fills-hosts", "fills-words")


# ---- what a pod asks for

def names(world):
    """A folder whose name a shell would run."""
    checks, control = world.checks, world.control
    sign = world.canary.folder / "ran"
    name = "x;touch ran;$(touch ran)`touch ran`"
    folder = world.node.work / name
    folder.mkdir()
    (folder / "file").write_text("whole\n")
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": [world.node.name]}]}]}}
    control.out("create", "-f", "-", given=json.dumps({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "odd"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
                 "local": {"path": str(folder)}, "nodeAffinity": affinity}}))
    control.out("create", "-f", "-", given=json.dumps({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "odd"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "odd",
                 "resources": {"requests": {"storage": "1Gi"}}}}))
    part = "sub;touch ran;$(touch ran)"
    (folder / part).mkdir()
    (folder / part / "file").write_text("part\n")
    mounts = [{"name": "odd", "mountPath": "/odd"}, {"name": "odd", "mountPath": "/part", "subPath": part}]
    world.create("odd", command="cat /odd/file /part/file > /dev/termination-log; exit 0",
                 volumes=[{"name": "odd", "persistentVolumeClaim": {"claimName": "odd"}}], container={"volumeMounts": mounts})
    checks.equal(world.said("odd"), "whole\npart\n", "CVE-2023-5528, 3676, 3955: a path that a shell would run is a path")
    world.delete("odd")
    ran = [path for path in (sign, folder / "ran", pathlib.Path(f"/proc/{world.node.gantryd_pid()}/cwd/ran")) if path.exists()]
    checks.equal(ran, [], "and nothing of it was run")
    done = subprocess.run(["sh", "-c", f"ls {name}"], capture_output=True, cwd=world.node.work)
    checks.ok((world.node.work / "ran").exists(), "CVE-2023-5528 bites: a shell runs it", done)


def refused(world):
    checks, control = world.checks, world.control
    world.create("git", volumes=[{"name": "git", "gitRepo": {"repository": str(world.canary.folder), "directory": "."}}])
    control.wait_for("git", "is rejected", ".status.reason", "UnsupportedByNode")
    checks.contains(world.field("git", ".status.message"), "gitRepo", "CVE-2024-10220, 2025-1767: a gitRepo volume is refused by name")
    world.delete("git")
    for what, volume in (("climbs", {"configMap": {"name": "settings", "items": [{"key": "color", "path": "../../x"}]}}),
                         ("is absolute", {"configMap": {"name": "settings", "items": [{"key": "color", "path": "/x"}]}}),
                         ("is the agent's own", {"configMap": {"name": "settings", "items": [{"key": "color", "path": "..data"}]}})):
        done = control.kubectl("create", "-f", "-", given=json.dumps({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "path"}, "spec": {
                "nodeName": world.node.name, "volumes": [{"name": "v", **volume}], "containers": [{"name": "web", "image": IMAGE}]}}))
        checks.contains(done.stderr, "path", f"our own: a path in a volume that {what} is refused")
    # Of a manifest the node is the only judge.
    before = sorted(os.listdir(world.node.state)), sorted(os.listdir(world.node.state / "kubelet"))
    bad = {"namespace": {"metadata": {"name": "climbs", "namespace": "../x"}},
           "path": {"spec": {"volumes": [{"name": "v", "downwardAPI": {"items": [
               {"path": "../../../../x", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}},
           "name": {"spec": {"volumes": [{"name": "../../x", "emptyDir": {}}]}}}
    for what, change in bad.items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "climbs"} | change.get("metadata", {}),
               "spec": {"containers": [{"name": "web", "image": IMAGE}]} | change.get("spec", {})}
        manifest = world.node.manifests / f"climbs-{what}.yaml"
        mark = len(world.node.log_file.read_text(errors="replace"))
        manifest.write_text(json.dumps(pod))
        c.wait_until(f"a manifest whose {what} climbs is refused", lambda: any(
            f"climbs-{what}.yaml" in line and (" warning " in line or " error " in line)
            for line in world.node.log_file.read_text(errors="replace")[mark:].splitlines()))
        manifest.unlink()
    after = sorted(os.listdir(world.node.state)), sorted(os.listdir(world.node.state / "kubelet"))
    checks.equal(after, before, "our own: manifests whose namespace, path and volume's name climb make nothing")
    world.is_untouched("and the host's files are as they were")


def spoken(world):
    """All that was seen of a secret, and the tokens that were made, at the level that says the most."""
    world.run("keeper", volumes=[{"name": "keys", "secret": {"secretName": "kept"}}], automountServiceAccountToken=True,
              container={"env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "kept", "key": "key"}}}]})
    token = world.shell("keeper", f"{BUSYBOX} cat /var/run/secrets/kubernetes.io/serviceaccount/token").strip()
    seen = world.shell("keeper", f"echo $KEY; {BUSYBOX} cat /keys/key")
    world.checks.equal((seen.count(WORD), token.count(".")), (2, 2), "a pod has a secret twice, and a token")
    world.node.kill_gantryd()
    world.node.wait_for_gantryd()
    world.delete("keeper")
    said = world.node.log_file.read_text(errors="replace")
    world.checks.ok("default/keeper" in said, "the log speaks of the pod")
    found = [line for line in said.splitlines() if WORD in line or token in line or token.rsplit(".", 1)[1] in line]
    world.checks.equal(found, [], "CVE-2020-8563 to 8566, 2023-2878: neither is in the log")


def ports(world):
    """What gantryd listens at on its node's network, and what it tells who shows nothing."""
    supervisor = world.node.supervisor()

    def listening():
        owned, found = set(), set()
        for fd in pathlib.Path(f"/proc/{world.node.gantryd_pid()}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed since
                owned.add(os.readlink(fd))
        for table in ("tcp", "tcp6"):
            for line in pathlib.Path(f"/proc/{supervisor}/net/{table}").read_text().splitlines()[1:]:
                part = line.split()
                # Where crictl's streams are served is on the loopback, as with other runtimes, and takes one-time tokens.
                if part[3] == "0A" and f"socket:[{part[9]}]" in owned and not part[1].startswith(("0100007F:", "0" * 24 + "01000000:")):
                    address, port = part[1].rsplit(":", 1)
                    found.add((int(port, 16), not address.strip("0")))
        return found
    # 10256 tells load balancers whether Services are served, 53 is the cluster's DNS, at its own address alone.
    wanted = {(10250, True), (10256, True), (53, False)}
    c.wait_until("the node listens at all of them again", lambda: listening() >= wanted)
    world.checks.equal(listening(), wanted, "CVE-2019-11248: a node listens at no other port")
    for path in ("/debug/pprof/", "/debug/pprof/heap", "/debug/flags/v", "/metrics", "/configz", "/logs/", "/run/default/x/y"):
        done = subprocess.run([*world.control.enter, "curl", "-sk", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}",
                               f"https://127.0.0.1:10250{path}"], capture_output=True, text=True)
        world.checks.equal(done.stdout, "401", f"CVE-2019-11248: nobody is told {path}")


def story(checks):
    with ready_node(checks, options=("--option=--log-level=debug",)) as (node, control):
        node.approve_serving(control)
        control.out("create", "secret", "generic", "kept", f"--from-literal=key={WORD}")
        world = World(checks, control, node)
        config_volumes(world)
        logs(world)
        files(world)
        names(world)
        refused(world)
        spoken(world)
        ports(world)


c.main(story)
