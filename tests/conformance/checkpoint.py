#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl checkpointctl
# limit: 900
"""CheckpointContainer, by CRIU of Debian 13: an archive that tar and checkpointctl read, of a container that goes on as if nothing
were. What can't be done is one sentence; what is cut short, by its client, its time, a full disk or the end of gantryd, leaves
nothing, and a container that goes on. Given names of parts it tells those alone."""
import contextlib
import json
import os
import pathlib
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import OWN_PIDS
from node import Node, run

PEERS = pathlib.Path(__file__).resolve().parents[2] / "scripts/peers"
IDS = [{"host_id": 131072, "container_id": 0, "length": 65536}]
IN_USERS = {"security_context": {"namespace_options": {"pid": 1, "userns_options": {"mode": 0, "uids": IDS, "gids": IDS}}}}
# Counts by a pipe between two processes, with a file open; and has changed its root.
COUNTER = """
mkdir /made; echo hello > /made/file; rm -r /etc/group; mkdir /etc/group; rm /bin/dirname
exec 3>>/out/open; i=0
while :; do i=$((i+1)); echo $i >&3; echo $i; usleep 20000; done | while read n; do echo $n > /out/count; echo $n; done
"""
FILES = {"config.dump", "spec.dump", "status.dump", "status", "dump.log", "stats-dump", "container.log", "rootfs-diff.tar"}
# With some tens of MB in the memory of each of its processes.
LARGE = "x=$(busybox seq 1 2000000);" + COUNTER
# In the place of criu, for who would be too quick else.
SLOW = """#!/bin/sh
sleep 3
exec {} "$@"
"""


class World:
    counter_type = None  # for who has a script of another kind

    def __init__(self, checks, node, bin_folder, criu):
        self.checks, self.node, self.bin, self.criu, self.pods = checks, node, bin_folder, criu, 0
        self.out = node.work / "archives"
        self.out.mkdir()

    def install(self, slow=False):
        program = self.bin / "criu"
        program.unlink(missing_ok=True)
        if slow:
            program.write_text(SLOW.format(self.criu))
            program.chmod(0o755)
        else:
            program.symlink_to(self.criu)

    def settled(self):
        """When the worker of one that was cut short has ended, and what it made is gone."""
        c.wait_until("its worker ends", lambda: not workers(self.node), limit=120)
        c.wait_until("what it made goes", lambda: self.left() == [], limit=60)

    @contextlib.contextmanager
    def counter(self, script=COUNTER, pod_more=None, **more):
        self.pods += 1
        name = f"counter{self.pods}"
        pod = self.node.pod_config(name, **(pod_more or {}))
        pod_id = self.node.run_pod(pod)
        out = self.node.work / f"out-{name}"
        out.mkdir(mode=0o777)
        out.chmod(0o777)
        mounts = [{"container_path": "/out", "host_path": str(out)}]
        config = self.node.container_config(name, script, mounts=mounts, **more)
        container = (self.counter_type or Counter)(self, self.node.run_container(pod_id, config, pod), pod, pod_id, config, out)
        try:
            container.counts_on()
            yield container
        finally:
            self.node.crictl("rmp", "-f", pod_id)

    def left(self):
        """What an unfinished one would leave, in the node's folders."""
        return [str(path) for path in self.node.lib.glob("sandboxes/*/checkpoint-*")]


class Counter:
    def __init__(self, world, container_id, pod, pod_id, config, out):
        self.world, self.id, self.pod, self.pod_id, self.config, self.out = world, container_id, pod, pod_id, config, out

    def count(self):
        with contextlib.suppress(OSError, ValueError):
            return int((self.out / "count").read_text())
        return 0

    def counts_on(self):
        before = self.count()
        c.wait_until("it counts", lambda: self.count() > before + 3, limit=60)
        return True

    def checkpoint(self, location, check=True):
        return self.world.node.crictl("checkpoint", "--export", location, self.id, check=check)

    def is_whole(self):
        """Each number once, in both files."""
        written = whole_lines((self.out / "open").read_text())
        return all(lines == [str(n) for n in range(1, len(lines) + 1)] for lines in (self.logged(), written))

    def logged(self):
        return [line.split(" ", 3)[3] for line in whole_lines(self.world.node.log_of(self.pod, self.config).read_text())]


def whole_lines(text):
    """Without one that is just being written."""
    return text[:text.rfind("\n") + 1].splitlines()


