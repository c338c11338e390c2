#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""bench/run hollow: gantry-control with hollow nodes: their heartbeats, their pods, and pods that come and go. bench/hollow.cc is
the driver, on the same processors. Prints Markdown."""
import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

import control_sides
from control_sides import Gantry, c

MIB = 1 << 20


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=20000, help="that stay")
    parser.add_argument("--rate", type=int, default=50, help="of pods made, and of pods ended, a second")
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="gantry-bench-hollow-", dir="/var/tmp"))
    load = f"{os.getloadavg()[0]:.2f}"
    try:
        with Gantry(work / "gantry", "--cluster-cidr", "10.128.0.0/10") as side:
            side.start()
            told = json.loads(control_sides.driver(
                "hollow", "--nodes", options.nodes, "--pods", options.pods, "--rate", options.rate, "--seconds",
                options.seconds, *side.options, limit=1800))
            memory = side.memory() / MIB
        print(f"{options.nodes} nodes, {options.pods} pods that stay (made in {told['fill']:.0f} s) and {options.rate} a second that "
              f"come and go, for {options.seconds} s. Server: {told['server_cpu']:.2f} CPUs, {memory:.0f} MiB (PSS); "
              f"driver: {told['driver_cpu']:.2f} CPUs. Load average {load} before and {os.getloadavg()[0]:.2f} after on "
              f"{os.cpu_count()} processors. {told['refused']} calls found that somebody was faster.")
        print("\n| call | a second | p50, ms | p99, ms | most, ms |\n| --- | --- | --- | --- | --- |")
        for name, call in sorted(told["calls"].items()):
            print(f"| {name} | {call['rate']:.1f} | {call['p50']:.2f} | {call['p99']:.2f} | {call['most']:.2f} |")
    except c.Failure as failure:
        sys.exit(f"bench/hollow: {failure}")
    finally:
        shutil.rmtree(work)
    return 0


sys.exit(main())
