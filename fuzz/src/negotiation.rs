//! Offers of a strange entry, answers of strange nodes, and the terms between them.

use std::path::PathBuf;

use dpipes::{
    id::NodeId,
    negotiate::{
        Agreed, AppFact, Asked, Ends, Facts, Program, check_answers, check_offer, check_terms,
        digest, parameter,
        rules::{AppRule, ArgRules, Rules},
    },
    wire::message::{Accept, Answer, Offer, Refusal, StageAnswer},
};

/// What a node accepts is harmless to run and agreeable to its entry; what it refuses says why.
pub fn offer(input: &[u8]) {
    let Ok(offer) = serde_json::from_slice::<Offer>(input) else {
        return;
    };
    let results = check_offer(&offer, &rules(), &facts());
    assert_eq!(results.len(), offer.stages.len());
    for (stage, result) in offer.stages.iter().zip(&results) {
        match result {
            Ok(agreed) => {
                assert_eq!((agreed.stage, &agreed.args), (stage.stage, &stage.args));
                let words = agreed.args.iter().map(ToString::to_string);
                let values = agreed.env.iter().map(|one| one.value.to_string());
                assert!(!words.chain(values).any(|text| text.contains('\0')));
                let legal =
                    |name: &str, value: &str| !name.contains(['=', '\0']) && !value.contains('\0');
                assert!(
                    agreed
                        .ambient
                        .iter()
                        .all(|(name, value)| legal(name, value))
                );
            }
            Err(refusal) => {
                assert!(refusal.stage.is_none_or(|at| at == stage.stage));
                check_refusal(refusal);
            }
        }
    }
    let accepts: Result<Vec<Accept>, Refusal> =
        results.iter().cloned().map(|r| r.map(accept)).collect();
    let whole = usize::from(offer.stages_total) == offer.stages.len();
    if let Ok(accepts) = accepts
        && whole
        && offer
            .options
            .get("locale")
            .is_none_or(|wanted| wanted != "same")
    {
        let asked = Asked {
            node: node("a"),
            addresses: vec!["a:3747".to_owned()],
            offer,
        };
        let answer = Answer {
            node: node("a"),
            stages: accepts.iter().cloned().map(StageAnswer::Accept).collect(),
            ignored: Vec::new(),
            features: facts().features,
        };
        // Whatever the formats: here they may meet.
        let ends = Ends {
            mixed: true,
            ..Ends::default()
        };
        let agreement = check_answers(std::slice::from_ref(&asked), &[answer], ends)
            .expect("an entry agrees to what its node accepted");
        let terms = check_terms(
            &agreement.text,
            &asked.node,
            &asked.offer,
            &accepts,
            &facts().features,
        );
        assert_eq!(terms, Ok(agreement.terms));
    }
}

/// Answers that an entry agrees to make terms that each node finds itself in; a disagreement names who refused and why.
pub fn answers(input: &[u8]) {
    let Ok(answers) = serde_json::from_slice::<Vec<Answer>>(input) else {
        return;
    };
    let asked = asked();
    match check_answers(&asked, &answers, Ends::default()) {
        Ok(agreement) => {
            assert_eq!(agreement.digest, digest(&agreement.text));
            for one in &asked {
                let own = agreement
                    .accepts
                    .iter()
                    .filter(|(node, _)| node == &one.node);
                let own: Vec<Accept> = own.map(|(_, accept)| accept.clone()).collect();
                let terms = check_terms(
                    &agreement.text,
                    &one.node,
                    &one.offer,
                    &own,
                    &facts().features,
                );
                assert_eq!(terms.as_ref(), Ok(&agreement.terms));
            }
        }
        Err(disagreement) => {
            assert!(!disagreement.refused.is_empty());
            assert!(!disagreement.to_string().is_empty());
        }
    }
}

