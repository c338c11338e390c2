#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""The streaming forms of the lists, for which crictl does not ask: the same pods, containers and statistics, in parts."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import Node

COUNT = 20
LONG = "x" * 60000  # an annotation: a list of them outgrows one part


def by_id(identifier):
    """A request whose filter has this id."""
    inner = b"\x0a" + bytes([len(identifier)]) + identifier.encode()
    return b"\x0a" + bytes([len(inner)]) + inner


def story(checks):
    with Node(checks) as node:
        node.build_image()
        pods, containers = [], []
        for number in range(COUNT):
            config = node.pod_config(f"pod{number}", annotations={"long": LONG})
            pods.append(node.run_pod(config))
            main = node.container_config("main", "exec sleep 1000", annotations={"long": LONG})
            containers.append(node.run_container(pods[-1], main, config))
        for method, ids in (("StreamPodSandboxes", pods), ("StreamContainers", containers), ("StreamContainerStats", containers)):
            parts = node.call(f"RuntimeService/{method}")
            found = [sum(b"\x0a\x40" + each.encode() in part for part in parts) for each in ids]
            checks.equal(found, [1] * COUNT, f"{method}: each is in one of its {len(parts)} parts")
            checks.ok(len(parts) > 1 and max(map(len, parts)) <= 1 << 20, f"{method}: of at most 1 MiB", list(map(len, parts)))
            only = b"".join(node.call(f"RuntimeService/{method}", by_id(ids[3])))
            checks.equal([each.encode() in only for each in ids], [each == ids[3] for each in ids], f"{method}: its filter")
        checks.equal(node.call("RuntimeService/StreamContainers", by_id("f" * 64)), [], "nothing is no part")


c.main(story)
