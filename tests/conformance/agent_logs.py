#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""Logs of containers that write much: set aside, compressed and removed in time, while kubectl logs -f shows every line of them."""
import contextlib
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import JoiningNode, NodeControl
from cri_client import IMAGE

# As often as kubelet lets one ask for.
CONFIG = """containerLogMaxSize: 1Ki
containerLogMaxFiles: 3
containerLogMonitorInterval: 3s
"""
COMMAND = ("until [ -e /work/go ]; do sleep 0.1; done; i=0; "
           "until [ -e /work/stop ]; do echo line $i; i=$((i+1)); sleep 0.05; done; echo last")


def pod(node):
    container = {"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", COMMAND],
                 "volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
                       "spec": {"nodeName": node.name, "automountServiceAccountToken": False, "restartPolicy": "Never",
                                "volumes": [{"name": "work", "emptyDir": {}}], "containers": [container]}})


def rotates(checks, control, node):
    control.out("create", "-f", "-", given=pod(node))
    c.wait_until("web runs", lambda: control.out("get", "pod", "web", "-o", "jsonpath={.status.phase}") == "Running")
    uid = control.out("get", "pod", "web", "-o", "jsonpath={.metadata.uid}")
    logs = node.state / f"log/pods/default_web_{uid}/web"
    work = node.state / f"kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/work"
    c.wait_until("the node shows its certificate", lambda: control.kubectl("logs", "web").returncode == 0)
    follower = subprocess.Popen(control.kubectl_command("logs", "-f", "web"), stdout=subprocess.PIPE, text=True)
    try:
        (work / "go").touch()
        first = follower.stdout.readline()

        def compressed():
            """The oldest that is, and what is in it. It may be removed meanwhile."""
            for path in sorted(logs.glob("0.log.*.gz")):
                with contextlib.suppress(FileNotFoundError):
                    return path, gzip.decompress(path.read_bytes()).decode()
            return None
        oldest, text = c.wait_until("an older log is compressed", compressed)
        checks.contains(text, " stdout F line ", "gzip reads it")
        c.wait_until("the oldest is removed", lambda: not oldest.exists())
        c.wait_until("there are at most three files", lambda: len(list(logs.iterdir())) <= 3)
        (work / "stop").touch()
        lines = [first, *follower.stdout]
        follower.wait()
    finally:
        follower.kill()
    wanted = [*(f"line {i}\n" for i in range(len(lines) - 1)), "last\n"]
    checks.ok(lines == wanted, "logs -f shows every line once, in order",
              next((f"{i}: {seen!r} in place of {other!r}" for i, (seen, other) in enumerate(zip(lines, wanted)) if seen != other), ""))
    control.out("delete", "pod", "web", "--wait=false")
    c.wait_until("web is gone with its logs", lambda: not node.pods() and not logs.parent.exists())


def story(checks):
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "kubelet.yaml"
        config.write_text(JoiningNode.KUBELET_CONFIG.read_text() + CONFIG)
        with JoiningNode(checks, kubelet_config=config) as node:
            node.build_image()
            with NodeControl(checks, node) as control:
                node.join(control.join_words())
                node.kill_gantryd()
                node.wait_for_gantryd()
                node.wait_until_ready(control)
                node.approve_serving(control)
                rotates(checks, control, node)


c.main(story)
