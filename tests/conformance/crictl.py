#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""The life of pods and containers as real crictl sees it: what a container finds around it, how it is entered, read and ended."""
import os
import pathlib
import resource
import signal
import stat
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import IMAGE, OWN_PIDS
from node import Node, log_lines

LINKS = "for kind in net ipc pid; do readlink /proc/self/ns/$kind; done"
SLEEP = "exec sleep 100000"


class World:
    """A node and short words for what is done on it."""

    def __init__(self, checks, node):
        self.checks, self.node = checks, node

    def pod(self, name, **more):
        config = self.node.pod_config(name, **more)
        return self.node.run_pod(config), config

    def run(self, pod, name, script=SLEEP, **more):
        return self.node.run_container(pod[0], self.node.container_config(name, script, **more), pod[1])

    def sh(self, container, script, check=True):
        """Standard output of a script in the container, by ExecSync."""
        done = self.node.crictl("exec", "--sync", container, "/bin/sh", "-c", script, check=check)
        return done.stdout.rstrip("\n") if check else done

    def logged(self, pod, config, text):
        """Waits until a container has written `text`: its traps are set by then."""
        c.wait_until("the container is ready", lambda: text in self.node.log_of(pod[1], config).read_text())

    def end(self, container):
        """The status of a container that ends by itself."""
        return c.wait_until("the container ends", lambda: (s := self.node.container_status(container))["state"] ==
                            "CONTAINER_EXITED" and s)

    def remove(self, pod):
        self.node.crictl("rmp", "--force", pod[0])


def security(**fields):
    return {"linux": {"security_context": {"namespace_options": {"pid": 1}} | fields}}


def runtime(w):
    version = w.node.crictl("version").stdout
    w.checks.contains(version, ["RuntimeName:  gantry", "RuntimeApiVersion:  v1"], "version")
    info = w.node.json("info")
    ready = {condition["type"]: condition["status"] for condition in info["status"]["conditions"]}
    w.checks.equal(ready, {"RuntimeReady": True, "NetworkReady": True}, "info: runtime and network are ready")
    w.checks.contains(w.node.crictl("runtime-config").stdout, "CGROUPFS", "runtime-config names the cgroup driver")


def life(w):
    pod = w.pod("life", labels={"app": "life"}, annotations={"note": "a\nb"})
    again = w.node.run_pod(pod[1])
    w.checks.equal(again, pod[0], "the same pod again gives the same sandbox")
    status = w.node.pod_status(pod[0])
    w.checks.equal((status["state"], status["metadata"]["attempt"], status["labels"], status["annotations"]),
                   ("SANDBOX_READY", 0, {"app": "life"}, {"note": "a\nb"}), "inspectp tells what was given")
    script = "trap 'echo bye; exit 7' TERM; echo out; printf partial; echo err >&2; while :; do sleep 0.05; done"
    config = w.node.container_config("main", script, labels={"part": "main"})
    container = w.node.create(pod[0], config, pod[1])
    w.checks.equal(w.node.create(pod[0], config, pod[1]), container, "the same container again is the same")
    w.checks.equal(w.node.container_status(container)["state"], "CONTAINER_CREATED", "created")
    log = w.node.log_of(pod[1], config)
    w.checks.ok(not log.exists(), "a created container has no log yet")
    w.node.crictl("start", container)
    w.checks.ok(log.exists(), "the log is there when start returns")
    w.checks.equal(stat.S_IMODE(log.stat().st_mode), 0o640, "its mode")
    status = w.node.container_status(container)
    w.checks.equal((status["state"], status["logPath"], status["metadata"]["name"]), ("CONTAINER_RUNNING", str(log), "main"),
                   "running")
    for filters, found in (({"--id": container[:10]}, True), ({"--pod": pod[0][:13]}, True), ({"--label": "part=main"}, True),
                           ({"--label": "part=other"}, False), ({"--state": "exited"}, False), ({"--name": "main"}, True)):
        arguments = [text for pair in filters.items() for text in pair]
        shown = w.node.crictl("ps", "-a", "-q", "--no-trunc", *arguments).stdout.split()
        w.checks.equal(container in shown, found, f"ps {' '.join(arguments)[:40]}")
    w.logged(pod, config, "err")  # the last that it says
    w.node.crictl("stop", "--timeout", "60", container)
    status = w.node.container_status(container)
    w.checks.equal((status["state"], status["exitCode"], status["reason"]), ("CONTAINER_EXITED", 7, "Error"),
                   "stop sends SIGTERM, and the exit code is the container's")
    texts = [(stream, tag, text) for _, stream, tag, text in log_lines(log)]
    w.checks.equal(sorted(texts), [("stderr", "F", "err"), ("stdout", "F", "out"), ("stdout", "F", "partialbye")],
                   "its log is complete when it is exited")
    w.checks.contains(w.node.crictl("logs", container).stdout, ["out", "partialbye"], "crictl logs")
    w.node.crictl("stop", container)
    w.checks.ok(True, "stopping a stopped one is fine")
    w.checks.contains(w.node.refusal("start", container), "FailedPrecondition", "a container starts once")
    w.node.crictl("rm", container)
    w.checks.contains(w.node.refusal("inspect", container), "NotFound", "removed")
    w.node.crictl("stopp", pod[0])
    w.checks.equal(w.node.pod_status(pod[0])["state"], "SANDBOX_NOTREADY", "a stopped pod is not ready")
    w.checks.contains(w.node.refusal("create", pod[0], w.node.write(config), w.node.write(pod[1])), "FailedPrecondition",
                      "and takes no container")
    w.checks.contains(w.node.refusal("runp", w.node.write(pod[1])), "AlreadyExists", "nor its name another one")
    w.node.crictl("rmp", pod[0])
    w.checks.ok(pod[0] not in w.node.pods(), "and is removed")


