# SPDX-License-Identifier: Apache-2.0
"""A node of the test's own, in namespaces, driven as its users do: by `gantry` and by real crictl.

The programs under test are in $GANTRY_BIN; crictl is the one on PATH. The node's name has this process's number in it, so that
runs side by side don't meet. Leaving its `with` block ends the node and removes all that it kept.
"""
import calendar
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from checks import PATIENCE, Failure, Process, log, no_sanitizer_reports, wait_until
from cri_client import APPLETS, IMAGE, CriClient

BIN = pathlib.Path(os.environ.get("GANTRY_BIN") or pathlib.Path(__file__).resolve().parents[2] / "build/release/bin")


class Node(CriClient):
    """One node. Folders: `state` is all of its disk, `lib` gantryd's data, `work` what the test keeps there."""

    # How full the machine's own disk is decides about no image of a test, and about no pressure.
    image_gc = ("--option=--image-gc-high-threshold=100",)
    KUBELET_CONFIG = pathlib.Path(__file__).with_name("kubelet.yaml")

    def __init__(self, checks, suffix="", options=(), kubelet_config=KUBELET_CONFIG):
        """`options` are those of `gantry node start`."""
        super().__init__()
        self.checks, self.options = checks, (f"--option=--kubelet-config={kubelet_config}", *options)
        self.name = f"t{os.getpid()}{suffix}"
        self.state = pathlib.Path("/var/lib/gantry-nodes") / self.name
        self.lib, self.manifests, self.work = self.state / "lib", self.state / "manifests", self.state / "test"
        self.log_file = self.state / "gantryd.log"

    # ---- the node ----------------------------------------------------------------------------------------------------

    def __enter__(self):
        # Whatever comes from here on, also a signal, is followed by close().
        try:
            if self.state.exists():
                raise Failure(f"{self.state} is there already: an earlier run was cut short; remove it")
            self.start()
            self.work.mkdir(mode=0o700, exist_ok=True)
            self.configure_crictl()
            return self
        except BaseException:
            self.close(failed=True)
            raise

    def __exit__(self, kind, *_):
        self.close(failed=kind is not None)

    def gantry(self, *arguments, prefix=(), check=True, limit=120):
        return run([*prefix, BIN / "gantry", *arguments], check, limit)

    def start(self, prefix=()):
        """`prefix` is a command that runs the given one, in a world that it has changed."""
        self.gantry("node", "start", self.name, *self.image_gc, *self.options, prefix=prefix)

    def stop(self):
        self.gantry("node", "stop", self.name)

    def supervisor(self):
        return int(pathlib.Path("/run/gantry-nodes", self.name).read_text().split()[0])

    @property
    def root(self):
        """The node's own view of files, from here."""
        return pathlib.Path(f"/proc/{self.supervisor()}/root")

    @property
    def cgroup(self):
        return self.root / "sys/fs/cgroup" / f"gantry-node-{self.name}"

    def close(self, failed):
        if failed or self.checks.failed:
            self.show_log()
        try:
            self.stop()
        except (Failure, OSError) as failure:
            log(f"stopping node {self.name}: {failure}")
            with contextlib.suppress(OSError, ValueError):
                os.kill(self.supervisor(), signal.SIGCONT)
                self.stop()
        # Of shims and log writers, too: they write there.
        no_sanitizer_reports(self.checks, "gantryd", self.log_file)
        if any(f" {self.state}" in line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()):
            raise Failure(f"something is mounted beneath {self.state}; leaving it as it is")
        shutil.rmtree(self.state, ignore_errors=True)

    def show_log(self, lines=60):
        with contextlib.suppress(OSError):
            for line in self.log_file.read_text(errors="replace").splitlines()[-lines:]:
                log(f"gantryd.log: {line}")

    def exec(self, *command, check=True, limit=120, stdin=None):
        return run([BIN / "gantry", "node", "exec", self.name, "--", *command], check, limit, stdin)

    # ---- gantryd -----------------------------------------------------------------------------------------------------

    def gantryd_pid(self):
        """The pid of gantryd, or None when there is none now."""
        for pid in read_pids(self.cgroup / "gantryd"):
            with contextlib.suppress(OSError):
                # Of a process that is ending or just becomes another program this is empty.
                program, first, *_ = (pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() + b"\0\0").split(b"\0")
                # Its workers are the same program, and may outlive it.
                if program.endswith(b"gantryd") and not first.endswith(b"-worker"):
                    return pid
        return None

    def kill_gantryd(self):
        """SIGKILL; its supervisor starts another at once. Returns the pid that was."""
        pid = wait_until("gantryd is there", self.gantryd_pid)
        with Process(pid) as gantryd:
            gantryd.kill()
        return pid

    def reload(self):
        """SIGHUP: what gantryd logs of it."""
        before = len(self.log_file.read_text(errors="replace"))
        with Process(self.gantryd_pid()) as gantryd:
            gantryd.signal(signal.SIGHUP)
        return wait_until("gantryd has read its files again", lambda: (
            said := self.log_file.read_text(errors="replace")[before:]) and " reloaded" in said and said)

    def wait_for_gantryd(self, limit=PATIENCE, all_pods=True):
        """Returns when gantryd answers. Of shims that are late it does not wait for long before it does, and calls on their pods
        are refused until they have come; with `all_pods` all have."""
        def answers():
            done = self.crictl("info", check=False)
            return done.returncode == 0 and not (all_pods and "does not answer" in done.stdout)
        wait_until("gantryd answers, and all shims have answered it" if all_pods else "gantryd answers", answers, limit, 0.05)

    def connections(self):
        """How many connections to its socket gantryd has. The kernel lists each with its client's network: this one, or the node's."""
        served, pid = set(), self.gantryd_pid()
        for table in ("/proc/self/net/unix", f"/proc/{self.supervisor()}/net/unix"):
            for line in pathlib.Path(table).read_text().splitlines():
                if line.endswith("/gantryd.sock") and line.split()[3] != "00010000":  # that one listens
                    served.add(f"socket:[{line.split()[6]}]")
        found = 0
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # it was closed since
                found += os.readlink(fd) in served
        return found

    @contextlib.contextmanager
    def without_gantryd(self):
        """Inside the block gantryd is dead and stays so: its supervisor is held. Afterwards it is started, and answers."""
        self.wait_for_gantryd(all_pods=False)  # while its supervisor is held none is started
        with Process(self.supervisor()) as supervisor:
            supervisor.signal(signal.SIGSTOP)
            try:
                self.kill_gantryd()
                yield
            finally:
                supervisor.signal(signal.SIGCONT)
        self.wait_for_gantryd()

    def put(self, path, text):
        path.write_text(text)

    def make_folder(self, path):
        path.mkdir(parents=True, exist_ok=True)

    def call(self, method, request=b""):
        """A gRPC call that crictl does not make: "RuntimeService/StreamContainers". The messages of its answer, as bytes."""
        asked, answer = self.work / "grpc-request", self.work / "grpc-answer"
        asked.write_bytes(bytes(1) + len(request).to_bytes(4, "big") + request)
        self.exec("curl", "-sS", "--http2-prior-knowledge", "--unix-socket", "/run/gantry/gantryd.sock", "-o", answer,
                  "-H", "content-type: application/grpc", "--data-binary", f"@{asked}", f"http://localhost/runtime.v1.{method}")
        rest, messages = answer.read_bytes(), []
        while rest:
            size = 5 + int.from_bytes(rest[1:5], "big")
            messages.append(rest[5:size])
            rest = rest[size:]
        return messages

    # ---- the kernel's side -------------------------------------------------------------------------------------------

    def shim_pid(self, pod_id):
        pid = int(self.json("inspectp", pod_id)["info"]["pid"])
        if pid <= 1:
            raise Failure(f"pod {pod_id} has no shim: {self.pod_status(pod_id)}")
        return pid

    def pids(self, part="pods"):
        """All processes of a part of the node's cgroup folder."""
        return [pid for folder in walk(self.cgroup / part) for pid in read_pids(folder)]

    def shims(self):
        return self.pids("pods/shims")

    # ---- images ------------------------------------------------------------------------------------------------------

    def image(self, *arguments, check=True):
        return self.gantry("image", "--data-dir", str(self.lib), *arguments, check=check)

    def build_image(self, name=IMAGE):
        """busybox and its names, as an image."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            root = pathlib.Path(folder)
            for part in ("bin", "etc", "tmp", "out"):
                (root / part).mkdir()
            shutil.copy("/usr/bin/busybox", root / "bin/busybox")
            for applet in APPLETS:
                (root / "bin" / applet).symlink_to("busybox")
            (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
            (root / "etc/group").write_text("root:x:0:\n")
            root.chmod(0o755)
            self.image("build", "--tag", name, folder)


def run(command, check=True, limit=120, stdin=None):
    """Runs a command to its end. With `check` a failure is the test's, told with all that the command said."""
    command = [str(part) for part in command]
    started = time.monotonic()
    try:
        done = subprocess.run(command, input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
                              capture_output=True, text=True, errors="replace", timeout=limit)
    except subprocess.TimeoutExpired as expired:
        raise Failure(f"{' '.join(command)}: not done within {limit} s") from expired
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(command)}: exit status {done.returncode} after {time.monotonic() - started:.1f} s\n"
                      f"{done.stdout}{done.stderr}".rstrip())
    return done


