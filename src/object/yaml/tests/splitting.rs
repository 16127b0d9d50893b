//! Where documents end.

use super::*;

#[test]
fn markers_part_documents() {
    assert_eq!(documents(b"a: 1\n---\nb: 2\n"), ["a: 1\n", "---\nb: 2\n"]);
    assert_eq!(
        documents(b"---\na: 1\n...\n---\nb: 2\n...\n"),
        ["---\na: 1\n...\n", "---\nb: 2\n...\n"]
    );
    assert_eq!(
        documents(b"--- !t\na: 1\n--- {b: 2}\n--- |\n x\n---\t1"),
        ["--- !t\na: 1\n", "--- {b: 2}\n", "--- |\n x\n", "---\t1"]
    );
    assert_eq!(
        documents(b"a: 1\n... # end\nb: 2"),
        ["a: 1\n... # end\n", "b: 2"]
    );
}

#[test]
fn only_whole_markers_at_the_beginning_of_a_line_count() {
    for one in [
        "----\n",
        "---a\n",
        " ---\n",
        "....\n",
        "a: ---\n",
        "- ...\n",
        "--",
        "..",
        "--- a --- b\n",
        "a\n ...\n",
    ] {
        assert_eq!(documents(one.as_bytes()), [one]);
    }
}

#[test]
fn markers_end_scalars_too() {
    assert_eq!(documents(b"a: |\n  x\n---\nb"), ["a: |\n  x\n", "---\nb"]);
    assert_eq!(documents(b"a: \"x\n...\nb\"\n"), ["a: \"x\n...\n", "b\"\n"]);
}

#[test]
fn nothing_between_markers_is_an_empty_document_only_behind_a_start() {
    assert_eq!(documents(b"---\n---\n"), ["---\n", "---\n"]);
    assert_eq!(documents(b"---"), ["---"]);
    for none in [
        "",
        "\n",
        " \t\n\n",
        "...\n",
        "...\n...\n",
        "# c\n",
        "a",
        "\u{feff}",
        "# c\n...\n# d",
        "... # c\n\n",
        "...",
    ] {
        let expected: &[&str] = if none == "a" { &["a"] } else { &[] };
        assert_eq!(documents(none.as_bytes()), expected, "{none:?}");
    }
    assert_eq!(documents(b"a: 1\n...\n\n# c\n...\n"), ["a: 1\n...\n"]);
}

#[test]
fn directives_and_comments_belong_to_what_follows() {
    assert_eq!(
        documents(b"%YAML 1.2\n# c\n---\na: 1\n"),
        ["%YAML 1.2\n# c\n---\na: 1\n"]
    );
    assert_eq!(
        documents(b"\n# c\n\n%TAG ! !x\n---\na\n...\n%YAML 1.2\n--- b\n"),
        ["# c\n\n%TAG ! !x\n---\na\n...\n", "%YAML 1.2\n--- b\n"]
    );
    assert_eq!(documents(b"  # c\na: 1\n"), ["  # c\na: 1\n"]);
    assert_eq!(documents(b"a:\n%b\n"), ["a:\n%b\n"]);
}

#[test]
fn line_ends_and_byte_order_marks_are_those_of_yaml() {
    assert_eq!(
        documents(b"a: 1\r\n---\r\nb: 2\r\n...\r\n"),
        ["a: 1\r\n", "---\r\nb: 2\r\n...\r\n"]
    );
    assert_eq!(
        documents(b"a\r---\rb\r...\rc"),
        ["a\r", "---\rb\r...\r", "c"]
    );
    assert_eq!(
        documents("\u{feff}a\n...\n\u{feff}---\nb".as_bytes()),
        ["a\n...\n", "---\nb"]
    );
    assert_eq!(
        documents("\u{feff}# c\n\u{feff}%YAML 1.2\n--- b".as_bytes()),
        ["%YAML 1.2\n--- b"]
    );
}

#[test]
fn a_document_comes_as_soon_as_its_end_is_known() {
    let mut splitter = Splitter::new(Limits::default());
    let mut input: &[u8] = b"---\na: 1\n...\n";
    assert!(matches!(
        splitter.next(&mut input),
        Cut::Found {
            number: 1,
            offset: 0,
            ..
        }
    ));
    assert_eq!(splitter.next(&mut input), Cut::More);
    let mut input: &[u8] = b"b: 2\n---\n";
    assert!(matches!(
        splitter.next(&mut input),
        Cut::Found {
            number: 2,
            offset: 13,
            ..
        }
    ));
}

#[test]
fn what_is_not_utf_8_is_bad_and_the_next_document_is_not() {
    let (found, all) = cut([&b"a: 1\n---\nb: \xff\n---\nc: 3\n"[..]], Limits::default());
    assert_eq!(
        found,
        [
            Piece::Document("a: 1\n".to_owned(), 1, 0),
            Piece::Bad(Problem::NotUtf8, 2, 12),
            Piece::Document("---\nc: 3\n".to_owned(), 3, 14),
        ]
    );
    assert_eq!(all, b"a: 1\n---\nb: \xff\n---\nc: 3\n");
    let (found, _) = cut([&b"\xff\xfea\0:\0 \x001\0"[..]], Limits::default());
    let [Piece::Bad(Problem::NotYaml { detail }, 1, 0)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(detail.contains("UTF-16"));
}

#[test]
fn what_is_too_long_is_left_out_without_being_held() {
    let limits = Limits {
        max_object: 10,
        ..Limits::default()
    };
    let too_long = Problem::TooLong { limit: 10 };
    let mut stream = b"a: 3456789\n---\nb: 2\n".to_vec();
    let (found, _) = cut([&stream[..]], limits);
    assert_eq!(
        found,
        [
            Piece::Bad(too_long.clone(), 1, 0),
            Piece::Document("---\nb: 2\n".to_owned(), 2, 11)
        ]
    );
    stream.splice(3..4, []);
    assert!(matches!(
        cut([&stream[..]], limits).0[0],
        Piece::Document(..)
    ));
    for stream in [
        "aaaaaa\nbbbbbb\ncccccc\n...\nd",
        "a\n...\n# 3456789012345\nb\n...\nc",
        "123456789012345",
        "aaaaaaaaa\r\n...\r\nb",
        "aaaaaaaaaa\n...\nb",
        "aaaaa\n...........\n",
    ] {
        let (whole, all) = cut([stream.as_bytes()], limits);
        assert_eq!(all, stream.as_bytes());
        assert!(
            whole
                .iter()
                .any(|one| matches!(one, Piece::Bad(problem, ..) if *problem == too_long))
        );
        assert_eq!(
            cut(stream.as_bytes().chunks(1), limits),
            (whole, all),
            "{stream:?}"
        );
    }
    let mut splitter = Splitter::new(limits);
    let piece = vec![b'a'; 1 << 20];
    for _ in 0..100 {
        let mut input = &piece[..];
        while !input.is_empty() {
            splitter.next(&mut input);
        }
    }
}
