#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl nri-plugin
# faults
"""Plugins of the Node Resource Interface that are slow, die, or send what no plugin sends: each is dropped, or what it asked for
in its place is done, and containers come and go meanwhile. And more pods than one message of the interface holds."""
import contextlib
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import cycles
from nri import PLUGIN, REQUEST, RESPONSE, RUNTIME, Connection, Plugin, field, message, ready, register
from node import Node

# More than by default, so that nobody is dropped because the machine is busy.
REQUEST_LIMIT, REGISTRATION_LIMIT = 4, 6
LIMITS = [f"--option=--nri-request-timeout={REQUEST_LIMIT}", f"--option=--nri-registration-timeout={REGISTRATION_LIMIT}"]


class World:
    def __init__(self, checks, node):
        self.checks, self.node, self.count = checks, node, 0
        self.pod = node.pod_config("pod")
        self.pod_id = node.run_pod(self.pod)

    def output(self):
        self.count += 1
        return self.node.output(self.pod_id, self.node.container_config(f"c{self.count}", "echo $WHO"), self.pod)

    def refusal(self):
        self.count += 1
        config = self.node.container_config(f"c{self.count}", "true")
        return self.node.refusal("create", self.pod_id, self.node.write(config), self.node.write(self.pod))


def gone(node, name):
    c.wait_until(f"{name} is dropped", lambda: name not in ready(node))
    return True


def slow_and_dying(world):
    node, checks = world.node, world.checks
    adjust = {"adjust": {"env": [{"key": "WHO", "value": "second"}]}}
    with Plugin(node, "20", "second", CreateContainer=adjust):
        with Plugin(node, "10", "slow", CreateContainer={"sleep_ms": 60000}):
            began = time.monotonic()
            checks.equal(world.output(), "second", "a slow plugin: the request goes on, to the next one")
            checks.ok(time.monotonic() - began >= REQUEST_LIMIT, "after its time")
            checks.ok(gone(node, "10-slow"), "it is dropped")
        dying = Plugin(node, "10", "dying", CreateContainer={"die": True})
        with dying:
            checks.equal(world.output(), "second", "one that dies: the request goes on")
            checks.equal(dying.process.wait(c.PATIENCE), 3, "it is dead")
        stopped = Plugin(node, "10", "stopped", StopContainer={"sleep_ms": 60000})
        with stopped:
            checks.equal(world.output(), "second", "one that is slow about an end")
            checks.ok(gone(node, "10-stopped"), "is dropped too")
        strict = Plugin(node, "10", "strict", CreateContainer={"sleep_ms": 60000})
        strict.folder.joinpath("FailurePolicy.json").write_text('{"fail_request": true, "keep_connected": true}')
        with strict:
            checks.contains(world.refusal(), ["10-strict", "CreateContainer"], "one that wants requests to fail without it")
            checks.ok("10-strict" in ready(node), "and to stay, does")
            strict.play("CreateContainer")
            checks.equal(world.output(), "second", "and is asked again")
            strict.play("CreateContainer", die=True)
            checks.contains(world.refusal(), ["10-strict"], "its death is a failure, too")
            checks.equal(world.output(), "second", "of that one request")


# What a connection says before it is a plugin, and whether it is closed at once: else when it has not registered in time.
NEVER = [
    ("nothing", b"", False),
    ("random bytes", bytes(range(7, 250)) * 40, True),
    ("a frame that is too large", (1).to_bytes(4, "big") + (1 << 31).to_bytes(4, "big"), True),
    ("a message that is too large", (2).to_bytes(4, "big") + (10).to_bytes(4, "big") + (5 << 20).to_bytes(4, "big")
     + bytes([0, 0, 0, 1, 1, 0]), True),
    ("half a frame", register()[:20], False),
    ("half a header", register()[:5], False),
    ("a call that is no Request", message(RUNTIME, 1, REQUEST, b"\xff\xff\xff"), True),
    ("an answer to nothing that was asked", message(PLUGIN, 7, RESPONSE, b""), False),
    ("an answer where it is served", message(RUNTIME, 1, RESPONSE, b""), True),
    ("a stream's data", message(RUNTIME, 1, 3, b"x"), True),
    ("a type that there is not", message(RUNTIME, 1, 9, b"x"), True),
    ("frames of other connections", message(9, 1, REQUEST, b"x" * 1000) * 100, False),
    ("a name that is none", register(b"../x"), True),
    ("an index that is none", register(b"x", b"5"), True),
    ("calls that there are not", message(RUNTIME, 1, REQUEST, field(1, b"x") + field(2, b"y")), False),
]

