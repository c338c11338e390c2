#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# kernels: debian13
"""The package on a machine with systemd: installed, it runs pods; restarted, upgraded, killed and stopped, it leaves them alone;
after a reboot they come back; purged, it leaves nothing."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import IMAGE
from vm.node import VmNode

MANIFEST = f"""
apiVersion: v1
kind: Pod
metadata: {{name: web}}
spec:
  containers:
  - name: web
    image: {IMAGE}
    command: [/bin/sh, -c, "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www"]
"""
CONFIG = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
healthzBindAddress: {address}
healthzPort: {port}
"""
STREAMING_PORT, HEALTH_PORT = 10350, 10349
ASK = "curl -s -m 300 http://{address}/"
# What asks without a pause writes a line for each answer; its own end is the file's.
ASK_ON = "while [ ! -e /run/enough ]; do [ \"$({ask})\" = hello ] && echo answered || echo refused; done > /run/answers"


class Web:
    """The pod of the manifest, as it runs now."""

    def __init__(self, node):
        self.node = node
        self.container = c.wait_until("the pod runs", self._running, 120)
        self.pid = node.container_pid(self.container["id"])
        self.address = node.pod_status(self.container["podSandboxId"])["network"]["ip"]

    def _running(self):
        return next((item for item in self.node.containers().values() if item["state"] == "CONTAINER_RUNNING"), None)

    def ask(self):
        return self.node.machine.run(*ASK.format(address=self.address).split(), check=False)[1]

    def answers(self):
        return c.wait_until("the pod answers", lambda: self.ask() == "hello\n", 60)


def unit_property(node, name, unit="gantryd.service"):
    return node.machine.run("systemctl", "show", "--value", "-p", name, unit).strip()


def stream_port(node):
    """Where gantryd listens for exec's streams, which goes over from one to the next."""
    return node.machine.shell("ss -Hltn src 127.0.0.1").split()[3]


def installed(checks, node):
    checks.equal(unit_property(node, "ActiveState"), "active", "installed, gantryd is a service that runs")
    checks.equal(node.machine.shell("mkdir -p /etc/gantry/manifests; stat -c %a /run/gantry/gantryd.sock").strip(), "600",
                 "whose socket is root's alone")
    node.put("/etc/gantry/manifests/web.yaml", MANIFEST)
    web = Web(node)
    checks.ok(web.answers(), "a pod from the manifest folder answers")
    checks.equal(node.read(f"/proc/{unit_property(node, 'MainPID')}/cgroup").strip(), "0::/system.slice/gantryd.service",
                 "gantryd's cgroup is its service's")
    checks.ok(str(node.cgroup_of(web.container["id"])).startswith("/sys/fs/cgroup/gantry-pods.scope/kubepods/"),
              "the pod's is beneath a scope of its own", node.cgroup_of(web.container["id"]))
    return web


def same(checks, node, web, after):
    now = Web(node)
    checks.equal((now.container["id"], now.pid, now.ask()), (web.container["id"], web.pid, "hello\n"),
                 f"{after} the pod's process is the one that it was, and answers")


def replaced(checks, node, web):
    asking = node.machine.start("sh", "-c", ASK_ON.format(ask=ASK.format(address=web.address)))
    first, streams = unit_property(node, "MainPID"), stream_port(node)
    node.install(node.versions[1])
    checks.equal(node.machine.run("dpkg-query", "-W", "-f", "${Version}", "gantry"), node.versions[1], "the package is upgraded")
    checks.ok(unit_property(node, "MainPID") != first, "and gantryd replaced")
    same(checks, node, web, "after an upgrade")
    checks.equal(stream_port(node), streams, "the streaming server's port is what it was")
    refused = []
    for _ in range(5):
        restarted = node.machine.start("systemctl", "restart", "gantryd")
        answer = node.crictl("version", check=False)
        refused += [answer.stderr] * any(text in answer.stderr for text in ("refused", "no such file"))
        restarted.wait(300)
    checks.equal(refused, [], "who calls the CRI while gantryd restarts waits, and is not refused")
    node.machine.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "gantryd")
    c.wait_until("gantryd is back", lambda: node.crictl("version", check=False).returncode == 0, 60)
    same(checks, node, web, "after a kill -9 of gantryd")
    node.machine.run("touch", "/run/enough")
    asking.wait(600)
    answers = node.read("/run/answers").split()
    checks.ok(answers.count("answered") > 50 and "refused" not in answers, "all the while not one request was refused",
              f"{len(answers)} requests, {answers.count('refused')} refused")
    node.machine.run("systemctl", "stop", "gantryd")
    checks.equal(web.ask(), "hello\n", "with gantryd stopped the pod answers")
    node.machine.run("systemctl", "start", "gantryd")
    same(checks, node, web, "started again")


