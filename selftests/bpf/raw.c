// SPDX-License-Identifier: GPL-2.0-only
/*
 * raw OBJECT IFINDEX [OBJECT IFINDEX]...
 *
 * Attaches firmware with nothing but libbpf, so that tests reach the module's
 * own checks: ekho-fw finds most mistakes before the kernel is asked. The first
 * object is loaded and attached to the device, the others replace it through
 * BPF_LINK_UPDATE, one after the other. Prints one line a step, with the name
 * of the errno or 0:
 *
 *	load 0
 *	attach 0
 *	load 0
 *	update EINVAL
 *
 * With RAW_TIMES=N in the environment it tries to attach N times, as long as it
 * fails. Then waits, if it attached: until its input ends, or until the link is
 * detached by the kernel, which it tells with the line "hangup".
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where ekho.bpf.h's struct bpf_flow_offload_ops has it. */
#define IFINDEX_OFFSET 4

static int quiet(enum libbpf_print_level level, const char *format,
		 va_list args)
{
	if (level == LIBBPF_WARN && getenv("RAW_DEBUG"))
		return vfprintf(stderr, format, args);
	return 0;
}

static int tell(const char *step, int err)
{
	printf("%s %s\n", step,
	       err ? strerrorname_np(-err) ?: "unknown errno" : "0");
	fflush(stdout);
	return err;
}

static struct bpf_map *load(const char *path, unsigned int ifindex)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_map *map, *ops = NULL;
	size_t size = 0;
	char *value;
	int err;

	if (!object) {
		tell("open", -errno);
		return NULL;
	}
	bpf_object__for_each_map(map, object)
		if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS)
			ops = map;
	value = ops ? bpf_map__initial_value(ops, &size) : NULL;
	if (!value || size < IFINDEX_OFFSET + sizeof(ifindex)) {
		tell("open", -ENODATA);
		return NULL;
	}
	memcpy(value + IFINDEX_OFFSET, &ifindex, sizeof(ifindex));
	err = bpf_object__load(object);
	tell("load", err);
	return err ? NULL : ops;
}

int main(int argc, char **argv)
{
	struct pollfd fds[2];
	const char *times = getenv("RAW_TIMES");
	struct bpf_link *link;
	struct bpf_map *ops;
	int left;

	libbpf_set_print(quiet);
	if (argc < 3 || argc % 2 == 0) {
		fprintf(stderr,
			"usage: raw OBJECT IFINDEX [OBJECT IFINDEX]...\n");
		return 2;
	}
	ops = load(argv[1], atoi(argv[2]));
	if (!ops)
		return 1;
	left = times ? atoi(times) : 1;
	do {
		link = bpf_map__attach_struct_ops(ops);
		tell("attach", link ? 0 : -errno);
	} while (!link && --left > 0);
	if (!link)
		return 1;
	for (int i = 3; i < argc; i += 2) {
		ops = load(argv[i], atoi(argv[i + 1]));
		if (ops)
			tell("update", bpf_link__update_map(link, ops));
	}

	fds[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = bpf_link__fd(link) };
	while (poll(fds, 2, -1) >= 0) {
		if (fds[1].revents & POLLHUP) {
			tell("hangup", 0);
			break;
		}
		if (fds[0].revents)
			break;
	}
	bpf_link__destroy(link);
	return 0;
}
