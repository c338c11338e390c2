#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
# faults
"""A pull ends when the last of those who wait for it has left, and a slow registry does not take all places."""
import concurrent.futures
import os
import pathlib
import signal
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import faulty_registry as f
from node import BIN, Node
from pulls import layer
from registry import RemoteImage, network_of


def story(checks):
    with Node(checks) as node, network_of(node.supervisor()), f.FaultyRegistry() as slow, f.FaultyRegistry() as quick, \
            concurrent.futures.ThreadPoolExecutor(40) as pool:
        image = RemoteImage(layer("a"))
        name = slow.put("test/a:1", image)
        path = f"/v2/test/a/blobs/{image.document['layers'][0]['digest']}"
        good = slow.routes[path]
        cancelled(checks, node, slow, name, path)

        gate = threading.Event()
        slow.routes[path] = f.behind(gate, good)
        impatient, patient = pool.submit(pull, node, name, 5), pool.submit(pull, node, name, 110)
        impatient.result()
        gate.set()
        done = patient.result()
        checks.ok(done.returncode == 0, "of two callers one leaves: the other gets the image", done.stderr)

        gate = threading.Event()
        slow.routes |= {f"/v2/test/{i}/manifests/1": f.behind(gate, f.answer(404)) for i in range(26)}
        pulls = [pool.submit(pull, node, f"{slow.host}/test/{i}:1", 110) for i in range(26)]
        c.wait_until("two of the pulls are refused", lambda: sum(one.done() for one in pulls) == 2, 90)
        for one in pulls:
            if one.done():
                checks.contains(one.result().stderr, ["24 others from this registry"],
                                "one registry has its share and no more")
        done = pull(node, quick.put("test/b:1", image), 50)
        checks.ok(done.returncode == 0, "meanwhile another registry's image is pulled", done.stderr)
        gate.set()

        with f.FaultyRegistry() as registry:
            interrupted(checks, node, registry)


def pull(node, name, seconds, *options):
    """With a client that is killed after so long."""
    return node.exec("timeout", str(seconds), "crictl", "--config", node.work / "crictl.yaml", "pull", *options, name,
                     check=False)


def leave(node, name, asked):
    """A client's pull that is killed once the registry is asked."""
    script = 'crictl --config "$1" pull "$2" & read line; kill -9 $!; wait $!'
    command = [BIN / "gantry", "node", "exec", node.name, "--", "sh", "-c", script, "sh", node.work / "crictl.yaml", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        if not asked.wait(60):
            raise c.Failure("the registry is not asked")
        client.stdin.close()
        client.wait(60)
    if client.returncode != 128 + signal.SIGKILL:
        raise c.Failure(f"a pull from a registry that hangs: exit status {client.returncode}")


def noting(asked, respond):
    def note(handler):
        asked.set()
        respond(handler)
    return note


def cancelled(checks, node, slow, name, path):
    """However a caller leaves: the registry sees it, and of the pull nothing is left."""
    good = slow.routes[path]
    for what in ("its caller is killed", "its deadline has passed"):
        asked, left = threading.Event(), threading.Event()
        slow.routes[path] = noting(asked, hang_until_left(left))
        if what == "its caller is killed":
            leave(node, name, asked)
        for seconds in (3, 30):  # a busy machine may not come as far as that in less
            if not asked.is_set():
                done = pull(node, name, 110, "--pull-timeout", f"{seconds}s")
                checks.ok(done.returncode == 1, f"a pull from a registry that hangs, with {seconds} s for it", done.stderr)
        checks.ok(asked.is_set() and left.wait(60), f"{what}: the pull ends, too")
        slow.routes[path] = good
        ingests = node.lib / "store/i"
        checks.ok(c.wait_until("nothing is left", lambda: not os.listdir(ingests), 60), f"{what}: nothing is left of it")
    gate = threading.Event()
    asked = threading.Event()
    slow.routes[path] = noting(asked, f.behind(gate, good))
    leave(node, name, asked)
    gate.set()
    done = pull(node, name, 100)
    checks.ok(done.returncode == 0, "who comes while it ends gets the image", done.stderr)
    node.crictl("rmi", name)


def hang_until_left(left):
    def hang(handler):
        f.hang()(handler)
        left.set()
    return hang


def interrupted(checks, node, registry):
    """^C of `gantry image pull`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        image = RemoteImage(layer("a"), layer("b"))
        name = registry.put(f"test/{number.value}:1", image)
        asked, left = threading.Event(), threading.Event()

        def hang(handler, asked=asked, left=left):
            asked.set()
            hang_until_left(left)(handler)

        path = f"/v2/test/{number.value}/blobs/{image.document['layers'][1]['digest']}"
        registry.routes[path] = hang
        data = node.work / "data"
        with subprocess.Popen([BIN / "gantry", "image", "--data-dir", data, "pull", name], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as gantry:
            asked.wait(60)
            gantry.send_signal(number)
            _, said = gantry.communicate(timeout=60)
        checks.equal(gantry.returncode, -number.value, f"gantry image pull ends by {number.name}")
        checks.ok(left.wait(60), f"{number.name}: its connections end, too")
        found = {folder: os.listdir(data / "store" / folder) for folder in ("i", "l", "blobs")}
        checks.equal(found, {"i": [], "l": [], "blobs": []}, f"{number.name}: the store is as it was")
        checks.ok("cancelled" not in said, f"{number.name}: who asked for it need not be told", said)


c.main(story)
