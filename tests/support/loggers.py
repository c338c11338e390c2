# SPDX-License-Identifier: Apache-2.0
"""Containers that log numbered lines on both streams until SIGTERM, and what their logs must then hold."""
import pathlib
from time import time_ns

from checks import PATIENCE, wait_until
from node import log_lines, parse_time

# $OUT is a folder of the host; the time at which a container's end mark appears there is its own word on when it ended.
SCRIPT = """
trap 'ending=1' TERM
n=0
while [ -z "$ending" ]; do
  for k in 1 2 3 4 5 6 7 8 9 10; do echo "o $n"; echo "e $n" >&2; n=$((n+1)); done
  usleep 20000
done
echo "o end"; echo "e end" >&2
echo $n > /out/$NAME
exit $CODE
"""


class Logger:
    """One such container, as node.run_container made it."""

    def __init__(self, node, pod_id, pod, name, code):
        self.node, self.name, self.code = node, f"{pod['metadata']['name']}-{name}", code
        self.out = node.work / "out"
        self.out.mkdir(exist_ok=True)
        config = node.container_config(
            name, SCRIPT, envs=[{"key": "NAME", "value": self.name}, {"key": "CODE", "value": str(code)}],
            mounts=[{"container_path": "/out", "host_path": str(self.out)}])
        self.path = node.log_of(pod, config)
        self.id = node.run_container(pod_id, config, pod)
        # From its first line on it heeds SIGTERM.
        wait_until(f"{self.name} logs", lambda: self.path.exists() and newest_line(self.path))
        status = node.container_status(self.id)
        self.created_at, self.started_at = status["createdAt"], status["startedAt"]
        self.pid = node.container_pid(self.id)
        self.record = node.root / "run/gantry/sandboxes" / pod_id / f"exit-{self.id}"
        self.known_at = None

    def wait_for_record(self):
        """Until its shim has written down its end, which is before this returns."""
        wait_until(f"the end of {self.name} is written down", self.record.exists)
        self.known_at = time_ns()

    def ended_at(self):
        """Nanoseconds, by the container's own mark; 0 before."""
        try:
            return (self.out / self.name).stat().st_mtime_ns
        except OSError:
            return 0

    def faults_of_status(self):
        """What crictl says of it that is not so."""
        status = self.node.container_status(self.id)
        seen = {"state": status["state"], "exitCode": status["exitCode"], "reason": status["reason"],
                "createdAt": status["createdAt"], "startedAt": status["startedAt"]}
        expected = {"state": "CONTAINER_EXITED", "exitCode": self.code, "reason": "Completed" if self.code == 0 else "Error",
                    "createdAt": self.created_at, "startedAt": self.started_at}
        faults = [f"{self.name}: {key} is {seen[key]!r}, expected {expected[key]!r}" for key in seen
                  if seen[key] != expected[key]]
        finished = parse_time(status["finishedAt"])
        late = (finished - self.ended_at()) / 1e9
        # File times are those of the last tick; and after its word it has yet to come to its end, on a busy machine.
        if not -0.05 <= late <= PATIENCE or self.known_at and finished > self.known_at:
            faults.append(f"{self.name}: finishedAt {status['finishedAt']} is {late:.3f} s after its own word")
        return faults

    def faults_of_log(self):
        """Lines that are lost, doubled, cut or out of order within their stream."""
        written = int((self.out / self.name).read_text())
        faults, last_time = [], {}
        streams = {"stdout": [], "stderr": []}
        for time, stream, tag, text in log_lines(self.path):
            streams[stream].append(text)
            if tag != "F":
                faults.append(f"{self.name}: a line was cut: {text!r}")
            if time < last_time.get(stream, 0):
                faults.append(f"{self.name}: {text!r} is older than the line before it")
            last_time[stream] = time
        for stream, letter in (("stdout", "o"), ("stderr", "e")):
            expected = [f"{letter} {n}" for n in range(written)] + [f"{letter} end"]
            if streams[stream] == expected:
                continue
            at = next((i for i, pair in enumerate(zip(streams[stream], expected)) if pair[0] != pair[1]),
                      min(len(streams[stream]), len(expected)))
            faults.append(f"{self.name}: {stream}: {len(streams[stream])} lines, {len(expected)} were written; from line {at} on: "
                          f"{streams[stream][at:at + 5]}, expected {expected[at:at + 5]}")
        return faults

    def lines(self):
        return len(log_lines(self.path, growing=True))


def newest_line(path):
    """The last whole line of a log that may be growing."""
    lines = pathlib.Path(path).read_text().split("\n")
    return lines[-2] if len(lines) > 1 else ""
