#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""gantryd of a caller that has closed its standard streams: nothing that it opens gets these numbers, to which log lines go, and
which other programs are given. tests/security/fds_and_cwd.py has gantry-oci."""
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle


def story(checks):
    cgroup = f"gantry-streams-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        folders = {"--root": "lib", "--run": "run", "--manifest-dir": "manifests", "--registries": "registries"}
        own = [word for flag, name in folders.items() for word in (flag, f"{folder}/{name}")]
        os.mkdir(f"{folder}/run")
        command = ("unshare", "--net", "--mount", "--propagation", "private", os.environ["GANTRY_BIN"] + "/gantryd", "--modules",
                   "cri", "--pool-size", "0", "--cgroup-root", f"/{cgroup}", *own)
        with subprocess.Popen(command, preexec_fn=lambda: os.closerange(0, 3)) as program:
            try:
                c.wait_until("gantryd serves", lambda: os.path.exists(f"{folder}/run/gantryd.sock"))
                streams = [os.readlink(f"/proc/{program.pid}/fd/{number}") for number in range(3)]
            finally:
                program.terminate()
    checks.equal(streams, ["/dev/null"] * 3, "a stream that gantryd was not given is none of its own descriptors")
    if (oci_bundle.hierarchy() / cgroup).exists():
        oci_bundle.remove_cgroup(oci_bundle.hierarchy() / cgroup)


if __name__ == "__main__":
    c.main(story)