def refused_without_criu(world):
    with world.counter() as counter:
        said = world.node.refusal("checkpoint", "--export", world.out / "none.tar", counter.id)
        world.checks.contains(said, ["criu is not installed", "Unimplemented"], "without criu one sentence says what is missing")
        world.checks.equal(list(world.out.iterdir()), [], "and there is no archive")


def archive(world):
    checks, location = world.checks, world.out / "counter.tar"
    with world.counter() as counter:
        pid, before = world.node.container_pid(counter.id), c.wait_until("it has logged", counter.logged)[-1]
        counter.checkpoint(location)
        checks.ok(counter.counts_on() and world.node.container_pid(counter.id) == pid, "a container that was checkpointed goes on")
        checks.ok(counter.is_whole(), "not a word of it is lost or said twice")
        checks.equal((stat.S_IMODE(location.stat().st_mode), location.stat().st_uid), (0o600, 0), "its archive is root's alone")
        checks.equal((world.left(), [path.name for path in world.out.iterdir()]), ([], [location.name]), "and nothing else is left")
        with tarfile.open(location) as tar:
            names = {member.name.removeprefix("./") for member in tar}
            config, spec, status = (json.load(tar.extractfile(name)) for name in ("config.dump", "spec.dump", "status.dump"))
            said = tar.extractfile("container.log").read().decode()
            with tarfile.open(fileobj=tar.extractfile("rootfs-diff.tar")) as changes:
                changed = {member.name.removeprefix("./").rstrip("/"): member for member in changes}
                text = changes.extractfile(changed["made/file"]).read()
            streams = json.load(tar.extractfile("checkpoint/descriptors.json"))
        checks.ok(FILES <= names and {"checkpoint/inventory.img", "checkpoint/pages-1.img"} <= names,
                  "it has the files that containerd's has", sorted(names))
        checks.equal((config["id"], config["name"], config["rootfsImageName"]), (counter.id, counter.config["metadata"]["name"],
                     world.node.container_status(counter.id)["image"]["image"]), "config.dump names container and image")
        checks.equal(spec["annotations"]["io.kubernetes.cri.sandbox-name"], counter.pod["metadata"]["name"], "spec.dump the pod")
        checks.ok(status["id"] == counter.id and isinstance(status["created_at"], int) and status["state"] == 1,
                  "status.dump is as Go reads it", status)
        kept = [line.split(" ", 3)[3] for line in whole_lines(said)]
        checks.ok(before in kept and kept == counter.logged()[:len(kept)], "container.log is its log up to then", (before, kept[-3:]))
        checks.equal((text, changed["etc/group"].isdir(), "bin/.wh.dirname" in changed, "bin/dirname" in changed),
                     (b"hello\n", True, True, False), "rootfs-diff.tar has what it changed, as a layer of an image")
        checks.ok(streams[0] == "/dev/null" and all(name.startswith("pipe:[") for name in streams[1:]),
                  "descriptors.json its streams", streams)
        shown = run(["checkpointctl", "show", location]).stdout
        checks.contains(shown, [counter.id[:12], "busybox", "ROOT FS DIFF SIZE"], "checkpointctl shows it")
        tree = run(["checkpointctl", "inspect", "--all", location]).stdout
        checks.contains(tree, ["Process tree", "Destination: /out", "Pod name: " + counter.pod["metadata"]["name"], "sh"],
                        "and what is in it: processes, files, mounts, the pod")
        location.write_text("old")
        counter.checkpoint(location)
        checks.ok(tarfile.is_tarfile(location) and stat.S_IMODE(location.stat().st_mode) == 0o600, "a file that is there is replaced")
        location.unlink()


