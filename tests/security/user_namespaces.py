#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 900
"""What root of a pod's user namespace can do to the host, with all capabilities there are in it, and as a privileged container.

CVE-2021-3493, 2023-0386 (kernel): set-user-id files and file capabilities of overlays. CVE-2018-18955 and its like: ids that are
not mapped. Our own: the store, by what is left of mounts; files, devices, sysctls and processes of the host; a neighbour's files.
Each is seen to succeed in a pod of the host's user namespace."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import checks as c
from cri_client import APPLETS, IMAGE
from node import Node
from oci import Image, entry
from registry import busybox_layer

COUNT, FIRST, NEIGHBOUR = 65536, 300000, 500000
SECRET = attacks.Canary.SECRET
PRIVILEGED = {"privileged": True}
USER = {"run_as_user": {"value": 1000}}
# Where sysctls may be written: those of namespaces that are the pod's.
OWN_SYSCTLS = ("/proc/sys/net/", "/proc/sys/user/", "/proc/sys/fs/mqueue/", "/proc/sys/kernel/shm", "/proc/sys/kernel/msg",
               "/proc/sys/kernel/sem", "/proc/sys/kernel/auto_msgmni", "/proc/sys/kernel/hostname",
               "/proc/sys/kernel/domainname", "/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/pid_max")


def users(first):
    ids = [{"host_id": first, "container_id": 0, "length": COUNT}]
    return {"userns_options": {"mode": 0, "uids": ids, "gids": ids}} if first else {}


class Pods:
    """Pods with user namespaces, and the same without one."""

    def __init__(self, node):
        self.node, self.count = node, 0
        program = entry("bin/attack", content=attacks.ATTACK.read_bytes(), mode=0o755)
        setuid = entry("bin/as-root", content=attacks.ATTACK.read_bytes(), mode=0o4755)
        Image(busybox_layer(APPLETS, program, setuid, entry("of-nobody", content=b"x", uid=70000, gid=70000, mode=0o600)))\
            .archive(node.work / "image.tar", IMAGE)
        node.image("load", str(node.work / "image.tar"))

    def start(self, script, first=FIRST, mounts=(), **security):
        self.count += 1
        spaces = {"pid": 1} | users(first)
        context = {"namespace_options": spaces} | ({"privileged": True} if security.get("privileged") else {})
        pod = self.node.pod_config(f"p{self.count}", linux={"security_context": context})
        container = self.node.container_config("main", script, mounts=list(mounts),
                                               linux={"security_context": {"namespace_options": spaces} | security})
        pod_id = self.node.run_pod(pod)
        return pod_id, self.node.run_container(pod_id, container, pod)

    def says(self, script, first=FIRST, **more):
        """What it says until its end."""
        pod_id, container = self.start(script, first, **more)
        c.wait_until("the container ends",
                     lambda: self.node.container_status(container)["state"] == "CONTAINER_EXITED")
        said = self.node.crictl("logs", container)
        self.node.crictl("rmp", "--force", pod_id)
        return said.stdout + said.stderr


def volume(source, first=None, target="/volume"):
    ids = [{"host_id": first, "container_id": 0, "length": COUNT}]
    return {"container_path": target, "host_path": str(source)} | ({"uidMappings": ids, "gidMappings": ids} if first else {})


def ids_of(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1:] for line in status if line.startswith("Uid:"))


def set_user_id(checks, pods):
    """A set-user-id program of root's, of the image, of a volume and made by root inside, run by another user."""
    node = pods.node
    folder = node.work / "programs"
    folder.mkdir()
    folder.chmod(0o755)
    node.work.chmod(0o755)
    (folder / "as-root").write_bytes(attacks.ATTACK.read_bytes())
    (folder / "as-root").chmod(0o4755)
    for what, program, mounts in (("the image's", "/bin/as-root", []), ("a volume's", "/volume/as-root", [FIRST])):
        for first in (FIRST, 0):
            pod_id, container = pods.start(f"exec {program} watch", first, **USER,
                                           mounts=[volume(folder, first) for _ in mounts])
            seen = c.wait_until("the program runs", lambda: (now := ids_of(node.container_pid(container)))[1] != now[0] and now)
            if first:
                checks.equal(seen[1:], [str(FIRST)] * 3, f"CVE-2021-3493, 2023-0386: {what} set-user-id program makes root of the "
                             "namespace, not of the host")
            else:
                checks.equal(seen[1:], ["0"] * 3, f"{what} bites: without a user namespace it is the host's root")
            node.crictl("rmp", "--force", pod_id)
    pod_id, container = pods.start("busybox cp /bin/busybox /made && busybox chmod 6755 /made && busybox chmod 6755 /bin/attack; "
                                   "exec sleep 1000")
    store = node.lib / "store/c"
    made = c.wait_until("it is there", lambda: [path for name in ("made", "bin/attack") for path in store.glob(f"*/u/{name}")
                                                if path.stat().st_mode & 0o6000 == 0o6000][1:] and list(store.glob("*/u/made")))
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in [*made, *store.glob("*/u/bin/attack")]}
    checks.equal(owners, {(FIRST, FIRST)}, "what root inside makes set-user-id, or copies up so, is not the host root's on the disk")
    node.crictl("rmp", "--force", pod_id)


