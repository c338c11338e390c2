#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""What containers run, with real kubectl: an image's ENTRYPOINT and CMD under command and args, working folders, their streams (kubectl
run -it, run -i, attach), how they are told to stop, and the last words that they leave."""
import json
import os
import pathlib
import pty
import select
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import ready_node
from cri_client import APPLETS, IMAGE
from oci import Image, entry
from pods import Pods, container, words
from registry import busybox_layer

LIMIT = 3 * c.PATIENCE  # of kubectl where it waits for a pod
# What it was given, and where: the words of a shell's command line, $0 first.
SAYS = ["/bin/sh", "-c", "echo $0 $@ > /dev/termination-log; pwd >> /dev/termination-log"]
# Says by which signal it was stopped; it hears them when it is Ready.
HEARS = ("for signal in TERM USR1 USR2; do trap \"echo $signal > /dev/termination-log; exit 0\" $signal; done; touch /tmp/hears; "
         "while :; do sleep 0.1; done")
IS_READY = {"readinessProbe": {"exec": {"command": ["/bin/busybox", "test", "-e", "/tmp/hears"]}, "periodSeconds": 1, "timeoutSeconds": 60}}


def load_images(node):
    layer = busybox_layer(APPLETS, entry("home/", tarfile.DIRTYPE), entry("tmp/", tarfile.DIRTYPE))
    for name, image in (("says", Image(layer, command=["C"], Entrypoint=[*SAYS, "E"], WorkingDir="/home", StopSignal="SIGUSR1")),
                        ("bare", Image(layer, command=[*SAYS, "C"], WorkingDir="/"))):
        image.archive(node.work / "says.tar", f"says:{name}")
        node.image("load", node.work / "says.tar")


def of_image(name, image="says:says", **more):
    return container(name, None, image=image, **more)


def commands(pods):
    """https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container, its table."""
    own = [*SAYS, "X"]
    seen = pods.tell("table", of_image("neither"), of_image("args", args=["A", "B"]), of_image("command", command=own),
                     of_image("both", command=own, args=["A"]), of_image("bare", "says:bare"),
                     of_image("expanded", command=[*SAYS, "$(NAME)"], args=["$(NAME)-$$(NAME)-$(NOBODY)"],
                              env=[{"name": "NAME", "value": "value"}]),
                     of_image("placed", workingDir="/made/here"))
    pods.checks.equal(seen, {"neither": "E C\n/home\n", "args": "E A B\n/home\n", "command": "X\n/home\n", "both": "X A\n/home\n",
                             "bare": "C\n/\n", "expanded": "value value-$(NAME)-$(NOBODY)\n/home\n", "placed": "E C\n/made/here\n"},
                      "command takes ENTRYPOINT's place and args take CMD's; the working folder is the image's or the container's")
    pods.delete("table")


def last_words(pods):
    mount = {"volumeMounts": [{"name": "out", "mountPath": "/out"}], "terminationMessagePath": "/out/words"}
    on_error = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    seen = pods.tell(
        "words", container("path", "echo there > /out/words", **mount),
        words("id -u", "nobody", securityContext={"runAsUser": 65534}),
        container("file", "echo log; exit 1"),
        container("good", "echo log; exit 0", **on_error), container("bad", "echo log; exit 1", **on_error),
        container("both", "echo log; echo file > /dev/termination-log; exit 1", **on_error),
        volumes=[{"name": "out", "emptyDir": {}}])
    pods.checks.equal(seen, {"path": "there\n", "nobody": "65534\n", "file": "", "good": "", "bad": "log\n", "both": "file\n"},
                      "last words come from the path that is said, or from the log, when that is said and it failed without any")
    long = pods.tell("long", words("printf %01000d 0; printf %04096d 0 | tr 0 x"))["web"]
    pods.checks.ok(long == "x" * 4096, "of many words the last 4096 bytes", f"{len(long)} bytes: {long[:10]}...{long[-10:]}")
    pods.delete("words", "long")


def stops(pods):
    """By lifecycle.stopSignal, by the image's STOPSIGNAL, or by SIGTERM; who does not listen is killed."""
    pods.create("stopped", container("plain", HEARS, **IS_READY), container("image", HEARS, image="says:says", **IS_READY),
                container("own", HEARS, image="says:says", lifecycle={"stopSignal": "SIGUSR2"}, **IS_READY),
                os={"name": "linux"}, restartPolicy="Never", terminationGracePeriodSeconds=100000)
    pods.create("deaf", container("deaf", "trap '' TERM; touch /tmp/hears; while :; do sleep 0.1; done", **IS_READY),
                restartPolicy="Never")
    for name in ("stopped", "deaf"):
        pods.wait_ready(name)
        pods.patch(name, {"spec": {"activeDeadlineSeconds": 1}})
    def ended(name):
        states = pods.states(name).values()
        return all("terminated" in one["state"] for one in states) and {one["name"]: one["state"]["terminated"] for one in states}
    ends = c.wait_until("all have ended", lambda: ended("stopped")) | c.wait_until("it has ended", lambda: ended("deaf"))
    pods.checks.equal({name: (end["exitCode"], end.get("message", "")) for name, end in ends.items()},
                      {"plain": (0, "TERM\n"), "image": (0, "USR1\n"), "own": (0, "USR2\n"), "deaf": (137, "")},
                      "each is stopped by its signal, and killed when it does not end by it within its grace")
    pods.delete("stopped", "deaf")


