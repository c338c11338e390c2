#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""The node API on port 10250: real kubectl's logs, exec, attach, port-forward and cp through gantry-control, what curl sees of the
node itself, and those who have no certificate, another CA's, or no right."""
import json
import os
import pathlib
import re
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import NODE_ADDRESS, JoiningNode, NodeControl
from cri_client import IMAGE
from kubelet import make_certificate, subject_of

POD = f"""
apiVersion: v1
kind: Pod
metadata: {{name: web}}
spec:
  automountServiceAccountToken: false
  nodeName: {{node}}
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: {IMAGE}
    stdin: true
    readinessProbe: {{exec: {{command: [/bin/sh, -c, exit 0]}}, periodSeconds: 1, timeoutSeconds: 60}}
    command: [/bin/sh, -c, "echo one; echo two >&2; echo three; while read line; do echo got $line; done; sleep 1000"]
  - name: again
    image: {IMAGE}
    command: [/bin/sh, -c, "n=$(cat /out/n 2>/dev/null); n=$((n + 1)); echo $n > /out/n; echo run $n; [ $n -gt 1 ] || exit 3; sleep 1000"]
    volumeMounts: [{{name: out, mountPath: /out}}]
  - name: server
    image: {IMAGE}
    command: [/bin/sh, -c, "mkdir /tmp/www; echo served > /tmp/www/index.html; exec busybox httpd -f -p 8080 -h /tmp/www"]
  volumes:
  - {{name: out, emptyDir: {{}}}}
"""
PORT = 10250


class Api:
    """The node's port, asked from inside the node's network."""

    def __init__(self, node, control):
        self.node, self.control = node, control
        self.certificate, self.key = control.administrator()

    def get(self, path, *arguments, limit=60):
        """(status, body)."""
        done = subprocess.run([*self.control.enter, "curl", "-sk", "--path-as-is", "-m", str(limit), "-w", "\n%{http_code}",
                               *map(str, arguments), f"https://127.0.0.1:{PORT}{path}"], capture_output=True, text=True)
        if done.returncode:
            raise c.Failure(f"curl {path}: {done.returncode} {done.stderr}")
        body, status = done.stdout.rsplit("\n", 1)
        return int(status), body

    def as_admin(self, path, *arguments, **options):
        return self.get(path, "--cert", self.certificate, "--key", self.key, *arguments, **options)


def strangers(checks, api, control, node):
    for path in ("/healthz", "/pods", "/nothing", "/exec/default/web/web?command=id&output=1"):
        checks.equal(api.get(path), (401, "Unauthorized\n"), f"nobody asks {path}")
    folder = node.work / "other"
    folder.mkdir()
    certificate, key = make_certificate(control.data / "pki", folder, own_ca=True)
    checks.equal(api.get("/pods", "--cert", certificate, "--key", key)[0], 401, "another CA's certificate is none")
    checks.equal(api.get("/pods", "-H", "Authorization: Bearer a.b.c")[0], 401, "an invented token is none")
    control.out("create", "serviceaccount", "robot")
    token = ("-H", "Authorization: Bearer " + control.out("create", "token", "robot").strip())
    status, said = api.get("/stats/summary", *token)
    checks.equal((status, said), (403, "Forbidden (user=system:serviceaccount:default:robot, verb=get, resource=nodes, "
                                       "subresource(s)=[stats])\n"), "a token without a right is told which one it lacks")
    control.out("create", "clusterrole", "reader", "--verb=get", "--resource=nodes/proxy,nodes/metrics")
    control.out("create", "clusterrolebinding", "readers", "--clusterrole=reader", "--serviceaccount=default:robot")
    c.wait_until("the binding counts", lambda: api.get("/metrics", *token)[0] == 200, limit=120)
    checks.equal(api.get("/pods", *token)[0], 200, "nodes/proxy opens what has a finer name, too")
    upgrade = ("-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13", "-H",
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "-H", "Sec-WebSocket-Protocol: v4.channel.k8s.io", "--http1.1")
    status, said = api.get(f"/exec/default/web/web?command=id&output=1", *token, *upgrade)
    checks.equal(status, 403, "but who may only get enters no container, by a WebSocket neither")
    checks.contains(said, "verb=create", "which needs the right to create")


