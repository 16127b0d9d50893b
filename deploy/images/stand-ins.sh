#!/usr/bin/env bash
# stand-ins.sh build | remove: images that stand in for the published ones where none can be pulled.
#
# deploy/Dockerfile and docker-compose.yml name published images. Where there is a network, leave this script alone: the engine pulls them.
# Without one, `build` makes images of the same names from Debian's packages, this machine's Rust toolchain and the crates that cargo has
# fetched already, so that exactly the files that everybody uses can be tried. An image of such a name that is already there is used as it
# is. `remove` takes away what `build` has made and nothing else.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly LABEL=org.dpipes.stand-in
# What the stand-ins are called is read from the files that use them.
image_of() { grep -ohE "^(FROM| *image:) +$1" deploy/Dockerfile docker-compose.yml | awk 'NR == 1 { print $2 }'; }
DEBIAN=$(image_of 'debian:[a-z0-9.-]+')
RUST=$(image_of 'rust:[a-z0-9.-]+')
CONSUL=$(image_of '[a-z./]*consul:[a-z0-9.-]+')
ETCD=$(image_of '[a-z./]*etcd:[a-z0-9.-]+')

is_there() { [ -n "$(docker images --quiet "$1")" ]; }

# import DIR IMAGE CHANGE...: an image of one layer from a directory.
import() {
    local root=$1 image=$2 changes=() change
    shift 2
    for change in "LABEL $LABEL=true" "$@"; do changes+=(--change "$change"); done
    tar -C "$root" -c . | docker import "${changes[@]}" - "$image" >/dev/null
    printf 'stand-in: %s\n' "$image"
}

# unpacked SUITE PACKAGE NAME: the directory with a package, below target/servers like those of the tests.
unpacked() {
    local into=target/servers/$3
    [ -d "$into/usr" ] || testbed/unpack-deb.sh "$1" "$2" "$into"
    printf '%s\n' "$into"
}

fresh_debian() { rm -rf "$work/root"; mkdir "$work/root"; tar -C "$work/root" -xf "$minbase"; }

build_rust() {
    local root=$work/root toolchain cargo_home=${CARGO_HOME:-$HOME/.cargo}
    toolchain=$(rustc --print sysroot)
    fresh_debian
    cp /etc/resolv.conf "$root/etc/"
    cp /etc/apt/sources.list.d/debian.sources "$root/etc/apt/sources.list.d/"
    rm -f "$root/etc/apt/sources.list"
    chroot "$root" sh -ec 'export DEBIAN_FRONTEND=noninteractive; apt-get -qq update
        apt-get -qq install -y --no-install-recommends gcc g++ libc6-dev make; rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb' \
        >"$work/rust.log" 2>&1 || { tail -n 20 "$work/rust.log" >&2; return 1; }
    # Cargo's home has the same path as on this machine: what was compiled there is good for sources of the same path only.
    local home=$root$cargo_home there=$root/usr/local/rustup/toolchains/${toolchain##*/} tool
    mkdir -p "$home/bin" "$home/registry" "$there"
    cp -a "$toolchain/bin" "$toolchain/lib" "$there/"
    rm -rf "$there"/lib/rustlib/src
    for tool in cargo rustc; do ln -s "/usr/local/rustup/toolchains/${toolchain##*/}/bin/$tool" "$home/bin/$tool"; done
    # The crates come from the machine, for a container has no network here.
    cargo fetch --quiet --locked
    cp -a "$cargo_home/registry/index" "$cargo_home/registry/cache" "$home/registry/"
    printf '[net]\noffline = true\n' >"$home/config.toml"
    # What this machine has compiled of them need not be compiled again; cargo finds out by itself whether it fits.
    if [ -d target/release/deps ]; then
        mkdir -p "$root/src/target/release"
        cp -a target/release/{.fingerprint,build,deps} "$root/src/target/release/"
        find "$root/src/target/release" -depth -name '*dpipes*' -exec rm -rf {} +
    fi
    import "$root" "$RUST" "ENV CARGO_HOME=$cargo_home" "ENV PATH=$cargo_home/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

build_consul() {
    fresh_debian
    install -m 755 "$(unpacked bullseye consul consul)/usr/bin/consul" "$work/root/bin/consul"
    # The published one's entry point hands its words to consul, too.
    printf '#!/bin/sh\nexec consul "$@"\n' >"$work/root/bin/docker-entrypoint.sh"
    chmod 755 "$work/root/bin/docker-entrypoint.sh"
    import "$work/root" "$CONSUL" 'ENTRYPOINT ["/bin/docker-entrypoint.sh"]' 'CMD ["agent", "-dev", "-client", "0.0.0.0"]'
}

build_etcd() {
    fresh_debian
    install -m 755 "$(unpacked bookworm etcd-server etcd)/usr/bin/etcd" "$(unpacked bookworm etcd-client etcdctl)/usr/bin/etcdctl" \
        "$work/root/usr/local/bin/"
    import "$work/root" "$ETCD" 'ENV ETCDCTL_API=3' 'CMD ["/usr/local/bin/etcd"]'
}

build() {
    minbase=$(deploy/images/bookworm.sh)
    work=$(mktemp -d "$PWD/target/stand-ins.XXXXXX")
    trap 'rm -rf --one-file-system "$work"' EXIT
    if ! is_there "$DEBIAN"; then fresh_debian; import "$work/root" "$DEBIAN" 'CMD ["bash"]'; fi
    is_there "$RUST" || build_rust
    is_there "$CONSUL" || build_consul
    is_there "$ETCD" || build_etcd
}

remove() {
    local images
    images=$(docker images --quiet --filter "label=$LABEL=true" | sort -u)
    # shellcheck disable=SC2086 # one word for each image
    [ -z "$images" ] || docker rmi --force $images >/dev/null
}

case ${1-} in
    build | remove) docker version >/dev/null || { echo "the Docker engine does not answer: is it started?" >&2; exit 1; }; "$1" ;;
    *) echo "usage: $0 build | remove" >&2; exit 2 ;;
esac
