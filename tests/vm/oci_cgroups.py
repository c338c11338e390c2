#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""gantry-oci where all controllers are, and systemd: update and events make and tell the same of a cgroup as runc's, and with
--systemd-cgroup a container has a scope, which systemd shows, undoes nothing in, and takes away with it."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from vm import disk
from vm.machine import Machine

FILES = ("memory.max", "memory.low", "memory.swap.max", "cpu.max", "cpu.max.burst", "cpu.idle", "cpuset.cpus", "cpuset.mems",
         "pids.max")
BUNDLE = """mkdir -p /root/rootfs/bin; cd /root; cp /usr/bin/busybox rootfs/bin/
for name in sh sleep dd; do ln -sf busybox rootfs/bin/$name; done"""
RESOURCES = {"memory": {"limit": 96 << 20, "swap": 128 << 20}, "pids": {"limit": 77}, "cpu": {"quota": 20000, "period": 50000}}
# cpu.weight is left out: this runc is from before the curve that all have now.
UPDATES = (["--memory", "64m"], ["--memory", "48m", "--memory-swap", "80m"], ["--memory-reservation", "16m"],
           ["--cpu-quota", "30000", "--cpu-period", "100000"], ["--cpu-quota", "50000"], ["--cpu-period", "200000"],
           ["--cpuset-cpus", "1", "--cpuset-mems", "0"], ["--pids-limit", "123"],
           ["--cpu-quota", "-1", "--cpu-period", "100000"], ["--pids-limit", "-1"], ["--memory", "-1", "--memory-swap", "-1"])


def runc():
    """The program, and the libraries that it needs where it is unpacked."""
    program = pathlib.Path(disk.run(disk.ROOT / "scripts/peers", "runc").split()[2])
    folder = program.parents[2] / "usr/lib/x86_64-linux-gnu"
    return program, [folder / name for name in ("ld-linux-x86-64.so.2", "libc.so.6", "libseccomp.so.2")]


class Runtime:
    """A runtime with one container in the machine."""

    def __init__(self, machine, program, name, flags=(), path=None):
        self.machine, self.name = machine, name
        self.command = (program, "--root", f"/run/{name}-state", *flags)
        self.cgroup = f"/sys/fs/cgroup/{name}/one"
        config = json.loads(machine.shell(f"mkdir /root/{name}; cd /root/{name}; /opt/cargo/gantry-oci spec; cat config.json"))
        config["process"] |= {"args": ["sleep", "100000"], "terminal": False, "env": ["PATH=/bin"]}
        config["root"] = {"path": "/root/rootfs"}
        config["linux"]["cgroupsPath"] = f"/{name}/one" if path is None else path
        config["linux"]["resources"] |= {"memory": {"limit": 256 << 20, "swap": 256 << 20}}
        machine.write(f"/root/{name}/config.json", json.dumps(config))

    def run(self, container="one", check=True):
        """A container that goes on. What is said of it, when it can't be and `check` is not set."""
        log = f"/root/{self.name}.log"
        return self.machine.shell(f"{' '.join(self.command)} run --detach --bundle /root/{self.name} {container} </dev/null "
                                  f">/dev/null 2>{log} || {{ cat {log} >&2; exit 1; }}", check=check)

    def __call__(self, *arguments, **more):
        return self.machine.run(*self.command, *arguments, **more)

    def limits(self):
        return self.machine.shell(f"cd {self.cgroup}; grep -H '' {' '.join(FILES)}")


def shape(value):
    """What a document has, without its numbers."""
    if isinstance(value, dict):
        return {name: shape(entry) for name, entry in value.items()}
    return "number" if isinstance(value, (int, float)) else "list" if isinstance(value, list) else value


def without(document, *names):
    """A document's data without what one kernel counts and another does not, and what is left out while it is zero."""
    data = document["data"]
    data["memory"].pop("raw", None)
    for name in names:
        data.pop(name, None)
    return shape(document)


