# SPDX-License-Identifier: Apache-2.0
"""An OCI runtime's command line, driven as its callers do: a world of its own to do it in, bundles of busybox, the runtime."""
import array
import contextlib
import copy
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import checks as c

APPLETS = ("sh", "ls", "cat", "id", "sleep", "mount", "hostname", "ps", "touch", "mkdir", "stat", "grep", "echo", "true",
           "false", "readlink", "dd", "tty", "stty", "env", "mknod", "uname", "kill", "ip", "test", "dmesg", "umount",
           "head", "rm", "[", "ionice", "cut", "tr", "wc", "tail")
PROGRAMS = "seccomp:1"  # compiled ones stay, beside the states
LIMIT = 60 * c.slowness  # seconds for one command


# Who calls the runtime, and the whole test with it, so that what it makes is its own: root; an ordinary user, whom the
# machine does not know, with further ids by /etc/subuid; the same user's root in a user namespace of those ids.
ROOT, USER, NESTED = "root", "an ordinary user", "the root of a user namespace"
CALLERS = (ROOT, USER, NESTED)
NOT_DELEGATED = "roots"  # a cgroup in which other callers may make none
USER_ID, FIRST_ID, IDS = 4242, 200000, 65536


def caller():
    return os.environ.get("GANTRY_OCI_CALLER", ROOT)


def enter_world(callers=(ROOT,)):
    """Runs the calling script in mount, PID, network, IPC, UTS and cgroup namespaces of its own, with cgroup v2 alone, whose
    root is a cgroup of this world's, and a fresh /run; once for each of `callers`, as that one. It returns in there; outside
    it waits, removes the cgroup, and ends with what went wrong, if anything did."""
    if "GANTRY_OCI_WORLD" not in os.environ:
        sys.exit(max(visit_world(who) for who in callers))
    if "GANTRY_OCI_MADE" not in os.environ:
        make_world(os.environ["GANTRY_OCI_WORLD"])


