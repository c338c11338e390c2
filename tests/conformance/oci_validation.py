#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# limit: 900
# long
"""The validation programs of opencontainers/runtime-tools with gantry-oci, crun and runc, in one run: what passes with either
of the others passes with gantry-oci, and docs/conformance.md says how each went. With --write it puts the table there."""
import concurrent.futures
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import checks as c
import oci_bundle

ROOT = HERE.parent.parent
PAGE = ROOT / "docs/conformance.md"
BEGIN, END = "<!-- oci_validation.py -->\n", "<!-- end of oci_validation.py -->\n"
RUNTIMES = ("gantry-oci", "crun", "runc")
AT_ONCE = 8  # they mostly sleep until they ask for a state again
LIMIT = 120  # seconds for one program
TRIES = 3
# What is let off the rule, and why.
EXCUSED = {
    "poststart_fail": "since version 1.2 a poststart hook that fails ends the container, which the program does not know",
}
# What may go either way with each of them, and why.
TOO_SOON, TOO_LATE = "its signal may come before the container can take it", "its container may end before it is looked at"
RACES = {"kill": TOO_SOON, "killsig": TOO_SOON, "pidfile": TOO_LATE, "poststart": TOO_LATE}
# Why programs fail with all of them, and what checks the same: most look for files of cgroup v1.
V1 = "cgroup v1; on v2: "
LIMITS, OWN, KILL, CONTAINER = "tests/vm/oci_resources.py", "oci.py", "oci_kill.py", "oci_container.py"
WITH_NONE = {
    "delete": f"a container that waits is deleted by all three: {OWN}",
    "delete_only_create_resources": V1 + KILL, "delete_resources": V1 + KILL,
    "hooks": f"the program expects other words than its hooks write: {CONTAINER}",
    **{f"linux_cgroups_{where}{what}": V1 + LIMITS for where in ("", "relative_")
       for what in ("blkio", "cpus", "hugetlb", "memory", "network", "pids")},
    "linux_cgroups_devices": V1 + CONTAINER, "linux_cgroups_relative_devices": V1 + CONTAINER,
    **dict.fromkeys(("linux_ns_nopath", "linux_uid_mappings"),
                    "its root folder is closed to the ids that it maps: oci_userns.py"),
    "linux_process_apparmor_profile": "no AppArmor on this host",
    "misc_props": "the program leaves its runtimetest out of the bundle",
    "prestart": f"prestart hooks are create's, which the program does not know: {CONTAINER}",
    "process_capabilities": f"wants CAP_SYS_RESOURCE, which this host has not: {CONTAINER}",
    "process_capabilities_fail": f"what can't be granted is told and left out, since version 1.1: {CONTAINER}",
    "process_rlimits": f"Go raises RLIMIT_NOFILE of runtimetest itself: {CONTAINER}",
}


def provide():
    """Programs of other people, by environment variables that outlive the change into the test's own world."""
    for name, variable in (("crun", "CRUN"), ("runc", "RUNC")):
        line = told("scripts/peers", name)
        os.environ[variable], os.environ[variable + "_VERSION"] = line[2], line[1]
    line = told("scripts/tools", "runtimetest")
    os.environ["RUNTIMETEST"], os.environ["RUNTIMETEST_VERSION"] = line[2], line[1]
    os.environ.setdefault("GANTRY_BIN", str(ROOT / "build/release/bin"))
    os.environ["GANTRY_VERSION"] = told("git", "-C", str(ROOT), "describe", "--always")[0]


def told(program, *arguments):
    program = ROOT / program if "/" in program else program
    return subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def make_root_archive(path):
    """The root folder that the programs unpack for each container: busybox."""
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()

    def entry(name, kind, **more):
        info = tarfile.TarInfo(name)
        info.type, info.mode = kind, 0o755
        for key, value in more.items():
            setattr(info, key, value)
        return info

    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for folder in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            archive.addfile(entry(folder, tarfile.DIRTYPE))
        archive.add("/bin/busybox", "bin/busybox")
        for name in set(applets) - {"busybox"}:
            archive.addfile(entry(f"bin/{name}", tarfile.SYMTYPE, linkname="busybox"))
        users = b"root:x:0:0:root:/:/bin/sh\n"
        archive.addfile(entry("etc/passwd", tarfile.REGTYPE, size=len(users)), io.BytesIO(users))


