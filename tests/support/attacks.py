# SPDX-License-Identifier: Apache-2.0
"""What tests/security share: the careless runtime on which attacks are shown to succeed, canaries of the host's, and races."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import checks as c
import oci_bundle
from oci_bundle import Runtime

PROGRAMS = pathlib.Path(os.environ["GANTRY_BIN"]) / "tests/security"
NAIVE, ATTACK = PROGRAMS / "gantry-test-naive", PROGRAMS / "gantry-test-attack"
# Containers that are started while an attacker works against them; the same for those of which one must fall to him.
RACES = 10000 if c.ALL else 200
RACES_TO_BITE = 20000
# What containers of Kubernetes have: as containerd, runc's callers and CRI-O give it.
DEFAULT_CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
                        "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
                        "CAP_AUDIT_WRITE"]
NUMBERS = {"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_FSETID": 4, "CAP_KILL": 5, "CAP_SETGID": 6,
           "CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_NET_BIND_SERVICE": 10, "CAP_NET_RAW": 13, "CAP_SYS_CHROOT": 18,
           "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27, "CAP_AUDIT_WRITE": 29, "CAP_SETFCAP": 31}
NAMESPACES = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "pid": 0x20000000,
              "network": 0x40000000}
FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "bind": 4096, "rbind": 4096 | 16384, "relatime": 1 << 21,
         "strictatime": 1 << 24}


def capable(*more):
    """A change of a configuration: Kubernetes' default capabilities, and `more`."""
    names = [*DEFAULT_CAPABILITIES, *more]
    return lambda config: config["process"].update(
        capabilities={kind: names for kind in ("bounding", "effective", "permitted")})


def all_of(*changes):
    def change(config):
        for each in changes:
            if each:
                each(config)
    return change


def mounted(*mounts):
    return lambda config: config["mounts"].extend(mounts)


def bind(source, destination, *options):
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["rbind", *options]}


def rooted(folder):
    return lambda config: config["root"].update(path=str(folder))


def record(kind, *fields):
    """The length has two bytes, as a netlink attribute's: what is longer wraps."""
    data = "\0".join(map(str, fields)).encode()
    return kind.encode() + (len(data) & 0xffff).to_bytes(2, "little") + data


class Naive(Runtime):
    """The careless runtime with a real one's command line, as far as the attacks want it."""

    def __init__(self, checked=False, protected=False):
        """`checked`: it looks where a mount would go, and then mounts by path. `protected`: it runs from a read-only mount."""
        super().__init__()
        self.checked, self.protected = checked, protected
        # A file of its own: one attack overwrites it.
        self.naive = self.work / "naive"
        shutil.copy(NAIVE, self.naive)

    def plan(self, config, **more):
        process, linux = config["process"], config["linux"]
        flags = sum(NAMESPACES[space["type"]] for space in linux["namespaces"] if "path" not in space)
        bounding = process.get("capabilities", {}).get("bounding", [])
        capabilities = sum(1 << NUMBERS[name] for name in bounding)
        root = pathlib.Path(config["root"]["path"])
        parts = [record("r", root), record("n", flags), record("d", process["cwd"]), record("c", f"{capabilities:x}"),
                 record("L", "/sys/fs/cgroup")]
        for mount in config["mounts"]:
            options = mount.get("options", [])
            bits = sum(FLAGS.get(option, 0) for option in options)
            data = ",".join(option for option in options if option not in FLAGS)
            kind = {"cgroup": "cgroup2", "bind": ""}.get(mount["type"], mount["type"])
            parts.append(record("m", kind, mount["source"], mount["destination"], data, bits))
        hooks = config.get("hooks", {}).get("createRuntime", [])
        for kind, values in (("M", linux.get("maskedPaths", [])), ("R", linux.get("readonlyPaths", [])),
                             ("a", process["args"]), ("e", process["env"]), ("H", [hook["path"] for hook in hooks])):
            parts += [record(kind, value) for value in values]
        parts += [record("s", name.replace(".", "/"), value) for name, value in linux.get("sysctl", {}).items()]
        if "oomScoreAdj" in process:
            parts.append(record("o", process["oomScoreAdj"]))
        parts.append(record("u", process["user"].get("uid", 0)))
        parts += [record("t", "")] if process.get("terminal") else []
        parts += [record(kind, value) for kind, value in more.items()]
        parts += [record("C", "")] if self.checked else []
        parts += [record("P", "")] if self.protected else []
        file = tempfile.NamedTemporaryFile(dir=self.work, prefix="plan", delete=False)
        with file:
            file.write(b"".join(parts))
        return file.name

    def command(self, *arguments, flags=()):
        verb, *rest = map(str, arguments)
        if verb == "run":
            config = self.load(rest[rest.index("--bundle") + 1])
            return [str(self.naive), "run", self.plan(config, p=self.work / f"{rest[-1]}.pid")]
        if verb != "exec":
            return super().command(*arguments, flags=flags)
        options = {}
        while rest[0].startswith("--"):
            key = rest.pop(0)
            options[key] = [*options.get(key, []), rest.pop(0)]
        name, *args = rest
        config = self.load(self.work / f"bundle{name[1:]}")
        process = config["process"]
        process["args"] = args
        process["cwd"] = options.get("--cwd", [process["cwd"]])[-1]
        process["user"] = {"uid": options.get("--user", ["0"])[-1]}
        process["capabilities"]["bounding"] = process["capabilities"]["bounding"] + options.get("--cap", [])
        return [str(self.naive), "exec", str(self.state(name)["pid"]), self.plan(config)]

    def load(self, folder):
        return json.loads((pathlib.Path(folder) / "config.json").read_text())

    def state(self, name):
        try:
            return {"pid": int((self.work / f"{name}.pid").read_text())}
        except (OSError, ValueError):
            return None

    def start(self, *args, change=None):
        folder = self.bundle(*args, change=change)
        self.begin(folder, f"c{self.count}")
        return f"c{self.count}"

    def begin(self, folder, name):
        """Returns when the container's program runs, or it has ended."""
        ready, writer = os.pipe()
        plan = self.plan(self.load(folder), p=self.work / f"{name}.pid", D="")
        with open(self.work / "said", "ab") as said:
            subprocess.run([self.naive, "run", plan], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                           timeout=oci_bundle.LIMIT, check=True, pass_fds=[writer], env={"NAIVE_READY": str(writer)})
        os.close(writer)
        os.read(ready, 1)  # its end: the program has been executed, or there is none
        os.close(ready)

    def stop(self, name):
        with c.Process(self.state(name)["pid"]) as process:
            process.kill()
        oci_bundle.reap()


