#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""What a container's process finds when gantry-oci has made it: namespaces, mounts with every kind of option, devices, limits,
credentials, hooks; and that a configuration with something wrong leaves nothing."""
import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle
from oci_bundle import NESTED, ROOT, USER, caller, cgroup_folder

ALL_NAMESPACES = ("pid", "net", "ipc", "uts", "mnt", "cgroup")


def says(checks, oci, script, expected, what, change=None, **more):
    done = oci.run(script, change=change, **more)
    return checks.equal(done.stdout.strip(), expected, what) or c.log(done.stderr)


def process_of(**fields):
    return lambda config: config["process"].update(fields)


def linux_of(**fields):
    return lambda config: config["linux"].update(fields)


def mounted(*mounts):
    return lambda config: config["mounts"].extend(mounts)


def bind(source, destination, *options):
    return {"destination": destination, "type": "bind", "source": str(source), "options": list(options)}


def namespaces(checks, oci):
    links = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in ALL_NAMESPACES)
    inside = oci.run(links).stdout.split()
    own = [os.readlink(f"/proc/self/ns/{kind}") for kind in ALL_NAMESPACES]
    checks.ok(len(inside) == 6 and not set(inside) & set(own), "all namespaces are the container's own", f"{inside} {own}")
    says(checks, oci, "hostname; cat /proc/sys/kernel/domainname", "box\nexample", "hostname and domainname are set",
         lambda config: config.update(hostname="box", domainname="example"))
    says(checks, oci, "ip link show lo | grep -c UP", "1", "lo is up in a new network namespace")

    is_root = caller() == ROOT

    def shares(config):
        # In a user namespace /proc is of the same one's PID namespaces.
        kinds = ("mount", "cgroup") if is_root else ("mount", "cgroup", "pid", "user" if caller() == USER else "pid")
        config["linux"]["namespaces"] = [{"type": kind} for kind in dict.fromkeys(kinds)]
        config["mounts"] = [mount for mount in config["mounts"] if is_root or mount["type"] not in ("sysfs", "mqueue")]
        del config["hostname"]

    done = oci.run(links, change=shares)
    inside = done.stdout.split()
    checks.equal([inside[i:i + 1] == [own[i]] for i in range(6)], [is_root, True, True, True, False, False],
                 "what is not listed is the caller's") or c.log(done.stderr)
    name = oci.start("sleep", "1000")
    pid = oci.state(name)["pid"]

    def joins(config):
        kinds = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup"}
        config["linux"]["namespaces"] = [{"type": "mount"}] + [{"type": kind, "path": f"/proc/{pid}/ns/{file}"}
                                                               for kind, file in kinds.items()]
        if caller() == USER:
            oci_bundle.join_user(config, f"/proc/{pid}/ns/user")
        del config["hostname"]

    theirs = [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ALL_NAMESPACES]
    done = oci.run(links + "; ps -o args", change=joins)
    inside = done.stdout.split()[:6]
    checks.equal([inside[i:i + 1] == [theirs[i]] for i in range(6)], [True, True, True, True, False, True],
                 "namespaces are joined by path")
    checks.contains(done.stdout, "sleep 1000", "and /proc is that of the joined PID namespace")
    if is_root:
        joined_by_file(checks, oci, pid)
    done = oci.run("true", change=lambda config: config["linux"]["namespaces"].__setitem__(
        slice(None), [space for space in config["linux"]["namespaces"] if space["type"] in ("mount", "user")] +
        [{"type": "uts"}, {"type": "network", "path": "/etc/hostname"}]))
    checks.contains(done.stderr, ["linux.namespaces", "network", "no file of a namespace"], "what is no namespace is named")
    oci("delete", "--force", name)


def joined_by_file(checks, oci, pid):
    bound = oci.work / "pidns"
    bound.touch()
    oci_bundle.run("mount", "--bind", f"/proc/{pid}/ns/pid", str(bound))

    def joins_file(config):
        config["linux"]["namespaces"] = [{"type": "mount"}, {"type": "pid", "path": str(bound)}]
        del config["hostname"]

    checks.contains(oci.run("ps -o args", change=joins_file).stdout, "sleep 1000", "a PID namespace's file may lie anywhere")
    oci_bundle.run("umount", str(bound))


def other_mount_namespaces(checks, oci):
    data = oci.work / "shown"
    data.mkdir()
    (data / "file").write_text("content\n")
    script = "readlink /proc/self/ns/mnt; cat /data/file; touch /data/x || echo refused; cat /proc/keys; cd /; ls ../../bin/sh"
    if caller() == USER:
        return  # has no other but that of his user namespace
    waiting = subprocess.Popen(["unshare", "--mount", "sleep", "1000"])
    own = os.readlink("/proc/self/ns/mnt")
    link = pathlib.Path(f"/proc/{waiting.pid}/ns/mnt")
    # By then all is done with its mounts.
    c.wait_until("it waits", lambda: pathlib.Path(f"/proc/{waiting.pid}/comm").read_text() == "sleep\n")
    checks.ok(os.readlink(link) != own, "there is another mount namespace")
    for path, what in ((None, "the caller's mount namespace"), (link, "one that is joined by its path")):
        def shares(config):
            config["linux"]["namespaces"] = [space for space in config["linux"]["namespaces"] if space["type"] != "mount"]
            if path:
                config["linux"]["namespaces"].append({"type": "mount", "path": str(path)})
            config["mounts"].append(bind(data, "/data", "bind", "ro", "unbindable"))

        space = path or pathlib.Path("/proc/self/ns/mnt")
        expected = f"{os.readlink(space)}\ncontent\nrefused\n../../bin/sh\n"
        before = (space.parent.parent / "mountinfo").read_text()
        done = oci.run(script, change=shares)
        checks.equal(done.stdout, expected, f"{what}: the container has its own root and mounts in it") or c.log(done.stderr)
        name = oci.start("sleep", "1000", change=shares)
        done = oci("exec", name, "sh", "-c", script)
        checks.equal(done.stdout, expected, f"{what}: and so has what is executed in it") or c.log(done.stderr)
        checks.equal((space.parent.parent / "mountinfo").read_text(), before, f"{what}: nothing of it is mounted there")
        oci("delete", "--force", name)
    waiting.kill()
    waiting.wait()


def mounts(checks, oci):
    data = oci.work / "data"
    (data / "deep").mkdir(parents=True)
    (data / "file").write_text("content\n")
    single_mounts(checks, oci, data)
    # Who may not mount has no more.
    if caller() != USER:
        trees_of_mounts(checks, oci, data)


def trees_of_mounts(checks, oci, data):
    oci_bundle.run("mount", "-t", "tmpfs", "deep", str(data / "deep"))
    says(checks, oci, "cat /data/file; touch /data/x && echo written; touch /data/deep/x && echo deep",
         "content\nwritten\ndeep",
         "rbind brings what is beneath along", mounted(bind(data, "/data", "rbind")))
    says(checks, oci, "ls /data/deep | grep -c x; touch /data/new 2>/dev/null || echo refused", "0\nrefused", "bind and ro",
         mounted(bind(data, "/data", "bind", "ro")))
    says(checks, oci, "touch /data/new 2>/dev/null || echo refused; touch /data/deep/new && echo deep", "refused\ndeep",
         "rbind and ro leave what is beneath", mounted(bind(data, "/data", "rbind", "ro")))
    says(checks, oci,
         "touch /data/new /data/deep/new 2>/dev/null || echo refused; grep -c ' /data.* ro,' /proc/self/mountinfo",
         "refused\n2", "rro takes all of it", mounted(bind(data, "/data", "rbind", "rro")))
    listed = [bind(data, "/first", "bind"), {"destination": "/second", "type": "tmpfs", "source": "tmpfs"},
              bind(data / "file", "/etc/third", "bind"), {"destination": "/fourth", "type": "tmpfs", "source": "tmpfs"},
              bind(data, "/fifth", "rbind", "rslave")]
    says(checks, oci, "cut -d ' ' -f 5 /proc/self/mountinfo | grep -E '/(first|second|third|fourth|fifth)$'",
         "/first\n/second\n/etc/third\n/fourth\n/fifth", "mounts are listed in the order that the configuration has",
         mounted(*listed))
    says(checks, oci,
         "grep ' /data ' /proc/self/mountinfo | grep -o 'master:[0-9]*\\|shared:[0-9]*' | head -1 | grep -o '[a-z]*'",
         "", "of private host mounts nothing propagates", mounted(bind(data, "/data", "rbind", "rprivate")))
    oci_bundle.run("mount", "--make-shared", str(data / "deep"))
    for options, expected in ((["rbind"], "master"), (["rbind", "rprivate"], ""), (["rbind", "rslave"], "master"),
                              (["rbind", "rshared"], "shared"), (["rbind", "runbindable"], "unbindable")):
        says(checks, oci, "grep ' /data ' /proc/self/mountinfo | grep -o 'master\\|shared\\|unbindable' || true", expected,
             f"{options} of a shared mount is '{expected}'", mounted(bind(data / "deep", "/data", *options)))
    says(checks, oci, "touch /x 2>/dev/null || echo refused; touch /tmp/x && echo tmp", "refused\ntmp", "a read-only root",
         lambda config: (config["root"].update(readonly=True),
                         mounted({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})(config)))
    for propagation, expected in (("", ""), ("rprivate", ""), ("rshared", "shared")):
        done = oci.run("grep -E '^([^ ]+ ){4}/ ' /proc/self/mountinfo | grep -o shared || true",
                       change=linux_of(rootfsPropagation=propagation) if propagation else None)
        checks.equal(done.stdout.strip(), expected, f"rootfsPropagation '{propagation}'")
    oci_bundle.run("umount", str(data / "deep"))


def single_mounts(checks, oci, data):
    says(checks, oci, "cat /etc/one", "content", "a file is bound on a file", mounted(bind(data / "file", "/etc/one", "bind")))
    folder = oci.bundle("cat", "/data/file", change=mounted(bind("near", "/data", "bind")))
    (folder / "near").mkdir()
    (folder / "near/file").write_text("near\n")
    checks.equal(oci("run", "--bundle", folder, "near").stdout, "near\n", "a relative source is beneath the bundle")
    says(checks, oci, "grep ' /scratch ' /proc/self/mountinfo | grep -o 'nosuid,nodev,noexec'; stat -c %a /scratch; "
         "dd if=/dev/zero of=/scratch/x bs=1k count=100 2>/dev/null || echo full", "nosuid,nodev,noexec\n711\nfull",
         "a tmpfs has its options", mounted({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs",
                                             "options": ["nosuid", "nodev", "noexec", "size=64k", "mode=711"]}))
    sealed = {"destination": "/sealed", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]}
    says(checks, oci, "cat /sealed/deep/file; touch /sealed/x /dev/x 2>/dev/null || echo refused; echo x > /dev/null; ls /dev/pts",
         "content\nrefused\nptmx", "a read-only tmpfs has in it what is mounted and made there, also when it is /dev",
         lambda config: (mounted(sealed, bind(data, "/sealed/deep", "bind"))(config),
                         next(entry for entry in config["mounts"] if entry["destination"] == "/dev")["options"].append("ro")))
    own = oci.rootfs / "own"
    (own / "deep").mkdir(parents=True)
    own.chmod(0o750)
    (own / "deep/file").write_text("content\n")
    ids = "0 0" if caller() == USER else "5 6"
    if caller() != USER:
        os.chown(own / "deep/file", 5, 6)
    (own / "link").symlink_to("/nowhere")
    copied = {"destination": "/own", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro", "nodev"]}
    says(checks, oci,
         "cat /own/deep/file; stat -c '%a %u %g' /own/deep/file; readlink /own/link; stat -c %a /own; touch /own/x || "
         "grep ' /own ' /proc/self/mountinfo | grep -o 'ro,nodev'", f"content\n644 {ids}\n/nowhere\n750\nro,nodev",
         "tmpcopyup begins with what the root has there", mounted(copied))
    with contextlib.suppress(FileExistsError):
        (oci.rootfs / "tmp/link").symlink_to("/etc")
    says(checks, oci, "cat /etc/below/file", "content", "a destination behind a link stays in the root",
         mounted(bind(data, "/tmp/link/below", "bind")))
    for target in ("/run/canary", "../../../../run/canary"):
        (oci.rootfs / "tmp/out").unlink(missing_ok=True)
        (oci.rootfs / "tmp/out").symlink_to(target)
        oci.run("true", change=mounted({"destination": "/tmp/out/made", "type": "tmpfs", "source": "tmpfs"}))
        checks.ok(not pathlib.Path("/run/canary").exists(), f"a link to {target} makes nothing outside of the root")


def bound_proc(checks, oci):
    """The caller's own, as for a container in the caller's PID namespace."""
    def change(config, source="/proc"):
        config["linux"]["namespaces"] = [space for space in config["linux"]["namespaces"] if space["type"] != "pid"]
        config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] != "/proc"]
        config["mounts"].insert(0, bind(source, "/proc", "rbind", "nosuid"))
        config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
        config["linux"]["resources"] = {}

    says(checks, oci, f"cat /proc/sys/net/ipv4/ip_forward /proc/keys; test -d /proc/{os.getpid()} && echo seen; "
         "echo 0 2>/dev/null > /proc/sys/net/ipv4/ip_forward || echo refused", "1\nseen\nrefused",
         "a procfs may be bound on /proc, with sysctls, masks and all", change)
    for source in ("/proc/self", "/sys", str(oci.work)):
        done = oci.run("true", change=lambda config, source=source: change(config, source))
        checks.equal((done.returncode, "is no procfs" in done.stderr), (1, True), f"and nothing else: {source}") \
            or c.log(done.stderr)


def devices(checks, oci):
    says(checks, oci, "ls -l /dev/null | cut -c1-10; readlink /dev/fd; readlink /dev/ptmx; echo x > /dev/null && echo fine",
         "crw-rw-rw-\n/proc/self/fd\npts/ptmx\nfine", "default devices and links are there")
    if caller() != ROOT:
        return bound_devices(checks, oci)
    own = [{"path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 0o620, "uid": 5, "gid": 6},
           {"path": "/dev/line", "type": "p"}]
    says(checks, oci, "stat -c '%a %u %g %F' /dev/own /dev/line", "620 5 6 character special file\n666 0 0 fifo",
         "devices of its own are made", linux_of(devices=own))
    may_mknod = {name: ["CAP_MKNOD"] for name in ("bounding", "effective", "permitted")}
    fuse = "rm -f /tmp/fuse; mknod /tmp/fuse c 10 229 && : < /tmp/fuse && echo opened"
    done = oci.run(fuse, change=process_of(capabilities=may_mknod))
    checks.contains(done.stderr, "operation not permitted", "a device that is not allowed can be made and not opened")

    def allows(config):
        config["process"]["capabilities"] = may_mknod
        config["linux"]["resources"]["devices"] += [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "r"}]

    says(checks, oci, fuse, "opened", "one that its rules allow can", allows)
    (oci.rootfs / "tmp/fuse").unlink()


def bound_devices(checks, oci):
    says(checks, oci, "stat -c '%t:%T %F' /dev/fuse; mknod /tmp/null c 1 3 2>&1 | grep -o 'not permitted'",
         "a:e5 character special file\nnot permitted", "devices of its own are the host's, and none are made",
         linux_of(devices=[{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]))
    for path, minor, part in (("/dev/nosuch", 229, "No such file"), ("/dev/fuse", 228, "which is not device 10:228")):
        done = oci.run("true", change=linux_of(devices=[{"path": path, "type": "c", "major": 10, "minor": minor}]))
        checks.equal((done.returncode, f"linux.devices, {path}" in done.stderr, part in done.stderr), (1, True, True),
                     f"one that is not there is named: {path}, {minor}") or c.log(done.stderr)


def hidden(checks, oci):
    says(checks, oci, "cat /proc/keys | head -c1; ls /sys/firmware; echo x > /proc/sys/kernel/domainname || true", "",
         "masked paths are empty")
    says(checks, oci, "echo 1 > /proc/sys/net/ipv4/ip_forward 2>/dev/null || echo refused", "refused",
         "read-only paths are so")
    says(checks, oci, "cat /tmp/secret/file /tmp/open; ls /tmp/secret; touch /tmp/open 2>/dev/null || echo refused",
         "shown\nrefused",
         "paths of its own are masked and protected",
         lambda config: (linux_of(maskedPaths=["/tmp/secret", "/tmp/nothing"], readonlyPaths=["/tmp/open"])(config),
                         (oci.rootfs / "tmp/secret").mkdir(exist_ok=True), (oci.rootfs / "tmp/secret/file").write_text("s"),
                         (oci.rootfs / "tmp/open").write_text("shown\n")))


def credentials(checks, oci):
    says(checks, oci, "id -u; id -g; id -G; umask; grep -E 'CapInh|CapEff|NoNewPrivs' /proc/self/status | cut -f2",
         "5\n6\n6 7 8\n0077\n0000000000000000\n0000000000000000\n1", "user, groups, umask and capabilities are as configured",
         process_of(user={"uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 0o077}))
    sets = {name: ["CAP_KILL"] for name in ("bounding", "effective", "permitted", "inheritable", "ambient")}
    says(checks, oci, "grep -E 'Cap' /proc/self/status | cut -f2", "\n".join(["0000000000000020"] * 5),
         "all five sets are set",
         process_of(user={"uid": 5, "gid": 5}, capabilities=sets))
    done = oci.run("true", change=process_of(capabilities={"bounding": ["CAP_DANCE"]}))
    checks.equal((done.returncode, "CAP_DANCE" in done.stderr), (0, True), "an unknown capability is told, and left out")
    says(checks, oci, "ulimit -n; ulimit -Hn; ulimit -c", "100\n200\n0", "rlimits are set",
         process_of(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                             {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]))
    says(checks, oci, "cat /proc/self/oom_score_adj; pwd; uname -m; echo $HOME", "900\n/deep/er\ni686\n/",
         "oom score, a folder that is made, personality, HOME",
         lambda config: (process_of(oomScoreAdj=900, cwd="/deep/er")(config),
                         linux_of(personality={"domain": "LINUX32"})(config)))
    says(checks, oci, "ionice; cut -d ' ' -f 19,41 /proc/self/stat", "idle\n5 3", "scheduler and io priority",
         process_of(scheduler={"policy": "SCHED_BATCH", "nice": 5}, ioPriority={"class": "IOPRIO_CLASS_IDLE"}))
    name = oci.start("sleep", "1000", change=process_of(execCPUAffinity={"initial": "0", "final": "0"}))
    done = oci("exec", name, "grep", "Cpus_allowed_list", "/proc/self/status")
    checks.equal(done.stdout.split()[-1], "0", "the CPUs of an exec")
    oci("delete", "--force", name)
    says(checks, oci, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax", "1\n4096", "sysctls are set",
         linux_of(sysctl={"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"}))
    profile = {"defaultAction": "SCMP_ACT_ALLOW",
               "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}
    for with_privileges in (True, False):
        done = oci.run("mkdir /tmp/never", change=lambda config: (linux_of(seccomp=profile)(config),
                                                                  process_of(noNewPrivileges=with_privileges)(config)))
        checks.contains(done.stderr, "not supported", f"seccomp, with noNewPrivileges {with_privileges}")
    kept_programs(checks, oci, profile)


def kept_programs(checks, oci, profile):
    """A compiled profile is kept, and is taken only for exactly that profile and from where nobody else can write."""
    folder = oci.root / oci_bundle.PROGRAMS

    def run():
        return oci.run("mkdir /tmp/never", change=linux_of(seccomp=profile)).stderr

    kept = {path: path.read_bytes() for path in folder.iterdir()}
    times = {path: path.stat().st_mtime_ns for path in kept}
    run()
    checks.equal({path: path.stat().st_mtime_ns for path in folder.iterdir()}, times, "a profile is compiled once")
    # What a wrong one would do: the program of another profile under this one's name.
    profile["syscalls"][0]["errnoRet"] = 5
    checks.contains(run(), "Input/output", "another profile is another program")
    other = next(path for path in folder.iterdir() if path not in kept)
    for path in kept:
        path.write_bytes(other.read_bytes())
    profile["syscalls"][0]["errnoRet"] = 95
    checks.contains(run(), "not supported", "a program that is not of the profile is not taken")
    for path, text in kept.items():
        path.write_bytes(text[:-8] + b"\x06\0\0\0\0\0\xff\x7f")
    folder.chmod(0o755)
    checks.contains(run(), "not supported", "nor one from a folder that is open to others")
    shutil.rmtree(folder)


def waiting(checks, oci):
    """What an attacker finds who is executed, with all that he needs, in a container that waits for its start."""
    if caller() == USER:
        return in_no_folder(checks, oci)
    program = pathlib.Path(oci.program)
    before = program.read_bytes()
    oci("create", "--bundle", oci.bundle("sleep", "1000"), "waiting")
    attack = ["exec", "--cap", "CAP_SYS_PTRACE", "--cap", "CAP_DAC_OVERRIDE", "waiting", "sh", "-c"]
    done = oci(*attack, "for fd in /proc/1/fd/*; do [ ${fd##*/} -lt 3 ] || readlink $fd; done")
    found = [line for line in done.stdout.split() if not line.endswith(("/start", "/report"))]
    checks.equal((found, "/report" in done.stdout), ([], True),
                 "the waiting process has no descriptor of the host's but its two fifos")
    done = oci(*attack, "readlink /proc/1/exe; echo x >> /proc/1/exe", check=False)
    # What is sealed is executed right now, which comes first.
    is_sealed = "memfd:gantry-oci" in done.stdout and "Text file busy" in done.stderr
    checks.ok((is_sealed or "Read-only file system" in done.stderr) and done.returncode != 0,
              "its program is one that can't be written", done.stdout + done.stderr)
    oci("start", "waiting")
    oci("delete", "--force", "waiting")
    checks.ok(program.read_bytes() == before, "and the one on the host is as it was")
    in_no_folder(checks, oci)


def in_no_folder(checks, oci):
    """The runtime's program was replaced while it began: there is no overlay of its folder with it any more."""
    copy = oci.work / "replaced"
    shutil.copy(oci.program, copy)
    with copy.open("rb") as file:
        copy.unlink()
        bundle = oci.bundle("sleep", "1000")
        subprocess.run([f"/proc/self/fd/{file.fileno()}", "--root", oci.root, "create", "--bundle", bundle, "copied"],
                       check=True, timeout=oci_bundle.LIMIT, pass_fds=(file.fileno(),), stdin=subprocess.DEVNULL)
    if caller() == USER:
        # Its process hides from all but root.
        return oci("delete", "--force", "copied")
    F_GET_SEALS, F_SEAL_WRITE = 1034, 8
    with open(f"/proc/{oci.state('copied')['pid']}/exe", "rb") as file:
        checks.ok(fcntl.fcntl(file, F_GET_SEALS) & F_SEAL_WRITE, "then it is a copy in memory that is sealed")
    return oci("delete", "--force", "copied")


