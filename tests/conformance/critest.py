#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: critest busybox
# limit: 1200
# long
"""Upstream's test suite of the CRI against a node of its own, with the images that it names in a registry of its own.

usage: tests/conformance/critest.py [--seed N] [--focus REGEX] [--report FILE] [--handler crun]
       tests/conformance/critest.py --times N [--at-once N] [--focus REGEX] [--handler crun]

A line for each spec, and one that counts. What this machine lacks (kernel features; see NEEDS_MEMORY) is told as skipped, by
name. With --times as many nodes, some of them side by side, each with a seed of its own: a line for each, the log of one in
which a spec failed, and one that counts them all.
"""
import argparse
import collections
import concurrent.futures
import json
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import critest_suite
from critest_images import push_images
from node import Node
from registry import Registry, network_of

# Specs that need a memory controller. Nothing else could make them pass honestly.
NEEDS_MEMORY = ("Container OOM runtime should output OOMKilled reason", "runtime should support listing pod sandbox metrics")
LIMIT = 900
PEERS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/peers"


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="of the specs' order; random, and told")
    parser.add_argument("--focus", default="", help="only specs whose whole name this is found in")
    parser.add_argument("--handler", default="", help="the pods' runtime handler: a peer that is an OCI runtime, crun or runc")
    parser.add_argument("--report", type=pathlib.Path, help="where critest's own report is kept")
    parser.add_argument("--times", type=int, default=1, help="how often all of it is done")
    parser.add_argument("--at-once", type=int, default=1, help="how many of them side by side")
    chosen = parser.parse_args()
    if chosen.times > 1 and (chosen.seed or chosen.report):
        parser.error("--seed and --report are of one run")
    return chosen


def has_memory_controller(node):
    return "memory" in (node.root / "sys/fs/cgroup/cgroup.controllers").read_text().split()


def configure_handler(node, name):
    line = subprocess.run([PEERS, name], check=True, capture_output=True, text=True).stdout
    print(f"# by {line}", flush=True)
    entry = {"name": name, "path": line.split(maxsplit=2)[2].strip()}
    (node.state / "gantryd.yaml").write_text(json.dumps({"runtimeHandlers": [entry]}))
    node.reload()
    c.wait_until("the handler's features are known", lambda: any(
        each.get("name") == name and each["features"].get("recursive_read_only_mounts")
        for each in node.json("info")["runtimeHandlers"]))


def once(checks, chosen):
    seed = chosen.seed or critest_suite.new_seed()
    with Node(checks) as node:
        work = node.work / "critest"
        work.mkdir()
        with network_of(node.supervisor()), Registry(node.work / "registry") as registry:
            program = work / "critest"
            program.write_bytes(critest_suite.suite_for(push_images(registry, shutil.which("busybox"))))
            program.chmod(0o755)
            for path, text in critest_suite.mirrors(registry.host).items():
                file = node.state / "registries" / path
                file.parent.mkdir(parents=True)
                file.write_text(text)
            left_out = () if has_memory_controller(node) else NEEDS_MEMORY
            report = work / "report.json"
            print(f"# critest's seed: {seed}", flush=True)
            if chosen.handler:
                configure_handler(node, chosen.handler)
            arguments = critest_suite.arguments(report, seed, LIMIT, left_out, chosen.focus, chosen.handler)
            done = node.exec("env", f"--chdir={work}", f"TMPDIR={work}", program, *arguments, check=False, limit=LIMIT + 60)
            if not report.exists():
                raise c.Failure(f"critest wrote no report; exit status {done.returncode}\n{done.stdout[-5000:]}{done.stderr[-5000:]}")
            if chosen.report:
                shutil.copy(report, chosen.report)
            text = report.read_text()
        critest_suite.tell(checks, text, "vm", left_out, "no memory controller")


def run_of(seed, chosen):
    """One run as a process of its own: (its exit status, what it said)."""
    more = [f"--{name}={value}" for name in ("focus", "handler") if (value := getattr(chosen, name))]
    done = subprocess.run([sys.executable, "-B", __file__, f"--seed={seed}", *more], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    return done.returncode, done.stdout


def several(checks, chosen):
    seeds = [critest_suite.new_seed() for _ in range(chosen.times)]
    print(f"# critest's seeds: {' '.join(map(str, seeds))}", flush=True)
    total = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(chosen.at_once) as workers:
        runs = {workers.submit(run_of, seed, chosen): seed for seed in seeds}
        try:
            for run in concurrent.futures.as_completed(runs):
                status, said = run.result()
                counts = critest_suite.counted(said)
                total.update(counts)
                checks.ok(status == 0 and counts["passed"], f"seed {runs[run]}: {critest_suite.in_words(counts)}", said)
        finally:
            workers.shutdown(wait=False, cancel_futures=True)  # when we are ended no other begins
    print(f"# critest, {chosen.times} times: {critest_suite.in_words(total)}", flush=True)


def story(checks):
    chosen = options()
    (once if chosen.times == 1 else several)(checks, chosen)


c.main(story)
