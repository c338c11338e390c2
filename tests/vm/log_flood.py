#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# long
"""A container floods its log on a disk that takes 1 MB a second: it is held up itself, and nobody else. No line is lost."""
import pathlib
import statistics
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from vm.node import VmNode

DISK = 1_000_000  # bytes a second
LINES = 100_000  # some 6 MB of log
EXECS = 30
# What a kernel keeps back of a flood before it holds up who writes: little, so that this begins soon.
SMALL_CACHE = "echo 1000000 > /proc/sys/vm/dirty_background_bytes; echo 4000000 > /proc/sys/vm/dirty_bytes"
CALL = """for i in $(seq {count}); do
    curl -s -m 60 --http2-prior-knowledge --unix-socket /run/gantry/gantryd.sock -H 'content-type: application/grpc' \\
        -H 'te: trailers' --data-binary @/root/exec -w '%{{stderr}}%{{time_pretransfer}} %{{time_total}}\\n' \\
        http://localhost/runtime.v1.RuntimeService/ExecSync
done"""


def exec_sync(node, container):
    """The median time of an ExecSync, in milliseconds."""
    def field(number, data):
        return bytes([number << 3 | 2, len(data)]) + data
    message = field(1, container.encode()) + field(2, b"echo") + field(2, b"here")
    node.machine.write("/root/exec", struct.pack(">BI", 0, len(message)) + message)
    _, answers, told = node.machine.shell(CALL.format(count=EXECS), check=False)
    if answers.count("here\n") != EXECS:
        raise c.Failure(f"ExecSync: {answers!r} {told}")
    times = [line.split() for line in told.splitlines()]
    return statistics.median(1000 * (float(end) - float(start)) for start, end in times)


class Flood:
    def __init__(self, checks, node):
        self.checks, self.node = checks, node
        self.pod = node.pod_config("flood")
        self.pod_id = node.run_pod(self.pod)

    def run(self, name, script):
        return self.node.run_container(self.pod_id, self.node.container_config(name, script), self.pod)

    def log_size(self, name):
        return int(self.node.machine.run("stat", "-c", "%s", f"{self.pod['log_directory']}/{name}.log"))

    def growth(self, name):
        """Of a log, in bytes a second."""
        before, start = self.log_size(name), time.monotonic()
        self.node.machine.run("sleep", "2")
        return (self.log_size(name) - before) / (time.monotonic() - start)

    def lines(self, name):
        """How many lines `name` has logged, all of which are the numbers from 1 on; None when one is missing. The last may be
        partial: what kills a writer is not held up by its lines."""
        program = """torn || ($4 != NR && !($3 == "P" && index(NR, $4) == 1)) { exit 1 }
                     $3 == "P" { torn = 1 }
                     END { print NR - torn }"""
        status, told, _ = self.node.machine.run("awk", program, f"{self.pod['log_directory']}/{name}.log", check=False)
        return int(told) if status == 0 else None


def main(checks):
    with VmNode(checks) as node:
        flood = Flood(checks, node)
        quiet = flood.run("quiet", "exec sleep 100000")
        idle = exec_sync(node, quiet)
        node.machine.shell(SMALL_CACHE)
        node.machine.limit_disk(DISK)
        endless = flood.run("endless", "exec seq 1 1000000000")
        c.wait_until("the disk holds up the flood", lambda: 0 < flood.growth("endless") < 2 * DISK, 120)
        busy = exec_sync(node, quiet)
        start = time.monotonic()
        node.crictl("stop", "--timeout", "1", endless)
        checks.ok(time.monotonic() - start < 30, "the flood is stopped", f"in {time.monotonic() - start:.1f} s")
        lines = flood.lines("endless")
        checks.ok(lines is not None and lines > 10_000, "its log has every line up to its last, whole", lines)
        after = exec_sync(node, quiet)
        # 20 ms when this machine has nothing else to do; when it has, times vary by more than that. Who waits for the disk,
        # whose queue is seconds long, waits longer than this.
        longest = max(idle, after)
        checks.ok(busy < 100 + 3 * longest, "while a container floods its log, ExecSync in its pod is not held up",
                  f"{busy:.1f} ms; {idle:.1f} ms before, {after:.1f} ms after")
        c.log(f"ExecSync: {busy:.1f} ms during the flood; {idle:.1f} ms before, {after:.1f} ms after")
        short = flood.run("short", f"exec seq 1 {LINES}")
        c.wait_until("the short flood ends", lambda: node.container_status(short)["state"] == "CONTAINER_EXITED", 120)
        checks.equal(flood.lines("short"), LINES, "of one that ends by itself every line is there when it is said to have ended")


c.main(main)
