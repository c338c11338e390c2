#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""The connection between gantryd and a pod's shim ends, and both live: gantryd connects again, and knows what happened meanwhile."""
import ctypes
import os
import pathlib
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


def cut(shim, gantryd):
    """Ends the connections between the two; how many there were."""
    count = 0
    for each in sockets_of(shim):
        if each.type != socket.SOCK_SEQPACKET or each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            continue
        if int.from_bytes(each.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder) == gantryd:
            each.shutdown(socket.SHUT_RDWR)
            count += 1
    return count


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

        for _ in range(5):
            cut(shim, gantryd)
        two = c.wait_until("a container can be run", lambda: try_to_run(node, pod, config))
        checks.equal(node.container_status(two)["state"], "CONTAINER_RUNNING", "after five times in a row a container can be run")
        checks.equal(node.gantryd_pid(), gantryd, "gantryd is the same process")
        node.crictl("stopp", pod)
        node.crictl("rmp", pod)
        checks.ok(pod not in node.pods(), "the pod can be stopped and removed")


sys.exit(c.main(story))
