#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# test-lab.sh: what the lab promises, as TAP. Runs on the host as root, with the
# lab set up; takes two boots. `make check` runs it first: a lab that overlooks a
# kernel's complaint or a test that died would make everything after it look good.
#
#   test-lab.sh [PATTERN]    only the cases whose function matches

set -uo pipefail
# shellcheck source=selftests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

# What these tests add up isn't for who adds up.
unset EKHO_SUMS

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # one case runs as another user
cd "$work" || exit 1

# run CMD...: output and status of a command, for the checks below.
run() {
	status=0
	output=$("$@" 2>&1 </dev/null) || status=$?
}

# A check that fails says what it saw, and ends the case.
fails() {
	printf '# %s\n' "$1"
	printf '#   %s\n' "${output//$'\n'/$'\n#   '}"
	exit 1
}

status_is() {
	[[ $status -eq $1 ]] || fails "status $status, expected $1"
}

says() {
	[[ $output == *"$1"* ]] || fails "expected to read: $1"
}

says_not() {
	[[ $output != *"$1"* ]] || fails "did not expect to read: $1"
}

# --------------------------------------------------------------- kernel log ----

boot='[    0.000000] Linux version 7.2.12+deb13-amd64'

check_log() {
	printf '%s\r\n' "$boot" "$@" >log
	run "$EKHO_LAB/check-kernel-log" log
}

test_clean_log_passes() { #: a kernel log without complaints passes
	check_log '[    8.1] ekho: loading out-of-tree module taints kernel.' \
		'[    8.2] ekho: module verification failed: signature and/or required key missing - tainting kernel' \
		'[    8.3] Command line: panic_on_warn=1 oops=panic slub_debug=FZPU'
	status_is 0
}

