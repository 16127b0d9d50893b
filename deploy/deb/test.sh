#!/usr/bin/env bash
# test.sh: installs the package that build.sh made on a Debian 12 that systemd has booted in a container, and tries what the package promises.
#
# Takes root, Docker and the network that this machine's apt has; what is tried is in test-inside.sh. Every container, image and control group
# it made is gone afterwards.
set -euo pipefail
cd "$(dirname "$0")/../.."

# A second boot is enough where nothing else runs; on a busy machine it takes many.
readonly BOOT_LIMIT=90
readonly name=dpipes-deb-test-$$
# Where the host's version 2 control groups are no part of the container yet, it gets a branch of them under its name.
cgroups=""

cleanup() {
    docker rm --force "$name" >/dev/null 2>&1 || true
    docker rmi --force "$name:base" "$name:systemd" >/dev/null 2>&1 || true
    [ -n "$cgroups" ] || return 0
    if mount -t cgroup2 none "$cgroups"; then
        [ ! -d "$cgroups/$name" ] || find "$cgroups/$name" -depth -type d -exec rmdir {} +
        umount "$cgroups"
    fi
    rmdir "$cgroups"
}
trap cleanup EXIT

packages=(target/deb/dpipes_*.deb)
[ "${#packages[@]}" -eq 1 ] && [ -e "${packages[0]}" ] || { echo "no package in target/deb: run deploy/deb/build.sh" >&2; exit 1; }
docker info >/dev/null || { echo "this takes a running Docker Engine" >&2; exit 1; }

archive=$(deploy/images/bookworm.sh)
docker import "$archive" "$name:base" >/dev/null
# Some of what systemd's own packages suggest is not there, so that the package cannot count on it.
docker run --name "$name" --network host "$name:base" sh -ec 'export DEBIAN_FRONTEND=noninteractive; apt-get -qq update
    apt-get -qq install --no-install-recommends systemd systemd-sysv dbus' >target/deb/systemd.log 2>&1 ||
    { tail -n 20 target/deb/systemd.log >&2; exit 1; }
docker commit "$name" "$name:systemd" >/dev/null
docker rm "$name" >/dev/null

# systemd wants the version 2 tree writable, and for itself; what Docker mounts is read-only, or version 1. Mounts are shared as on a machine,
# or else services do not see their credentials.
[ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] || cgroups=$(mktemp -d)
readonly INIT='
    mount --make-rshared /
    if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
        mount -o remount,rw /sys/fs/cgroup
        exec /sbin/init
    fi
    mkdir /tmp/v2 && mount -t cgroup2 none /tmp/v2 && mkdir "/tmp/v2/$0" && echo $$ >"/tmp/v2/$0/cgroup.procs"
    exec unshare --cgroup sh -ec "umount /tmp/v2; umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec /sbin/init"'
# No --privileged: systemd does without most of that, and not every host has it all to give.
docker run --detach --name "$name" --network none --cgroupns private --cap-add SYS_ADMIN --cap-add SYS_PTRACE \
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined --tmpfs /run --tmpfs /run/lock --tmpfs /tmp:exec \
    --env container=docker --volume "$PWD/deploy/deb/test-inside.sh:/root/test-inside.sh:ro" \
    --volume "$PWD/${packages[0]}:/root/dpipes.deb:ro" "$name:systemd" sh -ec "$INIT" "$name" >/dev/null

state=""
for ((waited = 0; waited < BOOT_LIMIT * 5; waited++)); do
    state=$(docker exec "$name" systemctl is-system-running 2>/dev/null || true)
    [ "$state" != running ] || break
    sleep 0.2
done
[ "$state" = running ] || { docker exec "$name" systemctl --failed >&2 || true; echo "systemd is ${state:-not there} after $BOOT_LIMIT s" >&2; exit 1; }

docker exec "$name" bash /root/test-inside.sh ||
    { docker exec "$name" journalctl --unit dpipesd --no-pager --lines 60 >&2 || true; exit 1; }
