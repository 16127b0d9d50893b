use super::*;

#[test]
fn a_plain_stage_is_agreed_to_by_default_rules() {
    let agreed = check(
        stage(1, &["sort", "-n"], json!({})),
        &Rules::default(),
        &facts(),
    )
    .unwrap();
    assert_eq!(agreed.program, PathBuf::from("/usr/bin/sort"));
    assert_eq!(agreed.args, [Word::literal("-n")]);
    assert_eq!(
        (agreed.user.as_str(), agreed.cwd, agreed.umask),
        ("ann", None, 0o077)
    );
    assert_eq!(agreed.version.as_deref(), Some("9.1"));
}

#[test]
fn an_app_is_there_or_the_refusal_says_what_is_wrong() {
    let mut facts = facts();
    let broken = Program::NotExecutable {
        path: "/usr/bin/tar".into(),
        detail: "permission denied".to_owned(),
    };
    facts.apps.insert(
        "tar".to_owned(),
        AppFact {
            program: broken,
            version: None,
        },
    );
    let rules = Rules::default();
    let none = refused(
        check(stage(1, &["srot"], json!({})), &rules, &facts),
        "app",
        NoSuchApp,
    );
    assert_eq!((none.word, none.stage), (Some(0), Some(StageNumber::FIRST)));
    refused(
        check(stage(1, &["tar"], json!({})), &rules, &facts),
        "app",
        NotExecutable,
    );
    let cd = refused(
        check(stage(1, &["cd"], json!({})), &rules, &facts),
        "app",
        NoSuchApp,
    );
    assert!(cd.hint.unwrap().contains("shell"));
    let listed = named("sort", AppRule::default());
    refused(
        check(stage(1, &["cat"], json!({})), &listed, &facts),
        "app",
        NoSuchApp,
    );
    assert!(check(stage(1, &["sort"], json!({})), &listed, &facts).is_ok());
}

#[test]
fn versions_are_met_known_and_readable_or_refused() {
    let ask = |app: &str, require: &str| {
        check(
            stage(1, &[app], json!({"require": require})),
            &Rules::default(),
            &facts(),
        )
    };
    assert!(ask("sort", ">=8.30").is_ok());
    assert_eq!(
        refused(ask("sort", ">=10"), "version", Forbidden).got,
        "9.1"
    );
    refused(ask("cat", ">=8.30"), "version", Forbidden);
    refused(ask("sort", "newest"), "version", Forbidden);
}

#[test]
fn arguments_are_judged_word_by_word_with_the_place_of_the_wrong_one() {
    let rule = |args| {
        named(
            "sort",
            AppRule {
                args,
                ..AppRule::default()
            },
        )
    };
    let deny = rule(rules::ArgRules {
        deny: vec!["--compress-program*".to_owned()],
        ..Default::default()
    });
    let words = ["sort", "-n", "--compress-program=sh"];
    let no = refused(
        check(stage(1, &words, json!({})), &deny, &facts()),
        "arguments",
        Forbidden,
    );
    assert_eq!(
        (no.word, no.wanted.as_str()),
        (Some(2), "--compress-program=sh")
    );
    let allow = rule(rules::ArgRules {
        allow: vec!["-[nr]".to_owned()],
        max: Some(2),
        ..Default::default()
    });
    assert!(check(stage(1, &["sort", "-n", "-r"], json!({})), &allow, &facts()).is_ok());
    assert_eq!(
        refused(
            check(stage(1, &["sort", "-n", "-u"], json!({})), &allow, &facts()),
            "arguments",
            Forbidden
        )
        .word,
        Some(2)
    );
    assert_eq!(
        refused(
            check(
                stage(1, &["sort", "-n", "-r", "-n"], json!({})),
                &allow,
                &facts()
            ),
            "arguments",
            Forbidden
        )
        .word,
        Some(3)
    );
    let exact = rule(rules::ArgRules {
        exact: Some(vec!["-n".to_owned()]),
        ..Default::default()
    });
    assert!(check(stage(1, &["sort", "-n"], json!({})), &exact, &facts()).is_ok());
    for (words, word) in [
        (&["sort"][..], 0),
        (&["sort", "-r"], 1),
        (&["sort", "-n", "x"], 2),
    ] {
        let no = refused(
            check(stage(1, words, json!({})), &exact, &facts()),
            "arguments",
            Forbidden,
        );
        assert_eq!(no.word, Some(word), "{words:?}");
    }
}

