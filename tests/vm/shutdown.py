#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""A machine that is told to reboot waits for its pods: by their priority, each with its hook and its signal, in the time that
KubeletConfiguration gives them, which is more than logind would wait by itself. Then they are there again."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import IMAGE
from vm.node import VmNode

PERIODS = {0: 300, 1000: 200, 2000000000: 100}
CONFIG = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nshutdownGracePeriodByPodPriority:\n" + "".join(
    f"- {{priority: {priority}, shutdownGracePeriodSeconds: {seconds}}}\n" for priority, seconds in PERIODS.items())
PODS = {"critical": 2000001000, "database": 5000, "web": 0, "cache": -10}
LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")


def manifest(name, priority):
    """A pod that writes what happens to it, and takes longer to end than logind waits by itself."""
    script = (f"trap 'sleep 8; echo {name} ended >> /out/said; sync; exit 0' TERM; echo {name} runs >> /out/said; "
              "while :; do sleep 1; done")
    hook = {"preStop": {"exec": {"command": ["/bin/sh", "-c", f"echo {name} hook >> /out/said"]}}}
    container = {"name": "it", "image": IMAGE, "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", script], "lifecycle": hook,
                 "volumeMounts": [{"name": "out", "mountPath": "/out"}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                       "spec": {"priority": priority, "terminationGracePeriodSeconds": 250, "containers": [container],
                                "volumes": [{"name": "out", "hostPath": {"path": "/root/out"}}]}})


def said(node):
    return node.machine.shell("cat /root/out/said 2>/dev/null || true").splitlines()


def runs(node, times):
    for name in PODS:
        c.wait_until(f"{name} runs", lambda name=name: said(node).count(f"{name} runs") == times, 120)


def locks(node):
    """Logind's, those of gantryd: each a line."""
    # Logind may just not be on the bus.
    listed = node.machine.shell("systemd-inhibit --list --no-legend --no-pager || true")
    return [line for line in listed.splitlines() if "gantryd" in line]


def delay(node):
    return node.machine.run("busctl", "get-property", *LOGIND, "InhibitDelayMaxUSec").split()[1]


def main(checks):
    with VmNode(checks) as node:
        first = delay(node)
        node.machine.shell("mkdir -p /etc/gantry/manifests /root/out")
        node.put("/etc/gantry/kubelet.yaml", CONFIG)
        node.restart_with("--kubelet-config=/etc/gantry/kubelet.yaml")
        for name, priority in PODS.items():
            node.put(f"/etc/gantry/manifests/{name}.json", manifest(name, priority))
        runs(node, 1)
        c.wait_until("the lock is taken", lambda: locks(node))
        checks.contains(locks(node)[0], ["shutdown", "delay"], "gantryd has logind's lock")
        # It comes after the lock.
        c.wait_until("logind waits longer", lambda: delay(node) != first)
        checks.equal(delay(node), str(sum(PERIODS.values()) * 1000000), "logind waits as long as pods have together")
        for word in ("stop", "start"):
            node.machine.run("systemctl", word, "dbus.socket", "dbus.service")
        c.wait_until("the lock is taken on the new bus", lambda: len(locks(node)) == 1)
        node.machine.reboot()
        lines = [line for line in said(node) if not line.endswith(" runs")]
        checks.equal(sorted(lines[:4]), ["cache ended", "cache hook", "web ended", "web hook"],
                     "before the machine went down, those of the least priority had their hooks and signals")
        checks.equal(lines[4:], ["database hook", "database ended", "critical hook", "critical ended"],
                     "then the more important one, and then the critical one, each when the others had ended")
        runs(node, 2)
        c.wait_until("the lock is taken again", lambda: locks(node))
        checks.ok(True, "after the reboot the pods are there again")


c.main(main)
