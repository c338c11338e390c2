#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl grpc-health
# limit: 300
"""Probes of pods, as kubectl shows what comes of them: a pod is ready when its containers say so by HTTP, TCP, gRPC or a command, not
before they have started, and not any more when they say no; one whose liveness probe fails is ended and comes again."""
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import READY, SLEEPS, ready_node
from cri_client import APPLETS, IMAGE
from oci import Image, entry
from registry import busybox_layer

# A web server whose pages the test makes and removes.
SERVES = "mkdir -p /tmp/www && touch /tmp/www/ok && exec httpd -f -p 8080 -h /tmp/www"


def shell(command):
    return ["/bin/sh", "-c", command]


def container(name="web", command=SERVES, **fields):
    return {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": shell(command),
            "ports": [{"name": "http", "containerPort": 8080}], **fields}


def create(control, node, name, *containers, **spec):
    control.out("create", "-f", "-", given=json.dumps({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"nodeName": node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 2,
                 "containers": list(containers), **spec}}))


def wait_for_event(control, name, reason, part):
    """An event of the pod's with that reason, and with `part` in its message."""
    def has_come():
        done = control.kubectl("get", "events", "--field-selector", f"involvedObject.name={name},reason={reason}", "-o",
                               "jsonpath={.items[*].message}")
        return part in done.stdout
    c.wait_until(f"{name} has an event {reason}: {part}", has_come)


def container_of(node, pod, name):
    """The id of the pod's running container of that name."""
    return next(key for key, item in node.containers().items()
                if (item["labels"]["io.kubernetes.pod.name"], item["metadata"]["name"]) == (pod, name)
                and item["state"] == "CONTAINER_RUNNING")


def run_in(node, pod, name, command):
    node.crictl("exec", "-s", container_of(node, pod, name), *shell(command))


# As often as may be, and with all the time that a busy machine may want: what is asked answers at once.
def probe(failures=1, **what):
    return {"periodSeconds": 1, "failureThreshold": failures, "timeoutSeconds": 60, **what}


def web_of(control, name):
    return control.json("get", "pod", name)["status"]["containerStatuses"][0]


