#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What firmware tells user space, and what user space tells people.
#
#	tc --- module --- firmware --- ring buffer --- ekho-fw events
#	          |
#	          +--- uevents, exits --- ekho-fw monitor, show

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# events DEV ARGS...: what waits to be read, as JSON lines.
events() {
	fw -j events --dev "$1" --timeout 0 "${@:2}"
}

# follow FILE CMD...: runs a command of ekho-fw, with its lines in FILE. Its
# process is $follower.
follow() {
	"$EKHO_FW" --pin-root "$pins" "${@:2}" >"$1" 2>&1 &
	follower=$!
}

# ends NAME: the follower ends, and well.
ends() {
	local status=0
	wait_begin $((2 * patience))
	while kill -0 "$follower" 2>/dev/null; do
		wait_more 0.05 || fail "$1" "expected: to end within $((2 * patience)) s"
	done
	wait "$follower" || status=$?
	expect "exit status of $1" 0 "$status"
}

# has FILE TEXT: a line of FILE has TEXT.
has() {
	grep -qF -- "$2" "$1"
}

# One line an event: preference, match, and actions with arguments.
rule_jq='"\(.prio) " + ([.match[] | "\(.field)=\(.value)" + (if .mask then "/\(.mask)" else "" end)] | join(" ")) +
	" -> " + ([.actions[] | .name + (if .argument then ":\(.argument)" else "" end) +
		(if .arguments == [] then "" else "[" + ([.arguments[] | "\(.name)=\(.value)"] | join(" ")) + "]" end)] | join(" "))'

