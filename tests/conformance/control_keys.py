#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""The CA and the key of tokens are changed while a server runs: who has what the old ones signed, and who trusts the old CA alone,
is welcome until they are retired. Killed anywhere, a rotation is undone or done, and can be done again."""
import base64
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import tracer
from control import BIN, Control

TRUSTED = ("-n", "default", "get", "configmap", "kube-root-ca.crt", "-o", "jsonpath={.data.ca\\.crt}")
INFO = ("-n", "kube-public", "get", "configmap", "cluster-info", "-o", "jsonpath={.data.kubeconfig}")
# write, fsync, unlinkat, renameat2
CHANGING = {"x86_64": {1, 74, 263, 316}, "aarch64": {64, 82, 35, 276}}[os.uname().machine]
CSR = """apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: NAME}
spec: {request: REQUEST, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}
"""


def openssl(*arguments, given=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=given, capture_output=True, text=True, timeout=c.PATIENCE)


def keys(data, *arguments):
    done = subprocess.run([BIN / "gantry-control", "--data-dir", data, "keys", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise c.Failure(f"keys {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def in_use(data, kind):
    return [line.split()[-1] for line in keys(data, "list").splitlines() if line.startswith(kind) and " in use " in line]


def certificates(text):
    return text.count("BEGIN CERTIFICATE")


def header(token):
    part = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def handshake(control, authorities):
    """What openssl says of the server, to whom it trusts these alone."""
    host, port = control.host, control.port
    done = openssl("s_client", "-connect", f"{host}:{port}", "-CAfile", authorities, "-no-CApath", "-no-CAstore", "-verify_return_error", given="")
    return done.returncode == 0 and "Verify return code: 0 (ok)" in done.stdout


def asks(control, kubeconfig, *arguments):
    """As the user of this kubeconfig, who has nothing else."""
    return subprocess.run([control.kubectl_command()[0], "--kubeconfig", kubeconfig, "--cache-dir", control.folder / "cache",
                           *arguments, "auth", "whoami"], capture_output=True, text=True, timeout=c.PATIENCE)


def with_token(control, authorities, token):
    return asks(control, "/dev/null", "--server", control.url, "--certificate-authority", authorities, "--token", token)


def request(control, name):
    """A certificate for a user, as a client gets it."""
    key = control.folder / f"{name}.key"
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    text = openssl("req", "-new", "-key", key, "-subj", f"/CN={name}").stdout
    control.out("apply", "-f", "-", given=CSR.replace("NAME", name).replace("REQUEST", base64.b64encode(text.encode()).decode()))
    control.out("certificate", "approve", name)
    answer = c.wait_until("it is signed", lambda: control.out("get", "csr", name, "-o", "jsonpath={.status.certificate}"))
    return base64.b64decode(answer).decode()


def new_ca(checks, control):
    old_config, old_ca, bundle = (control.folder / name for name in ("old.kubeconfig", "old.crt", "bundle.crt"))
    shutil.copy(control.kubeconfig, old_config)
    shutil.copy(control.data / "pki/ca.crt", old_ca)
    keys(control.data, "prepare", "ca")
    for what in (TRUSTED, INFO):
        c.wait_until("the next CA is published", lambda: certificates(published(control, what)) == 2)
    checks.ok(handshake(control, old_ca), "a CA that is prepared is published, and the old one issues")
    bundle.write_text(published(control, TRUSTED))
    (control.folder / "new.crt").write_text(openssl("x509", given=bundle.read_text()).stdout)
    keys(control.data, "rotate", "ca")
    c.wait_until("the new CA issues", lambda: handshake(control, control.folder / "new.crt"))
    c.wait_until("every part has it", lambda: control.log().count("keys and certificates have changed") >= 2)
    checks.ok(handshake(control, old_ca) and handshake(control, bundle), "openssl accepts the server, whichever CA it trusts")
    done = asks(control, old_config)
    checks.contains(done.stdout + done.stderr, "kubernetes-admin", "an old kubeconfig, with the old CA alone, goes on")
    checks.equal(certificates(base64.b64decode(control.json("config", "view", "--raw")["clusters"][0]["cluster"]["certificate-authority-data"]).decode()),
                 2, "the new kubeconfig trusts both")
    (control.folder / "user.crt").write_text(request(control, "user"))
    for name in ("old.crt", "new.crt"):
        done = openssl("verify", "-CAfile", control.folder / name, "-untrusted", control.folder / "user.crt", control.folder / "user.crt")
        checks.ok(done.returncode == 0, f"a certificate that is signed now is good by {name}", done.stdout + done.stderr)
    control.stop()
    control.start()
    checks.ok(handshake(control, old_ca) and asks(control, old_config).returncode == 0, "all of it also after a restart")
    keys(control.data, "retire", "ca")
    c.wait_until("the old CA is gone", lambda: asks(control, old_config).returncode != 0)
    c.wait_until("it is published no more", lambda: certificates(published(control, TRUSTED)) == 1 == certificates(published(control, INFO)))
    checks.ok(not handshake(control, old_ca) and handshake(control, control.folder / "new.crt") and
              control.kubectl("auth", "whoami").returncode == 0, "when the old CA is retired, who has it is not accepted, and others are")


def published(control, what):
    """With the certificates as PEM, wherever they are."""
    text = control.out(*what)
    for line in text.splitlines():
        if "certificate-authority-data:" in line:
            return base64.b64decode(line.split()[1]).decode()
    return text


def new_token_key(checks, control):
    def count():
        return len(json.loads(control.out("get", "--raw", "/openid/v1/jwks"))["keys"])
    ca = control.data / "pki/ca.crt"
    old = control.out("create", "token", "default").strip()
    keys(control.data, "prepare", "token")
    c.wait_until("the next key verifies", lambda: count() == 2)
    checks.equal(header(control.out("create", "token", "default"))["kid"], header(old)["kid"], "a key that is prepared signs nothing")
    keys(control.data, "rotate", "token")
    new = c.wait_until("the new key signs", lambda: next((token for token in [control.out("create", "token", "default").strip()]
                                                          if header(token)["kid"] != header(old)["kid"]), None))
    checks.equal(in_use(control.data, "token"), [header(new)["kid"]], "tokens name the new key, without a restart")
    for token, whose in ((old, "old"), (new, "new")):
        done = with_token(control, ca, token)
        checks.contains(done.stdout + done.stderr, "system:serviceaccount:default:default", f"a token of the {whose} key is good")
    keys(control.data, "retire", "token")
    c.wait_until("the old key verifies no more", lambda: count() == 1)
    checks.ok(with_token(control, ca, old).returncode != 0 and with_token(control, ca, new).returncode == 0,
              "when it is retired its tokens are refused, and others are not")


def killed(checks, data, kind):
    """Before each call by which a rotation changes something, on copies of the files."""
    copy, step, code = data.parent / f"killed-{kind}", 0, None
    while code != 0:
        step += 1
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(data / "pki", copy / "pki")
        before, left = in_use(copy, kind), [step]

        def meanwhile(number, *_):
            left[0] -= number in CHANGING
            return left[0] == 0

        code = tracer.run_holding([BIN / "gantry-control", "--data-dir", copy, "keys", "rotate", kind], meanwhile)
        after = in_use(copy, kind)
        keys(copy, "rotate", kind)
        last = in_use(copy, kind)
        if code not in (0, -signal.SIGKILL) or not len(before) == len(after) == len(last) == 1 or last == before:
            raise c.Failure(f"killed at change {step}: ended with {code}; {before} {after} {last}")
        if code == 0 and after == before:
            raise c.Failure("a rotation that was not killed changed nothing")
    checks.ok(step > 5, f"killed before any of {step - 1} changes that it makes, a rotation of {kind} can be done again")


def story(checks):
    with Control(checks) as control:
        new_ca(checks, control)
        new_token_key(checks, control)
        control.stop()
        for kind in ("ca", "token"):
            killed(checks, control.data, kind)


c.main(story)
