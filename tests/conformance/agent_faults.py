#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 900
# faults
"""A node whose world breaks: gantryd is killed fifty times while pods come and go, the API server is away, or takes connections and does
not answer, and what is mounted hangs. No pod runs twice, none is unready for it, no status goes backwards, and nothing is left."""
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import cycles
from churn import Churn, kill_often
from cluster import ready_node
from hung_mount import DEVICE, HungMount

KILLS = 50
# Of gantryd itself, which is another one afterwards.
ITS_OWN = ("open fds of gantryd", "threads of gantryd")


def kills(world):
    with cycles.leaves_nothing(world.checks, world.node, "the kills", lambda what, *_: what in ITS_OWN):
        with Churn(world.node, world.control, world.seed) as churn:
            stays = churn.create("stays", "stays")
            churn.watcher.wait_for("stays", "Ready")
            began = time.monotonic()
            killed = kill_often(world.node, KILLS, world.seed)
            c.log(f"{KILLS} kills in {time.monotonic() - began:.0f} s")
            world.node.wait_for_gantryd()
            world.checks.equal(len(killed), KILLS, "every kill met a gantryd of its own")
            churn.finish()
            status = world.control.json("get", "pod", "stays")["status"]["containerStatuses"][0]
            world.checks.equal((status["restartCount"], status["ready"]), (0, True), "who was there all the time was never restarted")
            churn.delete("stays", stays)
        c.log(f"{dict(churn.done)}, {churn.watcher.events} events")
        world.checks.ok(all(churn.done.values()) and len(churn.done) == 3, "pods of each kind came and went", str(churn.done))
        faults = churn.faults()
        world.checks.ok(not faults, "no pod ran twice, none was unready for it, no status went backwards", "\n".join(faults[:20]))


class World:
    def __init__(self, checks, node, control, seed):
        self.checks, self.node, self.control, self.seed = checks, node, control, seed

    def container(self, name):
        """(id, attempt) of the newest one of the pod, that runs; None: there is none."""
        found = [(key, item["metadata"].get("attempt", 0)) for key, item in self.node.containers().items()
                 if item["labels"]["io.kubernetes.pod.name"] == name and item["state"] == "CONTAINER_RUNNING"]
        return max(found, key=lambda one: one[1]) if found else None

    def end(self, name):
        """Ends its container, and waits for the next one."""
        key, attempt = self.container(name)
        with c.Process(self.node.container_pid(key)) as process:
            process.kill()
        c.wait_until("the container runs again", lambda: (now := self.container(name)) and now[1] == attempt + 1, 120)

    def says(self, name, restarts):
        def holds():
            status = self.control.json("get", "pod", name)["status"]["containerStatuses"][0]
            return status["restartCount"] == restarts and status["ready"]
        c.wait_until(f"the API server hears of restart {restarts}", holds, 180)


def api_server(world):
    """It is away; then it stands still with its connections open, goes on, stands still again and dies in that."""
    control = world.control
    with Churn(world.node, control, world.seed, workers=0) as churn:
        churn.create("web", "stays")
        churn.watcher.wait_for("web", "Ready")
    ran = world.container("web")
    control.kill()
    world.end("web")
    control.start()
    world.says("web", 1)
    world.checks.ok(True, "a container is begun again while the API server is away, which hears of it afterwards")
    with c.standing(control.process.pid):
        world.end("web")
    world.says("web", 2)
    world.checks.ok(True, "and while it does not answer")
    with c.standing(control.process.pid):
        world.end("web")
        control.kill()
    control.start()
    world.says("web", 3)
    world.node.wait_until_ready(control)
    world.checks.ok(True, "and when it never answers what it was asked")
    world.checks.ok(world.container("web")[0] != ran[0], "it is another container by then")
    control.out("delete", "pod", "web", "--wait=false")
    c.wait_until("the pod is gone", lambda: not world.node.pods(), 180)


def hung_mounts(world):
    """More pods than the runtime has threads for the disk have a path of the host whose server does not answer."""
    what = "pods end whose host's paths hang, and others do not notice"
    if not DEVICE.exists():
        world.checks.skip(what, f"needs {DEVICE}")
        return
    names = [f"hung-{number}" for number in range(4)]
    with HungMount(world.node) as mount, Churn(world.node, world.control, world.seed, workers=0) as churn:
        watcher = churn.watcher
        churn.cut_short |= {churn.create(name, "stays", mount.path) for name in names}
        c.wait_until("all wait for it", lambda: len([one for one in world.node.containers().values()
                                                     if one["state"] == "CONTAINER_CREATED"]) == len(names), 300)
        other = churn.create("other", "stays")
        watcher.wait_for("other", "Ready")
        churn.kubectl("delete", "pod", *names, "--wait=false")
        watcher.wait("they are gone", lambda: not set(names) & set(watcher.pods))
        world.checks.ok(mount.hangs(), what)
        churn.delete("other", other)
    world.checks.equal(churn.faults(), [], "beside them nothing was unready, or ran twice")


def story(checks):
    seed = int(os.environ.get("SEED") or time.time_ns() % 1_000_000)
    c.log(f"SEED={seed}")
    with ready_node(checks) as (node, control):
        world = World(checks, node, control, seed)
        for number in range(cycles.WARM_UP):
            cycles.cycle(node, number)
        hung_mounts(world)
        api_server(world)
        kills(world)


c.main(story)
