#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# faults
"""kill -9 of gantry-oci in the middle of create, start, run and delete: whatever step it was at, no command says what is not so,
delete removes what is left, the id and the cgroup can be used again, and what it did not make is left alone."""
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle
import tracer
from oci_bundle import Runtime, cgroup_folder

ROUNDS = 60


def processes():
    """All processes of this test's world but itself and its parents."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid(), os.getppid())]


def killed_after(oci, delay, *arguments):
    """Runs a command and kills it after `delay` seconds, if it is not done by then. Whether it was killed."""
    command = subprocess.Popen(oci.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        command.wait(delay)
    except subprocess.TimeoutExpired:
        command.kill()
    return command.wait(oci_bundle.LIMIT) == -signal.SIGKILL


def duration(oci, folder):
    """How long a create takes here and now."""
    start = time.monotonic()
    oci("create", "--bundle", folder, "timed")
    end = time.monotonic()
    oci("delete", "timed")
    return end - start


def story(checks):
    oci_bundle.become_reaper()
    oci = Runtime()
    folder = oci.bundle("sleep", "1000", change=lambda config: config.update(
        hooks={"prestart": [{"path": "/bin/true"}], "poststop": [{"path": "/bin/true"}]}))
    # Of a create. It is learnt on the way: the machine may be busier now, or less so, than it was at first.
    usual = sorted(duration(oci, folder) for _ in range(5))[2]
    seed = random.randrange(1 << 32)
    draw = random.Random(seed)
    c.log(f"seed {seed}, a create takes {usual * 1000:.1f} ms")
    seen, faults, kills = {}, [], 0
    for number in range(ROUNDS):
        name = f"k{number}"
        begun = time.monotonic()
        was_killed = killed_after(oci, draw.uniform(0, usual * 1.2), "create", "--bundle", folder, name)
        usual = usual * 1.1 if was_killed else time.monotonic() - begun
        kills += was_killed
        status = oci.status(name)
        seen[status] = seen.get(status, 0) + 1
        if status == "created" and number % 2:
            killed_after(oci, draw.uniform(0, usual / 2), "start", name)
            if oci.status(name) not in ("created", "running"):
                faults.append(f"{name} is {oci.status(name)} after a start that was killed")
        elif status not in (None, "created", "stopped"):
            faults.append(f"{name} is {status} after a create that was killed")
        if number % 3 == 0:
            killed_after(oci, draw.uniform(0, usual / 2), "delete", "--force", name)
        oci("delete", "--force", name)
        oci_bundle.reap()
        if oci.remnants():
            faults.append(f"{name}: {oci.remnants()} is left after delete")
        left = c.wait_until("no process is left", lambda: oci_bundle.reap() or not processes() or None)
        if not left:
            faults.append(f"{name}: {processes()}")
    c.log(f"{kills} of {ROUNDS} creates were killed; states found: {seen}")
    checks.ok(kills > ROUNDS / 4, "creates were killed in the middle", f"{kills} of {ROUNDS}")
    checks.equal(faults, [], "no state was wrong, and delete left neither state, cgroup nor process")
    oci("create", "--bundle", folder, "after")
    oci("start", "after")
    checks.equal(oci.status("after"), "running", "the cgroup serves the next container")
    own = cgroup_folder("c1")
    refused = oci("create", "--bundle", folder, "other", check=False)
    checks.equal((refused.returncode, oci.status("after"), own.exists()), (1, "running", True),
                 "a create into its cgroup is refused, and does it no harm")
    oci("delete", "--force", "after")
    own.mkdir()
    oci("create", "--bundle", folder, "guest")
    oci("delete", "--force", "guest")
    checks.ok(own.exists(), "a cgroup that was there before is there after")
    own.rmdir()
    shared_cgroup(checks, oci)
    if oci_bundle.caller() == oci_bundle.ROOT:  # who may choose the next process's number
        number_of_another(checks, oci)
        steps_of_run(checks, oci)
    checks.equal(oci.remnants(), [], "nothing is left in the end")


def shared_cgroup(checks, oci):
    """Containers that name one cgroup: who comes when it is empty has it, and what another does at its end is nothing to it."""
    others = Runtime()
    folder = oci.bundle("sleep", "1000")
    own = cgroup_folder(f"c{oci.count}")
    for kind in ("made by the first", "there before"):
        if kind == "there before":
            own.mkdir()
        oci("create", "--bundle", folder, "same")
        oci("kill", "same", "KILL")
        oci.wait_stopped("same")
        others("create", "--bundle", folder, "same")
        others("start", "same")
        oci("kill", "--all", "same", "KILL", check=False)
        checks.equal(others.status("same"), "running", f"in a cgroup {kind}: kill --all of a container that has ended reaches "
                     "nobody else's process")
        oci("delete", "same")
        checks.equal((oci.status("same"), others.status("same")), (None, "running"), "nor does its delete")
        others("delete", "--force", "same")
        checks.equal(own.exists(), kind == "there before", f"the second's delete leaves what was {kind} as it must")
    own.rmdir()
    seen = set()
    for _ in range(20):
        racers = [subprocess.Popen(oci.command("create", "--bundle", folder, f"r{i}"), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for i in range(4)]
        done = [racer.wait(oci_bundle.LIMIT) for racer in racers]
        created = [oci.status(f"r{i}") for i in range(4)].count("created")
        seen.add((done.count(0), created))
        for i in range(4):
            oci("delete", "--force", f"r{i}")
    checks.equal(seen, {(1, 1)}, "of creates into it at the same time one has it, and the others are refused")


def number_of_another(checks, oci):
    """Between two steps of kill --all a container's process ends, and its number comes to a stranger."""
    name = oci.start("sleep", "1000")
    pid = oci.state(name)["pid"]
    calls, strangers = [], []

    def meanwhile(number, *arguments):
        if number != tracer.PIDFD_OPEN or arguments[0] != pid:
            return
        calls.append(pid)
        # The first is to see whether the container lives; then come the numbers that its cgroup has.
        if len(calls) != 2:
            return
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        strangers.append(subprocess.Popen(["sleep", "1000"], preexec_fn=lambda: signal.pthread_sigmask(
            signal.SIG_BLOCK, {signal.SIGTERM})))

    code = tracer.run_holding(oci.command("kill", "--all", name, "TERM"), meanwhile)
    stranger, = strangers
    pending, = re.findall(r"ShdPnd:\s+0*(\w+)", pathlib.Path(f"/proc/{pid}/status").read_text())
    checks.equal((code, stranger.pid, pending), (0, pid, "0"), "kill --all: a number that came to a stranger meanwhile is not "
                 "signalled")
    stranger.kill()
    stranger.wait()
    oci("delete", "--force", name)


