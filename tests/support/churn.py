# SPDX-License-Identifier: Apache-2.0
"""Pods that come and go on a node while its gantryd is killed, and a watcher that judges what the API server is told of them:

- No pod runs twice: each start writes into a folder of the node's, and there are as many as the pod's kind has.
- No status goes backwards: phases, restart counts, start times, and the times of what has ended.
- A pod that is ready and is not to end is ready, whatever happens to gantryd."""
import collections
import json
import random
import subprocess
import threading
import time

import checks as c
from cluster import SLEEPS
from cri_client import IMAGE

WORKERS = 2
# For whatever a pod comes to: each kill may hold it up.
LIMIT = 600
PHASES = {"Pending": 0, "Running": 1, "Succeeded": 2, "Failed": 2}
BUSYBOX = "/bin/busybox"
START = f"{BUSYBOX} mkdir -p /runs/$POD; {BUSYBOX} mktemp /runs/$POD/XXXXXX >/dev/null; "
# What each kind runs, its restart policy, how often its container starts when nobody cuts it short, and what it comes to.
KINDS = {
    "once": (START + "sleep 0.3", "Never", 1, "Succeeded"),
    "again": (START + f"[ $({BUSYBOX} ls /runs/$POD | {BUSYBOX} wc -l) -ge 2 ]", "OnFailure", 2, "Succeeded"),
    "stays": (START + SLEEPS, "Always", 1, "Ready"),
}


def pod(node, name, kind, host_path=None):
    """With a further path of the host's, if one is given."""
    command, policy, _, _ = KINDS[kind]
    container = {"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", command],
                 "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}],
                 "volumeMounts": [{"name": "runs", "mountPath": "/runs"}, {"name": "data", "mountPath": "/data"}]}
    if kind == "stays":
        container["readinessProbe"] = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    volumes = [{"name": "runs", "hostPath": {"path": str(node.work / "runs")}}, {"name": "data", "emptyDir": {"medium": "Memory"}}]
    if host_path:
        volumes.append({"name": "more", "hostPath": {"path": str(host_path)}})
        container["volumeMounts"].append({"name": "more", "mountPath": "/more"})
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "nodeName": node.name, "restartPolicy": policy, "terminationGracePeriodSeconds": 5, "containers": [container],
        "automountServiceAccountToken": False, "volumes": volumes}})


def is_ready(status):
    return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", []))


class Judge:
    """Of one pod: what may not come after what was seen."""

    def __init__(self, first):
        self.name, self.faults = first["metadata"]["name"], []
        self.phase, self.counts, self.seen, self.was_ready = "Pending", {}, {}, False

    def fault(self, text):
        self.faults.append(f"{self.name}: {text}")

    def once(self, key, value, what):
        """A value that does not change any more."""
        if value is not None and self.seen.setdefault(key, value) != value:
            self.fault(f"{what} was {self.seen[key]} and is {value}")

    def look(self, seen):
        status, phase = seen.get("status", {}), seen.get("status", {}).get("phase", "Pending")
        if PHASES[phase] < PHASES[self.phase] or PHASES[self.phase] == 2 and phase != self.phase:
            self.fault(f"its phase was {self.phase} and is {phase}")
        self.phase = phase
        self.once("start", status.get("startTime"), "its startTime")
        for container in status.get("containerStatuses", []):
            name, count = container["name"], container["restartCount"]
            if count < self.counts.get(name, 0):
                self.fault(f"restartCount of {name} was {self.counts[name]} and is {count}")
            self.counts[name] = count
            for state in (container["state"], container.get("lastState", {})):
                for kind, value in state.items():
                    if kind == "waiting":
                        continue
                    of = value.get("containerID", container.get("containerID"))
                    for field in ("startedAt", "finishedAt", "exitCode"):
                        self.once((of, field), value.get(field), f"{field} of {of}")
        ready, is_ending = is_ready(status), "deletionTimestamp" in seen["metadata"]
        if self.was_ready and not ready and not is_ending and seen["spec"]["restartPolicy"] == "Always":
            self.fault(f"it was ready and is not: {json.dumps(status.get('conditions'))}")
        self.was_ready = ready


