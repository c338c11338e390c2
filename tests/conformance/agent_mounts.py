#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Places of the node in its pods, with real kubectl: hostPath of each type and what each refuses, mounts that come and go beneath
one (mountPropagation), mounts that are read-only with all beneath them (recursiveReadOnly), and what a pod's status says of its
mounts."""
import os
import pathlib
import socket
import stat
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from bound_pods import WAITING, BoundPods
from cluster import SLEEPS, ready_node

PRIVILEGED = {"securityContext": {"privileged": True}}


class Places(BoundPods):
    def __init__(self, checks, control, node):
        super().__init__(checks, control, node)
        self.shared = node.work / "shared"  # one shared mount, as / is on a host with systemd
        self.shared.mkdir()
        node.exec("mount", "-t", "tmpfs", "-o", "mode=0755", "shared", self.shared)
        node.exec("mount", "--make-rshared", self.shared)

    def folder(self, name):
        self.node.exec("mkdir", self.shared / name)
        return self.shared / name

    def mount(self, place, word):
        self.node.exec("sh", "-ec", f"mkdir {place}; mount -t tmpfs beneath {place}; echo {word} > {place}/word")


def host_path(name, path, kind=None):
    return {"name": name, "hostPath": {"path": str(path), **({} if kind is None else {"type": kind})}}


def make_places(world):
    """One of each kind: {what: path}."""
    folder = world.node.work / "places"
    folder.mkdir()
    paths = {what: folder / what for what in ("directory", "file", "socket", "character", "block", "nothing")}
    paths["directory"].mkdir()
    paths["file"].write_text("of the host")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(paths["socket"]))
    # What is behind them nobody opens.
    os.mknod(paths["character"], 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(paths["block"], 0o600 | stat.S_IFBLK, os.makedev(7, 255))
    return paths


def types(world, paths):
    """Of every type what is of it; what is missing is made where that is asked for."""
    made_folder, made_file = world.node.work / "made/deep", world.node.work / "made/file"
    wanted = {"a": (paths["directory"], "Directory"), "b": (made_folder, "DirectoryOrCreate"), "c": (paths["file"], "File"),
              "d": (made_file, "FileOrCreate"), "e": (paths["socket"], "Socket"), "f": (paths["character"], "CharDevice"),
              "g": (paths["block"], "BlockDevice"), "h": (paths["file"], ""), "i": (paths["directory"], "DirectoryOrCreate"),
              "j": (paths["file"], "FileOrCreate"), "k": (paths["directory"], None)}
    world.create("types", "cd /m; /bin/busybox stat -c '%n %F' * > /dev/termination-log",
                 [{"name": name, "mountPath": f"/m/{name}"} for name in wanted],
                 [host_path(name, *place) for name, place in wanted.items()])
    world.says("types", "a directory\nb directory\nc regular file\nd regular empty file\ne socket\nf character special file\n"
               "g block special file\nh regular file\ni directory\nj regular file\nk directory", "each is in the container as it is")
    seen = [oct(path.stat().st_mode & 0o777) for path in (made_folder, made_file)]
    world.checks.equal(seen, ["0o755", "0o644"], "what was made has kubelet's modes")
    world.delete("types")
    world.checks.ok(made_folder.is_dir() and paths["file"].read_text() == "of the host", "and stays when the pod goes")


def wrong_types(world, paths):
    """Each waits with kubelet's words, and goes on when what it asked for is there."""
    names = {"Directory": "directory", "DirectoryOrCreate": "directory", "File": "file", "FileOrCreate": "file",
             "Socket": "socket file", "CharDevice": "character device", "BlockDevice": "block device"}
    wrong = [("Directory", "file"), ("Directory", "nothing"), ("DirectoryOrCreate", "file"), ("File", "directory"), ("File", "nothing"),
             ("FileOrCreate", "directory"), ("Socket", "file"), ("Socket", "nothing"), ("CharDevice", "block"),
             ("BlockDevice", "character")]
    pods = {f"{kind}-{what}".lower(): (kind, paths[what]) for kind, what in wrong}
    world.add(*(world.pod(name, "true", [{"name": "h", "mountPath": "/h"}], [host_path("h", path, kind)])
                for name, (kind, path) in pods.items()))
    for name, (kind, path) in pods.items():
        world.has_event(name, "FailedMount", 'MountVolume.SetUp failed for volume "h" : hostPath type check failed: '
                        f"{path} is not a {names[kind]}")
        world.wait(name, f"{WAITING}.reason", "ContainerCreating")
    paths["nothing"].mkdir()
    c.wait_until("directory-nothing has its folder", lambda: world.field("directory-nothing", ".status.phase") == "Succeeded",
                 limit=5 * c.PATIENCE)
    world.checks.ok(True, "it heals when the folder comes")
    world.delete(*pods)


