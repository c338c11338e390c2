#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""Volumes of pods that are made from objects of the API, with real kubectl: what is in them and who may read it, what running pods
see of changes, pods that wait for an object, and tokens that the API server takes."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import READY, SLEEPS, JoiningNode, NodeControl
from cri_client import IMAGE



def pod(node, name, volumes, mounts, command=SLEEPS, labels=None, container=None, **spec):
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}}, "spec": {
        "nodeName": node.name, "terminationGracePeriodSeconds": 1, "volumes": volumes, "containers": [{
            "name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", command],
            "volumeMounts": [{"name": volume, "mountPath": path, **more} for volume, path, more in mounts], **(container or {})}],
        **spec}})


def run(node, name, *command):
    """What the command says in the pod's container; "" while it can't be asked."""
    found = [key for key, item in node.containers().items()
             if item["labels"]["io.kubernetes.pod.name"] == name and item["state"] == "CONTAINER_RUNNING"]
    done = node.crictl("exec", found[0], *command, check=False) if found else None
    return (done.stdout + done.stderr).strip() if done else ""


def remove(control, *names):
    control.out("delete", "pod", *names, "--wait=false")
    for name in names:
        c.wait_until(f"{name} is gone", lambda name=name: "NotFound" in control.kubectl("get", "pod", name).stderr)


def kinds(checks, control, node):
    """All kinds in one pod, and what it sees of changes."""
    control.out("create", "configmap", "settings", "--from-literal=color=red", "--from-literal=size=7")
    control.out("create", "secret", "generic", "keys", "--from-literal=key=sesame")
    volumes = [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400, "items": [{"key": "key", "path": "deep/key"}]}},
        {"name": "facts", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "all", "projected": {"sources": [
            {"configMap": {"name": "settings", "items": [{"key": "color", "path": "color", "mode": 0o444}]}},
            {"secret": {"name": "keys"}}, {"configMap": {"name": "none", "optional": True}},
            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
                                       {"path": "cpu", "resourceFieldRef": {"containerName": "web", "resource": "limits.cpu",
                                                                            "divisor": "1m"}}]}}]}}]
    mounts = [("settings", "/settings", {}), ("keys", "/keys", {}), ("facts", "/facts", {}), ("all", "/all", {}),
              ("settings", "/one", {"subPath": "color"})]
    control.out("create", "-f", "-", given=pod(node, "web", volumes, mounts, labels={"tier": "front"},
                                               container={"resources": {"limits": {"cpu": "1500m"}}}))
    control.wait_for("web", "is Ready", READY, "True")
    said = run(node, "web", "/bin/sh", "-c", "cat /settings/color /keys/deep/key /facts/labels /all/color /all/key /all/name /all/cpu; ls /all")
    checks.equal(said, 'redsesametier="front"redsesameweb1500color\ncpu\nkey\nname', "each kind has its files")
    checks.equal(run(node, "web", "/bin/busybox", "stat", "-L", "-c", "%a", "/keys/deep/key", "/all/color", "/settings"), "400\n444\n777", "modes")
    checks.ok("Read-only" in run(node, "web", "touch", "/settings/x"), "they are read-only")
    folder = next(node.state.glob("kubelet/pods/*/volumes/kubernetes.io~secret/keys"))
    # As the node sees them: of the file system that is there, "tmpfs" for what is secret.
    names = {kind: node.exec("stat", "-f", "-c", "%T", folder.parent.parent / f"kubernetes.io~{kind}" / name).stdout.strip()
             for kind, name in (("secret", "keys"), ("projected", "all"), ("downward-api", "facts"))}
    checks.equal(set(names.values()), {"tmpfs"}, "secrets are in memory alone")

    control.out("patch", "configmap", "settings", "-p", '{"data": {"color": "blue", "size": null, "new": "1"}}')
    control.out("patch", "secret", "keys", "-p", '{"stringData": {"key": "open"}}')
    control.out("label", "pod", "web", "tier=back", "--overwrite")
    c.wait_until("the running pod sees the changes", lambda: run(
        node, "web", "/bin/sh", "-c", "cat /settings/color /keys/deep/key /facts/labels /all/color") == 'blueopentier="back"blue')
    checks.equal(run(node, "web", "/bin/sh", "-c", "ls /settings; cat /one"), "color\nnew\nred", "but not through subPath")

    before = {key: item["state"] for key, item in node.containers().items()}
    node.kill_gantryd()
    control.out("patch", "configmap", "settings", "-p", '{"data": {"color": "green"}}')
    node.wait_for_gantryd()
    c.wait_until("what changed meanwhile is seen", lambda: run(node, "web", "cat", "/settings/color") == "green")
    checks.equal({key: item["state"] for key, item in node.containers().items()}, before, "and the container is the same")
    remove(control, "web")
    checks.ok(not list(node.state.glob("kubelet/pods/*")), "nothing of the pod's volumes is left")


