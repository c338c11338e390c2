#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""How containers and pods end, and what kubectl shows of it: exit codes, signals, what can't be started, init containers and sidecars
that fail, sandboxes that die; and what of a pod's status follows changes of its spec."""
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import SLEEPS, ready_node
from node import Process
from pods import Pods, container

# What fails comes again soon.
CONFIG = """
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
evictionHard: {memory.available: 100Mi}
crashLoopBackOff: {maxContainerRestartPeriod: 5s}
"""
OUT = [{"name": "out", "emptyDir": {}}]
MOUNT = [{"name": "out", "mountPath": "/out"}]
ABSENT = "/bin/absent"


def codes(pods):
    """In a PID namespace that is shared a shell may kill itself. (Of $$$$ the agent leaves $$.)"""
    table = {"most": ("exit 255", 255, "Error"), "none": ("exit 0", 0, "Completed"), "killed": ("kill -9 $$$$", 137, "Error"),
             "told": ("kill -TERM $$$$", 143, "Error"), "broken": ("kill -SEGV $$$$", 139, "Error")}
    pods.create("codes", *(container(name, script) for name, (script, *_) in table.items()), restartPolicy="Never",
                shareProcessNamespace=True)
    ends = pods.ends("codes")
    pods.checks.equal({name: (end["exitCode"], end["reason"]) for name, end in ends.items()},
                      {name: tuple(end) for name, (_, *end) in table.items()}, "exit codes, and signals as 128 and their number")
    pods.checks.ok(all(end["containerID"].startswith("gantry://") and end["startedAt"] <= end["finishedAt"] for end in ends.values()),
                   "each says when it began and ended", str(ends))
    pods.checks.equal((pods.status("codes")["phase"], pods.shown("codes")), ("Failed", "Error"), "one that failed is the pod's failure")
    pods.delete("codes")


def not_started(pods):
    """A command that is not there."""
    pods.create("absent", container("web", None, command=[ABSENT]), container("beside"))
    pods.wait("absent", ".status.containerStatuses[?(@.name=='web')].lastState.terminated.reason", "StartError")
    web = pods.states("absent")["web"]
    pods.checks.ok(web["state"]["waiting"]["reason"] in ("RunContainerError", "CrashLoopBackOff"), "it waits", str(web))
    pods.checks.equal(web["lastState"]["terminated"]["exitCode"], 128, "what can't be started ended with 128, StartError")
    pods.checks.contains(web["lastState"]["terminated"]["message"], ABSENT, "and names what is missing")
    pods.wait_event("absent", "Failed", ABSENT)
    pods.wait_shown("absent", "CrashLoopBackOff")
    states = pods.states("absent")
    pods.checks.equal(("running" in states["beside"]["state"], states["beside"]["restartCount"]), (True, 0), "the other runs")
    c.wait_until("it is tried again", lambda: pods.states("absent")["web"]["restartCount"] > 1)
    pods.checks.ok(True, "it is tried again and again")
    pods.create("once", container("web", None, command=[ABSENT]), container("beside", "exit 0"), restartPolicy="Never")
    end = pods.ends("once")["web"]
    pods.checks.equal((end["reason"], end["exitCode"], pods.status("once")["phase"], pods.shown("once")),
                      ("StartError", 128, "Failed", "StartError"), "with restartPolicy Never it is over")
    pods.delete("absent", "once")


def unknown(pods):
    """Of a container that never was, when its pod is over."""
    pods.create("unknown", container("web"), container("never", image="example.org/nowhere:1", imagePullPolicy="Never"),
                restartPolicy="Never")
    pods.wait("unknown", ".status.containerStatuses[?(@.name=='never')].state.waiting.reason", "ErrImageNeverPull")
    pods.wait("unknown", ".status.containerStatuses[?(@.name=='web')].ready", "true")
    pods.patch("unknown", {"spec": {"activeDeadlineSeconds": 1}})
    end = pods.ends("unknown")["never"]
    pods.checks.equal((end["exitCode"], end["reason"], end["message"]),
                      (137, "ContainerStatusUnknown", "The container could not be located when the pod was terminated"),
                      "what of a pod never began is unknown when it is over")
    status = pods.status("unknown")
    pods.checks.equal((status["phase"], status["reason"]), ("Failed", "DeadlineExceeded"), "a deadline that is set while it runs counts")
    pods.delete("unknown")


