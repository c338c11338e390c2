#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 600
"""Containers from checkpoints: the processes go on where they were, in another pod, with what they had changed in their root; from an
archive of CheckpointContainer's and from an image that is made of one. An archive that is none is refused by name, and nothing of it
stays. Given names of parts it tells those alone."""
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checkpoint
import checks as c
import oci
from cri_client import IMAGE
from node import Node

# As checkpoint's, but that no file of a volume is open but one, and that at its end.
COUNTER = """
mkdir /made; echo hello > /made/file; rm -r /etc/group; mkdir /etc/group; rm /bin/dirname
exec 3>>/out/open; i=0
while :; do i=$((i+1)); echo $i >&3; echo $i; usleep 20000; done | while read n; do echo $n; done
"""
ANNOTATION = "org.criu.checkpoint.container.name"


class Counter(checkpoint.Counter):
    def count(self):
        lines = checkpoint.whole_lines((self.out / "open").read_text()) if (self.out / "open").exists() else []
        return int(lines[-1]) if lines else 0


class World(checkpoint.World):
    counter_type = Counter

    def make(self):
        """An archive of a counter, and how far that had come."""
        location = self.out / "counter.tar"
        with self.counter(COUNTER) as counter:
            counter.checkpoint(location)
            self.reached = counter.count()
        return location

    def pod_for(self, name):
        """A pod, and the configuration of a container as the counter's was."""
        pod = self.node.pod_config(name)
        out = self.node.work / f"out-{name}"
        out.mkdir(mode=0o777)
        out.chmod(0o777)
        (out / "open").touch()  # the counter has it open
        config = self.node.container_config(name, COUNTER, mounts=[{"container_path": "/out", "host_path": str(out)}])
        return pod, self.node.run_pod(pod), config, out

    def restored(self, name, image, between=None):
        pod, pod_id, config, out = self.pod_for(name)
        config["image"] = {"image": str(image)}
        container = self.node.create(pod_id, config, pod)
        if between:
            between()
        self.node.crictl("start", container)
        return Counter(self, container, pod, pod_id, config, out)

    def leftovers(self):
        return [str(path) for place in (self.node.lib, self.node.run_folder) for path in place.glob("sandboxes/*/*")
                if path.name.startswith(("restore-", "bundle-"))]


def first_lines(log):
    """What it has said, when it has said something."""
    return c.wait_until("it says something", lambda: log.exists() and checkpoint.whole_lines(log.read_text()))


def check_restored(world, counter, what):
    checks, node = world.checks, world.node
    checks.ok(counter.counts_on(), f"{what}: it counts")
    said = [int(line.split(" ", 3)[3]) for line in first_lines(node.log_of(counter.pod, counter.config))]
    checks.ok(0 < said[0] <= world.reached + 1, f"{what}: it goes on from where it was", f"{said[:3]}, {world.reached}")
    checks.equal(said, list(range(said[0], said[0] + len(said))), f"{what}: and misses nothing")
    shown = node.crictl("exec", counter.id, "/bin/sh", "-c", "cat /made/file; ls -d /etc/group/. /bin/dirname; echo $$", check=False)
    checks.ok(shown.stdout.startswith("hello\n/etc/group/.\n") and "/bin/dirname" not in shown.stdout,
              f"{what}: its root is as it was, as an exec sees it", shown.stdout + shown.stderr)
    status = node.container_status(counter.id)
    checks.equal((status["state"], status["image"]["image"].split("/")[-1]), ("CONTAINER_RUNNING", IMAGE),
                 f"{what}: its image is that which it was made from")
    place = pathlib.Path(f"/proc/{node.container_pid(counter.id)}/cgroup").read_text().strip()
    checks.ok(counter.id in place, f"{what}: it is in its own cgroup", place)
    checks.equal([path for path in world.leftovers() if "restore-" in path], [], f"{what}: the checkpoint's files are gone")
    node.crictl("stop", "--timeout", "0", counter.id)
    checks.equal(node.container_status(counter.id)["exitCode"], 137, f"{what}: it can be stopped")
    node.crictl("rm", counter.id)
    checks.equal(world.leftovers(), [], f"{what}: and removed, with all that was made for it")
    node.crictl("rmp", "-f", counter.pod_id)


def from_archive(world):
    check_restored(world, world.restored("again", world.archive), "from an archive")


def after_restart(world):
    def restart():
        with world.node.without_gantryd():
            pass
    check_restored(world, world.restored("later", world.archive, restart), "created before a restart of gantryd")


def from_image(world):
    """As buildah makes it: what is in the archive is the only layer."""
    name = "localhost/checkpoint:test"
    image = oci.Image(world.archive.read_bytes(), command=())
    image.annotations = {ANNOTATION: "counter"}
    world.node.image("load", image.archive(world.node.work / "checkpoint-image.tar", name))
    check_restored(world, world.restored("image", name), "from an image")


def with_terminal(world):
    """Its terminal is another one, under the old name; who attaches sees what it says."""
    checks, node, location = world.checks, world.node, world.out / "terminal.tar"
    script = "exec 3>>/out/open; i=0; while :; do i=$((i+1)); echo $i >&3; test -t 1 && echo is $i; usleep 20000; done"
    with world.counter(script, tty=True) as counter:
        counter.checkpoint(location)
        reached = counter.count()
    pod, pod_id, config, out = world.pod_for("terminal")
    config |= {"image": {"image": str(location)}, "tty": True}
    container = node.create(pod_id, config, pod)
    node.crictl("start", container)
    checks.ok(Counter(world, container, pod, pod_id, config, out).counts_on(), "with a terminal: it counts")
    first = int(first_lines(node.log_of(pod, config))[0].split()[-1])
    checks.ok(0 < first <= reached + 1, "with a terminal: it goes on from where it was, and has one", f"{first}, {reached}")
    node.crictl("rmp", "-f", pod_id)