def waits(checks, control, node):
    """A pod waits for an object that is not there, says so, and goes on by itself."""
    control.out("create", "-f", "-", given=pod(node, "late", [{"name": "later", "configMap": {"name": "later"}}],
                                               [("later", "/later", {})], "cat /later/word > /dev/termination-log",
                                               restartPolicy="Never"))
    words = 'MountVolume.SetUp failed for volume "later" : configmap "later" not found'

    def is_told():
        events = control.json("get", "events", "--field-selector", "involvedObject.name=late,reason=FailedMount")["items"]
        return words in [event["message"] for event in events]
    c.wait_until("an event says what is missing", is_told)
    control.wait_for("late", "waits", ".status.containerStatuses[0].state.waiting.reason", "ContainerCreating")
    checks.ok(True, "the pod waits")
    control.out("create", "configmap", "later", "--from-literal=word=hello")
    control.wait_for("late", "has ended", ".status.phase", "Succeeded")
    state = control.json("get", "pod", "late")["status"]["containerStatuses"][0]["state"]["terminated"]
    checks.equal(state["message"], "hello", "it heals by itself")
    remove(control, "late")


def tokens(checks, control, node):
    """What every pod has: the token of its service account, the API server's CA and its namespace."""
    security = {"runAsUser": 1234, "fsGroup": 4321}
    control.out("create", "-f", "-", given=pod(node, "asks", [], [], securityContext=security))
    control.wait_for("asks", "is Ready", READY, "True")
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    checks.equal(run(node, "asks", "/bin/sh", "-c", f"ls {folder}; cat {folder}/namespace"), "ca.crt\nnamespace\ntoken\ndefault",
                 "what every pod has")
    checks.equal(run(node, "asks", "/bin/busybox", "stat", "-L", "-c", "%a %u %g", f"{folder}/token"), "640 1234 4321", "who may read its token")
    token, authority = (run(node, "asks", "cat", f"{folder}/{name}") for name in ("token", "ca.crt"))
    (node.state / "ca.crt").write_text(authority)
    who = node.exec("curl", "-s", "--cacert", node.state / "ca.crt", "-H", f"Authorization: Bearer {token}", "-H",
                    "Content-Type: application/json", "-d", '{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}',
                    control.url + "/apis/authentication.k8s.io/v1/selfsubjectreviews").stdout
    user = json.loads(who)["status"]["userInfo"]
    checks.equal(user["username"], "system:serviceaccount:default:default", "the API server knows the token")
    checks.equal(user["extra"]["authentication.kubernetes.io/pod-name"], ["asks"], "which is the pod's")
    node.kill_gantryd()
    node.wait_for_gantryd()
    node.wait_until_ready(control)
    control.out("label", "pod", "asks", "seen=yes")
    control.out("create", "-f", "-", given=pod(node, "after", [], []))
    control.wait_for("after", "is Ready", READY, "True")
    checks.equal(run(node, "asks", "cat", f"{folder}/token"), token, "a restart of gantryd asks for no new one")
    remove(control, "asks", "after")


def story(checks):
    with JoiningNode(checks) as node:
        node.build_image()
        with NodeControl(checks, node) as control:
            # As a node, who may read only what its pods refer to.
            node.join(control.join_words())
            node.kill_gantryd()
            node.wait_until_ready(control)
            c.wait_until("there is a service account",
                         lambda: control.kubectl("get", "serviceaccount", "default").returncode == 0)
            kinds(checks, control, node)
            waits(checks, control, node)
            tokens(checks, control, node)


c.main(story)
