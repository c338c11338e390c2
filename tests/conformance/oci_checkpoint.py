#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""gantry-oci checkpoint and restore by CRIU of Debian 13: what a container was doing goes on, with all that it was given, and
what is restored is a container like others; what can't be done is said in one line, and leaves nothing. Given names of parts
it tells those alone."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import oci_bundle

PEERS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/peers"
PORT = 7777


def may_listen():
    """Whether CRIU can tell of TCP sockets: since Linux 6.16 they refuse what it asks each socket."""
    with socket.socket() as tcp:
        try:
            tcp.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED)
        except OSError:
            return False
    return True


LISTENS = f"busybox nc -l -p {PORT} > /tmp/heard &" if may_listen() else ""
# Counts through a pipe into an open file, into one of a bind mount and to its standard output, and listens. It only appends: of
# other files that are open to be written CRIU wants the size that they had.
COUNTER = f"""
exec 3>>/data/open; echo kept > /dev/shm/kept; {LISTENS}
trap 'exit 7' TERM; touch /tmp/ready
i=0; while :; do i=$((i+1)); echo $i >&3; echo $i; sleep 0.02; done | while read n; do echo $n >> /data/count; echo $n; done &
wait
"""
# At the end of whatever CRIU failed with.
LOG = re.compile(r"\S+\.log\)\"$", re.M)


class Logger:
    """Who takes what a container says, until it ends, as a shim does."""

    def __init__(self, path):
        self.path, self.end = path, None
        reader, self.end = os.pipe()
        with open(path, "ab") as file:
            self.process = subprocess.Popen(["cat"], stdin=reader, stdout=file)
        os.close(reader)

    def __enter__(self):
        return self.end

    def __exit__(self, *_):
        os.close(self.end)

    def finish(self):
        """Returns when all is in the log, whose writers have ended."""
        self.process.wait(oci_bundle.LIMIT)


class Story:
    def __init__(self, oci):
        self.oci, self.name, self.data = oci, f"counter{oci.count}", oci.work / f"data{oci.count}"
        self.data.mkdir()
        self.image = oci.work / f"image{oci.count}"
        self.log = oci.work / f"log{oci.count}"
        self.hooks = oci.work / f"hooks{oci.count}"

    def change(self, config):
        config["mounts"].append({"destination": "/data", "type": "bind", "source": str(self.data), "options": ["rbind", "rw"]})
        config["mounts"].append({"destination": "/held", "type": "bind", "source": str(self.data), "options": ["bind", "ro"]})
        config["root"]["readonly"] = True
        config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW",
                                      "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}
        config["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {kind} >> {self.hooks}"]}]
                           for kind in ("createRuntime", "createContainer", "poststart", "poststop")}

    def run(self):
        self.bundle = self.oci.bundle("sh", "-c", COUNTER, change=self.change)
        self.call("run", "--detach", "--bundle", self.bundle, self.name)
        self.counts_on(0)
        return self

    def call(self, *arguments, check=True):
        """What the container says goes to its logger; its standard error is a file of the host's."""
        self.logger = Logger(self.log)
        with self.logger as end, open(f"{self.log}-errors", "a+") as errors:
            errors.truncate(0)
            done = subprocess.run(self.oci.command(*arguments), stdin=subprocess.DEVNULL, stdout=end, stderr=errors,
                                  timeout=oci_bundle.LIMIT)
            errors.seek(0)
            done.stderr = errors.read()
        if check and done.returncode != 0:
            raise c.Failure(f"{arguments}: exit {done.returncode}: {done.stderr}")
        return done

    def count(self):
        path = self.data / "count"
        return (path.exists() and self.words(path) or [0])[-1]

    def counts_on(self, before):
        c.wait_until("it counts on", lambda: self.count() > before + 3)

    def checkpoint(self, *flags, **more):
        done = self.oci("checkpoint", "--image-path", self.image, *flags, self.name, **more)
        if "--leave-running" not in flags:
            self.logger.finish()  # what it said last comes before what it says next
        return done

    def words(self, path):
        """The numbers in a file, up to the last whole line."""
        return [int(line) for line in path.read_text().rpartition("\n")[0].split()]

    def restore(self, *flags, **more):
        return self.call("restore", "--detach", "--image-path", self.image, "--bundle", self.bundle, *flags, self.name, **more)

    def inside(self, script):
        return self.oci("exec", self.name, "sh", "-c", script, check=False).stdout

    def pid(self):
        return self.oci.state(self.name)["pid"]

    def spaces(self):
        return {kind: os.readlink(f"/proc/{self.pid()}/ns/{kind}") for kind in ("mnt", "pid", "net", "ipc", "uts", "cgroup")}

    def powers(self):
        text = pathlib.Path(f"/proc/{self.pid()}/status").read_text()
        return re.findall(r"^(?:Cap\w+|NoNewPrivs|Seccomp|Seccomp_filters|Uid|Groups):.*", text, re.M)

    def mounts(self):
        """Of each mount but the root: where, whether it is read-only, its file system."""
        lines = pathlib.Path(f"/proc/{self.pid()}/mountinfo").read_text().splitlines()
        return sorted((line.split()[4], line.split()[5].split(",")[0], line.split(" - ")[1].split()[0]) for line in lines)

    def is_whole(self, checks, what):
        """Every number once, in each place, up to now."""
        numbers = self.words(self.log)
        checks.equal(numbers, list(range(1, len(numbers) + 1)), f"{what}: not one of its words is lost or said twice")
        numbers = self.words(self.data / "open")
        checks.equal(numbers, list(range(1, len(numbers) + 1)), f"{what}: nor one of those in its open file")


