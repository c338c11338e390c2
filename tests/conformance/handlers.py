#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 600
"""Runtime handlers: pods whose containers are made by crun, by runc and by gantry-oci. What is promised of containers holds
for theirs: logs, exit codes, execs, terminals, a gantryd and a shim that are killed midway; a runtime that fails, hangs or is
not there is an error that says so; and nothing is left behind. Given names of handlers it tells those alone."""
import contextlib
import json
import os
import pathlib
import stat
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import cycles
from cri_client import OWN_PIDS
from node import BIN, Node, is_alive, log_lines

PEERS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/peers"
SHARED = {"security_context": {"namespace_options": {"pid": 0}}}
FAILING = """#!/bin/sh
case "$*" in
*" create "*) echo "of the script" >&2; exit 7 ;;
*features*) echo "{}" ;;
esac
"""
LOGGING = """#!/bin/sh
while [ $# -gt 1 ]; do [ "$1" = --log ] && echo '{"level":"error","msg":"no such thing as luck"}' > "$2"; shift; done
exit 1
"""
HANGING = """#!/bin/sh
case "$*" in *" create "*) sleep 100000 ;; esac
"""
CRASHING = """#!/bin/sh
kill -SEGV $$
"""


# Its process is in another cgroup than gantryd says.
ELSEWHERE = """#!/bin/sh
case "$*" in *" create "*) sed -i 's,"cgroupsPath":"[^"]*,&-elsewhere,' config.json ;; esac
exec RUNTIME "$@"
"""


class World:
    def __init__(self, checks, node, handler):
        self.checks, self.node, self.handler = checks, node, handler
        # gantry-oci joins a PID namespace only where it finds a procfs: not gantry-init's.
        self.pids = OWN_PIDS if handler == "own" else SHARED

    def run_pod(self, name, **more):
        config = self.node.pod_config(f"{self.handler}-{name}", **more)
        return config, self.node.crictl("runp", "--runtime", self.handler, self.node.write(config)).stdout.strip()

    def folder(self, pod_id):
        return self.node.root / "run/gantry/sandboxes" / pod_id


def handlers_of(names):
    """{name: path}"""
    found = {"own": BIN / "gantry-oci"}
    wanted = [name for name in names or ("crun", "runc") if name != "own"]
    if wanted:
        for line in subprocess.run([PEERS, *wanted], check=True, capture_output=True, text=True).stdout.splitlines():
            name, _, path = line.split(maxsplit=2)
            found[name] = path
    return {name: path for name, path in found.items() if not names or name in names}


def configure(node, handlers):
    entries = [{"name": name, "path": str(path), "annotations": ["example.com/told"]} for name, path in handlers.items()]
    (node.state / "gantryd.yaml").write_text(json.dumps({"runtimeHandlers": entries}))
    return node.reload()


def scripts(node):
    found, elsewhere = {}, ELSEWHERE.replace("RUNTIME", str(BIN / "gantry-oci"))
    for name, text in (("fails", FAILING), ("logs", LOGGING), ("hangs", HANGING), ("crashes", CRASHING),
                       ("elsewhere", elsewhere)):
        found[name] = node.work / f"runtime-{name}"
        found[name].write_text(text)
        found[name].chmod(0o755)
    return found


