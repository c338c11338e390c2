#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 300
"""Images of pods that the API server binds to a node, from Debian's docker-registry, with real kubectl: pull policies, pods' secrets
and those of their service accounts, what people are told of it, and a pull that does not come to an end."""
import json
import pathlib
import re
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import SLEEPS, ready_node
from node import APPLETS
from oci import digest
from registry import Registry, RemoteImage, busybox_layer, network_of

WAITING = ".status.containerStatuses[0].state.waiting"


class World:
    def __init__(self, checks, control, node):
        self.checks, self.control, self.node = checks, control, node

    def create(self, name, image, policy=None, **spec):
        container = {"name": "web", "image": image, "command": ["/bin/sh", "-c", SLEEPS]}
        if policy:
            container["imagePullPolicy"] = policy
        self.control.out("create", "-f", "-", given=json.dumps({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"nodeName": self.node.name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 5,
                     "containers": [container], **spec}}))

    def status(self, name, path):
        return self.control.kubectl("get", "pod", name, "-o", f"jsonpath={{{path}}}").stdout

    def wait_ready(self, name):
        c.wait_until(f"{name} is Ready",
                     lambda: self.status(name, '.status.conditions[?(@.type=="Ready")].status') == "True")

    def wait_for(self, name, *reasons):
        """Until it waits for one of these."""
        c.wait_until(f"{name} waits: {reasons}", lambda: self.status(name, WAITING + ".reason") in reasons)

    def told(self, name):
        """What `kubectl describe` shows beneath it: [(reason, message)]."""
        events = self.control.json("get", "events", "--field-selector", f"involvedObject.name={name}")["items"]
        return [(event["reason"], event.get("message", "")) for event in events if event["source"]["component"] == "kubelet"]

    def wait_told(self, name, reason, words):
        """Events come when the server has time for them."""
        c.wait_until(f"{name} is told of: {reason} {words}",
                     lambda: any(why == reason and re.search(words, message) for why, message in self.told(name)))


def pulled(world, registry, image):
    """A tag latest is pulled at each start; the others when they are not there."""
    name = f"{registry.host}/team/app"
    registry.push("team/app:latest", image)
    world.create("latest", name)
    world.wait_ready("latest")
    status = world.control.json("get", "pod", "latest")["status"]["containerStatuses"][0]
    world.checks.equal(status["imageID"], f"{name}@{digest(image.manifest)}", "the image's id")
    world.checks.equal(status["image"], name, "its name")
    size = r"\d+ bytes"
    for reason, words in (("Pulling", f'^Pulling image "{name}"$'),
                          ("Pulled", f'^Successfully pulled image "{name}" in .*s \\(.*s including waiting\\). Image size: {size}.$'),
                          ("Created", "^Container created$"), ("Started", "^Container started$")):
        world.wait_told("latest", reason, words)
    described = world.control.out("describe", "pod", "latest")
    world.checks.contains(described, "Container started", "kubectl describe shows it")

    world.create("present", name, "IfNotPresent")
    world.create("never", name, "Never")
    for pod in ("present", "never"):
        world.wait_ready(pod)
        world.wait_told(pod, "Pulled", f'^Container image "{name}" already present on machine')
    world.checks.equal([reason for reason, _ in world.told("never") if reason == "Pulling"], [], "nothing is pulled for it")


def refused(world, registry):
    """What can't be had says why."""
    for name, image, policy, reasons, message in (
            ("absent", f"{registry.host}/team/none:1", "IfNotPresent", ("ErrImagePull", "ImagePullBackOff"), "none"),
            ("never-had", f"{registry.host}/team/none:1", "Never", ("ErrImageNeverPull",), "is not present with pull policy of Never"),
            ("misnamed", "Not:A:Name", "IfNotPresent", ("InvalidImageName",), "Failed to apply default image tag")):
        world.create(name, image, policy)
        world.wait_for(name, *reasons)
        world.checks.contains(world.status(name, WAITING + ".message"), message, f"{name}: what it waits for")
    world.wait_told("absent", "Failed", "^Failed to pull image ")
    world.wait_told("absent", "Failed", "^Error: ErrImagePull$")
    world.wait_told("absent", "BackOff", "^Back-off pulling image ")


