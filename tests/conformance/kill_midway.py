#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 900
# faults
"""kill -9 of gantryd in the middle of what it does: whatever step of making and removing pods it was at, the next one takes back or
carries out, a retry of the client succeeds, and in the end nothing is left."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from midway import storm
from node import Node


def story(checks):
    with Node(checks) as node:
        node.build_image()
        storm(checks, node)


c.main(story)
