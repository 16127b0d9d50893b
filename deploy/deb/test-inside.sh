#!/bin/bash
# test-inside.sh: what the package promises, tried on a Debian 12 that systemd has booted. test.sh runs it in a container that is thrown away.
set -uo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

# Longest time for anything to happen; the slowest thing waited for is the watchdog, which takes three seconds here.
readonly PATIENCE=60
readonly SOCKET=unix:/run/dpipes/dpipesd.sock
readonly UNIT=dpipesd.service

fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
ok() { printf 'ok: %s\n' "$*"; }
# expect WHAT COMMAND...: the command has to succeed.
expect() { local what=$1; shift; "$@" || fail "$what ($*: status $?)"; ok "$what"; }
# refuse WHAT COMMAND...: the command has to fail.
refuse() { local what=$1; shift; if "$@" >/dev/null 2>&1; then fail "$what ($* succeeded)"; fi; ok "$what"; }
# await WHAT COMMAND...: the command has to succeed at last.
await() {
    local what=$1 until=$((SECONDS + PATIENCE))
    shift
    until "$@"; do [ "$SECONDS" -lt "$until" ] || fail "$what ($*)"; sleep 0.1; done
    ok "$what"
}
property() { systemctl show --property "$1" --value "$UNIT"; }
is_active() { [ "$(systemctl is-active "$UNIT")" = active ]; }
says() { [[ "$(property StatusText)" == *"$1"* ]]; }
as() { su "$1" -s /bin/bash -c "$2"; }
prints() { local wanted=$1 printed; shift; printed=$("$@") && [ "$printed" = "$wanted" ] || { printf 'it printed: %s\n' "$printed"; return 1; }; }
apt_get() { apt-get -qq "$@" >/root/apt.log 2>&1 || { cat /root/apt.log >&2; return 1; }; }
nothing_of() { [ -z "$(find /proc -maxdepth 1 -user "$1" 2>/dev/null)" ]; }
at_least() { [ "$(ls /srv/up | wc -l)" -ge "$1" ]; }
# Every file that is there, but for what apt and the journal write anyway, and the backups of the list of users.
files() { find / -xdev \( -path /proc -o -path /sys -o -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg \
    -o -path '/etc/*-' -o -path /etc/.pwd.lock -o -path /home -o -path /srv -o -path /var/lib/systemd/random-seed \) -prune -o -print | sort; }

files >/root/before

# === Install

expect "it installs without anything from the network" apt_get install /root/dpipes.deb
expect "it is started" is_active
expect "and will be at the next boot" systemctl --quiet is-enabled "$UNIT"
await "systemctl status says where it listens" says "listening on $SOCKET"
expect "systemd has nothing to say about the unit" prints "" systemd-analyze verify --man=no "$UNIT"
expect "the configuration is right" dpipesd config check
refuse "no TCP port is listened on" grep -q " 0A " /proc/net/tcp /proc/net/tcp6

# === Who may use it

useradd --create-home ann && useradd --create-home bob && usermod --append --groups dpipes-users ann
expect "a member of dpipes-users runs pipes, as the user dpipes" prints dpipes as ann "dpipes run --connect $SOCKET 'id -un | cat'"
refuse "somebody else does not" as bob "dpipes run --connect $SOCKET true"
refuse "and an app does not either" as ann "dpipes run --connect $SOCKET 'dpipes run --connect $SOCKET true'"
expect "dpipes finds the socket by itself" prints $'3\n2\n1' as ann "dpipes 'seq 3 | sort -r'"

# === Reload

mkdir /etc/dpipesd.conf.d
printf 'apps: { true: {}, dpipes-no-such: {} }\n' >/etc/dpipesd.conf.d/own.yaml
main=$(property MainPID)
expect "systemctl reload" systemctl reload "$UNIT"
await "what was reloaded is in force" eval '! as ann "dpipes run --connect $SOCKET id" >/dev/null 2>&1'
printf 'nonsense: yes\n' >/etc/dpipesd.conf.d/own.yaml
refuse "systemctl reload fails where the configuration is wrong" systemctl reload "$UNIT"
expect "and the daemon goes on" prints "$main" property MainPID
printf 'drain-timeout: 3s\n' >/etc/dpipesd.conf.d/own.yaml
expect "systemctl reload after it was mended" systemctl reload "$UNIT"
await "and everything may be run again" as ann "dpipes run --connect $SOCKET id >/dev/null 2>&1"

# === What goes wrong

