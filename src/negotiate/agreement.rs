//! What all sides agreed to, and its digest.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    answers::needs,
    features::{DIGEST, ZSTD},
    parameter::{Refuse, refuse},
};
use crate::{
    id::{NodeId, StageNumber},
    media,
    wire::message::{Accept, Offer, Refusal, RefusalKind, StageOffer, Terms, Wiring},
};

/// Everybody agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The terms.
    pub terms: Terms,
    /// The terms as JSON text, as it travels.
    pub text: String,
    /// The text's [`digest`].
    pub digest: String,
    /// What was accepted, in the order of the stages.
    pub accepts: Vec<(NodeId, Accept)>,
    /// The `-o` options that some node ignored.
    pub ignored: Vec<(NodeId, Vec<String>)>,
    /// What the user should know, one line each.
    pub notes: Vec<String>,
}

/// Somebody did not agree, so nothing starts anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} stage(s) refused, first by {}: {}", .refused.len(), .refused.first().map_or("nobody", |r| r.node.as_str()), .refused.first().map_or("", |r| r.refusal.parameter.as_str()))]
pub struct Disagreement {
    /// The refusals, never none: those that end the run first.
    pub refused: Vec<Refused>,
}

/// One refusal and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The node that refused, or about whose answer the entry does.
    pub node: NodeId,
    /// Its address.
    pub address: String,
    /// The stages that do not run there.
    pub stages: Vec<StageNumber>,
    /// Why.
    pub refusal: Refusal,
}

// === impl Disagreement ===

impl Disagreement {
    /// Whether another node may take what was refused, so that placing anew is worth a try.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.refused.iter().all(|refused| refused.is_passing())
    }

    /// The (stage, node) pairs not to choose again.
    pub fn excluded(&self) -> impl Iterator<Item = (StageNumber, NodeId)> {
        let pairs = |r: &Refused| {
            let node = r.node.clone();
            r.stages
                .clone()
                .into_iter()
                .map(move |stage| (stage, node.clone()))
        };
        self.refused.iter().flat_map(pairs)
    }
}

impl Refused {
    /// Whether the node only has no room now, or is leaving.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self.refusal.kind, RefusalKind::Busy | RefusalKind::Gone)
    }
}

/// SHA-256 of the terms' text in hexadecimal. Text with another byte is another agreement, whatever it means.
#[must_use]
pub fn digest(terms: &str) -> String {
    hex(&Sha256::digest(terms))
}

/// SHA-256 of one stage's offer and accept, so that "agreed" has one meaning.
#[must_use]
pub fn stage_digest(offer: &StageOffer, accept: &Accept) -> String {
    let both = serde_json::to_vec(&(offer, accept)).expect("messages are always JSON");
    hex(&Sha256::digest(&both))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The node's last check, when it is told to start: the terms hold its own stages exactly as it accepted them, and what is written to
/// these is what they read.
///
/// `accepts` are in the order of the offer; `features` are those that the node has.
///
/// # Errors
///
/// Returns a refusal of `terms`, upon which the node starts nothing.
pub fn check_terms(
    text: &str,
    node: &NodeId,
    offer: &Offer,
    accepts: &[Accept],
    features: &BTreeSet<String>,
) -> Result<Terms, Refusal> {
    let wrong = |wanted: String, got: &str| {
        refuse("terms", wanted, got)
            .hint("entry and node disagree about the protocol: dpipes nodes shows their versions")
    };
    let terms: Terms = serde_json::from_str(text)
        .map_err(|error| wrong("terms that can be read".to_owned(), &error.to_string()))?;
    if (terms.pipe, terms.attempt, &terms.entry) != (offer.pipe, offer.attempt, &offer.entry) {
        return Err(wrong("another pipe".to_owned(), "the one that was offered"));
    }
    let numbers = terms.stages.iter().map(|place| place.stage.number());
    if !numbers.eq(1..=offer.stages_total) {
        return Err(wrong(
            "other stages".to_owned(),
            "every stage once, in order",
        ));
    }
    if terms.link_digests != needs(offer, DIGEST) {
        return Err(wrong(
            format!("link-digests: {}", terms.link_digests),
            "what was offered",
        ));
    }
    let here: Vec<_> = terms
        .stages
        .iter()
        .filter(|place| &place.node == node)
        .collect();
    if here.len() != offer.stages.len() || accepts.len() != offer.stages.len() {
        return Err(wrong(
            "other stages on this node".to_owned(),
            "those that were offered",
        ));
    }
    for ((place, stage), accept) in here.into_iter().zip(&offer.stages).zip(accepts) {
        if place.stage != stage.stage || place.digest != stage_digest(stage, accept) {
            return Err(wrong(
                "a stage with another digest".to_owned(),
                "the one that was accepted",
            )
            .at(stage.stage));
        }
        let may_compress = !place.compress.is_off() || !terms.compress_to(stage.stage).is_off();
        if may_compress && !features.contains(ZSTD) {
            return Err(
                wrong("compressed links".to_owned(), "that it compresses none").at(stage.stage),
            );
        }
        let (writes, _) = terms.writes_to(stage.stage);
        let mixed = media::may_mix(&offer.options);
        if stage.stdin == Wiring::Link && media::carriage(writes, accept.input, mixed).is_none() {
            return Err(wrong(
                format!("{writes} for a stage"),
                "one that reads something else",
            )
            .at(stage.stage));
        }
    }
    Ok(terms)
}
