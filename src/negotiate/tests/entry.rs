use super::*;

fn accept(agreed: &Agreed) -> Accept {
    Accept {
        stage: agreed.stage,
        program: agreed.program.to_string_lossy().into_owned(),
        argv: agreed.args.iter().map(ToString::to_string).collect(),
        version: agreed.version.clone(),
        user: agreed.user.clone(),
        cwd: "/".to_owned(),
        locale: agreed.locale.clone(),
        input: agreed.format.reads,
        output: agreed.format.writes,
        naming: None,
        isolation: "pgroup".to_owned(),
        dropped_env: agreed.dropped_env,
        pid: Some(1),
    }
}

/// `cat | sort -n | uniq`, the first and last on node `a`, the second on `b`.
fn asked(extra: Value) -> Vec<Asked> {
    let part = |name: &str, stages| Asked {
        node: node(name),
        addresses: vec![format!("{name}:3747")],
        offer: offer_with(3, stages, extra.clone()),
    };
    vec![
        part(
            "a",
            vec![
                stage(1, &["cat"], json!({})),
                stage(3, &["uniq"], json!({})),
            ],
        ),
        part("b", vec![stage(2, &["sort", "-n"], json!({}))]),
    ]
}

fn answers(asked: &[Asked]) -> Vec<Answer> {
    answers_of(asked, &facts())
}

fn answers_of(asked: &[Asked], facts: &Facts) -> Vec<Answer> {
    let answer = |asked: &Asked| Answer {
        node: asked.node.clone(),
        stages: check_offer(&asked.offer, &Rules::default(), facts)
            .into_iter()
            .map(|result| match result {
                Ok(agreed) => StageAnswer::Accept(accept(&agreed)),
                Err(refusal) => StageAnswer::Refuse(refusal),
            })
            .collect(),
        ignored: ignored_options(&asked.offer, facts),
        features: facts.features.clone(),
    };
    asked.iter().map(answer).collect()
}

fn accepted(answer: &mut Answer, index: usize) -> &mut Accept {
    match &mut answer.stages[index] {
        StageAnswer::Accept(accept) => accept,
        StageAnswer::Refuse(refusal) => panic!("{refusal:?}"),
    }
}

#[track_caller]
fn disagrees(asked: &[Asked], answers: &[Answer], parameter: &str) -> Disagreement {
    let disagreement = check_answers(asked, answers, Ends::default()).expect_err("a disagreement");
    assert_eq!(
        disagreement.refused[0].refusal.parameter, parameter,
        "{disagreement:?}"
    );
    disagreement
}

#[test]
fn all_agree_and_each_node_finds_its_own_stages_in_the_terms() {
    let none = facts().features;
    let asked = asked(json!({"options": {"nice": "5"}}));
    let agreement = check_answers(&asked, &answers(&asked), Ends::default()).unwrap();
    let nodes: Vec<_> = agreement
        .terms
        .stages
        .iter()
        .map(|place| place.node.as_str())
        .collect();
    assert_eq!(nodes, ["a", "b", "a"]);
    assert_eq!(agreement.digest, digest(&agreement.text));
    assert_eq!(agreement.ignored.len(), 2);
    assert!(agreement.notes.is_empty());
    let own = |name: &str| {
        let all = agreement.accepts.iter().filter(|(n, _)| n.as_str() == name);
        all.map(|(_, accept)| accept.clone()).collect::<Vec<_>>()
    };
    for one in &asked {
        let accepts = own(one.node.as_str());
        assert_eq!(
            check_terms(&agreement.text, &one.node, &one.offer, &accepts, &none).as_ref(),
            Ok(&agreement.terms)
        );
        let mut other = accepts.clone();
        other[0].user = "eve".to_owned();
        for (text, node, accepts) in [
            (agreement.text.as_str(), &one.node, &other),
            (&agreement.text, &node("c"), &accepts),
            ("{}", &one.node, &accepts),
            (
                &agreement
                    .text
                    .replace("\"output\":\"bytes\"", "\"output\":\"json\""),
                &one.node,
                &accepts,
            ),
            (
                &agreement.text.replace("\"attempt\":1", "\"attempt\":2"),
                &one.node,
                &accepts,
            ),
        ] {
            let refusal = check_terms(text, node, &one.offer, accepts, &none).unwrap_err();
            assert_eq!(refusal.parameter, "terms");
        }
    }
}

