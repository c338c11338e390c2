# SPDX-License-Identifier: Apache-2.0
"""Virtual machines: emulated, so 15 to 45 times slower than this one. A machine starts from a snapshot of a booted Debian,
which is made once for each disk, and answers about a second later.

    with Machine() as machine:
        print(machine.run("uname", "-r"))
"""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import checks as c

from . import disk as disks
from .channel import Channel, Lost
from .power import Cord
from .qmp import Qmp

KERNEL = os.environ.get("GANTRY_VM_KERNEL", "debian12")
MEMORY_MB = 2048
CARGO_SIZE = "256M"
BOOT_LIMIT = 1200  # seconds, on a loaded machine
COMMAND_LIMIT = 900  # the same for a command
c.slowness = 10
BUILD = pathlib.Path(os.environ.get("GANTRY_BIN") or disks.ROOT / "build/release/bin")
AGENT = BUILD / "tests/vm-agent/gantry-vm-agent"
LOGS = BUILD.parent / "test-logs"
KERNEL_OPTIONS = ("console=ttyS0 root=/dev/vda rw quiet panic=-1 net.ifnames=0 mitigations=off nokaslr tsc=reliable "
                  "clocksource=tsc no_timer_check rcupdate.rcu_expedited=1 apparmor=1 security=apparmor")
RESEED = "cat > /dev/urandom; perl -e 'open(R, \">/dev/urandom\") && ioctl(R, 0x5207, 0) or die'"  # RNDRESEEDCRNG


def qemu():
    line = disks.run(disks.ROOT / "scripts/peers", "qemu").split()
    return pathlib.Path(line[2])


def overlay(program, path, backing, backing_format):
    disks.run(program.parent / "qemu-img", "create", "-q", "-f", "qcow2", "-F", backing_format, "-b", backing, path)


def drive(overlay_path):
    """QEMU's options for a disk that never forgets."""
    return ["-drive", f"if=none,id=d0,file={overlay_path},format=qcow2,cache=unsafe,aio=threads,discard=unmap"]


def make_cargo(path, files=()):
    """A file system image with copies of these programs, which machines find in /opt/cargo. All are of one size, because a
    snapshot knows it."""
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            shutil.copy(file, folder)
        disks.run("mke2fs", "-q", "-t", "ext2", "-m", "0", "-d", folder, path, CARGO_SIZE)


class Failed(Exception):
    """A command in a machine that did not end well."""


class Emulator:
    """A QEMU process in a folder of its own, with the sockets qmp, agent and console in it. `drive` is the options that make
    the disk d0; `switch` is the socket of a port: without one what leaves by eth0 is lost."""

    def __init__(self, folder, disk, drive, memory, switch=None, incoming=False):
        self.folder = folder
        program = qemu()
        command = [
            program, "-L", program.parent.parent / "share/seabios", "-L", program.parent.parent / "share/qemu",
            "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max",
            "-M", "q35,vmport=off,i8042=off,hpet=off,memory-backend=ram", "-smp", "2", "-m", str(MEMORY_MB),
            "-object", f"memory-backend-file,id=ram,size={MEMORY_MB}M,mem-path={memory},share={'off' if incoming else 'on'}",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", disk / "vmlinuz", "-initrd", disk / "initrd", "-append", KERNEL_OPTIONS,
            *drive, "-drive", f"if=none,id=d1,file={folder}/cargo,format=raw,readonly=on",
            "-device", "virtio-blk-pci,drive=d0", "-device", "virtio-blk-pci,drive=d1", "-device", "virtio-rng-pci",
            "-netdev", f"stream,id=net,server=off,addr.type=unix,addr.path={switch}" if switch else "hubport,id=net,hubid=0",
            "-device", "virtio-net-pci,id=eth0,netdev=net,mac=52:54:00:90:00:00,romfile=",
            "-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={folder}/agent,server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=agent",
            "-chardev", f"socket,id=console,path={folder}/console,server=on,wait=off,logfile={folder}/console.log,logappend=on",
            "-serial", "chardev:console", "-qmp", f"unix:{folder}/qmp,server=on,wait=off"]
        if incoming:
            command += ["-incoming", "defer"]
        self.log = open(folder / "qemu.log", "w")
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, start_new_session=True)
        self.qmp = self._wait_for(lambda: Qmp.connect(folder / "qmp"))

    def channel(self):
        return Channel(self.folder / "agent")

    def stop(self):
        """Ends QEMU; for the machine it is as if the power went, though its disk forgets nothing."""
        self.process.kill()
        self.process.wait()
        self.log.close()

    def _wait_for(self, attempt):
        # A socket in the file system that nobody made yet has no event; QEMU makes it within milliseconds.
        while True:
            try:
                return attempt()
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"QEMU ended: {(self.folder / 'qemu.log').read_text()}") from None
                time.sleep(0.01)


