#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Security contexts of pods and containers, with real kubectl: who they run as, what they may, and what the kernel says of it from the
inside. What must not run as root does not, and kubectl shows why."""
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import ready_node
from cri_client import APPLETS, IMAGE
from oci import Image, entry
from pods import Pods, container, words
from registry import busybox_layer

CONFIG = """
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
evictionHard: {memory.available: 100Mi}
allowedUnsafeSysctls: ["kernel.msg*"]
"""
# What containerd, and so everybody, gives a container that asks for nothing.
DEFAULT_CAPABILITIES = 0xa80425fb
CHOWN, NET_BIND_SERVICE, NET_ADMIN = 1 << 0, 1 << 10, 1 << 12
IDS = "echo $(id -u) $(id -g) $(id -G | sed 's/ /\\n/g' | sort -n)"
STATUS = "grep -E '^(Cap(Eff|Prm|Bnd)|NoNewPrivs|Seccomp):' /proc/self/status"
EMPTY = [{"name": "data", "emptyDir": {}}]
MOUNT = [{"name": "data", "mountPath": "/data"}]


def load_users(node):
    """users:NAME, with a User of that kind, and a group that a user of theirs is in."""
    passwd = entry("etc/passwd", content=b"root:x:0:0::/:/bin/sh\napp:x:1000:1500::/:/bin/sh\n")
    group = entry("etc/group", content=b"root:x:0:\nextra:x:50000:app\n")
    layer = busybox_layer(APPLETS, passwd, group)
    for name, user in (("number", "1000"), ("word", "app"), ("pair", "1000:1700")):
        Image(layer, User=user).archive(node.work / "users.tar", f"users:{name}")
        node.image("load", node.work / "users.tar")


def secured(script, name="web", image=IMAGE, mounts=(), **security):
    return words(script, name, image=image, volumeMounts=list(mounts), securityContext=security)


def kernel_says(text):
    """The fields of /proc/self/status, as numbers."""
    pairs = (line.split() for line in text.splitlines())
    return {name.rstrip(":"): int(value, 16 if name.startswith("Cap") else 10) for name, value in pairs}


def not_as_root(pods):
    """Of what would run as root, or may, nothing runs."""
    table = (("image", IMAGE, {}, 'container has runAsNonRoot and image will run as root (pod: "{pod}", container: web)'),
             ("asked", IMAGE, {"runAsUser": 0}, 'container\'s runAsUser breaks non-root policy (pod: "{pod}", container: web)'),
             ("named", "users:word", {}, "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is "
              'non-root (pod: "{pod}", container: web)'))
    for name, image, more, _ in table:
        pods.create(name, secured("id -u", image=image, runAsNonRoot=True, **more))
    for name, _, _, message in table:
        pods.wait(name, ".status.containerStatuses[0].state.waiting.reason", "CreateContainerConfigError")
        seen = pods.object(name)
        message = message.format(pod=f"{name}_default({seen['metadata']['uid']})")
        pods.checks.equal(seen["status"]["containerStatuses"][0]["state"]["waiting"].get("message"), message, f"{name}: kubelet's words")
        pods.wait_event(name, "Failed", f"Error: {message}")
        pods.checks.equal((seen["status"]["phase"], pods.shown(name)), ("Pending", "CreateContainerConfigError"), f"{name}: it waits")
    pods.delete(*(name for name, *_ in table))
    seen = pods.tell("able", secured("id -u", "asks", runAsUser=1), secured("id -u", "image", image="users:number"),
                     secured("id -u", "root", runAsNonRoot=False), securityContext={"runAsNonRoot": True})
    pods.checks.equal(seen, {"asks": "1\n", "image": "1000\n", "root": "0\n"}, "who is somebody else runs; a container's own word counts")


def ids(pods):
    look = IDS + "; touch /data/$CONTAINER; stat -c '%u %g' /data/$CONTAINER; stat -c %g:%a /data"
    def one(name, **security):
        return words(look, name, image="users:number", volumeMounts=MOUNT, env=[{"name": "CONTAINER", "value": name}],
                     securityContext=security)
    seen = pods.tell("ids", one("pods"), one("own", runAsUser=1001, runAsGroup=2001), volumes=EMPTY, securityContext={
        "runAsUser": 1234, "runAsGroup": 2000, "fsGroup": 3000, "supplementalGroups": [4000, 5000]})
    shared = "3000:2777\n"
    pods.checks.equal(seen, {"pods": f"1234 2000 2000 3000 4000 5000\n1234 3000\n{shared}",
                             "own": f"1001 2001 2001 3000 4000 5000\n1001 3000\n{shared}"},
                      "the pod's user and groups, unless the container has its own; what is written to a volume is fsGroup's")
    table = {"number": "1000 1500 1500 50000\n", "word": "1000 1500 1500 50000\n", "pair": "1000 1700 1700 50000\n"}
    containers = [secured(IDS, name, f"users:{name}") for name in table]
    pods.checks.equal(pods.tell("merged", *containers), table, "without a word it is the image's user, with his groups")
    pods.checks.equal(pods.tell("grouped", secured(IDS, "number", "users:number", runAsGroup=7), secured(IDS, "root", runAsGroup=7)),
                      {"number": "1000 7 7 50000\n", "root": "0 7 7\n"}, "a group alone goes with the image's user")
    strict = pods.tell("strict", *containers, securityContext={"supplementalGroupsPolicy": "Strict", "supplementalGroups": [60000]})
    pods.checks.equal(strict, {"number": "1000 1500 1500 60000\n", "word": "1000 1500 1500 60000\n", "pair": "1000 1700 1700 60000\n"},
                      "with the policy Strict nobody is in a group that only the image says")


def capabilities(pods):
    seen = pods.tell(
        "capable", secured(STATUS, "plain"),
        secured(STATUS, "changed", capabilities={"add": ["NET_ADMIN"], "drop": ["CHOWN"]}),
        secured(STATUS, "one", capabilities={"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}),
        secured(STATUS, "all", capabilities={"add": ["ALL"]}),
        secured(STATUS, "user", runAsUser=1000, capabilities={"add": ["NET_ADMIN"]}),
        secured(STATUS, "humble", allowPrivilegeEscalation=False),
        secured(STATUS + "; ls /dev/full /dev/kmsg", "mighty", privileged=True))
    mighty_lines = seen.pop("mighty").splitlines()
    says = {name: kernel_says(text) for name, text in seen.items()}
    effective = {name: one["CapEff"] for name, one in says.items()}
    everything = int(pathlib.Path("/proc/self/status").read_text().split("CapBnd:")[1].split()[0], 16)
    pods.checks.equal(effective, {
        "plain": DEFAULT_CAPABILITIES, "changed": DEFAULT_CAPABILITIES & ~CHOWN | NET_ADMIN, "one": NET_BIND_SERVICE,
        "all": everything, "user": 0, "humble": DEFAULT_CAPABILITIES}, "capabilities are those that everybody has, more and less")
    pods.checks.equal(says["one"]["CapBnd"], NET_BIND_SERVICE, "what is dropped does not come back")
    pods.checks.equal((says["user"]["CapPrm"], says["user"]["CapBnd"]), (0, DEFAULT_CAPABILITIES | NET_ADMIN),
                      "a user who is not root has none, and may gain those")
    pods.checks.equal({name: one["NoNewPrivs"] for name, one in says.items()},
                      {name: int(name == "humble") for name in says}, "allowPrivilegeEscalation: false, and only that, is no_new_privs")
    mighty = kernel_says("\n".join(mighty_lines[:5]))
    pods.checks.equal((mighty["CapEff"], mighty["Seccomp"]), (everything, 0), "privileged has all capabilities and no filter")
    pods.checks.ok("/dev/kmsg" in mighty_lines, "and the devices of the machine", "\n".join(mighty_lines))


def files(pods):
    """A root that is read-only, and what of /proc is masked or read-only."""
    tries = "touch /x; touch /data/x && touch /dev/shm/x && echo written"
    seen = pods.tell("files", secured(tries, "fixed", mounts=MOUNT, readOnlyRootFilesystem=True), secured(tries, "free", mounts=MOUNT),
                     volumes=EMPTY)
    pods.checks.equal(seen, {"fixed": "touch: /x: Read-only file system\nwritten\n", "free": "written\n"},
                      "readOnlyRootFilesystem is of the root alone")
    look = ("for file in /proc/kcore /proc/keys /proc/timer_list; do [ ! -e $file ] || head -c 1 $file | wc -c; done | sort -u; "
            "ls /sys/firmware | wc -l; echo x > /proc/sys/kernel/domainname")
    seen = pods.tell("proc", secured(look, procMount="Default"))["web"].splitlines()
    pods.checks.ok(seen[:2] == ["0", "0"] and seen[2].endswith("Read-only file system"),
                   "procMount Default hides and protects what of /proc is the machine's", str(seen))


def seccomp(pods):
    profiles = pods.node.state / "kubelet/seccomp/profiles"
    profiles.mkdir(parents=True)
    (profiles / "no-mkdir.json").write_text(json.dumps({
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}))
    local = {"type": "Localhost", "localhostProfile": "profiles/no-mkdir.json"}
    def filtered(name, profile=None):
        return secured("mkdir /tmp/x; grep ^Seccomp: /proc/self/status", name, **({"seccompProfile": profile} if profile else {}))
    seen = pods.tell("filtered", filtered("pods"), filtered("default", {"type": "RuntimeDefault"}), filtered("local", local),
                     securityContext={"seccompProfile": {"type": "Unconfined"}})
    refused = "mkdir: can't create directory '/tmp/x': Operation not permitted\n"
    pods.checks.equal(seen, {"pods": "Seccomp:\t0\n", "default": "Seccomp:\t2\n", "local": refused + "Seccomp:\t2\n"},
                      "a container's profile counts, and else the pod's")
    pods.create("lost", filtered("web", local | {"localhostProfile": "profiles/nowhere.json"}), restartPolicy="Never")
    pods.wait("lost", ".status.containerStatuses[0].state.waiting.reason", "CreateContainerError")
    pods.checks.contains(pods.field("lost", ".status.containerStatuses[0].state.waiting.message"), "nowhere.json",
                         "a profile that is not there is named, and nothing runs without it")
    (profiles / "nowhere.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    pods.checks.equal(pods.ends("lost")["web"]["message"], "Seccomp:\t2\n", "it heals when the profile is there")


def sysctls(pods):
    """What the node allows beyond the safe ones."""
    seen = pods.tell("tuned", words("cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_unprivileged_port_start"), securityContext={
        "sysctls": [{"name": "kernel.msgmax", "value": "65536"}, {"name": "net.ipv4.ip_unprivileged_port_start", "value": "1"}]})
    pods.checks.equal(seen["web"], "65536\n1\n", "a sysctl that the node allows is the pod's, as a safe one is")
    pods.create("forbidden", container(), securityContext={"sysctls": [{"name": "kernel.shmmni", "value": "5000"}]})
    pods.wait("forbidden", ".status.reason", "SysctlForbidden")
    pods.checks.contains(pods.field("forbidden", ".status.message"), 'forbidden sysctl: "kernel.shmmni" not allowlisted', "another is not")


def story(checks):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        config.write(CONFIG)
        config.flush()
        with ready_node(checks, kubelet_config=config.name) as (node, control):
            load_users(node)
            pods = Pods(checks, control, node)
            not_as_root(pods)
            ids(pods)
            capabilities(pods)
            files(pods)
            seccomp(pods)
            sysctls(pods)
            pods.clear()


c.main(story)
