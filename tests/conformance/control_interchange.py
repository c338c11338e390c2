#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: kube-apiserver
# limit: 900
# long
"""One etcd, served by gantry-control and by upstream's kube-apiserver in turns: what one has written is to the other what it is to
itself. kubectl shows every object of every kind the same; a PUT of an object as it is writes nothing, so that its bytes in etcd are
those that the other one would write; addresses and node ports that one gave out are taken for the other."""
import base64
import json
import pathlib
import sys
import tempfile
import urllib.request

import yaml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import checks as c
from answers import differences
from control import Control
from stores import Etcd
from upstream import Upstream, api_of

# What is written when a program starts or while it runs, with nobody asking: the endpoints of the API itself, the leases of whoever
# works, and what the controllers of gantry-control make of objects when kube-apiserver, which has none, was there before.
KEPT = {
    ("Endpoints", "kubernetes"), ("EndpointSlice", "kubernetes"), ("Lease", "kube-controller-manager"),
    ("ConfigMap", "cluster-info"), ("ConfigMap", "kube-root-ca.crt"), ("ClusterRole", "admin"), ("ClusterRole", "edit"),
    ("ClusterRole", "view"),
}
CONTROLLERS = ("serviceaccount-controller", "root-ca-certificate-publisher-controller", "persistentvolume-binder-controller")
# What it is that they write of these.
CONTROLLED = {
    "Node": ("spec.taints", "status"), "PersistentVolume": ("status", "spec.claimRef"),
    "PersistentVolumeClaim": ("status", "spec.volumeName", "metadata.annotations"), "ResourceQuota": ("status",),
    "CertificateSigningRequest": ("status",),
}
ALWAYS = ("metadata.resourceVersion", "metadata.managedFields")
# Fields in which one object differs, and why that is so.
DIFFERENT = {
    ("Job", "metadata.labels"): "upstream gives them to a job that it reads, and stores them with the first change of it",
    ("StatefulSet", "spec.volumeClaimTemplates"): "gantry-control does not show their type, which upstream adds",
}
# Objects that a PUT writes although nothing is changed.
REWRITTEN = {
    ("Event", "event.2"): "either drops what is known of fields in terms of events.k8s.io/v1 when it is written as v1",
    ("Job", "task"): "its labels, as above",
    ("HorizontalPodAutoscaler", "scaler-one"): "gantry-control drops what is known of fields in terms of v1 when it is written as v2",
}
# What is made and deleted of these is in force some time later: they come last and stay, so that pods are taken whatever they say.
LIMITING = ("LimitRange", "ResourceQuota")
# How a stored secret begins.
SECRET = b"k8s:enc:secretbox:v1:first:"
ATTEMPTS = 20  # of a write, when somebody else is faster
# Kept by any API server, and no object.
OTHERS = ("/registry/masterleases/", "/registry/peerserverleases/", "/registry/ranges/")


class Raw:
    """What is in etcd, by its gateway of JSON."""

    def __init__(self, url):
        self.url = url

    def pairs(self):
        """{key: (value, the revision of its last write)}."""
        first, end = (base64.b64encode(key).decode() for key in (b"/registry/", b"/registry0"))
        with urllib.request.urlopen(self.url + "/v3/kv/range", json.dumps({"key": first, "range_end": end}).encode(),
                                    timeout=c.PATIENCE) as answer:
            entries = json.load(answer).get("kvs", [])
        return {base64.b64decode(each["key"]).decode(): (base64.b64decode(each.get("value", "")), int(each["mod_revision"]))
                for each in entries}


def type_of(value):
    """(apiVersion, kind) of a stored object; None of what is encrypted."""
    if value.startswith(b"{"):
        found = json.loads(value)
        return found["apiVersion"], found["kind"]
    if not value.startswith(b"k8s\0\n"):
        return None
    version_end = 8 + value[7]
    return value[8:version_end].decode(), value[version_end + 2:version_end + 2 + value[version_end + 1]].decode()


def resources_of(api):
    """{(apiVersion, kind): (its name for kubectl, its path, whether it is namespaced)} of all that can be listed and is stored."""
    paths = [("v1.", "v1", "/api/v1")]
    for group in api.ask("GET", "/apis")[2]["groups"]:
        if group["name"] == "metrics.k8s.io":
            continue
        paths += [(f"{each['version']}.{group['name']}", each["groupVersion"], f"/apis/{each['groupVersion']}")
                  for each in group["versions"]]
    found = {}
    for suffix, version, path in paths:
        for resource in api.ask("GET", path)[2]["resources"]:
            if "/" not in resource["name"] and "list" in resource["verbs"]:
                found[version, resource["kind"]] = f"{resource['name']}.{suffix}", f"{path}/{resource['name']}", resource["namespaced"]
    return found


