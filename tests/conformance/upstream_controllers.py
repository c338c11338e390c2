#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: kube-apiserver kube-scheduler kube-controller-manager
# limit: 3600
# long
"""One tour by kubectl through what controllers and schedulers do, for each pair of an API server and who works for it: ours and ours;
upstream's kube-apiserver and gantry-control --kubeconfig; gantry-control's server and upstream's kube-scheduler and
kube-controller-manager; upstream's and upstream's, by which the tour itself is judged. The nodes are played."""
import argparse
import contextlib
import json
import pathlib
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import fencing
from control import Control, free_port
from played_jobs import JobNodes, job
from played_nodes import is_ending, is_ready
from upstream import WITHOUT_CLAIMS, Upstream, our_controllers, upstream_controllers, upstream_scheduler

NODES = ["n1", "n2", "n3"]
# Upstream's garbage collector looks for new kinds every half minute, its CronJobs are due each minute, and retries grow.
LIMIT = 5 * c.PATIENCE


def workload(kind, name, image="my-app:1", **spec):
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}}, **spec,
        "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": image, "resources": {"requests": {"cpu": "10m"}}}]}}}}


class Nodes(JobNodes):
    """Their pods have addresses, each its own, so that services lead to them."""

    count = 0

    def say(self, pod, phase, ready):
        super().say(pod, phase, ready)
        self.count += 1
        self.tell(pod["metadata"]["name"], f"10.200.{self.count // 250}.{self.count % 250 + 1}", namespace=pod["metadata"]["namespace"])


