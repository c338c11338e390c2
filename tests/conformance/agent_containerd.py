#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""gantryd as an agent alone, on containerd of Debian 13 with its runc: pods that the API server binds to the node, with real
kubectl."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle
from cluster import READY, JoiningNode
from containerd import IMAGE, Containerd
from control import BIN, Control, peer

SLEEPS = "trap 'exit 0' TERM; echo started; while :; do sleep 0.1; done"
NODE = "alone"


class Agent:
    """gantryd on the socket of `containerd`; its folders are in `work`."""

    def __init__(self, work, containerd, control):
        self.work, self.log = work, open(work / "log", "w+")
        self.command = [BIN / "gantryd", "--runtime-endpoint", f"unix://{containerd.socket}", "--kubeconfig", control.kubeconfig,
                        "--kubelet-config", JoiningNode.KUBELET_CONFIG, "--node-name", NODE, "--node-ip", "127.0.0.1"]
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
        "volumes": [{"name": "shared", "emptyDir": {"medium": "Memory"}}],
        "containers": [{"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", command],
                        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}], **container}]}})


def states(containerd):
    return {key: item["state"] for key, item in containerd.containers().items()}


def registers(checks, control):
    c.wait_until("the node is Ready", lambda: control.kubectl("get", "node", NODE, "-o", f"jsonpath={{{READY}}}").stdout == "True")
    info = control.json("get", "node", NODE)["status"]["nodeInfo"]
    checks.ok(info["containerRuntimeVersion"].startswith("containerd://1.") or
              info["containerRuntimeVersion"].startswith("containerd://2."), "the node names containerd", str(info))
    waiting = c.wait_until("the node asks for a serving certificate", lambda: [
        csr["metadata"]["name"] for csr in control.json("get", "csr")["items"]
        if csr["spec"]["signerName"] == "kubernetes.io/kubelet-serving" and not csr["status"]])
    control.out("certificate", "approve", *waiting)


def lives(checks, containerd, control, agent):
    control.out("create", "configmap", "words", "--from-literal=greeting=good morning")
    env = [{"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "words", "key": "greeting"}}}]
    control.out("create", "-f", "-", given=pod("web", SLEEPS, env=env))
    control.wait_for("web", "is Ready", READY, "True")
    said = c.wait_until("kubectl logs has what it said", lambda: control.kubectl("logs", "web").stdout)
    checks.equal(said, "started\n", "kubectl logs")
    done = control.kubectl("exec", "web", "--", "sh", "-c", "echo $GREETING; echo here > /shared/file; cat /shared/file")
    checks.equal(done.stdout, "good morning\nhere\n", "kubectl exec, with the environment and a volume") or c.log(done.stderr)
    before = states(containerd)
    agent.kill()
    agent.start()
    control.out("create", "-f", "-", given=pod("after", SLEEPS))
    control.wait_for("after", "is Ready", READY, "True")
    now = states(containerd)
    checks.equal({key: now.get(key) for key in before}, before, "a restart of gantryd changes nothing that runs")


def ends(checks, containerd, control):
    """Nobody tells of an end but containerd."""
    container = control.out("get", "pod", "web", "-o", "jsonpath={.status.containerStatuses[0].containerID}")
    containerd.crictl("stop", container.removeprefix("containerd://"))
    control.wait_for("web", "was started again", ".status.containerStatuses[0].restartCount", "1")
    control.wait_for("web", "is Ready again", READY, "True")
    checks.ok(True, "a container that ended is started again")
    done = json.loads(pod("done", "exit 3"))
    done["spec"]["restartPolicy"] = "Never"
    control.out("create", "-f", "-", given=json.dumps(done))
    control.wait_for("done", "has ended", ".status.phase", "Failed")
    checks.equal(control.json("get", "pod", "done")["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3,
                 "how one ended is told")
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
            agent = Agent(work, containerd, control)
            registers(checks, control)
            lives(checks, containerd, control, agent)
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
