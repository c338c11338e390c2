#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""Pods that the API server binds to a node, with real kubectl: they run, the API says how they are and how they ended,
they are deleted with their grace, and neither a restart of gantryd nor one of the control plane changes what runs."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import READY, SLEEPS, ready_node
from cri_client import IMAGE


def pod(node, name, command, **spec):
    container = {"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", command]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                       "spec": {"nodeName": node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 5,
                                "containers": [container], **spec}})




def is_gone(control, name):
    return "NotFound" in control.kubectl("get", "pod", name).stderr


def lives(checks, control, node):
    control.out("create", "-f", "-", given=pod(node, "web", SLEEPS))
    control.wait_for("web", "is Ready", READY, "True")
    status = control.json("get", "pod", "web")["status"]
    sandbox = next(iter(node.pods()))
    checks.equal(status["phase"], "Running", "phase")
    checks.equal(status["podIP"], node.pod_status(sandbox)["network"]["ip"], "its address is the sandbox's")
    checks.equal(status["qosClass"], "BestEffort", "QoS class")
    checks.equal(status["containerStatuses"][0]["restartCount"], 0, "no restart")
    checks.ok(status["hostIP"] and status["startTime"], "host address and start time", str(status))
    checks.ok("1/1" in control.out("get", "pod", "web"), "kubectl's table")

    before = {key: item["state"] for key, item in node.containers().items()}
    node.kill_gantryd()
    node.wait_for_gantryd()
    control.kill()
    control.start()
    control.out("create", "-f", "-", given=pod(node, "after", SLEEPS))
    control.wait_for("after", "is Ready", READY, "True")
    now = {key: item["state"] for key, item in node.containers().items()}
    checks.equal({key: now.get(key) for key in before}, before, "restarts of gantryd and of the control plane change nothing")
    checks.equal(control.json("get", "pod", "web")["status"], status, "nor what the API says")

    control.out("delete", "pod", "web", "--wait=false")
    c.wait_until("web is gone", lambda: is_gone(control, "web"))
    checks.equal(len(node.pods()), 1, "of a deleted pod nothing is left when its object is gone")
    control.out("delete", "pod", "after", "--force", "--grace-period=0")
    c.wait_until("after is gone from the node", lambda: not node.pods())


def environment(checks, control, node):
    """A pod waits for what its environment is taken from, and says for what."""
    waiting = ".status.containerStatuses[0].state.waiting"
    container = {"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
                 "command": ["/bin/sh", "-c", "echo $A_COLOR-$KEY-$(A_COLOR) > /dev/termination-log"],
                 "envFrom": [{"prefix": "A_", "configMapRef": {"name": "settings"}}],
                 "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}}]}
    control.out("create", "-f", "-", given=pod(node, "env", "", restartPolicy="Never", containers=[container]))
    control.wait_for("env", "waits", f"{waiting}.message", 'configmap "settings" not found')
    checks.equal(control.json("get", "pod", "env")["status"]["containerStatuses"][0]["state"]["waiting"]["reason"],
                 "CreateContainerConfigError", "the reason")
    control.out("create", "configmap", "settings", "--from-literal=COLOR=red")
    control.out("create", "secret", "generic", "keys", "--from-literal=key=sesame")
    control.wait_for("env", "has ended", ".status.phase", "Succeeded")
    state = control.json("get", "pod", "env")["status"]["containerStatuses"][0]["state"]["terminated"]
    checks.equal(state["message"].strip(), "red-sesame-red", "it heals by itself, and has them")
    control.out("delete", "pod", "env", "--wait=false")
    # The API forgets a pod that has ended before the node is through with it.
    c.wait_until("env is gone", lambda: is_gone(control, "env") and not node.pods())


def mirror(checks, control, node):
    """A static pod is seen in the API, and made to be seen again."""
    name = f"static-{node.name}"
    manifest = node.manifests / "static.yaml"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "static"}, "spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "web", "image": IMAGE, "command": ["/bin/sh", "-c", SLEEPS]}]}}))
    control.wait_for(name, "is Ready", READY, "True")
    metadata = control.json("get", "pod", name)["metadata"]
    checks.equal([owner["kind"] for owner in metadata["ownerReferences"]], ["Node"], "a mirror pod is the Node's")
    before = list(node.containers())
    control.out("delete", "pod", name, "--wait=false")

    def is_another():
        done = control.kubectl("get", "pod", name, "-o", "jsonpath={.metadata.uid}")
        return done.returncode == 0 and done.stdout not in ("", metadata["uid"])
    c.wait_until("the mirror pod is there again", is_another)
    control.wait_for(name, "is Ready again", READY, "True")
    checks.equal(list(node.containers()), before, "the static pod knows nothing of it")
    manifest.unlink()
    c.wait_until("both are gone", lambda: is_gone(control, name) and not node.pods())