def tricks(checks, api, name):
    for path in (f"/containerLogs/default/{name}/../../../../etc/passwd", f"/containerLogs/default/{name}/..%2f..%2fetc%2fpasswd",
                 f"/containerLogs/default/{name}/web%00", f"/containerLogs/default/{name}/%2e%2e", "/containerLogs/../pods",
                 f"/containerLogs/default/{name}/web/0.log", f"/exec/default/{name}/a/b/c"):
        checks.equal(api.as_admin(path), (404, "404 page not found\n"), f"{path} is no route")
    checks.equal(api.as_admin(f"/containerLogs/default/{name}/passwd")[0], 404, "a container that the pod has not")
    checks.equal(api.as_admin("/pods", "-X", "DELETE")[0], 405, "what only reads is only read")


def the_node(checks, api, node, name):
    checks.equal(api.as_admin("/healthz"), (200, "ok\n"), "/healthz")
    pods = json.loads(api.as_admin("/pods")[1])
    found = [pod for pod in pods["items"] if pod["metadata"]["name"] == name]
    checks.equal([pod["status"]["phase"] for pod in found], ["Running"], "/pods has the pod as it is")
    running = json.loads(api.as_admin("/runningpods/")[1])["items"]
    checks.equal(sorted(one["name"] for pod in running for one in pod["spec"]["containers"]), ["again", "server", "web"],
                 "/runningpods/ has what runs")
    summary = json.loads(api.as_admin("/stats/summary")[1])
    checks.equal(summary["node"]["nodeName"], node.name, "/stats/summary is this node's")
    checks.ok(all(summary["node"][part] for part in ("cpu", "memory", "fs", "rlimit", "runtime")), "of all that a node has",
              list(summary["node"]))
    checks.equal([pod["podRef"]["name"] for pod in summary["pods"]], [name], "and of its pods")
    of_pod = summary["pods"][0]
    checks.ok(of_pod["ephemeral-storage"]["usedBytes"] > 0, "with what they have on the disk", of_pod["ephemeral-storage"])
    checks.ok(all(one["logs"]["usedBytes"] > 0 for one in of_pod["containers"] if one["name"] == "web"), "and logs",
              [one.get("logs") for one in of_pod["containers"]])
    resource = api.as_admin("/metrics/resource")[1]
    for family in ("node_cpu_usage_seconds_total", "node_memory_working_set_bytes", "container_start_time_seconds"):
        checks.contains(resource, f"\n{family}", "/metrics/resource has what metrics-server reads")
    checks.contains(resource, "\nresource_scrape_error 0\n", "without an error")
    page = api.as_admin("/metrics/cadvisor")[1]
    checks.contains(page, "\nmachine_cpu_cores ", "/metrics/cadvisor")
    for family in ("container_start_time_seconds", "container_spec_cpu_shares", "container_processes"):
        samples = [dict(re.findall(r'(\w+)="([^"]*)"', line)) for line in page.splitlines() if line.startswith(family + "{")]
        seen = sorted(one["container"] for one in samples if one["container"])
        checks.equal(seen, ["again", "server", "web"], f"has {family} of each container")
        checks.ok(all(one["namespace"] == "default" and one["pod"] == name and IMAGE in one["image"] and one["id"]
                      for one in samples if one["container"]), "with what cAdvisor's readers join by", samples)
    checks.contains(api.as_admin("/metrics")[1], f'kubelet_node_name{{node="{node.name}"}} 1', "/metrics")
    checks.contains(api.as_admin("/metrics")[1], ['path="metrics"', "\nkubelet_pod_start_duration_seconds_count "],
                    "which counts its own requests, and how long pods took to run")
    checks.contains(api.as_admin("/metrics")[1], ['\nkubelet_runtime_operations_total{operation_type="create_container"} ',
                                                  'kubelet_runtime_operations_duration_seconds_count{operation_type="run_podsandbox"} '],
                    "and what was asked of the runtime")
    checks.contains(api.as_admin("/metrics/slis")[1], '\nkubernetes_healthcheck{name="syncloop",type="healthz"} 1', "/metrics/slis")
    uid = found[0]["metadata"]["uid"]
    probed = (f'prober_probe_total{{container="web",namespace="default",pod="{name}",pod_uid="{uid}",probe_type="Readiness",'
              'result="successful"}')
    c.wait_until("/metrics/probes counts the pod's", lambda: probed in api.as_admin("/metrics/probes")[1])
    checks.contains(api.as_admin("/metrics/probes")[1],
                    f'prober_probe_duration_seconds_count{{container="web",namespace="default",pod="{name}",probe_type="Readiness"}} ',
                    "and says how long they took")


