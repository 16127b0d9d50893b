//! What a daemon is told by files, environment and flags together, and what a user sees when they are wrong.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use insta::assert_snapshot;

use super::*;
use crate::{
    daemon::settings::{Access, Listen, RegistrySettings},
    media::{Format, Naming, Style},
    negotiate::rules::{CredentialRule, Others, VersionSource},
    object::{OnBadObject, OnNonObject},
};

#[cfg(all(feature = "consul", feature = "etcd", feature = "mdns"))]
mod registries;

/// The sample of the documentation.
const SAMPLE: &str = r#"
version: 1
node:      { name: node-a, labels: { zone: a, gpu: "no" } }
listen:    ["0.0.0.0:3747"]
advertise: 10.0.0.11:3747
access:    members
apps:
  sort:    { path: /usr/bin/sort, args: { deny: ["--compress-program*"] } }
  resize:  { path: /opt/img/resize, run-as: img, format: json, limits: { memory: 512M, pids: 64, time: 10m } }
run:       { path: [/usr/local/bin, /usr/bin, /bin], env: { accept: [LANG, "LC_*", TZ] }, kill-grace: 5s, lease: 15s, max-processes: 4096 }
schedule:  { policy: spread }
streams:   { window: 256K, splice: false, compress: false }
objects:   { metadata: { style: nested, name: __dpipes, prefix: "dp." }, on-non-object: pass, on-bad-object: fail, max-object: 16M }
registry:
  - static: { nodes: [ { name: node-b, addr: "10.0.0.12:3747", apps: [sort, uniq] } ] }
  - static: { file: nodes.yaml }
log:       { level: info, format: text }
"#;

/// A home, an `/etc` and a working directory of one test.
struct World {
    base: tempfile::TempDir,
    surroundings: Surroundings,
    flags: Flags,
}

impl World {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        for directory in ["etc", "home", "work"] {
            fs::create_dir(base.path().join(directory)).unwrap();
        }
        let home = base.path().join("home").display().to_string();
        let surroundings = Surroundings {
            uid: rustix::process::geteuid().as_raw(),
            cwd: base.path().join("work"),
            environment: BTreeMap::from([("HOME".to_owned(), home)]),
            etc: base.path().join("etc"),
        };
        let mut world = Self {
            base,
            surroundings,
            flags: Flags::default(),
        };
        world.set("DPIPES_RUN_ALLOW_ROOT", "true");
        world
    }

    fn set(&mut self, name: &str, value: &str) {
        self.surroundings
            .environment
            .insert(name.to_owned(), value.to_owned());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        let facts = Facts {
            hostname: "box one".to_owned(),
            has_dpipes_user: false,
        };
        load(&self.surroundings, &self.flags, &facts)
    }

    /// The error of a configuration, with the test's own directory left out.
    fn error(&self) -> String {
        let base = self.base.path().display().to_string();
        self.load().unwrap_err().render(false).replace(&base, "")
    }
}

fn error_of(text: &str) -> String {
    source::parse(Path::new("dpipesd.yaml"), text)
        .unwrap_err()
        .render(false)
}

#[test]
fn nothing_said_is_a_loopback_daemon_that_runs_any_program() {
    let loaded = World::new().load().unwrap();
    let settings = loaded.settings;
    assert_eq!(settings.node.as_str(), "box-one");
    assert_eq!(settings.access, Access::Members);
    assert_eq!(settings.rules.others, Others::Allow);
    assert_eq!(settings.listen[0], Listen::Tcp("127.0.0.1:3747".to_owned()));
    assert!(matches!(
        settings.listen[1],
        Listen::Unix {
            required: false,
            ..
        }
    ));
    assert_eq!(settings.registries, []);
    assert_eq!(settings.terms.window, 262_144);
    assert!(settings.terms.compress);
    assert!(!loaded.process.pid_file_required);
}

#[test]
fn the_sample_of_the_documentation_loads() {
    let mut world = World::new();
    world.flags.config = Some(world.write("conf/dpipesd.yaml", SAMPLE));
    let settings = world.load().unwrap().settings;
    assert!(!settings.terms.compress);
    assert_eq!(settings.node.as_str(), "node-a");
    assert_eq!(settings.labels["gpu"], "no");
    assert_eq!(settings.rules.others, Others::Deny);
    assert_eq!(settings.rules.apps["resize"].limits.memory, Some(512 << 20));
    assert_eq!(
        settings.rules.apps["resize"].limits.time,
        Some(Duration::from_secs(600))
    );
    assert_eq!(
        settings.rules.apps["sort"].args.deny,
        ["--compress-program*"]
    );
    assert_eq!(
        settings.registries[1],
        RegistrySettings::StaticFile(world.path("conf/nodes.yaml"))
    );
}

