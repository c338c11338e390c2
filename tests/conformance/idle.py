#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 600
# alone
# long
"""A measurement: what an idle node costs. gantryd with five pods uses less than 10 ms of CPU in 60 s, its shims none, and a shim
has less than 0.25 MiB of private memory."""
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import IMAGE
from node import Node

SECONDS = 60
MANIFEST = f"""\
apiVersion: v1
kind: Pod
metadata:
  name: from-file
spec:
  containers:
  - name: main
    image: {IMAGE}
    command: ["/bin/sleep", "100000"]
"""


def cpu(pid):
    """Nanoseconds on a CPU, of all its threads: the scheduler's own count; utime and stime count whole ticks of 10 ms."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir())


def ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def memory(pid):
    """(private, proportional share) in KiB"""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    private = sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+)", text, re.M))
    return private, int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])


def quiet(pids):
    """No CPU used in a second."""
    before = {pid: cpu(pid) for pid in pids}
    time.sleep(1)
    return all(cpu(pid) == before[pid] for pid in pids)


def story(checks):
    with Node(checks) as node:
        node.build_image()
        shims = []
        for number in range(4):
            config = node.pod_config(f"idle{number}")
            pod = node.run_pod(config)
            node.run_container(pod, node.container_config("main", "exec sleep 100000"), config)
            shims.append(node.shim_pid(pod))
        (node.manifests / "from-file.yaml").write_text(MANIFEST)
        c.wait_until("the pod of the manifest runs",
                     lambda: sum(i["state"] == "CONTAINER_RUNNING" for i in node.containers().values()) == 5)
        shims += [pid for i in node.pods() if (pid := node.shim_pid(i)) not in shims]
        writers = [pid for pid in node.shims() if pid not in shims]
        gantryd = node.gantryd_pid()
        c.wait_until("all has come to rest", lambda: quiet([gantryd, *shims]), 60)

        everyone = {pid: (cpu(pid), ticks(pid)) for pid in [gantryd, *shims, *writers]}
        time.sleep(SECONDS)  # the measurement
        used = {pid: (cpu(pid) - before[0], ticks(pid) - before[1]) for pid, before in everyone.items()}
        seen = node.gantryd_pid()

        c.log(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}, {SECONDS} s")
        c.log(f"gantryd: {used[gantryd][0] / 1e6:.3f} ms of CPU, {used[gantryd][1]} ticks of utime and stime; "
              f"private {memory(gantryd)[0]} KiB, share {memory(gantryd)[1]} KiB")
        for pid in shims:
            c.log(f"shim {pid}: {used[pid][0] / 1e6:.3f} ms of CPU, {used[pid][1]} ticks; private {memory(pid)[0]} KiB, "
                  f"share {memory(pid)[1]} KiB")
        for pid in writers:
            c.log(f"beside a shim, {pid}: {used[pid][0] / 1e6:.3f} ms of CPU; private {memory(pid)[0]} KiB, "
                  f"share {memory(pid)[1]} KiB")
        checks.equal(seen, gantryd, "gantryd is the process of before")
        at_rest = cpu(gantryd)
        node.crictl("version")
        checks.ok(cpu(gantryd) > at_rest, "the measure shows one answered call")
        checks.equal(len(shims), 5, "five pods, five shims")
        checks.ok(used[gantryd][0] < 10e6, f"gantryd used {used[gantryd][0] / 1e6:.3f} ms of CPU in {SECONDS} s, less than 10")
        checks.equal([used[pid][0] for pid in shims + writers], [0] * len(shims + writers), "shims and log writers used none")
        most = max(memory(pid)[0] for pid in shims)
        checks.ok(most < 256, f"a shim has {most} KiB of private memory, less than 256")


c.main(story)
