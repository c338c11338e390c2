#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""Credentials that a node has of its own: Docker's config.json and credential helpers, and kubelet's credential provider
programs; in which order they are tried, and that they go to the registry they are for and nowhere else."""
import base64
import contextlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import faulty_registry as f
from node import Node
from pulls import layer, world_of
from registry import Registry, RemoteImage, network_of

PROVIDER = """#!/bin/sh
request=$(cat)
echo "$request $MOOD" >> {asked}
cat {answer}
"""


def basic(words):
    return base64.b64encode(words.encode()).decode()


class Files:
    """What is in a folder of registries."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def config(self, auths):
        entries = {key: {"auth": basic(words)} for key, words in auths.items()}
        (self.folder / "config.json").write_text(json.dumps({"auths": entries}))

    def provider(self, name, matches, answer, mood="well"):
        programs = self.folder / "credential-providers"
        programs.mkdir(exist_ok=True)
        (programs / name).write_text(PROVIDER.format(asked=self.folder / f"{name}.asked", answer=self.folder / f"{name}.json"))
        (programs / name).chmod(0o700)
        self.answer(name, answer)
        (self.folder / "credential-providers.yaml").write_text(f"""
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: {name}
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages: [{", ".join(json.dumps(match) for match in matches)}]
  defaultCacheDuration: 1h
  env: [{{name: MOOD, value: {mood}}}]
""")

    def answer(self, name, answer):
        response = {"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderResponse"} | answer
        (self.folder / f"{name}.json").write_text(json.dumps(response))

    def asked(self, name):
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / f"{name}.asked").read_text().splitlines()
        return []


def by_file(world, files):
    with Registry(world.folder / "guarded", user=("me", "se:cret")) as registry:
        image = RemoteImage(layer("guarded"))
        registry.push("team/app:1", image)
        name = f"{registry.host}/team/app:1"
        world.refused("no file", name, "wants a name and password")
        for what, auths in (("the registry", {registry.host: "me:se:cret"}),
                            ("the registry, as Docker writes it", {f"https://{registry.host}/v1/": "me:se:cret"}),
                            ("a glob", {f"127.*.*.1:{registry.host.split(':')[1]}": "me:se:cret"}),
                            ("the team, and another for the rest",
                             {f"{registry.host}/team": "me:se:cret", registry.host: "me:no"}),
                            ("a wrong one first", {f"{registry.host}/team/app": "me:no", registry.host: "me:se:cret"})):
            files.config(auths)
            world.taken(f"for {what}", name)
            world.gantry("remove", name)
        for what, auths in (("another port", {"127.0.0.1:1": "me:se:cret", "127.0.0.1": "me:se:cret"}),
                            ("another team", {f"{registry.host}/others": "me:se:cret"}), ("nobody", {})):
            files.config(auths)
            world.refused(f"for {what}", name, "wants a name and password")
        files.config({registry.host: "me:no"})
        world.refused("a wrong one", name, "refuses the credentials")
        files.config({registry.host: "me:se:cret"})
        world.refused("a right one, and a wrong one by hand", name, "refuses the credentials", "--creds", "me:no")
        (files.folder / "config.json").write_text('{"auths": {"secret"')
        world.refused("a broken file", name, ["wants a name and password", "config.json", "not JSON"])
        public, _ = world.image()
        world.taken("a broken file does not matter where none is wanted", public)


def nowhere_else(world, files):
    """Everybody has a password in the file, and shows it to nobody but its registry."""
    files.config({world.registry.host: "me:secret", world.other.host: "me:other"})
    name, image = world.image(layer("a"), layer("moved"))
    for path, respond in list(world.registry.routes.items()):
        world.registry.routes[path] = f.guarded(respond, right=f"Basic {basic('me:secret')}")
    moved = image.document["layers"][1]["digest"]
    world.other.routes["/moved"] = f.blob(image.blobs[moved])
    world.route(name, "blobs", moved, f.redirect(f"http://{world.other.host}/moved"))
    world.taken("a layer that lies elsewhere", name)
    shown = world.other.asked("")
    world.checks.ok(shown and not any("authorization" in headers for headers in shown), "the other place is shown nothing",
                    str(shown))

    world.gantry("remove", name)
    world.other.requests.clear()
    world.configure(world.registry.host, f'[host."http://{world.other.host}"]\n')
    world.other.routes.update({path: f.answer(401, b"", f.BASIC) for path in world.registry.routes})
    world.taken("behind a mirror that wants a password", name)
    shown = world.other.asked("/v2/")
    world.checks.ok(shown and not any("authorization" in headers for headers in shown), "the mirror is shown nothing",
                    str(shown))


