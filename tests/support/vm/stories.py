# SPDX-License-Identifier: Apache-2.0
"""A conformance test told in a machine, where there is what this host lacks: its checks are this story's."""
import pathlib
import subprocess

import checks as c

from .disk import ROOT


def carry(machine, *paths):
    """Copies files and folders to where they are here."""
    for path in map(pathlib.Path, paths):
        packed = subprocess.run(["tar", "-C", path.parent, "-cf", "-", path.name], stdout=subprocess.PIPE, check=True).stdout
        machine.run("mkdir", "-p", path.parent)
        machine.run("tar", "-C", path.parent, "-xpf", "-", data=packed)


def tell(checks, machine, test, *parts, limit=1800, **environment):
    """Some parts of a test in tests/conformance. A skip is a failure: it belongs here."""
    script = ROOT / "tests/conformance" / test
    carry(machine, script, *(ROOT / "tests/support").glob("*.py"))
    environment |= {"GANTRY_TEST_SLOWNESS": c.slowness}
    run = machine.start("env", *(f"{name}={value}" for name, value in environment.items()), "python3", "-B", script, *parts)
    run.wait(limit)
    told = 0
    for line in run.output.decode(errors="replace").splitlines():
        if line.startswith(("ok ", "not ok ")):
            word, _, what = line.partition(" - ")
            told += 1
            checks.ok(word.startswith("ok") and "# SKIP" not in what, what)
        elif not line.startswith("1.."):
            c.log(line.removeprefix("# "))
    checks.ok(told > 0, f"{test} was told {' '.join(parts)}")
    if checks.failed:
        c.log(run.error.decode(errors="replace"))
