#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# long
"""Two nodes on one switch, with routes to each other's pods made by hand: pods reach each other under their own addresses and
no others, with any amount of data, and a cut of the network is a pause."""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from vm.node import VmNode
from vm.switch import Switch, side_by_side

MB = 1 << 20
CLUSTER, PODS = "10.88.0.0/16", {"one": "10.88.1.0/24", "two": "10.88.2.0/24"}
# A server that tells who asks, and has a file of 16 MB.
SERVE = r"""cd {folder}; busybox mkdir -p www/cgi-bin
printf '#!/bin/sh\necho; echo $REMOTE_ADDR\n' > www/cgi-bin/who; busybox chmod 755 www/cgi-bin/who
busybox dd if=/dev/urandom of=www/big bs=1M count=16
exec busybox httpd {how} -p 0.0.0.0:80 -h www"""
GET = r"printf 'GET {path} HTTP/1.0\r\n\r\n' | busybox nc {wait} {address} 80"
FETCH = GET + f" | busybox tail -c {16 * MB} | busybox sha256sum"
NARROW = 1400


class Pod:
    """One that serves, on a node."""

    def __init__(self, node):
        self.node, self.config = node, node.pod_config("web")
        self.id = node.run_pod(self.config)
        self.address = node.pod_status(self.id)["network"]["ip"]
        self.container = self.run("web", SERVE.format(folder="/", how="-f"))
        self.pid = node.container_pid(self.container)

    def run(self, name, script):
        return self.node.run_container(self.id, self.node.container_config(name, script), self.config)

    def shell(self, script):
        return self.node.crictl("exec", self.container, "sh", "-c", script).stdout.strip()

    def seen_by(self, address):
        """The address under which the server there sees us; '' when it does not answer."""
        return self.shell(GET.format(address=address, path="/cgi-bin/who", wait="-w 20") + " | busybox tail -n 1")

    def is_the_same(self):
        status = self.node.container_status(self.container)
        return (status["state"], self.node.container_pid(self.container)) == ("CONTAINER_RUNNING", self.pid)

    def received(self):
        """Bytes that came by its eth0."""
        line = next(line for line in self.node.read(f"/proc/{self.pid}/net/dev").splitlines() if "eth0:" in line)
        return int(line.split(":")[1].split()[0])

    def fetch(self, name, other):
        """Starts to fetch the other's file."""
        return self.run(name, FETCH.format(address=other.address, path="/big", wait=""))

    def fetched(self, name, other, container):
        """Whether that gave the whole file."""
        c.wait_until("the file has come", lambda: self.node.container_status(container)["state"] == "CONTAINER_EXITED", 180)
        return other.shell("busybox sha256sum www/big").split()[0] in self.node.read(f"{self.config['log_directory']}/{name}.log")


def reach(checks, switch, pods):
    for pod, other in (pods, pods[::-1]):
        c.wait_until("the server runs", lambda: pod.seen_by(pod.address), 120)
        checks.equal(pod.seen_by(other.address), pod.address,
                     f"a pod of {other.node.name} sees a pod of {pod.node.name} under its own address")
    one, two = (pod.node for pod in pods)
    asked = one.machine.run("curl", "-s", "-m", "20", f"http://{pods[1].address}/cgi-bin/who").strip()
    checks.equal(asked, switch.address(one), "and the node itself under the node's")
    two.machine.shell(SERVE.format(folder="/root", how=""))
    checks.equal(pods[0].seen_by(switch.address(two)), switch.address(one), "outside of the cluster's pods a pod has its node's")


def carry(checks, pods):
    for mtu in (1500, NARROW):
        for pod in pods:
            pod.node.machine.run("ip", "link", "set", "eth0", "mtu", mtu)
        for pod, other in (pods, pods[::-1]):
            name = f"fetch-{mtu}"
            checks.ok(pod.fetched(name, other, pod.fetch(name, other)),
                      f"16 MB come whole from {other.node.name} to {pod.node.name} where packets are up to {mtu} bytes")


def forge(checks, switch, pods):
    """Addresses that are not the pod's: another pod's, one of the other node's pods, its node's, and a stranger's."""
    pod, other = pods
    forged = ["10.88.1.77", "10.88.2.77", switch.address(pod.node), "203.0.113.5"]
    other.node.machine.run("nft", "-f", "-", data=f"""table ip seen {{
        counter honest {{ }}
        counter forged {{ }}
        chain arriving {{
            type filter hook prerouting priority -400;
            ip saddr {pod.address} counter name honest
            ip saddr {{ {", ".join(forged)} }} icmp type echo-request counter name forged
        }}
    }}""")
    inside = f"nsenter -t {pod.pid} -n"
    for address in forged:
        pod.node.machine.shell(f"{inside} ip address add {address}/32 dev eth0")
    for address in (*forged, pod.address):
        pod.node.machine.shell(f"{inside} ping -c 3 -i 0.2 -W 1 -I {address} {other.address} || true")
    honest, wrong = (other.node.machine.run("nft", "list", "counter", "ip", "seen", name) for name in ("honest", "forged"))
    checks.contains(honest, "packets 3 ", "what a pod sends from its address arrives")
    checks.contains(wrong, "packets 0 ", "and nothing of what it sends from another's")


def cut(checks, switch, pods):
    pod, other = pods
    before = pod.received()
    container = pod.fetch("through-a-cut", other)
    c.wait_until("the file is on its way", lambda: pod.received() > before + 2 * MB, 60)
    with switch.cut(other.node):
        c.wait_until("what is on its way has come", lambda: pod.received() == (time.sleep(0.5), pod.received())[1], 30)
        stalled = pod.received()
        time.sleep(3)
        checks.equal(pod.received(), stalled, "while the network is cut nothing comes")
        checks.ok(stalled < before + 16 * MB, "and the file is not whole", f"{stalled - before} bytes")
    checks.ok(pod.fetched("through-a-cut", other, container), "healed, the transfer goes on, and the file is whole")
    with other.node.machine.unplugged():
        checks.equal(other.node.read("/sys/class/net/eth0/carrier").strip(), "0", "a node's cable is out")
    c.wait_until("it is in again", lambda: other.node.read("/sys/class/net/eth0/carrier").strip() == "1")
    checks.equal(pod.seen_by(other.address), pod.address, "and in again: its pods are reached")
    checks.ok(pod.is_the_same() and other.is_the_same(), "of all this no pod has ended")


def main(checks):
    with Switch() as switch:
        nodes = [VmNode(checks, name, flags=(f"--pod-cidr={pods}", f"--cluster-cidr={CLUSTER}"), network=switch)
                 for name, pods in PODS.items()]
        with side_by_side(*nodes):
            for node, other in (nodes, nodes[::-1]):
                node.machine.run("ip", "route", "add", PODS[other.name], "via", switch.address(other))
            pods = [Pod(node) for node in nodes]
            reach(checks, switch, pods)
            carry(checks, pods)
            forge(checks, switch, pods)
            cut(checks, switch, pods)


c.main(main)
