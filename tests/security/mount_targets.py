#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 3000
"""Places in a container's root that lead out of it: links that an image brings along, and names that are exchanged meanwhile.

Links: CVE-2019-18837 (crun), 2023-27561 (runc), 2026-41579 (runc), 2026-47766 (crun), 2025-24965 (crun), 2024-5154 (CRI-O),
2025-23267 (NVIDIA). Races: CVE-2021-30465, 2024-45310 (runc), 2024-0132, 2025-23359 (NVIDIA). Those about /proc are in
proc_writes.py."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import oci_bundle
from attacks import RACES, Canary, Naive, all_of, bind, capable, exchanging, mounted, new_root, race, race_until, rooted

KINDS = ("an absolute link", "a link that climbs", "a link to a link")


def plant(root, place, target, kind):
    """A link at `place` in a root that leads to `target` on the host when it is followed there."""
    link = root / place
    link.parent.mkdir(parents=True, exist_ok=True)
    if kind == "a link to a link":
        (root / "between").symlink_to(target)
        link.symlink_to("../" * place.count("/") + "between")
    else:
        link.symlink_to(target if kind == "an absolute link" else "../" * 20 + str(target)[1:])


def without(*destinations):
    def change(config):
        config["mounts"] = [mount for mount in config["mounts"] if not mount["destination"].startswith(destinations)]
    return change


def kernel_folders(runtime, place, kind):
    """What the host's folder has got that the image's /proc, /sys, /dev or a folder in /dev leads to; and whether it ran."""
    root, canary = new_root(runtime, "tmp"), Canary(runtime)
    plant(root, place, canary.folder, kind)
    # A place beneath /dev is the image's only when nothing is mounted at /dev itself.
    own_dev = None if place.count("/") == 0 else lambda config: config.update(
        mounts=[mount for mount in config["mounts"] if mount["destination"] != "/dev"])
    done = runtime.run("true", change=all_of(capable(), rooted(root), own_dev))
    return canary.changes(), done.returncode == 0


def links_at_kernel_folders(checks, oci):
    for place in ("proc", "sys", "dev", "dev/pts", "dev/shm", "dev/mqueue"):
        outcomes = [kernel_folders(oci, place, kind) for kind in KINDS]
        checks.equal(outcomes, [([], False)] * 3, f"CVE-2019-18837, 2023-27561, 2026-41579, 2026-47766: an image's /{place} "
                     "that is a link is refused, and what it leads to is untouched")
    followed = [kernel_folders(Naive(), "proc", kind)[1] for kind in KINDS]
    checks.equal(followed, [True] * 3, "CVE-2023-27561 bites: the careless runtime goes where the link leads, and runs")


def devices_without_mount(runtime, kind):
    """The same when the spec mounts nothing at /dev, and with a device at a place of its own."""
    root, canary = new_root(runtime, "proc", "sys", "tmp"), Canary(runtime)
    plant(root, "dev", canary.folder, kind)
    (root / "own").symlink_to(canary.folder)
    own = {"path": "/own/line", "type": "c", "major": 1, "minor": 3}
    runtime.run("true", change=all_of(capable(), rooted(root), without("/dev"),
                                      lambda config: config["linux"].update(devices=[own])))
    return canary.changes()


def bound_file(runtime, kind):
    """A file of the caller's (hosts, resolv.conf) where the image has a link to one that is not there yet."""
    root, canary = new_root(runtime, "proc", "sys", "dev", "etc"), Canary(runtime)
    plant(root, "etc/hosts", canary.folder / "made", kind)
    source = runtime.work / "hosts"
    source.write_text("text\n")
    runtime.run("true", change=all_of(capable(), rooted(root), mounted(bind(source, "/etc/hosts"))))
    return canary.changes()


def bound_folder(runtime, kind):
    root, canary = new_root(runtime, "proc", "sys", "dev"), Canary(runtime)
    plant(root, "data", canary.folder, kind)
    runtime.run("true", change=all_of(capable(), rooted(root), mounted(bind(runtime.work, "/data/made"))))
    return canary.changes()


def links_elsewhere(checks, oci):
    for attack, cve, what in ((devices_without_mount, "CVE-2026-41579, 2026-47766", "devices"),
                              (bound_file, "CVE-2024-5154, 2025-24965, 2025-23267", "a file to mount on"),
                              (bound_folder, "CVE-2019-18837", "a folder to mount on")):
        checks.equal([attack(oci, kind) for kind in KINDS], [[]] * 3, f"{cve}: {what}: nothing is made on the host by links")
        checks.ok(all(attack(Naive(), kind) for kind in KINDS), f"{cve} bites: {what}: the careless runtime makes it there")
    root, canary = new_root(oci, "proc", "sys", "dev"), Canary(oci)
    for place in ("work", "copied"):
        (root / place).symlink_to(canary.folder)
    copied = {"destination": "/copied", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}
    done = oci.run("cat /copied/*; ls /work", change=all_of(capable(), rooted(root), mounted(copied), lambda config: (
        config["process"].update(cwd="/work/made"))))
    checks.equal((canary.changes(), Canary.SECRET in done.stdout), ([], False),
                 "nor is a working folder made or a tmpfs filled from there")


# ---- races ---------------------------------------------------------------------------------------------------------------


class Race:
    """A volume in which `dest` and a link out of the root are exchanged all the time, and a mount on or beneath it."""

    def __init__(self, runtime, oci, is_file):
        self.runtime, self.canary = runtime, Canary(runtime)
        self.root = new_root(runtime, "proc", "sys", "dev", "volume", "tmp")
        self.volume = pathlib.Path(str(self.root) + "-volume")
        self.volume.mkdir()
        if is_file:
            (self.volume / "dest").touch()
            (self.volume / "link").symlink_to(self.canary.folder / "made")
        else:
            (self.volume / "dest").mkdir()
            (self.volume / "link").symlink_to(self.canary.folder)
        self.source = pathlib.Path(str(self.root) + "-source")
        self.source.touch() if is_file else self.source.mkdir()
        self.target = "/volume/dest" if is_file else "/volume/dest/made"

    def once(self):
        change = all_of(capable(), rooted(self.root), mounted(bind(self.volume, "/volume"), bind(self.source, self.target)))
        done = self.runtime.run("cat /proc/self/mountinfo", change=change)
        if self.canary.changes():
            return "outside"
        if done.returncode != 0:
            return "refused"
        return "inside" if self.source.name in done.stdout else "lost"


def races(checks, oci):
    for is_file, what in ((False, "a folder that a mount's place is beneath"), (True, "a file to mount on")):
        attacked = Race(oci, oci, is_file)
        with exchanging(oci, attacked.volume, "dest", "link"):
            outcomes = race(attacked.once)
        checks.ok(not set(outcomes) & {"outside", "lost"} and outcomes.get("inside"),
                  f"CVE-2021-30465, 2024-45310, 2024-0132: {what} is exchanged for a link {RACES} starts long: "
                  "all mounts are inside", outcomes)
        attacked = Race(Naive(checked=True), oci, is_file)
        checks.equal(attacked.once(), "inside", "a runtime that looks first and mounts then is right as long as nobody attacks")
        with exchanging(oci, attacked.volume, "dest", "link"):
            turn = race_until(attacked.once, "outside")
        checks.ok(turn, f"CVE-2021-30465, 2024-45310 bite: attacked, its start {turn} makes something on the host")


if __name__ == "__main__":
    oci_bundle.tell(links_at_kernel_folders, links_elsewhere, races)