#[test]
fn every_key_reaches_the_settings() {
    let mut world = World::new();
    let text = r#"
listen: ["unix:x.sock"]
access: { networks: [10.0.0.0/8] }
apps:
  others: allow
  g++: ~
  up: { args: { default: [-v], exact: [a], allow: [b], max: 3 }, version: "1.2", env: { accept: [A], set: { B: c } }, exit-grace: 1s, allow-setuid: true }
  down: { version-command: [down, --version], format: "json:bytes", limits: { open-files: 9 } }
run: { cwd: sub, run-as: ann, max-time: 1h, umask: "022", credential: demanded }
objects: { metadata: { style: flat }, on-non-object: wrap, on-bad-object: skip, max-object: 1M, max-depth: 64 }
drain-timeout: 7s
log: { level: debug, format: json, file: d.log }
pid-file: d.pid
"#;
    world.flags.config = Some(world.write("conf/d.yaml", text));
    let Loaded {
        settings, process, ..
    } = world.load().unwrap();
    assert_eq!(
        settings.listen,
        [Listen::Unix {
            path: world.path("conf/x.sock"),
            required: true
        }]
    );
    assert_eq!(
        settings.access,
        Access::Networks(vec![([10, 0, 0, 0].into(), 8)])
    );
    let objects = settings.objects;
    assert_eq!(
        (objects.naming, objects.on_non_object, objects.on_bad_object),
        (
            Naming::of_style(Style::Flat),
            OnNonObject::Wrap,
            OnBadObject::Skip
        )
    );
    assert_eq!(
        (objects.limits.max_object, objects.limits.max_depth),
        (1 << 20, 64)
    );
    let rules = settings.rules;
    let down = &rules.apps["down"];
    assert_eq!(
        (down.reads, down.writes),
        (Some(Format::Json), Some(Format::Bytes))
    );
    assert_eq!(rules.others, Others::Allow);
    assert!(rules.apps.contains_key("g++"));
    let up = &rules.apps["up"];
    assert_eq!(up.args.prepend, ["-v"]);
    assert_eq!(up.args.exact.as_deref(), Some(&["a".to_owned()][..]));
    assert_eq!(
        (up.args.allow.as_slice(), up.args.max),
        (&["b".to_owned()][..], Some(3))
    );
    assert_eq!(up.version, Some(VersionSource::Fixed("1.2".to_owned())));
    assert_eq!(
        (up.env_accept.as_slice(), up.env_set["B"].as_str()),
        (&["A".to_owned()][..], "c")
    );
    assert_eq!(
        (up.exit_grace, up.allow_setuid),
        (Some(Duration::from_secs(1)), true)
    );
    assert_eq!(
        rules.apps["down"].version,
        Some(VersionSource::Command(vec![
            "down".into(),
            "--version".into()
        ]))
    );
    assert_eq!(rules.apps["down"].limits.open_files, Some(9));
    assert_eq!(
        (rules.cwd.clone(), rules.run_as.as_deref()),
        (Some(world.path("conf/sub")), Some("ann"))
    );
    assert_eq!(
        (rules.max_deadline, rules.umask),
        (Some(Duration::from_secs(3_600)), 0o022)
    );
    assert_eq!(rules.credential, CredentialRule::Demanded);
    assert_eq!(settings.drain_timeout, Duration::from_secs(7));
    assert_eq!(
        (process.log_level, process.log_format),
        (LogLevel::Debug, LogFormat::Json)
    );
    assert_eq!(
        (process.log_file, process.pid_file),
        (Some(world.path("conf/d.log")), world.path("conf/d.pid"))
    );
    assert!(process.pid_file_required);
}

#[test]
fn a_registry_opens_all_interfaces_to_members() {
    let mut world = World::new();
    world.flags.registry = vec!["static:nodes.yaml".to_owned()];
    let settings = world.load().unwrap().settings;
    assert_eq!(settings.listen[0], Listen::Tcp("0.0.0.0:3747".to_owned()));
    assert_eq!(
        settings.registries,
        [RegistrySettings::StaticFile(world.path("work/nodes.yaml"))]
    );
}

