#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 900
# faults
"""kill -9 of gantryd, many times, while many containers log and some of them end: nothing that they do is lost. And once beside a shim
that hangs: nobody waits for it, and its pod is whole again as soon as it goes on."""
import os
import pathlib
import random
import select
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from loggers import Logger
from node import Node, is_alive, read_pids

KILLS = 8
PODS = 5


def end(logger):
    """Lets a container end by its own will: it does so in its own time, and this does not wait for it."""
    os.kill(logger.pid, signal.SIGTERM)


def beside_a_hung_shim(checks, node):
    pods = {name: (config := node.pod_config(name), node.run_pod(config)) for name in ("hung", "well")}
    loggers = {name: Logger(node, pod_id, config, "a", 0) for name, (config, pod_id) in pods.items()}
    hung, well = loggers["hung"], loggers["well"]
    hung_id, well_id = pods["hung"][1], pods["well"][1]
    created = node.create(hung_id, node.container_config("never", "true"), pods["hung"][0])
    shim = node.shim_pid(hung_id)
    with c.Process(shim) as process:
        process.signal(signal.SIGSTOP)
        try:
            before = len(node.log_file.read_text(errors="replace"))
            node.kill_gantryd()
            c.wait_until("a new gantryd answers", lambda: node.crictl("version", check=False).returncode == 0, pause=0.01)
            # When it has waited for a shim in vain it says that it can't be reached.
            said = c.wait_until("it says that it serves", lambda: " serving socket=" in (
                new := node.log_file.read_text(errors="replace")[before:]) and new)
            checks.ok("a shim can't be reached" not in said.split(" serving socket=")[0],
                      "a hung shim: the new gantryd does not wait for it before it serves", said)
            c.wait_until("the other pod's shim has answered", lambda: well_id not in node.crictl("info").stdout)
            checks.equal(node.crictl("exec", well.id, "echo", "hello").stdout, "hello\n", "a hung shim: other pods are usable")
            checks.equal((node.pods()[hung_id]["state"], node.containers()[hung.id]["state"]),
                         ("SANDBOX_READY", "CONTAINER_RUNNING"), "a hung shim: its pod is not taken for dead")
            checks.contains(node.crictl("info").stdout, hung_id, "a hung shim: gantryd's status names it")
            file = node.write(node.container_config("b", "true"))
            for call in (("exec", hung.id, "true"), ("exec", "--sync", hung.id, "true"), ("stop", hung.id), ("stopp", hung_id),
                         ("rmp", "--force", hung_id), ("start", created), ("rm", created), ("create", hung_id, file, node.write(pods["hung"][0]))):
                checks.contains(node.refusal(*call), ["Unavailable", "does not answer"], f"a hung shim: {call[0]} says so")
        finally:
            process.signal(signal.SIGCONT)
    c.wait_until("the pod can be entered again", lambda: node.crictl("exec", hung.id, "true", check=False).returncode == 0)
    checks.equal((node.shim_pid(hung_id), node.container_pid(hung.id)), (shim, hung.pid),
                 "a shim that goes on: its pod is whole again, with the processes of before")
    checks.ok(hung_id not in node.crictl("info").stdout, "a shim that goes on: gantryd's status is clean again")
    node.crictl("start", created)
    c.wait_until("it ran", lambda: node.container_status(created)["state"] == "CONTAINER_EXITED")
    for logger in (hung, well):
        node.crictl("stop", "--timeout", "30", logger.id)
    checks.equal([fault for logger in (hung, well) for fault in logger.faults_of_status() + logger.faults_of_log()], [],
                 "a shim that goes on: no line and no exit code is lost")

    # One that ends in the midst of that is dead, and is seen to be.
    with c.Process(shim) as process:
        process.signal(signal.SIGSTOP)
        node.kill_gantryd()
        node.wait_for_gantryd(all_pods=False)
        process.kill()
    c.wait_until("its pod has ended", lambda: node.pods()[hung_id]["state"] == "SANDBOX_NOTREADY")
    checks.ok(True, "a hung shim that is killed: its pod ends")
    for _, pod_id in pods.values():
        node.crictl("rmp", "--force", pod_id)


def during_a_launch(checks, node):
    """gantryd dies while the shim starts containers, which a frozen cgroup holds up: the next one hears how that ended."""
    config = node.pod_config("launch")
    pod_id = node.run_pod(config)
    pod_cgroup = node.root / "sys/fs/cgroup" / node.json("inspectp", pod_id)["info"]["cgroup"].lstrip("/")
    script = {"stays": "exec sleep 1000", "ends": "exit 7", "asked": "exec sleep 1000"}
    ids = {name: node.create(pod_id, node.container_config(name, text), config) for name, text in script.items()}
    cgroups = {name: pod_cgroup / i for name, i in ids.items()}
    node.run_container(pod_id, node.container_config("first", "exec sleep 1000"), config)  # makes the pod's cgroup
    for cgroup in cgroups.values():
        cgroup.mkdir()
        (cgroup / "cgroup.freeze").write_text("1")
    starts = [threading.Thread(target=node.crictl, args=("start", i), kwargs={"check": False}) for i in ids.values()]
    for start in starts:
        start.start()
    c.wait_until("all are on their way", lambda: all(read_pids(cgroup) for cgroup in cgroups.values()))
    node.kill_gantryd()
    for start in starts:
        start.join()
    node.wait_for_gantryd()
    checks.equal({node.container_status(i)["state"] for i in ids.values()}, {"CONTAINER_CREATED"},
                 "a launch without gantryd: what has not started is not shown as started")
    again = threading.Thread(target=node.crictl, args=("start", ids["asked"]))
    again.start()
    for cgroup in cgroups.values():
        (cgroup / "cgroup.freeze").write_text("0")
    again.join()
    states = {"stays": "CONTAINER_RUNNING", "ends": "CONTAINER_EXITED", "asked": "CONTAINER_RUNNING"}
    c.wait_until("all are shown as they are", lambda: {n: node.container_status(i)["state"] for n, i in ids.items()} == states)
    checks.equal(node.container_status(ids["ends"])["exitCode"], 7, "a launch without gantryd: its exit code is known")
    checks.ok(all(is_alive(node.container_pid(ids[name])) for name in ("stays", "asked")),
              "a launch without gantryd: what runs is shown with its process")
    checks.equal(node.crictl("exec", ids["stays"], "echo", "hello").stdout, "hello\n", "a launch without gantryd: it can be entered")
    node.crictl("rmp", "--force", pod_id)


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
                    leaving.wait_for_record()
            elif leaving and chance.random() < 0.5:
                end(leaving)
                killed.add(node.kill_gantryd())
            else:
                killed.add(node.kill_gantryd())
                if leaving:
                    end(leaving)
            c.log(f"kill {kill + 1}: {f'{leaving.name} ends' if leaving else 'nobody ends'}")
        checks.equal(len(killed), KILLS - 1, "every kill met a gantryd of its own")
        node.wait_for_gantryd()  # which takes its time with one that ends again and again

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
        beside_a_hung_shim(checks, node)
        during_a_launch(checks, node)
        checks.equal((node.pods(), node.containers()), ({}, {}), "all of it can be removed")


c.main(story)
