#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl nri-plugin old-nri-plugin
"""The Node Resource Interface, with plugins over the stub of its own module: what they are told in a pod's life, of the version
of today and of an older one, several of them in order, started by gantryd or by themselves, and after gantryd was killed."""
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from nri import PATIENT, Plugin, ready
from node import Node

POD = ["RunPodSandbox", "StopPodSandbox", "RemovePodSandbox"]
CONTAINER = ["CreateContainer", "PostCreateContainer", "StartContainer", "PostStartContainer", "StopContainer",
             "RemoveContainer"]


def live(node, name):
    """A pod with a container, from beginning to end."""
    pod = node.pod_config(name, labels={"app": "x"}, annotations={"a": "b"})
    pod_id = node.run_pod(pod)
    container = node.run_container(pod_id, node.container_config(f"{name}-c", "sleep 1000"), pod)
    node.crictl("stop", "--timeout", "0", container)
    node.crictl("rm", container)
    node.crictl("stopp", pod_id)
    node.crictl("rmp", pod_id)
    return pod_id, container


def told(node, checks, program):
    with Plugin(node, "10", "logger", program) as plugin:
        configured = plugin.wait_for("Configure")
        checks.equal((configured["runtime"], configured["version"] != ""), ("gantry", True), f"{program}: it is configured")
        pod_id, container = live(node, "p1")
        plugin.wait_for("RemovePodSandbox")
        checks.equal(plugin.methods("p1"), POD, f"{program}: it is told of a pod")
        checks.equal(plugin.methods("p1-c"), CONTAINER, f"{program}: and of its container")
        run, created, started = (plugin.last(method) for method in ("RunPodSandbox", "CreateContainer", "PostStartContainer"))
        checks.equal((run["pod"]["id"], run["pod"]["labels"], run["pod"]["annotations"], run["pod"]["namespace"]),
                     (pod_id, {"app": "x"}, {"a": "b"}, "default"), f"{program}: who the pod is")
        checks.equal((created["container"]["id"], created["pod"]["id"], created["container"]["args"]),
                     (container, pod_id, ["/bin/sh", "-c", "sleep 1000"]), f"{program}: who the container is")
        checks.equal((started["container"]["state"], started["container"].get("pid", 0) > 1), ("CONTAINER_RUNNING", True),
                     f"{program}: and that it runs")


def synchronized(node, checks):
    """Plugins that come when there is something, in the order of their index; and gantryd is killed."""
    pod = node.pod_config("sync")
    pod_id = node.run_pod(pod)
    container = node.run_container(pod_id, node.container_config("sync-c", "sleep 1000"), pod)
    with Plugin(node, "20", "later") as later, Plugin(node, "10", "first") as first:
        for plugin in (later, first):
            state = plugin.wait_for("Synchronize")
            checks.equal((state["pods"], state["containers"]), (["sync"], ["sync-c"]), f"{plugin.name} is told what there is")
        killed = node.kill_gantryd()
        for plugin in (later, first):
            plugin.process.wait(c.PATIENCE)  # of its own: the connection ended
        node.wait_for_gantryd()
        checks.ok(killed != node.gantryd_pid(), "gantryd was killed, and its plugins' connections ended")
        for plugin in (later, first):
            plugin.start()
            plugin.wait_for("Synchronize", 2)
            checks.equal(plugin.last("Synchronize")["containers"], ["sync-c"], f"{plugin.name} is told again by the next one")
        c.wait_until("both are ready", lambda: sorted(ready(node)) == ["10-first", "20-later"])
        node.crictl("stop", "--timeout", "0", container)
        for plugin in (later, first):
            plugin.wait_for("StopContainer")
    node.crictl("rmp", "-f", pod_id)


def installed(node, checks):
    """Programs of the folder are started with gantryd, with their configuration, and end with it."""
    folder = node.state / "nri"
    (folder / "plugins").mkdir(parents=True)
    (folder / "conf.d").mkdir()
    (folder / "state-good").mkdir()
    program = shutil.which("nri-plugin")
    shutil.copy(program, folder / "plugins/30-good")
    (folder / "plugins/40-wrong").write_text("#!/bin/sh\nexit 1\n")
    (folder / "plugins/40-wrong").chmod(0o755)
    (folder / "plugins/notes").write_text("no program")
    (folder / "conf.d/good.conf").write_text("what: it needs")
    log = folder / "state-good/log"
    calls = lambda method: [call for call in map(json.loads, log.read_text().splitlines()) if call["method"] == method]
    before = len(node.log_file.read_text(errors="replace"))
    node.kill_gantryd()
    node.wait_for_gantryd()
    checks.equal(calls("Configure")[0]["config"], "what: it needs", "a plugin of the folder has its configuration")
    said = node.log_file.read_text(errors="replace")[before:]
    checks.contains(said, ['an NRI plugin is ready plugin="30-good"', 'plugin="40-wrong"'],
                    "one that ends at once is survived")
    live(node, "p2")
    c.wait_until("it is told", lambda: calls("RemovePodSandbox"))
    for each in (folder / "plugins").iterdir():
        each.unlink()
    node.kill_gantryd()
    node.wait_for_gantryd()
    live(node, "p3")
    checks.equal(len(calls("RunPodSandbox")), 1, "without the program there is no plugin")


def story(checks):
    with Node(checks, options=PATIENT) as node:
        node.build_image()
        told(node, checks, "nri-plugin")
        told(node, checks, "old-nri-plugin")
        synchronized(node, checks)
        installed(node, checks)


c.main(story)
