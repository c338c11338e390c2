#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""gantryd as a node of a cluster: it joins by a token, registers itself, says how it is and that it lives, also after each of the two
was killed, and while the API is away."""
# tools: crictl
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import NODE_ADDRESS, JoiningNode, NodeControl


def joining(checks, node, control):
    words = control.join_words()
    wrong = node.join([*words[:-1], "sha256:" + "0" * 64], check=False)
    checks.ok(wrong.returncode and "no CA with the hash" in wrong.stderr, "another cluster than the one that was meant is not joined",
              wrong.stderr)
    wrong = node.join([*words[:4], words[4][:7] + "0" * 16, *words[5:]], check=False)
    checks.ok(wrong.returncode and "Unauthorized" in wrong.stderr, "nor one with a wrong token", wrong.stderr)
    checks.ok(not node.kubeconfig.exists(), "and nothing is written")
    node.join(words)
    current = node.pki / "kubelet-client-current.pem"
    checks.equal((current.stat().st_mode & 0o777, node.kubeconfig.stat().st_mode & 0o777), (0o600, 0o600),
                 "what it has got nobody else reads")
    done = subprocess.run(["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", current], capture_output=True, text=True)
    checks.contains(done.stdout, f"CN=system:node:{node.name},O=system:nodes", "it has a node's certificate")
    node.kill_gantryd()
    node.wait_until_ready(control)
    checks.ok(True, "with it gantryd registers the node, which is Ready")


def serving(checks, node, control):
    authority = control.folder / "ca.crt"
    authority.write_text(control.out("get", "configmap", "kube-root-ca.crt", "-o", r"jsonpath={.data.ca\.crt}"))
    def answers():
        done = subprocess.run([*control.enter, "curl", "-s", "--cacert", authority, "-o", "/dev/null", "-w", "%{http_code}",
                               f"https://{NODE_ADDRESS}:10250/pods"], capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else None
    checks.equal(c.wait_until("the node shows a certificate of the cluster's CA", answers), "401",
                 "it asks for a serving certificate, gets it, and shows it")
    checks.ok((node.pki / "kubelet-server-current.pem").exists(), "it is kept beside the one that the node joined with")


def telling(checks, node, control):
    described = control.out("describe", "node", node.name)
    checks.contains(described, ["kubernetes.io/os=linux", f"kubernetes.io/hostname={node.name}", "KubeletHasSufficientMemory",
                                "KubeletHasNoDiskPressure", "KubeletHasSufficientPID", "kubelet is posting ready status",
                                f"InternalIP:  {NODE_ADDRESS}", f"Hostname:    {node.name}", "v1.37.0-gantry.", "gantry://",
                                "Operating System:           linux"], "kubectl describe node tells what users know")
    seen = control.json("get", "node", node.name)
    machine = seen["status"]["nodeInfo"]
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    checks.equal((machine["bootID"], machine["kernelVersion"], machine["operatingSystem"]),
                 (boot, pathlib.Path("/proc/sys/kernel/osrelease").read_text().strip(), "linux"), "it tells of this machine")
    total = next(line.split()[1] for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    capacity, allocatable = seen["status"]["capacity"], seen["status"]["allocatable"]
    checks.equal((capacity["memory"], capacity["pods"]), (f"{total}Ki", "110"), "its capacity is the machine's")
    checks.equal(allocatable["memory"], f"{int(total) - 100 * 1024}Ki", "of which eviction keeps a part free")
    node.build_image("registry.example/tools:1")
    node.kill_gantryd()  # it looks at images when it starts
    c.wait_until("the node lists its images", lambda: "registry.example/tools:1" in control.out(
        "get", "node", node.name, "-o", "jsonpath={.status.images[*].names}"))
    checks.ok(True, "it tells which images it has")
    control.out("patch", "node", node.name, "--subresource=status", "--type=strategic", "-p",
                '{"status":{"conditions":[{"type":"Ready","status":"Unknown"},{"type":"Other","status":"True"}]}}')
    node.wait_until_ready(control)
    checks.equal(node.condition(control, "Other").get("status"), "True", "what others say of it stays, what is its own is put right")


def renewed(node, control):
    done = control.kubectl("get", "lease", "-n", "kube-node-lease", node.name, "-o", "jsonpath={.spec.renewTime}")
    return done.stdout if done.returncode == 0 else ""


def wait_for_renewal(node, control, before):
    c.wait_until("the lease is renewed", lambda: renewed(node, control) not in ("", before), pause=0.2)


def living(checks, node, control):
    lease = control.json("get", "lease", "-n", "kube-node-lease", node.name)
    owner = lease["metadata"]["ownerReferences"][0]
    checks.equal((lease["spec"]["holderIdentity"], lease["spec"]["leaseDurationSeconds"], owner["kind"], owner["name"]),
                 (node.name, 40, "Node", node.name), "its Lease is as kubelet's")
    wait_for_renewal(node, control, lease["spec"]["renewTime"])
    control.out("delete", "lease", "-n", "kube-node-lease", node.name)
    wait_for_renewal(node, control, "")
    checks.ok(True, "and is renewed, also when somebody has removed it")


def dying(checks, node, control):
    since = node.condition(control)["lastTransitionTime"]
    before = renewed(node, control)
    node.kill_gantryd()
    wait_for_renewal(node, control, before)
    control.kill()
    node.kill_gantryd()
    node.wait_for_gantryd()
    checks.ok(True, "without the API gantryd starts and serves")
    pid = node.gantryd_pid()
    control.start()
    wait_for_renewal(node, control, renewed(node, control))
    checks.equal(node.gantryd_pid(), pid, "and is a node of its cluster again when that is back, without a start")
    node.wait_until_ready(control)
    checks.equal(node.condition(control)["lastTransitionTime"], since, "nobody saw it not ready meanwhile")


def leaving(checks, node, control):
    control.out("label", "node", node.name, "example.com/mine=yes", "kubernetes.io/os-")
    node.kill_gantryd()
    c.wait_until("the node has its labels again", lambda: control.kubectl(
        "get", "node", "-l", "kubernetes.io/os=linux,example.com/mine=yes", "-o", "name").stdout.strip() == f"node/{node.name}")
    checks.ok(True, "a node that is there keeps what others gave it, and gets what it lacks")
    uid = control.out("get", "node", node.name, "-o", "jsonpath={.metadata.uid}")
    control.out("delete", "node", node.name)
    node.kill_gantryd()
    c.wait_until("it is registered anew", lambda: control.kubectl(
        "get", "node", node.name, "-o", "jsonpath={.metadata.uid}").stdout not in ("", uid))
    node.wait_until_ready(control)
    checks.ok(True, "one that was deleted registers itself at the next start")


def story(checks):
    with JoiningNode(checks) as node, NodeControl(checks, node) as control:
        joining(checks, node, control)
        node.approve_serving(control)
        serving(checks, node, control)
        telling(checks, node, control)
        living(checks, node, control)
        dying(checks, node, control)
        leaving(checks, node, control)


c.main(story)
