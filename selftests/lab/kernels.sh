# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0-only
#
# Which kernel the lab takes, and how the lab stands to what was tested and to what
# Debian's archive has now. Sourced by setup, after lib.sh; decides and tells, and makes
# nothing.
#
#   $EKHO_TESTED            lines "series=7.2 suite=check ... release=... rustc=...", written
#                           by `make record`; their order is that of preference. One with
#                           suite=none is to be tested yet
#   $EKHO_CACHE/kernel/archive   lines "kernel SERIES RELEASE VERSION" and "package NAME
#                           VERSION", written by ask_archive

# What the kernel's configuration names a version of, and what reads its objects.
toolchain=(rustc rust-src bindgen gcc clang pahole)

# ------------------------------------------------------------- the archive ----

# Runs in the root, after `apt-get update`: of each series the newest kernel that the
# archive has with its image, modules, headers and source of one version; and the versions
# of the toolchain that would be installed now.
archive_lists() {
	local modules name version series binary done=' '
	while read -r modules; do
		name=${modules#linux-modules-}
		series=$(grep -oE '^[0-9]+\.[0-9]+' <<<"$name")
		[[ $done != *" $series "* ]] || continue
		version=$(apt-cache madison "linux-headers-$name" | awk -F' *[|] *' 'NR == 1 { print $2 }')
		[[ -n $version ]] || continue
		apt-cache madison "linux-source-$series" |
			awk -F' *[|] *' -v v="$version" '$2 == v { found = 1 } END { exit !found }' || continue
		for binary in "linux-binary-$name" "linux-binary-unsigned-$name" ''; do
			[[ -z $binary || -z $(apt-cache madison "$binary") ]] || break
		done
		[[ -n $binary ]] || continue
		done+="$series "
		printf 'kernel %s %s %s\n' "$series" "$name" "$version"
	done < <(apt-cache pkgnames linux-modules- |
		grep -E '^linux-modules-[0-9]+(\.[0-9]+)+\+[^-]*-amd64$' | sort -rV)
	for name; do
		version=$(apt-cache policy "$name" | sed -n 's/^ *Candidate: //p')
		[[ -z $version || $version == '(none)' ]] || printf 'package %s %s\n' "$name" "$version"
	done
}

# ask_archive: writes $EKHO_CACHE/kernel/archive; fails if the archive can't be reached.
ask_archive() {
	local lists
	lists=$(in_root bash -c "set -euo pipefail; $(declare -f archive_lists)
		timeout 90 apt-get -qq -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any -o Acquire::Retries=1 update >&2
		archive_lists \"\$@\"" archive_lists "${toolchain[@]}") || return
	mkdir -p "$EKHO_CACHE/kernel"
	printf '%s\n' "$lists" >"$EKHO_CACHE/kernel/archive.$$"
	mv "$EKHO_CACHE/kernel/archive.$$" "$EKHO_CACHE/kernel/archive"
}

# archive_has SERIES: its "RELEASE VERSION" in the archive, if any.
archive_has() {
	sed -n "s/^kernel ${1//./\\.} //p" "$EKHO_CACHE/kernel/archive" 2>/dev/null
}

# -------------------------------------------------------------- the choice ----

# newer A B: whether version A comes after B.
newer() {
	[[ $1 != "$2" && $(printf '%s\n' "$1" "$2" | sort -V | tail -n 1) == "$1" ]]
}

# usable_series: the series that the archive has, in the order in which the lab would take
# them: the tested ones as recorded, then those that weren't, the newest first.
usable_series() {
	local series tested
	tested=$(tested_series)
	for series in $tested; do
		[[ -z $(archive_has "$series") ]] || echo "$series"
	done
	sed -n 's/^kernel \([^ ]*\) .*/\1/p' "$EKHO_CACHE/kernel/archive" | sort -rV | while read -r series; do
		! newer "$oldest_series" "$series" || continue
		grep -qxF "$series" <<<"$tested" || echo "$series"
	done
}

# upstream VERSION: without Debian's epoch, revision and repacking: 4:14.2.0-1 is 14.2.0.
upstream() {
	local version=${1#*:}
	echo "${version%%[-+~]*}"
}

# root_version PACKAGE: as it is in the root.
root_version() {
	sed -n "s/^$1 //p" "$EKHO_ROOT/.toolchain" 2>/dev/null
}

# unfit CONFIG: in words, what of the root's toolchain isn't what a kernel of this
# configuration was built with. Rust's metadata can be used by the very same rustc only,
# and the configuration would change with the others.
unfit() {
	local option package number built have
	while read -r option package; do
		number=$(sed -n "s/^CONFIG_$option=//p" "$1")
		have=$(upstream "$(root_version "$package")")
		case $option in
		PAHOLE_VERSION) built=$((number / 100)).$((number % 100)) ;;
		RUSTC_VERSION) built=$((number / 100000)).$((number / 100 % 1000)).$((number % 100)) ;;
		*) built=$((number / 10000)).$((number / 100 % 100)).$((number % 100)) ;;
		esac
		[[ -z $number || $built == "$have" ]] || echo "$package $built, and not $have"
	done <<-'END' | paste -sd';' | sed 's/;/; /g'
		RUSTC_VERSION rustc
		GCC_VERSION gcc
		PAHOLE_VERSION pahole
	END
}

