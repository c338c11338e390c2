#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 600
# faults
"""The control plane's store in etcd (Debian 13's, three members on loopback, TLS with client certificates): the contract of
every store; clients and watchers that agree while members are killed, stopped and started; and without a majority an
error and nothing old."""
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from stores import CHECK, Certificates, Etcd, check, retold

LENGTH = 60 if c.ALL else 12


def faults(checks, cluster):
    """Each member in turn is killed or stopped while clients compare and write and watchers follow."""
    driver = subprocess.Popen([CHECK, cluster.store, "history", str(LENGTH * 1000)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True, env={**cluster.environment})
    end, turn = time.monotonic() + LENGTH - 2, 0
    while time.monotonic() < end:
        member = turn % 3
        if turn % 2 == 0:
            cluster.kill(member)
            time.sleep(1)
            cluster.start(member)
        else:
            cluster.signal(member, signal.SIGSTOP)
            time.sleep(2)
            cluster.signal(member, signal.SIGCONT)
        time.sleep(1.5)
        turn += 1
    said = driver.communicate(timeout=120)[0]
    retold(checks, driver.returncode, said)


def without_majority(checks, cluster):
    cluster.kill(1)
    cluster.kill(2)
    # The member that is left, alone: it has the old value.
    status, said = check(f"etcd:{cluster.clients[0]}", "get", "/ready", environment=cluster.environment)
    checks.ok(status != 0, "without a majority a read is an error", said)
    status, said = check(cluster.store, "put", "/ready", "2", environment=cluster.environment)
    checks.ok(status != 0, "and so is a write", said)
    cluster.start(1)
    cluster.start(2)
    cluster.ready()
    checks.ok(True, "with it, all goes on")


def story(checks):
    with tempfile.TemporaryDirectory(prefix="gantry-etcd-") as name:
        folder = pathlib.Path(name)
        certificates = Certificates(folder)
        with Etcd(folder, 3, certificates) as cluster:
            retold(checks, *check(cluster.store, "contract", environment=cluster.environment))
            status, said = check(cluster.store, "get", "/ready", environment={"CA": certificates.client["CA"]})
            checks.ok(status != 0, "without a client certificate there is no answer", said)
            retold(checks, *check(cluster.store, "history", 2000, environment=cluster.environment))
            faults(checks, cluster)
            without_majority(checks, cluster)


c.main(story)
