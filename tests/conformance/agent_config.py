#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""A node by its KubeletConfiguration: a file, a folder of files that change it, and flags that count more; fields that have no
effect here are said. What the Node is registered with (taints, providerID), and how many pods it takes."""
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from bound_pods import BoundPods
from cluster import SLEEPS, JoiningNode, NodeControl

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
FILE = HEAD + """evictionHard: {memory.available: 100Mi}
seccompDefault: false
cpuCFSQuota: false
maxPods: 7
imageMinimumGCAge: 3m
imageMaximumGCAge: 48h
providerID: test://machine-1
volumePluginDir: /nowhere
registerWithTaints:
- {key: dedicated, value: tests, effect: NoSchedule}
"""
# In the order of their names; what does not end in .conf is none.
MORE = {"10-pods.conf": "maxPods: 9\npodPidsLimit: 512\n", "20-pods.conf": "maxPods: 2\n", "30-pods.yaml": "maxPods: 1\n"}
NO_EFFECT = "a field of the kubelet's configuration has no effect here"


def files(world):
    told = json.loads(world.control.out("get", "--raw", f"/api/v1/nodes/{world.node.name}/proxy/configz"))["kubeletconfig"]
    seen = {field: told[field] for field in ("maxPods", "podPidsLimit", "imageMinimumGCAge", "imageMaximumGCAge", "providerID", "seccompDefault",
                                          "cgroupDriver", "containerRuntimeEndpoint")}
    world.checks.equal(seen, {"maxPods": 2, "podPidsLimit": 512, "imageMinimumGCAge": "5m0s", "imageMaximumGCAge": "48h0m0s",
                              "providerID": "test://machine-1", "seccompDefault": False, "cgroupDriver": "cgroupfs",
                              "containerRuntimeEndpoint": "unix:///run/gantry/gantryd.sock"},
                       "the file, the folder's files in their order, and the flags, which count most")
    said = [line for line in world.node.log_file.read_text().splitlines() if NO_EFFECT in line]
    world.checks.ok(said and all("volumePluginDir" in line for line in said), "the field without an effect is said, and no other",
                    "\n".join(said))


def taints_of(node):
    """But those of the cluster's own, which come and go with the node's conditions."""
    return [one for one in node["spec"].get("taints", []) if not one["key"].startswith("node.kubernetes.io/")]


def registered(world):
    node = world.control.json("get", "node", world.node.name)
    world.checks.equal((taints_of(node), node["spec"].get("providerID"), node["status"]["capacity"]["pods"]),
                       ([{"key": "dedicated", "value": "tests", "effect": "NoSchedule"}], "test://machine-1", "2"),
                       "the Node is registered as they say")
    world.control.out("taint", "node", world.node.name, "dedicated-")
    world.node.kill_gantryd()
    world.node.wait_for_gantryd()
    world.node.wait_until_ready(world.control)
    world.checks.equal(taints_of(world.control.json("get", "node", world.node.name)), [],
                       "what somebody took from it since stays away")
    world.control.out("taint", "node", world.node.name, "dedicated=tests:NoSchedule")


def full(world):
    """Who is bound to it runs whatever a NoSchedule taint says, as long as there is a place."""
    world.create("one", SLEEPS)
    world.create("two", SLEEPS, tolerations=[{"operator": "Exists"}])
    world.runs("one", "two")
    world.create("three", SLEEPS)
    world.wait("three", ".status.reason", "OutOfpods")
    why = "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2"
    world.checks.equal(world.field("three", ".status.message"), f"Pod was rejected: {why}", "there is a place for two pods")
    world.has_event("three", "OutOfpods", why)
    world.control.out("delete", "pod", "one", "--wait=false")
    c.wait_until("one is gone", lambda: not world.field("one", ".metadata.name"))
    names = []

    def is_taken():
        """The API server forgets a pod before the node does: one may still be refused."""
        names.append(f"next{len(names)}")
        world.create(names[-1], SLEEPS)
        return c.wait_until(f"{names[-1]} is looked at", lambda: (
            phase := world.field(names[-1], ".status.phase")) in ("Running", "Failed") and phase) == "Running"
    c.wait_until("there is a place again", is_taken)
    world.checks.equal(world.field("three", ".status.phase"), "Failed", "a place that is free is the next one's")
    world.delete("two", "three", *names)


def runs_as_said(world):
    world.create("free", SLEEPS, tolerations=[{"operator": "Exists"}],
                 container={"resources": {"limits": {"cpu": "100m"}, "requests": {"cpu": "50m"}}})
    world.runs("free")
    world.checks.equal(world.run("free", "grep -w Seccomp: /proc/1/status").split()[1:], ["0"],
                       "seccompDefault: false: a container that says nothing of seccomp has none")
    told = world.node.json("inspect", world.container("free"))["info"]["config"]["linux"]["resources"]
    world.checks.ok(not int(told.get("cpu_quota", 0)), "cpuCFSQuota: false: its limit of cpu is none", told)
    world.delete("free")


def story(checks):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        config, more = folder / "kubelet.yaml", folder / "more"
        config.write_text(FILE)
        more.mkdir()
        for part, text in MORE.items():
            (more / part).write_text(HEAD + text)
        options = (f"--option=--kubelet-config-dir={more}", "--option=--minimum-image-ttl-duration=5m")
        with JoiningNode(checks, kubelet_config=config, options=options) as node:
            node.build_image()
            with NodeControl(checks, node) as control:
                node.join(control.join_words())
                node.kill_gantryd()
                node.wait_until_ready(control)
                node.approve_serving(control)
                world = BoundPods(checks, control, node)
                for part in (files, registered, runs_as_said, full):
                    part(world)


c.main(story)
