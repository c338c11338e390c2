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


if __name__ == "__main__":
    oci_bundle.tell(environments, paths)