class Watcher(threading.Thread):
    """Follows all pods by kubectl, as a user does."""

    def __init__(self, control):
        super().__init__(daemon=True)
        self.changed = threading.Condition()
        self.judges, self.pods, self.gone, self.events, self.end = {}, {}, set(), 0, None
        self.process = subprocess.Popen(control.kubectl_command("get", "pods", "--watch", "--output-watch-events", "-o", "json"),
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.join()

    def run(self):
        decoder, text = json.JSONDecoder(), ""
        try:
            for line in self.process.stdout:
                text += line
                if line.startswith(" ") or line == "{\n":  # of one that is written in many lines
                    continue
                event, text = decoder.decode(text), ""
                with self.changed:
                    self.take(event["type"], event["object"])
                    self.changed.notify_all()
        except Exception as error:  # pylint: disable=broad-except
            text = f"{error!r} in {text}"
        with self.changed:
            self.end = f"the watch has ended: {text}"
            self.changed.notify_all()

    def take(self, kind, seen):
        uid = seen["metadata"]["uid"]
        self.events += 1
        self.judges.setdefault(uid, Judge(seen)).look(seen)
        if kind == "DELETED":
            self.pods.pop(seen["metadata"]["name"], None)
            self.gone.add(uid)
        else:
            self.pods[seen["metadata"]["name"]] = seen

    def wait(self, what, holds):
        with self.changed:
            if not self.changed.wait_for(lambda: holds() or self.end, LIMIT * c.slowness) or self.end:
                raise c.Failure(f"{what}: {self.end or 'not in time'}")

    def wait_for(self, name, wanted):
        def holds():
            status = self.pods.get(name, {}).get("status", {})
            return is_ready(status) if wanted == "Ready" else status.get("phase") == wanted
        self.wait(f"{name} is {wanted}", holds)

    def faults(self):
        return [fault for judge in self.judges.values() for fault in judge.faults]


class Churn:
    """with Churn(node, control, seed) as churn: ... Inside, pods come and go, and others are made by create() and delete(). Afterwards
    faults() has what was wrong."""

    def __init__(self, node, control, seed, workers=WORKERS):
        self.node, self.control, self.seed = node, control, seed
        self.over, self.errors, self.done = False, [], collections.Counter()
        self.kinds, self.cut_short = {}, set()  # by uid
        self.runs = node.work / "runs"
        self.runs.mkdir(exist_ok=True)
        self.watcher = Watcher(control)
        self.workers = [threading.Thread(target=self.work, args=(number,)) for number in range(workers)]

    def __enter__(self):
        self.watcher.start()
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.watcher.process.kill()  # who waits for something there does not any more
        self.finish()
        self.watcher.__exit__()

    def finish(self):
        """Returns when the pods that come and go have gone."""
        self.over = True
        for worker in self.workers:
            worker.join()

    def kubectl(self, *words, given=None):
        done = self.control.kubectl(*words, given=given, limit=LIMIT)
        if done.returncode:
            raise c.Failure(f"kubectl {' '.join(words)}: {done.stderr}")
        return done.stdout

    def create(self, name, kind, host_path=None):
        text = self.kubectl("create", "-o", "json", "-f", "-", given=pod(self.node, name, kind, host_path))
        uid = json.loads(text)["metadata"]["uid"]
        self.kinds[uid] = kind
        return uid

    def delete(self, name, uid):
        self.kubectl("delete", "pod", name, "--wait=false")
        self.watcher.wait(f"{name} is gone", lambda: uid in self.watcher.gone)

    def work(self, number):
        chance, count = random.Random(self.seed + number), 0
        try:
            while not self.over:
                kind, count = chance.choice(list(KINDS)), count + 1
                name = f"{kind}-{number}-{count}"
                uid = self.create(name, kind)
                if chance.random() < 0.3:
                    self.cut_short.add(uid)
                    time.sleep(chance.random() / 2)  # at any moment of its beginning
                else:
                    self.watcher.wait_for(name, KINDS[kind][3])
                self.delete(name, uid)
                self.done[kind] += 1
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(f"worker {number}: {error!r}")

    def faults(self):
        found = self.errors + self.watcher.faults()
        for uid, kind in self.kinds.items():
            folder, wanted = self.runs / uid, KINDS[kind][2]
            starts = len(list(folder.iterdir())) if folder.exists() else 0
            if starts > wanted or starts < wanted and uid not in self.cut_short:
                found.append(f"a pod of the kind {kind} has run {starts} times: {uid}")
        return found


def kill_often(node, kills, seed):
    """SIGKILL of gantryd at any moment of its life, from its start on."""
    chance, killed = random.Random(seed), set()
    for kill in range(kills):
        # Of the supervisor, which holds one back that has ended at once five times in a row.
        time.sleep(chance.random() * 1.5 + (2 if kill % 4 == 3 else 0))
        killed.add(node.kill_gantryd())
        if kill % 100 == 99:
            c.log(f"{kill + 1} kills")
    return killed
