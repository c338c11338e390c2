# SPDX-License-Identifier: Apache-2.0
"""What processes use, as the kernel counts it. One that has ended uses nothing."""
import contextlib
import pathlib


def name_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def proportional_size(pid):
    """Bytes of memory; what several share is counted in parts."""
    with contextlib.suppress(OSError, IndexError):
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(text.split("\nPss:")[1].split()[0]) * 1024
    return 0


def cpu_of(pids):
    """Nanoseconds on a CPU, of all their threads, as the scheduler counts."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += sum(int((task / "schedstat").read_text().split()[0])
                         for task in pathlib.Path(f"/proc/{pid}/task").iterdir())
    return total