/// Whether each link of `cat | sort | uniq` on `a`, `b` and `a` is compressed, the entry's first and last.
fn compressed(answers: &[Answer], asked: &[Asked], ends: Ends) -> [Compress; 4] {
    let terms = check_answers(asked, answers, ends).unwrap().terms;
    let to = |stage| terms.compress_to(StageNumber::new(stage));
    [to(1), to(2), to(3), to(4)]
}

#[test]
fn a_link_is_compressed_only_where_both_its_ends_can() {
    let able = Facts {
        features: [ZSTD.to_owned()].into(),
        ..facts()
    };
    let ends = |compress, entry_compresses| Ends {
        compress,
        entry_compresses,
        ..Ends::default()
    };
    use Compress::{Auto, Off, Zstd};
    let asked_for = asked(json!({"features": [ZSTD]}));
    disagrees(&asked_for, &answers(&asked_for), "features");
    let all = answers_of(&asked_for, &able);
    assert_eq!(compressed(&all, &asked_for, ends(Zstd, true)), [Zstd; 4]);

    let asked = asked(json!({}));
    let all = answers_of(&asked, &able);
    let of = |answers: &[Answer], ends| compressed(answers, &asked, ends);
    assert_eq!(of(&all, ends(Auto, true)), [Auto; 4]);
    assert_eq!(of(&all, ends(Auto, false)), [Off, Auto, Auto, Off]);
    assert_eq!(of(&all, ends(Off, true)), [Off; 4]);
    // A node of an older version says nothing of features.
    let agreement = check_answers(&asked, &all, ends(Auto, true)).unwrap();
    let accepts: Vec<_> = agreement.accepts[1..2]
        .iter()
        .map(|(_, a)| a.clone())
        .collect();
    let check = |features| {
        let (text, offer) = (&agreement.text, &asked[1].offer);
        check_terms(text, &node("b"), offer, &accepts, features)
    };
    assert!(check(&able.features).is_ok());
    let refusal = check(&facts().features).unwrap_err();
    assert_eq!(
        refusal.parameter, "terms",
        "what a node said that it cannot do"
    );
    let mut old = all.clone();
    old[1].features.clear();
    assert_eq!(of(&old, ends(Auto, true)), [Auto, Off, Off, Auto]);
}

#[test]
fn nothing_is_compressed_on_its_way_within_a_node() {
    let mut asked = asked(json!({}));
    for one in &mut asked {
        one.offer.entry = node("a");
    }
    let able = Facts {
        features: [ZSTD.to_owned()].into(),
        ..facts()
    };
    use Compress::{Off, Zstd};
    let ends = Ends {
        compress: Zstd,
        entry_compresses: true,
        ..Ends::default()
    };
    let compressed = compressed(&answers_of(&asked, &able), &asked, ends);
    assert_eq!(compressed, [Off, Zstd, Zstd, Off]);
}

#[test]
fn links_end_with_a_digest_if_every_node_was_asked_for_it_and_can() {
    let asked = asked(json!({"features": [DIGEST]}));
    disagrees(&asked, &answers(&asked), "features");

    let able = Facts {
        features: [DIGEST.to_owned()].into(),
        ..facts()
    };
    let answers = answers_of(&asked, &able);
    let agreement = check_answers(&asked, &answers, Ends::default()).unwrap();
    assert!(agreement.terms.link_digests);
    let accepts: Vec<_> = agreement.accepts[1..2]
        .iter()
        .map(|(_, a)| a.clone())
        .collect();
    let check =
        |text: &str| check_terms(text, &node("b"), &asked[1].offer, &accepts, &able.features);
    assert_eq!(check(&agreement.text).as_ref(), Ok(&agreement.terms));
    let without = agreement.text.replace("\"link_digests\":true,", "");
    assert_ne!(without, agreement.text);
    assert_eq!(check(&without).unwrap_err().parameter, "terms");
}

