#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 3600
# faults
"""kill -9 in the middle of pulls: of `gantry image pull`, and of gantryd. Whatever step they were at, every file of every
layer that the store calls complete is as its tar entry says, the next pull succeeds, and nothing is left that is nobody's.

The seed is printed; GANTRY_SEED repeats its choices, though not the moments."""
import contextlib
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import cycles
import faulty_registry as f
from layered import layered_images
from node import BIN, Node
from pulls import MIB, world_of
from registry import network_of
from vm import layers

KILLS = 300 if c.ALL else 25
KILLS_OF_GANTRYD = 40 if c.ALL else 4
HERE = layers.Here()


def serve(registry):
    images, known = layered_images(4 * MIB)
    return [registry.put(f"test/{number}:1", image) for number, image in enumerate(images)], known


def children_of(pid):
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError, c.Failure):
                for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                    yield c.Process(int(child))


class Story:
    def __init__(self, checks, lib, known, sweep):
        """`sweep` opens the store: whoever does that removes what is nobody's."""
        self.checks, self.lib, self.known, self.sweep = checks, lib, known, sweep
        self.faults, self.complete, self.workers = [], [], 0

    def note(self, round_, what, detail):
        if detail:
            self.faults.append(f"kill {round_}: {what}: {detail}")

    def whole(self, round_, when):
        complete, wrong = layers.wrong_layers(HERE, self.known, self.lib)
        self.note(round_, f"{when}: layers that are not as they were made", wrong)
        self.note(round_, f"{when}: blobs that are not what they are called", layers.wrong_blobs(HERE, self.lib))
        return complete

    def nothing_is_nobodys(self, round_, when):
        # A worker that was just starting holds its folder until its exec, so that the first to sweep passes it over.
        with contextlib.suppress(c.Failure):
            c.wait_until("nothing is nobody's", lambda: not any(layers.strays(HERE, self.lib)) or self.sweep() and False)
        strays, unfinished = layers.strays(HERE, self.lib)
        self.note(round_, f"{when}: nobody's", strays)
        self.note(round_, f"{when}: half made", unfinished)

    def empty(self, round_):
        self.nothing_is_nobodys(round_, "all removed")
        left = [name for folder in ("l", "blobs", "i") for name in os.listdir(self.lib / "store" / folder)]
        self.note(round_, "all removed: left", left)

    def end(self, what, kills):
        self.checks.ok(not self.faults, f"{what}: layers and blobs were whole, and nothing was nobody's, after each of "
                       f"{kills} kills", "\n".join(self.faults[:20]))
        early = sum(1 for complete in self.complete if not complete)
        c.log(f"{what}: after {early} of {kills} kills no layer was complete, after the others {max(self.complete)} at most")


def of_a_command(checks, chance):
    with world_of(checks) as world:
        names, known = serve(world.registry)
        story = Story(checks, world.data, known, lambda: world.gantry("list"))
        start = time.monotonic()
        world.taken("an image, to see how long it takes", names[0])
        whole = time.monotonic() - start
        world.gantry("remove", names[0])
        mounts = pathlib.Path("/proc/self/mountinfo").read_text().count("\n")
        for round_ in range(KILLS):
            name = chance.choice(names)
            pull = subprocess.Popen([BIN / "gantry", "image", "--data-dir", world.data, "pull", name],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0, whole * 1.1))
            with contextlib.ExitStack() as stack:
                workers = [stack.enter_context(worker) for worker in children_of(pull.pid)]
                pull.kill()
                pull.wait()
                story.workers += len(workers)
                story.note(round_, "workers that outlive it", [w.pid for w in workers if not w.has_ended(c.PATIENCE)])
            story.complete.append(story.whole(round_, "killed"))
            done = world.pull(name)
            story.note(round_, "the next pull fails", done.returncode and done.stderr)
            if story.whole(round_, "pulled again") < 4:
                story.note(round_, "pulled again", "fewer than its four layers are complete")
            story.nothing_is_nobodys(round_, "pulled again")
            if chance.random() < 0.7:  # else the next one finds some of its layers
                for there in world.gantry("list", "--quiet").stdout.split():
                    world.gantry("remove", there)
                story.empty(round_)
        story.end("gantry image pull", KILLS)
        checks.ok(story.workers, f"{story.workers} workers were at it when their pulls were killed, and ended with them")
        checks.equal(pathlib.Path("/proc/self/mountinfo").read_text().count("\n"), mounts, "nothing is mounted")


def of_gantryd(checks, chance):
    with Node(checks) as node, network_of(node.supervisor()), f.FaultyRegistry() as registry:
        names, known = serve(registry)
        story = Story(checks, node.lib, known, lambda: node.image("list"))

        start = time.monotonic()
        node.crictl("pull", names[0])
        whole = time.monotonic() - start
        node.crictl("rmi", names[0])

        with cycles.leaves_nothing(checks, node, "kills in the middle of pulls"):
            for round_ in range(KILLS_OF_GANTRYD):
                chosen = chance.sample(names, 2)
                calls = [threading.Thread(target=node.crictl, args=("pull", name), kwargs={"check": False}) for name in chosen]
                for call in calls:
                    call.start()
                time.sleep(chance.uniform(0, whole * 1.5))
                node.kill_gantryd()
                for call in calls:
                    call.join()
                node.wait_for_gantryd()
                story.complete.append(story.whole(round_, "killed"))
                for name in chosen:
                    node.crictl("pull", name)
                story.whole(round_, "pulled again")
                story.nothing_is_nobodys(round_, "pulled again")
                for name in chosen:
                    node.crictl("rmi", name)
                story.empty(round_)
        story.end("gantryd", KILLS_OF_GANTRYD)


def story(checks):
    seed = int(os.environ.get("GANTRY_SEED") or random.SystemRandom().randrange(10**6))
    c.log(f"GANTRY_SEED={seed}")
    of_a_command(checks, random.Random(seed))
    of_gantryd(checks, random.Random(seed))


c.main(story)
