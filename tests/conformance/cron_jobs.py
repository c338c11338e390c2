#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 1800
"""CronJobs, by kubectl alone, over nodes that the test plays. What a schedule says is tried without waiting for its time: status.lastScheduleTime
is set back, as if the control plane had been away. One CronJob waits for a real minute, and gantry-control is killed while jobs are made."""
import datetime
import json
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from played_jobs import JobNodes, job

TIME = "batch.kubernetes.io/cronjob-scheduled-timestamp"
HOUR = 3600


def ago(seconds):
    return datetime.datetime.fromtimestamp(time.time() - seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text):
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def other_minute(*minutes):
    """A minute of the hour that none of these is, passed a while ago: it does not come again during the story."""
    now = time.gmtime().tm_min
    return random.choice([each for each in ((now - i) % 60 for i in range(5, 35)) if each not in minutes])


class Story:
    def __init__(self, checks, control):
        self.checks, self.control = checks, control

    def make(self, name, arguments, schedule, **spec):
        self.control.out("create", "-f", "-", given=json.dumps({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
            "spec": {"schedule": schedule, "jobTemplate": {"metadata": {"labels": {"of": name}}, "spec": job(name, arguments)["spec"]}, **spec}}))

    def patch(self, name, **spec):
        self.control.out("patch", "cronjob", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def set_back(self, name, seconds):
        """As if it had made no job for so long."""
        self.control.out("patch", "cronjob", name, "--type=merge", "--subresource=status", "-p",
                         json.dumps({"status": {"lastScheduleTime": ago(seconds)}}))

    def status(self, name):
        return self.control.json("get", "cronjob", name)["status"]

    def jobs(self, name):
        made = [each for each in self.control.json("get", "jobs", "-l", f"of={name}")["items"] if TIME in each["metadata"]["annotations"]]
        return sorted(made, key=lambda each: each["metadata"]["annotations"][TIME])

    def has_jobs(self, name, count):
        """Until it has that many, and its status names the last."""
        def found():
            jobs = self.jobs(name)
            last = self.status(name).get("lastScheduleTime")
            return len(jobs) == count and last == jobs[-1]["metadata"]["annotations"][TIME] and jobs
        return c.wait_until(f"{name} has {count} jobs", found)

    def events(self, name, reason):
        """The messages of that reason about the CronJob."""
        items = self.control.json("get", "events", "--field-selector", f"involvedObject.name={name},reason={reason}")["items"]
        return [each["message"] for each in items if each["source"]["component"] == "cronjob-controller"]

    def event(self, name, reason):
        return c.wait_until(f"{name} has the event {reason}", lambda: self.events(name, reason))[0]

    def remove(self, *names):
        self.control.out("delete", "cronjob", *names)
        c.wait_until("their jobs are gone", lambda: not any(self.jobs(name) for name in names))


def one_time(story):
    minute = other_minute()
    story.make("once", "0", f"{minute} * * * *")
    story.set_back("once", 2 * HOUR)
    made = story.has_jobs("once", 1)[0]
    when = made["metadata"]["annotations"][TIME]
    story.checks.ok(when.endswith(f":{minute:02}:00Z") and 0 <= time.time() - moment(when) <= HOUR + c.PATIENCE, "the last time that was missed", when)
    story.checks.equal(made["metadata"]["name"], f"once-{moment(when) // 60}", "its name is the time's")
    story.checks.equal((made["metadata"]["ownerReferences"][0]["kind"], made["metadata"]["ownerReferences"][0]["controller"]),
                       ("CronJob", True), "its owner")
    story.checks.equal(story.event("once", "SuccessfulCreate"), f"Created job {made['metadata']['name']}", "what is told of it")
    c.wait_until("it has ended well", lambda: (status := story.status("once")).get("lastSuccessfulTime") and not status.get("active"))
    story.checks.equal(story.event("once", "SawCompletedJob"), f"Saw completed job: {made['metadata']['name']}, condition: Complete", "and of its end")
    story.set_back("once", 2 * HOUR)
    c.wait_until("the time is known again", lambda: story.status("once").get("lastScheduleTime") == when)
    story.checks.equal([each["metadata"]["uid"] for each in story.jobs("once")], [made["metadata"]["uid"]], "no time has two jobs")
    story.patch("once", suspend=True)
    story.patch("once", schedule=f"{other_minute(minute)} * * * *")
    story.set_back("once", 2 * HOUR)
    story.control.out("create", "job", "by-hand", "--from=cronjob/once")
    story.control.out("wait", "--for=condition=Complete", "job/by-hand", f"--timeout={c.PATIENCE * c.slowness:.0f}s")
    story.checks.equal(len(story.jobs("once")), 1, "who is suspended makes none, people may")
    story.checks.contains(story.control.out("get", "cronjob", "once"), ["True", "<none>"], "kubectl's table")
    story.control.out("delete", "job", "by-hand")
    story.remove("once")


def still_running(story):
    """Jobs that do not end: each policy's next time is another minute of the hour."""
    minutes = []

    def next_time(name):
        minutes.append(other_minute(*minutes))
        story.patch(name, schedule=f"{minutes[-1]} * * * *")
        story.set_back(name, 2 * HOUR)
    minutes.append(other_minute())
    story.make("runs", "run", f"{minutes[0]} * * * *", concurrencyPolicy="Forbid")
    story.set_back("runs", 2 * HOUR)
    first = story.has_jobs("runs", 1)[0]
    next_time("runs")
    story.checks.equal(story.event("runs", "JobAlreadyActive"),
                       "Not starting job because prior execution is running and concurrency policy is Forbid", "Forbid")
    story.checks.equal([each["metadata"]["uid"] for each in story.jobs("runs")], [first["metadata"]["uid"]], "and the one runs on")
    story.patch("runs", concurrencyPolicy="Replace")
    c.wait_until("another is in its place", lambda: [each["metadata"]["uid"] for each in story.jobs("runs")] not in ([], [first["metadata"]["uid"]]))
    second = story.has_jobs("runs", 1)[0]
    story.checks.equal([each["uid"] for each in story.status("runs")["active"]], [second["metadata"]["uid"]], "Replace")
    story.patch("runs", concurrencyPolicy="Allow")
    next_time("runs")
    c.wait_until("both run", lambda: len(story.status("runs").get("active", [])) == 2)
    story.checks.equal({each["name"] for each in story.status("runs")["active"]}, {each["metadata"]["name"] for each in story.jobs("runs")}, "Allow")
    story.control.out("delete", "job", second["metadata"]["name"])
    c.wait_until("who was deleted is not active", lambda: len(story.status("runs").get("active", [])) == 1)
    story.remove("runs")


def bad_times(story):
    story.make("nowhere", "0", "* * * * *", timeZone="Nowhere/Atall")
    story.checks.equal(story.event("nowhere", "UnknownTimeZone"), 'invalid timeZone: "Nowhere/Atall": unknown time zone Nowhere/Atall', "an unknown zone")
    story.make("never", "0", "59 23 31 2 *")
    story.checks.contains(story.event("never", "InvalidSchedule"), "invalid schedule schedule: 59 23 31 2 * : ", "a day that never comes")
    # Suspended, as a minute that begins now would have its job already.
    story.make("away", "run", "* * * * *", concurrencyPolicy="Forbid", suspend=True)
    story.set_back("away", 24 * HOUR)
    story.patch("away", suspend=False)
    story.checks.contains(story.event("away", "TooManyMissedTimes"), "too many missed start times", "a day that was missed")
    story.has_jobs("away", 1)
    minute = (time.gmtime().tm_min + 30) % 60
    story.make("late", "0", f"{minute} * * * *", startingDeadlineSeconds=60)
    story.set_back("late", 2 * HOUR)
    story.checks.contains(story.event("late", "MissSchedule"), "Missed scheduled time to start a job: ", "a time that is too long ago")
    story.make("there", "0", f"{minute} * * * *", timeZone="Asia/Kathmandu")
    story.set_back("there", 2 * HOUR)
    made = c.wait_until("a job of a time zone", lambda: story.jobs("there"))[0]["metadata"]["annotations"][TIME]
    story.checks.ok(made.endswith(f":{minute:02}:00+05:45"), "times are of their zone", made)
    story.checks.equal((story.jobs("nowhere"), story.jobs("never"), story.jobs("late")), ([], [], []), "and the others made none")
    story.remove("nowhere", "never", "away", "late", "there")


def few_are_kept(story):
    minutes = []
    story.make("few", "0", "0 0 1 1 *", successfulJobsHistoryLimit=2)
    for count in range(1, 5):
        minutes.append(other_minute(*minutes))
        story.patch("few", schedule=f"{minutes[-1]} * * * *")
        story.set_back("few", 2 * HOUR)
        c.wait_until("the next one is made", lambda count=count: len(set(story.events("few", "SuccessfulCreate"))) == count)
        c.wait_until("it has ended", lambda: not story.status("few").get("active") and all(
            any(each["type"] == "Complete" for each in job["status"].get("conditions", [])) for job in story.jobs("few")))
    c.wait_until("two are kept", lambda: len(story.jobs("few")) == 2)
    c.wait_until("two were deleted", lambda: len(set(story.events("few", "SuccessfulDelete"))) == 2)
    story.checks.contains(story.event("few", "SuccessfulDelete"), "Deleted job few-", "what is told of those that are not kept")
    story.remove("few")


def killed(story):
    """gantry-control is killed at some moment of making each job."""
    minutes = []
    story.make("killed", "run", "0 0 1 1 *", suspend=True)
    for _ in range(6):
        minutes.append(other_minute(*minutes))
        story.patch("killed", schedule=f"{minutes[-1]} * * * *", suspend=True)
        story.set_back("killed", 2 * HOUR)
        go_on = threading.Thread(target=lambda: story.control.kubectl("patch", "cronjob", "killed", "--type=merge", "-p", '{"spec": {"suspend": false}}'),
                                 daemon=True)
        go_on.start()
        time.sleep(random.uniform(0.04, 0.16))  # the moment is not to be known
        story.control.kill()
        story.control.start()
        go_on.join(2 * c.PATIENCE)
        story.patch("killed", suspend=False)
        jobs = c.wait_until("the time has its job", lambda: len(found := story.jobs("killed")) >= len(minutes) and found)
        story.checks.equal(sorted(int(each["metadata"]["annotations"][TIME][14:16]) for each in jobs), sorted(minutes), "each time has one job")
        c.wait_until("the status names them all", lambda jobs=jobs: {each["uid"] for each in story.status("killed").get("active", [])} == {
            each["metadata"]["uid"] for each in jobs})
    story.remove("killed")


def story(checks):
    with Control(checks) as control, JobNodes(control) as nodes:
        nodes.add("n1")
        told = Story(checks, control)
        began = time.time()
        told.make("minute", "0", "* * * * *")
        for part in one_time, still_running, bad_times, few_are_kept, killed:
            part(told)
        made = c.wait_until("a minute's job was made", lambda: told.jobs("minute"), limit=3 * c.PATIENCE)[0]
        checks.ok(moment(made["metadata"]["annotations"][TIME]) >= began - 1, "a real minute has its job", made["metadata"]["annotations"])


if __name__ == "__main__":
    c.main(story)
