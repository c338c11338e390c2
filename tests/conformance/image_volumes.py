#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""Images as volumes of containers, by the CRI: read-only, whole or a path of them; what is wrong is said at the create; no
link in an image leads out of it; and the layers stay as long as a container has them."""
import os
import pathlib
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import APPLETS, Node
from oci import Image, entry, tar
from registry import busybox_layer

DATA, SINGLE, EVIL = "volume:data", "volume:single", "volume:evil"


def link(name, target):
    return entry(name, tarfile.SYMTYPE, linkname=target)


def load_images(node):
    below = busybox_layer(APPLETS, entry("etc/", tarfile.DIRTYPE), entry("etc/passwd", content=b"of the volume"),
                          entry("gone", content=b"x"), entry("full/", tarfile.DIRTYPE), entry("full/old", content=b"x"))
    above = tar([entry(".wh.gone"), entry("full/.wh..wh..opq"), entry("full/new", content=b"new"), link("conf", "etc"),
                 link("absolute", "/etc/passwd"), entry("setuid", content=b"#!/bin/sh\n", mode=0o4755)])
    images = {
        DATA: Image(below, above, compress=True),
        SINGLE: Image(tar([entry("only", content=b"one layer")])),
        EVIL: Image(tar([link("up", "../../../../../../../.."), link("root", "/"), link("host", "/proc/self/root"),
                         link("loop", "loop"), link("lost", "/nothing/x"), entry("pipe", tarfile.FIFOTYPE),
                         entry("disk", tarfile.BLKTYPE, devmajor=8, devminor=0), entry("file", content=b"in the image")])),
    }
    for name, image in images.items():
        node.image("load", image.archive(node.work / "image.tar", name))


class World:
    def __init__(self, checks, node):
        self.checks, self.node = checks, node
        self.pod = node.pod_config("volumes")
        self.pod_id = node.run_pod(self.pod)
        self.names = 0

    def config(self, script, mounts):
        self.names += 1
        return self.node.container_config(f"c{self.names}", script, mounts=mounts)

    def run(self, script, *mounts):
        """What a container with these mounts prints."""
        return self.node.output(self.pod_id, self.config(script, mounts), self.pod)

    def refused(self, what, parts, *mounts):
        container = self.config("true", mounts)
        done = self.node.crictl("create", self.pod_id, self.node.write(container), self.node.write(self.pod), check=False)
        self.checks.ok(done.returncode != 0, f"{what}: refused at the create", done.stdout)
        self.checks.contains(done.stderr, parts, f"{what}: it says why")


def volume(image, path="", target="/volume", **more):
    return {"container_path": target, "image": {"image": image}, "image_sub_path": path, "readonly": True} | more


def whole(world):
    say, checks = world.run, world.checks
    checks.equal(say("ls -d /volume/*; cat /volume/etc/passwd /volume/conf/passwd /volume/full/*", volume(DATA)).split(),
                 [f"/volume/{name}" for name in ("absolute", "bin", "conf", "etc", "full", "setuid")]
                 + ["of", "the", "volumeof", "the", "volumenew"], "all layers of an image, one over the other")
    checks.contains(say("touch /volume/x || touch /volume/full/new", volume(DATA)), "Read-only file system", "read-only")
    checks.equal(say("/volume/bin/echo runs", volume(DATA)), "runs", "its programs run")
    options = say("while read -r line; do case $line in *' /volume '*) echo $line;; esac; done < /proc/self/mountinfo",
                  volume(DATA)).split()[5].split(",")
    checks.equal({"ro", "nosuid", "nodev"} - set(options), set(), f"no devices and no set-uid programs ({','.join(options)})")
    checks.equal(say("cat /volume/only", volume(SINGLE)), "one layer", "an image of one layer")
    checks.equal(say("cat /a/only /b/only /c /d/new", volume(SINGLE, target="/a"), volume(SINGLE, target="/b"),
                     volume(DATA, "etc/passwd", "/c"), volume(DATA, "full", "/d")), "one layerone layerof the volumenew",
                 "several at once")


def parts(world):
    say, checks = world.run, world.checks
    checks.equal(say("ls /volume; cat /volume/passwd", volume(DATA, "etc")), "passwd\nof the volume", "a folder of an image")
    checks.equal(say("cat /volume", volume(DATA, "etc/passwd")), "of the volume", "a file")
    checks.equal(say("cat /volume/passwd", volume(DATA, "conf")), "of the volume", "through a link")
    checks.equal(say("cat /volume", volume(DATA, "absolute")), "of the volume", "an absolute link is the image's own")
    for path in ("nothing", "etc/nothing", "etc/passwd/x", "gone", "full/old"):
        world.refused(f"a path that is not there ({path})", ["image_sub_path", path, "no such path"], volume(DATA, path))


def wrong(world):
    world.refused("not read-only", ["readonly", "set it"], volume(DATA, readonly=False))
    world.refused("a path of the host's beside it", ["host_path"], volume(DATA, host_path="/tmp"))
    world.refused("an image that is not here", ["no-such:1", "not on this node"], volume("no-such:1"))
    world.refused("on the root", ["on the root"], volume(DATA, target="/"))
    world.refused("in /proc", ["inside /proc"], volume(DATA, target="/proc/x"))


def escapes(world):
    """No path and no link leads out of the image: what is meant is the image's, or nothing."""
    world.checks.ok(os.path.exists("/etc/passwd") and os.path.exists("/proc/self/root"), "what is attacked is there")
    for path in ("..", "../..", "up/..", "a/../../etc", "/etc"):
        world.refused(f"path {path}", ["image_sub_path", "relative to the image's root"], volume(EVIL, path))
    for path in ("up/etc/passwd", "root/etc/passwd", "host", "host/etc", "lost"):
        world.refused(f"a way out by a link ({path})", ["no such path"], volume(EVIL, path))
    world.refused("a link to itself", ["more than 40"], volume(EVIL, "loop"))
    for path in ("pipe", "disk"):
        world.refused(f"a {path}", ["neither a folder nor a file"], volume(EVIL, path))
    for path in ("up", "root"):
        world.checks.equal(world.run("cat /volume/file; echo; ls /volume/etc 2>&1", volume(EVIL, path)),
                           "in the image\nls: /volume/etc: No such file or directory", f"{path} is the image's own root")
    # A link in the container's image as the place where a volume goes.
    world.node.image("load", Image(busybox_layer(APPLETS), tar([link("volume", "/../../../tmp/there")])).archive(
        world.node.work / "image.tar", "linked:1"))
    container = world.config("cat /tmp/there/only", [volume(SINGLE)]) | {"image": {"image": "linked:1"}}
    container_id = world.node.run_container(world.pod_id, container, world.pod)
    c.wait_until("the container ends", lambda: world.node.container_status(container_id)["state"] == "CONTAINER_EXITED")
    said = world.node.crictl("logs", container_id).stdout
    world.checks.equal(said, "one layer", "a link at its place leads into the container")
    world.checks.ok(not os.path.exists("/tmp/there"), "and nowhere else")
    world.node.crictl("rm", container_id)


