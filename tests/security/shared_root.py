#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 3000
"""Containers that share a root folder: some exchange its /proc for another folder while one more is made (the way of
CVE-2019-19921, runc), and it may not start without what hides parts of its procfs, wherever that is by then."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import oci_bundle
from attacks import RACES, Naive, capable, all_of, exchanging, new_root, race, race_until, rooted


def covers(process):
    """What is mounted on files and folders of the process's procfs, by their names in it."""
    mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
    procs = [fields for fields in mounts if fields[fields.index("-") + 1] == "proc" and fields[3] == "/"]
    return {fields[4][len(proc[4]):] for proc in procs for fields in mounts if fields[1] == proc[0]}


def started(runtime, root):
    """The covers over the procfs of a container that was started in this root; None when its start was refused."""
    folder = runtime.bundle("sleep", "1000", change=all_of(capable(), rooted(root)))
    name = f"c{runtime.count}"
    if isinstance(runtime, Naive):
        runtime.begin(folder, name)
    elif runtime("create", "--bundle", folder, name, check=False).returncode != 0:
        return None
    try:
        return covers(pathlib.Path(f"/proc/{runtime.state(name)['pid']}"))
    except OSError:
        return None  # the careless runtime's has ended
    finally:
        attacks.stop(runtime, name)


def exchanged_proc(checks, oci):
    for runtime in (oci, Naive(checked=True)):
        root = new_root(runtime, "proc", "fake/sys", "sys", "dev", "tmp")
        whole = started(runtime, root)
        checks.ok(whole and "/sys" in whole, "unattacked, a container's procfs is covered where the spec says", whole)

        def once():
            seen = started(runtime, root)
            return "refused" if seen is None else "covered" if seen == whole else "open"

        with exchanging(oci, root, "proc", "fake"):
            if runtime is oci:
                outcomes = race(once)
                checks.ok("open" not in outcomes and outcomes.get("covered"), "CVE-2019-19921: a shared root's /proc is exchanged "
                          f"{RACES} starts long, and none starts with less covered", outcomes)
            else:
                turn = race_until(once, "open")
                checks.ok(turn, f"CVE-2019-19921 bites: the careless runtime's start {turn} is open")


if __name__ == "__main__":
    oci_bundle.tell(exchanged_proc)
