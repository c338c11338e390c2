#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""What is hidden from a container, and what it may not write.

CVE-2025-31133 (runc), CVE-2025-54867 and 62161 (youki): the image's /dev/null, a link, is mounted over a masked path instead of
the null device. CVE-2018-10892 (moby): /proc/acpi writable. CVE-2020-8694: the power meter of the CPU readable. CVE-2023-25809
(runc, rootless): a cgroup hierarchy writable. CVE-2022-0492: release_agent of cgroup v1."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import oci_bundle
from attacks import Naive, all_of, bind, capable, new_root

# Files of a runtime's own and of this container's alone, which its root may write.
OWN = ("/proc/self/", "/proc/thread-self/", "/dev/")
# What opens for writing and yet changes nothing for others: who writes there waits for pressure.
ALLOWED = {f"file /proc/pressure/{what}" for what in ("cpu", "io", "memory", "irq")}


def fake_null(runtime, in_volume):
    """What a container could do through /proc/keys, which is masked, when /dev/null is a link to a file that may not be
    written: the UTS namespace's own, where the published attack took core_pattern, which is everybody's. The link is in the
    image's /dev, over which the spec mounts nothing, or in a volume there."""
    target = "/proc/sys/kernel/domainname"
    root = new_root(runtime, "proc", "sys", "dev", "tmp", "etc", "volume")
    (root / ("volume/null" if in_volume else "dev/null")).symlink_to(target)

    def change(config):
        config["root"]["path"] = str(root)
        config["mounts"] = [mount for mount in config["mounts"] if not mount["destination"].startswith("/dev")]
        config["mounts"] += [bind(root / "volume", "/dev")] if in_volume else []

    said = runtime.run("echo taken > /proc/keys; cat /proc/keys; echo end; cat " + target, change=all_of(capable(), change))
    return "taken" if "taken" in said.stdout else "masked" if said.stdout.startswith("end") else "refused"


def null_devices(checks, oci):
    for in_volume, place, wanted in ((False, "the image", "refused"), (True, "a volume", "masked")):
        checks.equal(fake_null(oci, in_volume), wanted,
                     f"CVE-2025-31133: a link at /dev/null of {place} opens nothing that is masked")
        checks.equal(fake_null(Naive(), in_volume), "taken",
                     "CVE-2025-31133 bites: it does where the container's null is mounted")
    said = oci.run("for each in /proc/kcore /proc/keys /proc/timer_list; do stat -c '%t:%T %F' $each; done", change=capable())
    checks.equal(set(said.stdout.splitlines()), {"1:3 character special file"}, "what is masked is the null device itself")


def writable(runtime, change=None, folders="/proc /sys"):
    attacks.give_attack(runtime)
    said = runtime.run(f"/bin/attack writable {folders}", change=all_of(capable(), change))
    return {line for line in said.stdout.splitlines() if not line.split(" ", 1)[-1].startswith(OWN)}


def without_masks(config):
    config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []


def writable_files(checks, oci):
    found = writable(oci)
    checks.equal(found - ALLOWED, set(), "CVE-2018-10892: as root of a container nothing in /proc and /sys opens for writing")
    bare = writable(oci, without_masks)
    checks.ok("file /proc/sys/kernel/core_pattern" in bare,
              "CVE-2018-10892 bites: without masked and read-only paths it does", sorted(bare)[:20])
    hidden = "cat /proc/kcore /proc/keys /proc/interrupts | head -c 1; ls /sys/devices/virtual/powercap /sys/firmware; true"
    checks.equal(oci.run(hidden, change=capable()).stdout.replace("/sys/devices/virtual/powercap:", "").strip(),
                 "/sys/firmware:", "CVE-2020-8694: nothing is in what is masked")
    checks.ok(len(oci.run("cat /proc/interrupts", change=all_of(capable(), without_masks)).stdout) > 0,
              "CVE-2020-8694 bites: without the mask it is read")


def cgroups_of(read_only, own_namespace):
    def change(config):
        config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "cgroup"]
        config["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                                 "options": ["nosuid", "noexec", "nodev", *(["ro"] if read_only else [])]})
        if not own_namespace:
            config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "cgroup"]
    return change


def hierarchies(checks, oci):
    for own, whose in ((True, "its own"), (False, "the host's")):
        closed = writable(oci, cgroups_of(True, own), "/sys/fs/cgroup")
        checks.equal(closed, set(), f"CVE-2023-25809: of {whose} cgroup hierarchy nothing can be written or made")
        open_ = writable(oci, cgroups_of(False, own), "/sys/fs/cgroup")
        checks.ok("folder /sys/fs/cgroup" in open_, f"CVE-2023-25809 bites: mounted without ro, {whose} can",
                  sorted(open_)[:20])
    said = oci.run("mount -t cgroup -o memory none /tmp || mount -t cgroup -o rdma none /tmp; find / -name release_agent",
                   change=capable())
    checks.ok("release_agent" not in said.stdout,
              "CVE-2022-0492: there is no release_agent, and no hierarchy of version 1 comes", said.stdout)


if __name__ == "__main__":
    oci_bundle.tell(null_devices, writable_files, hierarchies)
