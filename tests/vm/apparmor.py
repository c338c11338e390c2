#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""AppArmor on: a container has the default profile unless it asks for another, a named one is enforced, and what can't be
enforced is refused."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cri_client import IMAGE
from vm.node import VmNode

PROFILE = """abi <abi/3.0>,
profile no-secrets flags=(attach_disconnected) {
  file,
  network,
  capability,
  signal,
  ptrace,
  deny /secrets/** rw,
}
"""
TYPES = {"default": 0, "unconfined": 1, "localhost": 2}
LABEL = "cat /proc/self/attr/current"
MANIFEST = f"""
apiVersion: v1
kind: Pod
metadata: {{name: confined}}
spec:
  containers:
  - name: main
    image: {IMAGE}
    command: [/bin/sh, -c, "{LABEL}; exec sleep 100000"]
    securityContext: {{appArmorProfile: {{type: Localhost, localhostProfile: no-secrets}}}}
"""


class Story:
    def __init__(self, checks, node):
        self.checks, self.node = checks, node
        self.pod = node.pod_config("apparmor", linux={"security_context": {"privileged": True}})
        self.pod_id = node.run_pod(self.pod)

    def config(self, name, script, profile=None, **more):
        """`profile`: a key of TYPES, or the name of a profile."""
        security = {"namespace_options": {"pid": 1}} | more
        if profile:
            kind = TYPES.get(profile, TYPES["localhost"])
            security["apparmor"] = {"profile_type": kind} | ({"localhost_ref": profile} if profile not in TYPES else {})
        return self.node.container_config(name, script) | {"linux": {"security_context": security}}

    def run(self, *arguments, **more):
        return self.node.run_container(self.pod_id, self.config(*arguments, **more), self.pod)

    def inside(self, container, script):
        done = self.node.crictl("exec", container, "sh", "-c", script, check=False)
        return (done.stdout + done.stderr).strip()

    def refused(self, *arguments, **more):
        config = self.node.write(self.config(*arguments, **more))
        return self.node.refusal("create", self.pod_id, config, self.node.write(self.pod))


def default_profile(story):
    powers = {"capabilities": {"add_capabilities": ["SYS_ADMIN", "SYS_PTRACE"]}}
    mount = "mount -t tmpfs none /tmp && echo mounted"
    plain = story.run("plain", "exec sleep 100000", **powers)
    story.checks.equal(story.inside(plain, LABEL), "gantry-default (enforce)", "who asks for nothing gets gantry-default")
    pid = story.node.container_pid(plain)
    story.checks.equal(story.node.read(f"/proc/{pid}/attr/current").strip(), "gantry-default (enforce)",
                       "and so does its first process")
    story.checks.contains(story.inside(plain, mount), "denied", "with it CAP_SYS_ADMIN does not mount")
    free = story.run("free", "exec sleep 100000", "unconfined", **powers)
    story.checks.equal(story.inside(free, LABEL), "unconfined", "who asks to be unconfined is")
    story.checks.contains(story.inside(free, mount), "mounted", "and mounts: it was the profile")
    for profile, told in (("default", "Permission denied"), ("unconfined", "written")):
        container = story.run(f"bare-{profile}", "exec sleep 100000", profile, masked_paths=[], readonly_paths=[])
        story.checks.contains(story.inside(container, "echo 1 > /proc/sys/vm/drop_caches && echo written"), told,
                              f"without read-only paths a write to /proc/sys/vm says {told} with profile {profile}")
    asked = story.run("asked", "exec sleep 100000", "default")
    story.checks.equal(story.inside(asked, LABEL), "gantry-default (enforce)", "who asks for the runtime's default gets it")
    privileged = story.run("privileged", "exec sleep 100000", privileged=True)
    story.checks.equal(story.inside(privileged, LABEL), "unconfined", "a privileged container has none")
    story.checks.contains(story.inside(plain, "sleep 1000 & kill $! && echo killed"), "killed",
                          "under it processes of a container may kill each other")
    story.node.crictl("stop", plain)
    story.checks.equal(story.node.container_status(plain)["state"], "CONTAINER_EXITED", "and the container is stopped")


def named_profile(story):
    told = story.refused("early", "exec sleep 100000", "localhost/no-secrets")
    story.checks.contains(told, ': is not loaded on this node', "a profile that is not loaded is refused")
    story.node.put("/root/no-secrets", PROFILE)
    story.node.machine.run("apparmor_parser", "--replace", "/root/no-secrets")
    write = "mkdir -p /secrets /public; echo x > /public/file && echo public; echo x > /secrets/file && echo secret"
    confined = story.run("confined", "exec sleep 100000", "localhost/no-secrets")
    told = story.inside(confined, f"{LABEL}; {write}")
    story.checks.contains(told, "no-secrets (enforce)\npublic\n", "loaded, it is what the container has")
    story.checks.contains(told, "/secrets/file: Permission denied", "and what it denies is denied")
    for name in ("unconfined", "no-secrets//&unconfined", ":root:no-secrets", ""):
        told = story.refused("sly", "exec sleep 100000", f"localhost/{name}")
        story.checks.contains(told, "is not loaded", f"{name or 'an empty name'!r} is no profile's name")
    story.node.machine.run("systemctl", "restart", "gantryd")
    story.checks.equal(story.inside(confined, LABEL), "no-secrets (enforce)", "gantryd restarted, an exec has it, too")
    story.node.put("/etc/gantry/manifests/confined.yaml", MANIFEST)
    found = c.wait_until("the manifest's container runs", lambda: next(
        (id for id, item in story.node.containers().items()
         if item["metadata"]["name"] == "main" and item["state"] == "CONTAINER_RUNNING"), None), 120)
    story.checks.equal(story.inside(found, LABEL), "no-secrets (enforce)", "a pod of a manifest has what it names")


def main(checks):
    with VmNode(checks) as node:
        story = Story(checks, node)
        default_profile(story)
        named_profile(story)


c.main(main)
