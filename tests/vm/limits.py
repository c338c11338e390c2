#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# kernels: debian13
"""Every limit is one: what a container may use of memory, CPU, processes, disk bandwidth and huge pages ends where its
configuration says, and its neighbour does not notice; with either cgroup driver."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import IMAGE
from vm.node import VmNode

MB = 1 << 20
MEASURED = 6  # seconds for which CPU time is measured
SPIN = "while :; do :; done"
TAKE_64_MB = "dd if=/dev/zero of=/dev/null bs=64M count=1"


# Each container may use what it asks for, and the pod as much as both.
MANIFEST = f"""
apiVersion: v1
kind: Pod
metadata: {{name: both}}
spec:
  containers:
  - {{name: one, image: "{IMAGE}", command: [sleep, "100000"], resources: {{limits: {{cpu: 250m, memory: 48Mi}}}}}}
  - {{name: two, image: "{IMAGE}", command: [sleep, "100000"], resources: {{limits: {{cpu: 250m, memory: 16Mi}}}}}}
"""


class Story:
    """One pod, and containers in it."""

    def __init__(self, checks, node, driver):
        self.checks, self.node, self.driver = checks, node, driver
        self.pod = node.pod_config(f"limits-{driver}")
        self.pod_id = node.run_pod(self.pod)

    def ok(self, holds, what, detail=""):
        self.checks.ok(holds, f"{self.driver}: {what}", detail)

    def equal(self, seen, expected, what):
        self.checks.equal(seen, expected, f"{self.driver}: {what}")

    def contains(self, text, part, what):
        self.checks.contains(text, part, f"{self.driver}: {what}")

    def run(self, name, script, resources, **more):
        security = {"namespace_options": {"pid": 1}}
        config = self.node.container_config(name, script, **more)
        config["linux"] = {"resources": resources, "security_context": security}
        return self.node.run_container(self.pod_id, config, self.pod)

    def ended(self, container):
        return c.wait_until("the container ends", lambda: (s := self.node.container_status(container))["state"] ==
                            "CONTAINER_EXITED" and s, 60)

    def log_of(self, name):
        return self.node.read(f"{self.pod['log_directory']}/{name}.log")

    def logged(self, name, text):
        c.wait_until(f"{name} says {text}", lambda: text in self.log_of(name), 120)

    def measured(self, look, what):
        """look() measures: (whether that is right, what it was). The host may have had other things to do meanwhile: then it
        measures again; what is wrong stays wrong."""
        tries = []
        while len(tries) < 10 and not (tries and tries[-1][0]):
            tries.append(look())
        self.ok(tries[-1][0], what, "\n".join(str(seen) for _, seen in tries))

    def cgroup_file(self, container, file):
        return self.node.read(self.node.cgroup_of(container) / file)

    def cpu_of(self, containers, seconds):
        """The CPU time that each uses, in the same `seconds` by the machine's own clock: (seconds each, seconds that passed)."""
        folders = " ".join(str(self.node.cgroup_of(container)) for container in containers)
        look = f"cut -d' ' -f1 /proc/uptime; for f in {folders}; do sed -n 's/^usage_usec //p' $f/cpu.stat; done"
        lines = [float(line) for line in self.node.machine.shell(f"{look}; sleep {seconds}; {look}").split()]
        before, after = lines[:len(lines) // 2], lines[len(lines) // 2:]
        return [(b - a) / 1e6 for a, b in zip(before[1:], after[1:])], after[0] - before[0]


def memory(story):
    neighbour = story.run("neighbour", "exec sleep 100000", {"memory_limit_in_bytes": 32 * MB})
    greedy = story.run("greedy", f"exec {TAKE_64_MB}", {"memory_limit_in_bytes": 32 * MB})
    status = story.ended(greedy)
    story.equal((status["exitCode"], status["reason"]), (137, "OOMKilled"), "memory.max kills, and the status says so")
    story.equal(story.node.container_status(neighbour)["state"], "CONTAINER_RUNNING",
                       "the other container of the pod is untouched")
    script = f"{TAKE_64_MB}; echo status $?; exec sleep 100000"
    alone = story.run("alone", script, {"memory_limit_in_bytes": 32 * MB})
    story.logged("alone", "status 137")
    story.equal(story.node.container_status(alone)["state"], "CONTAINER_RUNNING",
                       "without memory.oom.group only the greedy process ends")
    group = story.run("group", script, {"memory_limit_in_bytes": 32 * MB, "unified": {"memory.oom.group": "1"}})
    status = story.ended(group)
    story.equal((status["exitCode"], status["reason"]), (137, "OOMKilled"), "with it all of the container's end")


def updated(story):
    """Limits of a container that runs."""
    tries = f"while :; do {TAKE_64_MB} 2>/dev/null; echo status $?; sleep 1; done"
    container = story.run("updated", tries, {"memory_limit_in_bytes": 32 * MB, "cpu_shares": 512})
    story.logged("updated", "status 137")
    story.node.crictl("update", "--memory", str(256 * MB), "--cpu-share", "2048", container)
    story.logged("updated", "status 0")
    files = [story.cgroup_file(container, file).strip() for file in ("memory.max", "cpu.weight")]
    story.equal(files, [str(256 * MB), "174"], "update is in force at once")
    story.node.crictl("stop", "--timeout", "0", container)


def cpu(story):
    limited = story.run("limited", SPIN, {"cpu_period": 100000, "cpu_quota": 20000, "cpuset_cpus": "0"})
    heavy = story.run("heavy", SPIN, {"cpu_shares": 2048, "cpuset_cpus": "1"})
    light = story.run("light", SPIN, {"cpu_shares": 512, "cpuset_cpus": "1"})
    weights = [int(story.cgroup_file(container, "cpu.weight")) for container in (heavy, light)]
    story.equal(weights, [174, 59], "cpu.weight is what runc and crun of 2026 make of these shares")

    def part():
        (used,), passed = story.cpu_of([limited], MEASURED)
        return 0.18 <= used / passed <= 0.22, f"{used:.2f} s of {passed:.2f} s"

    story.measured(part, "cpu.max holds within 10 %")
    wanted = weights[0] / weights[1]

    def ratio():
        (first, second), _ = story.cpu_of([heavy, light], MEASURED)
        return 0.9 * wanted * second <= first <= 1.1 * wanted * second, f"{first:.2f} s and {second:.2f} s of {wanted:.2f}"

    story.measured(ratio, "cpu.weight holds within 10 %")
    allowed = story.node.machine.shell(f"sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "
                                       f"/proc/{story.node.container_pid(heavy)}/status").strip()
    story.equal(allowed, "1", "cpuset.cpus is where it runs")
    story.node.crictl("stop", "--timeout", "0", limited, heavy, light)


def pids(story):
    script = "i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); echo started $i; done"
    bomb = story.run("bomb", f"({script}); echo over; exec sleep 100000", {"unified": {"pids.max": "20"}})
    story.logged("bomb", "over")
    current = int(story.cgroup_file(bomb, "pids.current"))
    story.ok(current <= 20, "pids.max stops a fork bomb", f"{current} processes")
    story.contains(story.log_of("bomb"), "can't fork", "which is told so by fork")
    bystander = story.run("bystander", "exec sleep 100000", {})
    story.equal(story.node.crictl("exec", bystander, "echo", "here").stdout, "here\n",
                       "another container starts beside it")


def io(story):
    device = story.node.machine.shell("cat /sys/block/vda/dev").strip()
    now = "cut -d' ' -f1 /proc/uptime"
    script = f"t=$({now}); dd if=/dev/zero of=/file bs=64k count=64 conv=fsync; echo $t $({now}) took"
    names = (f"slow-{number}" for number in range(10))

    def took():
        name = next(names)
        slow = story.run(name, f"read go < /go/on; {script}", {"unified": {"io.max": f"{device} wbps={MB}"}},
                         mounts=[{"host_path": "/root/go", "container_path": "/go"}])
        seen = story.cgroup_file(slow, "io.max")
        story.node.machine.shell("echo go > /root/go/on")
        story.ended(slow)
        start, end = next(line.split()[3:5] for line in story.log_of(name).splitlines() if line.endswith("took"))
        return f"wbps={MB}" in seen and 3 <= float(end) - float(start) <= 7, f"{seen}, {start} to {end}"

    story.node.machine.shell("mkdir -p /root/go; rm -f /root/go/on; mkfifo /root/go/on")
    story.measured(took, "io.max is set, and throttles: 4 MiB at 1 MiB a second")


def hugepages(story):
    story.node.machine.shell("echo 16 > /proc/sys/vm/nr_hugepages; mkdir -p /mnt/huge; "
                             "mount -t hugetlbfs -o pagesize=2M none /mnt/huge")
    script = "fallocate -l 4M /huge/fits && echo fits; fallocate -l 8M /huge/more || echo refused; exec sleep 100000"
    huge = story.run("huge", script, {"hugepage_limits": [{"page_size": "2MB", "limit": 4 * MB}]},
                     mounts=[{"host_path": "/mnt/huge", "container_path": "/huge"}])
    story.logged("huge", "refused")
    story.contains(story.log_of("huge"), "fits", "huge pages up to the limit are given, and no more")
    story.equal(int(story.cgroup_file(huge, "hugetlb.2MB.max")), 4 * MB, "hugetlb.2MB.max is the limit")


def stats(story):
    busy = story.run("busy", SPIN, {"memory_limit_in_bytes": 64 * MB})
    story.cpu_of([busy], 1)
    told = story.node.json("stats", "-o", "json", "--id", busy)["stats"][0]
    story.ok(int(told["cpu"]["usageCoreNanoSeconds"]["value"]) > 10**8, "stats tell the CPU time", told["cpu"])
    story.ok(0 < int(told["memory"]["workingSetBytes"]["value"]) < 64 * MB, "and the memory", told["memory"])
    pod = story.node.json("statsp", "-o", "json", "--id", story.pod_id)["stats"][0]["linux"]
    story.ok(int(pod["memory"]["workingSetBytes"]["value"]) >= int(told["memory"]["workingSetBytes"]["value"]) // 2,
             "the pod's memory has its containers' in it", pod["memory"])


def metrics(story):
    """Where there are all controllers, each metric that cgroup v2 can give has a sample."""
    writer = story.run("writer", f"dd if=/dev/zero of=/file bs=64k count=32 conv=fsync; echo written; {SPIN}",
                       {"memory_limit_in_bytes": 64 * MB, "memory_swap_limit_in_bytes": 64 * MB, "cpu_period": 100000,
                        "cpu_quota": 20000, "cpu_shares": 1024})
    story.logged("writer", "written")
    kinds = {each["name"] for each in story.node.json("metricdescs", "-o", "json")["descriptors"]}
    pods = {each["podSandboxId"]: each for each in story.node.json("metricsp", "-o", "json")["podMetrics"]}
    mine = next(each["metrics"] for each in pods[story.pod_id]["containerMetrics"] if each["containerId"] == writer)
    named = {each["name"]: each for each in pods[story.pod_id]["metrics"] + mine}
    absent = {"container_hugetlb_max_usage_bytes"}  # cgroup v2 does not count it
    if story.node.machine.shell("test -e /proc/pressure/cpu && echo pressure || true").strip() != "pressure":
        absent |= {name for name in kinds if name.startswith("container_pressure_")}
    story.equal(kinds - set(named), absent, "metricsp: a sample of each kind")
    numbers = {name: int(each["value"]["value"]) for name, each in named.items()}
    story.ok(numbers["container_fs_writes_bytes_total"] >= 2 * MB, "what it wrote", named["container_fs_writes_bytes_total"])
    story.equal(named["container_fs_writes_bytes_total"]["labelValues"][-1], "/dev/vda", "and where to")
    story.equal([numbers[f"container_spec_{what}"] for what in ("memory_limit_bytes", "cpu_quota", "cpu_shares")],
                [64 * MB, 20000, 1024], "what was asked for")
    story.ok(0 < numbers["container_memory_working_set_bytes"] <= numbers["container_memory_max_usage_bytes"] <= 64 * MB,
             "its memory, now and at most", numbers)
    story.node.crictl("stop", "--timeout", "0", writer)


def pods_own(story):
    """What a pod may use is less here than what its container may."""
    resources = {"memory_limit_in_bytes": 32 * MB, "cpu_period": 100000, "cpu_quota": 20000}
    pod = story.node.pod_config(f"small-{story.driver}")
    pod["linux"] = pod["linux"] | {"resources": resources}
    pod_id = story.node.run_pod(pod)
    greedy = story.node.container_config("greedy", f"exec {TAKE_64_MB}")
    status = story.ended(story.node.run_container(pod_id, greedy, pod))
    story.equal((status["exitCode"], status["reason"]), (137, "OOMKilled"), "the pod's own memory limit kills")
    spin = story.node.run_container(pod_id, story.node.container_config("spin", SPIN), pod)

    def part():
        (used,), passed = story.cpu_of([spin], MEASURED)
        return 0.18 <= used / passed <= 0.22, f"{used:.2f} s of {passed:.2f} s"

    story.measured(part, "the pod's own CPU limit holds within 10 %")
    story.node.crictl("rmp", "-f", pod_id)


def node_wide(story, pod, pods):
    """What is above a guaranteed pod, and what its containers have for the OOM killer."""
    def read(place):
        return story.node.read(place).strip()
    burstable, best_effort = ("burstable", "besteffort") if story.driver == "cgroupfs" else (
        "kubepods-burstable.slice", "kubepods-besteffort.slice")
    memory = int(story.node.machine.shell("grep MemTotal /proc/meminfo").split()[1]) * 1024
    story.equal(read(pods / "memory.max"), str(memory // 4096 * 4096), "all pods may take what the node has")
    story.ok(read(pods / "pids.max") != "max", "and so many processes")
    story.equal([read(pods / part / "cpu.weight") for part in (burstable, best_effort)], ["1", "1"],
                "the classes weigh what their pods request")
    one = story.node.machine.shell(f"cat {pod}/*/memory.oom.group").split()
    story.equal(one, ["1", "1"], "a container over its limit ends as a whole")


def manifest(story):
    """The agent's pod: its limits are the sums, its weight is among pods."""
    file = "/etc/gantry/manifests/both.yaml"
    story.node.put(file, MANIFEST)
    both = c.wait_until("the pod runs", lambda: (items := story.node.json(
        "ps", "-o", "json", "--label", "io.kubernetes.pod.name=both")["containers"]) and len(items) == 2 and items, 60)
    pod = story.node.cgroup_of(both[0]["id"]).parent
    among_pods = pod if story.driver == "cgroupfs" else pod.parent.parent
    seen = [story.node.read(pod / name).strip() for name in ("memory.max", "cpu.max")]
    story.equal(seen, [str(64 * MB), "50000 100000"], "a manifest's pod is limited to the sums of its containers' limits")
    story.equal(story.node.read(among_pods / "cpu.weight").strip(), "59", "and weighs what they request")
    node_wide(story, pod, among_pods.parent)
    story.node.machine.run("rm", file)
    c.wait_until("the pod is gone", lambda: not any("both" in json.dumps(item) for item in story.node.pods().values()), 60)


PARTS = (memory, updated, cpu, pids, io, hugepages, stats, metrics, pods_own, manifest)


def main(checks):
    with VmNode(checks) as node:
        for driver, parts in (("cgroupfs", PARTS), ("systemd", PARTS if c.ALL else (memory, updated, manifest))):
            node.use_cgroup_driver(driver)
            story = Story(checks, node, driver)
            for part in parts:
                part(story)
            node.crictl("rmp", "-f", story.pod_id)


c.main(main)
