#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# faults
"""More that a registry may do to who pulls, beside registry_faults.py: layers that are bombs, documents cut short or larger
than they may be, servers that break TLS, and unpack workers that crash. Each pull ends within its time, with one sentence, and
leaves the store as it was."""
import contextlib
import gzip
import json
import pathlib
import socket
import subprocess
import sys
import tarfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import faulty_registry as f
from node import BIN
from oci import entry, sparse_layer, tar
from pulls import MIB, PATIENCE, SHORT, layer, world_of
from registry import RemoteImage, make_certificate


def zeros(packed, plain_bytes):
    """An image whose layer is one file of zeros, packed by the command; it never is in memory as a whole."""
    header = tarfile.TarInfo("zeros")
    header.size = plain_bytes
    script = f"cat; head -c {plain_bytes + 1024} /dev/zero"
    plain = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    packer = subprocess.Popen(packed, stdin=plain.stdout, stdout=subprocess.PIPE)
    plain.stdin.write(header.tobuf())
    plain.stdin.close()
    data = packer.communicate()[0]
    plain.wait()
    return data


def image_of(packed, media_type):
    image = RemoteImage(layer("small"))
    image.document["layers"][0] = image.blob(media_type, packed)
    return image


def bombs(world):
    for what, command, kind in (("gzip", ["gzip", "-9"], "gzip"), ("zstd", ["zstd", "-q", "-c"], "zstd")):
        packed = zeros(command, 600 * MIB)
        name = world.registry.put(f"test/{what}:1", image_of(packed, f"application/vnd.oci.image.layer.v1.tar+{kind}"))
        world.refused(f"600 MiB of zeros in {len(packed)} bytes of {what}", name, "bytes inflate to more than 200 times that")
    inner = gzip.compress(gzip.compress(bytes(200 * MIB), 9), 9)
    name = world.registry.put("test/twice:1", image_of(inner, "application/vnd.oci.image.layer.v1.tar+gzip"))
    world.refused("a bomb in a bomb", name, "layer sha256:")
    name, _ = world.image(sparse_layer("huge", 1 << 40), packing="plain")
    world.refused("a sparse file of 1 TiB", name, ["huge", str(1 << 40)])
    deep = "/".join(["d"] * 3000)
    name, _ = world.image(tar([entry(deep, content=b"x")]))
    world.refused("a path of 3000 folders", name, "layer sha256:")
    name, _ = world.image(tar([entry("../" * 30 + "tmp/evil", content=b"x")]))
    world.refused("a layer that climbs out", name, ["evil", ".."])


