#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 3000
"""A container's terminal, and the caller's.

CVE-2025-52565 (runc, youki): /dev/pts/N is a link when it is mounted at /dev/console, which opens a file that is masked or
read-only elsewhere. CVE-2016-2568 and its like: what runs with the caller's terminal types into it (TIOCSTI)."""
import fcntl
import os
import pathlib
import pty
import sys
import tempfile
import termios

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import oci_bundle
from attacks import RACES, Canary, Naive, all_of, bind, capable, exchanging, mounted, new_root, race, race_until, rooted
from oci_bundle import ConsoleSocket

# What a container must not open for writing; it is in its own UTS namespace.
TARGET = "/proc/sys/kernel/domainname"


def own_dev(config):
    """A terminal, and of all that is beneath /dev only a devpts, so that the rest is the image's."""
    config["process"]["terminal"] = True
    config["mounts"] = [mount for mount in config["mounts"]
                        if not mount["destination"].startswith("/dev") or mount["destination"] == "/dev/pts"]


def kind_at(process, place):
    """The file system of what is mounted there for a process, last; None when nothing is."""
    kind = None
    for line in (process / "mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[4] == place:
            kind = fields[fields.index("-") + 1]
    return kind


def console(runtime, root):
    """What a start comes to: refused; devpts, when a terminal is the console; another file system; None, when nothing is."""
    folder = runtime.bundle("sleep", "1000", change=all_of(capable(), rooted(root), own_dev))
    name = f"c{runtime.count}"
    if isinstance(runtime, Naive):
        runtime.begin(folder, name)
    else:
        listener = ConsoleSocket(folder)
        done = runtime("create", "--bundle", folder, "--console-socket", listener.path, name, check=False)
        listener.listener.close()
        if done.returncode != 0:
            return "refused"
    try:
        return kind_at(pathlib.Path(f"/proc/{runtime.state(name)['pid']}"), "/dev/console")
    except OSError:
        return "refused"  # the careless runtime's has ended
    finally:
        attacks.stop(runtime, name)


def exchanged_terminals(checks, oci):
    """A root that containers share: its /dev/pts is exchanged for a folder in which every terminal is a link."""
    for runtime in (oci, Naive()):
        root = new_root(runtime, "proc", "sys", "tmp", "dev/pts", "dev/fake")
        for number in range(4):
            (root / f"dev/fake/{number}").symlink_to(TARGET)
        checks.equal(console(runtime, root), "devpts", "unattacked, a terminal is the console")
        with exchanging(oci, root, "dev/pts", "dev/fake"):
            if runtime is oci:
                outcomes = race(lambda: console(oci, root))
                checks.ok(set(outcomes) <= {"devpts", "refused"} and outcomes.get("devpts"), "CVE-2025-52565: /dev/pts is "
                          f"exchanged {RACES} starts long: a console is a terminal of the container's", outcomes)
            else:
                turn = race_until(lambda: console(runtime, root), "proc")
                checks.ok(turn, f"CVE-2025-52565 bites: the careless runtime's start {turn} has a console that is {TARGET}")


def image_of(runtime, make):
    root, canary = new_root(runtime, "proc", "sys", "tmp", "dev/pts"), Canary(runtime)
    make(root, canary)
    return console(runtime, root), canary.changes(), (root / "dev/console").is_symlink()


def images(checks, oci):
    """What an image brings along in its /dev."""
    links = {"a link to the host": lambda root, canary: (root / "dev/console").symlink_to(canary.folder / "file"),
             "a link to what is protected": lambda root, _: (root / "dev/console").symlink_to(TARGET),
             "a link to nothing": lambda root, canary: (root / "dev/console").symlink_to(canary.folder / "made")}
    for what, make in links.items():
        checks.equal(image_of(oci, make), ("refused", [], True),
                     f"CVE-2025-52565: an image's /dev/console, {what}, is refused")
    outcome, _, _ = image_of(Naive(), links["a link to what is protected"])
    checks.equal(outcome, None, "CVE-2025-52565 bites: the careless runtime mounts the terminal where it leads")
    for what, make in (("a FIFO", os.mkfifo), ("a link", lambda path: path.symlink_to("/dev/null")),
                       ("a null device", lambda path: os.mknod(path, 0o20666, os.makedev(1, 3)))):
        fake = pathlib.Path(tempfile.mkdtemp(dir=oci.work, prefix="pts"))
        make(fake / "ptmx")
        said = oci.run("true", change=all_of(capable(), own_dev, mounted(bind(fake, "/dev/pts"))))
        checks.ok(said.returncode == 1 and "terminal" in said.stderr,
                  f"CVE-2025-52565: {what} in the place of ptmx is refused", said.stderr)


# ---- the caller's terminal


def types(runtime):
    """Whether a container without a terminal, whose input is its caller's, has it as its own; and whether it typed into it."""
    attacks.give_attack(runtime)
    master, slave = pty.openpty()

    def lead():
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    try:
        said = runtime.run("cut -d ' ' -f 7 /proc/self/stat; exec /bin/attack type", change=capable(), stdin=slave,
                           preexec_fn=lead)
    finally:
        os.close(master)
        os.close(slave)
    number, *words = said.stdout.split("\n")
    return number != "0", "typed" in words


def typing(checks, oci):
    checks.equal(types(oci), (False, False),
                 "CVE-2016-2568: a container does not have its caller's terminal, and can't type into it")
    # Newer kernels refuse it to all when this says so.
    setting = pathlib.Path("/proc/sys/dev/tty/legacy_tiocsti")
    allowed = not setting.exists() or setting.read_text().strip() == "1"
    checks.equal(types(Naive()), (True, allowed),
                 "CVE-2016-2568 bites: the careless runtime's does, as far as the kernel lets it")


if __name__ == "__main__":
    oci_bundle.tell(exchanged_terminals, images, typing)
