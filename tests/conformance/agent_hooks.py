#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Hooks of containers (postStart, preStop), containers whose image is changed in their running pod, and what they leave behind, with
real kubectl."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import pods
from cluster import SLEEPS, ready_node
from cri_client import IMAGE

OTHER = "busybox:other"
# What it says at its end is what the hook wrote before.
TELLS = "trap 'cat /out/hook > /dev/termination-log; exit 0' TERM; touch /tmp/listens; while :; do sleep 0.1; done"
# A pod is Ready when the program runs; this one when its shell hears signals.
LISTENS = {"readinessProbe": {"exec": {"command": ["/bin/busybox", "test", "-e", "/tmp/listens"]}, "timeoutSeconds": 60}}
# Grace of a pod that hears its signal, and may be slow to do what it has to.
HEARD = 600
MOUNT = [{"name": "out", "mountPath": "/out"}]


def container(name, command, **more):
    return pods.container(name, command, volumeMounts=MOUNT, **more)


def runs(command):
    return {"exec": {"command": pods.shell(command)}}


def post_start(world):
    first = container("first", SLEEPS, lifecycle={"postStart": runs("sleep 1; echo $HOSTNAME > /out/hook")})
    second = container("second", "cat /out/hook > /dev/termination-log && " + SLEEPS)
    world.create("started", first, second)
    world.wait_ready("started")
    counts = [one["restartCount"] for one in world.status("started")["containerStatuses"]]
    world.checks.equal(counts, [0, 0], "the next container comes after the hook of the one before it")
    world.delete("started")

    world.create("failing", container("web", SLEEPS, lifecycle={"postStart": runs("echo secret; exit 4")}),
                 restartPolicy="Never", terminationGracePeriodSeconds=1)
    # It may have been too young to hear the signal.
    c.wait_until("it was stopped", lambda: world.field("failing", ".status.phase") in ("Succeeded", "Failed"))
    world.wait_event("failing", "FailedPostStartHook", "PostStartHook failed")
    events = world.control.out("get", "events", "--field-selector", "involvedObject.name=failing", "-o", "json")
    world.checks.ok("secret" not in events, "no event has what the hook said", events)
    world.delete("failing")


def post_start_and_restarts(world):
    """A hook that is under way when gantryd is killed is not run again, and its container is taken as it is."""
    world.create("hanging", container("web", SLEEPS, lifecycle={"postStart": runs("echo run >> /out/hook; sleep 1000")}),
                 terminationGracePeriodSeconds=1)
    c.wait_until("the container runs", lambda: world.running("hanging"))
    (identity, _), = world.running("hanging")

    def hooks():
        return world.node.crictl("exec", identity, "cat", "/out/hook", check=False).stdout.split()
    c.wait_until("its hook runs", hooks)
    world.checks.ok(world.field("hanging", ".status.containerStatuses[0].state.running") == "", "it does not count as started")
    world.node.kill_gantryd()
    world.node.wait_for_gantryd()
    world.wait_ready("hanging")
    world.checks.equal((hooks(), world.running("hanging")), (["run"], [(identity, "web")]), "once, and the same container")
    world.delete("hanging")


def pre_stop(world):
    """The object of a deleted pod is held, so that its end can be read."""
    world.create("stopped", container("web", TELLS, **LISTENS, lifecycle={"preStop": runs("sleep 1; echo hook > /out/hook")}),
                 metadata=pods.HOLD, terminationGracePeriodSeconds=HEARD)
    world.create("sleepy", container("web", TELLS, **LISTENS, lifecycle={"preStop": {"sleep": {"seconds": 1}}}),
                 terminationGracePeriodSeconds=HEARD)
    world.create("hung", container("web", SLEEPS, lifecycle={"preStop": runs("sleep 1000")}), terminationGracePeriodSeconds=1)
    world.create("broken", container("web", SLEEPS, lifecycle={"preStop": runs("exit 9")}))
    for name in ("stopped", "sleepy", "hung", "broken"):
        world.wait_ready(name)
    world.control.out("delete", "pod", "stopped", "--wait=false")
    world.delete("sleepy", "hung", "broken")
    world.wait("stopped", ".status.containerStatuses[0].state.terminated.message", "hook\n")
    world.checks.equal(world.status("stopped")["containerStatuses"][0]["state"]["terminated"]["exitCode"], 0,
                       "the signal comes after the hook")
    world.release("stopped")
    world.wait_event("broken", "FailedPreStopHook", "PreStopHook failed")
    world.wait_event("broken", "Killing", "Stopping container web")
    c.wait_until("nothing is left", lambda: not world.node.pods())


