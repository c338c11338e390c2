#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 900
# faults
"""What containers and clients may do to hurt: a line without end, control bytes, exec output without end, orphans by the thousand,
containers that end all at once, clients that attach and drop. Each is bounded: neither memory nor descriptors grow with it."""
import contextlib
import os
import pathlib
import re
import socket
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import grpc

import checks as c
import cycles
from cri_grpc import Cri, Messages
from node import Node, is_alive
from registry import network_of

MB = 1 << 20
LINE = (1024 if c.ALL else 128) * MB
ATTACHES = 100_000 if c.ALL else 2_000
ORPHAN_SECONDS = 30 if c.ALL else 5
ENDS = 100
FEW = 10  # descriptors: timers that come with the first need, a sandbox made ahead meanwhile
GROWTH = 48  # MB that a process of ours may have more than before: what it takes at a time, and what malloc keeps
EXEC_MOST = 16 * MB  # what gRPC's clients take
RECORD = re.compile(rb"\S+T\S+Z (stdout|stderr) ([FP]) (.*)\n", re.S)
# asan keeps what was freed, 256 MB of it if it is not told otherwise, and that is no growth. It goes from here to gantryd.
os.environ.setdefault("ASAN_OPTIONS", "quarantine_size_mb=4")
WORDS = bytes(range(1, 10)) + b"\x0b\x0c\x0d\x1b]0;title\x07\x7f\x80\xff\xfe\xc3\x28"