def refused(world):
    pod, _, container, _ = world.pod_for("refused")
    pod = world.node.pod_config("users", linux=checkpoint.IN_USERS)
    pod_id = world.node.run_pod(pod)
    container |= {"image": {"image": str(world.archive)}, "linux": checkpoint.IN_USERS}
    world.checks.contains(world.node.refusal("create", pod_id, world.node.write(container), world.node.write(pod)),
                          ["Unimplemented", "user namespace"], "a pod with a user namespace: refused with a sentence")
    world.node.crictl("rmp", "-f", pod_id)


def tar_of(*entries):
    """Entries are names with contents, or TarInfos with them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for what, content in entries:
            info = what if isinstance(what, tarfile.TarInfo) else tarfile.TarInfo(what)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.devmajor, info.devminor = 1, 3
    return info, b""


def hostile(world):
    checks, node = world.checks, world.node
    config = ("config.dump", json.dumps({"rootfsImageName": IMAGE}).encode())
    inventory = ("checkpoint/inventory.img", b"x")
    victim = node.work / "victim"
    victim.write_text("whole")
    many = [(f"checkpoint/core-{n}.img", b"") for n in range(50_001)]
    cases = {
        "no tar": (b"x" * 2000, ""),
        "an empty file": (b"", "config.dump"),
        "a tar that was cut": (tar_of(config, ("checkpoint/pages-1.img", b"x" * 9000))[:6000], ""),
        "no checkpoint": (tar_of(("etc/passwd", b"root")), "config.dump"),
        "no images": (tar_of(config), "checkpoint"),
        "no images of CRIU": (tar_of(config, ("checkpoint/x", b"")), "inventory.img"),
        "no configuration that can be read": (tar_of(("config.dump", b"{" * 5000), inventory), "config.dump"),
        "an image that is not here": (tar_of(("config.dump", b'{"rootfsImageName":"localhost/none:1"}'), inventory), "localhost/none:1"),
        "a link as configuration": (tar_of(special("config.dump", tarfile.SYMTYPE, str(victim)), inventory), "config.dump"),
        "a link among images": (tar_of(config, inventory, special("checkpoint/core-1.img", tarfile.SYMTYPE, str(victim))), "core-1.img"),
        "two names of one file": (tar_of(config, inventory, special("checkpoint/a", tarfile.LNKTYPE, "checkpoint/inventory.img")), "plain file"),
        "a device": (tar_of(config, inventory, special("checkpoint/null", tarfile.CHRTYPE)), "null"),
        "a FIFO": (tar_of(config, inventory, special("rootfs-diff.tar", tarfile.FIFOTYPE)), "rootfs-diff.tar"),
        "a folder of images that is a link": (tar_of(config, special("checkpoint", tarfile.SYMTYPE, str(node.work))), "checkpoint"),
        "a path that leads out": (tar_of(config, inventory, ("../../../../victim", b"bad")), ""),
        "too many files": (tar_of(config, inventory, *many), "50000"),
        "changes that are no tar": (tar_of(config, inventory, ("rootfs-diff.tar", b"x" * 2000)), "rootfs-diff.tar"),
    }
    pod, pod_id, container, _ = world.pod_for("hostile")
    path = node.work / "hostile.tar"
    container["image"] = {"image": str(path)}
    before = world.leftovers()
    for name, (content, words) in cases.items():
        path.write_bytes(content)
        said = node.refusal("create", pod_id, node.write(container), node.write(pod))
        checks.contains(said, ["checkpoint", words], f"{name}: refused with a sentence")
    for name, make in {"a folder": path.mkdir, "a FIFO instead of an archive": lambda: os.mkfifo(path), "nothing": lambda: None}.items():
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        make()
        checks.contains(node.refusal("create", pod_id, node.write(container), node.write(pod)), ["checkpoint"],
                        f"{name}: refused with a sentence")
    checks.equal(victim.read_text(), "whole", "nothing outside was touched")
    checks.equal(world.leftovers(), before, "nothing of any is left")
    # One that only CRIU can tell.
    path.unlink(missing_ok=True)
    path.write_bytes(tar_of(config, inventory))
    broken = node.create(pod_id, container, pod)
    checks.contains(node.refusal("start", broken), ["restore", "criu"], "images that CRIU can't read: the start says so")
    node.crictl("rm", "-f", broken)
    checks.equal(world.leftovers(), before, "and it can be removed")
    node.crictl("rmp", "-f", pod_id)


def story(checks):
    criu = pathlib.Path(subprocess.run([checkpoint.PEERS, "criu"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[2])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PATH"] = f"{folder}:" + os.environ["PATH"]
        with Node(checks, options=["--option=--restore-images"]) as node:
            node.run_folder = node.root / "run/gantry"
            node.build_image()
            world = World(checks, node, pathlib.Path(folder), criu)
            world.install()
            world.archive = world.make()
            for part in (from_archive, after_restart, from_image, with_terminal, refused, hostile):
                if part.__name__ in (sys.argv[1:] or part.__name__):
                    part(world)


if __name__ == "__main__":
    c.main(story)
