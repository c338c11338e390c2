# SPDX-License-Identifier: Apache-2.0
"""A document changed in one place at a time: each field left out, emptied, of a wrong value, of a wrong type."""
import copy

LONG = "x" * 300
# In the order of what is told: the name of the change and what stands there instead.
OF_TEXT = (("empty", ""), ("wrong", "Bad_Value!"), ("long", LONG), ("number", 7))
OF_NUMBER = (("negative", -1), ("zero", 0), ("huge", 1 << 31), ("text", "x"))
OF_FLAG = (("text", "yes"),)


def places(value, path=()):
    """Every place of a document with what stands there, but not what says what the document is."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not path and key in ("apiVersion", "kind") or path == ("metadata",) and key == "name":
                continue
            yield path + (key,), inner
            yield from places(inner, path + (key,))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield path + (i,), inner
            yield from places(inner, path + (i,))


def parent_of(document, path):
    for step in path[:-1]:
        document = document[step]
    return document


def edited(document, path, edit):
    out = copy.deepcopy(document)
    edit(parent_of(out, path), path[-1])
    return out


def put(value):
    def edit(parent, key):
        parent[key] = copy.deepcopy(value)
    return edit


def leave_out(parent, key):
    del parent[key]


def twice(parent, key):
    parent[key].append(copy.deepcopy(parent[key][0]))


def changes(document):
    """(where, what, the changed document) of each change."""
    for path, value in places(document):
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
        yield where, "left out", edited(document, path, leave_out)
        if isinstance(value, dict):
            kinds = [("empty", {}), ("text", "x")]
            yield where, "unknown field", edited(document, path + ("unknownField",), put(1))
        elif isinstance(value, list):
            kinds = [("empty", []), ("text", "x")]
            if value:
                yield where, "twice", edited(document, path, twice)
        elif isinstance(value, bool):
            kinds = [("turned", not value), *OF_FLAG]
        elif isinstance(value, int):
            kinds = [("other", value + 1), *OF_NUMBER]
        else:
            kinds = OF_TEXT
        for what, instead in kinds:
            if instead != value or type(instead) is not type(value):
                yield where, what, edited(document, path, put(instead))
