#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""Devices of the host: by path, of folders, by links, and whose they are. Devices of the Container Device Interface: what a
container gets that asks for them, also in an exec and after gantryd was killed; which file counts; and that the names which
clients and images give lead to nothing but what the administrator wrote."""
import json
import os
import pathlib
import re
import stat
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import APPLETS, Node
from oci import Image
from registry import busybox_layer

USER = 1234


USERS = {"linux": {"security_context": {"namespace_options": {"pid": 1}, "run_as_user": {"value": USER},
                                        "run_as_group": {"value": USER + 1}}}}


class World:
    """A node, a pod on it, and folders of specifications; `later` counts more than `early`."""

    def __init__(self, checks, node):
        self.checks, self.node, self.names = checks, node, 0
        self.early, self.later = node.root / "run/cdi", node.state / "cdi"
        for folder in (self.early, self.later):
            folder.mkdir(parents=True)
        self.pod = node.pod_config("cdi")
        self.pod_id = node.run_pod(self.pod)

    def config(self, script, *devices, **more):
        self.names += 1
        named = {"CDI_devices": [{"name": name} for name in devices]} if devices else {}
        return self.node.container_config(f"c{self.names}", script, **(named | more))

    def output(self, script, *devices, **more):
        return self.node.output(self.pod_id, self.config(script, *devices, **more), self.pod)

    def refused(self, what, parts, *devices, **more):
        said = self.node.refusal("create", self.pod_id, self.node.write(self.config("true", *devices, **more)),
                                 self.node.write(self.pod))
        self.checks.contains(said, parts, f"{what}: refused, and why")


def device(host, container, permissions="rwm"):
    return {"host_path": str(host), "container_path": container, "permissions": permissions}


def numbers(said):
    """{path: (owner, group, "major, minor")} of `ls -ln`."""
    found = {}
    for line in said.splitlines():
        if match := re.match(r"[cb]\S+ +\d+ +(\d+) +(\d+) +(\d+), +(\d+) .* (/\S+)$", line):
            uid, gid, major, minor, path = match.groups()
            found[path] = (int(uid), int(gid), f"{major}, {minor}")
    return found


def by_path(world):
    node, checks = world.node, world.checks
    folder = node.work / "devices"
    (folder / "deep").mkdir(parents=True)
    os.mknod(folder / "one", 0o640 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(folder / "deep/two", 0o600 | stat.S_IFBLK, os.makedev(7, 200))
    (folder / "text").write_text("no device")
    (folder / "link").symlink_to("one")
    os.chown(folder / "one", 5, 6)
    devices = [device(folder, "/dev/all"), device(folder / "link", "/dev/linked", "r"), device("/dev/zero", "/opt/zero")]
    script = "ls -ln /dev/all/* /dev/all/deep/* /dev/linked /opt/zero; (: > /dev/linked) 2>&1; (: > /dev/all/one) && echo one"
    said = world.output(script, devices=devices)
    checks.equal(numbers(said), {"/dev/all/one": (5, 6, "1, 3"), "/dev/all/deep/two": (0, 0, "7, 200"),
                                 "/dev/linked": (5, 6, "1, 3"), "/opt/zero": (0, 0, "1, 5")},
                 "a folder's devices, a link's, and one outside of /dev, as on the host")
    checks.ok("text" not in said and "\none" in said, "what is no device does not come, and they can be used", said)
    said = world.output(script, devices=devices, **USERS)
    checks.equal({owner[:2] for owner in numbers(said).values()}, {(USER, USER + 1)}, "they belong to the context's user")
    for what, path, parts in (("a file", folder / "text", ["neither a device"]), 
                              ("nothing", folder / "none", ["No such file"]),
                              ("an empty folder", node.work / "logs", ["without devices"])):
        container = node.create(world.pod_id, world.config("true", devices=[device(path, "/dev/x")]), world.pod)
        checks.contains(node.refusal("start", container), ["devices.host_path", str(path)[-10:], *parts], f"{what}: refused")
        node.crictl("rm", container)


def spec(kind, devices, **edits):
    """`devices` is {name: containerEdits}."""
    return json.dumps({"cdiVersion": "0.8.0", "kind": kind, "containerEdits": edits,
                       "devices": [{"name": name, "containerEdits": edits} for name, edits in devices.items()]})


YAML = """
cdiVersion: 1.0.0
kind: vendor.com/thing
containerEdits:
  env: [DRIVER=loaded]
