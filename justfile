# Recipes for everyday work. `just ci` is what decides; the others are its parts, and more.

# List the recipes.
default:
    @just --list

# Format the code.
fmt:
    cargo fmt --all

# Lint everything as CI does.
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Run all tests; `just test lost_nodes` runs those whose name has it.
test filter="":
    cargo test --workspace {{filter}}

# Run the tests with nextest, which kills what hangs and names what leaks.
nextest *arguments:
    cargo nextest run --workspace {{arguments}}

# Fetch the servers that the tests run, if the system has none; the tests would do it too.
servers:
    testbed/unpack-deb.sh bullseye consul target/servers/consul
    testbed/unpack-deb.sh bookworm etcd-server target/servers/etcd
    testbed/unpack-deb.sh bookworm etcd-client target/servers/etcdctl
    testbed/unpack-deb.sh bookworm prometheus target/servers/promtool

# Judge the REST API by docs/openapi.json: thousands of requests, right ones and wrong ones, of a daemon of its own.
api:
    cargo build --release --bin dpipesd
    testbed/check-api.sh

# Build the documentation and fail on a broken link.
doc:
    RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --workspace --document-private-items

# Check licences, advisories and sources of the dependencies.
deny:
    cargo deny --locked check

# Everything that has to pass.
ci:
    .ci/run

# Compare with other programs on this machine, every figure or those named: `just bench dataplane one-hop lines`. With
# DPIPES_BENCH_ROUNDS it takes shorter. The other benches are memory, placement, objects, json and yaml.
bench name="dataplane" *figures:
    cargo bench --bench {{name}} -- {{figures}}

# Fuzz one target for a minute; without a name, list them.
fuzz target="" seconds="60":
    {{ if target == "" { "cargo +nightly fuzz list" } else { "cargo +nightly fuzz run " + target + " -- -max_total_time=" + seconds } }}

# Write the man pages and completions to target/man and target/completions.
man:
    mkdir -p target/man target/completions
    cargo run --quiet --bin dpipes -- man target/man
    for shell in bash zsh fish; do cargo run --quiet --bin dpipes -- completions $shell > target/completions/dpipes.$shell; done

# Build the Debian package in target/deb; `just deb-test` tries it under systemd in a container, which takes root and Docker.
deb:
    deploy/deb/build.sh

# Install the package of `just deb` on a Debian that systemd has booted, and try it.
deb-test:
    deploy/deb/test.sh

# Bring up the test bed with each profile and ill-treat it. Without a network, make its base images first: deploy/images/stand-ins.sh build
bed filter="":
    cargo test --test compose -- {{filter}}

# Three nodes on this machine, a pipe over them, and away with them.
demo:
    cargo build --release --bins
    PATH="$PWD/target/release:$PATH" bash -ec 'trap "dpipes lab down" EXIT; dpipes lab up 3; dpipes nodes; dpipes check "seq 100000 | sort -r | head -n 3"; dpipes --print-status "seq 100000 | sort -r | head -n 3"'
