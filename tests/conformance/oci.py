#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""gantry-oci as containers' own tools drive it: the life of a container command by command, and what is said when something is
wrong. oci_container.py has what a container's process finds, oci_kill.py a death in the middle."""
import array
import contextlib
import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import termios

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle
from oci_bundle import ROOT, USER, caller, cgroup, cgroup_folder, read_until


def life(checks, oci):
    folder = oci.bundle("sh", "-c", "echo begun > /tmp/begun; exec sleep 1000")
    oci("create", "--bundle", folder, "--pid-file", oci.work / "pid", "one")
    state = oci.state("one")
    pid = int((oci.work / "pid").read_text())
    checks.equal((state["status"], state["pid"], state["bundle"], state["id"]), ("created", pid, str(folder), "one"),
                 "create leaves a container whose state and pid file agree")
    begun = oci.rootfs / "tmp/begun"
    checks.ok(not begun.exists(), "its program has not begun")
    again = oci("create", "--bundle", folder, "one", check=False)
    checks.equal((again.returncode, "exists already" in again.stderr), (1, True), "another of the same id is refused")
    checks.equal(pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()[-1], "0::" + cgroup(f"c{oci.count}"),
                 "it is in the cgroup that was asked for")
    oci("start", "one")
    checks.equal(oci.status("one"), "running", "start lets it run")
    c.wait_until("the program begins", begun.exists)
    twice = oci("start", "one", check=False)
    checks.equal((twice.returncode, "it is running" in twice.stderr), (1, True), "a second start is refused")
    refused = oci("delete", "one", check=False)
    checks.equal((refused.returncode, "not stopped" in refused.stderr), (1, True), "a running container is not deleted")
    listed = json.loads(oci("list", "--format", "json").stdout)
    checks.equal([(entry["id"], entry["status"]) for entry in listed], [("one", "running")], "list shows it")
    checks.equal(json.loads(oci("ps", "--format", "json", "one").stdout), [pid], "ps shows its process")
    oci("pause", "one")
    checks.equal(oci.status("one"), "paused", "pause stops it for now")
    checks.equal(oci("exec", "one", "true", check=False).returncode, 255, "nothing is executed in a paused container")
    oci("resume", "one")
    checks.equal(oci.status("one"), "running", "resume lets it go on")
    oci("kill", "one", "KILL")
    oci.wait_stopped("one")
    gone = oci("kill", "one", "TERM", check=False)
    checks.equal((gone.returncode, "not running" in gone.stderr), (1, True), "a signal to one that has ended is refused")
    oci("delete", "one")
    checks.equal((oci.state("one"), oci.remnants()), (None, []), "delete leaves nothing")
    checks.equal((oci("delete", "one", check=False).returncode, oci("delete", "--force", "one").returncode), (1, 0),
                 "delete of one that is not there fails, with --force it does not")
    left = oci.work / "left"
    none = oci("run", "--bundle", oci.bundle("nosuch"), "--pid-file", left, "none", check=False)
    checks.equal((none.returncode, left.exists()), (1, False), "a run of a program that is not there leaves no pid file")
    name = oci.start("sleep", "1000")
    oci("delete", "--force", name)
    folder = oci.bundle("sleep", "1000")
    oci("create", "--bundle", folder, "waiting")
    oci("delete", "waiting")
    checks.equal(oci.remnants(), [], "delete --force takes a running one, delete one that waits for its start")


def lying_state(checks, oci):
    name = oci.start("sleep", "1000")
    path = oci.root / name / "state.json"
    record = json.loads(path.read_text())
    record["startTime"] += 1
    path.write_text(json.dumps(record))
    checks.equal((oci.status(name), oci("kill", name, check=False).returncode), ("stopped", 1),
                 "a process that only has the number is never taken for the container's")
    oci("delete", name)
    checks.equal(oci.remnants(), [], "and what is in the cgroup goes with delete")


