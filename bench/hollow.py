#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""bench/run hollow: gantry-control with hollow nodes: their heartbeats, their pods, and pods that come and go; or (--burst) how long
it takes until many pods that were made at once have their nodes and run, with gantry-control's scheduler and with upstream's on the
same server; or (--deployment) until a Deployment is available. bench/hollow.cc is the driver, on the same processors. Prints
Markdown."""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import sys
import tempfile

import control_sides
from control_sides import Gantry, c
from processes import proportional_size

MIB = 1 << 20


class UpstreamScheduler(Gantry):
    """The same server, with upstream's kube-scheduler beside it."""

    def __init__(self, folder, program, *arguments):
        super().__init__(folder, "--scheduler=false", *arguments)
        self.program = program

    def start(self):
        time = super().start()
        # No limit on requests: the scheduler's pace is what is measured. It would wait for the kinds of device claims.
        self.spawn(self.program, "--kubeconfig", self.folder / "data/admin.kubeconfig", "--leader-elect=false",
                   "--kube-api-qps", "100000", "--kube-api-burst", "100000", "--secure-port", "0", "--emulated-version=1.34", "--feature-gates",
                   "DynamicResourceAllocation=false,DRAAdminAccess=false,DRAPrioritizedList=false,DRASchedulerFilterTimeout=false")
        return time


@contextlib.contextmanager
def work_folder():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gantry-bench-hollow-", dir="/var/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def driven(side, options, *words):
    """What the driver says of the side, which is started and ended, and the memory of its processes in bytes."""
    with side:
        side.start()
        told = json.loads(control_sides.driver("hollow", "--nodes", options.nodes, "--pods", options.pods, *words, *side.options,
                                               limit=3600))
        return told, [proportional_size(process.pid) for process in side.processes]


def come_and_go(options, work, network):
    load = f"{os.getloadavg()[0]:.2f}"
    told, memory = driven(Gantry(work / "gantry", "--scheduler=false", *network), options, "--rate", options.rate, "--seconds",
                          options.seconds)
    print(f"{options.nodes} nodes, {options.pods} pods that stay (made in {told['fill']:.0f} s) and {options.rate} a second that "
          f"come and go, for {options.seconds} s. Server: {told['server_cpu']:.2f} CPUs, {sum(memory) / MIB:.0f} MiB (PSS); "
          f"driver: {told['driver_cpu']:.2f} CPUs. Load average {load} before and {os.getloadavg()[0]:.2f} after on "
          f"{os.cpu_count()} processors. {told['refused']} calls found that somebody was faster.")
    print("\n| call | a second | p50, ms | p99, ms | most, ms |\n| --- | --- | --- | --- | --- |")
    for name, call in sorted(told["calls"].items()):
        print(f"| {name} | {call['rate']:.1f} | {call['p50']:.2f} | {call['p99']:.2f} | {call['most']:.2f} |")


def burst(options, work, network):
    print(f"{options.burst} pods made at once by 64 clients, {options.nodes} nodes, {options.pods} pods that stay; turns by turns. "
          f"Server and scheduler: their CPU time and memory (PSS). Load average {os.getloadavg()[0]:.2f} before on "
          f"{os.cpu_count()} processors.\n")
    print("| scheduler | made, s | all have a node, s | pods a second | all run, s | CPU of both, s | driver's CPU, s | memory, MiB |\n"
          "| --- | --- | --- | --- | --- | --- | --- | --- |")
    for turn in range(options.turns):
        sides = [("gantry-control's", Gantry(work / f"gantry-{turn}", *network))]
        if options.scheduler:
            sides.append(("kube-scheduler", UpstreamScheduler(work / f"upstream-{turn}", options.scheduler, *network)))
        for name, side in sides if turn % 2 == 0 else reversed(sides):
            told, memory = driven(side, options, "--burst", options.burst)
            print(f"| {name} | {told['made']:.1f} | {told['bound']:.1f} | {options.burst / told['bound']:.0f} | {told['running']:.1f} | "
                  f"{told['server_cpu']:.1f} | {told['driver_cpu']:.1f} | {' + '.join(f'{size / MIB:.0f}' for size in memory)} |",
                  flush=True)


def deployment(options, work, network):
    print(f"A Deployment of {options.deployment} replicas on {options.nodes} nodes with {options.pods} pods that stay.\n")
    print("| all have a node, s | all run, s | available, s | server's CPU, s | driver's CPU, s | memory, MiB |\n"
          "| --- | --- | --- | --- | --- | --- |")
    for turn in range(options.turns):
        told, memory = driven(Gantry(work / f"gantry-{turn}", *network), options, "--deployment", options.deployment)
        print(f"| {told['bound']:.2f} | {told['running']:.2f} | {told['available']:.2f} | {told['server_cpu']:.1f} | "
              f"{told['driver_cpu']:.1f} | {sum(memory) / MIB:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=20000, help="that stay")
    parser.add_argument("--rate", type=int, default=50, help="of pods made, and of pods ended, a second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--burst", type=int, default=0, help="pods that are made at once")
    parser.add_argument("--deployment", type=int, default=0, help="replicas")
    parser.add_argument("--turns", type=int, default=3, help="of --burst and --deployment")
    parser.add_argument("--scheduler", help="upstream's kube-scheduler, for --burst")
    options = parser.parse_args()
    measure = burst if options.burst else deployment if options.deployment else come_and_go
    try:
        with work_folder() as work:
            measure(options, work, ("--cluster-cidr", "10.128.0.0/10"))
    except c.Failure as failure:
        sys.exit(f"bench/hollow: {failure}")
    return 0


sys.exit(main())
