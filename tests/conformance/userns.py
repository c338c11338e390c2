#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 900
"""Pods with user namespaces by the CRI: ids inside and outside, whose files are, what of an image or a volume is never changed,
exec and what else is done with a pod, restarts, and what is refused."""
import contextlib
import fcntl
import os
import pathlib
import stat
import sys
import tarfile
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from node import APPLETS, IMAGE, Node
from oci import Image, entry, tar
from registry import busybox_layer, network_of

COUNT = 65536
A, B = 200000, 400000  # what 0 of a pod is outside
NS_GET_USERNS = 0xb701
VOLUME = "data:test"
POD, CONTAINER, NODE, TARGET = range(4)


def mapping(first, count=COUNT, inside=0):
    return [{"host_id": first, "container_id": inside, "length": count}]


def options(first, pid=CONTAINER, **more):
    return {"pid": pid, "userns_options": {"mode": POD, "uids": mapping(first), "gids": mapping(first)}} | more


def load_images(node):
    below = busybox_layer(APPLETS, entry("etc/", tarfile.DIRTYPE), entry("home/", tarfile.DIRTYPE, uid=1000, gid=1000),
                          entry("home/file", content=b"of 1000\n", uid=1000, gid=1000), entry("gone", content=b"x"),
                          entry("high", content=b"x", uid=70000, gid=70000), entry("full/", tarfile.DIRTYPE),
                          entry("full/old", content=b"x"), entry("tmp/", tarfile.DIRTYPE, mode=0o1777),
                          entry("etc/passwd", content=b"root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n"))
    above = tar([entry(".wh.gone"), entry("full/.wh..wh..opq"), entry("full/new", content=b"new\n")])
    for name, image in ((IMAGE, Image(below, above)), (VOLUME, Image(tar([entry("mine", content=b"x", uid=7, gid=8)])))):
        node.image("load", image.archive(node.work / "image.tar", name))


class Pod:
    """A pod of its own range of ids, and what runs in it."""

    def __init__(self, node, name, first, pid=CONTAINER, **more):
        self.node, self.count, self.first = node, 0, first
        linux = {"security_context": {"namespace_options": options(first, pid)}} | more
        self.config = node.pod_config(name, hostname=name, linux=linux)
        self.id = node.run_pod(self.config)

    def container(self, script, pid=None, image=IMAGE, extra=None, **security):
        self.count += 1
        spaces = dict(self.config["linux"]["security_context"]["namespace_options"])
        spaces |= {"pid": pid} if isinstance(pid, int) else pid or {}
        return self.node.container_config(f"c{self.count}", script, image={"image": image},
                                          linux={"security_context": {"namespace_options": spaces} | security}, **extra or {})

    def start(self, script, **more):
        return self.node.run_container(self.id, self.container(script, **more), self.config)

    def says(self, script, **more):
        """What a container prints to its end."""
        container = self.start(script, **more)
        c.wait_until("it ends", lambda: self.node.container_status(container)["state"] == "CONTAINER_EXITED")
        said = self.node.crictl("logs", container)
        self.node.crictl("rm", container)
        return (said.stdout + said.stderr).strip()

    def refusal(self, script="true", **more):
        """Why a container is not created, or not started."""
        done = self.node.crictl("create", self.id, self.node.write(self.container(script, **more)),
                                self.node.write(self.config), check=False)
        if done.returncode == 0:
            done = self.node.crictl("start", done.stdout.strip(), check=False)
        return done.stderr if done.returncode else ""


def owner(path):
    """The inode of the user namespace that a namespace belongs to."""
    fd = os.open(path, os.O_RDONLY)
    space = fcntl.ioctl(fd, NS_GET_USERNS)
    inode = os.fstat(space).st_ino
    os.close(space)
    os.close(fd)
    return inode


def layers(node):
    """All that can be seen of the layers' files on the disk; a change of owner or mode changes its time."""
    seen = {}
    for path in (node.lib / "store/l").rglob("*"):
        info = path.lstat()
        seen[str(path)] = (info.st_uid, info.st_gid, info.st_mode, info.st_ctime_ns)
    return seen


def written(node, name):
    """Where a file is that a container has written."""
    return list((node.lib / "store/c").glob(f"*/u/{name}"))


