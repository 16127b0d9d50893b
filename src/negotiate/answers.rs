//! The entry's side: the answers of all nodes against what was asked.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    agreement::{Agreement, Disagreement, Refused, digest, stage_digest},
    features::{DIGEST, ZSTD},
    offer::check_version,
    parameter::{Refuse, refuse},
};
use crate::{
    id::{NodeId, StageNumber},
    media::{self, Compress, Format},
    wire::message::{
        Accept, Answer, Offer, Place, Refusal, StageAnswer, StageOffer, Terms, Wiring,
    },
};

/// What one node was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The node.
    pub node: NodeId,
    /// Where it is dialled.
    pub addresses: Vec<String>,
    /// Its part.
    pub offer: Offer,
}

/// What flows at the client's ends of a pipe, whether bytes may meet objects in it, and whether its links are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// What the client gives.
    pub input: Format,
    /// What it wants; `None` for whatever comes.
    pub output: Option<Format>,
    /// Whether bytes may meet objects.
    pub mixed: bool,
    /// Whether links are compressed.
    pub compress: Compress,
    /// Whether the entry, at the outer ends of the first and the last link, can compress.
    pub entry_compresses: bool,
}

/// A stage with both sides' words on it.
struct Pair<'a> {
    asked: &'a Asked,
    offer: &'a StageOffer,
    accept: &'a Accept,
}

/// Checks the answers. Each node must have answered once, every stage must be accepted, and what was accepted must be what was asked for.
/// Formats have to fit along every link, those of the client's ends among them.
///
/// # Errors
///
/// Returns every refusal, of the nodes and of this side, those that end the run first.
pub fn check_answers(
    asked: &[Asked],
    answers: &[Answer],
    ends: Ends,
) -> Result<Agreement, Disagreement> {
    let mut refused = Vec::new();
    let mut pairs = BTreeMap::new();
    for one in asked {
        match own_answer(one, asked, answers) {
            Ok(answer) => judge(one, answer, &mut pairs, &mut refused),
            Err(refusal) => refused.push(one.refused(refusal)),
        }
    }
    let known: BTreeSet<_> = asked.iter().map(|one| &one.node).collect();
    for answer in answers
        .iter()
        .filter(|answer| !known.contains(&answer.node))
    {
        refused.push(Refused {
            node: answer.node.clone(),
            address: String::new(),
            stages: Vec::new(),
            refusal: refuse(
                "answer",
                "answers of the nodes asked",
                "one of another node",
            ),
        });
    }
    if refused.is_empty() {
        check_together(asked, &pairs, ends, &mut refused);
    }
    if refused.is_empty() {
        Ok(agree(asked, answers, &pairs, ends))
    } else {
        // Stable, so that among equals the earlier node comes first.
        refused.sort_by_key(Refused::is_passing);
        Err(Disagreement { refused })
    }
}

/// The one answer of a node.
fn own_answer<'a>(
    one: &Asked,
    asked: &[Asked],
    answers: &'a [Answer],
) -> Result<&'a Answer, Refusal> {
    if asked.iter().filter(|other| other.node == one.node).count() > 1 {
        return Err(refuse(
            "stages",
            "one offer for each node",
            "two for this one",
        ));
    }
    let mut own = answers.iter().filter(|answer| answer.node == one.node);
    let answer = own
        .next()
        .ok_or_else(|| refuse("answer", "an answer", "none"))?;
    if own.next().is_some() {
        return Err(refuse("answer", "one answer", "several"));
    }
    let (got, wanted) = (answer.stages.len(), one.offer.stages.len());
    if got != wanted {
        return Err(refuse(
            "answer",
            format!("{wanted} stages"),
            format!("{got}"),
        ));
    }
    Ok(answer)
}

/// Judges one node's answer stage by stage.
fn judge<'a>(
    asked: &'a Asked,
    answer: &'a Answer,
    pairs: &mut BTreeMap<StageNumber, Pair<'a>>,
    refused: &mut Vec<Refused>,
) {
    let mut whole: Option<&Refusal> = None;
    for (offer, said) in asked.offer.stages.iter().zip(&answer.stages) {
        match said {
            // The same refusal of the whole offer stands at each stage; once is enough.
            StageAnswer::Refuse(refusal) if refusal.stage.is_none() => {
                if whole != Some(refusal) {
                    refused.push(asked.refused(refusal.clone()));
                }
                whole = Some(refusal);
            }
            StageAnswer::Refuse(refusal) if refusal.stage == Some(offer.stage) => {
                refused.push(asked.refused(refusal.clone()));
            }
            StageAnswer::Refuse(refusal) => {
                let got = format!("a refusal of another one: {}", refusal.parameter);
                refused.push(
                    asked.refused(refuse("answer", "an answer to this stage", got).at(offer.stage)),
                );
            }
            StageAnswer::Accept(accept) => match check_accept(offer, accept) {
                Err(refusal) => refused.push(asked.refused(refusal.at(offer.stage))),
                Ok(()) => {
                    let pair = Pair {
                        asked,
                        offer,
                        accept,
                    };
                    if pairs.insert(offer.stage, pair).is_some() {
                        let twice = refuse("stages", "each stage once", "offered to two nodes");
                        refused.push(asked.refused(twice.at(offer.stage)));
                    }
                }
            },
        }
    }
}

