#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""Statistics and metrics of pods, as crictl and whatever else asks the CRI for them see them: numbers that the kernel has, next
to where they come from. What needs a controller that this machine does not have is absent, never a zero."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import IMAGE
from grpc_stream import field, fields
from node import Node

SLEEP = "exec sleep 100000"
FOUR = "sleep 100000 & sleep 100000 & sleep 100000 & wait"
BASE_KEYS = ["id", "image", "namespace", "pod", "container"]
# Without the controllers cpu, memory, io and pids.
ALWAYS = {"container_cpu_usage_seconds_total", "container_cpu_user_seconds_total", "container_cpu_system_seconds_total",
          "container_file_descriptors", "container_fs_inodes_free", "container_fs_inodes_total", "container_fs_limit_bytes",
          "container_fs_usage_bytes", "container_last_seen", "container_processes", "container_sockets",
          "container_spec_memory_limit_bytes", "container_spec_memory_swap_limit_bytes", "container_start_time_seconds",
          "container_threads", "container_ulimits_soft"}
NETWORK = {f"container_network_{way}_{what}_total" for way in ("receive", "transmit")
           for what in ("bytes", "errors", "packets", "packets_dropped")}
NEEDS_MEMORY = {"container_memory_usage_bytes", "container_memory_working_set_bytes", "container_memory_rss",
                "container_oom_events_total", "container_memory_failcnt"}


def value(holder, key):
    """Of a number that may be absent."""
    return int(holder[key]["value"]) if holder.get(key) else None


