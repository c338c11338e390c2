# SPDX-License-Identifier: Apache-2.0
"""A mount whose server does not answer, as of a network file system that is dead: FUSE's, of which nobody reads the requests. Who asks
anything of what is in it waits until it is gone."""
import os
import pathlib
import subprocess

import checks as c

DEVICE = pathlib.Path("/dev/fuse")
MOUNT = """
import ctypes, sys
options = f"fd={sys.argv[2]},rootmode=40000,user_id=0,group_id=0".encode()
if ctypes.CDLL(None, use_errno=True).mount(b"hung", sys.argv[1].encode(), b"fuse", 0, options):
    sys.exit(f"mount: errno {ctypes.get_errno()}")
print("mounted", flush=True)
sys.stdin.read()
"""


class HungMount:
    """Mounted at `path` of the node, inside a `with` block."""

    def __init__(self, node):
        self.node, self.path, self.server = node, node.work / "hung", None

    def enter(self, *command):
        return ["nsenter", f"--mount=/proc/{self.node.supervisor()}/ns/mnt", "--", *map(str, command)]

    def __enter__(self):
        self.path.mkdir()
        device = os.open(DEVICE, os.O_RDWR)
        try:
            self.server = subprocess.Popen(self.enter("python3", "-c", MOUNT, self.path, device), stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, text=True, pass_fds=[device])
        finally:
            os.close(device)
        if self.server.stdout.readline() != "mounted\n":
            self.__exit__()
            raise c.Failure("a mount of FUSE can't be made")
        return self

    def __exit__(self, *_):
        """Whoever waits gets an error."""
        self.server.kill()
        self.server.communicate()
        subprocess.run(self.enter("umount", "--lazy", self.path), capture_output=True, check=False)

    def hangs(self):
        """It does not answer now: one who asks is killed for it."""
        return subprocess.run(["timeout", "--signal=KILL", "2", *self.enter("stat", self.path)], capture_output=True,
                              check=False).returncode not in (0, 1)
