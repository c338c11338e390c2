#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# faults
"""The connection between gantryd and a pod's shim ends, and both live: gantryd connects again, and knows what happened meanwhile."""
import contextlib
import ctypes
import json
import os
import pathlib
import select
import signal
import socket
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import Node

PIDFD_GETFD = 438  # not in Python's os
LIBC = ctypes.CDLL(None, use_errno=True)


def sockets_of(pid):
    """Copies of a process's sockets."""
    process = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    continue
            except OSError:
                continue
            fd = LIBC.syscall(PIDFD_GETFD, process, int(name), 0)
            if fd >= 0:
                with socket.socket(fileno=fd) as copy:
                    yield copy
    finally:
        os.close(process)


def connections(shim, gantryd):
    """Of the two, as the shim has them."""
    for each in sockets_of(shim):
        if each.type != socket.SOCK_SEQPACKET or each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            continue
        if int.from_bytes(each.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder) == gantryd:
            yield each


def cut(shim, gantryd):
    """Ends the connections between the two; how many there were."""
    count = 0
    for each in connections(shim, gantryd):
        each.shutdown(socket.SHUT_RDWR)
        count += 1
    return count


def drain(connection):
    with contextlib.suppress(BlockingIOError):
        while connection.recv(1 << 17, socket.MSG_DONTWAIT):
            pass


def start_and_cut(node, container, shim, gantryd, is_lost):
    """What crictl says of a start during which the connection ends: before the shim has the request, or before it answers."""
    answers = []
    starting = threading.Thread(target=lambda: answers.append(node.crictl("start", container, check=False)))
    with c.standing(shim):
        starting.start()
        for connection in connections(shim, gantryd):
            if not select.select([connection], [], [], c.PATIENCE)[0]:
                raise c.Failure("the shim is not asked to start the container")
            if is_lost:
                drain(connection)
            connection.shutdown(socket.SHUT_RDWR)
    starting.join(c.PATIENCE)
    return answers[0] if answers else None