def memory(pid):
    """Of a process, in MB; 0 when it has ended."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmRSS:\s+(\d+)", status, re.M)
    return int(found[1]) / 1024 if found else 0


class Story:
    def __init__(self, checks, node, v1):
        self.checks, self.node, self.v1, self.cri = checks, node, v1, Cri(node, v1)
        self.count = 0

    def pod(self, **more):
        self.count += 1
        config = self.node.pod_config(f"hostile{self.count}", **more)
        return config, self.node.run_pod(config)

    def container(self, pod, name, script, **more):
        config = self.node.container_config(name, script, **more)
        return self.node.run_container(pod[1], config, pod[0]), self.node.log_of(pod[0], config)

    def ends(self, container, limit=300):
        return c.wait_until("it has ended", lambda: (status := self.node.container_status(container))["state"] ==
                            "CONTAINER_EXITED" and status, limit, 0.2)

    def ours(self):
        """Processes of ours that serve pods, and gantryd."""
        return [self.node.gantryd_pid(), *(pid for pid in self.node.shims() if is_alive(pid))]

    def called(self, name):
        """Processes of pods by the name that they are called by."""
        found = []
        for pid in self.node.pids():
            with contextlib.suppress(OSError):  # it has ended since
                if is_alive(pid) and pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(name + b"\0"):
                    found.append(pid)
        return found

    def watch(self, what, holds, limit=300):
        """Waits, and says how many MB the largest of our processes has grown meanwhile."""
        before, most = {pid: memory(pid) for pid in self.ours()}, 0

        def seen():
            nonlocal most
            most = max([most, *(memory(pid) - before.get(pid, 0) for pid in self.ours())])
            return holds()

        c.wait_until(what, seen, limit, 0.05)
        return most


def endless_line(story):
    pod = story.pod()
    script = f"dd if=/dev/zero bs=1M count={LINE // MB} 2>/dev/null; echo after >&2"
    container, log = story.container(pod, "line", script)
    grown = story.watch("it has written", lambda: story.node.container_status(container)["state"] == "CONTAINER_EXITED", 800)
    story.checks.ok(grown < GROWTH, f"a line of {LINE // MB} MB takes no memory", f"{grown:.0f} MB more")
    total, torn, others = 0, 0, []
    with open(log, "rb") as file:
        for record in file:
            match = RECORD.fullmatch(record)
            if not match:
                torn += 1
            elif match[1] == b"stderr":
                others.append(match[3])
            else:
                total += len(match[3])
                torn += match[3].count(0) != len(match[3])
    story.checks.equal((total, torn, others), (LINE, 0, [b"after"]), "the log has every byte of it, in whole records")
    log.unlink()


def control_bytes(story):
    pod = story.pod()
    octal = "".join(f"\\{byte:03o}" for byte in WORDS)
    container, log = story.container(pod, "control", f"printf '{octal}\\n'")
    story.ends(container)
    match = RECORD.fullmatch(log.read_bytes())
    story.checks.equal(match and match[3], WORDS, "control bytes, and such as are no UTF-8, are logged as they were said")


def endless_exec(story):
    container, _ = story.container(story.pod(), "exec", "exec sleep 1000")
    answer = story.cri.start("ExecSync", story.v1.ExecSyncRequest(container_id=container, cmd=["cat", "/dev/zero"], timeout=5))
    grown = story.watch("its output is too much", answer.done, 120)
    try:
        size = len(answer.result().stdout)
        said = f"{size} bytes"
    except grpc.RpcError as error:
        size, said = 0, f"{error.code().name}: {error.details()}"
    c.log(f"exec without end: {said}")
    story.checks.ok(size <= EXEC_MOST, "exec output without end ends", said)
    # Collected, encoded and sent: each of it once.
    story.checks.ok(grown < 4 * EXEC_MOST / MB, "it takes no more memory than what fits an answer", f"{grown:.0f} MB more")
    story.checks.equal(story.called(b"cat"), [], "what said it is gone")


def orphans(story):
    pod = story.pod(linux={"security_context": {"namespace_options": {"pid": 0}}})
    script = "while :; do (true & true & true & true &); done"
    container, _ = story.container(pod, "parent", script, linux={"security_context": {"namespace_options": {"pid": 0}}})

    def states():
        found = {"Z": 0, "all": 0}
        for pid in [pid for pid in story.node.pids("")]:
            try:
                state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            found["all"] += 1
            found["Z"] += state == "Z"
        return found

    last = time.monotonic() + ORPHAN_SECONDS
    most = 0

    def over():
        nonlocal most
        most = max(most, states()["Z"])
        return time.monotonic() > last

    grown = story.watch("orphans came and went", over, ORPHAN_SECONDS + 60)
    story.checks.ok(grown < GROWTH, "orphans without end take no memory", f"{grown:.0f} MB more")
    story.checks.ok(most < 2000, "they are reaped while they come", f"{most} zombies at a time")
    said = story.cri.call("ExecSync", story.v1.ExecSyncRequest(container_id=container, cmd=["echo", "here"])).stdout
    story.checks.equal(said, b"here\n", "meanwhile the pod serves others")
    story.node.crictl("rmp", "--force", pod[1])
    c.wait_until("all of the pod has ended", lambda: states()["Z"] == 0)


def ends_at_once(story):
    pod = story.pod()
    flag = story.node.work / "flag"
    story.node.make_folder(flag)
    mounts = [{"host_path": str(flag), "container_path": "/flag", "readonly": True}]
    containers = [story.container(pod, f"end{i}", f"while [ ! -e /flag/now ]; do usleep 20000; done; echo over; exit {i}",
                                  mounts=mounts) for i in range(ENDS)]
    (flag / "now").touch()

    def all_ended():
        listed = story.cri.call("ListContainers", story.v1.ListContainersRequest()).containers
        return sum(each.state == story.v1.CONTAINER_EXITED for each in listed if each.pod_sandbox_id == pod[1]) == ENDS

    began = time.monotonic()
    story.watch("all have ended", all_ended)
    c.log(f"{ENDS} containers of one pod ended at once: known after {time.monotonic() - began:.2f} s")
    wrong = []
    for i, (container, log) in enumerate(containers):
        status = story.cri.call("ContainerStatus", story.v1.ContainerStatusRequest(container_id=container)).status
        if status.exit_code != i or not log.read_text().endswith(" stdout F over\n"):
            wrong.append(f"container {i}: exit code {status.exit_code}, log {log.read_text()!r}")
    story.checks.equal(wrong, [], f"each of {ENDS} that end at once has its exit code and its whole log")
    story.node.crictl("rmp", "--force", pod[1])


def attach_and_drop(story):
    pod = story.pod()
    container, _ = story.container(pod, "speaker", "while :; do echo x; usleep 10000; done")
    gantryd = story.node.gantryd_pid()

    def open_now():
        return sum(len(cycles.listing(f"/proc/{pid}/fd")) for pid in story.ours())

    def drop(count):
        with network_of(story.node.supervisor()):  # where its streaming server is
            return attach_each(story, container, count)

    cycles.settle(story.node)
    checks, idle = story.checks, open_now()
    checks.ok(drop(200), "clients attach and drop")
    c.wait_until("the first are forgotten", lambda: open_now() <= idle + FEW)
    before, fds = memory(gantryd), open_now()
    began = time.monotonic()
    checks.ok(drop(ATTACHES), f"{ATTACHES} more do")
    c.log(f"{ATTACHES} clients attached and dropped in {time.monotonic() - began:.0f} s")
    c.wait_until("they are forgotten", lambda: open_now() <= fds + FEW, 60)
    checks.ok(True, "no descriptor is left of them")
    grown = memory(gantryd) - before
    checks.ok(grown < GROWTH / 4, "and no memory", f"{grown:.1f} MB more")
    said = story.cri.call("ExecSync", story.v1.ExecSyncRequest(container_id=container, cmd=["echo", "here"])).stdout
    checks.equal(said, b"here\n", "the container goes on, and takes others")


def attach_each(story, container, count):
    request = story.v1.AttachRequest(container_id=container, stdout=True, stderr=True)
    for _ in range(count):
        url = urllib.parse.urlsplit(story.cri.call("Attach", request).url)
        with socket.create_connection((url.hostname, url.port), c.PATIENCE) as connection:
            connection.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: Upgrade\r\n"
                               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                               "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n".encode())
            if not connection.recv(64).startswith(b"HTTP/1.1 101"):
                return False
    return True


def story(checks):
    with Messages() as v1, Node(checks) as node:
        node.build_image()
        told = Story(checks, node, v1)
        for part in (endless_line, control_bytes, endless_exec, orphans, ends_at_once, attach_and_drop):
            part(told)


c.main(story)
