#!/usr/bin/env bash
# Judges the REST API by its own document: schemathesis makes requests of all kinds from docs/openapi.json, right ones and wrong ones, and sees
# whether each answer is one that the document allows. The daemon that is asked offers a few harmless programs and nothing else.
#
# usage: testbed/check-api.sh [PATH-OF-DPIPESD]
set -euo pipefail
cd "$(dirname "$0")/.."

# What was tried; a newer one finds other things, and is not to hold up who has nothing to do with it.
readonly SCHEMATHESIS=schemathesis==4.32.5
daemon=$(realpath "${1:-target/release/dpipesd}")
tools=$PWD/target/servers/schemathesis
[ -x "$tools/bin/schemathesis" ] || python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$tools" "$SCHEMATHESIS"

work=$(mktemp -d)
pid=
finish() {
    [ -z "$pid" ] || { kill "$pid" && wait "$pid"; } || true
    rm -rf "$work"
}
trap finish EXIT
cat >"$work/dpipesd.yaml" <<END
listen: ["127.0.0.1:0"]
access: local
run: { allow-root: true, max-processes: 64 }
apps: { seq: {}, sort: {}, uniq: {}, cat: {}, head: {} }
rest: { listen: ["127.0.0.1:0"], token-file: token }
END
DPIPES_RUNTIME_DIR=$work/run "$daemon" --foreground --config "$work/dpipesd.yaml" >"$work/log" 2>&1 &
pid=$!
for _ in {1..100}; do
    url=$(grep -o 'http://127\.0\.0\.1:[0-9]*' "$work/log" || true)
    [ -z "$url" ] || break
    sleep 0.1
done
[ -n "$url" ] || { cat "$work/log"; exit 1; }
cp docs/openapi.json testbed/schemathesis.toml "$work"
cd "$work"
status=0
PYTHONPATH=$tools "$tools/bin/schemathesis" --config-file schemathesis.toml run openapi.json --url "$url" --phases examples,coverage,fuzzing \
    --max-examples 30 --request-timeout 30 --seed 1 --header "Authorization: Bearer $(cat token)" || status=$?
kill -0 "$pid" || { echo "the daemon is gone"; cat log; exit 1; }
! grep -n panicked log || exit 1
exit "$status"
