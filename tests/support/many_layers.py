# SPDX-License-Identifier: Apache-2.0
"""An image of as many layers as overlayfs takes in one mount's options, for a node on any kernel."""
import tarfile

from checks import wait_until
from cri_client import APPLETS
from oci import Image, entry, tar
from registry import busybox_layer

LAYERS = 120


def archive():
    """Each layer removes the file of the one below, and writes what all have."""
    def layer(number):
        return tar([entry(f"layer-{number}", content=b"x"), entry(f".wh.layer-{number - 1}"),
                    entry("all/", tarfile.DIRTYPE), entry(f"all/{number}"), entry("top", content=str(number).encode())])

    return Image(busybox_layer(APPLETS), *map(layer, range(1, LAYERS)), compress=True).archive_bytes("many:1")


def story(checks, node):
    """`node` has loaded the archive."""
    script = "cat /top; echo; ls -d /layer-*; set -- /all/*; echo $#; set -- /volume/all/*; echo $#; echo x > /w; cat /w"
    pod = node.pod_config("many")
    pod_id = node.run_pod(pod)
    volume = {"container_path": "/volume", "image": {"image": "many:1"}, "readonly": True}
    container = node.container_config("main", script, image={"image": "many:1"}, mounts=[volume])
    container_id = node.run_container(pod_id, container, pod)
    wait_until("the container ends", lambda: node.container_status(container_id)["state"] == "CONTAINER_EXITED", 120)
    said = node.crictl("logs", container_id)
    checks.equal((said.stdout + said.stderr).split(), [str(LAYERS - 1), f"/layer-{LAYERS - 1}", *[str(LAYERS - 1)] * 2, "x"],
                 f"an image of {LAYERS} layers runs, and is a volume: all of them are seen, one over the other")
    node.crictl("rmp", "--force", pod_id)
