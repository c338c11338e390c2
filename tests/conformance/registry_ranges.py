#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# faults
"""A big layer from a registry that gives each connection its share: it comes over several, by ranges, and whatever is wrong
with those the image is right in the end, or refused as without them."""
import contextlib
import os
import pathlib
import pty
import re
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import faulty_registry as f
from node import BIN
from oci import entry, tar
from pulls import MIB, PATIENCE, SHORT, layer, world_of

PART = 8 * MIB
RATE = 12 * MIB  # bytes a second, of one connection
# Until somebody asks for a range less, so that also on a busy machine there is no doubt what the pull waits for.
FIRST_RATE = 2 * MIB
BLOCK = 64 << 10


class Slow:
    """A blob at so much for each connection. `ranges` answers requests for one: takes the handler, first and last byte."""

    def __init__(self, data, ranges=None):
        self.data, self.ranges, self.lock, self.busy, self.most = data, ranges or self.send, threading.Lock(), set(), 0
        self.is_helped = threading.Event()

    def __call__(self, handler):
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range") or "")
        with self.lock:
            self.busy.add(handler)
            # One whose client has left may not have noticed.
            self.most = max(self.most, sum(not has_left(each) for each in self.busy))
        try:
            if asked:
                self.is_helped.set()
                return self.ranges(handler, int(asked[1]), int(asked[2] or len(self.data) - 1))
            return self.whole(handler)
        finally:
            self.leave(handler)

    def leave(self, handler):
        with self.lock:
            self.busy.discard(handler)

    def whole(self, handler, *_):
        f.answer(200, b"", {"Content-Length": str(len(self.data)), "ETag": '"one"'})(handler)
        self.trickle(handler, self.data)

    def send(self, handler, first, last, data=None):
        data = (data or self.data)[first:last + 1]
        f.answer(206, b"", {"Content-Length": str(len(data)),
                            "Content-Range": f"bytes {first}-{last}/{len(self.data)}"})(handler)
        self.trickle(handler, data)

    def trickle(self, handler, data):
        for at in range(0, len(data), BLOCK):
            # With the last bytes the client may ask for more, before this handler has come to its end.
            if at + BLOCK >= len(data):
                self.leave(handler)
            handler.wfile.write(data[at:at + BLOCK])
            time.sleep(BLOCK / (RATE if self.is_helped.is_set() else FIRST_RATE))


def has_left(handler):
    """The client of a handler whose request is read."""
    try:
        return handler.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except (BlockingIOError, TimeoutError):
        return False
    except OSError:
        return True


def ranges_of(world, what):
    return [headers["range"] for headers in world.registry.asked(what) if "range" in headers]


def big(world, size=28 * MIB, **more):
    """An image with one big layer, its name, the layer's digest and data."""
    name, image = world.image(layer("big", size), packing="plain", **more)
    what = image.document["layers"][0]["digest"]
    return name, what, image.blobs[what]


def gains(world):
    name, what, data = big(world, 48 * MIB)
    slow = Slow(data)
    world.route(name, "blobs", what, slow)
    world.registry.requests.clear()
    world.taken("a big layer at so much for each connection", name)
    asked = ranges_of(world, what)
    starts = sorted(int(re.match(r"bytes=(\d+)", text)[1]) for text in asked)
    world.checks.ok(len(starts) >= 2 and len(set(starts)) == len(starts), "it came by ranges, each once", str(asked))
    world.checks.ok(2 <= slow.most <= 3, "over up to three connections", str(slow.most))
    world.checks.ok(all(headers.get("if-range") == '"one"' for headers in world.registry.asked(what) if "range" in headers),
                    "each if it is still what it was", str(world.registry.asked(what)))
    world.gantry("remove", name)

    # One of the machine's own, that is as fast as what is done with it: nothing to gain. Unless the machine is busy: then it may
    # be slow at a bad moment, though hardly each time.
    name, what, data = big(world, 21 * MIB)
    requests = []
    while len(requests) < 10 and 1 not in requests:
        world.registry.requests.clear()
        world.taken("a big layer as fast as it goes", name)
        requests.append(len(world.registry.asked(what)))
        world.gantry("remove", name)
    world.checks.equal(requests[-1], 1, "it came by one request")

    name, image = world.image(*[layer(f"part-{i}", 6 * MIB) for i in range(6)], packing="plain")
    slows = []
    for described in image.document["layers"]:
        slows.append(Slow(image.blobs[described["digest"]]))
        world.route(name, "blobs", described["digest"], slows[-1])
    world.registry.requests.clear()
    world.taken("six layers that are not big", name)
    world.checks.equal(ranges_of(world, "/blobs/"), [], "they came as wholes")


def memory(world):
    """gantry's own peak, without the workers."""
    name, what, data = big(world, 64 * MIB)
    world.route(name, "blobs", what, Slow(data))
    command = [BIN / "gantry", "image", "--data-dir", world.data, "pull", "--registries", world.registries, name]
    process, kib = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL), 0
    while process.poll() is None:
        with contextlib.suppress(TypeError, OSError):
            kib = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1])
        time.sleep(0.02)
    world.checks.equal(process.returncode, 0, "a layer of 64 MiB: pulled")
    world.checks.ok(0 < kib < 40 << 10, f"its parts were not in memory: {kib >> 10} MiB at most", f"{kib} KiB")
    world.gantry("remove", name)


