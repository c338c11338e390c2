#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""gantry-oci with user namespaces: made with mappings or joined by path, what is in such a container, exec into it, and
mappings that are wrong."""
import os
import pathlib
import re
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle

FIRST = 100000  # what 0 of a container is outside
COUNT = 65536


def mapped(*ranges):
    return [{"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in ranges]


def in_user(ids=((0, FIRST, COUNT),), change=None, **more):
    """A change of the configuration: into a user namespace."""
    def changed(config):
        config["linux"]["namespaces"].append({"type": "user"})
        config["linux"] |= {"uidMappings": mapped(*ids), "gidMappings": mapped(*ids)}
        config["linux"].update(more)
        if change:
            change(config)
    return changed


def owned_root(oci):
    """The runtime's root folder, owned by the container's root."""
    root = oci.work / "owned"
    shutil.copytree(oci.rootfs, root, symlinks=True)
    for path in [root, *root.rglob("*")]:
        os.chown(path, FIRST, FIRST, follow_symlinks=False)
    oci.work.chmod(0o755)
    oci.rootfs = root


def says(checks, oci, script, expected, what, change=None, **more):
    done = oci.run(script, change=in_user(change=change), **more)
    return checks.equal(done.stdout.strip(), expected, what) or c.log(done.stderr)


def inside(checks, oci):
    owned_root(oci)
    links = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in ("pid", "net", "ipc", "uts", "mnt", "cgroup", "user"))
    spaces = oci.run(links, change=in_user()).stdout.split()
    own = [os.readlink("/proc/self/ns/" + space.split(":")[0]) for space in spaces]
    checks.ok(len(spaces) == 7 and not set(spaces) & set(own), "all namespaces are the container's own", f"{spaces} {own}")
    says(checks, oci, "id -u; id -g; id -G; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups | tr -s ' '",
         f"0\n0\n0\n 0 {FIRST} {COUNT}\n 0 {FIRST} {COUNT}\nallow", "ids are mapped, and the process is root in there")
    says(checks, oci, "id -u; id -g; id -G; grep CapEff /proc/self/status | cut -f2", "5\n6\n6 7\n0000000000000000",
         "and others", lambda config: config["process"].update(user={"uid": 5, "gid": 6, "additionalGids": [7]}))
    says(checks, oci, "stat -c %u-%g /proc/1 /dev /dev/pts /dev/shm /dev/mqueue /tmp; stat -c %a /dev/shm; ls /sys/class/net",
         "0-0\n" * 6 + "1777\nlo", "what is mounted is the container's root's")
    says(checks, oci, "for d in null zero full random urandom tty; do stat -c '%t:%T' /dev/$d; done; echo x >/dev/null && "
         "head -c 2 /dev/zero | wc -c; dd if=/dev/zero of=/dev/full 2>&1 | grep -o 'No space'; mknod /tmp/n c 1 3 2>&1 | "
         "grep -o 'not permitted'", "1:3\n1:5\n1:7\n1:8\n1:9\n5:0\n2\nNo space\nnot permitted",
         "devices are the host's, bound")
    says(checks, oci, "readlink /dev/fd; readlink /dev/ptmx; touch /made; stat -c %u /made; rm /made; "
         "ls /host-proc /host-sys 2>&1 | wc -l",
         "/proc/self/fd\npts/ptmx\n0\n2", "links are there, new files are root's, and of the launch nothing is left")
    says(checks, oci, "cat /proc/keys | wc -c; ls /sys/firmware | wc -l; echo 1 2>/dev/null >/proc/sys/vm/swappiness "
         "|| echo refused; umount /proc/keys 2>&1 | grep -o 'not permitted'", "0\n0\nrefused\nnot permitted",
         "masked and read-only paths")
    says(checks, oci, "hostname; cat /proc/sys/net/ipv4/ip_forward; cat /proc/self/oom_score_adj; ulimit -n",
         "box\n1\n500\n77", "host name, sysctl, OOM score and limits", change_of_many)
    checks.equal(pathlib.Path("/proc/self/oom_score_adj").read_text(), "0\n", "which only the container has")
    says(checks, oci, "grep ^0 /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs | head -1", "0::/\n1",
         "and its cgroup namespace's hierarchy")


def change_of_many(config):
    config["hostname"] = "box"
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    config["process"]["oomScoreAdj"] = 500
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 77}]


def bind(source, destination, *options):
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["rbind", *options]}


def mounts(checks, oci):
    data = oci.work / "private" / "data"
    data.mkdir(parents=True)
    (data / "mine").write_text("mine\n")
    (data / "theirs").write_text("theirs\n")
    os.chown(data / "mine", FIRST + 5, FIRST + 5)
    (data / "mine").chmod(0o600)
    (data / "theirs").chmod(0o600)
    (oci.work / "private").chmod(0o700)

    def change(config):
        config["mounts"].append(bind(data, "/data"))
        config["process"]["user"] = {"uid": 5, "gid": 5}

    says(checks, oci, "cat /data/mine; stat -c %u /data/mine /data/theirs; cat /data/theirs 2>&1 | grep -o denied",
         "mine\n5\n65534\ndenied", "a bind below a folder that only the host's root may enter; owners are as mapped", change)
    says(checks, oci, "touch /data/x 2>&1 | grep -o 'Read-only'; grep -c '/data ro,nosuid,nodev' /proc/self/mountinfo",
         "Read-only\n1", "with its options",
         lambda config: config["mounts"].append(bind(data, "/data", "ro", "nosuid", "nodev")))
    own = oci.rootfs / "own"
    own.mkdir()
    (own / "file").write_text("content\n")
    for path in (own, own / "file"):
        os.chown(path, FIRST + 7, FIRST + 7)
    says(checks, oci, "cat /own/file; stat -c %u /own /own/file; touch /scratch/x && stat -c '%u %a' /scratch",
         "content\n7\n7\n0 711", "tmpfs, also with tmpcopyup",
         lambda config: config["mounts"].extend([
             {"destination": "/own", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]},
             {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["mode=711", "size=1m"]}]))
    checks.equal(list(oci.rootfs.glob("own/*")), [own / "file"], "and the root folder is as it was")


def idmapped(checks, oci):
    data = oci.work / "ids"
    (data / "below").mkdir(parents=True)
    oci_bundle.run("mount", "-t", "tmpfs", "-o", "mode=755", "below", data / "below")
    for file in (data / "file", data / "below/file"):
        file.touch()
        os.chown(file, 5, 6)
    look = "stat -c '%u %g' /ids/file /ids/below/file; touch /ids/made; stat -c '%u %g' /ids/made"

    def mounted(*options, source=data, **more):
        return lambda config: config["mounts"].append(bind(source, "/ids", *options) | more)

    own = {"uidMappings": mapped((0, 1000, 1), (5, 1005, 1)), "gidMappings": mapped((0, 1000, 1), (6, 1006, 1))}
    for what, change, expected, owner in (
            ("idmap with the user namespace's", in_user(change=mounted("idmap")), "5 6\n65534 65534\n0 0", (0, 0)),
            ("ridmap with the user namespace's", in_user(change=mounted("ridmap")), "5 6\n5 6\n0 0", (0, 0)),
            ("mappings of its own", mounted(**own), "1005 1006\n5 6\n", None),
            ("and with ridmap", mounted("ridmap", **own), "1005 1006\n1005 1006", None)):
        done = oci.run(look, change=change)
        checks.ok(done.stdout.startswith(expected), f"ids of a bind mount: {what}",
                  done.stdout + done.stderr)
        if owner:
            info = (data / "made").stat()
            checks.equal((info.st_uid, info.st_gid), owner, "and what is made there has the host's id for it")
            (data / "made").unlink()
        checks.equal((data / "file").stat().st_uid, 5, "on the host all is as it was")
    def filesystem(kind, *options, **more):
        return lambda config: config["mounts"].append({"destination": "/x", "type": kind, "source": "x",
                                                       "options": list(options)} | more)

    (oci.rootfs / "x").mkdir()
    (oci.rootfs / "x/file").touch()
    os.chown(oci.rootfs / "x/file", 5, 6)
    own_ids = "stat -c '%u %g' /x; touch /x/made; stat -c '%u %g' /x/made; test -e /x/file && stat -c '%u %g' /x/file; true"
    for what, change, expected in (
            ("idmap with the user namespace's", in_user(change=filesystem("tmpfs", "idmap")), "0 0\n0 0\n"),
            ("and with what the image has there", in_user(change=filesystem("tmpfs", "idmap", "tmpcopyup")),
             "0 0\n0 0\n5 6\n"),
            ("mappings of its own", filesystem("tmpfs", "uid=5", "gid=6", **own), "1005 1006\n")):
        done = oci.run(own_ids, change=change)
        checks.equal(done.stdout, expected, f"ids of a tmpfs: {what}") or c.log(done.stderr)
    for change, message in (
            (mounted("idmap"), "mounts[7].options: idmap needs uidMappings and gidMappings"),
            (mounted(uidMappings=mapped((0, 1, 1))), "mounts[7].gidMappings: is missing"),
            (mounted(uidMappings=mapped((0, 1, 0)), gidMappings=mapped((0, 1, 1))), "mounts[7].uidMappings[0].size: 0 is wrong"),
            (filesystem("tmpfs", "idmap"), "mounts[7].options: idmap needs uidMappings and gidMappings"),
            (filesystem("mqueue", **own), "mounts[7]: the kernel maps no ids of file system"),
            (filesystem("ramfs", **own), "mounts[7]: the kernel maps no ids of its file system"),
            (mounted("idmap", source="/proc", **own), "mounts[7].source: the kernel maps no ids of its file system")):
        done = oci.run("true", change=change)
        checks.equal((done.returncode, message in done.stderr, oci.remnants()), (1, True, []), f"refused: {message}") \
            or c.log(done.stderr)
    oci_bundle.run("umount", data / "below")


def life(checks, oci):
    name = oci.start("sleep", "1000", change=in_user())
    pid = oci.state(name)["pid"]
    checks.equal(os.stat(f"/proc/{pid}").st_uid, FIRST, "the first process is the mapped root on the host")
    exec_in(checks, oci, name, pid)
    socket = oci_bundle.ConsoleSocket(oci.work)
    folder = oci.bundle("sh", "-c", "tty; stat -c '%u %g' $(tty) /dev/console; exec sleep 1000",
                        change=in_user(change=lambda config: config["process"].update(terminal=True,
                                                                                      user={"uid": 9, "gid": 9})))
    oci("create", "--bundle", folder, "--console-socket", socket.path, "tty")
    master = socket.take()
    oci("start", "tty")
    checks.contains(oci_bundle.read_until(master, "9 5\r\n9 5").replace("\r", ""), "/dev/pts/0\n9 5\n9 5",
                    "a terminal is the user's")
    for each in (name, "tty"):
        oci("delete", "--force", each)
    os.close(master)
    os.unlink(socket.path)


def exec_in(checks, oci, name, pid):
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    done = oci("exec", "--user", "5:6", "-g", "7", name, "sh", "-c",
               "id -u; id -g; id -G; readlink /proc/self/ns/user; ls /proc/self/fd; grep CapEff /proc/self/status | cut -f2",
               close_fds=False, check=False)
    os.close(read_end)
    os.close(write_end)
    checks.equal(done.stdout.split(), ["5", "6", "6", "7", os.readlink(f"/proc/{pid}/ns/user"), "0", "1", "2", "3",
                                       "0000000000000000"], "exec joins its user namespace, and has no descriptor more") \
        or c.log(done.stderr)
    done = oci("exec", name, "sh", "-c", "id -u; touch /tmp/by-exec; stat -c %u /tmp/by-exec; cat /proc/self/oom_score_adj")
    checks.equal(done.stdout.split(), ["0", "0", "0"], "and is its root")
    checks.contains(oci("exec", "--tty", name, "sh", "-c", "stat -c '%u' $(tty)", check=False).stdout, "0",
                    "an exec's terminal is its user's")
    checks.equal(oci("exec", "--user", "70000", name, "id", check=False).returncode, 255, "an id that is not mapped is none")


def hooked(oci):
    """Adds a createContainer hook that mounts /tmp/made, and a startContainer hook that writes /tmp/begun."""
    logs = oci.work / "logs"
    logs.mkdir(exist_ok=True)
    os.chown(logs, FIRST, FIRST)
    script = oci.work / "hook"
    script.write_text("#!/bin/sh\nmkdir -p $ROOT/tmp/made && mount -t tmpfs made $ROOT/tmp/made && echo here > "
                      "$ROOT/tmp/made/here && { id -u; readlink /proc/self/ns/user; } > $LOG\n")
    script.chmod(0o755)

    def change(config):
        config["hooks"] = {
            "createContainer": [{"path": str(script),
                                 "env": [f"LOG={logs}/host", f"ROOT={oci.rootfs}", "PATH=/bin:/usr/bin"]}],
            "startContainer": [{"path": "/bin/sh", "env": ["PATH=/bin"],
                                "args": ["sh", "-c", "{ id -u; readlink /proc/self/ns/user; } > /tmp/begun"]}]}
    return change


def hooks(checks, oci):
    done = oci.run("cat /tmp/made/here /tmp/begun; readlink /proc/self/ns/user", change=in_user(change=hooked(oci)))
    space = done.stdout.split()[-1:]
    checks.equal(done.stdout.split(), ["here", "0", *space, *space], "a startContainer hook is in the user namespace") \
        or c.log(done.stderr)
    checks.equal((oci.work / "logs/host").read_text().split(), ["0", *space],
                 "and so is a createContainer hook, which mounts for the container")


def joined(checks, oci):
    """A second container in the first one's namespaces, as pods are made."""
    first = oci.start("sleep", "1000", change=in_user())
    pid = oci.state(first)["pid"]
    kinds = {"user": "user", "network": "net", "ipc": "ipc", "uts": "uts"}

    def second(*more):
        def change(config):
            config["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", "pid", "cgroup") if kind not in more]
            for kind in (*kinds, *more):
                file = kinds.get(kind, kind)
                config["linux"]["namespaces"].append({"type": kind, "path": f"/proc/{pid}/ns/{file}"})
            # As podman has it: they mean nothing.
            config["linux"] |= {"uidMappings": mapped((0, 0, 1)), "gidMappings": mapped((0, 0, 1))}
            config["process"]["user"] = {"uid": 5, "gid": 6}
            del config["hostname"]
        return change

    links = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in ("user", "net", "ipc", "uts", "pid"))
    theirs = [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("user", "net", "ipc", "uts", "pid")]
    done = oci.run(links + "; id -u; stat -c '%u' /dev /proc/1; ps -o args; echo >/dev/null; ls /sys/class/net; umask",
                   change=second())
    lines = done.stdout.split()
    checks.equal(lines[:4], theirs[:4], "user, network, ipc and uts namespaces are joined by path") or c.log(done.stderr)
    checks.ok(lines[4:5] != theirs[4:5], "its PID namespace is its own")
    checks.equal(lines[5:8], ["5", "0", "5"], "ids and owners in it")

    def with_pid(config):
        hooked(oci)(config)
        second("pid")(config)
        config["process"]["user"] = {"uid": 0, "gid": 0}
        config["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "80"}

    done = oci.run(links + "; cat /tmp/made/here /proc/sys/net/ipv4/ip_unprivileged_port_start; ps -o args", change=with_pid)
    checks.equal(done.stdout.split()[:7], [*theirs, "here", "80"], "and the PID namespace, with hooks and a sysctl") \
        or c.log(done.stderr)
    checks.contains(done.stdout, "sleep 1000", "with its processes")

    def network_of_host(config):
        space = next(each for each in config["linux"]["namespaces"] if each["type"] == "network")
        space["path"] = "/proc/self/ns/net"
        config["mounts"] = [each for each in config["mounts"] if each["type"] != "sysfs"]

    says(checks, oci, "readlink /proc/self/ns/net", os.readlink("/proc/self/ns/net"),
         "a new user namespace joins a network namespace that is not its own", network_of_host)
    oci("delete", "--force", first)
    done = oci.run("true", change=lambda config: config["linux"]["namespaces"].append({"type": "user", "path": "/etc/hosts"}))
    checks.contains(done.stderr, ["linux.namespaces", "user", "no file of a namespace"], "what is no namespace is named")


def many_lines(checks, oci):
    ranges = tuple((i, FIRST + 2 * i, 1) for i in range(270))
    done = oci.run("cat /proc/self/uid_map | wc -l; tail -n 1 /proc/self/uid_map", change=in_user(ids=ranges))
    checks.equal(done.stdout.split()[:1], ["270"], "hundreds of mappings are all there") or c.log(done.stderr)


def wrong(checks, oci):
    good = (0, FIRST, COUNT)
    cases = [
        (((0, FIRST, 0),), "linux.uidMappings[0].size: 0 is wrong"),
        ((good, (10, 1, 1)), "linux.uidMappings[1].containerID: 10 with its size overlaps entry 0"),
        ((good, (COUNT, FIRST + 5, 1)), f"linux.uidMappings[1].hostID: {FIRST + 5} with its size overlaps entry 0"),
        (((0, 4294967294, 2),), "linux.uidMappings[0].size: 2 is too much"),
        (((0, 4294967295, 1),), "linux.uidMappings[0]"),
        (((0, -1, 1),), "linux.uidMappings[0].hostID: -1 is wrong"),
        (((1, FIRST, 1),), "linux.uidMappings: does not map 0"),
        (tuple((i, i, 1) for i in range(341)), "linux.uidMappings: has 341 entries: the kernel takes 340"),
        (tuple((4200000000 + 2 * i if i else 0, 4200000000 + 2 * i, 1) for i in range(300)),
         "bytes as text: the kernel takes 4095"),
        ((), "linux.uidMappings: is missing"),
    ]
    for ids, message in cases:
        done = oci.run("true", change=in_user(ids=ids))
        checks.equal(done.returncode, 1, message)
        checks.contains(done.stderr, message, "is what it says")
    fields = [
        (lambda config: config["linux"].update(uidMappings=mapped(good)), "linux.gidMappings: is missing"),
        (lambda config: config["linux"].update(uidMappings=mapped(good), gidMappings=mapped(good)),
         "linux.uidMappings: needs a user namespace"),
        (in_user(change=lambda config: config["process"].update(user={"uid": 65536, "gid": 0})),
         "process.user.uid: 65536 is not mapped by linux.uidMappings"),
        (in_user(change=lambda config: config["process"].update(user={"uid": 0, "gid": 1, "additionalGids": [70000]})),
         "process.user.additionalGids: 70000 is not mapped by linux.gidMappings"),
        (in_user(uidMappings=[{"containerID": 0, "hostID": 5}]), "linux.uidMappings[0].size: is missing"),
        (in_user(devices=[{"path": "/dev/null", "type": "c", "major": 1, "minor": 5}]), "linux.devices, /dev/null: "),
        (in_user(devices=[{"path": "/dev/nosuch", "type": "c", "major": 1, "minor": 5}]), "linux.devices, /dev/nosuch: "),
    ]
    for change, message in fields:
        done = oci.run("true", change=change)
        checks.equal(done.returncode, 1, message)
        checks.contains(done.stderr, message, "is what it says")


def dumpable(checks, oci):
    """Between create and start the process waits, and its /proc files are the host root's: it is not dumpable."""
    folder = oci.bundle("sleep", "1000", change=in_user())
    oci("create", "--bundle", folder, "waits")
    pid = oci.state("waits")["pid"]
    checks.equal(os.stat(f"/proc/{pid}/environ").st_uid, 0, "a created container's process is not dumpable")
    fds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    checks.ok(not [fd for fd in fds if re.search(r"/(proc|sys|mnt)|mnt:|cgroup", fd)], "and holds nothing of the host's",
              f"{fds}")
    oci("start", "waits")
    oci("delete", "--force", "waits")


if __name__ == "__main__":
    oci_bundle.tell(inside, mounts, idmapped, life, hooks, joined, many_lines, wrong, dumpable)
