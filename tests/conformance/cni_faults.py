#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# faults
"""CNI plugins that fail, hang, die and print rubbish, and gantryd killed while they run: each time the reason is told with the
plugin's name, and no address, process or name of a namespace is left. And what a plugin is told, to the letter."""
import json
import pathlib
import sqlite3
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cni import CniNode
from grpc_stream import GrpcStream, field

SCRIPTED = {"type": "scripted", "capabilities": {"portMappings": True, "dns": True, "ipRanges": True}, "own": {"kept": 1}}
SECOND = {"type": "second"}
STOPPED, DELETED = 2, 3  # kinds of events
# What it does next, when gantryd is dead, would give an address.
HANG = "touch $state/begun; sleep 1000; touch $state/leases/late"
GO_ON = "touch $state/begun; while [ ! -e $state/go ]; do sleep 0.05; done; rm $state/go; touch $state/gone_on"


def what_is_told(node):
    checks = node.checks
    node.configure([SCRIPTED, SECOND], version="0.4.0", cniVersions=["1.0.0", "9.0.0", "1.1.0"])
    config = node.pod_config("told", port_mappings=[{"protocol": 1, "container_port": 53, "host_port": 5300, "host_ip": "fd00::1"}],
                             dns_config={"servers": ["10.0.0.10"], "searches": ["cluster.local"]})
    node.does("ADD", 'cp $state/said/ADD $state/said/$(basename $0); echo a warning >&2')
    pod = node.run_pod(config)
    node.does("ADD", None)
    checks.equal(node.calls("ADD"), [f"ADD {pod} scripted", f"ADD {pod} second"], "ADD goes from the first plugin to the last")
    first, second = node.said("scripted"), node.said("second")
    checks.equal(first, {"type": "scripted", "own": {"kept": 1}, "cniVersion": "1.1.0", "name": "pods", "runtimeConfig": {
        "portMappings": [{"hostPort": 5300, "containerPort": 53, "protocol": "udp", "hostIP": "fd00::1"}],
        "dns": {"servers": ["10.0.0.10"], "searches": ["cluster.local"]}, "ipRanges": [[{"subnet": "10.88.0.0/16"}]]}},
        "the first reads its configuration, the highest version that all speak, and what it wants to know")
    result = {"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": f"/run/netns/gantry-{pod}"}],
              "ips": [{"address": "fd00::5/64", "interface": 0}, {"address": "10.77.0.5/24", "interface": 0}]}
    checks.equal(second, {"type": "second", "cniVersion": "1.1.0", "name": "pods", "prevResult": result},
                 "the second reads the first one's result")
    checks.equal(node.pod_status(pod)["network"], {"ip": "10.77.0.5", "additionalIps": [{"ip": "fd00::5"}]},
                 "the pod's addresses are those of the result, IPv4's first")
    told = node.told("ADD")
    metadata = config["metadata"]
    checks.contains(told, [f"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=told;K8S_POD_INFRA_CONTAINER_ID={pod};"
                           f"K8S_POD_UID={metadata['uid']}\n", f"CNI_CONTAINERID={pod}\n", "CNI_IFNAME=eth0\n",
                           f"CNI_NETNS=/run/netns/gantry-{pod}\n", f"CNI_PATH={node.base}/bin:/"], "and the variables are CNI's")
    fds = [line.split(" -> ")[0].split()[-1] for line in told.splitlines() if " -> " in line]
    # The fourth is that of `ls` itself.
    checks.ok("NOTIFY_SOCKET" not in told and sorted(fds) == ["0", "1", "2", "3"], "nothing else of gantryd's is handed on", told)
    checks.equal(node.json("inspectp", pod)["cni"], {"check": "ok"}, "CHECK is asked")
    checks.equal(node.said("CHECK")["prevResult"], result, "with the result")
    checks.equal(node.calls("CHECK")[-2:], [f"CHECK {pod} scripted", f"CHECK {pod} second"], "in the order of the ADD")
    node.crictl("stopp", pod)
    checks.equal(node.calls("DEL"), [f"DEL {pod} second", f"DEL {pod} scripted"], "DEL goes from the last to the first")
    checks.equal(node.said("DEL"), first | {"prevResult": result}, "with the result, and all that the ADD was told")
    node.crictl("rmp", pod)
    node.wait_for_nothing("nothing is left of it")

    checks.equal(node.network_ready(), (True, ""), "STATUS is asked")
    node.does("STATUS", """echo '{"code": 50, "msg": "not yet", "details": "the daemon starts"}'; exit 1""")
    # That all was well is remembered for a while, of the same configuration.
    node.configure([SCRIPTED], version="1.1.0", name="other")
    checks.equal(node.network_ready(), (False, 'CNI network other: CNI plugin "scripted", STATUS: code 50: not yet: the daemon starts'),
                 "and heard")
    node.does("STATUS", None)
    node.does("VERSION", """echo '{"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0"]}'; exit 0""")
    node.base.joinpath("bin/scripted").touch()
    checks.contains(node.network_ready()[1], ['"scripted": speaks versions 0.3.1, 0.4.0', "other wants 1.1.0"],
                    "versions that don't meet are told")
    node.does("VERSION", None)
    node.base.joinpath("bin/scripted").touch()
    node.configure([{"type": "absent"}])
    checks.contains(node.network_ready()[1], ['CNI plugin "absent"', "no such program", str(node.base)], "and so is a missing plugin")
    node.base.joinpath("log").write_text("")