# What one that is asked for a container answers.
RUBBISH = [
    ("no ttrpc", lambda stream: message(PLUGIN, stream, RESPONSE, b"\xff\xff\xff")),
    ("no CreateContainerResponse", lambda stream: message(PLUGIN, stream, RESPONSE, field(2, b"\xff\xff\xff"))),
    ("too much", lambda stream: (1).to_bytes(4, "big") + (1 << 30).to_bytes(4, "big")),
    ("half of it", lambda stream: message(PLUGIN, stream, RESPONSE, field(2, b"x" * 100))[:60]),
    ("somebody else's", lambda stream: message(PLUGIN, stream + 2, RESPONSE, b"")),
    ("a request", lambda stream: message(PLUGIN, stream, REQUEST, b"")),
]


def rubbish(world):
    node, checks = world.node, world.checks
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        waiting = []
        for what, said, at_once in NEVER:
            connection = stack.enter_context(Connection(node))
            connection.send(said)
            if at_once:
                checks.ok(connection.ends(), f"{what}: the connection is closed")
            else:
                waiting.append((what, connection))
        for what, connection in waiting:
            checks.ok(connection.ends(), f"{what}: it is closed when it has not registered in time")
        checks.ok(time.monotonic() - began >= REGISTRATION_LIMIT, "and not before")
    with Connection(node) as early:
        update = field(1, b"nri.pkg.api.v1alpha1.Runtime") + field(2, b"UpdateContainers")
        early.send(register(b"early") + message(RUNTIME, 3, REQUEST, update))
        said = early.receive()
        while said[:2] != (RUNTIME, 3):
            said = early.receive()
        checks.contains(said[3].decode(errors="replace"), "not synchronized yet", "a call before its time is refused")
    for what, answer in RUBBISH:
        with Connection(node) as hand:
            hand.become_ready(node)
            pid = os.fork()
            if pid == 0:
                try:
                    asked = hand.receive()
                    hand.send(answer(asked[1]))
                    hand.ends()
                finally:
                    os._exit(0)  # whatever happens, this is not the test
            hand.socket.close()
            checks.equal(world.output(), "", f"an answer that is {what}: the request goes on")
            checks.ok(gone(node, "55-hand"), "and it is dropped")
            os.waitpid(pid, 0)


def floods(world):
    node, checks = world.node, world.checks
    with Connection(node) as hand:
        hand.become_ready(node, b"flood")
        call = field(1, b"nri.pkg.api.v1alpha1.Runtime") + field(2, b"None") + field(3, b"x" * 100)
        with contextlib.suppress(OSError):
            for stream in range(3, 2_000_003, 2):
                hand.socket.sendall(message(RUNTIME, stream, REQUEST, call))
        checks.ok(gone(node, "55-flood"), "one that calls and calls and never reads is dropped")
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(node)) for _ in range(64)]
        with Connection(node) as one_more:
            checks.ok(one_more.ends(), "there is an end to how many may connect")
        for connection in connections:
            connection.socket.close()
    c.wait_until("there is room again", lambda: may_register(node))
    with Plugin(node, "30", "after") as plugin:
        plugin.wait_for("Synchronize")
    checks.equal(world.output(), "", "and life goes on")


def may_register(node):
    with Connection(node) as connection:
        connection.send(register(b"one-more"))
        return connection.receive()


def many(world):
    node, checks = world.node, world.checks
    large = {"big": "x" * 250_000}  # as large as a pod may have it
    pods = [node.pod_config(f"big{i}", annotations=large, labels=large,
                            linux={"security_context": {"namespace_options": {"pid": 1, "network": 2}}}) for i in range(10)]
    ids = [node.run_pod(pod) for pod in pods]
    with Plugin(node, "10", "many") as plugin:
        told = plugin.wait_for("Synchronize")
        checks.equal(sorted(told["pods"]), [f"big{i}" for i in range(10)] + ["pod"],
                     "more pods than a message holds come in several")
    node.crictl("rmp", "-f", *ids)


def story(checks):
    with Node(checks, options=LIMITS) as node:
        node.build_image()
        world = World(checks, node)
        pid = node.gantryd_pid()
        for part in (slow_and_dying, rubbish, floods, many):
            part(world)
        descriptors = lambda: len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
        with Plugin(node, "10", "last"):
            pass
        c.wait_until("no plugin is left", lambda: not ready(node))
        before = cycles.settle(node)[0]["open fds of gantryd"]
        for _ in range(20):
            with Connection(node) as connection:
                connection.send(b"\xff" * 100)
                connection.ends()
        c.wait_until("their descriptors are closed", lambda: descriptors() <= before)
        checks.equal(node.gantryd_pid(), pid, "it is the same gantryd all the while")


c.main(story)
