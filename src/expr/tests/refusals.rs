//! What is refused: by which name, and where the caret stands.

use super::*;

#[track_caller]
fn check(cases: &[(&str, &str, &str)]) {
    for (source, code, at) in cases {
        assert_eq!(refusal(source), (*code, *at), "{source:?}");
    }
}

#[test]
fn expansions_are_refused_also_in_double_quotes() {
    check(&[
        ("echo $HOME/x", "variable", "$HOME"),
        ("echo \"a $HOME b\"", "variable", "$HOME"),
        ("echo a$_", "variable", "$_"),
        ("echo $\\\nHOME", "variable", "$\\\nHOME"),
        ("echo \"$\\\nHOME\"", "variable", "$\\\nHOME"),
        ("echo $1", "special-parameter", "$1"),
        ("echo \"$?\"", "special-parameter", "$?"),
        ("echo $$", "special-parameter", "$$"),
        ("echo ${x:-y} z", "parameter-expansion", "${x:-y}"),
        ("echo ${x", "parameter-expansion", "${"),
        ("echo $(date)", "command-substitution", "$(date)"),
        ("echo \"$(date)\"", "command-substitution", "$(date)"),
        ("echo $((1 + 2))", "arithmetic-expansion", "$((1 + 2))"),
        ("echo $[1]", "arithmetic-expansion", "$[1]"),
        ("echo $'a'", "ansi-quotes", "$'"),
        ("echo $\"a\"", "locale-quotes", "$\""),
        ("echo `date`", "backquote", "`"),
        ("echo \"`date`\"", "backquote", "`"),
    ]);
}

#[test]
fn operators_are_refused_by_name() {
    check(&[
        ("a; b", "semicolon", ";"),
        ("a;", "semicolon", ";"),
        ("a && b", "and-list", "&&"),
        ("a &\\\n& b", "and-list", "&\\\n&"),
        ("a || b", "or-list", "||"),
        ("a |\\\n| b", "or-list", "|\\\n|"),
        ("a & b", "background", "&"),
        ("a |&& b", "background", "&"),
        ("a\nb", "newline", "b"),
        ("a # x\n\n b", "newline", "b"),
        ("a\n| b", "newline", "|"),
        ("A=1\nb", "no-command", "A=1"),
        ("(a)", "parenthesis", "("),
        ("a )", "parenthesis", ")"),
        ("a b(c", "parenthesis", "("),
        ("f() { a; }", "function", "f("),
        ("ls @(a|b)", "extended-pattern", "@("),
        ("ls x!(a)", "extended-pattern", "!("),
    ]);
}

#[test]
fn redirections_are_refused_with_their_descriptor() {
    check(&[
        ("sort < x", "redirect-input", "<"),
        ("sort <x", "redirect-input", "<"),
        ("sort <> x", "redirect-input", "<>"),
        ("sort > x", "redirect-output", ">"),
        ("sort >> x", "redirect-output", ">>"),
        ("sort >| x", "redirect-output", ">|"),
        ("sort 1>x", "redirect-output", "1>"),
        ("sort x1>x", "redirect-output", ">"),
        ("sort {fd}>x", "redirect-output", "{fd}>"),
        ("sort 2>/dev/null", "redirect-stderr", "2>"),
        ("sort 2>&1 | x", "redirect-stderr", "2>&1"),
        ("sort 2>&3", "redirect-descriptor", "2>&"),
        ("sort >&2", "redirect-descriptor", ">&"),
        ("sort <&3", "redirect-descriptor", "<&"),
        ("sort &> x", "redirect-both", "&>"),
        ("sort << END", "here-document", "<<"),
        ("sort <<-END", "here-document", "<<"),
        ("sort <<< x", "here-string", "<<<"),
        ("diff <(a) b", "process-substitution", "<("),
        ("tee >(a)", "process-substitution", ">("),
    ]);
    let error = parse("make 2>&1 | less").expect_err("no pipeline");
    assert!(error.help().contains("`|&`"), "{}", error.help());
}

#[test]
fn braces_that_bash_expands_are_refused() {
    check(&[
        ("x {a,b}", "braces", "{a,b}"),
        ("x p{a,b}q", "braces", "{a,b}"),
        ("x {1..3}", "braces", "{1..3}"),
        ("x {01..+10..-2}", "braces", "{01..+10..-2}"),
        ("x {a..f}", "braces", "{a..f}"),
        ("x {,}", "braces", "{,}"),
        ("x x{},a}", "braces", "{},a}"),
        ("x {{a,b}", "braces", "{a,b}"),
        ("x {{1..2}", "braces", "{1..2}"),
        ("x {a{b}..c,d}", "braces", "{a{b}..c,d}"),
        ("x {a..},b}", "braces", "{a..},b}"),
        ("x {\"a\",b}", "braces", "{\"a\",b}"),
        ("x {a..b\",\"}", "braces", "{a..b\",\"}"),
        ("x a={1,2}", "braces", "{1,2}"),
        ("{a,b} x", "braces", "{a,b}"),
    ]);
}

#[test]
fn words_of_the_shells_language_are_refused_as_the_command() {
    for word in parser::RESERVED {
        let code = if word == "!" {
            "negation"
        } else {
            "reserved-word"
        };
        assert_eq!(refusal(&format!("{word} x")), (code, word));
        assert_eq!(refusal(&format!("a | @n {word}")), (code, word));
        assert_eq!(words_of(&stage(&format!("x {word}"))), ["x", word]);
        assert_eq!(words_of(&stage(&format!("A=1 {word}"))), [word]);
        assert_eq!(words_of(&stage(&format!("'{word}'"))), [word]);
    }
}