def there_and_back(checks, oci):
    story = Story(oci).run()
    powers, mounts, host = story.powers(), story.mounts(), {kind: os.readlink(f"/proc/self/ns/{kind}")
                                                            for kind in story.spaces()}
    for turn in ("once", "twice"):
        story.checkpoint()
        before = story.count()
        checks.equal((oci.state(story.name), oci.remnants()), (None, []), f"{turn}: checkpointed, the container is gone")
        checks.equal(story.hooks.read_text().split()[-1], "poststop", f"{turn}: its poststop hook has run")
        story.restore("--pid-file", oci.work / "pid")
        checks.equal((oci.status(story.name), (oci.work / "pid").read_text()), ("running", str(story.pid())),
                     f"{turn}: restored, it runs")
        story.counts_on(before)
        checks.ok(True, f"{turn}: and goes on where it was")
        story.is_whole(checks, turn)
        checks.equal(story.powers(), powers, f"{turn}: it may do what it might before, by ids, capabilities and filters")
        checks.equal(story.mounts(), mounts, f"{turn}: it has the same mounts, as read-only as before, its masks among them")
        spaces = story.spaces()
        checks.equal([kind for kind in spaces if spaces[kind] == host[kind]], [], f"{turn}: and namespaces of its own")
        checks.equal(story.hooks.read_text().split()[-1], "createRuntime", f"{turn}: its createRuntime hook has run")
        shutil.rmtree(story.image)
    alike(checks, oci, story)


def alike(checks, oci, story):
    """A restored container is one like others."""
    said = story.inside("cat /dev/shm/kept; readlink /proc/1/ns/time; readlink /proc/self/ns/time; "
                        "cat /proc/self/cgroup | tail -n 1; "
                        "touch /x 2>/dev/null || echo read-only; touch /held/x 2>/dev/null || echo held").split()
    checks.equal((said[0], said[1] == said[2], said[3:]), ("kept", True, ["0::/", "read-only", "held"]),
                 "exec joins a restored container in all its namespaces; a tmpfs has its files, what was read-only is")
    if LISTENS:
        story.inside(f"echo hello | busybox nc -w 30 127.0.0.1 {PORT}")
        c.wait_until("it has heard", lambda: story.inside("cat /tmp/heard") == "hello\n")
        checks.ok(True, "it listens where it did")
    else:
        checks.skip("it listens where it did", "belongs in vm: CRIU can't tell of this kernel's TCP sockets")
    place = pathlib.Path(f"/proc/{story.pid()}/cgroup").read_text().splitlines()[-1]
    checks.equal(place.split("/")[-1], f"c{oci.count}", "it is in its cgroup")
    checks.contains(oci("ps", story.name).stdout, "sh -c", "ps lists its processes")
    oci("pause", story.name)
    checks.equal(oci.status(story.name), "paused", "pause works")
    oci("resume", story.name)
    stats = json.loads(oci("events", "--stats", story.name).stdout)
    checks.equal(stats["id"], story.name, "events tells of it")
    checks.contains(oci("list").stdout, story.name, "list has it")
    done = oci("delete", story.name, check=False)
    checks.ok(done.returncode == 1 and "not stopped" in done.stderr, "delete refuses it while it runs", done.stderr)
    oci("kill", story.name, "KILL")
    oci.wait_stopped(story.name)
    oci("delete", story.name)
    checks.equal(oci.remnants(), [], "killed and deleted, nothing of it is left")


