/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * How a rule is encoded: what a flow matches and what it does.
 *
 * The module encodes each rule once. Firmware reads the encoding in place
 * (bpf_flow_offload_encoding()), records of events have a copy of it
 * (EKHO_PART_RULE), and so has each flow in a dump (EKHO_A_FLOW_RULE). All
 * that names or numbers its contents is made from the lists below, in the
 * module and in user space. docs/rule-encoding.md is the same as tables.
 *
 * An encoded rule is a sequence of attributes without gaps:
 *
 *	+------+------+-- - - --+
 *	| type | size | payload |	struct ekho_rule_attr, and size bytes
 *	+------+------+-- - - --+
 *
 * in this order:
 *
 *  - Fields that are matched (EKHO_FIELD_LIST). The payload is the key. If not
 *    all bits of the field are matched, EKHO_RULE_MASK is next, with the mask.
 *  - Actions (EKHO_ACTION_LIST), in the order in which they are executed. The
 *    type is EKHO_RULE_ACTION + enum ekho_action_id, the payload a number: the
 *    argument that the list names, or nothing.
 *  - Behind each action its other arguments: attributes of EKHO_ARG_LIST, or
 *    fields that the action sets.
 *
 * Readers
 *
 *  - end at EKHO_RULE_END, or where the memory that they were given ends
 *  - skip attributes with a type that they don't know, and their masks: size
 *    says where the next begins
 *  - ignore what is at the end of a payload that is longer than they expect
 *  - take a rule with EKHO_RULE_CUT for incomplete
 *
 * Types are only added. The format of a payload is one of these:
 *
 *	DEC, HEX	a number of exactly the field's bytes, as in packets: in
 *			network byte order. People read it in this base
 *	NUM, FLAGS	a number, least significant byte first, without the
 *			zero bytes at its end: 0 has no bytes. People read it
 *			decimal, or hexadecimal
 *	DEV		such a number: the index of a network device
 *	IP4, IP6, MAC	addresses, as in packets
 *	LSE		an entry of an MPLS label stack, as in packets
 *	BYTES		other bytes
 *	GENEVE		__be16 class; __u8 type; and data up to the end
 *	ERSPAN		__u8 version; __be32 index; __u8 direction, hwid
 *	GTP		__u8 pdu_type, qfi
 *	PFCP		__u8 type; __be64 seid
 *	GATE		__u8 open; __le32 interval, ipv, maxoctets
 */
#ifndef EKHO_RULE_H
#define EKHO_RULE_H

/*
 * KEY(name, number, what people call it, the kernel's structure of it), for
 * which the comment of enum ekho_key has more.
 */