def held(world):
    """Layers stay while a container has them, whatever happens meanwhile."""
    node, checks = world.node, world.checks
    layers = len(os.listdir(node.lib / "store/l"))
    image_id = node.json("inspecti", "-o", "json", DATA)["status"]["id"]
    waiting = world.config("cat /volume/etc/passwd; echo; sleep 1000", [volume(DATA)])
    waiting_id = node.create(world.pod_id, waiting, world.pod)
    running_id = node.run_container(world.pod_id, world.config("sleep 1000", [volume(DATA, "etc")]), world.pod)
    mounts = node.container_status(running_id)["mounts"]
    checks.equal([(mount["image"]["imageRef"], mount["imageSubPath"]) for mount in mounts], [(image_id, "etc")],
                 "the status says which image it is")
    node.crictl("rmi", DATA)
    checks.equal(len(os.listdir(node.lib / "store/l")), layers, "an image that is a volume is removed: its layers stay")
    checks.equal(node.crictl("exec", running_id, "cat", "/volume/passwd").stdout, "of the volume", "and are seen")
    node.kill_gantryd()
    node.wait_for_gantryd()
    checks.equal(len(os.listdir(node.lib / "store/l")), layers, "also by a gantryd that was killed and started again")
    node.crictl("start", waiting_id)
    c.wait_until("it prints", lambda: "of the volume" in node.crictl("logs", waiting_id).stdout)
    world.refused("one more container", ["not on this node"], volume(DATA))
    node.crictl("rm", "--force", waiting_id)
    checks.equal(len(os.listdir(node.lib / "store/l")), layers, "one of two containers has gone")
    node.crictl("rm", "--force", running_id)
    checks.equal(len(os.listdir(node.lib / "store/l")), layers - 2, "with the last one the layers go")


def story(checks):
    with Node(checks) as node:
        node.build_image()
        load_images(node)
        world = World(checks, node)
        for part in (whole, parts, wrong, escapes, held):
            part(world)
        node.crictl("rmp", "--force", world.pod_id)
        mounted = [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if node.name in line]
        checks.equal(mounted, [], "nothing was mounted on the host")


c.main(story)
