# shellcheck shell=bash disable=SC2034,SC2154,SC2164
# SPDX-License-Identifier: GPL-2.0-only
#
# How each stage of the lab is made. Sourced by setup, after lib.sh.
#
# Nothing here names a package server: where packages come from and how they are
# reached is taken from the host's own apt configuration.

suite=trixie
debug_config=$EKHO_LAB/debug.config

# Build and run; the last three lines are what tests and `make lint` use.
packages=(
	make gcc g++ bc bison flex xz-utils zstd kmod cpio file git perl python3
	rustc rust-src bindgen rustfmt rust-clippy cargo
	clang clang-format llvm lld pahole pkgconf
	libelf-dev libdw-dev libbpf-dev zlib1g-dev libssl-dev
	virtme-ng qemu-system-x86 busybox-static ca-certificates
	iproute2 nftables ethtool bpftool conntrack iputils-ping
	procps util-linux mount jq shellcheck
	python3-yaml python3-jsonschema openvswitch-switch
)

# The backports kernel is newer than its userland, so what reads its objects
# comes from backports too. Rust must not: the kernel's own was built with the
# stable release's compiler, and metadata can't cross compiler versions.
preferences='Package: linux-* bpftool libelf* libdw* libdebuginfod* elfutils
Pin: release n=trixie-backports
Pin-Priority: 600'

# ---------------------------------------------------------------- the host ----

# Lines "label|uri|file:number" of the host's own Debian sources.
host_sources() {
	apt-get indextargets --format '$(ORIGIN)|$(COMPONENT)|$(LABEL)|$(REPO_URI)|$(SOURCESENTRY)' \
		'Created-By: Packages' 2>/dev/null | sed -n 's/^Debian|main|//p' | sort -u
}

apt_get() {
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@"
}

