#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""kubectl against what the cluster says of writes: pod security, limit ranges, quotas that are counted while pods come and go, runtime classes
and default classes, and who tries to get around them; and the secrets in which service accounts' tokens are."""
import base64
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control

HARDENED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"}}


def pod(name, security=None, resources=None, **spec):
    container = {"name": "main", "image": "i", "securityContext": security or {}, "resources": resources or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def deployment(name, template):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": template["spec"]}}}


def make(control, ns, *objects):
    document = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    return control.kubectl("create", "-n", ns, "-f", "-", given=json.dumps(document))


def namespace(control, name, *labels):
    control.out("create", "namespace", name)
    if labels:
        control.out("label", "namespace", name, *labels)
    control.wait_for_namespace(name)


def pod_security(checks, control):
    namespace(control, "strict", "pod-security.kubernetes.io/enforce=restricted")
    done = make(control, "strict", pod("web"))
    checks.contains(done.stderr, 'pods "web" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false '
                    '(container "main" must set securityContext.allowPrivilegeEscalation=false)', "a plain pod is refused")
    checks.equal(make(control, "strict", pod("web", HARDENED)).returncode, 0, "a hardened one is made")
    done = make(control, "strict", deployment("front", pod("x", hostNetwork=True)))
    checks.equal(done.returncode, 0, "a workload is made")
    checks.contains(done.stderr, 'Warning: would violate PodSecurity "restricted:latest": host namespaces (hostNetwork=true)',
                    "with a warning that kubectl shows")
    done = control.kubectl("debug", "-n", "strict", "web", "--image=i", "--profile=sysadmin")
    checks.contains(done.stderr, "violates PodSecurity", "kubectl debug's ephemeral container is no way around")
    done = control.kubectl("debug", "-n", "strict", "web", "--image=i", "--profile=restricted")
    checks.equal(done.returncode, 0, f"a restricted one may come in: {done.stderr}")
    done = control.kubectl("label", "namespace", "strict", "--overwrite", "pod-security.kubernetes.io/enforce=Baseline")
    checks.contains(done.stderr, "must be one of privileged, baseline, restricted", "a level that there is not is refused")
    namespace(control, "loose")
    make(control, "loose", pod("root", {"privileged": True}))
    done = control.kubectl("label", "namespace", "loose", "pod-security.kubernetes.io/enforce=baseline")
    checks.contains(done.stderr, 'existing pods in namespace "loose" violate the new PodSecurity enforce level "baseline:latest"',
                    "who makes a namespace stricter hears of its pods")
    checks.contains(done.stderr, "root: privileged", "by name and reason")


def limit_ranges(checks, control):
    namespace(control, "small")
    limits = [{"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "250m"}}]
    make(control, "small", {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "r"}, "spec": {"limits": limits}})
    checks.contains(control.out("describe", "limits", "-n", "small"), "Container", "describe limits")
    make(control, "small", pod("web"))
    resources = control.json("get", "pod", "-n", "small", "web")["spec"]["containers"][0]["resources"]
    checks.equal(resources, {"limits": {"cpu": "500m"}, "requests": {"cpu": "250m"}}, "a container gets the defaults")
    done = make(control, "small", pod("big", resources={"limits": {"cpu": "2"}}))
    checks.contains(done.stderr, "maximum cpu usage per Container is 1, but limit is 2", "and not more than the most")


def used(control, ns, name):
    status = control.json("get", "quota", "-n", ns, name).get("status", {})
    return status.get("used") if status.get("hard") else None


def quotas(checks, control):
    namespace(control, "team")
    control.out("create", "quota", "q", "-n", "team", "--hard=pods=4,requests.cpu=2,count/deployments.apps=1,count/configmaps=3")
    c.wait_until("the quota counts", lambda: used(control, "team", "q") is not None)
    checks.equal(used(control, "team", "q"), {"pods": "0", "requests.cpu": "0", "count/deployments.apps": "0", "count/configmaps": "1"},
                 "a new quota counts what is there")
    checks.contains(make(control, "team", pod("web")).stderr, "failed quota: q: must specify requests.cpu for: main", "pods must say what is limited")
    half = {"requests": {"cpu": "400m"}}
    # As many at once as kubectl's processes can ask for; then what was taken is given back.
    racers = [subprocess.Popen(control.kubectl_command("create", "-n", "team", "-f", "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True) for _ in range(6)]
    for number, racer in enumerate(racers):
        racer.stdin.write(json.dumps(pod(f"p{number}", resources=half)))
        racer.stdin.close()
    ends = [racer.wait(c.PATIENCE) for racer in racers]
    errors = [racer.stderr.read() for racer in racers]
    for racer in racers:
        racer.stdout.close()
        racer.stderr.close()
    checks.equal(ends.count(0), 4, f"of six at once four are made: {errors}")
    checks.ok(all("exceeded quota: q, requested: pods=1, used: pods=4, limited: pods=4" in error for error in errors if error),
              f"the others hear why: {errors}")
    checks.equal(used(control, "team", "q")["requests.cpu"], "1600m", "all of what they ask for is charged")
    control.out("delete", "pods", "-n", "team", "--all", "--force", "--grace-period=0")
    c.wait_until("the pods' place is given back", lambda: used(control, "team", "q")["pods"] == "0")
    checks.equal(used(control, "team", "q")["requests.cpu"], "0", "and their CPU")
    checks.equal(make(control, "team", deployment("one", pod("x", resources=half))).returncode, 0, "one deployment may be")
    checks.contains(make(control, "team", deployment("two", pod("x", resources=half))).stderr,
                    "requested: count/deployments.apps=1, used: count/deployments.apps=1", "and no second one")
    control.out("delete", "deployment", "-n", "team", "one")
    c.wait_until("the deployment's place is given back", lambda: used(control, "team", "q")["count/deployments.apps"] == "0")
    control.out("create", "quota", "high", "-n", "team", "--hard=pods=0", "--scopes=BestEffort")
    c.wait_until("a quota with a scope counts", lambda: used(control, "team", "high") is not None)
    checks.equal(make(control, "team", pod("fine", resources=half)).returncode, 0, "what is not in its scope is not its matter")
    checks.contains(control.out("describe", "quota", "-n", "team"), "BestEffort", "describe quota")


def classes(checks, control):
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "vm"}, "handler": "vm",
               "overhead": {"podFixed": {"memory": "64Mi"}}, "scheduling": {"nodeSelector": {"vm": "yes"}}}
    control.out("delete", "storageclass", "gantry-local")  # of two the newest counts
    storage = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "example.com/p",
               "metadata": {"name": "usual", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
    checks.equal(make(control, "default", runtime, storage).returncode, 0, "classes are made")
    checks.equal(make(control, "default", pod("inside", runtimeClassName="vm")).returncode, 0, "a pod of a runtime class is made")
    spec = control.json("get", "pod", "inside")["spec"]
    checks.equal((spec["overhead"], spec["nodeSelector"]), ({"memory": "64Mi"}, {"vm": "yes"}), "with the class's overhead and nodes")
    checks.contains(make(control, "default", pod("other", runtimeClassName="none")).stderr, 'RuntimeClass "none" not found',
                    "a class that is not there is refused")
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
             "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    make(control, "default", claim)
    checks.equal(control.json("get", "pvc", "c")["spec"]["storageClassName"], "usual", "a claim gets the default class")
    done = control.kubectl("patch", "pvc", "c", "-p", '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}')
    checks.ok(done.returncode != 0, "and does not grow before it is bound")


def token_secrets(checks, control):
    """A secret that people make for a program outside, and the token that it gets."""
    make(control, "default", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}},
         {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
          "metadata": {"name": "robot-token", "annotations": {"kubernetes.io/service-account.name": "robot"}}})

    def data():
        found = control.json("get", "secret", "robot-token").get("data", {})
        return found if set(found) >= {"ca.crt", "namespace", "token"} else None
    found = c.wait_until("the secret is filled", data)
    checks.equal(base64.b64decode(found["namespace"]), b"default", "a secret of a service account gets its namespace")
    checks.contains(control.out("describe", "secret", "robot-token"), ["ca.crt:", "token:"], "the cluster's CA, and a token")
    token = base64.b64decode(found["token"]).decode()

    def who():
        """Who kubectl is with the token alone."""
        return subprocess.run([control.kubectl_command()[0], "--server", control.url, "--insecure-skip-tls-verify", "--token", token,
                               "auth", "whoami"], capture_output=True, text=True, env={**os.environ, "HOME": str(control.folder),
                                                                                        "KUBECONFIG": "/dev/null"})
    checks.contains(who().stdout, "system:serviceaccount:default:robot", "with which one is the account")
    control.kill()
    control.start()
    checks.contains(who().stdout, "system:serviceaccount:default:robot", "also after gantry-control was killed")
    control.out("delete", "secret", "robot-token")
    c.wait_until("the token has ended", lambda: "Unauthorized" in who().stderr)
    checks.ok(True, "it ends with the secret")
    make(control, "default", {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
                              "metadata": {"name": "again", "annotations": {"kubernetes.io/service-account.name": "robot"}}})
    control.out("delete", "serviceaccount", "robot")
    c.wait_until("the secret is gone", lambda: not control.out("get", "secret", "again", "-o", "name", "--ignore-not-found"))
    checks.ok(True, "and a secret with its account")


def story(checks):
    with Control(checks) as control:
        pod_security(checks, control)
        limit_ranges(checks, control)
        quotas(checks, control)
        classes(checks, control)
        token_secrets(checks, control)


c.main(story)
