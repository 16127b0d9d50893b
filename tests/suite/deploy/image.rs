//! The image and the test bed: what stands in several files says the same in all of them. The bed itself is run by `tests/compose`.

use std::{fs, path::Path};

use super::text_of;

fn at_the_root(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_image_is_built_with_the_toolchain_of_the_repository() {
    let pinned = at_the_root("rust-toolchain.toml");
    let channel = pinned
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .unwrap();
    let channel = channel.trim_matches('"');
    let minor = channel.rsplit_once('.').unwrap().0;
    let dockerfile = text_of("Dockerfile");
    assert!(
        dockerfile.contains(&format!("FROM rust:{minor}-bookworm ")),
        "Dockerfile and {channel}"
    );
}

/// The dependencies are built from the manifests with an empty program for each target; one that is missing there would fail the build.
#[test]
fn the_image_knows_every_target_of_the_manifest() {
    let dockerfile = text_of("Dockerfile");
    let manifest = at_the_root("Cargo.toml");
    let targets = manifest.split("[[").filter_map(|section| {
        let kind = section.split_once("]]")?.0;
        let name = section
            .lines()
            .find_map(|line| line.strip_prefix("name = "))?;
        let name = name.trim_matches('"');
        match kind {
            "bench" => Some(format!("benches/{name}")),
            "test" => Some(format!("tests/{name}/main")),
            _ => None,
        }
    });
    let mut count = 0;
    for target in targets {
        assert!(
            dockerfile.contains(&target),
            "{target} is not in the Dockerfile"
        );
        count += 1;
    }
    assert!(count > 3, "the manifest is read");
}

#[test]
fn the_bed_gives_a_leaving_node_longer_than_the_longest_drain() {
    let compose: serde_yaml::Value =
        serde_yaml::from_str(&at_the_root("docker-compose.yml")).unwrap();
    let node = &compose["x-node"];
    assert_eq!(node["stop_grace_period"].as_str(), Some("40s"));
    let uid = "3747";
    assert!(text_of("Dockerfile").contains(&format!("--uid {uid}")));
    let socket = node["tmpfs"][0].as_str().unwrap();
    assert!(socket.starts_with("/run/dpipes:") && socket.contains(&format!("uid={uid}")));
}
