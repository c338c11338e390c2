#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""PullImage as a program sends it: with each kind of credentials that the CRI has, cancelled while its connection stays, out of
time, and so slow that gantryd's log says that it goes on."""
import base64
import contextlib
import os
import pathlib
import re
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import grpc

import checks as c
import faulty_registry as f
from cri_grpc import Cri, Messages
from node import Node
from pulls import layer
from registry import RemoteImage, network_of

SECRET = base64.b64encode(b"me:secret").decode()


class World:
    def __init__(self, checks, node, v1, registry):
        self.checks, self.node, self.v1, self.registry, self.images = checks, node, v1, registry, 0
        self.cri = Cri(node, v1)

    def image(self, challenge=None, right=None):
        """One that wants to be shown `right`, if that is given."""
        self.images += 1
        repository, image = f"test/{self.images}", RemoteImage(layer("a"))
        name = self.registry.put(f"{repository}:1", image)
        for path, respond in list(self.registry.routes.items()):
            if right and path.startswith(f"/v2/{repository}/"):
                self.registry.routes[path] = f.guarded(respond, challenge, right)
        return name, image

    def request(self, name, **auth):
        return self.v1.PullImageRequest(image=self.v1.ImageSpec(image=name), auth=self.v1.AuthConfig(**auth))

    def pull(self, name, **auth):
        """None, or what was wrong."""
        try:
            self.cri.call("PullImage", self.request(name, **auth))
        except grpc.RpcError as error:
            return error.details()
        return None


def credentials(world):
    checks, host = world.checks, world.registry.host
    forms = []

    def give(handler):
        forms.append(getattr(handler, "form", "") + " " + handler.headers.get("Authorization", ""))
        f.answer(200, b'{"token": "good-token"}')(handler)

    world.registry.routes["/token"] = give
    bearer = {"WWW-Authenticate": f'Bearer realm="http://{host}/token",service="s"', "Content-Length": "0"}
    basic = {"right": f"Basic {SECRET}"}
    password = {"username": "me", "password": "secret"}
    for what, wanted, auth in (
            ("name and password", basic, password),
            ("both in one word", basic, {"auth": SECRET}),
            ("with the registry that they are for", basic, password | {"server_address": f"https://{host}/v1/"}),
            ("a token server's", {"right": "Bearer good-token", "challenge": bearer}, password),
            ("an identity token", {"right": "Bearer good-token", "challenge": bearer}, {"identity_token": "identity"}),
            ("a registry token", {"right": "Bearer ours", "challenge": bearer}, {"registry_token": "ours"})):
        checks.equal(world.pull(world.image(**wanted)[0], **auth), None, f"{what}: pulled")
    checks.equal([form.split(" ", 1)[1] for form in forms][:1], [f"Basic {SECRET}"], "the token server was shown the password")
    checks.contains(forms[1], ["grant_type=refresh_token", "refresh_token=identity"], "and then the identity token")
    checks.equal(len(forms), 2, "and is not asked by who has the registry's token")
    for what, auth, words in (
            ("none", {}, "wants a name and password"),
            ("another registry's", password | {"server_address": "registry.example"}, "wants a name and password"),
            ("wrong ones", {"username": "me", "password": "wrong"}, "refuses the credentials"),
            ("no base64", {"auth": "me:secret"}, "base64"),
            ("a token with a line's end in it", {"registry_token": "a\r\nX-Evil: 1"}, "HTTP can't send")):
        name, _ = world.image(**basic)
        said = world.pull(name, **auth)
        checks.contains(said or "", [words], f"credentials: {what}: refused")
        checks.ok("secret" not in (said or ""), f"credentials: {what}: the refusal names no password", said)
    log = world.node.log_file.read_text(errors="replace")
    checks.ok(not [word for word in ("secret", SECRET, "identity ", "good-token") if word in log], "nor does gantryd's log")


def given_up(world):
    for what in ("cancelled", "out of time"):
        name, image = world.image()
        asked, left = threading.Event(), threading.Event()

        def hang(handler, asked=asked, left=left):
            asked.set()
            f.hang()(handler)
            left.set()

        path = f"/v2/{name.split('/', 1)[1].split(':')[0]}/blobs/{image.document['layers'][0]['digest']}"
        good, world.registry.routes[path] = world.registry.routes[path], hang
        for seconds in (None,) if what == "cancelled" else (3, 30):  # a busy machine may not come as far as that in less
            call = world.cri.start("PullImage", world.request(name), seconds)
            asked.wait(60 if seconds is None else seconds)
            if seconds is None:
                call.cancel()
            with contextlib.suppress(grpc.RpcError, grpc.FutureCancelledError):
                call.result(60)
            if asked.is_set():
                break
        world.checks.ok(asked.is_set(), f"{what}: a pull is under way")
        world.checks.ok(left.wait(60), f"{what}: it ends")
        world.checks.ok(c.wait_until("nothing is left", lambda: not os.listdir(world.node.lib / "store/i"), 60),
                        f"{what}: nothing is left of it")
        world.registry.routes[path] = good
        world.checks.equal(world.pull(name), None, f"{what}: on the same connection it is pulled")


def slow(world):
    """The log is to say every 15 s how much has come."""
    name, image = world.image()
    described = image.blobs[image.document["layers"][0]["digest"]]
    over = threading.Event()

    def trickle(handler):
        f.answer(200, b"", {"Content-Length": str(len(described))})(handler)
        for i in range(len(described) - 1):
            handler.wfile.write(described[i:i + 1])
            if over.wait(0.2):
                handler.wfile.write(described[i + 1:])
                return

    path = f"/v2/{name.split('/', 1)[1].split(':')[0]}/blobs/{image.document['layers'][0]['digest']}"
    world.registry.routes[path] = trickle
    call = world.cri.start("PullImage", world.request(name))
    line = re.compile(rf'info an image is coming image="{re.escape(name)}" bytes="[1-9]\d*" of="{len(described)}"')
    found = c.wait_until("the log says that it goes on",
                         lambda: line.search(world.node.log_file.read_text(errors="replace")), 60)
    over.set()
    world.checks.ok(found and call.result(60), "the log says how much of a slow image has come")


def story(checks):
    with Messages() as v1, Node(checks) as node, network_of(node.supervisor()), f.FaultyRegistry() as registry:
        world = World(checks, node, v1, registry)
        for part in (credentials, given_up, slow):
            part(world)
        world.cri.close()


c.main(story)
