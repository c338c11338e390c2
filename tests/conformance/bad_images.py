#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""Images that lie or reach out: each is refused with a sentence, or can do nothing outside of its own layer."""
import contextlib
import os
import pathlib
import shutil
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import APPLETS, Node
from oci import Image, digest, entry, sparse_layer, tar

MIB = 1 << 20
WRONG = "sha256:" + "ab" * 32


def base():
    """Entries of a root that has busybox."""
    busybox = pathlib.Path("/usr/bin/busybox").read_bytes()
    links = [entry(f"bin/{name}", tarfile.SYMTYPE, linkname="busybox") for name in APPLETS]
    return [entry("bin/", tarfile.DIRTYPE), entry("bin/busybox", content=busybox, mode=0o755), *links]


def disk_use(folder):
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(FileNotFoundError):  # it has gone since
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
    return total


class World:
    """Something outside of every image, which none of them may reach, read or change."""

    def __init__(self, checks, node):
        self.checks, self.node = checks, node
        self.folder = node.work / "outside"
        self.folder.mkdir()
        self.secret = self.folder / "secret"
        self.secret.write_text("outside\n")
        self.archive = node.work / "bad.tar"

    def reach(self):
        """The folder, as an image would name it that wants to climb to it."""
        return "../" * 40 + str(self.folder).lstrip("/")

    def load(self, image):
        image.archive(self.archive)
        return self.node.image("load", str(self.archive), check=False)

    def untouched(self, what):
        self.checks.equal((sorted(os.listdir(self.folder)), self.secret.read_text()), (["secret"], "outside\n"),
                          f"{what}: nothing outside of it has changed")

    def refused(self, what, image, parts):
        done = self.load(image)
        self.checks.ok(done.returncode == 1, f"{what}: refused", f"exit status {done.returncode}: {done.stdout}{done.stderr}")
        self.checks.contains(done.stderr, parts, f"{what}: with a sentence that names it")
        self.checks.equal(len(done.stderr.strip().splitlines()), 1, f"{what}: in one line")
        self.untouched(what)
        self.checks.equal(self.node.image("list", "--quiet").stdout.count("\n"), 1, f"{what}: the store has no image more")

    def contained(self, what, entries, script, expected):
        """Either it is refused, or the container that runs it sees nothing but its own files."""
        layer = tar(base() + entries)
        done = self.load(Image(layer))
        self.untouched(what)
        if done.returncode != 0:
            self.checks.ok(done.returncode == 1 and done.stderr, f"{what}: refused: {done.stderr.strip()}",
                           f"exit status {done.returncode}: {done.stderr}")
            return
        config = self.node.pod_config("contained")
        pod = self.node.run_pod(config)
        container = self.node.container_config("main", script, image={"image": "bad:1"})
        container_id = self.node.run_container(pod, container, config)
        c.wait_until("the container ends",
                     lambda: self.node.container_status(container_id)["state"] == "CONTAINER_EXITED")
        said = self.node.crictl("logs", container_id)
        self.checks.contains(said.stdout + said.stderr, expected, f"{what}: contained")
        self.untouched(f"{what}, run")
        self.node.crictl("rmp", "--force", pod)
        self.node.image("remove", "bad:1")


def digests(world):
    layer = tar([entry("file", content=b"x")])
    for what, part in (("layer", "layer"), ("configuration", "config"), ("manifest", "manifest")):
        image = Image(layer)
        image.claims[part] = WRONG
        world.refused(f"a wrong digest of the {what}", image, WRONG)
    image = Image(layer)
    image.diff_ids = [WRONG]
    world.refused("a wrong diff_id", image, WRONG)
    image = Image(layer)
    image.claims["layer"] = "sha256:../../../../secret"
    world.refused("a digest that is a path", image, "../../../../secret")
    image = Image(layer)
    image.sizes["layer"] = len(layer) + 1
    world.refused("a wrong size of the layer", image, [digest(layer), str(len(layer) + 1)])


def paths(world):
    folder, reach = str(world.folder), world.reach()
    world.refused("a layer with ../", Image(tar([entry(f"{reach}/evil", content=b"x")])), ["evil", ".."])
    world.refused("a layer with x/../../", Image(tar([entry(f"x/{reach}/evil", content=b"x")])), ["evil", ".."])
    world.refused("a hard link that climbs out", Image(tar([entry("evil", tarfile.LNKTYPE, linkname=f"{reach}/secret")])),
                  ["evil", ".."])
    world.refused("a hard link to a file of the host", Image(tar([entry("evil", tarfile.LNKTYPE, linkname=f"{folder}/secret")])),
                  ["evil", "secret"])
    world.refused("a whiteout of ..", Image(tar([entry("d/.wh...", content=b"")])), [".wh."])
    world.contained("an absolute name", [entry(f"{folder}/evil", content=b"mine\n")], f"cat {folder}/evil", "mine")
    world.contained("an absolute symlink, and a file through it",
                    [entry("away", tarfile.SYMTYPE, linkname=folder), entry("away/evil", content=b"mine\n")],
                    f"cat {folder}/evil; cat /away/secret || echo none", ["mine", "none"])
    world.contained("a symlink that climbs out, and a file through it",
                    [entry("away", tarfile.SYMTYPE, linkname=reach), entry("away/evil", content=b"mine\n")],
                    f"cat {folder}/evil; cat /away/secret || echo none", ["mine", "none"])
    world.contained("a symlink and a hard link through it",
                    [entry("away", tarfile.SYMTYPE, linkname=folder), entry("evil", tarfile.LNKTYPE, linkname="away/secret")],
                    "cat /evil || echo none", "none")
    world.contained("a symlink to the host's passwd as the image's",
                    [entry("etc/", tarfile.DIRTYPE), entry("etc/passwd", tarfile.SYMTYPE, linkname=f"{reach}/secret")],
                    "cat /etc/passwd || echo none", "none")


