#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Runs one test program to its end, for scripts/test: in a session of its own, its output in a log. Whatever it leaves behind is ended.

run_program.py LIMIT LOG COMMAND...

LIMIT is in seconds; then the program is stopped, as it is by SIGTERM to this one. Prints one line of JSON:
{"status": its exit status, -N when signal N ended it, null when it was stopped; "left": the names of what had to be killed}
"""
import ctypes
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

LEFTOVER_GRACE = 60.0  # seconds that orphans of a test have to end by themselves, on a machine that is busy
STOP_GRACE = 20.0  # seconds that a test has to put away what it made, when its time ran out or we are stopped


def main():
    limit, log_path, command = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, leave)
    status = None
    try:
        status = run(command, log_path, limit)
    finally:
        left = end_leftovers()
    print(json.dumps({"status": status, "left": left}))


def leave(number, _):
    """What runs is stopped on the way. A second signal changes nothing any more."""
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    sys.exit(128 + number)


def run(command, log_path, limit):
    with open(log_path, "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:
            stop(process)


def stop(process):
    """Ends a test: it has machines, cgroups and network namespaces to put away, which a killed one leaves behind."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def children():
    """Our child processes: {pid: name}. Orphans of the program are among them, because we are their reaper."""
    found = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            line = stat.read_text(errors="replace")
        except OSError:
            continue  # it has ended since
        pid, name, state, parent = re.match(r"(\d+) \((.*)\) (\S) (\d+)", line, re.S).groups()
        if int(parent) == os.getpid() and state != "Z":
            found[int(pid)] = name
    return found


def end_leftovers():
    """Reaps what the program left, after a time to end by itself kills it, and returns the names of what had to be killed."""
    deadline, killed = time.monotonic() + LEFTOVER_GRACE, {}
    while time.monotonic() < deadline + LEFTOVER_GRACE:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break  # none is left
        if time.monotonic() > deadline:
            for pid, name in children().items():
                killed[pid] = f"{name} ({pid})"
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)  # an orphan's children become ours only when it is gone, and no event says so
    return list(killed.values())


if __name__ == "__main__":
    main()