def make_world(name):
    run("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    os.mkdir("/mnt/cgroup")
    # A clone: one mounted anew would change the options of the host's.
    run("mount", "--bind", hierarchy() / name, "/mnt/cgroup")
    run("umount", "-R", "/sys/fs/cgroup")
    run("mount", "--move", "/mnt/cgroup", "/sys/fs/cgroup")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    run("ip", "link", "set", "lo", "up")
    if caller() == ROOT:
        return
    ids = f"{USER_ID}:{FIRST_ID}:{IDS}\n"
    for file, text in (("subuid", ids), ("subgid", ids), ("passwd", f"stranger:x:{USER_ID}:{USER_ID}::/:/bin/sh\n"),
                       ("group", f"stranger:x:{USER_ID}:\n")):
        own, known = pathlib.Path("/run") / file, pathlib.Path("/etc") / file
        own.write_text((known.read_text() if file in ("passwd", "group") else "") + text)
        run("mount", "--bind", own, f"/etc/{file}")
    folder = pathlib.Path(f"/run/user/{USER_ID}")
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    # As systemd delegates a cgroup; and one that is root's.
    top = pathlib.Path("/sys/fs/cgroup")
    (top / NOT_DELEGATED).mkdir()
    for path in (folder, top, top / "cgroup.procs", top / "cgroup.subtree_control", top / "cgroup.threads"):
        os.chown(path, USER_ID, USER_ID)
    become = ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups"]
    if caller() == NESTED:
        become += ["unshare", "--map-root-user", "--map-auto", "--mount"]
    environment = {"GANTRY_OCI_MADE": "1", "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)}
    # Not what runs now: that may be one of root's own folders.
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    os.execvpe(become[0], [*become, python or sys.executable, "-B", *sys.argv], os.environ | environment)


def visit_world(who):
    """One caller's world, from outside: its exit code."""
    name = f"gantry-oci-{os.getpid()}"
    top = hierarchy() / name
    environment = os.environ | {"GANTRY_OCI_WORLD": name, "GANTRY_OCI_CALLER": who}
    world = start_world(name, [sys.executable, "-B", *sys.argv], env=environment)

    def leave(number, _):
        world.send_signal(signal.SIGKILL)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        return world.wait()
    finally:
        world.kill()
        world.wait()
        remove_cgroup(top)


def start_world(name, command, **more):
    """A command in namespaces of its own, as the first process there, and in a cgroup of that name, which is the root of its
    cgroup namespace. What it has to mount in there, make_world() does."""
    top = hierarchy() / name
    (top / "world").mkdir(parents=True)
    CLONE_NEWCGROUP = 0x02000000

    def enter_cgroup():
        # Once the root is this cgroup, the processes go below it: a cgroup with processes has no controllers to give.
        (top / "cgroup.procs").write_text("0")
        if ctypes.CDLL(None).unshare(CLONE_NEWCGROUP) != 0:
            raise OSError("no cgroup namespace")
        (top / "world/cgroup.procs").write_text("0")

    return subprocess.Popen(["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child",
                             "--mount-proc", *command], preexec_fn=enter_cgroup, **more)


def hierarchy():
    """Where the unified hierarchy is mounted."""
    return next(pathlib.Path(line.split()[4]) for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
                if " - cgroup2 " in line)


def remove_cgroup(top):
    """Removes a cgroup and all beneath it, whose last processes may be on their way out."""
    def gone():
        for folder in sorted(top.glob("**/"), key=lambda path: -len(path.parts)):
            with contextlib.suppress(OSError):
                folder.rmdir()
        return not top.exists()

    c.wait_until(f"{top} is empty", gone)


def run(*arguments):
    subprocess.run(arguments, check=True, timeout=LIMIT)


def cgroup(name=""):
    """The path of a cgroup of this test's, from the hierarchy's root."""
    return "/" + os.environ["GANTRY_OCI_WORLD"] + ("/" + name if name else "")


def cgroup_folder(name=""):
    return pathlib.Path("/sys/fs/cgroup" + cgroup(name))


class Runtime:
    """gantry-oci, or another runtime, with a state folder of its own."""

    def __init__(self, program=None):
        self.program = program or os.environ["GANTRY_BIN"] + "/gantry-oci"
        self.work = pathlib.Path(tempfile.mkdtemp(dir="/run" if caller() == ROOT else f"/run/user/{USER_ID}", prefix="oci-"))
        self.work.chmod(0o755)
        self.root = self.work / "state"
        default = self.work / "default"
        default.mkdir()
        self("spec", "--bundle", default, *(["--rootless"] if caller() == USER else []))
        self.default = json.loads((default / "config.json").read_text())
        if caller() == USER:
            more = {"containerID": 1, "hostID": FIRST_ID, "size": IDS}
            for field in ("uidMappings", "gidMappings"):
                self.default["linux"][field].append(more)
            self.default["linux"]["namespaces"].append({"type": "network"})
        self.rootfs = self.work / "rootfs"
        (self.rootfs / "bin").mkdir(parents=True)
        for folder in ("etc", "tmp", "proc", "sys", "dev"):
            (self.rootfs / folder).mkdir()
        shutil.copy("/bin/busybox", self.rootfs / "bin/busybox")
        for applet in APPLETS:
            (self.rootfs / "bin" / applet).symlink_to("busybox")
        self.count = 0

    def command(self, *arguments, flags=()):
        return [self.program, "--root", str(self.root), *flags, *map(str, arguments)]

    def __call__(self, *arguments, check=True, flags=(), **more):
        """Runs a command to its end. Its output is not a pipe that a container would keep open: it is in files."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            done = subprocess.run(self.command(*arguments, flags=flags), stdin=more.pop("stdin", subprocess.DEVNULL),
                                  stdout=out,
                                  stderr=err, timeout=LIMIT, **more)
            out.seek(0)
            err.seek(0)
            done.stdout, done.stderr = (file.read().decode(errors="replace") for file in (out, err))
        if check and done.returncode != 0:
            raise c.Failure(f"{arguments}: exit {done.returncode}: {done.stderr}")
        return done

    def state(self, name):
        done = self("state", name, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def status(self, name):
        state = self.state(name)
        return state["status"] if state else None

    def bundle(self, *args, change=None):
        """A bundle that runs `args` in the shared root folder; `change(config)` changes the default configuration."""
        self.count += 1
        folder = self.work / f"bundle{self.count}"
        folder.mkdir()
        config = copy.deepcopy(self.default)
        config["process"] |= {"args": list(args), "terminal": False, "env": ["PATH=/bin"]}
        config["root"]["path"] = str(self.rootfs)
        config["root"]["readonly"] = False
        config["linux"]["cgroupsPath"] = cgroup(f"c{self.count}")
        if change:
            change(config)
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    def run(self, script, change=None, flags=(), **more):
        """`run` of a shell script, to its end."""
        folder = self.bundle("sh", "-c", script, change=change)
        return self("run", "--bundle", folder, *flags, f"run{self.count}", check=False, **more)

    def start(self, *args, change=None):
        """A running container; its name."""
        folder = self.bundle(*args, change=change)
        name = f"c{self.count}"
        self("create", "--bundle", folder, name)
        self("start", name)
        return name

    def wait_stopped(self, name):
        c.wait_until(f"{name} has stopped", lambda: self.status(name) == "stopped")

    def remnants(self):
        """What is left of containers: names of states and of cgroups."""
        states = sorted(name for name in os.listdir(self.root) if name != PROGRAMS) if self.root.exists() else []
        groups = sorted(path.name for path in cgroup_folder().glob("*/")) if cgroup_folder().exists() else []
        return states + groups


class ConsoleSocket:
    """Takes one terminal's master, as a runtime's caller does."""

    def __init__(self, folder):
        self.path = str(folder / "console.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.listener.settimeout(LIMIT)

    def take(self):
        connection, _ = self.listener.accept()
        with connection:
            fds = array.array("i")
            _, ancillary, _, _ = connection.recvmsg(64, socket.CMSG_LEN(4))
            fds.frombytes(ancillary[0][2])
        return fds[0]


def read_until(fd, text):
    """Reads a descriptor until it has said `text`; all that it said."""
    said = b""
    while text.encode() not in said:
        try:
            part = os.read(fd, 4096)
        except OSError:
            break
        if not part:
            break
        said += part
    return said.decode(errors="replace")


def become_reaper():
    """Containers that a command leaves behind become this process's children, as they become conmon's or a shim's."""
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap():
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def join_user(config, path):
    """In place of a user namespace of its own."""
    linux = config["linux"]
    linux["namespaces"] = [space for space in linux["namespaces"] if space["type"] != "user"]
    linux["namespaces"].append({"type": "user", "path": path})
    for field in ("uidMappings", "gidMappings"):
        linux.pop(field, None)


def tell(*parts, callers=(ROOT,)):
    """A program's stories: each is called with checks and one runtime, in a world of their own, for each of `callers`."""
    def story(checks):
        become_reaper()
        oci = Runtime()
        for part in parts:
            part(checks, oci)
            reap()
        checks.equal(oci.remnants(), [], "nothing is left in the end")

    enter_world(callers)
    c.main(story, "" if callers == (ROOT,) else caller())