def without_program(checks, oci):
    folder = oci.bundle("true", change=lambda config: config.pop("process"))
    refused = oci("run", "--bundle", folder, "idle", check=False)
    checks.equal((refused.returncode, "process: is missing" in refused.stderr), (1, True), "run needs a process")
    oci("create", "--bundle", folder, "idle")
    entered = oci("exec", "idle", "echo", "hello", check=False)
    if caller() == USER:
        checks.equal((oci.status("idle"), "once it is started" in entered.stderr), ("created", True),
                     "a container without one is created; to enter it is refused, by the reason")
    else:
        checks.equal((oci.status("idle"), entered.stdout), ("created", "hello\n"),
                     "a container without one is created, and can be entered")
    done = oci("start", "idle")
    checks.equal((done.returncode, "no program to run" in done.stderr), (0, True), "start says that there is nothing to start")
    oci.wait_stopped("idle")
    oci("delete", "idle")
    checks.equal(oci.remnants(), [], "and ends it")


def exit_codes(checks, oci):
    for script, code in (("exit 0", 0), ("exit 3", 3)):
        checks.equal(oci.run(script).returncode, code, f"run of '{script}' ends with {code}")
    with open(oci.work / "input", "w+") as file:
        file.write("from outside\n")
        file.seek(0)
        checks.equal(oci.run("cat", stdin=file).stdout, "from outside\n", "standard streams are the caller's")
    folder = oci.bundle("sleep", "1000")
    waiting = subprocess.Popen(oci.command("run", "--bundle", folder, "signalled"), stdin=subprocess.DEVNULL)
    c.wait_until("it runs", lambda: oci.status("signalled") == "running")
    oci("kill", "signalled", "KILL")
    checks.equal(waiting.wait(oci_bundle.LIMIT), 137, "run gives 128 and the signal")
    folder = oci.bundle("sh", "-c", "trap 'exit 9' TERM; echo ready > /tmp/trapped; while :; do sleep 0.05; done")
    waiting = subprocess.Popen(oci.command("run", "--bundle", folder, "trapping"), stdin=subprocess.DEVNULL)
    c.wait_until("it waits for a signal", (oci.rootfs / "tmp/trapped").exists)
    waiting.terminate()
    checks.equal(waiting.wait(oci_bundle.LIMIT), 9, "a signal to run reaches the process")
    checks.equal(oci.remnants(), [], "run deletes what it made")


def executing(checks, oci):
    name = oci.start("sleep", "1000", change=lambda config: config["process"]["env"].append("OWN=1"))
    done = oci("exec", "--env", "MORE=2", "--cwd", "/tmp", "--user", "5:6", "-g", "7", name, "sh", "-c",
               "echo $OWN$MORE; pwd; id -u; id -G; exit 4", check=False)
    checks.equal((done.returncode, done.stdout.split()), (4, ["12", "/tmp", "5", "6", "7"]),
                 "exec gives code, env, folder, user, groups")
    for user in ("", "x", "1:", ":1", "4294967295", "-1"):
        done = oci("exec", f"--user={user}", name, "id", "-u", check=False)
        checks.ok(done.returncode == 255 or (user == "" and done.stdout == "0\n"),
                  f"--user '{user}' never means root by accident",
                  f"{done.returncode} {done.stdout} {done.stderr}")
    done = oci("exec", "--cap", "CAP_SYS_CHROOT", name, "sh", "-c", "grep -E 'Cap(Inh|Eff)' /proc/self/status")
    checks.equal(done.stdout.split(), ["CapInh:", "0000000000000000", "CapEff:", "0000000020040420"],
                 "exec --cap adds, never inheritable")
    missing = oci("exec", name, "nosuch", check=False)
    checks.equal((missing.returncode, "executable file not found in $PATH" in missing.stderr), (255, True),
                 "a missing program is named")
    process = {"args": ["sh", "-c", "echo $A; exit 6"], "env": ["PATH=/bin", "A=b"], "cwd": "/", "user": {"uid": 1, "gid": 1}}
    (oci.work / "process.json").write_text(json.dumps(process))
    done = oci("exec", "--process", oci.work / "process.json", name, check=False)
    checks.equal((done.returncode, done.stdout), (6, "b\n"), "exec --process takes a file")
    done = oci("exec", "--tty", name, "sh", "-c", "tty; exit 5", check=False)
    checks.equal((done.returncode, done.stdout), (5, "/dev/pts/0\r\n"), "exec --tty has a terminal of the container's")
    oci("exec", "--detach", "--pid-file", oci.work / "exec.pid", name, "sleep", "1000")
    pid = int((oci.work / "exec.pid").read_text())
    checks.equal(pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()[-1], "0::" + cgroup(name),
                 "exec --detach goes on, in the container's cgroup")
    sub = cgroup_folder(name) / "moved"
    sub.mkdir()
    (sub / "cgroup.procs").write_text(str(oci.state(name)["pid"]))
    done = oci("exec", name, "cat", "/proc/self/cgroup")
    checks.ok(done.stdout.strip().endswith("/moved"), "an exec follows the first process into its cgroup", done.stdout)
    checks.equal(sorted(json.loads(oci("ps", "--format", "json", name).stdout)), sorted([pid, oci.state(name)["pid"]]),
                 "ps shows all of the container's processes")
    checks.contains(oci("ps", name, "-o", "pid,args").stdout, "sleep 1000", "ps takes ps's own arguments")
    oci("delete", "--force", name)