def going_on(checks, oci):
    story = Story(oci).run()
    pid = story.pid()
    story.checkpoint("--leave-running", "--work-path", oci.work / "criu")
    checks.equal((oci.status(story.name), story.pid()), ("running", pid), "--leave-running leaves it running")
    checks.ok((oci.work / "criu/dump.log").exists(), "--work-path has the log")
    story.counts_on(story.count())
    story.is_whole(checks, "--leave-running")
    oci("pause", story.name)
    story.checkpoint("--leave-running")
    checks.equal(oci.status(story.name), "paused", "one that is paused is still so")
    at = story.words(story.log)[-1]
    oci("resume", story.name)
    # One word may have been on its way when it was paused, and one more was.
    c.wait_until("it goes on after the checkpoint", lambda: story.words(story.log)[-1] > at + 3)
    oci("delete", "--force", story.name)
    story.logger.finish()
    said = story.words(story.log)
    story.restore()
    again = c.wait_until("it goes on", lambda: story.words(story.log)[len(said):])
    checks.ok(again[0] < said[-1], "what was checkpointed is restored, not what came after", (at, said[-1], again[0]))
    oci("delete", "--force", story.name)


def in_the_foreground(checks, oci):
    story = Story(oci).run()
    story.checkpoint()
    before = story.count()
    command = oci.command("restore", "--image-path", story.image, "--bundle", story.bundle, "fore")
    with Logger(story.log) as end, open(f"{story.log}-errors", "a") as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=end, stderr=errors)
    story.counts_on(before)
    checks.equal(oci.status("fore"), "running", "restore without --detach stays, under another name, too")
    process.send_signal(signal.SIGTERM)
    checks.equal(process.wait(oci_bundle.LIMIT), 7, "hands signals on, and ends with the container's exit code")
    checks.equal((oci.remnants(), story.hooks.read_text().split()[-1]), ([], "poststop"),
                 "then the container is deleted, with its hook")


def terminal(checks, oci):
    def change(config):
        config["process"]["terminal"] = True

    script = "stty -echo; echo begun; while read line; do echo heard $line; done"
    bundle, image = oci.bundle("sh", "-c", script, change=change), oci.work / "terminal"
    console = oci_bundle.ConsoleSocket(bundle)
    oci("run", "--detach", "--console-socket", console.path, "--bundle", bundle, "terminal")
    master = console.take()
    oci_bundle.read_until(master, "begun")
    oci("checkpoint", "--image-path", image, "terminal")
    os.close(master)
    done = oci("restore", "--detach", "--image-path", image, "--bundle", bundle, "terminal", check=False)
    checks.ok(done.returncode == 1 and "console-socket" in done.stderr, "a terminal needs somebody who takes it", done.stderr)
    oci("restore", "--detach", "--console-socket", console.path, "--image-path", image, "--bundle", bundle, "terminal")
    master = console.take()
    os.write(master, b"hello\n")
    checks.contains(oci_bundle.read_until(master, "heard hello"), "heard hello",
                    "a restored terminal comes to --console-socket")
    os.close(master)
    oci("delete", "--force", "terminal")


def joined(checks, oci):
    path = oci.work / "netns"
    path.touch()
    oci_bundle.run("unshare", f"--net={path}", "ip", "link", "set", "lo", "up")

    def change(config):
        next(space for space in config["linux"]["namespaces"] if space["type"] == "network")["path"] = str(path)

    bundle, image = oci.bundle("sleep", "100000", change=change), oci.work / "joined"
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
    subprocess.run(oci.command("run", "--detach", "--bundle", bundle, "joined"), **quiet)
    oci("checkpoint", "--image-path", image, "joined")
    subprocess.run(oci.command("restore", "--detach", "--image-path", image, "--bundle", bundle, "joined"), **quiet)
    checks.equal(os.stat(f"/proc/{oci.state('joined')['pid']}/ns/net").st_ino, os.stat(path).st_ino,
                 "a network namespace that it had joined is joined again")
    oci("delete", "--force", "joined")
    oci_bundle.run("umount", path)