#define EKHO_KEY_LIST(KEY)                                                     \
	KEY(CONTROL, 0, "control", flow_dissector_key_control)                 \
	KEY(BASIC, 1, "basic", flow_dissector_key_basic)                       \
	KEY(IPV4_ADDRS, 2, "ipv4_addrs", flow_dissector_key_ipv4_addrs)        \
	KEY(IPV6_ADDRS, 3, "ipv6_addrs", flow_dissector_key_ipv6_addrs)        \
	KEY(PORTS, 4, "ports", flow_dissector_key_ports)                       \
	KEY(PORTS_RANGE, 5, "ports_range", flow_dissector_key_ports_range)     \
	KEY(ICMP, 6, "icmp", flow_dissector_key_icmp)                          \
	KEY(ETH_ADDRS, 7, "eth_addrs", flow_dissector_key_eth_addrs)           \
	KEY(ARP, 8, "arp", flow_dissector_key_arp)                             \
	KEY(VLAN, 9, "vlan", flow_dissector_key_vlan)                          \
	KEY(CVLAN, 10, "cvlan", flow_dissector_key_vlan)                       \
	KEY(MPLS, 11, "mpls", flow_dissector_key_mpls)                         \
	KEY(TCP, 12, "tcp", flow_dissector_key_tcp)                            \
	KEY(IP, 13, "ip", flow_dissector_key_ip)                               \
	KEY(META, 14, "meta", flow_dissector_key_meta)                         \
	KEY(CT, 15, "ct", flow_dissector_key_ct)                               \
	KEY(HASH, 16, "hash", flow_dissector_key_hash)                         \
	KEY(NUM_OF_VLANS, 17, "num_of_vlans", flow_dissector_key_num_of_vlans) \
	KEY(PPPOE, 18, "pppoe", flow_dissector_key_pppoe)                      \
	KEY(L2TPV3, 19, "l2tpv3", flow_dissector_key_l2tpv3)                   \
	KEY(CFM, 20, "cfm", flow_dissector_key_cfm)                            \
	KEY(IPSEC, 21, "ipsec", flow_dissector_key_ipsec)                      \
	KEY(ENC_KEYID, 22, "enc_keyid", flow_dissector_key_keyid)              \
	KEY(ENC_IPV4_ADDRS, 23, "enc_ipv4_addrs",                              \
	    flow_dissector_key_ipv4_addrs)                                     \
	KEY(ENC_IPV6_ADDRS, 24, "enc_ipv6_addrs",                              \
	    flow_dissector_key_ipv6_addrs)                                     \
	KEY(ENC_CONTROL, 25, "enc_control", flow_dissector_key_control)        \
	KEY(ENC_PORTS, 26, "enc_ports", flow_dissector_key_ports)              \
	KEY(ENC_IP, 27, "enc_ip", flow_dissector_key_ip)                       \
	KEY(ENC_OPTS, 28, "enc_opts", flow_dissector_key_enc_opts)

/*
 * FIELD(name, type, what people call it, format, bits, its key). Names are
 * those of tc-flower(8) where it has one. Bits are 0 where the size differs.
 */
