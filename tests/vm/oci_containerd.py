#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""containerd with gantry-oci where all controllers are: what conformance test oci_containerd tells of crictl; its updates are
in force."""
import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from vm import disk, stories
from vm.machine import Machine


def main(checks):
    containerd = pathlib.Path(disk.run(disk.ROOT / "scripts/peers", "containerd").split()[2])
    programs = [containerd, containerd.parent / "containerd-shim-runc-v2", containerd.parent / "ctr", shutil.which("crictl"),
                pathlib.Path(os.environ["GANTRY_BIN"]) / "gantry-oci"]
    with Machine("containerd", cargo=programs) as machine:
        # What no unit has asked systemd for.
        machine.shell("echo +cpu +cpuset +io +memory +pids > /sys/fs/cgroup/cgroup.subtree_control")
        stories.tell(checks, machine, "oci_containerd.py", "by_crictl", CONTAINERD="/opt/cargo/containerd",
                     PATH="/opt/cargo:/usr/sbin:/usr/bin", GANTRY_BIN="/opt/cargo")


c.main(main)