def steps_of_run(checks, oci):
    """run completes its record before its container is made, which then does not wait for it. Killed before every second system
    call from there on."""
    folder = oci.bundle("sleep", "1000")
    seen, faults, begun, is_over = {}, [], random.randrange(2), False
    for step in range(begun, 400, 2):
        name, calls, held = f"s{step}", [], []

        def meanwhile(number, *arguments):
            if calls or number == tracer.CLONE3:
                calls.append(number)
            if len(calls) <= step + 1:
                return False
            before = oci.status(name)
            entered = oci("exec", name, "true", check=False).returncode == 0
            held.append((before, entered, oci.status(name)))
            return True

        is_over = tracer.run_holding(oci.command("run", "--detach", "--bundle", folder, name), meanwhile) == 0
        if not is_over:
            (before, entered, after), = held
            # "creating" before and after: it was so in between.
            if before not in ("creating", "running") or (before, entered, after) == ("creating", True, "creating"):
                faults.append(f"{name}: {held}")
        status = oci.status(name)
        seen[status] = seen.get(status, 0) + 1
        if status not in (("running",) if is_over else ("creating", "stopped", "running")):
            faults.append(f"{name} is {status} after a run that was killed")
        oci("delete", "--force", name)
        if oci.remnants():
            faults.append(f"{name}: {oci.remnants()} is left after delete")
        if not c.wait_until("no process is left", lambda: oci_bundle.reap() or not processes() or None, 10):
            faults.append(f"{name}: {processes()}")
        if is_over:
            break
    c.log(f"states found after a run that was killed, from its call {begun} on: {seen}")
    checks.ok(is_over and "running" in seen and len(seen) > 1, "run was killed at each step of a launch", str(seen))
    checks.equal(faults, [], "run: whoever came meanwhile was not let into what was half made, and delete left nothing")


if __name__ == "__main__":
    oci_bundle.enter_world(oci_bundle.CALLERS)
    c.main(story, oci_bundle.caller())
