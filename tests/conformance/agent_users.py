#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Pods with user namespaces (hostUsers: false) of the API server and of a manifest, with real kubectl: which ids they have, and for how
long; whose their volumes are inside; and what root of one can't do to the host. What the runtime below makes of ids is userns.py's."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import checks as c
from cluster import READY, SLEEPS, JoiningNode, NodeControl
from cri_client import APPLETS, IMAGE
from oci import Image, entry
from registry import busybox_layer

UNIT = 65536
USER, GROUP = 1234, 4321
VOLUMES = [
    {"name": "data", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}},
    {"name": "settings", "configMap": {"name": "settings"}}, {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
    {"name": "facts", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]
MOUNTS = [{"name": name, "mountPath": f"/{name}"} for name in ("data", "memory", "settings", "keys", "facts")]
PARTS = [{"name": "settings", "mountPath": "/one", "subPath": "color"}, {"name": "data", "mountPath": "/part", "subPath": "deep/part"}]
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"


def container(name="web", command=SLEEPS, **more):
    return {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", command]} | more


def pod(node, name, *containers, **spec):
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "nodeName": node.name, "hostUsers": False, "terminationGracePeriodSeconds": 1, "containers": containers or [container()],
        **spec}})


def running(node, name, part="web"):
    """The id of a pod's container that runs; None while there is none."""
    found = [key for key, item in node.containers().items() if item["state"] == "CONTAINER_RUNNING" and
             item["labels"]["io.kubernetes.pod.name"] == name and item["metadata"]["name"] == part]
    return found[0] if found else None


def says(node, name, script, part="web"):
    """What a script prints in the pod's container; "" while it can't be asked."""
    found = running(node, name, part)
    done = node.crictl("exec", found, "/bin/sh", "-c", script, check=False) if found else None
    return (done.stdout + done.stderr).strip() if done else ""


def mapping(node, name, part="web"):
    """(first, length) of its users, which are those of its groups; None while it can't be asked."""
    lines = [line.split() for line in says(node, name, "cat /proc/self/uid_map /proc/self/gid_map", part).splitlines()]
    if len(lines) != 2 or lines[0] != lines[1] or len(lines[0]) != 3 or lines[0][0] != "0":
        return None
    return int(lines[0][1]), int(lines[0][2])


def records(node):
    """{uid of a pod: the first of its ids}, of all that there are on the node."""
    return {path.parent.name: json.loads(path.read_text())["uidMappings"][0]["hostId"]
            for path in node.state.glob("kubelet/pods/*/userns")}


