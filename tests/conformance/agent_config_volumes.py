#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Volumes made from config maps and secrets in their finer points, with real kubectl: bytes that are no text, names and modes of
single files, keys that are missing, objects that are immutable, two sources that have one path; and tokens for others than the API
server, with a life of their own. (A token's renewal before its end: src/agent/token_manager_test.cc; none lives shorter than ten
minutes.)"""
import base64
import hashlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from bound_pods import BoundPods
from cluster import SLEEPS, ready_node

RAW = bytes(range(256)) * 16
MOUNTS = [{"name": "v", "mountPath": "/v"}]


def config_map(name, data=None, **more):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {}, **more}


def files(world):
    """What their bytes, names and modes are."""
    world.add(config_map("all", {"text": "words", "other": "more"}, binaryData={"raw": base64.b64encode(RAW).decode()}))
    source = {"name": "all", "defaultMode": 0o440, "items": [
        {"key": "raw", "path": "raw"}, {"key": "text", "path": "deep/er/words", "mode": 0o604}]}
    world.create("files", "cd /v; { ls . deep/er; busybox stat -L -c %a raw deep/er/words; cat deep/er/words; echo; busybox sha256sum < raw; }"
                 "> /dev/termination-log", MOUNTS, [{"name": "v", "configMap": source}])
    world.says("files", ".:\ndeep\nraw\n\ndeep/er:\nwords\n440\n604\nwords\n" + hashlib.sha256(RAW).hexdigest() + "  -",
               "binaryData to the byte; only what is named, where it is named, with its mode or the volume's")
    world.delete("files")


def missing_keys(world):
    """A key that is missing is waited for, and an optional one comes when it is there."""
    world.add({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"here": "1"}})
    items = [{"key": "here", "path": "here"}, {"key": "later", "path": "later"}]
    world.create("waits", "cat /v/later > /dev/termination-log", MOUNTS, [{"name": "v", "configMap": {"name": "all", "items": items[1:]}}])
    world.create("optional", SLEEPS, MOUNTS, [{"name": "v", "secret": {"secretName": "keys", "items": items, "optional": True}}])
    world.has_event("waits", "FailedMount", 'MountVolume.SetUp failed for volume "v" : configmap references non-existent config key: later')
    world.runs("optional")
    world.checks.equal(world.run("optional", "ls /v"), "here", "an optional key may be missing")
    for kind, name, field in (("configmap", "all", "data"), ("secret", "keys", "stringData")):
        world.control.out("patch", kind, name, "-p", json.dumps({field: {"later": "came"}}))
    world.says("waits", "came", "it heals when the key comes")
    c.wait_until("the optional key comes", lambda: world.run("optional", "cat /v/later") == "came")
    world.delete("waits", "optional")


def immutable(world):
    """A running pod keeps what it has of one that is immutable, whatever becomes of the object; the next pod has the new one."""
    world.add(config_map("fixed", {"word": "first"}, immutable=True))
    volumes = [{"name": "v", "configMap": {"name": "fixed"}}]
    world.create("keeps", SLEEPS, MOUNTS, volumes)
    world.create("follows", SLEEPS, MOUNTS, [{"name": "v", "configMap": {"name": "all", "items": [{"key": "text", "path": "word"}]}}])
    world.runs("keeps", "follows")
    refused = world.control.kubectl("patch", "configmap", "fixed", "-p", '{"data": {"word": "second"}}')
    world.checks.ok("field is immutable when `immutable` is set" in refused.stderr, "the API server changes none", refused.stderr)
    world.control.out("delete", "configmap", "fixed")
    world.add(config_map("fixed", {"word": "second"}))
    # What comes after it and is seen shows that the node has had its time.
    world.control.out("patch", "configmap", "all", "-p", '{"data": {"text": "changed"}}')
    c.wait_until("another is followed", lambda: world.run("follows", "cat /v/word") == "changed")
    world.checks.equal(world.run("keeps", "cat /v/word"), "first", "a pod that runs keeps the old one")
    world.delete("keeps", "follows")
    world.create("keeps", "cat /v/word > /dev/termination-log", MOUNTS, volumes)
    world.says("keeps", "second", "the next pod has what there is now")
    world.delete("keeps")


def one_path(world):
    """Of two sources with one file the later one's is there."""
    world.add(config_map("one", {"both": "one", "own": "one"}), config_map("two", {"both": "two"}))
    sources = [{"configMap": {"name": name}} for name in ("one", "two")]
    world.create("both", "cat /v/both /v/own > /dev/termination-log", MOUNTS, [{"name": "v", "projected": {"sources": sources}}])
    world.says("both", "twoone", "of two sources with one file the later one's is there")
    world.delete("both")


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def tokens(world):
    """For whom they are and how long they live."""
    world.control.out("create", "serviceaccount", "robot")
    sources = [{"serviceAccountToken": {"audience": "vault", "expirationSeconds": 600, "path": "vault"}},
               {"serviceAccountToken": {"path": "own"}}]
    world.create("asks", "cat /v/vault > /dev/termination-log; echo >> /dev/termination-log; cat /v/own >> /dev/termination-log", MOUNTS,
                 [{"name": "v", "projected": {"sources": sources, "defaultMode": 0o444}}], serviceAccountName="robot")
    vault, own = (claims_of(token) for token in world.last_words("asks").split())
    world.checks.equal((vault["aud"], vault["exp"] - vault["iat"]), (["vault"], 600), "a token for another audience, for ten minutes")
    world.checks.equal(vault["sub"], "system:serviceaccount:default:robot", "of the pod's service account")
    bound = {vault["kubernetes.io"]["pod"]["name"], own["kubernetes.io"]["pod"]["name"]}
    world.checks.equal(bound, {"asks"}, "and of the pod")
    world.checks.ok("vault" not in own["aud"] and own["exp"] - own["iat"] >= 3600,
                    "one that says nothing of it is the API server's, for an hour", json.dumps(own))
    world.delete("asks")


def story(checks):
    with ready_node(checks) as (node, control):
        world = BoundPods(checks, control, node)
        for part in (files, missing_keys, immutable, one_path, tokens):
            part(world)


c.main(story)
