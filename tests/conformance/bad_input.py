#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
"""Bad requests get the right code and a sentence that says what to do; a bad manifest is named by file, line and field; and nothing
else suffers from either. bad_images.py has the images."""
import os
import pathlib
import signal
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import cycles
from cri_client import IMAGE, OWN_PIDS
from node import Node

INVALID, NOT_FOUND = "InvalidArgument", "NotFound"
ANY = ""  # there is more than one right code
BY_CRICTL = None  # crictl does not even ask
NODE, CONTAINER = 2, 1


def security(**more):
    return {"security_context": OWN_PIDS["security_context"] | more}


# What is wrong, the part of a pod's configuration that is so, the code, and what the sentence names.
BAD_PODS = [
    ("no name", {"metadata": {"namespace": "default", "uid": "u"}}, BY_CRICTL, ["name"]),
    ("a name with a slash", {"metadata": {"name": "../x", "namespace": "default", "uid": "u"}}, INVALID, ["name", "../x"]),
    ("a name of 300 bytes", {"metadata": {"name": "n" * 300, "namespace": "default", "uid": "u"}}, INVALID, ["name", "253"]),
    ("a name with a line feed", {"metadata": {"name": "a\nb", "namespace": "default", "uid": "u"}}, INVALID, ["name"]),
    ("a uid with a slash", {"metadata": {"name": "x", "namespace": "default", "uid": "../../u"}}, INVALID, ["uid"]),
    ("a hostname of 65 bytes", {"hostname": "h" * 65}, INVALID, ["hostname", "64"]),
    ("a hostname with a space", {"hostname": "a b"}, INVALID, ["hostname", "a b"]),
    ("a relative log folder", {"log_directory": "logs"}, INVALID, ["log_directory", "absolute"]),
    ("a log folder with ..", {"log_directory": "/var/log/../../etc"}, INVALID, ["log_directory", ".."]),
    ("a cgroup parent with ..", {"linux": {"cgroup_parent": "/../x"}}, INVALID, ["cgroup_parent", ".."]),
    ("a sysctl of the host", {"linux": {"sysctls": {"kernel.panic": "1"}}}, INVALID, ["sysctls", "kernel.panic"]),
    ("a sysctl that is a path", {"linux": {"sysctls": {"net/../kernel/panic": "1"}}}, INVALID, ["sysctls"]),
    ("a sysctl of the host's network", {"linux": {"sysctls": {"net.core.somaxconn": "1"},
                                                  **security(namespace_options={"network": NODE, "pid": 1})}},
     INVALID, ["sysctls", "network"]),
    ("an overhead that is none", {"linux": OWN_PIDS | {"overhead": {"cpu_shares": -1}}}, INVALID,
     ["linux.overhead", "cpu_shares", "-1"]),
    ("100 name servers", {"dns_config": {"servers": ["10.0.0.1"] * 100}}, INVALID, ["dns_config.servers", "64"]),
    ("labels of 300 KB", {"labels": {f"k{i}": "v" * 1000 for i in range(300)}}, INVALID, ["labels", "bytes"]),
    ("a network of a container", {"linux": security(namespace_options={"network": CONTAINER})}, INVALID, ["network"]),
    ("a port above 65535", {"port_mappings": [{"container_port": 70000}]}, INVALID, ["container_port", "70000"]),
    ("a port of the host to none", {"port_mappings": [{"host_port": 8080}]}, INVALID, ["container_port", "8080"]),
    ("a port of the host twice", {"port_mappings": [{"container_port": n, "host_port": 8080} for n in (80, 81)]}, INVALID,
     ["tcp port 8080", "twice"]),
    ("a host's address that is none", {"port_mappings": [{"container_port": 80, "host_port": 80, "host_ip": "here"}]}, INVALID,
     ["host_ip", "here"]),
]

