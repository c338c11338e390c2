#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 900
# faults
"""kill_midway.py on a network of CNI's: no address, rule or plugin is left of what was cut short."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cni import CniNode
from midway import storm


def story(checks):
    with CniNode(checks) as node:
        node.build_image()
        node.configure_bridge()
        storm(checks, node)
        checks.equal(node.made(), {"rules": [], "links": [], "leases": []}, "the plugins have taken back all that they made")
        node.wait_for_nothing("and nothing of them is left")


c.main(story)