#define EKHO_FIELD_LIST(FIELD)                                          \
	FIELD(ETH_TYPE, 8, "eth_type", HEX, 16, BASIC)                  \
	FIELD(IP_PROTO, 9, "ip_proto", DEC, 8, BASIC)                   \
	FIELD(IP_FLAGS, 10, "ip_flags", FLAGS, 32, CONTROL)             \
	FIELD(IPV4_SRC, 11, "src_ip", IP4, 32, IPV4_ADDRS)              \
	FIELD(IPV4_DST, 12, "dst_ip", IP4, 32, IPV4_ADDRS)              \
	FIELD(IPV6_SRC, 13, "src_ip", IP6, 128, IPV6_ADDRS)             \
	FIELD(IPV6_DST, 14, "dst_ip", IP6, 128, IPV6_ADDRS)             \
	FIELD(PORT_SRC, 15, "src_port", DEC, 16, PORTS)                 \
	FIELD(PORT_DST, 16, "dst_port", DEC, 16, PORTS)                 \
	FIELD(PORT_SRC_MIN, 17, "src_port_min", DEC, 16, PORTS_RANGE)   \
	FIELD(PORT_SRC_MAX, 18, "src_port_max", DEC, 16, PORTS_RANGE)   \
	FIELD(PORT_DST_MIN, 19, "dst_port_min", DEC, 16, PORTS_RANGE)   \
	FIELD(PORT_DST_MAX, 20, "dst_port_max", DEC, 16, PORTS_RANGE)   \
	FIELD(ICMP_TYPE, 21, "type", DEC, 8, ICMP)                      \
	FIELD(ICMP_CODE, 22, "code", DEC, 8, ICMP)                      \
	FIELD(ETH_DST, 23, "dst_mac", MAC, 48, ETH_ADDRS)               \
	FIELD(ETH_SRC, 24, "src_mac", MAC, 48, ETH_ADDRS)               \
	FIELD(ARP_SIP, 25, "arp_sip", IP4, 32, ARP)                     \
	FIELD(ARP_TIP, 26, "arp_tip", IP4, 32, ARP)                     \
	FIELD(ARP_OP, 27, "arp_op", DEC, 8, ARP)                        \
	FIELD(ARP_SHA, 28, "arp_sha", MAC, 48, ARP)                     \
	FIELD(ARP_THA, 29, "arp_tha", MAC, 48, ARP)                     \
	FIELD(VLAN_ID, 30, "vlan_id", NUM, 12, VLAN)                    \
	FIELD(VLAN_PRIO, 31, "vlan_prio", NUM, 3, VLAN)                 \
	FIELD(VLAN_DEI, 32, "vlan_dei", NUM, 1, VLAN)                   \
	FIELD(VLAN_ETH_TYPE, 33, "vlan_ethtype", HEX, 16, VLAN)         \
	FIELD(VLAN_TPID, 34, "vlan_tpid", HEX, 16, VLAN)                \
	FIELD(CVLAN_ID, 35, "cvlan_id", NUM, 12, CVLAN)                 \
	FIELD(CVLAN_PRIO, 36, "cvlan_prio", NUM, 3, CVLAN)              \
	FIELD(CVLAN_DEI, 37, "cvlan_dei", NUM, 1, CVLAN)                \
	FIELD(CVLAN_ETH_TYPE, 38, "cvlan_ethtype", HEX, 16, CVLAN)      \
	FIELD(CVLAN_TPID, 39, "cvlan_tpid", HEX, 16, CVLAN)             \
	FIELD(MPLS_LSE1, 40, "mpls", LSE, 32, MPLS)                     \
	FIELD(MPLS_LSE2, 41, "mpls_lse2", LSE, 32, MPLS)                \
	FIELD(MPLS_LSE3, 42, "mpls_lse3", LSE, 32, MPLS)                \
	FIELD(MPLS_LSE4, 43, "mpls_lse4", LSE, 32, MPLS)                \
	FIELD(MPLS_LSE5, 44, "mpls_lse5", LSE, 32, MPLS)                \
	FIELD(MPLS_LSE6, 45, "mpls_lse6", LSE, 32, MPLS)                \
	FIELD(MPLS_LSE7, 46, "mpls_lse7", LSE, 32, MPLS)                \
	FIELD(TCP_FLAGS, 47, "tcp_flags", HEX, 16, TCP)                 \
	FIELD(IP_TOS, 48, "ip_tos", HEX, 8, IP)                         \
	FIELD(IP_TTL, 49, "ip_ttl", DEC, 8, IP)                         \
	FIELD(INDEV, 50, "indev", DEV, 32, META)                        \
	FIELD(L2_MISS, 51, "l2_miss", DEC, 8, META)                     \
	FIELD(CT_STATE, 52, "ct_state", FLAGS, 16, CT)                  \
	FIELD(CT_ZONE, 53, "ct_zone", NUM, 16, CT)                      \
	FIELD(CT_MARK, 54, "ct_mark", FLAGS, 32, CT)                    \
	FIELD(CT_LABELS, 55, "ct_label", BYTES, 128, CT)                \
	FIELD(HASH, 56, "hash", FLAGS, 32, HASH)                        \
	FIELD(NUM_OF_VLANS, 57, "num_of_vlans", DEC, 8, NUM_OF_VLANS)   \
	FIELD(PPPOE_SID, 58, "pppoe_sid", DEC, 16, PPPOE)               \
	FIELD(PPP_PROTO, 59, "ppp_proto", HEX, 16, PPPOE)               \
	FIELD(L2TPV3_SID, 60, "l2tpv3_sid", DEC, 32, L2TPV3)            \
	FIELD(CFM_MDL_VER, 61, "cfm_mdl_ver", HEX, 8, CFM)              \
	FIELD(CFM_OPCODE, 62, "cfm_op", DEC, 8, CFM)                    \
	FIELD(IPSEC_SPI, 63, "spi", HEX, 32, IPSEC)                     \
	FIELD(ENC_KEY_ID, 64, "enc_key_id", DEC, 32, ENC_KEYID)         \
	FIELD(ENC_IPV4_SRC, 65, "enc_src_ip", IP4, 32, ENC_IPV4_ADDRS)  \
	FIELD(ENC_IPV4_DST, 66, "enc_dst_ip", IP4, 32, ENC_IPV4_ADDRS)  \
	FIELD(ENC_IPV6_SRC, 67, "enc_src_ip", IP6, 128, ENC_IPV6_ADDRS) \
	FIELD(ENC_IPV6_DST, 68, "enc_dst_ip", IP6, 128, ENC_IPV6_ADDRS) \
	FIELD(ENC_PORT_SRC, 69, "enc_src_port", DEC, 16, ENC_PORTS)     \
	FIELD(ENC_PORT_DST, 70, "enc_dst_port", DEC, 16, ENC_PORTS)     \
	FIELD(ENC_TOS, 71, "enc_tos", HEX, 8, ENC_IP)                   \
	FIELD(ENC_TTL, 72, "enc_ttl", DEC, 8, ENC_IP)                   \
	FIELD(ENC_FLAGS, 73, "enc_flags", FLAGS, 32, ENC_CONTROL)       \
	FIELD(ENC_GENEVE, 74, "geneve_opts", GENEVE, 0, ENC_OPTS)       \
	FIELD(ENC_VXLAN_GBP, 75, "vxlan_opts", NUM, 32, ENC_OPTS)       \
	FIELD(ENC_ERSPAN, 76, "erspan_opts", ERSPAN, 56, ENC_OPTS)      \
	FIELD(ENC_GTP, 77, "gtp_opts", GTP, 16, ENC_OPTS)               \
	FIELD(ENC_PFCP, 78, "pfcp_opts", PFCP, 72, ENC_OPTS)            \
	FIELD(ENC_OPTS, 79, "enc_opts", BYTES, 0, ENC_OPTS)             \
	/* The number of a key that the module doesn't know */          \
	FIELD(UNKNOWN_KEY, 80, "unknown_key", NUM, 32, UNKNOWN)