def executing_in_a_paused_one(checks, oci):
    name = oci.start("sleep", "1000")
    oci("pause", name)
    waiting = subprocess.Popen(oci.command("exec", "--ignore-paused", name, "echo", "went on"), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True)
    c.wait_until("it is in there", lambda: len(json.loads(oci("ps", "--format", "json", name).stdout)) > 1)
    checks.equal((oci.status(name), waiting.poll()), ("paused", None), "exec --ignore-paused comes into a paused container")
    oci("resume", name)
    checks.equal((waiting.communicate(timeout=oci_bundle.LIMIT)[0], waiting.returncode), ("went on\n", 0),
                 "and goes on with it")
    if pathlib.Path("/sys/module/apparmor/parameters/enabled").exists():
        checks.skip("exec --apparmor is refused where there is no AppArmor", "belongs in vm: this kernel has it")
    else:
        done = oci("exec", "--apparmor", "strict", name, "true", check=False)
        words = done.stderr.replace("\\", "")
        checks.equal((done.returncode, 'apparmorProfile: "strict"' in words, "no AppArmor" in words), (255, True, True),
                     "exec --apparmor is refused where there is no AppArmor") or c.log(done.stderr)
    oci("delete", "--force", name)


def beginning(checks, oci):
    """spec: a configuration to begin with."""
    for flags, folder in ((["--bundle"], oci.work / "begun"), (["-b"], oci.work / "begun too"), ([], oci.work / "here")):
        folder.mkdir()
        (folder / "rootfs").symlink_to(oci.rootfs)
        more = ["--rootless"] if caller() == USER else []
        oci("spec", *more, *flags, *([folder] if flags else []), cwd=folder if not flags else None)
        config = json.loads((folder / "config.json").read_text())
        config["process"] |= {"terminal": False, "args": ["hostname"]}
        config["linux"]["cgroupsPath"] = cgroup("begun")
        checks.equal((config["ociVersion"], config["root"]["path"]), ("1.2.0", "rootfs"), f"spec {flags} writes one")
        before = (folder / "config.json").read_text()
        again = oci("spec", "--bundle", folder, check=False)
        checks.equal((again.returncode, "there already" in again.stderr, (folder / "config.json").read_text()),
                     (1, True, before), "and replaces none")
        (folder / "config.json").write_text(json.dumps(config))
        done = oci("run", "--bundle", folder, "begun", check=False)
        checks.equal((done.returncode, done.stdout), (0, config["hostname"] + "\n"), "with which a container runs") \
            or c.log(done.stderr)
    missing = oci("spec", "--bundle", "/nosuch", check=False)
    checks.equal((missing.returncode, "--bundle" in missing.stderr, "/nosuch" in missing.stderr), (1, True, True),
                 "spec --bundle of a folder that is not there is named") or c.log(missing.stderr)


