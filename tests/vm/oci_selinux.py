#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""SELinux on, with a policy of a page: gantry-oci's containers and execs have the labels that they are given, new file systems
have theirs, the policy holds for them, and a label that the policy has not is refused by name."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from vm import machine as vm_machine
from vm.machine import Machine

POLICY = pathlib.Path(__file__).parent / "selinux.cil"
VERSION = 33  # of a compiled policy: Linux 6.1 takes it
PROCESS, OTHER, FILES = "u:r:container_t:s0:c1,c2", "u:r:other_t:s0", "u:object_r:files_t:s0:c1,c2"
OCI = "/opt/cargo/gantry-oci"
NEEDLESS = ("dbus.socket", "dbus.service", "systemd-logind.service", "serial-getty@ttyS0.service", "systemd-networkd.service")
BUNDLE = "mkdir -p /root/b/rootfs/bin; cd /root/b; cp /usr/bin/busybox rootfs/bin/; " \
         "for name in sh sleep cat touch; do ln -s busybox rootfs/bin/$name; done; echo known > rootfs/secret; " \
         f"{OCI} spec; cat config.json"


def boot_with_policy(machine):
    with tempfile.TemporaryDirectory() as folder:
        compiled = pathlib.Path(folder) / "policy"
        subprocess.run(["secilc", "-c", str(VERSION), "-o", compiled, "-f", "/dev/null", POLICY], check=True)
        machine.write(f"/etc/selinux/tests/policy/policy.{VERSION}", compiled.read_bytes())
    machine.write("/etc/selinux/tests/contexts/files/file_contexts", "")
    machine.write("/etc/selinux/config", "SELINUX=permissive\nSELINUXTYPE=tests\n")
    options = vm_machine.KERNEL_OPTIONS.replace("apparmor=1 security=apparmor", "security=selinux selinux=1")
    vm_machine.KERNEL_OPTIONS = " ".join([options, *(f"systemd.mask={unit}" for unit in NEEDLESS)])
    with contextlib.suppress(RuntimeError):  # what it was asked while a loaded host booted it was more than it takes at once
        machine.reboot()
    c.wait_until("the machine answers", lambda: answers(machine), 300)


def answers(machine):
    with contextlib.suppress(RuntimeError):
        return machine.run("true", check=False)[0] == 0


class Containers:
    def __init__(self, machine):
        self.machine = machine
        self.default = json.loads(machine.shell(BUNDLE))

    def run(self, name, process=PROCESS, files=FILES, script="exec sleep 100000"):
        """A container that goes on; what is said, when it can't be."""
        config = json.loads(json.dumps(self.default))
        config["process"] |= {"args": ["sh", "-c", script], "terminal": False, "env": ["PATH=/bin"], "selinuxLabel": process}
        config["root"] = {"path": "rootfs"}
        config["linux"] |= {"mountLabel": files, "cgroupsPath": f"/{name}"}
        config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]})
        self.machine.write("/root/b/config.json", json.dumps(config))
        return self.machine.shell(f"{OCI} run --detach --bundle /root/b {name} </dev/null >/root/said 2>&1 || cat /root/said")

    def exec(self, name, *command, label=""):
        flags = ["--process-label", label] if label else []
        status, output, error = self.machine.run(OCI, "exec", *flags, name, *command, check=False)
        return (output + error).strip().rstrip("\0")

    def read(self, name, path):
        return self.machine.run("cat", f"/proc/{self.pid(name)}/{path}").strip().rstrip("\0")

    def pid(self, name):
        return json.loads(self.machine.run(OCI, "state", name))["pid"]

    def label(self, path, value=None):
        """Of a file; with `value` it gets that."""
        call = f'os.setxattr("{path}", "security.selinux", b"{value}")' if value else \
            f'print(os.getxattr("{path}", "security.selinux").decode().rstrip(chr(0)))'
        return self.machine.run("python3", "-c", f"import os; {call}").strip()


def labels(checks, containers):
    machine = containers.machine
    checks.equal(machine.shell("tr -d '\\0' < /proc/self/attr/current"), "u:r:host_t:s0", "SELinux is on, with its policy")
    checks.equal(json.loads(machine.run(OCI, "features"))["linux"]["selinux"], {"enabled": True}, "features tells so")
    checks.equal(containers.run("one"), "", "a container with labels runs")
    checks.equal(containers.read("one", "attr/current"), PROCESS, "its process has process.selinuxLabel")
    checks.equal(containers.exec("one", "cat", "/proc/self/attr/current"), PROCESS, "an exec has the container's")
    checks.equal(containers.exec("one", "cat", "/proc/self/attr/current", label=OTHER), OTHER, "or that of --process-label")
    mounts = {line.split()[4]: line for line in containers.read("one", "mountinfo").splitlines()}
    labelled = {place for place, line in mounts.items() if f'context="{FILES}"' in line}
    checks.equal({"/tmp", "/dev", "/dev/pts", "/dev/shm", "/proc/acpi"} & set(mounts) - labelled, set(),
                 "new file systems and masks have linux.mountLabel")
    checks.equal({"/", "/proc", "/sys", "/dev/mqueue"} & labelled, set(), "and the kernel's own ones have not")
    containers.exec("one", "touch", "/tmp/file")
    checks.equal(containers.label(f"/proc/{containers.pid('one')}/root/tmp/file"), FILES, "so a file there has it, too")
    checks.equal(containers.run("plain", "", ""), "", "a container without labels runs as well")
    checks.equal(containers.read("plain", "attr/current"), "u:r:host_t:s0", "with the runtime's own")


def enforced(checks, containers):
    machine = containers.machine
    containers.label("/root/b/rootfs/secret", "u:object_r:secret_t:s0")
    checks.equal(containers.exec("one", "cat", "/secret"), "known", "permissive, the policy forbids nothing")
    machine.run("sh", "-c", "echo 1 > /sys/fs/selinux/enforce")
    checks.contains(containers.exec("one", "cat", "/secret"), "Permission denied", "enforcing, it does")
    checks.equal(containers.exec("plain", "cat", "/secret"), "known", "but not to who has no label of a container")
    checks.equal(containers.run("two", OTHER), "", "enforcing, a container starts, too")
    checks.equal(containers.read("two", "attr/current"), OTHER, "with its label")
    checks.contains(containers.exec("two", "cat", "/secret"), "Permission denied", "and is held to it")


def refused(checks, containers):
    for label in ("u:r:nosuch_t:s0", "nonsense", "x" * 300):
        said = containers.run("three", label)
        checks.contains(said, ["SELinux label", label[:40], "Invalid argument"],
                        f"process.selinuxLabel {label[:20]} is refused by name")
        said = containers.run("three", PROCESS, label)
        checks.ok("context" in said or "mount" in said, f"and so is linux.mountLabel {label[:20]}", said)
    checks.contains(containers.exec("one", "cat", "/proc/self/attr/current", label="u:r:nosuch_t:s0"), "nosuch_t",
                    "and --process-label")
    listed = containers.machine.run(OCI, "list", "--quiet").split()
    checks.equal(listed, ["one", "plain", "two"], "nothing is left of them")


def main(checks):
    with Machine("selinux", cargo=[pathlib.Path(os.environ["GANTRY_BIN"]) / "gantry-oci"]) as machine:
        boot_with_policy(machine)
        containers = Containers(machine)
        labels(checks, containers)
        enforced(checks, containers)
        refused(checks, containers)


c.main(main)
