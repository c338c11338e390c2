#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Attacks on a node's own ports by whoever reaches them, without credentials: the node API at 10250, and the streams of crictl's clients
on the loopback, where pods of the host's network are.

CVE-2020-8551 (kubelet): a node that keeps something of each request. CVE-2019-9512, 9514, 9515, CVE-2023-44487, CVE-2023-45288: floods of
HTTP/2. Our own: all connections that there may be, tokens without end, requests without end; others are served meanwhile."""
import contextlib
import json
import os
import pathlib
import resource
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import cycles
import http_attacks
from cluster import READY, SLEEPS, ready_node
from cri_client import IMAGE
from registry import network_of

PORT = 10250
HEALTH = 10248
CROWD = 1200  # there may be a thousand connections
PATHS = 50_000 if c.ALL else 10_000
MARK = "attack-6b1d"
GROWTH = 160 << 10  # KiB


class Port(http_attacks.Target):
    """Of the node's, from inside its network, at 127.0.0.1: there the API server never comes from."""

    def __init__(self, node, control, port=PORT):
        super().__init__("127.0.0.1", port, None, control.administrator())
        self.node = node

    def raw(self):
        with network_of(self.node.supervisor()):
            return super().raw()


def is_served(checks, control, what):
    checks.equal(control.out("logs", "web"), "started\n", f"{what}: kubectl logs is answered")
    done = control.kubectl("exec", "web", "--", "echo", "in")
    checks.equal((done.stdout, done.returncode), ("in\n", 0), f"{what}: and kubectl exec {done.stderr}")


def answers(connection, requests, count):
    """The answers to requests that are sent one after the other without a wait."""
    data = b""
    connection.sendall(requests)
    while data.count(b"HTTP/1.1 ") < count or not data.endswith(b"\n"):
        piece = connection.recv(1 << 20)
        if not piece:
            break
        data += piece
    return data


