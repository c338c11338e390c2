#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# faults
"""gantryd started without the data that names what lives ends none of it: its own 20 pods, and those of another gantryd."""
import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import CRICTL, IMAGE
from loggers import newest_line
from node import BIN, Node, is_alive

PODS = 20
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  containers:
  - name: main
    image: {image}
    command: ["/bin/sh", "-c", "echo mine > /data/file; echo up; sleep 10000"]
    volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, emptyDir: {{}}}}]
  terminationGracePeriodSeconds: 1
"""
SCRIPT = "while :; do echo tick; sleep 0.2; done"


class Pods:
    """Running pods of a node: what must not end."""

    def __init__(self, node, count):
        self.node, self.logs, self.pids = node, [], []
        for number in range(count):
            pod = node.pod_config(f"{node.name}-{number}")
            pod_id = node.run_pod(pod)
            container = node.container_config("main", SCRIPT)
            self.pids.append(node.container_pid(node.run_container(pod_id, container, pod)))
            self.pids += node.pids(f"pods/shims/{pod_id}")
            self.logs.append(node.log_of(pod, container))
        self.states = self.shown()
        self.links = self.links_now()

    def shown(self):
        return ({i: item["state"] for i, item in self.node.pods().items()},
                {i: item["state"] for i, item in self.node.containers().items()})

    def check_alive(self, checks, when):
        ended = [pid for pid in self.pids if not is_alive(pid)]
        checks.ok(not ended, f"{when}: all {len(self.pids)} processes of the {len(self.logs)} pods live on", f"ended: {ended}")
        old = [newest_line(path) for path in self.logs]
        c.wait_until("all containers log on",
                     lambda: all(newest_line(path) > line for path, line in zip(self.logs, old)))
        checks.equal(self.links_now(), self.links, f"{when}: their links are there, and they log on")

    def links_now(self):
        """Their network interfaces. Not those of sandboxes that wait in a pool: they are nobody's."""
        shown = json.loads(self.node.exec("ip", "-json", "link", "show").stdout)
        return {link["ifname"] for link in shown if any(pod in link.get("ifalias", "") for pod in self.states[0])}


def said(node, since):
    """What gantryd's log and its status say now."""
    with open(node.log_file, errors="replace") as log:
        log.seek(since)
        return log.read(), node.crictl("info").stdout


def check_reported(checks, node, since, ids, when):
    with contextlib.suppress(c.Failure):
        c.wait_until("both name them", lambda: all(all(i in text for i in ids) for text in said(node, since)))
    log, info = said(node, since)
    checks.ok(all(i in log for i in ids), f"{when}: gantryd's log names each of them as left alone", log[-3000:])
    checks.ok(all(i in info for i in ids), f"{when}: so does its status (crictl info)", info[-3000:])


def without_data(checks, node, pods):
    """Its own pods, with an empty data folder and with a folder that has lost its database."""
    known = pods.states
    away = node.state / "lib.away"
    for when in ("empty data folder", "no database"):
        since = node.log_file.stat().st_size
        if when == "empty data folder":
            with node.without_gantryd():
                node.lib.rename(away)
                node.lib.mkdir(mode=0o700)
        else:
            away.mkdir()
            with node.without_gantryd():
                for path in node.lib.glob("gantry.db*"):
                    path.rename(away / path.name)
        pods.check_alive(checks, when)
        check_reported(checks, node, since, known[0], when)
        # It is a working node beside them: its new pod gets an address that none of them has.
        node.build_image()
        config = node.pod_config(f"beside-{when.replace(' ', '-')}")
        beside = node.run_pod(config)
        container = node.run_container(beside, node.container_config("main", SCRIPT), config)
        checks.equal(node.container_status(container)["state"], "CONTAINER_RUNNING", f"{when}: new pods run beside them")
        node.crictl("rmp", "--force", beside)
        node.kill_gantryd()
        node.wait_for_gantryd()
        pods.check_alive(checks, f"{when}, started once more")
        with node.without_gantryd():
            if when == "empty data folder":
                shutil.rmtree(node.lib)
                away.rename(node.lib)
            else:
                for path in list(node.lib.glob("gantry.db*")):
                    path.unlink()
                for path in away.iterdir():
                    path.rename(node.lib / path.name)
                away.rmdir()
        pods.check_alive(checks, f"{when}, data put back")
        checks.equal(pods.shown(), known, f"{when}, data put back: crictl shows them all as before")


