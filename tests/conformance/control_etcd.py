#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 300
"""gantry-control over an etcd of three members with TLS: all of kubectl's tour, a member's death, and a control
plane with an empty data folder that finds there what another one has stored."""
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import checks as c
from control import BIN, Control
from stores import Certificates, Etcd, retold


def flags(cluster, certificates):
    folder = certificates.folder
    return [f"--store={cluster.store}", f"--etcd-cafile={folder}/ca.crt", f"--etcd-certfile={folder}/client.crt",
            f"--etcd-keyfile={folder}/client.key"]


def tour(checks, arguments):
    done = subprocess.run([HERE / "kubectl.py"], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env={**os.environ, "GANTRY_CONTROL_ARGUMENTS": " ".join(arguments)})
    retold(checks, done.returncode, done.stdout)


def faults(checks, cluster, arguments):
    with Control(checks, arguments) as control:
        control.out("create", "configmap", "kept", "--from-literal=a=b")
        checks.ok(not list(control.data.glob("store.db*")), "nothing is stored beside etcd")
        cluster.kill(0)
        # What was under way goes with the leader, if it was that; nobody knows what came of it.
        def made():
            with contextlib.suppress(subprocess.TimeoutExpired):
                done = control.kubectl("create", "configmap", "later", "--from-literal=a=b", "--request-timeout=5s")
                return done.returncode == 0 or "already exists" in done.stderr
            return False
        c.wait_until("two members store", made)
        checks.ok(True, "two members of three are enough")
        cluster.start(0)
    with Control(checks, arguments) as control:
        checks.contains(control.out("get", "configmaps"), ["kept", "later"], "who comes after has it all")


def mistakes(checks, cluster, folder):
    with open(folder / "log", "w") as log:
        server = subprocess.Popen([BIN / "gantry-control", "--data-dir", folder / "none", "--listen", "127.0.0.1:0",
                                   "--store", "etcd:http://127.0.0.1:1"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    said = (folder / "log").read_text
    c.wait_until("an etcd that is not there is named", lambda: "127.0.0.1:1" in said())
    server.terminate()
    checks.equal(server.wait(c.PATIENCE), 0, "who waits for etcd can be stopped")


def story(checks):
    with tempfile.TemporaryDirectory(prefix="gantry-etcd-") as name:
        folder = pathlib.Path(name)
        certificates = Certificates(folder)
        with Etcd(folder, 3, certificates) as cluster:
            arguments = flags(cluster, certificates)
            tour(checks, arguments)
            faults(checks, cluster, arguments)
            mistakes(checks, cluster, folder)


c.main(story)