class Typist:
    """kubectl on a terminal."""

    def __init__(self, control, *arguments):
        self.ours, theirs = pty.openpty()
        environment = {**os.environ, "HOME": str(control.folder), "TERM": "dumb"}
        self.client = subprocess.Popen(control.kubectl_command(*arguments), stdin=theirs, stdout=theirs, stderr=theirs,
                                       env=environment, start_new_session=True)
        os.close(theirs)
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.client.poll() is None:
            self.client.kill()
        self.client.wait()
        os.close(self.ours)

    def read(self):
        if select.select([self.ours], [], [], 0.1)[0]:
            try:
                self.seen += os.read(self.ours, 4096)
            except OSError:  # its other end is closed
                time.sleep(0.1)
        return self.seen

    def type_until(self, line, answer):
        """Types a line until that is answered: what is typed before it is attached may be lost."""
        next_try = 0

        def answers():
            nonlocal next_try
            if time.monotonic() > next_try:
                os.write(self.ours, line)
                next_try = time.monotonic() + 5
            return answer in self.read()
        try:
            c.wait_until(f"{line!r} is answered", answers, limit=LIMIT)
        except c.Failure as failure:
            raise c.Failure(f"{failure}: {self.seen.decode(errors='replace')}") from failure

    def end(self):
        c.wait_until("kubectl ends", lambda: self.read() is not None and self.client.poll() is not None, limit=LIMIT)
        return self.client.returncode


def run_arguments(pods, name, *arguments):
    """kubectl run: it has no flag for a node."""
    overrides = {"apiVersion": "v1", "spec": {"nodeName": pods.node.name, "automountServiceAccountToken": False,
                                              "terminationGracePeriodSeconds": 1}}
    return ["run", name, f"--image={IMAGE}", "--image-pull-policy=IfNotPresent", f"--overrides={json.dumps(overrides)}",
            "--pod-running-timeout=10m", *arguments]


def streams(pods):
    with Typist(pods.control, *run_arguments(pods, "typed", "-it", "--rm", "--restart=Never", "--", "/bin/sh")) as typist:
        typist.type_until(b"echo $((6*7))-$(tty)\r", b"42-/dev/pts")
        pods.checks.ok(True, "kubectl run -it has a shell on a terminal")
        os.write(typist.ours, b"exit 0\r")
        pods.checks.equal(typist.end(), 0, "and ends with it")
    c.wait_until("it is gone", lambda: not pods.field("typed", ".metadata.name"))
    pods.checks.ok(True, "--rm removes the pod")

    done = pods.control.kubectl(*run_arguments(pods, "piped", "-i", "--restart=Never", "--", "/bin/sh", "-c",
                                               "cat > /dev/termination-log"), given="one\ntwo\n", limit=LIMIT)
    pods.checks.equal(done.returncode, 0, f"kubectl run -i ends with its input: {done.stderr}")
    pods.checks.equal(pods.ends("piped")["piped"]["message"], "one\ntwo\n", "what was piped in is all there")
    pods.delete("piped")


def attaches(pods):
    """stdinOnce: the first who attaches, and leaves, ends it; without it the next one goes on where that left."""
    reads = "while read line; do echo got $line; echo $line >> /dev/termination-log; done; exit 3"
    pods.create("attached", container("once", reads, stdin=True, stdinOnce=True), container("open", reads, stdin=True),
                container("terminal", "exec /bin/sh", stdin=True, tty=True), restartPolicy="Never")
    pods.wait_ready("attached")

    def heard(name):
        return pods.node.crictl("exec", identities[name], "cat", "/dev/termination-log").stdout.split()
    identities = {name: key for key, name in pods.running("attached")}
    for lines in (["first"], ["first", "second"]):
        # It goes on for as long as the container runs; who leaves it closes nothing.
        with subprocess.Popen(pods.control.kubectl_command("attach", "-i", "attached", "-c", "open"), text=True, stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
            try:
                client.stdin.write(lines[-1] + "\n")
                client.stdin.close()
                c.wait_until("what was sent has come", lambda: heard("open") == lines)
            finally:
                client.kill()
    pods.checks.ok("running" in pods.states("attached")["open"]["state"], "who leaves does not end it, and the next one is heard, too")
    done = pods.control.kubectl("attach", "-i", "attached", "-c", "once", given="only\n", limit=LIMIT)
    pods.wait("attached", ".status.containerStatuses[?(@.name=='once')].state.terminated.exitCode", "3")
    pods.checks.equal((done.returncode, pods.states("attached")["once"]["state"]["terminated"]["message"]), (0, "only\n"),
                      f"with stdinOnce its input ends with the first who attached: {done.stderr}")
    with Typist(pods.control, "attach", "-it", "attached", "-c", "terminal") as typist:
        typist.type_until(b"echo $((6*7))-$(tty)\r", b"42-/dev/pts")
        pods.checks.ok(True, "kubectl attach -it has the terminal that the container runs on")
    pods.delete("attached")


def story(checks):
    with ready_node(checks) as (node, control):
        node.approve_serving(control)
        load_images(node)
        pods = Pods(checks, control, node)
        for part in (commands, last_words, stops, streams, attaches):
            part(pods)
        pods.clear()


c.main(story)