def faults(node):
    checks = node.checks
    node.configure([SCRIPTED, SECOND])
    config = node.write(node.pod_config("faulty"))
    for name, script, words in (
            ("fails", """echo '{"cniVersion": "1.0.0", "code": 11, "msg": "no address", "details": "all taken"}'; exit 1""",
             ["second", "ADD: code 11: no address: all taken"]),
            ("fails without a word", "exit 3", ["second", "it ended with code 3"]),
            ("dies", "echo oh no >&2; kill -9 $$", ["second", "signal 9"]),
            ("hangs, with a child", "sleep 1000 & sleep 1000", ["second", "has not ended within 10 s"]),
            ("prints rubbish", "echo '{\"ips\": [{\"address\": \"here\"}]}'; exit 0", ["second", "ips[0].address", "here"]),
            ("prints nothing", "exit 0", ["second", "printed nothing"]),
            ("prints without end", "yes", ["second", "says more than"]),
            ("gives no address", "echo '{\"cniVersion\": \"1.0.0\"}'; exit 0", ["gave eth0 no address"])):
        node.does("ADD", f'if [ $(basename $0) = second ]; then {script}; fi')
        checks.contains(node.refusal("runp", config), [*words, "CNI network pods"], f"a plugin that {name}")
        node.wait_for_nothing(f"and one that {name} leaves nothing")
    checks.equal(node.pods(), {}, "no pod is left of them")
    node.does("ADD", "sleep 1000 &")
    pod = node.crictl("runp", config).stdout.strip()
    checks.equal(node.left()["plugins"], [], "what a plugin leaves running is ended")
    node.does("ADD", None)

    node.does("DEL", """echo '{"code": 100, "msg": "not now"}'; exit 1""")
    with GrpcStream(node, "RuntimeService/GetContainerEvents", "stop") as events:
        def stops():
            return [each for each in events.messages() if (field(each, 1).decode(), field(each, 2, 0)) == (pod, STOPPED)]

        c.wait_until("the events begin", events.began)
        checks.contains(node.refusal("stopp", pod), ["second", "DEL: code 100: not now"], "a DEL that fails is told")
        checks.equal(node.leases(), [pod], "and not taken for done")
        checks.equal(stops(), [], "nor is the pod said to be stopped")
        node.does("DEL", None)
        node.crictl("stopp", pod)
        c.wait_until("the pod's stop is told", stops)
        node.crictl("stopp", pod)
        node.crictl("rmp", pod)
        c.wait_until("its end is told", lambda: any(field(each, 2, 0) == DELETED for each in events.messages()))
        checks.equal(len(stops()), 1, "the call that succeeds tells the stop, once")
    node.wait_for_nothing("until it succeeds")


def in_the_middle(node):
    """gantryd is killed while a plugin runs, which goes on without it, or hangs."""
    checks = node.checks
    begun, config = node.base / "begun", node.pod_config("middle")
    node.configure([SCRIPTED, SECOND])
    for plugin, how, script in (("scripted", "goes on", GO_ON), ("second", "hangs", HANG)):
        node.does("ADD", f"if [ $(basename $0) = {plugin} ]; then {script}; fi")
        run_and_kill(node, begun, "runp", node.write(config))
        node.does("ADD", None)
        let_go_on(node, script)
        node.wait_for_nothing(f"gantryd killed within the ADD of a plugin that {how}: nothing is left")
        checks.equal(node.pods(), {}, "and no pod")
    for plugin, how, script in (("second", "goes on", GO_ON), ("scripted", "hangs", HANG)):
        pod = node.run_pod(config)
        node.does("DEL", f"if [ $(basename $0) = {plugin} ]; then {script}; fi")
        run_and_kill(node, begun, "stopp", pod)
        node.does("DEL", None)
        let_go_on(node, script)
        node.crictl("rmp", "--force", pod)
        node.wait_for_nothing(f"gantryd killed within the DEL of a plugin that {how}: the next one does it")


