#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""Pods of three nodes reach each other by their own addresses: two nodes on one layer 2, one behind a router, which is reached by
VXLAN. And what Nodes, strangers and gantryd's end do to that."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from nodes import several_nodes
from pods import Pods, container

# Says from where it was asked.
SERVER = "mkdir -p /tmp/w/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' > /tmp/w/cgi-bin/who; chmod +x /tmp/w/cgi-bin/who; " \
         "dd if=/dev/zero of=/tmp/w/big bs=1024 count=2048 2>/dev/null; exec httpd -f -p 8080 -h /tmp/w"


class Stage:
    def __init__(self, checks, world):
        self.checks, self.world, self.control = checks, world, world.control
        self.pods = {}  # name: (node, address)

    def run(self, name, node, **spec):
        pods = Pods(self.checks, self.control, node)
        pods.create(name, container("web", SERVER), **spec)
        pods.wait_ready(name)
        self.pods[name] = node, pods.status(name)["podIP"]

    def ask(self, enter):
        """As whom the pods have seen who asked, by their names: curl's answers, or {} when not all came. `enter` begins its command."""
        urls = [f"http://{address}:8080/cgi-bin/who" for _, address in self.pods.values()]
        done = self.world.network.exec(*enter, "curl", "-sS", "-m", "10", *urls, check=False)
        seen = [line.removeprefix("[::ffff:").removesuffix("]") for line in done.stdout.split()]
        return dict(zip(self.pods, seen)) if done.returncode == 0 and len(seen) == len(self.pods) else {}

    def inside(self, name):
        node, _ = self.pods[name]
        item = next(key for key, pod in node.pods().items() if pod["metadata"]["name"] == name)
        return ["nsenter", f"--net=/proc/{node.shim_pid(item)}/ns/net", "--"]

    @staticmethod
    def on(node):
        return ["nsenter", f"--net=/proc/{node.supervisor()}/ns/net", "--"]

    def reaches_all(self, who, enter):
        return c.wait_until(f"all pods answer {who}", lambda: self.ask(enter))

    def each_reaches_each(self, what):
        seen = {source: self.reaches_all(source, self.inside(source)) for source in self.pods}
        self.checks.equal(seen, {source: dict.fromkeys(self.pods, address) for source, (_, address) in self.pods.items()}, what)


def ours(node):
    """The node's routes to other nodes' pods: range, by whom, on which link."""
    found = {}
    for route in json.loads(node.exec("ip", "-j", "route", "show", "proto", "103").stdout):
        found[route["dst"]] = route["gateway"], route["dev"]
    return found


def links(checks, stage):
    first, second, far = stage.world.nodes
    ranges = {node.name: stage.world.pod_range(node) for node in stage.world.nodes}
    c.wait_until("each node has routes to the others", lambda: all(len(ours(node)) == 2 for node in stage.world.nodes))
    routes = ours(first)
    checks.equal(routes[ranges[second.name]], (second.address, "eth0"), "a node on the same layer 2 is reached by its address")
    gateway, link = routes[ranges[far.name]]
    checks.ok(link.startswith("gtvx"), "one behind a router by VXLAN", f"{gateway} {link}")
    checks.equal(set(ours(far)), {ranges[first.name], ranges[second.name]}, "and it reaches the others")


def everybody(checks, stage):
    for node in stage.world.nodes:
        stage.run(f"pod-{node.number}", node)
    stage.each_reaches_each("pods of all nodes reach each other, and see each other's own addresses")
    wrong = []
    for node in stage.world.nodes:
        own = {node.address, stage.world.pod_range(node).replace("0/24", "1")}
        for name, seen in stage.reaches_all(node.name, stage.on(node)).items():
            if seen not in own:
                wrong.append(f"{node.name} to {name}: seen as {seen}, not of {own}")
    checks.ok(not wrong, "nodes, and pods on their network, reach the pods of all nodes, seen as the node", "\n".join(wrong))