def features(checks, node):
    info = node.json("info")
    handlers = {each.get("name", ""): each["features"] for each in info["runtimeHandlers"]}
    checks.equal({name: (each["user_namespaces"], each["recursive_read_only_mounts"]) for name, each in handlers.items()},
                 {"": (True, True), "gantry": (True, True)}, "the runtime says that it has user namespaces")
    checks.ok(not info.get("features", {}).get("user_namespaces_host_network"), "and none on the host's network", info)


def ids(checks, node, pod):
    before = layers(node)
    owners = {file: "0:0" for file in ("/", "/bin/busybox", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/dev",
                                       "/dev/null", "/dev/tty", "/dev/shm", "/dev/mqueue", "/dev/pts", "/proc/1",
                                       "/full/new", "/made")}
    owners |= {"/home": "1000:1000", "/home/file": "1000:1000", "/high": "65534:65534", "/sys/fs/cgroup": "65534:65534"}
    script = ("cat /proc/self/uid_map /proc/self/gid_map | busybox tr -s ' '; id -u; touch /made; echo more >> /home/file; "
              f"busybox stat -c '%n %u:%g' {' '.join(owners)}; ls /full /gone; busybox rm -r /full; mkdir /full; ls /full; "
              "busybox hostname; busybox dd if=/dev/zero bs=1 count=2 2>/dev/null | busybox wc -c; echo done; exec sleep 1000")
    container = pod.start(script)
    log = c.wait_until("it has said all", lambda: (said := node.crictl("logs", container)).stdout.endswith("done\n") and
                       said.stderr and said)
    lines = log.stdout.splitlines()
    checks.equal(lines[:3], [f" 0 {pod.first} {COUNT}"] * 2 + ["0"], "inside: the mapping that was asked for, and root")
    checks.equal(dict(line.split() for line in lines[3:-5]), owners, "inside: whose files are: of the image, of ours, new ones")
    checks.equal((lines[-5:-3], lines[-3:]), ([lines[-5], "new"], [pod.config["hostname"], "2", "done"]),
                 "whiteouts and opaque folders of the image are seen, its folders can be replaced")
    checks.contains(log.stderr, "/gone: No such file", "what a layer has deleted is gone")
    pid = node.container_pid(container)
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    checks.equal((status["Uid"].split(), status["Gid"].split()), ([str(pod.first)] * 4,) * 2, "outside: the ids are the pod's")
    users = os.stat(f"/proc/{pid}/ns/user").st_ino
    checks.ok(users != os.stat("/proc/self/ns/user").st_ino, "the user namespace is not the host's")
    checks.equal({kind: owner(f"/proc/{pid}/ns/{kind}") for kind in ("net", "ipc", "uts", "pid", "mnt", "cgroup")},
                 dict.fromkeys(("net", "ipc", "uts", "pid", "mnt", "cgroup"), users), "all namespaces belong to it")
    shim = node.shim_pid(pod.id)
    checks.equal(os.stat(f"/proc/{shim}/ns/user").st_ino, os.stat("/proc/self/ns/user").st_ino, "its shim is outside of it")
    made, changed = written(node, "made"), written(node, "home/file")
    checks.equal([(each.stat().st_uid, each.stat().st_gid) for each in made + changed],
                 [(pod.first, pod.first), (pod.first + 1000, pod.first + 1000)], "on the disk: what it writes is the pod's")
    checks.equal({(each.stat().st_uid, stat.S_IMODE(each.parent.stat().st_mode)) for each in (node.lib / "store/c").glob("*/u")},
                 {(pod.first, 0o700)}, "in a folder of its root's, where nobody else comes")
    checks.equal(layers(node), before, "and nothing of the image's layers is changed, owners neither")
    return container