def refused(checks, oci):
    name = oci.start("sleep", "100000")

    def says(what, *command, told=None):
        done = oci(*command, check=False)
        checks.ok(done.returncode == 1 and what in done.stderr and done.stderr.count("\n") == 1, told or
                  f"{' '.join(map(str, command))} is refused by name", done.stderr)

    for flags, what in ((("--lazy-pages",), "--lazy-pages"), (("--page-server", "a:1"), "--page-server"),
                        (("--status-fd", "5"), "--status-fd"), (("--manage-cgroups-mode", "some"), "--manage-cgroups-mode"),
                        (("--empty-ns", "pid"), "--empty-ns"), (("--parent-path", "/x"), "--parent-path"),
                        (("--parent-path", "../none"), "--parent-path")):
        says(what, "checkpoint", "--image-path", oci.work / "refused", *flags, name)
    says("--image-path", "checkpoint", "--image-path", "/dev/null", name, told="an image that can't be a folder is refused")
    for flags, what in ((("--lazy-pages",), "--lazy-pages"), (("--lsm-profile", "a:b"), "--lsm-profile"),
                        (("--no-pivot",), "--no-pivot"), (("--manage-cgroups-mode", "some"), "--manage-cgroups-mode")):
        says(what, "restore", "--image-path", oci.work, *flags, "new")
    says("--image-path", "restore", "--image-path", oci.work / "none", "--bundle", oci.bundle("true"), "new",
         told="an image that is not there is named")
    says("exists already", "restore", "--image-path", oci.work, "--bundle", oci.bundle("true"), name,
         told="a name that is taken is refused")
    oci("kill", name, "KILL")
    oci.wait_stopped(name)
    says("it is stopped", "checkpoint", "--image-path", oci.work / "refused", name, told="one that has stopped is refused")
    oci("delete", name)
    oci("create", "--bundle", oci.bundle("true"), "waits")
    says("it is created", "checkpoint", "--image-path", oci.work / "refused", "waits",
         told="and so is one that has not started")
    oci("delete", "waits")
    says("does not exist", "checkpoint", "--image-path", oci.work / "refused", "waits", told="and one that is not there")
    path = os.environ["PATH"]
    os.environ["PATH"] = "/usr/bin:/bin"
    for command in ("checkpoint", "restore"):
        says("criu is not installed", command, "x", told=f"{command} without criu is refused by name")
    os.environ["PATH"] = path


def spoilt(checks, oci):
    story = Story(oci).run()
    story.checkpoint()
    whole = oci.work / "whole"
    story.image.rename(whole)

    def wrong(what, spoil):
        shutil.rmtree(story.image, ignore_errors=True)
        shutil.copytree(whole, story.image)
        spoil(story.image)
        done = story.restore(check=False)
        checks.ok(done.returncode == 1 and LOG.search(done.stderr) and done.stderr.count("\n") == 1,
                  f"{what}: one line says so", done.stderr)
        checks.equal((oci.remnants(), oci.state(story.name)), ([], None), f"{what}: and nothing is left")

    def each(pattern, change):
        def spoil(folder):
            for file in folder.glob(pattern):
                change(file)
        return spoil

    wrong("an image without its inventory", each("inventory.img", pathlib.Path.unlink))
    wrong("one of noise", each("*.img", lambda file: file.write_bytes(os.urandom(300))))
    wrong("one that was cut", each("pages-*.img", lambda file: os.truncate(file, 4096)))
    wrong("one without its mounts", each("mountpoints-*.img", pathlib.Path.unlink))
    mounts = subprocess.run(["mount"], capture_output=True, text=True).stdout
    checks.ok(str(oci.root) not in mounts, "no mount is left on this side, either", mounts)
    shutil.rmtree(story.image)
    shutil.copytree(whole, story.image)
    (story.image / "descriptors.json").write_text('["pipe:[1]", "/etc/shadow", ["x"], 5, {"a": 1}]')
    done = story.restore(check=False)
    checks.ok(done.returncode == 1 and LOG.search(done.stderr), "names of pipes that no process has are no use", done.stderr)
    checks.equal(oci.remnants(), [], "and leave nothing")


def story(checks):
    oci_bundle.become_reaper()
    oci = oci_bundle.Runtime()
    c.log(subprocess.run(["criu", "--version"], capture_output=True, text=True).stdout.strip())
    for part in (there_and_back, going_on, in_the_foreground, terminal, joined, refused, spoilt):
        if part.__name__ in (sys.argv[1:] or part.__name__):
            part(checks, oci)
            oci_bundle.reap()
    checks.equal(oci.remnants(), [], "nothing is left in the end")


if __name__ == "__main__":
    if "CRIU" not in os.environ:
        os.environ["CRIU"] = subprocess.run([PEERS, "criu"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[2]
        os.environ["PATH"] = f"{pathlib.Path(os.environ['CRIU']).parent}:" + os.environ["PATH"]
    oci_bundle.enter_world()
    c.main(story)
