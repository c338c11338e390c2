#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""The three classes of pods as kubectl and the kernel see them: status.qosClass, each one's place among the cgroups, what the OOM
killer is told of its containers, and what a RuntimeClass adds to a pod (overhead). What limits bound is in tests/vm/limits.py."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from bound_pods import WAITING, BoundPods
from cluster import SLEEPS, ready_node
from cri_client import IMAGE

MIB = 1 << 20
REQUEST = 512 * MIB
CAP_SYS_RESOURCE = 1 << 24


def may_go_below():
    """Whether oom_score_adj can be less than that of who sets it."""
    status = pathlib.Path("/proc/self/status").read_text()
    return bool(int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff")), 16) & CAP_SYS_RESOURCE)


class Classes(BoundPods):
    def __init__(self, checks, control, node):
        super().__init__(checks, control, node)
        status = control.json("get", "node", node.name)["status"]
        self.memory = int(status["capacity"]["memory"].removesuffix("Ki")) * 1024
        self.milli_cpus = int(status["capacity"]["cpu"]) * 1000

    def score(self, request):
        """Of a burstable container that requests so much memory."""
        return min(max(1000 - 1000 * request // self.memory, 3), 999)

    def has(self, name, qos, part, score):
        """Its class, its place and its score. Where the score can't be set the runtime refuses it, with its number."""
        self.checks.equal(self.field(name, ".status.qosClass"), qos, f"{name}: status.qosClass")
        is_set = score >= 0 or may_go_below()
        if is_set:
            self.checks.equal(self.run(name, "cat /proc/1/oom_score_adj"), str(score), f"{name}: its process's oom_score_adj")
        else:
            c.wait_until(f"{name}: its oom_score_adj is {score}",
                         lambda: f"oom_score_adj {score} is below" in self.field(name, f"{WAITING}.message"))
            self.checks.ok(True, f"{name}: the oom_score_adj that is asked for")
        place = f"/kubepods{part}/pod{self.field(name, '.metadata.uid')}"
        sandbox = next(key for key, item in self.node.pods().items() if item["metadata"]["name"] == name)
        cgroup = self.node.json("inspectp", sandbox)["info"]["cgroup"]
        self.checks.ok(cgroup.endswith(place), f"{name}: its cgroup", cgroup)
        if is_set:
            process = pathlib.Path(f"/proc/{self.node.container_pid(self.container(name))}/cgroup").read_text()
            self.checks.ok(f"{place}/" in process, f"{name}: which its process is in", process)


def classes(world):
    def of(**resources):
        return {"container": {"resources": resources}}
    amounts = {"cpu": "100m", "memory": "64Mi"}
    sidecar = {"name": "sidecar", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always",
               "command": ["/bin/sh", "-c", SLEEPS]}
    world.add(world.pod("guaranteed", SLEEPS, **of(limits=amounts)),
              world.pod("burstable", SLEEPS, **of(requests={"memory": str(REQUEST)})),
              world.pod("cpu", SLEEPS, **of(limits={"cpu": "1"})),
              world.pod("besteffort", SLEEPS),
              world.pod("critical", SLEEPS, priorityClassName="system-node-critical"),
              world.pod("helped", SLEEPS, initContainers=[sidecar], **of(requests={"memory": str(REQUEST)})))
    world.runs("burstable", "cpu", "besteffort", "helped")
    if may_go_below():
        world.runs("guaranteed", "critical")
    world.has("guaranteed", "Guaranteed", "", -997)
    world.has("burstable", "Burstable", "/burstable", world.score(REQUEST))
    world.has("cpu", "Burstable", "/burstable", 999)
    world.has("besteffort", "BestEffort", "/besteffort", 1000)
    world.has("critical", "BestEffort", "/besteffort", -997)
    scores = {item["metadata"]["name"]: int(world.node.json("inspect", key)["info"]["config"]["linux"]["resources"]["oom_score_adj"])
              for key, item in world.node.containers().items() if item["labels"]["io.kubernetes.pod.name"] == "helped"}
    world.checks.equal(scores, {"web": world.score(REQUEST), "sidecar": world.score(REQUEST)},
                       "a sidecar that requests nothing is not ended before the container that it serves")
    world.delete("guaranteed", "burstable", "cpu", "besteffort", "critical", "helped")


def overhead(world):
    """What a pod of this class costs beside its containers is in its limits, and counts when it is let in."""
    world.add({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "heavy"}, "handler": "gantry",
               "overhead": {"podFixed": {"cpu": "250m", "memory": "120Mi"}}})
    # Of the class burstable: a guaranteed one's score can't be set everywhere.
    resources = {"limits": {"cpu": "100m", "memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "32Mi"}}
    world.create("heavy", SLEEPS, runtimeClassName="heavy", container={"resources": resources})
    world.runs("heavy")
    pods = [key for key, item in world.node.pods().items() if item["metadata"]["name"] == "heavy"]
    told = world.node.json("inspectp", pods[0])["info"]["config"]["linux"]
    seen = {part: [int(told[part][name]) for name in ("cpu_quota", "cpu_period", "memory_limit_in_bytes")]
            for part in ("resources", "overhead")}
    world.checks.equal(seen, {"resources": [10_000, 100_000, 64 * MIB], "overhead": [25_000, 100_000, 120 * MIB]},
                       "the runtime is told what the containers have, and what the class costs beside them")
    # The node has room for what its container requests, but for no more.
    rest = world.milli_cpus - 350 - 100
    world.create("large", SLEEPS, runtimeClassName="heavy", container={"resources": {"requests": {"cpu": f"{rest}m"}}})
    world.wait("large", ".status.reason", "OutOfcpu")
    world.checks.equal(world.field("large", ".status.message"), "Pod was rejected: Node didn't have enough resource: cpu, requested: "
                       f"{rest + 250}, used: 350, capacity: {world.milli_cpus}", "and count when it is let in")
    world.delete("heavy", "large")


def of_the_pod(world):
    """What is said of the pod as a whole counts before what is said of its containers."""
    limits = {"cpu": "200m", "memory": "64Mi"}
    world.add(world.pod("half", SLEEPS, resources={"requests": {"memory": str(REQUEST)}}),
              world.pod("whole", SLEEPS, resources={"limits": limits}))
    world.runs("half")
    world.has("half", "Burstable", "/burstable", world.score(REQUEST))
    world.has("whole", "Guaranteed", "", -997)
    pods = {item["metadata"]["name"]: key for key, item in world.node.pods().items()}
    told = world.node.json("inspectp", pods["whole"])["info"]["config"]["linux"]["resources"]
    world.checks.equal([int(told[name]) for name in ("cpu_shares", "cpu_quota", "memory_limit_in_bytes")], [204, 20_000, 64 * MIB],
                       "they are the limits of the pod's cgroup")
    world.delete("half", "whole")


def in_memory(world):
    """A tmpfs has no more than its pod, or the node, may have."""
    size = "set -- $(df -k /m | tail -n 1); echo $2 > /dev/termination-log"
    mounts, volumes = [{"name": "m", "mountPath": "/m"}], [{"name": "m", "emptyDir": {"medium": "Memory"}}]
    resources = {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}}
    world.add(world.pod("bounded", size, mounts, volumes, container={"resources": resources}),
              world.pod("unbounded", size, mounts, volumes))
    allocatable = world.control.json("get", "node", world.node.name)["status"]["allocatable"]["memory"].removesuffix("Ki")
    seen = {name: world.last_words(name) for name in ("bounded", "unbounded")}
    world.checks.equal(seen, {"bounded": str(64 * 1024), "unbounded": allocatable}, "emptyDirs in memory are as large as their bounds")
    world.delete("bounded", "unbounded")


def story(checks):
    with ready_node(checks) as (node, control):
        world = Classes(checks, control, node)
        for part in (classes, overhead, of_the_pod, in_memory):
            part(world)


c.main(story)
