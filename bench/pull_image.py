# SPDX-License-Identifier: Apache-2.0
"""A real-shaped image, of twelve layers out of Debian's packages: a little over 1 GB unpacked, big files and many small
ones. Made once, and kept as an OCI layout for the registry; the same packages make the same bytes."""
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile

# What stands in each layer, as an image that grew in a company has it.
LAYERS = (
    "base-files libc6 bash coreutils dpkg apt perl-base util-linux tar gzip grep sed findutils login passwd libssl3",
    "ca-certificates openssl curl libcurl4 libcurl3-gnutls",
    "python3.11 python3.11-minimal libpython3.11-stdlib libpython3.11-minimal",
    "perl-modules-5.36 libperl5.36",
    "gcc-12 cpp-12 libgcc-12-dev",
    "g++-12 libstdc++-12-dev libc6-dev linux-libc-dev binutils-x86-64-linux-gnu libbinutils",
    "openjdk-17-jre-headless",
    "golang-1.19-go golang-1.19-src",
    "nodejs libnode108",
    "git git-man",
    "postgresql-15 postgresql-client-15",
    "vim-runtime",
)
SMALL = ("base-files bash coreutils", "curl", "sed", "grep")
OCI = "application/vnd.oci.image"


def download(packages, folder):
    """The packages' files, sorted by name: Debian's own, whatever stands on this machine."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    folder.mkdir()
    subprocess.run(["apt-get", "-q", "-q", "-o", "APT::Sandbox::User=root", "download",
                    *(f"{package}/{release}" for package in packages)],
                   cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    return sorted(folder.glob("*.deb"))


def pack(tree, blobs):
    """A layer: names sorted, one time for all; gzip as `docker build` has it. Its descriptor, diff id and unpacked size."""
    plain, unpacked = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(dir=blobs, delete=False) as file:
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0, filename="") as packed:
            class Tee(io.RawIOBase):
                def write(self, data):
                    plain.update(data)
                    return packed.write(data)

            with tarfile.open(fileobj=Tee(), mode="w|", format=tarfile.PAX_FORMAT) as archive:
                def plain_owner(info):
                    info.uid = info.gid = info.mtime = 0
                    info.uname = info.gname = ""
                    return info

                for path in sorted(tree.rglob("*")):
                    archive.add(path, path.relative_to(tree), recursive=False, filter=plain_owner)
                    unpacked += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
    return put(blobs, pathlib.Path(file.name), f"{OCI}.layer.v1.tar+gzip"), "sha256:" + plain.hexdigest(), unpacked


def put(blobs, path, media_type):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.rename(blobs / digest)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": (blobs / digest).stat().st_size}


def put_text(blobs, document, media_type):
    path = blobs / "document"
    path.write_text(json.dumps(document))
    return put(blobs, path, media_type)


def make(folder, layers):
    """Fills a folder that is not there yet with an OCI layout; what it is, goes into image.json beside."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    try:
        blobs = work / "layout/blobs/sha256"
        blobs.mkdir(parents=True)
        described, diff_ids, unpacked = [], [], 0
        debs = [download(packages.split(), work / f"debs-{number}") for number, packages in enumerate(layers)]
        for number, packages in enumerate(layers):
            print(f"bench image: layer {number + 1} of {len(layers)}: {packages}", file=sys.stderr)
            tree = work / f"tree-{number}"
            for package in debs[number]:
                subprocess.run(["dpkg-deb", "-x", package, tree], check=True)
            descriptor, diff_id, size = pack(tree, blobs)
            described.append(descriptor)
            diff_ids.append(diff_id)
            unpacked += size
            shutil.rmtree(tree)
        config = put_text(blobs, {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/bash"]},
                                  "rootfs": {"type": "layers", "diff_ids": diff_ids}}, f"{OCI}.config.v1+json")
        manifest = put_text(blobs, {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": config,
                                    "layers": described}, f"{OCI}.manifest.v1+json")
        manifest["annotations"] = {"org.opencontainers.image.ref.name": "bench"}
        (work / "layout/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (work / "layout/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
        (work / "layout/image.json").write_text(json.dumps({"layers": len(layers), "unpacked": unpacked,
                                                            "packed": sum(layer["size"] for layer in described)}))
        os.rename(work / "layout", folder)
    finally:
        shutil.rmtree(work)


def image(cache, small=False):
    """The layout's folder, made when it is not there, and what is known of it."""
    layers = SMALL if small else LAYERS
    name = hashlib.sha256(json.dumps(layers).encode()).hexdigest()[:12]
    folder = pathlib.Path(cache) / f"bench-image-{name}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        make(folder, layers)
    return folder, json.loads((folder / "image.json").read_text())
