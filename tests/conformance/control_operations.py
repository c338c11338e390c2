#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""What those who run a control plane ask of it: is it well, what does it do, who did what, and does it end without cutting
anybody off; and that one user who asks too much is nobody else's trouble."""
import http.client
import json
import pathlib
import re
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:kube-controller-manager", "system:apiserver"]
- level: None
  userGroups: ["system:serviceaccounts:kube-system"]
- level: RequestResponse
  resources: [{group: "", resources: [configmaps]}]
- level: RequestResponse
"""


class Client:
    """One connection as the administrator, or as whom he acts."""

    def __init__(self, control, credentials, user=""):
        context = ssl.create_default_context(cafile=control.data / "pki/ca.crt")
        context.load_cert_chain(*credentials)
        self.connection = http.client.HTTPSConnection("127.0.0.1", control.port, timeout=c.PATIENCE, context=context)
        self.headers = {"Impersonate-User": user} if user else {}

    def get(self, path):
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()


def health(checks, control):
    checks.equal(control.raw("/livez"), (200, "ok"), "/livez")
    lines = control.out("get", "--raw", "/readyz?verbose").splitlines()
    checks.equal((lines[0], lines[-1]), ("[+]ping ok", "readyz check passed"), "/readyz?verbose")
    checks.contains("\n".join(lines), ["[+]etcd ok", "[+]informer-sync ok", "[+]shutdown ok"], "its checks")
    checks.equal(control.out("get", "--raw", "/readyz/etcd"), "ok", "one of them alone")
    checks.equal(control.raw("/readyz/etcd")[0], 403, "which is not for everybody")


def metrics(checks, control):
    text = control.out("get", "--raw", "/metrics")
    for name in ("apiserver_request_total{", "apiserver_request_duration_seconds_bucket{", "etcd_request_duration_seconds_count{",
                 "apiserver_longrunning_requests{", "apiserver_current_inflight_requests{", "workqueue_adds_total{", "process_cpu_seconds_total "):
        checks.contains(text, name, f"/metrics has {name.rstrip('{ ')}")
    bad = [line for line in text.splitlines() if not re.fullmatch(r'# (HELP|TYPE) .*|[a-z_:]+(\{[^{}]*\})? [-+0-9.einfEINF]+', line)]
    checks.equal(bad[:3], [], "each line is one of the format")
    for i in range(50):
        control.raw(f"/apis/made-up-{i}/v{i}/things{i}")
    checks.ok("made-up" not in control.out("get", "--raw", "/metrics"), "what strangers make up is in no label")
    checks.equal(control.raw("/metrics")[0], 403, "numbers are not for everybody")


def audit(checks, control):
    control.out("create", "configmap", "a", "--from-literal=key=open")
    control.out("create", "secret", "generic", "s", "--from-literal=key=hidden")
    control.out("get", "configmap", "a", "--as=jane", "--as-group=system:masters")

    def events():
        # The last line may not have its end yet.
        return [json.loads(line) for line in (control.folder / "audit.log").read_text().split("\n")[:-1]]

    def find(verb, path):
        return next((e for e in events() if (e["verb"], e["requestURI"].split("?")[0]) == (verb, f"/api/v1/namespaces/default/{path}")), None)
    made = c.wait_until("the creation is recorded", lambda: find("create", "configmaps"))
    checks.equal((made["stage"], made["responseStatus"]["code"], made["requestObject"]["data"], made["responseObject"]["data"]),
                 ("ResponseComplete", 201, {"key": "open"}, {"key": "open"}), "a creation, with what was sent and answered")
    checks.equal(made["annotations"]["authorization.k8s.io/decision"], "allow", "and that it was allowed")
    secret = c.wait_until("the secret is recorded", lambda: find("create", "secrets"))
    checks.equal((secret["level"], "requestObject" in secret), ("Metadata", False), "a secret's creation, without it")
    checks.ok("aGlkZGVu" not in (control.folder / "audit.log").read_text(), "it is nowhere in the file")
    read = c.wait_until("the read is recorded", lambda: find("get", "configmaps/a"))
    checks.equal(read["impersonatedUser"]["username"], "jane", "who acts as somebody else is recorded as both")


def fairness(checks, control):
    """A user floods from many connections; each request of another one is answered all the same."""
    credentials = control.administrator()
    control.out("create", "clusterrolebinding", "readers", "--clusterrole=view", "--user=flood", "--user=joe")
    joe = Client(control, credentials, "joe")
    def answer():
        return joe.get("/api/v1/namespaces/default/configmaps")[0]
    c.wait_until("the binding is known", lambda: answer() == 200)
    stop, seen, lock = threading.Event(), {}, threading.Lock()

    def flood():
        client = Client(control, credentials, "flood")
        while not stop.is_set():
            status, headers, _ = client.get("/api/v1/configmaps?limit=500")
            with lock:
                seen[status] = seen.get(status, 0) + 1
            if status == 429 and not headers["Retry-After"]:
                seen["no Retry-After"] = 1
    threads = [threading.Thread(target=flood, daemon=True) for _ in range(24)]
    for thread in threads:
        thread.start()
    c.wait_until("the flood is on", lambda: sum(seen.values()) > 50)
    answers = [answer() for _ in range(30)]
    stop.set()
    for thread in threads:
        thread.join(c.PATIENCE)
    checks.equal(answers, [200] * 30, "who asks little is answered while somebody floods")
    checks.ok(set(seen) <= {200, 429}, "and who floods is answered or told to come again", seen)
    text = control.out("get", "--raw", "/metrics")
    checks.contains(text, 'apiserver_flowcontrol_dispatched_requests_total{priority_level="workload"', "turns are counted")


def end(checks, control):
    """Not ready, then gone; watches come to their end as whole answers."""
    certificate, key = control.administrator()
    follow = {}
    for version in ("--http1.1", "--http2"):
        follow[version] = subprocess.Popen(
            ["curl", "-sSN", version, "--cacert", control.data / "pki/ca.crt", "--cert", certificate, "--key", key,
             f"{control.url}/api/v1/namespaces/default/configmaps?watch=1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        checks.contains(follow[version].stdout.readline(), '"ADDED"', f"{version}: a watch")
    control.process.terminate()
    c.wait_until("it is not ready any more", lambda: control.raw("/readyz")[0] == 500)
    checks.equal(control.raw("/livez"), (200, "ok"), "who ends lives, and is not ready")
    checks.contains(control.raw("/readyz")[1], "[-]shutdown failed", "and says why")
    for version, watch in follow.items():
        _, error = watch.communicate(timeout=c.PATIENCE)
        checks.equal((watch.returncode, error), (0, ""), f"{version}: the watch is ended, not cut off")
    checks.equal(control.process.wait(c.PATIENCE), 0, "and it ends")


def story(checks):
    control = Control(checks)
    policy = control.folder / "policy.yaml"
    policy.write_text(POLICY)
    control.arguments = ["--audit-log-path", control.folder / "audit.log", "--audit-policy-file", policy,
                         "--max-requests-inflight", "8", "--shutdown-delay-duration", "40s"]
    with control:
        health(checks, control)
        metrics(checks, control)
        audit(checks, control)
        fairness(checks, control)
        end(checks, control)


c.main(story)