devices:
- name: zero
  containerEdits:
    env: [THING=zero, HOME=/of/device]
    deviceNodes:
    - path: /dev/thing0
      hostPath: /dev/zero
      permissions: r
    - {path: /dev/numbered, type: c, major: 1, minor: 5, fileMode: 0o640, uid: 7, gid: 8}
    mounts:
    - {hostPath: FOLDER, containerPath: /opt/driver, options: [ro, nosuid, nodev, rbind, rprivate]}
    - {hostPath: tmpfs, containerPath: /opt/scratch, type: tmpfs, options: [size=64k, mode=1777]}
    additionalGids: [4321, 0]
- name: "1"
  containerEdits: {env: [THING=one]}
"""
SHOW = ("echo $DRIVER $THING $HOME; ls -ln /dev/thing0 /dev/numbered; cat /opt/driver/file; "
        "touch /opt/driver/x 2>&1; touch /opt/scratch/x && echo scratch; id -G; "
        "dd if=/dev/thing0 bs=1 count=1 2>&1 | head -c 0; (echo x > /dev/thing0) 2>&1")


def check_output(checks, said, what):
    lines = said.splitlines()
    checks.equal(lines[0], "loaded zero /of/device", f"{what}: the environment is the specification's")
    numbered, thing = (line for line in lines if "/dev/" in line and line.startswith("c"))
    checks.contains(re.sub(" +", " ", numbered), ["crw-r----- 1 7 8 1, 5"], f"{what}: a device as it is written down")
    checks.contains(re.sub(" +", " ", thing), [f"crw-rw-rw- 1 {USER} {USER + 1} 1, 5"],
                    f"{what}: a device of the host's belongs to the user")
    checks.contains(said, ["of the driver", "/opt/driver/x: Read-only", "scratch", "4321"], f"{what}: mounts and groups")


def applied(world):
    node, checks = world.node, world.checks
    folder = node.work / "driver"
    folder.mkdir()
    (folder / "file").write_text("of the driver\n")
    (world.later / "thing.yaml").write_text(YAML.replace("FOLDER", str(folder)))
    check_output(checks, world.output(SHOW, "vendor.com/thing=zero", **USERS), "a device by its field")
    by_annotation = {"annotations": {"cdi.k8s.io/plugin_1": "vendor.com/thing=1,vendor.com/thing=zero"}}
    check_output(checks, world.output(SHOW, **USERS, **by_annotation), "a device by an annotation")
    checks.equal(world.output("echo $THING $DRIVER", "vendor.com/thing=1"), "one loaded", "another device of the file")

    pod = world.pod_id
    running = node.run_container(pod, world.config("exec sleep 1000", "vendor.com/thing=zero", **USERS), world.pod)
    groups = node.container_status(running)["user"]["linux"]["supplementalGroups"]
    checks.ok("4321" in map(str, groups), "its status has the groups", groups)
    waiting = node.create(pod, world.config(SHOW, "vendor.com/thing=zero", **USERS), world.pod)
    node.kill_gantryd()
    node.wait_for_gantryd()
    (world.later / "thing.yaml").unlink()
    said = node.crictl("exec", "--sync", running, "sh", "-c", "echo $THING; id -G").stdout
    checks.contains(said, ["zero", "4321"], "an exec after gantryd was killed, and the file has gone")
    check_output(checks, node.finish(waiting), "a start after gantryd was killed, and the file has gone")
    node.crictl("rm", "-f", running)


def permissions(world):
    """Of a device that is not among those which every container may use."""
    (world.later / "perm.json").write_text(spec("v.com/perm", {
        "read": {"deviceNodes": [{"path": "/dev/misc", "hostPath": "/dev/fuse", "permissions": "r"}]},
        "none": {"deviceNodes": [{"path": "/dev/misc", "hostPath": "/dev/fuse", "permissions": "none"}]}}))
    script = "(: < /dev/misc) 2>&1 && echo read; (: > /dev/misc) 2>&1 && echo written"
    said = world.output(script, "v.com/perm=read")
    world.checks.ok("read" in said.split() and said.count("not permitted") == 1, "permissions r: only read", said)
    said = world.output(script, "v.com/perm=none")
    world.checks.ok("read" not in said.split() and said.count("not permitted") == 2, "permissions none: neither", said)


def which_file(world):
    def devices(path, value, *names):
        path.write_text(spec("v.com/d", {name: {"env": [f"D={name}"]} for name in names}, env=[f"FROM={value}"]))

    checks, show = world.checks, "echo $FROM $D"
    devices(world.early / "a.json", "early", "one", "two")
    devices(world.later / "b.json", "later", "one")
    checks.equal(world.output(show, "v.com/d=one"), "later one", "of two folders the later one counts")
    checks.equal(world.output(show, "v.com/d=two"), "early two", "what it does not have comes from the earlier one")
    devices(world.early / "c.json", "other", "two", "three")
    world.refused("a device of two files in one folder", ["v.com/d=two", "a.json", "c.json"], "v.com/d=two")
    checks.equal(world.output(show, "v.com/d=three"), "other three", "their other devices are not touched by it")
    (world.later / "bad.yaml").write_text("kind: v.com/bad\ndevices: 5\n")
    checks.equal(world.output(show, "v.com/d=one"), "later one", "a bad file hurts nobody else")
    world.refused("a device that there is not", ["NotFound", "v.com/bad=x", "bad.yaml", "cdiVersion"], "v.com/bad=x")
    said = world.node.reload()
    checks.contains(said, ["a CDI specification is wrong", "bad.yaml", "cdiVersion"], "SIGHUP has what is wrong logged")
    checks.ok("a.json" not in said, "and nothing else", said)
    (world.later / "bad.yaml").write_text(spec("v.com/bad", {"x": {"env": ["D=mended"]}}))
    checks.equal(world.output("echo $D", "v.com/bad=x"), "mended", "what is mended holds at once")
    (world.later / "rdt.json").write_text(spec("v.com/rdt", {"x": {"intelRdt": {"closID": "a"}}}))
    world.refused("what is not supported", ["v.com/rdt=x", "containerEdits.intelRdt"], "v.com/rdt=x")
    (world.later / "lost.json").write_text(spec("v.com/lost", {
        "node": {"deviceNodes": [{"path": "/dev/lost"}]},
        "file": {"deviceNodes": [{"path": "/dev/x", "hostPath": "/etc/passwd"}]},
        "mount": {"mounts": [{"hostPath": "/no/such/folder", "containerPath": "/x", "options": ["bind"]}]}}))
    for name, part in (("node", "/dev/lost"), ("file", "no device"), ("mount", "/no/such/folder")):
        container = world.node.create(world.pod_id, world.config("true", f"v.com/lost={name}"), world.pod)
        world.checks.contains(world.node.refusal("start", container), ["CDI devices", part], f"a {name} that is not there")
        world.node.crictl("rm", container)
    checks.ok(not pathlib.Path("/no").exists(), "and nothing is made in its place")


HOST_KINDS = ("createRuntime", "createContainer", "poststart", "poststop")
HOOK = """
cat > OUT/state; env > OUT/env; id -u > OUT/user
bundle=$(sed 's/.*"bundle":"\\([^"]*\\)".*/\\1/' OUT/state)
cp "$bundle/config.json" OUT/config
root=$(sed 's/.*"path":"\\([^"]*\\)".*/\\1/' OUT/config)
echo "by $1 with $DRIVER" > "$root/made"; ls -d "$root/dev/thing0" > OUT/device
"""


def hooks(world):
    """createContainer hooks: programs of the host's, which find the root made, and the host around it."""
    node, checks = world.node, world.checks
    out = node.work / "hooks"
    out.mkdir()
    (out / "hook.sh").write_text(HOOK.replace("OUT", str(out)))

    def hook(*command, kind="createContainer", **more):
        return {"hookName": kind, "path": "/bin/sh", "args": ["sh", *command], **more}

    devices = {
        "good": {"deviceNodes": [{"path": "/dev/thing0", "hostPath": "/dev/null"}],
                 "hooks": [hook(str(out / "hook.sh"), "a hook", env=["PATH=/usr/bin:/bin", "DRIVER=1.0"])]},
        "bad": {"hooks": [hook("-c", "echo there is no driver >&2; exit 3")]},
        "slow": {"hooks": [hook("-c", "sleep 1000", timeout=1)]},
        "all": {"hooks": [hook("-c", f"echo {kind} >> {out}/kinds", kind=kind) for kind in HOST_KINDS]
                + [hook("-c", "echo inside > /started", kind="startContainer")]},
        "host": {"hooks": [hook("-c", f"echo {kind} >> {out}/kinds", kind=kind) for kind in ("createRuntime", "poststart")]}}
    (world.later / "hooks.json").write_text(spec("v.com/hook", devices))
    preload = {"envs": [{"key": "LD_PRELOAD", "value": "/evil.so"}]}
    script = f"cat /made; ls {out} 2>&1; echo DRIVER=$DRIVER; grep -c {out.parent} /proc/mounts"
    for what, more in (("a PID namespace of its own", preload), ("the pod's", preload | {"linux": {}})):
        if more.get("linux") == {}:
            pod = node.pod_config("shared", linux={})
            pod_id = node.run_pod(pod)
        else:
            pod, pod_id = world.pod, world.pod_id
        said = node.output(pod_id, world.config(script, "v.com/hook=good", **more), pod)
        checks.contains(said, ["by a hook with 1.0", "No such file"], f"{what}: a hook changes the root, and that alone")
        checks.equal(said.splitlines()[-2:], ["DRIVER=", "0"], f"{what}: nothing of hook or host is left in there")
        state = json.loads((out / "state").read_text())
        checks.equal((state["status"], state["ociVersion"]), ("created", "1.2.0"), f"{what}: it is told the state")
        checks.ok((out / "device").read_text().strip(), f"{what}: devices are made by then")
        checks.ok("LD_PRELOAD" not in (out / "env").read_text(), f"{what}: it has its own environment, and no other")
        checks.equal(set(json.loads((out / "config").read_text())), {"ociVersion", "root"}, f"{what}: nor is it told of that")
        folder = node.root / "run/gantry/sandboxes" / pod_id
        checks.equal([each.name for each in folder.glob("bundle-*")], [], f"{what}: its bundle is gone")
    node.crictl("rmp", "--force", pod_id)
    for name, parts in (("bad", ["createContainer[0] /bin/sh", "ended with 3", "there is no driver"]),
                        ("slow", ["within 1 s"])):
        container = node.create(world.pod_id, world.config("true", f"v.com/hook={name}"), world.pod)
        checks.contains(node.refusal("start", container), parts, f"a hook that is {name}: the start fails, and says why")
        checks.equal(node.container_status(container)["state"], "CONTAINER_EXITED", f"a hook that is {name}: nothing runs")
        node.crictl("rm", container)
    all_kinds(world, out)
    left = [each.name for each in (node.root / "run/gantry/sandboxes" / world.pod_id).glob("bundle-*")]
    checks.equal(left, [], "and no bundle is left")


