#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: old-runc
# limit: 1200
"""The attacks of this folder on a runc of February 2021: those whose holes it has succeed, and so are the published ones.

gantry-oci meets them in mount_targets.py, proc_writes.py and capabilities.py. The careless runtime is ours; this one nobody
here wrote."""
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import oci_bundle
from attacks import exchanging, race_until
from capabilities import attack as inheritable_of
from mount_targets import KINDS, Race, devices_without_mount
from proc_writes import shared_root


class OldRunc(oci_bundle.Runtime):
    """runc 1.0.0-rc93, with a real one's command line, which is ours."""

    def __init__(self):
        super().__init__()
        self.program = shutil.which("old-runc")


def races(checks, oci):
    for is_file, what in ((False, "a folder that a mount's place is beneath"), (True, "a file to mount on")):
        attacked = Race(OldRunc(), oci, is_file)
        checks.equal(attacked.once(), "inside", "runc 1.0.0-rc93 mounts where it is told to, as long as nobody attacks")
        with exchanging(oci, attacked.volume, "dest", "link"):
            turn = race_until(attacked.once, "outside")
        checks.ok(turn, f"CVE-2021-30465, 2024-45310 bite: {what} is exchanged, and its start {turn} makes something on the "
                  "host")


def writes(checks, oci):
    root, once = shared_root(OldRunc())
    checks.equal(once(), "right", "what it writes into /proc is the process's own, as long as nobody attacks")
    with exchanging(oci, root, "proc", "link"):
        turn = race_until(once, "redirected")
    checks.ok(turn, f"CVE-2025-52881 bites: /proc is exchanged for a link, and its start {turn} writes into the image's file")


def links(checks, oci):
    del oci
    made = [devices_without_mount(OldRunc(), kind) for kind in KINDS]
    checks.ok(all("null" in names and "zero" in names for names in made),
              "CVE-2026-41579 bites: where an image's /dev is a link, it makes devices in a folder of the host's", made)


def capabilities(checks, oci):
    del oci
    found = inheritable_of(OldRunc())
    checks.ok(found["exec --cap"]["CapInh"], "CVE-2022-29162 bites: what exec --cap gives is inheritable", found)


if __name__ == "__main__":
    oci_bundle.tell(races, writes, links, capabilities)
