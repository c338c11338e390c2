#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""An image of 120 layers on Debian 12's kernel, where an overlay's layers must fit into one string of mount(2)."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import many_layers
from vm.node import VmNode


def main(checks):
    with VmNode(checks) as node:
        checks.contains(node.exec("uname", "-r").stdout, "6.1.", "the kernel is Debian 12's")
        node.exec("gantry", "image", "load", "-", stdin=many_layers.archive())
        many_layers.story(checks, node)


c.main(main)