#[test]
fn later_layers_win_key_by_key() {
    let mut world = World::new();
    world.write("etc/dpipesd.conf", "run: { lease: 1s, kill-grace: 1s, max-processes: 1 }\nnode: { name: etc }\naccess: local\n");
    world.write("etc/dpipesd.conf.d/20-b.yaml", "node: { name: etc-b }\n");
    world.write("etc/dpipesd.conf.d/10-a.yaml", "node: { name: etc-a }\n");
    world.write("etc/dpipesd.conf.d/note.txt", "not: [yaml");
    world.write("home/.config/dpipes/dpipesd.yaml", "run: { lease: 2s }\n");
    world.write("home/.dpipesdrc", "run: { lease: 3s }\n");
    world.write("work/.dpipesdrc", "access: { networks: [10.0.0.0/8] }\n");
    world.set("DPIPES_RUN_LEASE", "4s");
    world.flags.name = Some("flagged".to_owned());
    let loaded = world.load().unwrap();
    assert_eq!(loaded.settings.terms.lease, Duration::from_secs(4));
    assert_eq!(loaded.settings.terms.kill_grace, Duration::from_secs(1));
    assert_eq!(loaded.settings.rules.max_stages, 1);
    assert_eq!(loaded.settings.node.as_str(), "flagged");
    assert!(matches!(loaded.settings.access, Access::Networks(_)));
    assert_eq!(loaded.files.len(), 6);
    let origin = |key| loaded.layers.origin(key).unwrap().to_string();
    assert_eq!(origin("run.lease"), "$DPIPES_RUN_LEASE");
    assert_eq!(
        origin("run.kill-grace"),
        world.path("etc/dpipesd.conf").display().to_string()
    );
    assert_eq!(origin("node.name"), "--name");
    assert_eq!(origin("streams.window"), "built-in");
}

#[test]
fn the_home_directory_as_the_current_one_is_one_layer() {
    let mut world = World::new();
    world.write("home/.dpipesdrc", "node: { name: h }\n");
    world.surroundings.cwd = world.path("home");
    assert_eq!(world.load().unwrap().files.len(), 1);
}