# Each pair is a filter of preference 1, 2 …, and what must be read of it.
check_rules() {
	local want=() prio=0
	port ek0
	ip link add ek1 up type ekho
	load events ek0
	while (($# > 0)); do
		((++prio))
		# shellcheck disable=SC2086 # words
		tc filter add dev ek0 ingress pref "$prio" $1
		want+=("$prio $2")
		shift 2
	done
	expect 'rules' "$(printf '%s\n' "${want[@]}")" "$(events ek0 --only replace | jq -r "select(.prio) | $rule_jq")"
}

test_events_carry_the_match_given_to_tc() {
	local ip='protocol ip flower skip_sw' end='action drop'
	check_rules \
		"$ip dst_ip 192.0.2.1 src_ip 10.1.0.0/16 $end" \
		'eth_type=0x0800 src_ip=10.1.0.0/255.255.0.0 dst_ip=192.0.2.1 -> drop' \
		"protocol ipv6 flower skip_sw src_ip 2001:db8::/32 dst_ip fe80::1 $end" \
		'eth_type=0x86dd src_ip=2001:db8::/ffff:ffff:: dst_ip=fe80::1 -> drop' \
		"$ip ip_proto tcp src_port 1234 dst_port 80/0xfff0 tcp_flags 0x2/0x3f $end" \
		'eth_type=0x0800 ip_proto=6 tcp_flags=0x0002/0x003f src_port=1234 dst_port=80/0xfff0 -> drop' \
		"$ip ip_proto udp src_port 10-20 dst_port 1000-2000 $end" \
		'eth_type=0x0800 ip_proto=17 src_port_min=10 src_port_max=20 dst_port_min=1000 dst_port_max=2000 -> drop' \
		"$ip ip_proto icmp type 8 code 0 $end" \
		'eth_type=0x0800 ip_proto=1 type=8 code=0 -> drop' \
		"$ip src_mac 02:00:00:00:00:01 dst_mac 02:00:00:00:01:00/ff:ff:ff:ff:ff:00 $end" \
		'eth_type=0x0800 dst_mac=02:00:00:00:01:00/ff:ff:ff:ff:ff:00 src_mac=02:00:00:00:00:01 -> drop' \
		"protocol arp flower skip_sw arp_op request arp_sip 10.0.0.1 arp_tip 10.0.0.0/8 arp_sha 02:00:00:00:00:02 $end" \
		'eth_type=0x0806 arp_sip=10.0.0.1 arp_tip=10.0.0.0/255.0.0.0 arp_op=1 arp_sha=02:00:00:00:00:02 -> drop' \
		"protocol 802.1Q flower skip_sw vlan_id 4001 vlan_prio 5 $end" \
		'vlan_id=4001 vlan_prio=5 vlan_tpid=0x8100 -> drop' \
		"$ip ip_tos 0x10/0xfc ip_ttl 64 ip_flags frag $end" \
		'eth_type=0x0800 ip_flags=0x1/0x1 ip_tos=0x10/0xfc ip_ttl=64 -> drop' \
		"$ip enc_key_id 42 enc_dst_ip 198.51.100.7 enc_dst_port 4789 enc_tos 4 $end" \
		'eth_type=0x0800 enc_key_id=42 enc_dst_ip=198.51.100.7 enc_dst_port=4789 enc_tos=0x04 -> drop' \
		"$ip ct_state +trk+est ct_zone 9 ct_mark 0x5/0xf $end" \
		'eth_type=0x0800 ct_state=0xa/0xa ct_zone=9 ct_mark=0x5/0xf -> drop' \
		"protocol mpls_uc flower skip_sw mpls_label 16 mpls_ttl 64 $end" \
		'eth_type=0x8847 mpls=16:0:0:64/1048575:0:0:255 -> drop'
}

# As OVN and others have them: all that differs may be in there.
test_options_of_tunnels_are_told_apart() {
	local ip='protocol ip flower skip_sw enc_dst_ip 192.0.2.2 enc_key_id 7' n
	local match='eth_type=0x0800 enc_key_id=7 enc_dst_ip=192.0.2.2' end='action drop'
	check_rules \
		"$ip geneve_opts 0102:80:00010001/ffff:ff:7fffffff $end" \
		"$match geneve_opts=0102:80:00010001/ffff:ff:7fffffff -> drop" \
		"$ip geneve_opts 0102:80:00010002/ffff:ff:7fffffff $end" \
		"$match geneve_opts=0102:80:00010002/ffff:ff:7fffffff -> drop" \
		"$ip geneve_opts 0102:80:00010001,0103:81:0011223344556677 $end" \
		"$match geneve_opts=0102:80:00010001 geneve_opts=0103:81:0011223344556677 -> drop" \
		"$ip vxlan_opts 40 $end" \
		"$match vxlan_opts=40 -> drop" \
		"$ip erspan_opts 1:9:0:0 $end" \
		"$match erspan_opts=1:9:0:0 -> drop" \
		"$ip erspan_opts 2:0:1:7 $end" \
		"$match erspan_opts=2:0:1:7 -> drop" \
		"$ip gtp_opts 01:10 $end" \
		"$match gtp_opts=01:10 -> drop"
	expect 'the same of flows' 7 "$(records flows dev=ek0 | grep -o 'match=[^ ]*_opts:[^ ]*' | sort -u | wc -l)"
}

test_what_tunnels_set_is_told() {
	check_rules \
		'protocol ip flower skip_sw action tunnel_key set src_ip 10.0.0.1 dst_ip 10.0.0.2 id 7 dst_port 6081 tos 4 ttl 9 geneve_opts 0102:80:00010001 pipe action mirred egress redirect dev ek1' \
		'eth_type=0x0800 -> tunnel_set[key_id=7 src_ip=10.0.0.1 dst_ip=10.0.0.2 dst_port=6081 tos=0x04 ttl=9 geneve_opts=0102:80:00010001] redirect:ek1' \
		'protocol ip flower skip_sw action tunnel_key set src_ip fe80::1 dst_ip fe80::2 id 8 dst_port 4789 vxlan_opts 40 pipe action mirred egress redirect dev ek1' \
		'eth_type=0x0800 -> tunnel_set[key_id=8 src_ip=fe80::1 dst_ip=fe80::2 dst_port=4789 vxlan_opts=40] redirect:ek1' \
		'protocol ip flower skip_sw action tunnel_key unset pipe action mirred egress redirect dev ek1' \
		'eth_type=0x0800 -> tunnel_unset redirect:ek1'
}

test_actions_are_told_in_order_with_their_numbers() {
	local mangles='' i
	check_rules \
		'protocol ip flower skip_sw action mirred egress mirror dev ek1 pipe action vlan push id 7 priority 3 pipe action mirred egress redirect dev ek1' \
		'eth_type=0x0800 -> mirror:ek1 vlan_push:7[protocol=0x8100 priority=3] redirect:ek1' \
		'protocol ip flower skip_sw action skbedit mark 17 pipe action mpls push protocol mpls_uc label 20 ttl 64 pipe action goto chain 4' \
		'eth_type=0x0800 -> mark:17 mpls_push:20[protocol=0x8847 ttl=64] goto:4' \
		'protocol all matchall skip_sw action trap' \
		' -> trap'
	# More than firmware reads at a time.
	for i in {1..12}; do
		mangles+=" action pedit ex munge ip src set 10.0.0.$i munge ip dst set 10.0.1.$i munge ip ttl set $i pipe"
	done
	# shellcheck disable=SC2086 # words
	tc filter add dev ek0 ingress pref 9 protocol ip flower skip_sw $mangles action drop
	said=$(events ek0 --only replace)
	expect 'how many' '37 true' "$(jq -r 'select(.prio == 9) | "\(.actions | length) \(.complete)"' <<<"$said")"
	expect 'the first pedit' 'header=ip offset=12 value=0x0a000001 mask=0x00000000' \
		"$(jq -r 'select(.prio == 9) | [.actions[0].arguments[] | "\(.name)=\(.value)"] | join(" ")' <<<"$said")"
}

test_other_classifiers_and_chains_are_told_apart() {
	port ek0
	load events ek0
	tc filter add dev ek0 ingress pref 1 protocol all matchall skip_sw action drop
	tc filter add dev ek0 ingress pref 2 protocol ip chain 7 flower dst_ip 10.0.0.1 action drop
	tc filter add dev ek0 egress pref 3 protocol ip u32 skip_sw divisor 1
	tc filter add dev ek0 egress pref 3 protocol ip u32 skip_sw match ip dst 10.0.0.1 action drop
	tc chain add dev ek0 ingress chain 8 protocol ip flower dst_ip 10.0.0.0/8
	said=$(events ek0)
	# The kernel's u32 doesn't tell that its filters are skip_sw.
	expect 'flows' 'matchall 1 chain 0 ingress true
flower 2 chain 7 ingress false
u32 3 chain 0 egress false' "$(jq -r 'select(.what == "replace") | "\(.classifier) \(.prio) chain \(.chain) \(.hooks | join("+")) \(.skip_sw)"' <<<"$said")"
	expect 'template' '8 10.0.0.0/255.0.0.0' "$(jq -r 'select(.what == "template_create") | "\(.chain) \(.match[] | select(.field == "dst_ip") | "\(.value)/\(.mask)")"' <<<"$said")"
	[[ $(jq -r 'select(.what == "hnode") | .hnode.command' <<<"$said") == new* ]] || fail 'no hnode' "$said"
	tc chain del dev ek0 ingress chain 8
	expect 'its end' 'template_destroy 8' "$(events ek0 | jq -r 'select(.chain) | "\(.what) \(.chain)"')"
}

test_destroy_follows_replace_with_the_same_cookie() {
	local cookie
	port ek0
	load events ek0
	drop ek0 10 skip_sw
	cookie=$(cookie ek0 10)
	drop ek0 11 skip_sw
	undrop ek0 10
	expect 'events' "attach
replace 10 $cookie
replace 11 $(cookie ek0 11)
destroy 10 $cookie" "$(events ek0 | jq -r 'select(.ifindex) | .what + if .cookie then " \(.prio) \(.cookie)" else "" end')"
}

test_refusals_and_counters_are_told() {
	port ek0
	load small_ring ek0
	refused 2 drop ek0 99 skip_sw
	says '99 is one too many'
	drop ek0 10 skip_sw
	tc -s filter show dev ek0 ingress >/dev/null
	undrop ek0 10
	expect 'events' 'replace ENOSPC 28 99 is one too many null
replace null 0 null null
stats null 0 null 7/700
destroy null 0 null 7/700' "$(events ek0 | jq -r 'select(.cookie) | "\(.what) \(.error) \(.errno) \(.reason) \(.counters | if . then "\(.packets)/\(.bytes)" else . end)"')"
	refused 2 drop ek0 99 skip_sw
	accepted fw events --dev ek0 --timeout 0
	says 'replace 0x' 'dst_ip 10.0.0.99 -> drop, refused with ENOSPC: 99 is one too many' '1 event, 0 lost'
	[[ $said != *$'\e'* ]] || fail 'colours, and no terminal' "$said"
}

test_acl_sends_events_of_added_refused_and_deleted_flows() {
	port ek0
	load acl ek0
	tc filter add dev ek0 ingress protocol ip pref 1 flower skip_sw ip_proto tcp dst_ip 192.0.2.1 dst_port 80 action drop
	refused 2 tc filter add dev ek0 ingress protocol ip pref 2 flower skip_sw ip_proto udp action drop
	undrop ek0 1
	expect 'events' "$(printf '%s\n' \
		'replace 1 0: eth_type=0x0800 ip_proto=6 dst_ip=192.0.2.1 dst_port=80: drop: null' \
		"replace 2 95: eth_type=0x0800 ip_proto=17: drop: IP protocol 17 isn't TCP" \
		'destroy 1 0: : : null')" \
		"$(events ek0 | jq -r 'select(.prio) | "\(.what) \(.prio) \(.errno): " +
			([.match[]? | "\(.field)=\(.value)"] | join(" ")) + ": " +
			([.actions[]?.name] | join(" ")) + ": \(.reason)"')"
}

test_every_line_is_json_and_times_grow() {
	local i
	port ek0
	load events ek0
	for i in {1..20}; do
		drop ek0 "$i" skip_sw
	done
	said=$(events ek0)
	expect 'lines' 22 "$(wc -l <<<"$said")"
	# 21 events in the order of their times, and an end.
	expect 'objects' '22 true' "$(jq -s -r '"\(length) \([.[].time_ns | select(.)] | . == sort and length == 21)"' <<<"$said")"
	# As many as are wanted; the rest waits.
	drop ek0 21 skip_sw
	drop ek0 22 skip_sw
	expect 'the first' '21 count' "$(fw -j events --dev ek0 --count 1 | jq -rs '"\(.[0].prio) \(.[1].reason)"')"
	expect 'the second' '22 count' "$(fw -j events --dev ek0 --count 1 | jq -rs '"\(.[0].prio) \(.[1].reason)"')"
}

test_events_that_find_the_ring_full_are_counted_as_lost() {
	local i batch='' n lost
	port ek0
	load small_ring ek0
	for i in {1..60}; do
		batch+="filter add dev ek0 ingress protocol ip prio $i handle 1 flower skip_sw dst_ip 10.0.0.$i action pass"$'\n'
	done
	tc -b - <<<"$batch"
	said=$(events ek0)
	n=$(jq -s 'map(select(.cookie)) | length' <<<"$said")
	lost=$(jq 'select(.what == "end").lost' <<<"$said")
	((n > 3 && lost > 20)) || fail 'a ring buffer of 4 KiB' "$n events and $lost lost"
	expect 'all of them' 60 $((n + lost))
	expect 'told' "$lost" "$(jq 'select(.what == "lost").count' <<<"$said")"
	# The oldest are there, without a gap.
	expect 'preferences' "$(seq "$n")" "$(jq 'select(.cookie).prio' <<<"$said")"
	# There is room again, and what was lost before isn't told twice.
	undrop ek0 60
	expect 'afterwards' 'destroy 60 0' "$(events ek0 | jq -rs '"\(.[0].what) \(.[0].prio) \(.[1].lost)"')"
}

test_a_record_holds_nothing_of_those_before_it() {
	local i ones='255.255.255.255'
	port ek0
	load small_ring ek0
	# The ring is one page: its end is overwritten from the beginning, several times.
	for i in {1..24}; do
		tc filter add dev ek0 ingress pref 10 protocol ip flower skip_sw dst_ip "$ones" src_ip "$ones" \
			action pedit ex munge ip src set "$ones" munge ip dst set "$ones" pipe action drop
		undrop ek0 10
		events ek0 >/dev/null
	done
	for i in {1..9}; do
		drop ek0 "$i" skip_sw
	done
	expect 'arguments of drops' 9 "$(events ek0 | jq -c 'select(.prio) | [.actions[] | .name, .arguments]' | grep -cx '\["drop",\[\]\]')"
}

test_any_program_with_libbpf_reads_the_records() {
	port ek0
	load small_ring ek0
	drop ek0 10 skip_sw
	refused 2 drop ek0 99 skip_sw
	undrop ek0 10
	expect 'records' 'replace 10 0
replace 99 -28 reason "99 is one too many"
destroy 10 0' "$("$here/bpf/build/ring" "$pins/ek0/maps/ekho_events")"
	unload ek0
	load events ek0
	expect 'a name' 'attach 0 0 device "ek0"' "$("$here/bpf/build/ring" "$pins/ek0/maps/ekho_events")"
}

test_the_reader_ends_with_the_firmware() {
	port ek0
	load events ek0
	follow "$EKHO_TMP/events" -j events --dev ek0
	eventually has "$EKHO_TMP/events" '"what":"attach"'
	unload ek0
	ends 'the reader'
	expect 'its last lines' 'detach
end detached' "$(tail -n 2 "$EKHO_TMP/events" | jq -r '.what + if .reason then " \(.reason)" else "" end')"
	refused 6 fw events --dev ek0
	says 'device `ek0` has no firmware attached'
}

test_the_reader_ends_with_the_device() {
	port ek0
	load events ek0
	follow "$EKHO_TMP/events" -j events --dev ek0
	eventually has "$EKHO_TMP/events" '"what":"attach"'
	ip link del ek0
	ends 'the reader'
	expect 'its last line' detached "$(tail -n 1 "$EKHO_TMP/events" | jq -r .reason)"
}

test_the_reader_stays_when_firmware_is_replaced_by_its_like() {
	port ek0
	load events ek0
	follow "$EKHO_TMP/events" -j events --dev ek0
	eventually has "$EKHO_TMP/events" '"generation":1'
	replace events ek0
	eventually has "$EKHO_TMP/events" '"generation":2'
	drop ek0 10 skip_sw
	eventually has "$EKHO_TMP/events" '"prio":10'
	replace noop ek0
	ends 'the reader'
	expect 'its last line' replaced "$(tail -n 1 "$EKHO_TMP/events" | jq -r .reason)"
	refused 6 fw events --dev ek0
	says 'firmware `noop` of `ek0` sends no events' 'EKHO_EVENTS()'
}

test_signals_end_the_reader_cleanly() {
	local signal
	port ek0
	load events ek0
	for signal in INT TERM; do
		# A job of a script ignores SIGINT, unless it is told not to.
		env --default-signal=INT "$EKHO_FW" events --dev ek0 >"$EKHO_TMP/events" 2>&1 &
		follower=$!
		drop ek0 10 skip_sw
		eventually has "$EKHO_TMP/events" replace
		kill -"$signal" "$follower"
		ends "the reader after SIG$signal"
		has "$EKHO_TMP/events" ', 0 lost; interrupted' || fail 'no summary' "$(<"$EKHO_TMP/events")"
		undrop ek0 10
		fw events --dev ek0 --timeout 0 >/dev/null
	done
}

test_events_ends_when_its_output_is_closed() {
	port ek0
	load events ek0
	drop ek0 10 skip_sw
	expect 'one line' attach "$(fw -j events --dev ek0 | head -n 1 | jq -r .what)"
}

test_firmware_declares_what_show_and_inspect_print() {
	port ek0
	accepted fw inspect "$(object acl)"
	says 'keys         basic, ipv4_addrs, ports' 'actions      drop, redirect' 'max flows    1024'
	load acl ek0
	tc filter add dev ek0 ingress protocol ip pref 1 flower skip_sw ip_proto tcp dst_ip 192.0.2.1 action drop
	refused 2 tc filter add dev ek0 ingress protocol ip pref 2 flower skip_sw ip_proto udp action drop
	refused 2 tc filter add dev ek0 ingress protocol ip pref 2 flower skip_sw ip_proto udp action drop
	accepted fw show ek0
	says 'keys         basic, ipv4_addrs, ports' 'classifiers  flower' 'max flows    1024, 1 used' "IP protocol 17 isn't TCP"
	said=$(fw -j show ek0)
	# Time is the module's to say where firmware doesn't.
	expect 'capabilities' "$(fw -j inspect "$(object acl)" | jq -S -c '.firmware[0].capabilities | del(.budget_us)')" \
		"$(jq -S -c '.[0].capabilities | del(.budget_us)' <<<"$said")"
	(($(jq '.[0].capabilities.budget_us' <<<"$said") > 0)) || fail 'no budget' "$said"
	expect 'limits' '1024 1 1' "$(jq -r '.[0].capabilities | "\(.max_flows) \(.max_chains) \(.max_actions)"' <<<"$said")"
	expect 'used' 1 "$(jq '.[0].table_entries' <<<"$said")"
	expect 'refusals' "95 2 IP protocol 17 isn't TCP" "$(jq -r '.[0].refusals[] | "\(.errno) \(.count) \(.reason)"' <<<"$said")"
}

test_flows_name_their_classifier() {
	port ek0
	load noop ek0
	drop ek0 10 skip_sw
	tc filter add dev ek0 ingress pref 11 protocol all matchall skip_sw action drop
	expect 'classifiers' '10 flower
11 matchall' "$(fw -j flows --dev ek0 | jq -r 'sort_by(.prio)[] | "\(.prio) \(.classifier)"')"
	accepted fw flows --dev ek0
	says CLASSIFIER matchall
}

# begin_monitor FILE: follows what becomes of firmware, from when this returns.
begin_monitor() {
	load noop lo
	follow "$1" -j monitor
	eventually has "$1" '"attached"'
}

# notifications FILE: what a monitor's file tells. Before what was attached on lo come exits
# of namespaces that had the same number as this one.
notifications() {
	jq -r '"\(.event) \(.dev) \(.firmware)" + (if .replaced then " for \(.replaced)" else "" end)' "$1" |
		sed -n '/^attached lo/,$p'
}

test_monitor_reports_attach_replace_and_detach() {
	local file=$EKHO_TMP/monitor
	begin_monitor "$file"
	ip link add ek0 up type ekho
	load stats ek0
	replace stats_v2 ek0
	unload ek0
	load noop ek0
	ip link del ek0
	eventually has "$file" '"gone"'
	kill "$follower"
	ends 'the monitor'
	expect 'the notifications' 'attached lo noop
attach ek0 stats
replace ek0 stats_v2 for stats
detach ek0 stats_v2
attach ek0 noop
detach ek0 noop
gone ek0 null' "$(notifications "$file")"
}

test_monitor_and_show_tell_why_firmware_was_stopped() {
	local file=$EKHO_TMP/monitor
	begin_monitor "$file"
	port ek0
	load faulty ek0
	drop ek0 205
	refused 2 drop ek0 201 skip_sw
	eventually has "$file" '"firmware":"faulty","replaced":null,"op":"replace"'
	kill "$follower"
	ends 'the monitor'
	# The flow that was being added may be counted or not.
	said=$(jq -r '"\(.event) \(.dev) \(.firmware) \(.op) \(.code) \(.flows)"' "$file" | tail -n 1)
	[[ $said == 'exit ek0 faulty replace return '[12] ]] || fail 'the exit' "$said"
	refused 6 fw show ek0
	says 'the module stopped `faulty`' 'replace returned 1' 'hint: fix the firmware'
	accepted fw -n /proc/self/ns/net show
	says 'ek0: no firmware' 'firmware faulty was stopped: replace returned 1; ' ' went back to software'
	# A monitor that comes later knows of it too.
	accepted fw monitor --dev ek0 --timeout 0
	says 'ek0: firmware faulty was stopped: replace returned 1; '
	load noop ek0
	accepted fw show ek0
	says 'firmware faulty was stopped: replace returned 1'
}

main "$@"
