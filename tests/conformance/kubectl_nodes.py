#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""kubectl logs, exec, attach, port-forward and raw proxies through gantry-control to a node's TLS server (tests/support/kubelet.py), and what it
will not do: give its certificate's word to a node that another CA has signed for."""
import json
import os
import pathlib
import re
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control
from kubelet import Kubelet, make_certificate


def node(name):
    return json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})


def status(port):
    return json.dumps({"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                                  "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}})


def pod(name, node_name, containers=("main",)):
    spec = {"containers": [{"name": container, "image": "i"} for container in containers]}
    if node_name:
        spec["nodeName"] = node_name
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def prepare(control, name, port):
    control.out("create", "-f", "-", given=node(name))
    control.out("patch", "node", name, "--subresource=status", "--type=merge", "-p", status(port))
    control.out("create", "-f", "-", given=pod(f"on-{name}", name))
    # kubectl waits for a pod that runs before it enters it.
    control.out("patch", "pod", f"on-{name}", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Running"}}')


def logs(checks, control, kubelet):
    checks.equal(control.out("logs", "on-n1"), "first line\nsecond line\n", "logs come from the node")
    control.out("logs", "on-n1", "--tail=5", "--timestamps", "--since=1m")
    seen = kubelet.seen[-1]
    checks.equal(seen["path"], "/containerLogs/default/on-n1/main", "the node is asked for the pod's one container")
    checks.equal({name: seen["query"].get(name) for name in ("tailLines", "timestamps", "sinceSeconds")},
                 {"tailLines": ["5"], "timestamps": ["true"], "sinceSeconds": ["60"]}, "with what the client asked for")
    checks.equal(seen["user"], "kube-apiserver-kubelet-client", "by the API server's own certificate")
    checks.ok("authorization" not in seen["headers"], "and without the client's credentials")
    kubelet.refusal = b"container main is waiting to start: ContainerCreating\n"
    done = control.kubectl("logs", "on-n1")
    checks.equal(done.stderr, "Error from server (BadRequest): container main is waiting to start: ContainerCreating\n",
                 "why there is no log is told in the node's words")
    kubelet.refusal = None
    follower = subprocess.Popen(control.kubectl_command("logs", "-f", "on-n1"), stdout=subprocess.PIPE, text=True)
    try:
        first = [follower.stdout.readline() for _ in range(2)]
        checks.equal(first, ["first line\n", "second line\n"], "a log that is followed comes as it is written")
        kubelet.follow.set()
        checks.equal(follower.communicate(timeout=c.PATIENCE)[0], "third line\n", "to its end")
    finally:
        follower.kill()
        follower.wait()


def streams(checks, control, kubelet):
    done = control.kubectl("exec", "on-n1", "--", "echo", "a b")
    checks.equal((done.stdout, "oops" in done.stderr, done.returncode), ("echo a b\n", True, 0),
                 "exec: output, errors and the end come back")
    checks.equal(kubelet.seen[-1]["query"].get("command"), ["echo", "a b"], "the command's words are as they were")
    done = control.kubectl("exec", "-i", "on-n1", "--", "cat", given="in and out\n")
    checks.equal((done.stdout, done.returncode), ("in and out\n", 0), "exec -i: input goes there, its end too")
    done = control.kubectl("exec", "on-n1", "--", "exit", "7")
    checks.equal(done.returncode, 7, "exec: the exit code is the command's")
    done = control.kubectl("attach", "on-n1")
    checks.contains(done.stdout, "attached", "attach")


def forwarded(control, environment):
    """What a port of the pod's sends back, through kubectl port-forward; and what kubectl said."""
    # What it says comes at once, to a file that is no terminal too.
    program = subprocess.Popen(control.kubectl_command("port-forward", "pod/on-n1", ":80"), text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env={**os.environ, "HOME": str(control.folder), **environment})
    try:
        line = program.stdout.readline()
        if not (found := re.search(r"127\.0\.0\.1:(\d+)", line)):
            return b"", line + program.stdout.read()
        answers = []
        for text in (b"one", b"and two"):
            with socket.create_connection(("127.0.0.1", int(found[1])), timeout=c.PATIENCE) as connection:
                connection.sendall(text)
                answers.append(connection.recv(100))
        return b"|".join(answers), line
    finally:
        program.terminate()
        program.wait()


def forwarding(checks, control, kubelet):
    for what, tunnels, environment, upgrade in (
            ("SPDY within a WebSocket", True, {}, "websocket"),
            ("SPDY, where the node takes no WebSocket", False, {}, "spdy/3.1"),
            ("SPDY, as older clients", True, {"KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}, "spdy/3.1")):
        kubelet.tunnels = tunnels
        answer, said = forwarded(control, environment)
        checks.ok(answer == b"ONE|AND TWO", f"port-forward: {what}", (answer, said))
        seen = kubelet.seen[-1]
        checks.equal((seen["path"], seen["headers"].get("upgrade", "").lower()), ("/portForward/default/on-n1", upgrade),
                     "the node is asked for it as the client asks")


def entering(checks, control):
    """Who may get pods/exec, as a role that reads everything says, may not enter one."""
    control.out("create", "role", "reader", "--verb=get", "--resource=pods,pods/exec,pods/log")
    control.out("create", "rolebinding", "readers", "--role=reader", "--user=jane")
    c.wait_until("the binding is known", lambda: control.kubectl("auth", "can-i", "get", "pods", "--subresource=log",
                                                                 "--as=jane").returncode == 0)
    checks.equal(control.out("logs", "on-n1", "--as=jane"), "first line\nsecond line\n", "a reader reads logs")
    done = control.kubectl("exec", "on-n1", "--as=jane", "--", "echo", "a")
    checks.contains(done.stderr, 'cannot create resource "pods/exec"', "and enters nothing")


def proxies(checks, control, kubelet):
    base = "/api/v1/nodes/n1/proxy"
    checks.equal(control.out("get", "--raw", base + "/metrics/x?a=b"), "GET /metrics/x?a=b ", "a proxy's path is the node's")
    checks.contains(control.out("create", "--raw", base + "/x?dryRun=true", "-f", "-", given="{}"), "POST /x?dryRun=true",
                    "and its query is, whatever it means to an API server")
    done = control.kubectl("get", "--raw", base + "/moved", "-v=8")
    checks.contains(done.stderr, f"{base}/elsewhere", "a redirect stays within the proxy")
    done = control.kubectl("get", "--raw", base + "/x", "--as=jane")
    checks.contains(done.stderr, "nodes/proxy", "who may not proxy is refused")


def refusals(checks, control):
    control.out("create", "-f", "-", given=pod("nowhere", ""))
    done = control.kubectl("logs", "nowhere")
    checks.contains(done.stderr, "does not have a host assigned", "a pod without a node has no log")
    control.out("create", "-f", "-", given=pod("two", "n1", ("one", "other")))
    done = control.kubectl("get", "--raw", "/api/v1/namespaces/default/pods/two/log")
    checks.contains(done.stderr, "choose one of: [one other]", "of two containers one must be named")
    done = control.kubectl("logs", "on-n2")
    checks.contains(done.stderr, "error trying to reach", "a node with another CA's certificate is not talked to")


def story(checks):
    with Control(checks) as control:
        ours = make_certificate(control.data / "pki", control.folder)
        other = control.folder / "other"
        other.mkdir()
        theirs = make_certificate(control.data / "pki", other, own_ca=True)
        ca = control.data / "pki/ca.crt"
        with Kubelet(*ours, ca) as kubelet, Kubelet(*theirs, ca) as stranger:
            prepare(control, "n1", kubelet.port)
            prepare(control, "n2", stranger.port)
            logs(checks, control, kubelet)
            streams(checks, control, kubelet)
            forwarding(checks, control, kubelet)
            entering(checks, control)
            proxies(checks, control, kubelet)
            refusals(checks, control)
            checks.equal(stranger.seen, [], "the stranger heard nothing")


c.main(story)
