# SPDX-License-Identifier: Apache-2.0
"""OCI archives and layers made by hand, honest and otherwise."""
import gzip
import hashlib
import io
import json
import tarfile

OCI = "application/vnd.oci.image."


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def entry(name, kind=tarfile.REGTYPE, content=b"", **more):
    """One entry of a layer: (TarInfo, content)."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(content), 0o755 if kind == tarfile.DIRTYPE else 0o644
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def tar(entries):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def sparse_layer(name, size):
    """A layer of one file that claims `size` bytes and holds 512, as GNU tar writes it."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = 512, 0o644
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"

    def number(value):
        return b"%011o\0" % value if value < 8**11 else b"\x80" + value.to_bytes(11, "big")

    # Where the 512 bytes are, then the end mark: a piece of nothing at the end; then the size that it claims.
    header[386:398], header[398:410] = number(size - 512), number(512)
    header[410:422], header[422:434] = number(size), number(0)
    header[483:495] = number(size)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" * 512 + bytes(1024)


class Image:
    """An image of some layers; its parts may be spoilt before archive() is called."""

    def __init__(self, *layers, command=("/bin/sh",), compress=False, **config):
        """`config` is more of the image's configuration: User, Env, ..."""
        self.diff_ids = [digest(layer) for layer in layers]
        self.layers = [gzip.compress(layer, 1, mtime=0) for layer in layers] if compress else list(layers)
        self.compress = compress
        self.config = {"Cmd": list(command)} | config
        self.claims = {}  # what descriptors say instead of the digest that a part has: {"layer": ..., "config": ...}
        self.sizes = {}   # and instead of its size
        self.annotations = {}  # of its manifest

    def describe(self, what, kind, data):
        return {"mediaType": OCI + kind, "digest": self.claims.get(what, digest(data)), "size": self.sizes.get(what, len(data))}

    def archive(self, path, name="bad:1"):
        path.write_bytes(self.archive_bytes(name))
        return path

    def archive_bytes(self, name):
        """It as an OCI archive whose blobs lie under the names that the descriptors claim."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": self.config,
                             "rootfs": {"type": "layers", "diff_ids": self.diff_ids}}).encode()
        kind = "layer.v1.tar+gzip" if self.compress else "layer.v1.tar"
        manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
                    "config": self.describe("config", "config.v1+json", config),
                    "layers": [self.describe("layer", kind, layer) for layer in self.layers]}
        if self.annotations:
            manifest["annotations"] = self.annotations
        manifest = json.dumps(manifest).encode()
        top = self.describe("manifest", "manifest.v1+json", manifest) | {
            "annotations": {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}}
        index = json.dumps({"schemaVersion": 2, "manifests": [top]}).encode()
        blobs = {top["digest"]: manifest, self.claims.get("config", digest(config)): config}
        for layer in self.layers:
            blobs[self.claims.get("layer", digest(layer))] = layer
        entries = [entry("oci-layout", content=b'{"imageLayoutVersion":"1.0.0"}'), entry("index.json", content=index)]
        entries += [entry("blobs/sha256/" + name.split(":")[1], content=data) for name, data in blobs.items()]
        return tar(entries)
