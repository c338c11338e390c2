#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""Ports of the host that lead to pods, as crictl's users have them: by 127.0.0.1 and by the node's address, from pods, over
the end of gantryd, with one holder each; nothing is left of a pod that was refused one. (Who sees whose address, and who is
kept out: tests/node/netns_host_port_test.cc.)"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import Node

GATEWAY = "10.88.0.1"


class Pods:
    def __init__(self, checks, node):
        self.checks, self.node = checks, node

    def run(self, name, *mappings):
        """A pod that answers its name on port 80, as its id."""
        config = self.node.pod_config(name, port_mappings=[{"protocol": 0} | mapping for mapping in mappings])
        pod_id = self.node.run_pod(config)
        script = f"mkdir /www; echo {name} > /www/name; exec httpd -f -p 80 -h /www"
        container = self.node.run_container(pod_id, self.node.container_config("web", script), config)
        return pod_id, container, config

    def fetch(self, address, limit=60):
        return self.node.exec("curl", "-s", "-m", limit, f"http://{address}/name", check=False).stdout.strip()

    def fetch_within(self, container, address, port):
        script = f"printf 'GET /name HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 60 {address} {port}"
        return self.node.crictl("exec", container, "sh", "-c", script, check=False).stdout.split("\n\n")[-1].strip()

    def answers(self, name, address, what):
        self.checks.ok(c.wait_until(what, lambda: self.fetch(address, 5) == name), what)


def story(checks):
    with Node(checks) as node:
        node.build_image()
        pods = Pods(checks, node)
        one, web, config = pods.run("one", {"container_port": 80, "host_port": 12000},
                                    {"container_port": 80, "host_port": 12001, "host_ip": GATEWAY})
        pods.answers("one", "127.0.0.1:12000", "by 127.0.0.1")
        pods.answers("one", f"{GATEWAY}:12000", "by the node's address")
        pods.answers("one", f"{GATEWAY}:12001", "by the address that it is bound to")
        checks.equal(pods.fetch("127.0.0.1:12001"), "", "and by no other")
        other, client, _ = pods.run("other", {"container_port": 80, "host_port": 12002})
        pods.answers("other", "127.0.0.1:12002", "another pod by its own")
        checks.equal(pods.fetch_within(client, GATEWAY, 12000), "one", "from another pod")
        checks.equal(pods.fetch_within(web, GATEWAY, 12000), "one", "from the pod itself")

        before = node.pods().keys()
        taken = node.pod_config("late", port_mappings=[{"protocol": 0, "container_port": 80, "host_port": port}
                                                       for port in (12003, 12000)])
        checks.contains(node.refusal("runp", node.write(taken)), ["AlreadyExists", "tcp port 12000", one],
                        "a port that another pod has is refused, with its name")
        checks.equal(node.pods().keys(), before, "and nothing is left of that pod")
        checks.equal(pods.fetch("127.0.0.1:12003"), "", "nor its other port")

        with node.without_gantryd():
            checks.equal(pods.fetch("127.0.0.1:12000"), "one", "without gantryd")
        checks.equal(pods.fetch("127.0.0.1:12000"), "one", "with the next one")
        node.crictl("stopp", one)
        checks.equal(pods.fetch("127.0.0.1:12000"), "", "a pod that is stopped has no port")
        checks.equal(pods.fetch("127.0.0.1:12002"), "other", "another pod keeps its own")
        node.crictl("rmp", one)
        node.crictl("rmp", "--force", other)
        again, _, _ = pods.run("again", {"container_port": 80, "host_port": 12000}, {"container_port": 80, "host_port": 12003})
        pods.answers("again", "127.0.0.1:12000", "the next pod gets it")
        pods.answers("again", "127.0.0.1:12003", "and the one that was refused")
        node.crictl("rmp", "--force", again)


c.main(story)
