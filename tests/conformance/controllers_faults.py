#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# faults
# limit: 3600
"""Two servers over one etcd, whose controllers and scheduler one of them runs: while workloads of every kind change at random, that one is
killed, stands still and goes on, or is cut off from etcd (--rounds, --seed). A third server without controllers is asked how things are.

- No pod is there twice: jobs, which all succeed, have as many pods as they want; a StatefulSet's and a DaemonSet's place has one; a
  Deployment never more than its size and maxSurge allow, by the history that the nodes have seen.
- Nothing is forgotten: at the end all is as it was last asked for.
- A lease changes hands only when its holder has let it end, or has given it up; and who does not hold it begins no write.
- Each write of theirs, by the servers' audit logs, bears a precondition or a name of its own."""
import argparse
import contextlib
import http.client
import json
import pathlib
import random
import signal
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import fencing
from played_jobs import JobNodes, job
from played_nodes import is_ending, is_ready
from servers import server
from severed import Way
from stores import Etcd

NODES = ["n1", "n2", "n3"]
SURGE, MOST, REPLICAS = 2, 6, 3
TAKEOVER = 4 * c.PATIENCE
SETTLED = 6 * c.PATIENCE
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    return parser.parse_args()


def workload(kind, name, **spec):
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}}, **spec, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": "my-app:1"}]}}}}


def first_objects():
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
                                                    "resources": {"requests": {"storage": "1Gi"}}}}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": SURGE, "maxUnavailable": 1}}
    volumes = [{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"by-hand-{i}"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
        "hostPath": {"path": f"/nowhere/{i}"}}} for i in range(MOST)]
    return [*volumes, *(workload("Deployment", name, replicas=2, strategy=rolling) for name in ("web", "other", "scaled")),
            workload("StatefulSet", "state", replicas=2, serviceName="web", volumeClaimTemplates=[claim]), workload("DaemonSet", "daemon"),
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
             "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}},
            {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "all"}, "spec": {"hard": {"pods": "1000"}}},
            {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
             "spec": {"selector": {"matchLabels": {"app": "web"}}, "maxUnavailable": 1}},
            {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "scaled"}, "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"}, "minReplicas": 1, "maxReplicas": MOST,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}},
            {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "cron"}, "spec": {
                "schedule": "* * * * *", "concurrencyPolicy": "Forbid", "successfulJobsHistoryLimit": 100,
                "jobTemplate": {"spec": job("", "0", completions=2)["spec"]}}}]


class History:
    """Of all pods, as the nodes see them; remarks are what should not be."""

    def __init__(self):
        self.of_jobs, self.said = {}, set()

    def __call__(self, pods):
        live, places = {}, {}
        for uid, pod in pods.items():
            labels = pod["metadata"].get("labels", {})
            if "job-name" in labels:
                self.of_jobs.setdefault(labels["job-name"], set()).add(uid)
            elif not is_ending(pod):
                app = labels.get("app")
                live[app] = live.get(app, 0) + 1
                if app == "daemon":
                    places.setdefault(daemon_node(pod), []).append(pod["metadata"]["name"])
        wrong = [f"{app} has {live[app]} pods" for app in ("web", "other", "scaled") if live.get(app, 0) > MOST + SURGE]
        wrong += [f"{node} has {sorted(names)}" for node, names in places.items() if len(names) > 1]
        new = [each for each in wrong if each not in self.said]
        self.said.update(new)
        return new or None


def daemon_node(pod):
    terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return terms[0]["matchFields"][0]["values"][0]


class Lease(threading.Thread):
    """Follows a lease: (version, spec) of each change."""

    def __init__(self, nodes, name):
        super().__init__(daemon=True)
        self.nodes, self.name, self.changes, self.failure = nodes, name, [], None

    def run(self):
        while not self.nodes.ended.is_set():
            try:
                self.follow()
            except (OSError, http.client.HTTPException, ValueError):
                self.nodes.ended.wait(0.1)
            except Exception as error:
                self.failure = error
                return

    def follow(self):
        asked = f"{LEASE}?fieldSelector=metadata.name%3D{self.name}"
        since = self.changes[-1][0] if self.changes else self.nodes.request("GET", asked)["metadata"]["resourceVersion"]
        with self.nodes.open("GET", f"{asked}&watch=true&resourceVersion={since}") as lines:
            for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise c.Failure(f"the history of the lease is not whole: {event['object']}")
                self.changes.append((int(event["object"]["metadata"]["resourceVersion"]), event["object"]["spec"]))

    def judge(self, checks):
        if self.failure is not None:
            raise self.failure
        wrong, before, hands = [], None, 0
        for version, spec in list(self.changes):
            holder = spec.get("holderIdentity")
            if before and holder and before.get("holderIdentity") and holder != before["holderIdentity"]:
                hands += 1
                if fencing.moment(spec["acquireTime"]) < fencing.moment(before["renewTime"]) + before["leaseDurationSeconds"]:
                    wrong.append(f"{version}: {holder} took it from {before}: {spec}")
            before = spec
        c.log(f"{self.name} was renewed {len(self.changes)} times and changed hands {hands} times")
        # The scheduler may work in the other server, which is hurt for the controllers' sake alone.
        checks.ok((hands or self.name == "kube-scheduler") and not wrong, f"{self.name} changes hands when its holder's time is over", "\n".join(wrong))


    def terms(self, log):
        """When a process of that log had the lease, as long as nobody else could take it."""
        found = []
        for _, spec in list(self.changes):
            holder = spec.get("holderIdentity")
            if holder and f'identity="{holder}"' in log:
                found.append((fencing.moment(spec["acquireTime"]), fencing.moment(spec["renewTime"]) + spec["leaseDurationSeconds"]))
        return found


