#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""bench/run cri: the same pods by the CRI, from gantryd and from containerd with runc and with crun, each in a world of its
own, in turns. bench/cri.cc is the driver; here are the worlds, memory, CPU time and the report. Prints Markdown."""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/support"))
import checks as c
import containerd
import oci
import oci_bundle
from cri_client import APPLETS
from node import BIN, Node, is_alive, read_pids, walk
from processes import cpu_of, name_of, proportional_size

DRIVER = BIN / "bench/cri"
IMAGE, PAUSE = "localhost/busybox:bench", "localhost/pause:bench"
FEW, SOME = 10, 100  # idle pods
AT_ONCE = (10, 100)
MIB = 1 << 20
NOT_OF_IT = ("sleep", "gantry", "unshare", "python3")  # the workload, and who keeps a world
STEPS = ("RunPodSandbox", "create and start", "ExecSync", "stop and remove")
CALLS = ("RunPodSandbox", "CreateContainer", "StartContainer", "ExecSync", "StopPodSandbox", "RemovePodSandbox", "Version",
         "PodSandboxStatus", "ContainerStatus", "ContainerStats", "ListPodSandbox", "ListContainers")
RUNC, CRUN = "containerd, runc", "containerd, crun"
NETWORK = {"cniVersion": "1.0.0", "name": "bench", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "hairpinMode": True,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}


def run(*command):
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise c.Failure(f"{' '.join(map(str, command))}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


# ---- the sides -------------------------------------------------------------------------------------------------------------

class Side:
    """A runtime. It has a socket, seen from here; its cgroup, with all that runs for it; and `daemon`, a pid."""

    def __init__(self, name, folder):
        self.name, self.logs = name, folder / "logs"
        self.logs.mkdir(parents=True)

    @property
    def argument(self):
        return f"{self.socket},{IMAGE},{self.logs}"

    def pids(self):
        return [pid for folder in walk(self.cgroup) for pid in read_pids(folder) if is_alive(pid)]

    def cpu(self):
        """Seconds of CPU that all that runs for it has had."""
        return int((self.cgroup / "cpu.stat").read_text().split()[1]) / 1e6


class Gantry(Side):
    def __init__(self, name, folder, archives):
        super().__init__(name, folder)
        self.archives, self.suffix = archives, folder.parent.name

    def __enter__(self):
        self.node = Node(c.Checks(), self.suffix).__enter__()
        self.node.image("load", self.archives[0])
        self.cgroup, self.daemon = self.node.cgroup, self.node.gantryd_pid()
        self.socket = self.node.root / "run/gantry/gantryd.sock"
        return self

    def __exit__(self, *failure):
        self.node.__exit__(*failure)


class Containerd(Side):
    """With an own /run, an own /var/lib on the machine's disk, and a bridge for its pods."""

    def __init__(self, name, folder, archives, options, runtime):
        super().__init__(name, folder)
        self.folder, self.archives, self.program = folder, archives, pathlib.Path(options.containerd)
        self.world_name = f"gantry-bench-{os.getpid()}-{folder.parent.name}-{folder.name}"
        self.cgroup = oci_bundle.hierarchy() / self.world_name
        (folder / "lib").mkdir()
        (folder / "net.d").mkdir()
        (folder / "net.d/bench.conflist").write_text(json.dumps(NETWORK))
        (folder / "config.toml").write_text(containerd.configuration(
            image=PAUSE, plugins=pathlib.Path(options.cni).parent, networks=folder / "net.d", runtime=runtime))

    def __enter__(self):
        command = [sys.executable, "-B", __file__, "--inside", self.world_name, str(self.folder), str(self.program)]
        self.log = open(self.folder / "log", "w+")
        self.world = oci_bundle.start_world(self.world_name, command, stdin=subprocess.DEVNULL, stdout=self.log,
                                            stderr=self.log)
        try:
            self.daemon = c.wait_until("containerd is there", self.find_daemon)
            self.socket = pathlib.Path(f"/proc/{self.daemon}/root/run/containerd/containerd.sock")
            ctr = (self.program.parent / "ctr", "--address", self.socket, "--namespace", "k8s.io")
            c.wait_until("containerd answers", lambda: subprocess.run(
                [*ctr, "version"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0)
            for archive in self.archives:
                run(*ctr, "images", "import", "--snapshotter", "overlayfs", archive)
        except BaseException:
            self.__exit__(BaseException)
            raise
        return self

    def find_daemon(self):
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/exe") == str(self.program.resolve()):
                    return pid
        return None

    def __exit__(self, kind, *_):
        if kind:
            c.log(self.log.name + ":\n" + "\n".join(pathlib.Path(self.log.name).read_text().splitlines()[-30:]))
        self.world.kill()
        self.world.wait()
        oci_bundle.remove_cgroup(self.cgroup)


def inside(name, folder, program):
    """The first process of containerd's world: reaps what shims leave behind."""
    oci_bundle.make_world(name)
    oci_bundle.run("mount", "--bind", f"{folder}/lib", "/var/lib")
    environment = os.environ | {"PATH": f"{os.path.dirname(program)}:/usr/sbin:/usr/bin:/sbin:/bin"}
    daemon = subprocess.Popen([program, "--config", f"{folder}/config.toml"], stdin=subprocess.DEVNULL, env=environment)
    while os.wait()[0] != daemon.pid:
        pass


# ---- measurements ----------------------------------------------------------------------------------------------------------

def drive(*arguments):
    return run(DRIVER, *arguments)


def fill(sides, start, end):
    with concurrent.futures.ThreadPoolExecutor() as workers:
        for filled in [workers.submit(drive, "fill", start, end, side.argument) for side in sides]:
            filled.result()


def cycles(sides, count):
    """For each side {call: [milliseconds]}; they take turns."""
    return json.loads(drive("cycles", count, *(side.argument for side in sides)))


def bursts(sides, turns, pods):
    """{(side, how many at once): [what each turn told]}"""
    out = {}
    for _ in range(turns):
        for at_once in AT_ONCE:
            for side in sides:
                before = side.cpu()
                told = json.loads(drive("burst", pods, at_once, side.argument))
                told["cpu"] = side.cpu() - before
                out.setdefault((side.name, at_once), []).append(told)
    return out


def upstreams(sides, options, work):
    """critest's own benchmark of pods and of containers: {side: {call: [milliseconds]}}; they take turns. (Its images want a
    registry, and `bench/run pull` measures those; of a start from scratch it takes one sample.)"""
    (work / "images").write_text(json.dumps({"defaultTestContainerImage": IMAGE, "webServerTestImage": IMAGE}))
    samples = options.runs // options.turns + 2  # the first is not counted: what came before it differs
    (work / "parameters").write_text(json.dumps({
        "podsNumber": samples, "podsNumberParallel": 1, "containersNumber": samples, "containersNumberParallel": 1}))  # as YAML
    took = {side.name: {} for side in sides}
    for _ in range(options.turns):
        for side in sides:
            with tempfile.TemporaryDirectory(dir=side.logs) as folder:
                run("env", f"TMPDIR={folder}", options.critest, "--benchmark", f"--benchmarking-params-file={work}/parameters",
                    f"--benchmarking-output-dir={folder}", f"--test-images-file={work}/images", "--ginkgo.skip=Image|scratch",
                    "--ginkgo.seed=1", f"--runtime-endpoint=unix://{side.socket}", f"--image-endpoint=unix://{side.socket}")
                for part in ("pod", "container"):
                    told = json.loads(pathlib.Path(folder, f"{part}_benchmark_data.json").read_text())
                    for point in told["datapoints"][1:]:
                        for call, nanoseconds in zip(told["operationsNames"], point["operationsDurationsNs"]):
                            took[side.name].setdefault(call, []).append(nanoseconds / 1e6)
    return took


def memory(side):
    """Proportional set sizes: (the daemon, {name of the others but the workload: all of that name})."""
    others = {}
    for pid in side.pids():
        name = name_of(pid)
        if pid != side.daemon and name not in NOT_OF_IT:
            others[name] = others.get(name, 0) + proportional_size(pid)
    return proportional_size(side.daemon), others


def idle(sides, seconds):
    """{side: milliseconds of CPU of (the daemon, the others)}"""
    time.sleep(5)  # what the last pod left to do is not idling
    pids = {side.name: ([side.daemon], [pid for pid in side.pids() if pid != side.daemon]) for side in sides}
    before = {name: [cpu_of(part) for part in parts] for name, parts in pids.items()}
    time.sleep(seconds)  # the measurement
    return {name: [(cpu_of(part) - was) / 1e6 for part, was in zip(parts, before[name])] for name, parts in pids.items()}


# ---- the report ------------------------------------------------------------------------------------------------------------

def row(*cells):
    print("| " + " | ".join(cells) + " |")


def head(*cells):
    print()
    row(*cells)
    row(*["---"] * len(cells))


def quantile(values, part):
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def show_steps(title, steps, took):
    names = list(took)
    head(f"{title}, {SOME} idle pods", *(f"{name}: {part}, ms" for name in names for part in ("p50", "p99")),
         *(f"gantry / {name}" for name in names[1:]))
    for step in steps:
        middles = [statistics.median(took[name][step]) for name in names]
        row(step, *(f"{value:.2f}" for name, middle in zip(names, middles)
                    for value in (middle, quantile(took[name][step], 0.99))),
            *(f"{middles[0] / other:.3f}" for other in middles[1:]))


def show_bursts(told, pods):
    head("at once", "runtime", "pods up, a second", "/ containerd, runc", "pods removed, a second", "/ containerd, runc",
         "CPU of all its processes, ms a pod", "CPU of the driver, ms a pod", "the driver, part of a CPU")

    def rate(name, at_once, way):
        return pods / statistics.median(turn[way]["seconds"] for turn in told[name, at_once])

    for at_once in AT_ONCE:
        for name in (name for name, number in told if number == at_once):
            turns = told[name, at_once]
            driver = [turn["up"]["driver"] + turn["down"]["driver"] for turn in turns]
            seconds = [turn["up"]["seconds"] + turn["down"]["seconds"] for turn in turns]
            up, down = rate(name, at_once, "up"), rate(name, at_once, "down")
            row(str(at_once), name, f"{up:.1f}", f"{up / rate(RUNC, at_once, 'up'):.1f}", f"{down:.1f}",
                f"{down / rate(RUNC, at_once, 'down'):.1f}", f"{statistics.median(t['cpu'] for t in turns) / pods * 1e3:.1f}",
                f"{statistics.median(driver) / pods * 1e3:.2f}", f"{sum(driver) / sum(seconds):.2f}")


def show_memory(before, after, used, seconds):
    head("at rest", "memory of an idle pod, MiB", "of that", f"daemon with {SOME} pods, MiB", f"its CPU in {seconds} s, ms",
         "CPU of all others, ms")
    for name, (daemon, others) in after.items():
        was, others_were = before[name]
        parts = {"daemon": daemon - was} | {part: size - others_were.get(part, 0) for part, size in others.items()}
        told = ", ".join(f"{part} {size / SOME / MIB:.3f}" for part, size in parts.items())
        row(name, f"{sum(parts.values()) / SOME / MIB:.2f}", told, f"{daemon / MIB:.1f}", *(f"{ms:.1f}" for ms in used[name]))


def show_calls(few, many, count, some):
    """`some` is of all sides, with SOME idle pods; the others are gantry's."""
    head("p50 of every call, ms", f"gantry, {FEW} idle pods", f"{count} idle pods", "ratio",
         *(f"{name}, {SOME} idle pods" for name in some))
    for call in CALLS:
        one, other = statistics.median(few[call]), statistics.median(many[call])
        row(call, f"{one:.2f}", f"{other:.2f}", f"{other / one:.2f}",
            *(f"{statistics.median(took[call]):.2f}" for took in some.values()))


def measure(sides, archives, options, work):
    load = f"{os.getloadavg()[0]:.2f}"
    names = [side.name for side in sides]
    before = {side.name: memory(side) for side in sides}
    fill(sides, 0, FEW)
    burst = bursts(sides, options.turns, options.pods)
    fill(sides, FEW, SOME)
    some = cycles(sides, options.runs)
    theirs = upstreams(sides, options, work)
    used = idle(sides, options.seconds)
    after = {side.name: memory(side) for side in sides}
    fill(sides[:1], SOME, options.many)
    # A second gantryd with few pods, so that it takes turns with the one that has many.
    with Gantry("gantry", work / "few/gantry", archives) as other:
        fill([other], 0, FEW)
        few, many = cycles([other, sides[0]], options.runs)
    print(f"{options.runs} turns of each, interleaved; {options.turns} of {options.pods} pods, many at once; load average "
          f"{load} before and {os.getloadavg()[0]:.2f} after on {os.cpu_count()} processors.")
    some = dict(zip(names, some))
    show_steps("one at a time", STEPS, some)
    show_bursts(burst, options.pods)
    show_memory(before, after, used, options.seconds)
    show_calls(few, many, options.many, some)
    show_steps("critest's own benchmark", theirs[RUNC], theirs)


def make_archives(folder):
    layer = [oci.entry(name, oci.tarfile.DIRTYPE) for name in ("bin", "dev", "etc", "proc", "sys", "tmp")]
    layer.append(oci.entry("bin/busybox", content=pathlib.Path("/bin/busybox").read_bytes(), mode=0o755))
    layer += [oci.entry(f"bin/{name}", oci.tarfile.SYMTYPE, linkname="busybox")
              for name in (*APPLETS, "top")]  # critest's containers run top
    # It does what pause does, in as little memory.
    pause = [oci.entry("pause", content=(BIN / "gantry-init").read_bytes(), mode=0o755)]
    return [oci.Image(oci.tar(layer)).archive(folder / "image.tar", IMAGE),
            oci.Image(oci.tar(pause), command=("/pause",)).archive(folder / "pause.tar", PAUSE)]


def main():
    if sys.argv[1:2] == ["--inside"]:
        return inside(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("containerd", "runc", "crun", "cni", "critest"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--runs", type=int, default=100, help="turns of single pods, with each number of idle pods")
    parser.add_argument("--turns", type=int, default=3, help="of many at once")
    parser.add_argument("--pods", type=int, default=200, help="pods of such a turn")
    parser.add_argument("--seconds", type=int, default=60, help="of idling")
    parser.add_argument("--many", type=int, default=500, help="idle pods of gantryd, in the end")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    work = pathlib.Path(tempfile.mkdtemp(prefix="gantry-bench-cri-", dir="/var/tmp"))
    try:
        archives = make_archives(work)
        with contextlib.ExitStack() as stack:
            sides = [Gantry("gantry", work / "main/gantry", archives),
                     Containerd(RUNC, work / "main/runc", archives, options, options.runc),
                     Containerd(CRUN, work / "main/crun", archives, options, options.crun)]
            measure([stack.enter_context(side) for side in sides], archives, options, work)
    except c.Failure as failure:
        sys.exit(f"bench/cri: {failure}")
    finally:
        shutil.rmtree(work)
    return 0


sys.exit(main())
