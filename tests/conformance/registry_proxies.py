#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Proxies from the environment, as Go's programs read it, in a network namespace where one more address is a registry's."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import faulty_registry as f
from proxy import Proxy
from pulls import world_of
from registry import make_certificate, own_network

ADDRESS = "192.0.2.1"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


class Place:
    """An image of a registry that is known as `host`."""

    def __init__(self, world, registry, scheme="http", host=None, more=""):
        name, self.image = world.image()
        self.repository = name.split("/", 1)[1].split(":")[0]
        host = host or registry.host
        self.name = f"{host}/{self.repository}:1"
        registry.put(f"{self.repository}:1", self.image)
        world.configure(host, f'server = "{scheme}://{host}"\n{more}\n')


def plain(world, proxy, registry):
    everything = {"HTTP_PROXY": f"http://{proxy.host}"}
    name = "registry.example:5000"
    proxy.places[name] = registry.host
    world.taken("by its name", Place(world, registry, host=name).name, environment=everything)
    world.checks.equal(proxy.asked(), [("GET", name)], "by its name: all goes through the proxy")
    world.taken("by a variable in lower case", Place(world, registry, host=name).name, environment={"http_proxy": proxy.host})
    world.checks.equal(proxy.asked(), [("GET", name)], "by a variable in lower case, without a scheme: through the proxy")

    proxy.places[registry.host] = registry.host
    for no_proxy, through in (("", True), (ADDRESS, False), ("192.0.2.0/24", False), ("198.51.100.0/24", True), ("*", False),
                              (f"other.example, {registry.host}", False), (f"{ADDRESS}:1", True)):
        what = f"NO_PROXY={no_proxy!r}"
        world.taken(what, Place(world, registry).name, environment=everything | {"NO_PROXY": no_proxy})
        world.checks.equal(proxy.asked(), [("GET", registry.host)] if through else [], f"{what}: is the proxy asked?")
    world.taken("with ALL_PROXY", Place(world, registry).name, environment={"ALL_PROXY": "http://127.0.0.1:1"})
    world.taken("with a proxy for HTTPS alone", Place(world, registry).name, environment={"HTTPS_PROXY": "http://127.0.0.1:1"})
    name, _ = world.image()
    world.taken("on loopback", name, environment=everything)
    world.checks.equal(proxy.asked(), [], "on loopback: the proxy is not asked")
    world.taken("with a proxy of its own", Place(world, registry, more=f'proxy = "http://{proxy.host}"').name,
                environment={"HTTP_PROXY": "http://127.0.0.1:1"})
    world.checks.equal(proxy.asked(), [("GET", registry.host)], "with a proxy of its own: that, and not the environment's")

    place = Place(world, registry)
    world.refused("behind a proxy that is not there", place.name, registry.host,
                  environment={"HTTP_PROXY": "http://127.0.0.1:1"})
    del proxy.places[registry.host]
    world.refused("behind a proxy that can't reach it", place.name, "502", environment=everything)
    proxy.asked()


def redirected(world, proxy, registry):
    """Each place that a redirect leads to has a way of its own."""
    name = "registry.example:5000"
    place = Place(world, registry, host=name)
    layer = place.image.document["layers"][0]["digest"]
    with f.FaultyRegistry(address=ADDRESS) as bucket:
        bucket.routes["/moved"] = f.blob(place.image.blobs[layer])
        registry.routes[f"/v2/{place.repository}/blobs/{layer}"] = f.redirect(f"http://{bucket.host}/moved")
        world.taken("a redirect to a place without a proxy", place.name,
                    environment={"HTTP_PROXY": f"http://{proxy.host}", "NO_PROXY": ADDRESS})
        world.checks.equal((proxy.asked(), len(bucket.requests)), ([("GET", name)], 1), "which is asked directly")


def tls(world, proxy):
    """Through a tunnel: the proxy's password is for the proxy, and the registry's for the registry."""
    folder = world.folder / "tls"
    folder.mkdir()
    make_certificate(folder, "DNS:registry.example")
    name = "registry.example:5443"
    with f.FaultyRegistry(folder, ADDRESS) as registry:
        proxy.places[name] = registry.host
        place = Place(world, registry, "https", name, f'ca = "{folder}/ca.crt"')
        for path, respond in list(registry.routes.items()):
            registry.routes[path] = f.guarded(respond)
        world.taken("over TLS", place.name, "--creds", "me:secret",
                    environment={"HTTPS_PROXY": f"http://proxy-user:proxy-word@{proxy.host}"})
        told = [headers for _, _, headers in proxy.requests]
        world.checks.equal(proxy.asked(), [("CONNECT", name)], "over TLS: through a tunnel of the proxy")
        world.checks.ok(all("authorization" not in headers and "proxy-authorization" in headers for headers in told),
                        "the proxy is told its own password, and not the registry's", str(told[:1]))
        world.checks.ok(not any("proxy-authorization" in headers for _, headers in registry.requests),
                        "and the registry not the proxy's")
        world.gantry("remove", place.name)
        del proxy.places[name]
        world.refused("a proxy that makes no tunnel", place.name, "502", "--creds", "me:secret",
                      environment={"HTTPS_PROXY": f"http://{proxy.host}"})


def story(checks):
    own_network(ADDRESS)
    for name in VARIABLES:
        for variable in (name, name.lower()):
            os.environ.pop(variable, None)
    with world_of(checks) as world, Proxy() as proxy, f.FaultyRegistry(address=ADDRESS) as registry:
        plain(world, proxy, registry)
        redirected(world, proxy, registry)
        tls(world, proxy)


c.main(story)
