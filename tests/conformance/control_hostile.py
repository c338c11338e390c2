#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
# faults
"""What strangers and users can send to gantry-control over TLS: bombs, floods, slowness, sizes. Each is bounded and answered,
and neither memory nor the log grows with it. Published: CVE-2019-11253 (YAML and JSON bombs), CVE-2019-1002100 (JSON patches
that copy), CVE-2019-9512, 9514, 9515 and CVE-2023-44487 (HTTP/2 floods, rapid reset), CVE-2023-45288 (endless headers)."""
import gzip
import json
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import checks as c
import http_attacks
from control import Control
from http2 import PREFACE

IDLE = 10_000 if c.ALL else 500
KEPT = 48 << 10  # of a connection with HTTP/2 that was idle: the heap keeps it for the next ones
MAPS = "/api/v1/namespaces/default/configmaps"


class World(http_attacks.Target):
    def __init__(self, control):
        super().__init__("127.0.0.1", control.port, control.data / "pki/ca.crt", control.administrator())
        self.control = control

    def memory(self):
        status = pathlib.Path(f"/proc/{self.control.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) << 10


def bombs(checks, world):
    """Documents that are small on the wire and large in memory."""
    json_type, yaml_type = {"Content-Type": "application/json"}, {"Content-Type": "application/yaml"}
    deep = "[" * 200_000
    aliases = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [" + ",".join([f"*{chr(97 + i)}"] * 9) + "]\n" for i in range(12))
    merged = "base: &b {k: v}\n" + "".join(f"k{i}: {{<<: *b}}\n" for i in range(50_000))
    cases = [
        ("JSON that is nested 200,000 deep", "POST", MAPS, deep, json_type),
        ("a JSON object that is", "POST", MAPS, '{"a":' * 150_000, json_type),
        ("YAML that is", "POST", MAPS, deep, yaml_type),
        ("YAML aliases of aliases", "POST", MAPS, aliases, yaml_type),
        ("YAML with fifty thousand merges", "POST", MAPS, merged, yaml_type),
        ("a body that calls itself gzip", "POST", MAPS, gzip.compress(b"{" * (64 << 20)),
         {**json_type, "Content-Encoding": "gzip"}),
        ("half a million empty lists", "POST", MAPS, "[" + "[]," * 700_000 + "[]]", json_type),
        ("protobuf that is none", "POST", MAPS, b"k8s\0" + b"\x0a\xff\xff\xff\xff\x0f" * 1000,
         {"Content-Type": "application/vnd.kubernetes.protobuf"}),
        ("four megabytes", "POST", MAPS, "x" * (4 << 20), json_type),
        ("a deep apply", "PATCH", MAPS + "/a?fieldManager=x&force=true", deep, {"Content-Type": "application/apply-patch+yaml"}),
        ("a deep merge patch", "PATCH", MAPS + "/a", '{"a":' * 150_000, {"Content-Type": "application/merge-patch+json"}),
    ]
    for what, method, path, body, headers in cases:
        status, answer = world.ask(method, path, body, headers)
        checks.ok(400 <= status < 500, f"{what}: refused", (status, answer[:300]))


def patches(checks, world):
    headers = {"Content-Type": "application/json-patch+json"}
    doubling = [{"op": "add", "path": "/metadata/annotations", "value": {"a": "x" * 100}}]
    doubling += [{"op": "copy", "from": "/metadata", "path": f"/metadata/labels{i}"} for i in range(40)]
    many = [{"op": "copy", "from": "/data", "path": f"/metadata/x{i}"} for i in range(10_001)]
    long_path = [{"op": "test", "path": "/" + "a/" * 400_000, "value": 1}]
    for what, patch in (("copies that double", doubling), ("10,001 operations", many), ("a path of 400,000 steps", long_path)):
        before = world.memory()
        status, answer = world.ask("PATCH", MAPS + "/a", json.dumps(patch), headers)
        checks.ok(400 <= status < 500, f"a JSON patch with {what}: refused", (status, answer[:300]))
        checks.ok(world.memory() - before < 128 << 20, "and costs no memory", world.memory() - before)


def sizes(checks, world):
    long = "x" * 40_000
    cases = [
        ("a URL of 40,000 bytes", "/api/v1/" + long, ()),
        ("a header of 40,000 bytes", MAPS, {"X-Long": long}),
        ("a thousand and one parameters", MAPS + "?" + "&".join(f"a{i}=1" for i in range(1001)), ()),
        ("a selector of 2,500 values that does not end", MAPS + "?labelSelector=a+in+(" + ",".join(f"v{i}" for i in range(2500)) + ",,(", ()),
        ("a selector that does not end", MAPS + "?labelSelector=" + "(" * 5000, ()),
        ("a field selector of commas", MAPS + "?fieldSelector=" + "," * 5000 + "=", ()),
        ("a token that is none", MAPS + "?continue=" + "A" * 20_000, ()),
        ("a limit without sense", MAPS + "?limit=99999999999999999999", ()),
        ("a broken escape", MAPS + "/%zz", ()),
    ]
    for what, path, headers in cases:
        status, answer = world.ask("GET", path, headers=headers)
        checks.ok(400 <= status < 500, f"{what}: refused", (status, answer[:300]))
    status, _ = world.ask("GET", MAPS, headers={"Authorization": "Bearer " + "a.b.c" * 5000}, known=False)
    checks.ok(400 <= status < 500, "a token of 25,000 bytes: refused", status)
    status, _ = world.ask("GET", MAPS, headers={f"Impersonate-Extra-{i}": "x" for i in range(90)})
    checks.ok(400 <= status < 500, "ninety extras without a user: refused", status)


def idle(checks, world):
    before = world.memory()
    kept = []
    for _ in range(IDLE):
        connection = world.connect(["h2"], known=False)
        connection.sendall(PREFACE)
        kept.append(connection)
    start = time.monotonic()
    checks.equal(world.ask("GET", "/version")[0], 200, f"among {IDLE} idle connections a new one is served")
    c.log(f"in {time.monotonic() - start:.3f} s; {(world.memory() - before) // IDLE >> 10} KiB each")
    for connection in kept:
        connection.close()


def story(checks):
    with Control(checks) as control:
        control.out("create", "configmap", "a", "--from-literal=a=b")
        world = World(control)
        slow = http_attacks.begin_slow(world, MAPS)
        before = world.memory()
        bombs(checks, world)
        patches(checks, world)
        sizes(checks, world)
        http_attacks.garbage(checks, world)
        http_attacks.floods(checks, world, "/api/v1/pods")
        checks.equal(world.ask("GET", "/version")[0], 200, "resets, headers and pings without end: others are served")
        idle(checks, world)
        http_attacks.end_slow(checks, slow)
        c.log(f"{(world.memory() - before) >> 20} MiB more than before")
        grown = world.memory() - before
        checks.ok(grown < (256 << 20) + IDLE * KEPT, "after all that its memory is bounded", grown)
        lines = control.log().count("\n")
        checks.ok(lines < 100, "and so is its log", control.log()[:4000])
        checks.equal(control.out("get", "configmap", "a", "-o", "jsonpath={.data.a}"), "b", "the cluster is as it was")


c.main(story)
