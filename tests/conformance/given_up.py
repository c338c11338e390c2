#!/usr/bin/env -S /usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# faults
"""Calls that gRPC's C library gives up, some before it has opened their streams, on connections that are full: all others are
answered, and no connection ends."""
import collections
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import grpc
from cri_grpc import Cri, Messages
from node import Node

CLIENTS = 16
SECONDS = 60 if c.ALL else 6
ROUNDS = 200  # on one connection: a server may end one that resets a thousand streams
EXPECTED = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.DEADLINE_EXCEEDED}


class Client(threading.Thread):
    def __init__(self, node, v1, number):
        super().__init__()
        self.node, self.v1, self.random = node, v1, random.Random(number)
        self.answers, self.faults = collections.Counter(), []

    def run(self):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            cri = Cri(self.node, self.v1)
            for _ in range(ROUNDS):
                self.some_calls(cri)
            cri.close()

    def some_calls(self, cri):
        calls = []
        for _ in range(self.random.randrange(1, 4)):
            # A long one fills what the connection takes at once.
            request = self.v1.ContainerStatusRequest(container_id="x" * self.random.choice([5, 60000]))
            calls.append(cri.start("ContainerStatus", request, self.random.choice([None, 0.0005, 0.001, 0.002, 0.005])))
        if self.random.random() < 0.5:
            calls[0].cancel()
        for call in calls:
            try:
                call.result()
                self.faults.append("a container was found that is not there")
            except grpc.FutureCancelledError:
                self.answers["cancelled"] += 1
            except grpc.RpcError as error:
                self.answers[error.code().name] += 1
                if error.code() not in EXPECTED:
                    self.faults.append(f"{error.code().name}: {error.details()}")


def story(checks):
    with Messages() as v1, Node(checks) as node:
        clients = [Client(node, v1, number) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        answers = sum((client.answers for client in clients), collections.Counter())
        c.log(f"answers: {dict(answers)}")
        faults = [fault for client in clients for fault in client.faults]
        checks.ok(not faults, "every call is answered as its connection goes on", "\n".join(faults[:20]))
        checks.ok(all(answers[name] > 10 for name in ("cancelled", "DEADLINE_EXCEEDED", "NOT_FOUND")),
                  "many were given up, and many were not")


c.main(story)
