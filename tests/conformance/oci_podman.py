#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""podman of Debian 13 with gantry-oci in its runtime's place: containers are run, entered, looked at, paused, stopped and
removed, with volumes, users, terminals and health checks."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle

PEERS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/peers"


class Podman:
    """podman with all of its state in this world's /run, and no network: containers have a namespace with lo alone."""

    def __init__(self, oci):
        base = oci.work / "podman"
        base.mkdir()
        helpers = base / "helpers"
        helpers.mkdir()
        # It is asked for, and with --network none never executed.
        (helpers / "netavark").write_text("#!/bin/sh\nexit 1\n")
        (helpers / "netavark").chmod(0o755)
        (base / "containers.conf").write_text(f'[engine]\nhelper_binaries_dir = ["{helpers}"]\n')
        (base / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        os.environ.update(HOME=str(base), CONTAINERS_CONF=str(base / "containers.conf"),
                          PATH="/usr/sbin:/sbin:" + os.environ["PATH"])
        self.command = [os.environ["PODMAN"], "--root", base / "root", "--runroot", base / "run", "--tmpdir", base / "tmp",
                        "--cgroup-manager", "cgroupfs", "--conmon", os.environ["CONMON"], "--runtime", oci.program,
                        "--events-backend", "file", "--storage-driver", "overlay"]
        archive = base / "image.tar"
        oci_bundle.run("tar", "-C", str(oci.rootfs), "-cf", str(archive), ".")
        self.check("import", "--signature-policy", base / "policy.json", archive, "busy")

    def __call__(self, *arguments):
        return subprocess.run([*map(str, self.command), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=oci_bundle.LIMIT)

    def check(self, *arguments):
        done = self(*arguments)
        if done.returncode != 0:
            raise c.Failure(f"podman {' '.join(map(str, arguments))}: {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def run(self, *arguments):
        # Limits are not what this is about: this host need not have the controllers.
        return self("run", "--network", "none", "--pids-limit", "0", *arguments)


def story(checks):
    oci_bundle.become_reaper()
    oci = oci_bundle.Runtime()
    podman = Podman(oci)
    c.log(podman.check("--version"))
    runtime = json.loads(podman.check("info", "--format", "json"))["host"]["ociRuntime"]
    checks.contains(runtime["version"], ["gantry-oci version", "spec: 1.2"], "podman takes gantry-oci for its runtime")
    done = podman.run("--rm", "busy", "echo", "hello")
    checks.equal((done.returncode, done.stdout), (0, "hello\n"), "run shows what the container says")
    checks.equal(podman.run("--rm", "busy", "sh", "-c", "exit 7").returncode, 7, "and gives its exit code")
    checks.equal(podman.run("--rm", "busy", "nosuch").returncode, 127, "a program that is not there is 127, as podman has it")
    checks.equal(podman.run("--rm", "busy", "/etc").returncode, 126, "one that can't be executed 126")
    data = oci.work / "volume"
    data.mkdir()
    (data / "file").write_text("content\n")
    done = podman.run("--rm", "-v", f"{data}:/data:ro", "--tmpfs", "/scratch", "--user", "5:6", "--hostname", "box",
                      "--workdir", "/tmp",
                      "--env", "A=b", "--cap-drop", "all", "--read-only", "busy", "sh", "-c",
                      "cat /data/file; touch /data/x 2>/dev/null || echo refused; id -u; id -g; hostname; pwd; echo $A; "
                      "grep CapEff /proc/self/status | cut -f2; touch /x 2>/dev/null || echo refused")
    checks.equal(done.stdout.split(), ["content", "refused", "5", "6", "box", "/tmp", "b", "0000000000000000", "refused"],
                 "volumes, user, host name, folder, environment, capabilities and a read-only root") or c.log(done.stderr)
    name = podman.check("run", "--network", "none", "--pids-limit", "0", "-d", "--name", "long", "--health-cmd",
                        "test -e /bin/sh",
                        "--health-interval", "disable", "busy", "sleep", "1000")
    checks.contains(podman.check("ps", "--format", "{{.Names}} {{.Status}}"), "long Up", "a detached container runs")
    done = podman("exec", "--env", "B=c", "long", "sh", "-c", "echo $B; exit 4")
    checks.equal((done.returncode, done.stdout), (4, "c\n"), "exec gives output and exit code")
    checks.contains(podman("exec", "-t", "long", "tty").stdout, "/dev/pts/", "exec -t has a terminal")
    checks.equal(podman("healthcheck", "run", "long").returncode, 0, "a health check runs")
    checks.contains(podman.check("top", "long"), "sleep 1000", "top lists its processes")
    podman.check("pause", "long")
    checks.equal(podman.check("inspect", "--format", "{{.State.Status}}", "long"), "paused", "pause stops it for now")
    podman.check("unpause", "long")
    done = podman.run("--rm", "--pid", "container:long", "--ipc", "container:long", "busy", "ps", "-o", "args")
    checks.contains(done.stdout + done.stderr, "sleep 1000", "a container joins another's namespaces")
    checks.contains(podman.run("--rm", "-t", "busy", "tty").stdout, "/dev/pts/", "run -t has a terminal")
    podman.check("stop", "-t", "0", "long")
    checks.equal(podman.check("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "long"), "exited 137",
                 "stop ends it")
    podman.check("start", "long")
    checks.contains(podman.check("ps", "--format", "{{.Names}} {{.Status}}"), "long Up", "it can be started again")
    podman.check("rm", "-f", "-t", "0", name)
    checks.equal(podman.check("ps", "-a", "-q"), "", "rm removes it")
    left = [str(path) for path in pathlib.Path("/run").glob("**/gantry-oci/*") if path.name != oci_bundle.PROGRAMS]
    checks.equal(left, [], "nothing of a container is left")


if __name__ == "__main__":
    if "PODMAN" not in os.environ:
        peers = subprocess.run([PEERS, "conmon", "podman"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        os.environ["CONMON"], os.environ["PODMAN"] = peers[2], peers[5]
    oci_bundle.enter_world()
    c.main(story)