def sharing(checks, node, pod, container):
    """Another pod of the same image beside it."""
    before = layers(node)
    other = Pod(node, "other", B)
    said = other.says("busybox stat -c %u:%g /home/file; cat /home/file; touch /home/x; busybox stat -c %u /home/x; ls /made")
    checks.equal(said.split("\n")[:3], ["1000:1000", "of 1000", "0"], "a pod of other ids sees the same image")
    checks.contains(said, "/made: No such file", "and nothing of what the first has made of it")
    checks.equal(layers(node), before, "which stays as it is")
    node.crictl("rmp", "--force", other.id)
    shared = Pod(node, "shared", B, POD)
    first, second = (shared.start("exec sleep 1000") for _ in range(2))
    said = node.crictl("exec", "--sync", second, "sh", "-c", "cat /proc/1/comm; busybox pidof sleep | busybox wc -w; "
                       "busybox kill -0 1 && busybox stat -c %u /proc/1/cmdline; echo $$ > /dev/shm/x").stdout.split("\n")
    checks.equal(said[:2], ["gantry-init", "2"], "containers share a PID namespace of the pod's")
    spaces = [os.stat(f"/proc/{node.container_pid(each)}/ns/pid").st_ino for each in (first, second)]
    checks.ok(spaces[0] == spaces[1], "one and the same")
    checks.equal(owner(f"/proc/{node.container_pid(first)}/ns/pid"), os.stat(f"/proc/{node.container_pid(first)}/ns/user").st_ino,
                 "which belongs to its user namespace")
    checks.equal(node.crictl("exec", "--sync", first, "busybox", "stat", "-c", "%u:%g", "/dev/shm/x").stdout.strip(), "0:0",
                 "and /dev/shm")
    node.crictl("rmp", "--force", shared.id)
    # A debugging container, in the PID namespace of one that has its own.
    said = pod.says("busybox ps | busybox grep -c 'sleep 100[0]'; id -u", pid={"pid": TARGET, "target_id": container})
    checks.equal(said.split(), ["1", "0"], "a container that joins another's processes")


def commands(checks, node, pod, container):
    def execute(*command, flags=("--sync",)):
        return node.crictl("exec", *flags, container, *command).stdout.strip()

    shown = "id -u; busybox stat -c %u /proc/self/; echo again > /proc/self/fd/1; busybox head -1 /proc/self/uid_map"
    for what, flags in (("ExecSync", ("--sync",)), ("Exec", ())):
        said = execute("sh", "-c", shown, flags=flags).split()
        checks.equal(said, ["0", "0", "again", "0", str(pod.first), str(COUNT)], f"{what}: inside, and it may open its streams")
    user = pod.says("id -u; echo out > /dev/stdout; echo err > /dev/stderr", run_as_user={"value": 1000})
    checks.equal(user.split(), ["1000", "out", "err"], "a container of another user opens its streams, too")
    score = pod.container("cat /proc/self/oom_score_adj; echo ready; exec sleep 1000")
    score["linux"]["resources"] = {"oom_score_adj": 700}
    scored = node.run_container(pod.id, score, pod.config)
    c.wait_until("it has spoken", lambda: "ready" in node.crictl("logs", scored).stdout)
    executed = node.crictl("exec", "--sync", scored, "cat", "/proc/self/oom_score_adj").stdout.strip()
    checks.equal((node.crictl("logs", scored).stdout, executed), ("700\nready\n", "700"),
                 "its OOM score, and that of what is executed in it")
    node.crictl("rm", "--force", scored)
    with contextlib.suppress(c.Failure):
        node.crictl("update", "--cpu-share", "512", container)
    stats = node.json("stats", "-o", "json", "--id", container)["stats"]
    checks.ok(len(stats) == 1 and int(stats[0]["writableLayer"]["usedBytes"]["value"]) > 0, "its statistics", stats)
    checks.equal(pod.says("echo x > /proc/sys/kernel/hostname || echo refused; echo 1 > /proc/sys/net/ipv4/ip_forward || "
                          "echo refused").split().count("refused"), 2, "sysctls are read-only for it")


def terminal_and_network(checks, node, pod):
    served = pod.start("mkdir /tmp/www; echo served > /tmp/www/index.html; exec busybox httpd -f -p 8080 -h /tmp/www")
    address = node.pod_status(pod.id)["network"]["ip"]

    def fetch():
        with network_of(node.supervisor()), contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://{address}:8080/", timeout=5).read()
        return None

    checks.equal(c.wait_until("it answers", fetch), b"served\n", "its network is reached")
    node.crictl("rm", "--force", served)
    said = pod.says("id -u; busybox tty; busybox stat -c %u /dev/console /dev/pts/0", extra={"tty": True})
    checks.equal(said.split(), ["0", "/dev/pts/0", "0", "0"], "a terminal is root's")


def sysctls(checks, node):
    pod = Pod(node, "sysctls", B, sysctls={"net.ipv4.ip_local_port_range": "3000 4000", "kernel.shmmni": "99",
                                           "fs.mqueue.msg_max": "11"})
    said = pod.says("cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max")
    checks.equal(said.split(), ["3000", "4000", "99", "11"], "sysctls of the pod's namespaces")
    checks.ok(pathlib.Path("/proc/sys/kernel/shmmni").read_text() != "99\n", "which are not the host's")
    node.crictl("rmp", "--force", pod.id)


