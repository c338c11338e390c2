# SPDX-License-Identifier: Apache-2.0
"""Nodes that are objects only and that the test plays, over the API alone: they say that they live, and what is bound to them runs and
is Ready at once, or ends at once when it is to. For stories of controllers, which need no more of a node."""
import contextlib
import datetime
import http.client
import json
import ssl
import threading
import urllib.parse

import checks as c

HEARTBEAT = 5.0
ROOM = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "100Gi", "pods": "110"}


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_ready(pod):
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))


def is_ending(pod):
    return "deletionTimestamp" in pod["metadata"]


class Api:
    """The API as its administrator, on one connection that is made again when it breaks. One thread's."""

    def __init__(self, control):
        self.url = urllib.parse.urlsplit(control.url)
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.context.load_cert_chain(*control.administrator())
        self.connection = None

    def ask(self, method, path, body=None, kind="application/json"):
        """(status, object). OSError or HTTPException when there is no answer."""
        try:
            if self.connection is None:
                self.connection = self.connect()
            self.connection.request(method, path, body and json.dumps(body), {"Content-Type": kind, "Accept": "application/json"})
            answer = self.connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def watch(self, path):
        """Events from what there is now on, until the server ends it."""
        connection = self.connect()
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            while line := answer.readline():
                yield json.loads(line)
        finally:
            connection.close()

    def connect(self):
        return http.client.HTTPSConnection(self.url.hostname, self.url.port, context=self.context, timeout=c.PATIENCE)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class PlayedNodes:
    """with PlayedNodes(control) as nodes: nodes.add("a"). `becomes_ready(pod)` says which pods do; after it says another thing, again()
    has all of them looked at. `ends(pod)` says which pods that are deleted go. `seen(pods)` is called with all pods by their uid,
    whenever one of them changed, in the order in which that happened; what it returns, when it is no None, is kept in `remarks`."""

    def __init__(self, control, becomes_ready=lambda pod: True, ends=lambda pod: True, seen=lambda pods: None):
        self.control, self.becomes_ready, self.ends, self.seen = control, becomes_ready, ends, seen
        self.names, self.remarks, self.failure, self.pods = [], [], None, {}
        self.ended, self.lock = threading.Event(), threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(each,), daemon=True) for each in (self.beat, self.run)]

    def __enter__(self):
        self.api = Api(self.control)
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join(1)
        if self.failure is not None and _[0] is None:
            raise c.Failure(f"the played nodes: {self.failure!r}")

    def work(self, what):
        """Goes on while the control plane is away."""
        api = Api(self.control)
        while not self.ended.is_set():
            try:
                what(api)
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                self.ended.wait(0.1)
            except Exception as error:  # pylint: disable=broad-except
                self.failure = error
                return

    def beat(self, api):
        for name in list(self.names):
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
                     "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now().replace("Z", ".000000Z")}}
            api.ask("PATCH", f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}?fieldManager=test&force=true",
                    lease, "application/apply-patch+yaml")
        self.ended.wait(HEARTBEAT)

    def add(self, name, labels=None, taints=()):
        self.names.append(name)
        status, answer = self.api.ask("POST", "/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
            "spec": {"taints": list(taints)},
            "status": {"capacity": ROOM, "allocatable": ROOM,
                       "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}})
        if status != 201:
            raise c.Failure(f"node {name}: {answer}")

    def remove(self, name):
        self.names.remove(name)
        self.control.out("delete", "node", name)

    def run(self, api):
        """Plays what there is and what comes, as long as the watch lasts."""
        _, found = api.ask("GET", "/api/v1/pods")
        with self.lock:
            self.pods = {pod["metadata"]["uid"]: pod for pod in found["items"]}
            self.remark()
        for pod in found["items"]:
            self.play(api, pod)
        for event in api.watch(f"/api/v1/pods?watch=true&resourceVersion={found['metadata']['resourceVersion']}"):
            if self.ended.is_set() or event["type"] == "ERROR":
                return
            pod = event["object"]
            with self.lock:
                if event["type"] == "DELETED":
                    self.pods.pop(pod["metadata"]["uid"], None)
                else:
                    self.pods[pod["metadata"]["uid"]] = pod
                self.remark()
            if event["type"] != "DELETED":
                self.play(api, pod)

    def remark(self):
        remark = self.seen(self.pods)
        if remark is not None:
            self.remarks.append(remark)

    def again(self):
        with self.lock:
            pods = list(self.pods.values())
        for pod in pods:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.play(self.api, pod)

    def play(self, api, pod):
        if pod["spec"].get("nodeName", "") not in self.names:
            return
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if is_ending(pod):
            if self.ends(pod):
                api.ask("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}})
        elif pod["status"].get("phase") in ("Pending", "Running") and not is_ready(pod) and self.becomes_ready(pod):
            condition = {"type": "Ready", "status": "True", "lastTransitionTime": now()}
            api.ask("PATCH", f"{path}/status", {"metadata": {"uid": metadata["uid"]},
                                                "status": {"phase": "Running", "conditions": [condition]}},
                    "application/strategic-merge-patch+json")

    def fail(self, name, namespace="default"):
        """A pod of that name fails, for good."""
        status, answer = self.api.ask("PATCH", f"/api/v1/namespaces/{namespace}/pods/{name}/status",
                                      {"status": {"phase": "Failed"}}, "application/strategic-merge-patch+json")
        if status != 200:
            raise c.Failure(f"pod {name}: {answer}")