def change(world):
    """kubectl set image: that container alone is another, after its hook."""
    web = container("web", TELLS, **LISTENS, lifecycle={"preStop": runs("echo hook > /out/hook")})
    world.create("changed", web, container("beside", SLEEPS), restartPolicy="Never", terminationGracePeriodSeconds=HEARD)
    world.wait_ready("changed")
    before = dict((name, identity) for identity, name in world.running("changed"))
    world.control.out("set", "image", "pod/changed", f"web={OTHER}")
    world.wait("changed", ".status.containerStatuses[0].restartCount", "1")
    world.wait_ready("changed")
    status = world.status("changed")
    by_name = {one["name"]: one for one in status["containerStatuses"]}
    now = dict((name, identity) for identity, name in world.running("changed"))
    world.checks.equal(by_name["web"]["lastState"]["terminated"]["message"], "hook\n", "its preStop hook was run")
    world.checks.equal((now["beside"], by_name["beside"]["restartCount"]), (before["beside"], 0), "the other goes on")
    world.checks.ok(now["web"] != before["web"] and by_name["web"]["image"] == OTHER, "it runs the new image", str(by_name["web"]))
    world.wait_event("changed", "Killing", "Container web definition changed, will be restarted")
    world.node.kill_gantryd()
    world.node.wait_for_gantryd()
    world.create("after", container("web", SLEEPS))
    world.wait_ready("after")
    world.checks.equal(dict((name, identity) for identity, name in world.running("changed")), now,
                       "a restart of gantryd changes nothing")
    world.delete("changed", "after")


def requests(world):
    """A container that serves its own hooks: whatever it answers, it was asked."""
    server = ("mkdir /www; trap 'grep -o url:/hook /out/asked > /dev/termination-log; exit 0' TERM; "
              "busybox httpd -f -vv -p 8080 -h /www 2> /out/asked & while :; do sleep 0.1; done")
    action = {"path": "/hook", "port": "web", "httpHeaders": [{"name": "X-A", "value": "b"}]}
    world.create("asked", container("web", server, ports=[{"name": "web", "containerPort": 8080}],
                                    lifecycle={"preStop": {"httpGet": action}}), metadata=pods.HOLD,
                 terminationGracePeriodSeconds=HEARD)
    world.wait_ready("asked")
    address = world.status("asked")["podIP"]
    c.wait_until("it serves", lambda: world.node.exec("curl", "-s", "-o", "/dev/null", f"http://{address}:8080/", check=False).returncode == 0)
    world.control.out("delete", "pod", "asked", "--wait=false")
    c.wait_until("it has ended", lambda: world.field("asked", ".status.containerStatuses[0].state.terminated.exitCode"))
    end = world.status("asked")["containerStatuses"][0]["state"]["terminated"]
    world.checks.equal(end.get("message"), "url:/hook\n", "a request comes to the container")
    world.release("asked")
    c.wait_until("nothing is left", lambda: not world.node.pods())


def last_words(world):
    """What a container leaves behind is shown, whatever it is."""
    world.create("words", container("web", "printf '\\377\\001 end' > /dev/termination-log; exit 3"),
                 container("log", "echo one; sleep 1; echo two >&2; exit 4", terminationMessagePolicy="FallbackToLogsOnError"),
                 restartPolicy="Never")
    world.wait("words", ".status.phase", "Failed")
    ends = [one["state"]["terminated"] for one in world.status("words")["containerStatuses"]]
    world.checks.equal([(end["exitCode"], end["message"]) for end in ends], [(3, "\ufffd\x01 end"), (4, "one\ntwo\n")],
                       "last words: bytes that are no text, and the end of a log")
    world.delete("words")


def story(checks):
    with ready_node(checks, (IMAGE, OTHER)) as (node, control):
        world = pods.Pods(checks, control, node, terminationGracePeriodSeconds=2, volumes=[{"name": "out", "emptyDir": {}}])
        post_start(world)
        post_start_and_restarts(world)
        pre_stop(world)
        change(world)
        last_words(world)
        requests(world)


c.main(story)
