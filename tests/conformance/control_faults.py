#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 900
# faults
"""gantry-control keeps its word: clients that compare and write, contenders for a lease and watchers agree while the server is
killed with -9 and its disk is full, and, over three members of etcd, while the leader is killed, stopped and cut off from
the others. The network is one of this program's own."""
import ctypes
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from api_history import Connection, History
from control import Control
from judgement import Judgement
from stores import Etcd

SEED = int(os.environ.get("GANTRY_TEST_SEED", "9"))
KILLS = 60 if c.ALL else 5
FULL = 6 if c.ALL else 1
TURNS = 24 if c.ALL else 3
CLONE_NEWNET = 0x40000000
MIB = 1 << 20


def run(*command):
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise c.Failure(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


# ---- the judge -------------------------------------------------------------------------------------------------------------

class Seen:
    """What a watcher of [0, 9] notes."""

    def __init__(self, *events):
        self.events, self.parts, self.gone = list(events), [[0, 9]], 0


def the_judge(checks):
    """A judge that finds nothing proves nothing: it is shown each thing that must not be."""
    first, second, gone = (1, "ADDED", "key", "a"), (2, "MODIFIED", "key", "b"), (3, "DELETED", "key", "b")
    good = Seen(first, second, gone, (4, "ADDED", "kube-root-ca.crt", None))
    writes = [("key", "a", 0, 1), ("key", "b", 1, 2), ("key", None, 2, None)]
    when = "2026-01-01T00:00:0{}Z".format

    def lease(*events):
        return Seen(*((i, "MODIFIED", "one", {"holderIdentity": who, "renewTime": when(at)})
                      for i, (who, at) in enumerate(events)))

    def found(watchers=(good, good), answered=writes, refused=(), beliefs=(), leases=lease()):
        return "; ".join(Judgement(["key"], answered, refused, beliefs, watchers, leases).problems())

    refused = [("key", None, 2), ("key", "c", 1)]
    turns = [(0, 2, "x"), (2, 4, "y")]
    checks.equal(found(refused=refused, beliefs=turns, leases=lease(("x", 0), ("x", 1), ("y", 3))), "",
                 "the judge finds nothing in what may be")
    for what, seen in {
        "two watchers see": found((good, Seen(first, (2, "MODIFIED", "key", "z"), gone)), []),
        "missed [2]": found((good, Seen(first, gone))),
        "after 2": found((good, Seen(second, first, gone))),
        "was written 2 times": found([Seen(first, (2, "MODIFIED", "key", "a"))], []),
        "was answered, and did not happen": found([Seen(first, second)]),
        "and is not in the history": found(answered=[*writes, ("key", "d", 0, 5)]),
        "which is": found(answered=[("key", "d", 0, 1)]),
        "its client had seen 7": found(answered=[("key", "b", 7, 2)]),
        "was refused, and is in the history": found(refused=[("key", "b", 1)]),
        "had the lease 1.000 s before x's ended": found(beliefs=[(0, 2, "x"), (1, 3, "y")]),
        "took the lease at": found(leases=lease(("x", 0), ("y", 1))),
    }.items():
        checks.contains(seen, what, f"the judge finds: {what}")


# ---- SQLite ----------------------------------------------------------------------------------------------------------------

def kills(checks):
    rng = random.Random(SEED)
    with Control(checks) as control:
        with History(control, SEED) as history:
            for _ in range(KILLS):
                history.wait_for_writes(rng.randrange(5, 60))
                control.kill()
                control.start()
            history.wait_for_writes(20)
        checks.ok(True, f"it was killed {KILLS} times and started again")
        history.judge(checks)


class SmallDisk:
    """A tmpfs in a mount namespace of its own, which lives as long as its keeper. `path` is seen from outside."""

    def __init__(self, folder, size):
        self.folder = folder
        script = 'mount -t tmpfs -o "size=$1" small "$0" && echo mounted && exec cat'
        self.keeper = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, folder, str(size)],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.keeper.stdout.readline() != b"mounted\n":
            raise c.Failure("no small disk can be mounted")
        self.path = pathlib.Path(f"/proc/{self.keeper.pid}/root{folder}")
        self.enter = ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt"]

    def fill(self):
        """All but nothing of it."""
        with open(self.path / "ballast", "ab") as ballast:
            for size in (MIB, 4096):
                try:
                    while True:
                        os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, size)
                except OSError:
                    pass

    def free(self):
        (self.path / "ballast").unlink()

    def end(self):
        self.keeper.stdin.close()
        self.keeper.wait()


