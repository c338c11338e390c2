#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""Pods on networks that Debian's CNI plugins make: a bridge with ports, bandwidth and both families, and point-to-point links.
What the plugins keep of a pod is gone with it."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cni import CniNode

WEB = "mkdir /www; hostname > /www/name; exec httpd -f -p 80 -h /www"


def run(node, name, **more):
    config = node.pod_config(name, hostname=name, **more)
    pod = node.run_pod(config)
    return pod, node.run_container(pod, node.container_config("web", WEB), config)


def answers(node, address, name, what):
    def fetch():
        return node.exec("curl", "-s", "-g", "-m", "5", f"http://{address}/name", check=False).stdout.strip() == name
    node.checks.ok(c.wait_until(what, fetch), what)


def fetch_within(node, container, address):
    script = f"printf 'GET /name HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 60 {address} 80"
    return node.crictl("exec", container, "sh", "-c", script, check=False).stdout.split("\n\n")[-1].strip()


def bridge(node):
    checks = node.checks
    ready, why = node.network_ready()
    checks.ok(not ready and "there is no CNI configuration" in why, "without a configuration the network is not ready", why)
    checks.contains(node.refusal("runp", node.write(node.pod_config("early"))), "there is no CNI configuration",
                    "and a pod is refused, with the reason")
    checks.equal(node.pods(), {}, "nothing is left of that")
    node.configure_bridge()
    checks.equal(node.network_ready(), (True, ""), "with the file it is")

    one, web = run(node, "one", port_mappings=[{"protocol": 0, "container_port": 80, "host_port": 12000}],
                   annotations={"kubernetes.io/ingress-bandwidth": "50M"})
    two, other = run(node, "two", annotations={"kubernetes.io/ingress-bandwidth": "50M"})
    network = node.pod_status(one)["network"]
    address, more = network["ip"], network["additionalIps"][0]["ip"]
    checks.ok(address.startswith("10.99.0.") and more.startswith("fd99::"), "a pod has an address of each family", str(network))
    answers(node, address, "one", "the host reaches it")
    answers(node, "127.0.0.1:12000", "one", "by its port of the host, too")
    address_of_two = node.pod_status(two)["network"]["ip"]
    answers(node, address_of_two, "two", "and the other")
    checks.equal(fetch_within(node, other, address), "one", "another pod reaches it")
    checks.equal(fetch_within(node, web, address_of_two), "two", "and it reaches that one")
    checks.contains(node.crictl("exec", web, "cat", "/proc/net/if_inet6").stdout, " lo\n", "its loopback is up")
    checks.contains(node.exec("tc", "qdisc").stdout, "tbf", "its bandwidth is limited")
    checks.contains(node.exec("ip", "netns").stdout, f"gantry-{one}", "`ip netns` knows its namespace")
    checks.ok(int(node.json("statsp", "-o", "json", one)["stats"][0]["linux"]["network"]["defaultInterface"]["rxBytes"]["value"]) > 0,
              "its network is counted")
    # Not of the one with a port: the portmap of 1.1.1 looks for it among the rules of IPv6, too.
    checks.equal(node.json("inspectp", two)["cni"], {"check": "ok"}, "CHECK says that all is well")

    node.kill_gantryd()
    node.wait_for_gantryd()
    checks.equal(node.pod_status(one)["network"]["ip"], address, "the next gantryd knows its address")
    answers(node, "127.0.0.1:12000", "one", "and it is reached as before")
    node.exec("ip", "netns", "exec", f"gantry-{two}", "ip", "route", "del", "default")
    checks.contains(node.json("inspectp", two)["cni"]["check"], ['CNI network pods: CNI plugin "bridge", CHECK: code', "0.0.0.0"],
                    "CHECK tells of a pod that lost its route, and which plugin says so")

    node.put(node.base / "net.d/00-wrong.conf", "{")
    ready, why = node.network_ready()
    checks.ok(not ready and "00-wrong.conf" in why, "a first file that is wrong is not passed over", why)
    node.crictl("rmp", "--force", one)
    node.crictl("rmp", "--force", two)
    checks.equal(node.made(), {"rules": [], "links": [], "leases": []}, "pods end as they began: by the configuration of then")
    node.wait_for_nothing("and nothing of theirs is left")
    node.base.joinpath("net.d/00-wrong.conf").unlink()


def in_users(node):
    ids = [{"host_id": 131072, "container_id": 0, "length": 65536}]
    options = {"pid": 1, "userns_options": {"mode": 0, "uids": ids, "gids": ids}}
    users = {"linux": {"security_context": {"namespace_options": options}}}
    config = node.pod_config("users", hostname="users", **users)
    pod = node.run_pod(config)
    node.run_container(pod, node.container_config("web", WEB, **users), config)
    answers(node, node.pod_status(pod)["network"]["ip"], "users", "a pod with a user namespace is reached, too")
    node.crictl("rmp", "--force", pod)
    node.checks.equal(node.made(), {"rules": [], "links": [], "leases": []}, "and ends as the others")


def point_to_point(node):
    ipam = {"type": "host-local", "dataDir": str(node.base / "ipam"), "subnet": "10.98.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}
    node.configure(None, name="none", file="05-ptp.conf", version="0.3.1", type="ptp", ipMasq=True, ipam=ipam)
    pod, _ = run(node, "links")
    address = node.pod_status(pod)["network"]["ip"]
    node.checks.ok(address.startswith("10.98.0."), "a single plugin's file, in an old version, is the first one now", address)
    answers(node, address, "links", "the host reaches its pod")
    shim = c.Process(node.shim_pid(pod))
    with shim:
        shim.kill()
    c.wait_until("the pod's end is seen", lambda: node.pod_status(pod)["state"] == "SANDBOX_NOTREADY")
    node.crictl("rmp", "--force", pod)
    leases = [path.name for path in (node.base / "ipam/none").iterdir() if path.name[0].isdigit()]
    node.checks.equal((leases, node.made()["links"]), ([], []), "a pod whose shim was killed gives back what it had")
    node.wait_for_nothing("nothing of it is left")


def story(checks):
    with CniNode(checks) as node:
        node.build_image()
        bridge(node)
        in_users(node)
        point_to_point(node)


c.main(story)
