//! Streams that are meant to do harm.

use super::*;

/// As much as the longest object that is allowed here.
const MAX: usize = 1 << 20;

fn limited(on_bad_object: OnBadObject) -> Plan {
    Plan {
        on_bad_object,
        limits: Limits {
            max_object: MAX,
            ..Limits::default()
        },
        ..embedding(Layout::Framed)
    }
}

/// What the splitter of a JSON stream holds, in bytes.
fn held(transform: &Transform) -> usize {
    match &transform.splitter {
        Splitter::Json(splitter) => splitter.memory(),
        Splitter::Yaml(_) => panic!("a stream of JSON"),
    }
}

fn problem(text: &[u8]) -> (u64, Problem) {
    let plan = plain(Layout::Framed);
    let results: Vec<_> = [usize::MAX, 1, 2, 3]
        .map(|piece| transformed(&plan, text, piece))
        .into();
    assert!(
        results.iter().all(|result| result == &results[0]),
        "{results:?}"
    );
    let bad = results[0].1.clone().unwrap_err();
    (bad.offset, bad.problem)
}

#[test]
fn nesting_is_refused_at_the_first_level_too_many() {
    let limit = Limits::default().max_depth;
    let too_deep = (limit as u64, Problem::TooDeep { limit });
    assert_eq!(problem("[".repeat(100_000).as_bytes()), too_deep);
    let members = "{\"a\":".repeat(100_000);
    assert_eq!(problem(members.as_bytes()), (5 * limit as u64, too_deep.1));
    let deepest = "[".repeat(limit) + &"]".repeat(limit);
    assert_eq!(whole(&plain(Layout::AsWritten), &deepest).0, deepest);
    let both = "[{\"a\":".repeat(limit / 2) + "1" + &"}]".repeat(limit / 2);
    assert_eq!(whole(&plain(Layout::AsWritten), &both).0, both);
}

#[test]
fn an_object_as_long_as_allowed_is_taken_and_a_byte_more_is_not() {
    let limit = 8;
    let plan = Plan {
        limits: Limits {
            max_object: limit,
            ..Limits::default()
        },
        on_bad_object: OnBadObject::Skip,
        ..plain(Layout::Framed)
    };
    for longest in ["{\"a\":12}", "12345678", "\"123456\"", "[[[  ]]]"] {
        assert_eq!(longest.len(), limit);
        let text = format!("   {longest}\n 1");
        assert_eq!(whole(&plan, &text).0, format!("{longest}\n1\n"));
        let longer = format!(
            "  {}\n 1",
            longest.replace("12", "123").replace("  ", "   ")
        );
        assert_eq!(whole(&plan, &longer).0, "1\n");
        let fails = Plan {
            on_bad_object: OnBadObject::Fail,
            ..plan.clone()
        };
        let bad = transformed(&fails, longer.as_bytes(), 1).1.unwrap_err();
        assert_eq!((bad.offset, bad.problem), (10, Problem::TooLong { limit }));
    }
}

#[test]
fn an_endless_object_is_not_held_when_it_is_left_out_and_flows_when_it_passes() {
    let piece = "1,".repeat(1 << 15);
    let pieces = 100 * MAX / piece.len();
    for on_bad_object in [OnBadObject::Skip, OnBadObject::Pass] {
        let mut transform = Transform::new(limited(on_bad_object));
        let mut out = Vec::new();
        transform.push(&mut &b"{}["[..], &mut out).unwrap();
        let (mut came, mut most) = (0, 0);
        for _ in 0..pieces {
            let mut input = piece.as_bytes();
            while !input.is_empty() {
                out.clear();
                transform.push(&mut input, &mut out).unwrap();
                (came, most) = (came + out.len(), most.max(out.len()));
            }
        }
        assert!(held(&transform) < 2 * MAX, "{}", held(&transform));
        assert!(most <= MAX + piece.len(), "{most}");
        out.clear();
        transform.push(&mut &b"]\n{}"[..], &mut out).unwrap();
        assert!(out.ends_with(b"{\"M\":{\"dp.x\":1}}\n"));
        came += out.len();
        let counts = transform.counts();
        assert_eq!(counts.objects, 2);
        match on_bad_object {
            OnBadObject::Pass => assert_eq!(came, 1 + pieces * piece.len() + 2 + 17),
            _ => assert_eq!(came, 17),
        }
    }
}

#[test]
fn an_object_that_comes_byte_by_byte_is_read_once() {
    // Read again with every byte, a mebibyte would be half a tebibyte.
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX - 8));
    let (out, result) = transformed(&limited(OnBadObject::Fail), text.as_bytes(), 1);
    assert_eq!(out.len(), MAX + 16);
    assert_eq!(result.unwrap().objects, 1);
}

