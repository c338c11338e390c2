#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""linux.resources where all controllers are: what the validation programs of runtime-tools ask for, which look for
cgroup v1's files, is set and in force on v2; at an absolute and at a relative cgroupsPath."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from vm.machine import Machine

MB = 1 << 20
BUNDLE = """mkdir -p /root/bundle/rootfs/bin; cd /root/bundle; cp /usr/bin/busybox rootfs/bin/
for name in sh sleep dd; do ln -sf busybox rootfs/bin/$name; done; /opt/cargo/gantry-oci spec; cat config.json"""
RESOURCES = {
    "memory": {"limit": 48 * MB, "reservation": 32 * MB, "swap": 48 * MB},
    "cpu": {"shares": 1024, "quota": 20000, "period": 100000, "cpus": "0-1", "mems": "0"},
    "pids": {"limit": 20},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 56 * MB}],
}
WANTED = {
    "memory.max": f"{48 * MB}", "memory.low": f"{32 * MB}", "memory.swap.max": "0",
    "cpu.max": "20000 100000", "cpu.weight": "100", "cpuset.cpus": "0-1", "cpuset.mems": "0",
    "pids.max": "20", "hugetlb.2MB.max": f"{56 * MB}",
}


class Story:
    def __init__(self, checks, machine):
        self.checks, self.machine = checks, machine
        self.config = json.loads(machine.shell(BUNDLE))
        self.config["process"] |= {"args": ["sleep", "100000"], "terminal": False, "env": ["PATH=/bin"]}
        self.config["root"] = {"path": "rootfs"}

    def __call__(self, *arguments, **more):
        return self.machine.run("/opt/cargo/gantry-oci", *arguments, **more)

    def run(self, path, resources):
        """`run --detach` with these limits: (exit status, error)."""
        self.config["linux"] |= {"cgroupsPath": path, "resources": resources}
        self.machine.write("/root/bundle/config.json", json.dumps(self.config))
        told = self.machine.shell("status=0; /opt/cargo/gantry-oci run --detach --bundle /root/bundle one </dev/null "
                                  ">/dev/null 2>/root/log || status=$?; echo $status; cat /root/log")
        status, error = told.split("\n", 1)
        return int(status), error

    def cgroup(self):
        pid = json.loads(self("state", "one"))["pid"]
        return "/sys/fs/cgroup" + self.machine.run("cat", f"/proc/{pid}/cgroup").strip().removeprefix("0::")

    def set_in(self, cgroup, names):
        text = self.machine.shell(f"cd {cgroup}; grep -H '' {' '.join(names)}")
        return dict(line.split(":", 1) for line in text.splitlines())


def limits(story):
    number = story.machine.shell("cat /sys/block/vda/dev").strip()
    major, minor = map(int, number.split(":"))
    rate = {"major": major, "minor": minor, "rate": 102400}
    throttles = {f"throttle{way}{what}Device": [rate] for way in ("Read", "Write") for what in ("Bps", "IOPS")}
    wanted = WANTED | {"io.max": f"{number} rbps=102400 wbps=102400 riops=102400 wiops=102400", "io.weight": "default 4950"}
    for path in ("/absolute/limited", "relative/limited"):
        told = story.run(path, RESOURCES | {"blockIO": throttles | {"weight": 500}})
        story.checks.equal(told, (0, ""), f"{path}: a container with all kinds of limits starts")
        cgroup = story.cgroup()
        story.checks.ok(cgroup.endswith(path), f"{path}: its cgroup is there", cgroup)
        story.checks.equal(story.set_in(cgroup, wanted), wanted, f"{path}: every limit is set")
        in_force(story, path)
        story("delete", "--force", "one")
        left = story.machine.run("ls", cgroup, check=False)[0]
        story.checks.ok(left != 0, f"{path}: it goes with its container", cgroup)


def in_force(story, path):
    status, _, _ = story("exec", "one", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1", check=False)
    story.checks.equal(status, 137, f"{path}: memory.max kills")
    _, _, error = story("exec", "one", "sh", "-c", "i=0; while [ $i -lt 40 ]; do sleep 100 & i=$((i + 1)); done", check=False)
    story.checks.contains(error, "can't fork", f"{path}: pids.max ends a fork bomb")


def what_v2_has_not(story):
    for resources, field in (({"network": {"classID": 255}}, "linux.resources.network"),
                             ({"memory": {"swappiness": 5}}, "linux.resources.memory.swappiness"),
                             ({"cpu": {"realtimeRuntime": 1000}}, "linux.resources.cpu.realtimeRuntime"),
                             ({"blockIO": {"leafWeight": 500}}, "linux.resources.blockIO.leafWeight")):
        status, error = story.run("/refused", resources)
        story.checks.ok(status == 1 and field in error, f"{field}: refused by name", f"{status} {error}")


def main(checks):
    with Machine("oci", cargo=[pathlib.Path(os.environ["GANTRY_BIN"]) / "gantry-oci"]) as machine:
        story = Story(checks, machine)
        limits(story)
        what_v2_has_not(story)


c.main(main)
