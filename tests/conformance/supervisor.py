#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# faults
"""A node's supervisor that can't start gantryd anew: pods go on, and it tries again until it can."""
import os
import pathlib
import resource
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import Node


def story(checks):
    with Node(checks) as node:
        node.build_image()
        pod = node.pod_config("web")
        container = node.run_container(node.run_pod(pod), node.container_config("web", "exec sleep 1000"), pod)
        pid = node.container_pid(container)
        supervisor = node.supervisor()
        limits = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
        # Room for no descriptor more, not even that of a new process; poll(2) takes as many as the limit says.
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (2, limits[1]))
        os.kill(node.gantryd_pid(), signal.SIGKILL)
        c.wait_until("the supervisor says so", lambda: "trying again in 10 s" in node.log_file.read_text())
        checks.ok(pathlib.Path(f"/proc/{pid}").exists(), "without a gantryd that can be started, containers run on")
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, limits)
        node.wait_for_gantryd()
        checks.ok(node.container_pid(container) == pid, "it is started when that is possible again, and finds them")


c.main(story)