def let_go_on(node, script):
    """With the next gantryd."""
    node.wait_for_gantryd()
    if script == GO_ON:
        node.base.joinpath("go").touch()
        c.wait_until("the plugin goes on", node.base.joinpath("gone_on").exists)
        node.base.joinpath("gone_on").unlink()


def reboot(node):
    """Nothing lives of the pod, and its plugins may wait for what is not there yet."""
    checks = node.checks
    node.configure([SCRIPTED, SECOND])
    pod = node.run_pod(node.pod_config("before"))
    node.stop()
    with sqlite3.connect(node.lib / "gantry.db") as database:
        database.execute("UPDATE cri_node SET value = 'an earlier boot' WHERE key = 'boot_id'")
    database.close()
    node.does("DEL", "if [ $(basename $0) = second ]; then touch $state/begun; sleep 1000; fi")
    node.base.joinpath("begun").unlink(missing_ok=True)
    node.start()
    c.wait_until("DEL is asked", node.base.joinpath("begun").exists)
    checks.equal((node.pods()[pod]["state"], node.leases()), ("SANDBOX_NOTREADY", [pod]),
                 "after a reboot gantryd serves while the plugins are asked to give back what the pod had")
    checks.contains(node.told("DEL"), "CNI_NETNS=\n", "its namespace is not there any more")
    checks.equal(node.said("DEL")["prevResult"]["ips"][1]["address"], "10.77.0.5/24", "its result is")
    node.does("DEL", None)
    node.crictl("rmp", "--force", pod)
    node.wait_for_nothing("what a plugin would not do at first it is asked again")


def run_and_kill(node, begun, *command):
    begun.unlink(missing_ok=True)
    caller = threading.Thread(target=node.crictl, args=command, kwargs={"check": False})
    caller.start()
    c.wait_until("the plugin runs", begun.exists)
    node.kill_gantryd()
    caller.join()


def collect(node):
    checks = node.checks
    node.configure([SCRIPTED], version="1.1.0")
    pod = node.run_pod(node.pod_config("valid"))
    node.base.joinpath("leases/stale").touch()
    node.kill_gantryd()
    node.wait_for_gantryd()
    c.wait_until("GC was asked", lambda: node.leases() == [pod])
    checks.ok({"containerID": pod, "ifname": "eth0"} in node.said("GC")["cni.dev/valid-attachments"],
              "when gantryd starts it tells plugins who is attached, and they drop the rest", json.dumps(node.said("GC")))
    config = node.write(node.pod_config("later"))
    node.does("GC", f"touch $state/begun; while [ ! -e $state/go ]; do sleep 0.05; done; rm $state/go")
    node.base.joinpath("begun").unlink(missing_ok=True)
    node.kill_gantryd()
    c.wait_until("GC runs", node.base.joinpath("begun").exists)
    node.wait_for_gantryd()
    caller = threading.Thread(target=node.crictl, args=("runp", config))
    caller.start()
    node.base.joinpath("go").touch()
    caller.join()
    node.does("GC", None)
    checks.equal(len(node.leases()), 2, "a pod that comes meanwhile keeps its address")
    for other in node.pods():
        if other != pod:
            node.crictl("rmp", "--force", other)

    command = pathlib.Path(f"/proc/{node.gantryd_pid()}/cmdline").read_text().split("\0")[:-1]
    with node.without_gantryd():
        builtin = node.exec(*[part.replace("--network=cni", "--network=builtin") for part in command], check=False)
    checks.contains(builtin.stderr, ["--network builtin", "1 pods run", "made with --network cni"],
                    "a node with pods keeps the network that they have")

    with node.without_gantryd():
        c.wait_until("the last GC has ended", lambda: not node.left()["plugins"])
        with sqlite3.connect(node.lib / "gantry.db") as database:
            database.execute("DELETE FROM cri_sandboxes")
            database.execute("DELETE FROM cni_attachments")
        database.close()
        node.base.joinpath("leases/stale").touch()
        before = len(node.calls("GC done"))
    c.wait_until("GC was asked", lambda: len(node.calls("GC done")) > before)
    checks.equal(node.leases(), [pod], "what a pod has that lives unrecorded stays when the rest goes")


def story(checks):
    with CniNode(checks, "--cni-plugin-timeout=10") as node:
        what_is_told(node)
        faults(node)
        in_the_middle(node)
        reboot(node)
        collect(node)


c.main(story)
