#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# faults
"""Registries that lie, hang up, hang, or lead away: each pull ends within its time, with one sentence that says what is
wrong, and leaves the store as it was. What may pass is tried again, and goes on where it broke off."""
import contextlib
import json
import pathlib
import socket
import ssl
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import faulty_registry as f
from control import free_port
from oci import digest
from pulls import MIB, SHORT, layer, world_of
from registry import OCI_INDEX, RemoteImage, index_of, make_certificate


def digests(world):
    name, image = world.image()
    manifest = answer_of(image.document | {"annotations": {"other": "content"}}, image.types["manifest"])
    by_digest = f"{name.rsplit(':', 1)[0]}@{digest(image.manifest)}"
    world.route(name, "manifests", digest(image.manifest), manifest)
    world.refused("another manifest than its digest says", by_digest, [digest(image.manifest), "has the digest"])
    world.route(name, "manifests", "1", f.answer(200, index_of(image.descriptor(architecture="amd64")),
                                                 {"Content-Type": OCI_INDEX}))
    world.refused("another manifest than its index says", name, [digest(image.manifest), "expected"])
    world.route(name, "manifests", "1", f.answer(200, image.manifest, {"Content-Type": image.types["manifest"],
                                                                     "Docker-Content-Digest": "sha256:" + "ab" * 32}))
    world.refused("a header that says another digest", name, ["ab" * 32])

    name, image = world.image()
    world.route(name, "blobs", image.id, f.answer(200, b"x" * image.config["size"]))
    world.refused("another configuration than its digest says", name, [image.id, "has the digest"])
    name, image = world.image(packing="plain")
    last = image.document["layers"][1]
    world.route(name, "blobs", last["digest"], f.blob(layer("b")))
    world.refused("another layer than its digest says", name, [last["digest"], "has the digest"])
    for what, wrong in (("a path", "sha256:../../../../etc/passwd"), ("too short", "sha256:abcd"),
                        ("in capitals", "sha256:" + "AB" * 32), ("of no known kind", "md5:" + "ab" * 16)):
        for part in ("layer", "config"):
            name, image = world.image()
            (image.document["layers"][0] if part == "layer" else image.document["config"])["digest"] = wrong
            world.registry.put(name.split("/", 1)[1], image)
            world.refused(f"CVE-2024-3727: a {part}'s digest that is {what}", name, wrong.removeprefix("sha256:"))
        world.refused(f"a name's that is {what}", f"{name.rsplit(':', 1)[0]}@{wrong}", [])
    name, image = world.image()
    spoilt = json.loads(image.blobs[image.id])
    spoilt["rootfs"]["diff_ids"].reverse()
    image.config = image.document["config"] = image.blob(image.types["config"], json.dumps(spoilt).encode())
    world.registry.put(name.split("/", 1)[1], image)
    world.refused("layers that unpack to something else", name, "the image's configuration says")


def answer_of(document, media_type):
    return f.answer(200, json.dumps(document).encode(), {"Content-Type": media_type})