#[test]
fn what_a_glob_became_is_judged_after_expansion() {
    let args = rules::ArgRules {
        deny: vec!["-*".to_owned()],
        ..Default::default()
    };
    let glob = Word {
        parts: vec![Part::Glob("*".to_owned())],
    };
    let rules = named(
        "cat",
        AppRule {
            args: args.clone(),
            ..AppRule::default()
        },
    );
    assert!(
        check(
            stage(1, &["cat"], json!({"args": [glob]})),
            &rules,
            &facts()
        )
        .is_ok()
    );
    assert!(check_arguments(&args, &["a", "b"]).is_ok());
    let no = check_arguments(&args, &["a", "-rf"]).unwrap_err();
    assert_eq!(
        (no.parameter.as_str(), no.wanted.as_str()),
        ("arguments", "-rf")
    );
    let exact = rules::ArgRules {
        exact: Some(vec![]),
        ..Default::default()
    };
    assert!(check_arguments::<&str>(&exact, &[]).is_ok());
    assert_eq!(
        check_arguments(&exact, &[""]).unwrap_err().got,
        "no arguments"
    );
    let rules = named(
        "cat",
        AppRule {
            args: exact,
            ..AppRule::default()
        },
    );
    let glob = Word {
        parts: vec![Part::Glob("*".to_owned())],
    };
    refused(
        check(
            stage(1, &["cat"], json!({"args": [glob]})),
            &rules,
            &facts(),
        ),
        "arguments",
        Forbidden,
    );
    let home = Word {
        parts: vec![Part::Home(Some("a\0b".to_owned()))],
    };
    for args in [vec![Word::literal("a\0b")], vec![home]] {
        refused(
            check(
                stage(1, &["sort"], json!({"args": args})),
                &Rules::default(),
                &facts(),
            ),
            "arguments",
            Forbidden,
        );
    }
}

fn with_env(name: &str, value: &str) -> Value {
    json!({"env": [{"name": name, "value": Word::literal(value)}]})
}

#[test]
fn variables_asked_for_by_name_are_taken_whole_or_refused() {
    let ask = |name: &str, rules: &Rules, facts: &Facts| {
        check(stage(1, &["sort"], with_env(name, "x")), rules, facts)
    };
    let free = Rules::default();
    assert_eq!(ask("FOO", &free, &facts()).unwrap().env.len(), 1);
    for name in ["LD_PRELOAD", "PATH", "DP_NODE", "a b"] {
        refused(ask(name, &free, &facts()), "environment", Forbidden);
    }
    let strict = named(
        "sort",
        AppRule {
            env_accept: vec!["FOO*".to_owned()],
            ..AppRule::default()
        },
    );
    assert!(ask("FOO_1", &strict, &facts()).is_ok());
    assert!(ask("LC_ALL", &strict, &facts()).is_ok());
    refused(ask("BAR", &strict, &facts()), "environment", Forbidden);
    let shell = Facts {
        own_shell: true,
        ..facts()
    };
    assert!(ask("LD_PRELOAD", &free, &shell).is_ok());
}

#[test]
fn variables_the_client_merely_has_are_taken_or_counted_and_the_locale_is_told() {
    let ambient = json!({"ambient": [["LANG", "C.UTF-8"], ["TZ", "/etc/passwd"], ["EDITOR", "ed"], ["LC_COLLATE", "C"], ["LC_CTYPE", "a\0b"]]});
    let ask = |extra: Value, rules: &Rules| {
        let offer = offer_with(1, vec![stage(1, &["sort"], extra)], ambient.clone());
        check_offer(&offer, rules, &facts()).remove(0).unwrap()
    };
    let agreed = ask(json!({}), &Rules::default());
    let names: Vec<_> = agreed
        .ambient
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!((names, agreed.dropped_env), (vec!["LANG", "LC_COLLATE"], 3));
    assert_eq!(agreed.locale, "C");
    assert_eq!(
        ask(with_env("LC_ALL", "de_DE.UTF-8"), &Rules::default()).locale,
        "de_DE.UTF-8"
    );
    let env_set = BTreeMap::from([("LC_ALL".to_owned(), "POSIX".to_owned())]);
    let owner = named(
        "sort",
        AppRule {
            env_set,
            ..AppRule::default()
        },
    );
    assert_eq!(
        ask(with_env("LC_ALL", "de_DE.UTF-8"), &owner).locale,
        "POSIX"
    );
}