def changing(checks, oci):
    """update and events, as far as they need no controllers."""
    name = oci.start("sleep", "1000", change=lambda config: config["linux"].update(
        resources={"unified": {"hugetlb.2MB.max": "2097152"}}))
    resources = json.dumps({"unified": {"hugetlb.2MB.max": "4194304"}, "devices": [{"allow": True, "access": "rwm"}]})
    (oci.work / "resources").write_text(resources)
    oci("update", "--resources", oci.work / "resources", name)
    checks.equal((cgroup_folder(name) / "hugetlb.2MB.max").read_text(), "4194304\n", "update takes limits from a file")
    with open(oci.work / "resources") as file:
        oci("update", "-r", "-", name, stdin=file)
    oci("update", name)
    checks.equal((cgroup_folder(name) / "hugetlb.2MB.max").read_text(), "4194304\n", "and from standard input")
    for flags, part in ((["--memory", "12x"], "--memory: "), (["--cpu-quota", "1e3"], "--cpu-quota"),
                        (["--cpu-rt-period", "5"], "realtimePeriod"), (["--mem-bw-schema", "MB:0=1"], "--mem-bw-schema"),
                        (["--blkio-weight", "5"], "io weight 5"), (["--cpu-period", "1"], "cpu period 1"),
                        (["-r", "/nosuch"], "--resources /nosuch"), (["-r", "/proc/version"], "not JSON"),
                        (["--nosuch", "1"], "nosuch")):
        done = oci("update", *flags, name, check=False)
        checks.ok(done.returncode == 1 and part in done.stderr, f"update {flags} is refused by name", done.stderr)
    event = json.loads(oci("events", "--stats", name).stdout)
    checks.equal((event["type"], event["id"], sorted(event["data"])),
                 ("stats", name, ["blkio", "cpu", "cpuset", "hugetlb", "intel_rdt", "memory", "network_interfaces", "pids"]),
                 "events --stats has runc's shape")
    checks.ok(event["data"]["cpu"]["usage"]["total"] > 0 and event["data"]["hugetlb"]["2MB"] == {"failcnt": 0},
              "and this container's numbers", str(event))
    stream = subprocess.Popen(oci.command("events", "--interval", "30ms", name), stdout=subprocess.PIPE, text=True)
    lines = [json.loads(stream.stdout.readline()) for _ in range(2)]
    checks.equal([line["type"] for line in lines], ["stats", "stats"], "events go on at their interval")
    oci("kill", name, "KILL")
    stream.stdout.read()
    checks.equal(stream.wait(oci_bundle.LIMIT), 0, "and end with the container")
    for flags in (["events", "--interval", "0s", name], ["events", "--interval", "5", name], ["events", name],
                  ["update", "--pids-limit", "5", name], ["events", "nobody"]):
        checks.equal(oci(*flags, check=False).returncode, 1, f"{flags} is refused")
    oci("delete", name)


def terminal(checks, oci):
    def wants(config):
        config["process"] |= {"terminal": True, "consoleSize": {"height": 11, "width": 33}}

    console = oci_bundle.ConsoleSocket(oci.work)
    folder = oci.bundle("sh", "-c", "stty size; tty; ls -l /dev/console; read word; echo got $word", change=wants)
    refused = oci("create", "--bundle", folder, "tty", check=False)
    checks.equal((refused.returncode, "--console-socket" in refused.stderr), (1, True),
                 "a terminal that nobody takes is refused")
    oci("create", "--bundle", folder, "--console-socket", console.path, "tty")
    master = console.take()
    oci("start", "tty")
    said = read_until(master, "/dev/console\r\n")
    checks.contains(said, ["11 33\r\n", "/dev/pts/0\r\n"], "the terminal's master comes over the console socket")
    os.write(master, b"word\n")
    checks.contains(read_until(master, "got word"), "got word", "and is the process's terminal")
    os.close(master)
    oci.wait_stopped("tty")
    oci("delete", "tty")
    deaf(checks, oci)


