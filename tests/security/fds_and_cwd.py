#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Descriptors that a runtime leaves open, and a working folder that leads through one to the host.

CVE-2024-21626 (runc): `WORKDIR /proc/self/fd/N`, where N is a folder of the host's that runc had open."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import checks as c
import oci_bundle
from attacks import Canary, Naive, all_of, capable

NUMBERS = range(3, 1024) if c.ALL else (*range(3, 12), 100, 1023)
# `ls` itself has one for the folder that it lists.
DESCRIPTORS = "ls /proc/self/fd | grep -vxE '[0-3]'; readlink /proc/self/fd/3"


def reads(canary):
    """What finds a file of the host's from a folder that is outside of the program's root."""
    return f"cat {'../' * 12}{canary.folder}/file"


def from_start(runtime, canary, folder):
    said = runtime.run(reads(canary), change=all_of(capable(), lambda config: config["process"].update(cwd=folder)))
    return Canary.SECRET in said.stdout


def from_exec(runtime, canary, name, folder):
    return Canary.SECRET in runtime("exec", "--cwd", folder, name, "sh", "-c", reads(canary), check=False).stdout


def attack(runtime):
    """Whether a program came out of its root: at a container's start, at an exec, and at either by a link."""
    canary = Canary(runtime)
    name = runtime.start("sleep", "1000", change=capable())
    started = any([from_start(runtime, canary, f"/proc/self/fd/{n}") for n in NUMBERS])
    executed = any([from_exec(runtime, canary, name, f"/proc/self/fd/{n}") for n in NUMBERS])
    # An image can bring along a link.
    link = runtime.rootfs / "work"
    by_link = False
    for number in NUMBERS:
        link.unlink(missing_ok=True)
        link.symlink_to(f"/proc/self/fd/{number}")
        by_link |= from_start(runtime, canary, "/work") or from_exec(runtime, canary, name, "/work")
    link.unlink()
    attacks.stop(runtime, name)
    return started, executed, by_link


def working_folders(checks, oci):
    checks.equal(attack(oci), (False, False, False), f"CVE-2024-21626: no /proc/self/fd/N of {len(NUMBERS)} as the working "
                 "folder leads out, at a start, an exec, or by a link")
    for folder in ("/proc/1/cwd", "/proc/self/root/../..", "/proc/1/root", "/proc/self/task/1/cwd", "/proc/self/map_files"):
        checks.ok(not from_start(oci, Canary(oci), folder), f"CVE-2024-21626: nor does {folder}")
    checks.equal(attack(Naive()), (True, True, True),
                 "CVE-2024-21626 bites: all three do with a runtime that leaves a folder open")


def descriptors(checks, oci):
    name = oci.start("sleep", "1000", change=capable())
    for what, said in (("a start", oci.run(DESCRIPTORS, change=capable())),
                       ("an exec", oci("exec", name, "sh", "-c", DESCRIPTORS, check=False))):
        # The fourth is the folder that readlink's shell does not have: nothing is said.
        checks.equal(said.stdout, "", f"CVE-2024-21626: after {what} a program has three descriptors")
    attacks.stop(oci, name)
    naive = Naive()
    checks.ok(naive.run(DESCRIPTORS, change=capable()).stdout != "", "CVE-2024-21626 bites: the careless runtime's have more")


def launched(oci, how, stream):
    """The number of a program that the runtime launches while its own descriptor `stream` is closed."""
    pid_file = oci.work / "pid"
    closed = {"preexec_fn": lambda: os.close(stream)}
    if how == "exec":
        oci("exec", "-d", "--pid-file", pid_file, oci.start("sleep", "1000"), "sleep", "1000", **closed)
    else:
        folder = oci.bundle("sleep", "1000")
        oci(how, *(["-d"] if how == "run" else []), "--pid-file", pid_file, "--bundle", folder, f"c{oci.count}", **closed)
        if how == "create":
            oci("start", f"c{oci.count}")
    return int(pid_file.read_text())


def closed_streams(checks, oci):
    """What the runtime opens then gets that number, and a program must not have it: the bundle's folder, --root, --log."""
    for how in ("create", "run", "exec"):
        for stream in (0, 1, 2):
            pid = launched(oci, how, stream)
            checks.equal(os.readlink(f"/proc/{pid}/fd/{stream}"), "/dev/null",
                         f"CVE-2024-21626: what {how} is not given as {stream} leads nowhere in the container")
            attacks.stop(oci, f"c{oci.count}")


if __name__ == "__main__":
    oci_bundle.tell(working_folders, descriptors, closed_streams)
