#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""gantry-oci of an ordinary user, beside what holds for every caller (oci.py and others): with the own id alone, without a
cgroup, what is refused, hooks, where its states are, and the root of a user namespace with one id."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle
from oci_bundle import FIRST_ID, IDS, USER_ID


def mapped(*ranges):
    ids = [{"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in ranges]
    return lambda config: config["linux"].update(uidMappings=ids, gidMappings=ids)


own_id = mapped((0, USER_ID, 1))


def without_user(config):
    config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "user"]
    del config["linux"]["uidMappings"], config["linux"]["gidMappings"]


def without_cgroup(config):
    config["linux"]["cgroupsPath"] = "/" + oci_bundle.NOT_DELEGATED + config["linux"]["cgroupsPath"]


def without_pid(config):
    """Nor a /proc, which can be mounted only with one."""
    config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "pid"]
    config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "proc"]
    config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []


def all_of(*changes):
    return lambda config: [change(config) for change in changes]


def without_helpers(folder):
    """A folder for PATH in which there is no newuidmap."""
    folder.mkdir()
    return {**os.environ, "PATH": str(folder)}


def ids(checks, oci):
    look = "id -u; id -g; id -G; tr -s ' ' < /proc/self/uid_map; cat /proc/self/setgroups; touch /tmp/x && stat -c %u /tmp/x"
    done = oci.run(look, change=own_id, env=without_helpers(oci.work / "nothing"))
    checks.equal(done.stdout.split(), ["0", "0", "0", "0", str(USER_ID), "1", "deny", "0"],
                 "the own id is mapped without help") or c.log(done.stderr)
    done = oci.run("true", env=without_helpers(oci.work / "none"))
    why = "linux.uidMappings: more than the own id is to be mapped: execute newuidmap"
    checks.equal((done.returncode, why in done.stderr), (1, True), "more are newuidmap's to map") or c.log(done.stderr)

    def as_another(config):
        config["process"]["user"] = {"uid": 5, "gid": 6, "additionalGids": [7]}

    done = oci.run("id -u; id -g; id -G; tr -s ' ' < /proc/self/uid_map; cat /proc/self/setgroups", change=as_another)
    checks.equal(done.stdout.split(), ["5", "6", "6", "7", "0", str(USER_ID), "1", "1", str(FIRST_ID), str(IDS), "allow"],
                 "newuidmap and newgidmap map further ones") or c.log(done.stderr)
    name = oci.start("sleep", "1000", change=as_another)
    pid = oci.state(name)["pid"]
    checks.equal(os.stat(f"/proc/{pid}").st_uid, FIRST_ID + 4, "its process is the mapped user on the host")
    done = oci("exec", "--user", "8:9", name, "id", "-u", check=False)
    checks.equal(done.stdout.strip(), "8", "exec as another") or c.log(done.stderr)
    oci("delete", "--force", name)
    checks.ok(not os.path.exists(f"/proc/{pid}/exe"), "and its maker can end it")


def refused(checks, oci):
    def no_network(config):
        config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "network"]
        config["mounts"].append({"destination": "/sys", "type": "sysfs", "source": "sysfs"})

    for change, message in (
            (without_user, "linux.namespaces: who is not root needs a user namespace"),
            (mapped((0, FIRST_ID, 1)), f"linux.uidMappings: does not map the caller's own id, {USER_ID}"),
            (mapped((0, USER_ID, 1), (1, 0, 1)), "linux.uidMappings: newuidmap: "),
            (mapped((0, USER_ID, 1), (1, FIRST_ID, IDS + 1)), "linux.uidMappings: newuidmap: "),
            (lambda config: config["linux"]["gidMappings"].append({"containerID": 100000, "hostID": 5, "size": 1}),
             "linux.gidMappings: newgidmap: "),
            (all_of(own_id, lambda config: config["process"].update(user={"uid": 5, "gid": 0})),
             "process.user.uid: 5 is not mapped"),
            (all_of(own_id, lambda config: config["process"].update(user={"uid": 0, "gid": 0, "additionalGids": [0]})),
             "setgroups"),
            (no_network, "mount /sys"),
            (all_of(without_cgroup, lambda config: config["linux"].update(resources={"pids": {"limit": 10}})),
             "linux.resources: limits need a cgroup"),
            (lambda config: config["process"].update(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 1 << 20}]),
             "process.rlimits"),
            (lambda config: config["process"].update(oomScoreAdj=-900), "process.oomScoreAdj -900")):
        done = oci.run("true", change=change)
        checks.equal((done.returncode, message in done.stderr, oci.remnants()), (1, True, []),
                     f"refused, and nothing is left: {message}") or c.log(done.stderr)


