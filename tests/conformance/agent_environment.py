#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""What a pod finds around it, with real kubectl: names and /etc/hosts, resolv.conf by each DNS policy, and variables from services,
objects, fields of the pod and its resources, as the pages of Kubernetes say."""
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import READY, SLEEPS, JoiningNode, NodeControl
from cri_client import IMAGE

# The node's own, which pods of the policy Default get, is not the machine's.
CONFIG = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
evictionHard:
  memory.available: 100Mi
clusterDomain: cluster.test
clusterDNS: [192.0.2.10]
resolvConf: {folder}/resolv.conf
"""
NODES = "# The node's.\nnameserver 192.0.2.53\nsearch example.org\noptions timeout:2\n"
CLUSTERS = ["default.svc.cluster.test", "svc.cluster.test", "cluster.test"]
HOSTS = """# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
ALIASES = """
# Entries added by HostAliases.
192.0.2.1\tone.test\tuno.test
2001:db8::2\ttwo.test
"""
HOST_ALIASES = [{"ip": "192.0.2.1", "hostnames": ["one.test", "uno.test"]}, {"ip": "2001:db8::2", "hostnames": ["two.test"]}]


class World:
    def __init__(self, checks, control, node):
        self.checks, self.control, self.node = checks, control, node

    def create(self, name, metadata=None, container=None, **spec):
        one = {"name": "web", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", SLEEPS],
               **(container or {})}
        self.control.out("create", "-f", "-", given=json.dumps({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **(metadata or {})},
            "spec": {"nodeName": self.node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
                     "containers": [one], **spec}}))

    def run(self, name, **more):
        """A pod that is Ready: its object."""
        self.create(name, **more)
        self.control.wait_for(name, "is Ready", READY, "True")
        return self.control.json("get", "pod", name)

    def container(self, pod):
        return next(key for key, item in self.node.containers().items()
                    if item["labels"]["io.kubernetes.pod.name"] == pod and item["state"] == "CONTAINER_RUNNING")

    def read(self, pod, path):
        return self.node.crictl("exec", self.container(pod), "cat", path).stdout

    def environment(self, pod):
        """Of its first process."""
        return dict(one.split("=", 1) for one in self.read(pod, "/proc/1/environ").split("\0") if one)

    def resolver(self, pod):
        """Its resolv.conf: (nameservers, search, options)."""
        found = {"nameserver": [], "search": [], "options": []}
        for key, *values in (line.split() for line in self.read(pod, "/etc/resolv.conf").splitlines()
                             if line.strip() and not line.startswith("#")):
            found[key] = found[key] + values if key == "nameserver" else values
        return tuple(found.values())


def names(world):
    """hostname, subdomain, setHostnameAsFQDN, hostAliases."""
    checks = world.checks
    ip = world.run("plain", hostAliases=HOST_ALIASES)["status"]["podIP"]
    checks.equal(world.read("plain", "/etc/hosts"), f"{HOSTS}{ip}\tplain\n{ALIASES}", "hosts: the pod and its aliases")
    checks.equal(world.read("plain", "/proc/sys/kernel/hostname"), "plain\n", "a pod is called by its name")

    ip = world.run("named", hostname="box", subdomain="inner")["status"]["podIP"]
    checks.equal(world.read("named", "/etc/hosts"), f"{HOSTS}{ip}\tbox.inner.default.svc.cluster.test\tbox\n",
                 "hosts: a subdomain, and the whole name first")
    checks.equal(world.read("named", "/proc/sys/kernel/hostname"), "box\n", "the kernel says the short one")
    checks.equal(world.environment("named")["HOSTNAME"], "box", "and so does HOSTNAME")

    world.run("whole", hostname="box", subdomain="inner", setHostnameAsFQDN=True)
    checks.equal(world.read("whole", "/proc/sys/kernel/hostname"), "box.inner.default.svc.cluster.test\n",
                 "with setHostnameAsFQDN the whole one")
    world.create("long", hostname="b" * 40, subdomain="inner", setHostnameAsFQDN=True)
    c.wait_until("an event says that it is too long", lambda: "is too long (64 characters is the max, 71 characters requested)"
                 in world.control.out("get", "events", "--field-selector", "involvedObject.name=long,reason=FailedCreatePodSandBox",
                                      "-o", "jsonpath={.items[*].message}"))
    checks.equal(world.control.json("get", "pod", "long")["status"]["phase"], "Pending", "one that is too long waits")

    world.run("host", hostNetwork=True, hostAliases=HOST_ALIASES)
    own = (world.node.root / "etc/hosts").read_text()
    checks.equal(world.read("host", "/etc/hosts"), f"# Kubernetes-managed hosts file (host network).\n{own}{ALIASES}",
                 "on the host's network: the node's, and the aliases")


def resolvers(world):
    """The policies of "DNS for Services and Pods"."""
    own = {"nameservers": ["192.0.2.99", "192.0.2.10"], "searches": ["own.test", "cluster.test"],
           "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}
    table = {"first": ({}, (["192.0.2.10"], [*CLUSTERS, "example.org"], ["ndots:5"])),
             "nodes": ({"dnsPolicy": "Default"}, (["192.0.2.53"], ["example.org"], ["timeout:2"])),
             "none": ({"dnsPolicy": "None", "dnsConfig": own},
                      (["192.0.2.99", "192.0.2.10"], ["own.test", "cluster.test"], ["ndots:2", "edns0"])),
             "merged": ({"dnsConfig": own},
                        (["192.0.2.10", "192.0.2.99"], [*CLUSTERS, "example.org", "own.test"], ["ndots:2", "edns0"])),
             "wider": ({"dnsPolicy": "Default", "dnsConfig": own},
                       (["192.0.2.53", "192.0.2.99", "192.0.2.10"], ["example.org", "own.test", "cluster.test"],
                        ["timeout:2", "ndots:2", "edns0"])),
             "on-host": ({"hostNetwork": True}, (["192.0.2.53"], ["example.org"], ["timeout:2"])),
             "host-first": ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
                            (["192.0.2.10"], [*CLUSTERS, "example.org"], ["ndots:5"]))}
    for name, (spec, _) in table.items():
        world.create(name, **spec)
    for name, (spec, wanted) in table.items():
        world.control.wait_for(name, "is Ready", READY, "True")
        world.checks.equal(world.resolver(name), wanted, f"resolv.conf of {json.dumps(spec)}")


def services(world):
    """As "Accessing the Service" and the documents of linked containers have them."""
    address = world.control.json("get", "service", "my-db")["spec"]["clusterIP"]
    api = world.control.json("get", "service", "kubernetes")["spec"]["clusterIP"]
    linked = {"MY_DB_SERVICE_HOST": address, "MY_DB_SERVICE_PORT": "80", "MY_DB_SERVICE_PORT_WEB": "80",
              "MY_DB_SERVICE_PORT_DNS_UDP": "53", "MY_DB_PORT": f"tcp://{address}:80",
              "MY_DB_PORT_80_TCP": f"tcp://{address}:80", "MY_DB_PORT_80_TCP_PROTO": "tcp", "MY_DB_PORT_80_TCP_PORT": "80",
              "MY_DB_PORT_80_TCP_ADDR": address, "MY_DB_PORT_53_UDP": f"udp://{address}:53",
              "MY_DB_PORT_53_UDP_PROTO": "udp", "MY_DB_PORT_53_UDP_PORT": "53", "MY_DB_PORT_53_UDP_ADDR": address}
    world.run("linked", container={"env": [{"name": "MY_DB_PORT_53_UDP_PROTO", "value": "own"},
                                           {"name": "URL", "value": "http://$(MY_DB_SERVICE_HOST)/"}]})
    seen = world.environment("linked")
    world.checks.equal({key: value for key, value in seen.items() if key.startswith("MY_DB_")},
                       linked | {"MY_DB_PORT_53_UDP_PROTO": "own"}, "variables of a service; the container's own come first")
    world.checks.equal(seen["URL"], f"http://{address}/", "and are told by them")
    world.checks.equal((seen["KUBERNETES_SERVICE_HOST"], seen["KUBERNETES_SERVICE_PORT_HTTPS"]), (api, "443"), "the API's service")
    world.checks.equal([key for key in seen if key.startswith(("HEADLESS_", "FAR_"))], [],
                       "none of one without an address, nor of another namespace")
    world.run("alone", enableServiceLinks=False)
    seen = world.environment("alone")
    world.checks.equal([key for key in seen if key.startswith("MY_DB_")], [], "without enableServiceLinks there are none")
    world.checks.equal(seen["KUBERNETES_SERVICE_HOST"], api, "but the API's")


def fields(world):
    """Each field that a variable can be taken from, and each resource."""
    paths = {"NAME": "metadata.name", "SPACE": "metadata.namespace", "UID_": "metadata.uid", "NODE": "spec.nodeName",
             "ACCOUNT": "spec.serviceAccountName", "HOST": "status.hostIP", "HOSTS": "status.hostIPs", "IP": "status.podIP",
             "IPS": "status.podIPs", "TIER": "metadata.labels['tier']", "NOTE": "metadata.annotations['example.org/note']",
             "NONE": "metadata.labels['none']"}
    amounts = {"CPU": ("limits.cpu", None), "CPU_MILLI": ("limits.cpu", "1m"), "CPU_ASKED": ("requests.cpu", "1m"),
               "MEMORY": ("limits.memory", None), "MEMORY_MI": ("requests.memory", "1Mi"),
               "DISK": ("limits.ephemeral-storage", "1Mi"), "DISK_ASKED": ("requests.ephemeral-storage", "1Ki")}
    env = [{"name": key, "valueFrom": {"fieldRef": {"fieldPath": path}}} for key, path in paths.items()]
    env += [{"name": key, "valueFrom": {"resourceFieldRef": {"resource": what} | ({"divisor": by} if by else {})}}
            for key, (what, by) in amounts.items()]
    resources = {"limits": {"cpu": "1500m", "memory": "64Mi", "ephemeral-storage": "1Gi"},
                 "requests": {"cpu": "250m", "memory": "32Mi", "ephemeral-storage": "1Mi"}}
    facts = {"name": "facts", "downwardAPI": {"items": [
        {"path": "all/labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "all/annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
        {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}},
        {"path": "memory", "resourceFieldRef": {"containerName": "web", "resource": "limits.memory", "divisor": "1Ki"}}]}}
    pod = world.run("fields", metadata={"labels": {"tier": "front", "a.b/c": "d"},
                                        "annotations": {"example.org/note": "two\n\"lines\""}},
                    container={"env": env, "resources": resources, "volumeMounts": [{"name": "facts", "mountPath": "/facts"}]},
                    volumes=[facts])
    status = pod["status"]
    wanted = {"NAME": "fields", "SPACE": "default", "UID_": pod["metadata"]["uid"], "NODE": world.node.name, "ACCOUNT": "default",
              "HOST": status["hostIP"], "HOSTS": ",".join(one["ip"] for one in status["hostIPs"]), "IP": status["podIP"],
              "IPS": ",".join(one["ip"] for one in status["podIPs"]), "TIER": "front", "NOTE": "two\n\"lines\"", "NONE": "", "CPU": "2",
              "CPU_MILLI": "1500", "CPU_ASKED": "250", "MEMORY": str(64 << 20), "MEMORY_MI": "32", "DISK": "1024",
              "DISK_ASKED": "1024"}
    seen = world.environment("fields")
    world.checks.equal({key: seen.get(key) for key in wanted}, wanted, "variables from fields and resources")
    world.checks.equal(world.read("fields", "/facts/all/labels"), 'a.b/c="d"\ntier="front"', "a file of labels")
    world.checks.contains(world.read("fields", "/facts/all/annotations"), 'example.org/note="two\\n\\"lines\\""', "of annotations")
    world.checks.equal(world.read("fields", "/facts/namespace") + world.read("fields", "/facts/memory"), "default65536",
                       "of other fields")

    # Without limits, what the node has for pods.
    world.run("unlimited", container={"env": env})
    allocatable = world.control.json("get", "node", world.node.name)["status"]["allocatable"]
    seen = world.environment("unlimited")
    world.checks.equal((seen["CPU"], seen["CPU_ASKED"], seen["MEMORY_MI"]), (allocatable["cpu"], "0", "0"),
                       "no limit: the node's; no request: none")


def objects(world):
    """envFrom with prefixes, of objects that may be missing, and what comes before what."""
    # What need not be there is seen as missing; keys that are no names of the shell's are variables all the same.
    world.control.out("create", "configmap", "settings", "--from-literal=color=red", "--from-literal=size.max=7",
                      "--from-literal=B=settings")
    world.control.out("create", "secret", "generic", "keys", "--from-literal=key=sesame", "--from-literal=color=blue")
    some = [{"prefix": "S_", "configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}},
            {"configMapRef": {"name": "settings"}}, {"configMapRef": {"name": "nobody", "optional": True}},
            {"secretRef": {"name": "nobody", "optional": True}}]
    env = [{"name": "A", "value": "one"}, {"name": "B", "value": "$(A)-$(key)-$$(A)-$(C)"}, {"name": "C", "value": "late"},
           {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "none", "optional": True}}},
           {"name": "E", "valueFrom": {"secretKeyRef": {"name": "nobody", "key": "none", "optional": True}}},
           {"name": "F", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}}]
    world.run("objects", container={"envFrom": some, "env": env})
    seen = world.environment("objects")
    wanted = {"S_color": "red", "S_size.max": "7", "S_B": "settings", "key": "sesame", "color": "red", "size.max": "7", "A": "one",
              "B": "one-$(key)-$(A)-$(C)", "C": "late", "F": "sesame"}
    world.checks.equal({key: seen.get(key) for key in wanted}, wanted, "of two the last counts, and the container's own after all")
    world.checks.equal([key for key in "DE" if key in seen], [], "what is optional and missing is no variable")
    # What is not optional is waited for.
    for name, kind, ref in (("waits-map", "configmap", "configMapRef"), ("waits-secret", "secret", "secretRef")):
        world.create(name, container={"envFrom": [{ref: {"name": "nobody"}}]})
        world.control.wait_for(name, "waits", ".status.containerStatuses[0].state.waiting.message", f'{kind} "nobody" not found')
    world.create("waits-key", container={"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "no"}}}]})
    world.control.wait_for("waits-key", "waits for a key", ".status.containerStatuses[0].state.waiting.message",
                           "couldn't find key no in ConfigMap default/settings")
    world.control.out("patch", "configmap", "settings", "-p", '{"data": {"no": "yes"}}')
    world.control.wait_for("waits-key", "goes on", READY, "True")
    world.checks.equal(world.environment("waits-key")["X"], "yes", "and is there when it is")


def story(checks):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "resolv.conf").write_text(NODES)
        config = pathlib.Path(folder) / "kubelet.yaml"
        config.write_text(CONFIG.format(folder=folder))
        with JoiningNode(checks, kubelet_config=config) as node:
            node.build_image()
            with NodeControl(checks, node) as control:
                # A node knows them before its first pod when they are there before it.
                control.out("create", "namespace", "far")
                control.out("create", "service", "clusterip", "far", "--namespace=far", "--tcp=80")
                control.out("create", "service", "clusterip", "headless", "--clusterip=None", "--tcp=80")
                control.out("create", "-f", "-", given=json.dumps({
                    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "my-db"}, "spec": {"ports": [
                        {"name": "web", "port": 80}, {"name": "dns-udp", "port": 53, "protocol": "UDP"}]}}))
                node.join_as(control.kubeconfig.read_text())
                node.wait_until_ready(control)
                world = World(checks, control, node)
                names(world)
                resolvers(world)
                services(world)
                fields(world)
                objects(world)
                control.out("delete", "pod", "--all", "--wait=false")
                c.wait_until("all are gone", lambda: control.json("get", "pods")["items"] == [] and not node.pods())


c.main(story)