/*
 * ACTION(name, number, what people call it, the argument that is in its own
 * payload, the member of the kernel's struct flow_action_entry that holds all
 * of them), the latter two NONE if there is nothing.
 */
#define EKHO_ACTION_LIST(ACTION)                                   \
	ACTION(ACCEPT, 0, "pass", NONE, NONE)                      \
	ACTION(DROP, 1, "drop", NONE, NONE)                        \
	ACTION(TRAP, 2, "trap", NONE, NONE)                        \
	ACTION(GOTO, 3, "goto", NUM, chain_index)                  \
	ACTION(REDIRECT, 4, "redirect", DEV, dev)                  \
	ACTION(MIRRED, 5, "mirror", DEV, dev)                      \
	ACTION(REDIRECT_INGRESS, 6, "redirect_ingress", DEV, dev)  \
	ACTION(MIRRED_INGRESS, 7, "mirror_ingress", DEV, dev)      \
	ACTION(VLAN_PUSH, 8, "vlan_push", NUM, vlan)               \
	ACTION(VLAN_POP, 9, "vlan_pop", NONE, NONE)                \
	ACTION(VLAN_MANGLE, 10, "vlan_modify", NUM, vlan)          \
	ACTION(TUNNEL_ENCAP, 11, "tunnel_set", NONE, tunnel)       \
	ACTION(TUNNEL_DECAP, 12, "tunnel_unset", NONE, NONE)       \
	ACTION(MANGLE, 13, "pedit", NONE, mangle)                  \
	ACTION(ADD, 14, "pedit_add", NONE, mangle)                 \
	ACTION(CSUM, 15, "csum", NONE, csum_flags)                 \
	ACTION(MARK, 16, "mark", NUM, mark)                        \
	ACTION(PTYPE, 17, "ptype", NUM, ptype)                     \
	ACTION(PRIORITY, 18, "priority", NUM, priority)            \
	ACTION(RX_QUEUE_MAPPING, 19, "rx_queue", NUM, rx_queue)    \
	ACTION(WAKE, 20, "wake", NONE, NONE)                       \
	ACTION(QUEUE, 21, "queue", NONE, queue)                    \
	ACTION(SAMPLE, 22, "sample", NUM, sample)                  \
	ACTION(POLICE, 23, "police", NUM, police)                  \
	ACTION(CT, 24, "ct", NUM, ct)                              \
	ACTION(CT_METADATA, 25, "ct_metadata", NONE, ct_metadata)  \
	ACTION(MPLS_PUSH, 26, "mpls_push", NUM, mpls_push)         \
	ACTION(MPLS_POP, 27, "mpls_pop", NONE, mpls_pop)           \
	ACTION(MPLS_MANGLE, 28, "mpls_modify", NONE, mpls_mangle)  \
	ACTION(GATE, 29, "gate", NONE, gate)                       \
	ACTION(PPPOE_PUSH, 30, "pppoe_push", NUM, pppoe)           \
	ACTION(JUMP, 31, "jump", NONE, NONE)                       \
	ACTION(PIPE, 32, "pipe", NONE, NONE)                       \
	ACTION(VLAN_PUSH_ETH, 33, "push_eth", NONE, vlan_push_eth) \
	ACTION(VLAN_POP_ETH, 34, "pop_eth", NONE, NONE)            \
	ACTION(CONTINUE, 35, "continue", NONE, NONE)

