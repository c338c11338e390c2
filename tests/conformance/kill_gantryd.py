#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 900
"""kill -9 of gantryd, many times, while many containers log and some of them end: nothing that they do is lost."""
import os
import pathlib
import random
import select
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from loggers import Logger
from node import Node, is_alive

KILLS = 8
PODS = 5


def end(logger):
    """Lets a container end by its own will: it does so in its own time, and this does not wait for it."""
    os.kill(logger.pid, signal.SIGTERM)


def story(checks):
    seed = int(os.environ.get("SEED") or time.time_ns() % 1_000_000)
    c.log(f"SEED={seed}")
    chance = random.Random(seed)
    with Node(checks) as node:
        node.build_image()
        running, ended, pods = [], [], {}
        for p in range(PODS):
            pod = node.pod_config(f"pod{p}")
            pod_id = node.run_pod(pod)
            pods[pod_id] = node.pod_status(pod_id)["createdAt"]
            running += [Logger(node, pod_id, pod, name, 10 * p + code) for name, code in (("a", 0), ("b", 3))]
        shims = sorted(node.shim_pid(pod_id) for pod_id in pods)
        pids = {logger.id: logger.pid for logger in running}
        lines_before = sum(logger.lines() for logger in running)

        killed = set()
        for kill in range(KILLS):
            # From early in its start on, up to long after it.
            select.select([], [], [], chance.choice([0.02, 0.1, 0.3, 1.0, 2.5]) * chance.random())
            leaving = running.pop(chance.randrange(len(running))) if kill % 2 else None
            if leaving:
                ended.append(leaving)
            if kill == 3:
                with node.without_gantryd():  # one that is certain to end while there is no gantryd at all
                    end(leaving)
                    c.wait_until(f"{leaving.name} ends", lambda: not is_alive(leaving.pid))
            elif leaving and chance.random() < 0.5:
                end(leaving)
                killed.add(node.kill_gantryd())
            else:
                killed.add(node.kill_gantryd())
                if leaving:
                    end(leaving)
            c.log(f"kill {kill + 1}: {f'{leaving.name} ends' if leaving else 'nobody ends'}")
        checks.equal(len(killed), KILLS - 1, "every kill met a gantryd of its own")
        node.wait_for_gantryd()

        for logger in ended:
            c.wait_until(f"crictl knows that {logger.name} ended",
                         lambda logger=logger: node.container_status(logger.id)["state"] == "CONTAINER_EXITED")
        checks.equal({p: (item["state"], node.pod_status(p)["createdAt"]) for p, item in node.pods().items()},
                     {p: ("SANDBOX_READY", created) for p, created in pods.items()}, "all pods are ready, of their old age")
        checks.equal(sorted(node.shim_pid(pod_id) for pod_id in pods), shims, "the shims are those of before")
        checks.equal({i: item["state"] for i, item in node.containers().items()},
                     {l.id: "CONTAINER_RUNNING" for l in running} | {l.id: "CONTAINER_EXITED" for l in ended},
                     "crictl shows each container in its true state")
        faults = [f"{l.name}: startedAt {s['startedAt']}, was {l.started_at}" for l in running
                  if (s := node.container_status(l.id))["startedAt"] != l.started_at]
        checks.ok(not faults, "those that run have their true start times", "\n".join(faults))
        checks.equal({l.id: node.container_pid(l.id) for l in running}, {l.id: pids[l.id] for l in running},
                     "those that run are the processes of before")
        checks.ok(all(is_alive(l.pid) for l in running), "no container that should run has ended")

        # What gantryd takes over it can also serve: exec, and stop with its grace period.
        said = node.crictl("exec", running[0].id, "echo", "still here").stdout
        checks.equal(said, "still here\n", "exec enters a container that was taken over")
        for logger in running:
            node.crictl("stop", "--timeout", "30", logger.id)
        everyone = running + ended
        faults = [fault for logger in everyone for fault in logger.faults_of_status()]
        checks.ok(not faults, "each container has its own exit code, and the times that it was started and ended",
                  "\n".join(faults))
        faults = [fault for logger in everyone for fault in logger.faults_of_log()]
        checks.ok(not faults, "no line of any log is lost, doubled, cut or out of order", "\n".join(faults))
        lines = sum(logger.lines() for logger in everyone)
        c.log(f"{lines} lines, {lines_before} of them before the first kill")
        for pod_id in pods:
            node.crictl("rmp", "--force", pod_id)
        checks.equal((node.pods(), node.containers()), ({}, {}), "all of it can be removed")


c.main(story)
