#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Secrets are encrypted at rest by upstream's EncryptionConfiguration: what stands in the store's file, how keys are changed, and
what a key that is gone means."""
import base64
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from control import Control

WORD = "swordfish"


def config(path, *providers):
    keys = {"aesgcm": 16, "aescbc": 32, "secretbox": 32}
    written = []
    for each in providers:
        kind, _, name = each.partition(":")
        secret = base64.b64encode((name * keys.get(kind, 0))[:keys.get(kind, 0)].encode()).decode()
        written.append({kind: {"keys": [{"name": name, "secret": secret}]}} if name else {kind: {}})
    path.write_text(json.dumps({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
                                "resources": [{"resources": ["secrets"], "providers": written}]}))


def stored(control):
    """All bytes of the store, which is not running."""
    return b"".join(path.read_bytes() for path in control.data.glob("store.db*"))


def again(control, wanted=None):
    control.stop()
    control.start()
    if wanted:
        c.wait_until(wanted, lambda: wanted in control.log())


def word(control, name):
    return base64.b64decode(control.json("get", "secret", name)["data"]["word"]).decode()


def rotation(checks, control, path):
    control.out("create", "secret", "generic", "old", f"--from-literal=word={WORD}")
    config(path, "aesgcm:first", "identity")
    control.arguments += ["--encryption-provider-config", path]
    again(control, "values were encrypted anew count=\"1\"")
    control.out("create", "secret", "generic", "new", "--from-literal=word=haddock")
    checks.equal((word(control, "old"), word(control, "new")), (WORD, "haddock"), "secrets are read as before")
    control.stop()
    data = stored(control)
    checks.ok(b"haddock" not in data and b"k8s:enc:aesgcm:v1:first:" in data, "and stand encrypted in the store")
    for provider in ("secretbox:second", "aescbc:third"):
        before = control.log().count("encrypted anew")
        config(path, provider, "aesgcm:first", "secretbox:second")
        control.start()
        c.wait_until("the new key is used", lambda: control.log().count("encrypted anew") > before)
        checks.equal((word(control, "old"), word(control, "new")), (WORD, "haddock"), f"so they are with {provider}")
        control.stop()
    config(path, "aescbc:third")
    control.start()
    checks.equal((word(control, "old"), word(control, "new")), (WORD, "haddock"), "then the old keys may go")


def mistakes(checks, control, path):
    control.stop()
    config(path, "aesgcm:other", "identity")
    control.start()
    done = control.kubectl("get", "secret", "old")
    checks.ok(done.returncode != 0, "without its key a secret is an error", done.stdout + done.stderr)
    checks.contains(control.log(), "there is no key for", "which the log explains")
    control.out("create", "secret", "generic", "later", "--from-literal=word=x")
    checks.equal(control.out("get", "secrets", "-o", "name").split(), ["secret/later"], "the others are served")
    control.stop()
    path.write_text(path.read_text().replace("aesgcm", "rot13"))
    try:
        control.start()
        checks.ok(False, "a provider that is not there is an error at the start")
    except c.Failure as failure:
        checks.contains(str(failure), "resources[0].providers[0].rot13: unknown field",
                        "a provider that is not there is an error at the start")


def story(checks):
    with Control(checks) as control:
        path = control.folder / "encryption.yaml"
        rotation(checks, control, path)
        mistakes(checks, control, path)


c.main(story)