def plain(world):
    """One container to its end, and what it finds."""
    node, checks = world.node, world.checks
    volume = node.work / f"volume-{world.handler}"
    volume.mkdir()
    pod, pod_id = world.run_pod("plain", hostname="named", annotations={"example.com/told": "pod", "example.com/secret": "x"})
    script = ("echo out; echo err >&2; cat /etc/hostname; id -u; echo $HOME; ls /dev/shm >/dev/null && echo shm;"
              " echo x > /vol/file; (echo y > /ro/file) 2>&1; cat /proc/self/cgroup; echo x > /bin/written && echo root; "
              "exit 3")
    config = node.container_config("main", script, annotations={"example.com/told": "container", "other": "y"},
                                   mounts=[{"host_path": str(volume), "container_path": "/vol"},
                                           {"host_path": str(volume), "container_path": "/ro", "readonly": True}])
    container = node.create(pod_id, config, pod)
    node.crictl("start", container)
    c.wait_until("it ends", lambda: node.container_status(container)["state"] == "CONTAINER_EXITED")
    status = node.container_status(container)
    checks.equal((status["exitCode"], status["reason"]), (3, "Error"), "its exit code and reason")
    lines = [(stream, text) for _, stream, _, text in log_lines(node.log_of(pod, config))]
    checks.equal([next((text for each, text in lines if each == stream), "") for stream in ("stdout", "stderr")], ["out", "err"],
                 "its log has both streams")
    text = "\n".join(text for _, text in lines)
    checks.contains(text, ["named", "shm", "Read-only", "root"], "the pod's files, /dev/shm, volumes and a root to write on")
    checks.equal((volume / "file").read_text(), "x\n", "a volume is the host's")
    node.crictl("rm", container)
    said = [each.name for each in world.folder(pod_id).iterdir()]
    checks.ok(not any(container in name for name in said), "nothing is left of it", said)

    running = node.run_container(pod_id, node.container_config("second", "exec sleep 1000", annotations={
        "example.com/told": "container", "other": "y"}), pod)
    told = json.loads((world.folder(pod_id) / f"bundle-{running}/config.json").read_text())["annotations"]
    checks.equal(told, {"example.com/told": "container"}, "it is told of annotations by their exact names alone")
    mounts = pathlib.Path(f"/proc/{node.gantryd_pid()}/mountinfo").read_text()
    checks.ok(running not in mounts, "nothing of it is mounted on the host", mounts)
    node.crictl("rmp", "--force", pod_id)


def streams(world):
    """Execs, exit codes, standard input, terminals, stop signals."""
    node, checks = world.node, world.checks
    pod, pod_id = world.run_pod("streams", linux=world.pids)
    script = "trap 'echo termed; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    config = node.container_config("main", script, linux=world.pids)
    container = node.run_container(pod_id, config, pod)
    c.wait_until("it is ready", lambda: "ready" in node.log_of(pod, config).read_text())
    done = node.crictl("exec", "--sync", container, "sh", "-c", "echo said; echo wrong >&2; exit 4", check=False)
    checks.contains(done.stderr, ["exited with 4: wrong"], "an exec and its exit code")
    checks.equal(node.crictl("exec", "--sync", container, "echo", "said").stdout.strip(), "said", "what an exec says")
    done = node.crictl("exec", "-i", container, "cat", stdin="to the exec\n")
    checks.equal(done.stdout, "to the exec\n", "standard input of an exec")
    command = f"crictl --config {node.work}/crictl.yaml exec -it {container} sh -c 'test -t 0 && echo tty'"
    done = node.exec("script", "-qec", command, "/dev/null", check=False)
    checks.contains(done.stdout, "tty", "a terminal of an exec")
    said = node.refusal("exec", "--sync", container, "/no/such/program")
    checks.contains(said, ["no/such/program"], "an exec of what is not there says so")
    done = node.crictl("exec", "--sync", "--timeout", "5", container, "sleep", "1000", check=False)
    checks.contains(done.stderr, ["timed out"], "an exec has its time")
    shim = node.shim_pid(pod_id)
    checks.ok(is_alive(shim), "the shim lives")
    node.crictl("stop", "--timeout", "20", container)
    status = node.container_status(container)
    checks.equal(status["exitCode"], 5, "the stop signal reaches it")
    checks.contains(node.log_of(pod, config).read_text(), ["ready", "termed"], "and its log is complete")

    terminal = node.container_config("tty", "test -t 1 && echo has one; exec sleep 1000", tty=True, stdin=True)
    container = node.run_container(pod_id, terminal, pod)
    c.wait_until("it has a terminal", lambda: "has one" in node.log_of(pod, terminal).read_text())
    checks.ok(True, "a container with a terminal")
    left = [each.name for each in (world.folder(pod_id) / f"bundle-{container}").glob("exec-*")]
    checks.equal(left, [], "no file of an exec is left")
    node.crictl("rmp", "--force", pod_id)


