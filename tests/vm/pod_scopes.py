#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# long
"""With the cgroup driver systemd each pod has a scope in the slice that it is given: systemd shows it, undoes none of its
limits, and takes it away with the pod; it does not end before, whatever becomes of gantryd, of the bus and of its keeper."""
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from vm.node import VmNode

MB = 1 << 20
CGROUPS = pathlib.PurePosixPath("/sys/fs/cgroup")
# The agent's, for all pods and for two classes of them: as kubelet's they stay.
KEPT = ("kubepods.slice", "kubepods-burstable.slice", "kubepods-besteffort.slice")
CRICTL = "/opt/cargo/crictl --config {}/crictl.yaml"
SLEEP = "exec sleep 100000"
START_SLICE = ("busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager "
               "StartTransientUnit 'ssa(sv)a(sa(sv))' kubepods-burstable-pod77.slice fail 1 MemoryMax t {bytes} 0")


class Pod:
    """A pod of the driver that is in force."""

    def __init__(self, node, name, parent="", resources=None):
        self.node, self.name = node, name
        self.config = node.pod_config(name)
        self.config["linux"] = self.config["linux"] | {"resources": resources or {}, "cgroup_parent": parent}
        self.id = node.run_pod(self.config)
        self.cgroup = CGROUPS / node.json("inspectp", self.id)["info"]["cgroup"].lstrip("/")
        self.scope = self.cgroup.parent

    def run(self, name, script=SLEEP, resources=None):
        config = self.node.container_config(name, script)
        config["linux"] = config["linux"] | {"resources": resources or {}}
        return self.node.run_container(self.id, config, self.config)

    def runs(self, container):
        return self.node.crictl("exec", container, "echo", "here", check=False).stdout == "here\n"

    def keeper(self):
        return self.node.read(self.scope / "keeper/cgroup.procs").strip()

    def kill_keeper(self):
        self.node.machine.run("kill", "-KILL", self.keeper())

    def invocation(self):
        """What systemd calls this life of the scope; '' when it has none."""
        return self.node.machine.run("systemctl", "show", "--value", "-p", "InvocationID", self.scope.name).strip()

    def limits(self):
        """All files of limits of the pod, of what is in it and of the slices above."""
        return self.node.machine.shell(f"cd {CGROUPS}; find kubepods.slice -name '*.max' -o -name '*.weight' "
                                       "-o -name cpuset.cpus -o -name cgroup.subtree_control | sort | xargs grep -H ''")

    def remove(self):
        self.node.crictl("rmp", "-f", self.id)


def units(node, *patterns):
    """Of pods: those of systemd, and their cgroups."""
    listed = node.machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", *patterns)
    names = [line.split()[0] for line in listed.splitlines()]
    folders = node.machine.shell(f"find {CGROUPS} -name 'kubepods*' -o -name 'gantry-*.scope'").split()
    return sorted(set(names + [pathlib.PurePosixPath(folder).name for folder in folders]) - {"gantry-pods.scope", *KEPT})


def nothing_left(checks, node, after):
    c.wait_until(f"no scope and no slice is left {after}", lambda: not units(node, "kubepods*", "gantry-*.scope"))
    keepers = node.machine.run("pgrep", "-c", "gantry-keeper", check=False)[1].strip()
    checks.equal(keepers, "0", f"{after} nothing is left of it")