class Suite:
    def __init__(self):
        self.tool = pathlib.Path(os.environ["RUNTIMETEST"])
        self.programs = sorted(path.name for path in (self.tool.parent / "validation").iterdir())
        self.runtimes = dict(zip(RUNTIMES, (os.environ["GANTRY_BIN"] + "/gantry-oci", os.environ["CRUN"], os.environ["RUNC"])))
        self.folder = pathlib.Path("/run/validation")
        self.folder.mkdir()
        shutil.copy(self.tool, self.folder)
        make_root_archive(self.folder / "rootfs-amd64.tar.gz")
        self.said = {}
        self.cgroup = threading.Lock()

    def run(self, program, runtime):
        """One program with one runtime: 'pass', 'fail', or 'skip' where it found nothing to test."""
        if "cgroup" not in program and not program.startswith("delete_"):
            return self.judge(program, runtime)
        # These take one and the same cgroup, and leave a container in it when they fail.
        with self.cgroup:
            verdict = self.judge(program, runtime)
            for top in pathlib.Path("/sys/fs/cgroup").glob("**/cgrouptest"):
                (top / "cgroup.kill").write_text("1")
                oci_bundle.remove_cgroup(top)
            return verdict

    def judge(self, program, runtime):
        environment = os.environ | {"RUNTIME": self.runtimes[runtime], "TMPDIR": str(self.folder)}
        try:
            done = subprocess.run([self.tool.parent / "validation" / program], cwd=self.folder, env=environment,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT,
                                  text=True, errors="replace")
            status, text = done.returncode, done.stdout
        except subprocess.TimeoutExpired as late:
            status, text = None, (late.stdout or b"").decode(errors="replace")
        self.said[program, runtime] = f"{text}\nexit status {status}"
        lines = re.findall(r"^(not ok|ok)\b(.*# (?:SKIP|TODO))?", text, re.M | re.I)
        # Some print no result but what went wrong.
        if status != 0 or any(word == "not ok" and not excuse for word, excuse in lines) or (not lines and '"error":' in text):
            return "fail"
        return "pass" if not lines or any(word == "ok" and not excuse for word, excuse in lines) else "skip"

    def best(self, program, runtime):
        verdict = "fail"
        for _ in range(TRIES):
            if verdict == "fail":
                verdict = self.run(program, runtime)
        return verdict

    def run_all(self):
        """{(program, runtime): verdict}"""
        jobs = [(program, runtime) for program in self.programs for runtime in RUNTIMES]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(jobs, pool.map(lambda job: self.run(*job), jobs)))


def remark(program, verdicts):
    if excuse := (EXCUSED | RACES).get(program):
        return excuse
    return WITH_NONE.get(program, "") if set(verdicts) == {"fail"} else ""


def rows(suite, results):
    lines = []
    for program in suite.programs:
        verdicts = [results[program, runtime] for runtime in RUNTIMES]
        lines.append(f"| {program} | {' | '.join(verdicts)} | {remark(program, verdicts)} |".replace("|  |", "| |"))
    return lines


def table(suite, results):
    versions = ", ".join(f"{name} {os.environ[name.upper() + '_VERSION']}" for name in ("crun", "runc"))
    counts = ", ".join(f"{sum(results[program, runtime] == 'pass' for program in suite.programs)} with {runtime}"
                       for runtime in RUNTIMES)
    return "\n".join([f"gantry {os.environ['GANTRY_VERSION']}, {versions}, runtime-tools {os.environ['RUNTIMETEST_VERSION']}, "
                      f"Linux {os.uname().release}.", f"Of {len(suite.programs)} programs pass: {counts}.", "",
                      "| program | gantry-oci | crun | runc | |", "| --- | --- | --- | --- | --- |",
                      *rows(suite, results), ""])


def written():
    """The page, before, in and after the table."""
    before, rest = PAGE.read_text().split(BEGIN)
    inside, after = rest.split(END)
    return before + BEGIN, inside, END + after


def own_column(lines):
    """{program: gantry-oci's verdict}, of those that do not race with their container."""
    verdicts = dict([field.strip() for field in line.split("|")[1:3]] for line in lines)
    return {program: verdict for program, verdict in verdicts.items() if program not in RACES}


def story(checks):
    oci_bundle.become_reaper()
    suite = Suite()
    before, inside, after = written()
    told = own_column([line for line in inside.splitlines() if line.startswith("| ")][2:])
    results = suite.run_all()
    # Programs race with a container that starts and ends. What went another way than it should is run again, alone.
    for program in suite.programs:
        own = results[program, "gantry-oci"]
        if own != told.get(program, own) or (own == "fail" and program not in WITH_NONE | EXCUSED | RACES):
            results.update({(program, runtime): suite.best(program, runtime) for runtime in RUNTIMES})
    for program in suite.programs:
        own, *others = (results[program, runtime] for runtime in RUNTIMES)
        if own == "fail" and "pass" in others and program not in EXCUSED | RACES:
            checks.ok(False, f"{program} passes with others, and with gantry-oci", suite.said[program, "gantry-oci"])
        else:
            checks.ok(True, f"{program}: {own}")
    unknown = [program for program in suite.programs if program not in WITH_NONE | EXCUSED | RACES and
               all(results[program, runtime] == "fail" for runtime in RUNTIMES)]
    checks.equal(unknown, [], "of what fails with all it is known why")
    if "--write" in sys.argv:
        PAGE.write_text(before + table(suite, results) + after)
        c.log(f"{PAGE} is written")
    else:
        checks.equal(own_column(rows(suite, results)), told,
                     "docs/conformance.md says so of gantry-oci (else: oci_validation.py --write)")


if __name__ == "__main__":
    if "RUNTIMETEST" not in os.environ:
        provide()
    oci_bundle.enter_world()
    c.main(story)
