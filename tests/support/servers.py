# SPDX-License-Identifier: Apache-2.0
"""Several gantry-controls of one cluster over one etcd, on addresses of loopback of their own."""
import shutil

from control import Control

# What the servers of a cluster share, as docs/control-plane.md says.
SHARED = ["ca.crt", "ca.key", "sa.key", "sa.pub"]


def server(checks, store, number, first=None, arguments=()):
    """The server of that number, from 0 on; what is shared comes from the first one, which has been started."""
    control = Control(checks, ["--store", store, "--advertise-address", f"192.0.2.{number + 1}", *arguments],
                      host=f"127.0.0.{number + 1}", port=first and first.port)
    if first:
        (control.data / "pki").mkdir(parents=True, mode=0o700)
        for name in SHARED:
            shutil.copy(first.data / "pki" / name, control.data / "pki" / name)
    return control
