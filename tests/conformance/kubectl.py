#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 300
"""Real kubectl at home: every verb that needs no node, its output looked at. Nothing is ever sent with --validate=false."""
import json
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control

INTRODUCTIONS = """\
apiVersion: v1
kind: Pod
metadata:
  name: my-app
  labels:
    app.kubernetes.io/name: MyApp
spec:
  containers:
  - name: my-app
    image: my-app:1.0
    ports:
    - containerPort: 9376
---
apiVersion: v1
kind: Service
metadata:
  name: my-service
spec:
  selector:
    app.kubernetes.io/name: MyApp
  ports:
  - protocol: TCP
    port: 80
    targetPort: 9376
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: pv0001
spec:
  capacity:
    storage: 1Gi
  accessModes:
  - ReadWriteOnce
  storageClassName: slow
  hostPath:
    path: /tmp/data
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: claim
spec:
  accessModes:
  - ReadWriteOnce
  storageClassName: slow
  resources:
    requests:
      storage: 500Mi
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: nginx-deployment
  labels:
    app: nginx
spec:
  replicas: 3
  selector:
    matchLabels:
      app: nginx
  template:
    metadata:
      labels:
        app: nginx
    spec:
      containers:
      - name: nginx
        image: nginx:1.14.2
        ports:
        - containerPort: 80
"""


def map_of(name, **data):
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


class Tour:
    def __init__(self, checks, control):
        self.checks, self.control = checks, control

    def says(self, parts, *arguments, given=None, what=None):
        """kubectl succeeds and its output has the parts."""
        done = self.control.kubectl(*arguments, given=given)
        text = done.stdout + done.stderr
        what = what or f"kubectl {' '.join(map(str, arguments))}"
        if done.returncode:
            return self.checks.ok(False, what, text)
        return self.checks.contains(text, parts, what)

    def fails(self, parts, *arguments, given=None, what=None):
        done = self.control.kubectl(*arguments, given=given)
        what = what or f"kubectl {' '.join(map(str, arguments))} fails"
        if not done.returncode:
            return self.checks.ok(False, what, done.stdout)
        return self.checks.contains(done.stdout + done.stderr, parts, what)


def discovery(tour):
    tour.says("v1.37.0-gantry", "version")
    tour.says(["deployments", "deploy", "apps/v1", "poddisruptionbudgets"], "api-resources")
    tour.says(["apps/v1", "rbac.authorization.k8s.io/v1"], "api-versions")
    tour.says("restartPolicy", "explain", "pod.spec")
    tour.says("FIELD: replicas", "explain", "deployment.spec.replicas")
    tour.says("Kubernetes control plane", "cluster-info")
    tour.says("ok", "get", "--raw", "/readyz")


def introductions(tour):
    created = ["pod/my-app created", "service/my-service created", "persistentvolume/pv0001 created",
               "persistentvolumeclaim/claim created", "deployment.apps/nginx-deployment created"]
    tour.says(created, "apply", "-f", "-", given=INTRODUCTIONS, what="the documents of the introductions apply as written")
    tour.says([line.replace("created", "unchanged") for line in created], "apply", "-f", "-", given=INTRODUCTIONS,
              what="applied again they change nothing")
    tour.says(["NAME", "READY", "STATUS", "RESTARTS", "AGE", "my-app", "0/1", "Pending"], "get", "pod", "my-app")
    tour.says(["TYPE", "CLUSTER-IP", "ClusterIP", "80/TCP"], "get", "service", "my-service")
    tour.says("9376", "get", "svc", "my-service", "--template", "{{(index .spec.ports 0).targetPort}}")
    tour.says(["0/3", "nginx-deployment"], "get", "deployments")
    tour.says(["CONTAINERS", "nginx:1.14.2", "app=nginx"], "get", "deployments", "-o", "wide")
    tour.says(["my-app", "nginx-deployment", "my-service"], "get", "all")