/*
 * ARG(name, type, what people call it, format, bits). What tunnel_set,
 * push_eth and ct_metadata set is in attributes of fields; people call these
 * by the field's name without "enc_".
 */
#define EKHO_ARG_LIST(ARG)                                                 \
	/* tc's index of the action, for those that filters share */       \
	ARG(INDEX, 0xc0, "index", NUM, 32)                                 \
	/* enum ekho_hw_stats; absent: immediate or delayed */             \
	ARG(HW_STATS, 0xc1, "hw_stats", FLAGS, 8)                          \
	/* vlan, mpls */                                                   \
	ARG(PROTOCOL, 0xc2, "protocol", HEX, 16)                           \
	ARG(PRIORITY, 0xc3, "priority", NUM, 8)                            \
	ARG(LABEL, 0xc4, "label", NUM, 20)                                 \
	ARG(TC, 0xc5, "tc", NUM, 3)                                        \
	ARG(BOS, 0xc6, "bos", NUM, 1)                                      \
	ARG(TTL, 0xc7, "ttl", NUM, 8)                                      \
	/* pedit: enum flow_action_mangle_base, and 4 bytes of a packet */ \
	ARG(HEADER, 0xc8, "header", NUM, 8)                                \
	ARG(OFFSET, 0xc9, "offset", NUM, 32)                               \
	ARG(VALUE, 0xca, "value", HEX, 32)                                 \
	ARG(MASK, 0xcb, "mask", HEX, 32)                                   \
	/* csum, ct: TCA_CSUM_UPDATE_FLAG_*, TCA_CT_ACT_* */               \
	ARG(FLAGS, 0xcc, "flags", FLAGS, 32)                               \
	/* sample */                                                       \
	ARG(GROUP, 0xcd, "group", NUM, 32)                                 \
	ARG(TRUNC, 0xce, "trunc", NUM, 32)                                 \
	/* police; bytes and packets a second */                           \
	ARG(RATE, 0xcf, "rate", NUM, 64)                                   \
	ARG(BURST, 0xd0, "burst", NUM, 32)                                 \
	ARG(PKT_RATE, 0xd1, "pkts_rate", NUM, 64)                          \
	ARG(PKT_BURST, 0xd2, "pkts_burst", NUM, 64)                        \
	ARG(PEAKRATE, 0xd3, "peakrate", NUM, 64)                           \
	ARG(AVRATE, 0xd4, "avrate", NUM, 32)                               \
	ARG(MTU, 0xd5, "mtu", NUM, 32)                                     \
	ARG(OVERHEAD, 0xd6, "overhead", NUM, 16)                           \
	/* enum ekho_action_id, with the chain or number of actions */     \
	ARG(EXCEED, 0xd7, "conform_exceed", NUM, 8)                        \
	ARG(EXCEED_ARG, 0xd8, "conform_exceed_arg", NUM, 32)               \
	ARG(NOTEXCEED, 0xd9, "conform_notexceed", NUM, 8)                  \
	ARG(NOTEXCEED_ARG, 0xda, "conform_notexceed_arg", NUM, 32)         \
	/* ct_metadata; enum ip_conntrack_info, enum ip_conntrack_dir */   \
	ARG(CTINFO, 0xdb, "ctinfo", NUM, 8)                                \
	ARG(DIRECTION, 0xdc, "direction", NUM, 8)                          \
	/* gate; ns */                                                     \
	ARG(GATE_PRIO, 0xdd, "priority", NUM, 32)                          \
	ARG(BASE_TIME, 0xde, "base_time", NUM, 64)                         \
	ARG(CYCLE_TIME, 0xdf, "cycle_time", NUM, 64)                       \
	ARG(CYCLE_TIME_EXT, 0xe0, "cycle_time_ext", NUM, 64)               \
	ARG(GATE_ENTRY, 0xe1, "sched_entry", GATE, 104)                    \
	/* queue */                                                        \
	ARG(QUEUE_INDEX, 0xe2, "index", NUM, 32)                           \
	ARG(QUEUE_CTX, 0xe3, "context", NUM, 32)                           \
	ARG(QUEUE_VF, 0xe4, "vf", NUM, 8)

