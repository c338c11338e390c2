#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""gantry-oci's command line beside crun's and runc's: the same commands and flags, in the same order, are answered alike:
by exit codes, states, lists and files each answer is that of one of the two."""
import copy
import ctypes
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle

PEERS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/peers"
SYS_KEYCTL, GET_KEYRING_ID, JOIN_SESSION_KEYRING, SESSION_KEYRING = 250, 0, 1, -3


def code(runtime, *arguments, **more):
    return runtime(*arguments, check=False, **more).returncode


def wait_stopped(runtime, name):
    # The first process of a PID namespace ends when all others of it are reaped: those of `exec --detach` are ours.
    c.wait_until(f"{name} has stopped", lambda: oci_bundle.reap() or runtime.status(name) == "stopped")


def handing_over(file):
    """For a child that is to have the file as descriptors 3 and 4."""
    def dup():
        for number in (100, 3, 4):
            os.dup2(file.fileno() if number == 100 else 100, number)

    return dup


def life(runtime):
    """What the commands of one container's life answer: {what: answer}."""
    seen = {}
    folder = runtime.bundle("sh", "-c", "trap 'exit 3' TERM; touch /tmp/ready; while :; do sleep 0.05; done")
    ready = runtime.rootfs / "tmp/ready"
    ready.unlink(missing_ok=True)
    seen["create"] = code(runtime, "create", "--bundle", folder, "--pid-file", runtime.work / "pid", "one")
    state = runtime.state("one")
    seen["fields of a state"] = sorted(set(state) - {"systemd-scope", "annotations"})
    seen["created"] = (state["status"], state["id"], state["bundle"] == str(folder),
                       (runtime.work / "pid").read_text() == str(state["pid"]))
    seen["create of a name that is taken"] = code(runtime, "create", "--bundle", folder, "one")
    seen["delete of what is not there"] = code(runtime, "delete", "none"), code(runtime, "delete", "--force", "none")
    seen["state of what is not there"] = code(runtime, "state", "none")
    seen["start"] = code(runtime, "start", "one")
    c.wait_until("it runs", ready.exists)
    seen["second start"] = code(runtime, "start", "one")
    seen["delete of one that runs"] = code(runtime, "delete", "one")
    seen["kill with no signal of that name"] = code(runtime, "kill", "one", "NOSUCH")
    seen["list --quiet"] = runtime("list", "--quiet").stdout if "crun" not in runtime.program else "one\n"
    seen["columns of list"] = runtime("list").stdout.splitlines()[0].split()[:5]
    listed = json.loads(runtime("list", "--format", "json").stdout)
    seen["list --format json"] = [(entry["id"], entry["status"], entry["pid"] == state["pid"]) for entry in listed]
    seen["ps --format json"] = state["pid"] in json.loads(runtime("ps", "--format", "json", "one").stdout)
    seen["columns of ps"] = runtime("ps", "one").stdout.splitlines()[0].split()[:3]
    seen["pause"] = code(runtime, "pause", "one"), runtime.status("one"), code(runtime, "exec", "one", "true") != 0
    seen["resume"] = code(runtime, "resume", "one"), runtime.status("one")
    seen["exec"] = executed(runtime)
    seen["kill"] = code(runtime, "kill", "one", "0"), code(runtime, "kill", "one", "SIGTERM")
    wait_stopped(runtime, "one")
    stopped = runtime.state("one")
    seen["stopped"] = stopped["status"], stopped["pid"]
    seen["delete"] = code(runtime, "delete", "one"), code(runtime, "state", "one")
    seen["kill of one that is gone"] = code(runtime, "kill", "one", "TERM")
    return seen