def shown(checks, node):
    weight, period = {"cpu_shares": 512}, {"cpu_period": 100000, "cpu_quota": 50000}
    pod = Pod(node, "shown", "kubepods-burstable-pod1_2.slice", weight | period | {"memory_limit_in_bytes": 64 * MB})
    container = pod.run("all", resources=period | {"cpu_shares": 256, "memory_limit_in_bytes": 32 * MB, "cpuset_cpus": "1",
                                                   "hugepage_limits": [{"page_size": "2MB", "limit": 4 * MB}],
                                                   "unified": {"pids.max": "20", "io.max": "254:0 wbps=1048576"}})
    slices = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice"
    checks.equal(str(node.cgroup_of(container)), f"{CGROUPS}/{slices}/gantry-{pod.id}.scope/pod/{container}",
                 "a container is in its pod's scope, in the slice that the pod was given")
    show = node.machine.run("systemctl", "show", "-p", "Slice,Delegate,Description,TasksMax", pod.scope.name)
    checks.contains(show, ["Slice=kubepods-burstable-pod1_2.slice", "Delegate=yes", "Description=Pod default/shown",
                           "TasksMax=infinity"], "which systemctl shows")
    checks.contains(node.machine.run("systemd-cgls", "--no-pager", "-l", "/kubepods.slice"), [pod.scope.name, "sleep 100000"],
                    "and systemd-cgls, with its process")
    show = node.machine.run("systemctl", "show", "-p", "CPUWeight", "kubepods-burstable-pod1_2.slice")
    checks.equal(show, "CPUWeight=59\n", "the slice has the pod's weight among pods")
    before = pod.limits()
    checks.contains(before, [f"{container}/memory.max:{32 * MB}", f"/pod/memory.max:{64 * MB}", f"{container}/pids.max:20",
                             f"{container}/hugetlb.2MB.max:{4 * MB}", f"{container}/cpuset.cpus:1"], "its limits are set")
    node.machine.run("systemctl", "daemon-reload")
    checks.equal(pod.limits(), before, "systemctl daemon-reload undoes none of them")
    checks.contains(node.crictl("runtime-config").stdout, "SYSTEMD", "the driver is told to those who ask for it")
    return pod, container


def outlives_gantryd(checks, node, pod, container):
    scope, pid, keeper = pod.invocation(), node.container_pid(container), pod.keeper()
    node.machine.run("systemctl", "restart", "gantryd")
    node.machine.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "gantryd")
    c.wait_until("gantryd is back", lambda: node.crictl("version", check=False).returncode == 0, 60)
    checks.equal((pod.invocation(), node.container_pid(container), pod.keeper()), (scope, pid, keeper),
                 "gantryd restarted and killed -9, the scope, its keeper and the container are those that they were")
    checks.ok(pod.runs(container), "and an exec works")


def keeper_killed(checks, node, pod, container):
    pod.kill_keeper()
    checks.ok(pod.runs(container), "with its keeper killed, the pod runs on")
    second = pod.run("second")
    checks.ok(pod.keeper() and pod.runs(second), "the next container starts, and the scope is kept again")
    pod.kill_keeper()
    first = pod.invocation()
    node.crictl("stop", "--timeout", "0", container, second)
    c.wait_until("the scope is gone", lambda: not pod.invocation())
    limit = {"memory_limit_in_bytes": 32 * MB}
    third = pod.run("third", resources=limit)
    checks.ok(pod.invocation() not in ("", first) and pod.runs(third),
              "should the scope go with it, the next container has a new one")
    checks.contains(pod.limits(), [f"/pod/memory.max:{64 * MB}", f"{third}/memory.max:{32 * MB}"], "with the limits of before")
    greedy = pod.run("greedy", "exec dd if=/dev/zero of=/dev/null bs=64M count=1", limit)
    status = c.wait_until("the container ends",
                          lambda: (s := node.container_status(greedy))["state"] == "CONTAINER_EXITED" and s, 60)
    checks.equal(status["reason"], "OOMKilled", "and the end of a container is told")


def kubelets_slice(checks, node):
    """As kubelet does: the slice is there first, and is limited and removed by whoever made it."""
    node.machine.shell(START_SLICE.format(bytes=256 * MB))
    pod = Pod(node, "kubelets", "kubepods-burstable-pod77.slice", {"memory_limit_in_bytes": 64 * MB, "cpu_shares": 512})
    container = pod.run("one")
    of_slice = [node.read(pod.scope.parent / file).strip() for file in ("memory.max", "cpu.weight")]
    seen = [*of_slice, node.read(pod.cgroup / "memory.max").strip()]
    checks.equal(seen, [str(256 * MB), "100", "max"], "a slice that was there is limited by whoever made it")
    checks.ok(pod.runs(container), "a container runs in it")
    pod.remove()
    c.wait_until("the scope is gone", lambda: not pod.invocation())
    state = node.machine.run("systemctl", "is-active", "kubepods-burstable-pod77.slice", check=False)[1]
    checks.equal(state, "active\n", "and it stays when the pod is gone")
    node.machine.run("systemctl", "stop", "kubepods.slice")