# What making the root takes on the host: mmdebstrap, the keys of the release,
# and apt's knowledge of where Debian is (empty lists on a fresh container).
prepare_host() {
	local want=() key
	command -v mmdebstrap >/dev/null || want+=(mmdebstrap)
	key=$(dpkg-query -Wf '${Version}' debian-archive-keyring 2>/dev/null || echo 0)
	dpkg --compare-versions "$key" ge 2023.3+deb12u2 || want+=(debian-archive-keyring)
	if [[ ${#want[@]} -gt 0 || -z $(host_sources) ]]; then
		# A third party's broken source is none of our business: go on and
		# see whether Debian's own works.
		apt_get update || true
	fi
	[[ ${#want[@]} -eq 0 ]] || apt_get install -y --no-install-recommends "${want[@]}"
}

host_is_prepared() {
	command -v mmdebstrap >/dev/null && [[ -n $(host_sources) ]] &&
		dpkg --compare-versions "$(dpkg-query -Wf '${Version}' debian-archive-keyring 2>/dev/null || echo 0)" \
			ge 2023.3+deb12u2
}

# ---------------------------------------------------------------- the root ----

# Keys by which the host trusts a source: the file that its entry names in
# Signed-By, if any, and Debian's own.
source_keys() {
	local entry=$1 file=${1%:*} number=${1##*:} keys=''
	if [[ $file == *.sources ]]; then
		keys=$(awk -v RS= -v number="$number" 'NR == number' <(sed '/^[[:space:]]*#/d' "$file") |
			sed -n 's/^[Ss]igned-[Bb]y:[[:space:]]*\(\/[^[:space:]]*\).*/\1/p')
	else
		keys=$(sed -n "${number}s/.*[[ ]signed-by=\([^] ]*\).*/\1/p" "$file")
	fi
	printf '%s\n' "${keys//,/$'\n'}" /usr/share/keyrings/debian-archive-keyring.gpg |
		while read -r entry; do
			[[ ! -r $entry ]] || printf '%s\n' "$entry"
		done | sort -u
}

# The host's settings about reaching an archive: proxies, certificates, time-outs.
host_apt_settings() {
	apt-config dump --format '%F "%v";%n' |
		grep -E '^(Acquire|APT::Authentication)::' |
		grep -vE '^Acquire::(IndexTargets|Languages|GzipIndexes|CompressionTypes|Changelogs|cdrom)|Auto-?Detect|"";$' || true
	# A proxy that a program on the host finds is asked for now, since the root
	# won't have that program.
	local detect proxy
	detect=$(apt-config dump --format '%f=%v%n' | sed -n 's/^Acquire::http::Proxy-Auto-\?Detect=//Ip' | head -n 1)
	if [[ -n $detect ]]; then
		proxy=$("$detect" "$1" 2>/dev/null | head -n 1 || true)
		[[ -z $proxy || $proxy == DIRECT ]] || printf 'Acquire::http::Proxy "%s";\n' "$proxy"
	fi
	printf '%s\n' 'Acquire::Languages "none";' 'APT::Install-Recommends "0";'
}

make_root() {
	local label uri entry where key main=''
	work=$(mktemp -d) # not local: the trap outlives this function
	trap 'rm -rf "$work"' EXIT

	while IFS='|' read -r label uri entry; do
		local trust
		trust=$(source_keys "$entry" | paste -sd, -)
		case $label in
		Debian)
			[[ -z $main ]] || continue
			main=$uri
			for where in "$suite" "$suite-updates" "$suite-backports"; do
				printf 'deb [signed-by=%s] %s %s main\n' "$trust" "$uri" "$where"
			done
			;;
		Debian-Security)
			printf 'deb [signed-by=%s] %s %s main\n' "$trust" "$uri" "$suite-security"
			;;
		esac
		for key in ${trust//,/ }; do
			mkdir -p "$work/extra$(dirname "$key")"
			cp -L "$key" "$work/extra$key"
		done
	done < <(host_sources) >"$work/sources"
	if [[ -z $main ]]; then
		echo "apt on this host knows no Debian source with the component main"
		echo "add Debian's archive to /etc/apt/sources.list.d and run apt-get update"
		return 1
	fi

	host_apt_settings "$main" >"$work/apt.conf"
	mkdir -p "$work/extra/etc/apt/preferences.d"
	printf '%s\n' "$preferences" >"$work/extra/etc/apt/preferences.d/ekho"
	for entry in /etc/apt/auth.conf /etc/apt/auth.conf.d; do
		[[ ! -e $entry ]] || cp -a "$entry" "$work/extra/etc/apt/"
	done
	# Certificates that apt's settings name by path have to be there too.
	sed -n 's/.*::\(CaInfo\|SslCert\|SslKey\) "\(\/[^"]*\)";/\2/Ip' "$work/apt.conf" |
		while read -r entry; do
			mkdir -p "$work/extra$(dirname "$entry")"
			cp -L "$entry" "$work/extra$entry"
		done
	chmod 755 "$work"

	# In namespaces of its own, so that neither its mounts nor its processes
	# outlive an interrupted set-up.
	EXTRA=$work/extra unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
		mmdebstrap --mode=root --variant=apt --architectures=amd64 \
		--aptopt="$work/apt.conf" \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--setup-hook='cp -a "$EXTRA/." "$1/"' \
		--include="$(IFS=, && printf '%s' "${packages[*]}")" \
		"$suite" "$EKHO_ROOT" "$work/sources"
	chroot "$EKHO_ROOT" dpkg-query -Wf '${Package} ${Version}\n' \
		rustc rust-src bindgen gcc clang pahole >"$EKHO_ROOT/.toolchain"
}

in_root() {
	EKHO_LOCKED=1 "$EKHO_LAB/enter" "$@"
}

# --------------------------------------------------------------- the tools ----

# What the kernel's own tests call, and nothing else in the lab: a layer of its own, so that
# a root that is there stays.
tools=(netsniff-ng ncat socat)

# Runs in the root. Only files: nothing of these needs its maintainer's scripts.
fetch_tools() {
	local into=$1 deb
	shift
	cd "$into"
	mkdir -p archives/partial files
	apt-get -qq -o APT::Sandbox::User=root update
	apt-get -qq -o APT::Sandbox::User=root -o "Dir::Cache::archives=$into/archives" \
		install --download-only -y "$@"
	for deb in archives/*.deb; do
		dpkg-deb -x "$deb" files
	done
	rm -rf archives
	# A directory of this name would hide the root's link.
	for deb in bin sbin lib lib64; do
		[[ ! -e files/$deb ]]
	done
}

make_tools() {
	in_root bash -c "set -euo pipefail; $(declare -f fetch_tools); fetch_tools \"\$@\"" \
		fetch_tools "$EKHO_TOOLS" "${tools[@]}"
}

# -------------------------------------------------------------- the kernel ----

# Runs in the root. The newest kernel of the series for which the archive has a
# source package of the very same version: the metadata must be of that source.
fetch_kernel() {
	local series=$1 into=$2 source modules name version want binary
	source=linux-source-$(cut -d. -f1,2 <<<"$series")
	apt-get -qq -o APT::Sandbox::User=root update
	while read -r modules; do
		name=${modules#linux-modules-}
		version=$(apt-cache madison "linux-headers-$name" | awk -F' *[|] *' 'NR == 1 { print $2 }')
		want=$(apt-cache madison "$source" | awk -F' *[|] *' -v v="$version" '$2 == v { print $2 }' | sort -u)
		[[ -n $version && $want == "$version" ]] || continue
		for binary in "linux-binary-$name" "linux-binary-unsigned-$name"; do
			[[ -z $(apt-cache madison "$binary") ]] || break
		done
		echo "kernel $name, version $version"
		cd "$into"
		apt-get -qq -o APT::Sandbox::User=root download \
			"$binary=$version" "$modules=$version" "linux-headers-$name=$version" "$source=$version"
		mkdir files headers
		dpkg-deb -x "$binary"_*.deb files
		dpkg-deb -x "$modules"_*.deb files
		# These become a layer over the root, where /lib is a link; depmod looks
		# there, and a directory of that name would hide the root's.
		if [[ -d files/lib ]]; then
			mkdir -p files/usr/lib
			mv files/lib/* files/usr/lib/
			rmdir files/lib
		fi
		ln -s usr/lib files/lib
		depmod -b files "$name"
		rm files/lib
		dpkg-deb -x "linux-headers-$name"_*.deb headers
		mv "headers/usr/src/linux-headers-$name"/{.config,Module.symvers,vmlinux} .
		rm -rf headers
		dpkg-deb --fsys-tarfile "$source"_*.deb |
			tar -xO --wildcards './usr/src/linux-source-*.tar.xz' >source.tar.xz
		rm -- *.deb
		echo "$name" >release
		return
	done < <(apt-cache pkgnames "linux-modules-$series" |
		grep -E "^linux-modules-${series//./\\.}(\.[0-9]+)*\+[^-]*-amd64$" | sort -rV)
	echo "Debian's archive has no kernel $series with its modules, headers and source of one version"
	echo "choose another series with EKHO_KERNEL=, for instance 7.2"
	return 1
}

make_packages() {
	in_root bash -c "set -euo pipefail; $(declare -f fetch_kernel); fetch_kernel \"\$@\"" \
		fetch_kernel "$EKHO_KERNEL" "$EKHO_KDIR/packages"
}

# Runs in the root. LOCALVERSION makes the module's vermagic the image's.
prepare_tree() {
	local from=$1 release version
	tar -xf "$from/source.tar.xz" --strip-components=1
	cp "$from/.config" .config
	version=$(make -s kernelversion)
	release=$(cat "$from/release")
	set -- "-j$(nproc)" "LOCALVERSION=${release#"$version"}"
	make "$@" olddefconfig
	# The same compiler goes by another name here; nothing else may differ.
	if ! diff -I '^CONFIG_CC_VERSION_TEXT=' "$from/.config" .config; then
		echo "the toolchain of the root isn't the one that this kernel was configured with"
		return 1
	fi
	make "$@" prepare
	make "$@" modules_prepare
	cp "$from/Module.symvers" "$from/vmlinux" .
	[[ $(cat include/config/kernel.release) == "$release" ]]
	[[ -e rust/libkernel.rmeta ]]
}

make_tree() {
	cd "$EKHO_KDIR/tree"
	in_root bash -c "set -euo pipefail; $(declare -f prepare_tree); prepare_tree \"\$@\"" \
		prepare_tree "$EKHO_KDIR/packages"
}

# Runs in the root. By clang, as Rust with KASAN is for clang only.
build_debug() {
	local source=$1 config=$2 into=$3 release missing
	tar -xf "$source" --strip-components=1
	set -- "-j$(nproc)" LLVM=1
	make "$@" KCONFIG_ALLCONFIG="$config" allnoconfig
	if missing=$(grep '^CONFIG_' "$config" | grep -vxFf .config); then
		printf '%s\n' "this kernel can't be configured as debug.config says; these lack something:" "$missing"
		return 1
	fi
	make "$@" bzImage modules
	release=$(cat include/config/kernel.release)
	make "$@" INSTALL_MOD_PATH="$into/files/usr" INSTALL_MOD_STRIP=1 modules_install
	cp arch/x86/boot/bzImage "$into/files/usr/lib/modules/$release/vmlinuz"
	rm -f "$into/files/usr/lib/modules/$release/build"
	# What modules are built with is headers, tools, Rust's metadata and the types
	# in vmlinux.
	find . -name '*.o' ! -path './tools/*' ! -path './scripts/*' -delete
	find . -name '*.a' ! -path './tools/*' -delete
	llvm-objcopy --strip-debug vmlinux
	rm -f vmlinux.unstripped arch/x86/boot/compressed/vmlinux*
	echo "$release" >"$into/release"
}

make_debug() {
	mkdir "$EKHO_KDIR/debug/tree" "$EKHO_KDIR/debug/files"
	cp "$debug_config" "$EKHO_KDIR/debug/config"
	cd "$EKHO_KDIR/debug/tree"
	in_root bash -c "set -euo pipefail; $(declare -f build_debug); build_debug \"\$@\"" \
		build_debug "$EKHO_KDIR/packages/source.tar.xz" "$EKHO_KDIR/debug/config" "$EKHO_KDIR/debug"
}

