#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Requests on their way from tc to firmware: what firmware reads is what tc was
# given, and what it says is what tc shows.
#
#	tc --- cls_* and act_* --- module --- record.bpf.c --- its log
#
# The tables requests.d/match and requests.d/action have a row for each thing that
# can be asked for.

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# ------------------------------------------------------------------- the log --

# lines DEV: what its firmware has written down, in order.
lines() {
	bpftool map dump pinned "$pins/$1/maps/log_lines" |
		jq -r 'sort_by(.key)[].value.text | gsub(" }"; "}") | gsub(" ;"; ";") | gsub(" +\\|"; " |") | gsub(" +$"; "")'
}

# with_indexes LINE...: with the index of a device for each @NAME.
with_indexes() {
	local text name index
	text=$(printf '%s\n' "$@")
	while read -r name index; do
		text=${text//@$name/$index}
	done < <(ip -j link show | jq -r 'sort_by(-(.ifname | length))[] | "\(.ifname) \(.ifindex)"')
	printf '%s\n' "$text"
}

# expect_log DEV LINE...: a LINE may be a pattern, and have @NAME for the index of a device.
expect_log() {
	local seen i log=() lines=()
	seen=$(lines "$1")
	[[ -z $seen ]] || mapfile -t log <<<"$seen"
	shift
	(($# == 0)) || mapfile -t lines < <(with_indexes "$@")
	set -- "${lines[@]}"
	for ((i = 0; i < ${#log[@]} || i < $#; i++)); do
		# shellcheck disable=SC2053 # a pattern
		[[ ${log[i]:-} == ${*:i+1:1} && i -lt $# ]] ||
			expect 'what firmware was asked for' "$(printf '%s\n' "$@")" "$seen"
	done
}

# --------------------------------------------------------------- the tables --

# read_table TABLE: into the arrays names, requests, wants, which it adds to.
read_table() {
	local line name request want
	while IFS='|' read -r name request want; do
		[[ -n $name && $name != '#'* ]] || continue
		read -r name <<<"$name"
		names+=("$1_$name")
		read -r request <<<"$request"
		requests+=("$request")
		read -r want <<<"$want"
		wants+=("$want")
	done <"$here/requests.d/$1"
}

rows() {
	local names=() requests wants
	read_table match
	read_table action
	printf 'tc/%s\n' "${names[@]}" template
}

# command PRIO ROW REQUEST: for `tc -b`, or done here if tc doesn't know it. A row's
# preference tells its flow from the others.
command() {
	local filter="filter add dev ek0 ingress prio $1 protocol" protocol attributes
	case $2 in
	action_*) echo "$filter all flower skip_sw $3" ;;
	*' raw '*)
		read -r protocol _ attributes <<<"$3"
		[[ $protocol == ip ]]
		# shellcheck disable=SC2086 # words
		"$here/requests.d/flower.py" ek0 "$1" 0800 $attributes >&2
		echo
		;;
	*) echo "$filter $3 skip_sw action drop" ;;
	esac
}

table_tc() {
	local names=() requests=() wants=() i line batch='' error='' errors=() seen=()
	local prio identity match actions template='' ek0
	read_table match
	read_table action
	port ek0 ek1
	ek0=$(with_indexes @ek0)
	mapfile -t wants < <(with_indexes "${wants[@]}")
	load record ek0
	for ((i = 0; i < ${#names[@]}; i++)); do
		batch+=$(command $((i + 1)) "${names[i]} ${requests[i]}" "${requests[i]}")$'\n'
	done
	while IFS= read -r line; do
		if [[ $line == 'Command failed -:'* ]]; then
			errors[${line#*:}]=$error
			error=''
		else
			error+="$line "
		fi
	done < <(tc -force -b - <<<"$batch" 2>&1)
	tc chain add dev ek0 ingress chain 3 protocol ip flower dst_ip 0.0.0.0/12 ip_proto tcp
	while IFS='|' read -r identity match actions; do
		[[ $identity != template_create* ]] || template=$match
		[[ $identity == "replace dev=$ek0 chain=0 prio="*' cls=flower hooks=1 block=0 skip_sw=1 ' ]] || continue
		prio=${identity#*prio=} prio=${prio%% *}
		[[ ${names[prio - 1]} == match_* ]] || match=$actions
		read -r "seen[$prio]" <<<"$match"
	done < <(lines ek0)
	for ((i = 0; i < ${#names[@]}; i++)); do
		if [[ -z ${seen[i + 1]+there} ]]; then
			row "${names[i]}" "${requests[i]}" "expected: ${wants[i]}" 'seen:     nothing' \
				"tc says:  ${errors[i + 1]:-$error}"
		elif [[ ${seen[i + 1]} != "${wants[i]}" ]]; then
			row "${names[i]}" "${requests[i]}" "expected: ${wants[i]}" "seen:     ${seen[i + 1]}"
		else
			row "${names[i]}"
		fi
	done
	# Of a template only masks say something.
	if [[ $template == ' BASIC{eth_type='*'/ffff ip_proto='*'/ff} IPV4_ADDRS{dst='*'/255.240.0.0} ' ]]; then
		row template
	else
		row template "seen: $template"
	fi
}

# flower DEV PRIO ARGS...: adds a filter that has to be in hardware.
flower() {
	tc filter add dev "$1" ingress protocol ip prio "$2" handle 1 flower skip_sw "${@:3}"
}

# --------------------------------------------------------- what was asked for --

test_what_the_kernel_keeps_in_software_never_comes() {
	local action actions=(
		'pipe' 'continue' 'reclassify' 'jump 1 action drop'
		'skbedit inheritdsfield' 'skbedit mark 1 priority 2'
		'mpls dec_ttl' 'mpls mac_push label 1'
		'nat ingress 192.0.2.1/32 198.51.100.1'
		'simple sdata hello' 'connmark' 'ctinfo dscp 0xfc000000'
		'skbmod set dmac 02:00:00:00:00:01'
		'pedit munge offset 0 u32 set 1'
	)
	port ek0
	load noop ek0
	for action in "${actions[@]}"; do
		# shellcheck disable=SC2086 # words
		refused 2 flower ek0 1 dst_ip 10.0.0.1 action $action
		says 'Error'
	done
	# Nor does what it can't say with one action.
	refused 2 tc filter add dev ek0 egress protocol ip prio 1 flower skip_sw action skbedit queue_mapping 1
	expect_figures ek0 replace=0 replace_refused=0
}

test_as_many_actions_as_tc_allows_arrive_in_order() {
	local i actions=() want='replace *| |'
	port ek0
	load brief ek0
	for i in {1..31}; do
		actions+=(action skbedit mark "$i" pipe)
		want+=" mark arg=$i;"
	done
	flower ek0 1 dst_ip 10.0.0.1 "${actions[@]}" action drop
	want+=' drop arg=0;'
	# An action of tc can be several for the device.
	actions=()
	for i in {1..16}; do
		actions+=(action pedit ex munge ip6 dst set "2001:db8::$i" pipe)
	done
	tc filter add dev ek0 ingress protocol ipv6 prio 2 flower skip_sw "${actions[@]}"
	expect_log ek0 "$want" "replace *| |$(printf ' pedit arg=0;%.0s' {1..64})"
}

test_chains_priorities_protocols_classes_and_hooks_are_told() {
	port ek0
	load brief ek0
	tc -b - <<-END
		filter add dev ek0 ingress protocol ipv6 prio 65535 flower skip_sw action drop
		filter add dev ek0 egress protocol 0x88b5 prio 1 flower classid 1:2 action drop
		filter add dev ek0 ingress chain 7 protocol all prio 2 flower skip_sw action goto chain 268435455
		filter del dev ek0 egress prio 1
		filter del dev ek0 ingress chain 7 prio 2
	END
	expect_log ek0 \
		'replace dev=@ek0 chain=0 prio=65535 protocol=86dd cls=flower hooks=1 block=0 skip_sw=1 | | drop arg=0;' \
		'replace dev=@ek0 chain=0 prio=1 protocol=88b5 cls=flower hooks=2 block=0 skip_sw=0 classid=10002 | | drop arg=0;' \
		'replace dev=@ek0 chain=7 prio=2 protocol=3 cls=flower hooks=1 block=0 skip_sw=1 | | goto arg=268435455;' \
		'destroy dev=@ek0 chain=0 prio=1 protocol=88b5 cls=flower hooks=2 block=0 skip_sw=0' \
		'destroy dev=@ek0 chain=7 prio=2 protocol=3 cls=flower hooks=1 block=0 skip_sw=1'
}

test_matchall_comes_is_counted_and_goes() {
	port ek0
	load brief ek0
	tc -b - <<-END
		filter add dev ek0 ingress protocol all prio 3 handle 1 matchall skip_sw action mirred egress mirror dev ek0
		filter add dev ek0 egress protocol ip prio 4 handle 1 matchall action police rate 8mbit burst 10000 conform-exceed drop index 1001
	END
	expect_filters 'dev ek0 ingress' '3/1 in_hw=0 hw=5/500 all=5/500 *'
	# matchall says in_hw, but not how often.
	expect 'in_hw' true "$(tc -j filter show dev ek0 ingress | jq '.[] | .options.in_hw? // empty')"
	tc filter del dev ek0 ingress prio 3
	tc filter del dev ek0 egress prio 4
	expect_log ek0 \
		'replace dev=@ek0 chain=0 prio=3 protocol=3 cls=matchall hooks=1 block=0 skip_sw=1 | | mirror arg=@ek0;' \
		'replace dev=@ek0 chain=0 prio=4 protocol=800 cls=matchall hooks=2 block=0 skip_sw=0 | | police arg=1001;' \
		'destroy dev=@ek0 chain=0 prio=3 protocol=3 cls=matchall hooks=1 block=0 skip_sw=1' \
		'destroy dev=@ek0 chain=0 prio=4 protocol=800 cls=matchall hooks=2 block=0 skip_sw=0'
	expect_figures ek0 flows=0 stats=2
}

# Linux 7.2 passes no flags on for the nodes of u32: they come without skip_sw, and
# one that is refused stays in software, though it was to be in hardware only.
test_nodes_and_tables_of_u32_come_and_go() {
	local u32='filter add dev ek0 ingress protocol ip prio 7'
	port ek0
	load brief ek0
	tc -b - <<-END
		$u32 u32 skip_sw match ip dst 10.0.0.1/32 match ip dport 53 0xffff classid 1:3 action drop
		$u32 handle 2: u32 skip_sw divisor 16
		$u32 handle 2:5:1 u32 skip_sw ht 2:5: match u32 0x12345678 0xffff0000 at 20 action pass
		$u32 u32 skip_sw ht 800: match ip protocol 6 0xff link 2: hashkey mask 0x00ff0000 at 0
		filter replace dev ek0 ingress protocol ip prio 7 handle 2:5:1 u32 skip_sw ht 2:5: action drop
	END
	expect 'in hardware' '3' "$(tc filter show dev ek0 ingress | grep -c ' in_hw')"
	tc filter del dev ek0 ingress protocol ip prio 7 handle 800::801 u32
	tc filter del dev ek0 ingress protocol ip prio 7 handle 2:5:1 u32
	# The kernel gives up the link to the table later.
	eventually tc filter del dev ek0 ingress protocol ip prio 7 handle 2: u32 2>/dev/null
	local id='dev=@ek0 chain=0 prio=7 protocol=800 cls=u32 hooks=1 block=0 skip_sw=0'
	expect_log ek0 \
		"replace $id classid=10003 | U32{handle=80000800 link=0 mark=0/0 16:a000001/ffffffff 20:35/ffff} | drop arg=0;" \
		'hnode command=1 handle=200000 divisor=16 chain=0 prio=7 skip_sw=1' \
		"replace $id | U32{handle=205001 link=0 mark=0/0 20:12340000/ffff0000} | pass arg=0;" \
		"replace $id | U32{handle=80000801 link=200000 mark=0/0 8:60000/ff0000} |" \
		"destroy $id" \
		"replace $id | U32{handle=205001 link=0 mark=0/0 20:12340000/ffff0000} | drop arg=0;" \
		"destroy $id" \
		"destroy $id" \
		'hnode command=2 handle=200000 divisor=16 chain=0 prio=7 skip_sw=1'
}

test_tables_of_u32_are_refused_without_an_op() {
	port ek0
	load noop ek0
	refused 2 tc filter add dev ek0 ingress protocol ip prio 7 handle 2: u32 skip_sw divisor 2
	says "ek0: firmware 'noop' has no hash tables for u32 (divisor 2)"
	tc filter add dev ek0 ingress protocol ip prio 7 u32 match ip dst 10.0.0.1/32 action drop
	expect_figures ek0 flows=1 replace=1
}

test_templates_come_and_go() {
	port ek0
	load brief ek0
	tc -b - <<-END
		chain add dev ek0 ingress chain 3 protocol ip flower dst_ip 0.0.0.0/16 ip_proto tcp
		filter add dev ek0 ingress chain 3 protocol ip prio 4 handle 1 flower skip_sw ip_proto tcp dst_ip 10.1.0.0/16 action drop
		filter del dev ek0 ingress chain 3 prio 4
		chain del dev ek0 ingress chain 3
	END
	expect_log ek0 \
		'template_create dev=@ek0 chain=3 prio=0 protocol=0 cls=flower hooks=1 block=0 skip_sw=0 | |' \
		'replace dev=@ek0 chain=3 prio=4 protocol=800 cls=flower hooks=1 block=0 skip_sw=1 | | drop arg=0;' \
		'destroy dev=@ek0 chain=3 prio=4 protocol=800 cls=flower hooks=1 block=0 skip_sw=1' \
		'template_destroy dev=@ek0 chain=3 prio=0 protocol=0 cls=flower hooks=1 block=0 skip_sw=0'
}

test_a_qdisc_takes_its_template_with_it() {
	port ek0
	load brief ek0
	tc chain add dev ek0 ingress chain 3 protocol ip flower dst_ip 0.0.0.0/16
	tc qdisc del dev ek0 clsact
	expect_log ek0 \
		'template_create dev=@ek0 chain=3 prio=0 protocol=0 cls=flower hooks=1 block=0 skip_sw=0 | |' \
		'template_destroy dev=@ek0 chain=3 prio=0 protocol=0 cls=flower hooks=1 block=0 skip_sw=0'
}

test_a_filter_that_is_changed_is_a_new_flow_before_the_old_one_ends() {
	port ek0
	load brief ek0
	flower ek0 1 dst_ip 10.0.0.1 action drop
	tc filter replace dev ek0 ingress protocol ip prio 1 handle 1 flower skip_sw dst_ip 10.0.0.1 action pass
	expect_log ek0 'replace *| drop arg=0;' 'replace *| pass arg=0;' 'destroy *'
	expect_figures ek0 flows=1
}

test_a_shared_block_is_one_flow_on_each_of_three_ports() {
	local dev
	for dev in ek0 ek1 ek2; do
		ip link add "$dev" up type ekho
		tc qdisc add dev "$dev" ingress_block 22 clsact
		load brief "$dev"
	done
	tc filter add block 22 protocol ip prio 1 handle 1 flower skip_sw dst_ip 10.0.0.1 action drop
	expect_in_hw 'block 22' 3
	expect 'flows' 3 "$(n_flows)"
	# What they count is added up.
	expect_filters 'block 22' '1/1 in_hw=3 hw=15/1500 all=15/1500 *'
	tc qdisc del dev ek1 clsact
	expect_in_hw 'block 22' 2
	expect 'flows' 2 "$(n_flows)"
	expect_log ek1 \
		'replace dev=@ek1 chain=0 prio=1 protocol=800 cls=flower hooks=1 block=22 skip_sw=1 | | drop arg=0;' \
		'destroy dev=@ek1 chain=0 prio=1 protocol=800 cls=flower hooks=1 block=22 skip_sw=1'
	tc filter del block 22 prio 1
	expect_log ek2 'replace dev=@ek2 * block=22 *' 'destroy dev=@ek2 * block=22 *'
	expect_figures ek1 flows=0 replace=1 destroy=1
}

# actions: those that are shared, with what was counted in hardware.
actions() {
	tc -s -j actions list action gact | jq -r '.[] | .actions[]? | "\(.index) in_hw=\(.in_hw_count // 0)" +
		" \(.control_action.type) hw=\(.stats.hw_packets // 0)"'
}

test_a_shared_action_is_a_flow_of_its_own() {
	port ek0 ek1
	load brief ek0
	tc actions add action drop index 1007 skip_sw
	expect 'actions' '1007 in_hw=1 drop hw=5' "$(actions)"
	# One that filters made isn't.
	flower ek0 1 dst_ip 10.0.0.1 action gact index 1007
	tc actions replace action gact pass index 1007 skip_sw
	# Firmware that comes is asked for those that are there.
	load brief ek1
	expect 'actions' '1007 in_hw=2 pass hw=10' "$(actions | sed 's/hw=1[0-9]$/hw=10/')"
	expect_figures ek1 flows=1
	unload ek1
	expect 'actions' '1007 in_hw=1 pass' "$(actions | sed 's/ hw=.*//')"
	tc filter del dev ek0 ingress prio 1
	tc actions del action gact index 1007
	local id='dev=@ek0 chain=0 prio=0 protocol=0 cls=action hooks=0 block=0 skip_sw=0'
	expect_log ek0 "replace $id | | drop arg=0;" 'replace *cls=flower *| | drop arg=0;' \
		"destroy $id" "replace $id | | pass arg=0;" 'destroy *cls=flower *' "destroy $id"
	refused - tc actions get action gact index 1007
}

test_a_shared_action_that_is_changed_keeps_what_it_had_counted() {
	port ek0
	load stats ek0
	# count PACKETS: what the device counts for the action from now on.
	count() {
		fw stats set --dev ek0 --cookie "$(field cookie "$(records flows classifier=action)")" \
			--packets "$1" --bytes "$1"00 >/dev/null
	}
	tc actions add action drop index 1007
	count 2
	expect 'counted' '1007 in_hw=1 drop hw=2' "$(actions)"
	count 3
	# Nobody has asked for one packet of it.
	tc actions replace action gact pass index 1007
	count 4
	tc actions replace action gact trap index 1007
	expect 'counted before the changes' '1007 in_hw=1 trap hw=7' "$(actions)"
	count 5
	expect 'counted in all' '1007 in_hw=1 trap hw=12' "$(actions)"
	tc actions flush action gact
	expect_figures ek0 flows=0 violations=0
}

# The kernel asks nobody to destroy it, nor does it when a device leaves.
test_a_shared_action_that_is_not_offloadable_any_more_goes_when_its_device_moves() {
	local ns=ekho-selftest-$$
	ip netns add "$ns"
	defer ip netns del "$ns"
	port ek0
	load stats ek0
	tc actions add action drop index 1007
	tc actions replace action pipe index 1007
	tc actions del action gact index 1007
	expect 'actions' '' "$(actions)"
	expect 'what firmware has' action "$(field classifier "$(records flows dev=ek0)")"
	ip link set ek0 netns "$ns"
	netns=$(netns_id "/run/netns/$ns")
	expect 'what firmware has there' '' "$(records flows dev=ek0)"
	expect_figures ek0 replace=1 destroy=1
}

test_shared_actions_of_other_namespaces_are_not_asked_for() {
	port ek0
	load brief ek0
	unshare --net -- tc actions add action drop index 1007
	expect_log ek0
}

# in_hw: in how much hardware each shared action is.
in_hw() {
	actions | sed 's/ [a-z]* hw=.*//'
}

test_a_shared_action_that_one_device_refuses_is_in_the_hardware_of_the_others() {
	port ek0 ek1 ek2
	load brief ek0
	load brief ek1
	load brief ek2
	echo 'dev=ek1 op=replace nth=1 errno=EIO' >"$debugfs/faults"
	tc actions add action drop index 1007 skip_sw
	expect 'actions' '1007 in_hw=2' "$(in_hw)"
	expect_figures ek1 flows=0
	# All that count are counted, whoever has nothing to say: 5 packets each.
	expect 'counters' '1007 in_hw=2 drop hw=10' "$(actions)"
	echo 'dev=ek0 op=stats errno=EIO' >"$debugfs/faults"
	# One that doesn't take the change hasn't got the old one either.
	echo 'dev=ek2 op=replace nth=1 errno=EIO' >"$debugfs/faults"
	tc actions replace action gact pass index 1007 skip_sw
	expect 'actions after a change' '1007 in_hw=2 pass hw=15' "$(actions)"
	expect_figures ek0 flows=1
	expect_figures ek1 flows=1
	expect_figures ek2 flows=0
	echo 'dev=ek0 clear' >"$debugfs/faults"
	expect 'what was late' '1007 in_hw=2 pass hw=20' "$(actions)"
	# If nobody takes it, it isn't made.
	echo 'dev=ek0 op=replace errno=EIO' >"$debugfs/faults"
	echo 'dev=ek1 op=replace errno=EIO' >"$debugfs/faults"
	echo 'dev=ek2 op=replace errno=EIO' >"$debugfs/faults"
	refused - tc actions add action drop index 1008 skip_sw
	expect 'actions after one that nobody takes' '1007 in_hw=2' "$(in_hw)"
	tc actions del action gact index 1007
	expect 'flows' 0 "$(n_flows)"
}

# Shared actions belong to a namespace: who leaves it has no part in them.
test_a_device_that_moves_leaves_shared_actions_behind() {
	local ns=ekho-selftest-$$ there
	ip netns add "$ns"
	defer ip netns del "$ns"
	there=$(netns_id "/run/netns/$ns")
	port ek0 ek1
	load brief ek0
	load brief ek1
	tc actions add action drop index 1007
	tc actions add action drop index 1008 skip_sw
	ip netns exec "$ns" tc actions add action pass index 1009
	ip netns exec "$ns" tc actions add action pass index 1010
	expect 'actions' $'1007 in_hw=2\n1008 in_hw=2' "$(in_hw)"
	expect_figures ek0 flows=2
	ip link set ek0 netns "$ns"
	expect 'actions that it left' $'1007 in_hw=1\n1008 in_hw=1' "$(in_hw)"
	expect 'flows there' 2 "$(netns=$there n_flows)"
	# One that is changed here isn't changed there.
	tc actions replace action gact pass index 1007
	expect 'actions after a change' $'1007 in_hw=1\n1008 in_hw=1' "$(in_hw)"
	expect 'flows there after a change' 2 "$(netns=$there n_flows)"
	said=$(ip netns exec "$ns" tc actions list action gact)
	says 'index 1009' 'in_hw_count 1'
	ip netns exec "$ns" tc actions del action gact index 1009
	expect 'flows there after a deletion' 1 "$(netns=$there n_flows)"
	tc actions flush action gact
	expect_figures ek1 flows=0
	# Back here it gets what is here.
	tc actions add action drop index 1011
	ip -n "$ns" link set ek0 netns "$$"
	expect 'actions when it is back' '1011 in_hw=2' "$(in_hw)"
	expect_figures ek0 flows=1
	said=$(ip netns exec "$ns" tc actions list action gact)
	[[ $said != *in_hw_count* ]] || fail 'still in hardware' "$said"
	tc actions flush action gact
	unload ek0
	unload ek1
}

# --------------------------------------------------- what a device can't do ---

# refused_for REASON ARGS...: as a skip_sw filter, with the reason on record.
refused_for() {
	refused 2 tc filter add dev ek0 ingress "${@:2}"
	expect 'what tc says' "Error: ek0: $1."$'\n''We have an error talking to the kernel' "$said"
	records refusals dev=ek0 | sed 's/.* reason=//' | grep -Fxq -- "$1" || fail 'not on record' "$1"
}

test_what_is_beyond_declared_limits_is_refused_by_name() {
	port ek0 ek1
	load limits ek0
	local ip='protocol ip prio 10 flower skip_sw'
	# shellcheck disable=SC2086 # words
	{
		refused_for "the device can't match tcp_flags" $ip ip_proto tcp dst_ip 10.0.0.1 tcp_flags 2/2 action drop
		refused_for "the device can't match dst_mac" $ip dst_mac 02:00:00:00:00:01 action drop
		refused_for "the device can't match ip_flags" $ip ip_flags frag action drop
		refused_for "the device can't match enc_key_id" $ip enc_key_id 5 action drop
		refused_for "the device can't match indev" $ip indev ek1 action drop
		refused_for "the device can't do action pass" $ip dst_ip 10.0.0.1 action pass
		refused_for "the device can't do action vlan_pop" $ip action vlan pop action drop
		refused_for "the device doesn't offload matchall" protocol ip prio 10 matchall skip_sw action drop
		refused_for "hw_stats immediate can't be had; use delayed or any" $ip action drop hw_stats immediate
		refused_for "hw_stats disabled can't be had; use delayed or any" $ip action drop hw_stats disabled
		refused_for 'pref 9: the device has 10 to 20' ${ip/prio 10/prio 9} action drop
		refused_for 'pref 21: the device has 10 to 20' ${ip/prio 10/prio 21} action drop
		refused_for 'chain 2: the device has chains 0 to 1' chain 2 $ip action drop
		refused_for '3 actions: the device does 2 at most' $ip action mirred egress redirect dev ek1 \
			action mirred egress redirect dev ek1 action drop
	}
	expect 'on record' 'keys=basic,ipv4_addrs,ports actions=drop,goto,redirect classifiers=flower hw_stats=delayed max_flows=4 max_chains=2 prio_min=10 prio_max=20 max_actions=2' \
		"$(records capabilities dev=ek0 | grep -o 'keys=.* max_actions=[0-9]*')"
	# The firmware wasn't asked; what is within the limits it accepts.
	expect_figures ek0 replace=0 replace_refused=14 flows=0
	flower ek0 10 ip_proto tcp dst_ip 10.0.0.1 dst_port 80 action mirred egress redirect dev ek1 action drop
	tc filter add dev ek0 ingress chain 1 protocol ip prio 20 flower skip_sw action drop hw_stats delayed
	expect_figures ek0 replace=2 flows=2
}

test_a_device_holds_as_many_flows_as_declared_and_gets_room_back() {
	local i
	port ek0
	load limits ek0
	for i in 10 11 12 13; do
		drop ek0 "$i" skip_sw
	done
	refused 2 drop ek0 14 skip_sw
	says 'ek0: the device holds 4 flows'
	# Without skip_sw it stays in software, and verbose tells why.
	accepted drop ek0 15 verbose
	says 'Warning: ek0: the device holds 4 flows'
	expect_in_hw 'dev ek0 ingress' 1 1 1 1 0
	expect_figures ek0 flows=4 replace=4
	undrop ek0 11
	drop ek0 14 skip_sw
	refused 2 drop ek0 16 skip_sw
	expect_figures ek0 flows=4 replace=5 destroy=1 replace_refused=3
	expect 'counted together' 'errno=28 count=3' "$(records refusals | grep -o 'errno=28 count=[0-9]*')"
}

test_the_reason_that_firmware_gives_reaches_the_user() {
	port ek0
	load acl ek0
	refused 2 flower ek0 1 ip_proto udp action drop
	expect 'skip_sw' "Error: ek0: IP protocol 17 isn't TCP."$'\n''We have an error talking to the kernel' "$said"
	accepted tc filter add dev ek0 ingress protocol ip prio 2 flower verbose ip_proto icmp action drop
	expect 'verbose' "Warning: ek0: IP protocol 1 isn't TCP." "$said"
	accepted tc filter add dev ek0 ingress protocol ip prio 3 flower ip_proto udp action drop
	expect 'neither' '' "$said"
	refused 2 flower ek0 4 ip_proto tcp dst_port 80/0xfff0 action drop
	says "ek0: ports can't be masked"
	expect_in_hw 'dev ek0 ingress' 0 0
	expect 'on record' "errno=95 count=2 reason=IP protocol 17 isn't TCP
errno=95 count=1 reason=IP protocol 1 isn't TCP
errno=95 count=1 reason=ports can't be masked" "$(records refusals | sed 's/.*\(errno=.*\)/\1/')"
	expect_figures ek0 flows=0 replace_refused=4
}

# --------------------------------------------------- memory and statistics ----

test_a_flows_memory_is_zero_at_first_and_goes_with_the_flow() {
	port ek0
	load private_memory ek0
	flower ek0 1 dst_ip 10.0.0.1 action drop
	flower ek0 2 dst_ip 10.0.0.2 action drop
	tc -s filter show dev ek0 ingress prio 1 >/dev/null
	replace private_memory ek0
	tc -s filter show dev ek0 ingress prio 1 >/dev/null
	# The kernel asks once more when a filter goes.
	undrop ek0 1
	undrop ek0 2
	flower ek0 1 dst_ip 10.0.0.1 action drop
	undrop ek0 1
	expect_log ek0 'prio=1 kept=1 reports=2 packets=* bytes=* drops=*' 'prio=2 kept=1 reports=0 packets=0 bytes=0 drops=0' \
		'prio=1 kept=1 reports=0 packets=0 bytes=0 drops=0'
	expect_figures ek0 violations=0
}

test_totals_and_deltas_add_up_to_the_same_for_tc() {
	local i
	port ek0
	load private_memory ek0
	pass ek0 1 skip_sw
	pass ek0 100 skip_sw
	for i in 1 2 3; do
		expect_filters 'dev ek0 ingress' "1/1 in_hw=1 hw=$((10 * i))/$((1000 * i)) all=$((10 * i))/$((1000 * i)) drops=$i" \
			"100/1 in_hw=1 hw=$((7 * i))/$((700 * i)) all=$((7 * i))/$((700 * i)) drops=$i"
	done
	undrop ek0 1
	undrop ek0 100
	expect_log ek0 'prio=1 kept=1 reports=3 packets=30 bytes=3000 drops=3' \
		'prio=100 kept=1 reports=3 packets=21 bytes=2100 drops=3'
}

# used_hw_stats DEV: PRIO=WAY of each filter.
used_hw_stats() {
	tc -s -j filter show dev "$1" ingress | jq -r '[.[] | select(.options.handle) |
		"\(.pref)=\(.options.actions[0].used_hw_stats // ["-"] | join("+"))"] | join(" ")'
}

test_the_way_of_counting_that_firmware_chose_is_shown() {
	local prio
	port ek0
	load private_memory ek0
	for prio in 1 201 202; do
		flower ek0 "$prio" dst_ip 10.0.0.1 action drop
	done
	flower ek0 204 dst_ip 10.0.0.1 action drop hw_stats disabled
	flower ek0 205 dst_ip 10.0.0.1 action drop hw_stats immediate 2>/dev/null && fail 'a choice of two ways'
	expect 'used_hw_stats' '1=delayed 201=immediate 202=delayed 204=disabled' "$(used_hw_stats ek0)"
	# Those that aren't counted aren't asked.
	expect_filters 'dev ek0 ingress' '1/1 *' '201/1 in_hw=1 hw=14/1400 *' '202/1 in_hw=1 hw=14/1400 *' \
		'204/1 in_hw=1 hw=0/0 all=0/0 *'
	# What the user doesn't allow can't be chosen.
	refused 2 tc filter add dev ek0 ingress protocol ip prio 201 flower skip_sw dst_ip 10.0.0.9 \
		action drop hw_stats delayed
	says 'ek0: hw_stats 1 chosen, 2 allowed: -95'
}

main "$@"