#[test]
fn every_node_answers_once_and_nobody_else_does() {
    let asked = asked(json!({}));
    let all = answers(&asked);
    disagrees(&asked, &all[..1], "answer");
    disagrees(&asked, &[], "answer");
    disagrees(
        &asked,
        &[all[0].clone(), all[1].clone(), all[1].clone()],
        "answer",
    );
    let mut foreign = all.clone();
    foreign.push(Answer {
        node: node("eve"),
        ..all[1].clone()
    });
    assert_eq!(
        disagrees(&asked, &foreign, "answer").refused[0].node,
        node("eve")
    );
    let mut short = all.clone();
    short[0].stages.pop();
    disagrees(&asked, &short, "answer");
    let mut swapped = all;
    swapped[0].stages.reverse();
    disagrees(&asked, &swapped, "answer");
}

#[test]
fn what_was_accepted_is_what_was_asked() {
    let asked = asked(json!({}));
    type Lie = fn(&mut Accept);
    let lies: [(&str, Lie); 5] = [
        ("arguments", |a| a.argv.clear()),
        ("arguments", |a| a.argv = vec!["-r".to_owned()]),
        ("app", |a| a.program = "sort".to_owned()),
        ("format", |a| a.input = Format::Json),
        ("answer", |a| a.stage = StageNumber::new(9)),
    ];
    for (parameter, lie) in lies {
        let mut answers = answers(&asked);
        lie(accepted(&mut answers[1], 0));
        let disagreement = disagrees(&asked, &answers, parameter);
        assert!(!disagreement.is_passing());
        let excluded: Vec<_> = disagreement.excluded().collect();
        assert_eq!(excluded, [(StageNumber::new(2), node("b"))]);
    }
    let mut picky = asked.clone();
    picky[1].offer.stages[0].require = Some(">=10".to_owned());
    disagrees(&picky, &answers(&asked), "version");
    let mut picky = asked.clone();
    picky[1].offer.stages[0].user = Some("bob".to_owned());
    disagrees(&picky, &answers(&asked), "user");
}

#[test]
fn formats_fit_along_every_link() {
    let mut asked = asked(json!({}));
    asked[1].offer.stages[0].output = Format::Json;
    let refused = disagrees(&asked, &answers(&asked), "format").refused;
    assert_eq!(refused[0].stages, [StageNumber::new(3)]);
    let refusal = &refused[0].refusal;
    assert_eq!(
        (refusal.wanted.as_str(), refusal.got.as_str()),
        ("`uniq` reads bytes", "`sort` writes json")
    );
    for reads in [Format::Json, Format::Yaml] {
        asked[0].offer.stages[1].input = reads;
        assert!(check_answers(&asked, &answers(&asked), Ends::default()).is_ok());
    }
    asked[0].offer.stages[1].input = Format::Bytes;
    let mixed = Ends {
        mixed: true,
        ..Ends::default()
    };
    assert!(check_answers(&asked, &answers(&asked), mixed).is_ok());
}

#[test]
fn formats_fit_at_the_clients_ends() {
    let asked = asked(json!({}));
    let ends = |input, output| Ends {
        input,
        output,
        mixed: false,
        ..Ends::default()
    };
    let refusal = |ends| {
        let disagreement = check_answers(&asked, &answers(&asked), ends).unwrap_err();
        let refused = &disagreement.refused[0];
        (
            refused.stages.clone(),
            refused.refusal.wanted.clone(),
            refused.refusal.got.clone(),
        )
    };
    assert_eq!(
        refusal(ends(Format::Json, None)),
        (
            vec![StageNumber::FIRST],
            "`cat` reads bytes".to_owned(),
            "the client writes json".to_owned()
        )
    );
    assert_eq!(
        refusal(ends(Format::Bytes, Some(Format::Yaml))),
        (
            vec![StageNumber::new(3)],
            "the client reads yaml".to_owned(),
            "`uniq` writes bytes".to_owned()
        )
    );
}

#[test]
fn the_terms_tell_every_node_what_its_neighbours_write() {
    let mut asked = asked(json!({}));
    asked[1].offer.stages[0].output = Format::Json;
    asked[0].offer.stages[1].input = Format::Json;
    let terms = check_answers(&asked, &answers(&asked), Ends::default())
        .unwrap()
        .terms;
    let outputs: Vec<Format> = terms.stages.iter().map(|place| place.output).collect();
    assert_eq!(outputs, [Format::Bytes, Format::Json, Format::Bytes]);
}

