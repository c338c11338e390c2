#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# faults
"""kill -9 of a pod's shim, with gantryd up and with gantryd down: the pod ends with it, is shown as it is, and can be removed."""
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import IMAGE
from node import Node, is_alive, parse_time, read_pids, walk

# A first process and another one, both deaf to all that can be ignored.
SCRIPT = "trap '' TERM HUP INT; sleep 10000 & sleep 10000"

STARTS_ANEW = 120  # seconds, for the agent, which waits longer before each try

MANIFEST = f"""\
apiVersion: v1
kind: Pod
metadata:
  name: from-file
spec:
  containers:
  - name: web
    image: {IMAGE}
    command: ["/bin/sh", "-c", "echo up; sleep 10000"]
  terminationGracePeriodSeconds: 1
"""


class Pod:
    def __init__(self, node, name, **security):
        self.node, self.name = node, name
        linux = {"linux": {"security_context": security}} if security else {}
        self.config = node.pod_config(name, **linux)
        self.id = node.run_pod(self.config)
        self.address = node.pod_status(self.id)["network"].get("ip", "")
        self.containers = [node.run_container(self.id, node.container_config(n, SCRIPT, **linux), self.config)
                           for n in ("one", "two")]
        self.created = node.create(self.id, node.container_config("never", "true", **linux), self.config)
        self.shim = node.shim_pid(self.id)
        info = node.json("inspectp", self.id)["info"]
        root = node.root / "sys/fs/cgroup"
        self.cgroups = [root / info["cgroup"].lstrip("/"), node.cgroup / "pods/shims" / self.id]
        self.pids = [pid for top in self.cgroups for folder in walk(top) for pid in read_pids(folder)]

    def log_writer(self):
        return next(pid for pid in read_pids(self.cgroups[1]) if pid != self.shim)

    def living(self):
        return [pid for pid in self.pids if is_alive(pid)]

    def is_shown_as_ended(self):
        """By crictl, all of it."""
        if self.node.pods()[self.id]["state"] != "SANDBOX_NOTREADY":
            return False
        items = self.node.containers()
        return all(items[container]["state"] == "CONTAINER_EXITED" for container in self.containers)


def check_end(checks, node, pod, when, names, since):
    """What holds once the pod is shown as ended, which it did not do before `since`."""
    for container in pod.containers:
        status = node.container_status(container)
        checks.equal((status["exitCode"], status["reason"]), (255, "Unknown"), f"{when}: a container has 255, Unknown")
        checks.contains(status["message"], names, f"{when}: its message names the shim")
        checks.ok(since <= parse_time(status["finishedAt"]) <= time.time_ns(), f"{when}: its time of end is now", status["finishedAt"])
    refused = node.refusal("start", pod.created)
    checks.ok(refused, f"{when}: nothing starts in it any more")
    refused = node.refusal("create", pod.id, node.write(node.container_config("new", "true")), node.write(pod.config))
    checks.ok(refused, f"{when}: nothing is created in it any more")
    node.crictl("stop", pod.containers[0])
    node.crictl("stopp", pod.id)
    node.crictl("stopp", pod.id)
    node.crictl("rm", pod.containers[0])
    node.crictl("rmp", pod.id)
    gone = not node.pods().get(pod.id) and not set(pod.containers + [pod.created]) & set(node.containers())
    checks.ok(gone, f"{when}: stop and rm work, and it is gone")
    left = [str(folder) for folder in pod.cgroups if folder.exists()]
    left += [str(p) for p in (node.root / "run/gantry/sandboxes" / pod.id, node.lib / "sandboxes" / pod.id) if p.exists()]
    checks.equal(left, [], f"{when}: its cgroups and folders are gone")


def with_gantryd(checks, node):
    stay = Pod(node, "stay")
    for victim, security in (("shim", {}), ("log-writer", {}), ("shim-of-shared-pids", {"namespace_options": {"pid": 0}})):
        when = f"{victim}, gantryd up"
        pod = Pod(node, f"with-{victim}", **security)
        with c.Process(pod.log_writer() if victim == "log-writer" else pod.shim) as process:
            since, start = time.time_ns(), time.monotonic()
            process.signal(signal.SIGKILL)
            c.wait_until(f"{when}: the processes of the pod are gone", lambda pod=pod: not pod.living())
            gone = time.monotonic() - start
            c.wait_until(f"{when}: crictl shows it", pod.is_shown_as_ended)
            shown = time.monotonic() - start
        checks.ok(True, f"{when}: its {len(pod.pids)} processes are gone, and it is NOTREADY and EXITED")
        c.log(f"after {gone:.3f} s and {shown:.3f} s")
        check_end(checks, node, pod, when, ["shim", str(pod.shim)], since)
        # The same name, and perhaps the same address, serve again at once.
        again = Pod(node, f"with-{victim}", **security)
        checks.ok(again.address, f"{when}: a pod of the same name runs again")
        node.crictl("rmp", "--force", again.id)
    checks.ok(not [p for p in stay.pids if not is_alive(p)], "a pod beside them was never touched")
    node.crictl("rmp", "--force", stay.id)