mkdir --mode 777 /srv/up
cat >/usr/local/bin/note-end <<'STAGE'
#!/usr/bin/perl
# Leaves a file when it is up, and another one if it sees the end of its input.
open U, ">/srv/up/$ARGV[0]"; close U;
while (sysread STDIN, $b, 65536) {}
open E, ">/srv/up/end-$ARGV[0]"; close E;
STAGE
chmod 755 /usr/local/bin/note-end
expect "a stage notes a true end" as ann "dpipes run --connect $SOCKET 'true | note-end control' && test -e /srv/up/end-control"
rm /srv/up/*

# Input that never ends, from the client: when the daemon dies, only the keeper holds it open. Enough pipes that some are killed noticeably
# later than others; with KillMode=mixed some of these stages saw a false end.
readonly PIPES=20
mkfifo --mode 666 /srv/endless
for ((pipe = 0; pipe < PIPES; pipe++)); do
    as ann "dpipes run --connect $SOCKET 'note-end $pipe | cat' 0<>/srv/endless" >/dev/null 2>&1 &
done
await "$PIPES pipes run" at_least "$PIPES"
main=$(property MainPID)
kill -KILL "$main"
wait
expect "after SIGKILL no stage saw a false end" prints "" find /srv/up -name 'end-*'
await "and the daemon is back" eval 'is_active && [ "$(property MainPID)" != "$main" ]'
await "without anything of the old one" nothing_of dpipes
rm /srv/up/*

mkdir --parents /run/systemd/system/$UNIT.d
printf '[Service]\nWatchdogSec=3\n' >/run/systemd/system/$UNIT.d/test.conf
systemctl daemon-reload
expect "systemctl restart" systemctl restart "$UNIT"
as ann "dpipes run --connect $SOCKET 'note-end 1' 0<>/srv/endless" >/dev/null 2>&1 &
await "a pipe runs" at_least 1
main=$(property MainPID)
kill -STOP "$main"
await "a daemon that hangs is started again" eval '[ "$(property MainPID)" != "$main" ] && is_active'
expect "by the watchdog" journalctl --quiet --unit "$UNIT" --grep "Watchdog timeout" --output cat
wait
await "and its pipe is gone" nothing_of dpipes
expect "without a false end" prints "" find /srv/up -name 'end-*'
rm -f /srv/up/* /run/systemd/system/$UNIT.d/test.conf
systemctl daemon-reload
expect "systemctl restart" systemctl restart "$UNIT"

# === Stop

as ann "dpipes run --connect $SOCKET 'sh -c \"touch /srv/up/1; until test -e /srv/go; do sleep 0.1; done; echo end\" | cat'" >/root/drained &
client=$!
await "a pipe runs" at_least 1
systemctl stop --no-block "$UNIT"
await "systemctl status says that it leaves" says leaving
touch /srv/go
expect "the pipe ends as if nothing had happened" wait "$client"
expect "with all of its output" prints end cat /root/drained
await "then the daemon is gone" eval '[ "$(systemctl is-active $UNIT)" = inactive ]'

expect "systemctl start" systemctl start "$UNIT"
rm -f /srv/up/*
as ann "dpipes run --connect $SOCKET 'sh -c \"touch /srv/up/1; exec sleep 600\"'" >/dev/null 2>&1 &
client=$!
await "a pipe runs" at_least 1
expect "systemctl stop" systemctl stop "$UNIT"
refuse "a pipe that takes longer than drain-timeout fails" wait "$client"
expect "no process of an app is left" nothing_of dpipes
expect "and no control group" test ! -e /sys/fs/cgroup/system.slice/$UNIT
expect "and nothing in /run" test ! -e /run/dpipes
expect "the service did not fail" prints success property Result

# === Drop-ins

mkdir --parents /etc/systemd/system/$UNIT.d /etc/dpipes
cp /usr/share/doc/dpipes/examples/$UNIT.d/*.conf /etc/systemd/system/$UNIT.d/
install -m 600 /dev/stdin /etc/dpipes/consul.token <<<secret
systemctl daemon-reload
expect "systemd has nothing to say about the drop-ins" prints "" systemd-analyze verify --man=no "$UNIT"
expect "it starts with them" systemctl start "$UNIT"
expect "pipes run under strict.conf" prints $'3\n2\n1' as ann "dpipes run --connect $SOCKET 'seq 3 | sort -r'"
refuse "and cannot write where they otherwise may" as ann "dpipes run --connect $SOCKET 'touch /srv/up/x'"
expect "the daemon has the credential" prints secret cat /run/credentials/$UNIT/consul.token
refuse "apps do not" as ann "dpipes run --connect $SOCKET 'cat /run/credentials/$UNIT/consul.token'"
systemd-analyze security --no-pager "$UNIT" | tail -n 1
rm -r /etc/systemd/system/$UNIT.d /etc/dpipes
systemctl daemon-reload
systemctl restart "$UNIT"

# === Upgrade and away

main=$(property MainPID)
expect "it is installed over itself" apt_get install --reinstall /root/dpipes.deb
expect "and runs anew" eval 'is_active && [ "$(property MainPID)" != "$main" ]'
expect "remove" apt_get remove dpipes
expect "the service is gone" test ! -e /sys/fs/cgroup/system.slice/$UNIT
expect "the configuration stays" test -e /etc/dpipesd.conf
expect "purge" apt_get purge dpipes
expect "the configuration is gone" test ! -e /etc/dpipesd.conf
expect "what somebody else wrote is not" test -e /etc/dpipesd.conf.d/own.yaml
rm -r /etc/dpipesd.conf.d /usr/local/bin/note-end
files >/root/after
expect "nothing else is left" diff <(grep -v '^/root/' /root/before) <(grep -v '^/root/' /root/after)
expect "systemd runs without a failed unit" prints running systemctl is-system-running
