# SPDX-License-Identifier: Apache-2.0
"""Answers of two API servers to one request, compared: what each makes up by itself (uids, times, versions, addresses) is blanked,
and what is left is told as differences that read the same for every object of a kind."""
import json
import re

# What a server makes up: told apart from what the request said by standing in it.
MADE_UP = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UID"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b(127\.0\.0\.1|192\.0\.2\.\d+):\d{4,5}\b"), "SERVER"),
    (re.compile(r"(?<=kube-api-access-)[a-z0-9]{5}\b"), "NAME"),
    (re.compile(r"\b10\.(9[6-9]|10\d|11[01])\.\d+\.\d+\b"), "ADDRESS"),
)
VERSION = re.compile(r'(resourceVersion"?[=:] ?"?)\d+')


def blank_text(text, given):
    for pattern, name in MADE_UP:
        text = pattern.sub(lambda found: found[0] if found[0] in given else name, text)
    return VERSION.sub(r"\1VERSION", text)


def blank(value, given):
    """`value` without what its server made up; `given` is the request's text."""
    if isinstance(value, dict):
        out = {}
        for key, inner in value.items():
            if key == "columnDefinitions":  # each describes columns in its own words
                inner = [{name: said for name, said in column.items() if name != "description"} for column in inner or []]
            if key == "managedFields" and isinstance(inner, list):  # in the order of times, which differ
                inner = sorted(inner, key=lambda entry: json.dumps([entry.get("operation"), entry.get("manager"), entry]))
            if key in ("resourceVersion", "uid") and isinstance(inner, str) and f'"{inner}"' not in given:
                out[key] = key
            elif key in ("nodePort", "healthCheckNodePort") and isinstance(inner, int) and str(inner) not in given:
                out[key] = "PORT"
            else:
                out[key] = blank(inner, given)
        if generated := out.get("metadata"):
            if isinstance(generated, dict) and generated.get("generateName"):
                generated["name"] = re.sub(r"[a-z0-9]{5}$", "", str(generated.get("name")))
        return out
    if isinstance(value, list):
        return [blank(inner, given) for inner in value]
    return blank_text(value, given) if isinstance(value, str) else value


def general(path):
    return re.sub(r"\[\d+\]", "[]", path)


def short(value):
    text = "nothing" if value is None else repr(value)
    return text if len(text) < 200 else text[:197] + "..."


def has_names(value):
    return isinstance(value, list) and value and all(isinstance(entry, dict) and "name" in entry for entry in value)


def differences(ours, theirs, path=""):
    """(path, ours, theirs) of each place in which they differ; absent is None."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            yield from differences(ours.get(key), theirs.get(key), f"{path}.{key}" if path else key)
    elif has_names(ours) and has_names(theirs) and len(ours) != len(theirs):
        yield from differences(*({entry["name"]: entry for entry in entries} for entries in (ours, theirs)), path)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, (one, other) in enumerate(zip(ours, theirs)):
            yield from differences(one, other, f"{path}[{i}]")
    elif ours != theirs or type(ours) is not type(theirs):
        yield path, ours, theirs


def causes_of(answer):
    return [f"{cause.get('reason', '')} {general(cause.get('field', ''))}"
            for cause in (answer.get("details") or {}).get("causes") or []]


def refusal_differences(ours, theirs):
    """Of two refusals: which fields are at fault and for what. The sentences are each server's own."""
    mine, other = causes_of(ours), causes_of(theirs)
    missing, extra = [x for x in other if x not in mine], [x for x in mine if x not in other]
    for cause in missing:
        yield f"lacks {cause}", ours.get("message"), theirs.get("message")
    for cause in extra:
        yield f"has {cause}", ours.get("message"), theirs.get("message")
    if not missing and not extra and mine != other:
        yield "order or number of causes", mine, other
    without = [{key: value for key, value in answer.items() if key not in ("message", "details")} for answer in (ours, theirs)]
    details = [{key: value for key, value in (answer.get("details") or {}).items() if key != "causes"} for answer in (ours, theirs)]
    for path, one, two in [*differences(*without), *differences(*details, "details")]:
        yield general(path), one, two


def compare(ours, theirs, given):
    """The differences of two (status, headers, body): [(where, ours, theirs)], `where` without indices."""
    out = []
    if ours[0] != theirs[0]:
        out.append((f"code {ours[0]}, not {theirs[0]}", describe(ours), describe(theirs)))
        return out
    said, other = (blank_list(x[1].get_all("Warning") or [], given) for x in (ours, theirs))
    if said != other:
        out.append(("warnings", said, other))
    one, two = blank(ours[2], given), blank(theirs[2], given)
    if one == two:
        return out
    if all(isinstance(x, dict) and x.get("kind") == "Status" for x in (one, two)):
        return out + list(refusal_differences(one, two))
    return out + [(general(path), a, b) for path, a, b in differences(one, two)]


def blank_list(values, given):
    return [blank_text(value, given) for value in values]


def describe(answer):
    body = answer[2]
    if isinstance(body, dict) and body.get("kind") == "Status":
        return f"{answer[0]} {body.get('message', '')}"
    return f"{answer[0]}" if answer[0] < 300 else f"{answer[0]} {body}"
