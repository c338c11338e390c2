#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""gantryd as an agent alone, on containerd of Debian 13 with its runc: pods that the API server binds to the node, with real
kubectl. What a pod has of its node and of the API (agent_core.py), ends that containerd alone tells of, and nothing left there."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle
from agent_core import Core
from cluster import READY, SLEEPS, JoiningNode
from containerd import IMAGE, Containerd
from control import BIN, Control, peer

NODE = "alone"


class Agent:
    """gantryd on the socket of `containerd`; its folders are in `work`."""

    def __init__(self, work, containerd, control):
        self.work, self.log = work, open(work / "log", "w+")
        config = work / "kubelet.yaml"
        config.write_text(f"{JoiningNode.KUBELET_CONFIG.read_text()}\ncontainerRuntimeEndpoint: unix://{containerd.socket}\n")
        self.command = [BIN / "gantryd", "--kubeconfig", control.kubeconfig, "--kubelet-config", config, "--node-name", NODE,
                        "--node-ip", "127.0.0.1"]
        for option in ("root", "run", "kubelet-root", "pod-logs", "container-logs", "manifest-dir"):
            self.command += [f"--{option}", work / option]
        self.start()

    def start(self):
        self.process = subprocess.Popen(list(map(str, self.command)), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.terminate()
        self.process.wait(c.PATIENCE)


def pod(name, command, **container):
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "nodeName": NODE, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 5,
        "containers": [{"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", command],
                        **container}]}})


def registers(checks, containerd, control):
    c.wait_until("the node is Ready", lambda: control.kubectl("get", "node", NODE, "-o", f"jsonpath={{{READY}}}").stdout == "True")
    info = control.json("get", "node", NODE)["status"]["nodeInfo"]
    checks.ok(info["containerRuntimeVersion"].startswith("containerd://1.") or
              info["containerRuntimeVersion"].startswith("containerd://2."), "the node names containerd", str(info))
    waiting = c.wait_until("the node asks for a serving certificate", lambda: [
        csr["metadata"]["name"] for csr in control.json("get", "csr")["items"]
        if csr["spec"]["signerName"] == "kubernetes.io/kubelet-serving" and not csr["status"]])
    control.out("certificate", "approve", *waiting)
    c.wait_until("the node is asked", lambda: control.kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/healthz").returncode == 0)
    told = json.loads(control.out("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/configz"))["kubeletconfig"]
    checks.equal((told["containerRuntimeEndpoint"], told["cgroupDriver"]), (f"unix://{containerd.socket}", "cgroupfs"),
                 "its configuration names the runtime, which was asked for its cgroup driver")


def restarted(agent):
    agent.kill()
    agent.start()


def ends(checks, containerd, control):
    """Nobody tells of an end but containerd."""
    control.out("create", "-f", "-", given=pod("web", SLEEPS))
    control.wait_for("web", "is Ready", READY, "True")
    container = control.out("get", "pod", "web", "-o", "jsonpath={.status.containerStatuses[0].containerID}")
    containerd.crictl("stop", container.removeprefix("containerd://"))
    control.wait_for("web", "was started again", ".status.containerStatuses[0].restartCount", "1")
    control.wait_for("web", "is Ready again", READY, "True")
    checks.ok(True, "a container that ended is started again")
    control.out("create", "-f", "-", given=pod("odd", SLEEPS, image="localhost/nosuch:1", imagePullPolicy="Never"))
    control.wait_for("odd", "has no image", ".status.containerStatuses[0].state.waiting.reason", "ErrImageNeverPull")
    checks.ok(True, "an image that is not there is told of")
    control.out("delete", "pod", "--all", "--wait=false")
    c.wait_until("all are gone", lambda: control.json("get", "pods")["items"] == [] and containerd.pods() == {})
    checks.equal(containerd.containers(), {}, "nothing is left in containerd")


def story(checks):
    oci_bundle.become_reaper()
    runtime = oci_bundle.Runtime(peer("runc"))
    containerd = Containerd(runtime.work / "containerd", runtime.program, pathlib.Path(peer("cni")).parent)
    agent = None
    try:
        with Control(checks) as control:
            work = runtime.work / "agent"
            work.mkdir()
            (work / "manifest-dir").mkdir()
            agent = Agent(work, containerd, control)
            registers(checks, containerd, control)
            core = Core(checks, control, NODE, IMAGE, lambda: restarted(agent))
            core.tell()
            core.static(work / "manifest-dir")
            ends(checks, containerd, control)
    finally:
        if agent:
            agent.end()
        containerd.end()
        if agent and (checks.failed or sys.exc_info()[0]):
            for log in (agent.log, containerd.log):
                log.seek(0)
                c.log("\n".join(log.read().splitlines()[-40:]))


if __name__ == "__main__":
    os.environ.setdefault("CONTAINERD", peer("containerd"))
    oci_bundle.enter_world()
    c.main(story)
