#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
#
# flags.py DEV: the flags of the filters on the ingress of DEV, as the kernel has them: tc shows
# in_hw or not_in_hw, but not both. One line a filter, "PREF KIND FLAG...".

import socket
import struct
import sys

RTM_GETTFILTER, NLM_F_REQUEST_DUMP, NLMSG_ERROR, NLMSG_DONE = 46, 0x301, 2, 3
TC_H_INGRESS = 0xFFFFFFF2
TCA_KIND, TCA_OPTIONS = 1, 2
# The attribute that has the flags, below TCA_OPTIONS.
FLAGS = {"flower": 22, "matchall": 3, "u32": 11}
NAMES = ("skip_hw", "skip_sw", "in_hw", "not_in_hw", "verbose")


def attributes(data):
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def show(message):
    handle, _, info = struct.unpack_from("=III", message, 24)
    tca = dict(attributes(message[36:]))
    kind = tca[TCA_KIND].rstrip(b"\0").decode()
    options = dict(attributes(tca.get(TCA_OPTIONS, b"")))
    # The hash tables of u32 have a handle that ends so, and no flags.
    if not options or not handle or (kind == "u32" and not handle & 0xFFF):
        return
    flags = int.from_bytes(options.get(FLAGS[kind], b"\0"), sys.byteorder)
    names = [name for bit, name in enumerate(NAMES) if flags & 1 << bit]
    print(info >> 16, kind, *names)


def main():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.bind((0, 0))
        ifindex = socket.if_nametoindex(sys.argv[1])
        netlink.send(
            struct.pack("=IHHII", 36, RTM_GETTFILTER, NLM_F_REQUEST_DUMP, 1, 0)
            + struct.pack("=BxHiIII", 0, 0, ifindex, 0, TC_H_INGRESS, 0)
        )
        while True:
            data, at = netlink.recv(65536), 0
            while at < len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    sys.exit("the kernel refused the dump")
                show(data[at : at + length])
                at += (length + 3) & ~3


main()
