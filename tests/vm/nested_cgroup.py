#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# long
"""A container's first process moves itself into a cgroup beneath the container's, as systemd and Docker-in-Docker do: an exec
follows it there, and what concerns the container concerns all of it."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from vm.node import VmNode

MB = 1 << 20
# With controllers switched on for what is beneath, the kernel lets no process into the container's own cgroup any more.
NEST = """own=/sys/fs/cgroup$(sed s/0::// /proc/self/cgroup)
mkdir $own/init
echo $$ > $own/init/cgroup.procs
echo +memory +pids > $own/cgroup.subtree_control
echo nested
exec sleep 100000"""
CGROUP = "cat /proc/self/cgroup"
TAKE_64_MB = "dd if=/dev/zero of=/dev/null bs=64M count=1"


def main(checks):
    with VmNode(checks) as node:
        pod = node.pod_config("nested", linux={"security_context": {"privileged": True}})
        pod_id = node.run_pod(pod)
        config = node.container_config("nester", NEST)
        config["linux"] = {"security_context": {"namespace_options": {"pid": 1}, "privileged": True},
                           "resources": {"memory_limit_in_bytes": 32 * MB}}
        nester = node.run_container(pod_id, config, pod)
        c.wait_until("it has moved", lambda: "nested" in node.read(f"{pod['log_directory']}/nester.log"), 60)
        where = node.cgroup_of(nester)
        checks.equal(where.parts[-2:], (nester, "init"), "the container's first process is in a cgroup beneath the container's")
        told = node.crictl("exec", nester, "sh", "-c", CGROUP).stdout.strip()
        checks.equal("/sys/fs/cgroup" + told.removeprefix("0::"), str(where), "an exec is where that process is")
        told = node.crictl("exec", nester, "sh", "-c", f"{TAKE_64_MB}; echo status $?", check=False)
        checks.contains(told.stdout, "status 137", "where the container's limits hold")
        node.machine.run("systemctl", "restart", "gantryd")
        told = node.crictl("exec", nester, "sh", "-c", CGROUP).stdout.strip()
        checks.equal("/sys/fs/cgroup" + told.removeprefix("0::"), str(where), "and so with gantryd started again")
        used = node.json("stats", "-o", "json", "--id", nester)["stats"][0]["memory"]["workingSetBytes"]["value"]
        checks.ok(int(used) > 0, "its statistics are those of all beneath it", used)
        node.crictl("exec", nester, "sh", "-c", "mkdir $(dirname $0)/other; sleep 1000 & echo $! > $(dirname $0)/other/cgroup.procs",
                    str(where))
        node.crictl("stop", "--timeout", "0", nester)
        node.crictl("rm", nester)
        left = node.machine.shell(f"ls -d {where.parent} 2>/dev/null || true; ps -eo args= | grep '[s]leep 1000' || true")
        checks.equal(left, "", "removed, nothing of it is left, beside its first process either")


c.main(main)
