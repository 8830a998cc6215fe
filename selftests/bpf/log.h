/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What firmware of the tests has seen, as lines of text in the map `log_lines`, by
 * time. The tests read it with bpftool.
 *
 *	struct log_line *line = log_line();
 *
 *	if (line)
 *		say(line, "prio=%u ", ctx->flow.prio);
 */
#ifndef EKHO_LOG_H
#define EKHO_LOG_H

/* Bytes of a line, a power of two, and the most that one say() adds. */
#define LOG_LINE 4096
#define LOG_SAY 192

struct log_line {
	char text[LOG_LINE + LOG_SAY];
	__u32 len;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct log_line);
} log_lines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct log_line);
} log_empty SEC(".maps");

static __always_inline struct log_line *log_line(void)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 zero = 0;
	void *empty;

	empty = bpf_map_lookup_elem(&log_empty, &zero);
	if (!empty || bpf_map_update_elem(&log_lines, &now, empty, BPF_NOEXIST))
		return NULL;
	return bpf_map_lookup_elem(&log_lines, &now);
}

/* What is beyond the end of the line is left out. */
#define say(line, fmt, args...)                                              \
	({                                                                   \
		__u64 say_at = *(volatile __u32 *)&(line)->len;              \
		if (say_at < LOG_LINE) {                                     \
			long say_n;                                          \
			/* Once more, in a register the verifier follows. */ \
			barrier_var(say_at);                                 \
			say_at &= LOG_LINE - 1;                              \
			say_n = BPF_SNPRINTF((line)->text + say_at, LOG_SAY, \
					     fmt, ##args);                   \
			if (say_n > 0 && say_n <= LOG_SAY)                   \
				(line)->len = say_at + say_n - 1;            \
		}                                                            \
	})

#endif /* EKHO_LOG_H */
