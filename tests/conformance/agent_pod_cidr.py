#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""A node that was not told where its pods' addresses come from. In a cluster it takes the range that its Node gets there, and goes
on with it; until it has one it is not Ready, and pods on its own network run. CRI clients may name another one while no pod has an
address."""
import ipaddress
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import NODE_ADDRESS, READY, SLEEPS, JoiningNode, NodeControl
from cri_client import IMAGE

DEFAULT_RANGE, RANGE, OTHER_RANGE, FAR_RANGE = "10.88.0.0/16", "10.244.0.0/24", "10.245.7.0/24", "10.246.0.0/24"


def pod(name, **spec):
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", SLEEPS]}], **spec}})


def used_range(node):
    return node.json("info")["config"]["podRange"]


def is_of(address, text):
    return ipaddress.ip_address(address) in ipaddress.ip_network(text)


def alone(checks, node):
    checks.equal(used_range(node), DEFAULT_RANGE, "a node that stands alone has the default range")
    (node.manifests / "before.yaml").write_text(pod("before"))
    running = c.wait_until("a pod runs on it", lambda: [one for one in node.containers().values() if one["state"] == "CONTAINER_RUNNING"])
    address = node.pod_status(running[0]["podSandboxId"])["network"]["ip"]
    checks.ok(is_of(address, DEFAULT_RANGE), "its pods have addresses of it", address)


def waits(checks, control, node):
    """All that the cluster has to give is another Node's."""
    control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "first"},
                                                       "spec": {"podCIDR": RANGE, "podCIDRs": [RANGE]}}))
    node.join_as(control.kubeconfig.read_text())

    def says():
        ready = node.condition(control)
        return ready.get("status") == "False" and ready["message"]
    checks.contains(c.wait_until("the node says that it is not Ready", says),
                    ["container runtime network not ready", "NetworkPluginNotReady", "no range of addresses yet"], "and why")
    control.out("create", "-f", "-", given=pod("web", nodeName=node.name))
    (node.manifests / "host.yaml").write_text(pod("host", hostNetwork=True))
    control.wait_for(f"host-{node.name}", "is Ready", READY, "True")
    checks.equal(sorted(each["labels"]["io.kubernetes.pod.name"].split("-")[0] for each in node.containers().values()), ["before", "host"],
                 "pods on the node's own network run, and what ran before")
    checks.equal(used_range(node), "", "it has no range, and not the default one either")


def takes(checks, control, node):
    control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "far"},
                                                       "spec": {"podCIDR": FAR_RANGE, "podCIDRs": [FAR_RANGE]}}))
    control.out("patch", "node", "far", "--subresource=status", "--type=merge", "-p",
                json.dumps({"status": {"addresses": [{"type": "InternalIP", "address": "198.51.100.9"}]}}))
    node.exec("ip", "link", "add", "stranger", "type", "vxlan", "id", "103", "dstport", "8472")  # the kernel has one of these alone
    control.out("delete", "node", "first")
    c.wait_until("the node is Ready", lambda: node.condition(control).get("status") == "True", limit=5 * c.PATIENCE)
    checks.equal((control.json("get", "node", node.name)["spec"]["podCIDR"], used_range(node)), (RANGE, RANGE),
                 "it takes the range that its Node has got")
    control.wait_for("web", "is Ready", READY, "True")
    address = control.json("get", "pod", "web")["status"]["podIP"]
    checks.ok(is_of(address, RANGE), "its pods have addresses of it", address)
    before = f"before-{node.name}"
    moved = c.wait_until("before has another address", lambda: (
        address := control.json("get", "pod", before)["status"].get("podIP")) and is_of(address, RANGE) and address)
    control.wait_for(before, "is Ready", READY, "True")
    checks.ok(True, f"also those that had another one before: {moved}")
    c.wait_until("the log says that another node's pods can't be reached",
                 lambda: "routes to other nodes are not all there" in node.log_file.read_text())
    node.exec("ip", "link", "del", "stranger")
    c.wait_until("they can", lambda: FAR_RANGE in node.exec("ip", "route").stdout)
    checks.ok(True, "a way to another node that needs the range, and fails when it has come, is said, and tried again")
    control.out("delete", "node", "far")


def goes_on(checks, control, node):
    before = control.json("get", "pod", "web")["status"]["podIP"]
    control.kill()
    node.kill_gantryd()
    node.wait_for_gantryd()
    info = node.json("info")
    checks.equal((info["config"]["podRange"], [one["status"] for one in info["status"]["conditions"]]), (RANGE, [True, True]),
                 "killed and without its cluster it goes on with its range")
    control.start()
    control.out("create", "-f", "-", given=pod("after", nodeName=node.name))
    c.wait_until("after is Ready", lambda: control.kubectl("get", "pod", "after", "-o", f"jsonpath={{{READY}}}").stdout == "True",
                 limit=5 * c.PATIENCE)
    address = control.json("get", "pod", "after")["status"]["podIP"]
    checks.ok(is_of(address, RANGE) and address != before, "and with other addresses of it", f"{before}, {address}")
    checks.equal(control.json("get", "pod", "web")["status"]["podIP"], before, "pods keep theirs")


def named_by_others(checks, control, node):
    def name(text):
        return node.crictl("update-runtime-config", "--pod-cidr", text)
    checks.contains(node.refusal("update-runtime-config", "--pod-cidr", OTHER_RANGE), ["pod default/", "has to end first"],
                    "no range is changed beneath pods")
    checks.contains(node.refusal("update-runtime-config", "--pod-cidr", "fd00:7::/64"), "IPv4", "and one of IPv6 alone is refused")
    checks.equal(used_range(node), RANGE, "nothing has changed")
    name(f"{RANGE},fd00:7::/64")
    checks.equal(used_range(node), RANGE, "the same range is fine")
    control.out("delete", "pod", "web", "after", "--wait=false")
    (node.manifests / "before.yaml").unlink()
    c.wait_until("they are gone", lambda: len(node.pods()) == 1)
    name(f"fd00:7::/64,{OTHER_RANGE}")
    checks.equal(used_range(node), OTHER_RANGE, "without pods it changes, to the IPv4 range of those that are named")
    pod_id = node.run_pod(node.pod_config("crictl"))
    address = node.pod_status(pod_id)["network"]["ip"]
    checks.ok(is_of(address, OTHER_RANGE), "and pods have addresses of that", address)
    node.crictl("rmp", "-f", pod_id)


def story(checks):
    with JoiningNode(checks, options=("--pod-cidr", "", f"--option=--node-ip={NODE_ADDRESS}")) as node:
        node.build_image(IMAGE)
        alone(checks, node)
        with NodeControl(checks, node, ("--cluster-cidr", RANGE)) as control:
            waits(checks, control, node)
            takes(checks, control, node)
            goes_on(checks, control, node)
            named_by_others(checks, control, node)


c.main(story)
