# SPDX-License-Identifier: Apache-2.0
"""Nodes that are objects only: their leases are renewed, and the test says in their place how pods are."""
import contextlib
import datetime
import json
import subprocess
import threading
import urllib.request

import checks as c

HEARTBEAT = 5.0
RENEWAL_LIMIT = 10.0  # a node is given up after 50 s
ROOM = {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi", "pods": "20"}


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class HollowNodes:
    """with HollowNodes(control) as nodes: nodes.add("n1"); they live until the end, or until remove()."""

    def __init__(self, control):
        self.control, self.names, self.ended, self.context = control, [], threading.Event(), None
        self.thread = threading.Thread(target=self.beat, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(c.PATIENCE)

    def beat(self):
        while not self.ended.wait(HEARTBEAT):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.renew()

    def renew(self, limit=RENEWAL_LIMIT):
        renewed = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        leases = [{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                   "metadata": {"name": name, "namespace": "kube-node-lease"},
                   "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed}} for name in list(self.names)]
        if leases:
            # A control plane that is just away is asked again.
            self.control.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-",
                                 given=json.dumps({"apiVersion": "v1", "kind": "List", "items": leases}), limit=limit)

    def add(self, name, labels=None, room=None):
        self.names.append(name)
        self.renew(limit=5 * c.PATIENCE)
        self.control.out("create", "-f", "-", given=json.dumps({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
            "status": {"capacity": {**ROOM, **(room or {})}, "allocatable": {**ROOM, **(room or {})},
                       "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}}))

    def remove(self, name):
        self.names.remove(name)
        self.control.out("delete", "node", name)

    def request(self, method, path, body=None, kind="application/strategic-merge-patch+json"):
        """What the API answers to the administrator, without kubectl: for what is done a hundred times."""
        sent = ({}, None) if body is None else ({"Content-Type": kind}, json.dumps(body).encode())
        with self.open(method, path, *sent) as answer:
            return json.load(answer)

    def open(self, method, path, headers=None, data=None):
        """An answer to the administrator, not yet read."""
        if self.context is None:
            self.context = self.control.client_context()
        asked = urllib.request.Request(self.control.url + path, method=method, headers={**self.control.headers, **(headers or {})}, data=data)
        return urllib.request.urlopen(asked, context=self.context, timeout=c.PATIENCE)

    def tell(self, pod, *addresses, ready=True, phase="Running", namespace="default"):
        """The status of the pod, as its node would write it."""
        self.request("PATCH", f"/api/v1/namespaces/{namespace}/pods/{pod}/status", {"status": {
            "phase": phase, "podIP": addresses[0] if addresses else None,
            "podIPs": [{"$patch": "replace"}, *({"ip": each} for each in addresses)],
            "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": now()}]}})