def all_kinds(world, out):
    """Hooks of the other kinds: gantry-oci makes the container, which is as any other."""
    node, checks, kinds = world.node, world.checks, out / "kinds"
    config = world.config("cat /started; sleep 1000", "v.com/hook=all")
    container = node.run_container(world.pod_id, config, world.pod)
    c.wait_until("poststart hooks are run", lambda: len(kinds.read_text().split()) == 3)
    checks.equal(kinds.read_text().split(), list(HOST_KINDS[:3]), "hooks of other kinds are run, in their order")
    done = node.crictl("exec", container, "cat", "/started")
    checks.equal(done.stdout, "inside\n", "startContainer's in the container; an exec sees what it did")
    c.wait_until("it says so", lambda: "inside" in node.crictl("logs", container).stdout)
    node.crictl("stop", "--timeout", "0", container)
    c.wait_until("poststop hooks are run", lambda: len(kinds.read_text().split()) == 4)
    checks.equal(kinds.read_text().split()[3], "poststop", "and poststop's after its end")
    checks.equal(node.container_status(container)["exitCode"], 137, "whose code is the container's own")
    node.crictl("rm", container)
    kinds.unlink()
    ids = [{"host_id": 300000, "container_id": 0, "length": 65536}]
    users = {"security_context": {"namespace_options": {"pid": 1, "userns_options": {"mode": 0, "uids": ids, "gids": ids}}}}
    pod = node.pod_config("users", linux=users)
    pod_id = node.run_pod(pod)
    config = node.container_config("users", "sleep 1000", linux=users, CDI_devices=[{"name": "v.com/hook=host"}])
    node.run_container(pod_id, config, pod)
    c.wait_until("poststart hooks are run", lambda: len(kinds.read_text().split()) == 2)
    checks.equal(kinds.read_text().split(), ["createRuntime", "poststart"], "also in a pod with a user namespace")
    node.crictl("rmp", "--force", pod_id)


