#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Mirrors, as hosts.toml has them: who is asked, in which order and how, what happens when one does not have or give what it
should, and that nothing secret goes to a host that it is not for."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import faulty_registry as f
from control import free_port
from oci import digest
from pulls import MIB, layer, world_of
from registry import RemoteImage, make_certificate

class Mirrored:
    """An image that a mirror (world.other) and the registry have, under a name that leads to the mirror first."""

    def __init__(self, world, *layers, more="", at="", packing="gzip"):
        self.world, self.mirror, self.origin = world, world.other, world.registry
        self.name, self.image = world.image(*layers, packing=packing)
        self.repository = self.name.split("/", 1)[1].split(":")[0]
        self.mirror.routes.clear()
        self.mirror.put(f"{self.repository}:1", self.image)
        world.configure(world.registry.host, f'[host."http://{self.mirror.host}{at}"]\n{more}\n')
        for registry in (self.mirror, self.origin):
            registry.requests.clear()

    def route(self, registry, part, respond):
        """Replaces what answers the manifest by tag, the configuration or a layer's blob (by its number)."""
        layers = [layer["digest"] for layer in self.image.document["layers"]]
        path = {"manifest": "manifests/1", "config": f"blobs/{self.image.id}"}.get(part) or f"blobs/{layers[part]}"
        registry.routes[f"/v2/{self.repository}/{path}"] = respond

    def asked(self, registry):
        """What a registry was asked for: "manifests", "blobs"."""
        return [path.split("/")[-2] for path, _ in registry.requests]


def order(world):
    shown = Mirrored(world)
    world.taken("an image that the mirror has", shown.name)
    world.checks.equal((shown.asked(shown.mirror), shown.asked(shown.origin)), (["manifests", "blobs", "blobs", "blobs"], []),
                       "all of it comes from the mirror")
    world.checks.ok(all(path.endswith(f"?ns={world.registry.host.replace(':', '%3A')}") for path, _ in shown.mirror.requests),
                    "which is told whose image that is", str(shown.mirror.requests[:1]))

    shown = Mirrored(world, more='capabilities = ["pull"]')
    world.taken("a mirror that may not resolve", shown.name)
    world.checks.equal((shown.asked(shown.mirror), shown.asked(shown.origin)), (["blobs", "blobs", "blobs"], ["manifests"]),
                       "what the tag means is asked of the registry")

    shown = Mirrored(world)
    with f.FaultyRegistry() as third:
        third.routes = shown.mirror.routes
        world.configure(world.registry.host, f'server = "http://{third.host}"\n[host."http://{shown.mirror.host}"]\n')
        shown.mirror.routes = {}
        world.taken("a server in place of the registry", shown.name)
        world.checks.equal((shown.asked(shown.mirror), shown.asked(third), shown.asked(shown.origin)),
                           (["manifests"] + ["blobs"] * 3, ["manifests"] + ["blobs"] * 3, []), "the registry is not asked")
        shown.mirror.routes = third.routes

    shown = Mirrored(world, at="/behind/a/prefix")
    world.taken("a mirror at a path", shown.name)  # has nothing there: the registry
    world.checks.ok(shown.mirror.requests[0][0].startswith("/behind/a/prefix/v2/test/"), "the path is before the API's",
                    shown.mirror.requests[0][0])
    shown = Mirrored(world, at="/behind/cache", more="override_path = true")
    world.taken("a mirror at a path of its own", shown.name)
    world.checks.ok(shown.mirror.requests[0][0].startswith("/behind/cache/test/"), "the path is all that is before the repository",
                    shown.mirror.requests[0][0])

    shown = Mirrored(world)
    world.configure("_default", (world.registries / world.registry.host / "hosts.toml").read_text())
    (world.registries / world.registry.host / "hosts.toml").unlink()
    (world.registries / world.registry.host).rmdir()
    world.taken("a mirror for all", shown.name)
    world.checks.equal(shown.asked(shown.origin), [], "all of it comes from the mirror for all")
    (world.registries / "_default/hosts.toml").unlink()