def kinds(world):
    checks = world.checks

    def goes_on(what, **more):
        with world.counter(**more) as counter:
            counter.checkpoint(world.out / "kind.tar")
            checks.ok(counter.counts_on(), f"{what} can be checkpointed, and goes on")
            tree = run(["checkpointctl", "inspect", "--ps-tree", world.out / "kind.tar"]).stdout
            with tarfile.open(world.out / "kind.tar") as tar, tarfile.open(fileobj=tar.extractfile("rootfs-diff.tar")) as changes:
                owner = changes.getmember("made/").uid
            checks.ok("sh" in tree and owner == 0, f"{what}: its processes are in the archive, and its files as they are to it", tree)
            (world.out / "kind.tar").unlink()

    shared = {"security_context": {"namespace_options": {"pid": 0}}}
    goes_on("one in its pod's PID namespace", pod_more={"linux": shared}, linux=shared)
    goes_on("one with a terminal", tty=True)
    goes_on("one with an open standard input", stdin=True)
    host = {"security_context": {"namespace_options": {"network": 2, "pid": 1}}}
    goes_on("one in the host's network", pod_more={"linux": host}, linux=host)
    goes_on("a privileged one", linux={"security_context": OWN_PIDS["security_context"] | {"privileged": True}},
            pod_more={"linux": {"security_context": OWN_PIDS["security_context"] | {"privileged": True}}})
    goes_on("one with memory mounted", script="mount -t tmpfs none /tmp; echo x > /tmp/x;" + COUNTER,
            linux={"security_context": OWN_PIDS["security_context"] | {"capabilities": {"add_capabilities": ["SYS_ADMIN"]}}})
    goes_on("one in a user namespace", pod_more={"linux": IN_USERS}, linux=IN_USERS)


def refused(world):
    checks, node = world.checks, world.node
    link, folder = world.out / "link", world.out / "folder"
    target = world.out / "target"
    target.write_text("mine")
    link.symlink_to(target)
    folder.mkdir()
    with world.counter() as counter:
        for location, what in (("relative.tar", "absolute"), (world.out / "none/x.tar", "No such file"), (f"{world.out}/", "no file's name"),
                               (f"{world.out}/..", "no file's name"), (folder, "is no file"), (link, "is no file"),
                               ("/dev/null", "is no file"), (f"/{'x' * 300}", "no path"), ("/proc/x.tar", "x.tar")):
            said = node.refusal("checkpoint", "--export", location, counter.id)
            checks.ok(what in said and "location" in said or what == "x.tar" and what in said,
                      f"location {str(location)[:40]} is refused by name", said)
        checks.equal((target.read_text(), link.is_symlink()), ("mine", True), "no link is followed, or replaced")
        checks.ok(counter.counts_on(), "the container does not notice")
        node.crictl("stop", "-t", "0", counter.id)
        checks.contains(node.refusal("checkpoint", "--export", world.out / "ended.tar", counter.id), ["FailedPrecondition", "exited"],
                        "one that has ended is refused")
    checks.contains(node.refusal("checkpoint", "--export", world.out / "ended.tar", "abc123"), "NotFound", "and one that is not there")
    checks.equal((world.left(), sorted(path.name for path in world.out.iterdir())), ([], ["folder", "link", "target"]), "nothing is left")
    folder.rmdir()
    link.unlink()
    target.unlink()