def deaf(checks, oci):
    """A program that never reads what comes to its terminal, and more than that takes."""
    folder = oci.bundle("sh", "-c", "trap 'exit 7' TERM; touch /tmp/deaf; sleep 1000 & wait",
                        change=lambda config: config["process"].update(terminal=True))
    FULL = 65536  # bytes of a pipe
    with subprocess.Popen("yes", stdout=subprocess.PIPE) as talker:
        running = subprocess.Popen(oci.command("run", "--bundle", folder, "deaf"), stdin=talker.stdout,
                                   stdout=subprocess.DEVNULL)
        waiting = []

        def is_full():
            count = array.array("i", [0])
            fcntl.ioctl(talker.stdout, termios.FIONREAD, count)
            waiting[:] = [*waiting, count[0]] if count[0] == FULL else []
            return len(waiting) == 20

        c.wait_until("it waits for a signal", (oci.rootfs / "tmp/deaf").exists)
        c.wait_until("nobody takes what is said to it", is_full)
        running.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(c.PATIENCE)
        checks.equal(running.poll(), 7, "signals go to a program that does not read what is said to it")
        running.kill()
        running.wait()
        talker.kill()
    oci("delete", "--force", "deaf")


def descriptors(checks, oci):
    with open(oci.work / "kept", "w+") as file:
        file.write("kept")
        file.flush()

        def hand_over():
            os.dup2(file.fileno(), 100)
            os.dup2(100, 3)
            os.dup2(100, 4)
            os.dup2(100, 5)

        done = oci.run("ls /proc/self/fd", flags=("--preserve-fds", "2"), preexec_fn=hand_over, close_fds=False)
        # ls has one of its own for the folder.
        checks.equal(done.stdout.split()[:5], ["0", "1", "2", "3", "4"], "--preserve-fds keeps so many descriptors")
        checks.equal(len(done.stdout.split()), 6, "and no other one reaches the program")
    missing = oci.run("true", flags=("--preserve-fds", "2"))
    checks.equal((missing.returncode, "descriptor 3 is not open" in missing.stderr), (1, True),
                 "one that is not open is named")
    listening = oci.run("echo $LISTEN_FDS $LISTEN_PID", env=os.environ | {"LISTEN_FDS": "1"},
                        preexec_fn=lambda: os.dup2(os.open("/dev/null", os.O_RDONLY), 3), close_fds=False)
    checks.equal(listening.stdout, "1 1\n", "sockets of systemd's are handed on")


def listening(checks, oci):
    """Sockets of systemd's, as it hands them to a service."""
    names = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")

    def run(pid):
        def hand_over():
            os.environ["LISTEN_PID"] = pid or str(os.getpid())
            os.dup2(os.open("/dev/null", os.O_RDONLY), 3)
            os.execvpe(command[0], command, os.environ)

        folder = oci.bundle("sh", "-c", "echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; ls /proc/self/fd | wc -l")
        command = oci.command("run", "--bundle", folder, f"c{oci.count}")
        with tempfile.TemporaryFile("w+") as out:
            child = os.fork()
            if child == 0:
                os.environ |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
                os.dup2(out.fileno(), 1)
                hand_over()
            checks.equal(os.waitpid(child, 0)[1], 0, "a container with sockets runs")
            out.seek(0)
            return out.read().split("\n")[:2]

    checks.equal(run(None), ["1 1 web", "5"], f"a container is handed what its caller has, with {names}")
    checks.equal(run("1"), ["", "4"], "but not what its caller's variables only tell of another process")