def walk(folder):
    """A folder and all beneath it, as far as they are there."""
    for path, _, _ in os.walk(folder):
        yield pathlib.Path(path)


def read_pids(cgroup):
    try:
        return [int(line) for line in (cgroup / "cgroup.procs").read_text().split()]
    except OSError:
        return []  # it is gone


def is_alive(pid):
    """Alive and not a zombie."""
    try:
        return re.search(r"^State:\s+[ZX]", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M) is None
    except OSError:
        return False


def parse_time(text):
    """CRI's RFC 3339 times with nanoseconds, as nanoseconds since 1970; 0 for none."""
    match = re.fullmatch(r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", text or "")
    if not match:
        return 0
    *parts, fraction, zone = match.groups()
    seconds = calendar.timegm(tuple(map(int, parts)))
    if zone != "Z":
        seconds -= (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60)
    return 0 if seconds <= 0 else seconds * 10**9 + int((fraction or "").ljust(9, "0") or 0)


def log_lines(path, growing=False):
    """A container's log: (time, stream, tag, text) of every line. Of one that is growing the last may not be whole."""
    lines, text = [], path.read_text(errors="replace")
    if growing:
        text = text[:text.rfind("\n") + 1]
    for number, line in enumerate(text.splitlines(), 1):
        match = re.fullmatch(r"(\S+) (stdout|stderr) ([PF]) (.*)", line)
        if not match or not parse_time(match[1]):
            raise Failure(f"{path}:{number}: not a line of a CRI log: {line[:200]!r}")
        lines.append((parse_time(match[1]), match[2], match[3], match[4]))
    return lines
