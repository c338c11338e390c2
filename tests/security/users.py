#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Users and groups that are no numbers, or numbers that wrap: an error or the very one, and never root.

CVE-2016-3697 (runc): digits are looked up as a name. CVE-2024-40635 (containerd): ids above 2147483647 wrap. CVE-2026-30892
(crun): exec's user. CVE-2022-2995 (CRI-O), 2022-36109 (moby): groups that are too many or missing. pods_users.py has the same
by the CRI."""
import os
import pathlib
import resource
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import oci_bundle
from attacks import Naive, all_of, capable

SHOWN = "id -u; id -g"
OWN = "1000"
# What the image's passwd makes of digits, and of who runs without a name.
PASSWD = "root:x:0:0:root:/:/bin/sh\n1000:x:0:0:digits:/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n"
# For exec --user, where nothing is looked up: what comes of it, or None for an error.
EXEC = {"": OWN, "5": "5", "1000": "1000", "5:6": "5", "2147483647": "2147483647", "00": "0",
        **dict.fromkeys((":", "1:", ":1", "1:2:3", "-1", "+1", " 1", "1 ", "1\n", "0x0", "0x1f", "1e0", "1.0", "root",
                         "0root", "²", "2147483648", "4294967295", "4294967296", "4294967297", "18446744073709551616",
                         "9" * 60, "1:-1", "1:4294967296", "1:root", "0:", "nobody"))}
# The same of a configuration, whose ids are 32 bits and may be above what exec takes.
GOOD_IDS = (0, 1000, 4294967294)
BAD_IDS = (-1, 4294967295, 4294967296, 1 << 63, 1 << 64, -4294967296, "0", "root", "1000", 0.5, [], {}, True)


def as_user(user):
    return lambda config: config["process"].update(user=user)


def with_passwd(runtime):
    (runtime.rootfs / "etc").mkdir(exist_ok=True)
    (runtime.rootfs / "etc/passwd").write_text(PASSWD)


def exec_users(runtime):
    name = runtime.start("sleep", "1000", change=all_of(capable(), as_user({"uid": int(OWN), "gid": int(OWN)})))
    got = {}
    for user in EXEC:
        said = runtime("exec", "--user", user, name, "sh", "-c", SHOWN, check=False)
        got[user] = said.stdout.split()[0] if said.returncode == 0 and said.stdout else None
    attacks.stop(runtime, name)
    return got


def execs(checks, oci):
    with_passwd(oci)
    checks.equal(exec_users(oci), EXEC, f"CVE-2026-30892: {len(EXEC)} users of exec are refused, or the very number")
    naive = Naive()
    with_passwd(naive)
    wrong = {user for user, got in exec_users(naive).items() if got == "0" and EXEC[user] != "0"}
    checks.ok({"", ":", ":1", "root", "4294967296", "1000"} <= wrong, "CVE-2026-30892, 2024-40635, 2016-3697 bite: the "
              f"careless runtime makes root of {len(wrong)} of them", wrong)


def config_users(runtime, field):
    got = {}
    for value in (*GOOD_IDS, *BAD_IDS):
        said = runtime.run(SHOWN, change=all_of(capable(), as_user({"uid": 5, "gid": 5, field: value})))
        shown = dict(zip(("uid", "gid"), said.stdout.split()))
        got[repr(value)] = shown.get(field) if said.returncode == 0 else None
    return got


def configurations(checks, oci):
    for field in ("uid", "gid"):
        wanted = {repr(value): str(value) for value in GOOD_IDS} | {repr(value): None for value in BAD_IDS}
        checks.equal(config_users(oci, field), wanted,
                     f"CVE-2016-3697, 2024-40635: of {len(wanted)} values of user.{field} none but a number in range is taken")
    naive = Naive()
    with_passwd(naive)
    got = config_users(naive, "uid")
    checks.equal((got["1000"], got["4294967296"], got["'1000'"]), ("0", "0", "0"),
                 "CVE-2016-3697, 2024-40635 bite: the careless runtime looks digits up, and lets them wrap")


def groups(checks, oci):
    """Groups of the caller's are not the container's; those that it gives are, and no others."""
    mine = os.getgroups()
    os.setgroups([*mine, 4321])
    try:
        for given in ([], [7], [7, 7, 8], [0], list(range(100, 400))):
            user = {"uid": 5, "gid": 6, "additionalGids": given}
            said = oci.run("grep Groups /proc/self/status", change=as_user(user))
            checks.equal(sorted(set(map(int, said.stdout.split()[1:]))), sorted(set(given)),
                         f"CVE-2022-2995: {len(given)} groups are given, and none comes of the caller's")
    finally:
        os.setgroups(mine)
    for bad in ([-1], [4294967295], [4294967296], ["7"], list(range(2000))):
        said = oci.run("true", change=as_user({"uid": 5, "gid": 6, "additionalGids": bad}))
        checks.ok(said.returncode == 1 and "process.user.additionalGids" in said.stderr,
                  f"additionalGids that begin with {bad[0]!r} are refused by name", said.stderr)


def negative_group(runtime, groups):
    """What a member of a group reads of a file that it may not read and others may, by a program that changes its group."""
    attacks.give_attack(runtime)
    program, file = runtime.rootfs / "bin/as-group", runtime.rootfs / "denied"
    shutil.copy(attacks.ATTACK, program)
    os.chown(program, 0, 7)
    program.chmod(0o2755)
    file.write_text("read\n")
    os.chown(file, 0, 1000)
    file.chmod(0o607)
    user = as_user({"uid": 1000, "gid": 1000, "additionalGids": groups})
    return runtime.run("/bin/as-group read /denied; echo end", change=all_of(capable(), user)).stdout.split()


def negative_groups(checks, oci):
    checks.equal(negative_group(oci, [1000]), ["end"],
                 "CVE-2022-36109: who is denied a file by a group keeps that group, when it is one of those given")
    checks.equal(negative_group(Naive(), [1000]), ["read", "end"], "CVE-2022-36109 bites: the careless runtime's loses it")


# ---- of the CRI's runtimes; pods_users.py has the attacks on gantryd


def passwds(checks, oci):
    del oci
    naive = Naive()
    with_passwd(naive)
    home = "/\nroot2:x:0:0::/:/bin/sh"
    naive.run("true", change=all_of(capable(), as_user({"uid": 4321}),
                                    lambda config: config["process"]["env"].append(f"HOME={home}")))
    checks.ok("\nroot2:x:0:0:" in (naive.rootfs / "etc/passwd").read_text(),
              "CVE-2022-4318, 2026-15809 bite: the careless runtime writes HOME into passwd as it is")
    (naive.rootfs / "etc/passwd").unlink()
    (naive.rootfs / "etc/passwd").symlink_to("/dev/zero")
    limit = 1 << 29
    naive.run("true", change=all_of(capable(), as_user({"uid": 4321})),
              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    checks.ok(most > 200 << 10, "CVE-2026-47262, 2025-4437 bite: it reads a passwd that is /dev/zero until its memory ends",
              most)


if __name__ == "__main__":
    oci_bundle.tell(execs, configurations, groups, negative_groups, passwds)