def one_after_another(checks, node):
    """The slices of a pod that goes are those of the next."""
    parent = {"cgroup_parent": "kubepods-pod5.slice"}
    configs = [node.write(node.pod_config(f"next-{i}", linux=parent)) for i in range(4)]
    crictl = CRICTL.format(node.work)
    node.machine.shell(f"for config in {' '.join(configs)}; do pod=$({crictl} runp $config); {crictl} rmp -f $pod; done")
    nothing_left(checks, node, "pod after pod in one slice,")


def killed_midway(checks, node):
    """A pod is known and has its scope, or neither, wherever gantryd was when it was killed."""
    seed = random.randrange(1 << 32)
    c.log(f"delays of seed {seed}")
    delays = random.Random(seed)
    for i in range(4):
        config = node.write(node.pod_config(f"midway-{i}", linux={"cgroup_parent": "kubepods-pod6.slice"}))
        node.machine.shell(f"{CRICTL.format(node.work)} runp {config} >&2 & sleep {delays.uniform(0.1, 0.7):.3f}; "
                           "systemctl kill --signal=KILL --kill-whom=main gantryd; wait")
        c.wait_until("gantryd is back", lambda: node.crictl("version", check=False).returncode == 0, 60)
        c.wait_until("a scope for each pod", lambda: {f"gantry-{pod}.scope" for pod in node.pods()} ==
                     {unit for unit in units(node, "gantry-*.scope") if unit.startswith("gantry-")})
    for pod in node.pods():
        node.crictl("rmp", "-f", pod)
    nothing_left(checks, node, "gantryd killed on the way, and its pods removed,")


def refused(checks, node):
    pod = node.pod_config("refused", linux={"cgroup_parent": "/kubepods/pod1"})
    words = ["linux.cgroup_parent", "/kubepods/pod1", "give a slice of systemd"]
    checks.contains(node.refusal("runp", node.write(pod)), words, "a cgroup_parent that is no slice is refused")
    node.machine.run("systemctl", "stop", "dbus.socket", "dbus.service")
    try:
        pod = node.pod_config("unheard")
        said = node.refusal("runp", node.write(pod))
        checks.contains(said, "no systemd on the system bus", "without a bus a pod is refused")
    finally:
        node.machine.run("systemctl", "start", "dbus.socket", "dbus.service")
    checks.equal(node.pods(), {}, "and nothing is left of either")


def switched(checks, node):
    old = Pod(node, "old")
    node.use_cgroup_driver("cgroupfs")
    place = str(node.cgroup_of(old.run("one")))
    checks.ok(place.startswith(f"{old.scope}/pod/"), "with the driver changed a pod keeps its scope", place)
    old.kill_keeper()
    new = Pod(node, "new")
    checks.ok(str(new.cgroup).startswith(f"{CGROUPS}/gantry-pods.scope/kubepods/"), "the next pod is where that driver has it")
    checks.ok(old.runs(old.run("two")) and old.keeper(), "and containers of both start")
    return old


def lost_and_purged(checks, node, pod):
    node.machine.shell(f"systemctl stop gantryd; rm -r /var/lib/gantry/gantry.db* /run/gantry/sandboxes/{pod.id}; "
                       "systemctl start gantryd")
    checks.contains(node.crictl("info").stdout, f"{pod.scope.name}, which this node's store does not know: left alone",
                    "a scope that the store has lost is reported")
    checks.ok(pod.keeper(), "and left alone")
    node.machine.run("dpkg", "--purge", "gantry")
    c.wait_until("all ends", lambda: not units(node, "kubepods*", "gantry-*.scope"))
    left = node.machine.run("pgrep", "-a", "^(gantryd|gantry-(shim|keeper)|sleep)", check=False)[1]
    checks.equal(left, "", "purged, it leaves no scope and no process")


def main(checks):
    with VmNode(checks) as node:
        node.use_cgroup_driver("systemd")
        kubelets_slice(checks, node)
        pod, container = shown(checks, node)
        outlives_gantryd(checks, node, pod, container)
        keeper_killed(checks, node, pod, container)
        pod.remove()
        nothing_left(checks, node, "with the pod removed")
        one_after_another(checks, node)
        refused(checks, node)
        killed_midway(checks, node)
        lost_and_purged(checks, node, switched(checks, node))


c.main(main)