def answer(channel, limit):
    """Waits for the agent: what was sent before it opened its port may be lost, so it is asked again. Not often: what is not
    lost it does all at once, and has descriptors for some hundred commands."""
    deadline, patience = time.monotonic() + limit, 1
    while True:
        with contextlib.suppress(TimeoutError):
            channel.start(["true"]).wait(patience)
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"the machine's agent did not answer in {limit} s")
        patience = min(2 * patience, 15)


def snapshot(kernel):
    """A folder with what a booted machine is: disk.qcow2, memory and state."""
    disk = disks.disk(kernel, AGENT)

    def make(folder):
        disks.log("booting the disk once, for a snapshot: about half a minute")
        program = qemu()
        # Overlays name what they stand on, so it is made where it stays: beside the disk, whose folder is its own.
        overlay(program, folder / "disk.qcow2", disk / "root.ext4", "raw")
        with tempfile.TemporaryDirectory(prefix="gantry-vm-") as sockets:
            make_cargo(f"{sockets}/cargo")
            emulator = Emulator(pathlib.Path(sockets), disk, drive(folder / "disk.qcow2"), folder / "memory")
            try:
                channel = emulator.channel()
                answer(channel, BOOT_LIMIT)
                settled = channel.start(["sh", "-c", "systemctl is-system-running --wait; systemctl --failed; "
                                                    "udevadm settle; sync"])
                settled.wait(BOOT_LIMIT)
                if not settled.output.startswith(b"running"):
                    raise RuntimeError(f"the machine did not come up: {settled.output.decode()}")
                channel.close()
                emulator.qmp.command("stop")
                emulator.qmp.command("migrate-set-capabilities",
                                     capabilities=[{"capability": "x-ignore-shared", "state": True},
                                                   {"capability": "events", "state": True}])
                emulator.qmp.command("migrate", uri=f"file:{folder}/state")
                emulator.qmp.wait_for("MIGRATION", lambda data: data["status"] in ("completed", "failed"))
                emulator.qmp.command("quit")
                emulator.process.wait()
            finally:
                emulator.stop()

    program = pathlib.Path(__file__)
    return disk, disks.made_once(f"snapshot-{disks.digest(disk.name, str(qemu()), program)}", make)


