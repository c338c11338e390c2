# SPDX-License-Identifier: Apache-2.0
"""Cycles of run-and-remove, and the counts that must be afterwards what they were before."""
import concurrent.futures
import contextlib
import os
import pathlib
import re
import time

import checks as c
from node import Node, is_alive, walk

WARM_UP = 5
SHOWN_EVERY = 100
WORKERS = 3
POOL = 2  # sandboxes that wait ready-made
SETTLED_WITHIN = 120  # seconds


def listing(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


def counts(node):
    """Everything that a pod makes, counted. Of the kernel by what belongs to the node, of the disk by its folders."""
    supervisor, gantryd = node.supervisor(), node.gantryd_pid()
    folders = [str(folder.relative_to(node.cgroup)) for folder in walk(node.cgroup)]
    pids = [pid for pid in node.pids("") if is_alive(pid)]
    namespaces = {kind: set() for kind in ("net", "ipc", "uts", "mnt", "pid", "user")}
    for pid in [supervisor, *pids]:
        for kind, seen in namespaces.items():
            try:
                seen.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
            except OSError:
                pass  # it has ended since
    lib, run = node.lib, node.root / "run/gantry"
    fds = {}
    for fd in listing(f"/proc/{gantryd}/fd"):
        try:
            target = re.sub(r"\d+", "N", os.readlink(f"/proc/{gantryd}/fd/{fd}"))
        except OSError:
            continue
        fds[target] = fds.get(target, 0) + 1
    return {
        "processes": len(pids),
        "zombies": sum(1 for pid in node.pids("") if not is_alive(pid)),
        "mounts of the node": len(pathlib.Path(f"/proc/{supervisor}/mountinfo").read_text().splitlines()),
        "mounts of gantryd": len(pathlib.Path(f"/proc/{gantryd}/mountinfo").read_text().splitlines()),
        "cgroups": len(folders),
        **{f"{kind} namespaces": len(seen) for kind, seen in namespaces.items()},
        "interfaces": len(listing(node.root / "sys/class/net")),
        "routes": len(pathlib.Path(f"/proc/{supervisor}/net/route").read_text().splitlines()),
        "open fds of gantryd": sum(fds.values()),
        "threads of gantryd": len(listing(f"/proc/{gantryd}/task")),
        "open fds of shims": sum(len(listing(f"/proc/{pid}/fd")) for pid in node.shims()),
        "folders of sandboxes in /run": len(listing(run / "sandboxes")),
        "folders of sandboxes on disk": len(listing(lib / "sandboxes")),
        "container roots": len(listing(lib / "store/c")),
        "layers": len(listing(lib / "store/l")),
        "pods of crictl": len(node.pods()),
        "containers of crictl": len(node.containers()),
    }, {"cgroups": sorted(folders), "fds": fds}


def cycle(node, number, name="cycle"):
    """One pod with one container, run and removed; in turn in the ways that a client has for it."""
    pod = node.pod_config(name)
    pod_id = node.run_pod(pod)
    script = "exec sleep 1000" if number % 2 else "echo done"
    container = node.run_container(pod_id, node.container_config("main", script), pod)
    if number % 4 == 0:
        node.crictl("exec", container, "true", check=False)
    if number % 3 == 0:
        node.crictl("rmp", "--force", pod_id)
        return
    node.crictl("stop", "--timeout", "0", container)
    node.crictl("rm", container)
    node.crictl("stopp", pod_id)
    node.crictl("rmp", pod_id)


def story(checks, cycles):
    with Node(checks) as node:
        node.build_image()
        # One that stays all the time, as on a real node.
        stay = node.pod_config("stay")
        node.run_container(node.run_pod(stay), node.container_config("main", "exec sleep 100000"), stay)
        for number in range(WARM_UP):
            cycle(node, number)
        start = time.monotonic()
        # Side by side, so that one pod comes while another goes.
        with leaves_nothing(checks, node, f"{cycles} cycles"), concurrent.futures.ThreadPoolExecutor(WORKERS) as workers:
            for done in range(0, cycles, SHOWN_EVERY):
                numbers = range(done, min(done + SHOWN_EVERY, cycles))
                batch = [workers.submit(cycle, node, number, f"cycle{number}") for number in numbers]
                for future in batch:
                    future.result()
                c.log(f"{done + len(batch)} cycles in {time.monotonic() - start:.0f} s, gantryd {resident(node)} KiB")


def settle(node, wanted=None, may_differ=lambda what, before, after: False):
    """The counts, when the pool is full again and what ends in the background has ended: when they no longer change, or are
    those that are wanted, but for those that `may_differ`."""
    c.wait_until("the pool is full", lambda: node.json("info")["state"]["pool"] == POOL, SETTLED_WITHIN)
    deadline, steady, last = time.monotonic() + SETTLED_WITHIN, 0, None
    while time.monotonic() < deadline:
        now = counts(node)
        steady = steady + 1 if now[0] == last else 0
        last = now[0]
        if steady >= 5 if wanted is None else all(now[0][what] == count or may_differ(what, count, now[0][what])
                                                  for what, count in wanted.items()):
            return now
        time.sleep(0.2)
    return counts(node)


@contextlib.contextmanager
def leaves_nothing(checks, node, story, may_differ=lambda what, before, after: False):
    """A block after which every count is what it was before; but for those that `may_differ`."""
    before, details_before = settle(node)
    yield
    after, details_after = settle(node, before, may_differ)
    same = [checks.equal(after[what], count, f"{what}, after {story} as before") for what, count in before.items()
            if not may_differ(what, count, after[what])]
    if not all(same):
        c.log(f"before: {details_before}\nafter:  {details_after}")


def resident(node):
    status = pathlib.Path(f"/proc/{node.gantryd_pid()}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+)", status, re.M)[1])
