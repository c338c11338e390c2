#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Seccomp profiles that leave calls to an agent (SCMP_ACT_NOTIFY): who it is, what it is told, and what becomes of a container
whose agent is not there."""
import array
import ctypes
import errno
import fcntl
import json
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle

SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND = 0xc0502100, 0xc0182101
AGENT_LIMIT = 30  # seconds that gantry-oci leaves it for what a launch itself calls
CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
RESOLVE = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name
MKDIRS = [RESOLVE(b"mkdir"), RESOLVE(b"mkdirat")]


class Agent:
    """Takes listeners; answers a mkdir with an error that no kernel would give, and lets everything else go on."""

    def __init__(self, path):
        self.path, self.told, self.calls = str(path), [], []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.socket.accept()
            with connection:
                fds = array.array("i")
                text, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_LEN(4))
                fds.frombytes(ancillary[0][2])
                while more := connection.recv(1 << 16):
                    text += more
            self.told.append(json.loads(text))
            threading.Thread(target=self.answer, args=(fds[0],), daemon=True).start()

    def answer(self, listener):
        while True:
            notification = bytearray(80)
            try:
                fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notification)
                number, pid, _, call = struct.unpack_from("=QIIi", notification)
                self.calls.append((call, pid))
                refused = call in MKDIRS
                fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND,
                            struct.pack("=QqiI", number, 0, -errno.ENOMEDIUM if refused else 0, 0 if refused else CONTINUE))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EINTR):
                    return


def profile(path, *names, **more):
    """A change of a configuration: these calls are left to the agent at `path`."""
    def change(config):
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(path), "listenerMetadata": "a \"word\"",
            "syscalls": [{"names": list(names), "action": "SCMP_ACT_NOTIFY"}]} | more.pop("seccomp", {})
        config["process"] |= more
    return change


def answered(checks, oci):
    agent = Agent(oci.work / "agent")
    for privileges, calls in ((True, ["execve"]), (False, ["setgroups", "setresuid", "capset", "execve"])):
        name = f"no_new_privileges {privileges}"
        agent.told.clear()
        agent.calls.clear()
        folder = oci.bundle("sh", "-c", "mkdir /tmp/asked; exec sleep 1000", change=profile(
            agent.path, "mkdir", "mkdirat", *calls, noNewPrivileges=privileges))
        container = f"c{oci.count}"
        with open(oci.work / "said", "w+") as said:
            subprocess.run(oci.command("create", "--bundle", folder, container), stdin=subprocess.DEVNULL, stdout=said,
                           stderr=said, timeout=oci_bundle.LIMIT, check=True)
            state = oci.state(container)
            # What was sent before create returned our own thread may take later.
            c.wait_until("the agent has taken what it is told", lambda: agent.told)
            checks.equal(len(agent.told), 1, f"{name}: the agent is told of the container before it is started")
            told = agent.told[0]
            checks.equal((told["fds"], told["pid"], told["metadata"], told["state"]["status"], told["state"]["id"],
                          told["state"]["bundle"]),
                         (["seccompFd"], state["pid"], 'a "word"', "creating", container, str(folder)),
                         f"{name}: in the specification's words")
            oci("start", container)
            c.wait_until("the call is refused", lambda: "No medium found" in read(said))
            seen = {call for call, _ in agent.calls}
            checks.equal([call for call in calls if RESOLVE(call.encode()) not in seen], [],
                         f"{name}: what the launch itself calls is left to it, too")
        checks.ok(not (oci.rootfs / "tmp/asked").exists(), f"{name}: a call of the container's is answered by the agent")
        pid = state["pid"]
        fds = [path.resolve() for path in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        checks.equal(len(fds), 3, f"{name}: the container itself has no listener")
        agent.told.clear()
        done = oci("exec", container, "mkdir", "/tmp/asked", check=False)
        checks.equal((done.returncode, "No medium found" in done.stderr), (1, True), f"{name}: and so is one of an exec")
        checks.equal([(told["state"]["status"], told["state"]["pid"]) for told in agent.told], [("running", pid)],
                     f"{name}: of which it is told")
        agent.told.clear()
        oci("exec", "--detach", "--pid-file", oci.work / "pid", container, "sleep", "1000")
        checks.equal([str(told["pid"]) for told in agent.told], [(oci.work / "pid").read_text()],
                     f"{name}: and of the process that it is")
        oci("delete", "--force", container)


def hanging(checks, oci):
    """Agents that take listeners and answer no call; one that takes none, and one whose queue is full."""
    if oci_bundle.caller() != oci_bundle.ROOT:
        return  # half a minute that would tell the same
    takes, full = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    for each, name in ((takes, "takes"), (full, "full")):
        each.bind(str(oci.work / name))
        each.listen(0)
    waiting = socket.socket(socket.AF_UNIX)
    waiting.connect(str(oci.work / "full"))
    begun = time.monotonic()
    done = oci.run("true", change=profile(oci.work / "full", "mkdir"))
    checks.equal((done.returncode, "listenerPath" in done.stderr, time.monotonic() - begun < AGENT_LIMIT), (1, True, True),
                 "an agent that takes no connection is an error at once") or c.log(done.stderr)
    begun = time.monotonic()
    done = oci.run("true", change=profile(oci.work / "takes", "setresuid", noNewPrivileges=False))
    took = time.monotonic() - begun
    checks.equal((done.returncode, "the agent has not answered what the launch itself calls in 30 s" in done.stderr, took >= AGENT_LIMIT),
                 (1, True, True), "one that answers nothing is an error after 30 s") or c.log(took, done.stderr)
    checks.equal(oci.remnants(), [], "and nothing is left of the container")


def read(file):
    file.seek(0)
    return file.read()


def refused(checks, oci):
    nobody = oci.work / "nobody"
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(oci.work / "left"))  # nobody listens
    rules = {"write": profile(nobody, "write"), "defaultAction": profile(nobody, "mkdir", seccomp={"defaultAction": "SCMP_ACT_NOTIFY"}),
             "linux.seccomp: listenerPath: is missing": profile(nobody, "mkdir", seccomp={"listenerPath": "", "listenerMetadata": ""}),
             "linux.seccomp: listenerMetadata: goes with": profile("", "mkdir"),
             f"linux.seccomp.listenerPath {nobody}": profile(nobody, "mkdir"),
             f"linux.seccomp.listenerPath {oci.work}/left": profile(oci.work / "left", "mkdir")}
    for words, change in rules.items():
        done = oci.run("true", change=change)
        checks.equal((done.returncode, words in done.stderr, oci.remnants()), (1, True, []),
                     f"refused, with nothing left: {words}") or c.log(done.stderr)
    done = oci.run("echo done", change=profile(nobody, seccomp={"syscalls": []}))
    checks.equal(done.stdout, "done\n", "a profile that leaves nothing to an agent needs none")


if __name__ == "__main__":
    oci_bundle.tell(answered, refused, hanging, callers=oci_bundle.CALLERS)
