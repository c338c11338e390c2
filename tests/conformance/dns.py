#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""The node's DNS, asked by Debian's dig on the node and by busybox in a pod: the names of the Kubernetes DNS specification 1.1.0, other
names by way of a resolver that the test plays, and gantryd, then its worker, killed while it is asked."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import READY, SLEEPS, JoiningNode, NodeControl, entering
from cri_client import IMAGE
from node import read_pids

UPSTREAM = "127.0.0.53"
CONFIG = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
evictionHard:
  memory.available: 100Mi
resolvConf: {folder}/resolv.conf
"""
SVC = "default.svc.cluster.local"


class Upstream:
    """resolver.py in the node's network; `heard` are the questions."""

    def __init__(self, node):
        program = pathlib.Path(__file__).resolve().parent.parent / "support/resolver.py"
        self.heard = []
        self.process = subprocess.Popen([*entering(node.supervisor()), sys.executable, "-B", program, UPSTREAM],
                                        stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise c.Failure("the test's resolver does not serve")
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.heard.append(line.split())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class World:
    def __init__(self, checks, control, node, upstream, folder):
        self.checks, self.control, self.node, self.upstream, self.folder = checks, control, node, upstream, folder
        self.server = control.json("get", "service", "kube-dns", "--namespace=kube-system")["spec"]["clusterIP"]

    def dig(self, name, kind="A", *options):
        # As pods ask: again after five seconds.
        done = self.node.exec("dig", f"@{self.server}", name, kind, "+tries=6", *options, check=False)
        return done.stdout

    def status(self, *question):
        """"NOERROR", "NXDOMAIN", ..."""
        return self.dig(*question).partition("status: ")[2].partition(",")[0]

    def short(self, *question):
        return sorted(self.dig(*question, "+short").split("\n"))[1:]

    def wait_for(self, wanted, *question):
        c.wait_until(f"{question[0]} is {wanted}", lambda: self.short(*question) == wanted)

    def create(self, *objects):
        self.control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def worker(self):
        """Its pid, or None."""
        return next(iter(read_pids(next(self.node.cgroup.rglob("dns")))), None)


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def endpoints(name, of, *several, namespace="default", port=5432):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": of}},
            "ports": [{"name": "sql", "port": port, "protocol": "TCP"}], "endpoints": list(several)}


def cluster_names(world):
    equal, short, status = world.checks.equal, world.short, world.status
    world.create(service("web", clusterIP="10.96.0.20", ports=[{"name": "http", "port": 80}]),
                 service("db", clusterIP="None", ports=[{"name": "sql", "port": 5432}]),
                 service("out", type="ExternalName", externalName="www.example.org"),
                 endpoints("db-1", "db", {"addresses": ["10.1.0.7"], "hostname": "db-0"}, {"addresses": ["10.1.0.8"]},
                           {"addresses": ["10.1.0.9"], "conditions": {"ready": False}}))
    world.wait_for(["10.1.0.7", "10.1.0.8"], f"db.{SVC}")
    world.wait_for(["www.example.org."], f"out.{SVC}", "CNAME")
    equal(short(f"web.{SVC}"), ["10.96.0.20"], "a service has its address")
    equal(short(f"WEB.{SVC}", "A", "+tcp"), ["10.96.0.20"], "by TCP, too, in capital letters")
    equal(short(f"kubernetes.{SVC}"), [world.control.json("get", "service", "kubernetes")["spec"]["clusterIP"]], "the API server has one")
    equal(short(f"db-0.db.{SVC}"), ["10.1.0.7"], "an endpoint with a hostname")
    equal(short(f"10-1-0-8.db.{SVC}"), ["10.1.0.8"], "an endpoint without")
    equal(short(f"_http._tcp.web.{SVC}", "SRV"), [f"0 100 80 web.{SVC}."], "a port")
    equal(short(f"_sql._tcp.db.{SVC}", "SRV"), [f"0 50 5432 10-1-0-8.db.{SVC}.", f"0 50 5432 db-0.db.{SVC}."], "ports of endpoints")
    equal(short("20.0.96.10.in-addr.arpa", "PTR"), [f"web.{SVC}."], "the name of an address")
    equal(short("7.0.1.10.in-addr.arpa", "PTR"), [f"db-0.db.{SVC}."], "the name of an endpoint's")
    equal(short("10-1-2-3.default.pod.cluster.local"), ["10.1.2.3"], "a pod's address")
    equal(short("dns-version.cluster.local", "TXT"), ['"1.1.0"'], "the version of the specification")
    equal([status(f"none.{SVC}"), status(f"web.{SVC}", "AAAA"), status("a.none.svc.cluster.local")], ["NXDOMAIN", "NOERROR", "NXDOMAIN"],
          "no such name, and a name without such an address")
    equal("ANSWER: 0" in world.dig(f"web.{SVC}", "AAAA") and "SOA" in world.dig(f"web.{SVC}", "AAAA"), True, "as its zone says")
    equal(status(f"www.example.org.{SVC}"), "NXDOMAIN", "a name that the search path made is none, and nobody is asked for it")
    equal(world.dig("cluster.local", "AXFR").count("IN\tA\t"), 0, "nobody gets all of the zone")
    equal(short(f"out.{SVC}"), ["192.0.2.1", "www.example.org."], "a service outside is followed")
    equal([one for one in world.upstream.heard if one[1].endswith("cluster.local")], [], "no name of the cluster's left the node")
    # A change of the type counts at once.
    world.control.out("patch", "service", "out", "-p", json.dumps(
        {"spec": {"type": "ClusterIP", "externalName": None, "clusterIP": "10.96.0.21", "ports": [{"port": 80}]}}))
    world.wait_for(["10.96.0.21"], f"out.{SVC}")