def manifest_pods(node):
    """{name: pod id} of those that run from a manifest, by the container that runs in each."""
    running = {item["podSandboxId"] for item in node.containers().values() if item["state"] == "CONTAINER_RUNNING"}
    return {item["metadata"]["name"]: i for i, item in node.pods().items()
            if i in running and item["metadata"]["name"].startswith("from-file")}


def without_data_of_manifests(checks, node):
    """Pods of the agent, with an empty data folder: they are not run a second time, and going, their manifests take nothing with them."""
    names = ("from-file-a", "from-file-b")
    for name in names:
        (node.manifests / f"{name}.yaml").write_text(MANIFEST.format(name=name, image=IMAGE))
    ids = c.wait_until("the pods of the manifests run", lambda: len(pods := manifest_pods(node)) == len(names) and pods)
    known = (set(node.pods()), set(node.containers()))
    pids = [pid for i in ids.values() for pid in node.pids(f"pods/shims/{i}")]
    pids += [node.container_pid(i) for i, item in node.containers().items() if item["podSandboxId"] in ids.values()]
    volumes = c.wait_until("they have written into their volumes",
                           lambda: len(files := sorted((node.state / "kubelet/pods").glob(
                               "*/volumes/kubernetes.io~empty-dir/data/file"))) == len(names) and files)
    away = node.state / "lib.away"
    since = node.log_file.stat().st_size
    with node.without_gantryd():
        node.lib.rename(away)
        node.lib.mkdir(mode=0o700)
    node.build_image()
    c.wait_until("gantryd's log says why neither runs again", lambda: all(
        f"{name}" in said(node, since)[0] and f"runs in sandbox {i} (shim pid" in said(node, since)[0] for name, i in ids.items()))
    checks.equal((node.pods(), node.containers()), ({}, {}), "manifests, empty data folder: no second sandbox is made")
    for name in names:
        (node.manifests / f"{name}.yaml").unlink()
    node.run_pod(node.pod_config("later"))  # the agent has long seen that they are gone
    checks.ok(all(is_alive(pid) for pid in pids), "manifests, empty data folder: their processes live on")
    checks.ok(all(path.read_text() == "mine\n" for path in volumes if path.exists()) and all(path.exists() for path in volumes),
              "manifests, empty data folder: their volumes are there when the manifests are gone", str(volumes))
    with node.without_gantryd():
        shutil.rmtree(node.lib)
        away.rename(node.lib)
        for name in names:
            (node.manifests / f"{name}.yaml").write_text(MANIFEST.format(name=name, image=IMAGE))
    checks.ok(known[0] <= set(node.pods()) and known[1] <= set(node.containers()), "manifests, data put back: crictl shows them all")
    checks.ok(all(is_alive(pid) for pid in pids), "manifests, data put back: with the processes of before")
    for name in names:
        (node.manifests / f"{name}.yaml").unlink()
    c.wait_until("they end with their manifests", lambda: not manifest_pods(node))


def shims_of(node):
    return {path.name for path in (node.cgroup / "pods/shims").iterdir() if path.is_dir()}


