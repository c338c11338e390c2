#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# faults
# limit: 900
"""Two servers over one etcd, and the one whose controllers work stands still in the middle of updates of a StatefulSet and a DaemonSet: the
other brings them to their end; when the first one goes on, it changes nothing any more."""
import json
import pathlib
import signal
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from played_nodes import PlayedNodes, is_ending, is_ready
from servers import server
from stores import Etcd

NODES = ["n1", "n2", "n3"]
# A lease that nobody renews is another's after 15 seconds.
TAKEOVER = 3 * c.PATIENCE


def owner(kind, name, **spec):
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"app": name}}, **spec,
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "my-app:1"}]}}}}


def count(control, what):
    return control.log().count(what)


class Story:
    def __init__(self, checks, control):
        self.checks, self.control = checks, control

    def pods(self, name):
        found = self.control.json("get", "pods", "-l", f"app={name}")["items"]
        return [pod for pod in found if not is_ending(pod)]

    def are(self, image, what):
        """Each node has one pod of the DaemonSet, and the StatefulSet its three, ready and of that image; whose uids are returned."""
        def holds():
            daemons, replicas = self.pods("daemon"), self.pods("state")
            good = all(is_ready(pod) and pod["spec"]["containers"][0]["image"] == image for pod in daemons + replicas)
            return good and sorted(pod["spec"].get("nodeName", "") for pod in daemons) == NODES and sorted(
                pod["metadata"]["name"] for pod in replicas) == ["state-0", "state-1", "state-2"]
        c.wait_until(what, holds, limit=TAKEOVER)
        self.checks.ok(True, what)
        return {pod["metadata"]["uid"] for pod in self.pods("daemon") + self.pods("state")}

    def update(self, image):
        self.control.out("set", "image", "ds/daemon", "sts/state", f"main={image}")
        c.wait_until(f"something is {image}", lambda: any(
            pod["spec"]["containers"][0]["image"] == image for pod in self.pods("daemon") + self.pods("state")))


def still(told, first, second):
    """The first one stands still while it works, and goes on when the second one has done it."""
    told.update("my-app:2")
    first.process.send_signal(signal.SIGSTOP)
    try:
        c.wait_until("the controllers work in the other", lambda: count(second, "the controllers work here"), limit=TAKEOVER)
        uids = told.are("my-app:2", "what was begun is brought to its end by the other")
    finally:
        first.process.send_signal(signal.SIGCONT)
    c.wait_until("the first one knows that it has lost the lease", lambda: count(first, "the lease of the controllers was lost"), limit=TAKEOVER)
    told.checks.equal(told.are("my-app:2", "it goes on, and there is one pod for each place") - uids, set(), "which is the one that was there")


def killed(told, first, second):
    """The second one works now. The first one ends, and comes again, in the middle of an update."""
    told.update("my-app:3")
    first.kill()
    first.start()
    told.are("my-app:3", "the end of one that does not work changes nothing")
    revisions = told.control.json("get", "controllerrevisions", "-l", "app in (daemon,state)")["items"]
    told.checks.equal(sorted(each["revision"] for each in revisions), [1, 1, 2, 2, 3, 3], "each template has one revision")


def story(checks):
    with tempfile.TemporaryDirectory(prefix="gantry-etcd-") as name, Etcd(pathlib.Path(name)) as cluster:
        with server(checks, cluster.store, 0) as first, server(checks, cluster.store, 1, first) as second, PlayedNodes(second) as nodes:
            told = Story(checks, second)
            for node in NODES:
                nodes.add(node)
            wanted = [owner("DaemonSet", "daemon"), owner("StatefulSet", "state", replicas=3, serviceName="state")]
            second.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted}))
            told.are("my-app:1", "the controllers of one server work for clients of the other")
            still(told, first, second)
            killed(told, first, second)


c.main(story)
