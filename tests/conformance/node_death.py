#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 1800
# long
"""A node that says nothing any more, over nodes that the test plays: what is on it moves in Kubernetes' time, which the pods' tolerations say,
and nothing that may be there once is there twice: pods of a StatefulSet wait until somebody says that the node is out of service."""
import datetime
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import fencing
from control import Control
from played_nodes import PlayedNodes, is_ending, is_ready

NODES = ["n1", "n2", "n3"]
# Upstream's default --node-monitor-grace-period.
GRACE = 50
PATIENT = 5
# The grace, a turn of its zone's pace, and the toleration.
LIMIT = 5 * c.PATIENCE


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def workload(kind, name, tolerations=(), **spec):
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}}, **spec, "template": {"metadata": {"labels": {"app": name}}, "spec": {
            "tolerations": list(tolerations), "terminationGracePeriodSeconds": 1,
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                                           "labelSelector": {"matchLabels": {"app": name}}}],
            "containers": [{"name": "main", "image": "my-app:1"}]}}}}


class Twice:
    """What the nodes have seen: a place of the StatefulSet is the same pod until that is gone."""

    def __init__(self):
        self.moved = []

    def __call__(self, pods):
        names = [pod["metadata"]["name"] for pod in pods.values() if pod["metadata"].get("labels", {}).get("app") == "state"]
        return f"there are {names}" if len(names) != len(set(names)) else None


class Story:
    def __init__(self, checks, control, nodes):
        self.checks, self.control, self.nodes = checks, control, nodes

    def until(self, what, holds):
        found = c.wait_until(what, holds, limit=LIMIT, pause=0.2)
        self.checks.ok(True, what)
        return found

    def pods(self, app):
        return self.control.json("get", "pods", "-l", f"app={app}")["items"]

    def ready(self, app):
        return [pod for pod in self.pods(app) if is_ready(pod) and not is_ending(pod)]

    def on(self, app, node="n1"):
        return [pod for pod in self.pods(app) if pod["spec"].get("nodeName") == node]

    def taints(self):
        found = self.control.json("get", "node", "n1")["spec"].get("taints") or []
        return {(each["key"].rsplit("/", 1)[1], each["effect"]): each.get("timeAdded") for each in found}

    def begin(self):
        short = [{"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": PATIENT}
                 for why in ("not-ready", "unreachable")]
        wanted = [workload("Deployment", "hasty", short, replicas=3), workload("Deployment", "usual", replicas=3),
                  workload("StatefulSet", "state", short, replicas=3, serviceName="state"), workload("DaemonSet", "daemon")]
        self.control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted}))
        for app in ("hasty", "usual", "state", "daemon"):
            c.wait_until(f"{app} is ready", lambda app=app: len(self.ready(app)) == 3, limit=LIMIT)
            self.checks.equal(len(self.on(app)), 1, f"{app} has a pod on the node")

    def dies(self):
        self.nodes.names.remove("n1")
        # It may just be renewed for the last time.
        before = {app: self.on(app)[0] for app in ("hasty", "usual", "state", "daemon")}
        taints = self.until("the node is unreachable", lambda: (lambda taints: ("unreachable", "NoExecute") in taints and taints)(self.taints()))
        renewed = seconds(self.control.json("get", "lease", "-n", "kube-node-lease", "n1")["spec"]["renewTime"])
        tainted = seconds(taints["unreachable", "NoExecute"])
        # Times of taints are whole seconds.
        self.checks.ok(tainted + 1 >= renewed + GRACE, f"not before it has said nothing for {GRACE} seconds", (tainted, renewed))
        self.until("nothing new comes to it", lambda: ("unreachable", "NoSchedule") in self.taints())
        conditions = {each["type"]: each["status"] for each in self.control.json("get", "node", "n1")["status"]["conditions"]}
        self.checks.equal(conditions["Ready"], "Unknown", "what it is like is unknown")
        self.until("its pods are not ready", lambda: not any(is_ready(self.on(app)[0]) for app in ("usual", "daemon") if self.on(app)))
        self.until("who does not tolerate it for long is elsewhere", lambda: sorted(
            pod["spec"]["nodeName"] for pod in self.ready("hasty")) in (["n2", "n2", "n3"], ["n2", "n3", "n3"]))
        gone = self.on("hasty")[0]
        self.checks.equal(gone["metadata"]["uid"], before["hasty"]["metadata"]["uid"], "what was there is there for as long as nobody says that it ended")
        self.checks.ok(seconds(gone["metadata"]["deletionTimestamp"]) + 1 >= tainted + PATIENT, "it had the time that it tolerates", gone["metadata"])
        target = [each for each in gone["status"]["conditions"] if each["type"] == "DisruptionTarget"]
        self.checks.equal([(each["status"], each["reason"]) for each in target], [("True", "DeletionByTaintManager")], "and says who deleted it")
        usual = self.on("usual")[0]
        self.checks.equal((usual["metadata"]["uid"], is_ending(usual)), (before["usual"]["metadata"]["uid"], False), "others have five minutes")
        tolerated = {each["key"]: each.get("tolerationSeconds") for each in usual["spec"]["tolerations"]}
        self.checks.equal(tolerated.get("node.kubernetes.io/unreachable"), 300, "which their tolerations say")
        daemon = self.on("daemon")[0]
        self.checks.equal((daemon["metadata"]["uid"], is_ending(daemon)), (before["daemon"]["metadata"]["uid"], False), "a DaemonSet's pod stays")
        self.until("a StatefulSet's is told to go", lambda: is_ending(self.on("state")[0]))
        self.checks.equal((len(self.pods("state")), self.on("state")[0]["metadata"]["uid"]), (3, before["state"]["metadata"]["uid"]),
                          "and keeps its place: it may be running")
        return before

    def is_given_up(self, before):
        self.control.out("taint", "node", "n1", "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
        self.until("a node that is out of service loses its pods, and their places are free", lambda: len(self.ready("state")) == 3 and not self.on("state"))
        names = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self.pods("state")}
        self.checks.ok(names[before["state"]["metadata"]["name"]] != before["state"]["metadata"]["uid"], "another pod has the name")
        self.until("so have the others'", lambda: len(self.ready("usual")) == 3 and not self.on("hasty") and not self.on("usual"))

    def comes_back(self):
        self.control.out("taint", "node", "n1", "node.kubernetes.io/out-of-service-")
        self.nodes.names.append("n1")
        self.nodes.renew()
        self.control.out("patch", "node", "n1", "--subresource=status", "-p", json.dumps({"status": {"conditions": [
            {"type": "Ready", "status": "True", "reason": "KubeletReady",
             "lastHeartbeatTime": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}]}}))
        self.until("a node that comes back is as before", lambda: not self.taints())
        self.nodes.again()
        self.until("and has the DaemonSet's pod", lambda: len(self.ready("daemon")) == 3)
        self.nodes.caught_up()
        self.checks.equal(self.nodes.remarks, [], "no place of the StatefulSet was taken twice")


def story(checks):
    control = Control(checks)
    audited, log = fencing.arguments(control.folder, "server")
    control.arguments += audited
    with control, PlayedNodes(control) as nodes:
        nodes.seen = Twice()
        for node in NODES:
            nodes.add(node)
        told = Story(checks, control, nodes)
        told.begin()
        before = told.dies()
        told.is_given_up(before)
        told.comes_back()
        fencing.judge(checks, fencing.read(log))


c.main(story)
