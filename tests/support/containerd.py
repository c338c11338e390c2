# SPDX-License-Identifier: Apache-2.0
"""containerd of Debian 13, for who runs it beside Gantry, beneath its agent, or with gantry-oci as its runtime."""
import json
import os
import pathlib
import subprocess

import checks as c
import oci
import oci_bundle
from cri_client import CRICTL, CriClient

IMAGE = "localhost/busybox:test"
NETWORK = {"cniVersion": "1.0.0", "name": "bridge", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": {
        "type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}

RUNC_SHIM = "io.containerd.runc.v2"
# Snapshotters that this file system has no use of, tracing, and NRI, which would be the host's.
CONFIG = """version = 2
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
                    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.blockfile",
                    "io.containerd.nri.v1.nri"]
"""
FOLDERS = """root = "{base}/root"
state = "{base}/state"
[grpc]
  address = "{base}/containerd.sock"
"""
# disable_cgroup: no limits, which this hierarchy has no controllers for; the runtime still makes a cgroup for each container.
CRI = """[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  disable_cgroup = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "chosen"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.chosen]
      runtime_type = "{shim}"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.chosen.options]
        BinaryName = "{runtime}"
"""


def configuration(base=None, **cri):
    """With its folders and its socket below `base`, else where it has them by itself; and with pods by its CRI if it is told
    of their sandboxes' `image`, the `runtime` program, and the folders of CNI's `plugins` and `networks`."""
    return (CONFIG + (FOLDERS.format(base=base) if base else "") +
            (CRI.format(shim=RUNC_SHIM, **cri) if cri else ""))


class Containerd(CriClient):
    """containerd with all of its state in `work`, in a world of oci_bundle.py, and `program` as its OCI runtime. Its own program is
    $CONTAINERD."""

    def __init__(self, work, program, plugins=None):
        """With a folder of CNI's `plugins` pods have a network, on a bridge; else they are to be on this world's."""
        super().__init__()
        self.name, self.work, self.program = "containerd", work, program
        self.work.mkdir()
        self.socket = f"{self.work}/containerd.sock"
        folder = pathlib.Path(os.environ["CONTAINERD"]).parent
        os.environ["PATH"] = f"{folder}:/usr/sbin:/sbin:" + os.environ["PATH"]
        (self.work / "config.toml").write_text(configuration(
            self.work, image=IMAGE, plugins=plugins or self.work / "cni", networks=self.work / "cni", runtime=self.program))
        if plugins:
            (self.work / "cni").mkdir()
            (self.work / "cni/bridge.conflist").write_text(json.dumps(NETWORK))
        self.put(self.work / "crictl.yaml", CRICTL.format(socket=f"unix://{self.socket}"))
        self.log = open(self.work / "log", "w+")
        self.daemon = subprocess.Popen(["containerd", "--config", self.work / "config.toml"], stdin=subprocess.DEVNULL,
                                       stdout=self.log, stderr=self.log)
        c.wait_until("containerd answers", lambda: self.ctr("version", check=False).returncode == 0)
        self.ctr("--namespace", "k8s.io", "images", "import", "--snapshotter", "overlayfs", self.image())
        self.ctr("images", "import", self.work / "image.tar")

    def image(self):
        layer = [oci.entry(name, oci.tarfile.DIRTYPE) for name in ("bin", "dev", "etc", "proc", "sys", "tmp")]
        layer.append(oci.entry("bin/busybox", content=pathlib.Path("/bin/busybox").read_bytes(), mode=0o755))
        layer += [oci.entry(f"bin/{name}", oci.tarfile.SYMTYPE, linkname="busybox") for name in oci_bundle.APPLETS]
        return oci.Image(oci.tar(layer), command=("/bin/sleep", "100000")).archive(self.work / "image.tar", IMAGE)

    def put(self, path, text):
        path.write_text(text)

    def make_folder(self, path):
        path.mkdir(parents=True)

    def exec(self, *command, check=True, limit=oci_bundle.LIMIT, stdin=None):
        done = subprocess.run(command, input=stdin, stdin=subprocess.DEVNULL if stdin is None else None, capture_output=True,
                              text=True, timeout=limit)
        if check and done.returncode != 0:
            raise c.Failure(f"{' '.join(map(str, command))}: {done.returncode}: {done.stderr}")
        return done

    def ctr(self, *arguments, **more):
        return self.exec("ctr", "--address", self.socket, *map(str, arguments), **more)

    def run(self, name, *arguments, flags=(), **more):
        # Without --cpu-shares ctr sets some.
        return self.ctr("run", "--cpu-shares", "0", "--runtime", RUNC_SHIM, "--runc-binary", self.program, *flags, IMAGE, name,
                        *arguments, **more)

    def end(self):
        self.daemon.terminate()
        self.daemon.wait(oci_bundle.LIMIT)
