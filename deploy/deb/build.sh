#!/usr/bin/env bash
# build.sh: builds the Debian package with the release binaries and prints its path. What is built already is not built again.
#
# It links with the C library of this machine, so a package for Debian 12 and later is built on Debian 12.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Checked with its output below: a new one may lay out the package differently.
readonly CARGO_DEB=3.8.0
readonly TOOLS=$PWD/target/tools/cargo-deb-$CARGO_DEB

# Without optimisation it compiles in half a minute, a third of the time, and then works for ten seconds. `xz` compresses.
[ -x "$TOOLS/bin/cargo-deb" ] || CARGO_TARGET_DIR=$PWD/target/tools/build cargo install --quiet --debug --no-default-features --locked \
    --version "$CARGO_DEB" --root "$TOOLS" cargo-deb >&2
rm -rf target/tools/build

cargo build --release --locked --bins >&2

# What the package holds besides files of the repository.
rm -rf target/deb && mkdir -p target/deb/man
target/release/dpipes man target/deb/man >&2
gzip -9n target/deb/man/*
for shell in bash zsh fish; do target/release/dpipes completions "$shell" >"target/deb/dpipes.$shell"; done
gzip -9nc CHANGELOG.md >target/deb/changelog.gz

# The same sources make the same package.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH
PATH=$TOOLS/bin:$PATH cargo deb --quiet --no-build --locked --output target/deb/
