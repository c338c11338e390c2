#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 3600
# faults
"""The power goes while pods come and go and images are built, loaded and removed. Each time the node comes back by itself,
with all that it had answered for, nothing stuck, nothing that is nobody's, and every layer that it calls complete as it was
made.

The seed of a cut is printed; GANTRY_SEED repeats its choice of what the disk lost, though not the moment."""
import concurrent.futures
import contextlib
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import IMAGE
from vm import layers
from vm.node import VmNode
from vm.traffic import Traffic

MACHINES = 2  # side by side, on a core each
CUTS = 100 if c.ALL else 2
MANIFEST = f"""
apiVersion: v1
kind: Pod
metadata: {{name: NAME}}
spec:
  containers:
  - {{name: main, image: "{IMAGE}", command: [/bin/sleep, "100000"]}}
"""
# Units that this story does not need, and that would take a third of each boot.
UNNEEDED = """apparmor systemd-logind systemd-networkd systemd-networkd.socket systemd-binfmt systemd-update-utmp getty@tty1
    modprobe@drm modprobe@efi_pstore sys-kernel-tracing.mount sys-kernel-debug.mount""".split()


class Story:
    def __init__(self, checks, node):
        self.checks, self.node, self.machine = checks, node, node.machine
        self.chance = random.Random(self.machine.cord.seed)
        self.machine.run("systemctl", "mask", "--quiet", *UNNEEDED)
        self.machine.write("/etc/gantry/pod.yaml", MANIFEST)
        self.machine.write("/etc/gantry/manifests/m-0.yaml", MANIFEST.replace("NAME", "m-0"))
        self.traffic = Traffic(node)
        self.base = layers.listing_in(self.machine, node.work / "tree")

    def ok(self, holds, what, detail=""):
        self.checks.ok(holds, f"{self.node.name}, cut {self.machine.cord.cuts}: {what}", detail)

    def equal(self, seen, expected, what):
        self.ok(seen == expected, what, f"expected {expected!r}\nseen     {seen!r}")

    def comes_to(self, look, what):
        """look() gives what is seen and what is expected, which is so in the end: the pool of pods is filled meanwhile."""
        looks = []
        with contextlib.suppress(c.Failure):
            c.wait_until(what, lambda: looks.append(look()) or looks[-1][0] == looks[-1][1])
        self.equal(*looks[-1], what)

    def cut(self):
        """Until something was answered for, and then for a while. The kernel keeps what it was not told to sync for a second
        or, as by default, for half a minute."""
        self.machine.shell(f"sysctl -qw vm.dirty_expire_centisecs={self.chance.choice((100, 3000))} "
                           f"vm.dirty_writeback_centisecs={self.chance.choice((50, 500))}")
        self.traffic.start()
        c.wait_until("a pod and an image are there", lambda: {"pod", "image"} <= {s.split()[0] for s in self.traffic.said()},
                     120)
        time.sleep(self.chance.uniform(0, 6))
        self.machine.cut_power()

    def lost(self):
        """How many files that were not synced the cut took; those that were are whole."""
        count, synced, unsynced = self.traffic.whole_files()
        self.equal(synced, count, f"the {count} files that were synced are whole")
        return count - unsynced

    def comes_back(self):
        self.equal(self.machine.run("systemctl", "is-system-running", check=False)[1].strip(), "running", "all units are up")
        self.equal(self.machine.run("systemctl", "show", "--value", "-p", "NRestarts", "gantryd").strip(), "0",
                   "gantryd came up at once")
        c.wait_until("the manifests' pods run again", lambda: self.running() == self.manifests(), 120, 0.5)

    def manifests(self):
        return sorted(self.machine.shell("cd /etc/gantry/manifests; ls").replace(".yaml", "").split())

    def of_manifests(self):
        return {id: item for id, item in self.node.pods().items() if item["metadata"]["name"].startswith("m-")}

    def running(self):
        pods = self.of_manifests()
        return sorted(pods[item["podSandboxId"]]["metadata"]["name"].removesuffix(f"-{self.node.name}")
                      for item in self.node.containers().values()
                      if item["podSandboxId"] in pods and item["state"] == "CONTAINER_RUNNING")

    def kept_its_word(self):
        said = self.traffic.answered()
        pods, containers = self.node.pods(), self.node.containers()
        images = {name.removeprefix("docker.io/library/") for image in self.node.json("images", "-o", "json")["images"]
                  for name in image["repoTags"]}
        known = {*pods, *containers, *images}
        self.equal(said.there - known, set(), f"all of the {len(said.there)} things answered for are there")
        self.equal(said.gone & known, set(), f"all of the {len(said.gone)} things whose end was answered for are gone")
        self.equal({pod["state"] for id, pod in pods.items() if id in said.there} - {"SANDBOX_NOTREADY"}, set(),
                   "pods of before the cut are not ready")

    def layers_are_whole(self):
        found = layers.listings_below(layers.listing_in(self.machine, f"{layers.STORE}/l"))
        with layers.database(self.machine) as database:
            complete = dict(database.execute("SELECT name, diff FROM image_layers WHERE complete = 1"))
            tags = dict(database.execute("SELECT layer, t.name FROM image_image_layers JOIN image_tags t USING (image)"))
        wrong = {}
        for name, diff in complete.items():
            tag = tags.get(name, "nothing").removeprefix("docker.io/library/")
            if tag == IMAGE:
                expected = self.base
            elif tag.startswith("built:"):
                expected = self.traffic.built(int(tag.removeprefix("built:")))
            else:
                expected = self.traffic.layers.get(diff)
            if found.get(name) != expected:
                wrong[f"{name} of {tag}"] = layers.difference(expected or {}, found.get(name, {}))
        self.equal(wrong, {}, f"all files of {len(complete)} layers are as they were made")
        blobs = self.machine.shell(f"cd {layers.STORE}/blobs; sha256sum *").splitlines()
        self.equal([line for line in blobs if len(set(line.split())) > 1], [], f"and {len(blobs)} blobs")

    def all_can_go(self):
        """Nothing is stuck, and when all has gone, nothing of it is left."""
        kept = self.of_manifests()
        gone = [id for id in self.node.pods() if id not in kept]
        if gone:
            self.node.crictl("rmp", "-f", *gone)
        self.machine.shell("gantry image list | awk '$1 ~ /built|loaded/ { print $1 \":\" $2 }' | "
                           "xargs -r gantry image remove")
        left = [item["id"] for item in self.node.containers().values() if item["state"] != "CONTAINER_RUNNING"]
        if left:  # of the manifests' pods of before
            self.node.crictl("rm", *left, check=False)
        pods = self.node.pods()
        self.equal(sorted(set(pods) - set(kept)), [], "every pod that was there can be removed")

        def owners():
            return set(pods) | set(self.machine.shell("ls /run/gantry/sandboxes").split())  # the second with the pool's

        def addresses():
            with layers.database(self.machine) as database:
                held = {owner for (owner,) in database.execute("SELECT sandbox_id FROM pod_addresses")}
            return held - owners(), set()

        def links():
            return int(self.machine.shell("ip -br link | grep -c '^gt' || true")), len(owners())

        def cgroups():
            counts = self.machine.shell("cd /sys/fs/cgroup/gantry-pods.scope; find kubepods -path '*/pod*' -prune | wc -l; "
                                        "ls -d shims/*/ | wc -l").split()
            return [int(count) for count in counts], [len(pods), len(owners())]

        with layers.database(self.machine) as database:
            sandboxes = {id for (id,) in database.execute("SELECT id FROM cri_sandboxes")}
        strays, unfinished = layers.strays(self.machine)
        strays += set(self.machine.shell("ls /var/lib/gantry/sandboxes").split()) - sandboxes
        self.equal(strays, [], "no folder or file is nobody's")
        self.equal(unfinished, [], "nothing half made is left")
        self.comes_to(addresses, "no address is nobody's")
        mounts = self.machine.shell("grep -E 'gantry|kubelet' /proc/mounts | grep -v cargo || true")
        self.equal(mounts, "", "nothing is mounted")
        self.comes_to(links, "each pod has its link, and there is no other")
        self.comes_to(cgroups, "nor is there any other cgroup")


def cuts(checks, node, enough):
    with node:
        story = Story(checks, node)
        lost = 0
        for _ in range(CUTS // MACHINES):
            if not enough.is_set():
                story.cut()
                lost += story.lost()
                story.comes_back()
                story.kept_its_word()
                story.layers_are_whole()
                story.all_can_go()
        return lost


def main(checks):
    enough = threading.Event()
    nodes = [VmNode(checks, f"power{number}", power_cuts=True) for number in range(MACHINES)]
    with concurrent.futures.ThreadPoolExecutor(MACHINES) as pool:
        try:
            lost = sum([part.result() for part in [pool.submit(cuts, checks, node, enough) for node in nodes]])
            checks.ok(lost, "files that nobody had synced were lost: the cuts were cuts", lost)
        finally:
            enough.set()


c.main(main)