test_every_complaint_is_found() { #: each kind of kernel complaint fails the log
	local line
	while read -r line; do
		check_log "[    9.000001] $line"
		[[ $status -eq 1 ]] || fails "not noticed: $line"
	done <<-'LINES'
		WARNING: CPU: 1 PID: 77 at net/core/dev.c:11 foo+0x1/0x2 [ekho]
		WARNING: possible circular locking dependency detected
		WARNING: suspicious RCU usage
		WARNING: refcount bug
		BUG: kernel NULL pointer dereference, address: 0000000000000008
		BUG: KFENCE: use-after-free read in ekho_stats+0x3/0x9 [ekho]
		BUG: sleeping function called from invalid context at kernel/locking/mutex.c:1
		BUG: scheduling while atomic: tc/88/0x00000201
		BUG: workqueue lockup - pool cpus=0
		BUG kmalloc-64 (Tainted: G           O): Right Redzone overwritten
		BUG ekho_flow (Not tainted): Object already free
		=============== BUG skbuff_head_cache (Tainted: G): Poison overwritten
		kmem_cache_destroy ekho_flow: Slab cache still has objects when called from exit
		Oops: general protection fault, probably for non-canonical address 0x6b6b6b6b6b6b6b6b: 0000 [#1]
		general protection fault: 0000 [#1] SMP
		kernel BUG at lib/list_debug.c:29!
		list_del corruption. next->prev should be ffff8880, but was dead000000000122
		UBSAN: array-index-out-of-bounds in net/sched/cls_api.c:1:2
		refcount_t: underflow; use-after-free.
		watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [tc:91]
		watchdog: Watchdog detected hard LOCKUP on cpu 0
		rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
		rcu: INFO: rcu_preempt self-detected stall on CPU
		INFO: task ip:99 blocked for more than 120 seconds.
		unregister_netdevice: waiting for ek0 to become free. Usage count = 2
		ref_tracker: netdev@ffff8880 has 1/1 users at
		sysfs: cannot create duplicate filename '/class/net/ek0'
		# Totals: pass:3 fail:1 skip:0 total:4
		rust_kernel: panicked at rust/flows/table.rs:10:5:
		Kernel panic - not syncing: Fatal exception
	LINES
}

test_complaint_names_the_test() { #: a complaint is shown with the test that was running
	check_log '[    8.0] ekho-lab: test life.sh' '[    8.5] ekho-lab: test BUG: in a name' \
		'[    9.0] WARNING: CPU: 0 PID: 1 at x' '[    9.1] RIP: 0010:ekho_stats+0x3'
	status_is 1
	says 'during BUG: in a name, line 4'
	says 'RIP: 0010:ekho_stats'
}

test_empty_log_fails() { #: a log that is empty or missing fails
	: >log
	run "$EKHO_LAB/check-kernel-log" log
	status_is 1
	says 'missing or empty'
}

test_allow_list() { #: what the allow list names with a reason passes, and nothing else
	printf '# harmless, since this is a test\nWARNING: harmless [a-z]+\n' >allow
	printf '%s\n' "$boot" '[    1.0] WARNING: harmless thing' '[    1.0] Call Trace:' >log
	EKHO_LOG_ALLOW=$work/allow run "$EKHO_LAB/check-kernel-log" log
	status_is 0
	echo '[    1.1] Call Trace:' >>log
	EKHO_LOG_ALLOW=$work/allow run "$EKHO_LAB/check-kernel-log" log
	status_is 1
	sed -i '$c[    1.1] WARNING: other thing' log
	EKHO_LOG_ALLOW=$work/allow run "$EKHO_LAB/check-kernel-log" log
	status_is 1
}

test_allow_list_of_fail() { #: an allocator that got nothing passes, one that was asked for too much doesn't
	local what
	for what in 'vm_struct allocation failed' 'failed to allocate pages' \
		'failed to allocated page array size 8' 'failed to map pages'; do
		printf '%s\n' "$boot" "[    1.0] x: vmalloc error: size 4096, $what, mode:0xdc2" \
			'[    1.0] Call Trace:' >log
		EKHO_LOG_ALLOW=$EKHO_LAB/kernel-log-fail.allow run "$EKHO_LAB/check-kernel-log" log
		status_is 0
		run "$EKHO_LAB/check-kernel-log" log
		status_is 1
	done
	printf '%s\n' "$boot" '[    1.0] x: vmalloc error: size 4096, exceeds total pages, mode:0xdc2' \
		'[    1.0] Call Trace:' >log
	EKHO_LOG_ALLOW=$EKHO_LAB/kernel-log-fail.allow run "$EKHO_LAB/check-kernel-log" log
	status_is 1
}

test_allow_list_wants_reasons() { #: an allow list entry without a reason is refused
	printf 'WARNING: harmless\n' >allow
	printf '%s\n' "$boot" >log
	EKHO_LOG_ALLOW=$work/allow run "$EKHO_LAB/check-kernel-log" log
	status_is 1
	says 'without a reason'
}

# ---------------------------------------------------------------------- TAP ----

# tap [LINE...]: the sum that `make check` would print for this TAP, with these lines in the
# list of skips.
tap() {
	printf '%s\n' "$@" >skips
	status=0
	output=$(EKHO_SKIPS=$work/skips EKHO_KERNEL=7.2 EKHO_FLAVOUR=stock \
		bash -c '. "$1/lib.sh" && . "$1/tap.sh" && tap_read && summary' sh "$EKHO_LAB" 2>&1) || status=$?
}

test_tap_cases_count_once() { #: cases inside a test file count, the file's own result does not
	tap 'all | life.sh | second | no such device' <<-'END'
		TAP version 13
		1..2
		# timeout set to 0
		# selftests: selftests: life.sh
		# TAP version 13
		# 1..3
		# ok 1 first
		# ok 2 second # SKIP no such device
		# ok 3 third
		ok 1 selftests: selftests: life.sh
		# selftests: selftests: swap.sh
		# 1..1
		# ok 1 swap
		ok 2 selftests: selftests: swap.sh
	END
	status_is 0
	says '3 passed, 0 failed, 1 skipped'
	says 'life.sh '
}

test_tap_failure() { #: a failed case is told with its notes and fails the run
	tap <<-'END'
		1..1
		# selftests: selftests: life.sh
		# 1..2
		# ok 1 first
		# # expected 10, got 20
		# not ok 2 counters are exact
		not ok 1 selftests: selftests: life.sh # exit=1
	END
	status_is 1
	says 'not ok counters are exact'
	says 'expected 10, got 20'
	[[ ${output##*$'\n'} == '1 passed, 1 failed' ]] || fails 'the sum is wrong'
}

test_tap_dead_file() { #: a file that ends before its plan fails for each case that never ran
	tap <<-'END'
		1..2
		# selftests: selftests: life.sh
		# 1..3
		# ok 1 first
		not ok 1 selftests: selftests: life.sh # exit=139
		# selftests: selftests: silent.sh
		not ok 2 selftests: selftests: silent.sh # TIMEOUT 45 seconds
	END
	status_is 1
	says '1 passed, 3 failed'
}

test_tap_cut_off() { #: output that stops in the middle fails what was to come
	tap <<-'END'
		1..4
		# selftests: selftests: a.sh
		# 1..1
		# ok 1 a
		ok 1 selftests: selftests: a.sh
		# selftests: selftests: b.sh
		# ok 1 b
	END
	status_is 1
	says 'b.sh: ended without a result'
	says '2 of 4 tests never ran'
	says '2 passed, 3 failed'
}

test_tap_plain() { #: plain TAP counts too, with SKIP and TODO told apart from ok
	tap '7.2 | - | case 4 | no kvm' 'all | - | c | some day' <<-'END'
		1..4
		ok 1 - a
		not ok 2 - b
		not ok 3 - c # TODO some day
		ok 4 # SKIP no kvm
	END
	status_is 1
	says '1 passed, 1 failed, 2 skipped'
}

# skipping LINE...: with these lines in the list, one case of life.sh is skipped, one isn't.
skipping() {
	tap "$@" <<-'END'
		1..1
		# selftests: selftests: life.sh
		# 1..2
		# ok 1 first # SKIP no such device
		# ok 2 second
		ok 1 selftests: selftests: life.sh
	END
}

test_skip_unlisted() { #: a skip that no list has fails, and so does one that is listed for another kernel or file
	local line
	for line in '' '7.3 | life.sh | first | no device in 7.3' 'debug | life.sh | first | no device' \
		'all | other.sh | first | no device' 'all | life.sh | third | no device'; do
		skipping "$line"
		status_is 1
		says 'life.sh: first: skipped (no such device), and selftests/skips doesn'
	done
}

test_skip_listed() { #: a skip passes that is listed for this kernel, by its name or a pattern
	local line
	for line in 'all | life.sh | first | x' '7.2 | life.sh | fi* | x' 'may all | life.sh | first | x'; do
		skipping "$line"
		status_is 0
		says '1 passed, 0 failed, 1 skipped'
	done
}

test_skip_that_ran() { #: a case that is listed as skipped and runs fails, unless it may
	skipping 'all | life.sh | first | x' '7.2 | life.sh | second | x'
	status_is 1
	says 'life.sh: second: ran, and selftests/skips lists it'
	skipping 'all | life.sh | first | x' 'may 7.2 | life.sh | second | x' '7.3 | life.sh | second | x' '7.2 | other.sh | a | x'
	status_is 0
}

test_skip_without_reason() { #: a line of the list without a reason is no line
	skipping 'all | life.sh | first |'
	status_is 1
	says 'not KERNEL | FILE | CASE | REASON'
}

test_tap_nothing() { #: a run without a single test fails
	tap </dev/null
	status_is 1
	says '0 passed, 0 failed'
}

# ------------------------------------------------------------------ imports ----

# A clone with a module of three layers, whose imports go down.
small_module() {
	mkdir -p tree/rust/{contract,flows,offload} tree/userspace/tool/src
	echo 'mod contract; mod flows; mod offload; use offload::device;' >tree/rust/ekho_main.rs
	sed -i 's/; /;\n/g' tree/rust/ekho_main.rs
	printf 'pub(crate) mod ops;\npub(crate) mod name;\n' >tree/rust/contract/mod.rs
	echo 'use crate::contract::name::Name;' >tree/rust/contract/ops.rs
	echo 'pub(crate) struct Name;' >tree/rust/contract/name.rs
	printf 'pub(crate) mod flow;\nmod table;\n' >tree/rust/flows/mod.rs
	echo 'use crate::contract::{name::Name, ops::Op};' >tree/rust/flows/flow.rs
	echo 'use super::flow::Flow;' >tree/rust/flows/table.rs
	echo 'pub(crate) mod device;' >tree/rust/offload/mod.rs
	echo 'use crate::flows; fn f() -> flows::flow::Flow {}' >tree/rust/offload/device.rs
	printf 'mod a;\nmod b;\n' >tree/userspace/tool/src/main.rs
	echo 'use crate::b::B;' >tree/userspace/tool/src/a.rs
	echo '// use crate::a::A; "crate::a::A"' >tree/userspace/tool/src/b.rs
}

# In the lab root, as lint does, which sees the clone but not what is here.
check_imports() {
	local copy
	mkdir -p "$EKHO_SRC/build"
	copy=$(mktemp -d "$EKHO_SRC/build/imports.XXXXXX")
	cp -r tree/. "$copy"
	run "$EKHO_LAB/enter" "$EKHO_LAB/check-imports" "$copy"
	rm -r "$copy"
}

test_imports_down() { #: imports: a tree whose imports go down passes
	small_module
	check_imports
	status_is 0
	says '12 files, 0 complaints'
}

test_imports_cycle_of_files() { #: imports: a cycle of files is named with its lines
	small_module
	printf '\nuse crate::contract::ops::Op;\n' >>tree/rust/contract/name.rs
	check_imports
	status_is 1
	says 'rust/contract: cycle: name.rs -> ops.rs -> name.rs'
	says 'rust/contract/name.rs:3: imports contract/ops.rs'
	says 'rust/contract/ops.rs:1: imports contract/name.rs'
}

test_imports_cycle_of_folders() { #: imports: folders form a cycle even if no two files do
	small_module
	mkdir tree/userspace/tool/src/{one,two}
	printf 'mod one;\nmod two;\n' >>tree/userspace/tool/src/main.rs
	printf 'mod x;\nmod y;\n' | tee tree/userspace/tool/src/{one,two}/mod.rs >/dev/null
	echo 'fn f() { crate::two::x::g() }' >tree/userspace/tool/src/one/x.rs
	: >tree/userspace/tool/src/one/y.rs
	: >tree/userspace/tool/src/two/x.rs
	echo 'use crate::one::y::Y;' >tree/userspace/tool/src/two/y.rs
	check_imports
	status_is 1
	says 'userspace/tool/src/: cycle: one -> two -> one'
	says 'userspace/tool/src/one/x.rs:1: imports two/x.rs'
}

test_imports_cycle_by_reexport() { #: imports: a file that takes from mod.rs what mod.rs takes from it is a cycle
	small_module
	printf 'pub(crate) use ops::Op;\npub(crate) const N: u32 = 1;\n' >>tree/rust/contract/mod.rs
	check_imports
	status_is 0
	echo 'const M: u32 = super::N;' >>tree/rust/contract/ops.rs
	check_imports
	status_is 1
	says 'rust/contract: cycle: mod.rs -> ops.rs -> mod.rs'
}

test_imports_upwards() { #: imports: a layer that imports a higher one is named, and one that isn't on the list
	small_module
	echo 'use crate::offload::device::Device;' >>tree/rust/contract/name.rs
	check_imports
	status_is 1
	says 'rust/contract/name.rs:2: contract is below offload, and imports offload/device.rs'
	small_module
	echo 'mod misc;' >>tree/rust/ekho_main.rs
	: >tree/rust/misc.rs
	check_imports
	status_is 1
	says 'rust/misc.rs: not in the list of layers'
}

test_imports_bindings() { #: imports: the C bindings are for abstractions and contract
	small_module
	mkdir tree/rust/bindings
	: >tree/rust/bindings/mod.rs
	echo 'mod bindings;' >>tree/rust/ekho_main.rs
	echo 'use crate::bindings;' >>tree/rust/contract/name.rs
	echo 'fn f() { bindings::g() }' >>tree/rust/contract/name.rs
	check_imports
	status_is 0
	echo 'fn f() { crate::bindings::g() }' >>tree/rust/flows/flow.rs
	check_imports
	status_is 1
	says 'rust/flows/flow.rs:2: flows uses the C bindings'
}

test_imports_nothing() { #: imports: a tree without Rust code fails
	mkdir tree
	check_imports
	status_is 1
	says 'no Rust code'
}

# --------------------------------------------------------------- probe-kdir ----

# A build directory that has all, and tools of matching versions.
make_kdir() {
	mkdir -p kdir/rust kdir/include/config tools
	touch kdir/Makefile kdir/rust/libkernel.rmeta kdir/rust/libmacros.so
	echo 7.2.12+deb13-amd64 >kdir/include/config/kernel.release
	printf 'CONFIG_%s=y\n' MODULES RUST DEBUG_INFO_BTF DEBUG_INFO_BTF_MODULES BPF_JIT NET_CLS_ACT >kdir/.config
	printf 'rust\0\0\0\x41rustc 1.85.1 (4eb161250 2025-03-15)\0' >kdir/rust/libcore.rmeta
	printf '\x7fELF ... .BTF ...' >kdir/vmlinux
	printf '#!/bin/sh\necho "rustc 1.85.1 (4eb161250 2025-03-15)"\n' >tools/rustc
	printf '#!/bin/sh\n' | tee tools/bindgen >tools/pahole
	chmod +x tools/*
}

# probe COMMAND...: break something, then probe.
probe() {
	make_kdir
	"$@"
	PATH=$work/tools:/usr/bin:/bin RUSTC='' BINDGEN='' PAHOLE='' run "$EKHO_LAB/probe-kdir" kdir
}

test_probe_complete() { #: probe-kdir: a complete build directory passes silently
	probe true
	status_is 0
	[[ -z $output ]] || fails 'expected silence'
}

test_probe_no_headers() { #: probe-kdir: names missing headers
	probe rm kdir/Makefile
	status_is 1
	says 'headers are not installed'
	says 'apt-get install linux-headers'
}

test_probe_too_old() { #: probe-kdir: names a kernel that is too old
	probe eval 'echo 6.18.44-amd64 >kdir/include/config/kernel.release'
	status_is 1
	says 'this is 6.18.44-amd64, EKHO needs 7.2 or later'
}

test_probe_old_without_headers() { #: probe-kdir: knows a kernel's age by its path alone
	run "$EKHO_LAB/probe-kdir" /lib/modules/6.1.0-9-none/build
	status_is 1
	says 'this is 6.1.0-9-none'
	says 'headers are not installed'
}

test_probe_rust_off() { #: probe-kdir: names CONFIG_RUST when it is off
	probe sed -i 's/CONFIG_RUST=y/# CONFIG_RUST is not set/' kdir/.config
	status_is 1
	says 'CONFIG_RUST, which is off'
}

test_probe_no_metadata() { #: probe-kdir: names missing Rust metadata
	probe rm kdir/rust/libkernel.rmeta kdir/rust/libmacros.so
	status_is 1
	says 'Rust metadata of this kernel: rust/libkernel.rmeta rust/libmacros.so'
}

test_probe_other_rustc() { #: probe-kdir: names both versions when the compiler is another
	probe sed -i s/1.85.1/1.97.1/ tools/rustc
	status_is 1
	says 'metadata is of rustc 1.85.1, this host has rustc 1.97.1'
}

test_probe_no_tools() { #: probe-kdir: names missing tools
	[[ ! -e /usr/bin/rustc && ! -e /usr/bin/bindgen && ! -e /usr/bin/pahole ]] || exit 4
	probe rm tools/rustc tools/bindgen tools/pahole
	status_is 1
	says 'rustc 1.85.1 on this host'
	says 'bindgen on this host'
	says 'pahole on this host'
}

test_probe_no_vmlinux() { #: probe-kdir: names a missing vmlinux
	probe rm kdir/vmlinux
	status_is 1
	says 'vmlinux is missing'
}

test_probe_vmlinux_without_btf() { #: probe-kdir: names a vmlinux without BTF
	probe eval 'echo ELF >kdir/vmlinux'
	status_is 1
	says 'BTF in kdir/vmlinux'
}

test_probe_names_everything() { #: probe-kdir: names all that is missing at once
	probe eval 'rm kdir/vmlinux; sed -i /CONFIG_RUST=/d kdir/.config; rm kdir/rust/*'
	status_is 1
	says CONFIG_RUST
	says 'Rust metadata'
	says 'vmlinux is missing'
}

# In the lab's root, as on a machine whose user has built a kernel: the tree is elsewhere
# (and can be changed), the clone is new, and the lab is nowhere.
kdir_user() {
	local tree=/usr/src/my-kernel changes=/tmp/changes clone=/tmp/clone
	mkdir -p "$tree" "$changes"/{upper,work} "$clone"
	mount -t overlay -o "lowerdir=$EKHO_TREE,upperdir=$changes/upper,workdir=$changes/work" tree "$tree"
	git config --global --add safe.directory '*'
	(cd "$EKHO_SRC" && git ls-files -z --cached --others --exclude-standard |
		tar -c --null --ignore-failed-read --files-from=-) | tar -x -C "$clone"
	cd "$clone"
	set -- env -i PATH="$PATH" HOME=/nowhere make -j"$(nproc)" module KDIR="$tree"
	"$@"
	echo "vermagic $(modinfo -F vermagic rust/ekho.ko)"
	mkdir -p "$EKHO_SRC/build/test-kdir"
	cp rust/ekho.ko "$EKHO_SRC/build/test-kdir/"
	echo 'nothing changed'
	"$@"
	echo 'without what a build needs'
	mv "$tree/vmlinux" "$tree/rust/libkernel.rmeta" /tmp
	! "$@" || echo 'it was built'
	mv /tmp/vmlinux "$tree"
	mv /tmp/libkernel.rmeta "$tree/rust"
	printf '#!/bin/sh\necho rustc 1.99.0\n' >/tmp/rustc
	chmod +x /tmp/rustc
	! "$@" RUSTC=/tmp/rustc || echo 'it was built'
}

test_module_kdir() { #: module: KDIR= builds it for a kernel of one's own, which loads it, or says what is missing
	local release
	release=$(kernel_release)
	run env EKHO_SRC="$EKHO_SRC" "$EKHO_LAB/enter" bash -c "set -euo pipefail; $(declare -f kdir_user); kdir_user"
	status_is 0
	says "vermagic $release "
	says 'BTF [M] rust/ekho.ko'
	[[ ${output#*nothing changed} != *'RUSTC '* ]] || fails 'it was built twice'
	output=${output#*without what a build needs}
	says 'lacks  the Rust metadata of this kernel: rust/libkernel.rmeta'
	says 'vmlinux is missing'
	says 'EKHO cannot be built in /usr/src/my-kernel as it is'
	says 'the metadata is of rustc 1.85.1, this host has rustc 1.99.0'
	says_not 'it was built'
	run "$EKHO_LAB/vm" --log "$EKHO_SRC/build/log/test-vm.log" \
		'insmod build/test-kdir/ekho.ko && ip link add ek0 up type ekho && ip -d link show ek0 && ip link del ek0 && rmmod ekho'
	status_is 0
	says ek0
	rm -r "$EKHO_SRC/build/test-kdir"
}

test_module_other_kernel() { #: module: what was built for another kernel is removed before, and only then
	mkdir -p clone/rust/c clone/selftests other/include/config
	cp -r "$EKHO_LAB" clone/selftests/
	echo 7.9.9 >other/include/config/kernel.release
	touch clone/rust/ekho.ko clone/rust/c/bpf.o other/vmlinux
	run clone/selftests/lab/built-for other
	status_is 0
	[[ ! -e clone/rust/ekho.ko && ! -e clone/rust/c/bpf.o ]] || fails 'objects of another kernel are left'
	touch clone/rust/ekho.ko
	run clone/selftests/lab/built-for other
	[[ -e clone/rust/ekho.ko ]] || fails 'objects of the same kernel were removed'
	cp -r other another
	run clone/selftests/lab/built-for another
	[[ ! -e clone/rust/ekho.ko ]] || fails 'objects of another kernel are left'
}

test_module_without_btf() { #: a module without the contract in its BTF is deleted
	local src=$EKHO_SRC/build/test-btf
	mkdir -p "$src"
	echo 'int nothing;' >"$src/m.c"
	"$EKHO_LAB/enter" gcc -c "$src/m.c" -o "$src/m.ko"
	run "$EKHO_LAB/enter" "$EKHO_LAB/check-btf" "$src/m.ko"
	[[ ! -e $src/m.ko ]] || fails 'the module is still there'
	rm -rf "$src"
	status_is 1
	says 'has no BTF'
}

# ------------------------------------------------------------------- set-up ----

# Runs setup with a cache of its own. "$@" prepares, in namespaces of their own.
setup_with() {
	mkdir -p cache
	run unshare --mount --propagation private bash -c "$1; XDG_CACHE_HOME=$work/cache exec $EKHO_LAB/setup"
	! compgen -G "$work/cache/ekho/*/.stamp" >/dev/null || fails 'a stamp was left for a stage that failed'
}

test_setup_not_debian() { #: setup: another distribution is told apart
	printf 'ID=fedora\nPRETTY_NAME="Fedora Linux 45"\n' >os-release
	setup_with "mount --bind os-release /etc/os-release"
	status_is 1
	says 'needs a Debian host (12 or newer), and this is Fedora Linux 45'
}

test_setup_not_root() { #: setup: without root it says so
	# The clone may lie where only root may look.
	mkdir -p clone/selftests cache
	cp -r "$EKHO_LAB" clone/selftests/
	chmod -R a+rX "$work"
	chmod 777 cache
	run env XDG_CACHE_HOME="$work/cache" setpriv --reuid 65534 --regid 65534 --clear-groups \
		clone/selftests/lab/setup
	status_is 1
	says 'needs root'
}

test_setup_no_space() { #: setup: too little space is told, with what is needed
	setup_with "mount -t tmpfs -o size=64m none cache"
	status_is 1
	says 'MB are needed in'
	says '64 MB are free'
}

test_setup_other_arch() { #: setup: another architecture is told
	mkdir -p bin
	printf '#!/bin/sh\necho aarch64\n' >bin/uname
	chmod +x bin/uname
	setup_with "PATH=$work/bin:\$PATH"
	status_is 1
	says 'needs an amd64 machine, and this is aarch64'
}

test_setup_no_network() { #: setup: an archive that can't be reached is told
	local begin=$SECONDS
	command -v mmdebstrap >/dev/null || exit 4
	# Through the host's apt configuration, the way a bad proxy gets there.
	mkdir apt.conf.d
	cp /etc/apt/apt.conf.d/* apt.conf.d/ 2>/dev/null || true
	echo 'Acquire::http::Proxy "http://127.0.0.1:9"; Acquire::https::Proxy "http://127.0.0.1:9"; Acquire::Retries "0";' \
		>apt.conf.d/zz-test
	setup_with "mount --bind apt.conf.d /etc/apt/apt.conf.d"
	[[ $status -ne 0 ]] || fails 'it succeeded'
	says "can't be reached"
	says 'the whole log:'
	((SECONDS - begin < 120)) || fails 'it took too long to notice'
}

test_setup_odd_path() { #: setup: a path that a kernel build can't take is told
	mkdir -p "with blank"
	run env XDG_CACHE_HOME="$work/with blank" "$EKHO_LAB/setup"
	status_is 1
	says "the path $work/with blank"
}

test_setup_warm() { #: setup: when all is there it takes no time and prints nothing but notes
	local begin end
	# This one may ask the archive, as is done once a day.
	run "$EKHO_LAB/setup"
	begin=$EPOCHREALTIME
	run "$EKHO_LAB/setup"
	end=$EPOCHREALTIME
	status_is 0
	[[ -z $output ]] || ! grep -qv '^  note ' <<<"$output" || fails 'expected silence'
	((${end/./} - ${begin/./} < 5000000)) || fails 'it took over 5 s'
}

# A script with one stage that notes each time it is made.
stage_script() {
	cat >stage-script <<-SCRIPT
		set -euo pipefail
		. "$EKHO_LAB/lib.sh"
		make_it() { echo made >>"$work/made"; [[ ! -e "$work/interrupt" ]] || kill -KILL \$\$; echo content >"$work/it/file"; }
		lock_cache exclusive
		stage it "$work/it" "\$1" "$work/log" make_it
	SCRIPT
	export XDG_CACHE_HOME=$work/cache
}

test_stage_once() { #: setup: a stage is made once, and again when what defines it changed
	stage_script
	run bash stage-script one
	run bash stage-script one
	[[ $(wc -l <made) -eq 1 ]] || fails 'it was made twice'
	touch it/stale
	run bash stage-script two
	says 'unfinished or outdated it'
	[[ $(wc -l <made) -eq 2 && ! -e it/stale ]] || fails 'it was not made anew'
}

test_stage_interrupted() { #: setup: a stage that was killed half-way is made anew
	stage_script
	touch interrupt
	run bash stage-script one
	[[ $status -ne 0 ]] || fails 'it was not interrupted'
	rm interrupt
	touch it/half
	run bash stage-script one
	status_is 0
	[[ -e it/file && ! -e it/half ]] || fails 'the half-made stage was kept'
}

# hold SECONDS KERNEL: somebody uses the lab's root, and this kernel.
hold() {
	rm -f locked
	bash -c '. "$1/lib.sh" && lock_cache shared && lock_cache shared "$2" && touch locked && sleep "$3"; exit' \
		holder "$EKHO_LAB" "$2" "$1" &
	until [[ -e locked ]]; do sleep 0.1; done
}

test_stage_lock() { #: setup: two at a time wait for each other, and say for whom
	stage_script
	hold 4 7.2
	local holder=$!
	# Another one that waits isn't waited for.
	bash stage-script one >/dev/null &
	sleep 1
	run bash stage-script one
	wait
	status_is 0
	says_not 'bash stage-script'
	says 'waiting  for another make'
	says "process $holder, for "
	says 'bash -c . "$1/lib.sh" && lock_cache shared'
}

# ------------------------------------------------ which kernel, how recent ----

# A lab whose stages take no time, in a clone of its own. What they make comes from the
# archive, a file of lines "PACKAGE VERSION".
fake_lab() {
	mkdir -p bin cache clone/selftests
	cp -r "$EKHO_LAB" clone/selftests/
	lab=$work/clone/selftests/lab
	printf 'series=%s suite=check release=%s version=%s-1 rustc=1.85.1-1 gcc=4:14.2.0-1 pahole=1.30-1\n' \
		7.2 7.2.12+deb13-amd64 7.2.12 7.3 7.3.4+deb13-amd64 7.3.4 >"$lab/tested"
	cat >bin/apt-cache <<-'SH'
		#!/bin/bash
		case $1 in
		pkgnames) awk -v p="$2" 'index($1, p) == 1 { print $1 }' "$FAKE_ARCHIVE" ;;
		madison) awk -v p="$2" '$1 == p { print " " p " | " $2 " | http://deb.example trixie-backports/main amd64 Packages" }' "$FAKE_ARCHIVE" ;;
		policy) awk -v p="$2" '$1 == p { print p ":\n  Installed: (none)\n  Candidate: " $2; exit }' "$FAKE_ARCHIVE" ;;
		esac
	SH
	printf '#!/bin/sh\n[ -e "$FAKE_ARCHIVE" ]\n' >bin/apt-get
	printf '#!/bin/sh\necho Avail; echo 99999\n' >bin/df
	printf '#!/bin/sh\nexec "$@"\n' >"$lab/enter"
	chmod +x bin/*
	cat >>"$lab/stages.sh" <<-'SH'
		host_is_prepared() { true; }
		fake() { awk -v p="$1" '$1 == p { print $2; exit }' "$FAKE_ARCHIVE"; }
		make_root() {
			local package
			for package in rustc gcc pahole; do
				echo "$package $(fake "$package")"
			done >"$EKHO_ROOT/.toolchain"
		}
		make_packages() {
			local name rustc
			name=$(sed -n "s/^linux-modules-\\(${EKHO_KERNEL//./\\.}\\.[^ ]*\\) .*/\\1/p" "$FAKE_ARCHIVE" |
				sort -rV | while read -r name; do
				! grep -qx "linux-source-$EKHO_KERNEL $(fake "linux-headers-$name")" "$FAKE_ARCHIVE" || echo "$name"
			done | sed -n 1p)
			[[ -n $name ]] || { echo "Debian's archive has no kernel $EKHO_KERNEL"; return 1; }
			echo "$name" >"$EKHO_KDIR/packages/release"
			mkdir -p "$EKHO_KDIR/packages/files/usr/lib/modules/$name"
			echo "#1 SMP Debian $(fake "linux-headers-$name") (2026-11-15)" \
				>"$EKHO_KDIR/packages/files/usr/lib/modules/$name/vmlinuz"
			rustc=$(fake "built-with-$EKHO_KERNEL")
			printf 'CONFIG_RUSTC_VERSION=%s\nCONFIG_GCC_VERSION=140200\nCONFIG_PAHOLE_VERSION=130\n' "${rustc:-108501}" \
				>"$EKHO_KDIR/packages/.config"
		}
		make_tree() { touch "$EKHO_KDIR/tree/made"; }
	SH
	export FAKE_ARCHIVE=$work/archive XDG_CACHE_HOME=$work/cache
	printf '%s\n' 'rustc 1.85.1-1' 'gcc 4:14.2.0-1' 'pahole 1.30-1' >archive
}

# offers RELEASE [SOURCE]: the archive has this kernel, with the source of this version.
offers() {
	printf '%s\n' "linux-modules-$1+deb13-amd64 $1-1" "linux-headers-$1+deb13-amd64 $1-1" \
		"linux-binary-$1+deb13-amd64 $1-1" "linux-source-${1%.*} ${2:-$1}-1" >>archive
}

# withdraws SERIES
withdraws() {
	sed -i "/${1//./\\.}/d" archive
}

# set_up [OPTION...]
set_up() {
	PATH=$work/bin:$PATH run env EKHO_KERNEL="${series:-}" "$lab/setup" "$@"
}

# uses RELEASE: what a lab that nobody asks for a series boots now.
uses() {
	local now
	now=$(env -u EKHO_KERNEL bash -c '. "$1/lib.sh" && kernel_release' sh "$lab")
	[[ $now == "$1+deb13-amd64" ]] || fails "the lab uses ${now:-no kernel}, and not $1"
}

# The next set-up asks the archive again.
a_day_later() {
	touch -d '25 hours ago' cache/ekho/kernel/archive
}

test_kernel_preferred() { #: setup: takes the first series that was tested, silently
	fake_lab
	offers 7.3.4
	offers 7.2.12
	set_up
	status_is 0
	uses 7.2.12
	says_not note
	set_up
	status_is 0
	[[ -z $output ]] || fails 'expected silence'
}

test_kernel_gone() { #: setup: takes the next tested series when the archive has lost the first, and stays with it
	fake_lab
	offers 7.9.1
	offers 7.3.4
	set_up
	status_is 0
	says "kernel 7.2 can't be had; this and later makes take 7.3"
	uses 7.3.4
	set_up
	status_is 0
	[[ -z $output ]] || fails 'expected silence'
	offers 7.2.13
	set_up --refresh
	status_is 0
	says 'kernel 7.2: image'
	uses 7.2.13
}

test_kernel_untested() { #: setup: takes the newest series when none was tested, and says so
	fake_lab
	offers 7.8.3
	offers 7.9.1
	offers 6.18.2
	set_up
	status_is 0
	says 'kernel 7.9.1+deb13-amd64: no run with series 7.9 is recorded'
	uses 7.9.1
}

test_kernel_without_source() { #: setup: passes over a kernel whose source has another version
	fake_lab
	offers 7.2.12
	offers 7.3.5 7.3.6
	sed -i s/linux-source-7.2/other/ archive
	set_up
	[[ $status -ne 0 ]] || fails 'it succeeded'
	says "Debian's archive has no kernel that EKHO can use"
	offers 7.3.4 7.3.4
	set_up
	status_is 0
	uses 7.3.4
}

test_kernel_of_other_rustc() { #: setup: passes over a kernel that was built with another rustc, and names both
	fake_lab
	offers 7.2.12
	offers 7.3.4
	echo 'built-with-7.2 109701' >>archive
	set_up
	status_is 0
	says 'kernel 7.2.12+deb13-amd64 was built with rustc 1.97.1, and not 1.85.1 as the lab'
	uses 7.3.4
	series=7.2 set_up
	status_is 1
	says 'rustc 1.97.1, and not 1.85.1'
	says 'no kernel can be used'
}

test_kernel_unknown_series() { #: setup: a series that the archive doesn't have is told, and no other is taken
	fake_lab
	offers 7.2.12
	series=7.4 set_up
	[[ $status -ne 0 ]] || fails 'it succeeded'
	says "no kernel 7.4"
}

test_kernel_behind() { #: setup: a lab that is behind the archive is used, and told; refresh takes what is new
	fake_lab
	offers 7.2.12
	set_up
	status_is 0
	offers 7.2.14
	sed -i 's/^pahole .*/pahole 1.31-1/' archive
	set_up
	[[ -z $output ]] || fails 'the archive was asked twice a day'
	a_day_later
	set_up
	status_is 0
	says "the lab's kernel is 7.2.12+deb13-amd64, Debian's archive has 7.2.14+deb13-amd64; \`make refresh\` takes it"
	says 'pahole 1.30-1 -> 1.31-1'
	says_not 'set up'
	uses 7.2.12
	sed -i 's/^pahole .*/pahole 1.30-1/' archive
	set_up --refresh
	status_is 0
	uses 7.2.14
	says 'Rust metadata of 7.2.14'
	says_not 'Debian 13 root'
	says 'not what was tested: kernel 7.2.14-1 (tested: 7.2.12-1)'
	set_up --refresh
	status_is 0
	says 'current  the lab has what'
	says_not 'set up'
}

test_kernel_cached_and_gone() { #: setup: a kernel that the archive has lost is kept, until a refresh
	fake_lab
	offers 7.2.12
	offers 7.3.4
	set_up
	withdraws 7.2
	a_day_later
	set_up
	status_is 0
	says "Debian's archive has no kernel 7.2 any more, and the lab keeps 7.2.12"
	uses 7.2.12
	set_up --refresh
	status_is 0
	uses 7.3.4
}

test_toolchain_refreshed() { #: setup: refresh makes the root anew when its toolchain is behind, and what was made with it
	fake_lab
	offers 7.2.12
	set_up
	sed -i 's/^rustc .*/rustc 1.85.1-2/' archive
	set_up --refresh
	status_is 0
	says 'Debian 13 root'
	says 'Rust metadata of 7.2.12'
	says_not 'kernel 7.2: image'
	says 'rustc 1.85.1-2 (tested: 1.85.1-1)'
}

test_tools() { #: setup: --tools adds a layer of programs, and anew when the root is another, which stays without them
	fake_lab
	printf 'make_tools() { : >"$EKHO_TOOLS/made"; }\n' >>"$lab/stages.sh"
	offers 7.2.12
	set_up
	[[ ! -e cache/ekho/tools/made ]] || fails 'nobody asked for tools'
	set_up --tools
	status_is 0
	says "programs for the kernel's own tests"
	says_not 'Debian 13 root'
	[[ -e cache/ekho/tools/made ]] || fails 'there are none'
	set_up --tools
	[[ -z $output ]] || fails 'expected silence'
	sed -i 's/^rustc .*/rustc 1.85.1-2/' archive
	set_up --refresh --tools
	status_is 0
	says 'unfinished or outdated tools'
}

test_archive_unreachable() { #: setup: a lab that is there needs no archive, a refresh does and leaves it as it is
	fake_lab
	offers 7.2.12
	set_up
	mv archive away
	a_day_later
	set_up
	status_is 0
	says_not error
	says_not failed
	uses 7.2.12
	set_up
	[[ -z $output ]] || fails 'the archive was asked twice a day'
	set_up --refresh
	[[ $status -ne 0 ]] || fails 'it succeeded'
	uses 7.2.12
}

test_kernel_beside_a_guest() { #: setup: another kernel is made while a guest runs, the guest's own waits for it
	fake_lab
	offers 7.2.12
	offers 7.3.4
	set_up
	hold 30 7.2
	series=7.3 set_up
	status_is 0
	says_not waiting
	says 'Rust metadata of 7.3.4'
	kill $!
	wait
	hold 2 7.2
	rm cache/ekho/kernel/7.2/tree/.stamp
	set_up
	status_is 0
	says 'waiting  for another make that uses kernel 7.2'
}

# ------------------------------------------------------- what was tested ----

# A record of a run, as `make check` leaves it.
ran() {
	mkdir -p clone/build/tested
	printf 'series=%s suite=%s date=2026-12-01 commit=%s passed=%s skipped=0 release=%s.5+deb13-amd64 version=%s.5-1 rustc=1.85.1+dfsg1-1 bindgen=0.71.1-6 gcc=4:14.2.0-1 clang=1:19.0-63 pahole=1.30-1\n' \
		"$1" "$2" "${4:-abc1234}" "$3" "$1" "$1" >"clone/build/tested/$1.$2"
}

test_record() { #: record: a green run replaces the record of its series and suite, a new series comes last
	fake_lab
	mkdir -p clone/docs
	cp "$EKHO_SRC/docs/kernels.md" clone/docs/
	run "$lab/record"
	status_is 1
	says 'there is no green run to record'
	sed -i 's/^series=7.2 .*/series=7.2 suite=none/' "$lab/tested"
	echo 'series=7.5 suite=none' >>"$lab/tested"
	ran 7.2 check 700
	ran 7.3 smoke 80
	ran 7.4 check 690
	run "$lab/record"
	status_is 0
	output=$(grep '^series=' "$lab/tested" | cut -d' ' -f1,2,8)
	[[ $output == 'series=7.2 suite=check version=7.2.5-1
series=7.3 suite=check
series=7.3 suite=smoke version=7.3.5-1
series=7.5 suite=none
series=7.4 suite=check version=7.4.5-1' ]] || fails 'other records'
	output=$(<clone/docs/kernels.md)
	says '| 7.4 | 7.4.5-1 | `make check` | 2026-12-01 | abc1234 | 690 | 0 | 1.85.1 | 0.71.1 | 14.2.0 | 19.0 | 1.30 |'
	says 'Which kernel the lab takes'
	ran 7.4 check 691 abc1234-dirty
	run "$lab/record"
	status_is 1
	says "changes that aren't committed"
}

# ci: runs .ci/run in a clone whose make notes what it is asked for.
ci() {
	mkdir -p clone/.ci
	cp "$EKHO_SRC/.ci/run" clone/.ci/
	cp "$EKHO_SRC/selftests/skips" clone/selftests/
	cat >bin/make <<-'SH'
		#!/bin/sh
		echo "$1 ${EKHO_KERNEL:-preferred}" >>"$FAKE_ARCHIVE.made"
		case $1 in
		check) echo 700 ${CI_FAILED:-0} 1 >>"$EKHO_SUMS" ;;
		smoke) echo 80 0 0 >>"$EKHO_SUMS" ;;
		esac
		[ "$1" != "$CI_FAILS" ]
	SH
	chmod +x bin/make
	rm -f archive.made
	PATH=$work/bin:$PATH run env -u EKHO_KERNEL clone/.ci/run
	made=$(paste -sd, archive.made)
}

# ends_in LINE
ends_in() {
	[[ ${output##*$'\n'} == "$1" ]] || fails "expected the last line: $1"
}

test_ci() { #: .ci/run: lint and all tests on one kernel, demo and smoke on the other; the last line is the sum
	local made
	fake_lab
	offers 7.2.12
	offers 7.3.4
	set_up
	ci
	status_is 0
	[[ $made == 'lint preferred,check preferred,conformance preferred,demo 7.3,smoke 7.3' ]] || fails "made: $made"
	ends_in '783 passed, 0 failed, 1 skipped'
	CI_FAILS=lint ci
	status_is 1
	ends_in '782 passed, 1 failed, 1 skipped'
	[[ $made == *smoke* ]] || fails 'it stopped at the first failure'
	# One that ends badly though no test failed.
	CI_FAILS=check ci
	status_is 1
	ends_in '783 passed, 1 failed, 1 skipped'
	CI_FAILS=check CI_FAILED=5 ci
	status_is 1
	ends_in '783 passed, 5 failed, 1 skipped'
}

test_ci_kernel_gone() { #: .ci/run: a kernel that neither archive nor lab has is told, and doesn't fail
	local made
	fake_lab
	offers 7.3.4
	set_up
	ci
	status_is 0
	[[ $made == 'lint preferred,check preferred,conformance preferred' ]] || fails "made: $made"
	says "archive has no kernel 7.2, and neither has the lab"
	ends_in '702 passed, 0 failed, 2 skipped'
}

# -------------------------------------------------------------------- enter ----

test_enter_status() { #: enter: the exit status, the arguments and the input are the command's
	run "$EKHO_LAB/enter" sh -c 'printf "%s\n" "$@"; exit 42' sh 'two words' '$HOME'
	status_is 42
	says 'two words'
	says '$HOME'
	output=$(echo piped | "$EKHO_LAB/enter" cat)
	says piped
}

test_enter_without_tools() { #: enter: who wants the tools of a lab that has none is told
	mkdir -p cache/ekho/root
	: >cache/ekho/root/.stamp
	run env XDG_CACHE_HOME="$work/cache" EKHO_WITH_TOOLS=1 "$EKHO_LAB/enter" true
	status_is 1
	says 'run: make conformance'
}

test_enter_root_stays_clean() { #: enter: what a command changes in the root is gone afterwards
	run "$EKHO_LAB/enter" sh -c 'touch /changed && rm /usr/bin/jq'
	status_is 0
	run "$EKHO_LAB/enter" sh -c 'test ! -e /changed && jq --version'
	status_is 0
}

test_enter_environment() { #: enter: proxy and cargo settings go in, the rest of the environment stays out
	export https_proxy=http://proxy:3128 CARGO_NET_RETRY=7 SECRET_OF_MINE=x LC_ALL=C
	run "$EKHO_LAB/enter" env
	says https_proxy=http://proxy:3128
	says CARGO_NET_RETRY=7
	says_not SECRET_OF_MINE
	says LC_ALL=C.UTF-8
}

test_enter_outside_clone() { #: enter: called from elsewhere it starts in the clone
	cd /
	run "$EKHO_LAB/enter" pwd
	[[ $output == "$EKHO_SRC" ]] || fails "expected $EKHO_SRC"
}

# left PATTERN: command lines that contain it.
left() {
	local file words
	for file in /proc/[0-9]*/cmdline; do
		mapfile -d '' words <"$file" || continue
		[[ ${words[*]} != *"$1"* ]] || echo "${words[*]}"
	done 2>/dev/null
}

# interrupt SIGNAL MARK CMD...: start it, wait for it to say "started", signal the
# whole group as a terminal does (or with KILL only the leader), and see that no
# process with MARK on its command line and no mount is left.
interrupt() {
	local signal=$1 mark=$2 mounts i
	shift 2
	mounts=$(grep -c . /proc/self/mounts)
	set -m
	# Whoever started these tests may have ignored them.
	env --default-signal=INT,QUIT,TERM "$@" >out 2>&1 </dev/null &
	local job=$!
	set +m
	for ((i = 0; i < 600; i++)); do
		! grep -q started out || break
		sleep 0.1
	done
	output=$(cat out)
	says started
	[[ -n $(left "$mark") ]] || fails "no process has $mark on its command line"
	if [[ $signal == KILL ]]; then kill -KILL "$job"; else kill "-$signal" -- "-$job"; fi
	wait "$job" 2>/dev/null
	status=$? output=$(cat out)
	sleep 0.5
	[[ -z $(left "$mark") ]] || fails "left after SIG$signal: $(left "$mark")"
	[[ $(grep -c . /proc/self/mounts) -eq $mounts ]] || fails "mounts are left after SIG$signal"
	[[ $status -ne 0 ]] || fails 'status 0'
}

test_enter_interrupted() { #: enter: after Ctrl-C or a kill no process and no mount is left
	# The command ignores the signal, as a shell waiting for a child seems to.
	local signal
	for signal in INT TERM KILL; do
		interrupt "$signal" "mark-$$" "$EKHO_LAB/enter" \
			sh -c 'trap "" INT TERM; echo started; sleep 1000; :' "mark-$$"
	done
}

# ----------------------------------------------------------------------- vm ----

test_vm_interrupted() { #: vm: after Ctrl-C no emulator is left
	# An odd size of memory tells this emulator from others.
	export EKHO_MEMORY=1027M
	interrupt INT '-m 1027M' "$EKHO_LAB/vm" --log "$EKHO_SRC/build/log/test-vm.log" 'echo started; sleep 1000'
}

test_vm_command() { #: vm: status, output, input, directory and tools are the command's
	status=0
	output=$(cd "$EKHO_SRC/selftests" && echo piped | "$EKHO_LAB/vm" --log "$EKHO_SRC/build/log/test-vm.log" '
		uname -r; cat; pwd; echo "quoted  $((40 + 2))"; echo to-stdout-by-name >/dev/stdout
		for fs in debugfs:/sys/kernel/debug tracefs:/sys/kernel/tracing bpf:/sys/fs/bpf tmpfs:/run; do
			[[ $(findmnt -no FSTYPE "${fs#*:}") == "${fs%%:*}" ]] && echo "mounted ${fs#*:}"
		done
		modprobe -a cls_flower veth && ip link add v0 type veth && ip link show v0
		touch "$EKHO_SRC/build/written-in-guest"
		tr " " "\n" </proc/cmdline | grep -E "slub_debug|kfence|panic"
		exit 43' 2>&1) || status=$?
	status_is 43
	says "$(kernel_release)"
	says piped
	says "$EKHO_SRC/selftests"
	says 'quoted  42'
	says to-stdout-by-name
	for fs in /sys/kernel/debug /sys/kernel/tracing /sys/fs/bpf /run; do
		says "mounted $fs"
	done
	says 'v0@'
	says 'slub_debug=FZPU,kmalloc-*;FZP'
	says kfence.sample_interval=100
	says panic_on_warn=1
	[[ -e $EKHO_SRC/build/written-in-guest ]] || fails 'the clone was not writable in the guest'
	rm "$EKHO_SRC/build/written-in-guest"
	run "$EKHO_LAB/check-kernel-log" "$EKHO_SRC/build/log/test-vm.log"
	status_is 0
}

test_vm_panic() { #: vm: a kernel that dies ends the run, with the reason and status 255
	run "$EKHO_LAB/vm" --log "$EKHO_SRC/build/log/test-vm.log" 'echo alive; echo c >/proc/sysrq-trigger; sleep 1000'
	status_is 255
	says alive
	says 'the test kernel ended before the command did'
	says 'Kernel panic'
	run "$EKHO_LAB/check-kernel-log" "$EKHO_SRC/build/log/test-vm.log"
	status_is 1
}

test_vm_stall() { #: vm: a command that says something may take its time, one that does not is ended, status 124
	# Twice as long as it takes to boot, and longer than the limit, but something comes.
	run "$EKHO_LAB/vm" --stall 30 --log "$EKHO_SRC/build/log/test-vm.log" '
		for ((i = 1; i <= 8; i++)); do sleep 5; echo "alive $i"; done; sleep 1000'
	status_is 124
	says 'alive 8'
	says 'nothing came from the command or the kernel for 30 s'
}

test_vm_no_terminal() { #: vm: a shell without a terminal is refused
	run "$EKHO_LAB/vm"
	status_is 1
	says "make vm CMD='...'"
}

# ---------------------------------------------------------------------------

mapfile -t cases < <(sed -n 's/^\(test_[a-z_]*\)() { #: \(.*\)/\1 \2/p' "$EKHO_LAB/test-lab.sh" | grep -e "${1:-.}")
echo 'TAP version 13'
echo "1..${#cases[@]}"
number=0 bad=0
for entry in "${cases[@]}"; do
	((++number))
	mkdir "$work/$number"
	rc=0
	(
		work=$work/$number
		cd "$work" || exit 1
		output='' status=0
		"${entry%% *}"
	) || rc=$?
	case $rc in
	0) echo "ok $number - ${entry#* }" ;;
	4) echo "ok $number - ${entry#* } # SKIP not on this host" ;;
	*)
		echo "not ok $number - ${entry#* }"
		bad=1
		;;
	esac
done
exit $bad