#[test]
fn memory_of_a_long_object_is_given_back() {
    let mut transform = Transform::new(limited(OnBadObject::Fail));
    let mut out = Vec::new();
    let text = format!("[\"{}\"]", "x".repeat(MAX / 2));
    for piece in text.as_bytes().chunks(1000) {
        transform.push(&mut &piece[..], &mut out).unwrap();
    }
    transform.push(&mut &b" "[..], &mut out).unwrap();
    assert!(held(&transform) <= 64 << 10, "{}", held(&transform));
}

#[test]
fn small_objects_that_become_large_ones_come_out_in_bounded_amounts() {
    let objects = 1 << 20;
    let text = "{}".repeat(objects);
    let mut transform = Transform::new(embedding(Layout::Framed));
    let mut input = text.as_bytes();
    let (mut calls, mut came) = (0, 0);
    while !input.is_empty() {
        let mut out = Vec::new();
        transform.push(&mut input, &mut out).unwrap();
        assert!(out.len() < ENOUGH + 100);
        (calls, came) = (calls + 1, came + out.len());
    }
    assert_eq!(came, 17 * objects);
    assert_eq!(calls, came.div_ceil(ENOUGH));
    assert_eq!(transform.counts().objects, objects as u64);
}

#[test]
fn bytes_that_are_no_utf8_are_found_wherever_they_are_and_however_they_are_cut() {
    let cases: [(&[u8], u64); 12] = [
        (b"\x80", 0),
        (b"\xc3", 0),
        (b"\xc3(", 0),
        (b"\xe2\x82", 0),
        (b"\xe2(\x82", 0),
        (b"\xf0\x9f\x98", 0),
        (b"\xf0\x9f", 0),
        (b"\xc0\x80", 0),
        (b"\xed\xa0\x80", 0),
        (b"\xf4\x90\x80\x80", 0),
        (b"\xc3\xa9\xff", 2),
        (b"\xe2\x82\xac\xf0\x9f\x98\x80\xfe", 7),
    ];
    for (bytes, at) in cases {
        for before in 0..9 {
            let mut text = b"{} {\"".to_vec();
            text.extend(std::iter::repeat_n(b'k', before));
            text.extend(bytes);
            text.extend(b"\":1}");
            let offset = 5 + before as u64 + at;
            assert_eq!(problem(&text), (offset, Problem::NotUtf8), "{bytes:x?}");
            // Another fault that comes later does not hide it.
            text.push(b']');
            assert_eq!(problem(&text), (offset, Problem::NotUtf8));
            text.truncate(offset as usize + bytes.len() - at as usize);
            text.push(b'\n');
            assert_eq!(problem(&text), (offset, Problem::NotUtf8));
        }
    }
}

#[test]
fn an_object_that_is_only_badly_encoded_costs_nobody_else() {
    let skip = Plan {
        on_bad_object: OnBadObject::Skip,
        ..plain(Layout::Framed)
    };
    let (out, result) = transformed(&skip, b"{}{\"\xff\":1}[1]\n", 1);
    assert_eq!(out, "{}\n[1]\n");
    assert_eq!(result.unwrap().skipped, 1);
}

#[test]
fn nul_and_other_control_characters_stand_nowhere_and_halves_of_pairs_pass() {
    for byte in (0..0x20).chain([0x7f]) {
        let is_space = b" \t\r\n".contains(&byte);
        let text = [b"[", &[byte][..], b"]"].concat();
        if !is_space {
            let wanted = "a value or `]`";
            assert_eq!(
                problem(&text),
                (
                    1,
                    Problem::Unexpected {
                        found: byte,
                        wanted
                    }
                )
            );
        }
        let text = [b"[\"a", &[byte][..], b"\"]"].concat();
        if byte < 0x20 {
            let wanted = "the rest of a text";
            assert_eq!(
                problem(&text),
                (
                    3,
                    Problem::Unexpected {
                        found: byte,
                        wanted
                    }
                )
            );
        }
    }
    let odd = r#"{"\u0000\ud800":"\udc00\ud83d\u0020"}"#;
    assert_eq!(whole(&plain(Layout::AsWritten), odd).0, odd);
}

#[test]
fn half_a_byte_order_mark_or_a_second_one_is_bad() {
    let bad = |found, wanted| Problem::Unexpected { found, wanted };
    assert_eq!(problem(b"\xef"), (0, bad(0xef, "a value")));
    assert_eq!(problem(b"\xef\xbb{}"), (0, bad(0xef, "a value")));
    assert_eq!(
        problem(b"\xef\xbb\xbf\xef\xbb\xbf{}"),
        (3, bad(0xef, "a value"))
    );
    let pass = Plan {
        on_bad_object: OnBadObject::Pass,
        ..plain(Layout::AsWritten)
    };
    for text in [&b"\xef\xbbx\n{}"[..], b"\xef", b"\xef\xbb\xbf\xef\n"] {
        for piece in [1, usize::MAX] {
            let (out, result) = transformed(&pass, text, piece);
            assert_eq!(out, String::from_utf8_lossy(text));
            assert_eq!(result.unwrap().passed, 1);
        }
    }
}
