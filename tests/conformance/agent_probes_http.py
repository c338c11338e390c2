#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""What probes ask by HTTP, seen by the server that is asked: one of the test's own on the node, with TLS and without. How often they have
to succeed or fail, when the first one comes, how they follow where they are led, and what grace a probe leaves."""
import datetime
import http.server
import pathlib
import ssl
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import NODE_ADDRESS, ready_node
from pods import Pods, container
from registry import make_certificate, network_of

DEAF = "trap '' TERM; while :; do sleep 0.1; done"


class Server(http.server.ThreadingHTTPServer):
    """On the node. `answers` is what each path is answered: (status, headers), or a function of how often it was asked before.
    `asked` is what it was asked: (path, headers, when)."""
    daemon_threads = True

    def __init__(self, node, context=None):
        self.answers, self.asked = {}, []
        with network_of(node.supervisor()):
            super().__init__((NODE_ADDRESS, 0), Handler)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, address):
        pass

    def count(self, path):
        return sum(one[0] == path for one in list(self.asked))


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        answer = self.server.answers.get(self.path, (404, {}))
        if callable(answer):
            answer = answer(self.server.count(self.path))
        self.server.asked.append((self.path, self.headers, time.time()))
        status, headers = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"the body")


def get(server, path, **more):
    return {"httpGet": {"path": path, "port": server.port, "host": NODE_ADDRESS} | more, "periodSeconds": 1, "timeoutSeconds": 60,
            "failureThreshold": 1}


def requests(pods, plain, secure):
    """What is asked, and of whom: `host` is somebody else than the pod, and nobody's certificate is looked at."""
    plain.answers["/plain?a=b"] = plain.answers["/headers"] = secure.answers["/secure"] = (200, {})
    headers = [{"name": "X-Test", "value": "one"}, {"name": "X-Test", "value": "two"}, {"name": "Host", "value": "example.org"},
               {"name": "User-Agent", "value": "mine"}]
    pods.create("asks", container("plain", readinessProbe=get(plain, "/plain?a=b")),
                container("headers", readinessProbe=get(plain, "/headers", httpHeaders=headers)),
                container("secure", readinessProbe=get(secure, "/secure", scheme="HTTPS")))
    pods.wait_ready("asks")
    seen = {path: heads for path, heads, _ in [*plain.asked, *secure.asked]}
    pods.checks.equal({key: seen["/plain?a=b"].get(key) for key in ("User-Agent", "Accept", "Host", "Connection")},
                      {"User-Agent": "kube-probe/1.37", "Accept": "*/*", "Host": f"{NODE_ADDRESS}:{plain.port}", "Connection": "close"},
                      "a probe says who it is")
    pods.checks.equal({key: seen["/headers"].get(key) for key in ("User-Agent", "Host")}, {"User-Agent": "mine", "Host": "example.org"},
                      "unless its headers do")
    pods.checks.equal(seen["/headers"].get_all("X-Test"), ["one", "two"], "which are sent, one name twice, too")
    pods.checks.ok("/secure" in seen, "by HTTPS no certificate is asked for")
    pods.delete("asks")