#[test]
fn different_locales_are_a_note_and_on_request_a_refusal() {
    for (options, agrees) in [(json!({}), true), (json!({"locale": "same"}), false)] {
        let asked = asked(json!({"options": options}));
        let mut answers = answers(&asked);
        accepted(&mut answers[1], 0).locale = "de_DE.UTF-8".to_owned();
        if agrees {
            let notes = check_answers(&asked, &answers, Ends::default())
                .unwrap()
                .notes;
            assert_eq!(notes.len(), 1);
            assert!(
                notes[0].contains("`de_DE.UTF-8` for sort@b")
                    && notes[0].contains("none for cat@a, uniq@a"),
                "{notes:?}"
            );
        } else {
            disagrees(&asked, &answers, "locale");
        }
    }
}

#[test]
fn a_busy_node_is_passing_and_a_rule_is_not() {
    let asked = asked(json!({}));
    let mut answers = answers(&asked);
    let busy = Refusal {
        stage: None,
        parameter: "availability".to_owned(),
        wanted: "work".to_owned(),
        got: "leaving".to_owned(),
        kind: Gone,
        word: None,
        hint: None,
    };
    answers[0].stages = vec![StageAnswer::Refuse(busy.clone()); 2];
    let passing = check_answers(&asked, &answers, Ends::default()).unwrap_err();
    assert!(passing.is_passing());
    assert_eq!((passing.refused.len(), passing.excluded().count()), (1, 2));
    let forbidden = Refusal {
        stage: Some(StageNumber::new(2)),
        kind: Forbidden,
        ..busy
    };
    answers[1].stages = vec![StageAnswer::Refuse(forbidden)];
    let both = check_answers(&asked, &answers, Ends::default()).unwrap_err();
    assert!(!both.is_passing());
    assert_eq!(
        both.refused[0].node,
        node("b"),
        "what ends the run comes first"
    );
}

#[test]
fn stages_offered_to_nobody_or_to_two_are_noticed() {
    let mut gap = asked(json!({}));
    gap.pop();
    disagrees(&gap, &answers(&gap), "stages");
    let mut twice = asked(json!({}));
    let again = Asked {
        node: node("c"),
        ..twice[1].clone()
    };
    twice.push(again);
    disagrees(&twice, &answers(&twice), "stages");
}

proptest! {
    #[test]
    fn a_refusal_in_any_stage_is_no_agreement(bad in 0..3_usize, kind in prop::sample::select(vec![Forbidden, NoSuchApp, NotExecutable, Busy, Gone])) {
        let asked = asked(json!({}));
        let mut answers = answers(&asked);
        let (answer, index) = [(0, 0), (1, 0), (0, 1)][bad];
        let number = asked[answer].offer.stages[index].stage;
        answers[answer].stages[index] = StageAnswer::Refuse(Refusal {
            stage: Some(number), parameter: "app".to_owned(), wanted: "x".to_owned(), got: "y".to_owned(), kind, word: None, hint: None,
        });
        let disagreement = check_answers(&asked, &answers, Ends::default()).unwrap_err();
        let excluded: Vec<_> = disagreement.excluded().collect();
        prop_assert_eq!(excluded, vec![(number, asked[answer].node.clone())]);
    }

    #[test]
    fn answers_in_any_order_make_one_agreement_and_its_digest_is_equal_only_for_equal_terms(
        swap: bool, user in "[a-c]", attempt in 1..3_u32, other_user in "[a-c]", other_attempt in 1..3_u32,
    ) {
        let agreement = |user: &str, attempt: u32, swap: bool| {
            let asked = asked(json!({"attempt": attempt}));
            let mut answers = answers(&asked);
            accepted(&mut answers[1], 0).user = user.to_owned();
            if swap {
                answers.reverse();
            }
            check_answers(&asked, &answers, Ends::default()).unwrap()
        };
        let (one, two) = (agreement(&user, attempt, swap), agreement(&other_user, other_attempt, false));
        let same = (&user, attempt) == (&other_user, other_attempt);
        prop_assert_eq!(one.terms == two.terms, same);
        prop_assert_eq!(one.digest == two.digest, same);
    }
}
