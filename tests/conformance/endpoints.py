#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 1200
"""Where services lead to: EndpointSlices and Endpoints, by kubectl alone, over nodes and pods that are objects only. What a pod's end,
readiness, names and ports make of them; hints; families; a hundred pods and more; Endpoints that somebody writes by hand, which are
mirrored; gantry-control killed while pods change; and services of type LoadBalancer, whose addresses are the nodes'."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from hollow_nodes import HollowNodes

CONTROLLER, MIRROR = "endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"


def pod(name, app, node="n1", port=8080, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": app}},
            "spec": {"nodeName": node, **spec, "containers": [
                {"name": "main", "image": "my-app:1.0", "ports": [{"name": "web", "containerPort": port}]}]}}


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {"tier": name}},
            "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}], **spec}}


class Story:
    def __init__(self, checks, control, nodes):
        self.checks, self.control, self.nodes = checks, control, nodes

    def make(self, *objects):
        self.control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def slices(self, name):
        return self.control.json("get", "endpointslices", "-l", f"kubernetes.io/service-name={name}")["items"]

    def endpoints(self, name):
        """{address: (ready, serving, terminating)} of all its slices."""
        found = {}
        for each in self.slices(name):
            for endpoint in each.get("endpoints") or []:
                conditions = endpoint["conditions"]
                for address in endpoint["addresses"]:
                    found[address] = tuple(conditions.get(kind) for kind in ("ready", "serving", "terminating"))
        return found

    def subsets(self, name):
        """{port: (addresses, those that are not ready)} of its Endpoints; None: there are none."""
        done = self.control.kubectl("get", "endpoints", name, "-o", "json")
        if done.returncode:
            return None
        return {port["port"]: tuple([one["ip"] for one in subset.get(kind, [])] for kind in ("addresses", "notReadyAddresses"))
                for subset in json.loads(done.stdout).get("subsets", []) for port in subset["ports"]}

    def leads(self, name, wanted, what):
        """Its slices come to say this."""
        c.wait_until(f"{name} leads to {wanted}", lambda: self.endpoints(name) == wanted)
        self.checks.ok(True, what)

    def led(self, name, wanted, what):
        """Its Endpoints do."""
        c.wait_until(f"the Endpoints of {name} are {wanted}", lambda: self.subsets(name) == wanted)
        self.checks.ok(True, f"{what}; so do the Endpoints")


def comes_and_goes(story):
    checks, nodes = story.checks, story.nodes
    story.make(service("web"))
    c.wait_until("there is a slice", lambda: story.slices("web"))
    story.leads("web", {}, "a service without pods has one slice, with nothing in it")
    story.make(pod("a", "web"), pod("b", "web", "n2"), pod("other", "else"))
    nodes.tell("a", "10.1.0.1", ready=False)
    story.leads("web", {"10.1.0.1": (False, False, False)}, "a pod that is not ready is in it, and said not to be")
    story.led("web", {8080: ([], ["10.1.0.1"])}, "not ready")
    nodes.tell("a", "10.1.0.1")
    nodes.tell("b", "10.1.0.2")
    both = {"10.1.0.1": (True, True, False), "10.1.0.2": (True, True, False)}
    story.leads("web", both, "pods that are ready")
    story.led("web", {8080: (["10.1.0.1", "10.1.0.2"], [])}, "ready")
    found = story.slices("web")
    labels, owner = found[0]["metadata"]["labels"], found[0]["metadata"]["ownerReferences"][0]
    checks.equal((len(found), found[0]["addressType"], found[0]["ports"]),
                 (1, "IPv4", [{"name": "http", "port": 8080, "protocol": "TCP"}]), "one slice, with the pods' port")
    checks.equal((labels["endpointslice.kubernetes.io/managed-by"], labels["tier"], owner["kind"], owner["name"]),
                 (CONTROLLER, "web", "Service", "web"), "it has its controller's and its service's labels, and its owner")
    zones = {one["addresses"][0]: (one["nodeName"], one.get("zone"), one["targetRef"]["name"]) for one in found[0]["endpoints"]}
    checks.equal(zones, {"10.1.0.1": ("n1", "a", "a"), "10.1.0.2": ("n2", "b", "b")}, "nodes, their zones, and the pods")
    checks.contains(story.control.out("describe", "service", "web"), "10.1.0.1:8080,10.1.0.2:8080", "kubectl describe service")
    story.control.out("delete", "pod", "b", "--grace-period=30", "--wait=false")
    story.leads("web", {**both, "10.1.0.2": (False, True, True)}, "a pod that ends serves on, and is not ready")
    story.led("web", {8080: (["10.1.0.1"], [])}, "it is gone")
    nodes.tell("b", "10.1.0.2", ready=False, phase="Succeeded")
    story.leads("web", {"10.1.0.1": (True, True, False)}, "one that has ended is gone")
    story.control.out("label", "pod", "a", "app=none", "--overwrite")
    story.leads("web", {}, "and one that has other labels")
    story.led("web", {}, "none")
    story.control.out("delete", "service", "web")
    c.wait_until("nothing is left", lambda: not story.slices("web") and story.subsets("web") is None)
    checks.ok(True, "with the service its slices and Endpoints go")


def names_and_ports(story):
    checks, nodes = story.checks, story.nodes
    story.make(service("db", clusterIP="None", publishNotReadyAddresses=True),
               pod("first", "db", hostname="first", subdomain="db"), pod("second", "db", port=9090))
    nodes.tell("first", "10.1.1.1", ready=False)
    nodes.tell("second", "10.1.1.2")
    story.leads("db", {"10.1.1.1": (True, False, False), "10.1.1.2": (True, True, False)}, "publishNotReadyAddresses")
    found = story.slices("db")
    ports = {one["endpoints"][0]["addresses"][0]: one["ports"][0]["port"] for one in found if one.get("endpoints")}
    checks.equal(ports, {"10.1.1.1": 8080, "10.1.1.2": 9090}, "a named port that differs by pod is a slice for each")
    names = {one["addresses"][0]: one.get("hostname") for each in found for one in each.get("endpoints", [])}
    checks.equal(names, {"10.1.1.1": "first", "10.1.1.2": None}, "a pod of the service's subdomain has its name")
    checks.ok(all("service.kubernetes.io/headless" in each["metadata"]["labels"] for each in found), "a headless service's slices say so")
    story.led("db", {8080: (["10.1.1.1"], []), 9090: (["10.1.1.2"], [])}, "ports that differ")
    labels = story.control.json("get", "endpoints", "db")["metadata"]["labels"]
    checks.equal((labels["endpoints.kubernetes.io/managed-by"], labels["service.kubernetes.io/headless"]),
                 ("endpoint-controller", ""), "the Endpoints have both labels")
    story.control.out("delete", "service", "db")


def hints(story):
    def of_web():
        return {one["addresses"][0]: one.get("hints") for each in story.slices("near") for one in each.get("endpoints") or []}
    story.make(service("near", trafficDistribution="PreferSameNode"), pod("near-1", "near"))
    story.nodes.tell("near-1", "10.1.2.1")
    c.wait_until("a hint", lambda: of_web() == {"10.1.2.1": {"forZones": [{"name": "a"}], "forNodes": [{"name": "n1"}]}})
    story.checks.ok(True, "PreferSameNode: a hint for node and zone")
    story.control.out("patch", "service", "near", "-p", '{"spec":{"trafficDistribution":"PreferSameZone"}}')
    c.wait_until("a hint", lambda: of_web() == {"10.1.2.1": {"forZones": [{"name": "a"}]}})
    story.control.out("patch", "service", "near", "--type=json", "-p", '[{"op":"remove","path":"/spec/trafficDistribution"}]')
    c.wait_until("no hint", lambda: of_web() == {"10.1.2.1": None})
    story.checks.ok(True, "PreferSameZone: for the zone; without either there is none")
    story.control.out("delete", "service", "near")


def families(story):
    story.make(service("dual", ipFamilyPolicy="RequireDualStack"), pod("dual-1", "dual"))
    story.nodes.tell("dual-1", "10.1.3.1", "fd00::3:1")
    story.leads("dual", {"10.1.3.1": (True, True, False), "fd00::3:1": (True, True, False)}, "both families")
    story.checks.equal(sorted(each["addressType"] for each in story.slices("dual")), ["IPv4", "IPv6"], "a slice for each")
    story.control.out("patch", "service", "dual", "-p", json.dumps({"spec": {"ipFamilyPolicy": "SingleStack"}}))
    story.leads("dual", {"10.1.3.1": (True, True, False)}, "a family that is given up is gone")
    story.control.out("delete", "service", "dual")


def mirrored(story):
    checks, control = story.checks, story.control
    kept = [each["metadata"]["name"] for each in story.slices("kubernetes")]
    by_hand = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "outside", "labels": {"of": "hand"}, "annotations": {"why": "test"}},
               "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "notReadyAddresses": [{"ip": "192.0.2.2"}],
                            "ports": [{"name": "sql", "port": 5432}]}]}
    story.make(by_hand)
    story.make({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "outside"}, "spec": {"ports": [{"name": "sql", "port": 5432}]}})
    story.leads("outside", {"192.0.2.1": (True, None, None), "192.0.2.2": (False, None, None)}, "Endpoints written by hand are mirrored")
    slice_ = story.slices("outside")[0]
    checks.equal((slice_["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"], slice_["metadata"]["labels"]["of"],
                  slice_["metadata"]["annotations"].get("why"), slice_["metadata"]["ownerReferences"][0]["kind"], slice_["ports"][0]["port"]),
                 (MIRROR, "hand", "test", "Endpoints", 5432), "labels, annotations and ports with them")
    control.out("patch", "endpoints", "outside", "--type=json", "-p", '[{"op":"replace","path":"/subsets/0/addresses/0/ip","value":"192.0.2.9"}]')
    story.leads("outside", {"192.0.2.9": (True, None, None), "192.0.2.2": (False, None, None)}, "a change of them, too")
    control.out("label", "endpoints", "outside", "endpointslice.kubernetes.io/skip-mirror=true")
    story.leads("outside", {}, "not with skip-mirror")
    control.out("label", "endpoints", "outside", "endpointslice.kubernetes.io/skip-mirror-")
    c.wait_until("mirrored again", lambda: story.endpoints("outside"))
    control.out("delete", "service", "outside")
    c.wait_until("nothing is left", lambda: not story.slices("outside") and story.subsets("outside") is None)
    checks.ok(True, "with the service all of it goes")
    checks.equal([each["metadata"]["name"] for each in story.slices("kubernetes")], kept, "default/kubernetes is left as it is")


def many(story):
    checks, nodes, control = story.checks, story.nodes, story.control
    addresses = [f"10.2.{i // 100}.{i % 100 + 1}" for i in range(130)]
    story.make(service("many"), *(pod(f"many-{i}", "many") for i in range(len(addresses))))
    for i, address in enumerate(addresses):
        nodes.tell(f"many-{i}", address)
    ready = (True, True, False)
    story.leads("many", {address: ready for address in addresses}, "130 pods")
    sizes = sorted(len(each["endpoints"]) for each in story.slices("many"))
    checks.equal((sum(sizes), sizes[-1] <= 100, len(sizes)), (130, True, 2), f"in two slices: {sizes}")
    for i, address in enumerate(addresses):
        nodes.tell(f"many-{i}", address, ready=i % 3 != 0)
        if i == 60:
            control.kill()
            control.start()
    wanted = {address: (i % 3 != 0, i % 3 != 0, False) for i, address in enumerate(addresses)}
    story.leads("many", wanted, "a third of them cease to be ready, and gantry-control is killed midway")
    found = [one["addresses"][0] for each in story.slices("many") for one in each["endpoints"]]
    checks.equal(sorted(found), sorted(addresses), "none is there twice")
    story.led("many", {8080: (sorted(a for a in addresses if wanted[a][0]), sorted(a for a in addresses if not wanted[a][0]))}, "in order")


def balanced(story):
    """LoadBalancer by node address."""
    checks, control, nodes = story.checks, story.control, story.nodes

    def told(name, *addresses):
        nodes.request("PATCH", f"/api/v1/nodes/{name}/status", {"status": {
            "addresses": [{"type": kind, "address": address} for kind, address in addresses]}})

    def has(wanted, what):
        """kubectl shows these as the service's external addresses."""
        c.wait_until(f"the addresses are {wanted}", lambda: control.out(
            "get", "service", "front", "-o", "jsonpath={.status.loadBalancer.ingress[*].ip}").split() == wanted)
        checks.ok(True, what)

    told("n1", ("InternalIP", "192.0.2.11"), ("InternalIP", "2001:db8::11"))
    told("n2", ("InternalIP", "192.0.2.12"), ("ExternalIP", "203.0.113.12"))
    story.make(service("front", type="LoadBalancer"), service("cloud", type="LoadBalancer", loadBalancerClass="example.com/cloud"))
    has(["192.0.2.11", "203.0.113.12"], "LoadBalancer: the nodes' addresses, external ones rather than internal ones")
    listed = control.out("get", "service", "front", "--no-headers").split()
    checks.equal((listed[1], listed[3]), ("LoadBalancer", "192.0.2.11,203.0.113.12"), "kubectl get service")
    checks.equal(control.json("get", "service", "front")["metadata"]["finalizers"], ["service.kubernetes.io/load-balancer-cleanup"],
                 "held as long as it has them")
    c.wait_until("events tell", lambda: "EnsuredLoadBalancer" in control.out("describe", "service", "front"))
    control.out("patch", "service", "front", "-p", '{"spec":{"ipFamilyPolicy":"PreferDualStack"}}')
    has(["192.0.2.11", "203.0.113.12", "2001:db8::11"], "of both families")
    control.out("label", "node", "n1", "node.kubernetes.io/exclude-from-external-load-balancers=")
    has(["203.0.113.12"], "not of a node that is excluded")
    control.kill()
    control.start()
    control.out("label", "node", "n1", "node.kubernetes.io/exclude-from-external-load-balancers-")
    has(["192.0.2.11", "203.0.113.12", "2001:db8::11"], "and again of one that is no more, after gantry-control was killed")
    control.out("patch", "service", "front", "-p", '{"spec":{"externalTrafficPolicy":"Local"}}')
    has([], "Local: of no node without a ready endpoint")
    story.make(pod("front-1", "front", "n2"))
    nodes.tell("front-1", "10.1.4.1")
    has(["203.0.113.12"], "and of that which has one")
    control.out("patch", "service", "front", "-p", '{"spec":{"type":"ClusterIP","externalTrafficPolicy":null}}')
    has([], "a service of another type has none")
    c.wait_until("it is let go", lambda: "finalizers" not in control.json("get", "service", "front")["metadata"])
    control.out("patch", "service", "front", "-p", '{"spec":{"type":"LoadBalancer"}}')
    has(["192.0.2.11", "203.0.113.12", "2001:db8::11"], "and again")
    control.out("delete", "service", "front")
    checks.ok(True, "it can be deleted")
    other = control.json("get", "service", "cloud")
    checks.equal((other["status"], other["metadata"].get("finalizers")), ({"loadBalancer": {}}, None), "of another class: somebody else's")


def story(checks):
    with Control(checks, ["--service-cidr=10.96.0.0/16,fd00:96::/112", "--cluster-cidr=10.0.0.0/8,fd00::/48",
                          "--controllers=*,-node-lifecycle-controller"]) as control, HollowNodes(control) as nodes:
        nodes.add("n1", {"topology.kubernetes.io/zone": "a"})
        nodes.add("n2", {"topology.kubernetes.io/zone": "b"})
        for part in comes_and_goes, names_and_ports, hints, families, mirrored, many, balanced:
            part(Story(checks, control, nodes))


c.main(story)