def deadline(pods):
    pods.create("shortened", container(), activeDeadlineSeconds=100000)
    pods.wait_ready("shortened")
    pods.patch("shortened", {"spec": {"activeDeadlineSeconds": 1}})
    pods.wait("shortened", ".status.reason", "DeadlineExceeded")
    pods.ends("shortened")
    pods.checks.equal(pods.status("shortened")["phase"], "Failed", "a deadline that is shortened while it runs counts")
    pods.delete("shortened")


def inits(pods):
    """One after the other; kubectl shows how far they are."""
    step = "until [ -e /out/go-$STEP ]; do sleep 0.1; done; "
    def init(name, script, **more):
        return container(name, step + script, volumeMounts=MOUNT, env=[{"name": "STEP", "value": name}], **more)
    pods.create("steps", container("web", SLEEPS, volumeMounts=MOUNT), volumes=OUT, initContainers=[
        init("one", "exit 0"), init("two", "[ -e /out/good ] || exit 7"), init("three", "ls /out > /dev/termination-log")])
    folder = pods.node.state / "kubelet/pods" / pods.object("steps")["metadata"]["uid"] / "volumes/kubernetes.io~empty-dir/out"
    c.wait_until("the first init container runs", lambda: "running" in pods.states("steps", "initContainerStatuses")["one"]["state"])
    pods.checks.equal(pods.shown("steps"), "Init:0/3", "the first of three runs")
    states = pods.states("steps", "initContainerStatuses")
    pods.checks.equal([states[name]["state"].get("waiting", {}).get("reason") for name in ("two", "three")], ["PodInitializing"] * 2,
                      "and the others wait for it")
    (folder / "go-one").touch()
    pods.wait_shown("steps", "Init:1/3")
    states = pods.states("steps", "initContainerStatuses")
    pods.checks.equal((states["one"]["ready"], states["one"]["state"]["terminated"]["reason"]), (True, "Completed"), "the first is done")
    condition = pods.condition("steps", "Initialized")
    pods.checks.equal((condition["status"], condition["reason"], condition["message"]),
                      ("False", "ContainersNotInitialized", "containers with incomplete status: [two three]"), "what is still to do is said")
    (folder / "go-two").touch()
    pods.wait_shown("steps", "Init:CrashLoopBackOff")
    two = pods.states("steps", "initContainerStatuses")["two"]
    pods.checks.equal(two["lastState"]["terminated"]["exitCode"], 7, "one that fails is tried again, and shown as such")
    (folder / "good").touch()
    pods.wait_shown("steps", "Init:2/3")
    pods.checks.ok(pods.states("steps", "initContainerStatuses")["two"]["restartCount"] > 0, "until it succeeds")
    (folder / "go-three").touch()
    pods.wait_ready("steps")
    states = pods.states("steps", "initContainerStatuses")
    pods.checks.equal(states["three"]["state"]["terminated"]["message"].split(), ["go-one", "go-three", "go-two", "good"],
                      "the last one sees what those before it left")
    pods.checks.equal((pods.shown("steps"), pods.condition("steps", "Initialized")["status"]), ("Running", "True"), "then the pod runs")
    before = pods.running("steps")
    pods.node.kill_gantryd()
    pods.node.wait_for_gantryd()
    pods.patch("steps", {"spec": {"activeDeadlineSeconds": 100000}})
    pods.wait("steps", ".status.observedGeneration", "2")
    pods.checks.equal((pods.running("steps"), pods.states("steps", "initContainerStatuses")), (before, states),
                      "a restart of gantryd runs no init container again")

    pods.create("stuck", container(), initContainers=[container("one", "exit 0"), container("two", "exit 9"), container("three")],
                restartPolicy="Never")
    pods.ends("stuck")
    status = pods.status("stuck")
    pods.checks.equal((status["phase"], pods.shown("stuck")), ("Failed", "Init:Error"), "with restartPolicy Never one that fails is the end")
    states = pods.states("stuck", "initContainerStatuses")
    pods.checks.equal((states["one"]["state"]["terminated"]["exitCode"], states["two"]["state"]["terminated"]["exitCode"],
                       list(pods.states("stuck")["web"]["state"])), (0, 9, ["waiting"]), "what comes after it has not begun")
    pods.delete("steps", "stuck")