def key_of(found):
    return found["apiVersion"], found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]


def revision(found):
    return int(found["metadata"]["resourceVersion"])


class World:
    """The etcd, who serves it, and what was seen when the one before ended."""

    def __init__(self, checks, etcd, folder, resources):
        self.checks, self.etcd, self.folder, self.resources = checks, etcd, folder, resources
        self.raw, self.seen, self.left, self.service = Raw(etcd.clients[0]), {}, {}, None
        self.documents = [each for each in yaml.safe_load_all((HERE / "upstream/documents.yaml").read_text()) if each]
        self.documents.sort(key=lambda each: each["kind"] in LIMITING)
        for each in self.documents:
            if each["kind"] == "Pod":
                each["spec"].pop("nodeName", None)  # a controller takes away what no node runs
        self.encryption = folder / "encryption.yaml"
        self.encryption.write_text(json.dumps({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": [
                {"secretbox": {"keys": [{"name": "first", "secret": base64.b64encode(b"k" * 32).decode()}]}}, {"identity": {}}]}]}))

    def ours(self):
        # kube-apiserver alone has no scheduler either, which writes into pods, and nobody who makes objects of others.
        return Control(self.checks, ["--store", self.etcd.store, "--advertise-address", "192.0.2.7", "--scheduler=false",
                                     "--controllers=" + ",".join(CONTROLLERS), "--encryption-provider-config", str(self.encryption)],
                       data=self.folder / "data")

    def theirs(self):
        return Upstream(self.checks, ["--encryption-provider-config", self.encryption], etcd=self.etcd.clients[0])

    def path_of(self, found):
        _, path, namespaced = self.resources[found["apiVersion"], found["kind"]]
        if namespaced:
            base, plural = path.rsplit("/", 1)
            path = f"{base}/namespaces/{found['metadata'].get('namespace', 'default')}/{plural}"
        return path

    def see(self, program):
        names = ",".join(sorted(name for name, _, _ in self.resources.values()))
        return {key_of(each): each for each in program.json("get", names, "-A", "--show-managed-fields")["items"]}


def make(world, api, documents):
    refused = []
    for document in documents:
        status, _, answer = api.ask("POST", world.path_of(document), document)
        if status != 201:
            refused.append(f"{document['kind']} {document['metadata']['name']}: {answer.get('message')}")
    world.checks.ok(not refused, "every document is taken", "\n".join(refused))


def compare(world, name, seen):
    """With what the one before said when it ended."""
    wrong, compared, rewritten = [], set(), []
    for key, before in world.seen.items():
        found, what = seen.get(key), f"{' '.join(filter(None, key))}"
        # It was changed after it was seen, by who ended then.
        if not any(revision(before) == mod for _, mod in world.left.values()):
            continue
        if found is None:
            wrong.append(f"{what} is gone")
            continue
        let = [path for kind, path in DIFFERENT if kind == key[1]]
        if revision(found) != revision(before):
            if (key[1], key[3]) in KEPT:
                continue
            if name != "gantry-control" or key[1] not in CONTROLLED:
                rewritten.append(f"{what}: {list(differences(before, found))}")
                continue
            let += [*CONTROLLED[key[1]], *ALWAYS]
        compared.add(key[:2])
        wrong += [f"{what}: {path} is {b}, was {a}" for path, a, b in differences(before, found) if not path.startswith(tuple(let))]
    world.checks.ok(not wrong, f"{name} says of {len(world.seen)} objects what the one before said", "\n".join(wrong))
    world.checks.ok(not rewritten, f"{name} changes none of them by its start", "\n".join(rewritten))
    world.checks.equal(set(world.resources) - compared, set(), "of every kind and version one was compared")


def put_back(world, api, seen):
    """Every object as it is: what it writes then."""
    stored = {type_of(value) for value, _ in world.raw.pairs().values()} | {("v1", "Secret")}
    wrong = []
    for key, found in seen.items():
        if key[:2] not in stored or (key[1], key[3]) in REWRITTEN:
            continue
        path = f"{world.path_of(found)}/{found['metadata']['name']}"
        for _ in range(ATTEMPTS):
            status, _, answer = api.ask("PUT", path, json.dumps(found, separators=(",", ":")))
            if status != 409:
                break
            status, _, found = api.ask("GET", path)  # somebody else was faster
            if status != 200:
                break
        if status == 404:
            continue
        if status != 200:
            wrong.append(f"{key}: {answer.get('message')}")
        elif revision(answer) != revision(found):
            wrong.append(f"{key}: {[*differences(found, answer)]}")
    world.checks.ok(not wrong, "a PUT of any object as it is writes nothing", "\n".join(wrong))