BAD_CONTAINERS = [
    ("no name", {"metadata": {}}, BY_CRICTL, ["name"]),
    ("a name with a slash", {"metadata": {"name": "a/b"}}, INVALID, ["name", "a/b"]),
    ("no image", {"image": {"image": ""}}, BY_CRICTL, ["image"]),
    ("an image that is not here", {"image": {"image": "nobody/has:this"}}, NOT_FOUND, ["nobody/has:this"]),
    ("an image name that is none", {"image": {"image": "Not A Name"}}, ANY, ["Not A Name"]),
    ("an image name of 600 bytes", {"image": {"image": "i" * 600}}, INVALID, ["image", "512"]),
    ("an argument of 200 KB", {"args": ["a" * 200_000]}, INVALID, ["args", "131071"]),
    ("20000 arguments", {"args": ["a"] * 20_000}, INVALID, ["16384"]),
    ("a variable with =", {"envs": [{"key": "A=B", "value": "x"}]}, INVALID, ["envs", "A=B"]),
    ("a variable without a name", {"envs": [{"key": "", "value": "hidden-value"}]}, INVALID, ["envs"]),
    ("a relative working folder", {"working_dir": "tmp"}, INVALID, ["working_dir", "absolute"]),
    ("a mount of a relative path", {"mounts": [{"host_path": "etc", "container_path": "/x"}]}, INVALID,
     ["host_path", "absolute"]),
    ("a mount to nowhere", {"mounts": [{"host_path": "/etc", "container_path": ""}]}, INVALID, ["container_path"]),
    ("a log path that climbs", {"log_path": "../../x"}, INVALID, ["log_path", ".."]),
    ("an absolute log path", {"log_path": "/etc/x"}, INVALID, ["log_path", "relative"]),
    ("a user that is not in the image", {"linux": security(run_as_username="nobody-here")}, ANY, ["nobody-here"]),
    ("a user twice", {"linux": security(run_as_username="root", run_as_user={"value": 1})}, INVALID, ["run_as_user"]),
    ("a group without a user", {"linux": security(run_as_group={"value": 1})}, INVALID, ["run_as_group"]),
    ("a negative user", {"linux": security(run_as_user={"value": -1})}, INVALID, ["-1"]),
    ("a capability that there is not", {"linux": security(capabilities={"add_capabilities": ["SYS_MAGIC"]})}, INVALID,
     ["SYS_MAGIC"]),
    ("privileged in a pod that is not", {"linux": security(privileged=True)}, INVALID, ["privileged"]),
    ("a seccomp profile without a path", {"linux": security(seccomp={"profile_type": 2})}, INVALID, ["localhost_ref"]),
    ("a seccomp profile that is not there", {"linux": security(seccomp={"profile_type": 2, "localhost_ref": "/no/profile"})},
     ANY, ["/no/profile"]),
    ("an AppArmor profile that is not there", {"linux": security(apparmor={"profile_type": 2, "localhost_ref": "no-profile"})},
     ANY, ["AppArmor", "no-profile"]),
    ("permissions of a device", {"devices": [{"host_path": "/dev/null", "container_path": "/dev/x", "permissions": "rwx"}]},
     INVALID, ["permissions", "rwx"]),
    ("a permission of a device twice",
     {"devices": [{"host_path": "/dev/null", "container_path": "/dev/x", "permissions": "rr"}]}, INVALID,
     ["permissions", "rr"]),
    ("an IPC namespace of its own", {"linux": security(namespace_options={"pid": 1, "ipc": CONTAINER})}, INVALID,
     ["namespace_options.ipc", "CONTAINER"]),
    ("a network of its own", {"linux": security(namespace_options={"pid": 1, "network": CONTAINER})}, INVALID,
     ["namespace_options.network", "CONTAINER"]),
    ("a PID namespace of an unknown kind", {"linux": security(namespace_options={"pid": 9})}, INVALID,
     ["namespace_options.pid", "9"]),
    ("a policy of groups that is unknown", {"linux": security(supplemental_groups_policy=7)}, INVALID,
     ["supplemental_groups_policy", "7"]),
    ("a stop signal that is unknown", {"stop_signal": 999}, INVALID, ["stop_signal", "999"]),
    ("a target without an id", {"linux": {"security_context": {"namespace_options": {"pid": 3}}}}, INVALID, ["target_id"]),
    ("a negative weight of the CPU", {"linux": security() | {"resources": {"cpu_shares": -5}}}, INVALID, ["cpu_shares", "-5"]),
    ("a CDI device that there is not", {"CDI_devices": [{"name": "a.com/b=c"}]}, NOT_FOUND, ["CDI", "a.com/b=c", "/etc/cdi"]),
    ("a CDI device by a path", {"CDI_devices": [{"name": "/etc/passwd"}]}, INVALID, ["CDI_devices", "/etc/passwd"]),
    ("an annotation that names no CDI device", {"annotations": {"cdi.k8s.io/x": "a.com/b=../c"}}, INVALID,
     ["cdi.k8s.io/x", "a.com/b=../c"]),
    ("an image as a mount, to be written", {"mounts": [{"container_path": "/x", "image": {"image": "x"}}]},
     INVALID, ["readonly"]),
]


