#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: critest crictl busybox
# limit: 7200
# kernels: debian13
# long
"""Upstream's test suite of the CRI where all controllers and AppArmor are: with each cgroup driver every spec passes, none skips.

usage: tests/vm/critest.py [--seed N] [--focus REGEX] [--driver cgroupfs|systemd]
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import critest_suite
from critest_images import push_images
from registry import Registry
from vm.node import VmNode

DRIVERS = ("cgroupfs", "systemd")
LIMIT = 3000  # seconds for one run of all specs; a quarter of an hour, when the machine is quiet
REGISTRY = "127.0.0.1:5000"
# critest calls programs of the machine's by it, and is root.
SUDO = '#!/bin/sh\nexec "$@"\n'
SLOWEST = 5  # specs that are told


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="of the specs' order; random, and told")
    parser.add_argument("--focus", default="", help="only specs whose whole name this is found in")
    parser.add_argument("--driver", choices=DRIVERS, help="only with this one")
    return parser.parse_args()


def make_cargo(folder):
    """What the machine takes along, which reaches no registry: one, filled, and the critest that goes with it."""
    with Registry(folder / "registry") as registry:
        digest = push_images(registry, shutil.which("busybox"))
    subprocess.run(["tar", "-C", folder / "registry", "-cf", folder / "registry.tar", "data"], check=True)
    (folder / "critest").write_bytes(critest_suite.suite_for(digest))
    (folder / "critest").chmod(0o755)
    return [folder / "registry.tar", folder / "critest", shutil.which("docker-registry")]


def serve_images(node):
    config = {"version": "0.1", "log": {"level": "error"}, "http": {"addr": REGISTRY},
              "storage": {"filesystem": {"rootdirectory": "/root/registry/data"}}}
    node.put("/root/registry/config.yml", json.dumps(config))  # JSON is YAML
    node.machine.shell("tar -C /root/registry -xf /opt/cargo/registry.tar; systemd-run --quiet --unit=registry "
                       "/opt/cargo/docker-registry serve /root/registry/config.yml")
    for path, text in critest_suite.mirrors(REGISTRY).items():
        node.put(f"/etc/gantry/registries/{path}", text)
    node.machine.write("/usr/local/bin/sudo", SUDO, "755")
    c.wait_until("the registry answers", lambda: node.exec("curl", "-s", f"http://{REGISTRY}/v2/", check=False).returncode == 0)


def judged(checks, node, driver, chosen):
    seed = chosen.seed or critest_suite.new_seed()
    c.log(f"critest with cgroup driver {driver}: seed {seed}")
    node.use_cgroup_driver(driver)
    work = f"/root/critest-{driver}"
    node.make_folder(work)
    # Calls may take as long as they take here.
    arguments = [*critest_suite.arguments(f"{work}/report.json", seed, LIMIT, focus=chosen.focus), "--runtime-service-timeout=900s",
                 "--image-service-timeout=900s"]
    done = node.exec("env", f"--chdir={work}", f"TMPDIR={work}", "/opt/cargo/critest", *arguments, check=False, limit=LIMIT + 300)
    if node.exec("test", "-e", f"{work}/report.json", check=False).returncode:
        raise c.Failure(f"critest wrote no report; exit status {done.returncode}\n{done.stdout[-5000:]}{done.stderr[-5000:]}")
    report = node.read(f"{work}/report.json")
    checks.label = f"{driver}: "
    checks.contains(node.crictl("runtime-config").stdout, driver, "that is the driver which critest was told of")
    critest_suite.tell(checks, report)
    checks.equal((node.pods(), node.containers()), ({}, {}), "neither pod nor container is left")
    specs = critest_suite.specs_of(report)
    c.log(f"specs took {sum(spec.seconds for spec in specs):.0f} s, of them")
    for spec in sorted(specs, key=lambda spec: -spec.seconds)[:SLOWEST]:
        c.log(f"{spec.seconds:.0f} s: {spec.name}")


def main(checks):
    chosen = options()
    with tempfile.TemporaryDirectory(prefix="gantry-critest-") as folder:
        with VmNode(checks, "critest", cargo=make_cargo(pathlib.Path(folder))) as node:
            serve_images(node)
            for driver in [chosen.driver] if chosen.driver else DRIVERS:
                judged(checks, node, driver, chosen)


c.main(main)
