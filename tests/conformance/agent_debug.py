#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""Ephemeral containers by real kubectl: kubectl debug into a running pod, with a terminal and without."""
import json
import os
import pathlib
import pty
import select
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import READY, SLEEPS, ready_node
from cri_client import IMAGE

CAP_SYS_ADMIN = 21


def field(control, name, jsonpath):
    return control.kubectl("get", "pod", name, "-o", f"jsonpath={{{jsonpath}}}").stdout


def wait(control, name, jsonpath, wanted):
    c.wait_until(f"{name}: {jsonpath} is {wanted}", lambda: field(control, name, jsonpath) == wanted)


def debugs(control, name):
    """The states of the pod's ephemeral containers, by name."""
    status = control.json("get", "pod", name)["status"]
    return {one["name"]: one["state"] for one in status.get("ephemeralContainerStatuses", [])}


def end_of(control, name, container):
    c.wait_until(f"{container} has ended", lambda: "terminated" in debugs(control, name).get(container, {}))
    return debugs(control, name)[container]["terminated"]


def looks(checks, control):
    """It sees the processes of the container that it looks into, and is run once."""
    control.out("debug", "web", f"--image={IMAGE}", "--target=web", "--container=look", "--", "/bin/sh", "-c",
                "until [ -s /proc/1/root/etc/secret ]; do sleep 0.1; done; "
                "cat /proc/1/root/etc/secret > /dev/termination-log; exit 3")
    end = end_of(control, "web", "look")
    checks.equal((end["exitCode"], end["message"]), (3, "of web\n"), "it sees the processes of its target, and their files")
    control.out("debug", "web", f"--image={IMAGE}", "--container=own", "--", "/bin/sh", "-c",
                "cat /proc/1/root/etc/secret > /dev/termination-log 2>&1; exit 0")
    end = end_of(control, "web", "own")
    checks.contains(end["message"], "No such file", "one without a target has its own processes")
    control.out("debug", "web", f"--image={IMAGE}", "--target=web", "--container=mighty", "--profile=sysadmin", "--", "/bin/sh", "-c",
                "grep CapEff /proc/self/status > /dev/termination-log")
    capabilities = end_of(control, "web", "mighty")["message"].split()[-1]
    checks.ok(int(capabilities, 16) >> CAP_SYS_ADMIN & 1, "with the profile sysadmin it is privileged", capabilities)
    checks.equal(field(control, "web", READY), "True", "the pod stays as ready as it was")
    checks.equal(field(control, "web", ".status.phase"), "Running", "and runs")
    checks.equal(field(control, "web", ".status.containerStatuses[0].restartCount"), "0", "nothing was restarted")


def types(checks, control):
    """kubectl debug -it: a shell with a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "HOME": str(control.folder), "TERM": "dumb"}
    client = subprocess.Popen(control.kubectl_command("debug", "-it", "web", f"--image={IMAGE}", "--target=web", "--container=shell",
                                                      "--", "/bin/sh"),
                              stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True)
    os.close(theirs)
    seen = b""
    next_try = 0

    def answers():
        nonlocal seen, next_try
        if time.monotonic() > next_try:  # what is typed before it is attached may be lost
            os.write(ours, b"echo $((6*7))-$(tty)\r")
            next_try = time.monotonic() + 2
        if select.select([ours], [], [], 0.1)[0]:
            seen += os.read(ours, 4096)
        return b"42-/dev/pts" in seen
    try:
        checks.ok(c.wait_until("the shell answers", answers), "kubectl debug -it has a shell on a terminal")
        os.write(ours, b"exit 5\r")
        checks.equal(end_of(control, "web", "shell")["exitCode"], 5, "it ends with what was typed")
    except c.Failure:
        c.log(seen.decode(errors="replace"))
        raise
    finally:
        os.close(ours)
        if client.poll() is None:
            client.terminate()
        client.wait()


def restarts(checks, control, node):
    control.out("debug", "web", f"--image={IMAGE}", "--container=long", "--", "/bin/sh", "-c", SLEEPS)
    c.wait_until("it runs", lambda: "running" in debugs(control, "web").get("long", {}))
    before = {identity: item["state"] for identity, item in node.containers().items()}
    node.kill_gantryd()
    node.wait_for_gantryd()
    control.out("debug", "web", f"--image={IMAGE}", "--container=last", "--", "/bin/sh", "-c", "exit 0")
    checks.equal(end_of(control, "web", "last")["exitCode"], 0, "after a restart of gantryd one more is run")
    now = {identity: item["state"] for identity, item in node.containers().items()}
    checks.equal({identity: now.get(identity) for identity in before}, before, "and none of those before")
    control.out("delete", "pod", "web", "--wait=false")
    c.wait_until("all of it ends", lambda: not field(control, "web", ".metadata.name") and not node.pods())


def story(checks):
    with ready_node(checks) as (node, control):
        node.approve_serving(control)
        control.out("create", "-f", "-", given=json.dumps({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
            "spec": {"nodeName": node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 5,
                     "containers": [{"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
                                     "command": ["/bin/sh", "-c", f"echo of web > /etc/secret; {SLEEPS}"]}]}}))
        wait(control, "web", READY, "True")
        looks(checks, control)
        types(checks, control)
        restarts(checks, control, node)


c.main(story)