def hooks(checks, oci):
    script = oci.work / "hook"
    script.write_text("#!/bin/sh\nread state; echo \"$1 $state\" >> $LOG; env >> $LOG.env; exit ${CODE:-0}\n")
    script.chmod(0o755)
    log = oci.work / "hooks.log"

    def entry(kind, **more):
        return [{"path": str(script), "args": ["hook", kind], "env": [f"LOG={log}"], **more}]

    kinds = ("prestart", "createRuntime", "poststart", "poststop")
    folder = oci.bundle("sleep", "1000", change=lambda config: config.update(hooks={kind: entry(kind) for kind in kinds},
                                                                              annotations={"a": "b"}))
    oci("create", "--bundle", folder, "hooked", env=os.environ | {"LEAKED": "1"})
    oci("start", "hooked")
    pid = oci.state("hooked")["pid"]
    oci("delete", "--force", "hooked")
    seen = [line.split(" ", 1) for line in log.read_text().splitlines()]
    states = [json.loads(state) for _, state in seen]
    checks.equal([(kind, state["status"], state["id"], state["annotations"]) for (kind, _), state in zip(seen, states)],
                 [(kind, status, "hooked", {"a": "b"}) for kind, status in
                  zip(kinds,
                      ("created", "created", "running", "stopped"))], "hooks run in their order, with the state on stdin")
    checks.equal([state["pid"] for state in states], [pid, pid, pid, 0], "which names the process")
    checks.ok("LEAKED" not in (oci.work / "hooks.log.env").read_text(), "their environment is theirs alone")
    for kind, more, part in (("prestart", {"env": [f"LOG={log}", "CODE=7"]}, "it ended with 7"),
                             ("createRuntime", {"path": "/nosuch"}, "No such file"),
                             ("createRuntime", {"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}, "within 1 s")):
        done = oci.run("true",
                       change=lambda config: config.update(hooks={kind: entry(kind, **more), "poststop": entry("poststop")}))
        checks.equal((done.returncode, f"hooks.{kind}[0]" in done.stderr, part in done.stderr), (1, True, True),
                     f"a {kind} hook that fails ends it: {part}")
    checks.equal(oci.remnants(), [], "and nothing is left")
    log.unlink()
    folder = oci.bundle("sleep", "1000", change=lambda config: config.update(
        hooks={"poststart": entry("poststart", env=[f"LOG={log}", "CODE=7"]),
               "poststop": entry("one", path="/nosuch") + entry("two")}))
    oci("create", "--bundle", folder, "late")
    done = oci("start", "late", check=False)
    oci.wait_stopped("late")
    checks.equal((done.returncode, "hooks.poststart[0]" in done.stderr), (1, True),
                 "a poststart hook that fails ends the container")
    done = oci("delete", "late")
    checks.equal(("hooks.poststop[0]" in done.stderr, log.read_text().split()[0]), (True, "poststart"),
                 "a poststop hook that fails is told")
    checks.contains(log.read_text(), "two ", "and the next one runs")


def hooks_inside(checks, oci):
    """createContainer and startContainer: both in the container's namespaces, the first one of the host's programs."""
    script = oci.work / "inside"
    tells = 'read state; { echo "$state"; readlink /proc/self/ns/%s; echo ${LEAKED-none}; id -u; ls /; } > $LOG; exit ${CODE:-0}\n'
    script.write_text("#!/bin/sh\nmkdir -p $ROOT/tmp/made && mount -t tmpfs made $ROOT/tmp/made && touch $ROOT/tmp/made/here\n" +
                      "hostname > $LOG.name; test -c $ROOT/dev/null && " + tells % "mnt")
    within = oci.rootfs / "bin/inside"
    within.write_text("#!/bin/sh\ntest -f /tmp/made/here && echo seen >> $LOG.seen\n" + tells % "pid")
    for path in (script, within):
        path.chmod(0o755)
    host, own = oci.work / "inside.log", oci.rootfs / "tmp/inside.log"

    def hooked(**more):
        def change(config):
            config["hostname"] = "box"
            config["process"]["user"] = {"uid": 5, "gid": 6}
            config["hooks"] = {
                "createContainer": [{"path": str(script), "env": [f"LOG={host}", f"ROOT={oci.rootfs}", "PATH=/bin:/usr/bin"]}],
                "startContainer": [{"path": "/bin/inside", "env": ["LOG=/tmp/inside.log", "PATH=/bin"], **more}]}
        return change

    os.chmod(oci.rootfs / "tmp", 0o1777)
    folder = oci.bundle("sh", "-c", "test -f /tmp/made/here && sleep 1000", change=hooked())
    oci("create", "--bundle", folder, "inside", env=os.environ | {"LEAKED": "1"})
    pid = oci.state("inside")["pid"]
    state, namespace, leaked, _, *listing = host.read_text().split("\n")
    state = json.loads(state)
    checks.equal((state["status"], state["pid"], state["bundle"], leaked), ("created", 1, str(folder), "none"),
                 "a createContainer hook has the state as the container sees it, and no environment but its own")
    checks.equal((namespace, (oci.work / "inside.log.name").read_text(), "usr" in listing),
                 (namespace if caller() == USER else os.readlink(f"/proc/{pid}/ns/mnt"), "box\n", True),
                 "it is a program of the host's in the container's namespaces")
    checks.ok(not own.exists() and not (oci.rootfs / "tmp/made/here").exists(), "the host sees nothing of what it mounts")
    oci("start", "inside")
    c.wait_until("the hook has run", lambda: own.exists() and own.read_text().count("\n") > 4)
    state, namespace, leaked, uid, *listing = own.read_text().split("\n")
    state = json.loads(state)
    checks.equal((state["status"], state["pid"], leaked, uid, "usr" in listing, namespace),
                 ("created", 1, "none", "5", False, os.readlink(f"/proc/{pid}/ns/pid")),
                 "a startContainer hook is a program of the container's, as its user, with its state on stdin")
    checks.ok((oci.rootfs / "tmp/inside.log.seen").exists() and oci.status("inside") == "running",
              "what a createContainer hook mounts is the container's")
    oci("delete", "--force", "inside")
    os.remove(own)
    go = oci.rootfs / "tmp/go"
    waiting = hooked(path="/bin/sh", args=["sh", "-c", "until test -e /tmp/go; do sleep 0.01; done"])
    oci("create", "--bundle", oci.bundle("sleep", "1000", change=waiting), "begun")
    with subprocess.Popen(oci.command("start", "begun"), stdin=subprocess.DEVNULL) as start:
        try:
            c.wait_until("the gate is passed", lambda: oci.status("begun") == "running")
        finally:
            go.touch()
        checks.equal(start.wait(c.PATIENCE), 0, "who has passed its start waits for none: no one starts it twice")
    oci("delete", "--force", "begun")
    go.unlink()
    stopped = oci.work / "stopped"
    for kind, change, part in (
            ("startContainer", hooked(env=["LOG=/tmp/inside.log", "PATH=/bin", "CODE=7"]), "it ended with 7"),
            ("startContainer", hooked(path="/bin/sleep", args=["sleep", "100"], timeout=1), "within 1 s"),
            ("startContainer", hooked(path=str(script)), "No such file"),
            ("createContainer", lambda config: config.update(hooks={"createContainer": [{"path": "/bin/inside"}]}),
             "No such file")):
        def with_poststop(config):
            change(config)
            config["hooks"]["poststop"] = [{"path": "/usr/bin/touch", "args": ["touch", str(stopped)]}]

        done = oci.run("true", change=with_poststop)
        checks.equal((done.returncode, f"hooks.{kind}[0]" in done.stderr, part in done.stderr, stopped.exists()),
                     (1, True, True, True), f"a {kind} hook that fails ends it, and poststop runs: {part}") or c.log(done.stderr)
        stopped.unlink(missing_ok=True)
    sleeper = oci.start("sleep", "1000")
    shared = f"/proc/{oci.state(sleeper)['pid']}/ns/pid"

    def joins(config):
        hooked()(config)
        if caller() == USER:
            oci_bundle.join_user(config, f"/proc/{oci.state(sleeper)['pid']}/ns/user")
        kept = ("mount", "uts") if caller() == ROOT else ("mount", "uts", "ipc", "network", "user")
        config["linux"]["namespaces"] = [space for space in config["linux"]["namespaces"] if space["type"] in kept]
        config["linux"]["namespaces"].append({"type": "pid", "path": shared})

    (oci.rootfs / "tmp/inside.log.seen").unlink()
    done = oci.run("true", change=joins)
    checks.equal((done.returncode, (oci.rootfs / "tmp/inside.log.seen").exists()), (0, True),
                 "hooks of a container in another's PID namespace") or c.log(done.stderr)
    oci("delete", "--force", sleeper)
    os.remove(own)


def limits(checks, oci):
    name = oci.start("sleep", "1000", change=linux_of(resources={"unified": {"hugetlb.2MB.max": "2097152"}}))
    checks.equal((cgroup_folder(name) / "hugetlb.2MB.max").read_text(), "2097152\n", "unified limits are in force")
    oci("delete", "--force", name)
    if "memory" in cgroup_folder().joinpath("cgroup.controllers").read_text():
        return checks.skip("a limit without its controller is refused", "belongs in node: this host has all controllers")
    done = oci.run("true", change=linux_of(resources={"memory": {"limit": 1 << 30}}))
    checks.equal((done.returncode, "linux.resources: memory.max" in done.stderr), (1, True),
                 "a limit without its controller is refused")
    used = oci.bundle("true", change=lambda config: None)
    own = pathlib.Path("/sys/fs/cgroup") / json.loads((used / "config.json").read_text())["linux"]["cgroupsPath"].lstrip("/")
    own.mkdir()
    sleeper = subprocess.Popen(["sleep", "1000"])
    (own / "cgroup.procs").write_text(str(sleeper.pid))
    done = oci("run", "--bundle", used, "used", check=False)
    checks.equal((done.returncode, "in use" in done.stderr, sleeper.poll()), (1, True, None),
                 "a cgroup that is in use is refused, and left alone")
    sleeper.kill()
    sleeper.wait()
    own.rmdir()


def bad_configs(checks, oci):
    bad = {
        "process.args[0]": process_of(args=[5]),
        "process.cwd": process_of(cwd="tmp"),
        "executable file not found": process_of(args=["nosuch"]),
        "permission denied": process_of(args=["/etc"]),
        "root.path": lambda config: config["root"].update(path="/nosuch"),
        "mounts[7].source": mounted(bind("/nosuch", "/x", "bind")),
        "mount /tmp/t": mounted({"destination": "/tmp/t", "type": "tmpfs", "source": "t", "options": ["size=rubbish"]}),
        "mounts[7]": mounted({"destination": "/x", "type": "nosuchfs", "source": "t"}),
        "linux.sysctl": linux_of(sysctl={"kernel.panic": "1"}),
        "sysctl net/nosuch": linux_of(sysctl={"net.nosuch": "1"}),
        "linux.cgroupsPath": linux_of(cgroupsPath="/../x"),
        "linux.seccomp": linux_of(seccomp={"defaultAction": "SCMP_ACT_NOTIFY"}),
        "linux.namespaces[1].type": linux_of(namespaces=[{"type": "mount"}, {"type": "nosuch"}]),
        "linux.uidMappings": lambda config: [config["linux"].pop(field, None) for field in ("uidMappings", "gidMappings")] +
        [config["linux"].update(namespaces=[{"type": "mount"}, {"type": "user"}])],
        "process.rlimits": process_of(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}]),
        "working directory": process_of(cwd="/bin/busybox"),
    }
    before = os.listdir("/proc/self/fd")
    for part, change in bad.items():
        done = oci.run("true", change=change)
        checks.equal((done.returncode, part.lower() in done.stderr.lower(), oci.remnants()), (1, True, []),
                     f"a configuration with '{part}' wrong ends with 1, by name, and leaves nothing") or c.log(done.stderr)
    checks.equal(os.listdir("/proc/self/fd"), before, "nor descriptors")


if __name__ == "__main__":
    oci_bundle.tell(namespaces, other_mount_namespaces, mounts, bound_proc, devices, hidden, credentials, waiting, hooks,
                    hooks_inside, limits, bad_configs, callers=oci_bundle.CALLERS)