def users(world):
    """A pod with a user namespace: whose its files, devices and namespaces are."""
    node, checks = world.node, world.checks
    first, count = 200000, 65536
    mapping = [{"host_id": first, "container_id": 0, "length": count}]
    spaces = world.pids["security_context"]["namespace_options"] | {
        "userns_options": {"mode": 0, "uids": mapping, "gids": mapping}}
    linux = {"security_context": {"namespace_options": spaces}}
    volume = node.work / f"users-{world.handler}"
    volume.mkdir()
    os.chown(volume, first + 5, first + 5)
    pod, pod_id = world.run_pod("users", hostname="named", linux=linux)
    script = ("busybox tr -s ' ' < /proc/self/uid_map; busybox stat -c '%n %u' /bin/busybox /etc/hosts /vol /dev/card/x; busybox hostname;"
              " busybox df /dev/shm | busybox grep -o /dev/shm; echo a > /vol/mine && echo b > /bin/written && echo wrote;"
              " busybox head -c 1 /dev/card/x | busybox wc -c; ls /sys/class/net/lo > /dev/null && echo sysfs; exec sleep 1000")
    config = node.container_config("main", script, linux=linux, mounts=[{"host_path": str(volume), "container_path": "/vol"}],
                                   devices=[{"host_path": "/dev/zero", "container_path": "/dev/card/x", "permissions": "rw"}])
    container = node.run_container(pod_id, config, pod)
    log = c.wait_until("it has said all", lambda: (text := node.log_of(pod, config).read_text()).count("\n") >= 10 and text)
    checks.contains(log, [f" 0 {first} {count}", "/bin/busybox 0", "/etc/hosts 0", "/vol 5", "/dev/card/x 0", "named", "/dev/shm"],
                    "with users: ids inside")
    checks.contains(log, ["wrote", " 1\n", "sysfs"], "with users: its root, a volume, a device and its network are its own")
    pid = node.container_pid(container)
    checks.contains(pathlib.Path(f"/proc/{pid}/status").read_text(), [f"Uid:\t{first}\t"], "with users: ids outside")
    checks.equal((volume / "mine").stat().st_uid, first, "with users: whose a file in a volume is")
    done = node.crictl("exec", "--sync", container, "sh", "-c", "echo $(busybox id -u); busybox cat /bin/written")
    checks.equal(done.stdout.split(), ["0", "b"], "with users: an exec is in it")
    terminal = node.container_config("second", "test -t 1 && echo has one; exec sleep 1000", tty=True, stdin=True, linux=linux)
    second = node.run_container(pod_id, terminal, pod)
    c.wait_until("it has a terminal", lambda: "has one" in node.log_of(pod, terminal).read_text())
    command = f"crictl --config {node.work}/crictl.yaml exec -it {second} sh -c 'test -t 0 && echo tty'"
    checks.contains(node.exec("script", "-qec", command, "/dev/null", check=False).stdout, "tty", "with users: terminals")
    space = [os.stat(f"/proc/{each}/ns/user").st_ino for each in (pid, node.container_pid(second), "self")]
    checks.ok(space[0] == space[1] != space[2], "with users: one user namespace for all of the pod", space)
    checks.ok(os.stat("/dev/null").st_uid != first, "with users: the host's devices stay the host's")
    closed = stat.S_IMODE((node.root / "run/gantry").stat().st_mode)
    checks.equal(closed, 0o700, "with users: strangers don't come to the pods' folders")
    node.crictl("rmp", "--force", pod_id)


