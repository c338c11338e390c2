# SPDX-License-Identifier: Apache-2.0
"""What any node's agent does for its pods, told by kubectl alone: the same story on runtimes and API servers of others."""
import json
import os
import re
import subprocess

import yaml

import checks as c
from cluster import READY, SLEEPS

BUSYBOX = "/bin/busybox"
STATUS = ".status.containerStatuses[0]"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
# As often as may be, and with all the time that a busy machine may want: what is asked answers at once.
PROBE = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 60}
SERVES = f"mkdir -p /www; echo page > /www/index.html; exec {BUSYBOX} httpd -f -p 8080 -h /www"


def shell(command):
    return ["/bin/sh", "-c", command]


class Core:
    """`control` is a control.Kubectl, `node` the node's name, which serves its port 10250 with a certificate that the API server takes,
    and has `image`. `restart()` kills gantryd, and returns when the next one has begun; `enter` is a command that leads to where
    kubectl runs."""

    def __init__(self, checks, control, node, image, restart, enter=()):
        self.checks, self.control, self.node, self.image, self.restart, self.enter = checks, control, node, image, restart, list(enter)

    # ---- pods

    def create(self, name, command=SLEEPS, metadata=None, container=None, **spec):
        one = {"name": "web", "image": self.image, "imagePullPolicy": "IfNotPresent", "command": shell(command), **(container or {})}
        self.control.out("create", "-f", "-", given=json.dumps({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **(metadata or {})},
            "spec": {"nodeName": self.node, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 5,
                     "containers": [one], **spec}}))

    def run(self, name, *arguments, **more):
        self.create(name, *arguments, **more)
        self.control.wait_for(name, "is Ready", READY, "True")

    def field(self, name, jsonpath):
        return self.control.kubectl("get", "pod", name, "-o", f"jsonpath={{{jsonpath}}}").stdout

    def status(self, name):
        return self.control.json("get", "pod", name)["status"]["containerStatuses"][0]

    def exec(self, name, command):
        """What a shell says in its container, or why it could not."""
        done = self.control.kubectl("exec", name, "--", *shell(command))
        return done.stdout + done.stderr

    def delete(self, *names):
        self.control.out("delete", "pod", *names, "--wait=false")
        for name in names:
            c.wait_until(f"{name} is gone", lambda name=name: "NotFound" in self.control.kubectl("get", "pod", name).stderr)

    def release(self, name):
        """A pod whose object was held, so that its end could be read."""
        self.control.out("patch", "pod", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
        c.wait_until(f"{name} is gone", lambda: "NotFound" in self.control.kubectl("get", "pod", name).stderr)

    # ---- stories

    def volumes(self):
        control, checks = self.control, self.checks
        control.out("create", "configmap", "settings", "--from-literal=color=red")
        control.out("create", "secret", "generic", "keys", "--from-literal=key=sesame")
        volumes = [
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
            {"name": "all", "projected": {"sources": [
                {"configMap": {"name": "settings"}}, {"secret": {"name": "keys"}},
                {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}},
            {"name": "memory", "emptyDir": {"medium": "Memory"}}, {"name": "disk", "emptyDir": {}}]
        mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
        mounts += [{"name": "settings", "mountPath": "/one", "subPath": "color"},
                   {"name": "disk", "mountPath": "/part", "subPath": "a/b"}]
        env = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
               {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}}]
        self.run("volumes", volumes=volumes, container={"volumeMounts": mounts, "env": env})
        checks.equal(self.exec("volumes", "cat /settings/color /keys/key /all/color /all/key /all/name /one; echo -$KEY-$COLOR"),
                     "redsesameredsesamevolumesred-sesame-red\n",
                     "config maps, secrets and the downward API: volumes, subPath, environment")
        checks.equal(self.exec("volumes", f"{BUSYBOX} stat -L -c %a /keys/key; {BUSYBOX} stat -f -c %T /keys /memory"),
                     "400\ntmpfs\ntmpfs\n", "a secret's mode; what is in memory")
        checks.equal(self.exec("volumes", "echo x > /disk/a/b/file; cat /part/file; echo y > /memory/file; cat /memory/file"), "x\ny\n",
                     "volumes to write, and a folder of one")
        control.out("patch", "configmap", "settings", "-p", '{"data": {"color": "blue"}}')
        control.out("patch", "secret", "keys", "-p", '{"stringData": {"key": "open"}}')
        c.wait_until("the running pod sees changes", lambda: self.exec("volumes", "cat /settings/color /keys/key /all/color /all/key") ==
                     "blueopenblueopen")
        checks.equal(self.exec("volumes", "cat /one"), "red", "but not through subPath")
        identity = self.status("volumes")["containerID"]
        self.restart()
        control.out("patch", "configmap", "settings", "-p", '{"data": {"color": "green"}}')
        c.wait_until("it sees them after a restart of gantryd, too", lambda: self.exec("volumes", "cat /settings/color") == "green")
        checks.equal(self.status("volumes")["containerID"], identity, "in the same container")
        self.delete("volumes")

    def token(self):
        """That of the pod's service account: the API server knows whose it is."""
        self.run("asks", automountServiceAccountToken=True)
        token = self.exec("asks", f"cat {TOKEN}")
        server = yaml.safe_load(self.control.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        done = subprocess.run([*self.enter, "curl", "-sk", "-m", "60", "-H", f"Authorization: Bearer {token}", "-H",
                               "Content-Type: application/json", "-d", json.dumps(review), server + path], capture_output=True, text=True)
        user = json.loads(done.stdout)["status"]["userInfo"]
        self.checks.equal((user["username"], user["extra"]["authentication.kubernetes.io/pod-name"]),
                          ("system:serviceaccount:default:default", ["asks"]), "a pod has a token of its account, bound to it")
        self.delete("asks")

    def probes(self):
        ready = {"exec": {"command": shell("test -e /tmp/ready")}, **PROBE}
        alive = {"httpGet": {"path": "/index.html", "port": "http"}, **PROBE}
        self.create("probed", f"mkdir -p /tmp; {SERVES}", container={
            "ports": [{"name": "http", "containerPort": 8080}], "readinessProbe": ready, "livenessProbe": alive,
            "startupProbe": {"tcpSocket": {"port": 8080}, **PROBE, "failureThreshold": 1000}})
        self.control.wait_for("probed", "has started", f"{STATUS}.started", "true")
        self.checks.equal(self.field("probed", READY), "False", "a pod is not ready before it says so")
        self.exec("probed", "> /tmp/ready")
        self.control.wait_for("probed", "is Ready", READY, "True")
        self.exec("probed", f"{BUSYBOX} rm /www/index.html")
        c.wait_until("it is restarted when it is not alive", lambda: self.status("probed")["restartCount"] > 0)
        self.control.wait_for("probed", "has started again", f"{STATUS}.started", "true")
        self.exec("probed", "> /tmp/ready")
        self.control.wait_for("probed", "is Ready again", READY, "True")
        self.checks.ok(True, "probes by exec, HTTP and TCP decide about readiness, life and start")
        self.delete("probed")

    def hooks(self):
        out = {"volumes": [{"name": "out", "emptyDir": {}}]}
        hooks = {"postStart": {"exec": {"command": shell("echo post > /out/post")}},
                 "preStop": {"exec": {"command": shell("echo pre > /out/pre")}}}
        # It is Ready when its shell hears signals.
        told = "trap 'cat /out/post /out/pre > /dev/termination-log; exit 0' TERM; > /tmp/hears; while :; do sleep 0.1; done"
        self.run("hooked", f"mkdir -p /tmp; {told}", metadata={"finalizers": ["example.com/hold"]}, terminationGracePeriodSeconds=600,
                 container={"volumeMounts": [{"name": "out", "mountPath": "/out"}], "lifecycle": hooks,
                            "readinessProbe": {"exec": {"command": shell("test -e /tmp/hears")}, **PROBE}}, **out)
        self.control.out("delete", "pod", "hooked", "--wait=false")
        self.control.wait_for("hooked", "has ended", f"{STATUS}.state.terminated.message", "post\npre\n")
        self.checks.equal(self.status("hooked")["state"]["terminated"]["exitCode"], 0, "hooks run after the start and before the signal")
        self.release("hooked")

    def restarts(self):
        out = {"volumes": [{"name": "out", "emptyDir": {}}], "restartPolicy": "OnFailure"}
        mounts = {"volumeMounts": [{"name": "out", "mountPath": "/out"}]}
        self.create("twice", f"[ -e /out/x ] && {{ echo second; {SLEEPS}; }}; > /out/x; echo first; exit 4", container=mounts, **out)
        self.create("crashes", "echo bye > /dev/termination-log; exit 7")
        self.create("never", "exit 3", restartPolicy="Never")
        self.control.wait_for("twice", "was started again", f"{STATUS}.restartCount", "1")
        c.wait_until("what failed is begun again", lambda: self.control.kubectl("logs", "twice").stdout == "second\n")
        self.checks.equal(self.control.out("logs", "twice", "--previous"), "first\n", "kubectl logs, of this one and the one before")
        self.control.wait_for("never", "has failed", ".status.phase", "Failed")
        self.checks.equal(self.status("never")["state"]["terminated"]["exitCode"], 3, "how one ended is told")
        self.control.wait_for("crashes", "is held back", f"{STATUS}.state.waiting.reason", "CrashLoopBackOff")
        c.wait_until("its last words are told", lambda: self.field("crashes", f"{STATUS}.lastState.terminated.message") == "bye\n")
        self.checks.equal(self.field("crashes", f"{STATUS}.lastState.terminated.exitCode"), "7", "and how it ended, of one that crashes")
        self.delete("twice", "never", "crashes")

    def streams(self):
        control, checks = self.control, self.checks
        self.run("streams", f"mkdir -p /tmp; echo one; echo two; while [ ! -e /tmp/more ]; do sleep 0.1; done; echo three; {SERVES}")
        follower = subprocess.Popen(control.kubectl_command("logs", "-f", "streams"), stdout=subprocess.PIPE, text=True)
        try:
            lines = [follower.stdout.readline() for _ in range(2)]
            self.exec("streams", "> /tmp/more")
            checks.equal([*lines, follower.stdout.readline()], ["one\n", "two\n", "three\n"],
                         "a log that is followed comes as it is written")
        finally:
            follower.kill()
            follower.wait()
        checks.equal(control.out("logs", "streams", "--tail=1"), "three\n", "logs --tail")
        done = control.kubectl("exec", "streams", "--", *shell("echo out; echo err >&2; exit 6"))
        checks.equal((done.stdout, "err\n" in done.stderr, done.returncode), ("out\n", True, 6), "exec: outputs and the exit code")
        given = "in\n" * 50_000
        done = control.kubectl("exec", "-i", "streams", "--", "cat", given=given)
        checks.ok(done.stdout == given and done.returncode == 0, "exec -i: all goes there and back", (len(done.stdout), done.stderr))
        c.wait_until("it serves its page", lambda: "page" in self.exec("streams", f"{BUSYBOX} wget -q -O - http://127.0.0.1:8080/"))
        program = subprocess.Popen(control.kubectl_command("port-forward", "pod/streams", ":8080"), text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env={**os.environ, "HOME": str(control.folder)})
        try:
            line = program.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            if checks.ok(found, "kubectl port-forward listens", line):
                page = [*self.enter, "curl", "-s", "-m", "60", f"http://127.0.0.1:{found[1]}/"]
                done = subprocess.run(page, capture_output=True, text=True)
                checks.equal(done.stdout, "page\n", "and leads to the pod's port")
        finally:
            program.terminate()
            program.wait()
        self.delete("streams")

    def grace(self):
        held = {"metadata": {"finalizers": ["example.com/hold"]}}
        deaf = "trap '' TERM; mkdir -p /tmp; > /tmp/deaf; while :; do sleep 0.1; done"
        self.run("deaf", deaf, terminationGracePeriodSeconds=2, **held,
                 container={"readinessProbe": {"exec": {"command": shell("test -e /tmp/deaf")}, **PROBE}})
        self.control.out("delete", "pod", "deaf", "--wait=false")
        self.control.wait_for("deaf", "is killed", f"{STATUS}.state.terminated.exitCode", "137")
        self.checks.ok(True, "who hears no signal is killed when its grace is over")
        self.release("deaf")

    def survival(self):
        self.run("stays")
        before = self.status("stays")
        self.restart()
        self.run("after")
        self.checks.equal(self.status("stays"), before, "a restart of gantryd changes nothing that runs, nor what is said of it")
        self.delete("stays", "after")

    def static(self, folder):
        """A pod of a manifest in `folder`, which the API shows."""
        name, manifest = f"static-{self.node}", folder / "static.yaml"
        manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "static"}, "spec": {
            "terminationGracePeriodSeconds": 1, "containers": [
                {"name": "web", "image": self.image, "imagePullPolicy": "IfNotPresent", "command": shell(SLEEPS)}]}}))
        self.control.wait_for(name, "is Ready", READY, "True")
        metadata, identity = self.control.json("get", "pod", name)["metadata"], self.status(name)["containerID"]
        self.checks.equal([owner["kind"] for owner in metadata["ownerReferences"]], ["Node"],
                          "a static pod has a mirror, which is the Node's")
        self.control.out("delete", "pod", name, "--wait=false")
        c.wait_until("it is made again", lambda: self.field(name, ".metadata.uid") not in ("", metadata["uid"]))
        self.control.wait_for(name, "is Ready again", READY, "True")
        self.checks.equal(self.status(name)["containerID"], identity, "and the pod knows nothing of that")
        manifest.unlink()
        c.wait_until("both are gone", lambda: "NotFound" in self.control.kubectl("get", "pod", name).stderr)

    def tell(self):
        for part in (self.volumes, self.token, self.probes, self.hooks, self.restarts, self.streams, self.grace, self.survival):
            part()