def as_it_comes(world):
    """Files lie where they belong before the layer is whole."""
    first, second = (entry(name, content=os.urandom(MIB)) for name in ("first", "second"))
    for packing in ("plain", "gzip", "zstd"):
        name, image = world.image(tar([first, second]), packing=packing)
        described = image.document["layers"][0]
        data = image.blobs[described["digest"]]
        gate = threading.Event()

        def half(handler, data=data, gate=gate):
            f.answer(200, data[:len(data) * 3 // 4], {"Content-Length": str(len(data))})(handler)
            handler.wfile.flush()
            f.behind(gate, lambda later: later.wfile.write(data[len(data) * 3 // 4:]))(handler)

        world.route(name, "blobs", described["digest"], half)
        command = [BIN / "gantry", "image", "--data-dir", world.data, "pull", "--registries", world.registries, name]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as pull:
            sizes = [0]

            def has_first(sizes=sizes):
                sizes[:] = [path.stat().st_size for path in world.data.glob("store/i/*/l/0/first")]
                return sizes == [MIB]

            with contextlib.suppress(c.Failure):
                c.wait_until("the first file is there", has_first)
            gate.set()
        world.checks.equal((sizes, pull.returncode), ([MIB], 0), f"{packing}: what has come is unpacked while the rest comes")
        world.gantry("remove", name)


def bar(world):
    """On a terminal."""
    name, what, data = big(world)
    world.route(name, "blobs", what, Slow(data))
    leader, follower = pty.openpty()
    command = [BIN / "gantry", "image", "--data-dir", world.data, "pull", "--registries", world.registries, name]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=follower,
                          env=os.environ | {"TERM": "xterm"}) as process:
        os.close(follower)
        said = b""
        with contextlib.suppress(OSError):  # the terminal's end, when nobody has it open any more
            while block := os.read(leader, 4096):
                said += block
    os.close(leader)
    lines = said.decode().split("\r\x1b[K")
    parts = [int(found[1]) for line in lines if (found := re.search(r"0 of 1 layers \[[=> ]+\] +(\d+)%  .*B of 29.4MB", line))]
    world.checks.ok(process.returncode == 0 and len(set(parts)) > 5 and parts == sorted(parts),
                    "on a terminal a bar grows", str(lines))
    world.checks.ok("\n" not in said.decode() and lines[-1] == "" and "1 of 1 layers" in lines[-2] and "100%" in lines[-2],
                    "it is whole in the end, and then gone", str(lines[-3:]))
    world.gantry("remove", name)


def faults(world):
    name, what, data = big(world)
    spoilt = os.urandom(len(data))

    def case(text, ranges, patience=PATIENCE):
        slow = Slow(data, ranges and (lambda *arguments: ranges(slow, *arguments)))
        world.route(name, "blobs", what, slow)
        world.registry.requests.clear()
        world.taken(text, name, patience=patience)
        world.checks.ok(ranges_of(world, what), f"{text}: it was asked for ranges")
        world.gantry("remove", name)

    case("a server that knows no ranges", lambda slow, handler, *_: slow.whole(handler))
    case("a server that sends another range",
         lambda slow, handler, first, last: slow.send(handler, first + 5, last))
    case("a server that sends more than the range",
         lambda slow, handler, first, last: slow.send(handler, first, min(last + PART, len(data) - 1)))
    case("a server that refuses ranges", lambda slow, handler, *_: f.answer(416)(handler))
    case("a server that sends ranges of something else",
         lambda slow, handler, first, last: slow.send(handler, first, last, spoilt))
    calls = iter(range(1000))

    def breaks(slow, handler, first, last):
        if next(calls) % 2:
            return slow.send(handler, first, last)
        handler.close_connection = True
        f.answer(206, b"", {"Content-Length": str(last + 1 - first),
                            "Content-Range": f"bytes {first}-{last}/{len(data)}"})(handler)
        return slow.trickle(handler, data[first:min(first + MIB + 77, last)])

    case("ranges that break off, each second one", breaks)
    case("a server that is in the mood for few requests", lambda slow, handler, *_: f.answer(429)(handler))
    case("ranges that hang", lambda slow, handler, *_: f.hang()(handler), SHORT)


def changes(world):
    """Wrong as a whole, too: the refusal is that of any layer with another content."""
    name, what, data = big(world)
    world.route(name, "blobs", what, Slow(layer("big", 28 * MIB)))
    world.refused("another layer than its digest says, in ranges", name, [what, "has the digest"])
    slow = Slow(data, lambda handler, *_: f.reset(handler))
    slow.whole = lambda handler: (f.answer(200, b"", {"Content-Length": str(len(data))})(handler),
                                  slow.trickle(handler, data[:20 * MIB]), f.reset(handler))
    world.route(name, "blobs", what, slow)
    world.refused("a layer that always breaks off, in ranges", name, [what, f"of {len(data)} bytes"])


def story(checks):
    with world_of(checks) as world:
        for part in (gains, memory, as_it_comes, bar, faults, changes):
            part(world)


c.main(story)
