# SPDX-License-Identifier: Apache-2.0
"""What every black-box test needs to say what holds: TAP lines for scripts/test, bounded waits, an orderly end on SIGTERM."""
import contextlib
import os
import re
import select
import signal
import sys
import time
import traceback

# For what takes milliseconds on an idle machine: only a hang, or a machine that is very busy, comes near it.
PATIENCE = 60.0
# How much longer things may take where the test, or what it drives, is: vm/machine.py has it for what is emulated.
slowness = float(os.environ.get("GANTRY_TEST_SLOWNESS") or 1)
# With scripts/test --all: a story may be longer.
ALL = os.environ.get("GANTRY_TEST_ALL") == "1"


class Failure(Exception):
    """A test cannot go on. The text says why."""


class Checks:
    """Counts and prints the checks of one program. With `label`, each is said to be of that."""

    def __init__(self, label=""):
        self.count, self.failed, self.label = 0, 0, label and f"{label}: "

    def ok(self, holds, what, detail=""):
        """One check. `detail` is what was seen; it is printed when the check does not hold."""
        self.count += 1
        self.failed += not holds
        print(f"{'ok' if holds else 'not ok'} {self.count} - {self.label}{what}", flush=True)
        if not holds:
            log(detail)
        return bool(holds)

    def equal(self, seen, expected, what):
        return self.ok(seen == expected, what, f"expected {expected!r}\nseen     {seen!r}")

    def contains(self, text, parts, what):
        missing = [part for part in ([parts] if isinstance(parts, str) else parts) if part.lower() not in text.lower()]
        return self.ok(not missing, what, f"expected {missing!r} in\n{text}")

    def skip(self, what, reason):
        self.count += 1
        print(f"ok {self.count} - {self.label}{what} # SKIP {reason}", flush=True)


def log(text):
    for line in str(text).splitlines():
        print(f"# {line}", flush=True)


def wait_until(what, holds, limit=3 * PATIENCE, pause=0.02):
    """Asks until `holds()` is true, and returns its answer. For what a program outside of it gives no event of. It asks once more
    after `limit` seconds: a machine may have stood still meanwhile."""
    limit *= slowness
    deadline = time.monotonic() + limit
    while True:
        is_last = time.monotonic() > deadline
        answer = holds()
        if answer:
            return answer
        if is_last:
            raise Failure(f"{what}: not within {limit:g} s")
        time.sleep(pause)


SANITIZER_REPORT = re.compile(r"^.*?((WARNING|ERROR|FATAL): \w+Sanitizer\b|: runtime error: )")
REPORTS_SHOWN, REPORT_LINES = 5, 60


def sanitizer_reports(path):
    """What the sanitizers that a program was built with said in its log: the first lines of each report. Most often it is none."""
    reports, room = [], 0
    with open(path, errors="replace") as file:
        for line in file:
            if SANITIZER_REPORT.match(line):
                reports.append("")
                room = REPORT_LINES
            if room > 0:
                reports[-1] += line
                room = 0 if line.startswith("SUMMARY: ") else room - 1
    return reports


def no_sanitizer_reports(checks, program, path):
    """A check that is made when it does not hold, and not seen otherwise: whoever runs a program in a test has it at the end."""
    if reports := sanitizer_reports(path) if os.path.exists(path) else []:
        checks.ok(False, f"{program} has no report of a sanitizer: {len(reports)}", "\n".join(reports[:REPORTS_SHOWN]))


class Process:
    """A process by pidfd, so that its number can't come to mean another."""

    def __init__(self, pid):
        self.pid, self.fd = pid, os.pidfd_open(pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def signal(self, number):
        signal.pidfd_send_signal(self.fd, number)

    def has_ended(self, limit=0.0):
        """True when it has ended; waits for that for `limit` seconds."""
        return bool(select.select([self.fd], [], [], limit)[0])

    def kill(self):
        self.signal(signal.SIGKILL)
        if not self.has_ended(PATIENCE):
            raise Failure(f"process {self.pid} has not ended within {PATIENCE:g} s of SIGKILL")


@contextlib.contextmanager
def standing(pid):
    """A process that does not run meanwhile."""
    with Process(pid) as process:
        process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):  # somebody killed it
                process.signal(signal.SIGCONT)


def main(story, label=""):
    """Runs `story(checks)` and ends the program. Leaving it by SIGTERM or SIGINT, too, passes all `with` blocks on the way."""
    def leave(number, _):
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, leave)
    checks = Checks(label)
    try:
        story(checks)
    except Failure as failure:
        checks.ok(False, f"the story goes on to its end: {failure}", traceback.format_exc())
    except Exception as error:  # whatever it is, it is this test's failure and not a lack of output
        checks.ok(False, f"the story goes on to its end: {type(error).__name__}", traceback.format_exc())
    print(f"1..{checks.count}", flush=True)
    sys.exit(1 if checks.failed or not checks.count else 0)