/// Terms hold for a node only as it accepted them, and mean the same when written anew.
pub fn terms(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let asked = asked();
    let answers = answers_to(&asked);
    let agreement = check_answers(&asked, &answers, Ends::default()).expect("honest nodes agree");
    for (one, answer) in asked.iter().zip(&answers) {
        let accepts: Vec<Accept> = answer.stages.iter().filter_map(accepted).collect();
        match check_terms(text, &one.node, &one.offer, &accepts, &facts().features) {
            Ok(terms) => {
                let own = |stages: &[dpipes::wire::message::Place]| {
                    let own = stages.iter().filter(|place| place.node == one.node);
                    own.map(|place| (place.stage, place.digest.clone()))
                        .collect::<Vec<_>>()
                };
                assert_eq!(own(&terms.stages), own(&agreement.terms.stages));
                let anew = serde_json::to_string(&terms).expect("what was JSON is JSON");
                assert_eq!(
                    check_terms(&anew, &one.node, &one.offer, &accepts, &facts().features),
                    Ok(terms)
                );
            }
            Err(refusal) => {
                assert_eq!(refusal.parameter, "terms");
                check_refusal(&refusal);
                assert_ne!(text, agreement.text);
            }
        }
    }
}

fn check_refusal(refusal: &Refusal) {
    assert!(parameter(&refusal.parameter).is_some(), "{refusal:?}");
    assert!(!refusal.got.is_empty(), "{refusal:?}");
}

// === the cast ===

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("it is a name")
}

/// A node with one app under rules and any other that was found.
fn rules() -> Rules {
    let careful = AppRule {
        args: ArgRules {
            deny: vec!["-o*".to_owned(), "--output*".to_owned()],
            max: Some(8),
            ..ArgRules::default()
        },
        env_accept: vec!["SORT_*".to_owned()],
        ..AppRule::default()
    };
    Rules {
        apps: [("sort".to_owned(), careful)].into(),
        ..Rules::default()
    }
}

fn facts() -> Facts {
    let found = |app: &str| {
        let fact = AppFact {
            program: Program::Found(PathBuf::from(format!("/usr/bin/{app}"))),
            version: Some("9.1".to_owned()),
        };
        (app.to_owned(), fact)
    };
    Facts {
        apps: ["cat", "sort", "uniq"].map(found).into(),
        user: "ann".to_owned(),
        ..Facts::default()
    }
}

/// What a node that accepted says, when nothing in the words had to be expanded.
fn accept(agreed: Agreed) -> Accept {
    Accept {
        stage: agreed.stage,
        program: agreed.program.to_string_lossy().into_owned(),
        argv: agreed.args.iter().map(ToString::to_string).collect(),
        version: agreed.version,
        user: agreed.user,
        cwd: "/".to_owned(),
        locale: agreed.locale,
        input: agreed.format.reads,
        output: agreed.format.writes,
        naming: None,
        isolation: "pgroup".to_owned(),
        dropped_env: agreed.dropped_env,
        pid: Some(1),
    }
}

fn accepted(answer: &StageAnswer) -> Option<Accept> {
    match answer {
        StageAnswer::Accept(accept) => Some(accept.clone()),
        StageAnswer::Refuse(_) => None,
    }
}

/// `cat | sort -n | uniq`, the first and last on node `a`, the second on `b`.
fn asked() -> [Asked; 2] {
    let stage = |number: u16, app: &str, args: &[&str]| {
        let args: Vec<_> = args
            .iter()
            .map(|arg| serde_json::json!([{ "text": arg }]))
            .collect();
        serde_json::json!({ "stage": number, "app": app, "args": args, "stdin": "link", "stdout": "link" })
    };
    let part = |name: &str, stages: &[serde_json::Value]| Asked {
        node: node(name),
        addresses: vec![format!("{name}:3747")],
        offer: serde_json::from_value(serde_json::json!({
            "pipe": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "attempt": 1, "entry": "entry", "stages_total": 3,
            "stages": stages, "lease_ms": 15_000, "kill_grace_ms": 5_000, "window": 262_144,
        }))
        .expect("it is an offer"),
    };
    [
        part("a", &[stage(1, "cat", &[]), stage(3, "uniq", &[])]),
        part("b", &[stage(2, "sort", &["-n"])]),
    ]
}

/// What honest nodes answer.
fn answers_to(asked: &[Asked]) -> Vec<Answer> {
    let answer = |one: &Asked| Answer {
        node: one.node.clone(),
        stages: check_offer(&one.offer, &rules(), &facts())
            .into_iter()
            .map(|agreed| StageAnswer::Accept(accept(agreed.expect("an honest offer"))))
            .collect(),
        ignored: Vec::new(),
        features: facts().features,
    };
    asked.iter().map(answer).collect()
}
