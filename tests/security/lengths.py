#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Configurations so long that a length wraps, and what is behind it is taken for more configuration.

CVE-2021-43784 (runc): a netlink attribute's length has 16 bits."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import oci_bundle
from attacks import Naive, all_of, bind, capable

WRAP = 1 << 16
SHOWN = "grep CapEff /proc/self/status | cut -f2; id -u"
KEPT = "X=kept"


def smuggled():
    """A variable of which 16 bits of length see only KEPT; what follows reads as records of the careless runtime's plan: all
    capabilities. Its lengths are such that no byte of it is special in JSON."""
    first = 0x7f3c
    capabilities = b"c" + bytes((0x7e, 0x01)) + b"1ffffffffff".ljust(0x017e)
    parts = [b"x" + length.to_bytes(2, "little") + b"." * length for length in (first, WRAP - len(capabilities) - 6 - first)]
    text = (KEPT.encode() + capabilities + b"".join(parts)).decode("ascii")
    assert len(text) == WRAP + len(KEPT)
    return text


def capabilities_of(runtime, value):
    said = runtime.run(SHOWN, change=all_of(capable(), lambda config: config["process"]["env"].append(value)))
    return said.stdout.split() or said.stderr


def wrapping(checks, oci):
    plain, attacked = (capabilities_of(oci, value) for value in (KEPT, smuggled()))
    checks.equal(attacked, plain, "CVE-2021-43784: a variable of more than 64 KiB brings no capability along")
    said = oci.run("echo ${#X}", change=lambda config: config["process"]["env"].append(smuggled()))
    checks.equal(said.stdout.strip(), str(WRAP + len(KEPT) - 2), "and it is there, whole")
    naive = Naive()
    plain, attacked = (capabilities_of(naive, value) for value in (KEPT, smuggled()))
    checks.ok(int(attacked[0], 16).bit_count() > int(plain[0], 16).bit_count(),
              "CVE-2021-43784 bites: with 16 bits of length it brings all of them", (plain, attacked))


def many(checks, oci):
    """Much of everything else: in all its length, or refused."""
    source = oci.work / ("s" * 200)
    source.mkdir()
    names = [f"/many/{i:03}-{'d' * 100}" for i in range(400)]
    said = oci.run("grep -c ' /many/' /proc/self/mountinfo; " + SHOWN,
                   change=all_of(capable(), lambda config: config["mounts"].extend(bind(source, name) for name in names)))
    checks.equal(said.stdout.split()[:1], ["400"], "CVE-2021-43784: 120 KB of binds are all of them") or print(said.stderr)
    masks = [f"/proc/{i}-{'m' * 200}" for i in range(1000)] + ["/proc/keys"]
    said = oci.run("cat /proc/keys | head -c 1", change=lambda config: config["linux"].update(maskedPaths=masks))
    checks.equal((said.returncode, said.stdout), (0, ""), "a mask behind 200 KB of others masks")
    notes = {f"key{i}": "v" * 1000 for i in range(500)}
    said = oci.run(SHOWN, change=all_of(capable(), lambda config: config.update(annotations=notes)))
    checks.equal((said.returncode, said.stdout.split()[1:]), (0, ["0"]), "500 KB of annotations change nothing")


def too_many(checks, oci):
    """What is refused, and the field that is named."""
    cases = {"process.env": lambda config: config["process"]["env"].append("X=" + "x" * (1 << 18)),
             "process.args": lambda config: config["process"]["args"].append("x" * (1 << 18)),
             "mounts[": lambda config: config["mounts"].append(bind("/" + "s" * 5000, "/x")),
             "/d": lambda config: config["mounts"].append(bind("/tmp", "/" + "d" * 5000)),
             "hostname": lambda config: config.update(hostname="h" * 70000),
             "linux.maskedPaths": lambda config: config["linux"].update(maskedPaths=["/x"] * 70000),
             "annotations": lambda config: config.update(annotations={f"k{i}": "v" for i in range(70000)}),
             "config.json": lambda config: config.update(annotations={"k": "v" * (64 << 20)})}
    before = os.listdir("/proc/self/fd")
    for field, change in cases.items():
        said = oci.run("true", change=change)
        checks.ok(said.returncode == 1 and field in said.stderr and len(said.stderr) < 16384,
                  f"CVE-2021-43784: far too much is refused by name: {field}", said.stderr[:500])
    checks.equal((oci.remnants(), os.listdir("/proc/self/fd")), ([], before), "and leaves nothing")


if __name__ == "__main__":
    oci_bundle.tell(wrapping, many, too_many)