def updated(checks, own, theirs):
    for flags in UPDATES:
        for runtime in (own, theirs):
            runtime("update", *flags, "one")
        checks.equal(own.limits(), theirs.limits(), f"update {' '.join(flags)} makes the same of a cgroup as runc's")
    own("update", "--memory", "32m", "--memory-swap", "48m", "one")
    own("update", "--memory-swap", "40m", "--cpu-quota", "50000", "--cpu-burst", "10000", "one")
    checks.contains(own.limits(), [f"memory.max:{32 << 20}", f"memory.swap.max:{8 << 20}", "cpu.max.burst:10000"],
                    "what this runc does not know: a sum of memory and swap alone, and a burst")
    own("update", "--cpu-burst", "0", "one")
    for runtime in (own, theirs):
        runtime("update", "--resources", "-", "one", data=json.dumps(RESOURCES).encode())
    checks.equal(own.limits(), theirs.limits(), "so does update --resources -")
    wanted = [f"memory.max:{96 << 20}", f"memory.swap.max:{32 << 20}", "pids.max:77", "cpu.max:20000 50000"]
    checks.contains(own.limits(), wanted, "and it is what was asked for")
    check = {"memory": {"limit": 4096, "checkBeforeUpdate": True}}
    status, _, error = own("update", "-r", "-", "one", data=json.dumps(check).encode(), check=False)
    checks.ok(status == 1 and "checkBeforeUpdate" in error, "a limit below what is used is refused if that is wanted", error)


def told(checks, own, theirs):
    seen, wanted = (json.loads(runtime("events", "--stats", "one")) for runtime in (own, theirs))
    checks.equal(seen["data"]["memory"]["usage"]["limit"], 96 << 20, "events --stats tells the memory limit")
    checks.equal(seen["data"]["pids"], {"current": 1, "limit": 77}, "and the processes")
    known = set(wanted["data"]["memory"]["raw"]) - set(seen["data"]["memory"]["raw"])
    checks.equal(known, set(), "all of memory.stat is in it")
    # blkio depends on what each has read from the disk, hugetlb on what the machine gave to either's cgroup.
    mine, runcs = (without(document, "blkio", "hugetlb") for document in (seen, wanted))
    for part in ("cpu", "memory", "pids"):
        missing = {name for name in runcs["data"][part] if name not in mine["data"][part]}
        checks.equal(missing, set(), f"what runc tells of {part} is there")
        for name, entry in runcs["data"][part].items():
            if isinstance(entry, dict) and name in mine["data"][part]:
                checks.equal(set(entry) - set(mine["data"][part][name]), set(), f"{part}.{name} has runc's fields")
    checks.equal(sorted(seen["data"]), sorted(wanted["data"]), "and it has no parts but runc's")


