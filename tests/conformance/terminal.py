#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""crictl in a real terminal, tmux's: a shell by exec and by attach, its size, Ctrl-C, and a client that goes while the shell stays."""
import itertools
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import BIN, Node, run

NUMBERS = itertools.count()


class Terminal:
    """A tmux server of its own, with one window."""

    def __init__(self, node, *command, columns=100, rows=30):
        # One of its own: the server of the one before may not have gone yet.
        self.socket = str(node.work / f"tmux{next(NUMBERS)}")
        whole = [str(word) for word in (BIN / "gantry", "node", "exec", node.name, "--", "crictl", "--config",
                                        node.work / "crictl.yaml", *command)]
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", columns, "-y", rows, *whole, ";", "set", "-g", "status", "off")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tmux("kill-server", check=False)

    def tmux(self, *words, check=True):
        return run(["tmux", "-S", self.socket, *words], check)

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def shown(self):
        return self.tmux("capture-pane", "-p", check=False).stdout

    def wait_for(self, text):
        try:
            c.wait_until(f"{text!r} is shown", lambda: text in self.shown())
        except c.Failure as failure:
            raise c.Failure(f"{failure}, but:\n{self.shown().strip()}") from None

    def asks(self, command, answer):
        """As often as it takes: what the answer is about may not have come to the other side yet."""
        def answered():
            self.type(command, "Enter")
            return answer in self.shown()

        c.wait_until(f"{command!r} says {answer!r}", answered, pause=0.2)

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", columns, "-y", rows)

    def has_ended(self):
        return self.tmux("has-session", check=False).returncode != 0


def by_exec(checks, node, container, transport):
    with Terminal(node, "exec", "-i", "-t", "-r", transport, container, "sh") as terminal:
        terminal.type("PS1='rea''dy> '", "Enter")
        terminal.wait_for("ready>")
        terminal.asks("busybox stty size", "30 100")
        checks.ok(True, f"{transport}: the shell has the terminal's size")
        terminal.resize(120, 40)
        terminal.asks("busybox stty size", "40 120")
        checks.ok(True, f"{transport}: and its new one")
        terminal.type("clear; sleep 1000", "Enter")
        c.wait_until("it sleeps", lambda: "sleep 1000" in node.exec("ps", "-A", "-o", "args=").stdout.splitlines() and
                     "ready>" not in terminal.shown())
        terminal.type("C-c")
        terminal.wait_for("ready>")
        terminal.type("echo status $?", "Enter")
        terminal.wait_for("status 130")
        checks.ok(True, f"{transport}: Ctrl-C ends what runs, and not the shell")
        terminal.type("echo 'a b' | cat -; exit 7", "Enter")
        c.wait_until("the shell has ended, and crictl", terminal.has_ended)
        checks.ok(True, f"{transport}: crictl ends with the shell")


def by_attach(checks, node, pod, transport):
    config = node.container_config(f"shell-{transport}", "PS1='ready> ' exec sh", tty=True, stdin=True)
    container = node.run_container(pod[1], config, pod[0])
    attach = ("attach", "-i", "-t", "-r", transport, container)
    with Terminal(node, *attach) as terminal:
        terminal.type("echo from=$((40 + 2))", "Enter")
        terminal.wait_for("from=42")
        checks.ok(True, f"{transport}: what is typed reaches the container's shell")
        terminal.type("kept=here; echo kept $((40 + 3))", "Enter")
        terminal.wait_for("kept 43")
    with Terminal(node, *attach, columns=77, rows=22) as terminal:
        terminal.type("echo still $kept", "Enter")
        terminal.wait_for("still here")
        checks.ok(True, f"{transport}: the shell outlives a client that goes, and takes the next")
        terminal.type("exit 5", "Enter")
        c.wait_until("crictl has ended", terminal.has_ended)
    c.wait_until("the container has ended", lambda: node.container_status(container)["state"] == "CONTAINER_EXITED")
    checks.equal(node.container_status(container)["exitCode"], 5, f"{transport}: and ends as it was told")


def story(checks):
    os.environ["TERM"] = "xterm"
    with Node(checks) as node:
        node.build_image()
        config = node.pod_config("terminal")
        pod = config, node.run_pod(config)
        container = node.run_container(pod[1], node.container_config("main", "exec sleep 100000"), config)
        for transport in ("spdy", "websocket"):
            by_exec(checks, node, container, transport)
            by_attach(checks, node, pod, transport)


c.main(story)