def cgroupless(checks, oci):
    name = oci.start("sh", "-c", "trap 'exit 3' TERM; touch /tmp/trapped; while :; do sleep 0.1; done", change=without_cgroup)
    c.wait_until("it waits for a signal", (oci.rootfs / "tmp/trapped").exists)
    pid = oci.state(name)["pid"]
    own = pathlib.Path("/proc/self/cgroup").read_text()
    checks.equal((oci.status(name), pathlib.Path(f"/proc/{pid}/cgroup").read_text()), ("running", own),
                 "where no cgroup may be made a container is in its maker's")
    done = oci("exec", name, "sh", "-c", "ps -o args | grep -c trap; exit 5", check=False)
    checks.equal(done.returncode, 5, "it can be entered") or c.log(done.stderr)
    for command in (["pause", name], ["ps", name], ["events", "--stats", name], ["update", "--pids-limit", "5", name]):
        done = oci(*command, check=False)
        checks.equal((done.returncode, "has no cgroup" in done.stderr), (1, True), f"{command[0]} needs one, and says so") \
            or c.log(done.stderr)
    done = oci("kill", "--all", name, "TERM", check=False)
    checks.equal((done.returncode, "has no cgroup" in done.stderr), (1, True), "and so does kill --all")
    oci("kill", name, "TERM")
    oci.wait_stopped(name)
    oci("delete", name)
    for change, ends in ((without_cgroup, True), (all_of(without_cgroup, without_pid), False)):
        name = oci.start("sleep", "1000", change=change)
        done = oci("kill", "--all", name, "KILL", check=False)
        checks.equal(done.returncode == 0, ends, "kill --all KILL " + ("ends it" if ends else "can't without a PID namespace"))
        pid = oci.state(name)["pid"]
        oci("delete", "--force", name)
        checks.ok(not os.path.exists(f"/proc/{pid}/exe"), "delete --force ends its first process first")
    checks.equal(oci.remnants(), [], "and nothing is left")
    done = oci.run("true", change=without_cgroup)
    checks.contains(done.stderr, ["level=warning", "without a cgroup"], "a cgroup that was asked for and is not there is told")
    for flag, code in (("true", 0), ("auto", 0), ("false", 1), ("maybe", 1)):
        folder = oci.bundle("true", change=without_cgroup)
        done = oci("run", "--bundle", folder, "flagged", flags=("--rootless", flag), check=False)
        checks.equal((done.returncode, oci.remnants()), (code, []), f"--rootless {flag} " +
                     ("does without one" if code == 0 else "does not")) or c.log(done.stderr)


def hooks(checks, oci):
    """They run where gantry-oci was called, also when it has gone into the container's user namespace."""
    script, log = oci.work / "hook", oci.work / "hooks.log"
    script.write_text("#!/bin/sh\necho $1 $(id -u) $(readlink /proc/self/ns/user /proc/self/ns/mnt) >> $LOG\n"
                      "cat > $LOG.state; exit ${CODE:-0}\n")
    script.chmod(0o755)

    def entry(kind, **more):
        return [{"path": str(script), "args": ["hook", kind], "env": [f"LOG={log}", *(f"{k}={v}" for k, v in more.items())]}]

    kinds = ("prestart", "createRuntime", "poststart", "poststop")
    here = f"{USER_ID} {os.readlink('/proc/self/ns/user')} {os.readlink('/proc/self/ns/mnt')}"

    def hooked(config):
        config["hooks"] = {kind: entry(kind) for kind in kinds}
        config["annotations"] = {"long": "x" * (1 << 20)}

    done = oci.run("true", change=hooked)
    checks.equal(log.read_text().splitlines(), [f"{kind} {here}" for kind in kinds], "all of run's hooks are outside") \
        or c.log(done.stderr)
    state = json.loads((oci.work / "hooks.log.state").read_text())
    checks.equal((state["status"], len(state["annotations"]["long"])), ("stopped", 1 << 20), "and have the whole state")
    log.unlink()
    name = oci.start("sleep", "1000", change=all_of(own_id, hooked))
    oci("delete", "--force", name)
    checks.equal(log.read_text().splitlines(), [f"{kind} {here}" for kind in kinds], "and of the single commands, too")
    done = oci.run("true", change=lambda config: config.update(hooks={"createRuntime": entry("x", CODE=7),
                                                                      "poststop": entry("poststop")}))
    checks.equal((done.returncode, "hooks.createRuntime[0]" in done.stderr, "it ended with 7" in done.stderr, oci.remnants(),
                  log.read_text().splitlines()[-1]), (1, True, True, [], f"poststop {here}"), "one that fails ends it") \
        or c.log(done.stderr)