/// Whether a node accepted what it was asked.
fn check_accept(offer: &StageOffer, accept: &Accept) -> Result<(), Refusal> {
    if accept.stage != offer.stage {
        return Err(refuse(
            "answer",
            "an answer to this stage",
            format!("one to stage {}", accept.stage),
        ));
    }
    if !accept.program.starts_with('/') {
        return Err(refuse(
            "app",
            &offer.app,
            format!("no absolute path: `{}`", accept.program),
        )
        .word(0));
    }
    check_version(offer, accept.version.as_deref())?;
    // Globs may become any number of words; words that need no expansion arrive as they are, in order.
    let mut argv = accept.argv.iter();
    for (index, word) in offer.args.iter().enumerate() {
        if let Some(literal) = word.as_literal()
            && !argv.any(|argument| *argument == literal)
        {
            return Err(
                refuse("arguments", literal, "not among what the node would run").word(index + 1),
            );
        }
    }
    if let Some(user) = offer.user.as_ref().filter(|user| **user != accept.user) {
        return Err(
            refuse("user", user, format!("runs it as `{}`", accept.user)).hint("leave --user out"),
        );
    }
    Ok(())
}

/// What no node can check alone: every stage is there, formats fit along every link, locales as wanted.
fn check_together(
    asked: &[Asked],
    pairs: &BTreeMap<StageNumber, Pair<'_>>,
    ends: Ends,
    refused: &mut Vec<Refused>,
) {
    let Some(first) = asked.first() else {
        return;
    };
    for one in asked {
        let (a, b) = (&one.offer, &first.offer);
        if (a.pipe, a.attempt, &a.entry, a.stages_total)
            != (b.pipe, b.attempt, &b.entry, b.stages_total)
        {
            let refusal = refuse("stages", "offers of one pipe", "one of another pipe");
            return refused.push(one.refused(refusal));
        }
    }
    if !pairs
        .keys()
        .map(|stage| stage.number())
        .eq(1..=first.offer.stages_total)
    {
        let wanted = format!("stages 1 to {}", first.offer.stages_total);
        let refusal = refuse("stages", wanted, "some that were offered to nobody");
        return refused.push(first.refused(refusal));
    }
    let same = first
        .offer
        .options
        .get("locale")
        .is_some_and(|value| value == "same");
    for (from, to) in pairs.values().zip(pairs.values().skip(1)) {
        let (writes, reads) = (from.accept.output, to.accept.input);
        if media::carriage(writes, reads, ends.mixed).is_none() {
            let writer = format!("`{}` writes {writes}", from.offer.app);
            let reader = format!("`{}` reads {reads}", to.offer.app);
            let app = &to.offer.app;
            let cure = format!("--app-format {app}={writes}:{}", to.accept.output);
            refused.push(to.unfit(reader, writer, &cure));
        }
        if same && from.accept.locale != to.accept.locale {
            let refusal = refuse(
                "locale",
                shown(&from.accept.locale),
                shown(&to.accept.locale),
            )
            .at(to.offer.stage)
            .word(0)
            .hint("give all stages one: -e LC_ALL=C");
            refused.push(to.asked.refused(refusal));
        }
    }
    check_ends(pairs, ends, refused);
}

/// Formats at the client's ends of the pipe.
fn check_ends(pairs: &BTreeMap<StageNumber, Pair<'_>>, ends: Ends, refused: &mut Vec<Refused>) {
    let (Some(first), Some(last)) = (pairs.values().next(), pairs.values().next_back()) else {
        return;
    };
    let reads = first.accept.input;
    if first.offer.stdin == Wiring::Link && media::carriage(ends.input, reads, ends.mixed).is_none()
    {
        let reader = format!("`{}` reads {reads}", first.offer.app);
        let writer = format!("the client writes {}", ends.input);
        refused.push(first.unfit(reader, writer, &format!("--format-in {reads}")));
    }
    let writes = last.accept.output;
    let reads = ends.output.unwrap_or(writes);
    if media::carriage(writes, reads, ends.mixed).is_none() {
        let reader = format!("the client reads {reads}");
        let writer = format!("`{}` writes {writes}", last.offer.app);
        refused.push(last.unfit(reader, writer, &format!("--format-out {writes}")));
    }
}

