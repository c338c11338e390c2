#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""Pods from manifests as their authors know them: init containers, sidecars, volumes, the environment, users, last words,
restarts, changes, and the end with its grace period."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import IMAGE
from node import Node, log_lines, parse_time

RICH = f"""
apiVersion: v1
kind: Pod
metadata:
  name: rich
  namespace: shop
  labels: {{app: shop}}
spec:
  terminationGracePeriodSeconds: 5
  hostname: till
  securityContext: {{fsGroup: 2000, sysctls: [{{name: net.ipv4.ping_group_range, value: "0 5"}}]}}
  volumes:
  - {{name: memory, emptyDir: {{medium: Memory, sizeLimit: 1Mi}}}}
  - {{name: disk, emptyDir: {{}}}}
  - {{name: zone, hostPath: {{path: /etc/passwd, type: File}}}}
  initContainers:
  - name: first
    image: {IMAGE}
    command: [/bin/sh, -c, "echo first > /disk/order; echo secret > /memory/key"]
    volumeMounts: [{{name: disk, mountPath: /disk}}, {{name: memory, mountPath: /memory}}]
  - name: proxy
    image: {IMAGE}
    restartPolicy: Always
    command: [/bin/sh, -c, "echo proxy >> /disk/order; trap 'echo proxy-end >> /disk/order; exit 0' TERM; while :; do sleep 0.1; done"]
    volumeMounts: [{{name: disk, mountPath: /disk}}]
  - name: second
    image: {IMAGE}
    command: [/bin/sh, -c, "until grep -q proxy /disk/order; do sleep 0.05; done; echo second >> /disk/order"]
    volumeMounts: [{{name: disk, mountPath: /disk}}]
  containers:
  - name: web
    image: {IMAGE}
    command: [/bin/sh, -c]
    args: ["echo $(GREETING) '$$(GREETING)' $NAME $IP $APP $HOST; cat /memory/key; id; cat /proc/sys/net/ipv4/ping_group_range; hostname;
            touch /x 2>/dev/null || echo read-only; case $(cat /proc/interrupts) in '') echo masked;; esac; trap 'echo web-end >> /disk/order; echo bye > /dev/termination-log; exit 0' TERM;
            while :; do sleep 0.1; done"]
    env:
    - {{name: NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
    - {{name: IP, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}
    - {{name: APP, valueFrom: {{fieldRef: {{fieldPath: "metadata.labels['app']"}}}}}}
    - {{name: HOST, valueFrom: {{fieldRef: {{fieldPath: status.hostIP}}}}}}
    - {{name: GREETING, value: "hello $(NAME)"}}
    securityContext: {{runAsUser: 1000, runAsGroup: 1000, runAsNonRoot: true, readOnlyRootFilesystem: true,
                       allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
    volumeMounts: [{{name: disk, mountPath: /disk}}, {{name: memory, mountPath: /memory, readOnly: true}},
                   {{name: zone, mountPath: /zone, readOnly: true}}]
"""

CRASH = f"""
apiVersion: v1
kind: Pod
metadata: {{name: crash}}
spec:
  containers:
  - {{name: web, image: {IMAGE}, command: [/bin/sh, -c, "echo no disk > /dev/termination-log; exit 7"]}}
"""

ONCE = f"""
apiVersion: v1
kind: Pod
metadata: {{name: once}}
spec:
  restartPolicy: Never
  hostNetwork: true
  containers:
  - {{name: web, image: {IMAGE}, command: [/bin/true]}}
"""


def pods_of(node, name):
    return {i: item for i, item in node.pods().items() if item["metadata"]["name"] == name}


def containers_of(node, name, container):
    pods = pods_of(node, name)
    return [item for item in node.containers().values()
            if item["podSandboxId"] in pods and item["metadata"]["name"] == container]


def running(node, name, container):
    found = [item["id"] for item in containers_of(node, name, container) if item["state"] == "CONTAINER_RUNNING"]
    return found[0] if len(found) == 1 else None


