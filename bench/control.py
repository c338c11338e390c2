#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""bench/run control: gantry-control on SQLite, and upstream's kube-apiserver with one member of etcd where it is given, in turns:
start, memory, writes, lists, fan-out. bench/control.cc is the driver, over HTTPS (HTTP/1.1), JSON where nothing else is
said. Prints Markdown."""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

import control_sides
from control_sides import Gantry, Upstream, c

MIB = 1 << 20
CLIENTS = (1, 8, 64)
FORMS = {"json": "JSON", "json_pages": "JSON, pages of 500", "protobuf": "protobuf", "protobuf_pages": "protobuf, pages of 500"}


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |")


def head(*cells):
    print()
    row(*cells)
    row(*["---"] * len(cells))


def drive(side, *arguments):
    return json.loads(control_sides.driver("control", *arguments, *side.options))


def against(ours, theirs, more_is_better=False):
    """Ours to theirs, so that above 1 is better for us; nothing when there are no others."""
    if theirs is None:
        return ""
    return f"{(ours / theirs if more_is_better else theirs / ours):.2f}"


class Report:
    """Rows of figures, a column a side, and the ratio."""

    def __init__(self, sides):
        self.sides = sides

    def head(self, title):
        head(title, *(side.name for side in self.sides), *(["times better"] if len(self.sides) > 1 else []))

    def row(self, what, values, form="{:.1f}", more_is_better=False):
        ratio = [against(values[0], values[1], more_is_better)] if len(values) > 1 else []
        row(what, *(form.format(value) for value in values), *ratio)


def starts(report, turns):
    took = {side.name: [side.start()] for side in report.sides}
    # Bootstrapping goes on for some time after the first answer.
    time.sleep(10)
    memory = [side.memory() / MIB for side in report.sides]
    for _ in range(turns):
        for side in report.sides:
            side.end()
            took[side.name].append(side.start())
    report.head("at rest")
    report.row("first start to ready, ms", [values[0] * 1e3 for values in took.values()], "{:.0f}")
    report.row("later start to ready, ms", [statistics.median(values[1:]) * 1e3 for values in took.values()], "{:.0f}")
    report.row("memory of an empty cluster (PSS), MiB", memory)


def writes(report, seconds, turns):
    seen = {}
    for _ in range(turns):
        for clients in CLIENTS:
            for side in report.sides:
                seen.setdefault((clients, side.name), []).append(
                    drive(side, "writes", "--clients", clients, "--seconds", seconds))

    def middle(clients, key):
        return [statistics.median(told[key] for told in seen[clients, side.name]) for side in report.sides]

    report.head("writes: pods made and ConfigMaps of 2 KiB replaced, in turns")
    for clients in CLIENTS:
        rates = middle(clients, "rate")
        report.row(f"{clients} clients: writes a second", rates, "{:.0f}", more_is_better=True)
        for key, what in (("made_p50", "pod made, p50, ms"), ("made_p99", "pod made, p99, ms"),
                          ("replaced_p50", "ConfigMap replaced, p50, ms"), ("replaced_p99", "ConfigMap replaced, p99, ms")):
            report.row(f"{clients} clients: {what}", middle(clients, key), "{:.2f}")
        for key, what in (("server_cpu", "CPU of the server"), ("driver_cpu", "CPU of the driver")):
            report.row(f"{clients} clients: {what}, ms a write",
                       [cpu / rate * 1e3 for cpu, rate in zip(middle(clients, key), rates)], "{:.3f}")


def lists(report, pods, turns):
    for side in report.sides:
        drive(side, "fill", "--pods", pods)
    told = [drive(side, "list", "--turns", turns) for side in report.sides]
    report.head(f"all pods, {pods} and those that were made before")
    for form, what in FORMS.items():
        report.row(f"{what}, ms", [each[form]["median"] for each in told])
        report.row(f"{what}, the first time, ms", [each[form]["first"] for each in told])
        report.row(f"{what}, MiB", [each[form]["mib"] for each in told])
        kinds = {side.name: each[form]["type"] for side, each in zip(report.sides, told)}
        if len(set(kinds.values())) > 1:
            row(f"{what}: it came as", *kinds.values(), *([""] if len(kinds) > 1 else []))


def fan_out(report, watchers, changes):
    told = [drive(side, "fan-out", "--watchers", watchers, "--changes", changes) for side in report.sides]
    report.head(f"one change of a ConfigMap of 2 KiB to {watchers} watchers")
    for key, what in (("answered", "write answered after, ms"), ("last", "with the last watcher after, ms"),
                      ("last_p99", "the same, p99, ms"), ("server_cpu", "CPU of the server, ms a change"),
                      ("driver_cpu", "CPU of the driver, ms a change")):
        report.row(what, [each[key] for each in told])
    report.row("memory afterwards (PSS), MiB", [side.memory() / MIB for side in report.sides])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apiserver", help="upstream's kube-apiserver, over etcd of scripts/peers; without it there is one side only")
    parser.add_argument("--turns", type=int, default=5, help="of starts and lists; of writes 3")
    parser.add_argument("--seconds", type=int, default=5, help="of writes, each time")
    parser.add_argument("--pods", type=int, default=10000)
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=30)
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="gantry-bench-control-", dir="/var/tmp"))
    load = f"{os.getloadavg()[0]:.2f}"
    try:
        with contextlib.ExitStack() as stack:
            sides = [stack.enter_context(Gantry(work / "gantry", "--scheduler=false"))]
            if options.apiserver:
                sides.append(stack.enter_context(Upstream(work / "upstream", options.apiserver)))
            else:
                print("kube-apiserver is not there: one side only.")
            report = Report(sides)
            starts(report, options.turns)
            # Lists first: the writes add pods at each side's own rate.
            lists(report, options.pods, options.turns)
            fan_out(report, options.watchers, options.changes)
            writes(report, options.seconds, 3)
        print(f"\nLoad average {load} before and {os.getloadavg()[0]:.2f} after on {os.cpu_count()} processors.")
    except c.Failure as failure:
        sys.exit(f"bench/control: {failure}")
    finally:
        shutil.rmtree(work)
    return 0


sys.exit(main())