def full_disk(checks):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gantry-small-"))
    disk = SmallDisk(folder, 64 * MIB)
    try:
        with Control(checks, data=folder, seen=disk.path, enter=disk.enter) as control:
            with History(control, SEED + 1) as history:
                for turn in range(FULL):
                    history.wait_for_writes(30)
                    disk.fill()
                    connection = Connection(control)
                    # What it has set aside is used up first.
                    body = {"metadata": {"name": "large"}, "data": {"v": "x" * 500_000}}
                    status = c.wait_until("a write finds the disk full", lambda: (
                        lambda seen: seen if seen[0] not in (0, 200, 201, 409) else None)(
                        connection.call("POST", "/api/v1/namespaces/default/configmaps",
                                        body | {"metadata": {"generateName": "large-"}})), limit=60)
                    checks.ok(status[0] in (500, 507, 429, 503) and "full" in str(status[1].get("message")),
                              "a write to a full disk says so", status)
                    checks.equal(connection.call("GET", "/api/v1/namespaces/default")[0], 200, "and reads go on")
                    if turn % 2:
                        control.kill()
                    disk.free()
                    if turn % 2:
                        control.start()
                    history.wait_for_writes(30)
                    checks.ok(True, "with room made, writes are answered again")
                    connection.call("DELETE", "/api/v1/namespaces/default/configmaps")
            history.judge(checks)
    finally:
        disk.end()
        shutil.rmtree(folder, ignore_errors=True)


# ---- etcd ------------------------------------------------------------------------------------------------------------------

class CutEtcd(Etcd):
    """Its members are in network namespaces of their own, on one bridge, and can be cut off."""

    def __init__(self, folder):
        super().__init__(folder, 3)
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "bridge", "type", "bridge")
        run("ip", "address", "add", "10.9.0.254/24", "dev", "bridge")
        run("ip", "link", "set", "bridge", "up")
        self.clients = [f"http://10.9.0.{i + 1}:2379" for i in range(3)]
        self.peers = [f"http://10.9.0.{i + 1}:2380" for i in range(3)]
        self.store = "etcd:" + ",".join(self.clients)
        self.keepers = [self.make_namespace(i) for i in range(3)]

    def make_namespace(self, i):
        keeper = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo made && exec cat"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        keeper.stdout.readline()
        run("ip", "link", "add", f"to-{i}", "type", "veth", "peer", "name", "eth0", "netns", keeper.pid)
        run("ip", "link", "set", f"to-{i}", "master", "bridge", "up")
        inside = ("nsenter", f"--net=/proc/{keeper.pid}/ns/net")
        run(*inside, "ip", "link", "set", "lo", "up")
        run(*inside, "ip", "address", "add", f"10.9.0.{i + 1}/24", "dev", "eth0")
        run(*inside, "ip", "link", "set", "eth0", "up")
        return keeper

    def command(self, i):
        return ["nsenter", f"--net=/proc/{self.keepers[i].pid}/ns/net"]

    def cut(self, i):
        run("ip", "link", "set", f"to-{i}", "down")

    def mend(self, i):
        run("ip", "link", "set", f"to-{i}", "up")

    def leader(self):
        """Which member has the lead, by its own word. One that does not answer has not."""
        for i in range(3):
            probe = subprocess.run([*self.command(i), "curl", "-s", "-m", "2", "-d", "{}", f"{self.clients[i]}/v3/maintenance/status"],
                                   stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
            found = re.search(r'"member_id":"(\d+)".*"leader":"(\d+)"', probe.replace(" ", ""))
            if found and found.group(1) == found.group(2):
                return i
        return None

    def __exit__(self, *failure):
        super().__exit__(*failure)
        for keeper in self.keepers:
            keeper.stdin.close()
            keeper.wait()


def members(checks):
    with tempfile.TemporaryDirectory(prefix="gantry-etcd-") as name, CutEtcd(pathlib.Path(name)) as etcd:
        with Control(checks, ["--store", etcd.store]) as control:
            with History(control, SEED + 2) as history:
                for turn in range(TURNS):
                    history.wait_for_writes(30, limit=60)
                    leader = c.wait_until("there is a leader", lambda: [each for each in [etcd.leader()] if each is not None])[0]
                    hurt = (etcd.cut, etcd.kill, lambda i: etcd.signal(i, signal.SIGSTOP))[turn % 3]
                    mend = (etcd.mend, etcd.start, lambda i: etcd.signal(i, signal.SIGCONT))[turn % 3]
                    hurt(leader)
                    # The other two have a majority, and the server finds them.
                    history.wait_for_writes(10, limit=60)
                    mend(leader)
                    if turn % 3 == 2:
                        control.kill()
                        control.start()
                history.wait_for_writes(20, limit=60)
            checks.ok(True, "it went on without the leader, cut off, killed and stopped")
            history.judge(checks)


def story(checks):
    the_judge(checks)
    kills(checks)
    full_disk(checks)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise c.Failure(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    members(checks)


c.main(story)