def uids_of(pid):
    """Real, effective, saved and of the file system; none of a process that has ended."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return []
    return [int(uid) for line in status.splitlines() if line.startswith("Uid:") for uid in line.split()[1:]]


def uid(control, name):
    return control.out("get", "pod", name, "-o", "jsonpath={.metadata.uid}")


def remove(control, *names):
    control.out("delete", "pod", *names, "--wait=false")
    for name in names:
        c.wait_until(f"{name} is gone", lambda name=name: "NotFound" in control.kubectl("get", "pod", name).stderr)


def ids(checks, control, node):
    """Two pods, and whose ids they have, inside and on the host."""
    handlers = control.json("get", "node", node.name)["status"]["runtimeHandlers"]
    checks.ok(handlers and all(each["features"]["userNamespaces"] for each in handlers), "the Node says that it has them", handlers)
    control.out("create", "configmap", "settings", "--from-literal=color=red")
    control.out("create", "secret", "generic", "keys", "--from-literal=key=sesame")
    both = [container(command="echo begun; " + SLEEPS, volumeMounts=MOUNTS + PARTS),
            container("user", volumeMounts=MOUNTS + PARTS, securityContext={"runAsUser": USER})]
    control.out("create", "-f", "-", given=pod(node, "own", *both, volumes=VOLUMES, securityContext={"fsGroup": GROUP}))
    control.out("create", "-f", "-", given=pod(node, "other", container(securityContext={"procMount": "Unmasked"})))
    control.out("create", "-f", "-", given=pod(node, "plain", hostUsers=True))
    for name in ("own", "other", "plain"):
        control.wait_for(name, "is Ready", READY, "True")
    first, length = mapping(node, "own")
    checks.equal((length, first % UNIT, first >= UNIT), (UNIT, 0, True), "a pod has 65536 ids, none of them the host's")
    checks.equal(mapping(node, "own", "user"), (first, length), "its containers have the same")
    other = mapping(node, "other")
    checks.ok(other[1] == UNIT and abs(other[0] - first) >= UNIT, "another pod has others", (first, other))
    checks.equal(mapping(node, "plain"), (0, 2**32 - 1), "one with hostUsers: true has the host's")
    checks.equal(records(node), {uid(control, "own"): first, uid(control, "other"): other[0]}, "they are on record where kubelet has it")
    hidden = [int(says(node, name, "busybox grep -c ' /proc/' /proc/self/mountinfo || true")) for name in ("own", "other")]
    checks.ok(hidden[0] > 0 and hidden[1] == 0, "procMount: Unmasked shows all of /proc, the default does not", hidden)
    root, user = (uids_of(node.container_pid(running(node, "own", part))) for part in ("web", "user"))
    checks.equal((root, user), ([first] * 4, [first + USER] * 4), "on the host its processes are nobody's else")
    said = c.wait_until("kubectl exec reaches it", lambda: control.kubectl("exec", "own", "-c", "user", "--", "id", "-u").stdout)
    checks.equal(said.strip(), str(USER), "kubectl exec")
    checks.equal(control.kubectl("logs", "own", "-c", "web").stdout, "begun\n", "kubectl logs")


def volumes(checks, node):
    """Whose files are, as the pod sees them."""
    for part, who in (("web", 0), ("user", USER)):
        said = says(node, "own", f"cat /settings/color /keys/key /facts/name /one; busybox head -c 3 {TOKEN}; "
                    "busybox grep -c localhost /etc/hosts", part)
        checks.ok(said.startswith("redsesameownredeyJ") and int(said[18:]) > 0, f"{who} reads each kind of volume", said)
        made = f"/data/{who} /memory/{who} /part/{who}"
        said = says(node, "own", f"touch {made} && busybox stat -c %u:%g {made}", part)
        checks.equal(said.split(), [f"{who}:{GROUP}"] * 3, f"what {who} makes in an emptyDir is its own, and fsGroup's")
    said = says(node, "own", "busybox stat -L -c '%u:%g %a' /data /memory /settings/color /keys/key /etc/hosts "
                f"/dev/termination-log {TOKEN}")
    checks.equal(said.splitlines(), [f"0:{GROUP} 2777"] * 2 + [f"0:{GROUP} 644", f"0:{GROUP} 440", "0:0 644", "0:0 666", f"0:{GROUP} 640"],
                 "owners and modes are those of a pod without a user namespace")
    checks.contains(says(node, "own", "echo x > /settings/color"), "Read-only", "what is made from objects is read-only")
    folders = [path for path in node.state.glob("kubelet/pods/*/volumes/kubernetes.io~empty-dir/data") if (path / "0").exists()]
    checks.equal([((folders[0] / name).stat().st_uid, (folders[0] / name).stat().st_gid) for name in ("0", str(USER))],
                 [(0, GROUP), (USER, GROUP)], "on the disk, in the pod's closed folder, they are as inside")
    checks.equal(folders[0].parents[2].stat().st_mode & 0o007, 0, "where no other user of the host's comes")


def refuses(checks, control, node):
    """What can't be done is said."""
    control.out("create", "-f", "-", given=json.dumps({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
                                                       "metadata": {"name": "odd"}, "handler": "odd"}))
    control.out("create", "-f", "-", given=pod(node, "odd", runtimeClassName="odd"))
    words = "can't set `spec.hostUsers: false`, RuntimeClass handler \"odd\" does not support user namespaces"

    def told():
        events = control.json("get", "events", "--field-selector", "involvedObject.name=odd,reason=FailedCreatePodSandBox")["items"]
        return any(f"Failed to create pod sandbox: {words}" in event["message"] for event in events)
    c.wait_until("an event tells of the handler, in kubelet's words", told)
    checks.ok(True, "a handler without user namespaces is refused, in kubelet's words")
    # A file system of which the kernel maps no ids.
    where = [{"name": "host", "hostPath": {"path": "/proc/self"}}]
    control.out("create", "-f", "-", given=pod(node, "unmapped", container(volumeMounts=[{"name": "host", "mountPath": "/host"}]),
                                               volumes=where))
    message = ".status.containerStatuses[0].state.waiting.message"
    said = c.wait_until("the container says what is wrong", lambda: (
        said := control.kubectl("get", "pod", "unmapped", "-o", f"jsonpath={{{message}}}").stdout) and "/proc" in said and said)
    checks.contains(said, ["maps no ids", "proc"], "a volume whose ids can't be mapped")
    remove(control, "odd", "unmapped")


