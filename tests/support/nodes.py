# SPDX-License-Identifier: Apache-2.0
"""A cluster of several nodes, each with a network stack of its own (node.py), on a network that the test makes.

The network is one more namespace: a bridge in it for each segment, with a link to each node of the segment, and the control plane.
It routes between its segments, and is the nodes' default route:

    segment 0   192.168.77.0/24  fd00:77::/64      segment 1   192.168.78.0/24  fd00:78::/64      ...
                .1 and ::1 of each are the network's own; a node is at .10, .11 ... and ::10, ::11 ... of its segment

Nodes of one segment are on the same layer 2, those of two are behind a router. All of it ends with the test, however that ends, but
for the nodes of a test that was killed by SIGKILL: `gantry node stop`.
"""
import contextlib
import ctypes
import os
import signal
import subprocess

import checks as c
from cluster import JoiningNode, NetworkControl, entering
from cri_client import IMAGE
from node import run

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """The switch, and the router between switches. `with` has it there; commands run in it by exec()."""

    def __init__(self, segments=1):
        self.segments = segments
        self.keeper = None

    def __enter__(self):
        def enter():
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if libc.unshare(CLONE_NEWNET):
                os._exit(1)
        self.keeper = subprocess.Popen(["sh", "-c", "echo made && exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       preexec_fn=enter, text=True)
        try:
            if self.keeper.stdout.readline() != "made\n":
                raise c.Failure("a network namespace of the test's own can't be made")
            self.exec("ip", "link", "set", "lo", "up")
            self.exec("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
            for segment in range(self.segments):
                bridge = f"segment{segment}"
                self.exec("ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0")
                self.exec("ip", "link", "set", bridge, "up")
                self.give(bridge, segment, 1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.keeper.stdin.close()
        self.keeper.stdout.close()
        self.keeper.wait()

    @property
    def pid(self):
        return self.keeper.pid

    def exec(self, *command, check=True, limit=120, stdin=None):
        return run([*entering(self.pid), *command], check, limit * c.slowness, stdin)

    @staticmethod
    def address(segment, number, family=4):
        return f"192.168.{77 + segment}.{number}" if family == 4 else f"fd00:{77 + segment}::{number}"

    def give(self, link, segment, number, enter=None):
        """The addresses of that number to a link: of the network, or of the node whose commands `enter` begins."""
        for family, prefix in ((4, 24), (6, 64)):
            address = f"{self.address(segment, number, family)}/{prefix}"
            # No duplicate address detection: an IPv6 address is there at once.
            run([*(enter or entering(self.pid)), "ip", "address", "add", address, "dev", link, *(["nodad"] if family == 6 else [])])

    def connect(self, node, segment, number, mtu=1500):
        """A link from the node (eth0 there) to the segment; its addresses, and its default routes by the network."""
        here, enter = f"node{number}", entering(node.supervisor())
        self.exec("ip", "link", "add", here, "mtu", mtu, "type", "veth",
                  "peer", "name", "eth0", "mtu", mtu, "netns", node.supervisor())
        self.exec("ip", "link", "set", here, "master", f"segment{segment}", "up")
        self.give("eth0", segment, number, enter)
        run([*enter, "ip", "link", "set", "eth0", "up"])
        for family in (4, 6):
            run([*enter, "ip", f"-{family}", "route", "add", "default", "via", self.address(segment, 1, family)])

    def unplug(self, node):
        """The node's end of the link stays, without a carrier."""
        self.exec("ip", "link", "set", f"node{node.number}", "down")

    def plug(self, node):
        self.exec("ip", "link", "set", f"node{node.number}", "up")


class NetworkNode(JoiningNode):
    """A node at a place of a Network; its number there is the end of its addresses."""

    def __init__(self, checks, network, segment, number, mtu=1500, options=(), **more):
        # Its pods have the range that the cluster gives it.
        super().__init__(checks, suffix=f"n{number}", options=("--pod-cidr", "", *options), **more)
        self.network, self.segment, self.number, self.mtu = network, segment, number, mtu

    @property
    def address(self):
        return self.network.address(self.segment, self.number)

    def start(self, prefix=()):
        super().start(prefix)
        self.network.connect(self, self.segment, self.number, self.mtu)


class Nodes:
    """What several_nodes() gives: the cluster's `nodes`, their `network`, and `control`, the control plane in it."""

    def __init__(self, network, nodes, control):
        self.network, self.nodes, self.control = network, nodes, control

    def pod_range(self, node):
        return self.control.json("get", "node", node.name)["spec"]["podCIDR"]


@contextlib.contextmanager
def several_nodes(checks, segments=(3,), images=(IMAGE,), arguments=(), mtus=None, **options):
    """A cluster with as many nodes in each segment as `segments` says, (3,) or (2, 1), joined and Ready and with these images: a Nodes.
    `arguments` are gantry-control's, `options` JoiningNode's, and `mtus` those of the segments' links."""
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(Network(len(segments)))
        control = stack.enter_context(NetworkControl(checks, network.pid, network.address(0, 1), arguments))
        nodes = []
        for segment, count in enumerate(segments):
            for _ in range(count):
                node = NetworkNode(checks, network, segment, 10 + len(nodes), mtus[segment] if mtus else 1500, **options)
                nodes.append(stack.enter_context(node))
                for image in images:
                    node.build_image(image)
                node.join(control.join_words())
                node.kill_gantryd()
                node.wait_for_gantryd()
        for node in nodes:
            node.wait_until_ready(control)
            node.wait_for_serving_certificate()
        yield Nodes(network, nodes, control)
