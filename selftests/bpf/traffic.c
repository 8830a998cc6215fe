// SPDX-License-Identifier: GPL-2.0-only
/*
 * traffic COMMAND ARGS...
 *
 * What the tests of cables send and receive with:
 *
 *	tcp-listen PORT FILE		writes what comes by one connection to FILE
 *	tcp-send ADDR PORT		sends standard input by a connection
 *	udp-send ADDR PORT N SIZE [FLOWS [SEGMENT]]
 *					N datagrams from each of FLOWS sockets in turn;
 *					with SEGMENT as one buffer (UDP_SEGMENT) each N
 *	udp-listen PORT MS		until none came for so many milliseconds; prints
 *					"received N late N ms N": late ones came behind a
 *					later one of their flow, ms is from first to last
 *	udp-numbers PORT MS		the same; prints the numbers as they come instead
 *	send DEV HEX [N [SIZE]]		N frames, with zero bytes up to SIZE
 *	recv DEV TYPE MS		prints frames of an Ethernet type in hex
 *	tap DEV				prints what a tap device is given to transmit, of
 *					type 88b5, in hex; has it receive what is read
 *
 * Those that receive print "listening" first. None takes longer than two minutes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/udp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* As on the wire, in each datagram. */
struct mark {
	uint32_t flow;
	uint32_t number;
};

#define FLOWS 64

static unsigned char buf[1 << 17];

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void listening(void)
{
	puts("listening");
	fflush(stdout);
}

static struct sockaddr_in address(const char *addr, const char *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	check(inet_pton(AF_INET, addr, &sin.sin_addr) == 1, addr);
	return sin;
}

static void copy(int from, int to)
{
	ssize_t len, at, n;

	while ((len = read(from, buf, 1 << 16)) > 0)
		for (at = 0; at < len; at += n) {
			n = write(to, buf + at, len - at);
			check(n > 0, "write");
		}
	check(!len, "read");
}

static int tcp_listen(char **arg)
{
	struct sockaddr_in sin = address("0.0.0.0", arg[0]);
	int fd = socket(AF_INET, SOCK_STREAM, 0), file, one = 1;

	file = open(arg[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	check(file >= 0, arg[1]);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	check(!bind(fd, (void *)&sin, sizeof(sin)) && !listen(fd, 1), "listen");
	listening();
	fd = accept(fd, NULL, NULL);
	check(fd >= 0, "accept");
	copy(fd, file);
	return 0;
}

static int tcp_send(char **arg)
{
	struct sockaddr_in sin = address(arg[0], arg[1]);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	check(!connect(fd, (void *)&sin, sizeof(sin)), "connect");
	copy(0, fd);
	return 0;
}

static int udp_send(char **arg)
{
	struct sockaddr_in sin = address(arg[0], arg[1]);
	unsigned int n = atoi(arg[2]), size = atoi(arg[3]), flows = 1, flow, i, at;
	int segment = 0, fds[FLOWS], size_of_socket = 1 << 20;

	if (arg[4]) {
		flows = atoi(arg[4]);
		segment = arg[5] ? atoi(arg[5]) : 0;
	}
	if (flows > FLOWS || size > 65507 || size < sizeof(struct mark))
		return 2;
	for (flow = 0; flow < flows; flow++) {
		fds[flow] = socket(AF_INET, SOCK_DGRAM, 0);
		setsockopt(fds[flow], SOL_SOCKET, SO_SNDBUFFORCE, &size_of_socket, sizeof(size_of_socket));
		check(!connect(fds[flow], (void *)&sin, sizeof(sin)), "connect");
		if (segment)
			check(!setsockopt(fds[flow], IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)),
			      "UDP_SEGMENT");
	}
	for (i = 0; i < n; i++)
		for (flow = 0; flow < flows; flow++) {
			unsigned int step = segment ? segment : size, k = 0;

			for (at = 0; at + sizeof(struct mark) <= size; at += step, k++) {
				unsigned int in_all = (size + step - 1) / step;
				struct mark mark = { htonl(flow), htonl(i * in_all + k) };

				memcpy(buf + at, &mark, sizeof(mark));
			}
			/* Without a carrier, or a peer's socket, errors come. */
			send(fds[flow], buf, size, 0);
		}
	return 0;
}

static long ms_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int udp_listen(char **arg, int numbers)
{
	struct sockaddr_in sin = address("0.0.0.0", arg[0]);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size_of_socket = 64 << 20;
	struct timeval patience = { .tv_sec = 30 };
	unsigned int received = 0, late = 0;
	long begin = 0, end = 0, last[FLOWS];
	struct mark mark;

	memset(last, -1, sizeof(last));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size_of_socket, sizeof(size_of_socket));
	/* The first may take longer. */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	check(!bind(fd, (void *)&sin, sizeof(sin)), "bind");
	listening();
	while (recv(fd, buf, sizeof(buf), 0) >= (ssize_t)sizeof(mark)) {
		unsigned int flow, number;

		end = ms_now();
		if (!received++) {
			begin = end;
			patience.tv_sec = atoi(arg[1]) / 1000;
			patience.tv_usec = atoi(arg[1]) % 1000 * 1000;
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		}
		memcpy(&mark, buf, sizeof(mark));
		flow = ntohl(mark.flow) % FLOWS;
		number = ntohl(mark.number);
		if (numbers)
			printf("%u\n", number);
		if (number < last[flow])
			late++;
		else
			last[flow] = number;
	}
	if (!numbers)
		printf("received %u late %u ms %ld\n", received, late, end - begin);
	return 0;
}