def other_names(world):
    equal, short, status = world.checks.equal, world.short, world.status
    equal(short("one.example.org"), ["192.0.2.1"], "others are asked for other names")
    equal(status("none.example.org"), "NXDOMAIN", "and say what is not there")
    world.upstream.process.send_signal(signal.SIGSTOP)
    equal([short("one.example.org"), status("none.example.org")], [["192.0.2.1"], "NXDOMAIN"], "both are remembered")
    world.upstream.process.send_signal(signal.SIGCONT)
    equal(len(short("large.example.org")), 60, "what does not fit UDP is asked by TCP, and answered by it")
    equal(short("spoofed.example.org"), ["192.0.2.1"], "answers to other questions are not taken")
    equal(status("silent.example.org", "A", "+time=20", "+tries=1"), "SERVFAIL", "silence is said to be a failure")
    (world.folder / "resolv.conf.new").write_text("nameserver 127.0.0.54\n")
    os.rename(world.folder / "resolv.conf.new", world.folder / "resolv.conf")
    c.wait_until("another resolver is asked", lambda: status("two.example.org", "A", "+time=20", "+tries=1") == "SERVFAIL")
    (world.folder / "resolv.conf").write_text(f"nameserver {UPSTREAM}\n")
    world.wait_for(["192.0.2.1"], "three.example.org")


def pods(world):
    world.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asks"}, "spec": {
        "nodeName": world.node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "one", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", SLEEPS]}]}})
    world.control.wait_for("asks", "is Ready", READY, "True")
    resolver = world.control.out("exec", "asks", "--", "cat", "/etc/resolv.conf")
    world.checks.equal([f"nameserver {world.server}" in resolver, f"search {SVC} svc.cluster.local cluster.local" in resolver,
                        "ndots:5" in resolver], [True] * 3, "a pod asks the node's DNS, without a word in the configuration")
    for name, wanted in (("web", "10.96.0.20"), (f"web.{SVC}", "10.96.0.20"), ("four.example.org", "192.0.2.1")):
        said = world.control.kubectl("exec", "asks", "--", "/bin/busybox", "nslookup", name).stdout
        world.checks.equal(wanted in said, True, f"in a pod {name} is {wanted}: {said}")
    # Whatever else the host sends to port 53 of itself is that pod's.
    world.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "takes"}, "spec": {
        "nodeName": world.node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "one", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", SLEEPS],
                        "ports": [{"containerPort": 5353, "hostPort": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]}]}})
    world.control.wait_for("takes", "is Ready", READY, "True")
    said = world.control.kubectl("exec", "asks", "--", "/bin/busybox", "nslookup", f"web.{SVC}").stdout
    world.checks.equal(["10.96.0.20" in said, world.short(f"web.{SVC}")], [True, ["10.96.0.20"]],
                       "a pod that has port 53 of the host is not asked for the cluster's names")
    world.control.out("delete", "pod", "takes", "--wait")