class Waiting:
    """Who waits for a service to be ready: $NOTIFY_SOCKET's other end."""

    def __init__(self, folder):
        self.path = str(folder / "waiting.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(oci_bundle.LIMIT)
        self.environment = os.environ | {"NOTIFY_SOCKET": self.path}

    def take(self):
        """The words of one start, once its barrier has come."""
        words = []
        while True:
            text, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_LEN(4))
            words += text.decode().split()
            for level, kind, data in ancillary:
                os.close(int.from_bytes(data, sys.byteorder))
            if "BARRIER=1" in words:
                return words

    def said(self):
        self.socket.setblocking(False)
        try:
            return self.socket.recv(4096)
        except BlockingIOError:
            return b""
        finally:
            self.socket.settimeout(oci_bundle.LIMIT)


def environment_of(pid):
    """Of a container's process: before its program begins it is not everybody's to see."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0")
    return []


def notifying(checks, oci):
    """NOTIFY_SOCKET: a container's word that it is ready goes to who waits outside."""
    waiting = Waiting(oci.work)
    script = "touch /run/notify/x 2>/dev/null && echo writable > /tmp/writable; exec sleep 1000"

    def say(pid, *words):
        """As a program in there does, through its own root."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            for word in words:
                speaker.sendto(word.encode(), f"/proc/{pid}/root/run/notify/notify.sock")

    def begin(command, name, *flags):
        folder = oci.bundle("sh", "-c", script)
        if command == "start":
            oci("create", "--bundle", folder, name, env=waiting.environment)
            flags = []
        else:
            flags = ["--bundle", folder, *flags]
        starting = subprocess.Popen(oci.command(command, *flags, name), stdin=subprocess.DEVNULL, env=waiting.environment)
        c.wait_until("it runs", lambda: oci.status(name) == "running")
        return starting, oci.state(name)["pid"]

    for command, flags in (("start", ()), ("run", ("--detach",)), ("run", ())):
        what, name = " ".join((command, *flags)), f"notify{oci.count}"
        starting, pid = begin(command, name, *flags)
        c.wait_until(f"{what}: the container has a socket of its own", lambda: (
            "NOTIFY_SOCKET=/run/notify/notify.sock" in environment_of(pid)))
        checks.ok(not (oci.rootfs / "tmp/writable").exists(), f"{what}: in a folder that it can't write to")
        say(pid, "STATUS=begins", "MAINPID=1", "x" * 5000)
        checks.equal((starting.poll(), waiting.said()), (None, b""), f"{what}: waits, and hands on no other word")
        again = oci("start", name, check=False, env=waiting.environment)
        checks.ok(again.returncode == 1 and "it is running" in again.stderr, f"{what}: another start is refused", again.stderr)
        say(pid, "STATUS=runs\nREADY=1\n")
        main = starting.pid if (command, flags) == ("run", ()) else pid
        checks.equal(waiting.take(), ["READY=1", f"MAINPID={main}", "BARRIER=1"], f"{what}: tells that it is ready")
        if main == pid:
            checks.equal(starting.wait(oci_bundle.LIMIT), 0, f"{what}: ends when that was read")
        oci("kill", name, "KILL")
        if main != pid:
            checks.equal(starting.wait(oci_bundle.LIMIT), 137, f"{what}: stays until the container ends")
        else:
            oci.wait_stopped(name)
            oci("delete", name)
    starting, pid = begin("start", "mute")
    oci("delete", "--force", "mute")
    checks.equal((starting.wait(oci_bundle.LIMIT), waiting.said()), (0, b""),
                 "one that ends without a word keeps nobody waiting, and can be deleted meanwhile")
    checks.equal(oci.run("echo +$NOTIFY_SOCKET").stdout, "+\n", "where nobody waits the container has no socket")
def times_of_a_start(checks, oci):
    def filtered(config):
        syscalls = [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": syscalls}

    log = oci.work / "debug.json"
    oci("run", "--bundle", oci.bundle("true", change=filtered), "timed",
        flags=("--debug", "--log", log, "--log-format", "json"))
    entry = json.loads(log.read_text())
    total, parts = re.fullmatch(r"run took ([0-9.]+) ms: (.*)", entry["msg"]).groups()
    parts = {name: float(time) for name, time in (part.split(" ") for part in parts.split(", "))}
    named = "bundle state cgroup launch spawn namespaces mounts process seccomp exec"
    checks.equal((entry["level"], set(parts)), ("debug", set(named.split())), "--debug tells what a start did")
    checks.ok(min(parts.values()) >= 0 and abs(sum(parts.values()) - float(total)) < 0.01 * len(parts),
              "and the times of its parts are that of all", entry["msg"])


def telling(checks, oci):
    features = json.loads(oci("features").stdout)
    checks.equal((features["ociVersionMin"], features["linux"]["cgroup"]["v2"], features["linux"]["seccomp"]["enabled"]),
                 ("1.0.0", True, True), "features tells what there is")
    checks.contains(oci("--version").stdout, ["gantry-oci version", "spec: 1.2"], "--version tells which")
    log = oci.work / "log.json"
    oci("state", "nobody", check=False, flags=("--log", log, "--log-format", "json"))
    entry = json.loads(log.read_text())
    checks.equal((entry["level"], entry["msg"]), ("error", "container nobody does not exist"),
                 "--log-format json tells errors")
    title = "\x1b]0;owned\x07\x9b2J"
    shout = {"path": "/bin/sh", "args": ["sh", "-c", r"printf '\033]0;owned\007\302\2332J' >&2; exit 1"]}
    for what, change in (("a hook", lambda config: config.update(hooks={"createRuntime": [shout]})),
                         ("a launch", lambda config: config["process"].update(args=["/" + title]))):
        done = oci("run", "--bundle", oci.bundle("true", change=change), "loud", check=False, flags=("--log", log))
        checks.ok(done.returncode != 0 and "owned" in done.stderr and not set("\x1b\x07\x9b") & set(done.stderr),
                  f"what {what} says moves no terminal", repr(done.stderr))
    times_of_a_start(checks, oci)
    for flags, what in ((["create", "--no-pivot", "x"], "--no-pivot"),
                        (["checkpoint", "--image-path", "/x", "one"], "criu"), (["restore", "one"], "criu")):
        done = oci(*flags, check=False)
        checks.equal((done.returncode, what in done.stderr), (1, True), f"{flags} is refused by name")
    for path, what in ((cgroup("x"), "SLICE:PREFIX:NAME"), ("a.slice:b:c/d", "SLICE:PREFIX:NAME"),
                       ("a:b:c", "slice of systemd"), ("a.slice:b:c.slice", "not a slice"),
                       ("", "no systemd on the system bus" if caller() == ROOT else "not supported yet")):
        folder = oci.bundle("true", change=lambda config: config["linux"].update(cgroupsPath=path))
        done = oci("run", "--bundle", folder, "scoped", check=False, flags=("--systemd-cgroup",))
        checks.ok(done.returncode == 1 and what in done.stderr and not oci.remnants(),
                  f"--systemd-cgroup: '{path}' is refused where it can't be, and leaves nothing", done.stderr)
    for name in ("../x", "", "a/b", "a b", "x" * 300):
        done = oci("create", "--bundle", oci.bundle("true"), name, check=False)
        checks.equal((done.returncode, "container id" in done.stderr), (1, True), f"id '{name[:10]}' is refused")


if __name__ == "__main__":
    oci_bundle.tell(life, lying_state, without_program, exit_codes, executing, executing_in_a_paused_one, beginning, changing,
                    terminal, descriptors, listening, notifying, telling, callers=oci_bundle.CALLERS)