def at_once(world):
    checks = world.checks
    with world.counter() as first, world.counter() as second:
        failures = []

        def write(counter, name):
            done = counter.checkpoint(world.out / name, check=False)
            if done.returncode != 0:
                failures.append(done.stderr)

        threads = [threading.Thread(target=write, args=(counter, f"{place}.tar"))
                   for place, counter in enumerate((first, first, second, second))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        checks.equal(failures, [], "two of each of two containers at once")
        checks.ok(all(tarfile.is_tarfile(world.out / f"{place}.tar") for place in range(4)), "each is whole")
        checks.ok(first.counts_on() and second.counts_on() and first.is_whole() and second.is_whole(), "both containers go on")
        for place in range(4):
            (world.out / f"{place}.tar").unlink()
        writer = threading.Thread(target=write, args=(first, "stopped.tar"))
        writer.start()
        world.node.crictl("stop", "-t", "0", first.id)
        writer.join()
        checks.equal(world.node.container_status(first.id)["state"], "CONTAINER_EXITED", "one is stopped while it is checkpointed")
        whole = (world.out / "stopped.tar").exists()
        checks.equal((whole, world.left()), (failures == [], []), "there is an archive if the call succeeded")
        if whole:
            (world.out / "stopped.tar").unlink()


def full(world):
    disk = world.node.root / "run/small"
    world.node.exec("mkdir", "/run/small")
    world.node.exec("mount", "-t", "tmpfs", "-o", "size=64k", "none", "/run/small")
    with world.counter() as counter:
        said = world.node.refusal("checkpoint", "--export", "/run/small/x.tar", counter.id)
        world.checks.contains(said, ["No space left on device", "ResourceExhausted"], "a full disk is said")
        world.checks.equal((list(disk.iterdir()), world.left(), counter.counts_on()), ([], [], True),
                           "it leaves nothing, and a container that goes on")


def cut_short(world):
    checks, node = world.checks, world.node
    with world.counter(LARGE) as counter:
        for delay in (0.05, 0.15, 0.3, 0.6):
            location = world.out / f"cut{delay}.tar"
            node.exec("timeout", "-s", "KILL", str(delay), "crictl", "--config", node.work / "crictl.yaml", "checkpoint", "--export",
                      location, counter.id, check=False)
            world.settled()
            checks.ok(not location.exists() or tarfile.is_tarfile(location), f"its client gone after {delay} s: half an archive is nowhere")
            location.unlink(missing_ok=True)
            checks.ok(counter.counts_on() and counter.is_whole(), f"its client gone after {delay} s: the container goes on")
        world.install(slow=True)
        said = node.refusal("--timeout", "1s", "checkpoint", "--export", world.out / "late.tar", counter.id)
        checks.contains(said, "DeadlineExceeded", "a client's deadline ends it")
        world.settled()
        node.call("RuntimeService/CheckpointContainer", message(counter.id, world.out / "late.tar", 1))
        checks.equal((workers(node), world.left()), ([], []), "its own time-out ends it, and it is answered when all is as it was")
        checks.equal(list(world.out.iterdir()), [], "nothing is left of any")
        checks.ok(counter.counts_on() and counter.is_whole(), "and the container goes on")
        world.install()
        node.call("RuntimeService/CheckpointContainer", message(counter.id, world.out / "quick.tar", 300))
        checks.ok(tarfile.is_tarfile(world.out / "quick.tar"), "one that is done in time is there")
        (world.out / "quick.tar").unlink()


def message(container_id, location, timeout):
    """A CheckpointContainerRequest."""
    texts = b"".join(bytes([field << 3 | 2]) + varint(len(text)) + text
                     for field, text in ((1, container_id.encode()), (2, str(location).encode())))
    return texts + bytes([3 << 3]) + varint(timeout)


def varint(number):
    return bytes([number & 0x7f | 0x80]) + varint(number >> 7) if number >= 0x80 else bytes([number])


def killed(world):
    checks, node = world.checks, world.node
    with world.counter(LARGE) as counter:
        for delay in (0, 0.1, 0.25, 0.5):
            location = world.out / f"killed{delay}.tar"
            caller = threading.Thread(target=counter.checkpoint, args=(location, False))
            caller.start()
            c.wait_until("its worker is there", lambda: workers(node) or not caller.is_alive(), limit=60, pause=0.002)
            time.sleep(delay)  # it is somewhere in its work
            node.kill_gantryd()
            caller.join()
            node.wait_for_gantryd()
            world.settled()
            checks.ok(not location.exists() or tarfile.is_tarfile(location), f"gantryd killed after {delay} s: half an archive is nowhere")
            location.unlink(missing_ok=True)
            checks.ok(counter.counts_on() and counter.is_whole(), f"gantryd killed after {delay} s: the container goes on")
        counter.checkpoint(world.out / "after.tar")
        checks.ok(tarfile.is_tarfile(world.out / "after.tar") and counter.counts_on(), "the next gantryd writes one")
        (world.out / "after.tar").unlink()
        checks.equal(list(world.out.iterdir()), [], "nothing else is left")
        world.install(slow=True)
        worker_killed(world, counter)
        world.install()


def worker_killed(world, counter):
    caller = threading.Thread(target=counter.checkpoint, args=(world.out / "dead.tar", False))
    caller.start()
    worker = c.wait_until("its worker is there", lambda: workers(world.node), limit=60, pause=0.002)[0]
    subprocess.run(["kill", "-KILL", str(worker)], check=True)
    caller.join()
    world.checks.ok(counter.counts_on(), "a worker that is killed leaves a container that goes on")
    world.checks.equal((world.left(), list(world.out.iterdir())), ([], []), "and nothing else")


def workers(node):
    found = []
    for pid in node.pids("gantryd"):
        with contextlib.suppress(OSError):
            if b"checkpoint-worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def story(checks):
    criu = pathlib.Path(subprocess.run([PEERS, "criu"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[2])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PATH"] = f"{folder}:" + os.environ["PATH"]
        with Node(checks) as node:
            node.build_image()
            world = World(checks, node, pathlib.Path(folder), criu)
            refused_without_criu(world)
            world.install()
            for part in (archive, kinds, refused, at_once, full, cut_short, killed):
                if part.__name__ in (sys.argv[1:] or part.__name__):
                    part(world)


if __name__ == "__main__":
    c.main(story)