def documents(world):
    name, image = world.image()
    world.route(name, "manifests", "1", f.answer(200, image.manifest, {"Content-Type": OCI_INDEX}))
    world.refused("a manifest that is called an index", name, ["calls itself", "index"])
    world.route(name, "manifests", "1", f.answer(200, image.manifest,
                                                 {"Content-Type": "application/vnd.docker.distribution.manifest.v1+json"}))
    world.refused("a manifest of Docker's schema 1", name, ["manifest.v1+json"])
    both = image.document | {"manifests": [image.descriptor(architecture="amd64")]}
    world.route(name, "manifests", "1", answer_of(both, image.types["manifest"]))
    world.refused("a document that is manifest and index", name, "both \"manifests\" and")
    world.route(name, "manifests", "1", f.answer(200, b"<html>welcome</html>", {"Content-Type": "text/html"}))
    world.refused("a page for people", name, "not JSON")
    world.route(name, "manifests", "1", f.endless)
    world.refused("a manifest without end", name, "more than the 4194304 bytes")
    world.route(name, "manifests", "1", f.answer(200, bytes(100 * MIB), {"Content-Type": OCI_INDEX}))
    world.refused("a manifest of 100 MB", name, "more than the 4194304 bytes")

    name, image = world.image()
    image.document["config"]["size"] = 64 * MIB
    world.registry.put(name.split("/", 1)[1], image)
    world.route(name, "blobs", image.id, f.endless)
    world.refused("CVE-2023-25153: a configuration of 64 MiB", name, "bytes")

    name, image = world.image()
    at = image.descriptor()
    for _ in range(6):
        text = index_of(at)
        at = {"mediaType": OCI_INDEX, "digest": digest(text), "size": len(text)}
        world.route(name, "manifests", at["digest"], f.answer(200, text, {"Content-Type": OCI_INDEX}))
    world.route(name, "manifests", "1", f.answer(200, text, {"Content-Type": OCI_INDEX}))
    world.refused("indexes in indexes", name, "nested more than 3 deep")
    # A loop can't have right digests: one that is asked for again and again, or the first again.
    looping = index_of({"mediaType": OCI_INDEX, "digest": "sha256:" + "cd" * 32, "size": 300})
    world.route(name, "manifests", "1", f.answer(200, looping, {"Content-Type": OCI_INDEX}))
    world.route(name, "manifests", "sha256:" + "cd" * 32, f.answer(200, looping, {"Content-Type": OCI_INDEX}))
    world.refused("an index that holds itself", name, "cd" * 32)
    foreign = RemoteImage(layer("a"), architecture="s390x")
    name = world.registry.put("test/foreign:1", foreign, index_of(foreign.descriptor(architecture="s390x")))
    world.refused("an index without this machine", name, ["linux/amd64", "linux/s390x"])
    name, image = world.image()
    image.document["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+lzma"
    world.registry.put(name.split("/", 1)[1], image)
    world.refused("a layer of an unknown kind", name, ["tar+lzma", "expected"])
    name, image = world.image()
    image.document["layers"] *= 100
    world.registry.put(name.split("/", 1)[1], image)
    world.refused("200 layers", name, "layers")


def bodies(world):
    name, image = world.image(layer("a", MIB), packing="plain")
    described = image.document["layers"][0]
    data = image.blobs[described["digest"]]
    route = world.path(name, "blobs", described["digest"])

    def layer_is(respond):
        world.registry.routes[route] = respond

    layer_is(f.truncated(data, 300_000))
    world.refused("a layer that always breaks off", name, ["tried", str(len(data))])
    layer_is(f.answer(200, data + b"more"))
    world.refused("a layer that is longer than said", name, f"more than the {len(data)} bytes")
    layer_is(lambda handler: f.endless(handler, block=data))
    world.refused("a layer without end", name, f"more than the {len(data)} bytes")
    layer_is(f.answer(200, data[:-1]))
    world.refused("a layer that is shorter than said", name, f"{len(data) - 1} of {len(data)} bytes")
    layer_is(f.truncated(data, 300_000, f.answer(206, data[5:], {"Content-Range": f"bytes 5-{len(data) - 1}/{len(data)}"})))
    world.refused("another range than was asked for", name, ["bytes 5-", "from 300000"])
    layer_is(f.blob(b"this is no archive at all " * (len(data) // 26) + b"x" * (len(data) % 26)))
    world.refused("a layer that is no archive", name, described["digest"])
    layer_is(f.hang(data[:200_000], len(data)))
    world.refused("a layer that stops coming", name, "no progress for 2 s", patience=SHORT)
    layer_is(f.drip(data))
    world.refused("a layer that drips", name, "no progress for 2 s", patience=SHORT)

    layer_is(f.truncated(data, 700_000, f.blob(data)))
    world.taken("a layer that broke off", name)
    ranges = [headers.get("range") for headers in world.registry.asked(described["digest"])]
    world.checks.equal(ranges[-1], "bytes=700000-", "what had come was not asked for again")
    world.gantry("remove", name)
    layer_is(f.truncated(data, 700_000, f.without_ranges(data)))
    world.taken("a layer that broke off, from a server without ranges", name)
    world.gantry("remove", name)
    layer_is(f.hang(data, len(data) + 1))
    world.taken("a connection that stays open behind the last byte", name, patience=SHORT)
    world.gantry("remove", name)
    layer_is(f.first(2, f.reset, f.blob(data)))
    world.taken("a connection that was reset twice", name)

    # CVE-2021-20291: one of these left a lock held, and nothing could be pulled any more.
    name, image = world.image(layer("a", 50_000), layer("b", 50_000))
    described = image.document["layers"][0]
    good = image.blobs[described["digest"]]
    route = world.path(name, "blobs", described["digest"])
    for turn in range(3):
        for data in (b"", good[:100], good[:-1], good[:20_000] + b"\0" * 100 + good[20_100:], good[::-1]):
            layer_is(f.answer(200, data))
            done = world.pull(name)
            if done.returncode == 0:
                world.checks.ok(False, f"a damaged layer: taken, {len(data)} bytes of {len(good)}")
    layer_is(f.blob(good))
    world.taken("CVE-2021-20291: after damaged ones, the whole", name)
    twice, _ = world.image(*[layer("same")] * 2)
    world.taken("an image that has a layer twice", twice)


def moods(world):
    name, image = world.image()
    world.route(name, "manifests", "1", f.hang())
    world.refused("a registry that hangs", name, "no progress for 2 s", patience=SHORT)
    world.route(name, "manifests", "1", f.reset)
    world.refused("a registry that resets", name, "tried 5 times")
    world.route(name, "manifests", "1", f.answer(503))
    world.refused("a registry that is broken", name, ["tried 5 times", "503"])
    world.route(name, "manifests", "1", f.answer(429, b"", {"Retry-After": "3600"}))
    world.refused("a registry that wants to be left alone for an hour", name, ["429", "again in 3600 s"])
    world.registry.routes.pop(world.path(name, "manifests", "1"))
    world.refused("an image that is not there", name, ["404", "no route"])
    evil = "\x1b]0;title\x07\x9b2J\r\n"
    refusal = json.dumps({"errors": [{"code": evil, "message": evil}]}).encode()
    world.route(name, "manifests", "1", f.answer(404, refusal))
    said = world.pull(name)
    world.checks.ok(said.returncode == 1 and not set(said.stderr) & set("\x1b\x07\x9b\r") and "\\x1b]0;title" in said.stderr,
                    "a registry that speaks to the terminal: what it says is shown in letters", repr(said.stderr))
    world.route(name, "manifests", "1", f.answer(403))
    world.refused("an image that is not ours", name, "403")

    world.registry.put(name.split("/", 1)[1], image)
    good = world.registry.routes[world.path(name, "manifests", "1")]
    world.route(name, "manifests", "1", f.first(1, f.answer(429, b"", {"Retry-After": "2"}), good))
    start = time.monotonic()
    world.taken("a registry that is busy", name)
    world.checks.ok(time.monotonic() - start >= 2, "a registry that is busy: it was left alone for as long as it asked")
    free = f"127.0.0.1:{free_port()}"
    world.refused("a registry that is not there", f"{free}/a:1", [free, "tried 5 times"])
    with black_hole() as host:
        world.refused("a registry that nothing comes back from", f"{host}/a:1", [host, "tried 5 times", "no connection"], patience=SHORT)


@contextlib.contextmanager
def black_hole():
    """A place whose queue of connections is full: the kernel drops what asks for one more."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield "127.0.0.1:%d" % listener.getsockname()[1]


def certificates(world):
    """Ours goes to the registry that it is for, and not to where that leads, though we have one for there, too."""
    folder = world.folder / "tls"
    folder.mkdir()
    make_certificate(folder)
    shown = []

    def noting(respond):
        def note(handler):
            shown.append(bool(handler.connection.getpeercert()))
            return respond(handler)
        return note

    with f.FaultyRegistry(folder) as place:
        context = place.server.socket.context
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(folder / "ca.crt")
        world.configure(place.host, f'server = "https://{place.host}"\nca = "{folder}/ca.crt"\n'
                                    f'client = [["{folder}/server.crt", "{folder}/server.key"]]\n')
        image = RemoteImage(layer("a"))
        name = place.put("test/certificate:1", image)
        path = world.path(name, "manifests", "1")
        place.routes[path] = noting(place.routes[path])
        world.taken("a registry that is shown a certificate", name)
        world.checks.equal(shown, [True], "it was")
        name, image = world.image()
        moved = image.document["layers"][0]["digest"]
        place.routes["/moved"] = noting(f.blob(image.blobs[moved]))
        world.route(name, "blobs", moved, f.redirect(f"https://{place.host}/moved"))
        world.taken("a layer that lies there", name)
        world.checks.equal(shown, [True, False], "where a redirect leads, the certificate is not shown")


def redirects(world):
    world.registry.routes["/circle"] = f.redirect("/circle")
    name, image = world.image()
    world.route(name, "manifests", "1", f.redirect("/circle"))
    world.refused("redirects in a circle", name, "more than 5 redirects")
    world.route(name, "manifests", "1", f.redirect("file:///etc/passwd"))
    world.refused("a redirect to a file", name, "file:///etc/passwd")
    world.route(name, "manifests", "1", f.answer(307))
    world.refused("a redirect to nowhere", name, "a redirect")

    # A layer that lies elsewhere, as with storage in a cloud. The other place asks for credentials, too, and gets none.
    name, image = world.image(layer("moved"))
    moved = image.document["layers"][0]["digest"]
    for path in (world.path(name, "manifests", "1"), world.path(name, "blobs", image.id)):
        world.registry.routes[path] = f.guarded(world.registry.routes[path])
    world.route(name, "blobs", moved, f.guarded(f.redirect(f"http://{world.other.host}/bucket/moved?signature=1")))
    world.other.routes["/bucket/moved"] = f.answer(401, b"", f.BASIC)
    world.refused("a redirect to a place that wants credentials", name, [world.other.host, "401"], "--creds", "me:secret")
    world.other.routes["/bucket/moved"] = f.redirect(f"http://{world.registry.host}/back")
    world.registry.routes["/back"] = f.guarded(f.blob(image.blobs[moved]))
    world.refused("a redirect and back again", name, "401", "--creds", "me:secret")
    world.other.routes["/bucket/moved"] = f.blob(image.blobs[moved])
    world.taken("a layer that lies elsewhere", name, "--creds", "me:secret")
    shown = [headers for headers in world.other.asked("") if "authorization" in headers]
    world.checks.ok(len(world.other.asked("moved")) >= 3 and not shown, "the other place was asked, and shown no credentials",
                    str(world.other.asked("")))
    world.checks.ok(not any("authorization" in headers for headers in world.registry.asked("/back")),
                    "nor was the registry itself, behind it")


def tokens(world):
    """Bearer tokens: the registry names who gives them."""
    name, image = world.image()
    repository = name.split("/", 1)[1].split(":")[0]
    bearer = {"WWW-Authenticate": f'Bearer realm="http://{world.other.host}/token?a=1",service="the registry"',
              "Content-Length": "0"}

    for path, respond in list(world.registry.routes.items()):
        if path.startswith(f"/v2/{repository}/"):
            world.registry.routes[path] = f.guarded(respond, bearer, "Bearer good-token")

    def token_is(status, document):
        world.other.routes["/token"] = f.answer(status, json.dumps(document).encode())

    world.other.requests.clear()
    token_is(401, {})
    world.refused("a token server that gives nothing without credentials", name, [world.other.host, "without credentials"])
    world.refused("a token server that refuses the credentials", name, [world.other.host, "refuses"], "--creds", "me:secret")
    token_is(200, {"token": "bad-token"})
    world.refused("a token that the registry does not take", name, "refuses")
    token_is(200, {"token": "good-token\r\nX-Evil: 1"})
    world.refused("a token with a header in it", name, "no token that HTTP can send")
    token_is(200, {"token": "x" * MIB})
    world.refused("a token of 1 MiB", name, "bytes that are allowed")
    world.other.routes["/token"] = f.answer(429, b"", {"Retry-After": "3600"})
    world.refused("a token server that wants to be left alone for an hour", name, ["429", "again in 3600 s"])
    world.other.routes["/token"] = f.hang()
    world.refused("a token server that hangs", name, world.other.host, patience=SHORT)
    token_is(200, {"access_token": "good-token"})
    world.taken("an image behind a token", name, "--creds", "me:secret")
    path, headers = world.other.requests[-1]
    world.checks.equal((path, headers.get("authorization")),
                       (f"/token?a=1&service=the%20registry&scope=repository%3A{repository.replace('/', '%2F')}%3Apull",
                        "Basic bWU6c2VjcmV0"), "the token server is asked for what the registry said")


def story(checks):
    with world_of(checks) as world:
        name, _ = world.image()
        world.taken("a good image", name)
        for part in (digests, documents, bodies, moods, certificates, redirects, tokens):
            part(world)


c.main(story)
