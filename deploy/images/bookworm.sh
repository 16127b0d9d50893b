#!/usr/bin/env bash
# bookworm.sh: prints the path of an archive with a minimal Debian 12, which it makes when there is none yet.
#
# It is what the stand-in images are made of (stand-ins.sh). The mirror and the archive's key are those of this machine's own apt, and
# debootstrap takes root. Half a minute the first time; later ones find it below target/.
set -euo pipefail
cd "$(dirname "$0")/../.."

archive=$PWD/target/debootstrap/bookworm-minbase.tar
sources=/etc/apt/sources.list.d/debian.sources
mkdir -p "${archive%/*}"

# Whoever comes first makes it, the others wait.
exec 9>"$archive.lock"
flock 9
if [ ! -e "$archive" ]; then
    command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
    [ -e "$sources" ] || { echo "$sources is missing: this takes a Debian 12 with its standard sources" >&2; exit 1; }
    field() { awk -v key="$1:" '$1 == key { print $2; exit }' "$sources"; }
    root=$(mktemp -d "$archive.XXXXXX")
    trap 'rm -rf --one-file-system "$root"' EXIT
    debootstrap --variant=minbase --keyring="$(field Signed-By)" bookworm "$root" "$(field URIs)" >"$archive.log" 2>&1 ||
        { tail -n 20 "$archive.log" >&2; exit 1; }
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    tar -C "$root" -cf "$archive.new" .
    mv "$archive.new" "$archive"
fi
printf '%s\n' "$archive"