def attacks(world):
    """What a client or an image says is a name, looked for among those of the administrator's files, and nothing else."""
    checks, node = world.checks, world.node
    (node.work / "evil.json").write_text(spec("evil.com/d", {"x": {"env": ["EVIL=1"]}}))
    for name in ("../../../" + str(node.work / "evil.json"), "evil.com/d=../x", "evil.com/../d=x", "/dev/mem", "", "=", "a/b=",
                 "v.com/d=one\nv.com/d=two", "v.com/d=one,v.com/d=two", "v.com/d=" + "x" * 600, "v.com/d=*",
                 "v.com/d=one\x1b[2J"):
        world.refused(f"device {name[:40]!r}", ["InvalidArgument", "CDI_devices", "vendor.com/class=name"], name)
    world.refused("a name of no file in the folders", ["NotFound", "evil.com/d=x"], "evil.com/d=x")
    world.refused("300 devices", ["256"], *[f"v.com/d=n{i}" for i in range(300)])
    world.refused("an annotation without a name", ["cdi.k8s.io/a"], annotations={"cdi.k8s.io/a": ""})
    (world.later / "link.json").symlink_to("/proc/self/environ")
    (world.later / "big.json").write_text("[" * 2_000_000)
    (world.later / "deep.yaml").write_text("[" * 5000)
    os.mkfifo(world.later / "pipe.json")
    checks.equal(world.output("echo $D", "v.com/d=one"), "one", "files that are none hold up nobody")
    labels = {"cdi.k8s.io/x": "v.com/d=one"}
    image = Image(busybox_layer(APPLETS), Labels=labels, Env=["NVIDIA_VISIBLE_DEVICES=all", "CDI_DEVICES=v.com/d=one"])
    node.image("load", image.archive(node.work / "image.tar", "cdi:labels"))
    said = world.output("echo D=$D", image={"image": "cdi:labels"}, labels=labels)
    checks.equal(said, "D=", "labels and variables of an image, and labels of a container, ask for nothing")


def story(checks):
    with Node(checks) as node:
        node.build_image()
        world = World(checks, node)
        for part in (by_path, applied, permissions, which_file, hooks, attacks):
            part(world)
        node.crictl("rmp", "--force", world.pod_id)


c.main(story)
