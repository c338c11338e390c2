#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""Which namespaces pods have for themselves, share among their containers, and have of the node, with real kubectl: hostPID, hostIPC,
hostNetwork, shareProcessNamespace."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import NODE_ADDRESS, SLEEPS, ready_node
from pods import Pods, container, words

KINDS = ("pid", "ipc", "net", "uts", "mnt")
# Of two containers at one time: the number of a namespace that is gone may be another's.
LOOK = ("for kind in " + " ".join(KINDS) + "; do readlink /proc/self/ns/$kind; done; touch /out/$NAME; "
        "until [ -e /out/one ] && [ -e /out/two ]; do sleep 0.1; done")
OUT = [{"name": "out", "emptyDir": {}}]


def namespaces(pods, name, **spec):
    """{container: {kind: namespace}} of a pod of two containers."""
    both = [words(LOOK, one, env=[{"name": "NAME", "value": one}], volumeMounts=[{"name": "out", "mountPath": "/out"}])
            for one in ("one", "two")]
    said = pods.tell(name, *both, volumes=OUT, **spec)
    return {key: dict(zip(KINDS, text.split())) for key, text in said.items()}


def shared(pods, seen):
    """The kinds that its two containers share, and those that the first has of the node."""
    node = {kind: os.readlink(f"/proc/{pods.node.gantryd_pid()}/ns/{kind}") for kind in KINDS}
    one, two = seen["one"], seen["two"]
    return {kind for kind in KINDS if one[kind] == two[kind]}, {kind for kind in KINDS if one[kind] == node[kind]}


def combinations(pods):
    own = {"ipc", "net", "uts"}
    table = (("plain", {}, own, set()),
             ("processes", {"shareProcessNamespace": True}, own | {"pid"}, set()),
             ("host-pid", {"hostPID": True}, own | {"pid"}, {"pid"}),
             ("host-ipc", {"hostIPC": True}, own, {"ipc"}),
             ("host-net", {"hostNetwork": True}, own, {"net", "uts"}),
             ("host-all", {"hostPID": True, "hostIPC": True, "hostNetwork": True}, own | {"pid"}, {"pid", "ipc", "net", "uts"}))
    for name, spec, among, of_node in table:
        pods.checks.equal(shared(pods, namespaces(pods, name, **spec)), (among, of_node), f"{name}: what is shared, and with whom")
    status = pods.status("host-net")
    pods.checks.equal((status["hostIP"], status["podIP"]), (NODE_ADDRESS, NODE_ADDRESS), "on the node's network a pod has its address")
    pods.delete(*(name for name, *_ in table))


def processes(pods):
    """What is seen of whom, and what can be done to whom."""
    pods.create("together", container("server", "echo mine > /tmp/file; " + SLEEPS),
                words("until server=$(ps | grep 'echo [m]ine' | awk 'NR == 1 {print $1}') && [ -s /proc/$server/root/tmp/file ]; do sleep 0.1; done; "
                      "cat /proc/$server/root/tmp/file; tr '\\0' ' ' < /proc/1/cmdline; kill -9 $server", "looks"),
                shareProcessNamespace=True, restartPolicy="Never")
    ends = pods.ends("together")
    said = ends["looks"]["message"].splitlines()
    pods.checks.equal((said[0], ends["looks"]["exitCode"]), ("mine", 0), "one container sees the other's processes, and their files")
    pods.checks.ok("sh -c" not in " ".join(said[1:]), "none of them is pid 1", str(said))
    pods.checks.equal((ends["server"]["exitCode"], ends["server"]["reason"]), (137, "Error"), "and can end them: as by a signal")
    pods.delete("together")

    seconds = 1000000000 + os.getpid()  # nobody else sleeps so long
    pods.create("seen", container("web", None, command=["/bin/sleep", str(seconds)]))
    pods.wait_ready("seen")
    look = f"ps | grep -c '[s]leep {seconds}'"
    pods.checks.equal(pods.tell("sees", words(look), hostPID=True)["web"], "1\n", "with hostPID it sees the node's processes")
    pods.checks.equal(pods.tell("blind", words(look))["web"], "0\n", "without, it does not")
    pods.delete("seen", "sees", "blind")


def restarts(pods):
    """A container that ends in a PID namespace that the pod shares takes nobody with it, and comes again."""
    pods.create("goes-on", container("stays"), container("falls", "[ -e /out/once ] || { touch /out/once; exit 1; }; " + SLEEPS,
                                                         volumeMounts=[{"name": "out", "mountPath": "/out"}]),
                shareProcessNamespace=True, volumes=OUT)
    c.wait_until("falls was restarted", lambda: pods.states("goes-on")["falls"]["restartCount"] == 1)
    pods.wait_ready("goes-on")
    pods.checks.equal(pods.states("goes-on")["stays"]["restartCount"], 0, "who shares its processes with one that fell goes on")
    pods.delete("goes-on")


def story(checks):
    with ready_node(checks) as (node, control):
        pods = Pods(checks, control, node)
        combinations(pods)
        processes(pods)
        restarts(pods)
        pods.clear()


c.main(story)