def generators(tour):
    tour.says("namespace/team created", "create", "namespace", "team")
    tour.says("configmap/cm created", "create", "configmap", "cm", "--from-literal=a=b", "--from-literal=c=d")
    tour.says("secret/s created", "create", "secret", "generic", "s", "--from-literal=password=hunter2")
    tour.says(["Opaque", "1"], "get", "secret", "s")
    tour.says("deployment.apps/web created", "create", "deployment", "web", "--image=nginx", "--replicas=2")
    tour.says("job.batch/j created", "create", "job", "j", "--image=busybox", "--", "true")
    tour.says("cronjob.batch/cj created", "create", "cronjob", "cj", "--image=busybox", "--schedule=*/5 * * * *")
    tour.says("serviceaccount/robot created", "create", "serviceaccount", "robot")
    tour.says("role.rbac.authorization.k8s.io/reader created", "create", "role", "reader", "--verb=get,list",
              "--resource=pods")
    tour.says("rolebinding.rbac.authorization.k8s.io/readers created", "create", "rolebinding", "readers", "--role=reader",
              "--serviceaccount=default:robot")
    tour.says("clusterrole.rbac.authorization.k8s.io/cr created", "create", "clusterrole", "cr", "--verb=get",
              "--resource=nodes")
    tour.says("resourcequota/q created", "create", "quota", "q", "--hard=pods=100")
    tour.says("poddisruptionbudget.policy/pdb created", "create", "poddisruptionbudget", "pdb", "--selector=app=web",
              "--min-available=1")
    tour.says("priorityclass.scheduling.k8s.io/high created", "create", "priorityclass", "high", "--value=1000")
    tour.says("ingress.networking.k8s.io/in created", "create", "ingress", "in", "--rule=example.com/*=web:80")
    tour.says("service/np created", "create", "service", "nodeport", "np", "--tcp=80:80")
    tour.says("pod/one created", "run", "one", "--image=busybox", "--labels=run=one", "--restart=Never")
    tour.says("service/one exposed", "expose", "pod", "one", "--port", "8080", "--target-port", "80")
    tour.fails('configmaps "cm" already exists', "create", "configmap", "cm")


def changes(tour):
    tour.says("configmap/cm labeled", "label", "configmap", "cm", "tier=back")
    tour.says("tier=back", "get", "configmap", "cm", "--show-labels")
    tour.says("configmap/cm annotated", "annotate", "configmap", "cm", "note=x")
    tour.says("configmap/cm patched", "patch", "configmap", "cm", "-p", '{"data":{"a":"z"}}')
    tour.says("configmap/cm patched", "patch", "configmap", "cm", "--type=json", "-p",
              '[{"op":"test","path":"/data/a","value":"z"},{"op":"replace","path":"/data/a","value":"y"}]')
    tour.says("patched (no change)", "patch", "configmap", "cm", "--type=merge", "-p", '{"data":{"a":"y"}}')
    tour.says("deployment.apps/web scaled", "scale", "deployment", "web", "--replicas=4")
    tour.says("4", "get", "deployment", "web", "-o", "jsonpath={.spec.replicas}")
    tour.says("image updated", "set", "image", "deployment/web", "nginx=nginx:2")
    tour.says("env updated", "set", "env", "deployment/web", "KEY=value")
    tour.says("resource requirements updated", "set", "resources", "deployment/web", "--limits=cpu=1")
    tour.says("deployment.apps/web paused", "rollout", "pause", "deployment/web")
    tour.says("deployment.apps/web resumed", "rollout", "resume", "deployment/web")
    tour.says("deployment.apps/web restarted", "rollout", "restart", "deployment/web")
    tour.says("autoscaled", "autoscale", "deployment", "web", "--max=5", "--cpu-percent=80")
    tour.says(["Deployment/web", "5"], "get", "hpa")
    tour.says("configmap/cm replaced", "replace", "-f", "-", given=map_of("cm", a="1"))
    tour.says("Edit cancelled", "edit", "configmap", "cm")
    done = tour.control.kubectl("diff", "-f", "-", given=map_of("cm", a="2"))
    tour.checks.ok(done.returncode == 1 and '+  a: "2"' in done.stdout, "kubectl diff shows what an apply would change",
                   done.stdout + done.stderr)
    tour.says("unchanged", "apply", "-f", "-", "--dry-run=server", given=INTRODUCTIONS)
    tour.says("(server dry run)", "delete", "configmap", "cm", "--dry-run=server")
    tour.says("configmap/cm", "get", "configmap", "cm", "-o", "name")


