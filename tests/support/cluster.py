# SPDX-License-Identifier: Apache-2.0
"""A cluster of one machine: a node of the test's own (node.py) and, in its network, its control plane. kubectl runs there, too."""
import subprocess

import checks as c
from control import BIN, Control
from node import Node


class NodeControl(Control):
    """gantry-control in the network of `node`, on its loopback. Its kubeconfig is seen by the node as well."""

    def __init__(self, checks, node, arguments=()):
        self.node = node
        super().__init__(checks, arguments, enter=self.entering(node))

    @staticmethod
    def entering(node):
        return ["nsenter", f"--net=/proc/{node.supervisor()}/ns/net", "--"]

    def kubectl_command(self, *arguments):
        return [*self.enter, *super().kubectl_command(*arguments)]

    def raw(self, path):
        done = subprocess.run([*self.enter, "curl", "-sk", "-m", "10", "-w", "\n%{http_code}", self.url + path],
                              capture_output=True, text=True)
        if done.returncode:
            raise OSError(done.stderr)
        body, status = done.stdout.rsplit("\n", 1)
        return int(status), body

    def join_words(self):
        """What `token create --print-join-command` says: ["gantry", "join", ...]."""
        done = subprocess.run([*self.enter, BIN / "gantry-control", "token", "create", "--print-join-command", "--data-dir",
                               self.data], capture_output=True, text=True)
        if done.returncode:
            raise c.Failure(done.stderr)
        return done.stdout.split()


class JoiningNode(Node):
    """A Node whose gantryd is a member of `control`'s cluster once configure() has said so: gantryd.yaml names `kubeconfig`, which
    is read at each start."""

    @property
    def kubeconfig(self):
        return self.state / "kubeconfig"

    def join_as(self, text):
        """With that kubeconfig; gantryd starts anew."""
        self.kubeconfig.write_text(text)
        (self.state / "gantryd.yaml").write_text(f"kubeconfig: {self.kubeconfig}\n")
        self.kill_gantryd()
        self.wait_for_gantryd()

    def status_of(self, control):
        """(condition, status, reason) of the Node in the API."""
        conditions = control.json("get", "node", self.name)["status"].get("conditions", [])
        return {one["type"]: (one["status"], one["reason"]) for one in conditions}

    def wait_until_ready(self, control):
        def is_ready():
            done = control.kubectl("get", "node", self.name, "-o",
                                   'jsonpath={.status.conditions[?(@.type=="Ready")].status}')
            return done.stdout == "True"
        c.wait_until(f"{self.name} is Ready", is_ready)
