#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Containers of an ordinary user, and of the root of a user namespace, to whom a cgroup is delegated. CVE-2023-25809 (runc):
the user's cgroups writable in a container, also without a cgroup namespace of its own, and beneath a /sys that is bound."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import oci_bundle
from attacks import bind
from masked_paths import hierarchies, writable


def bound_sys(*options):
    def change(config):
        config["mounts"] = [mount for mount in config["mounts"] if not mount["destination"].startswith("/sys")]
        config["mounts"].append(bind("/sys", "/sys", "rbind", "nosuid", "noexec", "nodev", *options))
    return change


def bound(checks, oci):
    if oci_bundle.caller() == oci_bundle.USER:
        sysfs = next(mount for mount in oci.default["mounts"] if mount["destination"] == "/sys")
        checks.ok("rro" in sysfs["options"], "CVE-2023-25809: spec --rootless makes all of /sys read-only", sysfs["options"])
    checks.equal(writable(oci, bound_sys("rro"), "/sys/fs/cgroup"), set(),
                 "CVE-2023-25809: and so the host's cgroup hierarchy beneath a bound /sys")
    checks.ok("folder /sys/fs/cgroup" in writable(oci, bound_sys("ro"), "/sys/fs/cgroup"),
              "CVE-2023-25809 bites: with ro, which means /sys alone, it can be written")


if __name__ == "__main__":
    oci_bundle.tell(hierarchies, bound, callers=(oci_bundle.USER, oci_bundle.NESTED))
