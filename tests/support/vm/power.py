# SPDX-License-Identifier: Apache-2.0
"""The power cord of a machine: a disk that forgets, when the power goes, what a real one may forget.

QEMU's blklogwrites logs each write that the machine makes, in the format of Linux's dm-log-writes, over a scratch overlay
that is thrown away. After a cut the disk is rebuilt: everything up to the last flush, and of the writes after it a random
part, each whole, torn between its 512-byte sectors or not at all. The kernel's FUA write is one flush more here, because
virtio-blk has no FUA."""
import mmap
import os
import random
import struct
import time

from . import disk as disks

SECTOR = 512
SUPER = struct.Struct("<QQQI")  # magic, version, entries up to the last flush or update, sector size
ENTRY = struct.Struct("<QQQQ")  # sector, sectors, flags, length of a mark
MAGIC = 0x6a736677736872
FLUSH, FUA, DISCARD = 1, 2, 4


class Entry:
    """A write, flush or discard. `data` is where it begins in the log."""

    def __init__(self, sector, sectors, flags, data):
        self.at, self.size, self.flags, self.data = sector * SECTOR, sectors * SECTOR, flags, data


def read_log(log):
    """The entries of a log, in their order. A killed QEMU may have begun an entry and not written it: there the log ends."""
    magic, version, known, sector = SUPER.unpack_from(log, 0)
    if (magic, version, sector) != (MAGIC, 1, SECTOR):
        if not any(log[:SUPER.size]):
            return []  # nothing was flushed yet
        raise RuntimeError("this is no log of blklogwrites")
    entries, at = [], SECTOR
    while at + SECTOR <= len(log):
        sector, sectors, flags, _ = ENTRY.unpack_from(log, at)
        entry = Entry(sector, sectors, flags, at + SECTOR)
        at = entry.data + (0 if flags & DISCARD else entry.size)
        if not (flags or sectors) or at > len(log):
            break
        entries.append(entry)
    if len(entries) < known:
        raise RuntimeError(f"the log has a hole: {len(entries)} entries of {known}")
    return entries


def rebuild(log_path, disk_path, choose):
    """Brings a raw disk up to date. Of each write since the last flush it takes the sectors that choose(sectors) names, as
    ranges (first, end). Returns the numbers of writes: (all, since the last flush)."""
    with open(log_path, "rb") as file, open(disk_path, "r+b", buffering=0) as disk:
        if not os.path.getsize(log_path):
            return 0, 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as log:
            entries = read_log(log)
            flushed = max((number for number, entry in enumerate(entries) if entry.flags & FLUSH), default=-1)
            writes = [(number > flushed and not entry.flags & FUA, entry)
                      for number, entry in enumerate(entries) if entry.size]
            for may_be_lost, entry in writes:
                for first, end in choose(entry.size // SECTOR) if may_be_lost else [(0, entry.size // SECTOR)]:
                    first, end = first * SECTOR, end * SECTOR
                    data = bytes(end - first) if entry.flags & DISCARD else log[entry.data + first:entry.data + end]
                    os.pwrite(disk.fileno(), data, entry.at + first)
            return len(writes), sum(lost for lost, _ in writes)


class Watch:
    """A log that is being written: how many of its writes no flush has followed yet."""

    def __init__(self, path):
        self._file, self._at, self._since = open(path, "rb", buffering=0), SECTOR, 0

    def unflushed(self):
        while len(header := os.pread(self._file.fileno(), ENTRY.size, self._at)) == ENTRY.size:
            _, sectors, flags, _ = ENTRY.unpack(header)
            if not (flags or sectors):
                break
            self._since = 0 if flags & FLUSH else self._since + 1
            self._at += SECTOR + (0 if flags & DISCARD else sectors * SECTOR)
        return self._since


class Chance:
    """What survives a cut: of all writes about the same part, so that some cuts take nearly all and some nearly none."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._part = self._random.random()

    def __call__(self, sectors):
        if sectors > 1 and self._random.random() < 0.1:
            cut = self._random.randrange(1, sectors)
            return [self._random.choice([(0, cut), (cut, sectors)])]
        return [(0, sectors)] if self._random.random() < self._part else []


class Cord:
    """The disk of one machine in its folder: disk.raw is what it holds for certain; log is what was written since."""

    def __init__(self, folder, qemu_img, snapshot):
        self._qemu_img = qemu_img
        self._disk, self._log, self._scratch = folder / "disk.raw", folder / "writes.log", folder / "scratch.qcow2"
        self.seed = int(os.environ.get("GANTRY_SEED") or random.SystemRandom().randrange(10**6))
        self.cuts = 0
        disks.run(qemu_img, "convert", "-W", "-O", "raw", snapshot, self._disk)

    def drive(self):
        """QEMU's options for the disk d0. Its log begins anew."""
        self._log.write_bytes(b"")
        disks.run(self._qemu_img, "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self._disk, self._scratch)
        nodes = [f"driver=file,node-name=d0-file,filename={self._scratch}", "driver=qcow2,node-name=d0-qcow2,file=d0-file",
                 f"driver=file,node-name=d0-log,filename={self._log}"]
        # Flushes are logged, and need not reach this machine's own disk.
        options = [word for node in nodes for word in ("-blockdev", f"{node},cache.no-flush=on")]
        return [*options, "-blockdev", "driver=blklogwrites,node-name=d0,file=d0-qcow2,log=d0-log"]

    def wait_for_unflushed(self):
        """Until there is something to lose; at most for three seconds. Flushes come often, and a cut between two that follow
        each other says little."""
        watch, deadline = Watch(self._log), time.monotonic() + 3
        wanted = random.Random(f"{self.seed} {self.cuts}").choice((1, 2, 5, 20))
        while watch.unflushed() < wanted and time.monotonic() < deadline:
            time.sleep(0.0002)  # there is no event of a file that grows

    def cut(self):
        """After QEMU was killed: the disk as it may be found."""
        self.cuts += 1
        writes, since = rebuild(self._log, self._disk, Chance(f"{self.seed} {self.cuts}"))
        disks.log(f"power cut {self.cuts} with GANTRY_SEED={self.seed}: {since} of {writes} writes were not flushed")

    def shut_down(self):
        """After an orderly end of QEMU: nothing is lost."""
        rebuild(self._log, self._disk, lambda sectors: [(0, sectors)])