/* CLASSIFIER(name, number, what people call it) */
#define EKHO_CLASSIFIER_LIST(CLASSIFIER)      \
	CLASSIFIER(FLOWER, 1, "flower")       \
	CLASSIFIER(MATCHALL, 2, "matchall")   \
	CLASSIFIER(U32, 3, "u32")             \
	CLASSIFIER(NFT, 4, "nft")             \
	CLASSIFIER(FLOWTABLE, 5, "flowtable") \
	CLASSIFIER(ACTION, 6, "action")       \
	CLASSIFIER(CT, 7, "ct")

/* HOOK(name, bit, what people call it), HW_STATS(name, bit, likewise) */
#define EKHO_HOOK_LIST(HOOK)        \
	HOOK(INGRESS, 1, "ingress") \
	HOOK(EGRESS, 2, "egress")

#define EKHO_HW_STATS_LIST(HW_STATS)        \
	HW_STATS(IMMEDIATE, 1, "immediate") \
	HW_STATS(DELAYED, 2, "delayed")     \
	HW_STATS(DISABLED, 4, "disabled")

/* EVENT(name, number, what people call it): see ekho_maps.h. */
#define EKHO_EVENT_LIST(EVENT)                         \
	EVENT(ATTACH, 1, "attach")                     \
	EVENT(DETACH, 2, "detach")                     \
	EVENT(REPLACE, 3, "replace")                   \
	EVENT(DESTROY, 4, "destroy")                   \
	EVENT(STATS, 5, "stats")                       \
	EVENT(TEMPLATE_CREATE, 6, "template_create")   \
	EVENT(TEMPLATE_DESTROY, 7, "template_destroy") \
	EVENT(HNODE, 8, "hnode")                       \
	EVENT(QDISC, 9, "qdisc")

/* QDISC(name, number, what people call it): likewise. */
#define EKHO_QDISC_LIST(QDISC)     \
	QDISC(MQPRIO, 1, "mqprio") \
	QDISC(TAPRIO, 2, "taprio") \
	QDISC(ETS, 3, "ets")       \
	QDISC(RED, 4, "red")       \
	QDISC(GRED, 5, "gred")     \
	QDISC(TBF, 6, "tbf")       \
	QDISC(PRIO, 7, "prio")     \
	QDISC(HTB, 8, "htb")       \
	QDISC(FIFO, 9, "fifo")     \
	QDISC(CBS, 10, "cbs")      \
	QDISC(ETF, 11, "etf")      \
	QDISC(MQ, 12, "mq")        \
	QDISC(ROOT, 13, "root")

