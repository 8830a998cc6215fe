#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
The reference part of docs/netlink.md, from the specification:

    netlink-reference.py SPECIFICATION
"""

import sys

import yaml

PERMISSIONS = {
    "uns-admin-perm": "`CAP_NET_ADMIN` in the socket's network namespace",
    "admin-perm": "`CAP_NET_ADMIN` in the initial user namespace",
}


def line(text):
    """A text as one line of Markdown. The kernel's documentation writes @name for attributes."""
    words = (text or "").split()
    return " ".join(f"`{w[1:].rstrip('.,')}`{w[len(w.rstrip('.,')):]}" if w[0] == "@" else w for w in words)


def names(attributes):
    """Attributes, by name."""
    return ", ".join(f"`{name}`" for name in attributes) or "none"


def operations(spec):
    """Requests, and what they are answered with."""
    print("\n### Requests")
    for op in spec["operations"]["list"]:
        if "notify" in op:
            continue
        flags = op.get("flags", [])
        print(f"\n#### {op['name']}\n")
        print(line(op["doc"]))
        if flags:
            print("Needs " + ", ".join(PERMISSIONS[flag] for flag in flags) + ".")
        print()
        for mode in "do", "dump":
            if mode not in op:
                continue
            asks = names(op[mode].get("request", {}).get("attributes", []))
            print(f"- **{mode}**: request {asks}", end="")
            reply = op[mode].get("reply", {}).get("attributes")
            if mode == "dump" and "do" in op and reply == op["do"].get("reply", {}).get("attributes"):
                print("; reply as for do")
            elif reply:
                print(f"; reply {names(reply)}")
            else:
                print("; acknowledged")
        print(f"\nAttributes: [{op['attribute-set']}](#attributes-{op['attribute-set']})")


def notifications(spec):
    """What the kernel sends unasked."""
    print("\n### Notifications\n")
    print("| notification | group | content as of | when |\n|---|---|---|---|")
    for op in spec["operations"]["list"]:
        if "notify" in op:
            print(f"| `{op['name']}` | `{op['mcgrp']}` | `{op['notify']}` | {line(op['doc'])} |")


def attributes(spec):
    """What messages are made of."""
    for space in spec["attribute-sets"]:
        print(f"\n### Attributes: {space['name']}\n")
        if "doc" in space:
            print(line(space["doc"]) + "\n")
        print("| attribute | type | meaning |\n|---|---|---|")
        for attr in space["attributes"]:
            kind = attr.get("enum") or attr.get("nested-attributes") or attr["type"]
            if attr.get("multi-attr"):
                kind += ", several"
            limits = [f"{key} {value}" for key, value in attr.get("checks", {}).items()]
            print(f"| `{attr['name']}` | {'; '.join([kind] + limits)} | {line(attr.get('doc'))} |")


def definitions(spec):
    """Numbers with names."""
    for item in spec["definitions"]:
        print(f"\n### {item['type'].capitalize()}: {item['name']}\n")
        if "doc" in item:
            print(line(item["doc"]) + "\n")
        if item["type"] == "const":
            print(f"{item['value']}")
            continue
        print("| name | number | meaning |\n|---|---|---|")
        number = item.get("value-start", 0)
        for index, entry in enumerate(item["entries"]):
            entry = {"name": entry} if isinstance(entry, str) else entry
            value = 1 << index if item["type"] == "flags" else number + index
            print(f"| `{entry['name']}` | {value} | {line(entry.get('doc'))} |")


def main():
    """Prints the reference."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = yaml.safe_load(file)
    print()
    for paragraph in spec["doc"].strip().split("\n\n"):
        print(line(paragraph) + "\n")
    operations(spec)
    notifications(spec)
    attributes(spec)
    definitions(spec)


main()