def running(node, words):
    """How many of the pods' processes have such a command line."""
    def command_line(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()
        except OSError:
            return ""
    return sum(command_line(pid) == words for pid in node.pids())


def starts(checks, node, pod, config, shim, gantryd):
    for seconds, is_lost, what in ((2001, False, "after the shim was asked"), (2002, True, "before the shim was asked")):
        words = f"sleep {seconds}"
        container = node.create(pod, node.container_config(f"s{seconds}", f"exec {words}"), config)
        done = start_and_cut(node, container, shim, gantryd, is_lost)
        checks.ok(done is not None and done.returncode == 0, f"a start whose connection ends {what} succeeds", str(done))
        checks.equal(node.container_status(container)["state"], "CONTAINER_RUNNING", "its container runs")
        c.wait_until("its shell has executed it", lambda: running(node, words))
        checks.equal(running(node, words), 1, "once")

    container = node.create(pod, node.container_config("late", "exec sleep 2003"), config)
    with c.standing(shim):
        cut(shim, gantryd)
        said = node.refusal("start", container)
        checks.ok("Unavailable" in said, "a start that the shim can't be asked for is refused for now", said)
        checks.equal(node.container_status(container)["state"], "CONTAINER_CREATED", "and leaves the container to be started")
    c.wait_until("the container is started", lambda: node.crictl("start", container, check=False).returncode == 0)
    checks.equal(node.container_status(container)["state"], "CONTAINER_RUNNING", "as it is when the shim answers")
    c.wait_until("its shell has executed it", lambda: running(node, "sleep 2003"))
    checks.equal(running(node, "sleep 2003"), 1, "once")


HOOK = """
bundle=$(sed 's/.*"bundle":"\\([^"]*\\)".*/\\1/')
: > OUT/begun
while [ ! -e OUT/go ]; do sleep 0.05; done
echo "by a hook" > "$bundle/rootfs/made"
"""


def hooked(checks, node, pod, config, shim, gantryd):
    """A start whose connection ends while a hook of it runs."""
    out, folder = node.work / "hooks", node.root / "run/cdi"
    out.mkdir()
    folder.mkdir(parents=True)
    (out / "hook.sh").write_text(HOOK.replace("OUT", str(out)))
    hook = {"hookName": "createContainer", "path": "/bin/sh", "args": ["sh", str(out / "hook.sh")]}
    devices = [{"name": "hook", "containerEdits": {"hooks": [hook]}}]
    (folder / "hook.json").write_text(json.dumps({"cdiVersion": "0.8.0", "kind": "v.com/cut", "devices": devices}))
    named = {"CDI_devices": [{"name": "v.com/cut=hook"}]}
    container = node.create(pod, node.container_config("hooked", "cat /made; exec sleep 2004", **named), config)
    answers = []
    starting = threading.Thread(target=lambda: answers.append(node.crictl("start", container, check=False)))
    starting.start()
    c.wait_until("its hook runs", (out / "begun").exists)
    checks.equal(cut(shim, gantryd), 1, "the connection ends while a hook runs")
    c.wait_until("the shim is connected to again", lambda: len(list(connections(shim, gantryd))) == 1)
    (out / "go").touch()
    starting.join(c.PATIENCE)
    done = answers[0] if answers else None
    checks.ok(done is not None and done.returncode == 0, "its container is started all the same", str(done))
    c.wait_until("the hook changed its root", lambda: "by a hook" in node.crictl("logs", container).stdout)


def works(node, container):
    done = node.crictl("exec", container, "echo", "here", check=False)
    return done.stdout.strip() == "here"


def try_to_run(node, pod, config):
    """The container's id; nothing when the shim was not connected to."""
    created = node.crictl("create", pod, node.write(node.container_config("two", "sleep 1000")), node.write(config), check=False)
    container = created.stdout.strip()
    return container if created.returncode == 0 and node.crictl("start", container, check=False).returncode == 0 else None


def story(checks):
    with Node(checks) as node:
        node.build_image()
        config = node.pod_config("cut")
        pod = node.run_pod(config)
        one = node.run_container(pod, node.container_config("one", "echo up; while :; do sleep 1; done"), config)
        shim, gantryd, answers = node.shim_pid(pod), node.gantryd_pid(), []
        asking = threading.Thread(target=lambda: answers.append(node.crictl("exec", one, "sleep", "600", check=False)))
        asking.start()
        script = "cat /proc/[0-9]*/cmdline | busybox grep -q '[6]00'"
        c.wait_until("the exec runs", lambda: node.crictl("exec", one, "/bin/sh", "-c", script, check=False).returncode == 0)
        checks.equal(cut(shim, gantryd), 1, "a pod's shim has one connection to gantryd")
        asking.join(c.PATIENCE)
        checks.ok(answers and answers[0].returncode != 0, "an exec that was under way ends with an error", str(answers))
        c.wait_until("an exec works again", lambda: works(node, one))
        checks.ok(True, "the next exec works")
        checks.equal(node.pods()[pod]["state"], "SANDBOX_READY", "the pod goes on")
        checks.equal(node.container_status(one)["state"], "CONTAINER_RUNNING", "so does its container")

        # It ends, and nobody is there to be told.
        pid = node.container_pid(one)
        os.kill(gantryd, signal.SIGSTOP)
        try:
            cut_off = cut(shim, gantryd)
            with c.Process(pid) as process:
                process.kill()
        finally:
            os.kill(gantryd, signal.SIGCONT)
        checks.equal(cut_off, 1, "there is one connection again")
        c.wait_until("its end is known", lambda: node.container_status(one)["state"] == "CONTAINER_EXITED")
        checks.equal(node.container_status(one)["exitCode"], 137, "a container that ended meanwhile has its own exit code")

        starts(checks, node, pod, config, shim, gantryd)
        hooked(checks, node, pod, config, shim, gantryd)

        for _ in range(5):
            cut(shim, gantryd)
        two = c.wait_until("a container can be run", lambda: try_to_run(node, pod, config))
        checks.equal(node.container_status(two)["state"], "CONTAINER_RUNNING", "after five times in a row a container can be run")
        checks.equal(node.gantryd_pid(), gantryd, "gantryd is the same process")
        node.crictl("stopp", pod)
        node.crictl("rmp", pod)
        checks.ok(pod not in node.pods(), "the pod can be stopped and removed")


sys.exit(c.main(story))
