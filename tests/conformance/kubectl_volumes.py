#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Claims and volumes as kubectl shows them: the introductions' volume of 1Gi on a host's path and a claim for 500Mi that binds it, what is
said of a claim that nothing fits, and what becomes of a volume whose claim is gone. Roles that are made of others."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control

VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: my-pv}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: slow
  hostPath: {path: /mnt/data}
"""
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: my-pvc}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 500Mi}}
  storageClassName: slow
"""


def phase(control, *what):
    return control.out("get", *what, "-o", "jsonpath={.status.phase}")


def binding(checks, control):
    control.out("apply", "-f", "-", given=VOLUME)
    c.wait_until("the volume is Available", lambda: phase(control, "pv", "my-pv") == "Available")
    control.out("apply", "-f", "-", given=CLAIM)
    control.out("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/my-pvc", "--timeout=20s")
    volumes, claims = (control.out("get", kind, "--no-headers").split() for kind in ("pv", "pvc"))
    checks.equal(volumes[:7], ["my-pv", "1Gi", "RWO", "Retain", "Bound", "default/my-pvc", "slow"], "kubectl get pv")
    checks.equal(claims[:6], ["my-pvc", "Bound", "my-pv", "1Gi", "RWO", "slow"], "kubectl get pvc")


def letting_go(checks, control):
    control.out("delete", "pvc", "my-pvc")
    c.wait_until("the volume is let go", lambda: phase(control, "pv", "my-pv") == "Released")
    control.out("patch", "pv", "my-pv", "--type=json", "-p", '[{"op":"remove","path":"/spec/claimRef"}]')
    c.wait_until("the volume is free again", lambda: phase(control, "pv", "my-pv") == "Available")
    control.out("apply", "-f", "-", given=CLAIM)
    control.out("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/my-pvc", "--timeout=20s")
    checks.ok(True, "a volume that was kept is bound again once its claimRef is taken off")


def waiting(checks, control):
    control.out("apply", "-f", "-", given=CLAIM.replace("my-pvc", "large").replace("500Mi", "5Ti"))
    told = c.wait_until("an event says why", lambda: control.out(
        "get", "events", "--field-selector", "involvedObject.name=large", "-o", "jsonpath={.items[*].message}"))
    checks.contains(told, 'storageclass.storage.k8s.io "slow" not found', "what is missing is said")
    checks.equal(phase(control, "pvc", "large"), "Pending", "the claim waits")
    checks.contains(control.out("describe", "pvc", "large"), "ProvisioningFailed", "kubectl describe says it, too")


EPHEMERAL = """
apiVersion: v1
kind: Pod
metadata: {name: scratch}
spec:
  schedulerName: nobody
  containers:
  - {name: main, image: my-app:1.0, volumeMounts: [{name: data, mountPath: /data}]}
  volumes:
  - name: data
    ephemeral:
      volumeClaimTemplate:
        spec: {accessModes: [ReadWriteOnce], storageClassName: none, resources: {requests: {storage: 1Gi}}}
"""


def ephemeral(checks, control):
    control.out("apply", "-f", "-", given=CLAIM.replace("my-pvc", "scratch-data").replace("slow", "none"))
    control.out("apply", "-f", "-", given=EPHEMERAL)
    said = c.wait_until("an event says what is in the way", lambda: control.out(
        "get", "events", "--field-selector=reason=FailedBinding,involvedObject.kind=Pod", "-o", "jsonpath={.items[*].message}"))
    checks.contains(said, "ephemeral volume data: PVC default/scratch-data was not created for pod default/scratch (pod is not owner)",
                    "another's claim of that name is not used")
    control.out("delete", "pvc", "scratch-data", "--wait=false")  # another of that name comes at once
    owner = "jsonpath={.metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name}"
    c.wait_until("the pod has its claim", lambda: control.out("get", "pvc", "scratch-data", "--ignore-not-found", "-o", owner) == "Pod scratch")
    control.out("delete", "pod", "scratch")
    c.wait_until("the claim goes with the pod", lambda: not control.out("get", "pvc", "scratch-data", "-o", "name", "--ignore-not-found"))
    checks.ok(True, "an ephemeral volume's claim comes and goes with its pod")


def roles(checks, control):
    control.out("create", "-f", "-", given=json.dumps({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "crontab-view", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["stable.example.com"], "resources": ["crontabs"], "verbs": ["get"]}]}))
    c.wait_until("view has the new rule", lambda: "crontabs" in control.out("get", "clusterrole", "view", "-o", "yaml"))
    c.wait_until("and so have the roles above it", lambda: "crontabs" in control.out("get", "clusterrole", "admin", "-o", "yaml"))
    control.out("delete", "clusterrole", "crontab-view")
    c.wait_until("a rule goes with its role", lambda: "crontabs" not in control.out("get", "clusterrole", "view", "-o", "yaml"))
    checks.ok("pods" in control.out("get", "clusterrole", "view", "-o", "yaml"), "roles are what they select")


def story(checks):
    with Control(checks) as control:
        binding(checks, control)
        letting_go(checks, control)
        waiting(checks, control)
        ephemeral(checks, control)
        roles(checks, control)


c.main(story)