def configuration(checks, control, node):
    """As people ask for it."""
    told = json.loads(control.out("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/configz"))
    config = told["kubeletconfig"]
    checks.equal(list(told), ["kubeletconfig"], "/configz")
    checks.equal({field: config[field] for field in ("maxPods", "evictionHard", "nodeStatusUpdateFrequency", "port")},
                 {"maxPods": 110, "evictionHard": {"memory.available": "100Mi"}, "nodeStatusUpdateFrequency": "10s", "port": PORT},
                 "has what the files say and the defaults")


def logs(checks, control, name):
    def said(*arguments, container="web"):
        return control.out("logs", name, "-c", container, *arguments)
    c.wait_until("the pod has said all", lambda: len(said().splitlines()) == 3)
    checks.equal(sorted(said().splitlines()), ["one", "three", "two"], "logs")
    checks.equal(len(said("--tail=1").splitlines()), 1, "--tail")
    checks.ok(all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d) \w+$", line)
                  for line in said("--timestamps").splitlines()), "--timestamps", said("--timestamps"))
    checks.equal(len(said("--limit-bytes=5")), 5, "--limit-bytes")
    checks.equal(said("--since-time=2100-01-01T00:00:00Z"), "", "--since-time")
    checks.equal(len(said("--since=1h").splitlines()), 3, "--since")
    c.wait_until("the container runs again", lambda: said(container="again") == "run 2\n", limit=5 * c.PATIENCE)
    checks.equal(said("--previous", container="again"), "run 1\n", "--previous")
    done = control.kubectl("logs", name, "-c", "web", "--previous")
    checks.contains(done.stderr, "previous terminated container", "there is none before the first")


