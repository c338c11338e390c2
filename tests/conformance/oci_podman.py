#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""podman of Debian 13 with gantry-oci in its runtime's place: containers are run, entered, looked at, paused, stopped and
removed, with volumes, users, user namespaces, terminals and health checks; in pods; and as a Kubernetes manifest says. By root,
and by an ordinary user."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: kube, labels: {app: web}}
spec:
  hostname: desk
  containers:
  - name: writer
    image: localhost/busy
    command: [sh, -c]
    args: ["echo $GREETING > /shared/word; exec sleep 100000"]
    env: [{name: GREETING, value: hello}]
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: reader
    image: localhost/busy
    command: [sleep, "100000"]
    workingDir: /tmp
    securityContext: {runAsUser: 5, runAsGroup: 6, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
    livenessProbe: {exec: {command: [test, -e, /bin/sh]}}
    volumeMounts: [{name: shared, mountPath: /shared, readOnly: true}]
  volumes: [{name: shared, emptyDir: {}}]
"""
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
        # Limits are not what this is about: this host need not have the controllers.
        (base / "containers.conf").write_text(f'[engine]\nhelper_binaries_dir = ["{helpers}"]\n'
                                              'infra_image = "localhost/busy"\n[containers]\npids_limit = 0\nnetns = "none"\n')
        (base / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        os.environ.update(HOME=str(base), CONTAINERS_CONF=str(base / "containers.conf"),
                          PATH="/usr/sbin:/sbin:" + os.environ["PATH"])
        self.command = [os.environ["PODMAN"], "--root", base / "root", "--runroot", base / "run", "--tmpdir", base / "tmp",
                        "--cgroup-manager", "cgroupfs", "--conmon", os.environ["CONMON"], "--runtime", oci.program,
                        "--events-backend", "file", "--storage-driver", "overlay"]
        archive = base / "image.tar"
        oci_bundle.run("tar", "--owner=0", "--group=0", "-C", str(oci.rootfs), "-cf", str(archive), ".")
        self.check("import", "--signature-policy", base / "policy.json", "--change", 'CMD ["/bin/sleep","100000"]', archive,
                   "busy")

    def __call__(self, *arguments):
        return subprocess.run([*map(str, self.command), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=oci_bundle.LIMIT)

    def check(self, *arguments):
        done = self(*arguments)
        if done.returncode != 0:
            raise c.Failure(f"podman {' '.join(map(str, arguments))}: {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def run(self, *arguments):
        return self("run", *arguments)

    def namespace(self, name, kind):
        return self.check("exec", name, "readlink", f"/proc/self/ns/{kind}")


def user_namespaces(checks, oci, podman):
    """Mapped as podman decides or as it is told; its images' layers are mapped by podman."""
    if oci_bundle.caller() == oci_bundle.USER:
        return within_the_users(checks, podman)
    for name in ("subuid", "subgid"):
        ids = oci.work / name
        ids.write_text("containers:200000:100000\n")
        oci_bundle.run("mount", "--bind", ids, f"/etc/{name}")
    look = ("id -u; id -g; tr -s ' ' < /proc/self/uid_map; stat -c %u /bin/busybox; touch /tmp/made && stat -c %u /tmp/made; "
            "stat -c %u /dev/shm /proc/1")
    done = podman.run("--rm", "--userns", "auto:size=5000", "busy", "sh", "-c", look)
    checks.equal(done.stdout.split(), ["0", "0", "0", "200000", "5000", *4 * "0"], "--userns=auto maps ids, and all is root's") \
        or c.log(done.stderr)
    mappings = ("--uidmap", "0:300000:1000", "--gidmap", "0:300000:1000")
    done = podman.run("--rm", *mappings, "--user", "5:6", "busy", "sh", "-c", "id -u; id -g; tr -s ' ' < /proc/self/uid_map")
    checks.equal(done.stdout.split(), ["5", "6", "0", "300000", "1000"], "--uidmap and --gidmap, with a user") \
        or c.log(done.stderr)
    podman.check("run", "--network", "none", "--pids-limit", "0", "-d", "--name", "mapped", *mappings, "busy", "sleep", "1000")
    done = podman("exec", "mapped", "sh", "-c", "id -u; touch /tmp/x && stat -c %u /tmp/x; readlink /proc/self/ns/user")
    space = done.stdout.split()[-1:]
    checks.equal(done.stdout.split()[:2], ["0", "0"], "exec in it") or c.log(done.stderr)
    done = podman.run("--rm", *(f"--{kind}=container:mapped" for kind in ("userns", "pid", "ipc")), "busy", "sh", "-c",
                      "readlink /proc/self/ns/user; ps -o args")
    checks.equal(done.stdout.split()[:1], space, "a container joins another's user namespace") or c.log(done.stderr)
    checks.contains(done.stdout, "sleep 1000", "with its processes")
    podman.check("rm", "-f", "-t", "0", "mapped")


def within_the_users(checks, podman):
    """An ordinary user's containers are in a user namespace of podman's already; these have one more."""
    look = "id -u; id -g; wc -l < /proc/self/uid_map; touch /dev/shm/x && stat -c %u /dev/shm/x; stat -c %u /bin/busybox"
    own = str(oci_bundle.USER_ID)
    done = podman.run("--rm", "--userns", "keep-id", "busy", "sh", "-c", look)
    checks.equal(done.stdout.split(), [own, own, "3", own, "0"], "--userns=keep-id: the user is the same within") \
        or c.log(done.stderr)
    done = podman.run("--rm", "--userns", "auto:size=5000", "busy", "sh", "-c", look)
    checks.equal(done.stdout.split(), ["0", "0", "1", "0", "0"], "--userns=auto maps a part of the user's ids") \
        or c.log(done.stderr)
    done = podman.run("--rm", "--userns", "nomap", "busy", "sh", "-c", look)
    checks.equal(done.stdout.split()[:2], ["0", "0"], "--userns=nomap leaves the user's own id out") or c.log(done.stderr)
    done = podman.run("--rm", "--pid", "host", "--uts", "host", "--cgroupns", "host", "busy", "sh", "-c",
                      "id -u; ps -o args | grep -c podman")
    checks.ok(done.stdout.split()[:1] == ["0"] and int(done.stdout.split()[-1]) > 1, "a container in podman's own namespaces",
              done.stdout + done.stderr)


def containers(checks, oci, podman):
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
    name = podman.check("run", "-d", "--name", "long", "--health-cmd", "test -e /bin/sh",
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
    user_namespaces(checks, oci, podman)
    checks.equal(podman.check("ps", "-a", "-q"), "", "rm removes it")


def volumes(checks, oci, podman):
    podman.check("volume", "create", "data")
    podman.check("run", "--rm", "-v", "data:/data", "busy", "sh", "-c", "echo kept > /data/file")
    done = podman.run("--rm", "--mount", "type=volume,src=data,dst=/data,ro", "busy", "sh", "-c",
                      "cat /data/file; touch /data/x 2>/dev/null || echo refused")
    checks.equal(done.stdout.split(), ["kept", "refused"], "a volume of podman's outlives containers") or c.log(done.stderr)
    podman.check("volume", "rm", "data")
    podman.check("run", "-d", "--name", "copied", "-v", "/own", "busy", "sleep", "1000")
    (oci.work / "word").write_text("copied\n")
    podman.check("cp", oci.work / "word", "copied:/own/word")
    checks.equal(podman.check("exec", "copied", "cat", "/own/word"), "copied", "cp copies into a running container's volume")
    checks.contains(podman.check("diff", "copied"), "/own", "diff tells what is new in it")
    podman.check("rm", "-f", "-t", "0", "-v", "copied")
    checks.equal(podman.check("volume", "ls", "-q"), "", "rm -v removes a container's own volume")


def health(checks, oci, podman):
    podman.check("run", "-d", "--name", "sick", "--health-cmd", "test -e /tmp/well", "--health-retries", "1",
                 "--health-interval", "disable", "busy", "sleep", "1000")
    status = ("inspect", "--format", "{{.State.Health.Status}}", "sick")
    checks.equal((podman("healthcheck", "run", "sick").returncode, podman.check(*status)), (1, "unhealthy"),
                 "a health check that fails makes a container unhealthy")
    podman.check("exec", "sick", "touch", "/tmp/well")
    checks.equal((podman("healthcheck", "run", "sick").returncode, podman.check(*status)), (0, "healthy"),
                 "and one that passes makes it healthy")
    podman.check("rm", "-f", "-t", "0", "sick")


def pods(checks, oci, podman):
    podman.check("pod", "create", "--name", "pod", "--hostname", "shared")
    for name in ("one", "two"):
        podman.check("run", "-d", "--pod", "pod", "--name", name, "busy", "sh", "-c",
                     "trap 'exit 3' TERM; touch /tmp/trapped; while :; do sleep 0.05; done")
        c.wait_until(f"{name} waits for a signal", lambda: podman("exec", name, "test", "-e", "/tmp/trapped").returncode == 0)
    shared = [podman.namespace("one", kind) == podman.namespace("two", kind) for kind in ("net", "ipc", "uts", "pid", "mnt")]
    checks.equal(shared, [True, True, True, False, False], "a pod's containers share network, ipc and uts namespaces")
    checks.equal(podman.check("exec", "two", "hostname"), "shared", "and the pod's name")
    checks.contains(podman.check("pod", "ps"), "Running", "the pod runs")
    podman.check("pod", "pause", "pod")
    checks.equal(podman.check("inspect", "--format", "{{.State.Status}}", "one"), "paused", "pod pause pauses all of it")
    podman.check("pod", "unpause", "pod")
    podman.check("pod", "stop", "pod", "-t", "50")
    checks.equal(podman.check("inspect", "--format", "{{.State.ExitCode}}", "two"), "3", "pod stop sends its signal")
    podman.check("pod", "start", "pod")
    checks.equal(podman.check("exec", "one", "hostname"), "shared", "a pod can be started again")
    podman.check("pod", "rm", "-f", "-t", "0", "pod")
    checks.equal(podman.check("ps", "-a", "-q"), "", "pod rm removes all of it")


def kube(checks, oci, podman):
    (oci.work / "kube.yaml").write_text(MANIFEST)
    podman.check("kube", "play", "--network", "none", oci.work / "kube.yaml")
    c.wait_until("the word is written", lambda: podman("exec", "kube-reader", "cat", "/shared/word").stdout == "hello\n")
    done = podman("exec", "kube-reader", "sh", "-c", "id -u; id -g; pwd; hostname; "
                  "touch /shared/x /x 2>/dev/null || echo refused; grep CapEff /proc/self/status | cut -f2")
    checks.equal(done.stdout.split(), ["5", "6", "/tmp", "desk", "refused", "0000000000000000"],
                 "kube play: containers are as the manifest says, and share its volume") or c.log(done.stderr)
    checks.equal(podman("healthcheck", "run", "kube-reader").returncode, 0, "kube play: its probe is a health check")
    podman.check("kube", "down", "--force", oci.work / "kube.yaml")
    checks.equal((podman.check("pod", "ps", "-q"), podman.check("ps", "-a", "-q")), ("", ""), "kube down removes all of it")


def checkpoints(checks, oci, podman):
    """By CRIU, which takes root."""
    def counts(name):
        return [int(line) for line in podman.check("logs", name).split()]

    def counts_on(name, before):
        c.wait_until(f"{name} counts on", lambda: len(counts(name)) > len(before) + 3)

    podman.check("run", "-d", "--name", "counter", "busy", "sh", "-c",
                 "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done")
    counts_on("counter", [])
    podman.check("container", "checkpoint", "counter")
    before = counts("counter")
    checks.equal(podman.check("inspect", "--format", "{{.State.Status}} {{.State.Checkpointed}}", "counter"), "exited true",
                 "container checkpoint ends it")
    podman.check("container", "restore", "counter")
    counts_on("counter", before)
    seen = counts("counter")
    checks.equal(seen, list(range(1, len(seen) + 1)), "container restore lets it go on, and its log with it")
    checks.equal(podman.check("exec", "counter", "hostname"), podman.check("inspect", "--format", "{{.Config.Hostname}}",
                                                                            "counter"), "exec in it works")
    podman.check("container", "checkpoint", "--leave-running", "--export", oci.work / "counter.tar", "counter")
    checks.equal(podman.check("inspect", "--format", "{{.State.Status}}", "counter"), "running",
                 "--leave-running leaves it so")
    podman.check("rm", "-f", "-t", "0", "counter")
    podman.check("container", "restore", "--import", oci.work / "counter.tar", "--name", "again")
    counts_on("again", seen)
    checks.equal(podman.check("inspect", "--format", "{{.State.Status}}", "again"), "running",
                 "an exported one is restored as another container")
    podman.check("stop", "-t", "0", "again")
    podman.check("rm", "again")
    checks.equal(podman.check("ps", "-a", "-q"), "", "which is stopped and removed as any")


def story(checks):
    oci_bundle.become_reaper()
    oci = oci_bundle.Runtime()
    podman = Podman(oci)
    c.log(podman.check("--version"))
    parts = [containers, volumes, health, pods, kube] + [checkpoints] * (oci_bundle.caller() != oci_bundle.USER)
    for part in parts:
        part(checks, oci, podman)
    left = [str(path) for path in pathlib.Path("/run").glob("**/gantry-oci/*") if path.name != oci_bundle.PROGRAMS]
    checks.equal(left, [], "nothing of a container is left")


if __name__ == "__main__":
    if "PODMAN" not in os.environ:
        peers = subprocess.run([PEERS, "conmon", "podman", "criu"], stdout=subprocess.PIPE, text=True,
                               check=True).stdout.split()
        os.environ["CONMON"], os.environ["PODMAN"] = peers[2], peers[5]
        os.environ["PATH"] += f":{pathlib.Path(peers[8]).parent}"
    oci_bundle.enter_world((oci_bundle.ROOT, oci_bundle.USER))
    c.main(story, oci_bundle.caller())
