#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# nftables: chains with `flags offload` at the ingress of a device, and
# flowtables with `flags offload`.
#
#	  ekho-selftest-c            router              ekho-selftest-s
#	 +-----------------+   +------------------+   +-----------------+
#	 | eth0            |---| vc            vs |---|            eth0 |
#	 | 10.1.0.2        |   | .1   firmware .1 |   |        10.2.0.2 |
#	 +-----------------+   +------------------+   +-----------------+

# shellcheck source=selftests/libtest.sh disable=SC2119
. "${BASH_SOURCE[0]%/*}/libtest.sh"

# chain DEV: a chain that is offloaded, empty.
chain() {
	type -P nft >/dev/null || skip 'needs nft'
	nft -f - <<-END
		table netdev t {
			chain c { type filter hook ingress device $1 priority 1; flags offload; }
		}
	END
}

rule() {
	nft add rule netdev t c "$@"
}

# chain_of DEV...: a chain on several devices, empty.
chain_of() {
	local list="$*"
	type -P nft >/dev/null || skip 'needs nft'
	nft -f - <<-END
		table netdev t {
			chain c { type filter hook ingress devices = { ${list// /, } } priority 1; flags offload; }
		}
	END
}

# ports DEV...: EKHO devices, up.
ports() {
	local dev
	for dev; do
		ip link add "$dev" up type ekho
	done
}

# rule_of N [DEV]: the cookie of the rule that was added as the Nth, counted from 1:
# the flow that matches port N.
rule_of() {
	local line
	while read -r line; do
		if [[ $line == *"dst_port:$1 "* || $line == *"dst_port:$1,"* ]]; then
			field cookie "$line"
		fi
	done < <(records flows classifier=nft ${2:+"dev=$2"})
}

# n_rules: how many rules the chain has.
n_rules() {
	nft -j list chain netdev t c | jq '[.nftables[] | select(.rule)] | length'
}

# counted DEV PORT PACKETS: what the device counted of the rule for a port, all in all.
counted() {
	fw stats set --dev "$1" --cookie "$(rule_of "$2" "$1")" --packets "$3" --bytes "$3"00 >/dev/null
}

# lists PORT PACKETS: what nft says of that rule.
lists() {
	said=$(nft list chain netdev t c)
	says "tcp dport $1 counter packets $2 bytes $2"
}

# quietly CMD...: CMD, and the kernel has nothing to warn of.
quietly() {
	local before
	before=$(dmesg | grep -c 'WARNING:' || :)
	"$@"
	expect 'warnings of the kernel' "$before" "$(dmesg | grep -c 'WARNING:' || :)"
}

# refs: how many references to the module there are.
refs() {
	cat /sys/module/ekho/refcnt
}

# expect_unbound DEV: the kernel has nothing of the module for a device.
expect_unbound() {
	expect "bindings of $1" 0 "$(get devices "$1" bindings)"
	expect "flows of $1" 0 "$(n_flows "dev=$1")"
}

test_a_rule_of_a_chain_reaches_the_firmware() {
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	expect 'bindings' 1 "$(get devices ek0 bindings)"
	rule ip saddr 10.0.0.0/24 ip daddr 10.0.1.1 tcp dport 1 counter drop
	expect_figures ek0 replace=1 flows=1
	local line
	line=$(records flows dev=ek0)
	expect 'classifier' nft "$(field classifier "$line")"
	expect 'priority' 1 "$(field prio "$line")"
	expect 'match' 'eth_type:0x0800,ip_proto:6,src_ip:10.0.0.0/255.255.255.0,dst_ip:10.0.1.1,dst_port:1' \
		"$(field match "$line")"
	expect 'actions' drop "$(field actions "$line")"
	nft flush chain netdev t c
	expect_figures ek0 destroy=1 flows=0
	nft delete table netdev t
	expect 'bindings' 0 "$(get devices ek0 bindings)"
}

test_more_kinds_of_match_and_verdict_in_a_chain() {
	ip link add ek0 up type ekho
	ip link add ek1 up type ekho
	load stats ek0
	chain ek0
	rule ip6 saddr 2001:db8::/32 udp dport 2 counter accept
	rule ether saddr 02:00:00:00:00:01 tcp dport 3 fwd to ek1
	rule meta l4proto udp udp dport 4 dup to ek1
	rule vlan id 5 ip saddr 10.0.0.1 tcp dport 5 drop
	expect_figures ek0 replace=4 flows=4
	local ifindex
	ifindex=$(get devices ek1 ifindex)
	expect 'actions of the first' pass "$(field actions "$(records flows "cookie=$(rule_of 2)")")"
	expect 'match of the first' \
		'eth_type:0x86dd,ip_proto:17,src_ip:2001:db8::/ffff:ffff::,dst_port:2' \
		"$(field match "$(records flows "cookie=$(rule_of 2)")")"
	expect 'actions of the second' "redirect:$ifindex" \
		"$(field actions "$(records flows "cookie=$(rule_of 3)")")"
	expect 'actions of the third' "mirror:$ifindex" \
		"$(field actions "$(records flows "cookie=$(rule_of 4)")")"
	[[ $(field match "$(records flows "cookie=$(rule_of 5)")") == *vlan_id:5* ]] ||
		fail 'no VLAN' "$(records flows)"
	nft delete table netdev t
}

test_a_rule_is_known_by_the_handle_that_nft_prints() {
	local handle
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	rule tcp dport 1 counter drop
	rule tcp dport 2 counter drop
	handle=$(nft -a list chain netdev t c | sed -n 's/.*dport 2 .* # handle //p')
	fw stats set --dev ek0 --nft t c --handle "$handle" --packets 7 --bytes 700 >/dev/null
	accepted fw stats feed - <<<"{\"dev\":\"ek0\",\"nft\":[\"t\",\"c\"],\"handle\":$handle,\"op\":\"add\",\"packets\":1}"
	said=$(nft list chain netdev t c)
	says 'tcp dport 1 counter packets 0 bytes 0' 'tcp dport 2 counter packets 8 bytes 700'
	refused 7 fw stats set --dev ek0 --nft t c --handle 999 --packets 1
	says 'there is no rule netdev t c handle 999 (ENOENT' 'hint: see the rules: nft -a list ruleset'
	refused 7 fw stats set --dev ek0 --nft t nowhere --handle "$handle" --packets 1
	says "there is no rule netdev t nowhere handle $handle"
	# As if it were tc's.
	refused 7 fw stats set --dev ek0 --prio 1 --handle "$handle" --packets 1
	says 'there is no filter' '--nft TABLE CHAIN --handle N'
	# The device has lost it.
	unload ek0
	load stats ek0
	refused 7 fw stats set --dev ek0 --nft t c --handle "$handle" --packets 1
	says "rule netdev t c handle $handle isn't offloaded to \`ek0\`"
	nft delete table netdev t
}

test_counters_of_a_chain_come_from_the_firmware() {
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	rule tcp dport 1 counter drop
	rule tcp dport 2 counter drop
	fw stats set --dev ek0 --cookie "$(rule_of 1)" --packets 5 --bytes 500 >/dev/null
	fw stats set --dev ek0 --cookie "$(rule_of 2)" --packets 7 --bytes 700 >/dev/null
	said=$(nft list chain netdev t c)
	says 'tcp dport 1 counter packets 5 bytes 500' 'tcp dport 2 counter packets 7 bytes 700'
	fw stats set --dev ek0 --cookie "$(rule_of 1)" --packets 6 --bytes 600 >/dev/null
	said=$(nft list chain netdev t c)
	says 'tcp dport 1 counter packets 6 bytes 600' 'tcp dport 2 counter packets 7 bytes 700'
	nft delete table netdev t
}

test_a_refused_rule_undoes_its_transaction() {
	ip link add ek0 up type ekho
	load acl ek0
	chain ek0
	refused 1 rule tcp dport 1 drop
	says 'Operation not supported'
	expect 'flows' 0 "$(n_flows)"
	expect 'rules' 0 "$(nft -j list chain netdev t c | jq '[.nftables[] | select(.rule)] | length')"
	said=$(records refusals dev=ek0)
	says "errno=95 count=1 reason=the device doesn't offload nft"
	nft delete table netdev t
}

test_without_firmware_a_rule_is_refused() {
	ip link add ek0 up type ekho
	chain ek0
	refused 1 rule tcp dport 1 drop
	load stats ek0
	rule tcp dport 1 drop
	expect_figures ek0 flows=1
	unload ek0
	expect 'flows' 0 "$(n_flows)"
	refused 1 rule tcp dport 2 drop
	nft delete table netdev t
}

test_a_device_that_goes_takes_its_rules_along() {
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	rule tcp dport 1 drop
	trace_on
	ip link del ek0
	expect 'flows' 0 "$(n_flows)"
	expect_trace 'destroy dev=ek0 *' 'detach dev=ek0 *'
	nft delete table netdev t
}

test_a_chain_whose_device_has_gone_holds_nothing() {
	local before
	before=$(refs)
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	rule tcp dport 1 counter drop
	ip link del ek0
	eventually eval '[[ $(refs) == "$before" ]]'
	lists 1 0
	rule tcp dport 2 counter drop
	nft delete table netdev t
}

test_a_device_that_moves_leaves_its_rules_behind() {
	local ns=ekho-selftest-$$
	ip netns add "$ns"
	defer ip netns del "$ns"
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	rule tcp dport 1 drop
	ip link set ek0 netns "$ns"
	expect 'flows' 0 "$(netns=$(netns_id "/run/netns/$ns") n_flows)"
	expect 'bindings' 0 "$(netns=$(netns_id "/run/netns/$ns") get devices ek0 bindings)"
	# What holds the module is gone with the rule: see what is left behind.
	nft delete table netdev t
	fw --netns "$ns" unload --dev ek0 >/dev/null
}

test_a_namespace_ends_with_a_chain_in_it() {
	# What it leaves behind is looked at after the case.
	ip link add ek0 up type ekho
	load stats ek0
	chain ek0
	rule tcp dport 1 drop
	expect_figures ek0 flows=1
}

# ------------------------------------------------- chains on several devices --

# The kernel asks the devices of a chain one after the other, stops at the first that
# answers an error, and forgets what those before it have said.
test_counters_of_a_chain_survive_whatever_another_device_answers() {
	local well ill how
	ports ek0 ek1
	for ill in ek0 ek1; do
		well=ek$((1 - ${ill#ek}))
		for how in unloaded fails stopped; do
			load stats "$well"
			load stats "$ill"
			chain_of ek0 ek1
			rule tcp dport 1 counter drop
			counted "$well" 1 5
			case $how in
			unloaded) unload "$ill" ;;
			fails) echo "dev=$ill op=stats errno=EIO" >"$debugfs/faults" ;;
			stopped) echo "dev=$ill op=stats recurse" >"$debugfs/faults" ;;
			esac
			lists 1 5
			counted "$well" 1 6
			lists 1 6
			echo "dev=$ill clear" >"$debugfs/faults"
			nft delete table netdev t
			unload "$well"
			[[ $how != fails ]] || unload "$ill"
			eventually eval "! is_attached $ill"
		done
	done
}

test_counters_of_a_chain_are_the_sum_of_its_devices() {
	local n
	ports ek0 ek1 ek2
	for n in 0 1 2; do load stats "ek$n"; done
	chain_of ek0 ek1 ek2
	rule tcp dport 1 counter drop
	for n in 0 1 2; do counted "ek$n" 1 $((10 ** n)); done
	lists 1 111
	unload ek1
	for n in 0 2; do counted "ek$n" 1 $((2 * 10 ** n)); done
	lists 1 212
	nft delete table netdev t
}

# Of the rule that is refused the kernel tells nobody that it is gone.
test_a_rule_that_one_device_refuses_stays_on_none() {
	local n ill port
	ports ek0 ek1 ek2
	for ill in 0 1 2; do
		for n in 0 1 2; do
			((n == ill)) || load stats "ek$n"
		done
		chain_of ek0 ek1 ek2
		refused 1 rule tcp dport 1 drop
		says 'Operation not supported'
		expect "flows, with ek$ill at fault" 0 "$(n_flows)"
		expect 'rules' 0 "$(n_rules)"
		load stats "ek$ill"
		# The addresses of rules come again.
		for port in 1 2 3; do
			rule tcp dport "$port" drop
		done
		expect 'flows' 9 "$(n_flows)"
		# A device that is full is one that refuses.
		echo "dev=ek$ill nospc_after=3" >"$debugfs/faults"
		refused 1 rule tcp dport 4 drop
		says 'No space left on device'
		expect 'flows' 9 "$(n_flows)"
		echo "dev=ek$ill clear" >"$debugfs/faults"
		rule tcp dport 4 drop
		expect 'flows' 12 "$(n_flows)"
		nft delete table netdev t
		for n in 0 1 2; do
			expect_unbound "ek$n"
			unload "ek$n"
		done
	done
}

test_a_chain_that_one_device_refuses_is_bound_to_none() {
	local n ill before
	ports ek0 ek1 ek2
	before=$(refs)
	for ill in 0 1 2; do
		echo "dev=ek$ill op=bind errno=EBUSY" >"$debugfs/faults"
		refused 1 chain_of ek0 ek1 ek2
		says 'Device or resource busy'
		for n in 0 1 2; do expect_unbound "ek$n"; done
		expect 'references to the module' "$before" "$(refs)"
		echo "dev=ek$ill clear" >"$debugfs/faults"
		chain_of ek0 ek1 ek2
		for n in 0 1 2; do expect "bindings of ek$n" 1 "$(get devices "ek$n" bindings)"; done
		nft delete table netdev t
	done
}

test_a_batch_that_one_device_refuses_leaves_all_as_before() {
	ports ek0 ek1
	load stats ek0
	load stats ek1
	chain_of ek0 ek1
	rule tcp dport 1 counter drop
	rule tcp dport 2 counter drop
	echo 'dev=ek0 op=replace nth=2 errno=EIO' >"$debugfs/faults"
	batch() {
		nft -f - <<-END
			flush chain netdev t c
			add rule netdev t c tcp dport 3 counter drop
			add rule netdev t c tcp dport 4 counter drop
			add rule netdev t c tcp dport 5 counter drop
		END
	}
	quietly refused 1 batch
	says 'Input/output error'
	expect 'rules' 2 "$(n_rules)"
	expect_figures ek0 flows=2
	expect_figures ek1 flows=2
	expect 'cookies' "$(rule_of 1 ek0) $(rule_of 2 ek0)" "$(rule_of 1 ek1) $(rule_of 2 ek1)"
	counted ek1 1 5
	lists 1 5
	echo 'dev=ek0 clear' >"$debugfs/faults"
	batch
	expect 'rules' 3 "$(n_rules)"
	expect_figures ek0 flows=3
	expect_figures ek1 flows=3
	nft delete table netdev t
}

# It won't exist, whatever a device says of it.
test_a_rule_that_its_own_batch_deletes_is_no_matter_of_devices() {
	local how
	ports ek0 ek1
	for how in unloaded refuses; do
		load stats ek1
		[[ $how == unloaded ]] || load stats ek0
		chain_of ek0 ek1
		echo 'dev=ek0 op=replace errno=EIO' >"$debugfs/faults"
		quietly accepted nft -f - <<-END
			add rule netdev t c tcp dport 1 counter drop
			flush chain netdev t c
		END
		expect "rules, with ek0 that $how" 0 "$(n_rules)"
		expect "flows, with ek0 that $how" 0 "$(n_flows)"
		echo 'dev=ek0 clear' >"$debugfs/faults"
		nft delete table netdev t
		expect_unbound ek0
		expect_unbound ek1
		unload ek1
	done
	unload ek0
}

# The kernel puts a rule back that it had taken out, and warns if a device won't have it.
test_a_batch_undone_without_firmware_puts_rules_back_without_a_warning() {
	local how left
	ports ek0 ek1
	# The error is said to be that of the first command; nft 1.1.3 crashes if that is one
	# about a chain.
	batch() {
		nft -f - <<-END
			add table netdev t
			flush chain netdev t c
			add rule netdev t c tcp dport 2 counter drop
		END
	}
	# Added and deleted at once: neither was there before nor will be.
	brief() {
		nft -f - <<-END
			add table netdev t
			add rule netdev t c tcp dport 3 counter drop
			flush chain netdev t c
			add rule netdev t c tcp dport 2 counter drop
		END
	}
	# The chain goes, and comes back.
	whole() {
		nft -f - <<-END
			add table netdev t
			delete chain netdev t c
			add rule netdev t d tcp dport 2 counter drop
		END
	}
	for how in batch brief whole; do
		load stats ek0
		load stats ek1
		chain_of ek0 ek1
		nft add chain netdev t d '{ type filter hook ingress device ek0 priority 2; flags offload; }'
		rule tcp dport 1 counter drop
		unload ek0
		# What has a rule can't be deleted.
		left=1
		if [[ $how == whole ]]; then
			nft flush chain netdev t c
			left=0
		fi
		expect_figures ek1 flows="$left"
		echo 'dev=ek1 op=bind errno=EBUSY' >"$debugfs/faults"
		quietly refused 1 "$how"
		echo 'dev=ek1 clear' >"$debugfs/faults"
		says 'Operation not supported'
		expect "flows of ek0 after $how" 0 "$(n_flows dev=ek0)"
		expect_figures ek1 flows="$left"
		# Both are in the chain still, and take rules.
		load stats ek0
		rule tcp dport 4 counter drop
		expect_figures ek0 flows=1
		expect_figures ek1 flows=$((1 + left))
		counted ek0 4 2
		counted ek1 4 3
		lists 4 5
		nft delete table netdev t
		expect_unbound ek0
		expect_unbound ek1
		unload ek0
		unload ek1
	done
}

# ----------------------------------------------- chains remember devices by name --

# The kernel takes the hook of a device that is renamed from a chain, and forgets that
# the chain is bound to it.
test_a_renamed_device_leaves_its_chain() {
	local before with
	for with in rule nothing; do
		ports ek0
		before=$(refs)
		load stats ek0
		chain ek0
		[[ $with == nothing ]] || rule tcp dport 1 counter drop
		ip link set ek0 name ek9
		expect_unbound ek9
		# The chain has no device, so it takes whatever it is given.
		rule tcp dport 2 counter drop
		nft list chain netdev t c >/dev/null
		expect_unbound ek9
		# With its old name it isn't bound again, since the kernel doesn't bind.
		ip link set ek9 name ek0
		rule tcp dport 3 counter drop
		nft delete table netdev t
		expect_unbound ek0
		chain ek0
		rule tcp dport 1 counter drop
		expect_figures ek0 flows=1
		nft delete table netdev t
		unload ek0
		ip link del ek0
		expect 'references to the module' "$before" "$(refs)"
	done
}

test_a_renamed_device_stays_in_a_chain_that_knows_its_new_name() {
	ports ek0
	load stats ek0
	chain_of ek0 ek9
	nft add chain netdev t d '{ type filter hook ingress device ek0 priority 2; flags offload; }'
	rule tcp dport 1 counter drop
	nft add rule netdev t d tcp dport 2 counter drop
	expect_figures ek0 flows=2
	ip link set ek0 name ek9
	expect 'bindings' 1 "$(get devices ek9 bindings)"
	expect_figures ek9 flows=1 destroy=1
	counted ek9 1 5
	lists 1 5
	rule tcp dport 3 counter drop
	expect_figures ek9 flows=2
	ip link set ek9 name lan0
	expect_unbound lan0
	nft delete table netdev t
	unload lan0
}

test_a_renamed_device_leaves_a_chain_to_the_others() {
	ports ek0 ek1
	load stats ek0
	load stats ek1
	chain_of ek0 ek1
	rule tcp dport 1 counter drop
	ip link set ek0 name ek9
	expect_unbound ek9
	expect_figures ek1 flows=1
	counted ek1 1 5
	lists 1 5
	# Another device gets the name, and the hook, but isn't bound.
	ports ek0
	rule tcp dport 2 counter drop
	expect_figures ek1 flows=2
	expect_figures ek9 flows=0
	nft delete table netdev t
	expect_unbound ek1
	unload ek9
	unload ek1
}

test_a_device_leaves_an_empty_chain() {
	local ns=ekho-selftest-$$ before
	ip netns add "$ns"
	defer ip netns del "$ns"
	before=$(refs)
	# For good.
	ports ek0
	chain ek0
	ip link del ek0
	nft delete table netdev t
	expect 'references to the module' "$before" "$(refs)"
	# For another namespace.
	ports ek0
	chain ek0
	ip link set ek0 netns "$ns"
	nft delete table netdev t
	expect 'bindings' 0 "$(netns=$(netns_id "/run/netns/$ns") get devices ek0 bindings)"
	ip -n "$ns" link del ek0
	expect 'references to the module' "$before" "$(refs)"
	# With the chain in the same breath.
	ports ek0
	chain ek0
	nft delete table netdev t
	ip link del ek0
	expect 'references to the module' "$before" "$(refs)"
}

# Rules are listed all the time, while devices come, go and get other names.
test_a_chain_is_listed_while_its_devices_leave() {
	local i lister
	ports ek1
	load noop ek1
	while :; do nft list ruleset; done >/dev/null 2>&1 &
	lister=$!
	defer kill "$lister"
	for ((i = 0; i < 10; i++)); do
		ports ek0
		load noop ek0
		chain_of ek0 ek1
		rule tcp dport 1 counter drop
		rule tcp dport 2 counter drop
		case $((i % 2)) in
		0) ip link set ek0 name ek9 && unload ek9 && ip link del ek9 ;;
		1) ip link del ek0 ;;
		esac
		expect_figures ek1 flows=2
		nft delete table netdev t
	done
	kill "$lister"
	wait "$lister" || :
}

# A table goes with the process that owns it, and the kernel unbinds none of its chains.
test_a_table_goes_with_its_owner() {
	local before owner
	ports ek0
	load stats ek0
	before=$(refs)
	coproc OWNER { exec nft -i >/dev/null; }
	owner=$OWNER_PID
	cat >&"${OWNER[1]}" <<-END
		add table netdev t { flags owner; }
		add chain netdev t c { type filter hook ingress device ek0 priority 1; flags offload; }
		add rule netdev t c tcp dport 1 counter drop
	END
	offloaded() { (($(n_flows dev=ek0) == 1)); }
	eventually offloaded
	eval "exec ${OWNER[1]}>&-"
	wait "$owner" || :
	eventually eval '[[ -z $(nft list tables) ]]'
	expect_unbound ek0
	expect 'references to the module' "$before" "$(refs)"
	# Its place is another's.
	chain ek0
	rule tcp dport 1 counter drop
	expect_figures ek0 flows=1
	nft delete table netdev t
	expect_unbound ek0
}

test_a_chain_of_a_device_that_isnt_of_ekho_is_refused() {
	ip link add v0 up type veth peer name v1
	load stats v0
	chain_is_refused() {
		chain v0 2>&1
	}
	refused 1 chain_is_refused
	says 'Operation not supported'
	unload v0
}

test_a_chain_and_tc_share_a_device() {
	port ek0
	load stats ek0
	chain ek0
	rule tcp dport 1 drop
	drop ek0 10 skip_sw
	expect_figures ek0 flows=2
	expect 'bindings' 3 "$(get devices ek0 bindings)"
	nft delete table netdev t
	expect_figures ek0 flows=1 destroy=1
	expect_in_hw 'dev ek0 ingress' 1
}

# -------------------------------------------------------------- flowtables ----

# router [FLAGS]: a router between two hosts, with firmware on both its devices,
# and a flowtable for UDP.
router() {
	local ns
	type -P nft >/dev/null || skip 'needs nft'
	type -P conntrack >/dev/null || skip 'needs conntrack'
	modprobe -a nf_flow_table_inet nft_flow_offload nf_conntrack || skip 'this kernel has no flowtables'
	for ns in c s; do
		ip netns add "ekho-selftest-$ns"
		defer ip netns del "ekho-selftest-$ns"
		ip link add "v$ns" up type veth peer name eth0 netns "ekho-selftest-$ns"
		ip -n "ekho-selftest-$ns" link set eth0 up
	done
	ip addr add 10.1.0.1/24 dev vc
	ip addr add 10.2.0.1/24 dev vs
	ip addr add 2001:db8:1::1/64 dev vc nodad
	ip addr add 2001:db8:2::1/64 dev vs nodad
	ip -n ekho-selftest-c addr add 10.1.0.2/24 dev eth0
	ip -n ekho-selftest-s addr add 10.2.0.2/24 dev eth0
	ip -n ekho-selftest-c addr add 2001:db8:1::2/64 dev eth0 nodad
	ip -n ekho-selftest-s addr add 2001:db8:2::2/64 dev eth0 nodad
	ip -n ekho-selftest-c route add default via 10.1.0.1
	ip -n ekho-selftest-s route add default via 10.2.0.1
	ip -n ekho-selftest-c -6 route add default via 2001:db8:1::1
	ip -n ekho-selftest-s -6 route add default via 2001:db8:2::1
	echo 1 >/proc/sys/net/ipv4/ip_forward
	echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
	echo 1 >/proc/sys/net/netfilter/nf_conntrack_acct
}

# flowtable [DEV...]: for these devices, counting; connections of UDP go in.
flowtable() {
	local list="${*:-vc vs}"
	nft -f - <<-END
		table inet t {
			flowtable f { hook ingress priority 0; devices = { ${list// /, } }; flags offload; counter; }
			chain forward { type filter hook forward priority 0; meta l4proto udp flow add @f; }
		}
	END
	# The kernel asks for counters when a tenth of this is over.
	echo "${timeout:-3}" >/proc/sys/net/netfilter/nf_flowtable_udp_timeout
}

# client ADDR: a process that sends a packet to port 9 for each line it is told.
client() {
	coproc CLIENT { exec ip netns exec ekho-selftest-c "$BASH" -c \
		"exec 5<>/dev/udp/$1/9; while read -r _; do printf 12345678 >&5; echo; done"; }
}

# packet [N]: makes it send.
packet() {
	local i
	for ((i = 0; i < ${1:-1}; i++)); do
		echo >&"${CLIENT[1]}"
		read -r _ <&"${CLIENT[0]}"
	done
}

# connections FLAG: how many conntrack has with this flag.
connections() {
	conntrack -L -p udp "${@:2}" 2>/dev/null | grep -cF "[$1]" || :
}

# shellcheck disable=SC2120 # callers go through eventually()
is_offloaded() {
	(($(connections HW_OFFLOAD "$@") == 1))
}

# shellcheck disable=SC2120
isnt_offloaded() {
	(($(connections HW_OFFLOAD "$@") == 0))
}

test_a_connection_is_offloaded_in_both_directions() {
	router
	load flowtable vc
	load flowtable vs
	flowtable
	expect 'bindings' '1 1' "$(get devices vc bindings) $(get devices vs bindings)"
	client 10.2.0.2
	packet 3
	eventually is_offloaded
	local there back port vc vs
	vc=$(get devices vc ifindex) vs=$(get devices vs ifindex)
	there=$(records flows dev=vc) back=$(records flows dev=vs)
	expect 'classifier' 'flowtable flowtable' "$(field classifier "$there") $(field classifier "$back")"
	port=$(field match "$there")
	port=${port##*src_port:} port=${port%%,*}
	expect 'match of the request' \
		"eth_type:0x0800,ip_proto:17,src_ip:10.1.0.2,dst_ip:10.2.0.2,indev:$vc,src_port:$port,dst_port:9" \
		"$(field match "$there")"
	expect 'match of the reply' \
		"eth_type:0x0800,ip_proto:17,src_ip:10.2.0.2,dst_ip:10.1.0.2,indev:$vs,src_port:9,dst_port:$port" \
		"$(field match "$back")"
	expect 'actions' "pedit,pedit,pedit,pedit,redirect:$vs pedit,pedit,pedit,pedit,redirect:$vc" \
		"$(field actions "$there" | sed 's/;[^,]*//g') $(field actions "$back" | sed 's/;[^,]*//g')"
	nft delete table inet t
	expect 'flows after the flowtable' 0 "$(n_flows)"
	expect_figures vc destroy=1
	expect_figures vs destroy=1
	unload vc
	unload vs
}

test_a_connection_of_ipv6_with_nat() {
	router
	load flowtable vc
	load flowtable vs
	flowtable
	nft add chain inet t post '{ type nat hook postrouting priority 100; }'
	nft add rule inet t post oifname vs masquerade
	client 2001:db8:2::2
	packet 3
	eventually is_offloaded -f ipv6
	said=$(records flows dev=vs)
	says 'src_ip:2001:db8:2::2,dst_ip:2001:db8:2::1' 'ip_proto:17'
	client 10.2.0.2
	packet 3
	eventually is_offloaded -f ipv4
	said=$(records flows dev=vs)
	says 'src_ip:10.2.0.2,dst_ip:10.2.0.1' 'csum'
	nft delete table inet t
	unload vc
	unload vs
}

test_counters_reach_conntrack_and_keep_a_connection() {
	local cookie deadline
	[[ ${EKHO_FLAVOUR:-stock} == stock ]] || skip 'a slow kernel ages connections before their counters come'
	router
	load flowtable vc
	load flowtable vs
	flowtable
	client 10.2.0.2
	packet 3
	eventually is_offloaded
	cookie=$(field cookie "$(records flows dev=vc)")
	deadline=$((SECONDS + 6))
	fw stats set --dev vc --cookie "$cookie" --packets 1000 --bytes 100000 >/dev/null
	while ((SECONDS < deadline)); do
		fw stats add --dev vc --cookie "$cookie" --packets 1 --bytes 100 >/dev/null
		pause 0.3
	done
	is_offloaded || fail 'a connection in use has aged' "$(conntrack -L -p udp)"
	(($(field stats_requests "$(records flows "cookie=$cookie")") > 0)) || fail 'nobody asked for counters'
	local packets
	packets=$(conntrack -L -p udp 2>/dev/null)
	packets=${packets#*packets=} packets=${packets%% *}
	((packets >= 1000)) || fail 'packets in conntrack' 'expected: at least 1000' "seen:     $packets"
	# No packet refreshes it any more.
	wait_begin $((7 + patience))
	until isnt_offloaded; do
		wait_more 0.2 || fail 'an idle connection stays in hardware' "$(conntrack -L -p udp)"
	done
	expect 'flows' 0 "$(n_flows)"
	nft delete table inet t
	unload vc
	unload vs
}

test_a_refreshed_connection_is_not_offloaded_again() {
	local i
	router
	load flowtable vc
	load flowtable vs
	flowtable
	client 10.2.0.2
	packet 3
	eventually is_offloaded
	# A refresh comes with packets, a second apart.
	for ((i = 0; i < 12; i++)); do
		packet
		pause 0.25
	done
	expect_figures vc replace=1 flows=1 destroy=0
	expect_figures vs replace=1 flows=1 destroy=0
	nft delete table inet t
	unload vc
	unload vs
}

test_firmware_that_refuses_leaves_a_connection_in_software() {
	router
	load acl vc
	load acl vs
	flowtable
	client 10.2.0.2
	packet 3
	# What becomes of the first answer is settled when the kernel asks again, with packets.
	asked_again() {
		packet
		(($(field count "$(records refusals dev=vs)") > 1))
	}
	eventually asked_again
	isnt_offloaded || fail 'offloaded all the same' "$(conntrack -L -p udp)"
	expect 'in software' 1 "$(connections OFFLOAD)"
	expect 'flows' 0 "$(n_flows)"
	said=$(records refusals dev=vc)
	says "reason=the device doesn't offload flowtable"
	nft delete table inet t
	unload vc
	unload vs
}

test_firmware_that_comes_late_gets_connections_as_they_are_refreshed() {
	local i
	router
	timeout=30 flowtable
	client 10.2.0.2
	packet 3
	isnt_offloaded || fail 'offloaded without firmware'
	load flowtable vc
	load flowtable vs
	for ((i = 0; i < 20; i++)); do
		packet
		! is_offloaded || break
		pause 0.25
	done
	is_offloaded || fail 'not offloaded' "$(records devices)" "$(conntrack -L -p udp)"
	unload vc
	unload vs
	expect 'flows' 0 "$(n_flows)"
	nft delete table inet t
}

# Workers of the kernel walk the list of its devices meanwhile, and call their firmware.
test_a_flowtable_loses_devices_while_connections_are_being_offloaded() {
	local dev how
	router
	load flowtable vc
	load flowtable vs
	is_busy() {
		[[ $(records faults dev=vc) =~ calls=[1-9] ]]
	}
	for how in 'nft delete table inet t' 'ip link set vs name vs9'; do
		flowtable
		for dev in vc vs; do
			echo "dev=$dev op=replace delay_us=100000" >"$debugfs/faults"
		done
		ip netns exec ekho-selftest-c "$BASH" -c 'for i in {1..40}; do
			exec 5<>/dev/udp/10.2.0.2/9
			# Nobody listens to port 9: a write fails that comes after the answer to another.
			for j in 1 2 3; do printf 12345678 >&5 2>/dev/null || :; done
		done'
		eventually is_busy
		$how
	done
	expect 'bindings' '1 0' "$(get devices vc bindings) $(get devices vs9 bindings)"
	nft delete table inet t
	expect 'flows' 0 "$(n_flows)"
	echo 'dev=vc clear' >"$debugfs/faults"
	echo 'dev=vs9 clear' >"$debugfs/faults"
	expect_figures vc violations=0
	unload vc
	unload vs9
}

test_an_ekho_device_takes_part_in_a_flowtable() {
	local deadline
	router
	ip link add ek0 up type ekho
	load flowtable ek0
	load flowtable vc
	load flowtable vs
	timeout=30 flowtable vc vs ek0
	expect 'bindings' 1 "$(get devices ek0 bindings)"
	# The kernel asks all devices for all connections; those that one doesn't receive aren't its
	# own, and are of no matter to the others.
	client 10.2.0.2
	packet 3
	eventually is_offloaded
	expect_figures vc replace=1 flows=1
	expect_figures vs replace=1 flows=1
	expect_figures ek0 replace=0 flows=0
	# Nor is it that some of them have nobody to answer.
	unload ek0
	unload vs
	counted_by_vc() {
		fw stats add --dev vc --cookie "$(field cookie "$(records flows dev=vc)")" --packets 1000 --bytes 100000 >/dev/null
		conntrack -L -p udp 2>/dev/null | grep -q 'packets=[0-9]\{4\}'
	}
	# The kernel asks after three seconds, and a connection lives for thirty.
	deadline=$((SECONDS + 4 * patience))
	until counted_by_vc; do
		((SECONDS < deadline)) || fail 'packets in conntrack' "$(conntrack -L -p udp)"
		pause 0.5
	done
	nft delete table inet t
	expect 'bindings' 0 "$(get devices ek0 bindings)"
	unload vc
}

test_a_flowtable_that_one_device_refuses_is_bound_to_none() {
	local ill
	router
	ports ek0 ek1
	for ill in ek0 ek1; do
		echo "dev=$ill op=bind errno=EBUSY" >"$debugfs/faults"
		said=$(flowtable ek0 ek1 2>&1) || :
		says 'Device or resource busy'
		expect_unbound ek0
		expect_unbound ek1
		echo "dev=$ill clear" >"$debugfs/faults"
		flowtable ek0 ek1
		expect 'bindings' '1 1' "$(get devices ek0 bindings) $(get devices ek1 bindings)"
		nft delete table inet t
	done
}

test_a_flowtable_follows_the_names_of_its_devices() {
	router
	ip link add ek0 up type ekho
	load flowtable ek0
	flowtable ek0 ek9
	expect 'bindings' 1 "$(get devices ek0 bindings)"
	# To a name that the table has: it is bound a second time before it is unbound.
	ip link set ek0 name ek9
	expect 'bindings under the second name' 1 "$(get devices ek9 bindings)"
	# To one that it hasn't.
	ip link set ek9 name lan0
	expect 'bindings under another name' 0 "$(get devices lan0 bindings)"
	# And back.
	ip link set lan0 name ek9
	expect 'bindings when it is back' 1 "$(get devices ek9 bindings)"
	nft delete table inet t
	expect_unbound ek9
	unload ek9
}

main "$@"
