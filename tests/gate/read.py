"""Reads documents as an API in Python would, and says what it finds at the pointers.

The first line of the input is the rules, a list of objects; every other line is a document in
hexadecimal. A document is answered with one line: what is found by each entry of the rules, with
tabs in between. What is no string is shown as `null`, and so is all of what is no JSON to Python.

With the argument `first` the first of two members of one name counts, as to some other parsers;
with `fold`, upper and lower case are the same, as to others.
"""

import json
import sys

ABSENT = []
MODE = (sys.argv + ["last"])[1]


def step(value, token):
    if isinstance(value, list):
        if token == "*":
            return value
        if token.isascii() and token.isdigit() and str(int(token)) == token:
            return value[int(token):][:1]
        return ABSENT
    if isinstance(value, dict):
        return [inner for name, inner in value.items() if same(name, token)][-1:]
    return ABSENT


def same(name, token):
    return name == token or MODE == "fold" and name.casefold() == token.casefold()


def members(pairs):
    return dict(reversed(pairs) if MODE == "first" else pairs)


def tokens(pointer):
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def find(document, pointer):
    values = [document]
    for token in tokens(pointer):
        values = [inner for value in values for inner in step(value, token)]
    return values


def judged(rules, pointer, name):
    """Whether another rule looks at this member of what a pointer finds."""
    member = tokens(pointer) + [name]
    others = [tokens(other) for pointers in rules.values() for other in pointers]
    return any(
        other[: len(member)] == member and set(other[len(member):]) <= {"*"} for other in others
    )


def read(document, rules):
    found = {kind: [] for kind in ("permission", "events", "attributes", "tags")}
    for kind in ("permission", "events"):
        for pointer in rules.get(kind, []):
            found[kind] += find(document, pointer)
    for pointer in rules.get("tags", []):
        for value in find(document, pointer):
            found["tags"] += value if isinstance(value, list) else [value]
    for pointer in rules.get("attributes", []):
        for value in find(document, pointer):
            names = value if isinstance(value, dict) else [None]
            found["attributes"] += [name for name in names if not judged(rules, pointer, name)]
    return {kind: shown(values) for kind, values in found.items()}


def shown(values):
    return sorted((value if isinstance(value, str) else None for value in values), key=json.dumps)


def answer(line, all_rules):
    try:
        document = json.loads(bytes.fromhex(line), object_pairs_hook=members)
    except (ValueError, RecursionError):
        return [None for rules in all_rules]
    return [read(document, rules) for rules in all_rules]


all_rules = json.loads(sys.stdin.readline())
for line in sys.stdin:
    print(*(json.dumps(found, separators=(",", ":")) for found in answer(line, all_rules)), sep="\t")
