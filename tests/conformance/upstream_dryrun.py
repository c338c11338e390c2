#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
# tools: kube-apiserver
# limit: 1800
# long
"""The same requests to gantry-control and to upstream's kube-apiserver, side by side. Documents of every kind
(upstream/documents.yaml) are taken by both alike; of the requests in upstream/requests.yaml the answers are the same, but for what
docs/conformance.md lists. With --write it puts that list there. With --changes documents are also sent changed in every field,
created and written over their first version, and --report tells what differs."""
import argparse
import json
import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import checks as c
from answers import compare
from changes import changes
from control import ROOT, Control
from upstream import Upstream, api_of

NAMESPACE = "default"
PAGE = ROOT / "docs/conformance.md"
BEGIN, END = "<!-- upstream_dryrun.py -->\n", "<!-- end of upstream_dryrun.py -->\n"
TYPES = {"json": "application/json-patch+json", "merge": "application/merge-patch+json",
         "strategic": "application/strategic-merge-patch+json", "apply": "application/apply-patch+yaml"}
AS = "application/json;as={};v=v1;g=meta.k8s.io"
ACCEPTS = {"table": AS.format("Table"), "partial": AS.format("PartialObjectMetadata"),
           "partials": AS.format("PartialObjectMetadataList")}
WIDEST = 90  # characters of an answer on the page


# kube-apiserver has nobody beside it that writes into workloads and pods.
ALONE = ("--scheduler", "false", "--controllers", ",".join(("*", *(f"-{name}-controller" for name in (
    "cronjob", "daemonset", "deployment", "disruption", "endpoints", "endpointslice", "endpointslice-mirroring", "horizontal-pod-autoscaler",
    "job", "local-volume-provisioner", "service-lb", "replicaset", "replicationcontroller", "statefulset")))))


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="documents whose kind or name has this in it")
    parser.add_argument("--changes", action="store_true", help="documents changed in every field, too")
    parser.add_argument("--report", type=pathlib.Path, help="where every difference is told, one JSON object a line")
    parser.add_argument("--write", action="store_true", help="the page's list is made anew")
    return parser.parse_args()


class Pair:
    """Both servers, and what was seen to differ."""

    def __init__(self, ours, theirs, report):
        self.ours, self.theirs, self.report = ours, theirs, report
        self.asked = 0
        self.kinds = {}
        for path in self.paths():
            for resource in self.theirs.ask("GET", path)[2]["resources"]:
                if "/" not in resource["name"]:
                    self.kinds[path.removeprefix("/apis/").removeprefix("/api/"), resource["kind"]] = path, resource

    def paths(self):
        groups = self.theirs.ask("GET", "/apis")[2]["groups"]
        return ["/api/v1", *(f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"])]

    def path_of(self, document, named=False):
        path, resource = self.kinds[document["apiVersion"], document["kind"]]
        name = f"/{document['metadata']['name']}" if named else ""
        return f"{path}{f'/namespaces/{NAMESPACE}' if resource['namespaced'] else ''}/{resource['name']}{name}"

    def ask(self, story, method, path, body=None, **more):
        """The answers of both, and how they differ: [(where, ours, theirs)]."""
        given = body if isinstance(body, str) else json.dumps(body)
        answers = [api.ask(method, path, body, **more) for api in (self.ours, self.theirs)]
        self.asked += 1
        found = compare(*answers, f"{path} {given}")
        for where, one, other in found if self.report else ():
            self.report.write(json.dumps({"story": story, "where": where, "ours": one, "theirs": other, "method": method,
                                          "path": path, "body": body}) + "\n")
        return answers, found


def try_document(pair, document, with_changes):
    """Created as it is, and deleted: the codes of both. Changed ones are tried in between."""
    kind = document["kind"]
    there, it = pair.path_of(document), pair.path_of(document, named=True)
    strict = "dryRun=All&fieldValidation=Strict"
    pair.ask(f"{kind} create", "POST", f"{there}?{strict}", document)
    for _, _, changed in changes(document) if with_changes else ():
        pair.ask(f"{kind} create", "POST", f"{there}?{strict}", changed)
    made, _ = pair.ask(f"{kind} create", "POST", there, document)
    if all(answer[0] == 201 for answer in made):
        pair.ask(f"{kind} update", "PUT", f"{it}?{strict}", document)
        for _, _, changed in changes(document) if with_changes else ():
            pair.ask(f"{kind} update", "PUT", f"{it}?{strict}", changed)
    for api in (pair.ours, pair.theirs):
        api.ask("DELETE", f"{it}?gracePeriodSeconds=0")
    return made


def try_requests(pair, title, requests):
    """The rows of the page: (title, where) with the first pair of answers that differed there."""
    rows = {}
    for request in requests:
        method = request.get("method", "GET")
        path = request["path"] + (f"?{request['query']}" if "query" in request else "")
        sent = "application/json"
        if method == "PATCH" or "type" in request:
            sent = TYPES.get(request["type"], request["type"])
        accept = ACCEPTS.get(request.get("accept"), request.get("accept") or "application/json")
        _, found = pair.ask(title, method, path, request.get("text", request.get("body")), content_type=sent, accept=accept)
        for where, one, other in found:
            rows.setdefault((title, where), (one, other))
    return rows


def cell(value):
    text = "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)
    text = text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
    return text if len(text) <= WIDEST else text[:WIDEST - 3] + "..."


def check_page(checks, rows, asked, write):
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    listed, after = rest.split(END)
    if write:
        lines = [f"| {title} | {where or 'the body'} | {cell(one)} | {cell(other)} |\n" for (title, where), (one, other) in rows.items()]
        PAGE.write_text(f"{before}{BEGIN}Of {asked} requests these differ somewhere:\n\n"
                        f"| requests | where | gantry-control | kube-apiserver |\n| --- | --- | --- | --- |\n{''.join(lines)}{END}{after}")
        return
    for (title, where), (one, other) in rows.items():
        if f"| {title} | {where or 'the body'} |" not in listed:
            checks.ok(False, f"{title}: {where} is the same, or listed in docs/conformance.md", f"ours   {one}\ntheirs {other}")
    checks.ok(True, f"the answers to {asked} requests were compared")


def prepare(pair):
    for path, document in (
            (f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}}),
            ("/apis/node.k8s.io/v1/runtimeclasses", {"metadata": {"name": "none"}, "handler": "none"})):
        for api in (pair.ours, pair.theirs):
            api.ask("POST", path, document)


def story(checks, chosen):
    documents = list(yaml.safe_load_all((HERE / "upstream/documents.yaml").read_text()))
    with Upstream(checks) as upstream, Control(checks, ALONE) as control, open(chosen.report or "/dev/null", "w") as report:
        pair = Pair(api_of(control), upstream.api, report if chosen.report else None)
        prepare(pair)
        rows, before = {}, pair.asked
        for part in yaml.safe_load((HERE / "upstream/requests.yaml").read_text()):
            rows.update(try_requests(pair, part["title"], part["requests"]))
        check_page(checks, rows, pair.asked - before, chosen.write)
        for document in documents:
            name = f"{document['kind']} {document['metadata']['name']}"
            if chosen.only.lower() in name.lower():
                ours, theirs = try_document(pair, document, chosen.changes)
                checks.ok(ours[0] == theirs[0] == 201, f"{name} is created", f"ours   {ours[::2]}\ntheirs {theirs[::2]}")
        c.log(f"{pair.asked} requests")


if __name__ == "__main__":
    chosen = options()
    c.main(lambda checks: story(checks, chosen))
