//! What is accepted, and what it means.

use super::*;

#[test]
fn words_are_separated_by_blanks_and_stages_by_pipes() {
    assert_eq!(
        argv(" cat\ta.txt  | sort -r|uniq -c\n"),
        [vec!["cat", "a.txt"], vec!["sort", "-r"], vec!["uniq", "-c"]]
    );
}

#[test]
fn quotes_follow_the_rules_of_bash() {
    for (written, means) in [
        (r"'a b'", "a b"),
        (r#"'a"\b'"#, r#"a"\b"#),
        (r#""a 'b'""#, "a 'b'"),
        (r#""\$ \` \" \\ \a \'""#, r#"$ ` " \ \a \'"#),
        ("\"a\\\nb\"", "ab"),
        ("'a\\\nb'", "a\\\nb"),
        ("a\\\nb", "ab"),
        (r"a\ b\|c\'", "a b|c'"),
        (r#"a'b'"c"\d"#, "abcd"),
        ("''", ""),
        (r#""""#, ""),
        ("'{a,b}' ", "{a,b}"),
        ("'a\nb'", "a\nb"),
        ("ä'ö 'ü", "äö ü"),
    ] {
        assert_eq!(parts(written), Word::literal(means).parts, "{written}");
    }
}

#[test]
fn a_dollar_that_begins_no_expansion_is_itself() {
    for (written, means) in [
        ("a$", "a$"),
        (r#""a$""#, "a$"),
        (r#""$ b""#, "$ b"),
        ("$/", "$/"),
        (r#""$'y'""#, "$'y'"),
        ("$%$.$é", "$%$.$é"),
    ] {
        assert_eq!(parts(written), [text(means)], "{written}");
    }
}

#[test]
fn comments_and_newlines_go_where_bash_lets_them_go() {
    let source =
        "# first\n\n cat a#b \\\n -n | # and then\n\n  sort#x 'x' |&# both\nwc # end\n # more\n\n";
    assert_eq!(
        argv(source),
        [vec!["cat", "a#b", "-n"], vec!["sort#x", "x"], vec!["wc"]]
    );
}

#[test]
fn a_pipe_with_an_ampersand_joins_stderr() {
    let joined: Vec<_> = pipeline("a |& b | c")
        .stages
        .iter()
        .map(|stage| stage.stderr_joined)
        .collect();
    assert_eq!(joined, [true, false, false]);
}

#[test]
fn patterns_stay_marked() {
    let cases: [(&str, Vec<Part>); 20] = [
        ("*.txt", vec![glob("*"), text(".txt")]),
        ("a?b", vec![text("a"), glob("?"), text("b")]),
        (r#"'*'\?"*""#, vec![text("*?*")]),
        ("[a-z]*", vec![glob("[a-z]"), glob("*")]),
        ("[!a]", vec![glob("[!a]")]),
        ("[]a]", vec![glob("[]a]")]),
        ("[^]]", vec![glob("[^]]")]),
        ("[[:digit:]x]", vec![glob("[[:digit:]x]")]),
        ("[[:digit:]", vec![text("["), glob("[:digit:]")]),
        ("[", vec![text("[")]),
        ("[]", vec![text("[]")]),
        ("[a", vec![text("[a")]),
        ("[a/b]", vec![text("[a/b]")]),
        ("[a/[b]", vec![text("[a/"), glob("[b]")]),
        (r#"["a"b]"#, vec![glob("[ab]")]),
        (r"[a\ b]", vec![glob("[a b]")]),
        (r"[\]a]", vec![glob("[]a]")]),
        (r"[a\-]", vec![glob("[a-]")]),
        (r"\[a]", vec![text("[a]")]),
        (r"[a\]", vec![text("[a]")]),
    ];
    for (written, means) in cases {
        assert_eq!(parts(written), means, "{written}");
    }
}

#[test]
fn a_tilde_is_a_home_only_where_bash_says_so() {
    let cases: [(&str, Vec<Part>); 22] = [
        ("~", vec![home("")]),
        ("~/x", vec![home(""), text("/x")]),
        ("~ada/x", vec![home("ada"), text("/x")]),
        ("~/'x y'", vec![home(""), text("/x y")]),
        ("~/*", vec![home(""), text("/"), glob("*")]),
        ("a~", vec![text("a~")]),
        ("'~'", vec![text("~")]),
        (r"\~", vec![text("~")]),
        (r"~\/x", vec![text("~/x")]),
        (r#"~"ada""#, vec![text("~ada")]),
        (r#"""~"#, vec![text("~")]),
        (r#"~"""#, vec![text("~")]),
        ("~a*", vec![text("~a"), glob("*")]),
        ("~ada:x", vec![home("ada"), text(":x")]),
        ("~:'x'", vec![text("~:x")]),
        ("~:~", vec![home(""), text(":~")]),
        ("a:~", vec![text("a:~")]),
        ("if=~/disk", vec![text("if="), home(""), text("/disk")]),
        (
            "a+='x y':~:~b",
            vec![text("a+=x y:"), home(""), text(":"), home("b")],
        ),
        ("--if=~", vec![text("--if=~")]),
        ("a'b'=~", vec![text("ab=~")]),
        ("a=b~", vec![text("a=b~")]),
    ];
    for (written, means) in cases {
        assert_eq!(parts(written), means, "{written}");
    }
}

#[test]
fn braces_that_bash_leaves_alone_are_text() {
    for written in [
        "{}",
        "{a}",
        "{",
        "}",
        "{a",
        "a,b}",
        "{{a}}",
        "{..}",
        "{1..}",
        "{..1}",
        "{a..1}",
        "{1..3..}",
        "{1..99999999999999999999}",
        "{},a}",
        "{a...}",
        "{é..ü}",
        "a{b}c,d",
        "}{,",
        "{{}",
        "{a..bc}",
    ] {
        assert_eq!(parts(written), [text(written)], "{written}");
    }
    assert_eq!(parts("{a','b}"), [text("{a,b}")]);
    assert_eq!(parts(r"\{a,b}"), [text("{a,b}")]);
    assert_eq!(parts(r"{a,b\}"), [text("{a,b}")]);
    assert_eq!(parts("{1'..'3}"), [text("{1..3}")]);
}

#[test]
fn assignments_before_the_app_are_its_environment() {
    let stage = stage("A=1 B= C='x y'\"z\" D=* E={a,b} PATH=~/bin:~ada:x~ if F=2");
    let env: Vec<_> = stage
        .env
        .iter()
        .map(|a| (a.name.as_str(), a.value.parts.clone()))
        .collect();
    assert_eq!(
        env,
        [
            ("A", vec![text("1")]),
            ("B", vec![]),
            ("C", vec![text("x yz")]),
            ("D", vec![text("*")]),
            ("E", vec![text("{a,b}")]),
            (
                "PATH",
                vec![home(""), text("/bin:"), home("ada"), text(":x~")]
            ),
        ]
    );
    assert_eq!(words_of(&stage), ["if", "F=2"]);
    assert_eq!(
        &pipeline("A=1 x").source[pipeline("A=1 x").stages[0].env[0].span.range()],
        "A=1"
    );
}

#[test]
fn what_only_looks_like_an_assignment_is_an_app() {
    for (written, app) in [
        ("1A=x", "1A=x"),
        ("'A'=x", "A=x"),
        (r"A\=x", "A=x"),
        ("-A=x", "-A=x"),
    ] {
        assert_eq!(words_of(&stage(written)), [app]);
    }
}

#[test]
fn placements_stand_before_the_command() {
    let node = |name| Constraint::Node(NodeId::new(name).expect("a node name"));
    let label = |key: &str, value: &str| Constraint::Label {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    for (written, placement) in [
        ("@node-b sort", vec![node("node-b")]),
        (
            "@gpu=yes,zone=a sort",
            vec![label("gpu", "yes"), label("zone", "a")],
        ),
        (
            "@node-b @gpu= A=1 sort",
            vec![node("node-b"), label("gpu", "")],
        ),
        ("A=1 @x/y=a'b, c'=d sort", vec![label("x/y", "ab, c=d")]),
        ("sort @x", vec![]),
        ("'@x' sort", vec![]),
        (r"\@x=y sort", vec![]),
    ] {
        let source = format!("cat | {written} | tee");
        assert_eq!(
            pipeline(&source).stages[1].placement,
            placement,
            "{written}"
        );
    }
    assert_eq!(stage("'@x' @y").app_name(), "@x");
    let source = "A=1 @a @b=c B=2 x";
    let span = stage(source).placement_span.expect("two places");
    assert_eq!(&source[span.range()], "@a @b=c");
}

#[test]
fn spans_cover_stages_and_words() {
    let source = "cat 'ä ö' | @n A=1 sort -r  | wc";
    let pipeline = pipeline(source);
    let at = |span: Span| &source[span.range()];
    assert_eq!(at(pipeline.stages[0].span), "cat 'ä ö'");
    assert_eq!(at(pipeline.stages[0].args[0].span), "'ä ö'");
    assert_eq!(at(pipeline.stages[1].span), "@n A=1 sort -r");
    assert_eq!(at(pipeline.stages[1].app.span), "sort");
    assert_eq!(at(pipeline.stages[2].span), "wc");
    assert_eq!(pipeline.source, source);
}

#[test]
fn the_canonical_spelling_is_plain_where_it_can_be() {
    for (written, canonical) in [
        (
            "cat  a.txt|sort   -k1,2 |& \"wc\"",
            "cat a.txt | sort -k1,2 |& wc",
        ),
        ("x \"it's\" '' a\\ b", r"x 'it'\''s' '' 'a b'"),
        (
            "A='' B=\"x y\" @zone='a,b',y=z @n1 x",
            "@zone='a,b' @y=z @n1 A= B='x y' x",
        ),
        ("x ~/'a b' *.t'x t' [a\\ b]", "x ~/'a b' *'.tx t' [a\\ b]"),
        ("x p='a b':~:~c/'d e':~", "x p='a b':~:~c/'d e':~"),
        ("P='a b=':~ 'time' '@x'", "P='a b=':~ 'time' @x"),
        ("'@x'", "'@x'"),
        ("'time'", "'time'"),
        ("'a=b'", "'a=b'"),
    ] {
        assert_eq!(pipeline(written).to_string(), canonical);
    }
}

#[test]
fn shell_only_names_are_apps_with_a_hint() {
    for name in
        "cd read export alias source . eval exec set unset umask wait jobs fg bg trap shift ulimit local \
         declare typeset return break continue hash type command builtin let shopt history pushd popd dirs"
            .split_whitespace()
    {
        assert_eq!(words_of(&stage(&format!("{name} x"))), [name, "x"]);
        assert!(shell_only_hint(name).is_some(), "{name}");
    }
    for name in ["sort", "test", "[", "echo", "kill", "true", "time"] {
        assert_eq!(shell_only_hint(name), None, "{name}");
    }
}
