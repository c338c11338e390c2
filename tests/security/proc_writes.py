#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 3000
"""What a runtime writes into /proc for a container, led astray: into a file of the image's, or into another file of the
kernel's.

CVE-2019-16884 (runc, crun): a volume over /proc swallows the label. CVE-2023-27561 and 28642 (runc): an image's /proc is a
link. CVE-2025-52881 (runc), 62596 (youki): the file that is written is another one. The score of the OOM killer stands for
labels: both are written the same way, and tests/vm/apparmor.py has the label. shared_root.py has what is hidden."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import oci_bundle
from attacks import RACES, Canary, Naive, all_of, bind, capable, exchanging, mounted, new_root, race, race_until, rooted

SCORE = "900"


def scored(config):
    config["process"]["oomScoreAdj"] = int(SCORE)
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}


class FakeProc:
    """A folder like a procfs, in which a sysctl is a link to another file."""

    def __init__(self, folder):
        self.folder = folder
        for part in ("self/attr", "1", "sys/net/ipv4"):
            (folder / part).mkdir(parents=True)
        (folder / "self/oom_score_adj").touch()
        (folder / "sys/net/ipv4/ip_forward").symlink_to("../../../redirected")
        # The folder may have another name later.
        self.redirected = open(folder / "redirected", "w+")

    def was_written(self):
        size = os.fstat(self.redirected.fileno()).st_size
        self.redirected.truncate(0)
        return size > 0


def attacked_start(runtime, change, fake):
    """What came of a container's start, as the host sees it: `right`; `refused`; `swallowed`, when its process does not have
    the score; `redirected`, when the fake's file was written."""
    # gantry-oci's waits for its start: all is done by then but its program.
    folder = runtime.bundle("sleep", "1000", change=all_of(capable(), scored, change))
    name = f"c{runtime.count}"
    if isinstance(runtime, Naive):
        runtime.begin(folder, name)
    elif runtime("create", "--bundle", folder, name, check=False).returncode != 0:
        return "refused"
    try:
        score = pathlib.Path(f"/proc/{runtime.state(name)['pid']}/oom_score_adj").read_text().strip()
    except OSError:
        return "refused"  # the careless runtime's has ended
    finally:
        attacks.stop(runtime, name)
    if fake.was_written():
        return "redirected"
    return "right" if score == SCORE else "swallowed"


def volumes(checks, oci):
    fake = FakeProc(oci.work / "fake")
    for place in ("/proc", "/proc/self", "/proc/self/attr", "/proc/sys", "/proc/sys/net/ipv4", "/proc/1", "/proc/thread-self"):
        part = fake.folder / ("self" if "self" in place else "sys" if "sys" in place else ".")
        tmpfs = {"destination": place, "type": "tmpfs", "source": "tmpfs"}
        outcomes = [attacked_start(oci, mounted(mount), fake) for mount in (bind(part, place), tmpfs)]
        checks.equal(outcomes, ["refused"] * 2, f"CVE-2019-16884, 2025-52881: a volume and a tmpfs over {place} are refused")
    # Behind a link of the image's it is beneath /proc, too.
    root = new_root(oci, "proc", "sys", "dev", "tmp")
    (root / "data").symlink_to("/proc/self")
    outcome = attacked_start(oci, all_of(rooted(root), mounted(bind(fake.folder / "self", "/data/attr"))), fake)
    checks.equal(outcome, "refused", "CVE-2019-16884: and one whose place is a link into /proc")
    naive = Naive()
    fake = FakeProc(naive.work / "fake")
    outcome = attacked_start(naive, mounted(bind(fake.folder, "/proc")), fake)
    checks.equal(outcome, "redirected",
                 "CVE-2019-16884, 2025-52881 bite: the careless runtime writes into a volume over /proc")
    outcome = attacked_start(naive, mounted(bind(fake.folder / "self", "/proc/1")), fake)
    checks.equal(outcome, "swallowed", "CVE-2019-16884 bites: and a score is swallowed by one over the process's folder")


def image_with_link(runtime):
    """An image whose /proc leads to a folder of the host's, on which the careless runtime mounts its procfs, and which is the
    image's own fake when the root has been entered."""
    canary = Canary(runtime)
    root = new_root(runtime, "sys", "dev", "tmp")
    fake = FakeProc(root / str(canary.folder)[1:])
    (root / "proc").symlink_to(canary.folder)
    return root, fake


def links(checks, oci):
    root, fake = image_with_link(oci)
    checks.equal(attacked_start(oci, rooted(root), fake), "refused",
                 "CVE-2023-27561, 28642: an image's /proc that is a link is refused")
    naive = Naive()
    root, fake = image_with_link(naive)
    checks.equal(attacked_start(naive, rooted(root), fake), "redirected",
                 "CVE-2023-27561, 28642 bite: the careless runtime writes where it leads")


def shared_root(runtime):
    """A root that containers share, with a fake at `fake` and a link to it at `link`; and one start in it."""
    root = new_root(runtime, "proc", "sys", "dev", "tmp")
    fake = FakeProc(root / "fake")
    (root / "link").symlink_to("fake")
    return root, lambda: attacked_start(runtime, rooted(root), fake)


def races(checks, oci):
    for name, what in (("link", "a link"), ("fake", "a folder like it")):
        for runtime in (oci, Naive(checked=True)):
            root, once = shared_root(runtime)
            checks.equal(once(), "right", "unattacked, what is written is the process's own")
            with exchanging(oci, root, "proc", name):
                if runtime is oci:
                    outcomes = race(once)
                    checks.ok(set(outcomes) <= {"right", "refused"} and outcomes.get("right"), "CVE-2025-52881, 62596: /proc "
                              f"is exchanged for {what} {RACES} starts long: what is written is the kernel's own", outcomes)
                else:
                    turn = race_until(once, "redirected")
                    checks.ok(turn, f"CVE-2025-52881, 62596 bite: the careless runtime's start {turn} writes into {what}")


if __name__ == "__main__":
    oci_bundle.tell(volumes, links, races)