def numbers(world):
    """Its cgroup, statistics, new limits, and mounts that come and go later."""
    node, checks = world.node, world.checks
    shared = node.work / f"shared-{world.handler}"
    shared.mkdir()
    node.exec("mount", "-t", "tmpfs", "shared", shared)
    node.exec("mount", "--make-shared", shared)
    for name in ("in", "out"):
        (node.root / str(shared)[1:] / name).mkdir()
    privileged = {"security_context": OWN_PIDS["security_context"] | {"privileged": True}}
    pod, pod_id = world.run_pod("numbers", linux=privileged)
    config = node.container_config("main", "exec sleep 1000", mounts=[
        {"host_path": str(shared), "container_path": "/follows", "propagation": 1},
        {"host_path": str(shared), "container_path": "/shares", "propagation": 2}], linux=privileged)
    container = node.run_container(pod_id, config, pod)
    pid = node.container_pid(container)
    cgroup = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    checks.ok(cgroup.rstrip().endswith(container), "it is in its cgroup", cgroup)
    stats = node.json("stats", "-o", "json", container)["stats"]
    checks.ok(stats and int(stats[0]["cpu"]["usageCoreNanoSeconds"]["value"]) > 0, "it has statistics", stats)
    done = node.crictl("update", "--cpu-share", "512", container, check=False)
    checks.equal(done.returncode, 0, "its limits may be changed")
    node.exec("mount", "-t", "tmpfs", "late", shared / "in")
    said = node.crictl("exec", "--sync", container, "cat", "/proc/mounts").stdout
    checks.contains(said, ["late /follows/in", "late /shares/in"], "mounts of the host's come in")
    node.crictl("exec", "--sync", container, "mount", "-t", "tmpfs", "ours", "/shares/out")
    mounts = node.exec("cat", "/proc/mounts").stdout
    checks.contains(mounts, [f"ours {shared}/out"], "and those of a container go out where they may")
    checks.ok("rootfs" not in mounts.replace("rootfs / ", ""), "its root does not", mounts)
    node.crictl("rmp", "--force", pod_id)
    node.exec("umount", "-R", shared)


def restarts(world):
    """gantryd killed while a container runs and while one is made; the shim killed."""
    node, checks = world.node, world.checks
    pod, pod_id = world.run_pod("restarts")
    config = node.container_config("main", "echo up; while ! [ -e /stop/now ]; do sleep 0.05; done; exit 9",
                                   mounts=[{"host_path": str(node.work / f"stop-{world.handler}"), "container_path": "/stop"}])
    container = node.run_container(pod_id, config, pod)
    node.kill_gantryd()
    node.wait_for_gantryd()
    checks.equal(node.container_status(container)["state"], "CONTAINER_RUNNING", "it runs on without gantryd")
    checks.equal(node.crictl("exec", "--sync", container, "echo", "again").stdout.strip(), "again", "an exec after that")
    with node.without_gantryd():
        (node.work / f"stop-{world.handler}/now").touch()
        c.wait_until("its log is there", lambda: "up" in node.log_of(pod, config).read_text())
    c.wait_until("its end is known", lambda: node.container_status(container)["state"] == "CONTAINER_EXITED")
    checks.equal(node.container_status(container)["exitCode"], 9, "an end without gantryd has its exit code")
    left = [each.name for each in (world.folder(pod_id) / "runtime").iterdir()]
    checks.equal(left, [], "the runtime has forgotten it")

    waiting = node.create(pod_id, node.container_config("midway", "exec sleep 1000"), pod)
    thread = threading.Thread(target=lambda: node.crictl("start", waiting, check=False))
    thread.start()
    c.wait_until("its start has begun", lambda: (world.folder(pod_id) / f"bundle-{waiting}").exists())
    node.kill_gantryd()
    node.wait_for_gantryd()
    thread.join()
    again = node.crictl("start", waiting, check=False)
    state = node.container_status(waiting)["state"]
    checks.ok(state in ("CONTAINER_RUNNING", "CONTAINER_EXITED") and (again.returncode == 0) == (state == "CONTAINER_RUNNING"),
              "a start that gantryd did not live to see the end of may be asked for again", again)
    node.crictl("rm", "-f", waiting)

    container = node.run_container(pod_id, node.container_config("last", "exec sleep 1000"), pod)
    pid = node.container_pid(container)
    with c.Process(node.shim_pid(pod_id)) as shim:
        shim.kill()
    c.wait_until("its container ends", lambda: node.container_status(container)["state"] == "CONTAINER_EXITED")
    checks.equal(node.container_status(container)["exitCode"], 255, "a pod ends with its shim")
    checks.ok(not is_alive(pid), "and its containers with it")
    node.crictl("rmp", "--force", pod_id)


def settled(world):
    """Nothing is left of a few cycles, and nobody is a zombie."""
    def once(number):
        pod, pod_id = world.run_pod("cycle")
        container = world.node.run_container(pod_id, world.node.container_config("main", "exec sleep 1000"), pod)
        world.node.crictl("exec", "--sync", container, "true")
        world.node.crictl("rmp", "--force", pod_id)

    for number in range(2):
        once(number)
    with cycles.leaves_nothing(world.checks, world.node, "cycles"):
        for number in range(3):
            once(number)