# -------------------------------------------------- the lab as it is here ----

# versions: of the kernel and the toolchain in use: "release=... version=... rustc=...".
versions() {
	local release image version package
	release=$(cat "$EKHO_KDIR/packages/release" 2>/dev/null)
	image=$EKHO_KDIR/packages/files/usr/lib/modules/$release/vmlinuz
	version=$(grep -aoE 'Debian [0-9][^ ]* \([0-9]' "$image" 2>/dev/null | sed -n '1s/Debian \([^ ]*\) .*/\1/p')
	printf 'release=%s version=%s' "$release" "${version:-unknown}"
	for package in "${toolchain[@]}"; do
		printf ' %s=%s' "$package" "$(root_version "$package")"
	done
	echo
}

# differences RECORD VERSIONS: "KEY SEEN (tested: RECORDED)" for each key of VERSIONS that
# the record has otherwise.
differences() {
	local field recorded text=''
	for field in $2; do
		recorded=$(grep -oE "(^| )${field%%=*}=[^ ]*" <<<"$1" | cut -d= -f2-)
		# The release is part of the version.
		[[ ${field%%=*} == release || ${field#*=} == "$recorded" ]] ||
			text+="${text:+, }${field%%=*} ${field#*=} (tested: ${recorded:-none})"
	done
	echo "${text/#version /kernel }"
}

# remarks: what whoever uses this lab should know, a line each; nothing if it is what was
# tested and what the archive has.
remarks() {
	local records record differs='' now has release packages
	mapfile -t records < <(grep "^series=$EKHO_KERNEL " "$EKHO_TESTED" | grep -v ' suite=none')
	now=$(versions)
	for record in "${records[@]}"; do
		differs=$(differences "$record" "$now")
		[[ -n $differs ]] || break
	done
	if ((${#records[@]} == 0)); then
		echo "kernel $(cat "$EKHO_KDIR/packages/release"): no run with series $EKHO_KERNEL is recorded; docs/kernels.md has those that are"
	elif [[ -n $differs ]]; then
		echo "not what was tested: $differs"
	fi

	[[ -s $EKHO_CACHE/kernel/archive ]] || return 0
	release=$(cat "$EKHO_KDIR/packages/release" 2>/dev/null)
	has=$(archive_has "$EKHO_KERNEL")
	if [[ -z $has ]]; then
		echo "Debian's archive has no kernel $EKHO_KERNEL any more, and the lab keeps $release"
	elif newer "${has% *}" "$release"; then
		echo "the lab's kernel is $release, Debian's archive has ${has% *}; \`make refresh\` takes it"
	fi
	packages=$(outdated_toolchain)
	[[ -z $packages ]] || echo "the lab's toolchain is behind Debian's archive ($packages); \`make refresh\` takes it"
}

# outdated_toolchain: "NAME OLD -> NEW, ..." of what the archive has in another version.
outdated_toolchain() {
	local package has have text=''
	for package in "${toolchain[@]}"; do
		has=$(sed -n "s/^package $package //p" "$EKHO_CACHE/kernel/archive" 2>/dev/null)
		have=$(root_version "$package")
		[[ -z $has || -z $have || $has == "$have" ]] || text+="${text:+, }$package $have -> $has"
	done
	printf '%s' "$text"
}
