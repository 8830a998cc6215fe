#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
The kernel's own ynl library on EKHO's specification, as a process that stays:
starting Python takes an emulated machine many seconds.

    ynl.py KERNEL_TREE SPECIFICATION

Reads a command a line, and answers each with a line of JSON:

    do OPERATION JSON       the reply
    dump OPERATION JSON     the replies
    small OPERATION JSON    the replies to a dump, read by a new socket with a buffer of 6000 bytes
    begin OPERATION JSON    sends for a dump and reads one buffer of it: the objects in it
    finish                  the rest of it: see Dump.finish
    policies                where the kernel's policies differ from the specification
    subscribe GROUP         to its notifications
    notified N              the next N notifications, in the order in which they came
    quiet SECONDS           the notifications in this time
    drop                    from now on without any privilege
    sh COMMAND              its exit status

A refused request is {"error": NAME, "msg": ..., "bad-attr": ..., "miss-type": ...}.
"""

import errno
import json
import os
import pathlib
import subprocess
import sys
import time

TREE, SPEC = sys.argv[1:]
sys.path.append(str(pathlib.Path(TREE) / "tools/net/ynl/pyynl"))
# pylint: disable=import-error,wrong-import-position
from lib import Netlink, NlError, YnlFamily
from lib.ynl import NlMsgs

NLM_F_DUMP_INTR = 0x10


class Dump:
    """A dump that is read by hand, a buffer at a time."""

    def __init__(self, ynl, operation, values):
        self.ynl = ynl
        self.op = ynl.ops[operation]
        # What follows is the size that iproute2 and others use.
        ynl.sock.send(ynl._encode_message(self.op, values, [Netlink.NLM_F_DUMP], 1))

    def read(self):
        """The messages of one buffer."""
        return list(NlMsgs(self.ynl.sock.recv(32768)))

    def objects(self, messages):
        """What they describe."""
        return [
            self.ynl._decode(
                self.ynl.nlproto.decode(self.ynl, message, self.op).raw_attrs,
                self.op.attr_set.name,
            )
            for message in messages
            if not message.done
        ]

    def finish(self):
        """
        Reads to the end: the objects of messages that weren't marked as interrupted, those of
        messages that were, and whether the last message, which ends the dump, was.
        """
        messages = []
        while not messages or not messages[-1].done:
            messages += self.read()
        marked = [message for message in messages if message.nl_flags & NLM_F_DUMP_INTR]
        return {
            "unmarked": self.objects(m for m in messages if m not in marked),
            "marked": self.objects(marked),
            "end-marked": messages[-1] in marked,
            "error": messages[-1].error,
        }


def expected_policy(ynl, op, mode):
    """The policy that the kernel should have for a request, by the specification."""
    attributes = op.yaml[mode].get("request", {}).get("attributes", [])
    policy = {}
    for name in attributes:
        attr = op.attr_set.attrs[name].yaml
        entry = {"type": {"string": "nul-string"}.get(attr["type"], attr["type"])}
        bits = {"u32": 32, "u64": 64, "uint": 64}.get(attr["type"])
        if bits:
            checks = attr.get("checks", {})
            entry["min-value"] = checks.get("min", 0)
            most = checks.get("max", 2**bits - 1)
            if isinstance(most, str):
                most = ynl.consts[most]["value"]
            if "enum" in attr:
                most = max(entry.value for entry in ynl.consts[attr["enum"]].entries.values())
            entry["max-value"] = most
        if attr["type"] == "string":
            entry["max-length"] = attr["checks"]["max-len"]
        policy[name] = entry
    return policy


def policies(ynl):
    """Where the kernel's policies differ from the specification."""
    differences = []
    for name, op in ynl.ops.items():
        for mode in "do", "dump":
            if mode not in op.yaml:
                continue
            policy = ynl.get_policy(name, mode)
            seen = policy.to_dict() if policy else {}
            expected = expected_policy(ynl, op, mode)
            if seen != expected:
                differences.append({"operation": f"{mode} {name}", "spec": expected, "kernel": seen})
    return differences


def plain(value):
    """Bytes as hexadecimal digits, and sets in order."""
    return value.hex() if isinstance(value, bytes) else sorted(value)


def notified(ynl, count, seconds):
    """At most so many notifications, and the seconds that they may take."""
    found = []
    until = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < until:
        for message in ynl.poll_ntf(duration=0.2):
            found.append(message)
    return found


def run(ynl, state, command, rest):
    """Carries out a command."""
    match command:
        case "do" | "dump":
            operation, _, values = rest.partition(" ")
            return getattr(ynl, command)(operation, json.loads(values or "{}"))
        case "small":
            operation, _, values = rest.partition(" ")
            small = YnlFamily(SPEC, schema="", recv_size=6000)
            return small.dump(operation, json.loads(values or "{}"))
        case "begin":
            operation, _, values = rest.partition(" ")
            state["dump"] = Dump(ynl, operation, json.loads(values or "{}"))
            return state["dump"].objects(state["dump"].read())
        case "finish":
            return state.pop("dump").finish()
        case "policies":
            return policies(ynl)
        case "subscribe":
            try:
                return ynl.ntf_subscribe(rest)
            except PermissionError as error:
                return {"error": errno.errorcode[error.errno]}
        case "notified":
            return notified(ynl, int(rest), 60)
        case "quiet":
            return notified(ynl, 1000, float(rest))
        case "drop":
            os.setgroups([])
            return os.setresuid(65534, 65534, 65534)
        case "sh":
            return subprocess.run(rest, shell=True, check=False).returncode
    raise SystemExit(f"no such command: {command}")


def main():
    """Commands from standard input, answers to standard output."""
    ynl = YnlFamily(SPEC, schema="")
    state = {}
    for line in sys.stdin:
        command, _, rest = line.strip().partition(" ")
        try:
            answer = run(ynl, state, command, rest)
        except NlError as error:
            answer = {"error": errno.errorcode[error.error]}
            extack = error.nl_msg.extack or {}
            answer |= {key: extack[key] for key in ("msg", "bad-attr", "miss-type") if key in extack}
        print(json.dumps(answer, default=plain), flush=True)


main()