def by_url(world, files):
    """CVE-2020-15157: a layer whose manifest says where else it is, where somebody waits for a password."""
    files.config({world.registry.host: "me:secret", world.other.host: "me:other"})
    world.other.requests.clear()
    name, image = world.image(layer("a"), layer("elsewhere"))
    image.document["layers"][1]["urls"] = [f"http://{world.other.host}/elsewhere"]
    world.registry.put(name.split("/", 1)[1], image)
    world.other.routes["/elsewhere"] = f.answer(401, b"", f.BASIC)
    repository = world.path(name, "", "").removesuffix("//")
    for path, respond in list(world.registry.routes.items()):
        if path.startswith(repository + "/"):
            world.registry.routes[path] = f.guarded(respond, right=f"Basic {basic('me:secret')}")
    world.taken("a layer with a URL of its own", name)
    world.gantry("remove", name)
    world.route(name, "blobs", image.document["layers"][1]["digest"], f.answer(404))
    world.refused("one that the registry does not have", name, "404")
    world.checks.equal(world.other.requests, [], "nobody is asked for it there")


HELPER = """#!/bin/sh
read server
echo "$* $server" >> {asked}
{words}
"""


def by_helper(world, files):
    """Docker's own kind of program, which keeps what is not in the file."""
    programs, asked = world.folder / "programs", world.folder / "helper.asked"
    programs.mkdir()
    path = {"PATH": f"{programs}:/usr/bin:/bin"}

    def helper_is(words):
        (programs / "docker-credential-ours").write_text(HELPER.format(asked=asked, words=words))
        (programs / "docker-credential-ours").chmod(0o700)

    def config_is(document):
        (files.folder / "config.json").write_text(json.dumps(document))

    with Registry(world.folder / "kept", user=("me", "se:cret")) as registry:
        registry.push("team/app:1", RemoteImage(layer("kept")))
        name = f"{registry.host}/team/app:1"
        answer = json.dumps({"ServerURL": registry.host, "Username": "me", "Secret": "se:cret"})
        for what, document in (("of the registry", {"credHelpers": {registry.host: "ours"}}),
                               ("of all registries", {"credsStore": "ours", "auths": {registry.host: {}}})):
            helper_is(f"echo '{answer}'")
            config_is(document)
            world.taken(f"a helper {what}", name, environment=path)
            world.checks.equal(asked.read_text(), f"get {registry.host}\n", f"a helper {what}: asked once, for the registry")
            asked.unlink()
            world.gantry("remove", name)
        config_is({"credHelpers": {"127.0.0.1:1": "ours"}})
        world.refused("a helper of another registry", name, "wants a name and password", environment=path)
        world.checks.ok(not asked.exists(), "a helper of another registry: not asked")
        config_is({"credsStore": "ours", "auths": {registry.host: {"auth": basic("me:se:cret")}}})
        for what, words in (("has nothing", "echo credentials not found in native keychain; exit 1"),
                            ("fails", "echo locked; exit 1")):
            helper_is(words)
            world.taken(f"a helper that {what}, and the file has it", name, environment=path)
            world.gantry("remove", name)
        config_is({"credsStore": "ours"})
        for what, words, said in (("fails", "echo locked; exit 1", "locked"), ("is killed", "kill -9 $$", "signal 9"),
                                  ("says too much", "exec cat /dev/zero", "131072 bytes"),
                                  ("says another's", "echo '{\"Username\":\"me\",\"Secret\":\"no\"}'",
                                   "refuses the credentials")):
            helper_is(words)
            world.refused(f"a helper that {what}", name, said, environment=path)
        (programs / "docker-credential-ours").unlink()
        world.refused("a helper that is not there", name, ["ours", "no such program"], environment=path)
        config_is({"credsStore": "../ours"})
        world.refused("a helper that is a path", name, ["credsStore", "../ours"], environment=path)

    # An identity token goes to the token server that the registry names.
    name, _ = world.image(layer("token"))
    repository = name.split("/", 1)[1].split(":")[0]
    bearer = {"WWW-Authenticate": f'Bearer realm="http://{world.other.host}/token",service="s"', "Content-Length": "0"}
    for route, respond in list(world.registry.routes.items()):
        if route.startswith(f"/v2/{repository}/"):
            world.registry.routes[route] = f.guarded(respond, bearer, "Bearer good-token")
    forms = []

    def give(handler):
        forms.append(getattr(handler, "form", ""))
        f.answer(200, b'{"access_token": "good-token"}')(handler)

    world.other.routes["/token"] = give
    helper_is("echo '{\"Username\":\"<token>\",\"Secret\":\"identity\"}'")
    config_is({"credsStore": "ours"})
    world.taken("a helper that keeps an identity token", name, environment=path)
    world.checks.contains(forms[0], ["grant_type=refresh_token", "refresh_token=identity"], "the token server is shown it")