def volumes(checks, node, pod):
    folder = node.work / "volume"
    folder.mkdir()
    (folder / "file").write_text("of 1000\n")
    os.chown(folder, 1000, 1000)
    os.chown(folder / "file", 1000, 1000)
    node.work.chmod(0o755)

    def says(script, *mounts, **more):
        return pod.says(script, extra={"mounts": list(mounts)}, **more)

    def volume(first=None, target="/volume", source=folder, count=COUNT, **more):
        ids = {"uidMappings": mapping(first, count), "gidMappings": mapping(first, count)} if first is not None else {}
        return {"container_path": target, "host_path": str(source)} | ids | more

    script = "busybox stat -c %u:%g /volume /volume/file"
    checks.equal(says(script, volume(A)).split(), ["1000:1000"] * 2, "a volume whose ids are mapped as the pod's")
    checks.equal(says(script, volume()).split(), ["65534:65534"] * 2, "one whose ids are not is nobody's")
    checks.equal(says(script, volume(A - 1000, count=COUNT)).split(), ["0:0"] * 2, "one with a mapping of its own")
    says("touch /volume/of-root", volume(A))
    says("touch /volume/of-user", volume(A), run_as_user={"value": 1000}, run_as_group={"value": 1000})
    checks.equal([(folder / name).stat().st_uid for name in ("of-root", "of-user")], [0, 1000],
                 "what is made in it has its own ids on the disk")
    checks.contains(says("touch /volume/x", volume(A, readonly=True)), "Read-only", "read-only")
    checks.contains(says("touch /volume/x", volume(A, readonly=True, recursive_read_only=True)), "Read-only",
                    "recursively read-only")
    single = says("busybox stat -c %u:%g /single", volume(A, "/single", folder / "file"))
    checks.equal(single, "1000:1000", "a single file")
    for source, kind in (("/proc/sys", "proc"), ("/sys/kernel", "sysfs")):
        why = pod.refusal(extra={"mounts": [volume(A, source=source)]})
        checks.contains(why, [source, f'maps no ids of file system \\"{kind}\\"'], f"{kind}: is refused by its name")
    image = {"container_path": "/volume", "image": {"image": VOLUME}, "readonly": True}
    for what, more in (("", {}), (", with the pod's mapping", {"uidMappings": mapping(A), "gidMappings": mapping(A)})):
        checks.equal(says("busybox stat -c %u:%g /volume /volume/mine; touch /volume/x", image | more).split()[:2],
                     ["0:0", "7:8"], f"an image as a volume{what}")


def devices(checks, pod):
    def device(path):
        return {"devices": [{"container_path": path, "host_path": "/dev/zero", "permissions": "rw"}]}

    said = pod.says("d=/dev/some/one; echo x > $d && busybox stat -c %t:%T $d; busybox stat -c %u:%g /dev/some $d; "
                    "busybox mknod /tmp/x c 1 3", extra=device("/dev/some/one"))
    checks.contains(said, "Operation not permitted", "nobody in it makes devices")
    checks.equal(said.split()[:3], ["1:5", "0:0", "0:0"], "those that it is given are its own")
    checks.contains(pod.refusal(extra=device("/outside")), ["/outside", "in /dev alone"], "refused, and why: a device elsewhere")


def privileged(checks, node):
    context = {"privileged": True, "namespace_options": options(B)}
    config = node.pod_config("privileged", linux={"security_context": context})
    pod_id = node.run_pod(config)
    container = node.container_config("c", "busybox grep CapEff /proc/self/status; busybox stat -c %u /dev/null /dev/zero; "
                                      "busybox unshare -m true && echo unshared; echo 1 > /proc/sys/kernel/panic; echo end",
                                      linux={"security_context": context})
    container_id = node.run_container(pod_id, container, config)
    c.wait_until("it ends", lambda: node.container_status(container_id)["state"] == "CONTAINER_EXITED")
    said = node.crictl("logs", container_id)
    checks.contains(said.stdout, ["unshared", "65534"], "a privileged one is so in its namespace; devices stay the host's")
    checks.ok(said.stderr.count("ermission denied") + said.stderr.count("not permitted") >= 1, "and not to the host", said.stderr)
    node.crictl("rmp", "--force", pod_id)


