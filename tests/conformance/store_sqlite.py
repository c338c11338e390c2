#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 600
"""The control plane's store in SQLite: kill -9 while eight clients write loses nothing that was answered, from round to
round, and does nothing twice; a full disk is a clear error, reads go on, and there is room again when it is made."""
import pathlib
import random
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from stores import CHECK, Writer, check, retold

ROUNDS = 100 if c.ALL else 8
DISK = 48 << 20
FULL = """set -e
mount -o loop "$1" "$2"
fallocate -l 8M "$2/ballast"
"$0" "sqlite:$2/s.db" fill
rm "$2/ballast"
echo "after: $("$0" "sqlite:$2/s.db" put /after 1)"
echo "read: $("$0" "sqlite:$2/s.db" get /after)"
"""


def kills(checks, folder):
    store, answers = f"sqlite:{folder}/kill.db", ""
    for number in range(ROUNDS):
        writer = Writer(store, "/kill/", folder)
        writer.wait_for(20)
        time.sleep(random.uniform(0, 0.3))
        answers += writer.end()
        if number % 8 == 7 or c.ALL:
            status, said = check(store, "verify", "/kill/", text=answers)
            checks.ok(status == 0, f"{number + 1} kills lost none of the writes that were answered", said)
    c.log(said)


def full_disk(checks, folder):
    disk, mounted = folder / "disk", folder / "mounted"
    mounted.mkdir()
    with open(disk, "wb") as file:
        file.truncate(DISK)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-J", "size=4", disk], check=True)
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", FULL, CHECK, disk, mounted],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    checks.contains(done.stdout + done.stderr, ["RESOURCE_EXHAUSTED after", "/fill/", "full"], "a full disk is said to be full")
    checks.contains(done.stdout, "reads go on", "reads go on")
    checks.contains(done.stdout, "read: 1", "with room made, writes succeed again")


def story(checks):
    with tempfile.TemporaryDirectory(prefix="gantry-store-") as name:
        folder = pathlib.Path(name)
        kills(checks, folder)
        retold(checks, *check(f"sqlite:{folder}/history.db", "history", 30000 if c.ALL else 2000))
        full_disk(checks, folder)


c.main(story)
