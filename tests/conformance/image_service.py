#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""The CRI's image service as crictl shows it: lists and filters, verbose status, names and digests, removal, pins, disk usage;
and `gantry image` beside it."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import APPLETS, IMAGE, Node
from oci import digest, entry, tar
from registry import Registry, RemoteImage, busybox_layer, network_of


def layer(text):
    return tar([entry("text", content=text.encode())])


class World:
    def __init__(self, checks, node, registry):
        self.checks, self.node, self.registry = checks, node, registry
        self.host = registry.host

    def push(self, name, *layers, **more):
        image = RemoteImage(*layers, **more)
        self.registry.push(name, image)
        return image

    def pull(self, name):
        return self.node.crictl("pull", f"{self.host}/{name}")

    def status(self, query):
        """None when it is not here."""
        done = self.node.crictl("inspecti", "-o", "json", query, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def names(self):
        return sorted(tag for image in self.node.json("images", "-o", "json")["images"] for tag in image["repoTags"])

    def fs(self):
        return self.node.json("imagefsinfo")["status"]


def described(world):
    """What is said of an image."""
    annotations = {"org.example.note": "of the manifest"}
    image = world.push("test/told:1", layer("told"), User="1003:1004", annotations=annotations)
    world.pull("test/told:1")
    name, by_digest = f"{world.host}/test/told:1", f"{world.host}/test/told@{digest(image.manifest)}"
    shown = world.status(name)["status"]
    world.checks.equal((shown["id"], shown["repoTags"], shown["repoDigests"]), (image.id, [name], [by_digest]),
                       "id, tag and digest")
    world.checks.equal((shown["uid"], shown["username"]), ({"value": "1003"}, ""), "a user by number is a uid, not its group")
    world.checks.equal((shown["spec"]["annotations"], shown["pinned"]), (annotations, False), "the manifest's annotations")
    size = sum(len(blob) for blob in image.blobs.values()) + len(image.manifest)
    world.checks.equal(int(shown["size"]), size, "its size is what came")
    listed = [other for other in world.node.json("images", "-o", "json")["images"] if other["id"] == image.id]
    world.checks.equal(listed, [shown], "the list says the same")
    for query in (image.id, image.id.split(":")[1], image.id[7:20], name, by_digest, f"{name}@{digest(image.manifest)}"):
        world.checks.equal(world.status(query)["status"], shown, f"inspecti {query.replace(world.host, 'HOST')[:50]}")

    info = world.status(name)["info"]
    config = json.loads(image.blobs[image.id])
    world.checks.equal(info, {"chainID": config["rootfs"]["diff_ids"][0], "imageSpec": config},
                       "verbose: the chain, and the configuration as its author wrote it")

    world.push("test/www:1", layer("www"), User="www-data:1004")
    world.pull("test/www:1")
    shown = world.status(f"{world.host}/test/www:1")["status"]
    world.checks.equal((shown.get("uid"), shown["username"]), (None, "www-data"), "a user by name is a username")

    told = json.loads(world.node.image("inspect", name, IMAGE).stdout)
    world.checks.equal((told[0]["Id"], told[0]["RepoTags"], told[0]["Config"], told[0]["Manifest"]),
                       (image.id, [name], config, image.document), "gantry image inspect: a list, with both documents")
    world.checks.equal(len(told), 2, "of all that were asked for")
    world.checks.contains(world.node.image("inspect", "no-such", check=False).stderr, 'no image "no-such"', "and no others")


def filtered(world):
    for query, count in ((f"{world.host}/test/told:1", 1), (f"{world.host}/test/told", 0), ("no-such:1", 0)):
        shown = world.node.json("images", "-o", "json", query)["images"] or []
        world.checks.equal(len(shown), count, f"images {query.replace(world.host, 'HOST')}: {count}")


def streamed(world):
    """StreamImages, which crictl does not ask for: the same list, in parts."""
    images = [world.push(f"test/many:{number}", layer(f"many {number}"), annotations={"org.example.long": "x" * 60000})
              for number in range(20)]
    for number in range(20):
        world.pull(f"test/many:{number}")
    parts = world.node.call("ImageService/StreamImages")
    world.checks.equal([sum(f'"{image.id}"'.encode()[1:-1] in part for part in parts) for image in images], [1] * 20,
                       f"StreamImages: each image is in one of its {len(parts)} parts")
    world.checks.ok(len(parts) > 1 and max(map(len, parts)) <= 1 << 20, "of at most 1 MiB", list(map(len, parts)))
    world.node.crictl("rmi", *[image.id for image in images])


def removed(world):
    """By any of its names, by id and by digest: the image goes with all of them."""
    def again():
        image = world.push("test/gone:1", layer("gone"))
        for name in ("test/gone:2", "other/gone:1"):
            world.registry.push(name, image)
        for name in ("test/gone:1", "test/gone:2", "other/gone:1"):
            world.pull(name)
        tags = [f"{world.host}/other/gone:1", f"{world.host}/test/gone:1", f"{world.host}/test/gone:2"]
        digests = [f"{world.host}/{name}@{digest(image.manifest)}" for name in ("other/gone", "test/gone")]
        shown = world.status(image.id)["status"]
        world.checks.equal((shown["repoTags"], shown["repoDigests"]), (tags, digests), "one image with names of two")
        return image, tags, digests

    store = world.node.lib / "store"
    before = {part: sorted(os.listdir(store / part)) for part in ("l", "blobs")}
    for what in ("a tag", "a digest", "its id", "the start of its id"):
        image, tags, digests = again()
        query = {"a tag": tags[1], "a digest": digests[0], "its id": image.id, "the start of its id": image.id[7:19]}[what]
        world.node.crictl("rmi", query)
        left = [name for name in [image.id, *tags, *digests] if world.status(name)]
        world.checks.equal(left, [], f"removed by {what}: no name is left")
        now = {part: sorted(os.listdir(store / part)) for part in ("l", "blobs")}
        world.checks.equal(now, before, f"removed by {what}: and nothing on the disk")

    image, tags, _ = again()
    world.node.image("remove", tags[0])
    world.checks.equal(world.status(image.id)["status"]["repoTags"], tags[1:], "gantry image remove takes a name, and no more")
    world.node.image("remove", *tags[1:])
    world.checks.equal(world.status(image.id), None, "and with the last one the image")


def in_use(world):
    """An image goes while its container runs on."""
    node = world.node
    image = world.push("test/used:1", busybox_layer(APPLETS), layer("used"))
    world.pull("test/used:1")
    pod = node.pod_config("user")
    pod_id = node.run_pod(pod)
    container = node.container_config("main", "sleep 1000", image={"image": f"{world.host}/test/used:1"})
    container_id = node.run_container(pod_id, container, pod)
    layers = len(os.listdir(node.lib / "store/l"))
    node.crictl("rmi", image.id)
    world.checks.equal(world.status(image.id), None, "an image that a container uses is removed")
    world.checks.equal(len(os.listdir(node.lib / "store/l")), layers, "its layers stay")
    world.checks.equal(node.crictl("exec", container_id, "cat", "/text").stdout, "used", "the container runs on as it was")
    world.checks.equal(node.container_status(container_id)["imageId"], image.id, "and says what it was made of")
    world.pull("test/used:1")
    world.checks.equal(len(os.listdir(node.lib / "store/l")), layers, "pulled again, it has the same layers")
    node.crictl("rmi", image.id)
    node.crictl("rmp", "--force", pod_id)
    world.checks.equal(len(os.listdir(node.lib / "store/l")), layers - 2, "with the container its layers go")


def pinned(world):
    node, name = world.node, f"{world.host}/test/told:1"
    node.image("pin", name)
    world.checks.equal(world.status(name)["status"]["pinned"], True, "a pinned image says so")
    node.crictl("rmi", "--prune")
    world.checks.equal(world.names(), [name], "and crictl rmi --prune removes the others alone")
    newer = world.push("test/told:1", layer("newer"))
    world.pull("test/told:1")
    world.checks.equal(world.status(name)["status"]["id"], newer.id, "its name moves on with a pull")
    world.checks.equal([(image["repoTags"], image["pinned"]) for image in node.json("images", "-o", "json")["images"]
                        if image["id"] != newer.id], [([], False)], "the image that had it is pinned no more")
    world.checks.equal(world.status(name)["status"]["pinned"], True, "the one that has it is")
    node.image("unpin", name)
    world.checks.equal(world.status(name)["status"]["pinned"], False, "unpinned")
    for verb, query, words in (("unpin", name, "is not pinned"), ("pin", "no-such", 'no image "no-such"')):
        world.checks.contains(node.image(verb, query, check=False).stderr, words, f"{verb}: {words}")
    node.build_image()


def measured(world):
    """Disk usage, of images and of what containers have written."""
    node = world.node
    before = world.fs()
    data = os.urandom(3 << 20)
    image = world.push("test/big:1", tar([entry("big", content=data)]), packing="plain")
    world.pull("test/big:1")
    after = world.fs()
    grown = [int(after["imageFilesystems"][0][key]["value"]) - int(before["imageFilesystems"][0][key]["value"])
             for key in ("usedBytes", "inodesUsed")]
    world.checks.ok(6 << 20 <= grown[0] < 7 << 20, "an image counts as it came and as it is unpacked", grown)
    # What is unpacked, the layer that came, and two documents.
    world.checks.equal(grown[1], 4, "and so do its files")
    world.checks.equal(after["imageFilesystems"][0]["fsId"]["mountpoint"], str(node.lib / "store"), "where the store is")
    node.crictl("rmi", image.id)
    world.checks.equal(world.fs()["imageFilesystems"][0]["usedBytes"], before["imageFilesystems"][0]["usedBytes"],
                       "removed, it counts no more")

    pod = node.pod_config("writer")
    pod_id = node.run_pod(pod)
    node.run_container(pod_id, node.container_config("main", "dd if=/dev/zero of=/big bs=1M count=5; sleep 1000"), pod)

    def written():
        return int(world.fs()["containerFilesystems"][0].get("usedBytes", {}).get("value", 0))

    c.wait_until("what a container writes is counted", lambda: 5 << 20 <= written() < 6 << 20)
    node.crictl("rmp", "--force", pod_id)
    c.wait_until("and no more when it has gone", lambda: written() == 0)


def story(checks):
    with Node(checks) as node:
        node.build_image()
        with network_of(node.supervisor()), Registry(node.work / "registry") as registry:
            world = World(checks, node, registry)
            for part in (described, filtered, streamed, removed, in_use, pinned, measured):
                part(world)


c.main(story)
