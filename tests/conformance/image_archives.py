#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""`gantry image load` and `save` beside skopeo, podman and umoci: archives of theirs are loaded, and ours are read by them, in
Docker's form and in OCI's, with the same ids on both sides. What is wrong with an archive is said, and the store stays as it
was."""
import contextlib
import gzip
import io
import json
import os
import pathlib
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import BIN, run
from oci import Image, digest, entry, tar
from registry import pack

PEERS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/peers"
FIRST, SECOND = "docker.io/library/first:1", "example.test:5000/a/second:2"


class Store:
    """A store of images in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder

    def image(self, *arguments, check=True, stdin=None):
        return run([BIN / "gantry", "image", "--data-dir", self.folder, *arguments], check, 120, stdin)

    def shown(self):
        """{id: image} of all that are here."""
        ids = self.image("list", "--quiet").stdout.split()
        return {image["Id"]: image for image in json.loads(self.image("inspect", *ids).stdout)} if ids else {}

    def clear(self):
        for image_id in self.image("list", "--quiet").stdout.split():
            self.image("remove", image_id)

    def files(self):
        return {part: sorted(os.listdir(self.folder / "store" / part)) for part in ("l", "blobs", "i")}

    def texts(self, name):
        """What a file of this name has in each layer."""
        return sorted(path.read_text() for path in (self.folder / "store/l").glob(f"*/{name}"))


