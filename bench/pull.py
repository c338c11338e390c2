#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""bench/run pull: an image of twelve layers comes from a registry on loopback into an empty store, by Gantry, by containerd
(overlayfs, asked by crictl) and by skopeo with umoci, in turns. Prints Markdown."""
import argparse
import contextlib
import ctypes
import hashlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/support"))
import containerd
import pull_image
from checks import wait_until
from registry import Registry

BIN = pathlib.Path(__file__).resolve().parent.parent / "build/release/bin"
MIB = 1 << 20
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
MOUNTS = 50
libc = ctypes.CDLL(None, use_errno=True)


def run(*command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise SystemExit(f"bench/pull: {' '.join(map(str, command))}: {done.stderr[-2000:]}")
    return done.stdout


def checked(call, *arguments):
    if call(*arguments) != 0:
        raise SystemExit(f"bench/pull: {call.__name__}: {os.strerror(ctypes.get_errno())}")


class Tree:
    """Processes and all that they start: CPU time until now, and the most memory that all together had at any time."""

    def __init__(self, *pids):
        self.pids, self.peak, self.stop = pids, 0, threading.Event()
        self.watcher = threading.Thread(target=self.watch)

    def __enter__(self):
        self.watcher.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.watcher.join()

    def watch(self):
        while not self.stop.wait(0.03):
            self.peak = max(self.peak, sum(proportional_size(pid) for pid in descendants(self.pids)))

    def cpu(self):
        """Of those that are still there, and of those that these have waited for."""
        total = 0
        for pid in descendants(self.pids):
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += sum(map(int, fields[11:15]))
        return total / os.sysconf("SC_CLK_TCK")


def descendants(pids):
    out = list(pids)
    for one in out:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{one}/task"):
                out += map(int, pathlib.Path(f"/proc/{one}/task/{thread}/children").read_text().split())
    return out


def proportional_size(pid):
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class Measured:
    """Runs programs one after the other as one measurement, with the memory of a daemon that works for them."""

    def __init__(self, daemon=None):
        self.seconds = self.cpu = self.peak = 0
        self.daemons = [daemon] if daemon else []

    def run(self, *command):
        before, start = os.times(), time.monotonic()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            with Tree(process.pid, *self.daemons) as tree:
                _, errors = process.communicate()
        self.seconds += time.monotonic() - start
        after = os.times()
        self.cpu += after.children_user + after.children_system - before.children_user - before.children_system
        self.peak = max(self.peak, tree.peak)
        if process.returncode != 0:
            raise SystemExit(f"bench/pull: {' '.join(map(str, command))}: {errors.decode()[-2000:]}")
        return self


# ---- the sides -------------------------------------------------------------------------------------------------------------

class Gantry:
    name = "gantry"

    def __init__(self, _):
        pass

    def pull(self, image, folder, host):
        registries = folder / "registries"
        registries.mkdir()
        measured = Measured().run(BIN / "gantry", "image", "--data-dir", folder / "data", "pull", "--registries", registries,
                                  f"{host}/{image}")
        self.data, self.reference = folder / "data", f"{host}/{image}"
        return measured

    def mounts(self):
        """Milliseconds: recorded and made for a container, with its mount; and the mount alone."""
        return json.loads(run(BIN / "bench/pull_mount", self.data, self.reference, str(MOUNTS)))


class Containerd:
    name = "containerd"

    def __init__(self, options):
        self.program, self.crictl = options.containerd, options.crictl

    def pull(self, image, folder, host):
        config, socket = folder / "config.toml", folder / "containerd.sock"
        config.write_text(containerd.configuration(folder))
        with open(folder / "log", "wb") as log, subprocess.Popen([self.program, "--config", config], stdin=subprocess.DEVNULL,
                                                                stdout=log, stderr=log) as daemon:
            try:
                crictl = (self.crictl, "--runtime-endpoint", f"unix://{socket}", "--image-endpoint", f"unix://{socket}",
                          "--timeout", "600s")
                wait_until("containerd answers", lambda: subprocess.run([*crictl, "images"], stdin=subprocess.DEVNULL,
                                                                        capture_output=True, check=False).returncode == 0)
                tree = Tree(daemon.pid)
                before = tree.cpu()
                measured = Measured(daemon.pid).run(*crictl, "pull", f"{host}/{image}")
                measured.cpu += tree.cpu() - before
                self.mount_times = self.time_mounts(socket, folder)
                return measured
            finally:
                daemon.terminate()
                daemon.wait()

    def time_mounts(self, socket, folder):
        """The mount alone, of what the snapshotter says is to be mounted."""
        ctr = (pathlib.Path(self.program).parent / "ctr", "--address", socket, "--namespace", "k8s.io", "snapshots")
        target = folder / "mount"
        target.mkdir()
        run(*ctr, "prepare", "bench", self.chain)
        words = run(*ctr, "mounts", target, "bench").split()
        data = words[words.index("-o") + 1].split(",")
        times = []
        for _ in range(MOUNTS):
            start = time.monotonic()
            checked(libc.mount, b"overlay", os.fsencode(target), b"overlay", 0,
                    ",".join(option for option in data if option not in ("rw", "ro")).encode())
            times.append((time.monotonic() - start) * 1000)
            checked(libc.umount2, os.fsencode(target), 0)
        return {"mount": statistics.median(times)}

    def mounts(self):
        return self.mount_times


class SkopeoUmoci:
    name = "skopeo + umoci"

    def __init__(self, options):
        self.skopeo, self.umoci = options.skopeo, options.umoci

    def pull(self, image, folder, host):
        measured = Measured().run(self.skopeo, "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false",
                                  f"docker://{host}/{image}", f"oci:{folder}/layout:bench")
        return measured.run(self.umoci, "unpack", "--image", f"{folder}/layout:bench", folder / "bundle")

    def mounts(self):
        return {}


# ---- the run ---------------------------------------------------------------------------------------------------------------

def fill(registry, layout, skopeo):
    run(skopeo, "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}:bench",
        f"docker://{registry.host}/bench:1")


def chain_of(layout):
    """What containerd calls the image's topmost snapshot."""
    manifest = json.loads(blob(layout, json.loads((layout / "index.json").read_text())["manifests"][0]))
    chain = None
    for diff in json.loads(blob(layout, manifest["config"]))["rootfs"]["diff_ids"]:
        chain = diff if chain is None else "sha256:" + hashlib.sha256(f"{chain} {diff}".encode()).hexdigest()
    return chain