def listeners(node, port):
    return [line.split()[3] for line in node.machine.shell(f"ss -Hltn 'sport = :{port}'").splitlines()]


def moved(checks, node):
    """The sockets that systemd keeps from one gantryd to the next are where it is said now, or nowhere."""
    for streaming, health in (("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "0.0.0.0")):
        node.put("/etc/gantry/kubelet.yaml", CONFIG.format(address=health, port=HEALTH_PORT))
        node.restart_with("--kubelet-config=/etc/gantry/kubelet.yaml", f"--streaming-address={streaming}",
                          f"--streaming-port={STREAMING_PORT}")
        wanted = [[f"{streaming}:{STREAMING_PORT}"], [f"{health}:{HEALTH_PORT}"]]
        c.wait_until(f"it listens on {streaming} and {health}", lambda wanted=wanted: [
            listeners(node, port) for port in (STREAMING_PORT, HEALTH_PORT)] == wanted, 120)
        said = node.machine.run("curl", "-s", "-m", "120", f"http://127.0.0.1:{HEALTH_PORT}/healthz")
        checks.equal(said.strip(), "ok",
                     f"restarted with these ports, it serves on {health}")
    node.put("/etc/gantry/kubelet.yaml", CONFIG.format(address="127.0.0.1", port=0))
    node.restart_with("--kubelet-config=/etc/gantry/kubelet.yaml")
    refused = node.machine.run("curl", "-s", "-m", "120", f"http://127.0.0.1:{HEALTH_PORT}/healthz", check=False)
    checks.equal((refused[0], listeners(node, STREAMING_PORT), listeners(node, HEALTH_PORT)), (7, [], []),
                 "ports that it does not serve any more refuse")
    node.restart_with(*node.flags)


def rebooted(checks, node, web):
    node.machine.reboot()
    now = Web(node)
    checks.ok(now.answers() and now.container["id"] != web.container["id"], "after a reboot the pod comes back")


def purged(checks, node):
    node.put("/var/lib/kubelet/pods/another/volumes/data", "another's")
    node.machine.run("dpkg", "--remove", "gantry")
    node.machine.run("dpkg", "--purge", "gantry")
    unlooked = " ".join(f"-path {path} -prune -o" for path in ("/opt", "/root", "/proc", "/var/log", "/var/lib/systemd"))
    look = {
        "processes": "ps -eo comm= | grep -E '^(gantryd|gantry-(shim|log|init)|httpd)' || true",
        "links": "ip -br link | grep -v -E '^(lo|eth0) ' || true",
        "rules": "nft list ruleset",
        "AppArmor profiles": "grep gantry /sys/kernel/security/apparmor/profiles || true",
        "mounts": "grep -E 'gantry|kubelet' /proc/mounts | grep -v cargo || true",
        "cgroups": "find /sys/fs/cgroup -name '*gantry*' -not -name 'gantry-vm-agent*'",
        "files": f"find / -xdev {unlooked} -iname '*gantry*' -not -name 'gantry-vm-agent*' -print",
    }
    for what, command in look.items():
        checks.equal(node.machine.shell(command), "", f"purged, it leaves no {what}")
    checks.equal(node.read("/var/lib/kubelet/pods/another/volumes/data"), "another's", "and what a kubelet has stays")


def main(checks):
    with VmNode(checks, versions=("1.0", "1.1")) as node:
        web = installed(checks, node)
        replaced(checks, node, web)
        moved(checks, node)
        rebooted(checks, node, web)
        purged(checks, node)


c.main(main)