def failures(world):
    for what, answer, asks in (("that has it not", f.answer(404), 1), ("that is broken", f.answer(503), 2),
                               ("that resets", f.reset, 2), ("that wants a password", f.answer(401, b"", f.BASIC), 1),
                               ("that sends a page", f.answer(200, b"<html>"), 1)):
        shown = Mirrored(world)
        # As a manifest by digest, so that a wrong answer can be told.
        by_digest = f"{shown.name.rsplit(':', 1)[0]}@{digest(shown.image.manifest)}"
        shown.mirror.routes[f"/v2/{shown.repository}/manifests/{digest(shown.image.manifest)}"] = answer
        world.taken(f"a mirror {what}", by_digest)
        world.checks.equal(shown.asked(shown.mirror).count("manifests"), asks, f"a mirror {what}: is asked {asks} times")

    shown = Mirrored(world)
    gone = f"127.0.0.1:{free_port()}"
    world.configure(world.registry.host, f'[host."http://{gone}"]\n')
    world.taken("a mirror that is not there", shown.name)
    shown.origin.routes = {}
    world.refused("an image that nobody has", shown.name, [f"registry {world.registry.host}", "404", f"mirror {gone}"])

    shown = Mirrored(world, layer("big", MIB))
    data = shown.image.blobs[shown.image.document["layers"][0]["digest"]]
    shown.route(shown.mirror, 0, f.truncated(data, len(data) // 2))
    world.taken("a layer that always breaks off at the mirror", shown.name)
    ranges = [headers.get("range") for headers in shown.origin.asked("/blobs/")]
    world.checks.equal(ranges, [f"bytes={len(data) // 2}-"], "goes on at the registry where it was")


def lies(world):
    """What a mirror gives is not what was asked for: the next host is asked."""
    shown = Mirrored(world)
    shown.route(shown.mirror, "manifest", f.answer(200, b"<html>", {"Content-Type": "text/html"}))
    world.taken("a mirror that sends a page for a tag", shown.name)

    def spoilt(what, number, respond, asked):
        """The layer is spoilt at the mirror; `asked` are the ranges that the registry is asked for, if they matter."""
        shown = Mirrored(world, layer("plain", MIB), layer("another"), packing="plain")
        described = shown.image.document["layers"][number]
        shown.route(shown.mirror, number, respond(shown.image.blobs[described["digest"]]))
        world.taken(what, shown.name)
        at_mirror, at_origin = (registry.asked(described["digest"]) for registry in (shown.mirror, shown.origin))
        ranges = [headers.get("range") for headers in at_origin]
        world.checks.ok(ranges == asked or (asked is None and len(ranges) == 1), f"{what}: it comes from the registry",
                        str(ranges))
        world.checks.ok(len(at_mirror) <= 2, f"{what}: the mirror is not asked again", str(len(at_mirror)))
        return shown

    spoilt("a layer that is no archive", 0, lambda data: f.answer(200, b"x" * len(data)), [None])
    spoilt("another layer of the same size", 1, lambda data: f.answer(200, layer("others!")[:len(data)]), [None])
    spoilt("a layer with one wrong byte at its end", 0, lambda data: f.answer(200, data[:-1] + b"x"), [None])
    size = len(layer("plain", MIB))
    spoilt("half a layer that is another's", 0, lambda data: f.truncated(b"x" * size, size // 2),
           [f"bytes={size // 2}-", None])
    # What came before it was too much is right: the rest comes, if any is missing.
    spoilt("a layer that is longer", 0, lambda data: f.answer(200, data + b"x"), None)
    shown = Mirrored(world)
    shown.route(shown.mirror, "config", f.answer(200, b"x" * shown.image.config["size"]))
    world.taken("another configuration", shown.name)

    shown = Mirrored(world, packing="plain")
    described = shown.image.document["layers"][0]
    shown.route(shown.mirror, 0, f.answer(200, b"x" * described["size"]))
    shown.route(shown.origin, 0, f.answer(404))
    world.refused("a layer that nobody has as it should be", shown.name,
                  [described["digest"], f"mirror {shown.mirror.host}: what came has the digest", "404"])
    shown.route(shown.origin, 0, f.answer(200, b"y" * described["size"]))
    world.refused("a layer about which all lie", shown.name,
                  [f"registry {shown.origin.host}: what came has", f"mirror {shown.mirror.host}: what came has"])

    shown = Mirrored(world, b"this is no archive" * 100, packing="plain")
    world.refused("a layer that is broken as it should be", shown.name, "not a whole tar archive")
    world.checks.equal(shown.asked(shown.origin), [], "which is not the mirror's fault: the registry is not asked")


def secrets(world):
    """The registry wants a password, and so do a mirror and a place that the mirror leads to."""
    shown = Mirrored(world, more='[host."http://%s".header]\nx-key = ["for the mirror", "again"]' % world.other.host)
    for part in ("manifest", "config", 0, 1):
        shown.route(shown.mirror, part, f.guarded(f.answer(500)))
        shown.origin.routes.update({path: f.guarded(respond) for path, respond in shown.origin.routes.items()
                                    if shown.repository in path})
    world.taken("with a mirror that wants a password, too", shown.name, "--creds", "me:secret")
    world.checks.ok(shown.mirror.requests and not any("authorization" in headers for _, headers in shown.mirror.requests),
                    "the mirror is not shown the registry's")
    world.checks.ok(all(headers.get("x-key") for _, headers in shown.mirror.requests), "its own header goes to the mirror")
    world.checks.ok(not any("x-key" in headers for _, headers in shown.origin.requests), "and not to the registry")

    shown = Mirrored(world, more='[host."http://%s".header]\nx-key = "for the mirror"' % world.other.host)
    with f.FaultyRegistry() as bucket:
        described = shown.image.document["layers"][0]["digest"]
        bucket.routes["/moved"] = f.blob(shown.image.blobs[described])
        shown.route(shown.mirror, 0, f.redirect(f"http://{bucket.host}/moved"))
        world.taken("a mirror that leads elsewhere", shown.name, "--creds", "me:secret")
        world.checks.ok(len(bucket.requests) == 1 and not {"x-key", "authorization"} & set(bucket.requests[0][1]),
                        "neither header nor credentials go there", str(bucket.requests))

    # A mirror that names the token server may not have the registry's password sent to it.
    shown = Mirrored(world)
    bearer = {"WWW-Authenticate": f'Bearer realm="http://{world.other.host}/token",service="x"', "Content-Length": "0"}
    shown.route(shown.mirror, "manifest", f.answer(401, b"", bearer))
    shown.mirror.routes["/token"] = f.answer(200, json.dumps({"token": "for-the-mirror"}).encode())
    world.taken("a mirror that wants a token", shown.name, "--creds", "me:secret")
    asked = shown.mirror.asked("/token")
    world.checks.ok(asked and not any("authorization" in headers for headers in asked), "its token server gets no password")


def tls(world):
    folder = world.folder / "tls"
    folder.mkdir()
    make_certificate(folder)
    with f.FaultyRegistry(folder) as mirror:
        for what, more, good in (("without its authority", "", False), ("with its authority", f'ca = "{folder}/ca.crt"', True),
                                 ("unchecked", "skip_verify = true", True)):
            shown = Mirrored(world)
            mirror.routes = shown.mirror.routes
            mirror.requests.clear()
            world.configure(world.registry.host, f'[host."https://{mirror.host}"]\n{more}\n')
            world.taken(f"a mirror with TLS, {what}", shown.name)
            world.checks.equal(bool(mirror.requests), good, f"a mirror with TLS, {what}: is it asked?")
        image = RemoteImage(layer("plain"))
        name = mirror.put("test/plain:1", image)
        world.refused("a registry on loopback that does not speak plain HTTP", name, mirror.host)
        world.configure(mirror.host, f'server = "https://{mirror.host}"\nca = "{folder}/ca.crt"\n')
        world.taken("a registry on loopback, by HTTPS", name)


def wrong(world):
    name, _ = world.image()
    for text, parts in (("server = 1", ["hosts.toml", "server"]), ("x", ["hosts.toml", "line 1"]),
                        ('[host."https://a.example"]\nca = "none.crt"', ["none.crt"]),
                        ('capabilities = ["push"]', ["configured", "resolve"])):
        world.configure(world.registry.host, text)
        world.refused(f"hosts.toml: {text!r}", name, parts)


def story(checks):
    with world_of(checks) as world:
        for part in (order, failures, lies, secrets, tls, wrong):
            part(world)


c.main(story)
