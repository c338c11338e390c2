#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl nri-plugin
"""What plugins of the Node Resource Interface change: everything of a container that this runtime can give, also in an exec and
after gantryd was killed; what it can't give is refused by name; two plugins that want the same; a validator; limits of other
containers when one is created, updated or stopped, and whenever a plugin likes."""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from nri import PATIENT, Plugin
from node import BIN, Node, walk

PEERS = pathlib.Path(__file__).resolve().parents[2] / "scripts/peers"

ADJUST = {
    "annotations": {"by": "plugin", "-gone": ""},
    "env": [{"key": "ADDED", "value": "1"}, {"key": "-REMOVED"}, {"key": "CHANGED", "value": "new"}, {"key": "-PATH"}],
    "mounts": [{"destination": "/-here", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k", "ro"]},
               {"destination": "-/old"}],
    "linux": {"devices": [{"path": "/dev/added", "type": "c", "major": "1", "minor": "5", "file_mode": {"value": 0o600},
                           "uid": {"value": 7}}],
              "oom_score_adj": {"value": "777"},
              "io_priority": {"class": 3, "priority": 0},
              "scheduler": {"policy": 4, "nice": 3},
              "sysctl": {"net.ipv4.ip_unprivileged_port_start": "77"},
              "seccomp_policy": {"default_action": "SCMP_ACT_ALLOW",
                                 "syscalls": [{"names": ["sethostname", "mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO",
                                               "errno_ret": {"value": 99}}]},
              "resources": {"unified": {"hugetlb.2MB.max": "4194304"}}},
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": "123", "soft": "99"}],
}

SCRIPT = """echo env $ADDED,$REMOVED,$CHANGED
ls -ln /dev/added
grep -c ' /-here tmpfs ro' /proc/self/mounts
ls /old 2>&1
cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_unprivileged_port_start
grep -m1 'open files' /proc/self/limits
cut -d' ' -f 19,41 /proc/self/stat
mkdir /x 2>&1
"""


EXPECTED = ["env 1,,new", "crw------- 1 7 0 1, 5", "/dev/added", "\n1\n", "/old: No such file", "777", "\n77\n", "99 123",
            "\n3 3\n", "can't create directory '/x'"]


def said_in(node, container):
    done = node.crictl("exec", container, "sh", "-c", SCRIPT, check=False)
    return in_words(done.stdout + done.stderr)


def in_words(text):
    said = " ".join(part for part in text.replace("\n", " \n ").split(" ") if part)
    return said.replace(" \n ", "\n")


def by_handlers(node, checks):
    """The same where another OCI runtime makes the container; but for sysctls, which gantry-oci and runc take for the host's in
    namespaces that they are in themselves."""
    linux = {name: value for name, value in ADJUST["linux"].items() if name != "sysctl"}
    crun = subprocess.run([PEERS, "crun"], check=True, capture_output=True, text=True).stdout.split()[2]
    entries = [{"name": "own", "path": str(BIN / "gantry-oci")}, {"name": "crun", "path": crun}]
    (node.state / "gantryd.yaml").write_text(json.dumps({"runtimeHandlers": entries}))
    node.reload()
    data = node.work / "data"
    for entry in entries:
        name = entry["name"]
        pod = node.pod_config(f"pod-{name}")
        pod_id = node.crictl("runp", "--runtime", name, node.write(pod)).stdout.strip()
        with Plugin(node, "10", "adjust", CreateContainer={"adjust": ADJUST | {"linux": linux}, "only": "all"}):
            config = node.container_config(
                "all", f"{{\n{SCRIPT}}} 2>&1; sleep 1000", envs=[{"key": "REMOVED", "value": "x"}],
                mounts=[{"container_path": "/old", "host_path": str(data)}])
            container = node.run_container(pod_id, config, pod)
            # (crun gives an exec neither the OOM score nor the scheduler.)
            log = c.wait_until("it has said all", lambda: (lambda done: "'/x'" in done.stdout + done.stderr and done)(
                node.crictl("logs", container)))
            checks.contains(in_words(log.stdout + log.stderr), [words for words in EXPECTED if words != "\n77\n"], f"handler {name}: what a plugin adjusts is there")
            hooked = {"adjust": {"hooks": {"create_container": [{"path": "/bin/touch", "args": ["touch", str(data / name)]}]}}}
        with Plugin(node, "10", "hooks", CreateContainer=hooked):
            node.run_container(pod_id, node.container_config("hooked", "sleep 1000"), pod)
            checks.ok((data / name).exists(), f"handler {name}: a createContainer hook was run")
        node.crictl("rmp", "-f", pod_id)


HOST_HOOKS = ("prestart", "create_runtime", "poststart", "poststop")


def adjusted(node, checks):
    pod = node.pod_config("pod")
    pod_id = node.run_pod(pod)
    data = node.work / "data"
    data.mkdir()
    with Plugin(node, "10", "adjust", CreateContainer={"adjust": ADJUST, "only": "all"}) as plugin:
        config = node.container_config(
            "all", "sleep 1000", annotations={"gone": "1", "kept": "2"},
            envs=[{"key": "REMOVED", "value": "x"}, {"key": "CHANGED", "value": "old"}],
            mounts=[{"container_path": "/old", "host_path": str(data)}])
        container = node.run_container(pod_id, config, pod)

        def seen(what):
            checks.contains(said_in(node, container), EXPECTED, what)

        seen("what a plugin adjusts is there")
        status = node.container_status(container)
        checks.equal(status["annotations"], {"gone": "1", "kept": "2"}, "annotations of its client are its client's")
        post = plugin.wait_for("PostCreateContainer")["container"]
        checks.equal((post["annotations"], "ADDED=1" in post["env"]), ({"by": "plugin", "kept": "2"}, True),
                     "plugins see what became of it")
        node.kill_gantryd()
        plugin.process.wait(c.PATIENCE)
        node.wait_for_gantryd()
        seen("an exec after gantryd was killed has it too")
        plugin.start()
        plugin.wait_ready()
        plugin.play("CreateContainer", adjust={"args": ["/bin/echo", "other"]}, only="args")
        checks.equal(node.output(pod_id, node.container_config("args", "echo mine"), pod), "other", "arguments")
        created = node.create(pod_id, node.container_config("args", "echo mine"), pod)
        checks.equal(node.create(pod_id, node.container_config("args", "echo mine"), pod), created,
                     "a call that is repeated finds the container that plugins changed")
        node.crictl("rm", created)
        for field, adjust, said in REFUSED:
            plugin.play("CreateContainer", adjust=adjust, only="refused")
            refusal = node.refusal("create", pod_id, node.write(node.container_config("refused", "true")), node.write(pod))
            checks.contains(refusal, said, f"{field} is refused by name")
        checks.equal([each for each in node.containers().values() if each["metadata"]["name"] == "refused"], [],
                     "and nothing is left of it")
        plugin.play("CreateContainer", error="not today", only="refused")
        refusal = node.refusal("create", pod_id, node.write(node.container_config("refused", "true")), node.write(pod))
        checks.contains(refusal, ["10-adjust", "not today"], "an error of a plugin is the call's")
    node.crictl("rmp", "-f", pod_id)


REFUSED = [
    ("a namespace", {"linux": {"namespaces": [{"type": "user"}]}}, "linux.namespaces: not supported"),
    ("a cgroup", {"linux": {"cgroups_path": "/x"}}, "linux.cgroups_path: not supported"),
    ("swappiness", {"linux": {"resources": {"memory": {"swappiness": {"value": "5"}}}}}, "memory.swappiness: not supported"),
    ("an RDT class", {"linux": {"resources": {"rdt_class": {"value": "gold"}}}}, "linux.resources.rdt_class"),
    ("a network device", {"linux": {"net_devices": {"eth9": {"name": "x"}}}}, "linux.net_devices"),
    ("a memory policy", {"linux": {"memory_policy": {"mode": 1}}}, "linux.memory_policy"),
    ("a file system", {"mounts": [{"destination": "/x", "type": "ext4", "source": "/dev/vda"}]}, ["mounts[", "binds and tmpfs"]),
    ("a limit without a meaning", {"rlimits": [{"type": "RLIMIT_LUCK", "soft": "1", "hard": "1"}]}, "RLIMIT_LUCK"),
    ("a sysctl of the host", {"linux": {"sysctl": {"kernel.panic": "1"}}}, "kernel.panic"),
    ("a CDI device that there is not", {"CDI_devices": [{"name": "none.com/x=y"}]}, "none.com/x=y"),
]


def several(node, checks):
    pod = node.pod_config("several")
    pod_id = node.run_pod(pod)
    one = {"env": [{"key": "WHO", "value": "one"}], "annotations": {"one": "1"}}
    two = {"env": [{"key": "WHO", "value": "two"}]}
    with Plugin(node, "20", "two", CreateContainer={"adjust": two}) as second, \
            Plugin(node, "10", "one", CreateContainer={"adjust": one}):
        config = node.container_config("c", "echo $WHO")
        refusal = node.refusal("create", pod_id, node.write(config), node.write(pod))
        checks.contains(refusal, ["20-two", "10-one", 'both tried to set Env \\"WHO\\"'], "two that set the same are a conflict")
        second.play("CreateContainer", adjust={"env": [{"key": "-WHO"}, {"key": "WHO", "value": "two"}]})
        checks.equal(node.output(pod_id, config, pod), "two", "one that removes it first may")
        seen = second.last("CreateContainer")["container"]
        checks.equal(("WHO=one" in seen["env"], seen["annotations"]), (True, {"one": "1"}), "it sees what the first one did")
        second.play("CreateContainer", adjust={"hooks": {"create_container": [
            {"path": "/bin/sh", "args": ["sh", "-c", f"echo hooked > {node.work}/hooked"]}]}})
        node.output(pod_id, config, pod)
        checks.equal((node.work / "hooked").read_text(), "hooked\n", "a createContainer hook is run")
        second.play("CreateContainer", adjust={"hooks": {kind: [{"path": "/bin/touch", "args": ["touch", f"{node.work}/{kind}"]}]
                                                         for kind in HOST_HOOKS}})
        node.output(pod_id, config, pod)
        c.wait_until("hooks of other kinds are run", lambda: all((node.work / kind).exists() for kind in HOST_HOOKS))
        checks.ok(True, "and those of other kinds")
        validating = Plugin(node, "90", "validator")
        (validating.folder / "Validate.hooks").touch()
        with validating:
            refusal = node.refusal("create", pod_id, node.write(config), node.write(pod))
            checks.contains(refusal, ["90-validator", "hook"], "the interface's own validator refuses hooks")
            second.play("CreateContainer")
            checks.equal(node.output(pod_id, config, pod), "one", "and nothing else")
            owners = validating.last("ValidateContainerAdjustment")["owners"]
            checks.contains(str(owners), "10-one", "it is told who did what")
    node.crictl("rmp", "-f", pod_id)


def unified(value):
    return {"linux": {"resources": {"unified": {"hugetlb.2MB.max": str(value << 20)}}}}


def updated(node, checks):
    pod = node.pod_config("updated")
    pod_id = node.run_pod(pod)
    first = node.run_container(pod_id, node.container_config("first", "sleep 1000"), pod)

    def limit(container):
        path = next(path for path in walk(node.cgroup) if path.name == container)
        return int((path / "hugetlb.2MB.max").read_text()) >> 20

    with Plugin(node, "10", "update") as plugin:
        checks.equal(plugin.ask_update({"container_id": first} | unified(2), {"container_id": "nobody"} | unified(2),
                                       {"container_id": "nobody", "ignore_failure": True} | unified(2)), ["nobody"],
                     "an update that nobody asked for, and what of it failed")
        checks.equal(limit(first), 2, "it is in force")
        plugin.play("CreateContainer", update=[{"container_id": first} | unified(4)])
        second = node.run_container(pod_id, node.container_config("second", "sleep 1000"), pod)
        checks.equal(limit(first), 4, "limits of another container when one is created")
        plugin.play("UpdateContainer", update=[{"container_id": first} | unified(6), {"container_id": second} | unified(8)])
        node.crictl("update", "--cpu-share", "512", second)
        asked = plugin.wait_for("UpdateContainer")
        checks.equal(asked["resources"]["cpu"]["shares"]["value"], "512", "a plugin sees the limits that are wanted")
        checks.equal((limit(first), limit(second)), (6, 8), "its own and another's when one is updated")
        plugin.wait_for("PostUpdateContainer")
        plugin.play("StopContainer", update=[{"container_id": first} | unified(10)])
        node.crictl("stop", "--timeout", "0", second)
        c.wait_until("limits of another one when one has ended", lambda: limit(first) == 10)
        plugin.play("UpdateContainer", error="leave it")
        checks.contains(node.refusal("update", "--cpu-share", "600", first), ["10-update", "leave it"],
                        "an update that a plugin refuses")
    node.crictl("rmp", "-f", pod_id)


def story(checks):
    with Node(checks, options=PATIENT) as node:
        node.build_image()
        for part in (adjusted, by_handlers, several, updated):
            part(node, checks)


c.main(story)