def documents(world):
    name, image = world.image()
    manifest = image.manifest
    world.route(name, "manifests", "1", f.truncated(manifest, len(manifest) // 2))
    world.refused("a manifest that breaks off", name, "tried 5 times")
    world.route(name, "manifests", "1", f.answer(200, manifest[:-20], {"Content-Type": image.types["manifest"]}))
    world.refused("half a manifest", name, "not JSON")
    world.route(name, "manifests", "1", f.answer(200, b"", {"Content-Type": image.types["manifest"]}))
    world.refused("an empty manifest", name, "not JSON")
    world.route(name, "manifests", "1", f.answer(200, b"[" * 100_000, {"Content-Type": image.types["manifest"]}))
    world.refused("a manifest of brackets", name, "not JSON")

    name, image = world.image()
    config = image.blobs[image.id]
    world.route(name, "blobs", image.id, f.truncated(config, len(config) // 2))
    world.refused("a configuration that breaks off", name, "tried 5 times")
    world.route(name, "blobs", image.id, f.answer(200, config + b" "))
    world.refused("a configuration that is longer than said", name, "more than")
    world.route(name, "blobs", image.id, f.endless)
    world.refused("a configuration without end", name, "more than")

    def spoilt(what, parts, change):
        name, image = world.image()
        change(image)
        world.registry.put(name.split("/", 1)[1], image)
        world.refused(what, name, parts)

    def set_config(**more):
        return lambda image: image.document["config"].update(more)

    spoilt("a configuration said to be of 100 MB", "104857600", set_config(size=100 * MIB))
    spoilt("a configuration of a negative size", "size", set_config(size=-1))
    spoilt("a configuration whose digest is a path", "../../etc/passwd", set_config(digest="sha256:../../etc/passwd"))
    spoilt("an artifact that is no image", "no container image",
           set_config(mediaType="application/vnd.cncf.helm.config.v1+json"))
    spoilt("a layer of an exabyte", "layer", lambda image: image.document["layers"][0].update(size=1 << 60))
    spoilt("more layers than diff_ids", "layers", lambda image: image.document["layers"].append(image.document["layers"][0]))

    def larger(image):
        text = json.loads(image.blobs[image.id]) | {"history": [{"created_by": "x" * 300}] * 20_000}
        image.config = image.document["config"] = image.blob(image.types["config"], json.dumps(text).encode())

    spoilt("a configuration of 6 MB", "at most 4194304", larger)


class Listener:
    """Accepts connections and treats each as told."""

    def __init__(self, treat):
        self.treat, self.open = treat, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                peer = self.socket.accept()[0]
                self.open.append(peer)
                self.treat(peer)
            except OSError:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for peer in self.open:
            peer.close()


def tls(world):
    for what, treat, part in (("says nothing", lambda peer: None, "registry"),
                              ("hangs up", lambda peer: peer.close(), "tried 5 times"),
                              ("speaks something else", lambda peer: peer.sendall(b"220 mail.example ready\r\n" * 100),
                               "registry")):
        with Listener(treat) as server:
            world.configure(server.host, f'server = "https://{server.host}"\n')
            world.refused(f"a server that {what} where TLS should be", f"{server.host}/a:1", [server.host, part],
                          patience=SHORT if what == "says nothing" else PATIENCE)

    folder = world.folder / "tls"
    folder.mkdir()
    make_certificate(folder)
    with f.FaultyRegistry(tls=folder) as registry:
        image = RemoteImage(layer("a", MIB), packing="plain")
        name = registry.put("test/app:1", image)
        described = image.document["layers"][0]
        route, data = f"/v2/test/app/blobs/{described['digest']}", image.blobs[described["digest"]]
        world.configure(registry.host, f'server = "https://{registry.host}"\n')
        world.refused("a certificate of nobody that is known", name, [registry.host, "certificate"])
        world.configure(registry.host, f'server = "https://{registry.host}"\nca = "{folder}/ca.crt"\n')
        for what, respond, part in (("breaks off", f.truncated(data, 300_000), "tried"),
                                    ("is reset", f.reset, "tried 5 times"),
                                    ("stops coming", f.hang(data[:200_000], len(data)), "no progress for 2 s"),
                                    ("is longer than said", f.answer(200, data + b"more"), f"more than the {len(data)} bytes"),
                                    ("is another", f.answer(200, bytes(len(data))), "sha256:"),
                                    ("is at a place without TLS", f.redirect(f"http://{registry.host}/x"),
                                     "from https to http")):
            registry.routes[route] = respond
            world.refused(f"over TLS, a layer that {what}", name, part, patience=SHORT if what == "stops coming" else PATIENCE)
        registry.routes[route] = f.truncated(data, 700_000, f.blob(data))
        world.taken("over TLS, a layer that broke off once", name)
        world.gantry("remove", name)
        registry.routes[route] = f.blob(data)
        registry.routes["/v2/test/app/manifests/1"] = f.guarded(registry.routes["/v2/test/app/manifests/1"],
                                                                right="Basic bWU6c2VjcmV0")
        world.refused("over TLS, a wrong password", name, "refuses the credentials", "--creds", "me:wrong")
        world.taken("over TLS, the right one", name, "--creds", "me:secret")


def workers(world):
    """One of the two that unpack a layer is killed while the rest of it has not come."""
    name, image = world.image(layer("a", 4 * MIB), packing="gzip")
    what = image.document["layers"][0]["digest"]
    data = image.blobs[what]
    for victim in (0, 1):
        gate = threading.Event()
        world.route(name, "blobs", what, half_then(data, gate))
        before = world.state()
        pull = subprocess.Popen([BIN / "gantry", "image", "--data-dir", world.data, "pull", name], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        found = c.wait_until("two workers unpack it", lambda: workers_of(pull.pid))
        with c.Process(found[victim]) as worker:
            worker.kill()
        gate.set()
        said = pull.communicate(timeout=120)[1].splitlines()
        text = [line for line in said if not line.startswith("layer ")]
        world.checks.ok(pull.returncode == 1 and len(text) == 1 and "was ended by signal 9" in text[0] and what in text[0],
                        f"worker {victim} of a layer is killed: the pull ends with a sentence", f"{pull.returncode}: {said}")
        world.checks.equal(world.state(), before, f"worker {victim} of a layer is killed: the store is as it was")
    world.route(name, "blobs", what, f.blob(data))
    world.taken("the same image, and nobody is killed", name)


def half_then(data, gate):
    def respond(handler):
        f.answer(200, data[:len(data) // 2], {"Content-Length": str(len(data))})(handler)
        gate.wait(c.PATIENCE)
        handler.wfile.write(data[len(data) // 2:])
    return respond


def workers_of(pid):
    """Both, the unpacker first; None when they are not there yet, or have not begun to read."""
    found = []
    with contextlib.suppress(OSError):  # a thread or a process has ended meanwhile
        for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
        found = sorted(pid for pid in found if b"unpack-worker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())
        ready = all("Seccomp:\t2" in pathlib.Path(f"/proc/{pid}/status").read_text() for pid in found)
        return found if len(found) == 2 and ready else None
    return None


def story(checks):
    with world_of(checks) as world:
        name, _ = world.image()
        world.taken("a good image", name)
        for part in (bombs, documents, tls, workers):
            part(world)


c.main(story)