class Churn(threading.Thread):
    """Changes what is wanted, at random, and knows it. It asks a server that nobody hurts."""

    def __init__(self, control, seed):
        super().__init__(daemon=True)
        self.control, self.chance, self.stops, self.failure = control, random.Random(seed), threading.Event(), None
        self.image, self.size, self.jobs, self.count = {}, {"web": 2, "other": 2, "state": 2}, {}, 0

    def run(self):
        try:
            while not self.stops.wait(0.3):
                self.step()
        except Exception as error:
            self.failure = error

    def step(self):
        self.count += 1
        chance = self.chance
        what = chance.choice(("image", "image", "scale", "job", "bounds", "evict"))
        if what == "image":
            kind, name = chance.choice((("deployment", "web"), ("deployment", "other"), ("statefulset", "state"), ("daemonset", "daemon")))
            self.control.out("set", "image", f"{kind}/{name}", f"main=my-app:{self.count}")
            self.image[name] = f"my-app:{self.count}"
        elif what == "scale":
            kind, name = chance.choice((("deployment", "web"), ("deployment", "other"), ("statefulset", "state")))
            size = chance.randint(1, MOST if kind == "deployment" else REPLICAS)
            self.control.out("scale", f"{kind}/{name}", f"--replicas={size}")
            self.size[name] = size
        elif what == "job" and len(self.jobs) < 40:
            name, completions = f"job-{self.count}", chance.randint(1, 5)
            made = job(name, "0", completions=completions, parallelism=chance.randint(1, 3),
                       completionMode=chance.choice(("Indexed", "NonIndexed")))
            self.control.out("create", "-f", "-", given=json.dumps(made))
            self.jobs[name] = completions
        elif what == "bounds":
            self.control.out("patch", "hpa", "scaled", "-p", json.dumps({"spec": {"minReplicas": chance.randint(1, MOST)}}))
        elif what == "evict":
            self.control.kubectl("delete", "pods", "-l", f"app={chance.choice(('web', 'other', 'daemon'))}", "--wait=false",
                                 "--field-selector", f"spec.nodeName={chance.choice(NODES)}")


