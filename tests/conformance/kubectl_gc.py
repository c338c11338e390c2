#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""kubectl delete --cascade=background|foreground|orphan and what the garbage collector makes of it, over owners and dependents of
several kinds; and owners that are not there, in another namespace, or in a circle."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control


def replica_set(name):
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}},
                                  "spec": {"containers": [{"name": "main", "image": "my-app:1.0"}]}}}}


def pod(name, owner):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "ownerReferences": [reference(owner, True)]},
            "spec": {"containers": [{"name": "main", "image": "my-app:1.0"}]}}


def config_map(name, *owners, finalizers=(), blocks=True, namespace="default"):
    return {"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace, "finalizers": list(finalizers),
                         "ownerReferences": [reference(owner, False, blocks) for owner in owners]}}


def reference(owner, controller=False, blocks=True):
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"], "controller": controller, "blockOwnerDeletion": blocks}


def make(control, wanted):
    return json.loads(control.out("create", "-f", "-", "-o", "json", given=json.dumps(wanted)))


def is_there(control, *what):
    return bool(control.out("get", *what, "-o", "name", "--ignore-not-found").strip())


def gone(control, *what):
    c.wait_until(f"{' '.join(what)} is gone", lambda: not is_there(control, *what))


def owners(control, *what):
    return [owner["name"] for owner in control.json("get", *what)["metadata"].get("ownerReferences", [])]


def cascades(checks, control):
    for cascade in "background", "foreground":
        owner = make(control, replica_set(cascade))
        make(control, pod(f"{cascade}-pod", owner))
        child = make(control, config_map(f"{cascade}-map", owner))
        make(control, config_map(f"{cascade}-deep", child))
        checks.contains(control.out("delete", "rs", cascade, f"--cascade={cascade}"), "deleted", f"--cascade={cascade}")
        gone(control, "rs", cascade)
        if cascade == "foreground":
            checks.ok(not is_there(control, "pod", f"{cascade}-pod"), "in the foreground dependents go before their owner")
        gone(control, "pod", f"{cascade}-pod")
        gone(control, "cm", f"{cascade}-deep")
    owner = make(control, replica_set("orphan"))
    make(control, pod("orphan-pod", owner))
    control.out("delete", "rs", "orphan", "--cascade=orphan")
    gone(control, "rs", "orphan")
    checks.equal(owners(control, "pod", "orphan-pod"), [], "--cascade=orphan lets dependents go")


def holding(checks, control):
    """A dependent with a finalizer holds an owner that is deleted in the foreground."""
    owner = make(control, replica_set("held"))
    make(control, config_map("holds", owner, finalizers=["example.com/holds"]))
    control.out("delete", "rs", "held", "--cascade=foreground", "--wait=false")
    c.wait_until("the dependent is being deleted", lambda: "deletionTimestamp" in control.json("get", "cm", "holds")["metadata"])
    checks.equal(control.json("get", "rs", "held")["metadata"]["finalizers"], ["foregroundDeletion"], "its owner waits")
    control.out("patch", "cm", "holds", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    gone(control, "rs", "held")


def foreign_owners(checks, control):
    never = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "never", "uid": "0d9a8f3c-aaaa-4bbb-8ccc-1234567890ab"}}
    make(control, config_map("no-owner", never))
    gone(control, "cm", "no-owner")
    control.out("create", "namespace", "far")
    far = make(control, config_map("far-owner", namespace="far"))
    make(control, config_map("near-child", far))
    gone(control, "cm", "near-child")
    told = c.wait_until("an event says why", lambda: control.out(
        "get", "events", "--field-selector", "reason=OwnerRefInvalidNamespace", "-o", "jsonpath={.items[*].involvedObject.name}"))
    checks.equal(set(told.split()), {"near-child"}, "an owner in another namespace is none, and an event says so")
    one = make(control, config_map("one"))
    two = make(control, config_map("two"))
    make(control, config_map("shared", one, two))
    control.out("delete", "cm", "one")
    c.wait_until("the owner that is gone is taken out", lambda: owners(control, "cm", "shared") == ["two"])
    control.out("delete", "cm", "two")
    gone(control, "cm", "shared")


def circle(checks, control):
    first = make(control, config_map("first"))
    second = make(control, config_map("second", first))
    control.out("patch", "cm", "first", "--type=merge", "-p", json.dumps({"metadata": {"ownerReferences": [reference(second)]}}))
    control.out("delete", "cm", "first", "--cascade=foreground")
    gone(control, "cm", "second")
    checks.ok(True, "a circle goes whole")


def restart(checks, control):
    """What was left half done is done after a restart."""
    owner = make(control, replica_set("later"))
    make(control, config_map("later-holds", owner, finalizers=["example.com/holds"]))
    control.out("delete", "rs", "later", "--cascade=foreground", "--wait=false")
    lease = ("-n", "kube-system", "get", "lease", "kube-controller-manager")
    holder = control.json(*lease)["spec"]["holderIdentity"]
    control.kill()
    control.start()
    control.out("patch", "cm", "later-holds", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    gone(control, "rs", "later")
    gone(control, "cm", "later-holds")
    checks.ok(True, "a deletion in the foreground goes on after kill -9")
    checks.equal(control.json(*lease)["spec"]["holderIdentity"], holder, "the lease of the dead one is its successor's")


def story(checks):
    # The owners here have dependents that are none of theirs by selector: their own controller would let go of them.
    with Control(checks, arguments=["--controllers=*,-replicaset-controller"]) as control:
        cascades(checks, control)
        holding(checks, control)
        foreign_owners(checks, control)
        circle(checks, control)
        restart(checks, control)


c.main(story)