def restart(checks, node, pod, container):
    pid = node.container_pid(container)
    node.kill_gantryd()
    node.wait_for_gantryd()
    checks.equal(node.container_pid(container), pid, "a restart of gantryd does not touch it")
    checks.equal(node.crictl("exec", "--sync", container, "busybox", "stat", "-c", "%u", "/made", "/home/file").stdout.split(),
                 ["0", "1000"], "commands are executed in it as before")
    checks.equal(pod.says("id -u; busybox stat -c %u /home/file").split(), ["0", "1000"], "and it takes new containers")
    users = node.pod_status(pod.id)["linux"]["namespaces"]["options"]["usernsOptions"]
    checks.equal([[int(each[key]) for key in ("hostId", "containerId", "length")] for each in users["uids"] + users["gids"]],
                 [[A, 0, COUNT]] * 2, "its status says which ids it has")


def refusals(checks, node, pod):
    def of_pod(change):
        spaces = options(A)
        change(spaces)
        config = node.pod_config("refused", linux={"security_context": {"namespace_options": spaces}})
        return node.refusal("runp", node.write(config))

    def users(**more):
        return lambda spaces: spaces["userns_options"].update(more)

    two = mapping(A, 10) + mapping(A + 10, 10, 10)
    for what, change, parts in (
            ("two mappings", users(uids=two), ("uids: 2 mappings", "exactly one")),
            ("none of groups", users(gids=[]), ("gids: 0 mappings", "exactly one")),
            ("no root", users(uids=mapping(A, 10, 5)), ("uids[0].container_id 5", "give 0")),
            ("the host's root", users(gids=mapping(0)), ("gids[0].host_id 0", "host's root")),
            ("no ids", users(uids=mapping(A, 0)), ("uids[0].length 0", "1 or more")),
            ("more than there are", users(uids=mapping(4294967000, 1000)), ("uids[0].length 1000", "host_id 4294967000")),
            ("mode CONTAINER", users(mode=CONTAINER), ("mode CONTAINER", "POD or NODE")),
            ("mode TARGET", users(mode=TARGET), ("mode TARGET", "POD or NODE")),
            ("the host's network", lambda spaces: spaces.update(network=NODE), ("network NODE", "user namespace")),
            ("the host's processes", lambda spaces: spaces.update(pid=NODE), ("pid NODE", "user namespace")),
            ("the host's ipc", lambda spaces: spaces.update(ipc=NODE), ("ipc NODE", "user namespace"))):
        checks.contains(of_pod(change), parts, f"refused, and why: {what}")
    other = {"userns_options": options(B)["userns_options"]}
    for what, more, parts in (
            ("a container of other ids", {"pid": other}, ("userns_options", str(B), str(A), "give the same")),
            ("one of the host's", {"pid": {"userns_options": {"mode": NODE}}}, ("userns_options NODE", "give the same")),
            ("one of the host's processes", {"pid": NODE}, ("pid NODE", "user namespace")),
            ("a user that is not mapped", {"run_as_user": {"value": 70000}}, ("user 70000", "0 to 65535")),
            ("a group that is not mapped", {"supplemental_groups": [65536]}, ("group 65536", "0 to 65535"))):
        checks.contains(pod.refusal(**more), parts, f"refused, and why: {what}")
    volume = {"container_path": "/volume", "host_path": str(node.work), "uidMappings": mapping(A)}
    checks.contains(pod.refusal(extra={"mounts": [volume]}), ("gidMappings: not given", "uidMappings"),
                    "refused, and why: a volume with half a mapping")


def pool(checks, node):
    """A pod without one takes a sandbox that was made ahead, which has none."""
    config = node.pod_config("plain")
    pod_id = node.run_pod(config)
    container = node.run_container(pod_id, node.container_config("c", "exec sleep 1000"), config)
    checks.equal(os.stat(f"/proc/{node.container_pid(container)}/ns/user").st_ino, os.stat("/proc/self/ns/user").st_ino,
                 "a pod that wants none is in the host's user namespace")
    node.crictl("rmp", "--force", pod_id)


def story(checks):
    with Node(checks) as node:
        load_images(node)
        features(checks, node)
        pod = Pod(node, "users", A)
        container = ids(checks, node, pod)
        sharing(checks, node, pod, container)
        commands(checks, node, pod, container)
        terminal_and_network(checks, node, pod)
        sysctls(checks, node)
        volumes(checks, node, pod)
        devices(checks, pod)
        privileged(checks, node)
        refusals(checks, node, pod)
        pool(checks, node)
        restart(checks, node, pod, container)
        node.crictl("rmp", "--force", pod.id)
        checks.equal((list((node.lib / "store/c").glob("*")), node.pods()), ([], {}), "nothing is left of them")


c.main(story)