def ends(checks, control, node):
    table = (("good", "exit 0", "Never", "Succeeded"), ("bad", "exit 3", "Never", "Failed"),
             ("done", "exit 0", "OnFailure", "Succeeded"))
    for name, command, policy, _ in table:
        control.out("create", "-f", "-", given=pod(node, name, command, restartPolicy=policy))
    for name, _, _, phase in table:
        control.wait_for(name, f"is {phase}", ".status.phase", phase)
    state = control.json("get", "pod", "bad")["status"]["containerStatuses"][0]["state"]["terminated"]
    checks.equal((state["exitCode"], state["reason"]), (3, "Error"), "how it ended")
    control.out("create", "-f", "-", given=pod(node, "late", SLEEPS, activeDeadlineSeconds=1))
    control.wait_for("late", "is over", ".status.reason", "DeadlineExceeded")
    control.out("create", "-f", "-", given=pod(node, "again", "exit 1", restartPolicy="OnFailure"))
    control.wait_for("again", "is held back", ".status.containerStatuses[0].state.waiting.reason", "CrashLoopBackOff")
    by_code = json.loads(pod(node, "codes", SLEEPS))
    by_code["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    by_code["spec"]["restartPolicy"] = "Never"
    by_code["spec"]["containers"][0] |= {
        "command": ["/bin/sh", "-c", "test -e /v/once && exit 7; touch /v/once; exit 42"], "restartPolicy": "Never",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    control.out("create", "-f", "-", given=json.dumps(by_code))
    control.wait_for("codes", "is Failed", ".status.phase", "Failed")
    told = control.json("get", "pod", "codes")["status"]["containerStatuses"][0]
    checks.equal((told["restartCount"], told["state"]["terminated"]["exitCode"]), (1, 7),
                 "of a pod that runs once a container is run again after the exit codes that its rules name, and no other")
    control.out("create", "-f", "-", given=pod(node, "odd", SLEEPS, volumes=[{"name": "far", "nfs": {"server": "far", "path": "/"}}]))
    control.wait_for("odd", "is rejected", ".status.reason", "UnsupportedByNode")
    checks.ok("spec.volumes[0].nfs" in control.json("get", "pod", "odd")["status"]["message"], "what is not supported is named")
    control.out("delete", "pod", "--all", "--wait=false")
    c.wait_until("all are gone", lambda: control.json("get", "pods")["items"] == [] and not node.pods())


def scheduled(checks, control, node):
    """`kubectl run` names no node: the scheduler does."""
    control.out("run", "run", f"--image={IMAGE}", "--image-pull-policy=IfNotPresent", "--command", "--", "/bin/sh", "-c", SLEEPS)
    control.wait_for("run", "is Ready", READY, "True")
    checks.equal(control.json("get", "pod", "run")["spec"]["nodeName"], node.name, "kubectl run: the pod is given the node, and runs")
    control.out("delete", "pod", "run", "--wait=false")
    c.wait_until("run is gone", lambda: is_gone(control, "run") and not node.pods())


def story(checks):
    with ready_node(checks) as (node, control):
        scheduled(checks, control, node)
        lives(checks, control, node)
        ends(checks, control, node)
        environment(checks, control, node)
        mirror(checks, control, node)


c.main(story)