def sidecars(pods):
    """A sidecar comes again while the pod lives, whatever its policy, and does not keep it from its end."""
    lives = container("beside", "echo run >> /out/runs; [ $(wc -l < /out/runs) -gt 1 ] || exit 3; touch /out/up; " + SLEEPS,
                      volumeMounts=MOUNT, restartPolicy="Always")
    pods.create("job", container("work", "until [ -e /out/up ]; do sleep 0.1; done; cat /out/runs > /dev/termination-log", volumeMounts=MOUNT),
                initContainers=[lives], restartPolicy="Never", volumes=OUT)
    end = pods.ends("job")["work"]
    pods.checks.equal((end["exitCode"], end["message"]), (0, "run\nrun\n"), "a sidecar that failed came again beside its pod's work")
    status = pods.status("job")
    beside = status["initContainerStatuses"][0]
    pods.checks.equal((status["phase"], beside["restartCount"], list(beside["state"])), ("Succeeded", 1, ["terminated"]),
                      "the work's end is the pod's, and the sidecar's")
    pods.delete("job")


def lost_sandbox(pods):
    """The process that holds a pod's namespaces is killed, and the pod with it."""
    pods.create("again", container(), container("web-2"))
    pods.create("over", container(), restartPolicy="Never")
    for name in ("again", "over"):
        pods.wait_ready(name)
    before = pods.states("again")
    for name in ("again", "over"):
        sandbox, = pods.sandboxes(name)
        with Process(pods.node.shim_pid(sandbox)) as shim:
            shim.kill()
    pods.wait("over", ".status.phase", "Failed")
    pods.checks.ok(True, "a pod that runs once is over with its sandbox")
    c.wait_until("it has begun anew", lambda: all(
        one["restartCount"] > 0 and one["ready"] for one in pods.states("again").values()))
    pods.checks.ok(all(pods.states("again")[name]["containerID"] != before[name]["containerID"] for name in before),
                   "another has a new sandbox, and all its containers run anew")
    pods.wait_event("again", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
    sandbox, = pods.sandboxes("again")
    pods.checks.equal(pods.status("again")["podIP"], pods.node.pod_status(sandbox)["network"]["ip"], "its address is the new one's")
    pods.delete("again", "over")


def generations(pods):
    """The status says of which spec it is."""
    pods.create("counted", container(), activeDeadlineSeconds=100000)
    pods.wait_ready("counted")
    def seen():
        status = pods.status("counted")
        return {status.get("observedGeneration")} | {one.get("observedGeneration") for one in status["conditions"]}
    pods.checks.equal(seen(), {1}, "observedGeneration of the pod, and of each of its conditions")
    pods.control.out("label", "pod", "counted", "color=red")
    for seconds in range(20):
        pods.patch("counted", {"spec": {"activeDeadlineSeconds": 90000 - seconds}})
    generation = pods.object("counted")["metadata"]["generation"]
    pods.checks.equal(generation, 21, "each change of the spec is a generation, and a label is none")
    c.wait_until("the status is of the last one", lambda: seen() == {generation})
    pods.checks.equal(pods.states("counted")["web"]["restartCount"], 0, "after any number of changes the status is of the last")
    pods.delete("counted")


def gates(pods):
    """A pod is ready when others say so, too."""
    gate = "example.com/open"
    def say(word):
        pods.control.out("patch", "pod", "gated", "--subresource=status", "--type=strategic", "-p",
                         f'{{"status":{{"conditions":[{{"type":"{gate}","status":"{word}"}}]}}}}')
    pods.create("gated", container(), readinessGates=[{"conditionType": gate}])
    pods.wait("gated", '.status.conditions[?(@.type=="ContainersReady")].status', "True")
    ready = pods.condition("gated", "Ready")
    pods.checks.equal((ready["status"], ready["reason"], ready["message"]), (
        "False", "ReadinessGatesNotReady", f'corresponding condition of pod readiness gate "{gate}" does not exist.'),
        "a gate that nobody has opened is waited for")
    pods.checks.contains(pods.control.out("get", "pod", "gated", "-o", "wide"), "0/1", "kubectl shows it")
    say("True")
    pods.wait_ready("gated")
    say("False")
    pods.wait_ready("gated", "False")
    pods.checks.equal(pods.condition("gated", "Ready")["message"],
                      f'the status of pod readiness gate "{gate}" is not "True", but False', "one that is shut again counts")
    pods.checks.equal(pods.condition("gated", gate)["status"], "False", "what others say stays theirs")
    pods.delete("gated")


def story(checks):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        config.write(CONFIG)
        config.flush()
        with ready_node(checks, kubelet_config=config.name) as (node, control):
            pods = Pods(checks, control, node)
            for part in (codes, not_started, unknown, deadline, inits, sidecars, lost_sandbox, generations, gates):
                part(pods)
            pods.clear()


c.main(story)