def server_side_apply(tour):
    tour.says("configmap/ssa serverside-applied", "apply", "--server-side", "-f", "-", given=map_of("ssa", a="1", b="1"))
    tour.fails(["conflict", "kubectl", ".data.a"], "apply", "--server-side", "--field-manager=other", "-f", "-",
               given=map_of("ssa", a="2"))
    tour.says("serverside-applied", "apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-",
              given=map_of("ssa", a="2"))
    tour.says('{"a":"2","b":"1"}', "get", "configmap", "ssa", "-o", "jsonpath={.data}")


def mistakes(tour):
    tour.fails('unknown field "spec.containrs"', "create", "-f", "-",
               given='{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"containrs":[]}}')
    tour.fails("spec.containers: Required value", "create", "-f", "-",
               given='{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"restartPolicy":"Never"}}')
    tour.fails('pods "nobody" not found', "get", "pod", "nobody")
    tour.fails("the server doesn't have a resource type", "get", "unicorns")
    tour.fails("namespaces \"nowhere\" not found", "create", "configmap", "x", "-n", "nowhere")


def watching(tour):
    follower = subprocess.Popen(tour.control.kubectl_command("get", "configmaps", "--watch-only", "--output-watch-events"),
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(follower.stdout), daemon=True)
    reader.start()
    try:
        # Nothing tells from outside when its watch stands; what is written before is not seen.
        deadline = time.monotonic() + c.PATIENCE
        while not {"ADDED", "DELETED"} <= {line.split()[0] for line in list(lines)} and time.monotonic() < deadline:
            tour.control.out("create", "configmap", "seen", "--from-literal=a=b")
            tour.control.out("delete", "configmap", "seen")
        tour.checks.contains("".join(lines), ["ADDED", "DELETED", "seen"], "kubectl get --watch shows what comes and goes")
    finally:
        follower.terminate()
        follower.wait()
    waiter = subprocess.Popen(tour.control.kubectl_command("wait", "--for=jsonpath={.data.ready}=yes", "configmap/cm",
                                                           "--timeout=30s"), stdout=subprocess.PIPE, text=True)
    tour.control.out("patch", "configmap", "cm", "-p", '{"data":{"ready":"yes"}}')
    tour.checks.ok("condition met" in waiter.communicate(timeout=c.PATIENCE)[0], "kubectl wait sees a change")


def access(tour):
    tour.says("yes", "auth", "can-i", "create", "deployments")
    done = tour.control.kubectl("auth", "can-i", "get", "secrets", "--as=jane")
    tour.checks.ok(done.returncode == 1 and done.stdout.strip() == "no", "jane may not get secrets", done.stdout + done.stderr)
    tour.says("yes", "auth", "can-i", "list", "pods", "--as=system:serviceaccount:default:robot")
    tour.fails('User "jane" cannot list resource "pods" in API group "" in the namespace "default"', "get", "pods",
               "--as=jane")
    tour.says("system:masters", "auth", "whoami")
    tour.says("*.*", "auth", "can-i", "--list")
    token = tour.control.out("create", "token", "robot").strip()
    tour.checks.equal(token.count("."), 2, "a service account has a token")
    done = subprocess.run([tour.control.kubectl_path, "--server", tour.control.url, "--insecure-skip-tls-verify", "--token",
                           token, "get", "pods", "--kubeconfig", "/dev/null"], capture_output=True, text=True)
    tour.checks.contains(done.stdout + done.stderr, "my-app", "with its token it may do what its role says")


def ends(tour):
    tour.says("pod \"one\" deleted", "delete", "pod", "one", "--now")
    tour.says("deleted", "delete", "service", "one", "np")
    tour.says("deleted", "delete", "configmap", "--all")
    tour.says("deleted", "delete", "-f", "-", given=INTRODUCTIONS)
    tour.says("namespace \"team\" deleted", "delete", "namespace", "team")


def story(checks):
    with Control(checks) as control:
        tour = Tour(checks, control)
        for part in (discovery, introductions, generators, changes, server_side_apply, mistakes, watching, access, ends):
            try:
                part(tour)
            except c.Failure as failure:
                checks.ok(False, f"{part.__name__} goes on to its end: {failure}")


c.main(story)
