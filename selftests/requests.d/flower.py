#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
#
# flower.py DEV PRIO PROTOCOL NAME=BYTES...: adds a flower filter that drops, on
# ingress and in hardware only, for what iproute2 can't say yet. NAME is an
# attribute below, BYTES are hexadecimal.

import os
import socket
import struct
import sys

# include/uapi/linux/pkt_cls.h
ATTRIBUTES = {
    "ip_proto": 9,
    "hash": 100,
    "hash_mask": 101,
    "spi": 108,
    "spi_mask": 109,
}
RTM_NEWTFILTER, TCA_KIND, TCA_OPTIONS = 44, 1, 2
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x200, 0x400
TCA_FLOWER_ACT, TCA_FLOWER_KEY_ETH_TYPE, TCA_FLOWER_FLAGS = 3, 8, 22
TCA_ACT_KIND, TCA_ACT_OPTIONS, TCA_GACT_PARMS = 1, 2, 2
TC_ACT_SHOT, SKIP_SW, INGRESS = 2, 2, 0xFFFFFFF2


def attribute(kind, value):
    return struct.pack("HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def main(dev, prio, protocol, *matches):
    protocol = socket.htons(int(protocol, 16))
    gact = struct.pack("IIiii", 0, 0, TC_ACT_SHOT, 0, 0)
    action = attribute(TCA_ACT_KIND, b"gact\0")
    action += attribute(TCA_ACT_OPTIONS, attribute(TCA_GACT_PARMS, gact))
    options = attribute(TCA_FLOWER_ACT, attribute(1, action))
    options += attribute(TCA_FLOWER_KEY_ETH_TYPE, struct.pack("H", protocol))
    options += attribute(TCA_FLOWER_FLAGS, struct.pack("I", SKIP_SW))
    for match in matches:
        name, value = match.split("=")
        options += attribute(ATTRIBUTES[name], bytes.fromhex(value))
    body = struct.pack("BxHiIII", 0, 0, socket.if_nametoindex(dev), 0, INGRESS,
                       int(prio) << 16 | protocol)
    body += attribute(TCA_KIND, b"flower\0") + attribute(TCA_OPTIONS, options)
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.send(struct.pack("IHHII", 16 + len(body), RTM_NEWTFILTER, flags, 1, 0) + body)
        errno = -struct.unpack_from("i", netlink.recv(65536), 16)[0]
    if errno:
        sys.exit(f"flower.py: {os.strerror(errno)}")


main(*sys.argv[1:])
