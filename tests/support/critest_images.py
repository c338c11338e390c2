# SPDX-License-Identifier: Apache-2.0
"""The images that critest names, made of busybox and of one program of ours, for a registry that stands in for theirs."""
import subprocess
import tarfile

from node import BIN
from oci import digest, entry, tar
from registry import RemoteImage, index_of

# The hosts of the names; hosts.toml leads them to the registry of the test.
HOSTS = ("registry.k8s.io", "k8s.gcr.io", "gcr.io")
# An image that critest asks for by this digest, which nobody can make again: the one that is made takes its place in critest.
FIXED_DIGEST = "9700f9a2f5bf2c45f2f605a0bd3bce7cf37420ec9d3ed50ac2758413308766bf"
STAGING = "k8s-staging-cri-tools/test-image-"
FOLDERS = ("bin", "dev", "etc", "home", "mnt", "proc", "root", "sys", "usr", "usr/sbin", "var", "var/run", "var/lib")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_layer(busybox, passwd="", group=""):
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    entries = [entry(f"{name}/", tarfile.DIRTYPE) for name in FOLDERS] + [entry("tmp/", tarfile.DIRTYPE, mode=0o1777)]
    with open(busybox, "rb") as file:
        entries.append(entry("bin/busybox", content=file.read(), mode=0o755))
    # Hard links: a mask over /bin/ls that were a symbolic link would lie over all of them.
    entries += [entry(f"bin/{name}", tarfile.LNKTYPE, linkname="bin/busybox", mode=0o755) for name in names if name != "busybox"]
    users = f"root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n{passwd}"
    groups = f"root:x:0:\nwww-data:x:33:\nnobody:x:65534:\n{group}"
    return tar([*entries, entry("etc/passwd", content=users.encode()), entry("etc/group", content=groups.encode())])


def push_images(registry, busybox):
    """Pushes all of them, and returns the digest that takes FIXED_DIGEST's place."""
    base = base_layer(busybox)
    with open(BIN / "tests/conformance/gantry-test-critest-image", "rb") as file:
        program = file.read()

    def push(names, layers, indexed=True, **config):
        image = RemoteImage(*layers, kind="docker", command=config.pop("Cmd", ["sh"]), Env=config.pop("Env", [PATH]), **config)
        index = index_of(image.descriptor(architecture="amd64")) if indexed else None
        for name in names.split():
            registry.push(name, image, index)
        return digest(index) if indexed else digest(image.manifest)

    def with_program(path, mode=0o755):
        return [base, tar([entry(path, content=program, mode=mode)])]

    def marked(text):
        return [base, tar([entry("mark", content=text.encode())])]

    nginx = "usr/sbin/nginx: master process"
    push("e2e-test-images/busybox:1.29-2", [base], indexed=False)
    push("e2e-test-images/nginx:1.14-2", with_program(nginx), Cmd=["/" + nginx])
    push("e2e-test-images/httpd:2.4.39-4", with_program("usr/sbin/httpd"), Cmd=["httpd"])
    push("e2e-test-images/nonewprivs:1.3", with_program("nonewprivs", 0o6755), Entrypoint=["/nonewprivs"], Cmd=[])
    push("pause:3.9", marked("pause"), Entrypoint=["sleep", "infinity"], Cmd=[], User="65535:65535")
    for name, user in (("uid", "1002"), ("username", "www-data"), ("uid-group", "1003:1004"), ("username-group", "www-data:1004")):
        push(f"{STAGING}user-{name}:latest", [base], User=user)
    grouped = base_layer(busybox, "default-user:x:1000:1000::/:/bin/sh\n",
                         "default-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n")
    push(f"{STAGING}predefined-group:latest", [grouped], User="1000")
    push("k8s-staging-cri-tools/hostnet-nginx-amd64:latest", with_program(nginx), Cmd=["/" + nginx], Env=[PATH, "PORT=12003"])
    for name in ("1", "2", "3", "latest"):
        push(f"{STAGING}{name}:latest", marked(name))
    push(f"{STAGING}tags:1 {STAGING}tags:2 {STAGING}tags:3", marked("tags"))
    for name in ("test", "all"):
        push(f"{STAGING}tag:{name}", marked(f"tag {name}"))
    return push(f"{STAGING}digest:latest", marked("digest"))
