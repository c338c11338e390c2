#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Who may be a registry that is not on loopback: plain HTTP for those alone that were declared so, the system's authorities
beside a registry's own, and our certificate for a registry that wants one."""
import ctypes
import os
import pathlib
import shutil
import ssl
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import faulty_registry as f
from pulls import layer, world_of
from registry import RemoteImage, make_certificate, own_network

ADDRESS = "192.0.2.1"
CLONE_NEWNS = 0x00020000


def own_mounts():
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise c.Failure(f"unshare: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def plain(world):
    with f.FaultyRegistry(address=ADDRESS) as registry:
        name = registry.put("test/plain:1", RemoteImage(layer("a")))
        world.refused("a registry elsewhere that speaks plain HTTP", name, registry.host, "--creds", "me:secret")
        world.checks.equal(registry.requests, [], "it was asked nothing in plain words")
        world.configure(registry.host, f'server = "http://{registry.host}"\n')
        world.taken("one that was declared so", name)


def authorities(world):
    ours, other, system = (world.folder / part for part in ("ours", "other", "system"))
    for folder in (ours, other):
        folder.mkdir()
        make_certificate(folder, f"IP:{ADDRESS}", folder.name)
    system.mkdir()
    shutil.copy(ours / "ca.crt", system / "ours.crt")
    subprocess.run(["openssl", "rehash", system], check=True)
    shutil.copy(ours / "ca.crt", system / "ca-certificates.crt")
    with f.FaultyRegistry(ours, ADDRESS) as registry:
        image = RemoteImage(layer("a"))
        name = registry.put("test/trust:1", image)

        def taken(what):
            world.taken(what, name)
            world.gantry("remove", name)

        world.refused("an authority that nobody knows", name, [registry.host, "certificate"])
        world.configure(registry.host, f'ca = "{other}/ca.crt"\n')
        world.refused("another authority than the registry's own", name, [registry.host, "certificate"])
        subprocess.run(["mount", "--bind", system, "/etc/ssl/certs"], check=True)
        taken("an authority of the system's, beside the registry's own")
        shutil.rmtree(world.registries)
        taken("an authority of the system's")
        subprocess.run(["umount", "/etc/ssl/certs"], check=True)
        world.configure(registry.host, f'ca = "{ours}/ca.crt"\n')
        taken("the registry's own")

        context = registry.server.socket.context
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(other / "ca.crt")
        world.refused("a registry that wants a certificate, without one", name, registry.host)
        for what, folder in (("an authority's that it does not know", ours), ("the right one", other)):
            client = f'client = [["{folder}/server.crt", "{folder}/server.key"]]\n'
            world.configure(registry.host, f'ca = "{ours}/ca.crt"\n{client}')
            if folder is ours:
                world.refused(f"a registry that wants a certificate, with {what}", name, registry.host)
            else:
                taken(f"a registry that wants a certificate, with {what}")


def story(checks):
    own_network(ADDRESS)
    own_mounts()
    with world_of(checks) as world:
        name, _ = world.image()
        world.taken("a registry on loopback", name)
        plain(world)
        authorities(world)


c.main(story)