def escapes(checks, control, node):
    """Root inside, with all that a privileged container has, and another user with a set-user-id program of root's."""
    privileged = {"securityContext": {"privileged": True}}
    script = ("busybox cp /bin/attack /data/as-root; busybox chown 0:0 /data/as-root; busybox chmod 6755 /data/as-root; "
              "busybox mknod /data/disk b 8 0 && echo made; echo ended; " + SLEEPS)
    for name, own in (("attacks", True), ("bites", False)):
        program = container("user", securityContext={"runAsUser": USER, "allowPrivilegeEscalation": True},
                            command="while ! test -u /data/as-root; do sleep 0.1; done; exec /data/as-root watch",
                            volumeMounts=[MOUNTS[0]])
        control.out("create", "-f", "-", given=pod(node, name, container(command=script, volumeMounts=[MOUNTS[0]], **privileged),
                                                   program, volumes=[VOLUMES[0]], hostUsers=not own))
        said = c.wait_until(f"{name} has tried", lambda name=name: (
            text := control.kubectl("logs", name, "-c", "web").stdout) and "ended" in text and text)
        checks.equal("made" in said, not own, f"{name}: a device of the host's can {'not ' * own}be made")

        def seen(name=name):
            found = running(node, name, "user")
            now = uids_of(node.container_pid(found)) if found else []
            return now if now and now[0] != now[1] else None
        real, effective = c.wait_until(f"{name} runs root's program", seen)[:2]
        first = mapping(node, name)[0]
        checks.equal((real, effective), (first + USER, first), f"{name}: it has root's id, of {'the pod' if own else 'the host'}")
        checks.equal(first == 0, not own, f"{name}: which is {'not ' * own}the host's")
    remove(control, "attacks", "bites")


def restarts(checks, control, node):
    """Who has which ids outlives gantryd, and a container's restart."""
    before, pids = records(node), {name: node.container_pid(running(node, name)) for name in ("own", "other")}
    node.kill_gantryd()
    control.out("create", "-f", "-", given=pod(node, "late"))
    node.wait_for_gantryd()
    control.wait_for("late", "is Ready", READY, "True")
    checks.equal({name: node.container_pid(running(node, name)) for name in pids}, pids, "a restart of gantryd touches none")
    late = mapping(node, "late")[0]
    checks.equal(records(node), before | {uid(control, "late"): late}, "and all keep their ids")
    checks.ok(late not in before.values(), "which a new pod does not get", (late, before))
    # Its first process ends: the container is made anew, in the pod's namespace.
    old = running(node, "own")
    says(node, "own", "kill -TERM 1")
    c.wait_until("the container is another", lambda: running(node, "own") not in (None, old))
    checks.equal(c.wait_until("it can be asked", lambda: mapping(node, "own")), (before[uid(control, "own")], UNIT),
                 "a container that is made anew has the pod's")


def ends(checks, control, node):
    """Ids are free again when nothing of the pod runs."""
    control.out("create", "-f", "-", given=pod(node, "once", container(command="cat /proc/self/uid_map"), restartPolicy="Never"))
    control.wait_for("once", "has ended", ".status.phase", "Succeeded")
    gone = uid(control, "once")
    c.wait_until("its ids are free, the pod is still there", lambda: gone not in records(node))
    checks.ok(int(control.out("logs", "once").split()[1]) >= UNIT, "a pod that has ended gave its ids back, and its log is there")
    remove(control, "once", "own", "other", "plain", "late")
    checks.equal(records(node), {}, "nobody has any when the pods are gone")


def static(checks, node):
    manifest = node.manifests / "static.yaml"
    manifest.write_text(f"apiVersion: v1\nkind: Pod\nmetadata: {{name: static}}\nspec:\n  hostUsers: false\n  containers:\n"
                        f"  - {{name: web, image: '{IMAGE}', command: [/bin/sh, -c, \"{SLEEPS}\"]}}\n")
    name = f"static-{node.name}"
    first, length = c.wait_until("the static pod runs", lambda: running(node, name) and mapping(node, name))
    checks.equal((length, list(records(node).values())), (UNIT, [first]), "a static pod has ids, too")
    manifest.unlink()
    c.wait_until("it is gone", lambda: not node.pods() and not records(node))


def story(checks):
    with JoiningNode(checks) as node:
        program = entry("bin/attack", content=attacks.ATTACK.read_bytes(), mode=0o755)
        node.image("load", Image(busybox_layer(APPLETS, program)).archive(node.work / "image.tar", IMAGE))
        with NodeControl(checks, node) as control:
            node.join(control.join_words())
            node.kill_gantryd()
            node.wait_for_gantryd()
            node.wait_until_ready(control)
            node.approve_serving(control)
            c.wait_until("there is a service account",
                         lambda: control.kubectl("get", "serviceaccount", "default").returncode == 0)
            ids(checks, control, node)
            volumes(checks, node)
            refuses(checks, control, node)
            escapes(checks, control, node)
            restarts(checks, control, node)
            ends(checks, control, node)
            static(checks, node)


c.main(story)