def ends(w):
    pod = w.pod("ends")
    status = w.end(w.run(pod, "good", "exit 0"))
    w.checks.equal((status["exitCode"], status["reason"]), (0, "Completed"), "exit 0 is Completed")
    killed = w.run(pod, "killed")
    os.kill(w.node.container_pid(killed), signal.SIGKILL)
    status = w.end(killed)
    w.checks.equal((status["exitCode"], status["reason"]), (137, "Error"), "SIGKILL is 137")
    config = w.node.container_config("deaf", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    deaf = w.node.run_container(pod[0], config, pod[1])
    w.logged(pod, config, "ready")
    started = time.monotonic()
    w.node.crictl("stop", "--timeout", "1", deaf)
    took = time.monotonic() - started
    w.checks.equal(w.node.container_status(deaf)["exitCode"], 137, "one that is deaf to SIGTERM is killed")
    w.checks.ok(1 <= took < c.PATIENCE, "after its grace", f"{took:.2f} s")
    config = w.node.container_config("quit", "trap 'exit 3' QUIT; echo ready; while :; do sleep 0.05; done") | {"stop_signal": 18}
    container = w.node.run_container(pod[0], config, pod[1])
    w.logged(pod, config, "ready")
    w.node.crictl("stop", "--timeout", "60", container)
    w.checks.equal(w.node.container_status(container)["exitCode"], 3, "the stop signal is the one that was asked for")
    for name, command, words in (("none", ["/no/such/program"], ["/no/such/program", "no such file"]),
                                 ("in-path", ["no-such-program"], ["no-such-program", "not found"]),
                                 ("folder", ["/etc"], ["/etc", "permission denied"])):
        config = w.node.container_config(name, "") | {"command": command}
        container = w.node.create(pod[0], config, pod[1])
        refused = w.node.refusal("start", container)
        w.checks.contains(refused, words, f"command {command[0]}: start says what is wrong")
        status = w.node.container_status(container)
        w.checks.equal((status["state"], status["exitCode"], status["reason"]), ("CONTAINER_EXITED", 128, "StartError"),
                       f"command {command[0]}: StartError")
        w.checks.contains(status["message"], words, f"command {command[0]}: and so does its status")
    w.remove(pod)


def entering(w):
    pod = w.pod("entering")
    container = w.run(pod, "main", envs=[{"key": "FOO", "value": "a b"}])
    w.checks.equal(w.sh(container, 'echo "$FOO"'), "a b", "exec --sync gives the output of a command")
    done = w.sh(container, "echo problem >&2; exit 4", check=False)
    w.checks.contains(done.stderr, ["exited with 4", "problem"], "and what is wrong with one that fails")
    refused = w.node.refusal("exec", "--sync", "--timeout", "3", container, "sleep", "1000")
    w.checks.contains(refused, ["timed out after 3 s"], "exec --sync that takes too long is refused, in time")
    w.checks.equal(w.sh(container, "ps | grep -c '[s]leep 1000$' || true"), "0",
                   "and its process is gone")
    w.node.exec("timeout", "-s", "KILL", "1", "crictl", "--config", w.node.work / "crictl.yaml", "exec", "--sync", container,
                "sleep", "1001", check=False)
    c.wait_until("exec --sync whose client was killed ends", lambda: w.sh(container, "ps | grep -c '[s]leep 1001$' || true") == "0")
    w.checks.ok(True, "exec --sync whose client was killed goes with it")
    refused = w.node.refusal("exec", "--sync", container, "no-such-program")
    w.checks.contains(refused, "no-such-program", "exec of what is not there says so")
    # 20 MiB go out, what fits into an answer comes, and the process is not held up.
    done = w.node.crictl("exec", "--sync", container, "sh", "-c", "dd if=/dev/zero bs=1M count=20 2>/dev/null | tr '\\0' x; echo end >&2",
                         check=False)
    w.checks.ok(15 << 20 < len(done.stdout) <= 16 << 20, "the output of exec --sync is bounded", len(done.stdout))
    w.checks.equal(w.node.crictl("exec", container, "echo", "hello").stdout, "hello\n", "exec, by streaming")
    text = "line\n" * 100000
    w.checks.ok(w.node.crictl("exec", "-i", container, "cat", stdin=text).stdout == text, "exec -i carries its input whole")
    done = w.node.crictl("exec", container, "sh", "-c", "exit 9", check=False)
    w.checks.contains(done.stderr, "9", "exec tells the exit code")
    done = w.node.exec("script", "-qec", f"crictl --config {w.node.work}/crictl.yaml exec -it {container} sh -c 'tty; stty size'",
                       "/dev/null", check=False)
    w.checks.contains(done.stdout, ["/dev/pts/0"], "exec -it has a terminal of the container's own")
    w.node.crictl("exec", "-r", "websocket", container, "true")
    w.checks.ok(True, "exec by WebSocket")
    w.remove(pod)


def surroundings(w):
    dns = {"servers": ["10.10.10.10"], "searches": ["example.org"], "options": ["ndots:8"]}
    pod = w.pod("around", hostname="around-1", dns_config=dns,
                linux=OWN_PIDS | {"sysctls": {"net.core.somaxconn": "77", "kernel.shm_rmid_forced": "1"}})
    address = w.node.pod_status(pod[0])["network"]["ip"]
    one = w.run(pod, "one", "mkdir /www; echo here > /www/index.html; exec httpd -f -p 80 -h /www")
    two = w.run(pod, "two")
    w.checks.equal(w.sh(one, "hostname"), "around-1", "the hostname")
    w.checks.equal(w.sh(one, "cat /etc/resolv.conf"), "search example.org\nnameserver 10.10.10.10\noptions ndots:8", "resolv.conf")
    w.checks.contains(w.sh(two, "cat /etc/hosts"), [f"{address}\taround-1", "127.0.0.1\tlocalhost"], "hosts")
    w.checks.equal(w.sh(one, "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shm_rmid_forced"), "77\n1", "sysctls")
    w.checks.equal(w.sh(one, "echo shared > /dev/shm/x") + w.sh(two, "cat /dev/shm/x"), "shared", "/dev/shm is the pod's")
    c.wait_until("the web server answers", lambda: w.sh(two, "wget -qO- http://127.0.0.1/ || true") == "here")
    w.checks.ok(True, "containers of a pod share its network")
    seen = w.node.exec("busybox", "wget", "-qO-", f"http://{address}/").stdout
    w.checks.equal(seen, "here\n", "the node reaches the pod at its address")
    other = w.pod("around-other")
    visitor = w.run(other, "visitor")
    w.checks.equal(w.sh(visitor, f"wget -qO- http://{address}/"), "here", "and so does another pod")
    w.checks.equal(w.sh(one, "ls /proc | grep -cE '^[0-9]+$'; cat /proc/1/comm").split("\n")[1], "httpd",
                   "with pid CONTAINER its first process is pid 1")
    for each in (pod, other):
        w.remove(each)

    shared = w.pod("shared-pids", linux={})
    first = w.run(shared, "first", linux={})
    second = w.run(shared, "second", linux={})
    c.wait_until("both are seen", lambda: w.sh(second, "ps").count("sleep 100000") == 2)
    w.checks.ok(True, "with pid POD containers see each other")
    w.checks.contains(w.sh(first, "cat /proc/1/comm"), "gantry-init", "and gantry-init is pid 1")
    w.sh(first, "(sleep 0.01 &)")
    c.wait_until("the orphan has gone", lambda: "sleep" not in w.sh(second, "ps -o comm,args | grep -v 100000 || true"))
    w.checks.ok(True, "which reaps")
    w.remove(shared)

    host = w.pod("host", linux={"security_context": {"namespace_options": {"network": 2, "pid": 2, "ipc": 2}}})
    container = w.run(host, "main", linux={"security_context": {"namespace_options": {"network": 2, "pid": 2, "ipc": 2}}})
    w.checks.equal(w.sh(container, LINKS), w.node.exec("sh", "-c", LINKS).stdout.strip(),
                  
                   "a pod may use the node's namespaces")
    w.checks.equal(w.node.pod_status(host[0])["network"]["ip"], "", "then it has no address of its own")
    w.remove(host)


def confinement(w):
    pod = w.pod("confined")
    plain = w.run(pod, "plain")
    w.checks.equal(w.sh(plain, "grep -E 'Seccomp:|NoNewPrivs:' /proc/1/status"), "NoNewPrivs:\t0\nSeccomp:\t0",
                   "what nobody asks for is not filtered")
    w.checks.equal(w.sh(plain, "ls /proc/self/fd | wc -l"), "4", "a process has its three descriptors (and ls its folder)")
    w.checks.equal(w.sh(plain, "grep CapInh /proc/self/status"), "CapInh:\t0000000000000000", "no inheritable capability")
    limits = " ".join(str(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    w.checks.equal(w.sh(plain, "echo $(ulimit -Sn) $(ulimit -Hn)"), limits,
                   "open files are limited as when gantryd was started, not as it raised it")
    w.checks.equal(" ".join(w.sh(plain, "grep 'open files' /proc/1/limits").split()[3:5]), limits, "for the first process too")
    strict = w.run(pod, "strict", **security(seccomp={"profile_type": 0}, no_new_privs=True, readonly_rootfs=True,
                                             run_as_user={"value": 1000}, run_as_group={"value": 2000},
                                             supplemental_groups=[3000], capabilities={"drop_capabilities": ["ALL"]},
                                             masked_paths=["/proc/kcore", "/proc/keys"], readonly_paths=["/proc/sys"]))
    for where, script in (("its first process", "cat /proc/1/status"), ("an exec", "cat /proc/self/status")):
        status = dict(line.split(":\t", 1) for line in w.sh(strict, script).splitlines() if ":\t" in line)
        seen = [status[key].split()[0] for key in ("Uid", "Gid", "Seccomp", "NoNewPrivs", "CapBnd")] + [status["Groups"].split()]
        w.checks.equal(seen, ["1000", "2000", "2", "1", "0" * 16, ["2000", "3000"]], f"{where} is confined as asked")
    done = w.sh(strict, "touch /x; touch /proc/sys/x; cat /proc/keys; id", check=False)
    w.checks.contains(done.stdout + done.stderr, ["/x: read-only", "uid=1000"], "a read-only root")
    reported = w.node.container_status(strict)["user"]["linux"]
    w.checks.equal((reported["uid"], reported["gid"], reported["supplementalGroups"]), ("1000", "2000", ["2000", "3000"]),
                   "the status tells the user")
    refused = w.node.refusal("create", pod[0], w.node.write(w.node.container_config("bad", SLEEP, **security(
        run_as_username="nobody-knows"))), w.node.write(pod[1]))
    w.checks.contains(refused, ["nobody-knows"], "a user that the image does not know is refused")

    privileged = w.pod("privileged", linux={"security_context": {"privileged": True, "namespace_options": {"pid": 1}}})
    container = w.run(privileged, "main", **security(privileged=True))
    w.checks.ok(int(w.sh(container, "grep CapEff /proc/self/status").split()[1], 16) & 1 << 21, "privileged has CAP_SYS_ADMIN")
    w.checks.ok(len(w.sh(container, "ls /dev").split()) >= 15, "and the host's devices")
    for each in (pod, privileged):
        w.remove(each)


def volumes(w):
    folder = w.node.work / "volume"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_text("from outside\n")
    (w.node.work / "link").symlink_to(folder)
    pod = w.pod("volumes")
    container = w.run(pod, "main", mounts=[
        {"container_path": "/data", "host_path": str(folder)},
        {"container_path": "/read", "host_path": str(folder), "readonly": True},
        {"container_path": "/linked", "host_path": str(w.node.work / "link")},
        {"container_path": "/one", "host_path": str(folder / "file"), "readonly": True, "recursive_read_only": True},
        {"container_path": "/made", "host_path": str(w.node.work / "made/here")},
        {"container_path": "/etc/hosts", "host_path": str(folder / "file")}],
        devices=[{"host_path": "/dev/full", "container_path": "/dev/myfull", "permissions": "rw"}])
    w.checks.equal(w.sh(container, "cat /data/file /read/file /linked/file /one /etc/hosts | sort -u"), "from outside", "mounts")
    w.checks.equal(w.sh(container, "echo inside > /data/new; cat /linked/new"), "inside", "one can be written")
    done = w.sh(container, "touch /read/x; echo x > /one; echo x > /dev/myfull", check=False)
    w.checks.contains(done.stdout + done.stderr, ["/read/x: read-only", "/one: read-only", "no space left"],
                      "read-only ones can't; a device is there")
    w.checks.equal((folder / "new").read_text(), "inside\n", "the host sees what was written")
    w.checks.ok((w.node.work / "made/here").is_dir(), "a folder that is not there is made")
    shown = {mount["containerPath"]: mount for mount in w.node.container_status(container)["mounts"]}
    w.checks.equal((shown["/read"]["hostPath"], shown["/read"]["readonly"]), (str(folder), True), "inspect shows them")
    w.remove(pod)


def logs(w):
    pod = w.pod("logs")
    config = w.node.container_config("main", "n=0; while :; do echo $n; n=$((n+1)); usleep 2000; done")
    container = w.node.run_container(pod[0], config, pod[1])
    log = w.node.log_of(pod[1], config)
    rotated = log.with_suffix(".1")
    for _ in range(3):
        c.wait_until("it has logged", lambda: log.stat().st_size > 500)
        with open(rotated, "ab") as kept:
            log.rename(log.with_suffix(".moved"))
            w.node.crictl("logs", "--reopen", container)
            w.checks.ok(log.exists(), "the log is there when reopen returns")
            kept.write(log.with_suffix(".moved").read_bytes())
    w.node.crictl("stop", container)
    numbers = [int(text) for _, _, _, text in log_lines(rotated) + log_lines(log)]
    w.checks.equal(numbers, list(range(len(numbers))), "no line is lost or doubled over a rotation")
    w.remove(pod)


def numbers(w):
    pod = w.pod("numbers")
    container = w.run(pod, "main", "dd if=/dev/zero of=/big bs=1M count=3 2>/dev/null; while :; do :; done")
    # A sample serves for half a second.
    stats = c.wait_until("there are statistics, and the file is counted", lambda: [
        each for each in w.node.json("stats", "-o", "json", "--id", container)["stats"] or []
        if int((each["writableLayer"] or {}).get("usedBytes", {}).get("value", 0)) >= 3 << 20])[0]
    w.checks.equal(stats["attributes"]["id"], container, "stats of a container")
    w.checks.ok(int(stats["cpu"]["timestamp"]) and int(stats["cpu"]["usageCoreNanoSeconds"]["value"]) > 0, "its CPU time", stats)
    w.checks.ok(int(stats["writableLayer"]["usedBytes"]["value"]) < 8 << 20, "its disk", stats["writableLayer"])
    w.checks.equal(w.node.json("stats", "-o", "json", "--label", "no=such")["stats"] or [], [], "none with another label")
    w.remove(pod)


def updates(w):
    pod = w.pod("updates")
    linux = {"resources": {"cpu_shares": 512, "memory_limit_in_bytes": 64 << 20}} | OWN_PIDS
    container = w.run(pod, "main", SLEEP, linux=linux)
    waiting = w.node.create(pod[0], w.node.container_config("waiting", SLEEP), pod[1])

    def limits(of):
        resources = w.node.container_status(of)["resources"]["linux"]
        return int(resources["cpuShares"]), int(resources["memoryLimitInBytes"])

    for each, before in ((container, 64 << 20), (waiting, 0)):
        w.node.crictl("update", "--cpu-share", "2048", each)
        w.checks.equal(limits(each), (2048, before), "update changes what it names, and nothing else")
    w.node.crictl("update", "--memory", str(128 << 20), container)
    w.node.kill_gantryd()
    w.node.wait_for_gantryd()
    w.checks.equal((limits(container), limits(waiting)), ((2048, 128 << 20), (2048, 0)), "which outlives gantryd")
    w.checks.contains(w.node.refusal("update", "--cpu-share", "-7", container), ["cpu_shares", "-7"], "what is wrong is named")
    w.checks.contains(w.node.refusal("update", "--cpuset-cpus", "all", container), ["cpuset", "all"], "CPUs, too")
    w.checks.equal(limits(container), (2048, 128 << 20), "and changes nothing")
    w.node.crictl("stop", "--timeout", "0", container)
    w.checks.contains(w.node.refusal("update", "--cpu-share", "2", container), "exited", "one that has ended has no limits")
    w.checks.contains(w.node.refusal("update", "--cpu-share", "2", "nothing"), "nothing", "nor has one that is not there")
    w.remove(pod)


def images(w):
    # The short form of the test's image, and its id.
    image = w.node.json("images", "-o", "json")["images"][0]
    w.checks.equal(image["repoTags"], [f"docker.io/library/{IMAGE}"], "images")
    for query in (IMAGE, f"docker.io/library/{IMAGE}", image["id"], image["id"].split(":")[1][:12], image["repoDigests"][0]):
        w.checks.equal(w.node.json("inspecti", query)["status"]["id"], image["id"], f"inspecti {query[:40]}")
    w.checks.ok(w.node.refusal("inspecti", "no-such"), "one that is not here")
    usage = w.node.json("imagefsinfo")["status"]["imageFilesystems"][0]
    w.checks.ok(int(usage["usedBytes"]["value"]) > 1 << 20, "imagefsinfo", usage)
    w.node.build_image("other:1")
    w.node.crictl("rmi", "other:1")
    w.checks.ok(w.node.refusal("inspecti", IMAGE), "rmi takes the image with all of its names")
    w.node.build_image()


def story(checks):
    # Lower than the hard one, to tell apart whose limit a container has.
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with Node(checks) as node:
        node.build_image()
        world = World(checks, node)
        for part in (runtime, life, ends, entering, surroundings, confinement, volumes, logs, numbers, updates, images):
            part(world)
        checks.equal((node.pods(), node.containers()), ({}, {}), "nothing is left")


c.main(story)
