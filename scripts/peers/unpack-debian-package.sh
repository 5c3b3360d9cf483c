#!/usr/bin/env bash
# Puts the files of a package of this system's own Debian archive into DEST without installing it: no service is started, no user is made, root
# is not needed.
#
# usage: unpack-debian-package.sh PACKAGE DEST
set -euo pipefail

die() { printf '%s: error: %s\n' "${0##*/}" "$*" >&2; exit 1; }
[[ $# == 2 && $1 != -* ]] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
[[ -f $2/.complete ]] && exit 0
command -v dpkg-deb >/dev/null || die "this needs Debian or a system derived from it"

mkdir -p "$(dirname "$2")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
# Lists are only brought up to date where there are none with the package: that takes root.
apt-get -qq -o APT::Sandbox::User=root download "$1" 2>/dev/null ||
  { apt-get -qq update && apt-get -qq -o APT::Sandbox::User=root download "$1"; } || die "apt has no $1"
mkdir root
dpkg-deb -x "$1"_*.deb root
touch root/.complete
cd - >/dev/null
rm -rf "$2"
mv "$work/root" "$2"
