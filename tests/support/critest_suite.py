# SPDX-License-Identifier: Apache-2.0
"""Upstream's test suite of the CRI, wherever the node is that it judges: the program, how it is called, what its report says."""
import collections
import json
import pathlib
import random
import re
import shutil

import checks as c
from cri_client import SOCKET
from critest_images import FIXED_DIGEST, HOSTS

WORDS = ("passed", "failed", "skipped", "left out")


def new_seed():
    """Of the order of the specs."""
    return random.randrange(1, 1 << 31)


def suite_for(digest):
    """critest, with the digest that our image has in place of the one that it was built with."""
    program = pathlib.Path(shutil.which("critest") or "critest").read_bytes()
    if program.count(FIXED_DIGEST.encode()) != 1:
        raise c.Failure("critest: the digest of test-image-digest is not in it once; this version wants another one")
    return program.replace(FIXED_DIGEST.encode(), digest.removeprefix("sha256:").encode())


def mirrors(registry):
    """gantryd's folder of registries, by which the hosts that critest names are `registry`, HOST:PORT: {path: text}."""
    return {f"{host}/hosts.toml": f'[host."http://{registry}"]\n' for host in HOSTS}


def arguments(report, seed, limit, left_out=(), focus="", handler=""):
    """critest's. `limit` is that of all specs together, in seconds; `left_out` are parts of names."""
    return [f"--runtime-endpoint={SOCKET}", f"--image-endpoint={SOCKET}", f"--ginkgo.seed={seed}", "--ginkgo.no-color",
            f"--ginkgo.json-report={report}", f"--ginkgo.timeout={limit}s", *(f"--ginkgo.skip={part}" for part in left_out),
            *([f"--ginkgo.focus={focus}"] if focus else []), *([f"--runtime-handler={handler}"] if handler else [])]


class Spec:
    def __init__(self, told):
        self.name = " ".join([*(told["ContainerHierarchyTexts"] or []), told["LeafNodeText"]])
        self.state, self.seconds = told["State"], told["RunTime"] / 1e9
        self.said = " ".join((told.get("Failure") or {}).get("Message", "").split())
        self.output = told.get("CapturedGinkgoWriterOutput", "")
        # One that is skipped and does not say why was not chosen: a benchmark, or out of focus.
        self.is_chosen = self.state != "skipped" or bool(self.said)


def specs_of(report):
    return [Spec(each) for suite in json.loads(report) for each in suite["SpecReports"] or [] if each["LeafNodeType"] == "It"]


def tell(checks, report, elsewhere="", left_out=(), reason=""):
    """A check for each spec of a report, and a line that counts them. `elsewhere`, the kind of tests where those belong that skip
    themselves and those that are left out, the latter for `reason`; without it a skip is a failure."""
    counts = collections.Counter()
    for spec in specs_of(report):
        is_left_out = any(part in spec.name for part in left_out)
        if not is_left_out and not spec.is_chosen:
            continue
        word = "left out" if is_left_out else spec.state if spec.state in WORDS else "failed"
        counts[word] += 1
        if elsewhere and spec.state == "skipped":
            checks.skip(spec.name, f"belongs in {elsewhere}: {reason if is_left_out else spec.said}")
        else:
            checks.ok(spec.state == "passed", spec.name, f"{spec.state}, after {spec.seconds:.0f} s: {spec.said}\n{spec.output[-3000:]}")
    c.log(f"critest: {in_words(counts)}{f': {reason}' * bool(counts['left out'])}")


def in_words(counts):
    return ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word] or word != "left out")


def counted(said):
    """The counts of tell()'s last line in what a test said."""
    line = re.findall(r"^# critest: (.*)$", said, re.MULTILINE)[-1:]
    return collections.Counter({word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+(?: out)?)", "".join(line))})
