#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""The runtime's own program, as a container can reach it while the runtime is on its way in.

CVE-2019-5736 (runc, LXC) and CVE-2020-14298 (a rebuild that lost its fix): the entry point is `#!/proc/self/exe`, and another
process reopens /proc/PID/exe for writing. Our own row: a read-only mount of the program is unwrapped from a user and mount
namespace of the attacker's."""
import contextlib
import hashlib
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import attacks
import checks as c
import oci_bundle
from attacks import Naive, all_of, bind, capable, mounted

EXECS = 1000 if c.ALL else 15
MOST_EXECS = 2000  # until the attacker, who on a busy machine comes too late mostly, has done what he can


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def attack(runtime, program, fell=lambda said: True):
    """What the attacker said, and whether the program on the host is another one afterwards. It goes on until fell(what he
    said): what he can do he has done."""
    attacks.give_attack(runtime)
    itself = runtime.rootfs / "bin/itself"
    itself.write_text("#!/proc/self/exe\n")
    itself.chmod(0o755)
    before, mode = digest(program), program.stat().st_mode
    said = runtime.work / "said"
    said.write_text("")
    change = all_of(capable("CAP_SYS_PTRACE"), mounted(bind(said, "/said")))
    change = all_of(change, lambda config: config["process"].update(noNewPrivileges=False))
    name = runtime.start("sh", "-c", "exec /bin/attack own-binary > /said", change=change)
    c.wait_until("the attacker waits", lambda: "ready" in said.read_text())
    for turn in range(MOST_EXECS):
        if turn >= EXECS and fell(said.read_text()):
            break
        oci_bundle.reap()
        for command in ("true", "/bin/itself"):
            # With a runtime that has fallen nothing more can be executed.
            with contextlib.suppress(OSError):
                if digest(program) == before:
                    runtime("exec", name, command, check=False)
    c.wait_until("the attacker has done it", lambda: fell(said.read_text()))
    # And the container's own first program.
    with contextlib.suppress(OSError):
        runtime.run("true", change=lambda config: config["process"].update(args=["/bin/itself"]))
    attacks.stop(runtime, name)
    return said.read_text(), digest(program) != before or program.stat().st_mode != mode


def overwriting(checks, oci):
    if oci_bundle.caller() != oci_bundle.ROOT:
        # One that is the caller's, who may write it.
        oci.program = shutil.copy(oci.program, oci.work / "gantry-oci")
    said, changed = attack(oci, pathlib.Path(oci.program))
    checks.ok(not changed, f"CVE-2019-5736, 2020-14298: after {EXECS} execs gantry-oci is as it was")
    checks.ok("wrote" not in said, "CVE-2019-5736: nor could anything be written that it ran from", said)
    # Once each way, if he reached it twice; it is a race.
    checks.ok(said.count("reached") < 2 or ("plainly refused" in said and "unwrapped refused" in said),
              "unwrapping: nor from a user and mount namespace of the attacker's", said)
    if oci_bundle.caller() == oci_bundle.ROOT:
        careless(checks)


def careless(checks):
    naive = Naive()
    said, changed = attack(naive, naive.naive, lambda said: "wrote" in said)
    checks.ok(changed and "wrote" in said, "CVE-2019-5736 bites: a runtime that runs from its own file is overwritten", said)
    naive = Naive(protected=True)
    said, changed = attack(naive, naive.naive, lambda said: "plainly refused" in said and "unwrapped wrote" in said)
    checks.ok(changed and "plainly refused" in said and "unwrapped wrote" in said,
              "unwrapping bites: so is one that runs from a read-only mount", said)


if __name__ == "__main__":
    oci_bundle.tell(overwriting, callers=oci_bundle.CALLERS)
