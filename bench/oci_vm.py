#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""The benchmark oci in an emulated machine, where containers have limits: with the cgroup driver cgroupfs, then with systemd.

    oci_vm.py [--runs N] --crun PATH --runc PATH
"""
import argparse
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))
os.environ.setdefault("GANTRY_BIN", str(ROOT / "build/release/bin"))
from vm.machine import Machine
from vm.stories import carry


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    for peer in ("crun", "runc"):
        parser.add_argument(f"--{peer}", type=pathlib.Path, required=True)
    options = parser.parse_args()
    programs = pathlib.Path(os.environ["GANTRY_BIN"])
    with Machine("bench") as machine:
        # All where it is here: so the peers find the libraries that they were unpacked with.
        carry(machine, programs / "gantry-oci", programs / "bench/oci", programs / "bench/peak",
              options.crun.parents[2], options.runc.parents[2])
        print(f"In the machine: Linux {machine.run('uname', '-r').strip()}.")
        for driver in ("cgroupfs", "systemd"):
            print(f"\nCgroup driver {driver}, limits of memory, processor time and processes.")
            # What it mounts goes with its mount namespace.
            print(machine.run("unshare", "--mount", programs / "bench/oci", "--runs", options.runs, "--driver", driver,
                              "--crun", options.crun, "--runc", options.runc, timeout=1800).strip(), flush=True)
            machine.shell("rmdir /sys/fs/cgroup/bench/floor; rm -rf /run/bench")


if __name__ == "__main__":
    main()
