#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Programs of the host's that run for a container, and what the container's image and configuration make of them.

CVE-2025-23266 (NVIDIA toolkit): a hook is run with the container's environment, in the container's root, and so loads the
image's library."""
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import oci_bundle
from attacks import PROGRAMS, Naive, all_of, capable

LIBRARY = PROGRAMS / "libgantry-test-preload.so"
KINDS = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")


def preloaded(runtime, kind):
    """Whether the image's library was loaded by a hook of the host's. It writes a file when it is."""
    shutil.copy(LIBRARY, runtime.rootfs / "owned.so")
    loot = runtime.work / f"loot-{kind}"
    # A program that is linked dynamically, as the published hook was.
    hook = {"path": "/usr/bin/true"}

    def change(config):
        config["process"]["env"] += ["LD_PRELOAD=./owned.so", f"LOOT={loot}"]
        config["hooks"] = {kind: [hook]}

    said = runtime.run("true", change=all_of(capable(), change))
    return loot.exists(), said.stderr


def environments(checks, oci):
    for kind in KINDS:
        loaded, said = preloaded(oci, kind)
        checks.ok(not loaded and "hooks" not in said, f"CVE-2025-23266: a {kind} hook loads no library of the image's", said)
    checks.equal(preloaded(Naive(), "createRuntime")[0], True,
                 "CVE-2025-23266 bites: one that has the container's environment and folder does")


def paths(checks, oci):
    """A hook is the host's program of that path, whatever lies there in the image."""
    told = oci.work / "told"
    for name in ("usr/bin/true", "bin/true"):
        program = oci.rootfs / name
        program.parent.mkdir(parents=True, exist_ok=True)
        if not program.is_symlink():
            program.write_text(f"#!/bin/sh\necho image > {told}\n")
            program.chmod(0o755)
    for kind in KINDS:
        said = oci.run("exit 0", change=lambda config: config.update(hooks={kind: [{"path": "/usr/bin/true"}]}))
        checks.ok(not told.exists() and said.returncode == 0, f"CVE-2025-23266: a {kind} hook is the host's program",
                  said.stderr)
    for bad in ("true", "", "./true", "../usr/bin/true"):
        said = oci.run("exit 0", change=lambda config: config.update(hooks={"createRuntime": [{"path": bad}]}))
        checks.ok(said.returncode == 1 and "hooks.createRuntime[0]" in said.stderr,
                  f"and one at {bad!r}, which depends on a folder, is refused", said.stderr)


def endings(checks, oci):
    """A hook's time is up when it is up, and it is over when it has ended, whatever it and its children do."""
    def hooked(**hook):
        return oci.run("exit 0", change=lambda config: config.update(hooks={"createRuntime": [hook]}))

    stray = """import os, time
ready, word = os.pipe()
wait, go = os.pipe()
group = os.fork()
if group == 0:
    os.close(go)
    os.setpgid(0, 0)
    os.write(word, b"+")
    os.read(wait, 1)
    os._exit(0)
os.read(ready, 1)
os.setpgid(0, group)
os.close(go)
time.sleep(1000)"""
    said = hooked(path=sys.executable, args=[sys.executable, "-c", stray], timeout=1)
    checks.ok(said.returncode == 1 and "within 1 s" in said.stderr, "a hook that has left its process group has no more time",
              said.stderr)
    talk = "/usr/bin/yes >&2 & " * 16
    said = hooked(path="/bin/sh", args=["sh", "-c", talk + "exit 0"])
    checks.equal((said.returncode, said.stderr), (0, ""), "one that has ended is over, though children of its go on talking")
    said = hooked(path="/bin/sh", args=["sh", "-c", talk + "exit 3"])
    checks.ok(said.returncode == 1 and "it ended with 3" in said.stderr, "and its failure is told", said.stderr)


if __name__ == "__main__":
    oci_bundle.tell(environments, paths, endings)
