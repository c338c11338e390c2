#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Capabilities that programs come by: inheritable ones, which a file with the same inheritable bit turns into permitted.

CVE-2022-24769 (moby, containerd), 29162 (runc exec --cap), 27650 (crun exec), 27649, 27651 and 27652 (podman, buildah,
CRI-O)."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import oci_bundle
from attacks import Naive, all_of, capable

SHOWN = "grep -E 'Cap(Inh|Amb|Eff)' /proc/self/status"


def sets(said):
    return {line.split(":")[0]: int(line.split()[1], 16) for line in said.stdout.splitlines()}


def user(uid):
    return lambda config: config["process"]["user"].update(uid=uid, gid=uid)


def attack(runtime):
    """The inheritable sets of a container's program, of an exec, of one with more, and of one as another user."""
    name = runtime.start("sleep", "1000", change=capable())
    cases = {"start": runtime.run(SHOWN, change=capable()),
             "start as a user": runtime.run(SHOWN, change=all_of(capable(), user(1000))),
             "exec": runtime("exec", name, "sh", "-c", SHOWN),
             "exec --cap": runtime("exec", "--cap", "CAP_SYS_PTRACE", name, "sh", "-c", SHOWN),
             "exec --user": runtime("exec", "--user", "1000", name, "sh", "-c", SHOWN)}
    attacks.stop(runtime, name)
    return {case: sets(said) for case, said in cases.items()}


def inheritable(checks, oci):
    for case, found in attack(oci).items():
        checks.equal((found["CapInh"], found["CapAmb"]), (0, 0),
                     f"CVE-2022-24769, 29162, 27650: {case}: nothing is inheritable")
        if "user" in case or case == "exec --user":
            checks.equal(found["CapEff"], 0, f"{case}: and another user has no capability")
    bites = {case: found["CapInh"] != 0 for case, found in attack(Naive()).items()}
    checks.equal(set(bites.values()), {True}, "CVE-2022-24769, 29162, 27650 bite: with the careless runtime all of it is")


if __name__ == "__main__":
    oci_bundle.tell(inheritable)
