#!/usr/bin/env bash
# Puts Debian 12's etcdctl (3.4) into DEST/usr/bin, unpacked from the package without installing it.
#
# usage: fetch-debian12-etcdctl.sh DEST
set -euo pipefail

die() { printf '%s: error: %s\n' "${0##*/}" "$*" >&2; exit 1; }
[[ $# == 1 && $1 != -* ]] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
[[ -x $1/usr/bin/etcdctl ]] && exit 0
(. /etc/os-release && [[ ${VERSION_CODENAME:-} == bookworm ]]) || die "this system is not Debian 12"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
apt-get -qq -o APT::Sandbox::User=root download etcd-client 2>/dev/null ||
  { apt-get -qq update && apt-get -qq -o APT::Sandbox::User=root download etcd-client; } || die "apt has no etcd-client"
mkdir root
dpkg-deb -x etcd-client_*.deb root
cd - >/dev/null
mkdir -p "$(dirname "$1")"
rm -rf "$1"
mv "$work/root" "$1"
