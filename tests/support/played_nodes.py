# SPDX-License-Identifier: Apache-2.0
"""Hollow nodes on which pods run: what is bound to them is Ready at once, and ends at once when it is to. For stories of controllers,
which need no more of a node."""
import http.client
import json
import threading
import urllib.error

import checks as c
from hollow_nodes import HollowNodes, now


def is_ready(pod):
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))


def is_ending(pod):
    return "deletionTimestamp" in pod["metadata"]


def image_of(pod):
    return pod["spec"]["containers"][0]["image"]


def of_app(pods, name):
    """Of pods by their uid."""
    return [pod for pod in pods.values() if pod["metadata"].get("labels", {}).get("app") == name]


def path_of(pod):
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


class PlayedNodes(HollowNodes):
    """with PlayedNodes(control) as nodes: nodes.add("a"). `becomes_ready(pod)` says which pods do, and `ends(pod)` which of those that
    are deleted go; when they say another thing, again() has all pods looked at. `seen(pods)` is called with all pods by their uid whenever
    one of them changed, in the order in which that happened; what it returns, when it is no None, is kept in `remarks`."""

    def __init__(self, control):
        super().__init__(control)
        self.becomes_ready = self.ends = lambda pod: True
        self.seen = lambda pods: None
        self.pods, self.remarks, self.failure, self.lock = {}, [], None, threading.Lock()
        self.player = threading.Thread(target=self.play_all, daemon=True)

    def __enter__(self):
        super().__enter__()
        # Made here, and not by two threads at once.
        self.request("GET", "/version")
        self.player.start()
        return self

    def __exit__(self, kind, *more):
        super().__exit__(kind, *more)
        # It may wait for the next line of its watch, and ends with the program.
        if self.failure is not None and kind is None:
            raise c.Failure(f"the nodes play no more: {self.failure!r}")

    def play_all(self):
        """Goes on when the control plane was away."""
        while not self.ended.is_set():
            try:
                self.follow()
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                self.ended.wait(0.1)
            except Exception as error:
                self.failure = error
                return

    def follow(self):
        """What there is, and what comes, as long as the watch lasts."""
        found = self.request("GET", "/api/v1/pods")
        self.know({pod["metadata"]["uid"]: pod for pod in found["items"]})
        for pod in found["items"]:
            self.play(pod)
        with self.open("GET", f"/api/v1/pods?watch=true&resourceVersion={found['metadata']['resourceVersion']}") as lines:
            for line in lines:
                event = json.loads(line)
                if self.ended.is_set() or event["type"] == "ERROR":
                    return
                pod = event["object"]
                uid, gone = pod["metadata"]["uid"], event["type"] == "DELETED"
                self.know({**{key: each for key, each in self.pods.items() if key != uid}, **({} if gone else {uid: pod})})
                if not gone:
                    self.play(pod)

    def know(self, pods):
        with self.lock:
            self.pods = pods
        remark = self.seen(pods)
        if remark is not None:
            self.remarks.append(remark)

    def caught_up(self):
        """Until all that has happened until now was seen here."""
        def holds():
            listed = {pod["metadata"]["uid"]: pod["metadata"]["resourceVersion"] for pod in self.control.json("get", "pods", "-A")["items"]}
            with self.lock:
                return listed == {uid: pod["metadata"]["resourceVersion"] for uid, pod in self.pods.items()}
        c.wait_until("the played nodes have seen it", holds, limit=c.PATIENCE * 3)

    def watch(self, seen):
        """From now on `seen` is what is called, and remarks are its own."""
        self.caught_up()
        self.remarks = []
        self.seen = seen

    def again(self):
        with self.lock:
            pods = list(self.pods.values())
        for pod in pods:
            self.play(pod)

    def play(self, pod):
        if pod["spec"].get("nodeName", "") not in self.names:
            return
        try:
            if is_ending(pod):
                if self.ends(pod):
                    self.request("DELETE", path_of(pod), {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}},
                                 "application/json")
            elif pod["status"].get("phase") in ("Pending", "Running") and not is_ready(pod) and self.becomes_ready(pod):
                self.say(pod, "Running", ready=True)
        except urllib.error.HTTPError as error:
            # It went meanwhile, or another one has its name.
            if error.code not in (404, 409):
                raise

    def say(self, pod, phase, ready):
        at = now()
        condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": at}
        status = {"phase": phase, "conditions": [condition], "startTime": pod["status"].get("startTime") or at}
        self.request("PATCH", f"{path_of(pod)}/status", {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status})
