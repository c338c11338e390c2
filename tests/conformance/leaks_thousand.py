#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 3600
# alone
# long
"""A thousand cycles of run-and-remove leave nothing behind."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks
import cycles

checks.main(lambda c: cycles.story(c, 1000))
