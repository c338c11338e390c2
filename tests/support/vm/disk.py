# SPDX-License-Identifier: Apache-2.0
"""Disks of virtual machines: Debian with systemd, its kernel, an initrd of our own and the tests' agent. Each is made once
and kept in /var/cache/gantry/vm under a name that is a hash of all that went into it."""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
CACHE = pathlib.Path(os.environ.get("GANTRY_CACHE", "/var/cache/gantry")) / "vm"
DISK_SIZE = "6G"  # sparse
KEPT_DAYS = 5  # after the last use
_used = {}  # by this process: name to lock

# What a node's programs need, and what the stories look with.
PACKAGES = """systemd systemd-sysv dbus udev kmod procps psmisc iproute2 iputils-ping nftables iptables ipvsadm apparmor
    apparmor-utils curl strace busybox-static conntrack libyaml-0-2 libprotobuf32 libabsl20220623 libnl-3-200 libnftables1
    libarchive13 libseccomp2 libcap2 libssl3 libspdlog1.10 libsqlite3-0 libboost-json1.81.0 libboost-container1.81.0
    libnghttp2-14 libsystemd0""".split()
KERNELS = {"debian12": ("bookworm", "6.1."), "debian13": ("bookworm-backports", "6.12.")}  # a suite that has it, its series
# In the initrd, with what they depend on. All else is loaded from the disk.
BOOT_MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "ext4"]

INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
for module in $(/bin/busybox cat /modules); do /bin/busybox insmod $module; done
while ! /bin/busybox test -b /dev/vda; do /bin/busybox usleep 10000; done  # a probe has no event to wait for here
/bin/busybox mount -t ext4 -o rw /dev/vda /root
exec /bin/busybox switch_root /root /lib/systemd/systemd
"""

AGENT_UNIT = """[Unit]
Description=Runs what the tests send
DefaultDependencies=no
After=systemd-udevd.service

[Service]
ExecStart=/usr/local/bin/gantry-vm-agent agent
Restart=always
StandardError=journal+console
"""

NETWORK = """[Match]
Name=eth*

[Network]
LinkLocalAddressing=no
"""


def log(text):
    print(f"# vm: {text}", flush=True)


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, **options)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: exit status {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout.decode(errors="replace")


def digest(*parts):
    """Of texts and of the contents of files."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part.read_bytes() if isinstance(part, pathlib.Path) else part.encode()).digest())
    return total.hexdigest()[:16]


def lock(name, how):
    """The lock file of what is called `name`, locked; it is unlocked when it is closed. None when another has it (LOCK_NB)."""
    path = CACHE / f"{name}.lock"
    while True:
        file = open(path, "w")
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            file.close()
            return None
        if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
        file.close()  # prune() was quicker, and its lock is nobody's any more


def prune():
    """Removes what no run has used for some days: old disks and snapshots, and what a killed run left half made."""
    for place in CACHE.iterdir():
        # A name, or that of a temporary folder: NAME.RANDOM.
        if place.suffix == ".lock" or time.time() - place.stat().st_mtime < KEPT_DAYS * 24 * 3600:
            continue
        if held := lock(place.name.split(".")[0], fcntl.LOCK_EX | fcntl.LOCK_NB):
            with held:
                shutil.rmtree(place)
                if "." not in place.name:
                    pathlib.Path(held.name).unlink()
                    (CACHE / f"{place.name}.making.lock").unlink(missing_ok=True)


def made_once(name, make):
    """The folder of that name; when there is none yet, make(folder) fills one, which is kept when it did. It stays while this
    process lives."""
    CACHE.mkdir(parents=True, exist_ok=True)
    place = CACHE / name
    if name in _used:
        return place
    with contextlib.ExitStack() as locks:
        held = locks.enter_context(lock(name, fcntl.LOCK_SH))
        if not place.exists():
            # A lock of its own: who has made it keeps the other one, and two threads of one process may want it.
            with lock(f"{name}.making", fcntl.LOCK_EX):
                if not place.exists():
                    prune()
                    with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=CACHE) as folder:
                        work = pathlib.Path(folder) / "made"
                        work.mkdir()
                        make(work)
                        work.rename(place)
        os.utime(place)
        locks.pop_all()
        _used[name] = held
    return place


