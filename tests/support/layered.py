# SPDX-License-Identifier: Apache-2.0
"""Images that share layers, packed in every way; and what each layer must unpack to, file by file."""
import random

from oci import digest, entry, tar
from registry import RemoteImage
from vm import layers

PACKINGS = ("gzip", "zstd", "plain", "gzip")


def layered_images(big):
    """Four of them, each with one file of `big` bytes; and listings by diff id, without its "sha256:"."""
    known, images = {}, []
    for number, packing in enumerate(PACKINGS):
        parts = [layers.tree(0), layers.tree(number % 2 + 1), layers.tree(number + 10),
                 [entry("big", content=random.Random(number).randbytes(big))]]
        known |= {digest(tar(part)).split(":")[1]: layers.listing(part) for part in parts}
        images.append(RemoteImage(*map(tar, parts), packing=packing))
    return images, known


def write_tree(images, folder):
    """As any server of files would serve them: test/0:1, test/1:1, ..."""
    for number, image in enumerate(images):
        manifests = {"1": image.manifest, digest(image.manifest): image.manifest}
        for part, files in (("manifests", manifests), ("blobs", image.blobs)):
            place = folder / f"v2/test/{number}/{part}"
            place.mkdir(parents=True)
            for name, data in files.items():
                (place / name).write_bytes(data)