class Tour:
    def __init__(self, checks, control, nodes):
        self.checks, self.control, self.nodes, self.ns = checks, control, nodes, "tour"

    def kubectl(self, *arguments, given=None):
        return self.control.out("-n", self.ns, *arguments, given=given)

    def json(self, *arguments):
        return json.loads(self.kubectl(*arguments, "-o", "json"))

    def make(self, *documents):
        self.kubectl("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)}))

    def until(self, what, holds):
        c.wait_until(what, holds, limit=LIMIT, pause=0.1)
        self.checks.ok(True, what)

    def gone(self, what):
        return self.control.kubectl("-n", self.ns, "get", what).returncode != 0

    def pods(self, app):
        return [pod for pod in self.json("get", "pods", "-l", f"app={app}")["items"] if not is_ending(pod)]

    def ready(self, app):
        return [pod for pod in self.pods(app) if is_ready(pod)]

    def rollout(self, what):
        done = self.control.kubectl("-n", self.ns, "rollout", "status", what, limit=LIMIT)
        self.checks.ok(not done.returncode, f"{what} is rolled out", done)

    def images(self, app):
        return {pod["spec"]["containers"][0]["image"] for pod in self.pods(app)}

    def events(self, name):
        return {each["reason"] for each in self.json("get", "events")["items"] if each["involvedObject"]["name"] == name}

    def condition(self, what, kind):
        found = [each for each in self.json("get", what)["status"].get("conditions") or [] if each["type"] == kind]
        return (found[0]["status"], found[0].get("reason", "")) if found else None

    def begin(self):
        self.control.out("create", "namespace", self.ns)
        self.until("each namespace has its account and the cluster's CA", lambda: self.control.kubectl(
            "get", "-n", self.ns, "serviceaccount/default", "configmap/kube-root-ca.crt").returncode == 0)
        self.make({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "cron"}, "spec": {
            "schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": job("", "0")["spec"]}}})

    def deployment(self):
        self.make(workload("Deployment", "web", replicas=2), {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}})
        self.rollout("deployment/web")
        self.kubectl("scale", "deployment/web", "--replicas=5")
        self.rollout("deployment/web")
        self.kubectl("set", "image", "deployment/web", "main=my-app:2")
        self.rollout("deployment/web")
        self.until("all pods are of the new template", lambda: (len(self.ready("web")), self.images("web")) == (5, {"my-app:2"}))
        lines = [line.split()[0] for line in self.kubectl("rollout", "history", "deployment/web").splitlines() if line[:1].isdigit()]
        self.checks.equal(lines, ["1", "2"], "the history has both templates")
        self.kubectl("rollout", "undo", "deployment/web")
        self.rollout("deployment/web")
        self.until("what was undone is as before", lambda: self.images("web") == {"my-app:1"})
        self.checks.equal(len(self.json("get", "rs", "-l", "app=web")["items"]), 2, "each template has one ReplicaSet")
        self.kubectl("rollout", "pause", "deployment/web")
        self.until("it is paused", lambda: self.condition("deployment/web", "Progressing") == ("Unknown", "DeploymentPaused"))
        self.kubectl("set", "image", "deployment/web", "main=my-app:3")
        self.kubectl("rollout", "resume", "deployment/web")
        self.rollout("deployment/web")
        self.until("it goes on with what came meanwhile", lambda: self.images("web") == {"my-app:3"})

    def slices(self):
        def led_to():
            found = self.json("get", "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
            return sorted(each["addresses"][0] for one in found for each in one["endpoints"] or [] if each["conditions"]["ready"])

        def wanted():
            return sorted(pod["status"]["podIP"] for pod in self.ready("web") if "podIP" in pod["status"])
        self.until("the service leads to the pods that are ready", lambda: len(led_to()) == 5 and led_to() == wanted())
        self.kubectl("scale", "deployment/web", "--replicas=3")
        self.until("and to fewer when there are fewer", lambda: len(led_to()) == 3 and led_to() == wanted())
        self.until("Endpoints say the same", lambda: sorted(
            each["ip"] for one in self.json("get", "endpoints", "web").get("subsets") or [] for each in one["addresses"]) == wanted())

    def stateful_set(self):
        claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
                                                        "resources": {"requests": {"storage": "1Gi"}}}}
        volumes = [{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"by-hand-{i}"}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": f"/nowhere/{i}"}}} for i in range(3)]
        made = workload("StatefulSet", "state", replicas=3, serviceName="state", volumeClaimTemplates=[claim])
        self.make(*volumes, made)
        self.rollout("statefulset/state")
        self.checks.equal(sorted(pod["metadata"]["name"] for pod in self.ready("state")), ["state-0", "state-1", "state-2"], "each has its name")
        self.checks.equal({each["status"]["phase"] for each in self.json("get", "pvc")["items"]}, {"Bound"}, "claims get the volumes that fit")
        self.kubectl("set", "image", "statefulset/state", "main=my-app:2")
        self.rollout("statefulset/state")
        self.until("each pod is of the new template", lambda: self.images("state") == {"my-app:2"})
        self.kubectl("scale", "statefulset/state", "--replicas=1")
        self.until("the last ones go", lambda: [pod["metadata"]["name"] for pod in self.pods("state")] == ["state-0"])
        self.checks.equal(len(self.json("get", "pvc")["items"]), 3, "claims stay")
        self.kubectl("delete", "pvc", "data-state-0", "--wait=false")
        self.until("a claim in use stays until its pod is gone", lambda: is_ending(self.json("get", "pvc", "data-state-0")))
        self.kubectl("delete", "statefulset", "state")
        self.until("then it goes", lambda: self.gone("pvc/data-state-0"))
        self.until("its volume is released", lambda: [each["status"]["phase"] for each in self.json("get", "pv")["items"]].count("Released") == 1)

    def daemon_set(self):
        self.make(workload("DaemonSet", "daemon"))
        self.rollout("daemonset/daemon")
        self.checks.equal(sorted(pod["spec"]["nodeName"] for pod in self.ready("daemon")), NODES, "each node has one")
        self.nodes.add("n4")
        self.until("a node that comes has one, too", lambda: len(self.ready("daemon")) == 4)
        self.kubectl("set", "image", "daemonset/daemon", "main=my-app:2")
        self.rollout("daemonset/daemon")
        self.until("all are of the new template", lambda: (self.images("daemon"), len(self.ready("daemon"))) == ({"my-app:2"}, 4))
        self.nodes.remove("n4")
        self.until("pods of a node that went go", lambda: sorted(pod["spec"]["nodeName"] for pod in self.pods("daemon")) == NODES)

    def jobs(self):
        self.make(job("good", "0", completions=5, parallelism=2), job("bad", "1", backoffLimit=1),
                  job("indexed", "0,1,0", completions=3, parallelism=3, completionMode="Indexed", backoffLimitPerIndex=0),
                  job("short", "0", ttlSecondsAfterFinished=1), job("stopped", "run", suspend=True))
        self.until("a job completes", lambda: (self.condition("job/good", "Complete") or ("", ""))[0] == "True")
        self.checks.equal(self.json("get", "job", "good")["status"]["succeeded"], 5, "with as many pods as it wants")
        self.until("one whose pods fail fails", lambda: self.condition("job/bad", "Failed") == ("True", "BackoffLimitExceeded"))
        self.until("an index fails alone", lambda: self.json("get", "job", "indexed")["status"].get("failedIndexes") == "1" and self.condition(
            "job/indexed", "Failed") == ("True", "FailedIndexes"))
        self.until("one that lives for a second goes", lambda: self.gone("job/short"))
        self.checks.equal(self.json("get", "pods", "-l", "job-name=stopped")["items"], [], "a suspended one has no pod")
        self.kubectl("patch", "job", "stopped", "-p", '{"spec": {"suspend": false}}')
        self.until("until it goes on", lambda: self.json("get", "job", "stopped")["status"].get("active") == 1)

    def cron(self):
        def of_schedule():
            return [each for each in self.json("get", "jobs")["items"] if each["metadata"]["name"].startswith("cron-")]
        self.until("a CronJob makes its job each minute", lambda: [
            each for each in of_schedule() if each["status"].get("succeeded") == 1])
        self.kubectl("patch", "cronjob", "cron", "-p", '{"spec": {"suspend": true}}')
        self.kubectl("create", "job", "by-hand", "--from=cronjob/cron")
        self.until("one that is made by hand runs", lambda: self.json("get", "job", "by-hand")["status"].get("succeeded") == 1)
        self.kubectl("delete", "cronjob", "cron")
        self.until("jobs go with their CronJob", lambda: not of_schedule())

    def quota(self):
        other = Tour(self.checks, self.control, self.nodes)
        other.ns = "small"
        self.control.out("create", "namespace", other.ns)
        self.until("the small namespace has its account", lambda: self.control.kubectl("get", "-n", other.ns, "serviceaccount/default").returncode == 0)
        other.kubectl("create", "quota", "few", "--hard=pods=2,requests.cpu=1")
        self.until("the quota is known", lambda: other.json("get", "quota", "few")["status"].get("hard"))
        other.make(workload("Deployment", "many", replicas=4))
        self.until("a workload says that the quota is used up", lambda: other.condition("deployment/many", "ReplicaFailure") == ("True", "FailedCreate"))
        self.until("two pods are there", lambda: len(other.ready("many")) == 2)
        self.until("and are counted", lambda: other.json("get", "quota", "few")["status"]["used"] == {"pods": "2", "requests.cpu": "20m"})
        other.kubectl("patch", "quota", "few", "-p", '{"spec": {"hard": {"pods": "10"}}}')
        self.until("with more room all come", lambda: len(other.ready("many")) == 4)
        self.control.out("delete", "namespace", other.ns, "--wait=false")
        self.until("a namespace goes with all that is in it", lambda: self.control.kubectl("get", "namespace", other.ns).returncode != 0)

    def drain(self):
        self.kubectl("create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=3")
        self.until("no pod may leave", lambda: self.json("get", "pdb", "web")["status"].get("disruptionsAllowed") == 0 and self.json(
            "get", "pdb", "web")["status"]["currentHealthy"] == 3)
        pod = self.ready("web")[0]
        path = f"/api/v1/namespaces/{self.ns}/pods/{pod['metadata']['name']}/eviction"
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod["metadata"]["name"], "namespace": self.ns}}
        refused = self.control.kubectl("create", "--raw", path, "-f", "-", given=json.dumps(eviction))
        self.checks.contains(refused.stderr, "disruption budget", "an eviction is refused")
        self.kubectl("scale", "deployment/web", "--replicas=4")
        self.until("one more pod, and one may leave", lambda: self.json("get", "pdb", "web")["status"]["disruptionsAllowed"] == 1)
        done = self.control.kubectl("drain", pod["spec"]["nodeName"], "--ignore-daemonsets", "--force", "--delete-emptydir-data", limit=LIMIT)
        self.checks.ok(not done.returncode, "a drain goes through, one pod after the other", done)
        self.until("the pods are elsewhere", lambda: len(self.ready("web")) == 4 and pod["spec"]["nodeName"] not in {
            each["spec"]["nodeName"] for each in self.ready("web")})
        self.control.out("uncordon", pod["spec"]["nodeName"])

    def autoscaler(self):
        self.kubectl("autoscale", "deployment/web", "--min=2", "--max=6", "--cpu-percent=50")
        self.until("an autoscaler finds its target", lambda: self.condition("hpa/web", "AbleToScale") == ("True", "SucceededGetScale"))
        self.until("and says that there are no metrics", lambda: self.condition("hpa/web", "ScalingActive") == ("False", "FailedGetResourceMetric"))
        self.kubectl("scale", "deployment/web", "--replicas=1")
        self.until("its bounds hold without", lambda: self.json("get", "deployment", "web")["spec"]["replicas"] == 2)
        self.kubectl("delete", "hpa", "web")

    def owners(self):
        for mode in ("orphan", "foreground", "background"):
            self.make(workload("Deployment", mode, replicas=2))
            self.rollout(f"deployment/{mode}")
        uids = {pod["metadata"]["uid"] for pod in self.ready("orphan")}
        self.kubectl("delete", "deployment", "orphan", "--cascade=orphan")
        self.until("orphans have no owner", lambda: [
            each["metadata"].get("ownerReferences") for each in self.json("get", "rs", "-l", "app=orphan")["items"]] == [None])
        self.checks.equal({pod["metadata"]["uid"] for pod in self.pods("orphan")}, uids, "and stay")
        self.make(workload("Deployment", "orphan", replicas=2))
        self.rollout("deployment/orphan")
        self.checks.equal({pod["metadata"]["uid"] for pod in self.pods("orphan")}, uids, "a new owner takes them")
        self.kubectl("delete", "deployment", "foreground", "--cascade=foreground")
        self.checks.equal(self.json("get", "rs,pods", "-l", "app=foreground")["items"], [], "in the foreground what is owned goes first")
        self.kubectl("delete", "deployment", "background", "--cascade=background")
        self.until("in the background it goes, too", lambda: not self.json("get", "rs,pods", "-l", "app=background")["items"])

    def refusals(self):
        """What cannot be is refused, or told by an event."""
        wrong = workload("Deployment", "wrong")
        wrong["spec"]["selector"] = {"matchLabels": {"app": "another"}}
        done = self.control.kubectl("-n", self.ns, "create", "-f", "-", given=json.dumps(wrong))
        self.checks.contains(done.stderr, "`selector` does not match template `labels`", "a template that its selector does not find is refused")
        large = workload("Deployment", "large", replicas=1)
        large["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1000"}}
        self.make(large)
        self.until("a pod that fits nowhere says so", lambda: [pod for pod in self.pods("large") if "FailedScheduling" in self.events(
            pod["metadata"]["name"])])

    def go(self):
        self.begin()
        for part in (self.deployment, self.slices, self.stateful_set, self.daemon_set, self.jobs, self.quota, self.drain, self.autoscaler,
                     self.owners, self.refusals, self.cron):
            part()
        self.control.out("delete", "namespace", self.ns, "--wait=false")
        self.until("the namespace of the tour goes", lambda: self.control.kubectl("get", "namespace", self.ns).returncode != 0)


