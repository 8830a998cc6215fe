# SPDX-License-Identifier: GPL-2.0-only
#
# Two commands are enough on a fresh Debian 12 or 13: `make demo` shows EKHO at
# work, `make check` runs every test. Both make the lab first (selftests/lab): a
# Debian root with the toolchain, kept outside this clone. Everything is built in
# there and run in a stock kernel that is booted from there.
#
# Variables:
#   KDIR=DIR           build the module for your own kernel, on this host
#   CMD='...'          what `make vm` runs, instead of a shell
#   LANE='race ...'    what `make torture` does, if not all (selftests/lab/torture)
#   BASE=FILE          an earlier bench/figures.json that `make bench` compares with
#   ONLY='PART ...'    what `make bench` measures, if not all: docs/costs.md
#   EKHO_KERNEL=7.3    kernel series of the lab (default: docs/kernels.md)
#   V=1                show what the builds print
#   XDG_CACHE_HOME     where the lab is kept (in ekho/; default ~/.cache)

SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The steps use all cores themselves, and tell their progress line by line.
.NOTPARALLEL:

# As written, without make's own expansion: it is a line for the guest's shell.
export EKHO_CMD = $(value CMD)

lab   := selftests/lab
# In the lab's root, where EKHO_TREE is what modules of its kernel are built with.
in    := $(lab)/enter
step  := $(lab)/step

# The kernel's structs embed others without a name, which vmlinux.h repeats.
bpf-flags := -target bpf -O2 -g -Wall -Werror -fms-extensions -Wno-microsoft-anon-tag \
	-D__TARGET_ARCH_x86 -Ibpf -Ibpf/build
firmware  := $(patsubst bpf/%.bpf.c,bpf/build/%.bpf.o,$(wildcard bpf/*.bpf.c))

# Files of the module that are pure logic, with `#[cfg(test)]` tests that run on
# the build host: rustc --test FILE.
export MODULE_HOST_TESTS ?= rust/abstractions/sort.rs rust/abstractions/sync/recursion.rs rust/contract/encoding/mod.rs \
	rust/faults/parse.rs rust/firmware/budget.rs rust/flows/delta.rs

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup module firmware userspace ## set up, build, and show the main job on a stock kernel
	@$(lab)/demo

.PHONY: check
check: setup module firmware userspace test-firmware ## set up, build, and run every test
	@$(lab)/check

.PHONY: smoke
smoke: setup module firmware userspace test-firmware ## the same with those tests that show most in little time
	@$(lab)/check smoke

.PHONY: conformance
conformance: setup module firmware userspace ## run the kernel's own tests of tc and flowtables on ports of EKHO, and print a table
	@$(lab)/setup --tools
	@$(lab)/conformance

.PHONY: record
record: ## note what green runs ran with, in selftests/lab/tested and docs/kernels.md
	@$(lab)/record

.PHONY: bench
bench: setup module firmware userspace ## measure what EKHO costs, into bench/; BASE=figures.json compares, ONLY='add driver' is quicker
	@$(step) build 'what EKHO is compared with' bench-modules $(in) $(lab)/bench-modules
	@EKHO_ONLY='$(ONLY)' $(lab)/bench $(BASE)

.PHONY: torture
torture: setup module firmware userspace test-firmware ## hunt bugs for hours, in a debug kernel; LANE='race fail' does so in part
	@$(lab)/setup --debug
	@EKHO_FLAVOUR=debug $(step) build 'module for the debug kernel' torture-module \
		$(in) $(lab)/module-copy $(CURDIR)/build/torture/module
	@$(lab)/torture $(LANE)

.PHONY: vm
vm: export EKHO_STEP_FD := 2
vm: setup module firmware userspace ## a shell in the booted test kernel; CMD='...' runs that instead
	@$(lab)/vm $(if $(CMD),"$$EKHO_CMD")

.PHONY: setup
setup: ## make or mend the lab, which the other targets need
	@$(lab)/setup

.PHONY: refresh
refresh: ## make the lab anew where Debian's archive has something newer
	@$(lab)/setup --refresh

.PHONY: module
ifdef KDIR
module: ## build rust/ekho.ko; KDIR=/lib/modules/$(uname -r)/build for your own kernel
	@$(lab)/probe-kdir $(KDIR)
	@$(lab)/built-for $(KDIR)
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules
	@$(lab)/check-btf rust/ekho.ko
else
module: setup
	@$(lab)/built-for
	@$(step) build 'module rust/ekho.ko' module $(in) sh -c 'make -C "$$EKHO_TREE" M=$(CURDIR) -j$$(nproc) modules'
	@$(in) $(lab)/check-btf rust/ekho.ko
endif

.PHONY: firmware
firmware: module $(firmware) ## build bpf/build/*.bpf.o

# The module's own build decides whether it changed.
rust/ekho.ko: module ;

bpf/build/vmlinux.h: rust/ekho.ko
	@mkdir -p $(@D)
	@$(step) build 'firmware header $@' firmware $(in) sh -c \
		'bpftool -B "$$EKHO_TREE/vmlinux" btf dump file $< format c >$@'

bpf/build/%.bpf.o: bpf/%.bpf.c bpf/build/vmlinux.h
	@$(step) build 'firmware $@' firmware $(in) sh -ec \
		'clang $(bpf-flags) -MMD -MP -c $< -o $@; llvm-strip -g $@'

-include $(firmware:.o=.d)

# Built here and not in the guest, which is emulated and slow.
.PHONY: test-firmware
test-firmware: firmware
	@$(step) build 'test firmware selftests/bpf/build' test-firmware $(in) make -C selftests all

.PHONY: userspace
userspace: setup ## build userspace/target/release/ekho-fw
	@$(lab)/cargo-deps take
	@$(step) build 'user space' userspace $(in) sh -c 'cd userspace && cargo build --release --locked'

.PHONY: lint
lint: setup module ## rustfmt, clippy, imports, checkpatch, clang-format, shellcheck
	@$(lab)/cargo-deps take
	@$(lab)/lint

.PHONY: netlink
netlink: setup ## generate header and reference of the netlink family from its specification
	@$(in) $(lab)/netlink-generate

.PHONY: doc
doc: setup module ## rustdoc of module and user space, in build/doc
	@$(lab)/doc

.PHONY: clean
clean: ## remove what was built in this clone
	@$(lab)/clean

.PHONY: distclean
distclean: clean ## remove that and the lab (all of ~/.cache/ekho, also used by other clones)
	@$(lab)/clean --lab
