#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""GetContainerEvents as kubelet's event-driven PLEG and `crictl events` use it: every change of pods and containers, in order,
with the statuses of that moment, to all who follow; what happened while nobody was there; and readers that are too slow."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from grpc_stream import GrpcStream, field, fields
from node import Node

METHOD = "RuntimeService/GetContainerEvents"
KINDS = ("created", "started", "stopped", "deleted")
CREATED, RUNNING, EXITED = 0, 1, 2  # states of a container
SLEEP = "exec sleep 100000"


class Event:
    def __init__(self, message):
        self.id = field(message, 1).decode()
        self.kind = KINDS[field(message, 2, 0)]
        self.time = field(message, 3, 0)
        sandbox = field(message, 4)
        self.sandbox = field(sandbox, 1).decode()
        self.uid = field(field(sandbox, 2), 2).decode()
        self.is_ready = field(sandbox, 3, 0) == 0
        self.containers = {field(each, 1).decode(): each for number, each in fields(message) if number == 5}

    def state(self, container):
        return field(self.containers[container], 3, CREATED)


def first_of(text):
    """The first event that crictl has written, when it is there as a whole."""
    with contextlib.suppress(json.JSONDecodeError):
        return json.JSONDecoder().raw_decode(text.lstrip())[0]
    return None


class Story:
    def __init__(self, checks, node):
        self.checks, self.node = checks, node

    def follow(self, name):
        stream = GrpcStream(self.node, METHOD, name)
        c.wait_until("the events begin", stream.began)
        return stream

    def events(self, stream):
        return [Event(message) for message in stream.messages()]

    def wait_for(self, stream, identifier, kind):
        c.wait_until(f"{identifier[:12]} {kind}", lambda: any((each.id, each.kind) == (identifier, kind)
                                                              for each in self.events(stream)))
        return self.events(stream)

    def life(self):
        node, checks = self.node, self.checks
        with self.follow("first") as first, self.follow("second") as second:
            pod = node.pod_config("life")
            pod_id = node.run_pod(pod)
            one = node.run_container(pod_id, node.container_config("one", SLEEP), pod)
            two = node.run_container(pod_id, node.container_config("two", "exit 3"), pod)
            self.wait_for(first, two, "stopped")
            node.crictl("rm", two)
            node.crictl("stopp", pod_id)
            node.crictl("rmp", pod_id)
            events = self.wait_for(first, pod_id, "deleted")
            names = {pod_id: "pod", one: "one", two: "two"}
            told = [(names[each.id], each.kind) for each in events]
            checks.equal(told, [("pod", "created"), ("pod", "started"), ("one", "created"), ("one", "started"), ("two", "created"),
                                ("two", "started"), ("two", "stopped"), ("two", "deleted"), ("one", "stopped"), ("pod", "stopped"),
                                ("one", "deleted"), ("pod", "deleted")], "a pod's life, in order")
            checks.ok(all(each.sandbox == pod_id and each.uid == pod["metadata"]["uid"] for each in events),
                      "each event has the pod's status, also the last one")
            checks.ok(all(a.time <= b.time for a, b in zip(events, events[1:])), "and a time that goes forward")
            at = {pair: event for pair, event in zip(told, events)}
            checks.equal(at["one", "created"].state(one), CREATED, "created")
            checks.equal(at["one", "started"].state(one), RUNNING, "running when started")
            stopped = at["two", "stopped"]
            checks.equal((stopped.state(two), field(stopped.containers[two], 7, 0), stopped.state(one)), (EXITED, 3, RUNNING),
                         "the exit code is in the event, and the pod's other container beside it")
            checks.equal(list(at["two", "deleted"].containers), [one], "a removed one is not")
            checks.equal((at["one", "stopped"].is_ready, at["pod", "started"].is_ready), (False, True), "the pod's state")
            self.wait_for(second, pod_id, "deleted")
            checks.equal(second.messages(), first.messages(), "another follower gets the same")

    def missed(self):
        """What ended while there was no gantryd, and what happened while nobody followed, is told to the first who comes."""
        node, checks = self.node, self.checks
        pod = node.pod_config("missed")
        pod_id = node.run_pod(pod)
        container = node.run_container(pod_id, node.container_config("main", SLEEP), pod)
        pid = node.container_pid(container)
        with node.without_gantryd():
            os.kill(pid, signal.SIGKILL)
            c.wait_until("it ends", lambda: not pathlib.Path(f"/proc/{pid}").exists())
        output = node.work / "crictl-events"
        endpoint = f"unix://{node.root}/run/gantry/gantryd.sock"
        with open(output, "wb") as file, subprocess.Popen(["crictl", "--runtime-endpoint", endpoint, "events", "-o", "json"],
                                                          stdout=file, stderr=subprocess.DEVNULL) as crictl:
            try:
                event = c.wait_until("crictl shows it", lambda: first_of(output.read_text()))
            finally:
                crictl.kill()
        checks.equal((event["containerEventType"], event["containerId"], event["podSandboxStatus"]["id"],
                      event["containersStatuses"][0]["exitCode"]), ("CONTAINER_STOPPED_EVENT", container, pod_id, 137),
                     "an end that no gantryd saw is told by the next one")
        with self.follow("again") as again:
            checks.equal(again.messages(), [], "once: who comes later gets what happens from then on")
            node.crictl("rmp", "-f", pod_id)
            self.wait_for(again, pod_id, "deleted")

    def slow(self):
        """Events are large here: each has the annotations of the pod and its containers."""
        node, checks = self.node, self.checks
        long = {"long": "x" * 60000}
        pod = node.pod_config("slow", annotations=long)
        with self.follow("slow") as slow, self.follow("quick") as quick:
            slow.pause()
            pod_id = node.run_pod(pod)
            for number in range(14):
                last = node.run_container(pod_id, node.container_config(f"c{number}", SLEEP, annotations=long), pod)
                events = self.wait_for(quick, last, "started")  # it is not to be the slow one
            checks.equal(len(events), 2 + 14 * 2, "a slow reader holds nobody up")
            slow.go_on()
            c.wait_until("the slow one is dropped", lambda: {"grpc-status", "grpc-message"} <= slow.headers().keys())
            headers = slow.headers()
            checks.equal(headers["grpc-status"], "8", "it is told so: RESOURCE_EXHAUSTED")
            checks.contains(headers["grpc-message"], "too slow", "in words")
            checks.equal(slow.messages(), quick.messages()[:len(slow.messages())], "what it got has no gap")
            checks.ok(2 < len(slow.messages()) < len(events), "and is not all", f"{len(slow.messages())} of {len(events)}")
        # Nobody follows: these are more events at once than a reader may be late with.
        node.crictl("rmp", "-f", pod_id)

    def leaves(self):
        """Followers that come and go leave nothing."""
        for number in range(20):
            with self.follow(f"brief{number}"):
                counted = self.node.connections()
        c.wait_until("gantryd has no connection left", lambda: self.node.connections() == 0)
        self.checks.ok(counted, "twenty followers came and went", counted)


def story(checks):
    with Node(checks) as node:
        node.build_image()
        all_of_it = Story(checks, node)
        for part in (all_of_it.life, all_of_it.missed, all_of_it.slow, all_of_it.leaves):
            part()


c.main(story)