def rich(checks, node):
    manifest = node.manifests / "rich.yaml"
    manifest.write_text(RICH)
    web = c.wait_until("web runs", lambda: running(node, "rich", "web"))
    pod_id = next(iter(pods_of(node, "rich")))
    status = node.container_status(web)
    log_path = pathlib.Path(status["logPath"])
    log = pathlib.Path(f"{node.root}{log_path}")
    lines = c.wait_until("its log is whole", lambda: log.exists() and len(said := log_lines(log, growing=True)) >= 7 and [line[3] for line in said])
    ip = node.pod_status(pod_id)["network"]["ip"]
    checks.equal(lines[0], f"hello rich $(GREETING) rich {ip} shop 10.88.0.1",
                 "environment and expansion; without a default route the node's address is the pods' gateway")
    checks.equal(lines[1], "secret", "a volume in memory is shared")
    checks.ok(lines[2].startswith("uid=1000 gid=1000") and "2000" in lines[2], "user, group and fsGroup", lines[2])
    checks.equal(lines[3].split(), ["0", "5"], "a sysctl of the pod's")
    checks.equal(lines[4], "till", "the hostname")
    checks.equal(lines[5], "read-only", "a read-only root")
    checks.equal(lines[6], "masked", "files that tell of the host are masked")
    uid = pods_of(node, "rich")[pod_id]["metadata"]["uid"]
    link = log_path.parents[3] / "containers" / f"rich_shop_web-{web}.log"
    links = node.exec("readlink", link, check=False).stdout.strip()
    checks.equal(links, str(log_path), "a link for log collectors")
    checks.ok(f"shop_rich_{uid}/web/0.log" in str(log_path), "the log's place", str(log_path))

    before = {item["id"]: item["state"] for item in node.containers().values()}
    node.kill_gantryd()
    node.wait_for_gantryd()
    checks.equal({item["id"]: item["state"] for item in node.containers().values()}, before, "a restart of gantryd changes nothing")

    manifest.write_text(RICH.replace("hostname: till", "hostname: desk"))
    again = c.wait_until("the changed pod runs", lambda: (now := running(node, "rich", "web")) and now != web and now)
    checks.equal(len(pods_of(node, "rich")), 1, "a changed manifest: one pod, a new one")
    checks.equal(node.crictl("exec", again, "cat", "/proc/sys/kernel/hostname").stdout.strip(), "desk", "it is as the manifest says now")
    checks.equal(node.crictl("exec", again, "cat", "/disk/order").stdout.split(), ["first", "proxy", "second"],
                 "init containers, a sidecar that runs beside them, and a volume of its own")
    first, proxy, second = (node.container_status(containers_of(node, "rich", name)[0]["id"]) for name in ("first", "proxy", "second"))
    times = [parse_time(text) for text in (first["finishedAt"], proxy["createdAt"], proxy["startedAt"], second["createdAt"])]
    checks.equal(times, sorted(times), "each is made when the one before it is done, or runs")
    manifest.write_text(RICH.replace("hostname:", "hostnam:"))
    c.wait_until("the typo is reported", lambda: "spec.hostnam: line 10" in node.log_file.read_text())
    checks.ok(running(node, "rich", "web") == again, "a typo names file, line and field, and the pod goes on")
    manifest.unlink()
    c.wait_until("the pod is gone", lambda: not node.pods() and not node.containers())
    left = node.exec("sh", "-c", f"ls -A {log_path.parents[2]} {link.parent} {node.state}/pods/pods; grep empty-dir /proc/mounts", check=False).stdout
    left = "".join(line for line in left.splitlines() if line and not line.endswith(":"))
    checks.equal(left, "", "with the file the pod goes, its logs, links and mounts too")


def endings(checks, node):
    (node.manifests / "crash.yaml").write_text(CRASH)
    (node.manifests / "once.yaml").write_text(ONCE)
    c.wait_until("crash is held back", lambda: "CrashLoopBackOff" in node.log_file.read_text())
    ended = containers_of(node, "crash", "web")
    checks.ok(1 <= len(ended) <= 2, "one or two of a crashing container are kept", ended)
    status = node.container_status(next(item["id"] for item in ended if item["state"] == "CONTAINER_EXITED"))
    checks.equal((status["exitCode"], status["reason"]), (7, "Error"), "how it ended")
    c.wait_until("once is done", lambda: all(p["state"] == "SANDBOX_NOTREADY" for p in pods_of(node, "once").values()) and
                 "Succeeded" in node.log_file.read_text())
    checks.equal(len(containers_of(node, "once", "web")), 1, "restartPolicy Never runs once")
    checks.ok('pod="default/once"' in (text := node.log_file.read_text()) and "0/1 ip=10.88.0.1 " in text,
              "a pod on the node's network has the node's address")
    node.kill_gantryd()
    node.wait_for_gantryd()
    checks.equal(len(containers_of(node, "once", "web")), 1, "also over a restart of gantryd")
    for name in ("crash", "once"):
        (node.manifests / f"{name}.yaml").unlink()
    c.wait_until("they are gone", lambda: not node.pods() and not node.containers())
    checks.ok(True, "they go with their manifests")


def story(checks):
    with Node(checks) as node:
        node.build_image()
        rich(checks, node)
        endings(checks, node)


c.main(story)
