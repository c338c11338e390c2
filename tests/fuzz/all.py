#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Each fuzzer for a few seconds, from its corpus, under asan and ubsan. It builds all that they test once more for it."""
# long
# limit: 3600
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c

SECONDS = 5


def short_runs(checks):
    fuzz = pathlib.Path(__file__).resolve().parents[2] / "scripts/fuzz"
    done = subprocess.run([fuzz, "--all", str(SECONDS)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = [line for line in done.stdout.splitlines() if re.match(r"\w+: \d+ runs in ", line)]
    for line in lines:
        runs = int(re.search(r"(\d+) runs", line)[1])
        checks.ok(line.endswith("found nothing") and runs > 0, line)
    checks.ok(lines and done.returncode == 0, "all of them were built and run", done.stdout[-20000:])


if __name__ == "__main__":
    c.main(short_runs)