class Story:
    def __init__(self, checks, node):
        self.checks, self.node = checks, node
        self.pod = node.pod_config("pod", labels={"app": "one"})
        self.pod_id = node.run_pod(self.pod)
        self.quiet = self.run("quiet", SLEEP, envs=[{"key": "PASSWORD", "value": "sesame"}])
        self.busy = self.run("busy", f"mkdir -p /www; echo hello > /www/index.html; httpd -p 80 -h /www; {FOUR}")
        host = node.pod_config("host", labels={"app": "two"})
        host["linux"] = {"security_context": {"namespace_options": {"network": 2, "pid": 1}}}
        self.host_id = node.run_pod(host)

    def run(self, name, script, **more):
        return self.node.run_container(self.pod_id, self.node.container_config(name, script, **more), self.pod)

    def has(self, controller):
        return controller in (self.node.root / "sys/fs/cgroup/cgroup.controllers").read_text().split()

    def pod_stats(self, *filters):
        return {each["attributes"]["id"]: each for each in self.node.json("statsp", "-o", "json", *filters).get("stats") or []}

    def carried(self):
        """{link: (received, sent)} in the pod, by its own /proc."""
        text = self.node.crictl("exec", "-s", self.quiet, "/bin/cat", "/proc/net/dev").stdout
        lines = [line.replace(":", " ").split() for line in text.splitlines() if ":" in line]
        return {words[0]: (int(words[1]), int(words[9])) for words in lines}

    def statistics(self):
        checks, node = self.checks, self.node
        address = node.pod_status(self.pod_id)["network"]["ip"]
        c.wait_until("httpd answers", lambda: node.exec("curl", "-sS", f"http://{address}/", check=False).stdout == "hello\n")
        before = self.carried()["eth0"]
        # Those of `busy`, which start after httpd; a child that httpd has had for the request may take its time to go.
        found = c.wait_until("its processes are those that it should have", lambda: (now := self.pod_stats()) and value(
            now[self.pod_id]["linux"]["process"], "processCount") == 1 + 5 and now)
        checks.equal(set(found), {self.pod_id, self.host_id}, "statsp lists the ready pods")
        told, after = found[self.pod_id]["linux"], self.carried()["eth0"]
        network = told["network"]
        eth0 = network["defaultInterface"]
        seen = value(eth0, "rxBytes"), value(eth0, "txBytes")
        checks.ok(all(0 < low <= number <= high for low, number, high in zip(before, seen, after)),
                  "the bytes of eth0 are those that the pod itself sees", f"{before} {seen} {after}")
        checks.equal([each["name"] for each in network["interfaces"]], ["eth0"], "all of its links but lo")
        checks.ok("network" not in found[self.host_id]["linux"] or not found[self.host_id]["linux"]["network"],
                  "a pod on the host's network has none of its own", found[self.host_id]["linux"])
        checks.contains(node.crictl("statsp").stdout, f"pod                 {self.pod_id[:13]}", "statsp's table")
        checks.ok(True, "its processes are counted")
        checks.equal(sorted(each["attributes"]["id"] for each in told["containers"]), sorted([self.quiet, self.busy]),
                     "its containers' statistics are in it")
        checks.ok(value(told["cpu"], "usageCoreNanoSeconds") > 0, "CPU time", told["cpu"])
        cores = c.wait_until("two readings give the CPU's use",
                             lambda: self.pod_stats()[self.pod_id]["linux"]["cpu"].get("usageNanoCores"))
        checks.ok(int(cores["value"]) >= 0, "usageNanoCores is of two readings")
        usage = value(told["memory"], "usageBytes")
        checks.ok(usage > 0 if self.has("memory") else usage is None, "memory is told where the host counts it", told["memory"])
        layer = next(each["writableLayer"] for each in told["containers"] if each["attributes"]["id"] == self.busy)
        checks.ok(value(layer, "usedBytes") >= 4096 and value(layer, "inodesUsed") >= 3, "what a container wrote", layer)

    def filters(self):
        checks, node = self.checks, self.node
        for arguments, expected in ((("--id", self.pod_id), {self.pod_id}), (("--label", "app=two"), {self.host_id}),
                                    (("--label", "app=three"), set()), (("--id", self.pod_id, "--label", "app=two"), set())):
            checks.equal(set(self.pod_stats(*arguments)), expected, f"statsp {arguments[0]} {arguments[-1][:12]}")
        only = b"\x0a\x42\x0a\x40" + self.pod_id.encode()
        parts = node.call("RuntimeService/StreamPodSandboxStats", only)
        checks.equal([field(field(each, 1), 1) for part in parts for _, each in fields(part)], [self.pod_id.encode()],
                     "StreamPodSandboxStats, with a filter")
        (answer,) = node.call("RuntimeService/PodSandboxStats", b"\x0a\x40" + self.pod_id.encode())
        checks.equal(field(field(field(answer, 1), 1), 1), self.pod_id.encode(), "PodSandboxStats")

    def metrics(self):
        checks, node = self.checks, self.node
        kinds = {each["name"]: each for each in node.json("metricdescs", "-o", "json")["descriptors"]}
        checks.equal(len(kinds), 56, "metricdescs: all of cAdvisor's that critest knows")
        checks.ok(all(each["help"] and each["labelKeys"][:5] == BASE_KEYS for each in kinds.values()), "with help and keys")
        pods = {each["podSandboxId"]: each for each in node.json("metricsp", "-o", "json")["podMetrics"]}
        pod = pods[self.pod_id]
        containers = {each["containerId"]: each["metrics"] for each in pod["containerMetrics"]}
        checks.equal(set(containers), {self.quiet, self.busy}, "metricsp: each running container")
        checks.equal({each["name"] for each in pod["metrics"]}, NETWORK, "the network's are the pod's")
        all_of_it = [*pod["metrics"], *containers[self.quiet], *containers[self.busy]]
        checks.equal([each["name"] for each in all_of_it if len(each["labelValues"]) != len(kinds[each["name"]]["labelKeys"])], [],
                     "each sample has the labels of its kind")
        named = {each["name"]: each for each in containers[self.busy]}
        checks.equal(ALWAYS - set(named), set(), "what every host has")
        checks.equal({name for name in NEEDS_MEMORY if name in named}, NEEDS_MEMORY if self.has("memory") else set(),
                     "what needs a memory controller is there where there is one")
        checks.equal(named["container_processes"]["labelValues"], [self.busy, IMAGE, "default", "pod", "busy"],
                     "labels: id, image, namespace, pod, container")
        pid = node.container_pid(self.quiet)
        quiet = {each["name"]: value(each, "value") for each in containers[self.quiet]}
        checks.equal((quiet["container_processes"], quiet["container_threads"], quiet["container_file_descriptors"]),
                     (1, 1, len(os.listdir(f"/proc/{pid}/fd"))), "processes, threads and descriptors are the kernel's")
        checks.ok(value(named["container_sockets"], "value") >= 1, "httpd's socket is one")
        streamed = node.call("RuntimeService/StreamPodSandboxMetrics")
        checks.equal(sum(self.pod_id.encode() in part for part in streamed), 1, "StreamPodSandboxMetrics")

    def ended(self):
        checks, node = self.checks, self.node
        node.crictl("stopp", self.pod_id)
        checks.equal(set(self.pod_stats()), {self.host_id}, "a stopped pod has no statistics")
        checks.equal([each["podSandboxId"] for each in node.json("metricsp", "-o", "json")["podMetrics"]], [self.host_id],
                     "and no metrics")
        checks.equal(node.call("RuntimeService/PodSandboxStats", b"\x0a\x40" + self.pod_id.encode()), [], "and by id it is refused")

    def verbose(self):
        """What people read with jq."""
        checks, node = self.checks, self.node
        info = node.json("inspectp", self.pod_id)["info"]
        network = next(each for each in info["runtimeSpec"]["linux"]["namespaces"] if each["type"] == "network")
        checks.equal(os.readlink(f"{node.root}{network['path']}"), os.readlink(f"/proc/{node.container_pid(self.quiet)}/ns/net"),
                     "inspectp: runtimeSpec's path of the network namespace leads to it")
        checks.equal((info["processStatus"], info["config"]["metadata"]["name"], info["netNamespaceClosed"]),
                     ("running", "pod", False), "its configuration is there")
        shown = node.crictl("inspect", self.quiet).stdout
        checks.ok("PASSWORD" in shown and "sesame" not in shown, "inspect: variables of the environment without their values")
        info = node.json("inspect", self.quiet)["info"]
        checks.equal((info["sandboxID"], info["runtimeSpec"]["process"]["args"], info["config"]["log_path"]),
                     (self.pod_id, ["/bin/sh", "-c", SLEEP], "quiet.log"), "its process and its configuration")
        (image,) = [each for each in node.json("images", "-o", "json")["images"]]
        checks.contains(node.json("inspecti", image["id"])["info"]["chainID"], "sha256:", "inspecti has an info, too")

    def configuration(self):
        checks, node = self.checks, self.node
        node.crictl("update-runtime-config", "--pod-cidr", "10.9.0.0/24,fd00::/64")
        checks.equal(node.json("info")["config"]["podCIDRs"], ["10.9.0.0/24", "fd00::/64"],
                     "update-runtime-config: the ranges are kept and shown")
        checks.contains(node.refusal("update-runtime-config", "--pod-cidr", "10.9.0.0/24,nonsense"), ["pod_cidr", "nonsense"],
                        "what is no range is refused by name")
        node.crictl("update-runtime-config", "--pod-cidr", "")
        checks.equal(len(node.json("info")["config"]["podCIDRs"]), 2, "nothing changes nothing")
        handlers = node.json("info")["runtimeHandlers"]
        checks.equal(sorted(each.get("name", "") for each in handlers), ["", "gantry"], "info names the handlers")


def story(checks):
    with Node(checks) as node:
        node.build_image()
        story_of = Story(checks, node)
        for part in (story_of.statistics, story_of.filters, story_of.metrics, story_of.verbose, story_of.configuration,
                     story_of.ended):
            part()


c.main(story)
