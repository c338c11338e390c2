#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 1200
"""gantry-oci checkpoint and restore where all controllers are, and systemd: what conformance test oci_checkpoint tells, with a
TCP listener in it; and a restored container has its limits, and its scope."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from vm import disk
from vm.machine import Machine

SUPPORT, STORY = disk.ROOT / "tests/support", disk.ROOT / "tests/conformance/oci_checkpoint.py"
OCI = "/opt/cargo/gantry-oci --systemd-cgroup"
LIMITS = {"memory": {"limit": 64 << 20, "swap": 64 << 20}, "pids": {"limit": 55}, "cpu": {"quota": 30000, "period": 100000}}
SCOPE = "/sys/fs/cgroup/machine.slice/gantry-counter.scope"
COUNTER = "i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.1; done"


def carry(machine):
    """CRIU, where it is unpacked here, for its libraries are looked for there; and the story with what it stands on."""
    program = pathlib.Path(disk.run(disk.ROOT / "scripts/peers", "criu").split()[2])
    tree = program.parents[2]
    for folder, names in ((tree.parent, [tree.name]), (disk.ROOT, [str(path.relative_to(disk.ROOT)) for path in
                                                                   (STORY, *SUPPORT.glob("*.py"))])):
        packed = subprocess.run(["tar", "-C", folder, "-cf", "-", *names], stdout=subprocess.PIPE, check=True).stdout
        machine.run("mkdir", "-p", folder)
        machine.run("tar", "-C", folder, "-xpf", "-", data=packed)
    return program


def as_in_conformance(checks, machine, criu):
    # Not spoilt: until CRIU is stopped it writes a lot, and here it takes minutes.
    parts = ["there_and_back"] + ["going_on", "in_the_foreground", "terminal", "joined"] * ("GANTRY_TEST_ALL" in os.environ)
    run = machine.start("env", f"CRIU={criu}", f"PATH={criu.parent}:/usr/sbin:/usr/bin", "GANTRY_BIN=/opt/cargo",
                        "python3", "-B", STORY, *parts)
    run.wait(900)
    lines = run.output.decode(errors="replace").splitlines()
    for line in lines:
        if line.startswith(("ok ", "not ok ")):
            word, what = line.split(" - ", 1)
            checks.ok(word.startswith("ok") and "# SKIP" not in what, what)
        elif not line.startswith("1.."):
            c.log(line.removeprefix("# "))
    if checks.failed:
        c.log(run.error.decode(errors="replace"))
    checks.ok(any("it listens where it did" in line for line in lines), "a TCP listener was among them")


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

    def count():
        return int(machine.shell("cat /root/b/rootfs/count || echo 0").strip() or 0)

    oci("run --detach --bundle b counter")
    before = limits()
    checks.contains(before, [f"memory.max:{64 << 20}", "pids.max:55", "cpu.max:30000 100000"], "a container has limits")
    for turn in ("once", "twice"):
        c.wait_until("it counts", lambda: count() > 2, limit=60)
        oci("checkpoint --image-path image counter")
        at = count()
        checks.ok(machine.shell(f"test -d {SCOPE} && echo there || true") == "", f"{turn}: its scope ends with a checkpoint")
        machine.shell("rm -rf /root/b/rootfs/count")
        oci("restore --detach --image-path image --bundle b counter")
        checks.equal(limits(), before, f"{turn}: restored, it has the same limits")
        c.wait_until("it counts on", lambda: count() > at, limit=60)
        checks.ok(count() < at + 600, f"{turn}: and counts on")
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
        criu = carry(machine)
        with_limits(checks, machine, criu)
        as_in_conformance(checks, machine, criu)


c.main(main)