def check_refusal(checks, what, said, code, names):
    checks.ok(said, f"{what}: refused", "it was taken")
    expected = [] if code is BY_CRICTL else [f"rpc error: code = {code}"]
    checks.contains(said, expected + names, f"{what}: {code or 'told'}, with a sentence")


def configurations(checks, node):
    for what, part, code, names in BAD_PODS:
        check_refusal(checks, f"pod with {what}", node.refusal("runp", node.write(node.pod_config("bad") | part)), code, names)
    config = node.pod_config("good")
    pod = node.run_pod(config)
    again = node.run_pod(config)
    checks.equal(again, pod, "a pod that is run twice is one pod")
    for what, part, code, names in BAD_CONTAINERS:
        container = node.container_config("bad", "true") | part
        said = node.refusal("create", pod, node.write(container), node.write(config))
        check_refusal(checks, f"container with {what}", said, code, names)
        checks.ok("hidden-value" not in said, f"container with {what}: no environment value is told")
    checks.equal(node.containers(), {}, "no container came of all that")
    said = node.refusal("runp", node.write('{"metadata": {"name": "x", "nmespace": 5}'))
    checks.ok(said, "a file that is no JSON: refused")
    node.crictl("rmp", "--force", pod)


def ids(checks, node):
    unknown, long, wild = "0123456789abcdef", "f" * 5000, "../../../etc/passwd"
    for what, given in (("an unknown id", unknown), ("an over-long id", long), ("an id that is a path", wild)):
        for command in (("inspect", given), ("inspectp", given), ("start", given), ("exec", "--sync", given, "true"),
                        ("exec", given, "true")):
            said = node.refusal(*command)
            code = INVALID if given == long else NOT_FOUND
            checks.contains(said, [f"code = {code}", given[:16]], f"crictl {command[0]} of {what}: {code}, and names it")
    # Stop and remove are what a client repeats until it is so: gone already is fine.
    checks.equal(node.crictl("stopp", unknown, check=False).returncode, 0, "crictl stopp of an unknown id is no error")


def commands(checks, node):
    config = node.pod_config("commands")
    pod = node.run_pod(config)
    cases = [("not-found", {"command": ["/no/such/program"]}, ["/no/such/program", "no such file"]),
             ("not-in-path", {"command": ["no-such-program"]}, ["no-such-program", "PATH"]),
             ("not-executable", {"command": ["/etc/passwd"]}, ["/etc/passwd", "permission denied"]),
             ("a-folder", {"command": ["/etc"]}, ["/etc"]),
             ("no-program", {"command": ["/etc/text"]}, ["/etc/text"]),
             ("working-folder-is-a-file", {"working_dir": "/etc/passwd"}, ["working directory", "etc/passwd"])]
    for name, part, names in cases:
        if name == "no-program":
            text = node.work / "text"
            text.write_text("neither ELF nor #!\n")
            text.chmod(0o755)
            part = part | {"mounts": [{"host_path": str(text), "container_path": "/etc/text"}]}
        container = node.create(pod, node.container_config(name, "true") | part, config)
        said = node.refusal("start", container)
        checks.contains(said, ["rpc error", *names], f"{name}: start fails with the reason")
        status = node.container_status(container)
        checks.equal((status["state"], status["exitCode"], status["reason"]), ("CONTAINER_EXITED", 128, "StartError"),
                     f"{name}: inspect shows 128, StartError")
        checks.contains(status["message"], names, f"{name}: and the same reason")
        node.crictl("rm", container)
    running = node.run_container(pod, node.container_config("runs", "sleep 10000"), config)
    said = node.refusal("exec", "--sync", running, "/no/such/program")
    checks.contains(said, ["/no/such/program"], "exec of a program that is not there says so")
    said = node.refusal("exec", running, "/no/such/program")
    checks.contains(said, ["/no/such/program"], "and over the stream, too")
    checks.equal(node.container_status(running)["state"], "CONTAINER_RUNNING", "which its container survives")
    said = node.refusal("start", running) or "started"
    checks.equal(said, "started", "a container that runs may be started once more: a retry")
    node.crictl("stop", "--timeout", "0", running)
    checks.contains(node.refusal("start", running), ["starts once"], "one that has ended may not")
    node.crictl("rmp", "--force", pod)


def garbage(checks, node):
    """What is no gRPC at all."""
    path = node.root / "run/gantry/gantryd.sock"
    checks.equal(path.stat().st_mode & 0o777, 0o600, "the socket is its owner's alone")
    here = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"/proc/self/fd/{here}/gantryd.sock")
        c.wait_until("a connection is counted", node.connections)
    for data in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(50_000), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 9000, b""):
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"/proc/self/fd/{here}/gantryd.sock")
                try:
                    client.sendall(data)
                except OSError:
                    pass  # it was hung up on
    os.close(here)
    node.wait_for_gantryd()
    c.wait_until("the connections of all these are closed", lambda: node.connections() == 0)
    checks.ok(True, "clients that speak no gRPC are hung up on, and forgotten")


