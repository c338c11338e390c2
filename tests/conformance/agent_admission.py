#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""What a node refuses of what is bound to it, with real kubectl: pods that don't fit, that its labels or taints speak against, whose
ports are taken, whose sysctls may do harm, whose runtime class there is not. What runs already stays."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import NODE_ADDRESS, SLEEPS, ready_node
from cri_client import IMAGE

SERVES = "mkdir /www; echo served > /www/name; exec httpd -f -p 80 -h /www"


def pod(node, name, requests=None, ports=(), command=SLEEPS, **spec):
    container = {"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", command],
                 "resources": {"requests": requests or {}}, "ports": list(ports)}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                       "spec": {"nodeName": node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
                                "containers": [container], **spec}})


def create(control, text):
    control.out("create", "-f", "-", given=text)


def wait_for_event(control, name, reason, part):
    """An event of the pod's with that reason, and with `part` in its message."""
    def is_said():
        events = control.json("get", "events", f"--field-selector=involvedObject.name={name},reason={reason}")["items"]
        return any(part in event["message"] for event in events)
    c.wait_until(f"there is an event {reason} of {name}: {part}", is_said)


def is_refused(checks, control, node, name, reason, message, text):
    create(control, text)
    control.wait_for(name, f"is refused as {reason}", ".status.reason", reason)
    status = control.json("get", "pod", name)["status"]
    checks.equal(status["phase"], "Failed", f"{name}: its phase")
    checks.ok(message in status["message"], f"{name}: why", status["message"])
    wait_for_event(control, name, reason, message)
    checks.ok(True, f"{name}: an event says it, too")


def refuses(checks, control, node):
    is_refused(checks, control, node, "large", "OutOfcpu", "Node didn't have enough resource: cpu, requested: 1000000, used: ",
               pod(node, "large", {"cpu": "1000"}))
    is_refused(checks, control, node, "fat", "OutOfmemory", "Node didn't have enough resource: memory",
               pod(node, "fat", {"memory": "1000Ti"}))
    is_refused(checks, control, node, "elsewhere", "NodeAffinity", "Predicate NodeAffinity failed",
               pod(node, "elsewhere", nodeSelector={"disk": "ssd"}))
    is_refused(checks, control, node, "odd", "SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted',
               pod(node, "odd", securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}))
    is_refused(checks, control, node, "windows", "PodOSNotSupported", "the OS field doesn't match node OS",
               pod(node, "windows", os={"name": "windows"}))


def takes(checks, control, node):
    """A label that just came is seen; a port leads to one pod; what runs stays when the node changes, and over a restart."""
    control.out("label", "node", node.name, "disk=ssd")
    port = {"containerPort": 80, "hostPort": 8080}
    create(control, pod(node, "first", {"cpu": "10m"}, [port], SERVES, nodeSelector={"disk": "ssd"}))
    control.wait_for("first", "runs", ".status.phase", "Running")
    for address in ("127.0.0.1", NODE_ADDRESS):
        c.wait_until(f"{address}:8080 leads to it", lambda address=address: node.exec(
            "curl", "-s", "-m", "5", f"http://{address}:8080/name", check=False).stdout == "served\n")
        checks.ok(True, f"its hostPort leads to it by {address}")
    is_refused(checks, control, node, "second", "NodePorts", "didn't have free ports", pod(node, "second", ports=[port]))
    control.out("label", "node", node.name, "disk-")
    before = list(node.containers())
    node.kill_gantryd()
    node.wait_for_gantryd()
    create(control, pod(node, "after"))
    control.wait_for("after", "runs", ".status.phase", "Running")
    checks.equal(control.json("get", "pod", "first")["status"]["phase"], "Running", "a restart refuses nothing that runs")
    checks.ok(set(before) <= set(node.containers()), "and its container is the same")


def classes(checks, control, node):
    """The API server takes no pod of a class that there is not: this one goes before the pod is bound, and while the node looks
    elsewhere."""
    runtime_class = json.dumps({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "own"},
                                "handler": "gantry"})
    with c.standing(node.gantryd_pid()):
        create(control, runtime_class)
        unbound = json.loads(pod(node, "classy", runtimeClassName="own"))
        del unbound["spec"]["nodeName"]
        unbound["spec"]["schedulerName"] = "nobody"
        create(control, json.dumps(unbound))
        control.out("delete", "runtimeclass", "own")
        control.out("create", "--raw", "/api/v1/namespaces/default/pods/classy/binding", "-f", "-", given=json.dumps(
            {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "classy"}, "target": {"kind": "Node", "name": node.name}}))
        node.kill_gantryd()
    node.wait_for_gantryd()
    wait_for_event(control, "classy", "FailedCreatePodSandBox", 'runtimeclass.node.k8s.io "own" not found')
    checks.ok(True, "a runtime class that is missing is named")
    create(control, runtime_class)
    control.wait_for("classy", "runs when its class is there", ".status.phase", "Running")
    handlers = [one["name"] for one in control.json("get", "node", node.name)["status"]["runtimeHandlers"]]
    checks.ok("gantry" in handlers, "the Node names the handlers", str(handlers))


def story(checks):
    with ready_node(checks) as (node, control):
        refuses(checks, control, node)
        takes(checks, control, node)
        classes(checks, control, node)


c.main(story)