def devices(world):
    disk = os.stat(world.folder).st_dev
    world.contained("a device of the host's disk",
                    [entry("disk", tarfile.BLKTYPE, devmajor=os.major(disk), devminor=os.minor(disk), mode=0o666)],
                    "dd if=/disk of=/dev/null bs=512 count=1 && echo read || echo denied", "denied")
    world.contained("a device of the host's memory", [entry("mem", tarfile.CHRTYPE, devmajor=1, devminor=1, mode=0o666)],
                    "dd if=/mem of=/dev/null bs=512 count=1 && echo read || echo denied", "denied")


def sizes(world):
    before = disk_use(world.node.lib)
    world.refused("a sparse file of 1 TiB", Image(sparse_layer("huge", 1 << 40)), ["huge", str(1 << 40)])
    layer = sparse_layer("huge", 8 << 30)
    done = world.load(Image(layer))
    if done.returncode == 0:
        world.checks.ok(disk_use(world.node.lib) - before < 4 * MIB, "a sparse file of 8 GiB: takes no more disk than it has data",
                        f"{disk_use(world.node.lib) - before} bytes")
        world.node.image("remove", "bad:1")
    else:
        world.checks.ok(done.returncode == 1, f"a sparse file of 8 GiB: refused: {done.stderr.strip()}", done.stderr)
    bomb = tar([entry("zeros", content=bytes(600 * MIB))])
    world.refused("600 MiB of zeros in few bytes of gzip", Image(bomb, compress=True), "bytes")
    del bomb
    c.wait_until("what the refused ones brought is gone", lambda: disk_use(world.node.lib) - before < 4 * MIB)
    world.checks.ok(True, "refused images leave nothing in the store")


def archives(world):
    layer = tar([entry("file", content=b"x")])
    whole = Image(layer).archive(world.archive).read_bytes()
    cases = {
        "text instead of an archive": b"this is no archive\n" * 100,
        "an empty file": b"",
        "random bytes": os.urandom(100_000),
        "half an archive": whole[:len(whole) // 2],
        "an archive without an index": tar([entry("oci-layout", content=b'{"imageLayoutVersion":"1.0.0"}')]),
        "an index that is no JSON": tar([entry("oci-layout", content=b'{"imageLayoutVersion":"1.0.0"}'),
                                         entry("index.json", content=b"{")]),
        "an index of nested brackets": tar([entry("oci-layout", content=b'{"imageLayoutVersion":"1.0.0"}'),
                                            entry("index.json", content=b"[" * 200_000)]),
        "an index of 64 MiB": tar([entry("oci-layout", content=b'{"imageLayoutVersion":"1.0.0"}'),
                                   entry("index.json", content=b" " * (64 * MIB) + b"{}")]),
        "CVE-2023-25153: an index of 4 GiB, sparse": tar([entry("oci-layout", content=b'{"imageLayoutVersion":"1.0.0"}')])
                                                     .rstrip(b"\0").ljust(1024, b"\0") + sparse_layer("index.json", 4 << 30),
        "CVE-2023-25153: Docker's manifest.json of 64 MiB": tar([entry("manifest.json", content=b" " * (64 * MIB) + b"[]")]),
        "an index that is a symlink": tar([entry("oci-layout", content=b'{"imageLayoutVersion":"1.0.0"}'),
                                           entry("index.json", tarfile.SYMTYPE, linkname=str(world.secret))]),
    }
    for what, data in cases.items():
        world.archive.write_bytes(data)
        done = world.node.image("load", str(world.archive), check=False)
        one_line = len(done.stderr.strip().splitlines()) == 1
        world.checks.ok(done.returncode == 1 and one_line and "outside" not in done.stderr,
                        f"{what}: refused in one line: {done.stderr.strip()[:160]}",
                        f"{done.returncode}: {done.stdout}{done.stderr}")


def story(checks):
    with Node(checks) as node:
        node.build_image()
        pid = node.gantryd_pid()
        world = World(checks, node)
        for part in (digests, paths, devices, sizes, archives):
            part(world)
        checks.equal(node.image("list", "--quiet").stdout.count("\n"), 1, "in the end the store has its one good image")
        checks.equal(len(node.json("images", "-o", "json")["images"]), 1, "and so says crictl")
        checks.equal(node.gantryd_pid(), pid, "gantryd is the process of before")
        shutil.rmtree(world.folder)


c.main(story)