def give_attack(runtime):
    """The attack program, as /bin/attack of the runtime's root folder."""
    program = runtime.rootfs / "bin/attack"
    if not program.exists():
        shutil.copy(ATTACK, program)


def stop(runtime, name):
    runtime.stop(name) if isinstance(runtime, Naive) else runtime("delete", "--force", name)


@contextlib.contextmanager
def attacker(oci, *args, change=None):
    """A container of gantry-oci's in which the attack program runs; the file that its lines go to."""
    give_attack(oci)
    said = oci.work / f"said{oci.count}"
    said.touch()
    script = "exec /bin/attack " + " ".join(args) + " > /said"
    name = oci.start("sh", "-c", script, change=all_of(capable(), mounted(bind(said, "/said")), change))
    try:
        yield said
    finally:
        oci("delete", "--force", name)


@contextlib.contextmanager
def exchanging(oci, volume, a, b, count=None):
    """Containers that share `volume` and exchange two names in it, one for each core."""
    with contextlib.ExitStack() as stack:
        for _ in range(count or os.cpu_count()):
            stack.enter_context(attacker(oci, "exchange", f"/volume/{a}", f"/volume/{b}",
                                         change=mounted(bind(volume, "/volume"))))
        yield


def new_root(runtime, *folders):
    """A root folder of its own with busybox in it, and empty `folders`."""
    root = pathlib.Path(tempfile.mkdtemp(dir=runtime.work, prefix="root"))
    root.chmod(0o755)
    shutil.copytree(runtime.rootfs / "bin", root / "bin", symlinks=True, copy_function=os.link)
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    return root


class Canary:
    """A folder of the host's in which nothing may change, and a file whose text nobody may read."""

    SECRET = "only-the-host-knows"

    def __init__(self, runtime):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=runtime.work, prefix="canary"))
        self.folder.chmod(0o777)
        (self.folder / "file").write_text(self.SECRET + "\n")
        (self.folder / "file").chmod(0o666)
        (self.folder / "folder").mkdir()
        self.before = self.now()

    def now(self):
        seen = {}
        for path in (self.folder, *self.folder.rglob("*")):
            info = path.lstat()
            seen[str(path.relative_to(self.folder))] = (info.st_ino, info.st_mode, info.st_uid, info.st_gid, info.st_size,
                                                        info.st_mtime_ns)
        return seen

    def changes(self):
        """Names that came, went or changed since it was made or asked last."""
        now, before = self.now(), self.before
        self.before = now
        return sorted(name for name in {*now, *before} if now.get(name) != before.get(name))


def race(once, tries=RACES):
    """How often each outcome of once() came in `tries` turns."""
    outcomes = {}
    for _ in range(tries):
        outcome = once()
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        oci_bundle.reap()  # thousands of zombies would slow down whatever looks through /proc
    return outcomes


def race_until(once, wanted, tries=RACES_TO_BITE):
    """Turns until once() gave what is wanted, or None."""
    return next((turn for turn in range(1, tries + 1) if once() == wanted), None)
