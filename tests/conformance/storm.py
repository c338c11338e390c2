#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 900
# tools: crictl
# faults
"""Mixed calls from 64 clients, each with a connection of its own, of which many are cancelled or have a deadline that is too short,
at any moment: none is answered wrongly, no name stays reserved, no id is stuck, and nothing is left in the end."""
import collections
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import grpc

import checks as c
import cycles
from cri_client import IMAGE
from cri_grpc import Cri, Messages
from node import Node

CLIENTS = 64
SECONDS = 300 if c.ALL else 20
SEED = random.SystemRandom().randrange(1 << 32)
PATIENCE = 120  # seconds for a call that nobody gives up
# What a call may be answered with when others of the same pod were given up in the middle: it was removed, or stopped, or
# started.
FINE = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS}
# A launch that a stop or a removal found in the middle.
ENDED = {("StartContainer", grpc.StatusCode.ABORTED), ("ExecSync", grpc.StatusCode.ABORTED)}
GIVEN_UP = {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}


class Client(threading.Thread):
    """Has one pod with two containers, of which it may or may not know the ids."""

    def __init__(self, node, v1, number):
        super().__init__()
        self.v1, self.number, self.cri = v1, number, Cri(node, v1)
        self.random = random.Random(SEED + number)
        self.over, self.faults, self.answers = False, [], collections.Counter()
        self.pod_id, self.containers = "", ["", ""]
        metadata = v1.PodSandboxMetadata(name=f"storm{number}", namespace="default", uid=f"uid{number}")
        self.pod = v1.PodSandboxConfig(metadata=metadata, log_directory=str(node.work / f"logs/storm{number}"))
        self.pod.linux.security_context.namespace_options.pid = v1.CONTAINER
        scripts = ("exec sleep 1000", "echo said; exit 3")
        self.configs = [self.container_config(name, script) for name, script in zip(("stays", "ends"), scripts)]

    def container_config(self, name, script):
        config = self.v1.ContainerConfig(image=self.v1.ImageSpec(image=IMAGE), command=["/bin/sh", "-c", script],
                                         metadata=self.v1.ContainerMetadata(name=name), log_path=f"{name}.log")
        config.linux.security_context.namespace_options.pid = self.v1.CONTAINER
        return config

    # ---- the storm ---------------------------------------------------------------------------------------------------

    def run(self):
        steps = [self.run_pod, self.create, self.create, self.start_one, self.start_one, self.exec_one, self.look, self.look,
                 self.update, self.stop_one, self.remove_one, self.stop_pod, self.remove_pod]
        try:
            while not self.over:
                self.random.choice(steps)()
        except Exception as error:  # pylint: disable=broad-except
            self.faults.append(f"client {self.number}: {error!r}")

    def give_up(self, method, request):
        """The answer to a call; None when there was none, because it was given up or could not be."""
        way = self.random.random()
        too_short = self.random.choice((0.001, 0.01, 0.1)) if way < 0.2 else None
        future = self.cri.start(method, request, too_short or PATIENCE)
        cancelled = 0.2 <= way < 0.4
        if cancelled:
            time.sleep(self.random.random() * 0.05)
            future.cancel()
        try:
            answer = future.result()
        except grpc.FutureCancelledError:
            self.answers["cancelled"] += 1
            return None
        except grpc.RpcError as error:
            code = error.code()
            self.answers[code.name.lower()] += 1
            is_fine = code in FINE or (method, code) in ENDED or (code in GIVEN_UP and (too_short or cancelled))
            if not is_fine:
                self.faults.append(f"{method} of client {self.number}: {code.name}: {error.details()}")
            return None
        self.answers["ok"] += 1
        return answer

    def run_pod(self):
        if answer := self.give_up("RunPodSandbox", self.v1.RunPodSandboxRequest(config=self.pod)):
            self.pod_id = answer.pod_sandbox_id

    def create(self):
        at = self.random.randrange(2)
        if answer := self.give_up("CreateContainer", self.v1.CreateContainerRequest(
                pod_sandbox_id=self.pod_id or "unknown", config=self.configs[at], sandbox_config=self.pod)):
            self.containers[at] = answer.container_id

    def any_container(self):
        return self.random.choice(self.containers) or "unknown"

    def start_one(self):
        self.give_up("StartContainer", self.v1.StartContainerRequest(container_id=self.any_container()))

    def exec_one(self):
        command = self.random.choice((["true"], ["sleep", "0.2"], ["seq", "1", "20000"]))
        self.give_up("ExecSync", self.v1.ExecSyncRequest(container_id=self.any_container(), cmd=command))

    def look(self):
        self.give_up(*self.random.choice((
            ("ListContainers", self.v1.ListContainersRequest()),
            ("ListPodSandbox", self.v1.ListPodSandboxRequest()),
            ("ListContainerStats", self.v1.ListContainerStatsRequest()),
            ("ContainerStatus", self.v1.ContainerStatusRequest(container_id=self.any_container(), verbose=True)),
            ("PodSandboxStatus", self.v1.PodSandboxStatusRequest(pod_sandbox_id=self.pod_id or "unknown", verbose=True)))))

    def update(self):
        self.give_up("ReopenContainerLog", self.v1.ReopenContainerLogRequest(container_id=self.any_container()))

    def stop_one(self):
        self.give_up("StopContainer", self.v1.StopContainerRequest(container_id=self.any_container(),
                                                                    timeout=self.random.randrange(2)))

    def remove_one(self):
        self.give_up("RemoveContainer", self.v1.RemoveContainerRequest(container_id=self.any_container()))

    def stop_pod(self):
        self.give_up("StopPodSandbox", self.v1.StopPodSandboxRequest(pod_sandbox_id=self.pod_id or "unknown"))

    def remove_pod(self):
        self.give_up("RemovePodSandbox", self.v1.RemovePodSandboxRequest(pod_sandbox_id=self.pod_id or "unknown"))

    # ---- after it ----------------------------------------------------------------------------------------------------

    def calm(self):
        """The same names are free, or still what they were; then all is removed."""
        call, v1 = self.cri.call, self.v1
        for sandbox in call("ListPodSandbox", v1.ListPodSandboxRequest()).items:
            if sandbox.metadata.name == self.pod.metadata.name:
                call("StopPodSandbox", v1.StopPodSandboxRequest(pod_sandbox_id=sandbox.id), PATIENCE)
                call("RemovePodSandbox", v1.RemovePodSandboxRequest(pod_sandbox_id=sandbox.id), PATIENCE)
        pod_id = call("RunPodSandbox", v1.RunPodSandboxRequest(config=self.pod), PATIENCE).pod_sandbox_id
        request = v1.CreateContainerRequest(pod_sandbox_id=pod_id, config=self.configs[0], sandbox_config=self.pod)
        container = call("CreateContainer", request, PATIENCE).container_id
        call("StartContainer", v1.StartContainerRequest(container_id=container), PATIENCE)
        said = call("ExecSync", v1.ExecSyncRequest(container_id=container, cmd=["echo", "calm"]), PATIENCE).stdout
        if said != b"calm\n":
            raise c.Failure(f"exec said {said!r}")
        call("StopPodSandbox", v1.StopPodSandboxRequest(pod_sandbox_id=pod_id), PATIENCE)
        call("RemovePodSandbox", v1.RemovePodSandboxRequest(pod_sandbox_id=pod_id), PATIENCE)