/* What isn't a list is for C: see rust/bindings/rule_tables.h. */
#ifndef EKHO_LISTS_ONLY

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Types of attributes. */
enum ekho_rule_type {
	/* Of size 0, as all that is behind it in the same memory. */
	EKHO_RULE_END = 0,
	/* The mask of the attribute before this one, in the same format. */
	EKHO_RULE_MASK = 1,
	/* What follows was too long. */
	EKHO_RULE_CUT = 2,

#define EKHO_FIELD_TYPE(name, type, text, format, bits, key) \
	EKHO_RULE_##name = type,
	EKHO_FIELD_LIST(EKHO_FIELD_TYPE)

		EKHO_RULE_ACTION = 0x80,

#define EKHO_ARG_TYPE(name, type, text, format, bits) \
	EKHO_RULE_ARG_##name = type,
	EKHO_ARG_LIST(EKHO_ARG_TYPE)
};

/* What comes before each payload: its type, and the bytes behind this. */
struct ekho_rule_attr {
	__u8 type;
	__u8 size;
};

/* A longer rule is cut. */
#define EKHO_RULE_MAX 4096

/*
 * How much memory firmware can read behind a rule that isn't longer than this;
 * of a longer one it is EKHO_RULE_MAX.
 */
#define EKHO_RULE_SHORT 256

/* Firmware has what follows from the module's BTF. */
#ifndef __VMLINUX_H__

/**
 * enum ekho_classifier - who wants a flow offloaded
 * @EKHO_CLS_FLOWER: a flower filter of tc
 * @EKHO_CLS_MATCHALL: a matchall filter of tc, which has actions only
 * @EKHO_CLS_U32: a key node of a u32 filter of tc: see ekho_replace_ctx.u32
 * @EKHO_CLS_NFT: a rule of an nftables chain at the ingress of a device
 * @EKHO_CLS_FLOWTABLE: one direction of a connection in an nftables flowtable
 * @EKHO_CLS_ACTION: an action of tc that filters share by its index
 * @EKHO_CLS_CT: one direction of a connection that tc's action ct tracks, see
 *	ekho_flow.ct_zone: for as long as the device has a flow with that action.
 *	What it does is ACT_CT_METADATA, and ACT_MANGLE if there is NAT. Its
 *	ingress device is 0 if it isn't known
 */
enum ekho_classifier {
#define EKHO_CLASSIFIER_NUMBER(name, number, text) EKHO_CLS_##name = number,
	EKHO_CLASSIFIER_LIST(EKHO_CLASSIFIER_NUMBER)
};

/* Where packets meet a flow: bits. */
enum ekho_hook {
#define EKHO_HOOK_NUMBER(name, bit, text) EKHO_HOOK_##name = bit,
	EKHO_HOOK_LIST(EKHO_HOOK_NUMBER)
};

/*
 * What a flow can match: the keys of enum flow_dissector_key_id. The list has
 * the structure that bpf_flow_offload_get_match() fills.
 */
enum ekho_key {
#define EKHO_KEY_NUMBER(name, number, text, type) EKHO_KEY_##name = number,
	EKHO_KEY_LIST(EKHO_KEY_NUMBER)
	/* Something that the module doesn't know: it can't be read. */
	EKHO_KEY_UNKNOWN = 63,
};

/*
 * What a flow can do: the actions of enum flow_action_id. The list has the
 * member of struct flow_action_entry that holds the payload.
 */
enum ekho_action_id {
#define EKHO_ACTION_NUMBER(name, number, text, argument, member) \
	EKHO_ACT_##name = number,
	EKHO_ACTION_LIST(EKHO_ACTION_NUMBER)
	/* Something that the module doesn't know. */
	EKHO_ACT_UNKNOWN = 63,
};

/*
 * How statistics of a flow come about: bits, as in enum flow_action_hw_stats.
 * IMMEDIATE: read from the device when asked for. DELAYED: as of when the
 * device, or an agent, last told. DISABLED: not at all.
 */
enum ekho_hw_stats {
#define EKHO_HW_STATS_NUMBER(name, bit, text) EKHO_HW_STATS_##name = bit,
	EKHO_HW_STATS_LIST(EKHO_HW_STATS_NUMBER)
};

#endif /* __VMLINUX_H__ */

#endif /* EKHO_LISTS_ONLY */

#endif /* EKHO_RULE_H */
