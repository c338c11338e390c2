#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""Images of Debian's docker-registry, pulled by crictl and by `gantry image pull`: every format, what skopeo has put there,
with a password, over TLS; what is here does not come again, and who is killed in the middle of it leaves nothing."""
import base64
import contextlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import faulty_registry as f
from node import APPLETS, BIN, Node, run
from oci import Image, digest, entry, tar
from registry import Registry, RemoteImage, busybox_layer, index_of, network_of

FORMATS = (("oci", "plain"), ("oci", "gzip"), ("oci", "zstd"), ("docker", "plain"), ("docker", "gzip"))


def small_layer(text):
    return tar([entry("text", content=text.encode())])


class World:
    def __init__(self, checks, node):
        self.checks, self.node, self.runs = checks, node, 0

    def pull(self, name, *options, check=True):
        return self.node.crictl("pull", *options, name, check=check)

    def pulled(self, what, name, image_id, *options, tags=(), digests=()):
        """crictl pulls it, is told its id, and finds it under its names."""
        said = self.pull(name, *options).stdout
        self.checks.contains(said, image_id, f"{what}: pulled, and its id told")
        status = self.node.json("inspecti", "-o", "json", name)["status"]
        self.checks.equal((status["id"], status["repoTags"], status["repoDigests"]), (image_id, list(tags), list(digests)),
                          f"{what}: found by its name, with tags and digests")

    def refused(self, what, name, parts, *options):
        done = self.pull(name, *options, check=False)
        self.checks.ok(done.returncode != 0, f"{what}: refused", done.stdout)
        self.checks.contains(done.stderr, parts, f"{what}: it says why")

    def output_of(self, name, script):
        self.runs += 1
        pod = self.node.pod_config(f"pulled-{self.runs}")
        pod_id = self.node.run_pod(pod)
        container = self.node.container_config("main", script, image={"image": name})
        container_id = self.node.run_container(pod_id, container, pod)
        c.wait_until("the container ends",
                     lambda: self.node.container_status(container_id)["state"] == "CONTAINER_EXITED")
        said = self.node.crictl("logs", container_id)
        self.node.crictl("rmp", "--force", pod_id)
        return said.stdout + said.stderr

    def names(self, registry, repository, tag, document):
        host = f"{registry.host}/{repository}"
        return {"tags": [f"{host}:{tag}"], "digests": [f"{host}@{digest(document)}"]}


def formats(world, registry):
    for number, (kind, packing) in enumerate(FORMATS):
        what = f"{kind}, {packing}"
        top = small_layer(what)
        image = RemoteImage(busybox_layer(APPLETS, entry(f"from-{number}", content=b"x")), top, kind=kind, packing=packing)
        registry.push(f"formats/{kind}-{packing}:1", image)
        name = f"{registry.host}/formats/{kind}-{packing}:1"
        world.pulled(what, name, image.id, **world.names(registry, f"formats/{kind}-{packing}", "1", image.manifest))
        world.checks.equal(world.output_of(name, "cat /text"), what, f"{what}: a container runs with its files")

    ours, theirs = RemoteImage(small_layer("ours")), RemoteImage(small_layer("theirs"), architecture="s390x")
    index = index_of(theirs.descriptor(architecture="s390x"), ours.descriptor(architecture="amd64"))
    registry.push("test/multi:other", theirs)
    registry.push("test/multi:1", ours, index)
    world.pulled("of several platforms", f"{registry.host}/test/multi:1", ours.id,
                 **world.names(registry, "test/multi", "1", index))
    world.refused("of another platform", f"{registry.host}/test/multi:other", ["linux/amd64"])
    world.refused("a tag that is not there", f"{registry.host}/test/multi:2", [registry.host, "MANIFEST_UNKNOWN"])

    image = RemoteImage(small_layer("by digest"))
    registry.push("test/digest:1", image)
    name = f"{registry.host}/test/digest@{digest(image.manifest)}"
    world.pulled("by digest", name, image.id, digests=[name])

    newer = RemoteImage(small_layer("newer"))
    registry.push("test/digest:1", newer)
    names = world.names(registry, "test/digest", "1", newer.manifest)
    world.pulled("a tag", f"{registry.host}/test/digest:1", newer.id, **names)
    registry.push("test/digest:1", image)
    world.pulled("a tag that has moved", f"{registry.host}/test/digest:1", image.id,
                 **world.names(registry, "test/digest", "1", image.manifest))


def strangers(world, registry):
    """What skopeo makes of an archive."""
    archive = Image(busybox_layer(APPLETS), small_layer("skopeo")).archive(world.node.work / "skopeo.tar", "from:skopeo")
    for kind in ("oci", "v2s2"):
        name = f"{registry.host}/skopeo/{kind}:1"
        run(["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "--format", kind, f"oci-archive:{archive}",
             f"docker://{name}"])
        document = registry.request("GET", f"/v2/skopeo/{kind}/manifests/1", headers={
            "Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"})
        world.pull(name)
        status = world.node.json("inspecti", "-o", "json", name)["status"]
        world.checks.equal(status["repoDigests"], [f"{name[:-2]}@{document.headers['Docker-Content-Digest']}"],
                           f"skopeo's {kind}: the registry's digest is ours")
        world.checks.equal(world.output_of(name, "cat /text"), "skopeo", f"skopeo's {kind}: a container runs with its files")
        world.node.crictl("rmi", name)  # both have one configuration, and so one id


def once(world, registry):
    """No layer comes twice."""
    base = small_layer("shared" * 1000)
    first, second = RemoteImage(base, small_layer("1")), RemoteImage(base, base, small_layer("2"))
    shared = first.document["layers"][0]["digest"]
    registry.push("test/first:1", first)
    registry.push("test/second:1", second)
    world.pull(f"{registry.host}/test/first:1")
    world.pull(f"{registry.host}/test/second:1")
    world.pull(f"{registry.host}/test/second:1")
    # It writes down what it was asked for when it has answered.
    c.wait_until("the registry's log has all", lambda: any(shared in path for path in registry.asked()))
    asked = [path for path in registry.asked() if "/blobs/" in path]
    world.checks.equal(len([path for path in asked if shared in path]), 1, "a layer of two images is asked for once")

    image = RemoteImage(*[tar([entry(f"{number}", content=os.urandom(4 << 20))]) for number in range(4)])
    registry.push("test/big:1", image)
    pulls = [threading.Thread(target=world.pull, args=(f"{registry.host}/test/big:1",)) for _ in range(3)]
    for pull in pulls:
        pull.start()
    for pull in pulls:
        pull.join()
    c.wait_until("the registry's log has all", lambda: all(any(blob in path for path in registry.asked())
                                                           for blob in image.blobs if blob != image.id))
    counts = {blob: sum(blob in path for path in registry.asked()) for blob in image.blobs}
    world.checks.equal(counts | {image.id: 1}, dict.fromkeys(image.blobs, 1), "three pulls at once ask for each layer once")
    world.checks.ok(world.node.json("inspecti", "-o", "json", f"{registry.host}/test/big:1"), "and all of them have it")


def shared(world):
    """Two images with a layer in common, pulled at the same time."""
    with f.FaultyRegistry() as registry:
        def routes_of(blob):
            return [path for path in registry.routes if path.endswith(blob)]

        def asked(blob):
            return len(registry.asked(blob))

        def pulling(name):
            pull = Pulling(world, name)
            pull.start()
            return pull

        def pair(below=False):
            """Two images, and the layer that they share: on the same layers below it, or on others."""
            common = tar([entry("common", content=os.urandom(1 << 20))])
            bases = [small_layer(f"base {os.urandom(4)}") for _ in range(2)] if below else []
            layers = [[bases[number], common] if below else [common, small_layer(f"own {os.urandom(4)}")] for number in (0, 1)]
            made = [RemoteImage(*of_one) for of_one in layers]
            names = [registry.put(f"shared/{os.urandom(4).hex()}:1", image) for image in made]
            return names, made, made[0].document["layers"][1 if below else 0]["digest"]

        for below in (False, True):
            what = "on other layers" if below else "below all"
            names, made, blob = pair(below)
            gate = threading.Event()
            for path in routes_of(blob):
                registry.routes[path] = f.behind(gate, registry.routes[path])
            first = pulling(names[0])
            c.wait_until("the first asks for the layer", lambda: asked(blob) == 1)
            second = pulling(names[1])
            own = made[1].document["layers"][0 if below else 1]["digest"]
            c.wait_until("the second asks for its own", lambda: asked(own) == 1)
            gate.set()
            world.checks.equal([first.end(), second.end(), asked(blob)], [0, 0, 1],
                               f"a layer of two pulls, {what}: fetched once, and both succeed")
            status = [world.node.json("inspecti", "-o", "json", name)["status"]["id"] for name in names]
            world.checks.equal(status, [image.id for image in made], f"a layer of two pulls, {what}: both images are here")

        names, made, blob = pair()
        gate = threading.Event()
        own = made[0].document["layers"][1]["digest"]
        for path in routes_of(own):
            registry.routes[path] = f.behind(gate, registry.routes[path])
        first = pulling(names[0])
        c.wait_until("the first waits for its own", lambda: asked(own) == 1 and asked(blob) == 1)
        world.checks.equal((pulling(names[1]).end(), asked(blob)), (0, 1), "who has all of his waits for no other pull")
        gate.set()
        world.checks.equal((first.end(), asked(blob)), (0, 1), "which ends well, too")

        names, made, blob = pair()
        gate = threading.Event()
        first_route, second_route = routes_of(blob)
        registry.routes[first_route] = f.behind(gate, f.answer(403))
        first = pulling(names[0])
        c.wait_until("the first asks for the layer", lambda: asked(blob) == 1)
        second = pulling(names[1])
        own = made[1].document["layers"][1]["digest"]
        c.wait_until("the second asks for its own", lambda: asked(own) == 1)
        gate.set()
        world.checks.ok(first.end() != 0 and second.end() == 0, "when the one who fetches it fails, the other does it",
                        str(registry.asked(blob)))


class Pulling(threading.Thread):
    """A pull by crictl, under way."""

    def __init__(self, world, name):
        super().__init__()
        self.world, self.name_, self.done = world, name, None

    def run(self):
        self.done = self.world.pull(self.name_, check=False)

    def end(self):
        self.join()
        return self.done.returncode


def by_hand(world, registry):
    image = RemoteImage(small_layer("by hand"), small_layer("another"))
    registry.push("test/hand:1", image)
    name = f"{registry.host}/test/hand:1"
    done = world.node.image("pull", name)
    world.checks.contains(done.stdout, [name, image.id], "gantry image pull says what it has brought")
    world.checks.contains(done.stderr, ["layer 1 of 2", "layer 2 of 2"], "and each layer as it came")
    world.checks.equal(world.node.json("inspecti", "-o", "json", name)["status"]["id"], image.id, "gantryd has it, too")


def guarded(world):
    """A registry with a certificate of its own authority, that wants a password."""
    node = world.node
    with Registry(node.work / "guarded", user=("me", "se:cret"), tls=True) as registry:
        image = RemoteImage(small_layer("guarded"), packing="zstd")
        registry.push("test/guarded:1", image)
        name = f"{registry.host}/test/guarded:1"
        world.refused("TLS where plain HTTP was expected", name, [registry.host, "400"])
        folder = node.state / "registries" / registry.host
        folder.mkdir(parents=True)
        other = node.work / "other"
        other.mkdir()
        (folder / "ca.crt").write_bytes((Registry(other / "registry", tls=True).authority).read_bytes())
        world.refused("another authority than the registry's", name, [registry.host, "certificate"], "--creds", "me:se:cret")
        shutil.copy(registry.authority, folder / "ca.crt")
        world.refused("without a password", name, "wants a name and password")
        world.refused("with a wrong one", name, "refuses the credentials", "--creds", "me:wrong")
        world.checks.contains(node.crictl("images").stdout, "busybox", "what was here is here")
        world.pulled("with the right one, over TLS", name, image.id, "--creds", "me:se:cret",
                     **world.names(registry, "test/guarded", "1", image.manifest))
        words = base64.b64encode(b"me:se:cret").decode()
        world.pulled("with the same as base64", name, image.id, "--auth", words,
                     **world.names(registry, "test/guarded", "1", image.manifest))
        log = node.log_file.read_text(errors="replace")
        world.checks.ok("se:cret" not in log and words not in log, "no password is in gantryd's log")


def killed(world):
    """gantryd dies while layers come."""
    node, store = world.node, world.node.lib / "store"
    with f.FaultyRegistry() as registry:
        image = RemoteImage(small_layer("whole"), tar([entry("big", content=os.urandom(2 << 20))]), packing="plain")
        name = registry.put("test/killed:1", image)
        big = image.document["layers"][1]["digest"]
        route = f"/v2/test/killed/blobs/{big}"
        good = registry.routes[route]
        registry.routes[route] = f.hang(image.blobs[big][:1 << 20], len(image.blobs[big]))

        def state():
            return [sorted(os.listdir(store / part)) for part in ("l", "blobs", "c")]

        before = state()
        pull = threading.Thread(target=world.pull, args=(name,), kwargs={"check": False})
        pull.start()
        c.wait_until("half of the layer is here", lambda: sum(
            path.stat().st_size for path in store.glob(f"i/*/blobs/sha256/{big.split(':')[1]}")) >= 1 << 20)
        node.kill_gantryd()
        pull.join()
        node.wait_for_gantryd()
        with contextlib.suppress(c.Failure):
            c.wait_until("what had come is gone", lambda: node.image("list") and not os.listdir(store / "i") and state() == before)
        world.checks.equal((os.listdir(store / "i"), state()), ([], before), "a gantryd that is killed in the middle of a pull leaves nothing")
        registry.routes[route] = good
        world.checks.contains(world.pull(name).stdout, image.id, "and the next pull brings all of it")


def killed_often(world, registry):
    """`gantry image pull` dies at any moment of its work. What is complete is whole, and of the rest nothing is left."""
    node, store = world.node, world.node.lib / "store"
    files = {f"file-{number}": os.urandom(1 << 20) for number in range(4)}
    image = RemoteImage(*[tar([entry(name, content=content)]) for name, content in files.items()])
    registry.push("test/often:1", image)
    name = f"{registry.host}/test/often:1"

    def state():
        return {part: sorted(os.listdir(store / part)) for part in ("l", "blobs", "c", "i")}

    def lengths():
        return {part: len(names) for part, names in state().items()}

    before = state()
    begin = time.monotonic()
    node.image("pull", name)
    whole = time.monotonic() - begin
    after = lengths()
    node.image("remove", name)
    seed = random.randrange(1 << 32)
    moments = random.Random(seed)
    left, torn, complete = [], [], 0
    for _ in range(60):
        with subprocess.Popen([BIN / "gantry", "image", "--data-dir", node.lib, "pull", name], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as pull:
            with contextlib.suppress(subprocess.TimeoutExpired):
                pull.wait(moments.uniform(0, whole * 1.2))
            pull.kill()
        node.image("list")  # whoever opens the store sweeps
        if name in json.dumps(node.json("images", "-o", "json")):
            complete += 1
            for folder in store.glob("l/*"):
                torn += [path for path in folder.glob("file-*") if path.read_bytes() != files[path.name]]
            with contextlib.suppress(c.Failure):
                c.wait_until("it is as after any pull", lambda: node.image("list") and lengths() == after)
            if lengths() != after:
                left.append(state())
            node.image("remove", name)
        # A worker that was just starting holds the folder until its exec, so that the first to sweep passes it over.
        c.wait_until("what is left over is removed", lambda: node.image("list") and state() == before)
    world.checks.ok(not left and not torn, f"60 pulls that were killed left nothing behind ({complete} were complete by then; "
                    f"seed {seed}, {whole:.2f} s for a whole one)", f"{left} {torn}")


def story(checks):
    with Node(checks) as node:
        node.build_image()
        world = World(checks, node)
        with network_of(node.supervisor()):
            with Registry(node.work / "registry") as registry:
                for part in (formats, strangers, once, by_hand, killed_often):
                    part(world, registry)
            shared(world)
            guarded(world)
            killed(world)
        with contextlib.suppress(c.Failure):
            c.wait_until("nothing is on its way", lambda: not os.listdir(node.lib / "store/i"))
        checks.equal(os.listdir(node.lib / "store/i"), [], "in the end nothing is on its way")


c.main(story)