def readiness(checks, control, node):
    create(control, node, "ready",
           container("pages", readinessProbe=probe(httpGet={"path": "/ready", "port": "http"})),
           container("port", SLEEPS, readinessProbe=probe(tcpSocket={"port": 8080})),
           container("file", SLEEPS, readinessProbe=probe(exec={"command": shell("test ! -e /tmp/no")})))
    wait_for_event(control, "ready", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404")
    control.wait_for("ready", "waits for its pages alone", '.status.conditions[?(@.type=="Ready")].message',
             "containers with unready status: [pages]")
    status = control.json("get", "pod", "ready")["status"]
    checks.equal(status["phase"], "Running", "one that is not ready runs")
    condition = next(one for one in status["conditions"] if one["type"] == "Ready")
    checks.equal(condition["status"], "False", "Ready")
    checks.equal([one["started"] for one in status["containerStatuses"]], [True] * 3, "all have started")
    run_in(node, "ready", "pages", "touch /tmp/www/ready")
    control.wait_for("ready", "is Ready", READY, "True")

    before = control.json("get", "pod", "ready")["status"]
    node.kill_gantryd()
    node.wait_for_gantryd()
    run_in(node, "ready", "file", "touch /tmp/no")
    control.wait_for("ready", "is not Ready", READY, "False")
    after = control.json("get", "pod", "ready")["status"]
    checks.equal({one["name"]: one["ready"] for one in after["containerStatuses"]},
                 {"pages": True, "port": True, "file": False}, "what was ready before a restart of gantryd stays so")
    checks.equal([one["containerID"] for one in after["containerStatuses"]],
                 [one["containerID"] for one in before["containerStatuses"]], "and nothing was restarted")


def liveness(checks, control, node):
    page = {"path": "/ok", "port": 8080, "httpHeaders": [{"name": "Host", "value": "example.org"}]}
    create(control, node, "live", container(livenessProbe=probe(httpGet=page), readinessProbe=probe(httpGet=page),
                                            startupProbe=probe(1000, httpGet=page)))
    control.wait_for("live", "is Ready", READY, "True")
    run_in(node, "live", "web", "/bin/busybox rm /tmp/www/ok")
    c.wait_until("live has been restarted", lambda: web_of(control, "live")["restartCount"] > 0)
    control.wait_for("live", "is Ready again", READY, "True")
    wait_for_event(control, "live", "Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 404")
    wait_for_event(control, "live", "Killing", "Container web failed liveness probe, will be restarted")


def startup(checks, control, node):
    """A slow starter is not asked for its health before it has started; one that never does is ended."""
    create(control, node, "slow", container(command=SLEEPS, livenessProbe=probe(exec={"command": shell("test -e /tmp/live")}),
                                            startupProbe=probe(1000, exec={"command": shell("test -e /tmp/started")})))
    wait_for_event(control, "slow", "Unhealthy", "Startup probe failed")
    control.wait_for("slow", "runs", ".status.phase", "Running")
    status = web_of(control, "slow")
    checks.equal((status["started"], status["ready"], status["restartCount"]), (False, False, 0), "it has not started")
    run_in(node, "slow", "web", "touch /tmp/live /tmp/started")
    control.wait_for("slow", "is Ready", READY, "True")
    checks.equal(web_of(control, "slow")["restartCount"], 0, "no restart")
    control.out("delete", "pod", "slow", "--wait=false")

    create(control, node, "never", container(command=SLEEPS, startupProbe=probe(
        tcpSocket={"port": 9}, terminationGracePeriodSeconds=1)), restartPolicy="Never")
    c.wait_until("never is over", lambda: control.kubectl(
        "get", "pod", "never", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.finishedAt}").stdout)
    wait_for_event(control, "never", "Killing", "Container web failed startup probe")


def sidecar(checks, control, node):
    """What comes after a sidecar waits until that has started."""
    create(control, node, "behind", container("main", SLEEPS), initContainers=[container(
        "proxy", SLEEPS, restartPolicy="Always", startupProbe=probe(1000, exec={"command": shell("test -e /tmp/up")}))])
    wait_for_event(control, "behind", "Unhealthy", "Startup probe failed")
    control.wait_for("behind", "has a main container that waits", ".status.containerStatuses[0].state.waiting.reason",
             "PodInitializing")
    checks.ok(True, "the main container waits")
    run_in(node, "behind", "proxy", "touch /tmp/up")
    control.wait_for("behind", "is Ready", READY, "True")


def grpc(checks, control, node):
    """gRPC's own server in the pod: one service of it flips, and the server as a whole does not."""
    program = entry("bin/grpc-health", content=pathlib.Path(shutil.which("grpc-health")).read_bytes(), mode=0o755)
    Image(busybox_layer(APPLETS, program)).archive(node.work / "grpc.tar", "grpc:test")
    node.image("load", node.work / "grpc.tar")
    create(control, node, "grpc",
           container("server", image="grpc:test", command="exec grpc-health :9000 web", ports=[],
                     readinessProbe=probe(grpc={"port": 9000, "service": "web"})),
           container("whole", SLEEPS, readinessProbe=probe(grpc={"port": 9000})))
    control.wait_for("grpc", "is Ready", READY, "True")
    run_in(node, "grpc", "server", "kill -USR1 1")
    control.wait_for("grpc", "is not Ready when the service says so", READY, "False")
    wait_for_event(control, "grpc", "Unhealthy",
                   'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")')
    checks.equal({one["name"]: one["ready"] for one in control.json("get", "pod", "grpc")["status"]["containerStatuses"]},
                 {"server": False, "whole": True}, "by gRPC one service is not ready, and the server as a whole is")
    run_in(node, "grpc", "server", "kill -USR2 1")
    control.wait_for("grpc", "is Ready again", READY, "True")
    control.out("delete", "pod", "grpc", "--wait=false")

    # A service that nobody has heard of, and a port at which no gRPC is spoken: they say why.
    create(control, node, "strange",
           container("server", image="grpc:test", command="exec grpc-health :9000 web", ports=[],
                     livenessProbe=probe(1000, grpc={"port": 9000, "service": "web"}),
                     readinessProbe=probe(grpc={"port": 9000, "service": "nobody"}, periodSeconds=5)),
           container("pages", readinessProbe=probe(grpc={"port": 8080}, periodSeconds=5)))
    wait_for_event(control, "strange", "Unhealthy", "unknown service")
    wait_for_event(control, "strange", "Unhealthy", "health rpc probe failed")
    control.wait_for("strange", "has nobody ready", '.status.conditions[?(@.type=="Ready")].message',
                     "containers with unready status: [server pages]")
    checks.equal([one["restartCount"] for one in control.json("get", "pod", "strange")["status"]["containerStatuses"]],
                 [0, 0], "and nothing is restarted")


def story(checks):
    with ready_node(checks) as (node, control):
        grpc(checks, control, node)
        readiness(checks, control, node)
        liveness(checks, control, node)
        startup(checks, control, node)
        sidecar(checks, control, node)
        control.out("delete", "pod", "--all", "--wait=false")
        c.wait_until("all are gone", lambda: control.json("get", "pods")["items"] == [] and not node.pods())


c.main(story)
