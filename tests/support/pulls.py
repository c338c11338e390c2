# SPDX-License-Identifier: Apache-2.0
"""Pulls by `gantry image pull` into a store of their own, from registries that serve what they are told."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import faulty_registry as f
from node import BIN
from oci import entry, tar
from registry import RemoteImage

MIB = 1 << 20
# Seconds, for `gantry image pull`: more than a busy machine takes to answer; and where the registry does not.
PATIENCE, SHORT = 20, 2
# Seconds, for all attempts, with their pauses.
BOUND = 100


def layer(name, size=1000):
    return tar([entry(name, content=os.urandom(size))])


class World:
    """A store, a folder of registries, a registry, and a second one that the first may lead to."""

    def __init__(self, checks, folder, registry, other):
        self.checks, self.folder, self.registry, self.other = checks, folder, registry, other
        self.data, self.registries, self.images = folder / "data", folder / "registries", 0

    def gantry(self, *arguments, environment=None):
        return subprocess.run([BIN / "gantry", "image", "--data-dir", self.data, *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=120,
                              env=os.environ | (environment or {}))

    def pull(self, name, *options, patience=PATIENCE, **more):
        return self.gantry("pull", "--patience", str(patience), "--registries", self.registries, *options, name, **more)

    def configure(self, host, text, name="hosts.toml"):
        """Writes a file of the folder of registries."""
        (self.registries / host).mkdir(parents=True, exist_ok=True)
        (self.registries / host / name).write_text(text)

    def state(self):
        """All files of the store and its images."""
        found = [(path, sorted(folders), sorted(files)) for path, folders, files in os.walk(self.data / "store")]
        return sorted(found), self.gantry("list", "--quiet").stdout

    def image(self, *layers, **more):
        """A good image, served; its name and itself."""
        self.images += 1
        image = RemoteImage(*(layers or [layer("a"), layer("b")]), **more)
        return self.registry.put(f"test/{self.images}:1", image), image

    def path(self, name, part, what):
        return f"/v2/{name.split('/', 1)[1].split(':')[0]}/{part}/{what}"

    def route(self, name, part, what, respond):
        self.registry.routes[self.path(name, part, what)] = respond

    def refused(self, what, name, parts, *options, **more):
        before, start = self.state(), time.monotonic()
        done = self.pull(name, *options, **more)
        seconds = time.monotonic() - start
        said = [line for line in done.stderr.splitlines() if not line.startswith("layer ")]
        self.checks.ok(done.returncode == 1 and len(said) == 1, f"{what}: refused in one sentence",
                       f"exit status {done.returncode}: {done.stdout}{done.stderr}")
        self.checks.contains(done.stderr, [name, *([parts] if isinstance(parts, str) else parts)],
                             f"{what}: it names the image and what is wrong: {''.join(said)[-160:]}")
        self.checks.ok(seconds < BOUND, f"{what}: within {BOUND} s", f"{seconds:.1f} s")
        self.checks.equal(self.state(), before, f"{what}: the store is as it was")

    def taken(self, what, name, *options, **more):
        done = self.pull(name, *options, **more)
        self.checks.ok(done.returncode == 0, f"{what}: pulled", f"exit status {done.returncode}: {done.stderr}")


@contextlib.contextmanager
def world_of(checks):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gantry-pulls-", dir="/var/tmp"))
    try:
        with f.FaultyRegistry() as registry, f.FaultyRegistry() as other:
            yield World(checks, folder, registry, other)
    finally:
        shutil.rmtree(folder)