#[test]
fn a_stage_needs_an_app_of_its_own_name() {
    check(&[
        ("", "empty", ""),
        (" \n # x", "empty", ""),
        ("| a", "empty-stage", "|"),
        ("a | | b", "empty-stage", "|"),
        ("a |", "empty-stage", "|"),
        ("a |&\n", "empty-stage", "|&"),
        ("A=1 B=2", "no-command", "A=1 B=2"),
        ("a | A=1 | b", "no-command", "A=1"),
        ("@n", "no-command", "@n"),
        ("''", "empty-app", "''"),
        ("~/bin/x", "pattern-app", "~/bin/x"),
        ("l[s]", "array", "l["),
        ("./l[s] x", "pattern-app", "./l[s]"),
        ("* x", "pattern-app", "*"),
    ]);
    assert_eq!(
        parse("a | | b").expect_err("no pipeline").span,
        Span::new(4, 5)
    );
}

#[test]
fn arrays_and_appending_are_refused() {
    check(&[
        ("a=(1 2) x", "array", "a=("),
        ("a+=(1) x", "array", "a+=("),
        ("a[0]=1 x", "array", "a["),
        ("a[0 + 1]=1 x", "array", "a["),
        ("a+=1 x", "append-assignment", "a+="),
        ("declare a=(1)", "array", "a=("),
        ("x a[0]=~", "array", "a[0]="),
    ]);
}

#[test]
fn placements_must_name_something() {
    check(&[
        ("@ x", "placement", "@"),
        ("@'' x", "placement", "@''"),
        ("@a/b x", "placement", "@a/b"),
        ("@a,b=c x", "placement", "a"),
        ("@a=b, x", "placement", "@a=b,"),
        ("@=b x", "placement", "="),
        ("@a'=b'=c x", "placement", "a'=b'="),
        ("@a=* x", "placement", "*"),
        ("@{a,b} x", "placement", "{"),
        ("@a @b x", "placement", "@b"),
        ("@a=1,a=2 x", "placement", "a=2"),
    ]);
}

#[test]
fn quotes_must_be_closed_and_backslashes_have_something_to_escape() {
    check(&[
        ("a 'b", "unclosed-quote", "'"),
        ("a \"b 'c'", "unclosed-quote", "\""),
        ("a \"b\\\"", "unclosed-quote", "\""),
        ("a b\\", "trailing-backslash", "\\"),
        ("a \\", "trailing-backslash", "\\"),
        ("a\0b", "nul", "\0"),
        ("a b\r\n", "carriage-return", "\r"),
        ("a |\r\nb", "carriage-return", "\r"),
        ("a ~+", "tilde-of-shell", "~+"),
        ("a ~-/x", "tilde-of-shell", "~-"),
        ("a b ~x=~", "tilde-in-tilde", "~x=~"),
        ("a b=~:~=~/", "tilde-in-tilde", "~=~"),
        ("a ~2/x", "tilde-of-shell", "~2"),
    ]);
}

#[test]
fn brackets_that_lose_their_meaning_with_the_quotes_are_refused() {
    check(&[
        (r#"a x[a"-"c]y"#, "quoted-in-bracket", r#"[a"-"c]"#),
        (r"a [a\]b]", "quoted-in-bracket", r"[a\]b]"),
        (r"a [\!b]", "quoted-in-bracket", r"[\!b]"),
        ("a [[=a=]b]", "bracket-class", "[[=a=]"),
        ("a [[:no:]b]", "bracket-class", "[[:no:]"),
        (r"a [\[:digit:]b]", "bracket-class", r"[\[:digit:]"),
    ]);
}

#[test]
fn limits_hold_at_their_edge() {
    let word = |bytes: usize| format!("x {}", "a".repeat(bytes));
    assert!(parse(&word(MAX_WORD)).is_ok());
    assert_eq!(refusal(&word(MAX_WORD + 1)).0, "word-too-long");
    let stages = |count: usize| vec!["x"; count].join("|");
    assert!(parse(&stages(MAX_STAGES)).is_ok());
    assert_eq!(refusal(&stages(MAX_STAGES + 1)), ("too-many-stages", "x"));
    let words = |count: usize| "x ".repeat(count);
    assert!(parse(&words(MAX_WORDS)).is_ok());
    assert_eq!(refusal(&words(MAX_WORDS + 1)).0, "too-many-words");
    let source = |bytes: usize| format!("x #{}", "ä".repeat(bytes / 2));
    assert!(parse(&source(MAX_SOURCE - 4)).is_ok());
    assert_eq!(refusal(&source(MAX_SOURCE)).0, "source-too-long");
}

#[test]
fn hostile_texts_of_full_length_are_parsed_in_linear_time() {
    // Each is quadratic for a parser that begins anew at every character; then one of them alone takes minutes.
    let started = std::time::Instant::now();
    for unit in [
        "{",
        "[",
        "[/",
        "{..",
        "{a,",
        "[[:alpha:]",
        "{}",
        "a=~:",
        "~",
        "[!",
        "''",
        "$",
        "\\\n",
        "#",
        "*",
        "[\"-\"",
        "{a..",
        "x}",
        "=",
        ":~a",
    ] {
        let word = unit.repeat(MAX_WORD / unit.len() - 1);
        for source in [
            format!("x {word}"),
            format!("A={word} x"),
            format!("x a={word}]"),
            word,
        ] {
            let _ = parse(&source);
        }
    }
    assert!(
        started.elapsed().as_secs() < 20,
        "took {:?}",
        started.elapsed()
    );
}
