//! Registries as one word, and what Consul's environment adds to them.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use dpipes_discovery::{Secret, consul};
use proptest::prelude::*;

use super::*;
use crate::{
    config::{error::ConfigError, file::File, layers::Layers, paths::Surroundings},
    daemon::settings::RegistrySettings,
};

fn settings_of(text: &str) -> RegistrySettings {
    let entry =
        RegistryEntry::from_text(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
    settings(vec![entry]).unwrap().remove(0)
}

#[test]
fn words_name_servers() {
    let consul = |text| match settings_of(text) {
        RegistrySettings::Consul(config) => config.address,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(consul("consul:"), "127.0.0.1:8500");
    assert_eq!(consul("consul://10.0.0.1:8500"), "http://10.0.0.1:8500");
    assert_eq!(consul("consul+http://h:1"), "http://h:1");
    assert_eq!(
        consul("consul+https://consul.example:8501"),
        "https://consul.example:8501"
    );
    assert_eq!(consul("consul://[::1]:8500"), "http://[::1]:8500");
    assert_eq!(
        consul("consul+unix:///run/consul.sock"),
        "unix:///run/consul.sock"
    );
    let etcd = |text| match settings_of(text) {
        RegistrySettings::Etcd(config) => (config.endpoints.join(" "), config.prefix),
        other => panic!("{text}: {other:?}"),
    };
    let usual = "/dpipes/v1/";
    for (text, endpoints, prefix) in [
        ("etcd:", "127.0.0.1:2379", usual),
        ("etcd://h1:2379,h2:2380", "h1:2379 h2:2380", usual),
        ("etcd://etcd1:2379,etcd:2379", "etcd1:2379 etcd:2379", usual),
        ("etcd://h:1/", "h:1", usual),
        ("etcd://h:1/tenant-a", "h:1", "/tenant-a/"),
        ("etcd://h:1/a/b.c/", "h:1", "/a/b.c/"),
        (
            "etcd+https://[fd00::1]:2379,h:2/p",
            "https://[fd00::1]:2379 https://h:2",
            "/p/",
        ),
    ] {
        assert_eq!(
            etcd(text),
            (endpoints.to_owned(), prefix.to_owned()),
            "{text}"
        );
    }
    let mdns = |text| match settings_of(text) {
        RegistrySettings::Mdns(config) => config.interfaces.join(" "),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(mdns("mdns:"), "");
    assert_eq!(mdns("mdns:eth0,br-12ab"), "eth0 br-12ab");
}

#[test]
fn words_that_are_no_registry_say_what_would_be() {
    for (text, said) in [
        ("", "`` is no registry"),
        ("consul", "`consul:`"),
        ("nodes.yaml", "static:nodes.yaml"),
        ("static:", "lacks the file"),
        ("static+https:x", "`static` is there"),
        (
            "zookeeper://h:1",
            "this build knows `static`, `consul`, `etcd`, `mdns`",
        ),
        ("etdc://h:1", "did you mean `etcd`?"),
        ("Consul:", "did you mean `consul`?"),
        (
            "http://127.0.0.1:8500",
            "write `consul://HOST:PORT` or `etcd://HOST:PORT`",
        ),
        ("https://h:8500", "`consul+https://HOST:PORT`"),
        ("unix:///run/consul.sock", "`consul+unix:///PATH`"),
        ("b:2379", "all members of an etcd cluster in one word"),
        ("consul:127.0.0.1:8500", "`consul://HOST:PORT`"),
        ("consul:/h:1", "two slashes"),
        ("consul://", "host is missing"),
        ("consul://:8500", "host is missing"),
        ("consul://localhost", "write `localhost:8500`"),
        ("consul+https://localhost", "write `localhost:8501`"),
        ("consul://h:", "`` is no port"),
        ("consul://h:0", "`0` is no port"),
        ("consul://h:+1", "`+1` is no port"),
        ("consul://h:65536", "`65536` is no port"),
        ("consul://h:85oo", "`85oo` is no port"),
        ("consul://::1:8500", "in brackets"),
        ("consul://[::1:8500", "brackets"),
        ("consul://[::1]", "lacks the port"),
        ("consul://[nonsense]:1", "no IPv6 address"),
        ("consul://h:8500/v1", "goes on after the port: `h:8500`"),
        ("consul://h:8500/", "goes on after the port"),
        ("consul://a:1,b:2", "one agent"),
        ("consul://h h:1", "no host name: it holds ` `"),
        ("consul+ftp://h:1", "`consul+https`"),
        ("consul+unix://run/x", "three slashes"),
        ("consul+unix:/run/x", "`consul+unix:///run/consul.sock`"),
        ("consul+:", "`consul+`"),
        ("etcd://", "host is missing"),
        ("etcd://a:1,", "host is missing"),
        ("etcd://a:1,,b:1", "host is missing"),
        ("etcd://a", "write `a:2379`"),
        ("etcd://a:2379//x", "between any two slashes"),
        ("etcd://a:2379/x y", "made of letters"),
        ("etcd+unix:///x", "`etcd+https`"),
        ("mdns:eth0,", "`` is no name of a network interface"),
        ("mdns:eth0 eth1", "no name of a network interface"),
        (
            "mdns:an-interface-too-long",
            "no name of a network interface",
        ),
        ("mdns://eth0", "takes names of network interfaces"),
        ("mdns:eth0,static:x", "two registries"),
        ("consul:,mdns:", "two registries"),
        ("static:a.yaml,consul+https://h:1", "two registries"),
        ("etcd://a:1,consul:", "two registries"),
    ] {
        match RegistryEntry::from_text(text) {
            Ok(entry) => panic!("{text:?} was taken for {entry:?}"),
            Err(problem) => assert!(problem.contains(said), "{text:?}: {problem}"),
        }
    }
}

#[test]
fn no_word_takes_credentials_and_no_refusal_repeats_them() {
    for text in [
        "consul://ann:hunter2@h:8500",
        "consul+https://hunter2@h:8500",
        "consul://h:8500?token=hunter2",
        "etcd://ann:hunter2@h:2379",
        "etcd://h:2379,ann:hunter2@i:2379",
        "etcd+https://h:2379/p?password=hunter2",
    ] {
        let problem = RegistryEntry::from_text(text).unwrap_err();
        assert!(
            problem.contains("token-file") && !problem.contains("hunter2"),
            "{problem}"
        );
    }
    for address in [
        "ann:hunter2@h:1",
        "http://ann:hunter2@h:1",
        "https://hunter2@h",
    ] {
        let problem = ConsulAddress::from_text(address).unwrap_err();
        assert!(
            problem.contains("token-file") && !problem.contains("hunter2"),
            "{problem}"
        );
    }
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?",
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| format!("[{address}]")),
    ]
}

fn server() -> impl Strategy<Value = String> {
    (host(), 1_u16..).prop_map(|(host, port)| format!("{host}:{port}"))
}

fn word() -> impl Strategy<Value = String> {
    let servers = || prop::collection::vec(server(), 1..4).prop_map(|all| all.join(","));
    prop_oneof![
        "static:[a-zA-Z0-9/._-]{1,30}",
        Just("consul:".to_owned()),
        (prop_oneof!["consul", "consul\\+https"], server())
            .prop_map(|(scheme, server)| format!("{scheme}://{server}")),
        "consul\\+unix:///[a-z]{1,10}(/[a-z.]{1,10}){0,3}",
        Just("etcd:".to_owned()),
        (
            prop_oneof!["etcd", "etcd\\+https"],
            servers(),
            "(/[a-z0-9._-]{1,8}){0,3}"
        )
            .prop_map(|(scheme, servers, prefix)| format!("{scheme}://{servers}{prefix}")),
        Just("mdns:".to_owned()),
        prop::collection::vec("[a-z]{1,8}[0-9.]{0,4}", 1..4)
            .prop_map(|names| format!("mdns:{}", names.join(","))),
    ]
}

proptest! {
    #[test]
    fn a_word_survives_being_read_and_written(word in word()) {
        let entry = RegistryEntry::from_text(&word).map_err(TestCaseError::fail)?;
        prop_assert_eq!(entry.to_text(), word);
    }

    #[test]
    fn what_is_written_as_yaml_is_read_as_the_same(word in word()) {
        let entry = RegistryEntry::from_text(&word).map_err(TestCaseError::fail)?;
        let yaml = serde_yaml::to_string(&entry).unwrap();
        prop_assert_eq!(serde_yaml::from_str::<RegistryEntry>(&yaml).unwrap(), entry);
    }

    #[test]
    fn any_text_is_a_registry_or_an_error(text in "(consul|etcd|mdns|static)?[+:/a-z0-9@?,.\\[\\]]{0,30}|\\PC*") {
        let _either = RegistryEntry::from_text(&text);
    }
}

// === Consul's environment ===

fn surroundings(variables: &[(&str, &str)]) -> Surroundings {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Surroundings {
        uid: 1000,
        cwd: "/work".into(),
        environment: BTreeMap::from_iter(variables.iter().map(text)),
        etc: "/etc".into(),
    }
}

/// What an entry becomes with these variables, and which keys they gave.
fn filled(
    yaml: &str,
    variables: &[(&str, &str)],
) -> Result<(consul::Config, Vec<String>), ConfigError> {
    let mut entries = vec![serde_yaml::from_str(yaml).unwrap()];
    let keys = fill(&mut entries, &surroundings(variables))?;
    let keys = keys
        .into_iter()
        .map(|(key, origin)| format!("{key} {origin}"));
    let keys = keys.collect();
    match settings(entries)?.remove(0) {
        RegistrySettings::Consul(config) => Ok((config, keys)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_environment_fills_what_nobody_says() {
    let all = [
        ("CONSUL_HTTP_ADDR", "consul.example:8501"),
        ("CONSUL_HTTP_SSL", "true"),
        ("CONSUL_HTTP_SSL_VERIFY", "0"),
        ("CONSUL_HTTP_TOKEN", "t"),
        ("CONSUL_HTTP_AUTH", "ann:pass:word"),
        ("CONSUL_CACERT", "ca.pem"),
        ("CONSUL_CLIENT_CERT", "/c.pem"),
        ("CONSUL_CLIENT_KEY", "/k.pem"),
        ("CONSUL_TLS_SERVER_NAME", "server.dc1.consul"),
    ];
    let (config, keys) = filled("'consul:'", &all).unwrap();
    assert_eq!(config.address, "https://consul.example:8501");
    assert_eq!(config.token, consul::Token::Value(Secret::new("t")));
    assert_eq!(
        config.basic_auth,
        Some(("ann".to_owned(), Secret::new("pass:word")))
    );
    assert_eq!(config.tls.ca, Some("/work/ca.pem".into()));
    assert_eq!(config.tls.cert, Some("/c.pem".into()));
    assert_eq!(config.tls.key, Some("/k.pem".into()));
    assert_eq!(config.tls.server_name.as_deref(), Some("server.dc1.consul"));
    assert!(!config.tls.verify);
    assert!(
        keys.contains(&"registry.0.consul.token $CONSUL_HTTP_TOKEN".to_owned()),
        "{keys:?}"
    );
    assert!(
        keys.contains(&"registry.0.consul.tls.ca $CONSUL_CACERT".to_owned()),
        "{keys:?}"
    );

    let said = "consul: { address: 'http://a:1', token: mine, auth: { user: u }, namespace: n }";
    let (config, keys) = filled(said, &[&all[..5], &[("CONSUL_NAMESPACE", "x")]].concat()).unwrap();
    assert_eq!(config.address, "http://a:1");
    assert_eq!(config.token, consul::Token::Value(Secret::new("mine")));
    assert_eq!(config.basic_auth, Some(("u".to_owned(), Secret::new(""))));
    assert_eq!(
        keys,
        ["registry.0.consul.tls.verify $CONSUL_HTTP_SSL_VERIFY"]
    );
}

#[test]
fn the_way_to_the_agent_is_told_by_the_address_then_by_tls_then_by_the_environment() {
    let address = |yaml, variables: &[(&str, &str)]| filled(yaml, variables).unwrap().0.address;
    let ssl = ("CONSUL_HTTP_SSL", "true");
    assert_eq!(address("'consul:'", &[]), "127.0.0.1:8500");
    assert_eq!(address("'consul:'", &[ssl]), "https://127.0.0.1:8500");
    assert_eq!(address("'consul://h:1'", &[ssl]), "http://h:1");
    assert_eq!(address("consul: { address: 'h:1' }", &[ssl]), "https://h:1");
    assert_eq!(
        address("consul: { address: 'h:1', tls: { ca: /x } }", &[]),
        "https://h:1"
    );
    assert_eq!(
        address("consul: { address: 'h:1' }", &[("CONSUL_CACERT", "/x")]),
        "h:1"
    );
    assert_eq!(
        address("'consul:'", &[ssl, ("CONSUL_HTTP_ADDR", "http://h:1")]),
        "https://h:1"
    );
    assert_eq!(
        address("'consul:'", &[ssl, ("CONSUL_HTTP_ADDR", "unix:///s")]),
        "unix:///s"
    );
    assert_eq!(
        address("'consul:'", &[("CONSUL_HTTP_ADDR", "https://h")]),
        "https://h"
    );
}

#[test]
fn a_file_of_the_environment_wins_over_its_word() {
    let variables = [("CONSUL_HTTP_TOKEN_FILE", "t"), ("CONSUL_HTTP_TOKEN", "x")];
    let (config, _) = filled("'consul:'", &variables).unwrap();
    assert_eq!(config.token, consul::Token::File("/work/t".into()));
}

#[test]
fn the_environment_never_makes_a_registry() {
    let mut entries = vec![RegistryEntry::from_text("mdns:").unwrap()];
    let before = entries.clone();
    // Not even a variable that would be refused counts where Consul is not asked for.
    let keys = fill(
        &mut entries,
        &surroundings(&[("CONSUL_HTTP_ADDR", "h:1"), ("CONSUL_CAPATH", "/x")]),
    );
    assert!(keys.unwrap().is_empty());
    assert_eq!(entries, before);
}

#[test]
fn a_variable_that_cannot_be_is_named() {
    for (name, value, said) in [
        ("CONSUL_HTTP_ADDR", "consul", "lacks the port"),
        (
            "CONSUL_HTTP_ADDR",
            "ftp://h:1",
            "not how an agent is reached",
        ),
        ("CONSUL_HTTP_ADDR", "http://ann:pw@h:1", "token-file"),
        ("CONSUL_HTTP_SSL", "maybe", "neither `true` nor `false`"),
        ("CONSUL_HTTP_SSL_VERIFY", "no", "neither `true` nor `false`"),
        ("CONSUL_CAPATH", "/etc/ssl", "CONSUL_CACERT"),
        ("CONSUL_NAMESPACE", "team", "namespace: NAME"),
    ] {
        let error = filled("'consul:'", &[(name, value)])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(&format!("${name}: ")) && error.contains(said),
            "{error}"
        );
    }
    let settled = "consul: { namespace: n, tls: { ca: /x } }";
    filled(
        settled,
        &[("CONSUL_CAPATH", "/x"), ("CONSUL_NAMESPACE", "y")],
    )
    .unwrap();
}

// === blocks ===

#[test]
fn a_block_says_everything() {
    let text = "consul: { address: 'https://c:1', datacenter: d, namespace: n, partition: p, layout: node, app-tags: false, \
                tags: [b, a], checks: [ttl, tcp], tls: { cert: /c, key: /k, server-name: s, verify: false } }";
    let (config, _) = filled(text, &[]).unwrap();
    assert_eq!(config.layout, consul::Layout::Node);
    assert_eq!(config.datacenter.as_deref(), Some("d"));
    assert_eq!(config.namespace.as_deref(), Some("n"));
    assert_eq!(config.partition.as_deref(), Some("p"));
    assert_eq!(config.tags, ["a", "b"].map(str::to_owned).into());
    assert!(config.tcp_check && !config.app_tags && !config.tls.verify);
    let plain: RegistryEntry = serde_yaml::from_str("consul:").unwrap();
    assert_eq!(plain, RegistryEntry::from_text("consul:").unwrap());
}

#[test]
fn keys_that_contradict_one_another_are_refused() {
    for (text, said) in [
        (
            "consul: { token: a, token-file: b }",
            "either `token` or `token-file`",
        ),
        ("consul: { token: '' }", "it is empty"),
        (
            "consul: { auth: { user: u, password: a, password-file: b } }",
            "either `password`",
        ),
        ("etcd: { user: u }", "`user` needs"),
        ("etcd: { password: p }", "needs its `user`"),
        ("etcd: { endpoints: [] }", "`endpoints` is empty"),
        ("etcd: { prefix: x }", "begins with a slash"),
        (
            "mdns: { interfaces: [a/b] }",
            "no name of a network interface",
        ),
        ("{ mdns: {}, etcd: {} }", "start a new one with `-`"),
        ("{}", "names no registry"),
        ("static:", "either `file` or `nodes`"),
    ] {
        let error = serde_yaml::from_str::<RegistryEntry>(text)
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
    for (text, said) in [
        (
            "consul: { address: 'http://h:1', tls: { ca: /x } }",
            "in plain text",
        ),
        (
            "etcd: { endpoints: ['http://h:1'], tls: { ca: /x } }",
            "in plain text",
        ),
        ("consul: { tls: { cert: /x } }", "a `cert` alone"),
        ("etcd: { tls: { key: /x } }", "a `key` alone"),
    ] {
        let mut entries = vec![serde_yaml::from_str(text).unwrap()];
        let done = fill(&mut entries, &surroundings(&[])).and_then(|_| settings(entries));
        assert!(done.unwrap_err().to_string().contains(said), "{text}");
    }
}

#[test]
fn a_password_is_one_line_of_its_file() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("p");
    let yaml = format!(
        "consul: {{ auth: {{ user: u, password-file: {} }} }}",
        file.display()
    );
    assert!(matches!(
        filled(&yaml, &[]),
        Err(ConfigError::Unreadable { .. })
    ));
    fs::write(&file, "pass word\n").unwrap();
    let password = filled(&yaml, &[]).unwrap().0.basic_auth.unwrap().1;
    assert_eq!(password, Secret::new("pass word"));
    fs::write(&file, "").unwrap();
    let error = filled(&yaml, &[]).unwrap_err().to_string();
    let wanted = format!(
        "registry[0].consul.auth.password-file: cannot read {}: it is empty",
        file.display()
    );
    assert_eq!(error, wanted);
    for bad in ["\n", "a\nb\n", &"x".repeat(5000)] {
        fs::write(&file, bad).unwrap();
        let error = filled(&yaml, &[]).unwrap_err().to_string();
        assert!(error.contains("one line with a password"), "{error}");
    }
}

#[test]
fn files_with_credentials_are_looked_at() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("t");
    let entries =
        [serde_yaml::from_str(&format!("consul: {{ token-file: {} }}", file.display())).unwrap()];
    let notes = |entries: &[RegistryEntry]| {
        let effective = File {
            registry: Some(entries.to_vec()),
            ..File::default()
        };
        file_notes(&Layers::default(), &effective)
    };
    assert!(notes(&entries)[0].contains("is not there yet"));
    fs::write(&file, "x").unwrap();
    for (mode, count) in [(0o600, 0), (0o640, 0), (0o644, 1), (0o602, 1)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(notes(&entries).len(), count, "{mode:o}");
    }
}
