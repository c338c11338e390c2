#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Services of a real node: pods and the node itself reach them by their addresses, from curl; default/kubernetes is the API server;
connections and rules outlive gantryd, and rules that somebody flushed come again."""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import entering
from cri_client import IMAGE
from nodes import several_nodes

WEB = "hostname > /tmp/index.html; httpd -f -p 8080 -h /tmp"


def objects():
    yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
           "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}}
    yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
            "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1, "containers": [{
                "name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", WEB],
                "ports": [{"containerPort": 8080}]}]}}}}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "balanced"},
           "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "selector": {"app": "web"},
                    "ports": [{"port": 80, "targetPort": 8080}]}}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "nobody"},
           "spec": {"selector": {"app": "nobody"}, "ports": [{"port": 80}]}}


class Story:
    def __init__(self, checks, cluster):
        self.checks, self.control, self.node, self.network = checks, cluster.control, cluster.nodes[0], cluster.network

    def service(self, name):
        return self.control.json("get", "service", name)["spec"]

    def pods(self):
        found = self.control.json("get", "pods", "-l", "app=web")["items"]
        return {each["metadata"]["name"]: each["status"].get("podIP") for each in found if "deletionTimestamp" not in each["metadata"]}

    def inside(self, pod):
        """The beginning of commands that run in a pod's network."""
        for sandbox in self.node.json("pods", "-o", "json")["items"]:
            if sandbox["metadata"]["name"] == pod and sandbox["state"] == "SANDBOX_READY":
                return ["nsenter", "--target", str(self.node.shim_pid(sandbox["id"])), "--net"]
        raise c.Failure(f"no sandbox of {pod}")

    def get(self, url, prefix=(), *options):
        """What curl said, and its exit code."""
        done = self.node.exec(*prefix, "curl", "-sS", "-k", "--max-time", int(60 * c.slowness), *options, url, check=False,
                              limit=120 * c.slowness)
        return done.stdout.strip() if done.returncode == 0 else f"curl: {done.returncode}"

    def document(self, url, prefix):
        """What is said as JSON; {}: nobody answered."""
        said = self.get(url, prefix)
        return {} if said.startswith("curl: ") else json.loads(said)

    def answers(self, what, url, prefix=()):
        """Both pods do, in some order."""
        met = set()

        def both():
            met.add(self.get(url, prefix))
            return met >= set(self.pods())
        c.wait_until(what, both, limit=5 * c.PATIENCE)
        self.checks.ok(True, what)


def story(checks):
    with several_nodes(checks, segments=(1,)) as cluster:
        told = Story(checks, cluster)
        told.control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects())}))
        checks.contains(told.control.rolled_out("deployment/web", 5 * c.PATIENCE), ["successfully rolled out"], "a Deployment is there")
        web, nobody = told.service("web"), told.service("nobody")
        url = f"http://{web['clusterIP']}/"
        told.answers("the node reaches both pods of a Deployment by its service's address", url)
        pod = sorted(told.pods())[0]
        inside = told.inside(pod)
        told.answers("so does a pod, itself among them", url, inside)
        port = f"http://{told.node.address}:{web['ports'][0]['nodePort']}/"
        told.answers("and another host by the port of the node", port, [*entering(told.network.pid)])
        c.wait_until("a service without pods refuses", lambda: told.get(f"http://{nobody['clusterIP']}/", inside) == "curl: 7")
        checks.ok(True, "a service without pods refuses")
        api = told.service("kubernetes")
        checks.contains(told.get(f"https://{api['clusterIP']}/version", inside), ["gitVersion"],
                        "a pod reaches the API server by default/kubernetes")

        balancer = f"http://{told.node.address}:{told.service('balanced')['healthCheckNodePort']}/"
        outside = [*entering(told.network.pid)]
        wanted = {"service": {"namespace": "default", "name": "balanced"}, "localEndpoints": 2, "serviceProxyHealthy": True}
        c.wait_until("the load balancer is told", lambda: told.document(balancer, outside) == wanted)
        checks.ok(True, "a load balancer is told how many pods of a service are here")
        healthz = f"http://{told.node.address}:10256/healthz"
        c.wait_until("the node is said to serve", lambda: told.document(healthz, outside).get("nodeEligible") is True)
        checks.ok(True, "and that the node serves services")

        # A connection that goes on while gantryd ends, and what changes meanwhile.
        held = subprocess.Popen([str(part) for part in (*entering(told.node.supervisor()), *inside, "python3", "-c", HOLDS,
                                                        web["clusterIP"])],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            checks.equal(held.stdout.readline(), "connected\n", "a connection to the service is there")
            with told.node.without_gantryd():
                held.stdin.write("go\n")
                held.stdin.flush()
                checks.contains(held.stdout.readline(), ["HTTP/1."], "it lives while there is no gantryd")
                told.answers("and new ones are made", url, inside)
                told.control.out("scale", "deployment/web", "--replicas=1")
            told.node.wait_for_gantryd()
        finally:
            held.kill()
            held.wait()
            held.stdin.close()
            held.stdout.close()
        c.wait_until("one pod is left", lambda: len(told.pods()) == 1)
        (left,) = told.pods()
        c.wait_until("the next gantryd's rules are of what is now",
                     lambda: {told.get(url, (), "--connect-timeout", "5") for _ in range(8)} == {left}, limit=5 * c.PATIENCE)
        checks.ok(True, "the next gantryd serves what is there now")

        c.wait_until("the load balancer is told", lambda: '"localEndpoints": 1' in told.get(balancer, outside))
        told.control.out("scale", "deployment/web", "--replicas=0")
        c.wait_until("the load balancer is told of none",
                     lambda: told.get(balancer, outside, "-o", "/dev/null", "-w", "%{http_code}") == "503")
        checks.ok(True, "a load balancer is told that there is none")
        told.control.out("scale", "deployment/web", "--replicas=1")
        c.wait_until("one pod is there again", lambda: len(told.pods()) == 1 and told.get(url) in told.pods())
        (left,) = told.pods()

        told.node.exec("python3", "-c", FLUSHES)
        # A connection that began meanwhile goes nowhere.
        c.wait_until("rules that somebody flushed are there again", lambda: told.get(url, (), "--connect-timeout", "5") == left,
                     limit=5 * c.PATIENCE)
        checks.ok(True, "rules that somebody flushed come again")


# Asks for a page when it is told to, on a connection that was there before.
HOLDS = """
import socket, sys
peer = socket.create_connection((sys.argv[1], 80), timeout=600)
print("connected", flush=True)
sys.stdin.readline()
peer.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(peer.recv(100).split(b"\\r\\n")[0], flush=True)
"""
# `nft flush ruleset`, where there is no nft.
FLUSHES = """
import ctypes
nft = ctypes.CDLL("libnftables.so.1")
nft.nft_ctx_new.restype = ctypes.c_void_p
assert nft.nft_run_cmd_from_buffer(ctypes.c_void_p(nft.nft_ctx_new(0)), b"flush ruleset") == 0
"""


c.main(story)