def propagation(world):
    """None, HostToContainer and Bidirectional, of a folder whose mounts come and go."""
    folder, kinds = world.folder("spread"), ("None", "HostToContainer", "Bidirectional")
    world.mount(folder / "before", "before")
    for kind in kinds:
        world.create(kind.lower(), SLEEPS, [{"name": "h", "mountPath": "/h", "mountPropagation": kind}], [host_path("h", folder)],
                     container=PRIVILEGED)
    world.runs(*(kind.lower() for kind in kinds))
    world.mount(folder / "after", "after")
    for kind in kinds:
        name, sees = kind.lower(), kind != "None"
        world.checks.equal(world.run(name, "cat /h/before/word /h/after/word 2>/dev/null; true"), "before\nafter" if sees else "before",
                           f"{kind}: a mount that came later is {'seen' if sees else 'not seen'}")
        world.run(name, f"mkdir /h/{name}; mount -t tmpfs own /h/{name}; echo own > /h/{name}/word")
        world.checks.equal(world.run(name, f"cat /h/{name}/word"), "own", f"{kind}: a privileged container mounts")
        spreads = kind == "Bidirectional"
        on_node = world.node.exec("cat", folder / name / "word", check=False).stdout.strip()
        world.checks.equal(on_node, "own" if spreads else "", f"{kind}: which the node {'sees' if spreads else 'does not see'}")
    world.checks.equal(world.run("hosttocontainer", "cat /h/bidirectional/word"), "own", "and by it other pods")
    world.node.exec("umount", folder / "after")
    world.checks.equal(world.run("hosttocontainer", "ls /h/after"), "", "a mount that goes is gone there, too")
    world.run("bidirectional", "busybox umount /h/bidirectional")
    world.checks.equal(world.node.exec("ls", folder / "bidirectional").stdout, "", "also what a container unmounts")
    world.delete(*(kind.lower() for kind in kinds))
    world.node.exec("umount", folder / "before")


def read_only(world):
    """What is mounted beneath a read-only mount is written to, but with recursiveReadOnly; the status says what it has become."""
    folder = world.folder("readonly")
    world.mount(folder / "beneath", "word")
    mounts = [{"name": "h", "mountPath": "/plain", "readOnly": True},
              {"name": "h", "mountPath": "/off", "readOnly": True, "recursiveReadOnly": "Disabled"},
              {"name": "h", "mountPath": "/possible", "readOnly": True, "recursiveReadOnly": "IfPossible"},
              {"name": "h", "mountPath": "/on", "readOnly": True, "recursiveReadOnly": "Enabled"},
              {"name": "h", "mountPath": "/open"}]
    world.create("readonly", "for m in /plain /off /possible /on /open; do touch $m/x 2>/dev/null && echo $m;"
                 "touch $m/beneath/x 2>/dev/null && echo $m beneath; done > /dev/termination-log; exit 0", mounts,
                 [host_path("h", folder)])
    world.says("readonly", "/plain beneath\n/off beneath\n/open\n/open beneath", "what can be written to")
    expected = [{"name": "h", "mountPath": path, "readOnly": True, "recursiveReadOnly": how}
                for path, how in (("/plain", "Disabled"), ("/off", "Disabled"), ("/possible", "Enabled"), ("/on", "Enabled"))]
    seen = world.control.json("get", "pod", "readonly")["status"]["containerStatuses"][0]["volumeMounts"]
    world.checks.equal(seen, [*expected, {"name": "h", "mountPath": "/open"}], "status.containerStatuses[].volumeMounts")
    handlers = world.control.json("get", "node", world.node.name)["status"]["runtimeHandlers"]
    world.checks.equal([one["features"]["recursiveReadOnlyMounts"] for one in handlers if one["name"] in ("", "gantry")], [True, True],
                       "as the Node says that its handlers can")
    world.delete("readonly")


def own_hosts(world):
    """A pod that mounts a file there has it, and not the one of the node's making."""
    mine = world.node.work / "hosts"
    mine.write_text("192.0.2.7 mine\n")
    world.create("hosts", "cat /etc/hosts > /dev/termination-log", [{"name": "h", "mountPath": "/etc/hosts"}],
                 [host_path("h", mine, "File")])
    world.says("hosts", "192.0.2.7 mine", "/etc/hosts is what is mounted there")
    world.delete("hosts")


def story(checks):
    with ready_node(checks) as (node, control):
        world = Places(checks, control, node)
        paths = make_places(world)
        types(world, paths)
        wrong_types(world, paths)
        propagation(world)
        read_only(world)
        own_hosts(world)


c.main(story)
