# SPDX-License-Identifier: Apache-2.0
"""containerd's configuration, for who runs it beside Gantry or with gantry-oci as its runtime."""

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