def executed(runtime):
    done = runtime("exec", "--user", "5:6", "--cwd", "/tmp", "--env", "A=b", "one", "sh", "-c", "id -u; id -g; pwd; echo $A",
                   check=False)
    seen = {"user, folder, environment": done.stdout.split(), "exit code": code(runtime, "exec", "one", "sh", "-c", "exit 7"),
            "signal": code(runtime, "exec", "one", "sh", "-c", "kill -9 $$")}
    done = runtime("exec", "--no-new-privs", "one", "grep", "NoNewPrivs", "/proc/self/status", check=False)
    seen["--no-new-privs"] = done.stdout.split()[1:]
    done = runtime("exec", "--cap", "CAP_SYS_PTRACE", "one", "grep", "CapBnd", "/proc/self/status", check=False)
    seen["--cap"] = int(done.stdout.split()[1], 16) >> 19 & 1
    with open("/etc/hostname") as file:
        done = runtime("exec", "--preserve-fds", "1", "one", "test", "-e", "/proc/self/fd/3", check=False, close_fds=False,
                       preexec_fn=handing_over(file))
    seen["--preserve-fds"] = done.returncode
    runtime("exec", "--detach", "--pid-file", runtime.work / "exec.pid", "one", "sleep", "1000")
    # With some it is still the runtime's own process when the command ends.
    called = pathlib.Path(f"/proc/{(runtime.work / 'exec.pid').read_text()}/comm")
    seen["--pid-file"] = c.wait_until("it is executed", lambda: called.read_text() == "sleep\n")
    console = oci_bundle.ConsoleSocket(runtime.work)
    runtime("exec", "--detach", "--tty", "--console-socket", console.path, "one", "sh", "-c", "tty; read word")
    master = console.take()
    seen["--console-socket"] = oci_bundle.read_until(master, "/dev/pts/0\r\n")
    os.close(master)
    os.unlink(console.path)
    return seen


def runs(runtime):
    """What `run` and the global flags answer."""
    seen = {"exit code": runtime.run("exit 7").returncode, "signal": runtime.run("kill -9 $$").returncode}
    done = runtime.run("", change=lambda config: config["process"].update(args=["nosuch"]))
    seen["no such program"] = done.returncode != 0
    folder = runtime.bundle("sleep", "1000")
    seen["--detach"] = code(runtime, "run", "--detach", "--pid-file", runtime.work / "run.pid", "--bundle", folder, "two")
    seen["--pid-file"] = (runtime.work / "run.pid").read_text() == str(runtime.state("two")["pid"])
    seen["kill --all"] = code(runtime, "kill", "--all", "two", "KILL")
    wait_stopped(runtime, "two")
    seen["delete"] = code(runtime, "delete", "two")
    ending = runtime.bundle("sh", "-c", "exit 4")
    seen["--keep"] = code(runtime, "run", "--keep", "--bundle", ending, "kept"), runtime.status("kept")
    runtime("delete", "kept")
    seen["delete --force"] = code(runtime, "run", "-d", "-b", folder, "three"), code(runtime, "delete", "-f", "three")
    with open("/etc/hostname") as file:
        done = runtime.run("test -e /proc/self/fd/3 && ! test -e /proc/self/fd/4", flags=("--preserve-fds", "1"),
                           close_fds=False, preexec_fn=handing_over(file))
    seen["--preserve-fds"] = done.returncode
    runtime("state", "none", check=False, flags=("--log", runtime.work / "log.json", "--log-format", "json"))
    entry = json.loads((runtime.work / "log.json").read_text().splitlines()[0])
    seen["--log-format json"] = sorted(entry), entry["level"]
    runtime("state", "none", check=False, flags=("--log", runtime.work / "log.text"))
    seen["--log"] = "does not exist" in (runtime.work / "log.text").read_text()
    seen["wrong flags"] = code(runtime, "create", "--nosuch", "x"), code(runtime, "nosuch") != 0, code(runtime, "state") != 0
    return seen


