#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""containerd of Debian 13, whose runc shim executes gantry-oci: containers are run, entered, paused, measured, limited,
stopped and removed by ctr and by crictl. Given names of parts it tells those alone."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle
from containerd import IMAGE, RUNC_SHIM, Containerd

PEERS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/peers"
ON_HOST_NETWORK = {"security_context": {"namespace_options": {"network": 2, "pid": 1}}}


def by_ctr(checks, containerd):
    done = containerd.run("hello", "echo", "hello", flags=["--rm"])
    checks.equal(done.stdout, "hello\n", "ctr: run shows what the container says")
    checks.equal(containerd.run("seven", "sh", "-c", "exit 7", flags=["--rm"], check=False).returncode, 7,
                 "ctr: and gives its exit code")
    done = containerd.run("missing", "nosuch", flags=["--rm"], check=False)
    checks.contains(done.stderr, "executable file not found in $PATH", "ctr: a program that is not there is named")
    data = containerd.work / "data"
    data.mkdir()
    (data / "file").write_text("content\n")
    done = containerd.run("mounted", "sh", "-c", "cat /data/file; id -u; pwd; echo $A; touch /x 2>/dev/null || echo refused",
                          flags=["--rm", "--mount", f"type=bind,src={data},dst=/data,options=rbind:ro", "--user", "5:6",
                                 "--cwd", "/tmp", "--env", "A=b", "--read-only"])
    checks.equal(done.stdout.split(), ["content", "5", "/tmp", "b", "refused"],
                 "ctr: mounts, user, folder, environment and a read-only root")
    done = containerd.exec("script", "-qec", f"ctr --address {containerd.socket} run --cpu-shares 0 --rm --tty "
                           f"--runtime {RUNC_SHIM} --runc-binary {containerd.program} {IMAGE} terminal tty", "/dev/null")
    checks.contains(done.stdout, "/dev/pts/0", "ctr: run --tty has a terminal")
    containerd.run("long", "sleep", "100000", flags=["--detach"])
    checks.contains(containerd.ctr("tasks", "ls").stdout, "RUNNING", "ctr: a detached one runs")
    done = containerd.ctr("tasks", "exec", "--exec-id", "one", "long", "sh", "-c", "echo here; exit 4", check=False)
    checks.equal((done.returncode, done.stdout), (4, "here\n"), "ctr: exec gives output and exit code")
    checks.contains(containerd.ctr("tasks", "ps", "long").stdout, "PID", "ctr: ps lists processes")
    containerd.ctr("tasks", "pause", "long")
    checks.contains(containerd.ctr("tasks", "ls").stdout, "PAUSED", "ctr: pause stops it for now")
    containerd.ctr("tasks", "resume", "long")
    checks.contains(containerd.ctr("tasks", "ls").stdout, "RUNNING", "ctr: resume lets it go on")
    usage = json.loads(containerd.ctr("tasks", "metrics", "--format", "json", "long").stdout)
    # Of the controllers that this host has for it: there need not be others.
    controllers = oci_bundle.cgroup_folder("").parent.joinpath("cgroup.controllers").read_text().split()
    checks.equal(bool(usage["hugetlb"]), "hugetlb" in controllers, "ctr: metrics are its cgroup's")
    containerd.ctr("tasks", "kill", "--signal", "SIGKILL", "long")
    c.wait_until("it has ended", lambda: "STOPPED" in containerd.ctr("tasks", "ls").stdout)
    containerd.ctr("tasks", "delete", "long", check=False)  # gives its exit code
    containerd.ctr("containers", "delete", "long")
    checks.equal(containerd.ctr("tasks", "ls", "--quiet").stdout, "", "ctr: kill and delete remove it")