#[test]
fn apps_run_as_who_the_owner_says_and_never_as_root_by_accident() {
    let ask = |user: Option<&str>, rules: &Rules, facts: &Facts| {
        check(stage(1, &["sort"], json!({"user": user})), rules, facts).map(|agreed| agreed.user)
    };
    let no = |result: Result<String, Refusal>| assert_eq!(result.unwrap_err().parameter, "user");
    let free = Rules::default();
    assert_eq!(ask(Some("ann"), &free, &facts()).unwrap(), "ann");
    no(ask(Some("root"), &free, &facts()));
    let img = named(
        "sort",
        AppRule {
            run_as: Some("img".to_owned()),
            ..AppRule::default()
        },
    );
    no(ask(None, &img, &facts()));
    let root = |users: &[&str]| Facts {
        user: "root".to_owned(),
        privileged: true,
        users: users.iter().map(|user| (*user).to_owned()).collect(),
        ..facts()
    };
    assert_eq!(ask(Some("img"), &img, &root(&["img"])).unwrap(), "img");
    no(ask(None, &img, &root(&[])));
    no(ask(None, &free, &root(&["root"])));
    assert_eq!(ask(None, &free, &root(&["dpipes"])).unwrap(), "dpipes");
    let as_root = Rules {
        run_as: Some("root".to_owned()),
        ..Rules::default()
    };
    no(ask(None, &as_root, &root(&["root"])));
    let insist = Rules {
        allow_root: true,
        ..as_root
    };
    assert_eq!(ask(None, &insist, &root(&["root"])).unwrap(), "root");
}

#[test]
fn formats_fit_the_node_and_the_app() {
    let ask = |input: &str, output: &str, rules: &Rules| {
        check(
            stage(1, &["sort"], json!({"input": input, "output": output})),
            rules,
            &facts(),
        )
    };
    assert!(ask("json", "bytes", &Rules::default()).is_ok());
    let old = Facts {
        formats: vec![Format::Bytes],
        ..facts()
    };
    let yaml = stage(1, &["sort"], json!({"input": "yaml"}));
    refused(check(yaml, &Rules::default(), &old), "format", Forbidden);
    let json_only = named(
        "sort",
        AppRule {
            reads: Some(Format::Json),
            writes: Some(Format::Bytes),
            ..AppRule::default()
        },
    );
    // What the owner says of the app counts; whether that fits is the entry's to see.
    let agreed = ask("bytes", "json", &json_only).unwrap().format;
    assert_eq!((agreed.reads, agreed.writes), (Format::Json, Format::Bytes));
    let joined = json!({"stdout": "joined"});
    let pair = offer(vec![
        stage(1, &["cat"], joined),
        stage(2, &["sort"], json!({"stdin": "joined"})),
    ]);
    let both = Rules {
        others: Others::Allow,
        ..json_only
    };
    let refusal = refused(
        check_offer(&pair, &both, &facts()).remove(1),
        "format",
        Forbidden,
    );
    assert_eq!(refusal.hint.as_deref(), Some("-f json"));
}

#[test]
fn a_directory_is_absolute() {
    let ask = |cwd: &str| {
        check(
            stage(1, &["sort"], json!({"cwd": cwd})),
            &Rules::default(),
            &facts(),
        )
    };
    assert_eq!(ask("/data").unwrap().cwd, Some(PathBuf::from("/data")));
    refused(ask("data"), "directory", Forbidden);
}

#[test]
fn room_runs_out_stage_by_stage() {
    let rules = Rules {
        max_stages: 3,
        ..Rules::default()
    };
    let facts = Facts {
        running: 1,
        ..facts()
    };
    let stages = (1..=3).map(|n| stage(n, &["cat"], json!({}))).collect();
    let mut results = check_offer(&offer(stages), &rules, &facts);
    refused(results.pop().unwrap(), "room", Busy);
    assert!(results.iter().all(Result::is_ok));
}

#[test]
fn what_is_wrong_with_the_whole_offer_is_every_stages_refusal() {
    let limited = Rules {
        max_deadline: Some(Duration::from_secs(60)),
        credential: CredentialRule::Demanded,
        ..Rules::default()
    };
    let leaving = Facts {
        draining: true,
        ..facts()
    };
    let fine = json!({"deadline_ms": 60_000, "credential": "x"});
    for (parameter, kind, extra, facts) in [
        (
            "features",
            Forbidden,
            json!({"features": ["replay"]}),
            facts(),
        ),
        ("hops", Forbidden, json!({"hops": 17}), facts()),
        ("deadline", Forbidden, json!({"deadline_ms": null}), facts()),
        (
            "deadline",
            Forbidden,
            json!({"deadline_ms": 60_001}),
            facts(),
        ),
        ("lease", Forbidden, json!({"lease_ms": 3_600_001}), facts()),
        (
            "kill-grace",
            Forbidden,
            json!({"kill_grace_ms": u64::MAX}),
            facts(),
        ),
        ("window", Forbidden, json!({"window": 4095}), facts()),
        ("credential", Forbidden, json!({"credential": ""}), facts()),
        ("availability", Gone, json!({}), leaving),
        ("stages", Forbidden, json!({"stages_total": 1}), facts()),
        ("stages", Forbidden, json!({"stages_total": 1025}), facts()),
    ] {
        let stages = || {
            vec![
                stage(1, &["cat"], json!({})),
                stage(2, &["sort"], json!({})),
            ]
        };
        let mut all = fine.clone();
        let good = check_offer(
            &offer_with(2, stages(), all.clone()),
            &limited,
            &self::facts(),
        );
        assert!(good.iter().all(Result::is_ok));
        lay(&mut all, extra);
        let results = check_offer(&offer_with(2, stages(), all), &limited, &facts);
        assert_eq!(results.len(), 2);
        for result in results {
            assert_eq!(refused(result, parameter, kind).stage, None);
        }
    }
}