def blob(layout, descriptor):
    return (layout / "blobs/sha256" / descriptor["digest"].split(":")[1]).read_text()


def quartiles(values):
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3


def cell(value):
    return f"{value:.2f}" if value is not None else ""


def show(results, mounts, info, turns, load):
    print(f"{turns} turns of each, interleaved; load average {load} before and {os.getloadavg()[0]:.2f} after on "
          f"{os.cpu_count()} processors. The image: {info['layers']} layers, {info['packed'] / 1e6:.0f} MB packed (gzip), "
          f"{info['unpacked'] / 1e6:.0f} MB unpacked.\n")
    print("| pull, cold | lower quartile, s | median, s | upper quartile, s | / containerd | CPU, s | peak memory, MiB "
          "| prepare and mount, ms | mount alone, ms |")
    print("| --- " * 9 + "|")
    base = statistics.median(one.seconds for one in results["containerd"])
    for name, measured in results.items():
        low, middle, high = quartiles([one.seconds for one in measured])
        print(f"| {name} | {low:.2f} | {middle:.2f} | {high:.2f} | {middle / base:.2f} "
              f"| {statistics.median(one.cpu for one in measured):.2f} | {max(one.peak for one in measured) / MIB:.0f} "
              f"| {cell(mounts[name].get('prepare_and_mount'))} | {cell(mounts[name].get('mount'))} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("containerd", "crictl", "skopeo", "umoci"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="a small image, to try this program")
    options = parser.parse_args()
    cache = os.environ.get("GANTRY_CACHE", "/var/cache/gantry")
    layout, info = pull_image.image(cache, options.small)
    load = f"{os.getloadavg()[0]:.2f}"
    checked(libc.unshare, CLONE_NEWNS)
    checked(libc.mount, None, b"/", None, MS_REC | MS_PRIVATE, None)
    work = pathlib.Path(tempfile.mkdtemp(prefix="gantry-bench-pull-", dir="/var/tmp"))
    sides = [Gantry(options), Containerd(options), SkopeoUmoci(options)]
    sides[1].chain = chain_of(layout)
    results, mounts = {side.name: [] for side in sides}, {}
    try:
        with Registry(work / "registry") as registry:
            fill(registry, layout, options.skopeo)
            for turn in range(options.turns):
                for side in sides:
                    folder = work / f"{turn}"
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.mkdir()
                    os.sync()  # nobody waits for what another has written
                    results[side.name].append(side.pull("bench:1", folder, registry.host))
                    mounts[side.name] = side.mounts() if turn == options.turns - 1 else {}
            show(results, mounts, info, options.turns, load)
    finally:
        shutil.rmtree(work)


main()