def without_gantryd(checks, node):
    when = "shim, gantryd down"
    stay, pod = Pod(node, "stay-on"), Pod(node, "without")
    config = node.container_config("five", "trap 'exit 5' TERM; echo ready; while :; do usleep 10000; done")
    five = node.run_container(pod.id, config, pod.config)
    c.wait_until("it heeds SIGTERM", lambda: "ready" in node.crictl("logs", five).stdout)
    pid = node.container_pid(five)
    with node.without_gantryd(), c.Process(pod.shim) as shim:
        # Its end is written down by the shim, which then ends as well.
        os.kill(pid, signal.SIGTERM)
        c.wait_until("a container ends", lambda: not is_alive(pid))
        record = node.root / "run/gantry/sandboxes" / pod.id / f"exit-{five}"
        c.wait_until("its end is written down", record.exists)
        since = time.time_ns()
        shim.kill()
    c.wait_until(f"{when}: crictl shows it", pod.is_shown_as_ended)
    c.wait_until(f"{when}: the processes of the pod are gone", lambda: not pod.living())
    checks.ok(True, f"{when}: at the next start the pod is NOTREADY, its containers EXITED, its processes gone")
    status = node.container_status(five)
    checks.equal((status["exitCode"], status["reason"]), (5, "Error"), f"{when}: one that had ended before has its true exit code")
    check_end(checks, node, pod, when, ["shim"], since)
    checks.equal(node.pods()[stay.id]["state"], "SANDBOX_READY", f"{when}: a pod beside it is taken over")
    checks.ok(not [p for p in stay.pids if not is_alive(p)], f"{when}: and was never touched")

    when = "shim and gantryd at once"
    pod = Pod(node, "at-once")
    with c.Process(pod.shim) as shim:
        node.kill_gantryd()
        since = time.time_ns()
        shim.kill()
    node.wait_for_gantryd()
    c.wait_until(f"{when}: crictl shows it", pod.is_shown_as_ended)
    c.wait_until(f"{when}: the processes of the pod are gone", lambda: not pod.living())
    check_end(checks, node, pod, when, ["shim"], since)
    node.crictl("rmp", "--force", stay.id)


def by_manifest(checks, node):
    """The agent starts such a pod anew."""
    def current():
        """(pod id, container id) of the one that runs."""
        pods = [i for i, item in node.pods().items()
                if item["state"] == "SANDBOX_READY" and "from-file" in item["metadata"]["name"]]
        if len(pods) != 1:
            return None
        running = [i for i, item in node.containers().items()
                   if item["podSandboxId"] == pods[0] and item["state"] == "CONTAINER_RUNNING"]
        return (pods[0], running[0]) if len(running) == 1 else None

    (node.manifests / "from-file.yaml").write_text(MANIFEST)
    for when in ("gantryd up", "gantryd down"):
        first = c.wait_until("the pod of the manifest runs", current, STARTS_ANEW)
        shim = node.shim_pid(first[0])
        if when == "gantryd up":
            with c.Process(shim) as process:
                process.kill()
        else:
            with node.without_gantryd(), c.Process(shim) as process:
                process.kill()
        second = c.wait_until(f"manifest, {when}: the pod runs again",
                              lambda first=first: (now := current()) and now[0] != first[0] and now, STARTS_ANEW)
        checks.ok(second[1] != first[1], f"manifest, {when}: the agent started the pod anew after its shim's end")
    (node.manifests / "from-file.yaml").unlink()
    c.wait_until("the pod of the manifest is gone", lambda: not node.pods() and not node.containers(), STARTS_ANEW)
    checks.ok(True, "manifest: with the file the pod goes, and nothing of any of its lives is left")


def story(checks):
    with Node(checks) as node:
        node.build_image()
        with_gantryd(checks, node)
        without_gantryd(checks, node)
        by_manifest(checks, node)


c.main(story)