def guarded(world, folder, image):
    """A registry that wants a password, which is in a secret of the pod's, or of its service account's."""
    control = world.control
    with Registry(folder, user=("me", "sesame")) as registry:
        registry.push("team/app:1", image)
        name = f"{registry.host}/team/app:1"
        world.create("stranger", name, "Always", imagePullSecrets=[{"name": "keys"}])
        world.wait_for("stranger", "ErrImagePull", "ImagePullBackOff")
        world.wait_told("stranger", "FailedToRetrieveImagePullSecret",
                        r"^Unable to retrieve some image pull secrets \(keys\); attempting to pull the image may not succeed.$")
        for secret, host, password in (("others", "registry.example", "no"), ("keys", registry.host, "sesame")):
            control.out("create", "secret", "docker-registry", secret, f"--docker-server={host}", "--docker-username=me",
                        f"--docker-password={password}")
        world.create("friend", name, "Always", imagePullSecrets=[{"name": "others"}, {"name": "keys"}])
        world.wait_ready("friend")
        control.out("create", "serviceaccount", "puller")
        control.out("patch", "serviceaccount", "puller", "-p", '{"imagePullSecrets": [{"name": "keys"}]}')
        world.create("served", name, "Always", serviceAccountName="puller")
        world.wait_ready("served")
        world.wait_ready("stranger")
        world.checks.ok(True, "it heals by itself when its secret is there")
        shown(world, name)
        world.node.kill_gantryd()
        world.node.wait_for_gantryd()
        shown(world, name, "again-")
        records = world.node.state / "kubelet/image_manager"
        kept = "".join(path.read_text() for path in records.rglob("*") if path.is_file())
        world.checks.contains(kept, f'"{registry.host}/team/app"', "who may use what is kept as kubelet has it")
        said = control.out("get", "events", "-o", "json") + world.node.log_file.read_text(errors="replace")
        world.checks.ok("sesame" not in said + kept, "nobody is told the password")


def shown(world, name, prefix=""):
    """An image that was pulled with a secret is not there for pods that don't show one."""
    world.create(f"{prefix}insider", name, "IfNotPresent", imagePullSecrets=[{"name": "keys"}])
    world.wait_ready(f"{prefix}insider")
    world.wait_told(f"{prefix}insider", "Pulled", "already present on machine and can be accessed by the pod$")
    world.create(f"{prefix}outsider", name, "IfNotPresent")
    world.wait_for(f"{prefix}outsider", "ErrImagePull", "ImagePullBackOff")
    world.create(f"{prefix}hidden", name, "Never", imagePullSecrets=[{"name": "others"}])
    world.wait_for(f"{prefix}hidden", "ErrImageNeverPull")
    world.checks.contains(world.status(f"{prefix}hidden", WAITING + ".message"), "is not present with pull policy of Never",
                          f"{prefix}nobody is told that it is there")


def endless(world, registry, image):
    """A registry that takes a connection and says nothing: its pod is deleted all the same, and others get their turn."""
    registry.push("team/next:1", image)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        world.create("stuck", f"127.0.0.1:{silent.getsockname()[1]}/team/app:1", "Always")
        world.wait_told("stuck", "Pulling", "team/app:1")
        world.create("next", f"{registry.host}/team/next:1", "Always")
        world.wait_told("next", "Pulling", "team/next:1")
        world.control.out("delete", "pod", "stuck", "--wait=false")
        c.wait_until("the pod that pulls is gone", lambda: "NotFound" in world.control.kubectl("get", "pod", "stuck").stderr)
        world.wait_ready("next")
        world.checks.ok(True, "a pull that nobody waits for any more holds nobody up")


def story(checks):
    image = RemoteImage(busybox_layer(APPLETS))
    with ready_node(checks, ()) as (node, control):
        world = World(checks, control, node)
        with network_of(node.supervisor()), Registry(node.work / "registry") as registry:
            pulled(world, registry, image)
            refused(world, registry)
            guarded(world, node.work / "guarded", image)
            registry.push("team/none:1", image)
            endless(world, registry, image)
            # What it waits for grows up to five minutes, and a new pod waits for nothing.
            world.control.out("delete", "pod", "absent", "--wait=false")
            c.wait_until("absent is gone", lambda: "NotFound" in control.kubectl("get", "pod", "absent").stderr)
            world.create("absent", f"{registry.host}/team/none:1")
            for name in ("absent", "never-had"):
                world.wait_ready(name)
            checks.ok(True, "what was not there is found when it is")
        # As others than the agent are told of the node.
        events = control.json("get", "events", "--field-selector", f"involvedObject.kind=Node,involvedObject.name={node.name}")
        told = {event["reason"] for event in events["items"]}
        checks.ok({"Starting", "NodeReady"} <= told, "what is told of the node", str(told))
        control.out("delete", "pod", "--all", "--wait=false")
        c.wait_until("all are gone", lambda: control.json("get", "pods")["items"] == [] and not node.pods())


c.main(story)
