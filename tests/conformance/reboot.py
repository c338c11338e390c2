#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""After a reboot (a new boot id, /run empty) pods and containers are listed as ended, can be removed, and hold nothing.

The whole node is stopped and started again, which gives it a new /run; a file mounted over the kernel's boot id, in a mount
namespace that the node is born in, is the new boot.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import Node, is_alive, parse_time, read_pids, walk

BOOT_ID = "/proc/sys/kernel/random/boot_id"
PODS = 4


def start_pods(node):
    """Returns {pod id: config}, {container id: (status, ended)} and {pod id: address}."""
    pods, containers, addresses = {}, {}, {}
    for number in range(PODS):
        pod = node.pod_config(f"pod{number}", labels={"app": f"a{number}"}, annotations={"note": f"n{number}"})
        pod_id = node.run_pod(pod)
        pods[pod_id] = pod
        addresses[pod_id] = node.pod_status(pod_id)["network"]["ip"]
        for name, script in (("stays", "sleep 10000"), ("ended", "exit 7")):
            container = node.run_container(pod_id, node.container_config(name, script, labels={"c": name}), pod)
            containers[container] = name
        containers[node.create(pod_id, node.container_config("never", "true"), pod)] = "never"
    for container, name in containers.items():
        if name == "ended":
            c.wait_until("a container ends",
                         lambda i=container: node.container_status(i)["state"] == "CONTAINER_EXITED")
    return pods, {i: (name, node.container_status(i)) for i, name in containers.items()}, addresses


def check_listing(checks, node, when, pods, containers):
    listed = node.pods()
    checks.equal({i: item["state"] for i, item in listed.items()}, {i: "SANDBOX_NOTREADY" for i in pods},
                 f"{when}: all pods are listed, NOTREADY")
    checks.equal({i: (item["metadata"]["name"], item["labels"], item["annotations"]) for i, item in listed.items()},
                 {i: (pod["metadata"]["name"], pod["labels"], pod["annotations"]) for i, pod in pods.items()},
                 f"{when}: with their names, labels and annotations")
    checks.equal(set(node.containers()), set(containers), f"{when}: all containers are listed")
    faults = []
    for container, (name, before) in containers.items():
        now = node.container_status(container)
        if name == "ended":
            same = ("state", "exitCode", "reason", "startedAt", "finishedAt", "createdAt", "labels")
            faults += [f"{name}: {key} {now[key]!r}, was {before[key]!r}" for key in same if now[key] != before[key]]
        elif name == "stays":
            seen = (now["state"], now["exitCode"], now["reason"], now["startedAt"], now["labels"])
            expected = ("CONTAINER_EXITED", 255, "Unknown", before["startedAt"], before["labels"])
            if seen != expected or not now["message"] or not parse_time(now["finishedAt"]) >= parse_time(now["startedAt"]):
                faults.append(f"{name}: {seen}, expected {expected}; {now['message']!r}, {now['finishedAt']}")
        elif (now["state"], now["exitCode"], now["reason"]) != ("CONTAINER_EXITED", 255, "Unknown"):
            # It never ran; within the same boot it may still be shown as that.
            if now["state"] != "CONTAINER_CREATED" or when == "new boot id":
                faults.append(f"{name}: {now['state']} {now['exitCode']} {now['reason']}")
    checks.ok(not faults, f"{when}: those that ran are EXITED 255 Unknown, those that had ended are as they were",
              "\n".join(faults))


def check_freedom(checks, node, when, pods, addresses):
    """Names and addresses can be taken again while the old ones are still listed."""
    pod = node.pod_config("pod0", labels={"app": "new"})
    pod["metadata"]["attempt"] = 1
    new = node.run_pod(pod)
    container = node.run_container(new, node.container_config("stays", "sleep 10000"), pod)
    checks.equal(node.container_status(container)["state"], "CONTAINER_RUNNING", f"{when}: a pod of an old name runs")
    node.crictl("rmp", "--force", new)
    refused = node.refusal("start", next(iter(node.containers())))
    checks.ok(refused, f"{when}: what ended with the boot cannot be started")
    for pod_id in pods:
        node.crictl("rmp", "--force", pod_id)
    checks.equal((node.pods(), node.containers()), ({}, {}), f"{when}: all can be removed")
    # The very same name and attempt, and as many of them: none is refused for what was before.
    again = [node.run_pod(node.pod_config(f"pod{number}")) for number in range(PODS)]
    checks.ok(len(set(again)) == PODS, f"{when}: the same names run again")
    seen = [node.pod_status(i)["network"]["ip"] for i in again]
    c.log(f"addresses before {sorted(addresses.values())}, now {sorted(seen)}")
    for pod_id in again:
        node.crictl("rmp", "--force", pod_id)


def free_addresses(checks):
    """A network of few addresses, all of them in use at the reboot: afterwards they serve others."""
    with Node(checks, "s", ("--pod-cidr", "10.77.0.0/29", "--option=--pool-size=0")) as node:
        first = fill(node)
        node.stop()
        node.start()
        checks.equal({item["state"] for item in node.pods().values()}, {"SANDBOX_NOTREADY"}, "few addresses: old pods are listed")
        second = fill(node)
        checks.ok(len(second) >= len(first) > 0, "few addresses: the addresses of pods that a reboot ended are free",
                  f"before {first}\nnow    {second}")
        # The kernel is not through with their links when the stops are answered.
        for pod_id in node.pods():
            node.crictl("stopp", pod_id)
        third = fill(node)
        checks.ok(len(third) >= len(first), "few addresses: those of pods that were stopped just now are waited for",
                  f"before {first}\nnow    {third}")


def fill(node):
    """Runs pods until there is no address left; returns their addresses."""
    addresses = []
    for number in range(16):
        config = node.pod_config(f"few{number}")
        config["metadata"]["attempt"] = len(node.pods())
        done = node.crictl("runp", node.write(config), check=False)
        if done.returncode != 0:
            c.log(f"no further pod after {number}: {done.stderr.strip()}")
            break
        addresses.append(node.pod_status(done.stdout.strip())["network"]["ip"])
    return addresses


def story(checks):
    with Node(checks) as node:
        node.build_image()
        for when in ("new boot id", "same boot id"):
            pods, containers, addresses = start_pods(node)
            processes = [pid for folder in walk(node.cgroup) for pid in read_pids(folder)]
            node.stop()
            # Each is dead by now; the kernel may not be through with it.
            c.wait_until(f"{when}: the node's processes end", lambda: not any(map(is_alive, processes)))
            checks.ok(True, f"{when}: the node's {len(processes)} processes ended")
            prefix = []
            if when == "new boot id":
                boot = node.work / "boot_id"
                boot.write_text("01234567-89ab-4def-8123-456789abcdef\n")
                prefix = ["unshare", "--mount", "sh", "-ec", f'mount --bind "{boot}" {BOOT_ID}; exec "$@"', "sh"]
            node.start(prefix)
            said = node.exec("cat", BOOT_ID).stdout == pathlib.Path(BOOT_ID).read_text()
            checks.equal(said, when == "same boot id", f"{when}: the node sees it")
            check_listing(checks, node, when, pods, containers)
            check_freedom(checks, node, when, pods, addresses)
    free_addresses(checks)


c.main(story)