static size_t from_hex(const char *text)
{
	size_t len = 0;
	unsigned int byte;

	for (; sscanf(text, "%2x", &byte) == 1; text += 2)
		buf[len++] = byte;
	return len;
}

static void print_hex(ssize_t len)
{
	for (ssize_t i = 0; i < len; i++)
		printf("%02x", buf[i]);
	putchar('\n');
	fflush(stdout);
}

static int send_frames(char **arg)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(arg[0]) };
	int fd = socket(AF_PACKET, SOCK_RAW, 0), n = arg[2] ? atoi(arg[2]) : 1, failed = 0;
	size_t len = from_hex(arg[1]), size;

	size = arg[2] && arg[3] ? (size_t)atoi(arg[3]) : len;
	if (size > sizeof(buf))
		return 2;
	while (n--)
		failed |= sendto(fd, buf, size, 0, (void *)&to, sizeof(to)) < 0;
	if (failed)
		perror("sendto");
	return failed;
}

static int recv_frames(char **arg)
{
	struct sockaddr_ll on = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(arg[0]) };
	struct timeval patience = { .tv_sec = atoi(arg[2]) / 1000, .tv_usec = atoi(arg[2]) % 1000 * 1000 };
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	ssize_t len;

	on.sll_protocol = htons(strtol(arg[1], NULL, 16));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	check(!bind(fd, (void *)&on, sizeof(on)), arg[0]);
	listening();
	while ((len = recv(fd, buf, sizeof(buf), 0)) > 0)
		print_hex(len);
	return 0;
}

static int tap(char **arg)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR);
	struct pollfd fds[2] = { { .fd = 0, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
	char line[4096];
	ssize_t len;

	strncpy(request.ifr_name, arg[0], IFNAMSIZ - 1);
	check(fd >= 0 && !ioctl(fd, TUNSETIFF, &request), arg[0]);
	setlinebuf(stdin);
	listening();
	while (poll(fds, 2, -1) > 0) {
		if (fds[1].revents) {
			len = read(fd, buf, sizeof(buf));
			if (len >= ETH_HLEN && buf[12] == 0x88 && buf[13] == 0xb5)
				print_hex(len);
		}
		if (fds[0].revents) {
			/* One line at a time is written by the tests. */
			len = read(0, line, sizeof(line) - 1);
			if (len <= 0)
				return 0;
			line[len] = '\0';
			len = from_hex(line);
			check(write(fd, buf, len) == len, "write");
		}
	}
	return 1;
}

int main(int argc, char **argv)
{
	char **arg = argv + 2;

	alarm(120);
	if (argc == 4 && !strcmp(argv[1], "tcp-listen"))
		return tcp_listen(arg);
	if (argc == 4 && !strcmp(argv[1], "tcp-send"))
		return tcp_send(arg);
	if (argc >= 6 && argc <= 8 && !strcmp(argv[1], "udp-send"))
		return udp_send(arg);
	if (argc == 4 && !strcmp(argv[1], "udp-listen"))
		return udp_listen(arg, 0);
	if (argc == 4 && !strcmp(argv[1], "udp-numbers"))
		return udp_listen(arg, 1);
	if (argc >= 4 && argc <= 6 && !strcmp(argv[1], "send"))
		return send_frames(arg);
	if (argc == 5 && !strcmp(argv[1], "recv"))
		return recv_frames(arg);
	if (argc == 3 && !strcmp(argv[1], "tap"))
		return tap(arg);
	fprintf(stderr, "usage: traffic COMMAND ARGS..., see traffic.c\n");
	return 2;
}
