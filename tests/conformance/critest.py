#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: critest busybox
# limit: 1200
# long
"""Upstream's test suite of the CRI against a node of its own, with the images that it names in a registry of its own.

usage: tests/conformance/critest.py [--seed N] [--focus REGEX] [--report FILE] [--handler crun]

A line for each spec. What this machine lacks (kernel features; see LEFT_OUT) is told as skipped, by name.
"""
import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import SOCKET
from critest_images import FIXED_DIGEST, HOSTS, push_images
from node import Node
from registry import Registry, network_of

# Specs that need a memory controller. Nothing else could make them pass honestly.
NEEDS_MEMORY = ("Container OOM runtime should output OOMKilled reason", "runtime should support listing pod sandbox metrics")
LIMIT = 900
PEERS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/peers"


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1 << 31), help="of the specs' order; random, and told")
    parser.add_argument("--focus", default="", help="only specs whose whole name this is found in")
    parser.add_argument("--handler", default="", help="the pods' runtime handler: a peer that is an OCI runtime, crun or runc")
    parser.add_argument("--report", type=pathlib.Path, help="where critest's own report is kept")
    return parser.parse_args()


def has_memory_controller(node):
    return "memory" in (node.root / "sys/fs/cgroup/cgroup.controllers").read_text().split()


def suite_for(digest, folder):
    """critest, with the digest that our image has in place of the one that it was built with."""
    program = pathlib.Path(shutil.which("critest") or "critest").read_bytes()
    if program.count(FIXED_DIGEST.encode()) != 1:
        raise c.Failure("critest: the digest of test-image-digest is not in it once; this version wants another one")
    path = folder / "critest"
    path.write_bytes(program.replace(FIXED_DIGEST.encode(), digest.removeprefix("sha256:").encode()))
    path.chmod(0o755)
    return path


def configure_handler(node, name):
    line = subprocess.run([PEERS, name], check=True, capture_output=True, text=True).stdout
    print(f"# by {line}", flush=True)
    entry = {"name": name, "path": line.split(maxsplit=2)[2].strip()}
    (node.state / "gantryd.yaml").write_text(json.dumps({"runtimeHandlers": [entry]}))
    node.reload()
    c.wait_until("the handler's features are known", lambda: any(
        each.get("name") == name and each["features"].get("recursive_read_only_mounts")
        for each in node.json("info")["runtimeHandlers"]))


def name_of(spec):
    return " ".join([*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"]])


def tell(checks, spec):
    name, state = name_of(spec), spec["State"]
    failure = spec.get("Failure") or {}
    if state == "skipped":
        checks.skip(name, "belongs in vm: " + " ".join(failure.get("Message", "no reason given").split()))
    else:
        checks.ok(state == "passed", name, f"{state}: {failure.get('Message')}\n{spec.get('CapturedGinkgoWriterOutput', '')[-3000:]}")


def story(checks):
    chosen = options()
    with Node(checks) as node:
        work = node.work / "critest"
        work.mkdir()
        with network_of(node.supervisor()), Registry(node.work / "registry") as registry:
            program = suite_for(push_images(registry, shutil.which("busybox")), work)
            for host in HOSTS:
                folder = node.state / "registries" / host
                folder.mkdir(parents=True)
                (folder / "hosts.toml").write_text(f'[host."http://{registry.host}"]\n')
            left_out = () if has_memory_controller(node) else NEEDS_MEMORY
            report = work / "report.json"
            print(f"# critest's seed: {chosen.seed}", flush=True)
            arguments = [f"--runtime-endpoint={SOCKET}", f"--image-endpoint={SOCKET}", f"--ginkgo.seed={chosen.seed}",
                         f"--ginkgo.json-report={report}", "--ginkgo.no-color", f"--ginkgo.timeout={LIMIT}s"]
            if chosen.handler:
                configure_handler(node, chosen.handler)
                arguments += [f"--runtime-handler={chosen.handler}"]
            arguments += [f"--ginkgo.skip={name}" for name in left_out]
            arguments += [f"--ginkgo.focus={chosen.focus}"] if chosen.focus else []
            done = node.exec("env", f"--chdir={work}", f"TMPDIR={work}", program, *arguments, check=False, limit=LIMIT + 60)
            if not report.exists():
                raise c.Failure(f"critest wrote no report; exit status {done.returncode}\n{done.stdout[-5000:]}{done.stderr[-5000:]}")
            if chosen.report:
                shutil.copy(report, chosen.report)
            specs = [spec for suite in json.loads(report.read_text()) for spec in suite["SpecReports"] or []
                     if spec["LeafNodeType"] == "It"]
        for spec in specs:
            is_left_out = any(part in name_of(spec) for part in left_out)
            has_reason = bool((spec.get("Failure") or {}).get("Message"))
            if is_left_out:
                checks.skip(name_of(spec), "belongs in vm: no memory controller")
            elif spec["State"] != "skipped" or has_reason:  # the rest were not chosen: benchmarks, out of focus
                tell(checks, spec)


c.main(story)
