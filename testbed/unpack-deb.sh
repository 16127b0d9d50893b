#!/usr/bin/env bash
# unpack-deb.sh SUITE PACKAGE DEST: unpacks one package of a Debian suite into a directory.
#
# For servers that the tests run and the system need not have. /etc/apt and the package database stay untouched and no service starts. The
# mirror and the archive's key are the ones that this machine's own apt uses; only the suite is another.
set -euo pipefail

suite=$1 package=$2 destination=$(realpath -m "$3")
sources=/etc/apt/sources.list.d/debian.sources
[ -e "$sources" ] || { printf '%s is missing: this takes a Debian 12 with its standard sources\n' "$sources" >&2; exit 1; }
field() { awk -v key="$1:" '$1 == key { print $2; exit }' "$sources"; }

state=$destination/.apt
mkdir -p "$state"/{sources,lists/partial,cache/archives/partial}
trap 'rm -rf "$state"' EXIT
printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$(field URIs)" "$suite" "$(field Signed-By)" \
    >"$state/sources/suite.sources"
options=(
    -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$state/sources" -o Dir::Etc::preferencesparts=/dev/null
    -o Dir::State::lists="$state/lists" -o Dir::Cache="$state/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root
)
apt-get "${options[@]}" -qq update
cd "$state/cache"
apt-get "${options[@]}" -qq download "$package/$suite"
dpkg -x "$package"_*.deb "$destination"