def by_provider(checks):
    with Node(checks) as node, network_of(node.supervisor()), f.FaultyRegistry() as registry:
        files = Files(node.state / "registries")
        good = {"auth": {"127.0.0.1:*": {"username": "x", "password": "x"},
                         registry.host: {"username": "me", "password": "secret"}}, "cacheKeyType": "Registry"}
        right = f"Basic {basic('me:secret')}"

        def served(name):
            name = registry.put(name, RemoteImage(layer(name)))
            for path, respond in list(registry.routes.items()):
                if name.split("/", 1)[1].split(":")[0] in path:
                    registry.routes[path] = f.guarded(respond, right=right)
            return name

        def pull(name, *options):
            return node.crictl("pull", *options, name, check=False)

        files.provider("ours", [registry.host + "/team"], good, mood="fine")
        node.kill_gantryd()
        node.wait_for_gantryd()
        for number in (1, 2):
            done = pull(served(f"team/app-{number}:1"))
            checks.ok(done.returncode == 0, f"image {number} with a provider's password: pulled", done.stderr)
        checks.equal(files.asked("ours"), ['{"apiVersion":"credentialprovider.kubelet.k8s.io/v1",'
                                           f'"kind":"CredentialProviderRequest","image":"{registry.host}/team/app-1"}} fine'],
                     "the provider was asked once, for the registry, with its variable")
        done = pull(served("others/app:1"))
        checks.ok(done.returncode != 0 and "wants a name and password" in done.stderr,
                  "an image that the provider is not for: refused", done.stderr)
        done = pull(served("team/app-3:1"), "--creds", "me:wrong")
        checks.ok(done.returncode != 0, "with wrong credentials in the request: refused, whatever the provider says")
        files.config({registry.host: "me:secret"})
        checks.ok(pull(served("others/app:1")).returncode == 0, "an image that config.json is for: pulled")

        files.provider("ours", [registry.host], {"auth": {}}, mood="bad")
        (files.folder / "config.json").unlink()
        gantryd = node.gantryd_pid()
        checks.ok("stay as they were" not in node.reload(), "other providers are read after SIGHUP")
        (files.folder / "credential-providers.yaml").write_text("providers: [\n")
        checks.contains(node.reload(), ["error", "credential providers stay as they were", "credential-providers.yaml", "line"],
                        "a file that is wrong: SIGHUP has it logged")
        checks.equal(node.gantryd_pid(), gantryd, "and gantryd is the same")
        done = pull(served("team/app-4:1"))
        checks.contains(done.stderr, ["wants a name and password", "credential provider", "ours", "cacheKeyType"],
                        "an answer that is wrong: the refusal names the provider and why")
        files.config({registry.host: "me:secret"})
        done = pull(served("team/app-5:1"))
        checks.ok(done.returncode == 0, "and config.json is still read", done.stderr)
        log = node.log_file.read_text(errors="replace")
        checks.ok("me:secret" not in log and basic("me:secret") not in log, "no password is in gantryd's log")

        files.provider("ours", [registry.host], good)
        (files.folder / "credential-providers/ours").unlink()
        node.kill_gantryd()
        c.wait_until("gantryd says what is not there", lambda: "credential-providers/ours" in
                     node.log_file.read_text(errors="replace")[len(log):])
        files.provider("ours", [registry.host], good)
        node.wait_for_gantryd()


def story(checks):
    with world_of(checks) as world:
        files = Files(world.registries)
        public, _ = world.image()
        world.taken("a public image", public)
        by_file(world, files)
        by_url(world, files)
        nowhere_else(world, files)
        by_helper(world, files)
    by_provider(checks)


c.main(story)