def sizes(checks, stage):
    first, far = stage.pods["pod-10"], stage.pods["pod-12"]
    for name, (_, target) in (("pod-10", far), ("pod-12", first)):
        node = stage.pods[name][0]
        got = stage.world.network.exec(*stage.inside(name), "curl", "-sS", "-m", "100", "-o", "/dev/null", "-w", "%{size_download}",
                                       f"http://{target}:8080/big").stdout
        checks.equal(got, str(2 * 1024 * 1024), f"much at once goes from {name} to a pod behind the router ({node.name})")
    stage.run("after", stage.world.nodes[0])
    link = json.loads(stage.world.network.exec(*stage.inside("after"), "ip", "-j", "link", "show", "eth0").stdout)[0]
    checks.equal(link["mtu"], 1450, "a pod that is made now sends no more at once than VXLAN takes")


def wrong_nodes(checks, stage):
    first = stage.world.nodes[0]
    before = ours(first)
    own = stage.world.pod_range(stage.world.nodes[1])
    rogues = {"takes-all": ("0.0.0.0/0", "192.168.77.200"), "takes-a-node": (f"{first.address}/32", "192.168.77.201"),
              "takes-services": ("10.96.0.0/16", "192.168.77.202"), "takes-pods": (own, "192.168.77.203"),
              "is-a-pod": ("10.245.9.0/24", own.replace("0/24", "77"))}
    for name, (text, address) in rogues.items():
        stage.control.out("create", "-f", "-", given=json.dumps({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"podCIDR": text, "podCIDRs": [text]}}))
        stage.control.out("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps(
            {"status": {"addresses": [{"type": "InternalIP", "address": address}]}}))
    for name in rogues:
        c.wait_until(f"{first.name} says that {name} is wrong", lambda: f"node={json.dumps(name)} reason=" in first.log_file.read_text())
    checks.equal(ours(first), before, "Nodes that claim what is others' change no route")
    said = c.wait_until("events say so", lambda: (text := stage.control.out("get", "events")) and
                        all(f"node {name} are not reached" in text for name in rogues) and text)
    checks.contains(said, "NodeUnreachable", "and events tell of them")
    stage.control.out("delete", "node", *rogues)
    stage.each_reaches_each("and nobody is hurt")


def killed(checks, stage):
    first = stage.world.nodes[0]
    foreign = ("198.51.100.0/24", "via", stage.world.network.address(0, 1))
    first.exec("ip", "route", "add", *foreign)
    before = ours(first)
    with first.without_gantryd():
        seen = stage.reaches_all("pod-11", stage.inside("pod-11"))
        checks.equal(seen, dict.fromkeys(stage.pods, stage.pods["pod-11"][1]), "without gantryd all goes on")
        # A kill in the middle leaves some of it, and what is no longer wanted.
        gone = next(range_ for range_, (_, link) in before.items() if link == "eth0")
        first.exec("ip", "route", "del", gone, "proto", "103")
        metric = json.loads(first.exec("ip", "-j", "route", "show", "proto", "103").stdout)[0]["metric"]
        first.exec("ip", "route", "add", "10.244.200.0/24", "via", stage.world.nodes[1].address, "proto", "103", "metric", metric)
        overlay = next(link for _, link in before.values() if link != "eth0")
        first.exec("bridge", "fdb", "del", *first.exec("bridge", "fdb", "show", "dev", overlay).stdout.split()[:1], "dev", overlay)
    c.wait_until("what is missing is made, and what is too much removed", lambda: ours(first) == before)
    stage.each_reaches_each("the next gantryd makes the rest of it")
    checks.contains(first.exec("ip", "route").stdout, "198.51.100.0/24 via", "somebody else's routes stay")
    first.exec("ip", "route", "del", deleted := next(iter(before)), "proto", "103")
    c.wait_until("a route that somebody deletes is there again", lambda: deleted in ours(first))
    first.exec("ip", "link", "set", "eth0", "down")
    first.exec("ip", "link", "set", "eth0", "up")
    first.exec("ip", "route", "replace", "default", "via", stage.world.network.address(0, 1))
    c.wait_until("a link that was down has its routes again", lambda: ours(first) == before)
    stage.each_reaches_each("and all is as it was")