def paths(checks, port):
    """Each request asks for something else."""
    def ask(known, root, count):
        found = 0
        with port.connect(known=known) as connection:
            for first in range(0, count, 50):
                batch = [f"GET {root}/{MARK}-{i}/x?{MARK}-{i}=1 HTTP/1.1\r\nHost: {MARK}-{i}\r\nUser-Agent: {MARK}-{i}\r\n\r\n"
                         for i in range(first, first + 50)]
                data = answers(connection, "".join(batch).encode(), 50)
                found += data.count(b"HTTP/1.1 401 ") + data.count(b"HTTP/1.1 404 ")
        return found
    pages = ("/metrics", "/metrics/cadvisor", "/metrics/resource")
    before = [port.ask("GET", page)[1] for page in pages]
    checks.ok(all(page for page in before), "the node tells its metrics")
    checks.equal(ask(False, "", PATHS), PATHS, "CVE-2020-8551: nobody is told anything at ten thousand paths")
    checks.equal(ask(True, "/containerLogs", PATHS // 10), PATHS // 10, "who may ask is told that there is nothing")
    after = [port.ask("GET", page)[1] for page in pages]
    families = [{line.split("{")[0].split(" ")[0] for line in seen[0].splitlines()} for seen in (before, after)]
    # A container may come to read from a disk meanwhile.
    more = {one for one in families[1] - families[0] if not one.startswith(("container_fs_", "container_blkio_"))}
    checks.equal(more, set(), "CVE-2020-8551: there are no more metrics than before")
    checks.ok(not any(MARK in page for page in after), "CVE-2020-8551: and none has a word of the requests")


def sizes(checks, port):
    long = "x" * 200_000
    for what, path, headers in (("a path", f"/{long}", ()), ("a query", f"/exec/default/web/main?command={long}", ()),
                                ("a header", "/pods", {"X-Long": long}), ("a token", "/pods", {"Authorization": f"Bearer {long}"})):
        status, said = port.ask("GET", path, headers=headers, known=False)
        checks.ok(status == 0 or 400 <= status < 500, f"{what} of 200,000 bytes is refused", (status, said[:200]))
    for what, head in (("that is announced", b"Content-Length: 1099511627776\r\n\r\n"),
                       ("that has no end", b"Transfer-Encoding: chunked\r\n\r\n")):
        with port.connect(known=False) as connection:
            connection.sendall(b"POST /exec/default/web/main?command=x HTTP/1.1\r\nHost: a\r\n" + head)
            with contextlib.suppress(OSError):
                for _ in range(64):
                    connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            answer = b""
            with contextlib.suppress(OSError):
                answer = connection.recv(4096)
        checks.ok(answer[:10] in (b"", b"HTTP/1.1 4"), f"a body {what} is refused", answer[:100])


def tokens(checks, port):
    """Each connection brings some that nobody made. One whose turn comes late may have been closed."""
    connections, statuses = [], set()
    for number in range(100):
        if number % 20 == 0:
            connections += port.connect_many(20)
        with contextlib.suppress(OSError):
            connections[number].sendall("".join(
                f"GET /pods HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {MARK}.{number}.{i}\r\n\r\n" for i in range(5)).encode())
    checks.equal(port.ask("GET", "/healthz")[0], 200, "while many invented tokens are asked about, who has a certificate is answered")
    for connection in connections:
        with contextlib.suppress(OSError):
            statuses |= {part[:3] for part in answers(connection, b"", 5).split(b"HTTP/1.1 ")[1:]}
        connection.close()
    checks.ok(statuses and statuses <= {b"401", b"429"}, "and none of them opens anything", statuses)


def crowd(checks, control, port):
    """More connections than there may be, which ask for nothing."""
    kept = []
    try:
        while len(kept) < CROWD:
            kept += port.connect_many(150)
        for _ in range(200):
            kept.append(port.raw())
        is_served(checks, control, f"our own: among {len(kept)} connections of somebody else's")
    finally:
        for connection in kept:
            connection.close()


def loopback(checks, node, control):
    """Where crictl's streams are served, and where the node's health is told: ports that pods of the host's network reach as well."""
    web = control.json("get", "pod", "web")["status"]["containerStatuses"][0]["containerID"].split("://")[1]
    owned = set()
    for fd in pathlib.Path(f"/proc/{node.gantryd_pid()}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed since
            owned.add(os.readlink(fd))
    lines = pathlib.Path(f"/proc/{node.supervisor()}/net/tcp").read_text().splitlines()[1:]
    ports = [int(part[1].split(":")[1], 16) for part in map(str.split, lines)
             if part[3] == "0A" and part[1].startswith("0100007F:") and f"socket:[{part[9]}]" in owned]
    checks.ok(len(ports) == 2 and HEALTH in ports, "two ports of the loopback are gantryd's", ports)
    for number in ports:
        what = "health" if number == HEALTH else "streams"
        port, kept = Port(node, control, number), []
        try:
            for _ in range(CROWD):
                kept.append(port.raw())
            with port.raw() as connection:
                connection.sendall(b"GET /exec/" + b"A" * 43 + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                said = b""
                with contextlib.suppress(OSError):
                    while piece := connection.recv(4096):
                        said += piece
                checks.ok(said.startswith(b"HTTP/1.1 4"), f"{what}: who makes up a stream's token is refused", said[:100])
            checks.equal(node.crictl("exec", web, "/bin/echo", "in").stdout, "in\n",
                         f"{what}: among {CROWD} connections crictl exec is served")
        finally:
            for connection in kept:
                connection.close()


def story(checks):
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, max(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    with ready_node(checks) as (node, control):
        node.approve_serving(control)
        control.out("create", "-f", "-", given=json.dumps({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
            "spec": {"nodeName": node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
                     "containers": [{"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
                                     "command": ["/bin/sh", "-c", f"echo started; {SLEEPS}"]}]}}))
        control.wait_for("web", "is Ready", READY, "True")
        port = Port(node, control)
        c.wait_until("the pod has said so", lambda: control.kubectl("logs", "web").stdout == "started\n")
        is_served(checks, control, "before")
        gantryd, before = node.gantryd_pid(), cycles.resident(node)
        slow = http_attacks.begin_slow(port, "/exec/default/web/main?command=x")
        paths(checks, port)
        sizes(checks, port)
        tokens(checks, port)
        http_attacks.garbage(checks, port)
        http_attacks.floods(checks, port, "/pods", known=False)
        is_served(checks, control, "after floods")
        crowd(checks, control, port)
        loopback(checks, node, control)
        http_attacks.end_slow(checks, slow)
        checks.equal(node.gantryd_pid(), gantryd, "after all that gantryd is the same")
        grown = cycles.resident(node) - before
        c.log(f"{grown} KiB more than before")
        checks.ok(grown < GROWTH, "and its memory is bounded", grown)
        is_served(checks, control, "after all")


c.main(story)
