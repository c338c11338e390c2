#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Attacks on a node from its pods, with what the CRI gives them.

CVE-2022-27649, 27651, 27652 (podman, buildah, CRI-O): inheritable capabilities. CVE-2020-15257 (containerd): a shim's socket
that pods of the host's network reach. CVE-2021-41103, 2024-25621 (containerd): state that every user of the host reaches.
CVE-2021-21334 (containerd): variables of another container's. CVE-2022-31030 (containerd), 2022-1708 (CRI-O): an exec's output
without an end. CVE-2022-0811 (CRI-O): more than one sysctl in a value. CVE-2022-0185 and its like: calls that lead to the
kernel's less guarded parts. CVE-2016-9962 (runc): the descriptors of what comes in, stolen. CVE-2022-23471, 2025-64329 (containerd):
what terminals leave. CVE-2019-14891 (CRI-O): a supervisor that dies with its pod."""
import concurrent.futures
import contextlib
import fcntl
import os
import pathlib
import signal
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import checks as c
import cycles
import oci_bundle
from cri_client import APPLETS, IMAGE, OWN_PIDS
from node import BIN, Node, run
from oci import Image, entry
from registry import busybox_layer

MIB = 1 << 20
NODE = 2
# For what takes up to 3 s when it is well, also on a busy machine, and for ever when it is not.
PROMPT = 45.0


class Pods:
    """Pods of one node, each with its containers."""

    def __init__(self, node):
        self.node, self.count = node, 0
        program = entry("bin/attack", content=attacks.ATTACK.read_bytes(), mode=0o755)
        setuid = entry("bin/setuid", content=b"text", mode=0o4755)
        Image(busybox_layer(APPLETS, program, setuid)).archive(node.work / "image.tar", IMAGE)
        node.image("load", str(node.work / "image.tar"))

    def make(self, script, image=IMAGE, linux=None, **security):
        """A pod with one running container, which has this security context: (pod's id, container's, their configurations)."""
        self.count += 1
        pod = self.node.pod_config(f"p{self.count}", **({"linux": linux} if linux else {}))
        container = self.node.container_config("main", script, image={"image": image})
        container["linux"] = {"security_context": pod["linux"]["security_context"] | security}
        pod_id = self.node.run_pod(pod)
        return pod_id, self.node.run_container(pod_id, container, pod)

    def output(self, script, **more):
        """What a container says until it ends."""
        pod_id, container = self.make(script, **more)
        c.wait_until("the container ends",
                     lambda: self.node.container_status(container)["state"] == "CONTAINER_EXITED")
        said = self.node.crictl("logs", container)
        self.node.crictl("rmp", "--force", pod_id)
        return said.stdout + said.stderr


def capabilities(checks, pods):
    node, shown = pods.node, "cat /proc/self/status; echo END"
    user, more = {"run_as_user": {"value": 1000}}, {"capabilities": {"add_capabilities": ["NET_ADMIN"]}}
    for what, security in (("", {}), (" as a user", user), (" with more", more)):
        pod_id, container = pods.make(f"{shown}; exec sleep 1000", **security)
        said = {"start": c.wait_until("it has spoken", lambda: (said := node.crictl("logs", container).stdout).endswith("END\n") and said),
                "ExecSync": node.crictl("exec", "--sync", container, "sh", "-c", shown).stdout,
                "Exec": node.crictl("exec", container, "sh", "-c", shown).stdout}
        for case, text in said.items():
            found = {line.split(":")[0]: int(line.split()[1], 16) for line in text.splitlines() if line.startswith("Cap")}
            checks.equal((found["CapInh"], found["CapAmb"], found["CapEff"] == 0), (0, 0, bool(security is user)),
                         f"CVE-2022-27649, 27651, 27652: {case}{what}: nothing is inheritable")
        node.crictl("rmp", "--force", pod_id)


def beneath(folder):
    """All that is in a folder and beneath it; what goes meanwhile may be left out."""
    for path, folders, files in os.walk(folder):
        yield from (pathlib.Path(path, name) for name in (*folders, *files))


def abstract(text):
    return {line.split()[-1] for line in text.splitlines() if " @" in line}


def sockets(checks, pods):
    node = pods.node
    on_host = OWN_PIDS["security_context"] | {"namespace_options": {"network": NODE, "pid": 1}}
    linux = {"security_context": on_host}
    said = pods.output("cat /proc/net/unix", linux=linux)
    checks.ok("Num" in said and not abstract(said),
              "CVE-2020-15257: on the host's network a pod finds no abstract socket of ours", said)
    listener = ["nsenter", f"--net=/proc/{node.supervisor()}/ns/net", sys.executable, "-c",
                "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind('\\0gantry-canary'); "
                "print('bound', flush=True); sys.stdin.read()"]
    with subprocess.Popen(listener, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        said = pods.output("cat /proc/net/unix", linux=linux)
        process.stdin.close()
    checks.equal(abstract(said), {"@gantry-canary"}, "CVE-2020-15257 bites: of a program that has one it does")
    wrong = []
    for folder in (node.root / "run/gantry", node.lib):
        if folder.stat().st_mode & 0o077:
            wrong.append(folder)
        wrong += [path for path in beneath(folder) if path.is_socket() and path.lstat().st_mode & 0o077]
    checks.equal(wrong, [], "CVE-2020-15257, 2024-25621: its folders, and sockets in them, are root's alone")


def opened_by_nobody(folder, paths):
    """Those beneath this folder that a user without privileges can open, whatever is above it."""
    top = os.open(folder, os.O_PATH)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        for path in paths:
            with contextlib.suppress(OSError):
                os.close(os.open(path.relative_to(folder), os.O_RDONLY, dir_fd=top))
                os.write(writer, os.fsencode(path) + b"\n")
        os._exit(0)
    os.close(writer)
    os.close(top)
    with os.fdopen(reader) as said:
        found = said.read().split("\n")[:-1]
    os.waitpid(child, 0)
    return found


def folders(checks, pods):
    """The node started by somebody whose umask keeps nothing back."""
    node = pods.node
    node.stop()
    node.start(prefix=["sh", "-c", 'umask 0; exec "$@"', "sh"])
    node.wait_for_gantryd()
    pods.output("echo text > /file; chmod 4755 /file")
    files = [path for path in beneath(node.lib) if path.is_file() and not path.is_symlink()]
    checks.ok(any(path.name == "setuid" for path in files), "there is a setuid file of an image's", len(files))
    checks.equal(opened_by_nobody(node.lib, files), [],
                 "CVE-2021-41103, 2024-25621: another user of the host's opens nothing of it, umask 0")
    opened = {folder: folder.stat().st_mode for folder in (node.lib, *beneath(node.lib)) if folder.is_dir()}
    for folder, mode in opened.items():
        folder.chmod(mode | 0o055)
    found = opened_by_nobody(node.lib, files)
    for folder, mode in opened.items():
        folder.chmod(mode)
    checks.ok(any(path.endswith("/setuid") for path in found), "CVE-2021-41103 bites: with open folders he does", found[:10])


def environments(checks, pods):
    count = 12

    def one(number):
        pod = pods.node.pod_config(f"env{number}")
        container = pods.node.container_config("main", "cat /proc/self/environ; echo; exec sleep 1000",
                                               envs=[{"key": f"SECRET{number}", "value": f"value{number}"}])
        pod_id = pods.node.run_pod(pod)
        container_id = pods.node.run_container(pod_id, container, pod)
        logged = c.wait_until("it has spoken", lambda: pods.node.crictl("logs", container_id).stdout)
        executed = pods.node.crictl("exec", "--sync", container_id, "cat", "/proc/self/environ").stdout
        pods.node.crictl("rmp", "--force", pod_id)
        return [sorted(entry for entry in text.strip().split("\0") if "SECRET" in entry) for text in (logged, executed)]

    with concurrent.futures.ThreadPoolExecutor(6) as workers:
        got = list(workers.map(one, range(count)))
    checks.equal(got, [[[f"SECRET{i}=value{i}"]] * 2 for i in range(count)],
                 f"CVE-2021-21334: {count} containers of one image, side by side: each has its own variables, and no others'")


def output(checks, pods):
    node = pods.node
    _, container = pods.make("exec sleep 100000")

    def peak():
        return int(pathlib.Path(f"/proc/{node.gantryd_pid()}/status").read_text().split("VmHWM:")[1].split()[0])

    node.crictl("exec", "--sync", container, "dd", "if=/dev/zero", "bs=1M", "count=64", check=False)
    before = peak()
    total = 8192 if c.ALL else 2048
    script = f"dd if=/dev/zero bs=1M count={total} 2> /written"
    said = node.crictl("exec", "--sync", container, "sh", "-c", script, check=False)
    written = node.crictl("exec", "--sync", container, "cat", "/written").stdout
    checks.contains(written, f"{total}+0 records out",
                    f"CVE-2022-31030, 2022-1708: an exec says {total} MiB, all of which is read")
    checks.ok(len(said.stdout) <= 16 * MIB, "and is answered with 16 of them at most", len(said.stdout))
    checks.ok(peak() - before < 64 << 10, "and gantryd's memory stays where it was", f"{before} -> {peak()} KiB")
    checks.ok(cycles.resident(node) < before + (32 << 10), "and does not keep it", f"{cycles.resident(node)} KiB")


def sysctls(checks, pods):
    """A value that is one sysctl's own, and brings a second along. The second is the time to live: 64, and not 77."""
    node = pods.node
    for separator in "+\n;\0,":
        value = f"1{separator}net.ipv4.ip_default_ttl=77"
        config = node.pod_config("sysctl", linux=OWN_PIDS | {"sysctls": {"net.ipv4.ip_forward": value}})
        said = node.refusal("runp", node.write(config))
        checks.ok("ip_forward" in said, f"CVE-2022-0811: the value {value!r} is refused by name", said)
    # Of this one the kernel takes the number and leaves the rest.
    linux = OWN_PIDS | {"sysctls": {"net.ipv4.ip_forward": "1 net.ipv4.ip_default_ttl=77"}}
    checks.equal(pods.output("cat /proc/sys/net/ipv4/ip_default_ttl", linux=linux).strip(), "64",
                 "CVE-2022-0811: and one with a space sets its own sysctl alone")
    for key in ("net.ipv4.ip_forward+kernel.domainname", "net/../kernel/domainname", "net.ipv4..ip_forward",
                "kernel.domainname", "net.ipv4.ip_forward\n", "/proc/sys/net/ipv4/ip_forward",
                "net.ipv4.ip_forward=1+kernel.domainname"):
        config = node.pod_config("sysctl", linux=OWN_PIDS | {"sysctls": {key: "1"}})
        checks.ok("sysctls" in node.refusal("runp", node.write(config)), f"CVE-2022-0811: so is the key {key!r}")