class Machine:
    """A machine of its own for one story. Leaving its `with` block ends it; when that was by an exception, its console and
    journal are kept in build/PRESET/test-logs. `network` is a Switch; without one it has an eth0 that leads nowhere. One with
    `power_cuts` has cut_power(), and a disk that is a little slower."""

    def __init__(self, name="vm", kernel=KERNEL, cargo=(), network=None, power_cuts=False):
        self.name, self.kernel, self.cargo, self.power_cuts = name, kernel, cargo, power_cuts
        self.port = network and network.join(self)
        self.cord = None
        self.keeps_logs = False  # also when nothing is raised

    def __enter__(self):
        self.disk, saved = snapshot(self.kernel)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"gantry-{self.name}-"))
        make_cargo(self.folder / "cargo", self.cargo)
        if self.power_cuts:
            self.cord = Cord(self.folder, qemu().parent / "qemu-img", saved / "disk.qcow2")
        else:
            overlay(qemu(), self.folder / "disk.qcow2", saved / "disk.qcow2", "qcow2")
        self.emulator = Emulator(self.folder, self.disk, self._drive(), saved / "memory", self.port and self.port.path,
                                 incoming=True)
        qmp = self.emulator.qmp
        qmp.command("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True},
                                                              {"capability": "events", "state": True}])
        qmp.command("migrate-incoming", uri=f"file:{saved}/state")
        qmp.wait_for("MIGRATION", lambda data: data["status"] in ("completed", "failed"))
        qmp.command("cont")
        self._connect()
        # Its clock stood still since the snapshot, and its name and the state of its random numbers are those of all clones.
        self.shell(f"{RESEED}; date -s @{time.time():.3f} >/dev/null; echo {self.name} | tee /etc/hostname "
                   "> /proc/sys/kernel/hostname; mkdir -p /opt/cargo; "
                   "echo /dev/vdb /opt/cargo ext2 ro,x-systemd.device-timeout=600 >> /etc/fstab; mount /opt/cargo", data=os.urandom(64))
        if self.port:
            self.port.configure(self)
        return self

    def _drive(self):
        return self.cord.drive() if self.cord else drive(self.folder / "disk.qcow2")

    def _connect(self):
        self.channel = self.emulator.channel()
        answer(self.channel, BOOT_LIMIT)

    def __exit__(self, kind, error, trace):
        if kind or self.keeps_logs:
            self._keep_logs()
        self.emulator.stop()
        shutil.rmtree(self.folder)

    def reboot(self):
        """An orderly one, by the machine's own systemd; returns when all its units are up again."""
        self.start("systemctl", "reboot")
        self.emulator.process.wait(BOOT_LIMIT)
        self.emulator.stop()
        if self.cord:
            self.cord.shut_down()
        self._boot()

    def cut_power(self):
        """The power goes and comes back: what the disk had not been told to keep may be lost. Returns as reboot() does."""
        self.cord.wait_for_unflushed()
        self.emulator.stop()
        self.cord.cut()
        self._boot()

    def _boot(self):
        self.emulator = Emulator(self.folder, self.disk, self._drive(), self.folder / "memory", self.port and self.port.path)
        self._connect()
        self.run("systemctl", "is-system-running", "--wait", check=False, timeout=BOOT_LIMIT)

    def limit_disk(self, rate):
        """Of the disk's writes, in bytes a second; 0: as fast as it is."""
        self.emulator.qmp.command("block_set_io_throttle", device="d0", bps=0, bps_rd=0, bps_wr=rate,
                                  iops=0, iops_rd=0, iops_wr=0)

    @contextlib.contextmanager
    def unplugged(self):
        """Its network cable is out: the carrier is gone. (Switch.cut() drops what is sent, and no machine is told.)"""
        self.emulator.qmp.command("set_link", name="eth0", up=False)
        try:
            yield
        finally:
            self.emulator.qmp.command("set_link", name="eth0", up=True)

    @contextlib.contextmanager
    def full_disk(self, folder):
        """The file system of `folder` has not one block left, until the `with` block ends."""
        self.shell(f"mkdir -p {folder}; cd {folder}; fallocate -l $(($(stat -fc '%f * %S' .))) filling-1 || true; "
                   "cat /dev/zero > filling-2 || true; sync -f .; cat /dev/zero >> filling-2 || true")
        try:
            yield
        finally:
            self.shell(f"rm -f {folder}/filling-*; sync -f {folder}")  # what is removed is free when that is synced

    def jump_clock(self, seconds):
        """Its wall clock goes forward, or back."""
        self.shell(f"date -s @$(($(date +%s) + {seconds})) > /dev/null")

    def start(self, *argv):
        """A command that goes on while the story does."""
        return self.channel.start([str(word) for word in argv])

    def run(self, *argv, data=b"", check=True, timeout=COMMAND_LIMIT):
        """Runs a command to its end: its output, as text. With check=False: (exit status, output, error)."""
        command = self.start(*argv)
        command.write(data.encode() if isinstance(data, str) else data)
        command.close()
        status = command.wait(timeout)
        output, error = command.output.decode(errors="replace"), command.error.decode(errors="replace")
        if not check:
            return status, output, error
        if status:
            raise Failed(f"{self.name}: {' '.join(map(str, argv))}: exit status {status}\n{output}{error}")
        return output

    def shell(self, script, **options):
        return self.run("sh", "-ec", script, **options)

    def run_bytes(self, *argv):
        """The output of a command as it is."""
        command = self.start(*argv)
        if status := command.wait(COMMAND_LIMIT):
            raise Failed(f"{self.name}: {' '.join(argv)}: exit status {status}\n{command.error.decode(errors='replace')}")
        return bytes(command.output)

    def write(self, path, content, mode="644"):
        """Makes a file in the machine, with the folders above it."""
        self.run("sh", "-ec", 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1"', "sh", path, mode, data=content)

    def copy(self, source, path, mode="755"):
        self.write(path, pathlib.Path(source).read_bytes(), mode)

    def _keep_logs(self):
        place = LOGS / f"vm-{self.name}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for log in ("console.log", "qemu.log"):
            shutil.copy(self.folder / log, place / log)
        # One that hangs has its console; after a power cut or a reboot there is a boot before.
        for log, boot in (("journal.log", "0"), ("journal-of-boot-before.log", "-1")):
            with contextlib.suppress(Lost, Failed, TimeoutError, RuntimeError):
                (place / log).write_text(self.run("journalctl", "-b", boot, "--no-pager", timeout=60))
        disks.log(f"logs of {self.name} are in {place}")
