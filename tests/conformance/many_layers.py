#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""An image of 120 layers runs."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import many_layers
from node import Node


def story(checks):
    with Node(checks) as node:
        (node.work / "many.tar").write_bytes(many_layers.archive())
        node.image("load", node.work / "many.tar")
        many_layers.story(checks, node)


c.main(story)