GUARDED = {"unshare-user", "unshare-mount", "clone3-user", "clone-user", "fsopen", "open_tree", "mount", "setns", "keyctl",
           "add_key", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup"}


def calls(checks, pods):
    def done(**security):
        said = dict(line.split(" ", 1) for line in pods.output("exec /bin/attack calls", **security).splitlines())
        return {name for name, what in said.items() if what == "done"}

    default = done(seccomp={"profile_type": 0})
    checks.equal(default & GUARDED, set(), "CVE-2022-0185, 2023-0386, 2021-3493: RuntimeDefault lets none of the calls "
                 "through that make a user namespace, mount, or open what kernels had their holes in")
    open_ = done()
    checks.ok({"unshare-user", "clone3-user", "keyctl"} <= open_, "CVE-2022-0185 bites: unconfined, it makes user namespaces",
              open_)


def checkpoints(checks, pods):
    pod_id, container = pods.make("exec sleep 1000")
    said = pods.node.refusal("checkpoint", "--export=/tmp/checkpoint.tar", container)
    checks.contains(said, "criu is not installed", "CVE-2026-53489, 50195, 53492, 2024-8676, 2025-0426: there are no checkpoints without criu")
    pods.node.crictl("rmp", "--force", pod_id)


def thief(checks, pods):
    """Containers that take the descriptors of what comes into their PID namespace, and keep them."""
    node, tracer = pods.node, {"capabilities": {"add_capabilities": ["SYS_PTRACE"]}}

    def waits(container):
        c.wait_until("the attacker waits", lambda: "ready" in node.crictl("logs", container).stdout)

    def removed_in_time(pod_id):
        begun = time.monotonic()
        node.crictl("rmp", "--force", pod_id)
        return time.monotonic() - begun < PROMPT

    pod_id, container = pods.make("exec /bin/attack hold", **tracer)
    waits(container)
    slow = 0.0
    turns = 200 if c.ALL else 20
    for turn in range(20 * turns):
        if turn >= turns and "held" in node.crictl("logs", container).stdout:
            break
        begun = time.monotonic()
        command = ("true",) if turn % 2 else ("sleep", "1")
        node.crictl("exec", "--sync", "--timeout", "2", container, *command, check=False, limit=120)
        slow = max(slow, time.monotonic() - begun)
    checks.ok("held" in node.crictl("logs", container).stdout, "CVE-2016-9962: what an exec reports by is stolen")
    checks.ok(slow < PROMPT, "and yet an ExecSync of 2 s ends in time", f"{slow:.1f} s")
    checks.ok(removed_in_time(pod_id), "and the pod goes when it is told to")

    shared = {"security_context": {"namespace_options": {"pid": 0}}}
    pod_id, container = pods.make("exec /bin/attack hold", linux=shared, **tracer)
    waits(container)
    pod = node.pod_config(f"p{pods.count}", linux=shared)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        def is_held(turn):
            late = node.create(pod_id, node.container_config(f"late{turn}", "exec sleep 1000", linux=shared), pod)
            start = threads.submit(node.crictl, "--timeout", "300s", "start", late, check=False, limit=300)
            return not concurrent.futures.wait([start], timeout=3).done

        held = any(is_held(turn) for turn in range(100))
        checks.ok(held, "CVE-2016-9962: what a start into the pod's PID namespace reports by is stolen")
        checks.ok(removed_in_time(pod_id), "and yet the pod goes when it is told to")


def streams(checks, pods):
    """Terminals that are resized, and whose clients go without a word."""
    node = pods.node
    pod_id, container = pods.make("exec sleep 1000")
    talking = node.container_config("talking", "while echo ready; do sleep 0.1; done", stdin=True, tty=True)
    attached = node.run_container(pod_id, talking, node.pod_config(f"p{pods.count}"))
    commands = (["exec", "-i", "-t", container, "sh", "-c", "echo ready; exec sleep 1000"], ["attach", "-i", "-t", attached])

    def session(number):
        master, slave = os.openpty()
        command = [BIN / "gantry", "node", "exec", node.name, "--", "crictl", "--config", node.work / "crictl.yaml",
                   *commands[number % 2]]
        with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as process:
            os.close(slave)
            said = oci_bundle.read_until(master, "ready")
            for rows in range(1, 20):
                fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", rows, 80, 0, 0))
                os.killpg(process.pid, signal.SIGWINCH)
            os.killpg(process.pid, signal.SIGKILL)
        os.close(master)
        return "ready" in said

    good = [session(number) for number in range(6)]
    before, _ = cycles.settle(node)
    grown = []
    # Some once: a heap may grow for the first that come side by side. What stays of each grows it every time.
    while len(grown) < 5 and not (grown and grown[-1] < 4096):
        resident = cycles.resident(node)
        good += [session(number) for number in range(2000 if c.ALL else 30)]
        after, details = cycles.settle(node, before)
        grown.append(cycles.resident(node) - resident)
    checks.ok(all(good), "terminals are opened, resized, and left", good)
    # What runs in a container comes and goes.
    told = [{what: count for what, count in counts.items() if what != "processes"} for counts in (after, before)]
    checks.equal(*told, "CVE-2022-23471, 2025-64329: nothing of them stays") or c.log(details)
    c.log(f"gantryd's memory has grown by {grown} KiB")
    checks.ok(grown[-1] < 4096, "nor does memory", f"{grown} KiB")
    node.crictl("rmp", "--force", pod_id)


def supervisors(checks, pods):
    """CVE-2019-14891: who supervises a pod dies with it, of its memory limit, and its end is never told."""
    node = pods.node
    pod_id, container = pods.make("exec sleep 1000")
    pod_cgroup = node.json("inspectp", pod_id)["info"]["cgroup"]
    pids = node.shim_pid(pod_id), node.container_pid(container)
    inside = [pathlib.Path(f"/proc/{pid}/cgroup").read_text() for pid in pids]
    checks.equal([pod_cgroup.rsplit("/", 1)[-1] in text for text in inside], [False, True],
                 "CVE-2019-14891: a pod's shim is not in its cgroup, with its limits, as its container is")
    node.crictl("rmp", "--force", pod_id)


def story(checks):
    with Node(checks) as node:
        pods = Pods(node)
        for part in (capabilities, sockets, environments, output, sysctls, calls, checkpoints, thief, streams, supervisors,
                     folders):
            part(checks, pods)


if __name__ == "__main__":
    c.main(story)
