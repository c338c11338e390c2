# SPDX-License-Identifier: Apache-2.0
"""What image layers are made of, and what lies in a machine's image store: to compare the two, file by file."""
import contextlib
import hashlib
import io
import pathlib
import random
import sqlite3
import subprocess
import tarfile
import tempfile

from oci import entry

LIB = "/var/lib/gantry"
STORE = f"{LIB}/store"
KINDS = {tarfile.REGTYPE: "f", tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.FIFOTYPE: "p"}
# A line for each thing beneath a folder, with what it is; then one for each file's content.
LIST = ("cd {folder} && find . -mindepth 1 -printf '%P\\t%y %m %U:%G %l\\n' && echo && "
        "find . -type f -exec sha256sum {{}} +")


def tree(number):
    """Entries of a layer, each of another content for another number: small and large files, modes, owners, links."""
    chance = random.Random(number)
    entries = [entry("stamp", content=b"%d\n" % number), entry("empty"), entry("pipe", tarfile.FIFOTYPE, mode=0o640),
               entry("sticky/", tarfile.DIRTYPE, mode=0o1777), entry("sticky/suid", content=b"x" * 5000, mode=0o4755),
               entry("to", tarfile.SYMTYPE, linkname="/nowhere/at/all", mode=0o777)]
    for folder in range(4):
        entries.append(entry(f"d{folder}/", tarfile.DIRTYPE, mode=0o750, uid=1000 + folder, gid=50))
        for file in range(6):
            content = chance.randbytes(chance.choice((1, 300, 4096, 70_000)))
            entries.append(entry(f"d{folder}/f{file}", content=content, uid=1000 + file, gid=file, mode=0o600 + file))
    return entries


def listing(entries):
    """Of entries: {path: (what it is, digest of its content)}."""
    return {info.name.rstrip("/"): (
        f"{KINDS[info.type]} {info.mode:o} {info.uid}:{info.gid} {info.linkname}",
        hashlib.sha256(content).hexdigest() if info.type == tarfile.REGTYPE else None) for info, content in entries}


def listing_in(machine, folder):
    """The same of a folder in a machine."""
    things, _, sums = machine.shell(LIST.format(folder=folder)).partition("\n\n")
    digests = {path.removeprefix("./"): digest for digest, path in (line.split("  ", 1) for line in sums.splitlines())}
    return {path: (what, digests.get(path)) for path, what in (line.split("\t") for line in things.splitlines() if line)}


def listings_below(listed):
    """A listing of folders as one for each of them."""
    folders = {}
    for path, what in listed.items():
        name, _, inner = path.partition("/")
        folders.setdefault(name, {})
        if inner:
            folders[name][inner] = what
    return folders


class Here:
    """This machine, for what may be asked of one."""

    def run_bytes(self, *command):
        words = [str(word) for word in command]
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True).stdout

    def shell(self, script):
        return self.run_bytes("sh", "-c", script).decode()


@contextlib.contextmanager
def database(machine, lib=LIB):
    """gantryd's SQLite file, as it is now, to read from."""
    if isinstance(machine, Here):
        # Not a copy: gantryd may be writing.
        with contextlib.closing(sqlite3.connect(f"file:{lib}/gantry.db?mode=ro", uri=True)) as connection:
            yield connection
        return
    # Who closed it last has left no log.
    files = machine.run_bytes("sh", "-c", f"cd {lib} && tar -cf - gantry.db $(ls gantry.db-wal 2>/dev/null)")
    with tempfile.TemporaryDirectory() as folder:
        tarfile.open(fileobj=io.BytesIO(files)).extractall(folder)
        with contextlib.closing(sqlite3.connect(pathlib.Path(folder) / "gantry.db")) as connection:
            yield connection


def difference(expected, found):
    """What two listings do not have in common, in a few words."""
    paths = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
    return {path: (expected.get(path), found.get(path)) for path in paths[:5]}


def wrong_layers(machine, known, lib=LIB):
    """Layers that the store calls complete and that are not as they were made: `known` is listings by diff id, without its
    "sha256:". Returns how many are complete, and the wrong ones with what is different."""
    found = listings_below(listing_in(machine, f"{lib}/store/l"))
    with database(machine, lib) as rows:
        complete = dict(rows.execute("SELECT name, diff FROM image_layers WHERE complete = 1"))
    return len(complete), {name: difference(known.get(diff, {}), found.get(name, {}))
                           for name, diff in complete.items() if found.get(name) != known.get(diff)}


def wrong_blobs(machine, lib=LIB):
    """Those that the store calls complete and that are not there, or not what their names say."""
    summed = dict(reversed(line.split("  ")) for line in
                  machine.shell(f"cd {lib}/store/blobs; find . -type f -printf '%P\\0' | xargs -r0 sha256sum").splitlines())
    with database(machine, lib) as rows:
        complete = [digest for (digest,) in rows.execute("SELECT digest FROM image_blobs WHERE complete = 1")]
    return {digest: summed.get(digest) for digest in complete if summed.get(digest) != digest}


def strays(machine, lib=LIB):
    """What lies in the store and no row names, and the rows of what is half made."""
    rows = {"l": "SELECT name FROM image_layers", "blobs": "SELECT digest FROM image_blobs",
            "i": "SELECT name FROM image_ingests", "c": "SELECT name FROM image_roots"}

    def named(connection):
        return {f"{folder}/{name}" for folder, query in rows.items() for (name,) in connection.execute(query)}

    # What is removed meanwhile was somebody's before, what is made is somebody's after.
    with database(machine, lib) as connection:
        known = named(connection)
    there = machine.shell(f"cd {lib}/store; for f in {' '.join(rows)}; do ls $f | sed s,^,$f/,; done").split()
    with database(machine, lib) as connection:
        known |= named(connection)
        unfinished = connection.execute("SELECT name FROM image_layers WHERE complete = 0 UNION ALL "
                                        "SELECT digest FROM image_blobs WHERE complete = 0 UNION ALL "
                                        "SELECT name FROM image_ingests").fetchall()
    return sorted(set(there) - known), [name for (name,) in unfinished]