def streams(checks, control, node, name):
    done = control.kubectl("exec", name, "-c", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    checks.equal((done.stdout, "err\n" in done.stderr, done.returncode), ("out\n", True, 7), "exec: outputs and the exit code")
    done = control.kubectl("exec", "-i", name, "-c", "web", "--", "cat", given="in\n" * 50_000)
    checks.ok(done.stdout == "in\n" * 50_000 and done.returncode == 0, "exec -i: all goes there and back",
              (len(done.stdout), done.stderr))
    done = control.kubectl("exec", name, "-c", "nobody", "--", "id")
    checks.ok(done.returncode != 0, "exec into a container that is not there", done.stderr)
    given, back = node.work / "given", node.work / "back"
    given.write_bytes(os.urandom(300_000))
    control.out("exec", name, "-c", "web", "--", "/bin/busybox", "ln", "-s", "/bin/busybox", "/bin/tar")
    control.out("cp", given, f"{name}:/tmp/given", "-c", "web")
    control.out("cp", f"{name}:/tmp/given", back, "-c", "web")
    checks.ok(back.read_bytes() == given.read_bytes(), "cp: a file goes there and comes back")
    follower = subprocess.Popen(control.kubectl_command("logs", "-f", name, "-c", "web"), stdout=subprocess.PIPE, text=True)
    attached = None
    try:
        for _ in range(3):
            follower.stdout.readline()
        # It stays until the container ends.
        attached = subprocess.Popen(control.kubectl_command("attach", "-i", name, "-c", "web"), text=True,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        attached.stdin.write("hello\n")
        attached.stdin.flush()
        checks.equal(attached.stdout.readline(), "got hello\n", "attach -i reaches the process, and what it says comes back")
        checks.equal(follower.stdout.readline(), "got hello\n", "logs -f shows it, too")
    finally:
        for one in filter(None, (follower, attached)):
            one.kill()
            one.wait()


FORWARDING = r"""
import re, socket, subprocess, sys
program = subprocess.Popen(sys.argv[1:], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
try:
    line = program.stdout.readline()
    found = re.search(r"127\.0\.0\.1:(\d+)", line)
    if not found:
        sys.exit(line + program.stdout.read())
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=60) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
            print(answer.decode().splitlines()[-1])
finally:
    program.terminate()
    program.wait()
"""


def forwarding(checks, control, name):
    """All of it in the node's network, where kubectl listens, too."""
    for what, environment in (("SPDY within a WebSocket", {}), ("SPDY", {"KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"})):
        kubectl = control.kubectl_command("port-forward", f"pod/{name}", ":8080")
        done = subprocess.run([*control.enter, sys.executable, "-c", FORWARDING, *kubectl], capture_output=True, text=True,
                              timeout=600, env={**os.environ, "HOME": str(control.folder), **environment})
        checks.equal((done.stdout, done.returncode), ("served\n" * 3, 0), f"port-forward by {what} {done.stderr}")


def lazy_followers(checks, api, control, name):
    """Followers that never read hold nothing up and little memory."""
    path = f"/containerLogs/default/{name}/web?follow=true"
    lazy = [subprocess.Popen([*control.enter, "curl", "-skN", "--cert", api.certificate, "--key", api.key,
                              f"https://127.0.0.1:{PORT}{path}"], stdout=subprocess.PIPE) for _ in range(5)]
    try:
        for one in lazy:
            one.stdout.read(1)
        size = 3_000_000
        done = control.kubectl("exec", name, "-c", "web", "--", "sh", "-c",
                               f"yes 0123456789abcdef | head -c {size} > /proc/1/fd/1", limit=5 * c.PATIENCE)
        checks.equal(done.returncode, 0, f"the container writes on {done.stderr}")
        c.wait_until("all is in the log", lambda: len(api.as_admin(path.split("?")[0])[1]) >= size, limit=180)
        checks.equal(api.as_admin("/healthz")[0], 200, "others are answered while nobody reads")
    finally:
        for one in lazy:
            one.kill()
            one.wait()


def new_certificate(checks, node, control):
    """Who connects after it was replaced sees it; the key comes later, as whoever writes two files does it."""
    def shown():
        done = subprocess.run([*control.enter, "openssl", "s_client", "-connect", f"127.0.0.1:{PORT}"], input="", capture_output=True,
                              text=True, timeout=600)
        return subprocess.run(["openssl", "x509", "-noout", "-subject"], input=done.stdout, capture_output=True, text=True).stdout

    before = shown()
    checks.contains(before, node.name, "it shows the certificate that it was given")
    kept = node.work / "renewed"
    kept.mkdir()
    make_certificate(control.data / "pki", kept, NODE_ADDRESS, subject="/CN=renewed")
    for name in ("n.crt", "n.key"):
        os.replace(kept / name, node.work / name)
    c.wait_until("the new one is shown", lambda: "renewed" in shown())
    checks.ok(True, "and another one as soon as both of its files are there")


def story(checks):
    folder = f"/var/lib/gantry-nodes/t{os.getpid()}/test"
    options = [f"--option=--tls-cert-file={folder}/n.crt", f"--option=--tls-private-key-file={folder}/n.key"]
    with JoiningNode(checks, options=options) as node, NodeControl(checks, node) as control:
        node.build_image()
        make_certificate(control.data / "pki", node.work, NODE_ADDRESS, subject=subject_of(node.name))
        node.join_as(control.kubeconfig.read_text())
        node.wait_until_ready(control)
        control.out("create", "-f", "-", given=POD.replace("{node}", node.name))
        name = "web"
        c.wait_until("the pod runs", lambda: control.out("get", "pod", name, "-o", "jsonpath={.status.phase}") == "Running")
        api = Api(node, control)
        strangers(checks, api, control, node)
        tricks(checks, api, name)
        logs(checks, control, name)
        the_node(checks, api, node, name)
        configuration(checks, control, node)
        streams(checks, control, node, name)
        forwarding(checks, control, name)
        lazy_followers(checks, api, control, name)
        new_certificate(checks, node, control)


c.main(story)
