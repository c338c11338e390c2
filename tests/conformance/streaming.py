#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""crictl attach and port-forward, over SPDY and over WebSocket: input and output, a terminal, ports of a pod's own loopback,
and what is refused."""
import concurrent.futures
import contextlib
import fcntl
import os
import pathlib
import pty
import struct
import subprocess
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import BIN, Node, log_lines

TRANSPORTS = ("spdy", "websocket")
PAGE = "0123456789abcdef" * (1 << 14)


class Streams:
    def __init__(self, checks, node):
        self.checks, self.node, self.count = checks, node, 0
        self.pod = node.pod_config("streams")
        self.pod_id = node.run_pod(self.pod)

    def container(self, script, **more):
        self.count += 1
        config = self.node.container_config(f"c{self.count}", script, **more)
        return self.node.run_container(self.pod_id, config, self.pod), self.node.log_of(self.pod, config)

    @contextlib.contextmanager
    def crictl(self, *arguments, **more):
        command = [BIN / "gantry", "node", "exec", self.node.name, "--", "crictl", "--config", self.node.work / "crictl.yaml"]
        with subprocess.Popen([*command, *arguments], **more) as process:
            try:
                yield process
            finally:
                process.kill()  # crictl ends an attachment by no other signal
                process.wait(c.PATIENCE)


def attach(streams, transport):
    checks, node = streams.checks, streams.node
    container, log = streams.container('echo early; read x; echo "hello $x"; echo to err >&2; cat; echo end', stdin=True,
                                       stdin_once=True)
    c.wait_until("it waits for its input", lambda: log.exists() and log.read_text().count("early"))
    done = node.crictl("attach", "-i", "-r", transport, container, stdin="you\nmore\nwords\n")
    checks.equal((done.stdout, done.stderr), ("hello you\nmore\nwords\nend\n", "to err\n"),
                 f"{transport}: what is written is read, and its output comes from then on, until it ends")
    c.wait_until("it has ended", lambda: node.container_status(container)["state"] == "CONTAINER_EXITED")
    checks.equal([text for _, stream, _, text in log_lines(log) if stream == "stdout"],
                 ["early", "hello you", "more", "words", "end"], f"{transport}: the log has all of it")
    checks.contains(node.refusal("attach", "-r", transport, container), "not running", f"{transport}: one that has ended is named")

    container, _ = streams.container("read x; echo $x; exec cat", stdin=True)
    with streams.crictl("attach", "-i", "-r", transport, container, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        client.stdin.write(b"one\n")
        client.stdin.flush()
        checks.equal(client.stdout.readline(), b"one\n", f"{transport}: a client of many")
    with streams.crictl("attach", "-i", "-r", transport, container, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        client.stdin.write(b"two\n")
        client.stdin.flush()
        checks.equal(client.stdout.readline(), b"two\n", f"{transport}: without stdin_once its input outlives one")
    checks.equal(node.container_status(container)["state"], "CONTAINER_RUNNING", f"{transport}: who goes leaves it running")


def terminal(streams, transport):
    container, _ = streams.container("exec sh", stdin=True, tty=True)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    seen = b""
    with streams.crictl("attach", "-i", "-t", "-r", transport, container, stdin=theirs, stdout=theirs, stderr=theirs,
                        start_new_session=True):
        os.close(theirs)

        def sizes():
            nonlocal seen
            os.write(ours, b"busybox stty size\r")
            seen += os.read(ours, 4096)
            return b"33 77" in seen

        streams.checks.ok(c.wait_until("the terminal has the client's size", sizes, pause=0.2), f"{transport}: a terminal's size")
        os.write(ours, b"exit 5\r")
        c.wait_until("the shell ends",
                     lambda: streams.node.container_status(container)["state"] == "CONTAINER_EXITED")
    os.close(ours)
    streams.checks.equal(streams.node.container_status(container)["exitCode"], 5, f"{transport}: what is typed reaches it")


def refused(streams):
    checks, node = streams.checks, streams.node
    container, _ = streams.container("sleep 1000")
    for options, words in (("-i", "without standard input"), ("-t", "has no terminal")):
        checks.contains(node.refusal("attach", options, container), [words, container], f"attach {options}: {words}")
    checks.contains(node.refusal("attach", "nobody"), "nobody", "a container that is not there is named")
    checks.contains(node.refusal("port-forward", "nobody", "80"), "nobody", "a pod that is not there, too")


def ports(streams, transport):
    checks, node = streams.checks, streams.node
    said = node.work / f"port-forward-{transport}"
    local, nobody = ("18080", "18082") if transport == "spdy" else ("18081", "18083")
    with open(said, "w") as file, streams.crictl("port-forward", "-r", transport, streams.pod_id, f"{local}:8080", f"{nobody}:9",
                                                 stdin=subprocess.DEVNULL, stdout=file, stderr=file):
        c.wait_until("crictl listens", lambda: f":{nobody} -> 9" in said.read_text())

        def fetch(port):
            return node.exec("curl", "-s", "-m", "60", f"http://127.0.0.1:{port}/big", check=False).stdout

        checks.equal(fetch(local), PAGE, f"{transport}: a port of the pod's own loopback")
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(fetch, [local] * 60))
        checks.ok(all(answer == PAGE for answer in answers), f"{transport}: sixty connections, twenty at a time",
                  f"{[len(answer) for answer in answers]}")
        fetch(nobody)
        c.wait_until("crictl tells", lambda: "an error occurred" in said.read_text())
        checks.contains(said.read_text(), ["port 9", "refused"], f"{transport}: a port where nobody listens")


def story(checks):
    with Node(checks) as node:
        node.build_image()
        streams = Streams(checks, node)
        for transport in TRANSPORTS:
            attach(streams, transport)
            terminal(streams, transport)
        refused(streams)
        server, _ = streams.container("mkdir /www; i=0; p=0123456789abcdef; while [ $i -lt 14 ]; do p=$p$p; i=$((i+1)); done; "
                                      "echo -n $p > /www/big; exec httpd -f -p 127.0.0.1:8080 -h /www")
        c.wait_until("it serves", lambda: node.crictl("exec", server, "sh", "-c", ": | busybox nc 127.0.0.1 8080",
                                                      check=False).returncode == 0)
        for transport in TRANSPORTS:
            ports(streams, transport)


c.main(story)
