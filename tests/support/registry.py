# SPDX-License-Identifier: Apache-2.0
"""Debian's docker-registry on loopback, in whatever network namespace the caller is in, and images for it."""
import base64
import contextlib
import crypt
import ctypes
import gzip
import http.client
import json
import os
import re
import ssl
import subprocess
import tarfile
import urllib.parse

from checks import PATIENCE, Failure, wait_until
from oci import digest, entry, tar

CLONE_NEWNET = 0x40000000
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
TYPES = {
    "oci": {"manifest": "application/vnd.oci.image.manifest.v1+json", "config": "application/vnd.oci.image.config.v1+json",
            "plain": "application/vnd.oci.image.layer.v1.tar", "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
            "zstd": "application/vnd.oci.image.layer.v1.tar+zstd"},
    "docker": {"manifest": "application/vnd.docker.distribution.manifest.v2+json",
               "config": "application/vnd.docker.container.image.v1+json",
               "plain": "application/vnd.docker.image.rootfs.diff.tar",
               "gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip"},
}


@contextlib.contextmanager
def network_of(pid):
    """Inside the block this thread, and what it starts, are in the network namespace of a process."""
    def enter(fd):
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
            raise Failure(f"setns: {os.strerror(ctypes.get_errno())}")

    with open("/proc/self/ns/net", "rb") as own, open(f"/proc/{pid}/ns/net", "rb") as other:
        enter(other.fileno())
        try:
            yield
        finally:
            try:
                enter(own.fileno())
            except Failure:
                os._exit(1)  # nothing of this machine's is to be done in there


def own_network(address):
    """This process' own from here on, with one more address on its loopback interface."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise Failure(f"unshare: {os.strerror(ctypes.get_errno())}")
    for command in (("link", "set", "lo", "up"), ("address", "add", f"{address}/24", "dev", "lo")):
        subprocess.run(["ip", *command], check=True)


# ---- images --------------------------------------------------------------------------------------------------------------

def busybox_layer(applets, *more):
    with open("/usr/bin/busybox", "rb") as file:
        busybox = file.read()
    links = [entry(f"bin/{name}", tarfile.SYMTYPE, linkname="busybox") for name in applets]
    return tar([entry("bin/", tarfile.DIRTYPE), entry("bin/busybox", content=busybox, mode=0o755), *links, *more])


def pack(layer, packing):
    if packing == "zstd":
        return subprocess.run(["zstd", "-q", "-3", "-c"], input=layer, stdout=subprocess.PIPE, check=True).stdout
    return gzip.compress(layer, 1, mtime=0) if packing == "gzip" else layer


class RemoteImage:
    """Documents and blobs of an image as a registry serves it; they may be spoilt before they are pushed."""

    def __init__(self, *layers, kind="oci", packing="gzip", command=("/bin/sh",), architecture="amd64", annotations=None,
                 **more):
        """`annotations` are the manifest's; `more` is of the image's configuration: User, Env, ..."""
        self.types = TYPES[kind]
        self.blobs = {}
        described = [self.blob(self.types[packing], pack(layer, packing)) for layer in layers]
        config = {"architecture": architecture, "os": "linux", "config": {"Cmd": list(command)} | more,
                  "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}}
        self.config = self.blob(self.types["config"], json.dumps(config).encode())
        self.document = {"schemaVersion": 2, "mediaType": self.types["manifest"], "config": self.config, "layers": described}
        if annotations:
            self.document["annotations"] = annotations
        self.id = self.config["digest"]

    def blob(self, media_type, data):
        self.blobs[digest(data)] = data
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    @property
    def manifest(self):
        return json.dumps(self.document).encode()

    def descriptor(self, **platform):
        described = {"mediaType": self.types["manifest"], "digest": digest(self.manifest), "size": len(self.manifest)}
        return described | ({"platform": {"os": "linux"} | platform} if platform else {})


def index_of(*descriptors):
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(descriptors)}).encode()


# ---- the registry ----------------------------------------------------------------------------------------------------------

class Registry:
    """One docker-registry. `user` is (name, password); `tls` makes an authority whose certificate is self.authority."""

    def __init__(self, folder, user=None, tls=False):
        folder.mkdir()
        self.folder, self.user, self.tls, self.process = folder, user, tls, None
        self.authority = folder / "ca.crt"
        config = {"version": "0.1", "log": {"level": "info"}, "http": {"addr": "127.0.0.1:0"},
                  "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}}}
        if user:
            hashed = crypt.crypt(user[1], crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
            (folder / "htpasswd").write_text(f"{user[0]}:{hashed}\n")
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
        if tls:
            make_certificate(folder)
            config["http"]["tls"] = {"certificate": str(folder / "server.crt"), "key": str(folder / "server.key")}
        (folder / "config.json").write_text(json.dumps(config))  # JSON is YAML

    def __enter__(self):
        log = self.folder / "log"
        with open(log, "wb") as file:
            self.process = subprocess.Popen(["docker-registry", "serve", self.folder / "config.json"],
                                            stdin=subprocess.DEVNULL, stdout=file, stderr=file)

        def port():
            if self.process.poll() is not None:
                raise Failure(f"docker-registry ended: {log.read_text()[-2000:]}")
            return re.search(r"listening on 127\.0\.0\.1:(\d+)", log.read_text())

        try:
            self.host = f"127.0.0.1:{wait_until('docker-registry listens', port)[1]}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(PATIENCE)

    def request(self, method, path, body=None, headers=None):
        if self.tls:
            context = ssl.create_default_context(cafile=str(self.authority))
            connection = http.client.HTTPSConnection(self.host, timeout=PATIENCE, context=context)
        else:
            connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        headers = dict(headers or {})
        if self.user:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(self.user).encode()).decode()
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        if answer.status >= 300:
            raise Failure(f"{method} {path}: {answer.status} {text[:500]}")
        return answer

    def push(self, name, image, index=None):
        """Pushes blobs and manifest of "repository:tag", and the index under the tag when one is given."""
        repository, tag = name.split(":")
        for blob_digest, data in image.blobs.items():
            location = self.request("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]
            url = urllib.parse.urlsplit(location)
            self.request("PUT", f"{url.path}?{url.query}&digest={blob_digest}", data,
                         {"Content-Type": "application/octet-stream"})
        target = digest(image.manifest) if index else tag
        self.request("PUT", f"/v2/{repository}/manifests/{target}", image.manifest, {"Content-Type": image.types["manifest"]})
        if index:
            self.request("PUT", f"/v2/{repository}/manifests/{tag}", index, {"Content-Type": OCI_INDEX})

    def asked(self):
        """Paths of the blobs and manifests that it was asked for, in order."""
        return re.findall(r'"GET (\S+) HTTP', (self.folder / "log").read_text())


def make_certificate(folder, names="IP:127.0.0.1", authority="test authority"):
    """ca.crt, and server.crt with server.key for these names."""
    def openssl(*arguments):
        done = subprocess.run(["openssl", *arguments], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"openssl {arguments[0]}: {done.stderr}")

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", f"/CN={authority}",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", "-x509", *new_key, "-keyout", "server.key", "-out", "server.crt", "-subj", "/CN=registry",
            "-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", f"subjectAltName={names}")
