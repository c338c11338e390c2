#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: client-go
# limit: 300
"""What Go programs of a cluster do over client-go (tools/client-go): informers, a controller, leader election, paged lists, apply;
with bodies in JSON and in protobuf."""
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import ROOT, Control


def run(checks, program, control, content_type):
    done = subprocess.run([program, "-kubeconfig", control.kubeconfig, "-content-type", content_type], capture_output=True,
                          text=True, timeout=280)
    for line in done.stdout.splitlines():
        if found := re.fullmatch(r"(not )?ok - (.*?)(?:: (.*))?", line):
            checks.ok(not found[1], f"{content_type.removeprefix('application/')}: {found[2]}", found[3] or "")
    checks.ok(done.returncode == 0 or "not ok" in done.stdout, f"{content_type}: the program ends well", done.stderr[-3000:])


def story(checks):
    built = subprocess.run([ROOT / "scripts/tools", "client-go"], capture_output=True, text=True, check=True)
    program = built.stdout.split()[2]
    with Control(checks) as control:
        run(checks, program, control, "application/json")
        run(checks, program, control, "application/vnd.kubernetes.protobuf")


c.main(story)
