#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""gantry-oci checkpoint and restore where all controllers are, and systemd: what conformance test oci_checkpoint tells, with a
TCP listener in it; and a restored container has its limits, and its scope."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from vm import disk, stories
from vm.machine import Machine

# Not spoilt: until CRIU is stopped it writes a lot, and here it takes minutes.
PARTS = ["there_and_back"] + ["going_on", "in_the_foreground", "terminal", "joined"] * ("GANTRY_TEST_ALL" in os.environ)
OCI = "/opt/cargo/gantry-oci --systemd-cgroup"
LIMITS = {"memory": {"limit": 64 << 20, "swap": 64 << 20}, "pids": {"limit": 55}, "cpu": {"quota": 30000, "period": 100000}}
SCOPE = "/sys/fs/cgroup/machine.slice/gantry-counter.scope"
COUNTER = "i=0; while :; do i=$((i+1)); echo $i >> /count; sleep 0.1; done"


def with_limits(checks, machine, criu):
    config = json.loads(machine.shell("mkdir -p /root/b/rootfs/bin; cp /usr/bin/busybox /root/b/rootfs/bin/sh; cd /root/b; "
                                      f"ln -s sh rootfs/bin/sleep; {OCI} spec; cat config.json"))
    config["process"] |= {"args": ["sh", "-c", COUNTER], "terminal": False, "env": ["PATH=/bin"]}
    config["root"] = {"path": "rootfs"}
    config["linux"]["cgroupsPath"] = "machine.slice:gantry:counter"
    config["linux"]["resources"] |= LIMITS
    machine.write("/root/b/config.json", json.dumps(config))

    def oci(command, check=True):
        return machine.shell(f"cd /root; export PATH={criu.parent}:$PATH; {OCI} {command} </dev/null >/root/said 2>&1 || "
                             "{ cat /root/said >&2; exit 1; }; cat /root/said", check=check)

    def limits():
        return machine.shell(f"cd {SCOPE}/container; grep -H '' memory.max memory.swap.max pids.max cpu.max")

    def counted():
        return [int(line) for line in machine.shell("cat /root/b/rootfs/count || true").split("\n")[:-1]]

    oci("run --detach --bundle b counter")
    before = limits()
    checks.contains(before, [f"memory.max:{64 << 20}", "pids.max:55", "cpu.max:30000 100000"], "a container has limits")
    for turn in ("once", "twice"):
        c.wait_until("it counts", lambda: len(counted()) > 2)
        oci("checkpoint --image-path image counter")
        at = counted()[-1]
        checks.ok(machine.shell(f"test -d {SCOPE} && echo there || true") == "", f"{turn}: its scope ends with a checkpoint")
        machine.shell("rm -rf /root/b/rootfs/count")
        oci("restore --detach --image-path image --bundle b counter")
        checks.equal(limits(), before, f"{turn}: restored, it has the same limits")
        checks.equal(c.wait_until("it counts on", counted)[0], at + 1, f"{turn}: and counts on where it was")
        checks.contains(machine.run("systemctl", "show", "-p", "Description,ActiveState", "gantry-counter.scope"),
                        ["Description=Container counter", "ActiveState=active"], f"{turn}: in a scope of systemd's")
        machine.shell("rm -r /root/image")
    oci("update --memory 32m --memory-swap 32m --pids-limit 44 counter")
    checks.contains(limits(), [f"memory.max:{32 << 20}", "pids.max:44"], "update changes them")
    stats = json.loads(oci("events --stats counter"))
    checks.equal(stats["data"]["pids"]["limit"], 44, "events tells of them")
    oci("delete --force counter")
    checks.ok(machine.shell(f"test -d {SCOPE} && echo there || true") == "", "delete takes it away")


def main(checks):
    with Machine("checkpoint", cargo=[pathlib.Path(os.environ["GANTRY_BIN"]) / "gantry-oci"]) as machine:
        criu = pathlib.Path(disk.run(disk.ROOT / "scripts/peers", "criu").split()[2])
        stories.carry(machine, criu.parents[2])  # its libraries are looked for where they are unpacked
        with_limits(checks, machine, criu)
        stories.tell(checks, machine, "oci_checkpoint.py", *PARTS, CRIU=criu, PATH=f"{criu.parent}:/usr/sbin:/usr/bin",
                     GANTRY_BIN="/opt/cargo")


c.main(main)
