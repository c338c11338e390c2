#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 3600
# faults
"""The power goes during pulls, or as soon as one was answered for. Each time the node comes back with every image that it had
answered for, every file of every layer that it calls complete is as its tar entry says, the next pull succeeds, and nothing
is left that is nobody's.

The seed of a cut is printed; GANTRY_SEED repeats its choice of what the disk lost, though not the moment."""
import concurrent.futures
import pathlib
import random
import sys
import tarfile
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import IMAGE
from layered import layered_images, write_tree
from vm import layers
from vm.node import VmNode

MACHINES = 2 if c.ALL else 1
CUTS = 20 if c.ALL else 2
MIB = 1 << 20
REGISTRY = "127.0.0.1:5000"
CRICTL = "/opt/cargo/crictl --config /root/test/crictl.yaml"
# The registry is a server of files, on tmpfs, so that no cut spoils it.
SERVE = f"mkdir -p /run/www && tar -C /run/www -xf /opt/cargo/www.tar && busybox httpd -p {REGISTRY} -h /run/www"
# Each line is said when what it says has been answered. Two at a time, which share layers.
PULLS = f"""
n=0
while :; do
  for image in 0 1 2 3; do
    for one in $image $(((image+1)%4)); do
      {{ {CRICTL} pull {REGISTRY}/test/$one:1 >/dev/null && echo pulled $one; }} &
    done
    wait
    n=$((n+1))
    [ $((n%2)) = 0 ] || {{ echo ending $image; {CRICTL} rmi {REGISTRY}/test/$image:1 >/dev/null; }}
  done
done
"""


class Node(VmNode):
    """With images in its cargo."""

    def __init__(self, checks, name, images):
        self.images = images
        super().__init__(checks, name, power_cuts=True)

    def _load_cargo(self):
        files = super()._load_cargo()
        archive = files[0].parent / "www.tar"
        with tempfile.TemporaryDirectory() as folder, tarfile.open(archive, "w") as tar:
            write_tree(self.images, pathlib.Path(folder))
            tar.add(folder, ".")
        return [*files, archive]


class Story:
    def __init__(self, checks, node, known):
        self.checks, self.node, self.machine, self.known = checks, node, node.machine, known
        self.chance = random.Random(self.machine.cord.seed)
        self.machine.run("gantry", "image", "remove", IMAGE)
        self.machine.shell(SERVE)

    def ok(self, holds, what, detail=""):
        self.checks.ok(holds, f"{self.node.name}, cut {self.machine.cord.cuts}: {what}", detail)

    def equal(self, seen, expected, what):
        self.ok(seen == expected, what, f"expected {expected!r}\nseen     {seen!r}")

    def cut(self):
        """After some images were pulled: at once, or when the next are on their way. What was answered for stays known."""
        self.machine.shell(f"sysctl -qw vm.dirty_expire_centisecs={self.chance.choice((100, 3000))} "
                           f"vm.dirty_writeback_centisecs={self.chance.choice((50, 500))}")
        pulls = self.machine.start("sh", "-c", PULLS)
        wanted = self.chance.randrange(5)

        def said():
            pulls.collect()
            return pulls.output.decode().split("\n")[:-1]

        c.wait_until(f"{wanted} images are pulled", lambda: len([s for s in said() if s.startswith("pulled")]) >= wanted, 300)
        if self.chance.random() < 0.7:
            time.sleep(self.chance.uniform(0, 5))
        self.machine.cut_power()
        there = set()
        for line in said():
            verb, number = line.split()
            (there.add if verb == "pulled" else there.discard)(f"{REGISTRY}/test/{number}:1")
        return there

    def kept(self, there):
        self.equal(self.machine.run("systemctl", "is-system-running", check=False)[1].strip(), "running", "all units are up")
        images = {name for image in self.node.json("images", "-o", "json")["images"] for name in image["repoTags"]}
        self.equal(there - images, set(), f"all of the {len(there)} images answered for are there")
        self.whole("what it calls complete")
        strays, unfinished = layers.strays(self.machine)
        self.equal((strays, unfinished), ([], []), "nothing is nobody's, nothing half made")

    def whole(self, what):
        count, wrong = layers.wrong_layers(self.machine, self.known)
        self.equal(wrong, {}, f"{what}: all files of {count} layers are as they were made")
        self.equal(layers.wrong_blobs(self.machine), {}, f"{what}: and all blobs")

    def goes_on(self):
        self.machine.shell(SERVE)
        for number in range(4):
            self.node.crictl("pull", f"{REGISTRY}/test/{number}:1")
        self.whole("all pulled again")
        self.node.crictl("rmi", *(f"{REGISTRY}/test/{number}:1" for number in range(4)))
        left = self.machine.shell(f"cd {layers.STORE}; ls l blobs i c").split()
        self.equal(left, ["blobs:", "c:", "i:", "l:"], "and removed: the store is empty")


def cuts(checks, node, known, enough):
    with node:
        story = Story(checks, node, known)
        for _ in range(CUTS // MACHINES):
            if not enough.is_set():
                there = story.cut()
                story.kept(there)
                story.goes_on()


def main(checks):
    enough = threading.Event()
    images, known = layered_images(4 * MIB)
    nodes = [Node(checks, f"pulls{number}", images) for number in range(MACHINES)]
    with concurrent.futures.ThreadPoolExecutor(MACHINES) as pool:
        try:
            for part in [pool.submit(cuts, checks, node, known, enough) for node in nodes]:
                part.result()
        finally:
            enough.set()


c.main(main)