def check_services(world, api, name):
    """Its address and port are one's who got them from whoever it was, until it goes."""
    path = "/api/v1/namespaces/default/services"

    def ask_for(own, **spec):
        ports = [{"port": 80, **({"nodePort": spec.pop("port")} if "port" in spec else {})}]
        return api.ask("POST", path, {"metadata": {"name": own}, "spec": {"type": "NodePort", "ports": ports, **spec}})

    if world.service:
        address, port = world.service["spec"]["clusterIP"], world.service["spec"]["ports"][0]["nodePort"]
        for what, spec in (("address", {"clusterIP": address}), ("port", {"port": port})):
            status, _, answer = ask_for("greedy", **spec)
            world.checks.ok(status == 422 and "already allocated" in answer["message"], f"{name} does not give out the {what} again", answer)
        api.ask("DELETE", f"{path}/{world.service['metadata']['name']}")
        status, _, answer = ask_for("heir", clusterIP=address, port=port)
        world.checks.equal(status, 201, f"{name} gives them to the next when the service is gone")
        api.ask("DELETE", f"{path}/heir")
    status, _, world.service = ask_for(f"of-{name}")
    world.checks.equal(status, 201, f"{name} gives out an address and a port")


def change(world, api):
    """Some get a label, some are deleted and made anew."""
    gone = []
    for i, document in enumerate(world.documents):
        path = f"{world.path_of(document)}/{document['metadata']['name']}"
        there = api.ask("GET", path)[2]
        if i % 2 or document["kind"] in ("Namespace", *LIMITING) or there["metadata"].get("finalizers"):
            label = json.dumps({"metadata": {"labels": {"changed": str(revision(there))}}})
            status, _, answer = api.ask("PATCH", path, label, content_type="application/merge-patch+json")
        else:
            status, _, answer = api.ask("DELETE", path, {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})
            gone.append(document)
        if status != 200:
            raise c.Failure(f"{path}: {answer}")
    make(world, api, gone)


def foreign(world, pairs):
    """What gantry-control has no kind for."""
    return {key: pair for key, pair in pairs.items()
            if type_of(pair[0]) is not None and type_of(pair[0]) not in world.resources and not key.startswith(OTHERS)}


def turn(world, program, name):
    api = program.api if isinstance(program, Upstream) else api_of(program)
    if world.seen:
        seen = world.see(program)
        compare(world, name, seen)
        put_back(world, api, seen)
        change(world, api)
    else:
        # In kube-apiserver nobody makes the account.
        api.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        api.ask("POST", "/apis/node.k8s.io/v1/runtimeclasses", {"metadata": {"name": "none"}, "handler": "none"})
        make(world, api, world.documents)
    check_services(world, api, name)
    world.seen = world.see(program)
    missing = set(world.resources) - {key[:2] for key in world.seen}
    world.checks.equal(missing, set(), f"{name} has an object of every kind")
    program.stop()
    before, world.left = world.left, world.raw.pairs()
    plain = [key for key, (value, _) in world.left.items() if key.startswith("/registry/secrets/") and not value.startswith(SECRET)]
    world.checks.ok(not plain, f"{name} encrypts secrets", "\n".join(plain))
    if before and name == "gantry-control":
        one, other = foreign(world, before), foreign(world, world.left)
        touched = [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
        world.checks.ok(one and not touched, f"{len(one)} objects that it has no kinds for are as they were", "\n".join(touched))


def story(checks):
    with Control(checks) as control:
        resources = resources_of(api_of(control))
    for names in ("gantry-control", "kube-apiserver", "gantry-control"), ("kube-apiserver", "gantry-control"):
        checks.label = f"{names[0]} first: "
        with tempfile.TemporaryDirectory(prefix="gantry-interchange-") as folder, Etcd(pathlib.Path(folder)) as etcd:
            world = World(checks, etcd, pathlib.Path(folder), resources)
            for name in names:
                with (world.ours if name == "gantry-control" else world.theirs)() as program:
                    turn(world, program, name)


c.main(story)
