#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1200
"""The disk of images has not one byte left: what wants to bring one is told so and leaves nothing behind, and room can be
made, by the CRI, by `gantry image prune` and, with --all, by garbage collection, which comes each five minutes. What is in
use or pinned stays. Afterwards an image can be pulled."""
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import faulty_registry as f
from cri_client import IMAGE
from node import BIN, Node, run
from pulls import MIB, layer
from registry import RemoteImage, network_of

DISK_FULL = ("ResourceExhausted", "No space left on device", "/store")
DISK = 112 * MIB
LAYER = 7 * MIB
# Mounts a disk of its own in a mount namespace of its own, and runs the command there.
MOUNT = 'mkdir -p "$1" && mount -o loop "$0" "$1" && shift && exec "$@"'
# To the last block: what is removed meanwhile, or written behind, is taken, too.
FILL = """cd "$0" && for i in 1 2 3; do
  sync -f .
  fallocate -l $(($(stat -fc '%f * %S' .))) filling-$1-$i
  cat /dev/zero > filling-$1-$i-rest
done 2>/dev/null; sync -f ."""
UNFILL = 'cd "$0" && rm -f filling-*; sync -f .'


class SmallDisk(Node):
    """A node whose data lies on a file system of its own, an ext4 in a file."""
    image_gc = ()

    def __init__(self, checks, folder):
        super().__init__(checks)
        self.disk, self.fillings = folder / "disk", 0
        with open(self.disk, "wb") as file:
            file.truncate(DISK)
        run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-J", "size=4", self.disk])

    def start(self, prefix=()):
        super().start(["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNT, self.disk, self.lib, *prefix])

    def image(self, *arguments, check=True):
        return self.exec(BIN / "gantry", "image", "--data-dir", self.lib, *arguments, check=check)

    def free(self):
        return int(self.exec("stat", "-fc", "%a", self.lib).stdout)

    def fill(self):
        self.fillings += 1
        self.exec("sh", "-c", FILL, self.lib, self.fillings)

    def names(self):
        return {name.rsplit("/", 1)[-1] for image in self.json("images", "-o", "json")["images"]
                for name in image["repoTags"]}

    def ingests(self):
        return self.exec("ls", self.lib / "store/i").stdout


class Story:
    def __init__(self, checks, node, registry):
        self.checks, self.node, self.registry = checks, node, registry
        node.build_image()
        pod = node.pod_config("pod")
        pod_id = node.run_pod(pod)
        self.container = node.run_container(pod_id, node.container_config("main", "exec sleep 100000"), pod)
        self.names = {name: registry.put(f"{name}:1", RemoteImage(layer(name, LAYER)))
                      for name in ("idle-0", "idle-1", "idle-2", "idle-3", "pinned", "more", "next", "last")}
        for name in ("pinned", "idle-0", "idle-1", "idle-2", "idle-3"):
            node.crictl("pull", self.names[name])
        node.image("pin", self.names["pinned"])
        self.kept = {IMAGE, "pinned:1"}

    def full(self, when):
        """Fills the disk, and tries what can't be."""
        # What was being removed just then is taken by the next try.
        c.wait_until("the disk is full", lambda: self.node.fill() or self.node.free() == 0)
        self.checks.ok(True, f"{when}: not one block is left")
        before = self.node.names()
        done = self.node.crictl("pull", self.names["last"], check=False)
        self.checks.ok(done.returncode and all(part in done.stderr for part in DISK_FULL),
                       f"{when}: a pull is refused, for that reason", done.stdout + done.stderr)
        self.checks.equal((self.node.names(), self.node.ingests()), (before, ""), f"{when}: it leaves nothing")

    def stays(self, when, names):
        """What is in use or pinned is there; `names` are all others."""
        self.checks.equal(self.node.names(), self.kept | names,
                          f"{when}: what is in use or pinned stays, and what was not named")
        said = self.node.crictl("exec", self.container, "echo", "here").stdout
        self.checks.equal(said, "here\n", f"{when}: the container runs on")

    def pulls(self, name, when):
        done = self.node.crictl("pull", self.names[name], check=False)
        self.checks.ok(done.returncode == 0, f"{when}: an image can be pulled", done.stderr)

    def by_cri(self):
        self.full("full")
        self.node.crictl("rmi", self.names["idle-0"], self.names["idle-1"])
        self.stays("two removed", {"idle-2:1", "idle-3:1"})
        self.pulls("more", "two removed")

    def by_prune(self):
        self.full("full again")
        self.node.image("prune", "--all")
        self.stays("pruned", set())
        self.pulls("idle-0", "pruned")
        self.pulls("more", "pruned")

    def after_a_restart(self):
        self.full("once more")
        self.node.kill_gantryd()
        self.node.wait_for_gantryd()
        self.stays("gantryd begins with a full disk", {"idle-0:1", "more:1"})
        self.node.crictl("rmi", self.names["idle-0"])
        # What has become free is not enough for two.
        for name in ("next", "last"):
            done = self.node.crictl("pull", self.names[name], check=False)
            if done.returncode:
                self.checks.contains(done.stderr, [*DISK_FULL, "layer sha256:"],
                                     "one that fills the disk half way is refused, too")
                break
        self.checks.equal(self.node.ingests(), "", "it leaves nothing")
        self.node.crictl("rmi", self.names["more"])
        self.pulls("last", "after another removal")

    def by_collection(self):
        """At 85 % it makes room to 80 %: the images that it may take are more than that together."""
        self.node.exec("sh", "-c", UNFILL, self.node.lib)
        for name in ("idle-0", "idle-1", "idle-2", "idle-3"):
            self.pulls(name, "with room")
        self.full("before a collection")
        idle = self.node.names() - self.kept
        self.node.kill_gantryd()
        self.node.wait_for_gantryd()
        start = time.monotonic()
        c.wait_until("images are removed", lambda: self.node.free() * 4096 >= DISK * 15 // 100, 600, 2)
        left = self.node.names()
        self.checks.ok(time.monotonic() - start > 200, "that is garbage collection's doing", time.monotonic() - start)
        self.checks.ok(self.kept <= left and left - self.kept < idle,
                       "some of the images that nobody uses are removed, of the others none", left)
        self.stays("collected", left - self.kept)
        self.pulls("last", "collected")


def story(checks):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gantry-disk-", dir="/var/tmp"))
    try:
        with SmallDisk(checks, folder) as node, network_of(node.supervisor()), f.FaultyRegistry() as registry:
            told = Story(checks, node, registry)
            told.by_cri()
            told.by_prune()
            told.after_a_restart()
            if c.ALL:
                told.by_collection()
    finally:
        shutil.rmtree(folder)


c.main(story)