class World:
    def __init__(self, checks, folder):
        self.checks, self.folder = checks, folder
        self.store, self.other = Store(folder / "store"), Store(folder / "other")
        lines = run([PEERS, "podman", "conmon", "umoci"], limit=600).stdout.splitlines()
        self.peers = {words[0]: words[2] for words in map(str.split, lines)}
        base = folder / "podman"
        base.mkdir()
        config = base / ".config/containers"
        config.mkdir(parents=True)
        (config / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        # Looked for by every command, and used by none that works on images.
        helpers = base / "helpers"
        helpers.mkdir()
        for name in ("netavark", "runtime"):
            (helpers / name).write_text("#!/bin/sh\nexit 1\n")
            (helpers / name).chmod(0o755)
        (base / "containers.conf").write_text(f'[engine]\nhelper_binaries_dir = ["{helpers}"]\n')
        os.environ.update(HOME=str(base), CONTAINERS_CONF=str(base / "containers.conf"))
        self.podman_command = [self.peers["podman"], "--root", base / "root", "--runroot", base / "run", "--tmpdir",
                               base / "tmp", "--storage-driver", "vfs", "--events-backend", "none",
                               "--cgroup-manager", "cgroupfs", "--conmon", self.peers["conmon"], "--runtime",
                               helpers / "runtime"]
        layers = [tar([entry("text", content=f"layer {number}".encode())]) for number in range(3)]
        self.images = {FIRST: Image(layers[0], layers[1], compress=True, User="5"), SECOND: Image(layers[0], layers[2])}

    def podman(self, *arguments):
        return run([*self.podman_command, *arguments])

    def podman_load(self, path):
        return self.podman("load", "-i", path).stdout

    def skopeo(self, *arguments):
        return run(["skopeo", "--insecure-policy", *arguments])

    def path(self, name):
        path = self.folder / name
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return path

    def loaded(self, what, source, tags, *options, texts=None):
        """A load gives images with these names, and nothing else; returns them by name."""
        self.store.clear()
        self.store.image("load", *options, source)
        shown = self.store.shown()
        by_tag = {tag: image for image in shown.values() for tag in image["RepoTags"]}
        self.checks.equal(sorted(by_tag), sorted(tags), f"{what}: loaded, with its names")
        if texts:
            self.checks.equal(self.store.texts("text"), sorted(texts), f"{what}: with its layers")
        return by_tag


def diff_ids(image):
    return image["Config"]["rootfs"]["diff_ids"]


def theirs(world):
    """What skopeo, podman and umoci make of an image."""
    checks, first = world.checks, world.images[FIRST]
    made = first.archive(world.path("made.tar"), FIRST)
    world.images[SECOND].archive(world.path("second.tar"), SECOND)
    for form in ("docker-archive", "oci-archive"):
        path = world.path("skopeo.tar")
        world.skopeo("copy", f"oci-archive:{made}", f"{form}:{path}:{FIRST}")
        image = world.loaded(f"skopeo's {form}", path, [FIRST], texts=["layer 0", "layer 1"])[FIRST]
        checks.equal(diff_ids(image), first.diff_ids, f"skopeo's {form}: its layers are the same")
        world.podman_load(path)
    world.podman_load(world.folder / "second.tar")
    world.podman("tag", FIRST, "docker.io/library/first:also")
    ids = {name: "sha256:" + json.loads(world.podman("image", "inspect", name).stdout)[0]["Id"] for name in (FIRST, SECOND)}
    for form in ("docker-archive", "oci-archive"):
        path = world.path("podman.tar")
        world.podman("save", "--format", form, "-o", path, FIRST)
        image = world.loaded(f"podman's {form}", path, [FIRST], texts=["layer 0", "layer 1"])[FIRST]
        checks.equal(image["Id"], ids[FIRST], f"podman's {form}: its id is podman's")
    path = world.path("podman.tar")
    world.podman("save", "--multi-image-archive", "-o", path, FIRST, SECOND, "docker.io/library/first:also")
    by_tag = world.loaded("podman's archive of two images", path, [FIRST, SECOND, "docker.io/library/first:also"],
                          texts=["layer 0", "layer 1", "layer 2"])
    checks.equal({name: by_tag[name]["Id"] for name in ids}, ids, "podman's archive of two images: their ids are podman's")
    done = world.store.image("load", "--tag", "new:1", path, check=False)
    checks.contains(done.stderr, "holds 2 images", "one name for two images is refused")

    layout = world.folder / "layout"
    (world.folder / "layer.tar").write_bytes(tar([entry("text", content=b"of umoci")]))
    umoci = world.peers["umoci"]
    run([umoci, "init", "--layout", layout])
    run([umoci, "new", "--image", f"{layout}:1"])
    run([umoci, "raw", "add-layer", "--image", f"{layout}:1", world.folder / "layer.tar"])
    world.loaded("umoci's layout", layout, ["docker.io/library/umoci:1"], "--tag", "umoci:1", texts=["of umoci"])


def docker_tar(images, entries):
    return tar([*entries, entry("manifest.json", content=json.dumps(images).encode())])


def config_of(*layers):
    return json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
                       "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}}).encode()


def by_hand(world):
    """Forms of `docker save` that no tool here writes."""
    layers = [tar([entry("text", content=f"docker {number}".encode())]) for number in range(2)]
    config = config_of(layers[0], layers[1], layers[0])
    config_id = digest(config)
    name = f"{config_id[7:]}.json"
    # Before Docker 25: a folder for each layer, and one that is listed twice is a link.
    listed = {"Config": name, "RepoTags": ["first:1", "other:2"], "Layers": [f"{folder}/layer.tar" for folder in "abc"]}
    old = docker_tar([listed],
                     [entry("a/", tarfile.DIRTYPE), entry("a/VERSION", content=b"1.0"), entry("a/json", content=b"{}"),
                      entry("a/layer.tar", content=layers[0]), entry("b/layer.tar", content=layers[1]),
                      entry("c/layer.tar", tarfile.SYMTYPE, linkname="../a/layer.tar"), entry(name, content=config),
                      entry("repositories", content=b"{}")])
    path = world.path("docker.tar")
    path.write_bytes(gzip.compress(old, 1))
    by_tag = world.loaded("docker save of old, compressed", path, [FIRST, "docker.io/library/other:2"],
                          texts=["docker 0", "docker 0", "docker 1"])
    world.checks.equal(by_tag[FIRST]["Id"], config_id, "docker save of old: its id is Docker's")

    for packing in ("gzip", "zstd"):
        packed = [pack(layer, packing) for layer in layers]
        config = config_of(*layers)
        path.write_bytes(docker_tar([{"Config": "config.json", "RepoTags": None, "Layers": ["0.tar", "1.tar"]}],
                                    [entry("0.tar", content=packed[0]), entry("1.tar", content=packed[1]),
                                     entry("config.json", content=config)]))
        world.loaded(f"layers with {packing} in a docker archive", path, ["docker.io/library/named:1"], "--tag", "named:1",
                     texts=["docker 0", "docker 1"])

    # Since Docker 25: both forms in one.
    both = Image(layers[0], layers[1])
    with tarfile.open(both.archive(world.path("both.tar"), FIRST), "a") as archive:
        listed = json.dumps([{"Config": "x", "RepoTags": ["wrong:1"], "Layers": []}]).encode()
        archive.addfile(entry("manifest.json", content=listed)[0], io.BytesIO(listed))
    world.loaded("both forms in one archive: OCI's counts", world.folder / "both.tar", [FIRST], texts=["docker 0", "docker 1"])


def wrong(world):
    """Each is refused, and nothing of it stays."""
    layer = tar([entry("text", content=b"x")])
    config = config_of(layer)
    good = [entry("layer.tar", content=layer), entry("config.json", content=config)]

    def listed(layers=("layer.tar",), config="config.json", **more):
        return {"Config": config, "RepoTags": ["bad:1"], "Layers": list(layers)} | more

    def link(name, target):
        return entry(name, tarfile.SYMTYPE, linkname=target)

    cases = (
        ("a layer that is not there", [listed(["nothing.tar"])], good, ["nothing.tar", "not in the archive"]),
        ("a layer outside of it", [listed(["../../../../../../etc/passwd"])], good, ["etc/passwd", "not in the archive"]),
        ("a link out of it", [listed(["out.tar"])], [*good, link("out.tar", "/etc/passwd")],
         ["out.tar", "not in the archive"]),
        ("a link to itself", [listed(["loop.tar"])], [*good, link("loop.tar", "loop.tar")], ["loop.tar"]),
        ("a folder as a layer", [listed(["a.tar"])], [*good, entry("a.tar", tarfile.DIRTYPE)], ["a.tar", "regular file"]),
        ("an empty layer", [listed(["a.tar"])], [*good, entry("a.tar")], ["a.tar", "empty"]),
        ("no configuration", [listed(config="")], good, ["Config", "missing"]),
        ("a configuration that is none", [listed(config="layer.tar")], good, ["configuration"]),
        ("another layer than it says", [listed(["a.tar"])], [*good, entry("a.tar", content=tar([entry("y")]))],
         ["unpacks to", "configuration says"]),
        ("more layers than it says", [listed(["layer.tar"] * 2)], good, ["2 layers", "1 diff_ids"]),
        ("128 layers", [listed(["layer.tar"] * 128)], good, ["Layers", "more than 127"]),
        ("a name that is none", [listed(RepoTags=["Not A Name"])], good, None),
        ("a list of something else", ["x"], good, ["images"]),
        ("no list", {}, good, ["images"]),
        ("an empty list", [], good, ["no image"]),
    )
    world.store.clear()
    path = world.path("wrong.tar")
    before = world.store.files()
    for what, images, entries, words in cases:
        path.write_bytes(docker_tar(images, entries))
        done = world.store.image("load", path, check=False)
        if words is None:
            world.checks.equal((done.returncode, world.store.shown().popitem()[1]["RepoTags"]), (0, []),
                               f"{what}: the image comes without it")
            world.store.clear()
            continue
        world.checks.ok(done.returncode != 0, f"{what}: refused", done.stdout)
        world.checks.contains(done.stderr, words, f"{what}: it says why")
    world.checks.equal(world.store.files(), before, "nothing of them is left")
    path.write_bytes(tar([entry("file", content=b"x")]))
    said = world.store.image("load", path, check=False).stderr
    world.checks.contains(said, "neither an OCI image layout nor a docker archive", "an archive of something else")


def ours(world):
    """What we save, skopeo, podman and another store read."""
    checks, store = world.checks, world.store
    store.clear()
    for name, image in world.images.items():
        store.image("load", image.archive(world.path("made.tar"), name))
    store.image("tag", FIRST, "docker.io/library/first:also")
    shown = {tag: image for image in store.shown().values() for tag in image["RepoTags"]}
    for form in ("docker-archive", "oci-archive"):
        path = world.path("saved.tar")
        store.image("save", "--format", form, "--output", path, FIRST)
        again = world.path("again.tar")
        store.image("save", "--format", form, "--output", again, FIRST)
        checks.ok(path.read_bytes() == again.read_bytes(), f"our {form}: the same bytes each time")
        config = json.loads(world.skopeo("inspect", "--config", f"{form}:{path}:{FIRST}").stdout)
        checks.equal(config["rootfs"]["diff_ids"], world.images[FIRST].diff_ids, f"our {form}: skopeo reads it")
        copy = world.folder / f"copy-{form}"
        world.skopeo("copy", f"{form}:{path}:{FIRST}", f"dir:{copy}")
        checks.equal(json.loads((copy / "manifest.json").read_text())["config"]["digest"], shown[FIRST]["Id"],
                     f"our {form}: skopeo copies it, with its id")
        world.podman("rmi", "--all", "--force")
        checks.contains(world.podman_load(path), FIRST, f"our {form}: podman loads it")
        checks.equal("sha256:" + json.loads(world.podman("image", "inspect", FIRST).stdout)[0]["Id"], shown[FIRST]["Id"],
                     f"our {form}: podman's id is ours")

        path = world.path("saved.tar")
        store.image("save", "--format", form, "--output", path, FIRST, SECOND, "first:also")
        if form == "docker-archive":  # of OCI's podman takes one image alone
            world.podman("rmi", "--all", "--force")
            world.podman_load(path)
            listed = json.loads(world.podman("images", "--format", "json").stdout)
            checks.equal(sorted({name for image in listed for name in image["Names"]}), sorted(shown),
                         f"our {form} of two images: podman loads it")
        for name in shown:
            world.skopeo("inspect", "--config", f"{form}:{path}:{name}")
        checks.ok(True, f"our {form} of two images: skopeo finds each of its names")
        world.other.clear()
        world.other.image("load", path)
        theirs = {tag: image for image in world.other.shown().values() for tag in image["RepoTags"]}
        checks.equal({tag: theirs[tag]["Id"] for tag in theirs}, {tag: shown[tag]["Id"] for tag in shown},
                     f"our {form} of two images: another store has the same names and ids")
        if form == "oci-archive":
            digests = [[images[tag]["RepoDigests"] for tag in sorted(images)] for images in (theirs, shown)]
            checks.equal(*digests, "our oci-archive: and the same digests, as everything is as it came")
    world.other.clear()
    command = f"{BIN}/gantry image --data-dir {store.folder} save {shown[FIRST]['Id']} | " \
              f"{BIN}/gantry image --data-dir {world.other.folder} load -"
    run(["bash", "-o", "pipefail", "-c", command])
    names = [image["RepoTags"] for image in world.other.shown().values()]
    checks.equal(names, [[FIRST, "docker.io/library/first:also"]], "by id, through a pipe: with all of its tags")
    for arguments, words in ((("--output", path, FIRST), "exists"), (("no-such:1",), 'no image "no-such:1"')):
        checks.contains(store.image("save", *arguments, check=False).stderr, words, f"save: {words}")

    blob = max((store.folder / "store/blobs").iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    path = world.path("saved.tar")
    done = store.image("save", "--output", path, FIRST, SECOND, check=False)
    checks.contains(done.stderr, [blob.name, "another content"], "a layer that has rotted in the store is not given away")
    checks.ok(not path.exists(), "and no archive is left")


def pruned(world):
    checks, store = world.checks, world.store
    store.clear()
    for name in ("kept:1", "pinned:1", "moved:1"):
        image = Image(tar([entry("text", content=name.encode())]))
        store.image("load", image.archive(world.path("made.tar"), name))
    store.image("load", world.images[FIRST].archive(world.path("made.tar"), "moved:1"))
    store.image("pin", "pinned:1")
    before = store.files()
    done = store.image("prune")
    checks.equal((len(done.stdout.split()), store.texts("text")), (1, ["kept:1", "layer 0", "layer 1", "pinned:1"]),
                 "prune removes what has no name any more")
    checks.contains(done.stderr, ["1 removed", "freed"], "and says what that gave")
    checks.equal((len(before["l"]) - len(store.files()["l"]), len(before["blobs"]) - len(store.files()["blobs"])), (1, 3),
                 "with all that it had on the disk")
    store.image("prune", "--all")
    checks.equal([image["RepoTags"] for image in store.shown().values()], [["docker.io/library/pinned:1"]],
                 "prune --all leaves what is pinned")


def story(checks):
    with tempfile.TemporaryDirectory(prefix="gantry-archives-", dir="/var/tmp") as folder:
        world = World(checks, pathlib.Path(folder))
        for part in (by_hand, wrong, theirs, ours, pruned):
            part(world)


c.main(story)