def main(checks):
    c.log(f"seed {SEED}, {CLIENTS} clients, {SECONDS} s")
    with Messages() as v1, Node(checks) as node:
        node.build_image()
        for number in range(cycles.WARM_UP):
            cycles.cycle(node, number)
        with cycles.leaves_nothing(checks, node, "the storm"):
            clients = [Client(node, v1, number) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            time.sleep(SECONDS)  # how long it storms is what the clock says
            for client in clients:
                client.over = True
            for client in clients:
                client.join(2 * PATIENCE)
            checks.ok(not any(client.is_alive() for client in clients), "every call of the storm is answered")
            answers = sum((client.answers for client in clients), collections.Counter())
            c.log(f"answers: {dict(answers)}")
            faults = [fault for client in clients for fault in client.faults]
            checks.ok(not faults, "every answer is one that the call may have", "\n".join(faults[:20]))
            checks.ok(all(answers[name] for name in ("ok", "cancelled", "deadline_exceeded")), "calls succeeded and were given up")
            stuck = []
            for client in clients:
                try:
                    client.calm()
                except (grpc.RpcError, c.Failure) as error:
                    stuck.append(f"client {client.number}: {error}")
                client.cri.close()
            checks.ok(not stuck, "afterwards every name is free, and a pod of it lives and goes", "\n".join(stuck[:10]))


c.main(main)
