#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# long
"""A disk without a free block, and a clock that jumps: what runs goes on, what cannot be done is said, and afterwards all is
as before, with the same gantryd."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import IMAGE
from vm import layers
from vm.node import VmNode

DAY = 24 * 3600
DATA = "/var/lib/gantry"
MANIFEST = f"""
apiVersion: v1
kind: Pod
metadata: {{name: steady}}
spec:
  containers:
  - {{name: main, image: "{IMAGE}", command: [/bin/sleep, "100000"]}}
"""
COUNT = f"i=0; while :; do i=$((i+1)); echo line $i {'x' * 500}; usleep 100000; done"
DEAF = "trap : TERM; while :; do sleep 1; done"  # to SIGTERM


class Story:
    def __init__(self, checks, node):
        self.checks, self.node, self.machine = checks, node, node.machine
        node.put("/etc/gantry/manifests/steady.yaml", MANIFEST)
        self.pod = node.pod_config("pod")
        self.pod_id = node.run_pod(self.pod)
        self.counting = self.run("counting", COUNT)
        c.wait_until("the manifest's pod runs", lambda: "CONTAINER_RUNNING" in self.all_states().get("main", ""), 60)
        self.gantryd = self.gantryd_now()
        self.running = self.states()

    def run(self, name, script):
        return self.node.run_container(self.pod_id, self.node.container_config(name, script), self.pod)

    def all_states(self):
        return {item["metadata"]["name"]: f"{item['id']} {item['state']} {item['metadata']['attempt']}"
                for item in self.node.containers().values()}

    def states(self):
        """Of the two that run from the beginning to the end."""
        return {name: state for name, state in self.all_states().items() if name in ("counting", "main")}

    def gantryd_now(self):
        return self.machine.run("systemctl", "show", "-p", "MainPID,NRestarts,ActiveState", "gantryd")

    def seconds(self):
        return float(self.node.read("/proc/uptime").split()[0])

    def lines(self):
        log = self.node.read(f"{self.pod['log_directory']}/counting.log")
        return [int(number) for number in re.findall(r"stdout F line (\d+) x{500}$", log, re.M)]

    def log_waits(self):
        """Its lines, when there are no more of them two seconds later: by then there should be twenty."""
        before = self.lines()
        self.machine.run("sleep", "2")
        return before if self.lines() == before else None

    def goes_on(self, when):
        self.checks.equal(self.node.crictl("exec", self.counting, "echo", "here").stdout, "here\n", f"{when}, exec works")
        self.checks.equal(self.states(), self.running, "what ran goes on")
        self.checks.equal(self.gantryd_now(), self.gantryd, "and gantryd with it")

    def refused(self, what, done):
        said = done.stdout + done.stderr
        self.checks.ok(done.returncode and "No space left on device" in said and DATA in said,
                       f"{what} is refused: no space left, and where", said)

    def strays(self):
        """What is of no pod and not of the pool's: of sandboxes the links, addresses and folders."""
        with layers.database(self.machine) as database:
            addresses = {owner for (owner,) in database.execute("SELECT sandbox_id FROM pod_addresses")}
        live, folders = (set(self.machine.run("ls", f"{root}/sandboxes").split()) for root in ("/run/gantry", DATA))
        links = int(self.machine.shell("ip -br link | grep -c '^gt'"))
        return sorted(folders - set(self.node.pods())) + sorted(addresses ^ live) + ["a link"] * (links - len(live))


def full_disk(story):
    node, checks = story.node, story.checks
    victims = [story.run(name, "exec sleep 100000") for name in ("stopped", "removed")]
    other = node.pod_config("other")
    configuration = node.write(other)
    more = node.write(node.container_config("more", "exit 0")), node.write(story.pod)
    with story.machine.full_disk(DATA):
        full = c.wait_until("the log waits", story.log_waits, 60)
        story.goes_on("with a full disk")
        story.refused("a new pod", node.crictl("runp", configuration, check=False))
        story.refused("a new container", node.crictl("create", story.pod_id, *more, check=False))
        story.refused("an image", node.exec("gantry", "image", "build", "--tag", "more:1", node.work / "tree", check=False))
        done = node.crictl("stop", "--timeout", "2", *victims, check=False)
        checks.equal(done.returncode, 0, "containers can be stopped")
        done = node.crictl("rm", victims[1], check=False)
        checks.equal(done.returncode, 0, "and removed")
        story.goes_on("still")
    c.wait_until("the log is up to date", lambda: len(story.lines()) > len(full) + 50, 60)
    lines = story.lines()
    checks.equal(lines, list(range(1, len(lines) + 1)), "with room again, not a line of the log is missing")
    checks.equal(len(node.run_pod(other)), 64, "a new pod starts")
    checks.equal(node.exec("gantry", "image", "build", "--tag", "more:1", node.work / "tree", check=False).returncode, 0,
                 "an image is stored")
    node.crictl("rm", victims[0])
    checks.equal([name for name in story.all_states() if name in ("stopped", "removed")], [], "and what was stopped is removed")
    c.wait_until("nothing is left of what was refused", lambda: not story.strays(), 90, 1)
    story.goes_on("after all that")


def jumping_clock(story):
    node, checks = story.node, story.checks
    deaf = story.run("deaf", DEAF)
    for jump, when in ((DAY, "a day ahead"), (-DAY, "a day back")):
        start = story.seconds()
        config = ("--config", node.work / "crictl.yaml")
        stopping = story.machine.start("/opt/cargo/crictl", *config, "stop", "--timeout", "8", deaf)
        c.wait_until("its grace has begun", lambda: story.seconds() > start + 3)
        story.machine.jump_clock(jump)
        stopping.wait(300)
        took = story.seconds() - start
        # By the clock that jumped it were over at once, or in a day. This machine is slow.
        checks.ok(8 <= took < 300, f"{when}: a stop under way keeps to its grace of 8 s", f"{took:.2f} s")
        start = story.seconds()
        said = node.refusal("exec", "--sync", "--timeout", "3", story.counting, "sleep", "1000")
        took = story.seconds() - start
        checks.ok(3 <= took < 100 and "deadline" in said.lower(), "ExecSync ends at its timeout of 3 s", f"{took:.2f} s: {said}")
        story.goes_on(when)
        used, passed = cpu(story)
        checks.ok(used < 0.05 * passed, "gantryd is idle", f"{used:.2f} s of CPU in {passed:.2f} s")
        node.crictl("rm", deaf)
        deaf = story.run("deaf", DEAF)


def cpu(story, seconds=5):
    """What gantryd uses in some seconds, and how many they were."""
    pid = re.search(r"MainPID=(\d+)", story.gantryd)[1]
    look = f"cut -d' ' -f14,15 /proc/{pid}/stat; cut -d' ' -f1 /proc/uptime"
    values = [float(value) for value in story.machine.shell(f"{look}; sleep {seconds}; {look}").split()]
    ticks = sum(values[3:5]) - sum(values[:2])
    return ticks / 100, values[5] - values[2]


def main(checks):
    with VmNode(checks, "faults") as node:
        story = Story(checks, node)
        full_disk(story)
        jumping_clock(story)


c.main(main)