class Story:
    def __init__(self, checks, asked, servers, ways, judge, nodes):
        self.checks, self.chance, self.rounds = checks, random.Random(asked.seed), asked.rounds
        self.servers, self.ways, self.judge, self.nodes = servers, ways, judge, nodes
        self.leases = [Lease(nodes, name) for name in ("kube-controller-manager", "kube-scheduler")]
        self.churn = Churn(judge, asked.seed)

    def holder(self):
        done = self.judge.kubectl("get", "lease", "-n", "kube-system", "kube-controller-manager", "-o", "jsonpath={.spec.holderIdentity}")
        return done.stdout

    def leader(self):
        """The server whose controllers say that they work under the name that the lease has."""
        def look():
            name = self.holder()
            found = [i for i, each in enumerate(self.servers) if name and f'identity="{name}"' in each.log()]
            return (found[0], name) if found else None
        return c.wait_until("one of them leads", look, limit=TAKEOVER, pause=0.2)

    def hurt(self):
        which, name = self.leader()
        hurt, kind = self.servers[which], self.chance.choice(("kill", "stop", "cut"))
        c.log(f"round: {kind} server {which}, which leads as {name}, after {self.churn.count} changes")
        if kind == "kill":
            hurt.kill()
        elif kind == "stop":
            hurt.process.send_signal(signal.SIGSTOP)
        else:
            self.ways[which].cut()
        try:
            c.wait_until("another one leads", lambda: self.holder() not in ("", name), limit=TAKEOVER, pause=0.2)
        finally:
            if kind == "stop":
                hurt.process.send_signal(signal.SIGCONT)
            self.ways[which].mend()
        if kind == "kill":
            hurt.start()
        else:
            c.wait_until("who was hurt is well again", hurt.is_ready, limit=TAKEOVER, pause=0.2)

    def tell(self):
        self.judge.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": first_objects()}))
        for lease in self.leases:
            lease.start()
        self.churn.start()
        for _ in range(self.rounds):
            before = self.churn.count
            c.wait_until("things change", lambda: self.churn.count >= before + 5 or self.churn.failure, limit=TAKEOVER)
            self.hurt()
        self.churn.stops.set()
        self.churn.join(c.PATIENCE)
        if self.churn.failure:
            raise self.churn.failure
        self.judge.out("patch", "cronjob", "cron", "-p", '{"spec": {"suspend": true}}')

    def until(self, what, holds):
        c.wait_until(what, holds, limit=SETTLED, pause=0.3)
        self.checks.ok(True, what)

    def ready(self, name):
        return [pod for pod in self.judge.json("get", "pods", "-l", f"app={name}")["items"] if is_ready(pod) and not is_ending(pod)]

    def settled(self, name, size):
        pods = self.judge.json("get", "pods", "-l", f"app={name}")["items"]
        image = self.churn.image.get(name, "my-app:1")
        return len(pods) == size and all(
            is_ready(pod) and not is_ending(pod) and pod["spec"]["containers"][0]["image"] == image for pod in pods)

    def is_scaled(self):
        size = self.judge.json("get", "deployment", "scaled")["spec"]["replicas"]
        return size >= self.judge.json("get", "hpa", "scaled")["spec"]["minReplicas"] and self.settled("scaled", size)

    def finished(self):
        jobs = {each["metadata"]["name"]: each for each in self.judge.json("get", "jobs")["items"]}
        cron = [name for name in jobs if name.startswith("cron-")]
        wanted = {**self.churn.jobs, **{name: 2 for name in cron}}
        done = {name for name, each in jobs.items() if any(
            one["type"] == "Complete" and one["status"] == "True" for one in each["status"].get("conditions") or [])}
        return wanted if set(wanted) <= done else None

    def end(self):
        churn = self.churn
        for name, size in churn.size.items():
            self.until(f"{name} is as it was last asked for", lambda name=name, size=size: self.settled(name, size))
        self.until("so is the DaemonSet", lambda: self.settled("daemon", len(NODES)))
        self.until("the autoscaler's bounds hold", self.is_scaled)
        c.wait_until("all jobs are complete", self.finished, limit=SETTLED, pause=0.3)
        wanted = self.finished()
        self.checks.ok(True, f"{len(wanted)} jobs are complete")
        self.until("claims of pods are bound", lambda: all(
            self.judge.json("get", "pvc", f"data-state-{i}")["status"]["phase"] == "Bound" for i in range(churn.size["state"])))
        self.until("the quota counts what there is", lambda: self.judge.json("get", "quota", "all")["status"]["used"]["pods"] == str(len([
            pod for pod in self.judge.json("get", "pods")["items"] if pod["status"]["phase"] not in ("Succeeded", "Failed")])))
        self.until("the budget does, too", lambda: (lambda status: (status["expectedPods"], status["currentHealthy"]) == (
            churn.size["web"],) * 2)(self.judge.json("get", "pdb", "web")["status"]))
        self.until("the service leads to its pods", lambda: len([
            each for one in self.judge.json("get", "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
            for each in one["endpoints"] or [] if each["conditions"]["ready"]]) == churn.size["web"])
        self.nodes.caught_up()
        seen = self.nodes.seen.of_jobs
        self.checks.equal({name: len(seen.get(name, ())) for name in wanted}, wanted, "a job has as many pods as it wants, and no more")
        self.checks.equal(self.nodes.remarks, [], "no pod was there twice")
        self.judge.out("create", "namespace", "short")
        self.judge.out("create", "configmap", "-n", "short", "one")
        self.judge.out("delete", "namespace", "short", "--wait=false")
        self.until("a namespace goes", lambda: self.judge.kubectl("get", "namespace", "short").returncode)
        for lease in self.leases:
            lease.judge(self.checks)


class Nodes(JobNodes):
    count = 0

    def say(self, pod, phase, ready):
        super().say(pod, phase, ready)
        self.count += 1
        self.tell(pod["metadata"]["name"], f"10.200.{self.count // 250}.{self.count % 250 + 1}")


def story(checks):
    asked = options()
    c.log(f"seed {asked.seed}")
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gantry-etcd-")))
        cluster = stack.enter_context(Etcd(folder))
        ways = [stack.enter_context(Way(int(cluster.clients[0].rsplit(":", 1)[1]))) for _ in range(2)]
        servers, logs = [], []
        for number, way in enumerate(ways):
            audited, path = fencing.arguments(folder, f"server-{number}")
            logs.append(path)
            servers.append(stack.enter_context(
                server(checks, f"etcd:http://127.0.0.1:{way.port}", number, servers[0] if servers else None, audited)))
        judge = stack.enter_context(server(checks, cluster.store, 2, servers[0], ["--controllers=-*", "--scheduler=false"]))
        nodes = stack.enter_context(Nodes(judge))
        nodes.seen = History()
        for node in NODES:
            nodes.add(node, room={"pods": "200"})
        told = Story(checks, asked, servers, ways, judge, nodes)
        told.tell()
        told.end()
        writes = [fencing.read(path) for path in logs]
        late = [each for control, own in zip(servers, writes) for each in fencing.late(
            own, {lease.name: lease.terms(control.log()) for lease in told.leases})]
        checks.equal(late, [], "who does not hold a lease begins no write that needs it")
        fencing.judge(checks, [write for own in writes for write in own])


c.main(story)