def redirects(pods, plain, other):
    """Within a host it goes where it is led; to another host it does not, and warns."""
    plain.answers |= {"/moved": (302, {"Location": "/here?x=y"}), "/here?x=y": (200, {}),
                      "/lost": (301, {"Location": "/nowhere"}), "/away": (302, {"Location": "http://192.0.2.1/"}),
                      "/round": (302, {"Location": "/round"}), "/port": (302, {"Location": f"http://{NODE_ADDRESS}:{other.port}/there"})}
    other.answers["/there"] = (200, {})
    names = ("moved", "away", "port", "lost", "round")
    for name in names:  # a pod each: what there is of events is each pod's own
        pods.create(name, container(readinessProbe=get(plain, f"/{name}")))
    pods.wait_event("away", "ProbeWarning", "Readiness probe warning: Probe terminated redirects, Response body: the body")
    pods.wait_event("lost", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404")
    pods.wait_event("round", "Unhealthy", "stopped after 10 redirects")
    for name in names:
        pods.wait_ready(name, "False" if name in ("lost", "round") else "True")
    pods.checks.ok(plain.count("/here?x=y") > 0 and other.count("/there") > 0, "redirects are followed within a host, at any port of it")
    pods.checks.ok(True, "elsewhere they are not, which is no failure, and a circle is one")
    pods.delete(*names)


def thresholds(pods, plain):
    """Three in a row, and not three of any. Two successes and a failure in turn are neither."""
    good, bad = (200, {}), (500, {})
    plain.answers["/three"] = lambda count: bad if count % 3 == 2 else good
    probe = get(plain, "/three") | {"successThreshold": 3, "failureThreshold": 3}
    pods.create("counts", container(readinessProbe=probe))
    c.wait_until("it was asked ten times", lambda: plain.count("/three") >= 10)
    pods.checks.equal(pods.condition("counts", "Ready")["status"], "False", "two successes, however often, are not three in a row")
    plain.answers["/three"] = good
    pods.wait_ready("counts")
    pods.checks.ok(True, "with three it is ready")
    since = pods.condition("counts", "Ready")["lastTransitionTime"]
    begun = plain.count("/three")
    plain.answers["/three"] = lambda count: good if count % 3 == 2 else bad
    c.wait_until("it was asked nine times more", lambda: plain.count("/three") >= begun + 9)
    pods.checks.equal(pods.condition("counts", "Ready")["lastTransitionTime"], since, "two failures, however often, change nothing")
    plain.answers["/three"] = bad
    pods.wait_ready("counts", "False")
    pods.checks.ok(True, "with three it is not ready any more")
    pods.delete("counts")


def delay(pods, plain):
    plain.answers["/late"] = (200, {})
    pods.create("late", container(readinessProbe=get(plain, "/late") | {"initialDelaySeconds": 4}))
    pods.wait_ready("late")
    began = datetime.datetime.fromisoformat(pods.states("late")["web"]["state"]["running"]["startedAt"]).timestamp()
    first = next(when for path, _, when in plain.asked if path == "/late")
    pods.checks.ok(first >= began + 4, "the first comes after initialDelaySeconds", f"{first - began:.3f} s after the start")
    pods.delete("late")


def grace(pods, plain):
    """A probe's own grace counts when it fails, and not the pod's: which is longer than this test may take."""
    long = 100000
    plain.answers["/alive"] = lambda count: (200 if count < 1 else 500, {})
    plain.answers["/started"] = (500, {})
    pods.create("hangs", container("alive", DEAF, livenessProbe=get(plain, "/alive") | {"terminationGracePeriodSeconds": 1}),
                container("starts", DEAF, startupProbe=get(plain, "/started") | {"terminationGracePeriodSeconds": 1}),
                terminationGracePeriodSeconds=long)
    for name, kind in (("alive", "liveness"), ("starts", "startup")):
        pods.wait("hangs", f".status.containerStatuses[?(@.name=='{name}')].lastState.terminated.exitCode", "137")
        pods.wait_event("hangs", "Killing", f"Container {name} failed {kind} probe, will be restarted")
    pods.checks.ok(True, "who does not end within the probe's grace is killed, whatever the pod's is")
    pods.control.out("delete", "pod", "hangs", "--wait=false", "--grace-period=1")
    c.wait_until("it is gone", lambda: not pods.field("hangs", ".metadata.name"))


def story(checks):
    with tempfile.TemporaryDirectory() as folder, ready_node(checks) as (node, control):
        make_certificate(pathlib.Path(folder), "DNS:nobody.example.org")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/server.crt", f"{folder}/server.key")
        with Server(node) as plain, Server(node) as other, Server(node, context) as secure:
            pods = Pods(checks, control, node)
            requests(pods, plain, secure)
            redirects(pods, plain, other)
            thresholds(pods, plain)
            delay(pods, plain)
            grace(pods, plain)
            pods.clear()


c.main(story)
