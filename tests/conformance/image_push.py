#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""`gantry image push` to Debian's docker-registry: what came from where goes there byte by byte, nothing is sent twice, what
another repository has is mounted, and a registry that refuses or fails is told of."""
import http.server
import json
import os
import pathlib
import re
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import BIN, run
from oci import Image, digest, entry, tar
from registry import Registry, RemoteImage


def layer(text):
    return tar([entry("text", content=text.encode()), entry("random", content=os.urandom(1 << 16))])


class World:
    def __init__(self, checks, folder):
        self.checks, self.folder, self.registries = checks, folder, folder / "registries"

    def image(self, *arguments, check=True):
        return run([BIN / "gantry", "image", "--data-dir", self.folder / "store", *arguments], check)

    def ask(self, verb, *arguments, check=True):
        return self.image(verb, "--registries", self.registries, *arguments, check=check)

    def refused(self, what, words, *arguments):
        done = self.ask("push", *arguments, check=False)
        self.checks.ok(done.returncode != 0, f"{what}: refused", done.stdout)
        self.checks.contains(done.stderr, words, f"{what}: it says why")


def manifest_of(registry, name):
    repository, tag = name.split(":", 1)
    answer = registry.request("GET", f"/v2/{repository}/manifests/{tag}", headers={
        "Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"})
    return answer.headers["Docker-Content-Digest"]


def sent(registry):
    """How many blobs the registry was sent and has mounted."""
    log = (registry.folder / "log").read_text()
    return len(re.findall(r'"PUT \S+/blobs/uploads/\S+ HTTP\S+ 201', log)), \
        len(re.findall(r'"POST \S+mount=\S+ HTTP\S+ 201', log))


def there_and_back(world, registry):
    """An image that was made here, and images of both kinds that came from a registry."""
    checks = world.checks
    archive = Image(layer("made"), layer("here"), compress=True).archive(world.folder / "made.tar", "made:1")
    world.image("load", archive)
    name = f"{registry.host}/test/made:1"
    done = world.ask("push", "made:1", name)
    shown = json.loads(world.image("inspect", "made:1").stdout)[0]
    made = shown["RepoDigests"][0].split("@")[1]
    checks.contains(done.stdout, [name, made], "push says what is there now")
    checks.contains(done.stderr, ["layer 1 of 2", "layer 2 of 2", "pushed"], "and each layer as it went")
    checks.equal(manifest_of(registry, "test/made:1"), made, "the registry's digest is ours")
    run(["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{world.folder}/copy"])
    manifest = json.loads((world.folder / "copy/manifest.json").read_text())
    checks.equal(manifest["config"]["digest"], shown["Id"], "skopeo gets it from there")

    before = sent(registry)
    done = world.ask("push", "made:1", name)
    checks.contains(done.stderr, "is there already", "pushed once more: nothing is sent")
    checks.equal(sent(registry), before, "the registry says so, too")

    for kind, packing in (("oci", "zstd"), ("oci", "plain"), ("docker", "gzip")):
        image = RemoteImage(layer(f"{kind} {packing}"), kind=kind, packing=packing, annotations={"org.example.a": "b"})
        registry.push(f"from/{kind}-{packing}:1", image)
        world.ask("pull", f"{registry.host}/from/{kind}-{packing}:1")
        before = sent(registry)
        done = world.ask("push", f"{registry.host}/from/{kind}-{packing}:1", f"{registry.host}/to/{kind}-{packing}:2")
        checks.equal(manifest_of(registry, f"to/{kind}-{packing}:2"), digest(image.manifest),
                     f"{kind}, {packing}: from one repository to another, the manifest as it came")
        checks.contains(done.stderr, "taken from another repository", f"{kind}, {packing}: its layers are mounted")
        went = tuple(now - then for now, then in zip(sent(registry), before))
        checks.equal(went, (0, 2), f"{kind}, {packing}: none is sent")


def repacked(world, registry):
    """Of two images with one layer in two packings the second to come finds it unpacked: it is sent as the first had it."""
    shared, ids = layer("shared"), []
    for number, packing in enumerate(("gzip", "zstd")):
        image = RemoteImage(shared, layer(f"own {number}"), packing=packing)
        registry.push(f"packed/{packing}:1", image)
        world.ask("pull", f"{registry.host}/packed/{packing}:1")
        ids.append((image, digest(image.manifest)))
    (first, _), (second, second_digest) = ids
    world.image("remove", f"{registry.host}/packed/gzip:1")
    name = f"{registry.host}/packed/again:1"
    world.ask("push", f"{registry.host}/packed/zstd:1", name)
    there = registry.request("GET", "/v2/packed/again/manifests/1", headers={"Accept": second.types["manifest"]})
    said = there.headers["Docker-Content-Digest"]
    world.checks.ok(said != second_digest, "a layer that is kept in another packing: another manifest")
    run(["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{world.folder}/repacked"])
    manifest = json.loads((world.folder / "repacked/manifest.json").read_text())
    world.checks.equal((manifest["config"]["digest"], [part["mediaType"].split("+")[1] for part in manifest["layers"]],
                        manifest["layers"][0]["digest"]), (second.id, ["gzip", "zstd"], first.document["layers"][0]["digest"]),
                       "with the same configuration, and so the same id")


def names(world, registry):
    host = registry.host
    world.refused("an image that is not here", 'no image "no-such:1"', "no-such:1", f"{host}/x:1")
    world.refused("a digest that it has not", ["the image's manifest is"], "made:1", f"{host}/x@sha256:{'0' * 64}")
    made = json.loads(world.image("inspect", "made:1").stdout)[0]["RepoDigests"][0].split("@")[1]
    world.ask("push", "made:1", f"{host}/by/digest@{made}")
    world.checks.equal(manifest_of(registry, f"by/digest:{made}"), made, "by its digest, without a tag")
    folder = world.registries / host
    folder.mkdir(parents=True)
    (folder / "hosts.toml").write_text(f'[host."http://{host}"]\ncapabilities = ["pull", "resolve"]\n')
    world.refused("a registry that is not to be pushed to", ["no capability push"], "made:1", f"{host}/x:1")
    (folder / "hosts.toml").unlink()


def guarded(world):
    with Registry(world.folder / "guarded", user=("me", "se:cret"), tls=True) as registry:
        name = f"{registry.host}/test/guarded:1"
        folder = world.registries / registry.host
        folder.mkdir(parents=True)
        (folder / "hosts.toml").write_text(f'[host."https://{registry.host}"]\nca = "{registry.authority}"\n')
        world.refused("without a password", "wants a name and password", "made:1", name)
        world.refused("with a wrong one", "refuses the credentials", "--creds", "me:wrong", "made:1", name)
        world.ask("push", "--creds", "me:se:cret", "made:1", name)
        made = json.loads(world.image("inspect", "made:1").stdout)[0]["RepoDigests"][0].split("@")[1]
        world.checks.equal(manifest_of(registry, "test/guarded:1"), made, "over TLS, with the right one")


class Broken(http.server.BaseHTTPRequestHandler):
    """Answers what its server's `answers` say for a method, in their order, the last for good."""
    protocol_version = "HTTP/1.1"

    def reply(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization"), len(body)))
        answers = self.server.answers[self.command]
        status, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_POST = do_PUT = reply

    def log_message(self, *_):
        pass


def broken(world):
    """Registries that fail. Another server stands for where they want a blob sent."""
    def serve():
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken)
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    registry, other = serve(), serve()
    host, elsewhere = (f"127.0.0.1:{server.server_address[1]}" for server in (registry, other))
    good = {"HEAD": [(404, {})], "POST": [(202, {"Location": "/v2/x/blobs/uploads/1?state=a"})], "PUT": [(201, {})]}

    def ask(**answers):
        registry.answers = {method: list(of) for method, of in (good | answers).items()}
        registry.asked.clear()

    ask(POST=[(503, {}), (202, {"Location": "/v2/x/blobs/uploads/1?state=a"})])
    world.ask("push", "made:1", f"{host}/x:1")
    world.checks.ok(True, "a registry that is busy once is asked again")
    ask(PUT=[(500, {}), (201, {})])
    world.ask("push", "made:1", f"{host}/x:1")
    puts = [size for method, path, _, size in registry.asked if method == "PUT" and "blobs" in path]
    world.checks.ok(len(puts) == 4 and puts[0] == puts[1], "a layer that was refused is sent again, whole", puts)
    for what, answers, words in (
            ("one that is always busy", {"POST": [(503, {})]}, ["503", "tried 4 times"]),
            ("one that wants to be left alone for an hour", {"POST": [(429, {"Retry-After": "3600"})]},
             ["429", "again in 3600 s"]),
            ("one that does not take it", {"POST": [(405, {})]}, ["405", "expected 202"]),
            ("one that has no place for it", {"POST": [(202, {})]}, ["where it wants it sent"]),
            ("one that takes no layers", {"PUT": [(400, {})]}, ["400", "layer", "expected 201"]),
            ("one that has got something else", {"HEAD": [(200, {})], "PUT": [(201, {"Docker-Content-Digest": digest(b"x")})]},
             ["manifest", "it has got", digest(b"x")])):
        ask(**answers)
        world.refused(what, [host, *words], "made:1", f"{host}/x:1")

    other.answers = {"PUT": [(201, {})]}
    ask(HEAD=[(401, {"WWW-Authenticate": 'Basic realm="x"'}), (404, {})],
        POST=[(202, {"Location": f"http://{elsewhere}/upload?id=1"})])
    world.ask("push", "--creds", "me:secret", "made:1", f"{host}/x:1")
    world.checks.equal({authorization for *_, authorization, _ in other.asked}, {None},
                       "where blobs are sent elsewhere, that other host is not told the password")
    world.checks.ok(any(authorization for *_, authorization, _ in registry.asked), "which the registry was", registry.asked)
    for server in (registry, other):
        server.shutdown()
        server.server_close()


def story(checks):
    with tempfile.TemporaryDirectory(prefix="gantry-push-", dir="/var/tmp") as folder:
        world = World(checks, pathlib.Path(folder))
        os.environ["HOME"] = folder
        with Registry(world.folder / "registry") as registry:
            for part in (there_and_back, repacked, names):
                part(world, registry)
        guarded(world)
        broken(world)


c.main(story)
