# SPDX-License-Identifier: Apache-2.0
"""A cluster of one machine: a node of the test's own (node.py) and, in its network, its control plane. kubectl runs there, too."""
import contextlib
import json
import subprocess

import checks as c
from control import BIN, Control
from cri_client import IMAGE
from node import Node


NODE_ADDRESS = "10.88.0.1"
# Of a pod, for Control.wait_for().
READY = '.status.conditions[?(@.type=="Ready")].status'
# A shell that ends when it is told to.
SLEEPS = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def entering(pid):
    """What has a command run in the network of that process."""
    return ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]


class NetworkControl(Control):
    """gantry-control in another network than the test's, that of `pid`, at its address there. kubectl runs there, too."""

    def __init__(self, checks, pid, host, arguments=()):
        super().__init__(checks, arguments, enter=entering(pid), host=host)

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


class NodeControl(NetworkControl):
    """gantry-control in the network of `node`, at its address there: the pods' gateway. That is on the pods' links alone, and while a
    node without pods starts anew there are none: it is given to the loopback, too."""

    def __init__(self, checks, node, arguments=()):
        self.node = node
        subprocess.run([*entering(node.supervisor()), "ip", "address", "replace", f"{NODE_ADDRESS}/32", "dev", "lo"], check=True)
        super().__init__(checks, node.supervisor(), NODE_ADDRESS, arguments)


class JoiningNode(Node):
    """A Node whose gantryd becomes a member of a cluster: when it starts and `kubeconfig` is there."""

    @property
    def kubeconfig(self):
        return self.state / "kubeconfig"

    @property
    def pki(self):
        """Where join() has the node's certificates: not in gantryd's own folder, as with the package."""
        return self.state / "joined/pki"

    def join(self, words, check=True):
        """Runs `gantry join` there, by what the control plane's join_words() say."""
        return self.exec(BIN / "gantry", *words[1:], "--node-name", self.name, "--kubeconfig", self.kubeconfig,
                         "--kubelet-root", self.pki.parent, check=check)

    def join_as(self, text):
        """With that kubeconfig; gantryd starts anew."""
        self.kubeconfig.write_text(text)
        self.kill_gantryd()
        self.wait_for_gantryd()

    def condition(self, control, kind="Ready"):
        """The Node's condition in the API, or {}."""
        done = control.kubectl("get", "node", self.name, "-o", "json")
        conditions = json.loads(done.stdout)["status"].get("conditions", []) if done.returncode == 0 else []
        return next((one for one in conditions if one["type"] == kind), {})

    def wait_until_ready(self, control):
        c.wait_until(f"{self.name} is Ready", lambda: self.condition(control).get("status") == "True")

    def approve_serving(self, control):
        """The request for a serving certificate names an address that is the API server's as well, for they share a network: such
        a one waits for people."""
        def pending():
            for csr in control.json("get", "csr")["items"]:
                if csr["spec"]["signerName"] == "kubernetes.io/kubelet-serving" and not csr["status"]:
                    return csr["metadata"]["name"]
            return None
        control.out("certificate", "approve", c.wait_until("the node asks for a serving certificate", pending))
        self.wait_for_serving_certificate()

    def wait_for_serving_certificate(self):
        c.wait_until(f"{self.name} has its serving certificate", lambda: [*self.state.glob("*/pki/kubelet-server-current.pem")])


@contextlib.contextmanager
def ready_node(checks, images=(IMAGE,), **options):
    """A node with these images, a member of a cluster and Ready in it, and its control plane: (node, control). `options` are
    JoiningNode's."""
    with JoiningNode(checks, **options) as node:
        for image in images:
            node.build_image(image)
        with NodeControl(checks, node) as control:
            node.join_as(control.kubeconfig.read_text())
            node.wait_until_ready(control)
            yield node, control
