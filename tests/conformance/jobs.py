#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Jobs, by kubectl alone: how they run, fail and end, over nodes that the test plays: what a pod's only argument says becomes of it. Then
gantry-control is killed in the middle: no pod is made twice, none is counted twice or not at all. At last jobs on a real node."""
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import ready_node
from control import Control
from cri_client import IMAGE
from played_jobs import ENDED, INDEX, JobNodes, job
from played_nodes import is_ending

TRACKING = "batch.kubernetes.io/job-tracking"


class Story:
    def __init__(self, checks, control):
        self.checks, self.control = checks, control

    def make(self, wanted):
        self.control.out("create", "-f", "-", given=json.dumps(wanted))
        return wanted["metadata"]["name"]

    def patch(self, name, **spec):
        self.control.out("patch", "job", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def status(self, name):
        return self.control.json("get", "job", name)["status"]

    def pods(self, name):
        return self.control.json("get", "pods", "-l", f"batch.kubernetes.io/job-name={name}")["items"]

    def active(self, name):
        return [each for each in self.pods(name) if each["status"]["phase"] not in ENDED and not is_ending(each)]

    def ends(self, name, condition, limit=5 * c.PATIENCE):
        """Until it has that condition; its status then."""
        done = self.control.kubectl("wait", f"--for=condition={condition}", f"job/{name}", f"--timeout={limit * c.slowness:.0f}s",
                                    limit=limit + c.PATIENCE)
        if done.returncode:
            raise c.Failure(f"{name}: {done.stderr}{self.control.out('get', 'job,pods', '-o', 'wide')}{json.dumps(self.status(name))}")
        return self.status(name)

    def condition(self, name, kind):
        return next((each for each in self.status(name).get("conditions", []) if each["type"] == kind and each["status"] == "True"), {})

    def reason(self, name, kind):
        return self.condition(name, kind).get("reason", "")

    def event(self, name, reason):
        """The first message of that reason about the job."""
        def found():
            items = self.control.json("get", "events", "--field-selector", f"involvedObject.name={name},reason={reason}")["items"]
            return [each["message"] for each in items if each["source"]["component"] == "job-controller"]
        return c.wait_until(f"{name} has the event {reason}", found)[0]

    def remove(self, *names):
        self.control.out("delete", "job", *names)
        c.wait_until("their pods are gone", lambda: not any(self.pods(name) for name in names))


def completes(story):
    story.make(job("one", "0"))
    status = story.ends("one", "Complete")
    story.checks.equal({key: status.get(key) for key in ("succeeded", "failed", "active", "ready", "terminating")},
                       {"succeeded": 1, "failed": None, "active": None, "ready": 0, "terminating": 0}, "its counts")
    story.checks.equal([(each["type"], each["reason"]) for each in status["conditions"]],
                       [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")], "its conditions")
    story.checks.ok(status["startTime"] <= status["completionTime"] and status["uncountedTerminatedPods"] == {}, "its times", status)
    pod = story.pods("one")[0]
    story.checks.equal((pod["metadata"].get("finalizers"), pod["metadata"]["ownerReferences"][0]["name"]), (None, "one"), "its pod")
    story.checks.ok(set(pod["metadata"]["labels"]) >= {"batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name",
                                                       "controller-uid", "job-name"}, "its pod's labels", pod["metadata"]["labels"])
    story.checks.equal(story.event("one", "SuccessfulCreate"), f"Created pod: {pod['metadata']['name']}", "what is told of the pod")
    story.checks.equal(story.event("one", "Completed"), "Job completed", "and of the end")
    story.checks.contains(story.control.out("get", "job", "one"), ["Complete", "1/1"], "kubectl's table")
    story.control.out("delete", "job", "one")
    c.wait_until("its pod goes with it", lambda: not story.pods("one"))


def in_parallel(story, nodes):
    most = []

    def count(pods):
        mine = [each for each in pods.values() if each["metadata"]["labels"].get("job-name") == "many"]
        most.append(sum(each["status"]["phase"] not in ENDED for each in mine))
    nodes.seen = count
    story.make(job("many", "0", completions=12, parallelism=3))
    status = story.ends("many", "Complete")
    nodes.seen = lambda pods: None
    story.checks.equal((status["succeeded"], len(story.pods("many"))), (12, 12), "twelve, each once")
    story.checks.ok(0 < max(most) <= 3, "three at once, at most", most)
    story.remove("many")
    story.make(job("queue", "run", parallelism=3, completions=None))
    c.wait_until("three pods run", lambda: story.status("queue").get("ready") == 3)
    story.patch("queue", parallelism=1)
    c.wait_until("one pod runs", lambda: story.status("queue").get("active") == 1 and len(story.active("queue")) == 1)
    story.patch("queue", parallelism=0)
    c.wait_until("none runs", lambda: not story.active("queue"))
    story.checks.equal(story.status("queue").get("failed"), None, "who is not needed any more has not failed")
    story.remove("queue")


def fails(story):
    began = time.monotonic()
    story.make(job("fails", "3", backoffLimit=1))
    status = story.ends("fails", "Failed")
    story.checks.ok(time.monotonic() - began >= 9, "its second pod comes ten seconds later")
    story.checks.equal((status["failed"], status.get("succeeded")), (2, None), "its counts")
    story.checks.equal([(each["type"], each["reason"], each["message"]) for each in status["conditions"]],
                       [(each, "BackoffLimitExceeded", "Job has reached the specified backoff limit") for each in ("FailureTarget", "Failed")],
                       "its conditions")
    story.checks.equal(story.event("fails", "BackoffLimitExceeded"), "Job has reached the specified backoff limit", "what is told of it")
    story.make(job("late", "run", activeDeadlineSeconds=1, parallelism=2))
    status = story.ends("late", "Failed")
    story.checks.equal((status["failed"], story.reason("late", "Failed")), (2, "DeadlineExceeded"), "a job that takes too long")
    c.wait_until("its pods are gone", lambda: not story.active("late"))
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
             {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}}]
    story.make(job("policy", "42", podFailurePolicy={"rules": rules}))
    story.ends("policy", "Failed")
    failed = story.condition("policy", "Failed")
    name = story.pods("policy")[0]["metadata"]["name"]
    story.checks.equal((failed["reason"], failed["message"]), (
        "PodFailurePolicy", f"Container main for pod default/{name} failed with exit code 42 matching FailJob rule at index 1"),
        "an exit code that ends it all")
    story.remove("fails", "late", "policy")


def by_index(story):
    story.make(job("indexed", "0,0,run,0", completions=4, parallelism=4, completionMode="Indexed"))
    c.wait_until("three have succeeded", lambda: story.status("indexed").get("completedIndexes") == "0,1,3")
    pod = story.active("indexed")[0]
    story.checks.equal((pod["metadata"]["annotations"][INDEX], pod["metadata"]["labels"][INDEX], pod["spec"]["hostname"]),
                       ("2", "2", "indexed-2"), "the pod of an index")
    story.checks.ok(pod["metadata"]["name"].startswith("indexed-2-"), "and its name", pod["metadata"]["name"])
    story.patch("indexed", completions=2, parallelism=2)
    story.checks.equal(story.ends("indexed", "Complete")["completedIndexes"], "0,1", "it shrinks, and is complete")

    story.make(job("each", "0,9,0,9", completions=4, parallelism=4, completionMode="Indexed", backoffLimitPerIndex=0))
    status = story.ends("each", "Failed")
    story.checks.equal((status["completedIndexes"], status["failedIndexes"], status["failed"], story.reason("each", "Failed")),
                       ("0,2", "1,3", 2, "FailedIndexes"), "each index for itself")
    story.make(job("few", "run,9,9,run", completions=4, parallelism=4, completionMode="Indexed", backoffLimitPerIndex=0, maxFailedIndexes=1))
    story.ends("few", "Failed")
    story.checks.equal(story.reason("few", "Failed"), "MaxFailedIndexesExceeded", "too many of them")

    story.make(job("leader", "0,run,run", completions=3, parallelism=3, completionMode="Indexed",
                   successPolicy={"rules": [{"succeededIndexes": "0"}]}))
    status = story.ends("leader", "Complete")
    story.checks.equal((status["completedIndexes"], status.get("failed"), story.reason("leader", "Complete")),
                       ("0", None, "SuccessPolicy"), "one index is enough")
    story.remove("indexed", "each", "few", "leader")


def waits(story):
    story.make(job("waits", "run", parallelism=2, completions=2, suspend=True))
    c.wait_until("it is suspended", lambda: story.reason("waits", "Suspended") == "JobSuspended")
    story.checks.equal((story.pods("waits"), story.status("waits").get("startTime")), ([], None), "it has no pods")
    story.patch("waits", suspend=False)
    c.wait_until("its pods run", lambda: story.status("waits").get("ready") == 2)
    story.checks.equal(story.event("waits", "Resumed"), "Job resumed", "what is told of it")
    story.patch("waits", suspend=True)
    c.wait_until("they are ended", lambda: not story.pods("waits"))
    c.wait_until("that is counted", lambda: story.status("waits").get("active") is None and story.reason("waits", "Suspended"))
    story.checks.equal(story.status("waits").get("failed"), None, "and have not failed")
    story.remove("waits")
    story.make({**job("elsewhere", "run"), "spec": {**job("elsewhere", "run")["spec"], "managedBy": "example.com/runner"}})
    story.make(job("here", "run"))
    c.wait_until("a job runs", lambda: story.status("here").get("ready") == 1)
    story.checks.equal((story.pods("elsewhere"), story.status("elsewhere")), ([], {}), "who manages another's jobs is left alone")
    story.control.out("delete", "job", "here", "--cascade=orphan")
    c.wait_until("its pod is nobody's, and not held", lambda: all(
        not each["metadata"].get("ownerReferences") and TRACKING not in each["metadata"].get("finalizers", []) for each in story.pods("here")))
    story.checks.equal(len(story.pods("here")), 1, "and stays")
    story.control.out("delete", "pods", "-l", "job-name=here")
    story.remove("elsewhere")
    story.make(job("brief", "0", ttlSecondsAfterFinished=0))
    c.wait_until("a job goes when it has finished", lambda: not story.control.json("get", "jobs")["items"])


def killed(story):
    """Jobs whose pods end while gantry-control is killed again and again. Of the second every third index fails, for good."""
    story.make(job("crowd", "0", completions=60, parallelism=12))
    story.make(job("places", "0,0,1", completions=60, parallelism=12, completionMode="Indexed", backoffLimitPerIndex=0))
    ends = {"crowd": "Complete", "places": "Failed"}

    def share(name):
        status = story.status(name)
        return 1 if story.reason(name, ends[name]) else (status.get("succeeded", 0) + status.get("failed", 0)) / 60
    for least in (0.1, 0.3, 0.5, 0.7, 0.9):
        c.wait_until("some have ended", lambda least=least: all(share(name) >= least for name in ends), limit=5 * c.PATIENCE)
        story.control.kill()
        story.control.start()
    for name, failed in (("crowd", 0), ("places", 20)):
        status = story.ends(name, ends[name], limit=5 * c.PATIENCE)
        story.checks.equal((status["succeeded"], status.get("failed", 0), status["uncountedTerminatedPods"]), (60 - failed, failed, {}),
                           f"{name}: counted once")
        phases = sorted(each["status"]["phase"] for each in story.pods(name))
        story.checks.equal(phases, ["Failed"] * failed + ["Succeeded"] * (60 - failed), f"{name}: no pod too many")
        c.wait_until("no pod is held", lambda name=name: not any(each["metadata"].get("finalizers") for each in story.pods(name)))
    story.checks.equal(sorted(int(each["metadata"]["annotations"][INDEX]) for each in story.pods("places")), list(range(60)), "each index once")
    story.checks.equal(story.status("places")["failedIndexes"], ",".join(str(i) for i in range(2, 60, 3)), "those that failed")
    story.remove("crowd", "places")


def on_a_node(checks):
    with ready_node(checks) as (_, control):
        story = Story(checks, control)

        def real(name, command, **spec):
            made = job(name, "", **spec)
            container = {"name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", command]}
            made["spec"]["template"]["spec"].update(containers=[container], automountServiceAccountToken=False)
            return made
        story.make(real("index", "echo $JOB_COMPLETION_INDEX $(cat /proc/sys/kernel/hostname) > /dev/termination-log", completions=3, parallelism=2,
                        completionMode="Indexed"))
        status = story.ends("index", "Complete", limit=3 * c.PATIENCE)
        checks.equal(status["completedIndexes"], "0-2", "indexes on a real node")
        said = sorted(each["status"]["containerStatuses"][0]["state"]["terminated"]["message"].strip() for each in story.pods("index"))
        checks.equal(said, [f"{i} index-{i}" for i in range(3)], "each pod knows its own")
        rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]
        story.make(real("code", "exit 42", podFailurePolicy={"rules": rules}))
        story.ends("code", "Failed", limit=3 * c.PATIENCE)
        checks.contains(story.condition("code", "Failed")["message"], "failed with exit code 42 matching FailJob rule at index 0",
                        "exit codes of a real node")
        story.make(real("long", "trap 'exit 0' TERM; while :; do sleep 0.1; done", activeDeadlineSeconds=5))
        story.ends("long", "Failed", limit=3 * c.PATIENCE)
        checks.equal(story.reason("long", "Failed"), "DeadlineExceeded", "a pod that is ended for its job's time")
        story.remove("index", "code", "long")


def story(checks):
    with Control(checks) as control, JobNodes(control) as nodes:
        for name in ("n1", "n2"):
            nodes.add(name)
        told = Story(checks, control)
        completes(told)
        in_parallel(told, nodes)
        for part in fails, by_index, waits, killed:
            part(told)
    on_a_node(checks)


if __name__ == "__main__":
    c.main(story)
