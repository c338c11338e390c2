#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: crictl
# limit: 1800
"""A node's certificates are renewed before they end: the one that it asks the API server with, and the one that it is asked by. Their
time is made short by certificates of the cluster's CA that are near their end when gantryd starts; whoever looks sees others afterwards,
and pods and sessions with the API go on."""
import datetime
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
from cluster import NODE_ADDRESS, JoiningNode, NodeControl
from kubelet import subject_of
from pods import Pods, container

HOUR = datetime.timedelta(hours=1)
# openssl ca, without a database that anybody reads.
CA_CONFIG = """
[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
organizationName = optional
commonName = supplied
[extensions]
keyUsage = critical, digitalSignature
extendedKeyUsage = {usage}
{names}
"""


def openssl(*arguments, **more):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL, **more)
    if done.returncode:
        raise c.Failure(f"openssl {arguments[0]}: {done.stderr}")
    return done.stdout


def issue(control, folder, name, usage, names=""):
    """A certificate of the cluster's CA for the node `name`, and its key, as one text: nine tenths of its hundred hours are over."""
    folder.mkdir()
    (folder / "index").touch()
    (folder / "config").write_text(CA_CONFIG.format(folder=folder, usage=usage, names=names))
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "key", "-out",
            folder / "request", "-subj", subject_of(name))
    now = datetime.datetime.now(datetime.timezone.utc)
    from_, to = ((now + hours * HOUR).strftime("%Y%m%d%H%M%SZ") for hours in (-95, 5))
    pki = control.data / "pki"
    openssl("ca", "-batch", "-notext", "-config", folder / "config", "-cert", pki / "ca.crt", "-keyfile", pki / "ca.key", "-in",
            folder / "request", "-out", folder / "certificate", "-startdate", from_, "-enddate", to, "-extensions", "extensions")
    return (folder / "certificate").read_text() + (folder / "key").read_text()


def keep(node, kind, text):
    """In the place of the one that the node has: the file that a link names."""
    (node.pki / f"kubelet-{kind}-current.pem").resolve().write_text(text)


def end_of(path):
    """When a certificate ends."""
    said = openssl("x509", "-noout", "-enddate", "-in", path).strip().split("=", 1)[1]
    return datetime.datetime.strptime(said, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=datetime.timezone.utc)


def is_long(path):
    try:
        return end_of(path) - datetime.datetime.now(datetime.timezone.utc) > 100 * HOUR
    except c.Failure:  # between two files
        return False


def requests(control, signer):
    return [one for one in control.json("get", "csr")["items"] if one["spec"]["signerName"] == f"kubernetes.io/{signer}"]


def fingerprint(path):
    return openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", path).strip().split("=", 1)[1]


def shown(node, control, folder):
    """The fingerprint of the certificate that the node shows on its port."""
    file = folder / "shown.pem"
    done = subprocess.run([*control.enter, "openssl", "s_client", "-connect", f"{NODE_ADDRESS}:10250"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if "BEGIN CERTIFICATE" not in done.stdout:
        return None
    file.write_text(done.stdout)
    return fingerprint(file)


def client(checks, node, control, folder):
    current = node.pki / "kubelet-client-current.pem"
    joined = fingerprint(current)
    known = len(requests(control, "kube-apiserver-client-kubelet"))
    keep(node, "client", issue(control, folder / "client", node.name, "clientAuth"))
    old, before = fingerprint(current), current.resolve()
    node.kill_gantryd()
    c.wait_until("the node has another client certificate", lambda: is_long(current))
    checks.ok(fingerprint(current) not in (old, joined), "a client certificate that is near its end is renewed", str(end_of(current)))
    asked = requests(control, "kube-apiserver-client-kubelet")[known:]
    asked_by = {one["spec"]["username"] for one in requests(control, "kube-apiserver-client-kubelet")}
    checks.ok(asked and f"system:node:{node.name}" in asked_by, "the node asked for it itself", str(asked))
    mode = current.stat().st_mode & 0o777
    checks.equal((current.is_symlink(), mode, "PRIVATE KEY" in current.read_text()), (True, 0o600, True),
                 "it is kept as kubelet keeps it: a link to a file that nobody else reads")
    checks.ok(current.resolve() != before and before.exists(), "the one before it is kept, too")


def serving(checks, node, control, folder):
    current = node.pki / "kubelet-server-current.pem"
    keep(node, "server", issue(control, folder / "server", node.name, "serverAuth",
                               f"subjectAltName=DNS:{node.name},IP:{NODE_ADDRESS}"))
    old = fingerprint(current)
    node.kill_gantryd()
    c.wait_until("the node shows the one that it has", lambda: shown(node, control, folder) == old)
    checks.ok(True, "while nobody has approved another the old serving certificate is shown")
    pid = node.gantryd_pid()
    node.approve_serving(control)
    c.wait_until("the node has another serving certificate", lambda: is_long(current))
    c.wait_until("and shows it", lambda: shown(node, control, folder) == fingerprint(current))
    checks.equal(node.gantryd_pid(), pid, "a serving certificate that is near its end is renewed, and shown at once, without a start")
    return pid


def goes_on(checks, node, control, pid):
    pods = Pods(checks, control, node)
    pods.create("after", container("web", "echo served; sleep 1000"))
    pods.wait_ready("after")
    c.wait_until("kubectl reads its log", lambda: control.kubectl("logs", "after").stdout == "served\n")
    checks.equal(node.gantryd_pid(), pid, "pods are run, and kubectl reaches them, by the new ones")
    node.kill_gantryd()
    node.wait_for_gantryd()
    node.wait_until_ready(control)
    pods.delete("after")
    checks.ok(True, "and after the next start")


def story(checks):
    with JoiningNode(checks) as node, NodeControl(checks, node) as control:
        node.build_image()
        node.join(control.join_words())
        node.kill_gantryd()
        node.wait_until_ready(control)
        node.approve_serving(control)
        client(checks, node, control, node.work)
        pid = serving(checks, node, control, node.work)
        goes_on(checks, node, control, pid)


c.main(story)