GOOD = f"""\
apiVersion: v1
kind: Pod
metadata:
  name: good
spec:
  containers:
  - name: main
    image: {IMAGE}
    command: ["/bin/sleep", "10000"]
  terminationGracePeriodSeconds: 1
"""

# What is wrong, the line and field that are to be named, and the change that makes it of GOOD.
TYPOS = [
    ("an unknown field", 8, "imge", ("    image:", "    imge:")),
    ("an unknown field above", 6, "contaners", ("  containers:", "  contaners:")),
    ("a wrong type", 9, "command", ('["/bin/sleep", "10000"]', "{}")),
    ("a field twice", 9, "image", ('    command: ["/bin/sleep", "10000"]', "    image: other")),
    ("a name that is none", 4, "metadata.name", ("  name: good", "  name: Not_Good")),
    ("a bad indent", 8, "", ("    image:", "   \timage:")),
    ("a kind that is none", 2, "kind", ("kind: Pod", "kind: Pood")),
]


def manifests(checks, node):
    def running():
        pods = {i: item["metadata"]["name"] for i, item in node.pods().items() if item["state"] == "SANDBOX_READY"}
        return {pods[item["podSandboxId"]]: i for i, item in node.containers().items()
                if item["state"] == "CONTAINER_RUNNING" and item["podSandboxId"] in pods}

    def runs(name):
        return [container for pod, container in running().items() if name in pod]

    (node.manifests / "good.yaml").write_text(GOOD)
    good = c.wait_until("the pod of good.yaml runs", lambda: runs("good"))
    for number, (what, line, field, (old, new)) in enumerate(TYPOS):
        since = node.log_file.stat().st_size
        assert old in GOOD
        name = f"bad{number}.yaml"
        (node.manifests / name).write_text(GOOD.replace(old, new).replace("name: good", f"name: bad{number}"))
        said = ""

        def told(name=name, since=since):
            nonlocal said
            with open(node.log_file, errors="replace") as log:
                log.seek(since)
                said = "".join(text for text in log if name in text)
            return said
        c.wait_until(f"gantryd's log tells of {name}", told)
        checks.contains(said, [name, f"line {line}", field], f"manifest with {what}: its file, line and field are named")
    # One of them is repaired.
    (node.manifests / "bad0.yaml").write_text(GOOD.replace("name: good", "name: bad0"))
    c.wait_until("the repaired one runs", lambda: runs("bad0"))
    checks.ok(True, "a manifest that was repaired runs")
    for name, text in (("empty.yaml", ""), ("bytes.yaml", "\x00\x01"), ("deep.yaml", "[" * 100_000),
                       ("many.yaml", GOOD + "---\n" + GOOD)):
        (node.manifests / name).write_text(text)
    (node.manifests / "huge.yaml").write_bytes(b"#" * (64 << 20))
    os.mkfifo(node.manifests / "fifo.yaml")
    (node.manifests / "folder.yaml").mkdir()
    (node.manifests / "away.yaml").symlink_to("/no/such/file")
    (node.manifests / ".hidden.yaml").write_text(GOOD.replace("name: good", "name: hidden"))
    (node.manifests / "last.yaml").write_text(GOOD.replace("name: good", "name: last"))
    c.wait_until("one that came after all these runs", lambda: runs("last"))
    checks.ok(True, "files that are no manifests hold nothing up")
    checks.equal(runs("good"), good, "the good one is the container of before")
    checks.equal(runs("hidden"), [], "hidden files are no manifests")
    for path in node.manifests.iterdir():
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    c.wait_until("all pods of manifests are gone", lambda: not node.pods())
    checks.ok(True, "with their files the pods go")


def story(checks):
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    with Node(checks) as node:
        node.build_image()
        cycles.cycle(node, 0)  # what gantryd keeps once it has run a container is there
        # Buffers and threads of a library grow to their working size once; what belongs to pods does not.
        with cycles.leaves_nothing(checks, node, "all that was refused", lambda what, *_: "of gantryd" in what):
            pid = node.gantryd_pid()
            for part in (configurations, ids, commands, garbage, manifests):
                part(checks, node)
            checks.equal(node.gantryd_pid(), pid, "gantryd is the process of before")


c.main(story)
