/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: one per op, after it ran, and one for firmware that is stopped.
 *
 * ekho:ekho_replace, ekho_destroy, ekho_stats, ekho_attach and so on, each with
 * the device, the cookie (0 for ops that aren't about a flow), the result that
 * went to the kernel and the nanoseconds that the firmware took.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ekho

#if !defined(EKHO_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define EKHO_TRACE_H

#include <linux/netdevice.h>
#include <linux/tracepoint.h>

#include "ops.h"

DECLARE_EVENT_CLASS(ekho_op,
	TP_PROTO(const struct net_device *dev, const char *firmware, u64 cookie,
		 int result, u64 duration_ns),
	TP_ARGS(dev, firmware, cookie, result, duration_ns),
	TP_STRUCT__entry(
		__string(dev, dev->name)
		__string(firmware, firmware)
		__field(u64, cookie)
		__field(u64, duration_ns)
		__field(int, ifindex)
		__field(int, result)
	),
	TP_fast_assign(
		__assign_str(dev);
		__assign_str(firmware);
		__entry->cookie = cookie;
		__entry->duration_ns = duration_ns;
		__entry->ifindex = dev->ifindex;
		__entry->result = result;
	),
	TP_printk("dev=%s ifindex=%d firmware=%s cookie=0x%llx result=%d duration_ns=%llu",
		  __get_str(dev), __entry->ifindex, __get_str(firmware),
		  __entry->cookie, __entry->result, __entry->duration_ns)
);

#define EKHO_OP_EVENT(name, variant, presence, type, argument, value)		\
DEFINE_EVENT(ekho_op, ekho_##name,						\
	TP_PROTO(const struct net_device *dev, const char *firmware, u64 cookie,	\
		 int result, u64 duration_ns),					\
	TP_ARGS(dev, firmware, cookie, result, duration_ns));
EKHO_OPS(EKHO_OP_EVENT)

/* The firmware is stopped: see firmware/exit.rs for the code and its value. */
TRACE_EVENT(ekho_exit,
	TP_PROTO(const struct net_device *dev, const char *firmware,
		 u32 generation, const char *op, const char *code, s64 value,
		 const char *reason),
	TP_ARGS(dev, firmware, generation, op, code, value, reason),
	TP_STRUCT__entry(
		__string(dev, dev->name)
		__string(firmware, firmware)
		__string(op, op)
		__string(code, code)
		__string(reason, reason)
		__field(s64, value)
		__field(int, ifindex)
		__field(u32, generation)
	),
	TP_fast_assign(
		__assign_str(dev);
		__assign_str(firmware);
		__assign_str(op);
		__assign_str(code);
		__assign_str(reason);
		__entry->value = value;
		__entry->ifindex = dev->ifindex;
		__entry->generation = generation;
	),
	TP_printk("dev=%s ifindex=%d firmware=%s generation=%u op=%s code=%s value=%lld reason=%s",
		  __get_str(dev), __entry->ifindex, __get_str(firmware),
		  __entry->generation, __get_str(op), __get_str(code),
		  __entry->value, __get_str(reason))
);

#endif /* EKHO_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