#[test]
fn a_named_file_is_the_only_one() {
    let mut world = World::new();
    world.write("etc/dpipesd.conf", "node: { name: etc }\n");
    world.set("DPIPES_CONFIG", "only.yaml");
    assert_snapshot!(world.error(), @r##"
    error: $DPIPES_CONFIG: cannot read /work/only.yaml: No such file or directory (os error 2)
      = help: put it there, or name a file that is
    "##);
    world.write("work/only.yaml", "access: local\n");
    let loaded = world.load().unwrap();
    assert_eq!(loaded.settings.node.as_str(), "box-one");
    assert_eq!(loaded.notes, Vec::<String>::new());
    world.write("work/only.yaml", "# nothing\n");
    assert!(world.load().unwrap().notes[0].starts_with("$DPIPES_CONFIG: "));
    world.flags.config = Some(world.path("volume/d.yaml"));
    assert_snapshot!(world.error(), @r##"
    error: --config: cannot read /volume/d.yaml: No such file or directory (os error 2), nor is there a directory /volume
      = help: name a file that is there; in a container, mount the volume that belongs at /volume
    "##);
    world.flags.config = Some(world.path("work"));
    assert_snapshot!(world.error(), @r##"
    error: --config: cannot read /work: it is a directory
      = help: name a file; where a container was to have one mounted that the host lacks, Docker made a directory
    "##);
}

#[test]
fn an_app_after_the_dashes_is_the_only_one_and_keeps_its_rules() {
    let mut world = World::new();
    world.write(
        "etc/dpipesd.conf",
        "apps: { sort: { path: /usr/bin/sort, limits: { pids: 4 } }, uniq: ~, others: allow }\n",
    );
    world.flags.only = vec!["sort".to_owned(), "-n".to_owned()];
    let loaded = world.load().unwrap();
    let rules = loaded.settings.rules;
    assert_eq!(rules.others, Others::Deny);
    assert_eq!(rules.apps.keys().collect::<Vec<_>>(), ["sort"]);
    assert_eq!(
        rules.apps["sort"].args.exact.as_deref(),
        Some(&["-n".to_owned()][..])
    );
    assert_eq!(rules.apps["sort"].limits.pids, Some(4));
    assert_eq!(
        loaded
            .layers
            .origin("apps.sort.args.exact")
            .unwrap()
            .to_string(),
        "--"
    );
    assert!(loaded.layers.origin("apps.uniq").is_none());
}

#[test]
fn a_program_after_the_dashes_gets_a_name() {
    let mut world = World::new();
    world.flags.only = vec!["./resize".to_owned()];
    let rules = world.load().unwrap().settings.rules;
    assert_eq!(rules.apps["resize"].path, Some(world.path("work/./resize")));
}

#[test]
fn a_file_found_in_a_shared_directory_is_passed_over() {
    let world = World::new();
    let path = world.write("work/.dpipesdrc", "node: { name: planted }\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    let loaded = world.load().unwrap();
    assert_eq!(loaded.settings.node.as_str(), "box-one");
    assert!(loaded.notes[0].contains("mode 0664"), "{:?}", loaded.notes);
}

#[test]
fn show_is_yaml_that_says_the_same_and_where_it_came_from() {
    let mut world = World::new();
    world.write("etc/dpipesd.conf", "apps: { sort: { args: { deny: [\"-o*\"] } } }\nnode: { labels: { gpu: \"no\", zone: a } }\n");
    world.set("DPIPES_ACCESS_NETWORKS", "10.0.0.0/8, 192.168.1.7");
    world.set("DPIPES_RUNTIME_DIR", "/run/x");
    let loaded = world.load().unwrap();
    let shown = loaded.layers.show(true);
    let again = source::parse(Path::new("/again.yaml"), &shown).unwrap();
    assert_eq!(again, loaded.layers.effective());
    assert_snapshot!(shown.replace(&world.base.path().display().to_string(), ""), @r##"
    version: 1                               # built-in
    node:
      name: box-one                          # built-in
      labels:
        gpu: "no"                            # /etc/dpipesd.conf
        zone: a                              # /etc/dpipesd.conf
      weight: 10                             # built-in
    listen: ["127.0.0.1:3747"]               # built-in
    access: { networks: [10.0.0.0/8, 192.168.1.7/32] } # $DPIPES_ACCESS_NETWORKS
    run:
      path: [/usr/local/bin, /usr/bin, /bin] # built-in
      env:
        accept: [LANG, "LC_*", TZ]           # built-in
      allow-root: true                       # $DPIPES_RUN_ALLOW_ROOT
      kill-grace: 5s                         # built-in
      lease: 15s                             # built-in
      max-processes: 4096                    # built-in
      umask: 077                             # built-in
      credential: not-asked                  # built-in
    schedule:
      policy: spread                         # built-in
    streams:
      window: 256K                           # built-in
      splice: true                           # built-in
      compress: true                         # built-in
    objects:
      metadata:
        style: nested                        # built-in
        name: __dpipes                       # built-in
      on-non-object: pass                    # built-in
      on-bad-object: fail                    # built-in
      max-object: 16M                        # built-in
      max-depth: 1000                        # built-in
    registry: []                             # built-in
    discovery:
      required: false                        # built-in
      ttl: 15s                               # built-in
    drain-timeout: 30s                       # built-in
    log:
      level: info                            # built-in
      format: text                           # built-in
    pid-file: /run/x/dpipesd.pid             # built-in
    apps:
      sort:
        args:
          deny: ["-o*"]                      # /etc/dpipesd.conf
    "##);
}

#[test]
fn limits_and_names_of_objects_make_sense() {
    let wrong = |objects: &str| {
        let mut world = World::new();
        let text = format!("objects: {objects}\n");
        world.flags.config = Some(world.write("d.yaml", &text));
        world.load().unwrap_err().render(false)
    };
    for (objects, says) in [
        ("{ max-object: 10 }", "`objects.max-object` is 10"),
        ("{ max-object: 2G }", "`objects.max-object` is 2G"),
        ("{ max-depth: 0 }", "`objects.max-depth` is 0"),
        (
            r#"{ metadata: { name: "a\"b" } }"#,
            "`objects.metadata.name`",
        ),
        (
            r#"{ metadata: { name: "" } }"#,
            "`objects.metadata.name` is empty",
        ),
        (
            r#"{ metadata: { style: flat, prefix: "" } }"#,
            "`objects.metadata.prefix` is empty",
        ),
        ("{ on-bad-object: ignore }", "unknown variant `ignore`"),
    ] {
        let shown = wrong(objects);
        assert!(shown.contains(says), "{objects}: {shown}");
    }
    let shown = error_of("apps: { a: { format: xml } }\n");
    assert!(shown.contains("`xml` is no format"), "{shown}");
}

#[test]
fn an_unknown_key_is_shown_with_the_nearest() {
    assert_snapshot!(error_of("node: { name: a }\nlisen: [\"127.0.0.1:0\"]\n"), @r##"
    error: unknown key `lisen`
     --> dpipesd.yaml:2:1
      |
    2 | lisen: ["127.0.0.1:0"]
      | ^^^^^ did you mean `listen`?
      |
      = help: keys here: version, node, listen, advertise, access, apps, run, schedule, streams, objects, registry, discovery, rest, drain-timeout, log, pid-file
    "##);
    assert_snapshot!(error_of("run:\n  path: [/bin]\n  leese: 5s\n"), @r##"
    error: unknown key `leese`
     --> dpipesd.yaml:3:3
      |
    3 |   leese: 5s
      |   ^^^^^ did you mean `lease`?
      |
      = help: keys here: path, env, cwd, run-as, allow-root, kill-grace, lease, max-processes, max-time, umask, credential
    "##);
}

#[test]
fn a_value_of_the_wrong_type_is_shown() {
    assert_snapshot!(error_of("run:\n  max-processes: many\n"), @r##"
    error: run.max-processes: string "many", expected a number
     --> dpipesd.yaml:2:18
      |
    2 |   max-processes: many
      |                  ^^^^
      |
      = help: what may stand there: dpipes help config
    "##);
    assert_snapshot!(error_of("listen: 127.0.0.1:3747\n"), @r##"
    error: listen: string "127.0.0.1:3747", expected a list
     --> dpipesd.yaml:1:9
      |
    1 | listen: 127.0.0.1:3747
      |         ^^^^^^^^^^^^^^
      |
      = help: what may stand there: dpipes help config
    "##);
}

#[test]
fn a_repeated_key_is_shown_at_its_second_place() {
    assert_snapshot!(error_of("access: local\nnode: { name: a }\naccess: open\n"), @r##"
    error: repeated key `access`
     --> dpipesd.yaml:3:1
      |
    3 | access: open
      | ^^^^^^ it already has a value
      |
      = help: keep one of them
    "##);
    assert_snapshot!(error_of("node:\n  labels:\n    zone: a\n    gpu: x\n    zone: b\n"), @r##"
    error: repeated key `zone`
     --> dpipesd.yaml:5:5
      |
    5 |     zone: b
      |     ^^^^ it already has a value
      |
      = help: keep one of them
    "##);
}

#[test]
fn a_bad_duration_is_shown_with_the_right_form() {
    assert_snapshot!(error_of("run: { lease: 15 }\n"), @r##"
    error: run.lease: `15` is no duration: write it as `10s`, `5m` or `250ms`
     --> dpipesd.yaml:1:15
      |
    1 | run: { lease: 15 }
      |               ^^
      |
      = help: what may stand there: dpipes help config
    "##);
}

#[test]
fn broken_yaml_is_shown_where_it_breaks() {
    assert_snapshot!(error_of("listen: [\"a:1\"\nnode: {}\n"), @r##"
    error: did not find expected ',' or ']'
     --> dpipesd.yaml:2:1
      |
    2 | node: {}
      | ^^^^^
      |
      = help: what may stand there: dpipes help config
    "##);
}

#[test]
fn weight_and_discovery_reach_the_settings() {
    let mut world = World::new();
    let settings = world.load().unwrap().settings;
    assert_eq!((settings.weight, settings.discovery.required), (10, false));
    assert_eq!(settings.discovery.ttl, Duration::from_secs(15));
    world.write(
        "etc/dpipesd.conf",
        "node: { weight: 0 }\ndiscovery: { required: true, ttl: 1m }\n",
    );
    world.set("DPIPES_DISCOVERY_TTL", "10m");
    let loaded = world.load().unwrap();
    let settings = loaded.settings;
    assert_eq!((settings.weight, settings.discovery.required), (0, true));
    assert_eq!(settings.discovery.ttl, Duration::from_secs(600));
    assert_eq!(
        loaded.layers.origin("discovery.ttl").unwrap().to_string(),
        "$DPIPES_DISCOVERY_TTL"
    );
    for bad in ["4999ms", "601s"] {
        world.set("DPIPES_DISCOVERY_TTL", bad);
        assert!(world.error().contains("between 5s and 10m"), "{bad}");
    }
    world.set("DPIPES_DISCOVERY_TTL", "5s");
    world.set("DPIPES_NODE_WEIGHT", "70000");
    assert!(world.error().contains("$DPIPES_NODE_WEIGHT"));
}

#[test]
fn another_version_of_the_format_is_refused() {
    assert_snapshot!(error_of("version: 2\n"), @r##"
    error: version 2 of the configuration is not known
     --> dpipesd.yaml:1:1
      |
    1 | version: 2
      | ^^^^^^^^^^ this build reads version 1
      |
      = help: upgrade dpipesd, or write the file as this version reads it: dpipes help config
    "##);
}

#[test]
fn a_variable_is_named_when_it_is_wrong() {
    let mut world = World::new();
    world.set("DPIPES_RUN_KILL_GRACE", "soon");
    assert_snapshot!(world.error(), @r##"
    error: $DPIPES_RUN_KILL_GRACE: `soon` is no duration: write it as `10s`, `5m` or `250ms`
      = help: what may stand there: dpipes help config
    "##);
}

#[test]
fn root_does_not_read_what_others_can_write() {
    let mut world = World::new();
    world.surroundings.uid = 0;
    let path = world.write("etc/dpipesd.conf", "access: open\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let owner = rustix::process::geteuid().as_raw();
    let shown = world.error().replace(&format!("owner {owner}"), "owner N");
    assert_snapshot!(shown, @r##"
    error: /etc/dpipesd.conf has mode 0666 and owner N, so others can write it, and root does not read such a file
      = help: make it root's alone: chown root /etc/dpipesd.conf && chmod go-w /etc/dpipesd.conf
    "##);
}

#[test]
fn a_daemon_of_root_must_know_who_runs_the_apps() {
    let mut world = World::new();
    world.surroundings.uid = 0;
    world
        .surroundings
        .environment
        .remove("DPIPES_RUN_ALLOW_ROOT");
    assert_snapshot!(world.error(), @r##"
    error: dpipesd runs as root, and nobody said which user runs the apps
      = help: name one with `run: { run-as: USER }` (DPIPES_RUN_RUN_AS), make a user `dpipes`, start dpipesd as another user, or insist with `run: { allow-root: true }` (DPIPES_RUN_ALLOW_ROOT=true)
    "##);

    let facts = Facts {
        hostname: "h".to_owned(),
        has_dpipes_user: true,
    };
    let run_as = |world: &World| {
        load(&world.surroundings, &world.flags, &facts)
            .unwrap()
            .settings
            .rules
            .run_as
            .clone()
    };
    assert_eq!(run_as(&world).as_deref(), Some("dpipes"));
    world.set("DPIPES_RUN_ALLOW_ROOT", "true");
    assert_eq!(run_as(&world), None);
}

#[test]
fn a_version_is_known_from_one_place() {
    let mut world = World::new();
    world.flags.config = Some(world.write(
        "d.yaml",
        "apps: { a: { version: \"1\", version-command: [a] } }\n",
    ));
    assert_snapshot!(world.error(), @r##"
    error: `apps.a` has both `version` and `version-command`
      = help: keep the one that is to be believed
    "##);
}

#[test]
fn an_embedded_entry_is_the_user_themselves() {
    let mut world = World::new();
    world.write(
        "etc/dpipesd.conf",
        "apps: { sort: ~ }\nregistry: [\"static:nodes.yaml\"]\naccess: open\nrun: { path: [/x] }\n",
    );
    world.set("PATH", "/a:/b");
    let facts = Facts {
        hostname: "h".to_owned(),
        has_dpipes_user: true,
    };
    let inputs = EmbeddedInputs {
        umask: 0o022,
        policy: Some(PolicyWord::Pack),
        ..EmbeddedInputs::default()
    };
    let settings = embedded(&world.surroundings, &facts, &inputs).unwrap();
    assert_eq!(settings.listen, []);
    assert_eq!(settings.access, Access::Local);
    assert_eq!(settings.rules.others, Others::Allow);
    assert_eq!(settings.rules.search_path, ["/a", "/b"].map(PathBuf::from));
    assert_eq!(settings.rules.cwd, Some(world.path("work")));
    assert_eq!(
        (settings.rules.umask, settings.rules.run_as.as_deref()),
        (0o022, None)
    );
    assert_eq!(
        settings.registries,
        [RegistrySettings::StaticFile(world.path("etc/nodes.yaml"))]
    );
    assert_eq!(settings.terms.policy, "pack");
}

#[test]
fn the_clients_file_is_small() {
    let world = World::new();
    let text = "connect: unix:/run/x\noptions: { pipefail: \"\", policy: pack }\ncolor: never\nregistry: [\"static:n.yaml\"]\n";
    world.write("home/.config/dpipes/dpipes.yaml", text);
    let file = ClientFile::load(&world.surroundings).unwrap();
    assert_eq!(file.options()["policy"], "pack");
    assert_eq!(file.color, Some(ColorWord::Never));
    assert_eq!(
        file.registry,
        Some(vec![RegistryEntry::File(
            world.path("home/.config/dpipes/n.yaml")
        )])
    );
    world.write("home/.config/dpipes/dpipes.yaml", "conect: x\n");
    assert!(
        ClientFile::load(&world.surroundings)
            .unwrap_err()
            .render(false)
            .contains("did you mean `connect`?")
    );
}

#[cfg(not(feature = "etcd"))]
#[test]
fn a_registry_that_this_build_lacks_is_refused_by_name() {
    for text in [
        "registry: [\"etcd:\"]\n",
        "registry:\n  - etcd: { prefix: /x }\n",
    ] {
        let error = error_of(text);
        assert!(
            error.contains("built without etcd") && error.contains("^^^^"),
            "{error}"
        );
    }
}

/// The page of the documentation with every key.
const PAGE: &str = include_str!("../../docs/configuration.md");

#[test]
fn every_key_and_variable_is_in_the_documentation() {
    let keys = keys("", "", "");
    assert!(
        ["version", "run.env.accept", "limits.open-files"]
            .iter()
            .all(|key| keys.iter().any(|known| known == key)),
        "{keys:?}"
    );
    let missing: Vec<String> = keys
        .into_iter()
        .filter(|key| !PAGE.contains(&format!("| `{key}` |")))
        .chain(environment::variables().filter(|variable| !PAGE.contains(&format!("`{variable}"))))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

/// The keys below a section, told by the error for one that nobody knows. Those of an app are named without `apps.<app>`.
fn keys(section: &str, before: &str, after: &str) -> Vec<String> {
    let text = format!("{before}{{ no-such-key: 1 }}{after}");
    // A map with keys of the user's own takes any.
    let Err(ConfigError::InFile(misplaced)) = source::parse(Path::new("x"), &text) else {
        return Vec::new();
    };
    let known = misplaced.help.as_deref();
    let Some(known) = known.and_then(|help| help.strip_prefix("keys here: ")) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for key in known.split(", ") {
        let path = if section.is_empty() {
            key.to_owned()
        } else {
            format!("{section}.{key}")
        };
        let (below, inner) = match path.as_str() {
            "apps" => (String::new(), Some(("{ apps: { x: ", " } }"))),
            _ => (path.clone(), None),
        };
        let (open, close) = match inner {
            Some((open, close)) => (open.to_owned(), close.to_owned()),
            None => (format!("{before}{{ {key}: "), format!(" }}{after}")),
        };
        let inside = keys(&below, &open, &close);
        // `access` is a word or a map of one key, and has one row.
        if inside.is_empty() || path == "apps" || path == "access" {
            found.push(path.clone());
        }
        if path != "access" {
            found.extend(inside);
        }
    }
    found
}

#[test]
fn networks_that_are_everybody_are_refused_where_they_stand() {
    assert_snapshot!(error_of(
        "version: 1\naccess:\n  networks: [10.0.0.0/8, 0.0.0.0/0]\n"
    ));
    assert_snapshot!(error_of("access: { networks: [\"::/1\", \"8000::/1\"] }\n"));
    let mut world = World::new();
    world.set("DPIPES_ACCESS_NETWORKS", "0.0.0.0/1,128.0.0.0/1");
    assert_snapshot!(world.error());
    let mut world = World::new();
    world.flags.networks = vec!["::/0".to_owned()];
    assert_snapshot!(world.error());
}
