# SPDX-License-Identifier: GPL-2.0-only
#
# Ports that are cabled, and what is sent over cables, for test files. Sourced, after libtest.sh.
#
#	 the case's namespace        another one, $ns
#	 +------------------+        +------------------+
#	 |    ek0 10.9.0.1  |        |  ek1 10.9.0.2    |
#	 +-----|------------+        +---|--------------+
#	       +-------- a cable --------+
#
# Interfaces whose names begin with ek1 are in $ns, all others in the case's own namespace.
# Nothing sends but what a case sends: IPv6 is off, and neighbours are permanent.
#
# shellcheck shell=bash disable=SC2034,SC2119,SC2120,SC2154 # what test files and libtest.sh have

traffic=$here/bpf/build/traffic

# ---------------------------------------------------------------- topology ----

there() {
	nsenter --net="/run/netns/$ns" -- "$@"
}

# at DEV CMD...: in the namespace where DEV is.
at() {
	if [[ $1 == ek1* ]]; then
		there "${@:2}"
	else
		"${@:2}"
	fi
}

# netns: makes $ns.
netns() {
	ns=ekho-selftest-$$
	ip netns add "$ns"
	defer ip netns del "$ns"
	echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
	there sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'
}

# ports [OPTIONS...]: ek0 and ek1, up, with addresses, made with these options of `ip link add`.
ports() {
	netns
	ip link add ek0 address 02:00:00:00:00:01 "$@" type ekho
	ip link add ek1 netns "$ns" address 02:00:00:00:00:02 "$@" type ekho
	addresses ek0 ek1
}

# neighbours DEV PEER: that have the addresses 02:00:00:00:00:01 and 02:00:00:00:00:02. They are gone
# after an interface was down.
neighbours() {
	at "$1" ip neigh replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev "$1" nud permanent
	at "$2" ip neigh replace 10.9.0.1 lladdr 02:00:00:00:00:01 dev "$2" nud permanent
}

# addresses DEV PEER: 10.9.0.1 and 10.9.0.2, and sets both up.
addresses() {
	at "$1" ip link set "$1" up
	at "$2" ip link set "$2" up
	at "$1" ip addr add 10.9.0.1/24 dev "$1"
	at "$2" ip addr add 10.9.0.2/24 dev "$2"
	neighbours "$1" "$2"
}

# veth A B: a pair of them, up.
veth() {
	ip link add "$1" type veth peer name "$2"
	ip link set "$1" up
	ip link set "$2" up
}

# end_of DEV: as the tool wants it.
end_of() {
	if [[ $1 == ek1* ]]; then
		echo "$1@$ns"
	else
		echo "$1"
	fi
}

# connect A B [OPTIONS...], disconnect A: must succeed.
connect() {
	fw cable connect "$(end_of "$1")" "$(end_of "$2")" "${@:3}" >/dev/null
}

disconnect() {
	fw cable disconnect "$(end_of "$1")" >/dev/null
}

# cabled [OPTIONS...]: what is drawn above.
cabled() {
	ports
	connect ek0 ek1 "$@"
	eventually is_running ek0
	eventually is_running ek1
}

# ----------------------------------------------------- what is said of them ----

# link DEV JQ: what ip says.
link() {
	at "$1" ip -d -s -j link show dev "$1" | jq -r ".[0]$2"
}

# count DEV rx.packets, tx.dropped ...
count() {
	link "$1" ".stats64.$2"
}

# figure DEV NAME: of ethtool -S.
figure() {
	at "$1" ethtool -S "$1" | sed -n "s/^ *$2: //p"
}

# reasons DEV PREFIX: those of its figures that aren't 0 and aren't of queues, as NAME=VALUE.
reasons() {
	at "$1" ethtool -S "$1" | awk -v prefix="$2" '$1 ~ "^" prefix && !/_queue_/ && $2 {
		printf "%s%s%s", space, substr($1, 1, length($1) - 1), "=" $2
		space = " "
	}'
}

