#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# faults
"""Two servers over one etcd: both are endpoints of the Service kubernetes, clients and tokens of one are good at the other, no
node port or address is given twice, and when one is killed the other goes on alone."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from servers import server
from stores import Etcd

ADVERTISED = ["192.0.2.1", "192.0.2.2"]

def endpoints(control):
    """What Endpoints and EndpointSlice say."""
    subsets = control.json("get", "endpoints", "kubernetes").get("subsets", [])
    slices = control.json("get", "endpointslice", "kubernetes")["endpoints"]
    found = [address["ip"] for address in subsets[0]["addresses"]]
    # One is written after the other.
    return found if found == [each["addresses"][0] for each in slices] else None


def works(control):
    """Whether the controllers do there. A lease that is not renewed in time is lost."""
    log = control.log()
    return log.count("the controllers work here") > log.count("the lease of the controllers was lost")


def share(checks, first, second):
    c.wait_until("both are endpoints", lambda: endpoints(second) == ADVERTISED and endpoints(first) == ADVERTISED)
    checks.ok(True, "both servers are endpoints of the Service kubernetes")
    first.out("create", "configmap", "here", "--from-literal=a=b")
    c.wait_until("what one stores the other has", lambda: second.kubectl("get", "configmap", "here").returncode == 0)
    token = first.out("create", "token", "default").strip()
    done = subprocess.run([second.kubectl_path or first.kubectl_path, "--server", second.url, "--certificate-authority",
                           first.data / "pki/ca.crt", "--token", token, "auth", "whoami", "--kubeconfig", "/dev/null"],
                          capture_output=True, text=True)
    checks.contains(done.stdout + done.stderr, "system:serviceaccount:default:default",
                    "the other knows the CA's certificate and a token of the one")
    c.wait_until("the controllers work in one of them", lambda: [works(first), works(second)].count(True) == 1)
    checks.ok(True, "the controllers work in one of them")


def race(checks, first, second):
    """Both give node ports and addresses at the same time."""
    def create(control, name):
        for i in range(8):
            control.out("create", "service", "nodeport", f"{name}-{i}", "--tcp=80:80")
    threads = [threading.Thread(target=create, args=each) for each in ((first, "a"), (second, "b"))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    services = first.json("get", "services")["items"]
    ports = [port["nodePort"] for each in services for port in each["spec"]["ports"] if "nodePort" in port]
    addresses = [each["spec"]["clusterIP"] for each in services]
    checks.equal((len(ports), len(set(ports)), len(set(addresses))), (16, 16, len(addresses)),
                 "no node port and no address is given twice")


def death(checks, first, second):
    first.kill()
    second.out("create", "configmap", "alone", "--from-literal=a=b")
    checks.ok(True, "when one is killed the other serves")
    c.wait_until("the dead one is no endpoint", lambda: endpoints(second) == ADVERTISED[1:], limit=60)
    checks.ok(True, "the dead one is an endpoint no more")
    c.wait_until("the controllers work in the other", lambda: works(second), limit=60)
    second.out("create", "namespace", "later")
    second.wait_for_namespace("later")
    checks.ok(True, "the controllers go on in the other")
    first.start()
    c.wait_until("it is back", lambda: endpoints(second) == ADVERTISED)
    checks.ok(True, "it comes back")
    first.stop()
    c.wait_until("it has left", lambda: endpoints(second) == ADVERTISED[1:])
    checks.ok(True, "one that is told to end says so")


def story(checks):
    with tempfile.TemporaryDirectory(prefix="gantry-etcd-") as name, Etcd(pathlib.Path(name)) as cluster:
        with server(checks, cluster.store, 0) as first, server(checks, cluster.store, 1, first) as second:
            share(checks, first, second)
            race(checks, first, second)
            death(checks, first, second)


c.main(story)