#[test]
fn stages_are_in_order_and_joined_ends_meet() {
    let joined = |end: &str| json!({end: "joined"});
    let pair = || {
        vec![
            stage(1, &["cat"], joined("stdout")),
            stage(2, &["sort"], joined("stdin")),
        ]
    };
    assert!(
        check_offer(&offer(pair()), &Rules::default(), &facts())
            .iter()
            .all(Result::is_ok)
    );
    for stages in [
        pair().into_iter().rev().collect(),
        pair().drain(..1).collect(),
        pair().drain(1..).collect(),
        vec![
            stage(1, &["cat"], joined("stdout")),
            stage(3, &["sort"], joined("stdin")),
        ],
        vec![
            stage(1, &["cat"], json!({})),
            stage(1, &["sort"], json!({})),
        ],
        vec![stage(0, &["cat"], json!({}))],
    ] {
        for result in check_offer(
            &offer_with(3, stages, json!({})),
            &Rules::default(),
            &facts(),
        ) {
            refused(result, "stages", Forbidden);
        }
    }
}

#[test]
fn options_are_heeded_or_named_as_ignored() {
    let offer = offer_with(1, vec![], json!({"options": {"window": "1M", "nice": "5"}}));
    assert_eq!(ignored_options(&offer, &facts()), ["nice"]);
}

prop_compose! {
    /// A stage that may be wrong in every way that JSON can say.
    fn any_stage(number: u16)(
        app in prop::sample::select(vec!["cat", "sort", "cd", "", "nope", "tar"]),
        args in prop::collection::vec(prop::sample::select(vec!["-n", "-x", "", "a\0b", "--file=1"]), 0..4),
        env in prop::option::of(prop::sample::select(vec!["FOO", "LD_PRELOAD", "1x", "LANG"])),
        require in prop::option::of(prop::sample::select(vec![">=1", ">=99", "?"])),
        user in prop::option::of(prop::sample::select(vec!["ann", "root"])),
        cwd in prop::option::of(prop::sample::select(vec!["/", "x"])),
        input in prop::sample::select(vec!["bytes", "json", "yaml"]),
        stdin in prop::sample::select(vec!["link", "link", "joined", "null"]),
    ) -> Value {
        let words: Vec<_> = std::iter::once(app).chain(args).collect();
        let env: Vec<_> = env.into_iter().map(|name| json!({"name": name, "value": Word::literal("x")})).collect();
        stage(number, &words, json!({"env": env, "require": require, "user": user, "cwd": cwd, "input": input, "stdin": stdin}))
    }
}

prop_compose! {
    fn any_rules()(
        strict: bool,
        max in prop::option::of(0..3_u16),
        deny in prop::collection::vec(Just("--*".to_owned()), 0..2),
        max_stages in 0..3_u32,
        demanded: bool,
        run_as in prop::option::of(Just("img".to_owned())),
    ) -> Rules {
        let args = rules::ArgRules { deny, max, ..Default::default() };
        Rules {
            max_stages,
            run_as,
            credential: if demanded { CredentialRule::Demanded } else { CredentialRule::NotAsked },
            others: if strict { Others::Deny } else { Others::Allow },
            apps: [("sort".to_owned(), AppRule { args, ..AppRule::default() })].into(),
            ..Rules::default()
        }
    }
}

proptest! {
    #[test]
    fn every_refusal_names_a_row_of_the_table_and_has_both_sides(
        stages in (any_stage(1), any_stage(2)), rules in any_rules(), hops in 0..20_u8, window in 0..20_000_u32,
    ) {
        let offer = offer_with(2, vec![stages.0, stages.1], json!({"hops": hops, "window": window}));
        let results = check_offer(&offer, &rules, &facts());
        prop_assert_eq!(results.len(), 2);
        for refusal in results.into_iter().filter_map(Result::err) {
            prop_assert!(parameter(&refusal.parameter).is_some(), "{}", refusal.parameter);
            prop_assert!(!refusal.got.is_empty());
        }
    }
}
