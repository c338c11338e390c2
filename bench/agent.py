#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""bench/run agent: a node of gantry-control's, both on this machine's processors: from the answer of the API until a watcher sees a
pod Ready, ended, gone; a hundred at once; what they cost at rest. bench/agent.cc is the driver, over HTTPS. Or, with --kills N, so many
kills of gantryd while pods come and go, and whether anybody noticed. Prints Markdown."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/support"))
import checks as c
from churn import Churn, kill_often
from cluster import ready_node
from cri_client import IMAGE
from node import BIN, read_pids, walk
from processes import cpu_of, name_of, proportional_size

MIB = 1 << 20


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |")


class Bench:
    def __init__(self, node, control):
        self.node, self.control = node, control
        self.folder = node.work / "fifos"
        self.folder.mkdir()
        config = json.loads(control.out("config", "view", "--raw", "-o", "json"))
        files = {"--ca": config["clusters"][0]["cluster"]["certificate-authority-data"],
                 "--cert": config["users"][0]["user"]["client-certificate-data"],
                 "--key": config["users"][0]["user"]["client-key-data"]}
        self.words = ["--url", control.url, "--node", node.name, "--image", IMAGE, "--folder", str(self.folder)]
        for word, data in files.items():
            path = node.work / word[2:]
            path.write_text(subprocess.run(["base64", "-d"], input=data, capture_output=True, text=True, check=True).stdout)
            self.words += [word, str(path)]

    def drive(self, *words):
        done = subprocess.run([*self.control.enter, BIN / "bench/agent", *map(str, words), *self.words], capture_output=True,
                              text=True, timeout=900)
        if done.returncode:
            raise c.Failure(done.stderr)
        return json.loads(done.stdout)

    def pids(self):
        """{name of the program: its processes} of all of gantryd and its pods, without what runs in these."""
        found = {}
        for folder in walk(self.node.cgroup):
            for pid in read_pids(folder):
                if (name := name_of(pid)).startswith("gantry"):
                    found.setdefault(name, []).append(pid)
        return found

    def memory(self):
        return {name: sum(map(proportional_size, pids)) / MIB for name, pids in self.pids().items()}


def report_speed(bench, turns):
    bench.drive("one", "--turns", 5)
    one, ends = bench.drive("one", "--turns", turns), bench.drive("ends", "--turns", turns)
    print(f"\n| one pod after the other, {turns} | p50, ms | p99, ms | goal |\n| --- | --- | --- | --- |")
    row("created until Ready", f"{one['ready_p50']:.1f}", f"{one['ready_p99']:.1f}", "150 and 500")
    row("process ended until the status says so", f"{ends['told_p50']:.1f}", f"{ends['told_p99']:.1f}", "20")
    row("deleted until gone", f"{one['gone_p50']:.1f}", f"{one['gone_p99']:.1f}", "")


def report_many(bench, pods, seconds):
    before = bench.memory()
    up = bench.drive("up", "--pods", pods)
    time.sleep(5)  # what the last pod left to do is not idling
    pids, spent = bench.pids(), {}
    begin = {name: cpu_of(which) for name, which in pids.items()}
    time.sleep(seconds)  # the measurement
    spent = {name: (cpu_of(which) - begin[name]) / 1e9 / seconds for name, which in pids.items()}
    memory = bench.memory()
    down = bench.drive("down", "--pods", pods)
    print(f"\n| {pods} pods at once | | goal |\n| --- | --- | --- |")
    row("all Ready after, s", f"{up['seconds']:.2f}", 10)
    row("of which until all were created, s", f"{up['answered']:.2f}", "")
    row("all gone after, s", f"{down['seconds']:.2f}", 10)
    row("CPU at rest, all processes of Gantry, % of a core", f"{sum(spent.values()) * 100:.2f}", 0.5)
    row("memory of gantryd, MiB (PSS)", f"{memory['gantryd']:.1f}", 80)
    row("gantryd without pods, MiB", f"{before['gantryd']:.1f}", "")
    row("each pod more, of all processes of Gantry, MiB", f"{(sum(memory.values()) - sum(before.values())) / pods:.2f}", 0.5)


def report_kills(node, control, kills):
    seed = time.time_ns() % 1_000_000
    print(f"SEED={seed}", file=sys.stderr, flush=True)
    with Churn(node, control, seed) as churn:
        began = time.monotonic()
        kill_often(node, kills, seed)
        seconds = time.monotonic() - began
        node.wait_for_gantryd()
    faults = churn.faults()
    print("\n".join(faults), file=sys.stderr)
    print(f"\n| {kills} kills of gantryd while pods come and go | |\n| --- | --- |")
    row("took, s", f"{seconds:.0f}")
    row("pods that came and went", sum(churn.done.values()))
    row("events of a watcher", churn.watcher.events)
    row("pods that ran twice, statuses that went backwards, pods that were unready for it", len(faults))
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--pods", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=60, help="that rest is looked at")
    parser.add_argument("--kills", type=int, default=0, help="of gantryd while pods come and go, in place of the measurements")
    options = parser.parse_args()
    load = f"{os.getloadavg()[0]:.2f}"
    checks = c.Checks()
    try:
        with ready_node(checks) as (node, control):
            if options.kills:
                return 1 if report_kills(node, control, options.kills) else 0
            bench = Bench(node, control)
            report_speed(bench, options.turns)
            report_many(bench, options.pods, options.seconds)
    except c.Failure as failure:
        sys.exit(f"bench/agent: {failure}")
    print(f"\nLoad average {load} before and {os.getloadavg()[0]:.2f} after on {os.cpu_count()} processors.")
    return 0


sys.exit(main())
