//! How refusals look.

use insta::assert_snapshot;

use super::*;

fn drawn(source: &str) -> String {
    parse(source).expect_err("no pipeline").render(source)
}

#[test]
fn a_redirection_points_at_its_operator() {
    assert_snapshot!(drawn("cat a.txt | sort > out"), @r#"
    error: redirection of output is not supported
     --> pipeline:1:18
      |
    1 | cat a.txt | sort > out
      |                  ^ needs a shell
      |
      = help: redirect dpipes itself: dpipes '…' > file; or write on a node: … | tee file, sh -c '… > file'
    "#);
}

#[test]
fn a_variable_in_double_quotes_is_pointed_at() {
    assert_snapshot!(drawn("cat f | grep \"$HOME\" | wc"), @r#"
    error: a variable is not supported
     --> pipeline:1:15
      |
    1 | cat f | grep "$HOME" | wc
      |               ^^^^^ needs a shell
      |
      = help: in double quotes your own shell expands it: dpipes "…"; on the node sh -c '…' does; \$ is the character itself
    "#);
}

#[test]
fn an_empty_stage_points_at_the_pipe_after_it() {
    assert_snapshot!(drawn("a | | b"), @r#"
    error: no command before `|`
     --> pipeline:1:5
      |
    1 | a | | b
      |     ^ a command is expected before this
      |
      = help: remove the `|`, quote it as '|' if it is an argument, or name an app before it
    "#);
}

#[test]
fn the_line_of_a_longer_text_is_shown() {
    assert_snapshot!(drawn("cat a |\n  # note\n  sort &&\n wc"), @r#"
    error: a list of commands with `&&` is not supported
     --> pipeline:3:8
      |
    3 |   sort &&
      |        ^^ needs a shell
      |
      = help: run dpipes once for each: dpipes '…' && dpipes '…'; or both in a shell on one node: sh -c '… && …'
    "#);
}

#[test]
fn an_open_quote_points_at_its_beginning() {
    assert_snapshot!(drawn("echo 'ab\ncd"), @r#"
    error: a single quote is not closed
     --> pipeline:1:6
      |
    1 | echo 'ab
      |      ^ opened here
      |
      = help: close it with ', or write \' for the character itself
    "#);
}

#[test]
fn tabs_do_not_move_the_caret() {
    assert_snapshot!(drawn("\tcat\tx\ty;"), @r#"
    error: a list of commands with `;` is not supported
     --> pipeline:1:9
      |
    1 |     cat    x    y;
      |                  ^ ends a command
      |
      = help: run dpipes once for each, run both in a shell on one node: sh -c '…; …', or write \; for the character itself
    "#);
}

#[test]
fn wide_letters_do_not_move_the_caret() {
    assert_snapshot!(drawn("echo 日本語 ; ls"), @r#"
    error: a list of commands with `;` is not supported
     --> pipeline:1:10
      |
    1 | echo 日本語 ; ls
      |             ^ ends a command
      |
      = help: run dpipes once for each, run both in a shell on one node: sh -c '…; …', or write \; for the character itself
    "#);
}

#[test]
fn the_end_of_the_text_can_be_pointed_at() {
    assert_snapshot!(drawn(""), @r#"
    error: the pipeline is empty
     --> pipeline:1:1
      |
    1 |
      | ^ a command is expected here
      |
      = help: name an app, as in: dpipes 'seq 5 | sort -r'
    "#);
}

#[test]
fn a_pipe_at_the_end_is_pointed_at_on_its_line() {
    assert_snapshot!(drawn("cat a |\n"), @r#"
    error: no command after `|`
     --> pipeline:1:7
      |
    1 | cat a |
      |       ^ a command is expected after this
      |
      = help: remove the `|`, quote it as '|' if it is an argument, or name an app after it
    "#);
}

#[test]
fn a_descriptor_belongs_to_its_redirection() {
    assert_snapshot!(drawn("make 2>&1 | less"), @r#"
    error: redirection of stderr to stdout is not supported
     --> pipeline:1:6
      |
    1 | make 2>&1 | less
      |      ^^^^ needs a shell
      |
      = help: write `|&` for the `|` after this command; behind the last one: sh -c '… 2>&1'
    "#);
}

#[test]
fn a_second_line_is_pointed_at() {
    assert_snapshot!(drawn("a\nb | c"), @r#"
    error: a newline that ends a command is not supported
     --> pipeline:2:1
      |
    2 | b | c
      | ^ stands on a new line
      |
      = help: end the line with `|` if the pipeline goes on, or with a backslash if the command does
    "#);
}

#[test]
fn what_a_terminal_obeys_is_shown_escaped() {
    assert_snapshot!(drawn("x \u{1b}[31m | @a/\u{7}\u{202e}b x"), @r#"
    error: `a/\u{7}\u{202e}b` is no node name: 1 to 63 letters, digits, `.`, `_`, `+`, `-` or `[` are
     --> pipeline:1:16
      |
    1 | x \u{1b}[31m | @a/\u{7}\u{202e}b x
      |                ^^^^^^^^^^^^^^^^^ not a node
      |
      = help: list the nodes: dpipes nodes; quote the `@` as '@' if the word is an app
    "#);
}

#[test]
fn a_later_refusal_looks_the_same() {
    assert_snapshot!(render(
        "cat /data/a.txt | srot",
        Span::new(18, 22),
        "no node offers the app `srot`",
        "asked consul (12 ms ago): 3 nodes, 11 apps",
        Some("did you mean `sort` (node-b, node-c)?  all of them: dpipes apps"),
    ), @r#"
    error: no node offers the app `srot`
     --> pipeline:1:19
      |
    1 | cat /data/a.txt | srot
      |                   ^^^^ asked consul (12 ms ago): 3 nodes, 11 apps
      |
      = help: did you mean `sort` (node-b, node-c)?  all of them: dpipes apps
    "#);
}

#[test]
fn a_word_over_two_lines_is_marked_whole() {
    assert_snapshot!(render("cat 'a\nb' x", Span::new(4, 9), "refused", "not allowed", None), @r#"
    error: refused
     --> pipeline:1:5
      |
    1 |   cat 'a
      |  _____^
    2 | | b' x
      | |__^ not allowed
    "#);
}

#[test]
fn a_span_beyond_the_source_ends_up_at_its_end() {
    assert_snapshot!(render("cat é", Span::new(5, 99), "refused", "not allowed", None), @r#"
    error: refused
     --> pipeline:1:5
      |
    1 | cat é
      |     ^ not allowed
    "#);
}

#[test]
fn a_long_line_is_cut_around_the_caret() {
    assert_snapshot!(render(
        &format!("x {}; y", "a ".repeat(60_000)),
        Span::new(120_002, 120_003),
        "refused",
        "not allowed",
        None,
    ), @r#"
    error: refused
     --> pipeline:1:120003
      |
    1 | ...a a a a a a a a a a a a a a a a a a a a a a a a a a a a a ; y
      |                                                              ^ not allowed
    "#);
}