def places(checks, oci):
    folder = oci.bundle("sleep", "1000")
    oci_bundle.run(oci.program, "create", "--bundle", folder, "kept")
    kept = pathlib.Path(os.environ["XDG_RUNTIME_DIR"]) / "gantry-oci"
    checks.ok((kept / "kept/state.json").exists(), "states are beneath $XDG_RUNTIME_DIR")
    listed = subprocess.run([oci.program, "list"], capture_output=True, text=True, check=True).stdout
    checks.contains(listed, ["kept", f"#{USER_ID}"], "where all commands look for them")
    oci_bundle.run(oci.program, "delete", "--force", "kept")
    done = subprocess.run([oci.program, "list"], capture_output=True, text=True,
                          env={**os.environ, "XDG_RUNTIME_DIR": ""}, check=False)
    checks.equal((done.returncode, done.stdout.count("\n")), (0, 1), "without it, in root's place")
    folder = oci.bundle("sleep", "1000")
    waiting = subprocess.Popen(oci.command("run", "--bundle", folder, "waiting"), stdin=subprocess.DEVNULL)
    c.wait_until("it runs", lambda: oci.status("waiting") == "running")
    checks.equal(os.stat(f"/proc/{waiting.pid}/environ").st_uid, 0,
                 "gantry-oci in a container's user namespace can't be traced from there")
    oci("kill", "waiting", "KILL")
    checks.equal(waiting.wait(oci_bundle.LIMIT), 137, "and is told of its end")


def nested(checks, oci):
    """unshare -r: root with one id and no mount namespace of its own."""
    outer = oci.command
    oci.command = lambda *arguments, **more: ["unshare", "-r", *outer(*arguments, **more)]
    look = "id -u; tr -s ' ' < /proc/self/uid_map; touch /tmp/y && stat -c %u /tmp/y"
    done = oci.run(look, change=without_user)
    checks.equal(done.stdout.split(), ["0", "0", str(USER_ID), "1", "0"], "unshare -r: a container in its user namespace") \
        or c.log(done.stderr)
    done = oci.run(look, change=mapped((0, 0, 1)))
    checks.equal(done.stdout.split(), ["0", "0", "0", "1", "0"], "unshare -r: or in one of its own beneath") \
        or c.log(done.stderr)
    for change, message in ((mapped((0, 0, 1), (1, 1, 1)), "uidMappings"),
                            (all_of(without_user, lambda config: config["process"].update(user={"uid": 5, "gid": 0})),
                             "process.user.uid: 5 is not mapped"),
                            (all_of(without_user, lambda config: config["process"].update(user={"uid": 0, "gid": 5})),
                             "process.user.gid: 5 is not mapped"),
                            (all_of(without_user, without_cgroup,
                                    lambda config: config["linux"].update(resources={"pids": {"limit": 10}})),
                             "linux.resources: limits need a cgroup")):
        done = oci.run("true", change=change)
        checks.equal((done.returncode, message in done.stderr, oci.remnants()), (1, True, []),
                     f"unshare -r: refused, and nothing is left: {message}") or c.log(done.stderr)
    name = oci.start("sleep", "1000", change=all_of(without_user, without_cgroup))
    pid = oci.state(name)["pid"]
    checks.equal((oci.status(name), os.stat(f"/proc/{pid}").st_uid), ("running", USER_ID),
                 "unshare -r: a detached one runs on")
    oci("kill", name, "KILL")
    oci.wait_stopped(name)
    oci("delete", name)
    oci.command = outer


if __name__ == "__main__":
    oci_bundle.tell(ids, refused, cgroupless, hooks, places, nested, callers=(oci_bundle.USER,))
