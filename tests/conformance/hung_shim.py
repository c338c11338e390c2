#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# faults
"""A shim that hangs while it is connected: calls that need it end with an error that says so, what is to be stopped is killed, and its
pod can be stopped and removed. When it goes on, nothing runs that was given up."""
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import Node

DEAF = "trap '' TERM; echo up; while :; do usleep 100000; done"
HEEDS = "trap 'echo bye; exit 7' TERM; echo up; while :; do usleep 100000; done"


class Asked:
    """crictl in a thread of its own."""

    def __init__(self, node, *arguments):
        self.done = None
        self.thread = threading.Thread(target=self._run, args=(node, arguments))
        self.thread.start()

    def _run(self, node, arguments):
        self.done = node.crictl(*arguments, check=False)

    def answer(self):
        """Whether it succeeded, and what was said."""
        self.thread.join(c.PATIENCE)
        return (self.done.returncode == 0, self.done.stderr + self.done.stdout) if self.done else (None, "no answer")


class Pod:
    def __init__(self, node, name):
        self.node, self.config = node, node.pod_config(name)
        self.id = node.run_pod(self.config)
        self.shim = node.shim_pid(self.id)

    def create(self, name, script):
        return self.node.create(self.id, self.node.container_config(name, script), self.config)

    def run(self, name, script):
        """The container and its first process."""
        container = self.create(name, script)
        self.node.crictl("start", container)
        c.wait_until("it is up", lambda: "up" in self.node.crictl("logs", container).stdout)
        return container, c.Process(self.node.container_pid(container))

    def cgroup(self, container):
        path = self.node.json("inspectp", self.id)["info"]["cgroup"]
        return self.node.root / "sys/fs/cgroup" / path.lstrip("/") / container


def is_run(node, words):
    def has_words(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").strip() == words.encode()
        except OSError:
            return False
    return any(has_words(pid) for pid in node.pids())


def hangs(checks, node, pod, other):
    stay, _ = pod.run("stay", DEAF)
    deaf, deaf_process = pod.run("deaf", DEAF)
    heeds, heeding_process = pod.run("heeds", HEEDS)
    late = pod.create("late", "exec sleep 3001")
    late_cgroup = pod.cgroup(late)
    ended, its_process = other.run("one", DEAF)
    with c.standing(pod.shim), c.standing(other.shim):
        pod_stop = Asked(node, "stopp", other.id)
        execution = Asked(node, "exec", "--sync", "--timeout", "1", stay, "sleep", "3002")
        deaf_stop = Asked(node, "stop", "--timeout", "1", deaf)
        heeding_stop = Asked(node, "stop", "--timeout", "15", heeds)
        start = Asked(node, "start", late)
        c.wait_until("the start is under way", late_cgroup.exists)
        removal = Asked(node, "rm", "--force", late)

        done, said = execution.answer()
        checks.ok(done is False and "DeadlineExceeded" in said, "an exec ends at its limit", said)
        for process, what in ((deaf_process, "a container that does not heed the stop signal is killed"),
                              (heeding_process, "one that heeds it gets it"), (its_process, "one whose pod is stopped is killed")):
            checks.ok(process.has_ended(c.PATIENCE), what)
        c.wait_until("it has said so in its log", lambda: "bye" in node.crictl("logs", heeds).stdout)
        for asked in (deaf_stop, heeding_stop):
            done, said = asked.answer()
            checks.ok(done is False and "DeadlineExceeded" in said and f"shim (pid {pod.shim})" in said,
                      "their stop says that the shim does not tell of their end", said)
        done, said = start.answer()
        checks.ok(done is False, "a start of a container that is to be removed fails", said)
        done, said = removal.answer()
        checks.ok(done and late not in node.containers(), "and it is removed", said)
        done, said = pod_stop.answer()
        checks.ok(done, "a pod whose shim hangs can be stopped", said)
        status = node.container_status(ended)
        checks.equal((status["state"], status["reason"]), ("CONTAINER_EXITED", "Unknown"), "of its container nobody knows how it ended")
        node.crictl("rmp", other.id)
        checks.ok(other.id not in node.pods(), "and removed")

    for container, code in ((deaf, 137), (heeds, 7)):
        c.wait_until("its end is known", lambda container=container: node.container_status(container)["state"] == "CONTAINER_EXITED")
        checks.equal(node.container_status(container)["exitCode"], code, "when the shim goes on it tells how a container ended")
    checks.equal(node.crictl("exec", stay, "echo", "here").stdout.strip(), "here", "an exec works")
    for words in ("sleep 3001", "sleep 3002"):
        c.wait_until(f"{words} does not run", lambda words=words: not is_run(node, words))
    checks.ok(True, "and what was given up does not run")
    node.crictl("rmp", "--force", pod.id)
    checks.ok(pod.id not in node.pods(), "the pod can be stopped and removed")


def story(checks):
    with Node(checks) as node:
        node.build_image()
        hangs(checks, node, Pod(node, "one"), Pod(node, "two"))


sys.exit(c.main(story))
