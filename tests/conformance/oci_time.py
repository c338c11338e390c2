#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""gantry-oci with time namespaces: made with offsets, joined by exec and by path, with a user namespace and without."""
import json
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle

FIRST = 10000  # what 0 of a container with a user namespace is outside
DAY = 86400
LOOK = "readlink /proc/self/ns/time; cut -d. -f1 /proc/uptime; tail -n 2 /proc/self/timens_offsets"


def uptime():
    return float(pathlib.Path("/proc/uptime").read_text().split()[0])


def in_time(offsets=None, path=None, change=None):
    def changed(config):
        config["linux"]["namespaces"].append({"type": "time"} | ({"path": path} if path else {}))
        if offsets:
            config["linux"]["timeOffsets"] = offsets
        if change:
            change(config)
    return changed


def in_user(config):
    ids = [{"containerID": 0, "hostID": FIRST, "size": 1000}]
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"] |= {"uidMappings": ids, "gidMappings": ids}


def offsets(monotonic=0, boottime=0, nanoseconds=0):
    return {"monotonic": {"secs": monotonic}, "boottime": {"secs": boottime, "nanosecs": nanoseconds}}


def says(checks, done, monotonic, boottime, nanoseconds, what):
    """Of LOOK's words; the namespace."""
    words = done.stdout.split()
    own = os.readlink("/proc/self/ns/time")
    checks.ok(words[:1] not in ([], [own]), f"{what}: a time namespace of its own", done.stderr)
    checks.ok(len(words) > 1 and abs(int(words[1]) - uptime() - boottime) < 60, "the time since boot is moved", f"{words}")
    checks.equal(words[2:], ["monotonic", str(monotonic), "0", "boottime", str(boottime), str(nanoseconds)], "as was asked for")
    return words[0] if words else None


def made(checks, oci):
    says(checks, oci.run(LOOK, change=in_time(offsets(DAY, 50 * DAY, 7))), DAY, 50 * DAY, 7, "later")
    back = -int(uptime() / 2)
    says(checks, oci.run(LOOK, change=in_time({"boottime": {"secs": back}})), 0, back, 0, "earlier")
    says(checks, oci.run(LOOK, change=in_time()), 0, 0, 0, "without offsets")
    if oci_bundle.caller() != oci_bundle.USER:
        says(checks, oci.run(LOOK, change=in_time(offsets(DAY, DAY), change=in_user)), DAY, DAY, 0, "with a user namespace")
    checks.equal(oci.run("readlink /proc/self/ns/time").stdout.strip(), os.readlink("/proc/self/ns/time"),
                 "who asks for none has the host's")


def joined(checks, oci):
    # An ordinary user's containers have one anyway; what belongs to the first one's is joined together with that.
    is_user = oci_bundle.caller() == oci_bundle.USER
    for change in (None,) if is_user else (None, in_user):
        name = oci.start("sleep", "1000", change=in_time(offsets(DAY, 2 * DAY), change=change))
        spaces = f"/proc/{oci.state(name)['pid']}/ns"
        space = f"{spaces}/time"
        done = oci("exec", name, "sh", "-c", LOOK, check=False)
        checks.equal(says(checks, done, DAY, 2 * DAY, 0, "exec"), os.readlink(space), "it is the container's")
        along = (lambda config, path=f"{spaces}/user": oci_bundle.join_user(config, path)) if is_user else change
        done = oci.run(LOOK, change=in_time(path=space, change=along))
        checks.equal(says(checks, done, DAY, 2 * DAY, 0, "by path"), os.readlink(space), "it is the first container's")
        oci("delete", "--force", name)
    checks.equal(os.readlink("/proc/self/ns/time"), os.readlink("/proc/self/ns/time_for_children"), "the host's is as it was")


def times(checks, oci):
    """--debug tells the whole of a start that is partly in another time."""
    log = oci.work / "debug.json"
    for change, what in ((in_time(offsets(-1, DAY)), "made"), (in_time(), "made without offsets")):
        oci("run", "--bundle", oci.bundle("true", change=change), "timed",
            flags=("--debug", "--log", log, "--log-format", "json"))
        total, parts = re.fullmatch(r"run took ([0-9.]+) ms: (.*)", json.loads(log.read_text())["msg"]).groups()
        parts = {name: float(time) for name, time in (part.split(" ") for part in parts.split(", "))}
        is_whole = {"spawn", "namespaces", "mounts"} <= set(parts) and 0 <= min(parts.values())
        checks.ok(is_whole and max(parts.values()) <= float(total), f"{what}: --debug has the times of all steps",
                  f"{total}: {parts}")
        log.unlink()


def wrong(checks, oci):
    for change, message in (
            (in_time(offsets(boottime=-int(uptime()) - DAY)), "linux.timeOffsets"),
            (in_time({"realtime": {"secs": 1}}), "is unknown: monotonic or boottime was expected"),
            (in_time(offsets(1), path="/proc/self/ns/time"), "linux.timeOffsets: needs a new time namespace"),
            (lambda config: config["linux"].update(timeOffsets=offsets(1)), "linux.timeOffsets: needs a new time namespace"),
            (in_time(path="/etc/hosts"), "no file of a namespace")):
        done = oci.run("true", change=change)
        checks.equal((done.returncode, message in done.stderr, oci.remnants()), (1, True, []),
                     f"refused, and nothing is left: {message}") or c.log(done.stderr)


if __name__ == "__main__":
    oci_bundle.tell(made, joined, times, wrong, callers=oci_bundle.CALLERS)