fn agree(
    asked: &[Asked],
    answers: &[Answer],
    pairs: &BTreeMap<StageNumber, Pair<'_>>,
    ends: Ends,
) -> Agreement {
    let offer = &asked
        .first()
        .expect("a pipe has a stage, and a stage a node")
        .offer;
    let compresses = |node: &NodeId| {
        let mut able = answers.iter().filter(|a| a.features.contains(ZSTD));
        able.any(|answer| answer.node == *node) || (*node == offer.entry && ends.entry_compresses)
    };
    let link = |writer: &NodeId, reader: &NodeId| {
        if writer != reader && compresses(writer) && compresses(reader) {
            ends.compress
        } else {
            Compress::Off
        }
    };
    let reader = |pair: &Pair<'_>| {
        let next = pairs.get(&pair.offer.stage.next());
        next.map_or(&offer.entry, |next| &next.asked.node)
    };
    let place = |pair: &Pair<'_>| Place {
        stage: pair.offer.stage,
        node: pair.asked.node.clone(),
        addresses: pair.asked.addresses.clone(),
        digest: stage_digest(pair.offer, pair.accept),
        output: pair.accept.output,
        naming: pair.accept.naming.clone(),
        compress: link(&pair.asked.node, reader(pair)),
    };
    let terms = Terms {
        pipe: offer.pipe,
        attempt: offer.attempt,
        entry: offer.entry.clone(),
        input: ends.input,
        link_digests: needs(offer, DIGEST),
        compress: pairs
            .values()
            .next()
            .map_or(Compress::Off, |first| link(&offer.entry, &first.asked.node)),
        stages: pairs.values().map(place).collect(),
    };
    let text = serde_json::to_string(&terms).expect("messages are always JSON");
    let accepted = |pair: &Pair<'_>| (pair.asked.node.clone(), pair.accept.clone());
    let ignored = |answer: &&Answer| !answer.ignored.is_empty();
    Agreement {
        digest: digest(&text),
        text,
        terms,
        accepts: pairs.values().map(accepted).collect(),
        ignored: answers
            .iter()
            .filter(ignored)
            .map(|answer| (answer.node.clone(), answer.ignored.clone()))
            .collect(),
        notes: notes(pairs),
    }
}

/// Whether a pipe needs a feature.
pub(super) fn needs(offer: &Offer, feature: &str) -> bool {
    offer.features.iter().any(|needed| needed == feature)
}

/// One line when not all stages have one locale.
fn notes(pairs: &BTreeMap<StageNumber, Pair<'_>>) -> Vec<String> {
    let mut locales: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for pair in pairs.values() {
        let Pair {
            asked,
            offer,
            accept,
        } = pair;
        let who = format!("{}@{}", offer.app, asked.node);
        locales.entry(&accept.locale).or_default().push(who);
    }
    if locales.len() < 2 {
        return Vec::new();
    }
    let each: Vec<_> = locales
        .iter()
        .map(|(locale, who)| format!("{} for {}", shown(locale), who.join(", ")))
        .collect();
    vec![format!(
        "locales differ, so stages may sort differently: {} (one for all: -e LC_ALL=C)",
        each.join("; ")
    )]
}

fn shown(locale: &str) -> String {
    if locale.is_empty() {
        "none".to_owned()
    } else {
        format!("`{locale}`")
    }
}

// === impl Pair ===

impl Pair<'_> {
    /// A refusal of a link at one end of which this stage is; `cure` says that the other end is right.
    fn unfit(&self, reader: String, writer: String, cure: &str) -> Refused {
        let hint =
            format!("if that is what comes: {cure}; to let bytes meet objects: -o mix-formats");
        let refusal = refuse("format", reader, writer).at(self.offer.stage);
        self.asked.refused(refusal.word(0).hint(hint))
    }
}

// === impl Asked ===

impl Asked {
    /// A refusal about this node.
    fn refused(&self, refusal: Refusal) -> Refused {
        let all = || self.offer.stages.iter().map(|stage| stage.stage).collect();
        Refused {
            node: self.node.clone(),
            address: self.addresses.first().cloned().unwrap_or_default(),
            stages: refusal.stage.map_or_else(all, |stage| vec![stage]),
            refusal,
        }
    }
}
