// SPDX-License-Identifier: GPL-2.0-only
/*
 * ring PIN
 *
 * Reads the events that wait in the ring buffer that is pinned at PIN, as any
 * program may: with libbpf, and what ekho_maps.h says. Prints a line for each,
 * with preference, errno, and the texts, and complains of what that header
 * doesn't allow:
 *
 *	replace 99 -28 reason "99 is one too many"
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

#include "ekho_maps.h"

static const char *const what[] = {
	[EKHO_EVENT_ATTACH] = "attach",	  [EKHO_EVENT_DETACH] = "detach",
	[EKHO_EVENT_REPLACE] = "replace", [EKHO_EVENT_DESTROY] = "destroy",
	[EKHO_EVENT_STATS] = "stats",
};

static int complain(const char *why)
{
	printf("malformed: %s\n", why);
	return -1;
}

static int print_text(const char *name, const char *data, size_t size)
{
	size_t length = strnlen(data, size);

	printf(" %s \"%.*s\"", name, (int)length, data);
	for (size_t i = length; i < size; i++)
		if (data[i])
			return complain("something behind a text");
	return 0;
}

static int record(void *ctx, void *data, size_t size)
{
	const struct ekho_event *event = data;
	struct ekho_event_part part;
	int err = 0;

	if (size < sizeof(*event) || event->version != EKHO_EVENT_VERSION ||
	    event->header_size != sizeof(*event) || event->size > size)
		return complain("header");
	if (event->reserved || event->what >= sizeof(what) / sizeof(*what) ||
	    !what[event->what])
		return complain("what");
	printf("%s %u %d", what[event->what], event->prio, event->err);
	for (size_t at = event->header_size; at != event->size && !err;) {
		const char *begin = (const char *)data + at;

		if (event->size - at < sizeof(part))
			return complain("half of a part");
		memcpy(&part, begin, sizeof(part));
		if (event->size - at - sizeof(part) < part.size)
			return complain("a part beyond the end");
		begin += sizeof(part);
		at += sizeof(part) + part.size;
		if (part.type == EKHO_PART_REASON)
			err = print_text("reason", begin, part.size);
		else if (part.type == EKHO_PART_DEVICE)
			err = print_text("device", begin, part.size);
	}
	if (!err)
		putchar('\n');
	return err;
}

int main(int argc, char **argv)
{
	struct ring_buffer *ring;
	int fd, n;

	fd = argc == 2 ? bpf_obj_get(argv[1]) : -1;
	ring = fd < 0 ? NULL : ring_buffer__new(fd, record, NULL, NULL);
	if (!ring) {
		fprintf(stderr, "usage: ring PIN, of a ring buffer\n");
		return 2;
	}
	n = ring_buffer__consume(ring);
	ring_buffer__free(ring);
	return n < 0;
}