def lacked_memory(checks, own):
    stream = own.machine.start(*own.command, "events", "--interval", "1s", "one")

    def told(kind):
        stream.collect()
        return [line for line in stream.output.decode().split("\n")[:-1] if f'"type":"{kind}"' in line]

    c.wait_until("it watches", lambda: told("stats"))
    own("update", "--memory", "32m", "--memory-swap", "32m", "one")
    status, _, _ = own("exec", "one", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1", check=False)
    checks.equal(status, 137, "the memory limit that update has set kills")
    checks.equal(json.loads(c.wait_until("it is told", lambda: told("oom"))[0]), {"type": "oom", "id": "one"}, "and an event tells it")
    own("kill", "one", "KILL")
    checks.equal(stream.wait(300), 0, "events ends with the container")


class Scoped(Runtime):
    """gantry-oci with systemd's cgroups."""

    def __init__(self, machine, name, slice, unit):
        super().__init__(machine, "/opt/cargo/gantry-oci", name, ["--systemd-cgroup"], f"{slice}:gantry:{name}")
        self.slice, self.unit = slice, unit
        self.scope = pathlib.PurePosixPath("/sys/fs/cgroup", slice, unit)
        self.cgroup = self.scope / "container"

    def show(self, *properties):
        return self.machine.run("systemctl", "show", "-p", ",".join(properties), self.unit)

    def is_there(self):
        return self.machine.shell(f"test -d {self.scope} && echo there || true") != ""

    def load_state(self):
        return self.machine.run("systemctl", "show", "--value", "-p", "LoadState", self.unit).strip()


def scoped(checks, machine):
    own = Scoped(machine, "scoped", "machine.slice", "gantry-scoped.scope")
    own.run()
    state = json.loads(own("state", "one"))
    place = machine.run("cat", f"/proc/{state['pid']}/cgroup").strip()
    checks.equal(place, "0::/machine.slice/gantry-scoped.scope/container", "with --systemd-cgroup a container is in its scope")
    checks.contains(own.show("Slice", "Delegate", "Description"), ["Slice=machine.slice", "Delegate=yes",
                                                                   "Description=Container one"], "which systemctl shows")
    checks.equal(machine.shell(f"cd {own.scope}; echo */"), "container/\n", "and nothing of ours is left beside it")
    checks.equal(own("exec", "one", "sh", "-c", "echo here"), "here\n", "an exec works")
    own("update", "--memory", "64m", "--cpu-quota", "30000", "--pids-limit", "55", "one")
    before = own.limits()
    checks.contains(before, [f"memory.max:{64 << 20}", "cpu.max:30000 100000", "pids.max:55"], "its limits are set")
    machine.run("systemctl", "daemon-reload")
    checks.equal(own.limits(), before, "systemctl daemon-reload undoes none of them")
    status, _, error = own.run("two", check=False)
    checks.ok(status == 1 and "in use" in error, "another one has no place in it", error)
    own("pause", "one")
    checks.equal(json.loads(own("state", "one"))["status"], "paused", "pause works")
    own("resume", "one")
    own("delete", "--force", "one")
    checks.equal((own.is_there(), own.load_state()), (False, "not-found"), "when delete returns, the scope is gone")
    for _ in range(5):
        own.run()
        own("delete", "--force", "one")
    checks.ok(not own.is_there(), "and one container after another has the same one")
    own.run()
    machine.run("systemctl", "stop", own.unit)
    checks.equal(json.loads(own("state", "one"))["status"], "stopped", "systemctl stop of the scope ends the container")
    own("delete", "one")
    own.run()
    own("kill", "one", "KILL")
    c.wait_until("the scope ends with its container", lambda: not own.is_there())
    own("delete", "one")


def refused(checks, machine):
    own = Scoped(machine, "refused", "machine.slice", "gantry-refused.scope")
    machine.shell("systemd-run --scope --slice=machine.slice --unit=gantry-refused sleep 100000 >/dev/null 2>&1 </dev/null &")
    c.wait_until("somebody's scope of that name is there", own.is_there)
    status, _, error = own.run(check=False)
    checks.ok(status == 1 and "gantry-refused.scope" in error, "a unit of the name that is there is left alone", error)
    checks.ok(own.is_there(), "and goes on")
    machine.run("systemctl", "stop", own.unit)
    machine.run("systemctl", "stop", "dbus.socket", "dbus.service")
    status, _, error = own.run(check=False)
    checks.ok(status == 1 and "no systemd on the system bus" in error, "without a bus it is refused", error)
    machine.run("systemctl", "start", "dbus.socket", "dbus.service")
    checks.equal((machine.shell("ls /run/refused-state"), own.is_there()), ("", False), "and nothing is left of it")
    c.wait_until("no keeper is left, either", lambda: machine.run("pgrep", "-c", "gantry-oci", check=False)[1].strip() == "0")


def main(checks):
    program, libraries = runc()
    own_program = pathlib.Path(os.environ["GANTRY_BIN"]) / "gantry-oci"
    with Machine("oci", cargo=[own_program, program, *libraries]) as machine:
        place = libraries[0].parent
        machine.shell(f"{BUNDLE}; mkdir -p {place}; cp {' '.join('/opt/cargo/' + file.name for file in libraries)} {place}/")
        own, theirs = Runtime(machine, "/opt/cargo/gantry-oci", "own"), Runtime(machine, "/opt/cargo/runc", "runc")
        own.run()
        theirs.run()
        updated(checks, own, theirs)
        told(checks, own, theirs)
        lacked_memory(checks, own)
        own("delete", "one")
        theirs("delete", "--force", "one")
        scoped(checks, machine)
        refused(checks, machine)


c.main(main)
