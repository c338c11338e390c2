#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Every field of config.json that gantry-oci reads, with wrong values: each ends with 1 and one error that names the field
and what was expected, and leaves nothing behind: no state, cgroup, mount or process."""
import copy
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import oci_bundle

ABSENT = object()
LONG_PATH = "/" + "x" * 4096
ID, LARGE = (0, 2**32 - 2), (-2**63, 2**63 - 1)

# ---- what is wrong for every field of a kind, and what was expected

TEXT = ([5, True, [], {}, "a\0b"], "a text without NUL was expected")
FLAG = (["true", 1, [], {}], "true or false was expected")
LIST = ([5, "x", True, {}], "a list was expected")
MANY = ([0] * 65537, "at most 65536 are taken")  # entries of a list
OBJECT = ([5, "x", True, []], "an object was expected")
TEXTS = "texts"  # a list, and each entry a text
MAP = "map"      # an object, and each value a text


def number(least, most):
    return (["5", 1.5, True, [], {}, least - 1, most + 1], f"a number from {least} to {most} was expected")


HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
THROTTLES = [f"linux.resources.blockIO.throttle{kind}Device" for kind in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")]
MAPPINGS = [f"{owner}.{ids}Mappings" for owner in ("mounts[0]", "linux") for ids in ("uid", "gid")]
SYSCALL, ARGUMENT = "linux.seccomp.syscalls[0]", "linux.seccomp.syscalls[0].args[0]"

# One good entry of each list, into which fields are put.
ENTRIES = {
    "process.rlimits": {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    "mounts": {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
    "linux.namespaces": {"type": "mount"},
    **{name: {"containerID": 0, "hostID": 1, "size": 1} for name in MAPPINGS},
    "linux.devices": {"path": "/dev/own", "type": "c", "major": 1, "minor": 3},
    "linux.resources.devices": {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"},
    "linux.resources.hugepageLimits": {"pageSize": "2MB", "limit": 2097152},
    "linux.resources.blockIO.weightDevice": {"major": 8, "minor": 0, "weight": 100},
    **{name: {"major": 8, "minor": 0, "rate": 100} for name in THROTTLES},
    "linux.seccomp.syscalls": {"names": ["mount"], "action": "SCMP_ACT_ERRNO"},
    ARGUMENT[:-3]: {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
    **{f"hooks.{kind}": {"path": "/bin/true"} for kind in HOOKS},
}
# What an object needs so that another field of it can be wrong.
NEEDS = {"linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}, "process.scheduler": {"policy": "SCHED_OTHER"},
         "process.ioPriority": {"class": "IOPRIO_CLASS_BE"}, "linux.personality": {"domain": "LINUX"}}

# ---- the fields

FIELDS = {
    "ociVersion": TEXT,
    "hostname": TEXT,
    "domainname": TEXT,
    "annotations": MAP,
    "root": OBJECT,
    "root.path": TEXT,
    "root.readonly": FLAG,
    "process": OBJECT,
    "process.terminal": FLAG,
    "process.consoleSize": OBJECT,
    "process.consoleSize.height": number(0, 65535),
    "process.consoleSize.width": number(0, 65535),
    "process.user": OBJECT,
    "process.user.uid": number(*ID),
    "process.user.gid": number(*ID),
    "process.user.umask": number(0, 0o777),
    "process.user.additionalGids": LIST,
    "process.user.additionalGids[0]": number(*ID),
    "process.args": TEXTS,
    "process.env": TEXTS,
    "process.cwd": TEXT,
    "process.capabilities": OBJECT,
    **{f"process.capabilities.{name}": TEXTS for name in ("bounding", "effective", "permitted", "inheritable", "ambient")},
    "process.rlimits": LIST,
    "process.rlimits[0]": OBJECT,
    "process.rlimits[0].type": TEXT,
    "process.rlimits[0].soft": number(0, 2**64 - 1),
    "process.rlimits[0].hard": number(0, 2**64 - 1),
    "process.noNewPrivileges": FLAG,
    "process.apparmorProfile": TEXT,
    "process.selinuxLabel": TEXT,
    "process.oomScoreAdj": number(-1000, 1000),
    "process.scheduler": OBJECT,
    "process.scheduler.policy": TEXT,
    "process.scheduler.nice": number(-20, 19),
    "process.scheduler.priority": number(0, 99),
    "process.scheduler.flags": TEXTS,
    **{f"process.scheduler.{name}": number(0, 2**64 - 1) for name in ("runtime", "deadline", "period")},
    "process.ioPriority": OBJECT,
    "process.ioPriority.class": TEXT,
    "process.ioPriority.priority": number(0, 7),
    "process.execCPUAffinity": OBJECT,
    "process.execCPUAffinity.initial": TEXT,
    "process.execCPUAffinity.final": TEXT,
    "mounts": LIST,
    "mounts[0]": OBJECT,
    "mounts[0].destination": TEXT,
    "mounts[0].type": TEXT,
    "mounts[0].source": TEXT,
    "mounts[0].options": TEXTS,
    "hooks": OBJECT,
    **{f"hooks.{kind}": LIST for kind in HOOKS},
    **{f"hooks.{kind}[0]": OBJECT for kind in HOOKS},
    **{f"hooks.{kind}[0].path": TEXT for kind in HOOKS},
    **{f"hooks.{kind}[0].{name}": TEXTS for kind in HOOKS for name in ("args", "env")},
    **{f"hooks.{kind}[0].timeout": number(1, 86400) for kind in HOOKS},
    "linux": OBJECT,
    "linux.namespaces": LIST,
    "linux.namespaces[0]": OBJECT,
    "linux.namespaces[0].type": TEXT,
    "linux.namespaces[0].path": TEXT,
    **{name: LIST for name in MAPPINGS},
    **{f"{name}[0]": OBJECT for name in MAPPINGS},
    **{f"{name}[0].{part}": number(0, 2**32 - 1) for name in MAPPINGS for part in ("containerID", "hostID", "size")},
    "linux.timeOffsets": OBJECT,
    "linux.timeOffsets.monotonic": OBJECT,
    "linux.timeOffsets.boottime": OBJECT,
    "linux.timeOffsets.monotonic.secs": number(-4611686018, 4611686018),
    "linux.timeOffsets.boottime.nanosecs": number(0, 999999999),
    "linux.devices": LIST,
    "linux.devices[0]": OBJECT,
    "linux.devices[0].path": TEXT,
    "linux.devices[0].type": TEXT,
    "linux.devices[0].major": number(0, 0xfff),
    "linux.devices[0].minor": number(0, 0xfffff),
    "linux.devices[0].fileMode": number(0, 0o777777),
    "linux.devices[0].uid": number(*ID),
    "linux.devices[0].gid": number(*ID),
    "linux.cgroupsPath": TEXT,
    "linux.sysctl": MAP,
    "linux.rootfsPropagation": TEXT,
    "linux.maskedPaths": TEXTS,
    "linux.readonlyPaths": TEXTS,
    "linux.mountLabel": TEXT,
    "linux.personality": OBJECT,
    "linux.personality.domain": TEXT,
    "linux.resources": OBJECT,
    "linux.resources.devices": LIST,
    "linux.resources.devices[0]": OBJECT,
    "linux.resources.devices[0].allow": FLAG,
    "linux.resources.devices[0].type": TEXT,
    "linux.resources.devices[0].major": number(-1, 2**32 - 1),
    "linux.resources.devices[0].minor": number(-1, 2**32 - 1),
    "linux.resources.devices[0].access": TEXT,
    "linux.resources.memory": OBJECT,
    **{f"linux.resources.memory.{name}": number(*LARGE) for name in ("limit", "reservation", "swap")},
    "linux.resources.cpu": OBJECT,
    **{f"linux.resources.cpu.{name}": number(0, 2**64 - 1) for name in ("shares", "period", "burst")},
    "linux.resources.cpu.quota": number(*LARGE),
    "linux.resources.cpu.idle": number(0, 1),
    "linux.resources.cpu.cpus": TEXT,
    "linux.resources.cpu.mems": TEXT,
    "linux.resources.pids": OBJECT,
    "linux.resources.pids.limit": number(*LARGE),
    "linux.resources.blockIO": OBJECT,
    "linux.resources.blockIO.weight": number(0, 65535),
    "linux.resources.blockIO.weightDevice": LIST,
    "linux.resources.blockIO.weightDevice[0]": OBJECT,
    "linux.resources.blockIO.weightDevice[0].major": number(0, 2**32 - 1),
    "linux.resources.blockIO.weightDevice[0].minor": number(0, 2**32 - 1),
    "linux.resources.blockIO.weightDevice[0].weight": number(0, 65535),
    **{name: LIST for name in THROTTLES},
    **{f"{name}[0]": OBJECT for name in THROTTLES},
    **{f"{name}[0].{part}": number(0, 2**32 - 1) for name in THROTTLES for part in ("major", "minor")},
    **{f"{name}[0].rate": number(0, 2**64 - 1) for name in THROTTLES},
    "linux.resources.hugepageLimits": LIST,
    "linux.resources.hugepageLimits[0]": OBJECT,
    "linux.resources.hugepageLimits[0].pageSize": TEXT,
    "linux.resources.hugepageLimits[0].limit": number(0, 2**64 - 1),
    "linux.resources.unified": MAP,
    "linux.seccomp": OBJECT,
    "linux.seccomp.defaultAction": TEXT,
    "linux.seccomp.defaultErrnoRet": number(0, 4095),
    "linux.seccomp.architectures": TEXTS,
    "linux.seccomp.flags": TEXTS,
    "linux.seccomp.listenerPath": TEXT,
    "linux.seccomp.listenerMetadata": TEXT,
    "linux.seccomp.syscalls": LIST,
    SYSCALL: OBJECT,
    f"{SYSCALL}.names": TEXTS,
    f"{SYSCALL}.action": TEXT,
    f"{SYSCALL}.errnoRet": number(0, 4095),
    f"{SYSCALL}.args": LIST,
    ARGUMENT: OBJECT,
    f"{ARGUMENT}.index": number(0, 5),
    f"{ARGUMENT}.value": number(0, 2**64 - 1),
    f"{ARGUMENT}.valueTwo": number(0, 2**64 - 1),
    f"{ARGUMENT}.op": TEXT,
}

# ---- what has to be there

REQUIRED = [
    "ociVersion", "root", "root.path", "process.args", "process.cwd", "linux", "mounts[0].destination",
    "mounts[0].type", "process.rlimits[0].type", "process.rlimits[0].soft", "process.rlimits[0].hard",
    "process.scheduler.policy", "process.ioPriority.class", "linux.namespaces[0].type", "linux.devices[0].path",
    "linux.devices[0].type", "linux.devices[0].major", "linux.devices[0].minor", "linux.personality.domain",
    "linux.resources.devices[0].allow", "linux.resources.hugepageLimits[0].pageSize",
    "linux.resources.hugepageLimits[0].limit", "linux.resources.blockIO.weightDevice[0].major",
    "linux.resources.blockIO.weightDevice[0].minor", "linux.seccomp.defaultAction", f"{SYSCALL}.names", f"{SYSCALL}.action",
    f"{ARGUMENT}.index", f"{ARGUMENT}.op",
    *(f"{name}[0].{part}" for name in MAPPINGS for part in ("containerID", "hostID", "size")),
    *(f"{name}[0].{part}" for name in THROTTLES for part in ("major", "minor", "rate")),
    *(f"hooks.{kind}[0].path" for kind in HOOKS),
]

# ---- values of the right type that are wrong all the same, and what is said of them

WRONG = [
    ("ociVersion", "2.0.0", "1.0.0 to 1.2 were expected"),
    ("ociVersion", "1.2", "1.0.0 to 1.2 were expected"),
    ("root.path", "", "the root folder was expected"),
    ("root.path", "/nosuch", "No such file"),
    ("root.path", "/etc/hostname", "is no folder"),
    ("root.path", LONG_PATH, "File name too long"),
    ("hostname", "x" * 65, "the kernel takes 64"),
    ("domainname", "x" * 65, "the kernel takes 64"),
    ("annotations", {"": "x"}, "empty name"),
    ("annotations", {f"a{i}": "" for i in range(65537)}, "at most 65536 are taken"),
    ("process.args", [], "a program to run was expected"),
    ("process.args", [""], "a program to run was expected"),
    ("process.args", ["sh", "x" * 131072], "the kernel takes 131071 in one string"),
    ("process.env", ["A=" + "x" * 131072], "the kernel takes 131071 in one string"),
    ("process.cwd", "", "an absolute path was expected"),
    ("process.cwd", "tmp", "an absolute path was expected"),
    ("process.cwd", LONG_PATH, "4096 bytes or more"),
    ("process.user.additionalGids", [5] * 1024, "at most 1023 are taken"),
    ("process.capabilities", {"effective": ["CAP_KILL"]}, "process.capabilities.effective: CAP_KILL"),
    ("process.rlimits[0].type", "CORE", "a name such as RLIMIT_NOFILE was expected"),
    ("process.rlimits[0].soft", 1, "soft"),
    ("process.rlimits", [ENTRIES["process.rlimits"]] * 2, "twice"),
    ("process.scheduler.policy", "SCHED_FAST", "one of SCHED_OTHER, SCHED_FIFO"),
    ("process.scheduler.flags", ["SCHED_FLAG_NONE"], "one of SCHED_FLAG_RESET_ON_FORK, SCHED_FLAG_RECLAIM"),
    ("process.ioPriority.class", "IOPRIO_CLASS_NONE", "one of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE"),
    ("process.execCPUAffinity.initial", "3-1", "CPUs such as 0-3,7 were expected"),
    ("process.execCPUAffinity.final", "0-8192", "CPUs such as 0-3,7 were expected"),
    ("process.selinuxLabel", "system_u", "this host has no SELinux"),
    ("mounts[0].destination", "", "a path in the container was expected"),
    ("mounts[0].destination", "/", "is the root itself"),
    ("mounts[0].destination", "/proc/self", "only a procfs may be mounted"),
    ("mounts[0].destination", LONG_PATH, "4096 bytes or more"),
    ("mounts[0].type", "", "a file system, or the option bind, was expected"),
    ("mounts[0].options", [""], "empty option"),
    ("mounts[0].options", ["bind", "rubbish"], "unknown for a bind mount"),
    ("mounts[0].options", ["remount"], "not supported"),
    ("mounts[0]", {"destination": "/x", "options": ["bind"]}, "mounts[0].source: is missing: what to bind was expected"),
    ("mounts[0]", {"destination": "/x", "type": "bind", "source": "/nosuch"}, "mounts[0].source"),
    ("mounts[0]", {"destination": "/x", "type": "bind", "source": LONG_PATH}, "mounts[0].source"),
    ("mounts[0]", {"destination": "/x", "type": "proc", "options": ["tmpcopyup"]}, "mounts[0].options"),
    *((name, [{"containerID": 0, "hostID": 1, "size": 0}], "at least 1 was expected") for name in MAPPINGS),
    *((name, [ENTRIES["linux.uidMappings"]] * 2, "every id may be mapped once") for name in MAPPINGS),
    *((name, [ENTRIES["linux.uidMappings"]], f"what goes with {name.rpartition('.')[2]} was expected") for name in MAPPINGS),
    *((f"hooks.{kind}[0].path", "true", "an absolute path was expected") for kind in HOOKS),
    ("linux.namespaces[0].type", "moon", "pid, network, mount, ipc, uts, cgroup, user or time was expected"),
    ("linux.namespaces", [{"type": "mount"}] * 2, "is given twice"),
    ("linux.namespaces", [{"type": "mount"}, {"type": "uts"}, {"type": "ipc", "path": "x"}], "an absolute path was expected"),
    ("linux.namespaces", [{"type": "mount"}, {"type": "uts"}, {"type": "ipc", "path": "/nosuch"}], "No such file"),
    ("linux.namespaces", [{"type": "mount"}, {"type": "uts"}, {"type": "ipc", "path": LONG_PATH}], "File name too long"),
    ("linux.devices[0].path", "", "a path in the container was expected"),
    ("linux.devices[0].path", "own", "not an absolute path"),
    ("linux.devices[0].path", "/", "is the root itself"),
    ("linux.devices[0].path", LONG_PATH, "4096 bytes or more"),
    ("linux.devices[0].type", "x", "c, b, u or p was expected"),
    ("linux.cgroupsPath", "/../x", "linux.cgroupsPath"),
    ("linux.cgroupsPath", "/", "is the root"),
    ("linux.cgroupsPath", "/" + "x" * 256, "linux.cgroupsPath"),
    ("linux.cgroupsPath", LONG_PATH, "at most"),
    ("linux.sysctl", {"kernel.panic": "1"}, "in no namespace"),
    ("linux.sysctl", {"kernel.hostname": "x"}, "the field hostname"),
    ("linux.sysctl", {"net/../kernel/panic": "1"}, "a name such as net.ipv4.ip_forward was expected"),
    ("linux.sysctl", {"": "1"}, "a name such as net.ipv4.ip_forward was expected"),
    ("linux.rootfsPropagation", "sideways", "private, slave, shared or unbindable was expected"),
    ("linux.maskedPaths", ["proc"], "not an absolute path"),
    ("linux.maskedPaths", [LONG_PATH], "4096 bytes or more"),
    ("linux.readonlyPaths", ["proc"], "not an absolute path"),
    ("linux.readonlyPaths", [LONG_PATH], "4096 bytes or more"),
    ("linux.personality.domain", "SOLARIS", "LINUX or LINUX32 was expected"),
    ("linux.personality.flags", ["x"], "not supported"),
    ("linux.resources.devices[0].type", "x", "a, b or c was expected"),
    ("linux.resources.devices[0].access", "rx", "expected letters of"),
    ("linux.resources.devices", [ENTRIES["linux.resources.devices"]] * 5000, "are taken"),
    ("linux.resources.memory.limit", -2, "-1"),
    ("linux.resources.memory.swappiness", 5, "cgroup v2 has nothing that does this"),
    ("linux.resources.memory", {"limit": 200, "swap": 100}, "swap"),
    ("linux.resources.cpu.quota", -2, "quota"),
    ("linux.resources.cpu.period", 1, "period"),
    ("linux.resources.cpu.mems", "x", "mems"),
    ("linux.resources.cpu.realtimePeriod", 5, "cgroup v2 has nothing that does this"),
    ("linux.resources.pids.limit", -2, "-1"),
    ("linux.resources.blockIO.weight", 5, "weight"),
    ("linux.resources.blockIO.leafWeight", 5, "cgroup v2 has nothing that does this"),
    ("linux.resources.network", {"classID": 5}, "cgroup v2 has nothing that does this"),
    ("linux.resources.rdma", {"mlx5_1": {"hcaHandles": 3}}, "not supported"),
    ("linux.resources.unified", {"cgroup.procs": "1"}, "cgroup.procs"),
    ("linux.resources.unified", {"../x.y": "1"}, "../x.y"),
    ("linux.resources.unified", {"memory.high": "1" * 70000}, "at most"),
    ("linux.timeOffsets", {"monotonic": {"secs": 1}}, "needs a new time namespace"),
    ("linux.timeOffsets", {"realtime": {"secs": 1}}, "monotonic or boottime was expected"),
    ("linux.netDevices", {"eth0": {}}, "not supported"),
    ("linux.intelRdt", {"closID": "a"}, "not supported"),
    ("linux.memoryPolicy", {"mode": "MPOL_BIND"}, "not supported"),
    ("linux.seccomp.defaultAction", "SCMP_ACT_DANCE", "one of SCMP_ACT_ALLOW, SCMP_ACT_ERRNO"),
    ("linux.seccomp.architectures", ["SCMP_ARCH_NONE"], "one of SCMP_ARCH_X86_64, SCMP_ARCH_X86"),
    ("linux.seccomp.flags", ["SECCOMP_FILTER_FLAG_NONE"], "SECCOMP_FILTER_FLAG_NONE"),
    ("linux.seccomp.listenerMetadata", "x", "goes with a listenerPath"),
    ("linux.seccomp.defaultAction", "SCMP_ACT_NOTIFY", "nobody could answer"),
    (f"{SYSCALL}.names", [], "the names of system calls was expected"),
    (f"{SYSCALL}.names", [""], "empty"),
    (f"{SYSCALL}.action", "SCMP_ACT_DANCE", "one of SCMP_ACT_ALLOW, SCMP_ACT_ERRNO"),
    (f"{ARGUMENT}.op", "SCMP_CMP_SAME", "one of SCMP_CMP_NE, SCMP_CMP_LT"),
    ("solaris", {"a": 1}, "another platform"),
    ("windows", {"a": 1}, "another platform"),
]

# What is found out by who is given it: the message has their name for it.
FOUND_LATER = [
    ("process.rlimits[0].type", "RLIMIT_NONE", "process.rlimits: rlimit", "a name such as RLIMIT_NOFILE was expected"),
    ("process.apparmorProfile", "nosuch", "AppArmor", "nosuch"),
    ("linux.namespaces", [{"type": "mount"}, {"type": "uts"}, {"type": "ipc", "path": "/proc/self/ns/pid"}],
     "join the ipc namespace", "Invalid argument"),
    ("linux.sysctl", {"net.nosuch": "1"}, "sysctl net/nosuch", "No such file"),
    ("linux.sysctl", {"net.ipv4.ip_forward": "x"}, "sysctl net/ipv4/ip_forward", "Invalid argument"),
    (f"{SYSCALL}.action", "SCMP_ACT_NOTIFY", "linux.seccomp.listenerPath: is missing", "an agent's socket"),
    ("linux.resources.cpu.cpus", "0-", "linux.resources: ", "cpuset.cpus"),
    ("linux.resources.hugepageLimits[0].pageSize", "5MB", "linux.resources: hugetlb.5MB.max"),
    ("linux.resources.hugepageLimits[0].pageSize", "../2MB", "linux.resources.hugepageLimits: huge page size", "2MB"),
    ("linux.resources.unified", {"hugetlb.2MB.max": "many"}, "linux.resources: ", "hugetlb.2MB.max", "Invalid argument"),
    ("linux.resources.unified", {"nosuch.max": "1"}, "linux.resources: nosuch.max", "no nosuch controller"),
]


def steps(path):
    """linux.devices[0].type: 'linux', 'devices', 0, 'type'; with the path so far beside each."""
    so_far = ""
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        so_far += f"[{index}]" if index else f".{name}" if so_far else name
        yield (int(index) if index else name), so_far


def put(config, path, value):
    """Sets a field, or takes it away; what is on the way to it is made as ENTRIES and NEEDS have it."""
    *way, (last, _) = steps(path)
    place, before = config, None
    for step, so_far in way:
        if isinstance(step, int):
            place[:] = [copy.deepcopy(ENTRIES[before])]
            place = place[0]
        else:
            child = [] if so_far in ENTRIES or path.startswith(f"{so_far}[") else copy.deepcopy(NEEDS.get(so_far, {}))
            place = place.setdefault(step, child) or place[step]
        before = so_far
    if value is ABSENT:
        del place[last]
    elif isinstance(last, int):
        place[:] = [value]
    else:
        place[last] = value


def cases(kind):
    """Of a field: the part of its path that is named, the wrong value of the field, and what was expected."""
    if kind in (TEXTS, LIST):
        yield from (("", wrong, LIST[1]) for wrong in LIST[0])
        yield "", *MANY
    if kind == TEXTS:
        yield from (("[1]", ["x", wrong], TEXT[1]) for wrong in TEXT[0])
    elif kind == MAP:
        yield from (("", wrong, OBJECT[1]) for wrong in OBJECT[0])
        yield from ((".a", {"a": wrong}, TEXT[1]) for wrong in TEXT[0])
    elif kind != LIST:
        yield from (("", wrong, kind[1]) for wrong in kind[0])


class Refusals:
    """Makes containers of configurations that are wrong."""

    def __init__(self, oci):
        self.oci, self.folder = oci, oci.bundle("true")
        self.before = self.traces()
        self.good = json.loads((self.folder / "config.json").read_text())

    def traces(self):
        oci_bundle.reap()
        processes = {path.name for path in pathlib.Path("/proc").glob("[0-9]*")}
        return self.oci.remnants(), pathlib.Path("/proc/self/mountinfo").read_text(), processes

    def create(self, config):
        (self.folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
        return self.oci("create", "--bundle", self.folder, "bad", flags=("--log-format", "json"), check=False)

    def problem(self, field, value, *expected):
        """What is not as it should be when `field` has this value; nothing when all is."""
        config = copy.deepcopy(self.good)
        put(config, field, value)
        return self.problem_of(config, *expected)

    def problem_of(self, config, *expected):
        done = self.create(config)
        errors = [line["msg"] for line in map(json.loads, done.stderr.splitlines()) if line["level"] == "error"]
        after = self.traces()
        if done.returncode == 0:
            self.oci("delete", "--force", "bad")
            return "is taken"
        if done.returncode != 1 or len(errors) != 1:
            return f"ends with {done.returncode} and {len(errors)} errors: {done.stderr}"
        # The profile is a document of its own.
        message = errors[0].lower().replace("linux.seccomp: ", "linux.seccomp.")
        missing = [words for words in expected if words.lower() not in message]
        if missing or len(errors[0]) > 8192:
            return f"without {missing}: {errors[0][:8192]}"
        left = [(now, then) for now, then in zip(after[:-1], self.before) if now != then]
        # One of before, which has been killed, may have been seen on its way out.
        left += sorted(after[-1] - self.before[-1])
        return f"leaves {left}" if left else None


def shown(value):
    text = "nothing" if value is ABSENT else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:50]}... of {len(text)} bytes"


def judge(checks, what, problems):
    """One check: `problems` are (value, problem or None)."""
    found = [f"{shown(value)}: {problem}" for value, problem in problems if problem]
    checks.ok(not found, what, "\n".join(found))


def good_is_taken(checks, oci):
    """Else all that is refused says nothing."""
    refusals = Refusals(oci)
    config = copy.deepcopy(refusals.good)
    for path, entry in ENTRIES.items():
        if not path.startswith("linux.resources.blockIO") and path not in ("mounts", "linux.namespaces", *MAPPINGS):
            put(config, f"{path}[0]", copy.deepcopy(entry))
    for path, value in NEEDS.items():
        put(config, f"{path}.{next(iter(value))}", next(iter(value.values())))
    done = refusals.create(config)
    checks.equal((done.returncode, done.stderr), (0, ""), "a configuration of all that is put into others is taken")
    oci("delete", "--force", "bad")


def wrong_types(checks, oci):
    refusals = Refusals(oci)
    for field, kind in FIELDS.items():
        judge(checks, f"{field}: values of other types and out of range are refused",
              ((value, refusals.problem(field, value, field + part, expected)) for part, value, expected in cases(kind)))


def missing(checks, oci):
    refusals = Refusals(oci)
    for field in REQUIRED:
        judge(checks, f"{field}: is not left out", [(ABSENT, refusals.problem(field, ABSENT, field, "is missing"))])


def wrong_values(checks, oci):
    refusals = Refusals(oci)
    for field, value, expected in WRONG:
        # In words that name it, if not by its path: "linux.resources.cpu: cpu period 1: expected ...".
        parent, _, name = field.rpartition(".")
        problem = refusals.problem(field, value, parent.partition("[")[0], name, expected)
        judge(checks, f"{field}: {shown(value)} is refused", [(value, problem)])
    for field, value, *expected in FOUND_LATER:
        judge(checks, f"{field}: {shown(value)} is refused", [(value, refusals.problem(field, value, *expected))])


def joined_of_the_callers(checks, oci):
    """A namespace that is named by its file and is the runtime's own is no other than the host's: this world's, here."""
    refusals = Refusals(oci)
    for kind, file, changes in (("network", "net", {"linux.sysctl": {"net.ipv4.ip_forward": "1"}}),
                                ("ipc", "ipc", {"linux.sysctl": {"kernel.msgmax": "4096"}}),
                                ("uts", "uts", {"linux.sysctl": {"kernel.domainname": "x"}}),
                                ("uts", "uts", {"hostname": "x"}), ("uts", "uts", {"domainname": "x"})):
        config = copy.deepcopy(refusals.good)
        config["hostname"] = ""
        spaces = config["linux"]["namespaces"]
        spaces[:] = [*(space for space in spaces if space["type"] != kind), {"type": kind, "path": f"/proc/1/ns/{file}"}]
        for field, value in changes.items():
            put(config, field, value)
        field, value = next(iter(changes.items()))
        name = next(iter(value)) if isinstance(value, dict) else field
        problem = refusals.problem_of(config, f"the {kind} namespace", name, "would change the host")
        judge(checks, f"{field}: {shown(value)} is refused in the host's {kind} namespace", [(value, problem)])


def wrong_documents(checks, oci):
    refusals = Refusals(oci)
    for what, text, expected in (("nothing", "", "not JSON"), ("half of one", "{\"ociVersion\":", "not JSON"),
                                 ("a list", "[]", "a JSON object was expected"), ("two", "{} {}", "not JSON"),
                                 ("one that is too deep", "[" * 100, "not JSON"),
                                 ("one that is too long", " " * (9 << 20), "more than the 8388608 bytes")):
        problem = refusals.problem_of(text, "config.json", expected)
        judge(checks, f"config.json is refused when it is {what}", [(text, problem)])


if __name__ == "__main__":
    oci_bundle.tell(good_is_taken, wrong_types, missing, wrong_values, joined_of_the_callers, wrong_documents)