def with_the_data_of_another(checks, node, pods, other, others):
    """A copy of another node's data folder in the place of its own."""
    away = node.state / "lib.away"
    since = node.log_file.stat().st_size
    with node.without_gantryd():
        shims = shims_of(node)
        node.lib.rename(away)
        with other.without_gantryd():  # a copy of a database that is at rest
            shutil.copytree(other.lib, node.lib, symlinks=True, ignore=shutil.ignore_patterns("store"))
            node.lib.chmod(0o700)
    pods.check_alive(checks, "another's data folder")
    others.check_alive(checks, "another's data folder, that other")
    log, info = said(node, since)
    checks.contains(log + info, "instance", "another's data folder: gantryd says that it is another's")
    # Nothing is changed: not by calls, not by a manifest, and no sandbox is made ahead.
    (node.manifests / "not-now.yaml").write_text(MANIFEST.format(name="not-now", image=IMAGE))
    file = node.write(node.pod_config("not-now"))
    pod_id, container = next(iter(others.states[0])), next(iter(others.states[1]))
    for call in (("runp", file), ("stopp", pod_id), ("rmp", "--force", pod_id), ("stop", container), ("rm", container),
                 ("start", container), ("create", pod_id, node.write(node.container_config("new", "true")), file)):
        checks.contains(node.refusal(*call), ["FailedPrecondition", "put the store back"], f"another's data folder: {call[0]} is refused")
    checks.equal(set(node.pods()), set(others.states[0]), "another's data folder: the lists show what is written in it")
    checks.equal(shims_of(node), shims, "another's data folder: the shims are those of before")
    (node.manifests / "not-now.yaml").unlink()
    with node.without_gantryd():
        shutil.rmtree(node.lib)
        away.rename(node.lib)
    pods.check_alive(checks, "another's data folder, own put back")
    checks.equal(pods.shown(), pods.states, "another's data folder, own put back: crictl shows them all as before")


@contextlib.contextmanager
def second_gantryd(node):
    """Another gantryd, with folders of its own, in the node's network, mounts and cgroup folder."""
    folder = node.work / "second"
    folder.mkdir()
    log = open(folder / "log", "wb")
    command = [BIN / "gantry", "node", "exec", node.name, "--", BIN / "gantryd", f"--root={folder}/lib", "--run=/run/second",
               f"--kubelet-root={folder}/kubelet", f"--manifest-dir={folder}/manifests", f"--pod-logs={folder}/logs",
               f"--container-logs={folder}/containers", f"--cgroup-root=/gantry-node-{node.name}/pods",
               "--pod-cidr=10.89.0.0/16", "--node-name=second"]
    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process, folder
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(c.PATIENCE)
        log.close()
        if process.returncode != 0:
            for line in (folder / "log").read_text(errors="replace").splitlines()[-20:]:
                c.log(f"second gantryd: {line}")


def beside_another(checks, node, pods):
    settings = node.work / "crictl-second.yaml"
    settings.write_text(CRICTL.format(socket="unix:///run/second/gantryd.sock"))

    def crictl(*arguments, check=True):
        return node.exec("crictl", "--config", settings, *arguments, check=check)

    with second_gantryd(node) as (process, _):
        c.wait_until("the second gantryd answers",
                     lambda: process.poll() is not None or crictl("version", check=False).returncode == 0)
        if not checks.ok(process.poll() is None, "a second gantryd, with folders of its own, runs in the same namespaces"):
            return
        checks.equal(json.loads(crictl("pods", "-o", "json").stdout)["items"] or [], [], "it knows none of the first's pods")
        pods.check_alive(checks, "beside another gantryd")
        config = node.write(node.pod_config("second"))
        second = crictl("runp", config).stdout.strip()
        node.kill_gantryd()
        node.wait_for_gantryd()
        pods.check_alive(checks, "beside another gantryd, started once more")
        shown = json.loads(crictl("inspectp", second).stdout)
        checks.equal(shown["status"]["state"], "SANDBOX_READY", "nor does the first end what is the second's")
        checks.ok(is_alive(int(shown["info"]["pid"])), "whose shim lives")
        crictl("rmp", "--force", second)
    pods.check_alive(checks, "the other gantryd stopped")
    # A third one that would share the first's folders is refused.
    refused = node.exec(BIN / "gantryd", f"--root={node.lib}", check=False)
    checks.ok(refused.returncode != 0, "one more with the same folders is refused")
    checks.contains(refused.stderr + refused.stdout, ["in use", str(node.gantryd_pid())], "and told who has them")


def story(checks):
    with Node(checks) as node, Node(checks, "o") as other:
        for each in (node, other):
            each.build_image()
        without_data_of_manifests(checks, node)
        pods, others = Pods(node, PODS), Pods(other, 3)
        without_data(checks, node, pods)
        others.check_alive(checks, "the other node's pods")
        with_the_data_of_another(checks, node, pods, other, others)
        beside_another(checks, node, pods)
        checks.equal(others.shown(), others.states, "the other node shows all of its pods as before")


c.main(story)