def leases(control):
    found = control.json("get", "leases", "-n", "kube-system")["items"]
    return {each["metadata"]["name"] for each in found if each["spec"].get("holderIdentity")} & {"kube-controller-manager", "kube-scheduler"}


def ours(checks, stack):
    """At the end its audit log tells of all that was written on the way."""
    control = Control(checks)
    audited, log = fencing.arguments(control.folder, "server")
    control.arguments += audited
    stack.enter_context(control)
    stack.callback(lambda: fencing.judge(checks, fencing.read(log)))
    return control


def ours_on_theirs(checks, stack):
    theirs, port = stack.enter_context(Upstream(checks)), free_port()
    stack.enter_context(our_controllers(checks, theirs, port))

    def answer(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=c.PATIENCE) as answered:
            return answered.read().decode()
    c.wait_until("/healthz says ok", lambda: said(answer, "/healthz") == "ok")
    checks.ok(True, "/healthz says ok")
    c.wait_until("/metrics tells of its queues", lambda: "workqueue_depth" in answer("/metrics"))
    checks.ok(True, "/metrics tells of its queues")
    return theirs


def said(answer, path):
    """None as long as nobody listens."""
    try:
        return answer(path).strip()
    except OSError:
        return None


def theirs_on_ours(checks, stack):
    control = Control(checks, ["--controllers=-*", "--scheduler=false"])
    control.settle = lambda: None  # nobody works yet
    stack.enter_context(control)
    stack.enter_context(upstream_controllers(checks, control, control.data / "pki/ca.crt", *WITHOUT_CLAIMS))
    stack.enter_context(upstream_scheduler(checks, control, *WITHOUT_CLAIMS))
    return control


def theirs(checks, stack):
    control = stack.enter_context(Upstream(checks))
    stack.enter_context(upstream_controllers(checks, control, control.ca))
    stack.enter_context(upstream_scheduler(checks, control))
    return control


PAIRS = {"ours-ours": ours, "theirs-ours": ours_on_theirs, "ours-theirs": theirs_on_ours, "theirs-theirs": theirs}


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", action="append", choices=PAIRS, help="SERVER-CONTROLLERS; without it all of them")
    return parser.parse_args()


def story(checks):
    for name in options().pair or PAIRS:
        checks.label = f"{name}: "
        with contextlib.ExitStack() as stack:
            control = PAIRS[name](checks, stack)
            nodes = stack.enter_context(Nodes(control))
            for node in NODES:
                nodes.add(node)
            Tour(checks, control, nodes).go()
            checks.equal(leases(control), {"kube-controller-manager", "kube-scheduler"}, "who works holds upstream's leases")


c.main(story)
