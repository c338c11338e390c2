# SPDX-License-Identifier: Apache-2.0
"""What the audit logs of servers say of the writes of their controllers and scheduler: whether each is one that changes nothing when it
comes too late, because another has done it, or the object is another one by now."""
import datetime
import json

import checks as c

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: Request
  users: ["system:kube-controller-manager", "system:kube-scheduler", "system:apiserver"]
  verbs: [create, update, patch, delete, deletecollection]
- level: Request
  userGroups: ["system:serviceaccounts:kube-system"]
  verbs: [create, update, patch, delete, deletecollection]
- level: None
"""


def arguments(folder, name):
    """With which a server keeps such a log, and its path."""
    policy, path = folder / f"{name}.policy", folder / f"{name}.audit"
    policy.write_text(POLICY)
    return ["--audit-policy-file", policy, "--audit-log-path", path, "--audit-log-maxsize", "1000"], path


def read(path):
    """The writes; a line that a kill has cut is none."""
    writes = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            writes.append(json.loads(line))
        except ValueError:
            continue
    return writes


def objection(write):
    """What is wrong with it; empty: nothing."""
    about, body = write["objectRef"], write.get("requestObject") or {}
    metadata, verb = body.get("metadata") or {}, write["verb"]
    if about["resource"] == "events" or write.get("annotations", {}).get("audit.k8s.io/truncated"):
        return ""
    if about["resource"] in ("subjectaccessreviews", "tokenreviews"):
        return ""  # questions
    if verb == "create" and about.get("subresource"):
        return "" if metadata.get("uid") else f"a {about['subresource']} without uid"
    if verb == "create":
        return "" if metadata.get("name") else "a name that is another one each time"  # generateName beside it says nothing
    if verb in ("update", "patch"):
        return "" if metadata.get("uid") or metadata.get("resourceVersion") else "without uid and resourceVersion"
    if verb == "delete":
        conditions = body.get("preconditions") or {}
        return "" if conditions.get("uid") or conditions.get("resourceVersion") else "without preconditions"
    return "of more than one object"


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def late(writes, terms):
    """Of one server's writes those that were begun while it did not hold the lease that they need. `terms` has (begin, end) of it as holder
    for each lease; what was begun in time may arrive late, and is what preconditions are for."""
    found = []
    for write in writes:
        user, resource = write["user"]["username"], write["objectRef"]["resource"]
        if user == "system:apiserver" or resource == "leases":
            continue  # what each server does, holder or not
        held = terms["kube-scheduler" if user == "system:kube-scheduler" else "kube-controller-manager"]
        began = moment(write["requestReceivedTimestamp"])
        if not any(begin <= began <= end for begin, end in held):
            found.append(f"{write['requestReceivedTimestamp']} {user} {write['verb']} {resource} {write['objectRef'].get('name')}")
    return found


def judge(checks, writes):
    """One check over all of them; how many of each resource and verb are in the log."""
    wrong, counts, again = [], {}, 0
    for write in writes:
        about = write["objectRef"]
        key = "/".join(filter(None, (about["resource"], about.get("subresource"), write["verb"])))
        counts[key] = counts.get(key, 0) + 1
        again += write["verb"] == "create" and write.get("responseStatus", {}).get("code") == 409
        if said := objection(write):
            wrong.append(f"{write['user']['username']} {key} {about.get('namespace')}/{about.get('name')}: {said}")
    c.log(", ".join(f"{key} {count}" for key, count in sorted(counts.items())))
    c.log(f"{again} were made for the second time, and refused")
    checks.ok(writes and not wrong, f"{len(writes)} writes bear a precondition or a name of their own", "\n".join(wrong[:40]))
