#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 3000
"""Processes on their way into a container in which somebody with CAP_SYS_PTRACE waits for them.

CVE-2016-9962 (runc), CVE-2020-14300 (its rebuild): what enters can be traced, and has descriptors and capabilities of the
host's. Our own: PID namespaces whose processes have another one's procfs, the host's, say, at their /proc."""
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import checks as c
import oci_bundle
from attacks import Naive, all_of, capable, mounted, bind

ROUNDS = 1000 if c.ALL else 100
MOST_ROUNDS = 20 * ROUNDS  # until an attacker, who on a busy machine comes too late mostly, has done what he can
TRACER = ("CAP_SYS_PTRACE",)
# Linux makes a procfs of a namespace from outside of it.
MAKES_OTHERS = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2]) >= (6, 18)


def watched(runtime, verb, join, came, change=None):
    """What the attack program says in a container of this runtime's, while join(name, turn) is called many times, and until
    came(what it says): he was there in time."""
    attacks.give_attack(runtime)
    said = runtime.work / f"said{runtime.count}"
    said.touch()
    name = runtime.start("sh", "-c", f"exec /bin/attack {verb} > /said",
                         change=all_of(capable(*TRACER), mounted(bind(said, "/said")), change))
    c.wait_until("the attacker waits", lambda: "ready" in said.read_text())
    for turn in range(MOST_ROUNDS):
        if turn >= ROUNDS and came(said.read_text().splitlines()):
            break
        join(name, turn)
        oci_bundle.reap()
    attacks.stop(runtime, name)
    return set(said.read_text().splitlines()) - {"ready"}


def execs(runtime):
    # Without more: who waits has the same capabilities.
    flags = ([], ["--user", "1000"], ["--cwd", "/bin"])
    return lambda name, turn: runtime("exec", *flags[turn % 3], name, "true", check=False)


def in_pid_namespace(path):
    def change(config):
        config["linux"]["namespaces"] = [space for space in config["linux"]["namespaces"] if space["type"] != "pid"]
        config["linux"]["namespaces"].append({"type": "pid", "path": str(path)})
    return change


def starts(runtime):
    """Containers that are started into the PID namespace."""
    def join(name, _):
        shared = f"/proc/{runtime.state(name)['pid']}/ns/pid"
        runtime.run("true", change=all_of(capable(*TRACER), in_pid_namespace(shared)))
    return join


def watching(checks, oci):
    for what, join in (("exec", execs(oci)), ("start", starts(oci))):
        said = watched(oci, "watch", join, lambda said: "attached" in said)
        # By the socket or the fifo at which it waits a launch tells how it went.
        bad = {line for line in said - {"seen", "attached"} if not line.startswith(("socket", "fifo"))}
        checks.equal(bad, set(), f"CVE-2016-9962, 2020-14300: {ROUNDS} times {what}: a tracer inside meets no folder, file, "
                     "root or capability of the host's")
        checks.ok("attached" in said, "and it came near: it did attach to programs", said)
    naive = Naive()

    def got_all(said):
        return {"attached", "capabilities of the host's"} <= set(said) and any(line.startswith("folder") for line in said)

    said = watched(naive, "watch", execs(naive), got_all)
    checks.ok(got_all(said), "CVE-2016-9962 bites: with the careless runtime it gets all of them", said)


def forging(checks, oci):
    """The socket by which a launch tells how it went, stolen, and used to tell something else."""
    ended = {}

    def join(name, turn):
        null = subprocess.DEVNULL
        with subprocess.Popen(oci.command("exec", name, "true"), stdin=null, stdout=null, stderr=null) as process:
            try:
                code = process.wait(oci_bundle.LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                code = "hangs"
        ended[code] = ended.get(code, 0) + 1

    said = watched(oci, "forge", join, lambda said: "forged" in said)
    checks.ok("forged" in said, "reports are stolen and forged", said)
    # 255 is what exec says of a launch that failed.
    checks.ok(set(ended) <= {0, 255}, "CVE-2016-9962: and whatever they say, exec ends, and not by a signal", ended)


def agents(checks, oci):
    """A seccomp agent takes descriptors from launches that report forged ones: none but listeners come."""
    got = []
    place = socket.socket(socket.AF_UNIX)
    place.bind(str(oci.work / "agent"))
    place.listen(8)

    def serve():
        while True:
            connection, _ = place.accept()
            with connection:
                _, (fd,), _, _ = socket.recv_fds(connection, 1 << 16, 1)
                got.append(os.readlink(f"/proc/self/fd/{fd}"))
                os.close(fd)

    def left_to_agent(config):
        config["process"]["noNewPrivileges"] = True
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(oci.work / "agent"),
                                      "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}]}

    threading.Thread(target=serve, daemon=True).start()
    aborted = []

    def join(name, _):
        aborted.append("no seccomp filter's listener" in oci("exec", name, "true", check=False).stderr)

    said = watched(oci, "forge", join, lambda said: "forged" in said and any(aborted) and got, left_to_agent)
    checks.ok("forged" in said and any(aborted), "reports of a filter's listener are forged", (said, sum(aborted)))
    checks.equal(set(got), {"anon_inode:seccomp notify"}, "and yet an agent gets nothing else")


def foreign_processes(checks, oci):
    """A container in the PID namespace of a process that has at its /proc: its own procfs, the host's, a container's. It
    sees that namespace's processes and no others, or is not made."""
    other = oci.start("sleep", "1000")
    inside = f"exec nsenter --mount=/proc/{oci.state(other)['pid']}/ns/mnt "
    shown = "for p in /proc/[0-9]*; do readlink $p/ns/pid; done"
    for what, options, script in (("its own", ["--mount-proc"], ""), ("the host's", [], ""), ("another container's", [], inside)):
        command = ["unshare", "--pid", "--fork", "--kill-child", *options, "sh", "-c",
                   f"{script} sh -c 'echo ready && exec sleep 1000'"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            try:
                checks.equal(process.stdout.readline(), b"ready\n", f"a process with {what} procfs waits")
                (first,) = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                space = pathlib.Path(f"/proc/{first}/ns/pid")
                done = oci.run(shown, change=all_of(capable(*TRACER), in_pid_namespace(space)))
                seen = set(done.stdout.split())
                if what == "its own" or MAKES_OTHERS:
                    checks.equal(seen, {str(space.readlink())},
                                 f"in a joined PID namespace its processes are seen, with {what} procfs in it") or c.log(done)
                else:
                    checks.equal((done.returncode, seen), (1, set()), f"of a process with {what} procfs it is not joined")
                    checks.contains(done.stderr, "the procfs of another one", "and the error says so")
            finally:
                process.kill()
    oci("delete", "--force", other)


if __name__ == "__main__":
    oci_bundle.tell(watching, forging, agents, foreign_processes)