def files(checks, pods):
    """Files of ids that are not mapped: of the host, of an image, of a neighbour."""
    node = pods.node
    folder = node.work / "files"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "secret").write_text(SECRET + "\n")
    (folder / "secret").chmod(0o600)
    before = (folder / "secret").stat()
    script = ("cat /volume/secret; busybox chown 0 /volume/secret; busybox chmod 666 /volume/secret; echo x > /volume/secret; "
              "busybox chown 5 /of-nobody; cat /of-nobody")
    said = pods.says(script, mounts=[volume(folder)], **PRIVILEGED)
    checks.ok(SECRET not in said, "our own: a file of the host's that is not mapped can't be read", said)
    now = (folder / "secret").stat()
    checks.equal((now.st_uid, now.st_mode, now.st_mtime_ns), (before.st_uid, before.st_mode, before.st_mtime_ns), "nor changed")
    checks.ok("x" not in said.replace("busybox", "").split(), "an image's file of an id that is not mapped is closed to it", said)
    checks.contains(pods.says("cat /volume/secret", 0, mounts=[volume(folder)]), SECRET, "which root of the host's reads")
    os.chown(folder / "secret", NEIGHBOUR, NEIGHBOUR)
    said = pods.says("cat /volume/secret", mounts=[volume(folder)], **PRIVILEGED)
    checks.ok(SECRET not in said, "a file of another pod's ids can't be read", said)
    os.chown(folder / "secret", 0, 0)


def mounts(checks, pods):
    """All capabilities, and what is left of the mounts that the root was made of."""
    tries = ("for m in /etc/hosts /etc/hostname /etc/resolv.conf /proc /sys /dev; do busybox umount -l $m; done; "
             "busybox mount -o remount,size=1g /; busybox mount -t overlay -o lowerdir=/bin:/etc x /tmp; "
             "busybox mount -o bind / /mnt; ls /s /upper /r /host-proc /host-sys /..")
    said = pods.says(f"busybox mkdir /mnt /tmp; {tries}", capabilities={"add_capabilities": ["ALL"]})
    for name in ("/s", "/upper", "/r", "/host-proc", "/host-sys"):
        checks.contains(said, f"{name}: No such file", f"{name}, of the launch, is not there any more")
    before = {str(path): path.lstat().st_ctime_ns for path in (pods.node.lib / "store/l").rglob("*")}
    pods.says("busybox find / -xdev -exec busybox chown 5:5 {} \\; ; busybox find / -xdev -exec busybox chmod 777 {} \\;",
              capabilities={"add_capabilities": ["ALL"]})
    after = {str(path): path.lstat().st_ctime_ns for path in (pods.node.lib / "store/l").rglob("*")}
    checks.equal(after, before, "it changes owner and mode of all that it sees, and nothing of the image's layers")


def kernel(checks, pods):
    """Sysctls, devices and processes of the host's, by a privileged container."""
    def writable(first):
        said = pods.says("exec /bin/attack writable /proc/sys", first, **PRIVILEGED)
        return {line.split(" ", 1)[1] for line in said.splitlines() if line.startswith("file ")}

    open_ = writable(FIRST)
    checks.equal({path for path in open_ if not path.startswith(OWN_SYSCTLS)}, set(),
                 "our own: a privileged container writes no sysctl but those of its pod's namespaces")
    checks.ok({"/proc/sys/kernel/core_pattern", "/proc/sys/vm/swappiness"} <= writable(0), "without a user namespace it does")
    said = pods.says("for f in /proc/sysrq-trigger /proc/1/oom_score_adj /sys/kernel/uevent_helper /sys/power/state; do "
                     "[ -w $f ] && (: > $f) 2>/dev/null && echo open $f; done; for d in /dev/*; do [ -b $d ] && "
                     "busybox dd if=$d of=/dev/null bs=1 count=1 2>/dev/null && echo read $d; done; "
                     "busybox mknod /tmp/disk b 254 0; busybox dmesg 2>&1 | busybox head -1; echo END", **PRIVILEGED)
    opened = [line for line in said.splitlines() if line.startswith(("open /proc/sysrq", "open /sys", "read "))]
    checks.equal(opened, [], "nor the kernel's other files, and reads no disk of the host's")
    pod_id, container = pods.start("exec sleep 1000")
    neighbour_id, neighbour = pods.start("exec sleep 1000", NEIGHBOUR)
    own, other = (pods.node.container_pid(each) for each in (container, neighbour))
    checks.ok(ids_of(own)[0] == str(FIRST) and ids_of(other)[0] == str(NEIGHBOUR), "processes of two pods are of different users")
    for each in (pod_id, neighbour_id):
        pods.node.crictl("rmp", "--force", each)


def story(checks):
    with Node(checks) as node:
        pods = Pods(node)
        for part in (set_user_id, files, mounts, kernel):
            part(checks, pods)


c.main(story)
