#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""gantry-control backup and restore: while it runs, killed in between, into folders that are not empty; and that the cluster
which comes of it is the same one to those who knew it."""
import json
import pathlib
import random
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import BIN, Control

UNFINISHED = "restore-unfinished"


def run(*words, kill_after=None):
    """A command of gantry-control to its end, or to its being killed so many seconds later."""
    process = subprocess.Popen([BIN / "gantry-control", *map(str, words)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = process.communicate(timeout=kill_after or c.PATIENCE)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        said = process.communicate()[0]
    return process.returncode, said


def fill(control, count):
    items = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"cm-{i}"}, "data": {"x": "y" * 2000}}
             for i in range(count)]
    control.out("create", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def back_up(checks, control, target):
    """As it runs; then killed at any moment, which leaves the last whole one."""
    status, said = run("backup", "--data-dir", control.data, target)
    checks.ok(status == 0 and target.stat().st_mode & 0o777 == 0o600, "a running server is backed up", said)
    token = control.out("create", "token", "default").strip()
    control.out("create", "configmap", "later", "--from-literal=a=b")
    before = target.read_bytes()
    chance = random.Random(1)
    for _ in range(8):
        run("backup", target, "--data-dir", control.data, kill_after=chance.uniform(0.002, 0.05))
        assert target.stat().st_size > 0
    whole = target.read_bytes() == before or run("restore", target, "--data-dir", control.folder / "whole")[0] == 0
    checks.ok(whole, "a backup that was killed leaves a whole one in its place")
    target.write_bytes(before)
    return token


def refuse(checks, control, target):
    status, said = run("restore", target, "--data-dir", control.data)
    checks.ok(status != 0 and "not empty" in said, "a restore into a folder that is in use is refused", said)
    status, said = run("restore", control.folder / "none", "--data-dir", control.folder / "fresh")
    checks.ok(status != 0 and "no backup" in said, "a backup that is not there is an error", said)
    damaged = control.folder / "damaged"
    data = bytearray(target.read_bytes())
    data[4096:8192] = b"\x7f" * 4096
    damaged.write_bytes(data)
    status, said = run("restore", damaged, "--data-dir", control.folder / "fresh")
    checks.ok(status != 0 and not list((control.folder / "fresh").glob("*")), "a damaged one, too, and leaves nothing", said)
    status, said = run("backup", target, "--data-dir", control.data, "--store", "etcd:http://127.0.0.1:1")
    checks.ok(status != 0 and "etcdctl snapshot" in said, "of an etcd its own tools are named", said)


def cut_restore(control, target, after):
    """A restore that is killed so many seconds after it has begun; whether that was before its end."""
    process = subprocess.Popen([BIN / "gantry-control", "restore", target, "--data-dir", control.data],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (control.data / UNFINISHED).exists():
        pass
    time.sleep(after)
    process.kill()
    process.wait()
    return (control.data / UNFINISHED).exists()


def leave_unfinished(control):
    """What a cut restore leaves, for a machine on which none is cut in time."""
    shutil.rmtree(control.data, ignore_errors=True)
    (control.data / "pki").mkdir(parents=True, mode=0o700)
    (control.data / UNFINISHED).write_text(str(control.data.resolve() / "store.db"))
    (control.data / "store.db").write_bytes(bytes(4096))
    (control.data / "pki/ca.key").write_text("half a ke")


def restore(checks, control, target, token):
    control.stop()
    shutil.rmtree(control.data)
    chance = random.Random(2)
    unfinished = 0
    for _ in range(12):
        shutil.rmtree(control.data, ignore_errors=True)
        unfinished += cut_restore(control, target, chance.uniform(0, 0.02))
        if (control.data / UNFINISHED).exists():
            status, said = run("--data-dir", control.data, "--listen", "127.0.0.1:0")
            checks.ok(status == 1 and "run gantry-control restore again" in said,
                      "nothing starts on what an interrupted restore has left", said)
    c.log(f"{unfinished} restores of 12 were cut in the middle")
    for _ in range(20):
        shutil.rmtree(control.data, ignore_errors=True)
        if cut_restore(control, target, 0):
            break
    else:
        leave_unfinished(control)
    status, said = run("restore", "--data-dir", control.data, "--store", f"sqlite:{control.folder}/other.db", target)
    checks.ok(status != 0 and "of the store" in said and f"{control.data}/store.db" in said,
              "into another store it does not go on", said)
    status, said = run("restore", "--data-dir", control.data, target)
    checks.ok(status == 0, "a restore that was killed is run again", said)
    control.start()
    names = control.out("get", "configmaps", "-o", "name")
    checks.ok("cm-199" in names and "later" not in names, "what was there at the backup is there", names)
    done = subprocess.run([control.kubectl_path, "--server", control.url, "--certificate-authority",
                           control.data / "pki/ca.crt", "--token", token, "auth", "whoami", "--kubeconfig", "/dev/null"],
                          capture_output=True, text=True)
    checks.contains(done.stdout + done.stderr, "system:serviceaccount:default:default", "tokens of before are good")
    control.out("create", "configmap", "after", "--from-literal=a=b")


def story(checks):
    with Control(checks) as control:
        target = control.folder / "backup"
        fill(control, 200)
        token = back_up(checks, control, target)
        authority = (control.data / "pki/ca.crt").read_text()
        refuse(checks, control, target)
        restore(checks, control, target, token)
        checks.equal((control.data / "pki/ca.crt").read_text(), authority, "the CA is the same")
        control.kill()
        control.start()
        checks.contains(control.out("get", "configmaps", "-o", "name"), "after", "and it goes on through a kill")


c.main(story)