def debian(kernel):
    """A folder with root.tar: Debian 12 with that kernel."""
    suite, _ = KERNELS[kernel]

    def make(folder):
        log(f"installing Debian with the kernel of {kernel}: about a minute")
        mirror = run(ROOT / "scripts/debian-mirror").strip()
        sources = [f"deb {mirror} {name} main" for name in dict.fromkeys(("bookworm", suite))]
        run("mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", f"--include={','.join(PACKAGES)}",
            f"--customize-hook=chroot $1 apt-get -y -t {suite} install linux-image-cloud-amd64",
            "bookworm", folder / "root.tar", *sources)

    return made_once(f"debian-{kernel}-{digest(suite, *PACKAGES)}", make)


def module_paths(tree, version):
    """Files of BOOT_MODULES and what they depend on, in the order in which to load them."""
    depends = {}
    for line in (tree / "lib/modules" / version / "modules.dep").read_text().splitlines():
        path, _, needed = line.partition(":")
        depends[pathlib.Path(path).name.split(".")[0]] = [path, *needed.split()]
    wanted = []
    for module in BOOT_MODULES:
        for path in reversed(depends.get(module, [])):  # none: it is built in
            if path not in wanted:
                wanted.append(path)
    return wanted


def make_initrd(tree, version, target):
    with tempfile.TemporaryDirectory() as folder:
        initrd = pathlib.Path(folder)
        for name in ("bin", "dev", "root"):
            (initrd / name).mkdir()
        shutil.copy(tree / "bin/busybox", initrd / "bin/busybox")
        names = []
        for path in module_paths(tree, version):
            shutil.copy(tree / "lib/modules" / version / path, initrd / pathlib.Path(path).name)
            names.append(pathlib.Path(path).name)
        (initrd / "modules").write_text(" ".join("/" + name for name in names))
        (initrd / "init").write_text(INIT)
        (initrd / "init").chmod(0o755)
        run("sh", "-c", f"cd {initrd} && find . | cpio --quiet -o -H newc | gzip -1 > {target}")


def configure(tree, agent):
    """What makes of any Debian a machine of the tests."""
    def write(path, text, mode=0o644):
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    shutil.copy(agent, tree / "usr/local/bin/gantry-vm-agent")
    write("etc/systemd/system/gantry-vm-agent.service", AGENT_UNIT)
    write("etc/systemd/network/10-eth.network", NETWORK)
    write("etc/hostname", "vm\n")
    write("etc/hosts", "127.0.0.1 localhost vm\n")
    write("etc/fstab", "/dev/vda / ext4 defaults 0 1\n")
    write("etc/systemd/journald.conf.d/tests.conf", "[Journal]\nStorage=persistent\nRateLimitBurst=0\n")
    # What takes a second elsewhere takes minutes here while the host is busy.
    write("etc/systemd/system.conf.d/tests.conf", "[Manager]\nDefaultTimeoutStartSec=900\n")
    write("etc/systemd/system/serial-getty@ttyS0.service.d/login.conf",
          "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear %I linux\n")
    wanted = tree / "etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    (wanted / "gantry-vm-agent.service").symlink_to("/etc/systemd/system/gantry-vm-agent.service")
    (wanted / "systemd-networkd.service").symlink_to("/lib/systemd/system/systemd-networkd.service")
    for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
                 "dpkg-db-backup.timer", "man-db.timer", "systemd-networkd-wait-online.service", "nftables.service",
                 "ipvsadm.service", "conntrackd.service"):
        (tree / "etc/systemd/system" / unit).unlink(missing_ok=True)
        (tree / "etc/systemd/system" / unit).symlink_to("/dev/null")


def disk(kernel, agent):
    """A folder with vmlinuz, initrd and root.ext4. `agent` is the program gantry-vm-agent."""
    debian_folder = debian(kernel)

    def make(folder):
        log("making a disk")
        tree = folder.parent / "tree"
        tree.mkdir()
        run("tar", "-C", tree, "--numeric-owner", "-xpf", debian_folder / "root.tar")
        newest = max((tree / "boot").glob("vmlinuz-*"), key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])
        version, (suite, series) = newest.name.removeprefix("vmlinuz-"), KERNELS[kernel]
        if not version.startswith(series):
            raise RuntimeError(f"{suite} has moved on from {kernel}'s kernel {series}* to {version}")
        shutil.copy(newest, folder / "vmlinuz")
        make_initrd(tree, version, folder / "initrd")
        for boot in (tree / "boot").glob("*"):
            boot.unlink()
        configure(tree, agent)
        run("mke2fs", "-q", "-t", "ext4", "-d", tree, folder / "root.ext4", DISK_SIZE)

    return made_once(f"disk-{digest(debian_folder.name, agent, pathlib.Path(__file__))}", make)