def keyrings(checks, runtime):
    """Which session keyring a container has, beside its caller's."""
    libc = ctypes.CDLL(None)
    ask = f"import ctypes; print(ctypes.CDLL(None).syscall({SYS_KEYCTL}, {GET_KEYRING_ID}, {SESSION_KEYRING}, 0))"

    def on_host_root(config):
        config["root"] |= {"path": "/", "readonly": True}
        config["process"] |= {"args": [sys.executable, "-c", ask]}
        config["process"].pop("capabilities", None)

    if libc.syscall(SYS_KEYCTL, JOIN_SESSION_KEYRING, None) < 0:
        raise c.Failure("this kernel has no keys")
    own = libc.syscall(SYS_KEYCTL, GET_KEYRING_ID, SESSION_KEYRING, 0)
    rings = [runtime.run("", change=on_host_root, flags=flags).stdout.strip() for flags in ((), ("--no-new-keyring",))]
    checks.ok(rings[0].isdigit() and rings[0] != str(own), "a container has a session keyring of its own", rings)
    checks.equal(rings[1], str(own), "with --no-new-keyring it has its caller's")


def alike(checks, answers, what):
    """Every answer of ours is that of one of the others."""
    own, *others = answers
    for name, answer in own.items():
        if isinstance(answer, dict):
            alike(checks, [each[name] for each in answers], f"{what}: {name}")
            continue
        checks.ok(any(answer == other[name] for other in others), f"{what}: {name}",
                  f"gantry-oci, crun, runc: {answer!r}, " + ", ".join(repr(other[name]) for other in others))


def default_specs(checks, runtimes):
    own, *others = (copy.deepcopy(runtime.default) for runtime in runtimes)
    for other in (own, *others):
        for name in ("ociVersion", "hostname"):
            other.pop(name)
        # Without the same in inheritable the kernel gives none, and they differ in whether an empty set is written.
        for name in ("ambient", "inheritable"):
            other["process"]["capabilities"].pop(name, None)
        other["linux"]["namespaces"].sort(key=str)
    masked, *least = [set(other["linux"].pop("maskedPaths")) for other in (own, *others)]
    checks.ok(masked >= set.union(*least), "spec: it masks what others mask, at least", set.union(*least) - masked)
    checks.ok(own in others, "spec: the rest is the same configuration", f"{own}\n{others}")


def features(checks, runtimes):
    own, *others = (json.loads(runtime("features").stdout) for runtime in runtimes)
    for name in ("hooks", "mountOptions"):
        # remount and copy-symlink mean nothing for mounts that are new; acl and noacl are nobody's since Linux 5.
        wanted = set.union(*(set(other[name]) for other in others)) - {"remount", "copy-symlink", "acl", "noacl"}
        missing = wanted - set(own[name])
        checks.ok(missing <= {"idmap", "rmand", "rnomand", "rsync", "rasync", "rdirsync"}, f"features: {name}", missing)
    missing = set.intersection(*(set(other["linux"]["capabilities"]) for other in others)) - set(own["linux"]["capabilities"])
    checks.equal(missing, set(), "features: capabilities")
    for name in ("operators", "actions"):
        wanted = set.intersection(*(set(other["linux"]["seccomp"].get(name, [])) for other in others))
        checks.equal(wanted - set(own["linux"]["seccomp"][name]) - {"SCMP_ACT_NOTIFY"}, set(), f"features: seccomp {name}")


def story(checks):
    oci_bundle.become_reaper()
    runtimes = [oci_bundle.Runtime(program) for program in (None, os.environ["CRUN"], os.environ["RUNC"])]
    for part in (life, runs):
        alike(checks, [part(runtime) for runtime in runtimes], part.__name__)
    keyrings(checks, runtimes[0])
    default_specs(checks, runtimes)
    features(checks, runtimes)
    checks.equal(runtimes[0].remnants(), [], "nothing is left in the end")


if __name__ == "__main__":
    if "CRUN" not in os.environ:
        told = subprocess.run([PEERS, "crun", "runc"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        os.environ["CRUN"], os.environ["RUNC"] = told[2], told[5]
    oci_bundle.enter_world()
    c.main(story)