def updated(checks, containerd, container):
    """Limits of one that runs, as far as this host has controllers for them."""
    info = containerd.json("inspect", container)["info"]
    place = pathlib.Path(f"/proc/{info['pid']}/cgroup").read_text().splitlines()[-1].partition("::")[2]
    folder = pathlib.Path("/sys/fs/cgroup" + place)
    controllers = (folder / "cgroup.controllers").read_text().split()
    for controller, flags, file, value in (
            ("memory", ["--memory", str(64 << 20)], "memory.max", str(64 << 20)),
            ("cpu", ["--cpu-period", "100000", "--cpu-quota", "30000"], "cpu.max", "30000 100000"),
            ("cpuset", ["--cpuset-cpus", "0"], "cpuset.cpus", "0")):
        done = containerd.crictl("update", *flags, container, check=False)
        what = f"crictl: update {' '.join(flags)}"
        if controller in controllers:
            checks.equal((done.returncode, (folder / file).read_text().strip()), (0, value), what) or c.log(done.stderr)
        else:
            checks.ok(done.returncode != 0 and "linux.resources" in done.stderr and file in done.stderr,
                      f"{what}, which this host can't enforce, is refused by name", done.stderr)
    checks.equal(containerd.container_status(container)["state"], "CONTAINER_RUNNING", "crictl: it goes on through updates")


def by_crictl(checks, containerd):
    pod = containerd.pod_config("pod", linux=ON_HOST_NETWORK)
    pod_id = containerd.run_pod(pod)
    checks.equal(containerd.pod_status(pod_id)["state"], "SANDBOX_READY", "crictl: a pod is ready")
    config = containerd.container_config("web", "trap 'exit 3' TERM; echo started; while :; do sleep 0.05; done")
    config |= {"image": {"image": IMAGE}, "linux": ON_HOST_NETWORK}
    web = containerd.run_container(pod_id, config, pod)
    checks.equal(containerd.container_status(web)["state"], "CONTAINER_RUNNING", "crictl: a container runs in it")
    done = containerd.crictl("exec", "--sync", web, "sh", "-c", "echo here; echo there >&2; exit 0")
    checks.equal((done.stdout + done.stderr).split(), ["here", "there"], "crictl: exec --sync has both streams")
    checks.contains(containerd.refusal("exec", "--sync", web, "sh", "-c", "exit 9"), "9", "crictl: and the exit code")
    done = containerd.exec("script", "-qec", f"crictl --config {containerd.work}/crictl.yaml exec -it {web} tty", "/dev/null")
    checks.contains(done.stdout, "/dev/pts/", "crictl: exec -it has a terminal")
    stats = containerd.json("stats", "-o", "json", "--id", web)["stats"][0]
    checks.ok(stats["attributes"]["id"] == web and int(stats["cpu"]["timestamp"]) > 0, "crictl: stats are taken", stats)
    said = c.wait_until("it has said something", lambda: containerd.crictl("logs", web).stdout)
    checks.equal(said, "started\n", "crictl: logs show what it said")
    updated(checks, containerd, web)
    containerd.crictl("stop", "--timeout", "30", web)
    status = containerd.container_status(web)
    checks.equal((status["state"], status["exitCode"]), ("CONTAINER_EXITED", 3), "crictl: stop sends its signal and waits")
    containerd.crictl("rm", web)
    containerd.crictl("stopp", pod_id)
    containerd.crictl("rmp", pod_id)
    checks.equal((containerd.pods(), containerd.containers()), ({}, {}), "crictl: nothing is listed any more")


def story(checks):
    oci_bundle.become_reaper()
    runtime = oci_bundle.Runtime()
    containerd = Containerd(runtime.work / "containerd", runtime.program)
    c.log(containerd.exec("containerd", "--version").stdout.strip())
    try:
        for part in (by_ctr, by_crictl):
            if part.__name__ in (sys.argv[1:] or part.__name__):
                part(checks, containerd)
        left = [str(path) for path in pathlib.Path("/run/containerd").glob("runc/*/*")]
        checks.equal(left, [], "nothing of a container is left")
    finally:
        containerd.end()
        if checks.failed:
            containerd.log.seek(0)
            c.log("\n".join(containerd.log.read().splitlines()[-60:]))


if __name__ == "__main__":
    if "CONTAINERD" not in os.environ:
        told = subprocess.run([PEERS, "containerd"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        os.environ["CONTAINERD"] = told[2]
    oci_bundle.enter_world()
    c.main(story)
