#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""Volumes that are mounted and unmounted while pods live: what a pod sees of them, and that no pod keeps one busy."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import Node

PODS = 50
PRIVILEGED = {"security_context": {"privileged": True, "namespace_options": {"pid": 1}}}


class Story:
    def __init__(self, checks, node):
        self.checks, self.node = checks, node
        config = node.pod_config("mounts", linux=PRIVILEGED)
        self.pod = config, node.run_pod(config)
        self.volumes = node.work / "volumes"  # one shared mount, as / is on a host with systemd
        node.make_folder(self.volumes)
        node.exec("mount", "-t", "tmpfs", "volumes", self.volumes)
        node.exec("mount", "--make-rshared", self.volumes)

    def folder(self, name):
        self.node.exec("mkdir", "-p", self.volumes / name)
        return self.volumes / name

    def mount(self, place, said):
        self.node.exec("sh", "-ec", f"mkdir -p {place}; mount -t tmpfs volume {place}; echo {said} > {place}/said")

    def run(self, name, folder, propagation=0, **more):
        mounts = [{"host_path": str(folder), "container_path": "/data", "propagation": propagation}]
        config = self.node.container_config(name, "exec sleep 100000", mounts=mounts, **more)
        return self.node.run_container(self.pod[1], config, self.pod[0])

    def seen(self, container, path):
        return self.node.crictl("exec", "--sync", container, "cat", path, check=False).stdout.strip()


def late(story):
    folder = story.folder("late")
    story.mount(folder, "mounted later")
    container = story.run("late", folder)
    story.checks.equal(story.seen(container, "/data/said"), "mounted later", "a volume that came after the pod is seen in it")


def propagation(story):
    checks, node, folder = story.checks, story.node, story.folder("spread")
    story.mount(folder / "before", "before")
    containers = {what: story.run(what.lower(), folder, number, linux=PRIVILEGED)
                  for number, what in enumerate(("PRIVATE", "HOST_TO_CONTAINER", "BIDIRECTIONAL"))}
    story.mount(folder / "after", "after")
    for what, container in containers.items():
        checks.equal(story.seen(container, "/data/before/said"), "before", f"{what}: mounts that are there are seen")
        wanted = "" if what == "PRIVATE" else "after"
        checks.equal(story.seen(container, "/data/after/said"), wanted, f"{what}: one that comes is {'seen' if wanted else 'not'}")
    node.exec("umount", folder / "after")
    for what, container in containers.items():
        if what != "PRIVATE":
            checks.equal(story.seen(container, "/data/after/said"), "", f"{what}: one that goes is gone")
        script = "mkdir -p /data/mine && mount -t tmpfs mine /data/mine && echo mine > /data/mine/said"
        node.crictl("exec", "--sync", container, "sh", "-c", script)
        on_host = node.exec("cat", folder / "mine/said", check=False).stdout.strip()
        checks.equal(on_host, "mine" if what == "BIDIRECTIONAL" else "",
                     f"{what}: what the container mounts is {'seen' if what == 'BIDIRECTIONAL' else 'not seen'} outside")
        node.crictl("exec", "--sync", container, "busybox", "umount", "/data/mine")
        checks.equal(node.exec("ls", folder / "mine").stdout, "", f"{what}: and gone when it unmounts it")


def refused(story):
    """What is not shared can't carry mounts to the host."""
    folder = story.folder("alone")
    story.mount(folder, "alone")
    story.node.exec("mount", "--make-private", folder)
    mounts = [{"host_path": str(folder), "container_path": "/data", "propagation": 2}]
    config = story.node.container_config("alone", "true", mounts=mounts, linux=PRIVILEGED)
    container = story.node.create(story.pod[1], config, story.pod[0])
    story.checks.contains(story.node.refusal("start", container), ["PROPAGATION_BIDIRECTIONAL", str(folder), "shared"],
                          "a private mount is refused as bidirectional")


def busy(story):
    """A device that is mounted while pods are born, and unmounted and detached while they live."""
    checks, node, folder = story.checks, story.node, story.folder("device")
    image = node.work / "device.img"
    with open(image, "wb") as file:
        file.truncate(8 << 20)
    node.exec("mke2fs", "-q", "-t", "ext4", image)
    node.exec("mount", "-o", "loop", image, folder)
    device = node.exec("losetup", "-n", "-O", "NAME", "-j", image).stdout.strip()
    try:
        containers = []
        for number in range(PODS):
            config = node.pod_config(f"born{number}")
            containers.append(node.run_container(node.run_pod(config), node.container_config("main", "exec sleep 100000"), config))
        node.exec("umount", folder)

        def attached():
            return node.exec("losetup", "-n", "-O", "NAME", "-j", image).stdout.strip()

        c.wait_until(f"{device} is free", lambda: not attached())
        checks.ok(True, f"a device is unmounted and detached while {PODS} pods live that were born when it was mounted")
        running = [container for container in containers if node.container_status(container)["state"] == "CONTAINER_RUNNING"]
        checks.equal(len(running), PODS, "which all live")
    finally:
        node.exec("umount", folder, check=False)


def story(checks):
    with Node(checks) as node:
        node.build_image()
        told = Story(checks, node)
        for part in (late, propagation, refused, busy):
            part(told)


c.main(story)
