# SPDX-License-Identifier: Apache-2.0
"""kill -9 of gantryd in the middle of what it does, while clients make and remove pods."""
import os
import random
import select
import threading
import time

import checks as c
import cycles

KILLS = 40
LIMIT = 300  # seconds for a call, which may succeed only when the kills are over
IDS = [{"host_id": 131072, "container_id": 0, "length": 65536}]
IN_USERS = {"security_context": {"namespace_options": {"pid": 1, "userns_options": {"mode": 0, "uids": IDS, "gids": IDS}}}}


class Client(threading.Thread):
    """Makes and removes pods, one after the other, and repeats each call until it succeeds, as kubelet does. Every second
    client's have user namespaces."""

    def __init__(self, node, number):
        super().__init__()
        self.node, self.number = node, number
        self.more = {"linux": IN_USERS} if number % 2 else {}
        self.ending, self.calls, self.retries, self.cycles, self.faults = False, 0, 0, 0, []

    def call(self, *arguments):
        deadline = time.monotonic() + LIMIT
        while True:
            done = self.node.crictl(*arguments, check=False)
            self.calls += 1
            if done.returncode == 0:
                return done.stdout.strip()
            # A start whose answer was lost may have been of a container that has ended since.
            if arguments[0] == "start" and "starts once" in done.stderr:
                return ""
            # crictl asks for the status of what it removes first: that there is none any more is the success of an earlier try.
            if arguments[0] in ("rm", "rmp") and "code = NotFound" in done.stderr:
                return ""
            if time.monotonic() > deadline:
                raise c.Failure(f"crictl {' '.join(arguments)}: no success within {LIMIT} s: {done.stderr}")
            self.retries += 1
            select.select([], [], [], 0.05)

    def cycle(self):
        pod = self.node.pod_config(f"client{self.number}", **self.more)
        pod["metadata"]["attempt"] = self.cycles
        sandbox, containers = self.node.write(pod), []
        pod_id = self.call("runp", sandbox)
        for name, script in (("stays", "exec sleep 1000"), ("ends", "echo said; exit 3")):
            config = self.node.container_config(name, script, log_path=f"{name}-{self.cycles}.log", **self.more)
            container = self.call("create", pod_id, self.node.write(config), sandbox)
            containers.append(container)
            self.call("start", container)
            if name == "ends":
                c.wait_until("its end is known", lambda: self.ended(container), LIMIT)
                said = self.node.log_of(pod, config).read_text()
                if said.count(" stdout F said\n") != 1:
                    self.faults.append(f"the log of a container that ran once: {said!r}")
        self.call("stop", "--timeout", "0", containers[0])
        if self.cycles % 2:
            for container in containers:
                self.call("rm", "--force", container)
        self.call("stopp", pod_id)
        self.call("rmp", pod_id)

    def ended(self, container):
        done = self.node.crictl("inspect", container, check=False)
        if done.returncode != 0 or '"state": "CONTAINER_EXITED"' not in done.stdout:
            return False
        if '"exitCode": 3' not in done.stdout:
            self.faults.append(f"exit 3 is shown as {done.stdout}")
        return True

    def run(self):
        try:
            while not self.ending:
                self.cycle()
                self.cycles += 1
        except Exception as error:  # told by the main thread
            self.faults.append(f"client {self.number}: {error}")


def opened_less(what, before, after):
    """A gantryd that was just started has opened less."""
    return "of gantryd" in what and after < before


def storm(checks, node):
    """On a node with the image of the tests."""
    seed = int(os.environ.get("SEED") or time.time_ns() % 1_000_000)
    c.log(f"SEED={seed}")
    chance = random.Random(seed)
    for number in range(cycles.WARM_UP):
        cycles.cycle(node, number)
    with cycles.leaves_nothing(checks, node, "the kills", opened_less):
        clients = [Client(node, number) for number in range(2)]
        for client in clients:
            client.start()
        try:
            for kill in range(KILLS):
                # A gantryd that dies young too often is held back by its supervisor: every fifth lives longer.
                if kill % 4 == 3:
                    c.wait_until("gantryd is there", node.gantryd_pid)
                select.select([], [], [], 2.2 if kill % 4 == 3 else 0.7 * chance.random())
                if any(client.faults for client in clients):
                    break
                node.kill_gantryd()
        finally:
            for client in clients:
                client.ending = True
            for client in clients:
                client.join()
        c.log(f"{KILLS} kills, {sum(x.cycles for x in clients)} pods, {sum(x.calls for x in clients)} calls, "
              f"{sum(x.retries for x in clients)} of them repeated")
        faults = [fault for client in clients for fault in client.faults]
        checks.ok(not faults, "every call succeeds in the end, every container runs once, and its end is told truly",
                  "\n".join(faults))
        node.wait_for_gantryd()
        checks.equal((node.pods(), node.containers()), ({}, {}), "no pod and no container is left in the listing")