def hanging(node):
    """Processes of the runtime that hangs."""
    found = []
    for pid in node.pids(""):
        with contextlib.suppress(OSError):  # it has ended since
            if b"runtime-hangs" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def broken(checks, node):
    """Runtimes that don't do what they should."""
    for name, parts in (("fails", ["runtime-fails", "ended with 7", "of the script"]), ("logs", ["no such thing as luck"]),
                        ("crashes", ["signal 11"]), ("elsewhere", ["it made the process in cgroup", "-elsewhere, not in"])):
        world = World(checks, node, name)
        pod, pod_id = world.run_pod("broken")
        container = node.create(pod_id, node.container_config("main", "exec sleep 1000"), pod)
        said = node.refusal("start", container)
        checks.contains(said, [f"runtime handler {name}", *parts], f"a runtime that {name}: its words are in the error")
        status = node.container_status(container)
        seen = (status["state"], status["reason"])
        checks.equal(seen, ("CONTAINER_EXITED", "StartError"), f"a runtime that {name}: its container has ended")
        node.crictl("rmp", "--force", pod_id)
    world = World(checks, node, "hangs")
    pod, pod_id = world.run_pod("broken")
    container = node.create(pod_id, node.container_config("main", "true"), pod)
    thread = threading.Thread(target=lambda: node.crictl("start", container, check=False))
    thread.start()
    c.wait_until("its runtime hangs", lambda: hanging(node))
    node.crictl("stop", "--timeout", "0", container)
    thread.join()
    checks.equal(node.container_status(container)["state"], "CONTAINER_EXITED", "a start whose runtime hangs can be ended")
    node.crictl("rmp", "--force", pod_id)
    checks.equal(hanging(node), [], "and nothing of that runtime is left")


def configuration(checks, node, handlers):
    said = node.crictl("runp", "--runtime", "none-such", node.write(node.pod_config("none")), check=False).stderr
    checks.contains(said, ["runtime_handler", "none-such", "gantry"], "a handler that there is not: which there are")
    for text, parts in (("runtimeHandlers: 5", ["runtimeHandlers", "a list"]),
                        ("runtimehandlers: []", ["runtimehandlers", "unknown"]),
                        ("runtimeHandlers: [{name: A_B, path: /x}]", ["runtimeHandlers[0].name", "DNS label"]),
                        ("runtimeHandlers: [{name: a, path: crun}]", ["runtimeHandlers[0].path", "absolute"]),
                        ("runtimeHandlers: [{name: a, path: /no/such}]", ["/no/such", "No such file"]),
                        ("runtimeHandlers: [{name: a, path: /x, flags: [--root=/]}]", ["flags[0]", "--root"])):
        (node.state / "gantryd.yaml").write_text(text)
        checks.contains(node.reload(), ["stay as they were", *parts], f"gantryd.yaml: {text}")
    names = [each["name"] for each in node.json("info")["runtimeHandlers"] if each.get("name")]
    checks.ok(set(handlers) <= set(names), "what was there goes on, and Status lists it", names)
    configure(node, handlers)
    features = c.wait_until("features are known", lambda: [
        each for each in node.json("info")["runtimeHandlers"]
        if each.get("name") in ("crun", "runc", "own") and each["features"].get("recursive_read_only_mounts")])
    checks.ok(all(each["features"].get("user_namespaces") for each in features), "features of handlers are told", features)


def story(checks):
    names = sys.argv[1:]
    with Node(checks) as node:
        node.build_image()
        handlers = handlers_of(names)
        configure(node, handlers | scripts(node))
        for name in handlers:
            world = World(c.Checks(name), node, name)
            world.checks = checks
            checks.label = f"{name}: "
            (node.work / f"stop-{name}").mkdir()
            for part in (plain, streams, users, numbers, restarts, settled):
                part(world)
        checks.label = ""
        broken(checks, node)
        configuration(checks, node, handlers)


c.main(story)
