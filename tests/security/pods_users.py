#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""Users and groups of an image's, and of a pod's by the CRI: an error, or the very ones. users.py shows that these bite.

CVE-2016-3697 (runc), 2024-40635 (containerd), 2026-30892 (crun): names and numbers that become root. CVE-2023-25173
(containerd), 2022-2995 (CRI-O), 2022-36109 (moby): groups that are missing or too many. CVE-2022-4318 and 2026-15809 (CRI-O):
a HOME with a line feed becomes a line of passwd. CVE-2026-47262 (containerd), 2025-4437 (CRI-O): a passwd without an end.
CVE-2019-11245 (kubelet): a restart as root."""
import pathlib
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import checks as c
import cycles
from cri_client import APPLETS
from node import Node
from oci import Image, entry
from registry import busybox_layer

PASSWD = """root:x:0:0:root:/root:/bin/sh
1000:x:0:0:digits:/:/bin/sh
4294967296:x:0:0::/:/bin/sh
wrap:x:4294967296:4294967296::/:/bin/sh
minus:x:-1:-1::/:/bin/sh
none:x:::::
member:x:500:500::/home:/bin/sh
"""
GROUP = "root:x:0:\nextra:x:600:member,1000\n1001:x:0:\nhigh:x:4294967296:member\nminus:x:-1:member\n"
TOO_MUCH = ("2147483648", "4294967295", "4294967296", "18446744073709551616", "-1")
# What a user of an image's is, or None for one that is refused.
USERS = {"": "0 0", "1000": "1000 0", "2147483647": "2147483647 0", "member": "500 500", "member:extra": "500 600",
         "1000:1001": "1000 1001",
         **dict.fromkeys((*TOO_MUCH, ":", "1:", ":1", "1:2:3", "wrap", "minus", "none", "nobody", "member:minus",
                          "member:high", " 1", "1 ", "0x0", "root\n", "+0", "1:-1", "1:4294967296"))}
SHOWN = "echo $(id -u) $(id -g)"
IDS = {"value": 500}


class Pod:
    """One pod in which containers of many images run to their end."""

    def __init__(self, node):
        self.node, self.count = node, 0
        self.config = node.pod_config("users")
        self.id = node.run_pod(self.config)

    def load(self, name, *entries, passwd=PASSWD, **config):
        """An image; False when it is refused."""
        files = [entry("etc/", tarfile.DIRTYPE), entry("etc/group", content=GROUP.encode())]
        files += [entry("etc/passwd", content=passwd.encode())] if passwd is not None else []
        Image(busybox_layer(APPLETS, *files, *entries), **config).archive(self.node.work / "image.tar", name)
        return self.node.image("load", str(self.node.work / "image.tar"), check=False).returncode == 0

    def run(self, image, script=SHOWN, **security):
        """What a container says, or None when it is refused."""
        self.count += 1
        context = self.node.pod_config("users")["linux"]["security_context"] | security
        container = self.node.container_config(f"c{self.count}", script, image={"image": image},
                                               linux={"security_context": context})
        done = self.node.crictl("create", self.id, self.node.write(container), self.node.write(self.config), check=False)
        if done.returncode != 0 or self.node.crictl("start", done.stdout.strip(), check=False).returncode != 0:
            return None
        container_id = done.stdout.strip()
        c.wait_until("the container ends",
                     lambda: self.node.container_status(container_id)["state"] == "CONTAINER_EXITED")
        said = self.node.crictl("logs", container_id).stdout
        self.node.crictl("rm", container_id)
        return said.strip()


def names(checks, pod):
    got = {user: pod.run("user:1") if pod.load("user:1", User=user) else None for user in USERS}
    checks.equal(got, USERS, f"CVE-2016-3697, 2024-40635, 2026-30892: {len(USERS)} users of an image's: refused, or the very one")
    pod.load("plain:1")
    for bad in TOO_MUCH:
        seen = [pod.run("plain:1", run_as_user={"value": int(bad)}),
                pod.run("plain:1", run_as_user=IDS, run_as_group={"value": int(bad)}),
                pod.run("plain:1", run_as_user=IDS, supplemental_groups=[int(bad)]), pod.run("plain:1", run_as_username=bad)]
        checks.equal(seen, [None] * 4, f"CVE-2024-40635: {bad} as a user, a group, a further group, a name: refused")
    named = {"1000": "1000 0", "member": "500 500", **dict.fromkeys(("wrap", "minus", "none", ":", "0:0"))}
    for name, wanted in named.items():
        checks.equal(pod.run("plain:1", run_as_username=name), wanted,
                     f"CVE-2016-3697: run_as_username {name!r}: {wanted or 'refused'}")


def groups(checks, pod):
    pod.load("member:1", User="member")
    shown = "cat /proc/self/status"
    for what, image, who in (("the image's user", "member:1", {}), ("run_as_user", "plain:1", {"run_as_user": IDS}),
                             ("run_as_username", "plain:1", {"run_as_username": "member"})):
        wrong = []
        for group in (None, 700):
            for further in ([], [800, 801, 500], list(range(1000, 1500))):
                for strict in (False, True):
                    security = who | {"supplemental_groups": further, "supplemental_groups_policy": int(strict)}
                    # The CRI has no group without a user.
                    if group and who:
                        security["run_as_group"] = {"value": group}
                    said = pod.run(image, shown, **security) or ""
                    found = {line.split(":")[0]: line.split()[1:] for line in said.splitlines()}
                    primary = group if group and who else 500
                    wanted = {primary, *further} | (set() if strict else {600})
                    if (found["Gid"], set(map(int, found["Groups"]))) != ([str(primary)] * 4, wanted):
                        wrong.append((security, found["Gid"], found["Groups"], wanted))
        checks.equal(wrong, [], f"CVE-2023-25173, 2022-2995: {what}: the groups are the primary one, those of its own in the "
                     "image unless that is not wanted, and those that are given")
    # A file that the group may not read and others may, and a program that changes its group.
    program = entry("bin/as-group", content=attacks.ATTACK.read_bytes(), mode=0o2755, gid=7)
    pod.load("negative:1", program, entry("denied", content=b"read\n", mode=0o607, gid=500))
    checks.equal(pod.run("negative:1", "bin/as-group read /denied; echo end", run_as_user=IDS, run_as_group=IDS), "end",
                 "CVE-2022-36109: who is denied a file by its group does not lose that group with a program that has another")


def homes(checks, pod):
    for what, home in (("a line feed", "/\nroot2:x:0:0::/:/bin/sh"), ("a carriage return", "/\rroot2:x:0:0::/:/bin/sh"),
                       ("a colon", "/:/bin/sh"), ("the two characters", "/\\nroot2:x:0:0::/:/bin/sh")):
        said = pod.run("home:1", "cat /etc/passwd") if pod.load("home:1", User="4321", Env=[f"HOME={home}"]) else None
        checks.ok(said is None or said + "\n" == PASSWD, f"CVE-2022-4318, 2026-15809: {what} in HOME changes no passwd", said)


def endless(checks, pod, node):
    before = cycles.resident(node)
    long = PASSWD.ljust(5 << 20, "\n")
    places = {"5 MiB": [entry("etc/passwd", content=long.encode())],
              "a FIFO": [entry("etc/passwd", tarfile.FIFOTYPE)],
              "a link to /dev/zero": [entry("etc/passwd", tarfile.SYMTYPE, linkname="/dev/zero")],
              "a link to the host's /proc": [entry("etc/passwd", tarfile.SYMTYPE, linkname="../" * 20 + "proc/kmsg")],
              "a device": [entry("etc/passwd", tarfile.CHRTYPE, devmajor=1, devminor=5)],
              "a folder": [entry("etc/passwd", tarfile.DIRTYPE)]}
    for what, entries in places.items():
        said = pod.run("long:1") if pod.load("long:1", *entries, passwd=None, User="member") else None
        checks.equal(said, None, f"CVE-2026-47262, 2025-4437: a passwd that is {what} is refused")
    after = cycles.resident(node)
    checks.ok(after - before < 32 << 10, "and gantryd is no bigger for it", f"{before} -> {after} KiB")


def restarts(checks, node):
    """By the agent, which makes each life of a container anew."""
    image = "test.example/user:1"
    Image(busybox_layer(APPLETS), User="1000").archive(node.work / "image.tar", image)
    node.image("load", str(node.work / "image.tar"))
    ids = node.work / "ids"
    ids.touch()
    ids.chmod(0o666)
    manifest = node.manifests / "restarts.yaml"
    manifest.write_text(f"""\
apiVersion: v1
kind: Pod
metadata: {{name: restarts}}
spec:
  containers:
  - name: main
    image: {image}
    imagePullPolicy: Never
    command: [/bin/sh, -c, "id -u >> /ids; exit 1"]
    volumeMounts: [{{name: ids, mountPath: /ids}}]
  volumes:
  - name: ids
    hostPath: {{path: {ids}, type: File}}
""")
    c.wait_until("it was started three times", lambda: ids.read_text().count("\n") >= 3, limit=300)
    checks.equal(set(ids.read_text().split()), {"1000"}, "CVE-2019-11245: a container that is started again has the same user")
    manifest.unlink()
    c.wait_until("the pod is gone", lambda: "restarts" not in str(node.pods()), limit=120)


def story(checks):
    with Node(checks) as node:
        pod = Pod(node)
        names(checks, pod)
        groups(checks, pod)
        homes(checks, pod)
        endless(checks, pod, node)
        restarts(checks, node)


if __name__ == "__main__":
    c.main(story)
