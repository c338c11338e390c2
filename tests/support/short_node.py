# SPDX-License-Identifier: Apache-2.0
"""A node that is short of what its KubeletConfiguration says, whatever the machine has: thresholds that no machine meets, and such
that each does."""
import contextlib
import pathlib
import tempfile

import checks as c
from bound_pods import BoundPods
from cluster import ready_node

HEAD = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"


def hard(signal, amount):
    return HEAD + f"evictionHard: {{{signal}: {amount}}}\n"


# Short of nothing.
ENOUGH = hard("memory.available", "1Ki")
# More than any machine has.
NO_MEMORY, NO_DISK = (hard(signal, "100000Ti") for signal in ("memory.available", "nodefs.available"))


class ShortNode(BoundPods):
    def __init__(self, checks, control, node, config):
        super().__init__(checks, control, node)
        self.config = config

    def configure(self, text):
        """gantryd starts anew with it."""
        self.config.write_text(text)
        self.node.kill_gantryd()
        self.node.wait_for_gantryd()

    def has_pressure(self, is_on, kind="MemoryPressure"):
        wanted = "True" if is_on else "False"
        c.wait_until(f"{kind} is {wanted}", lambda: self.node.condition(self.control, kind).get("status") == wanted)

    def is_evicted(self, name, message, is_disruption=True):
        self.wait(name, ".status.reason", "Evicted")
        status = self.control.json("get", "pod", name)["status"]
        self.checks.equal(status["phase"], "Failed", f"{name}: its phase")
        self.checks.ok(status["message"].startswith(message), f"{name}: why it was evicted", status["message"])
        found = [one["reason"] for one in status["conditions"] if one["type"] == "DisruptionTarget"]
        self.checks.equal(found, ["TerminationByKubelet"] if is_disruption else [], f"{name}: whether the node was in need")
        self.has_event(name, "Evicted", message)

    def is_not_taken(self, name, condition):
        self.wait(name, ".status.phase", "Failed")
        self.checks.equal((self.field(name, ".status.reason"), self.field(name, ".status.message")),
                          ("Evicted", f"Pod was rejected: The node had condition: [{condition}]. "), f"{name} is not taken")


@contextlib.contextmanager
def short_node(checks):
    """A ShortNode that is short of nothing yet."""
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "kubelet.yaml"
        config.write_text(ENOUGH)
        with ready_node(checks, kubelet_config=config) as (node, control):
            yield ShortNode(checks, control, node, config)
