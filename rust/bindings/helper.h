/* SPDX-License-Identifier: GPL-2.0-only */
/* What bindgen reads: everything that bindings/parameters allows comes from here. */
#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/btf.h>
#include <linux/capability.h>
#include <linux/device.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/if_vlan.h>
#include <linux/mpls.h>
#include <linux/netdevice.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/ptp_clock_kernel.h>
#include <linux/ptr_ring.h>
#include <linux/rcupdate.h>
#include <linux/rhashtable.h>
#include <linux/rtnetlink.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/skbuff.h>
#include <linux/tc_act/tc_csum.h>
#include <linux/tc_act/tc_ct.h>
#include <linux/tc_act/tc_vlan.h>
#include <linux/workqueue.h>
#include <net/devlink.h>
#include <net/flow_dissector.h>
#include <net/flow_offload.h>
#include <net/genetlink.h>
#include <net/ip_tunnels.h>
#include <net/ipv6.h>
#include <net/netlink.h>
#include <net/pkt_cls.h>
#include <net/pkt_sched.h>
#include <net/psample.h>
#include <net/rtnetlink.h>
#include <net/sch_generic.h>
#include <net/tc_act/tc_gate.h>
#include <net/tc_act/tc_mpls.h>

#include "ekho.h"
#ifdef EKHO_NATIVE
#include "../../bpf/ekho_maps.h"
#endif

/* Macros that bindgen can't evaluate, and constants of anonymous enums. */
const u8 EKHO_CONST_NETREG_REGISTERED = NETREG_REGISTERED;
const u32 EKHO_CONST_IFLA_ADDRESS = IFLA_ADDRESS;
const u32 EKHO_CONST_ETH_MAX_MTU = ETH_MAX_MTU;
const u16 EKHO_CONST_TCA_CT_ACT_CLEAR = TCA_CT_ACT_CLEAR;
const int EKHO_CONST_TC_ACT_OK = TC_ACT_OK;
const int EKHO_CONST_TC_ACT_PIPE = TC_ACT_PIPE;
const int EKHO_CONST_TC_ACT_SHOT = TC_ACT_SHOT;
const int EKHO_CONST_TC_ACT_STOLEN = TC_ACT_STOLEN;
const u8 EKHO_CONST_NFCT_INFOMASK = NFCT_INFOMASK;
const u64 EKHO_CONST_NETIF_F_HW_TC = NETIF_F_HW_TC;
const u64 EKHO_CONST_INNER_FEATURES = NETIF_F_SG | NETIF_F_FRAGLIST |
	NETIF_F_HW_CSUM | NETIF_F_RXCSUM | NETIF_F_SCTP_CRC | NETIF_F_HIGHDMA |
	NETIF_F_GSO_SOFTWARE | NETIF_F_GSO_ENCAP_ALL;
const u64 EKHO_CONST_PORT_FEATURES = NETIF_F_SG | NETIF_F_FRAGLIST |
	NETIF_F_HW_CSUM | NETIF_F_RXCSUM | NETIF_F_SCTP_CRC | NETIF_F_HIGHDMA |
	NETIF_F_GSO_SOFTWARE | NETIF_F_GSO_ENCAP_ALL |
	NETIF_F_HW_VLAN_CTAG_TX | NETIF_F_HW_VLAN_CTAG_RX |
	NETIF_F_HW_VLAN_STAG_TX | NETIF_F_HW_VLAN_STAG_RX | NETIF_F_HW_TC;
const u64 EKHO_CONST_MPLS_FEATURES = NETIF_F_HW_CSUM | NETIF_F_GSO_SOFTWARE;
const u32 EKHO_CONST_STOP_BEFORE_ENCAP = FLOW_DISSECTOR_F_STOP_BEFORE_ENCAP;
const u32 EKHO_CONST_GSO_MAX_SIZE = GSO_MAX_SIZE;
const u64 EKHO_CONST_NETIF_F_ALL_TSO = NETIF_F_ALL_TSO;
const u32 EKHO_CONST_IFF_UP = IFF_UP;
const u8 EKHO_CONST_GENL_MCAST_CAP_NET_ADMIN = GENL_MCAST_CAP_NET_ADMIN;
const u16 EKHO_CONST_ARPHRD_ETHER = ARPHRD_ETHER;
const u8 EKHO_CONST_IP_TUNNEL_INFO_IPV6 = IP_TUNNEL_INFO_IPV6;
const u32 EKHO_CONST_IP_TUNNEL_GENEVE_OPT = IP_TUNNEL_GENEVE_OPT_BIT;
const u32 EKHO_CONST_IP_TUNNEL_VXLAN_OPT = IP_TUNNEL_VXLAN_OPT_BIT;
const u32 EKHO_CONST_IP_TUNNEL_ERSPAN_OPT = IP_TUNNEL_ERSPAN_OPT_BIT;
const u32 EKHO_CONST_IP_TUNNEL_GTP_OPT = IP_TUNNEL_GTP_OPT_BIT;
const u32 EKHO_CONST_IP_TUNNEL_PFCP_OPT = IP_TUNNEL_PFCP_OPT_BIT;
