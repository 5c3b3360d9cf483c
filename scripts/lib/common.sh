# What scripts/run, scripts/test and scripts/bench-vs-etcd share. To be sourced, not run.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Shared by all clones on a machine: test peers, API servers and Python's packages are large and slow to make.
cache=${MARTLET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/martlet}
export MARTLET_CACHE=$cache

# What Swift's compiler and linker use of Debian, and the library that the server speaks HTTP/2 with.
build_packages=(git pkg-config binutils gcc libc6-dev libgcc-12-dev libstdc++-12-dev libncurses6 libxml2 zlib1g-dev libnghttp2-dev libyaml-dev libprotobuf-c-dev libssl-dev libsodium-dev)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Runs a command as root, if that takes anything.
as_root() {
  if ((EUID == 0)); then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "not root and no sudo; as root run: $*"
  fi
}

# Installs those of the Debian packages that are missing.
need_packages() { # PACKAGE...
  command -v dpkg-query >/dev/null || return 0  # Not Debian: what is missing will tell.
  local package missing=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  say "installing ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { as_root apt-get -qq update && as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}"; } ||
    die "cannot install ${missing[*]}"
}

# The tools of Swift leave an empty directory behind in TMPDIR each time they run: give them one that goes with them.
run_swift() {
  local directory status=0
  directory=$(mktemp -d)
  TMPDIR=$directory swift "$@" || status=$?
  rm -rf "$directory"
  return "$status"
}

# Finds Swift 6.3 or later, and what it takes to build with it; one in /opt/swift need not be in PATH.
need_swift() {
  need_packages "${build_packages[@]}"
  local place
  for place in /opt/swift/usr/bin /opt/swift/bin; do
    command -v swift >/dev/null || { [[ -x $place/swift ]] && PATH=$PATH:$place; }
  done
  command -v swift >/dev/null ||
    die "no swift in PATH: get Swift 6.3 for Debian 12 from swift.org/install, unpack it to /opt/swift, run this again"
  local version
  version=$(run_swift --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+\.[0-9]+).*/\1/p' | head -n1)
  [[ $(printf '%s\n' 6.3 "$version" | sort -V | head -n1) == 6.3 ]] || die "Swift $version is too old: 6.3 or later is needed"
}

# Builds an executable for use; prints nothing when there is nothing to do.
build_product() { # NAME
  need_swift
  local log=$repository/.build/release-build.log
  mkdir -p "$repository/.build"
  [[ -x $repository/.build/release/$1 ]] || say "building $1 (some minutes the first time)"
  # Run-time checks of exclusive access stay on in debug builds, where the tests run; on the request path they are
  # a twentieth of a call and two thirds of a watch event's fan-out.
  if ! run_swift build --package-path "$repository" -c release --static-swift-stdlib -Xswiftc -enforce-exclusivity=unchecked \
    --product "$1" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    die "the build failed (all of its output: $log)"
  fi
}

# Builds the server for use. The path is left in $server.
build_server() {
  build_product martlet
  server=$repository/.build/release/martlet
}

# A Python with the packages that the end-to-end tests need; its path is left in $python.
need_python() {
  local base=${PYTHON:-python3} requirements=$repository/Tests/EndToEnd/requirements.txt
  command -v "$base" >/dev/null && "$base" -c 'import ensurepip, venv' 2>/dev/null || need_packages python3 python3-venv
  local key
  key=$({ "$base" -c 'import sys; print(sys.version, sys.prefix)'; cat "$requirements"; } | sha256sum | cut -c1-12)
  local venv=$cache/python-$key
  python=$venv/bin/python
  [[ -f $venv/.complete ]] && return
  say "making a Python environment in $venv"
  mkdir -p "$cache"
  (
    flock 9
    [[ -f $venv/.complete ]] && exit 0
    rm -rf "$venv"
    "$base" -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check --use-pep517 -r "$requirements" && touch "$venv/.complete"
  ) 9>"$cache/.python.lock" || die "cannot install $requirements"
}
