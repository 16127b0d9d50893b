//! Registries in a whole configuration: what is shown of them, where they come from, and what their errors point at.

use insta::assert_snapshot;

use super::*;

#[test]
fn every_key_of_a_registry_is_in_its_part_of_the_documentation() {
    let sections = [("consul", 18), ("etcd", 10), ("mdns", 2)];
    for (kind, count) in sections {
        let keys = keys("", &format!("{{ registry: [ {{ {kind}: "), " } ] }");
        assert_eq!(keys.len(), count, "{keys:?}");
        let heading = format!("\n### {kind}\n");
        let at = PAGE.to_lowercase().find(&heading).unwrap();
        let part = PAGE[at + heading.len()..].split("\n### ").next().unwrap();
        let missing: Vec<_> = keys
            .iter()
            .filter(|key| !part.contains(&format!("`{key}`")))
            .collect();
        assert_eq!(missing, Vec::<&String>::new(), "{kind}");
    }
}

#[test]
fn show_hides_secrets_and_names_the_variable_of_each_value() {
    let mut world = World::new();
    let text = r#"
registry:
  - consul: { auth: { user: ann, password: hunter2 }, tags: [a] }
  - etcd: { user: u, password: geheim }
  - mdns:
  - static: { nodes: [ { name: b, addr: "b:1" } ] }
"#;
    let path = world.write("etc/dpipesd.conf", text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    world.set("CONSUL_HTTP_ADDR", "https://consul.example:8501");
    world.set("CONSUL_HTTP_TOKEN", "s3cret");
    world.set("CONSUL_HTTP_SSL_VERIFY", "false");
    let loaded = world.load().unwrap();
    let shown = loaded.layers.show(true);
    let debug = format!("{loaded:?} {:?}", loaded.layers.effective());
    for secret in ["hunter2", "geheim", "s3cret"] {
        assert!(
            !shown.contains(secret) && !debug.contains(secret),
            "{secret}"
        );
    }
    let registries = shown.split_once("registry:").unwrap().1;
    let registries = registries.split_once("discovery:").unwrap().0;
    assert_snapshot!(registries.replace(&world.base.path().display().to_string(), ""), @r##"

    - consul:
        address: "https://consul.example:8501" # $CONSUL_HTTP_ADDR
        token: "(hidden)"                  # $CONSUL_HTTP_TOKEN
        auth:
          user: ann                        # /etc/dpipesd.conf
          password: "(hidden)"             # /etc/dpipesd.conf
        tls:
          verify: false                    # $CONSUL_HTTP_SSL_VERIFY
        tags: [a]                          # /etc/dpipesd.conf
    - etcd:
        user: u                            # /etc/dpipesd.conf
        password: "(hidden)"               # /etc/dpipesd.conf
    - mdns: {}                             # /etc/dpipesd.conf
    - static:
        nodes: [{ name: b, addr: "b:1" }]  # /etc/dpipesd.conf
    "##);
    assert_eq!(loaded.notes, Vec::<String>::new());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(world.load().unwrap().notes[0].contains("holds a token or password and has mode 0644"));
}

#[test]
fn a_line_with_a_secret_is_shown_without_it() {
    assert_snapshot!(error_of("registry:\n  - consul: { token: s3cret, adress: x }\n"), @r##"
    error: unknown key `adress`
     --> dpipesd.yaml:2:30
      |
    2 |   - consul: { token: ******, adress: x }
      |                              ^^^^^^ did you mean `address`?
      |
      = help: keys here: address, token-file, token, auth, datacenter, namespace, partition, tls, layout, app-tags, tags, checks
    "##);
    assert_snapshot!(error_of("registry:\n  - consul://ann:hunter2@consul:8500\n"), @r##"
    error: registry[0]: an address holds no user, password or token, for command lines and environments are visible to others: use `token-file` or `password-file` in the block form, as in `- consul: { token-file: FILE }`
     --> dpipesd.yaml:2:5
      |
    2 |   - consul://***********@consul:8500
      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: what may stand there: dpipes help config
    "##);
}

#[test]
fn a_block_of_a_registry_points_at_what_is_wrong() {
    assert_snapshot!(error_of("registry:\n  - consul:\n      tls: { verify: perhaps }\n"), @r##"
    error: registry[0].consul.tls.verify: string "perhaps", expected true or false
     --> dpipesd.yaml:3:22
      |
    3 |       tls: { verify: perhaps }
      |                      ^^^^^^^
      |
      = help: what may stand there: dpipes help config
    "##);
    assert_snapshot!(error_of("registry:\n  - etcd:\n      endpoints: [\"a:2379\", \"b\"]\n"), @r##"
    error: registry[0].etcd.endpoints[1]: `b` lacks the port: write `b:2379`
     --> dpipesd.yaml:3:29
      |
    3 |       endpoints: ["a:2379", "b"]
      |                             ^^^
      |
      = help: what may stand there: dpipes help config
    "##);
    assert_snapshot!(error_of("registry:\n  - mdns: { interfaces: [\"eth 0\"] }\n"), @r##"
    error: registry[0].mdns.interfaces[0]: `eth 0` is no name of a network interface; those of this machine: ip -brief link
     --> dpipesd.yaml:2:26
      |
    2 |   - mdns: { interfaces: ["eth 0"] }
      |                          ^^^^^^^
      |
      = help: what may stand there: dpipes help config
    "##);
    assert_snapshot!(error_of("registry:\n  - consul: { checks: [tcp] }\n"), @r##"
    error: registry[0]: `checks` lacks `ttl`, without which Consul would never learn that a node is well: `[ttl]` or `[ttl, tcp]`
     --> dpipesd.yaml:2:5
      |
    2 |   - consul: { checks: [tcp] }
      |     ^^^^^^^
      |
      = help: what may stand there: dpipes help config
    "##);
    assert_snapshot!(error_of("registry: [etcd://a:2379,b:2379]\n"), @r##"
    error: registry[1]: `b:2379` names a server and no registry: write `consul://b:2379`, or all members of an etcd cluster in one word in quotes, as in "etcd://a:2379,b:2379"
     --> dpipesd.yaml:1:26
      |
    1 | registry: [etcd://a:2379,b:2379]
      |                          ^^^^^^
      |
      = help: what may stand there: dpipes help config
    "##);
    assert_snapshot!(error_of("registry: [\"consul://localhost\"]\n"), @r##"
    error: registry[0]: `localhost` lacks the port: write `localhost:8500`
     --> dpipesd.yaml:1:12
      |
    1 | registry: ["consul://localhost"]
      |            ^^^^^^^^^^^^^^^^^^^^
      |
      = help: what may stand there: dpipes help config
    "##);
}

#[test]
fn files_of_a_registry_are_taken_from_the_directory_of_the_configuration() {
    let mut world = World::new();
    let text = "registry:\n  - consul: { address: c:8500, token-file: t, tls: { ca: ca.pem } }\n  - etcd: { user: u, password-file: p }\n";
    world.flags.config = Some(world.write("conf/d.yaml", text));
    let token = world.write("conf/t", "x");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o640)).unwrap();
    world.write("conf/p", "x");
    world.write("conf/ca.pem", "x");
    let loaded = world.load().unwrap();
    let [
        RegistrySettings::Consul(consul),
        RegistrySettings::Etcd(etcd),
    ] = loaded.settings.registries.as_slice()
    else {
        panic!("{:?}", loaded.settings.registries)
    };
    assert_eq!(consul.token, dpipes_discovery::consul::Token::File(token));
    assert_eq!(consul.tls.ca, Some(world.path("conf/ca.pem")));
    assert_eq!(consul.address, "https://c:8500");
    let password = world.path("conf/p");
    assert_eq!(
        etcd.password,
        dpipes_discovery::etcd::Password::File(password.clone())
    );
    // The one that everybody can read is told of, the other is not.
    assert_eq!(loaded.notes.len(), 1, "{:?}", loaded.notes);
    assert!(loaded.notes[0].contains(&format!("{} has mode 0644", password.display())));
}

#[test]
fn a_file_of_a_registry_that_cannot_be_used_is_told_with_its_key_its_origin_and_the_next_step() {
    let mut world = World::new();
    let text = "registry:\n  - consul: { address: \"https://c:8501\", token-file: vol/t }\n";
    world.flags.config = Some(world.write("conf/d.yaml", text));
    let ca = world.path("secrets/ca.pem").display().to_string();
    world.set("CONSUL_CACERT", &ca);
    let loaded = world.load().unwrap();
    let base = world.base.path().display().to_string();
    assert_snapshot!(loaded.notes.join("\n").replace(&base, ""));
    let error = loaded.check_files().unwrap_err().render(false);
    assert_snapshot!(error.replace(&base, ""));
    // The environment of a plain-text agent may name what it likes.
    world.write("conf/d.yaml", "registry: [\"consul://c:8500\"]\n");
    assert!(world.load().unwrap().check_files().is_ok());
    world.write("conf/d.yaml", text);
    world.write("secrets/ca.pem", "");
    let error = world.load().unwrap().check_files().unwrap_err();
    assert!(
        error.to_string().ends_with("ca.pem: it is empty"),
        "{error}"
    );
}

#[test]
fn registries_come_from_every_layer_and_for_clients_too() {
    let mut world = World::new();
    world.set(
        "DPIPES_REGISTRY",
        "etcd://a:2379,b:2379/t/  mdns:lo static:n.yaml",
    );
    let facts = Facts {
        hostname: "h".to_owned(),
        has_dpipes_user: false,
    };
    let kinds = |settings: &Settings| -> Vec<String> {
        settings
            .registries
            .iter()
            .map(RegistrySettings::place)
            .collect()
    };
    let list = format!("static {}", world.path("work/n.yaml").display());
    let wanted = ["etcd a:2379,b:2379", "mdns on lo", &list];
    let settings = world.load().unwrap().settings;
    assert_eq!(kinds(&settings), wanted);
    assert_eq!(settings.listen[0], Listen::Tcp("0.0.0.0:3747".to_owned()));
    let inputs = EmbeddedInputs::default();
    assert_eq!(
        kinds(&embedded(&world.surroundings, &facts, &inputs).unwrap()),
        wanted
    );
    // One that is named on the command line is the only one, and is completed as well.
    world.set("CONSUL_HTTP_ADDR", "consul:8500");
    let inputs = EmbeddedInputs {
        registry: Some(vec![RegistryEntry::from_text("consul:").unwrap()]),
        ..EmbeddedInputs::default()
    };
    assert_eq!(
        kinds(&embedded(&world.surroundings, &facts, &inputs).unwrap()),
        ["consul consul:8500"]
    );
    world.flags.registry = vec!["mdns:".to_owned()];
    let settings = world.load().unwrap().settings;
    assert_eq!(kinds(&settings), ["mdns on every interface"]);
    let warnings = settings.warnings();
    assert!(warnings[0].contains("every interface") && warnings[0].contains("anybody on the link"));
    world.flags.networks = vec!["10.0.0.0/8".to_owned()];
    assert_eq!(
        world.load().unwrap().settings.warnings(),
        Vec::<String>::new()
    );
}

#[test]
fn two_registries_in_one_word_are_taken_apart_by_the_user() {
    let mut world = World::new();
    world.set("DPIPES_REGISTRY", "static:n.yaml,mdns:");
    assert_snapshot!(world.error(), @r##"
    error: $DPIPES_REGISTRY: two registries stand in one word: say `--registry` once for each, put spaces between them in DPIPES_REGISTRY, and make each an entry of the list in a file
      = help: what may stand there: dpipes help config
    "##);
}

#[test]
fn an_unknown_registry_is_shown_with_those_that_there_are() {
    assert_snapshot!(error_of("registry:\n  - zookeeper: { url: \"http://127.0.0.1:8500\" }\n"), @r##"
    error: registry[0]: unknown registry `zookeeper`; this build knows `static`, `consul`, `etcd`, `mdns`
     --> dpipesd.yaml:2:5
      |
    2 |   - zookeeper: { url: "http://127.0.0.1:8500" }
      |     ^^^^^^^^^^
      |
      = help: what may stand there: dpipes help config
    "##);
    let mut world = World::new();
    world.flags.registry = vec!["cosnul://x".to_owned()];
    assert_snapshot!(world.error(), @r##"
    error: --registry: unknown registry `cosnul`; did you mean `consul`?
      = help: what may stand there: dpipes help config
    "##);
}

#[test]
fn every_example_of_the_documentation_is_a_configuration() {
    let mut of_daemon = 0;
    let blocks = PAGE.split("```yaml\n").skip(1);
    for block in blocks.filter_map(|rest| rest.split_once("```")) {
        let text = block.0;
        if text.starts_with("# dpipes.yaml") {
            let file: ClientFile = source::parse_as(Path::new("dpipes.yaml"), text).unwrap();
            assert!(file.connect.is_some() && file.registry.is_some());
        } else {
            let world = World::new();
            let flags = Flags {
                config: Some(world.write("dpipesd.yaml", text)),
                ..Flags::default()
            };
            let loaded = World { flags, ..world }.load();
            loaded.unwrap_or_else(|error| panic!("{}", error.render(false)));
            of_daemon += 1;
        }
    }
    assert!(of_daemon >= 3);
}