def ends(world):
    """Neither gantryd nor its worker is missed."""
    worker = world.worker()
    with world.node.without_gantryd():
        world.checks.equal([world.short(f"web.{SVC}", "A", "+time=60", "+tries=1") for _ in range(20)], [["10.96.0.20"]] * 20,
                           "without gantryd the node's DNS goes on")
        world.checks.equal(world.short("five.example.org"), ["192.0.2.1"], "and asks others")
        world.create(service("late", clusterIP="10.96.0.30", ports=[{"port": 80}]))
        world.control.out("delete", "service", "db")
    world.node.wait_for_gantryd()
    world.wait_for(["10.96.0.30"], f"late.{SVC}")
    world.checks.equal([world.status(f"db.{SVC}"), world.worker()], ["NXDOMAIN", worker],
                       "the next gantryd tells the same worker what is new")
    os.kill(worker, 9)
    world.checks.equal(world.short(f"web.{SVC}"), ["10.96.0.20"], "a worker that was killed is replaced")
    c.wait_until("there is another", lambda: world.worker() not in (None, worker))
    worker = world.worker()
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{worker}/status").read_text().splitlines())
    none = ["0" * 16]
    wanted = {"Uid": ["65534"] * 4, "Gid": ["65534"] * 4, "Groups": [], "CapPrm": none, "CapEff": none, "CapBnd": none,
              "NoNewPrivs": ["1"], "Seccomp": ["2"]}
    world.checks.equal({key: status[key].split() for key in wanted}, wanted, "it is nobody, and may do nothing")
    world.checks.equal(list(pathlib.Path(f"/proc/{worker}/root").iterdir()), [], "and there are no files for it")


def numbers(world):
    page = world.control.out("get", "--raw", f"/api/v1/nodes/{world.node.name}/proxy/metrics")
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if "_dns_" in line and not line.startswith("#"))
    counted = [key for key in ('coredns_dns_requests_total{proto="udp"}', 'coredns_dns_requests_total{proto="tcp"}',
                               'coredns_dns_responses_total{rcode="NXDOMAIN"}', "gantry_dns_forwarded_total")
               if float(lines.get(key, 0)) > 0]
    world.checks.equal(len(counted), 4, f"what was answered is counted, whichever worker it was: {lines}")


def others_serve(world):
    # Of the scope of 127.0.0.1: no source of what goes elsewhere.
    held = lambda: world.server in world.node.exec("ip", "-o", "address", "show", "dev", "lo", "scope", "host").stdout
    world.checks.equal(held(), True, "the node has the address")
    world.create(endpoints("kube-dns-1", "kube-dns", {"addresses": ["10.1.0.53"]}, namespace="kube-system", port=53))
    c.wait_until("the Service is somebody else's", lambda: not held())
    world.control.out("delete", "endpointslice", "kube-dns-1", "--namespace=kube-system")
    c.wait_until("and the node's again", held)
    world.wait_for(["10.96.0.20"], f"web.{SVC}")


def story(checks):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "resolv.conf").write_text(f"nameserver {UPSTREAM}\n")
        (folder / "kubelet.yaml").write_text(CONFIG.format(folder=folder))
        with JoiningNode(checks, kubelet_config=folder / "kubelet.yaml") as node:
            node.build_image()
            with NodeControl(checks, node) as control, Upstream(node) as upstream:
                node.join_as(control.kubeconfig.read_text())
                node.wait_until_ready(control)
                node.approve_serving(control)
                world = World(checks, control, node, upstream, folder)
                for part in (cluster_names, other_names, pods, ends, numbers, others_serve):
                    part(world)
                control.out("delete", "pod", "--all", "--wait=false")
                c.wait_until("all are gone", lambda: control.json("get", "pods")["items"] == [] and not node.pods())


c.main(story)