# cable DEV [JQ]: what the tool says of its cable; nothing if it has none.
cable() {
	at "$1" "$EKHO_FW" -j cable list --dev "$1" | jq -r ".[]${2:-}"
}

is_running() {
	[[ $(link "$1" .operstate) == UP ]]
}

has_carrier() {
	[[ $(link "$1" '.flags | contains(["LOWER_UP"])') == true ]]
}

# carriers DEV...: "yes" or "no" for each.
carriers() {
	local dev text=''
	for dev; do
		text+=$(has_carrier "$dev" && echo ' yes' || echo ' no')
	done
	echo "${text# }"
}

# expect_carriers YES|NO... : of ek0 and ek1; and the cable says so, too.
expect_carriers() {
	expect 'carriers of ek0 and ek1' "$*" "$(carriers ek0 ek1)"
}

# ------------------------------------------------------------------ traffic ----

# listen DEV ARGS...: `traffic` where DEV is, which is ready; see `hear`.
listen() {
	local line
	exec {ear}< <(at "$1" "$traffic" "${@:2}")
	IFS= read -rt 60 line <&"$ear" || fail "traffic ${*:2}" 'not listening'
	expect "traffic ${*:2}" listening "$line"
}

# hear: what it said until it ended, as $heard.
hear() {
	heard=$(cat <&"$ear")
	exec {ear}<&-
}

# For how long nothing comes before a listener ends, in ms.
quiet=$((patience * 200))

# pings [ARGS...]: from here to there; one answer at least.
pings() {
	accepted ping -q -c 3 -i 0.01 -W "$patience" "$@" 10.9.0.2
}

# no_pings: none is answered.
no_pings() {
	refused 1 ping -q -c 3 -i 0.01 -W 1 10.9.0.2
}

can_ping() {
	ping -q -c 1 -W 1 10.9.0.2 >/dev/null
}

# is_over: no connection is left but those that are remembered for a while (06), or listen (0A).
is_over() {
	local tcp
	tcp=$(cat /proc/self/net/tcp && there cat /proc/self/net/tcp)
	! awk '$4 ~ /^0[1-9A-F]$/ && $4 !~ /06|0A/ { found = 1 } END { exit !found }' <<<"$tcp"
}

# transfer BYTES: random ones go by TCP from here to there, and are the same there.
transfer() {
	head -c "$1" /dev/urandom >"$EKHO_TMP/sent"
	listen ek1 tcp-listen 7 "$EKHO_TMP/received"
	"$traffic" tcp-send 10.9.0.2 7 <"$EKHO_TMP/sent"
	hear
	expect "sum of what was sent" "$(sha256sum <"$EKHO_TMP/sent")" "$(sha256sum <"$EKHO_TMP/received")"
	# A connection that isn't over keeps its namespace until it gives up.
	eventually is_over
}

# datagrams N SIZE [FLOWS [SEGMENT]]: what came is in $received, what was late in $late, how long it
# took from the first to the last in $ms.
datagrams() {
	listen ek1 udp-listen 7 "$quiet"
	"$traffic" udp-send 10.9.0.2 7 "$@"
	hear
	[[ $heard =~ received\ ([0-9]+)\ late\ ([0-9]+)\ ms\ ([0-9]+) ]] || fail 'udp-listen' "$heard"
	received=${BASH_REMATCH[1]} late=${BASH_REMATCH[2]} ms=${BASH_REMATCH[3]}
}

# numbers N: those of N datagrams that came, in their order.
numbers() {
	listen ek1 udp-numbers 7 "$quiet"
	"$traffic" udp-send 10.9.0.2 7 "$1" 8
	hear
	heard=$(paste -sd ' ' <<<"$heard")
}

need_nft() {
	type -P nft >/dev/null || skip 'needs nft'
	modprobe -a nf_tables nf_conntrack || skip 'this kernel has no nftables'
}

# A frame of the type for experiments, to a group, for `traffic send`.
frame=0300000000010200000000aa88b5
