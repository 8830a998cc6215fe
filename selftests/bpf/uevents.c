// SPDX-License-Identifier: GPL-2.0-only
/*
 * uevents
 *
 * Prints "listening", and then what the kernel tells of firmware in this
 * network namespace, a line an event:
 *
 *	change /devices/virtual/net/ek0 EKHO_EVENT=attach EKHO_DEV=ek0 ...
 */
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT);
	char buf[8192], *at;
	ssize_t len;

	if (fd < 0 || bind(fd, (void *)&addr, sizeof(addr))) {
		perror("uevents");
		return 1;
	}
	puts("listening");
	fflush(stdout);
	while ((len = recv(fd, buf, sizeof(buf) - 1, 0)) > 0) {
		buf[len] = '\0';
		/* ACTION@DEVPATH, and then variables. */
		at = memmem(buf, len, "EKHO_EVENT=", 11);
		if (!at)
			continue;
		at = strchr(buf, '@');
		if (at)
			*at = ' ';
		printf("%s", buf);
		for (at = buf; at < buf + len; at += strlen(at) + 1)
			if (!strncmp(at, "EKHO_", 5))
				printf(" %s", at);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