def strangers(checks, stage):
    """VXLAN is taken from nodes alone: a packet that a stranger, or a pod, packs for a pod does not arrive."""
    far = stage.world.nodes[2]
    _, target = stage.pods["pod-12"]
    link = next(link for _, link in ours(far).values())
    mac = json.loads(far.exec("ip", "-j", "link", "show", link).stdout)[0]["address"]
    counter = [*stage.inside("pod-12"), "cat", "/proc/net/snmp"]

    def received():
        names, numbers = [line.split() for line in stage.world.network.exec(*counter).stdout.splitlines() if line.startswith("Udp:")]
        return int(numbers[names.index("NoPorts")])

    def send(enter, source):
        """A datagram to a port of the pod where nobody listens, as if from `source`, in VXLAN."""
        stage.world.network.exec(*enter, sys.executable, "-c", PACK, far.address, mac, source, target)

    before = received()
    peer = stage.world.nodes[0]
    send(stage.on(peer), stage.pods["pod-10"][1])
    c.wait_until("what a node packs for one of its pods arrives", lambda: received() == before + 1)
    send([], stage.pods["pod-10"][1])  # the router
    send(stage.inside("pod-10"), stage.pods["pod-10"][1])  # seen as the pod's, or masqueraded as its node's
    send(stage.on(peer), "192.0.2.9")  # of nobody's range
    send(stage.on(peer), stage.pods["pod-10"][1])
    c.wait_until("and the last one again", lambda: received() >= before + 2)
    checks.equal(received(), before + 2, "what strangers and pods pack, or a node with an address that is no pod's, does not")


PACK = """
import socket, struct, sys
node, mac, source, target = sys.argv[1:]
def total(data):
    s = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while s >> 16: s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
udp = struct.pack('!HHHH', 4000, 9, 12, 0) + b'evil'
head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(target))
head = head[:10] + struct.pack('!H', total(head)) + head[12:]
ether = bytes.fromhex(mac.replace(':', '')) + bytes(5) + b'\\x02' + b'\\x08\\x00'
vxlan = struct.pack('!II', 0x08000000, 103 << 8)
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(vxlan + ether + head + udp, (node, 8472))
"""


def leaves(checks, stage):
    first, second, far = stage.world.nodes
    gone = stage.world.pod_range(far)
    far.stop()
    stage.control.out("delete", "node", far.name)
    c.wait_until("a node that is gone has no route any more", lambda: gone not in ours(first) and gone not in ours(second))
    c.wait_until("where none is behind a router there is no VXLAN", lambda: "gtvx" not in first.exec("ip", "-br", "link").stdout)
    checks.ok(True, "and where none is behind a router there is no VXLAN")
    del stage.pods["pod-12"]
    stage.each_reaches_each("the others reach each other")
    moved = "10.244.77.0/24"
    stage.control.out("delete", "node", second.name)
    stage.control.out("create", "-f", "-", given=json.dumps({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": second.name}, "spec": {"podCIDR": moved, "podCIDRs": [moved]}}))
    c.wait_until("a node with another range has another route", lambda: set(ours(first)) == {moved})
    checks.ok(True, "a node's range changes")


def story(checks):
    with several_nodes(checks, (2, 1)) as world:
        stage = Stage(checks, world)
        links(checks, stage)
        everybody(checks, stage)
        sizes(checks, stage)
        strangers(checks, stage)
        wrong_nodes(checks, stage)
        killed(checks, stage)
        leaves(checks, stage)


c.main(story)
