//! Control messages: JSON objects, self-describing and forward-compatible.
//!
//! A reader ignores members it does not know; a message whose `type` it does not know decodes to the variant `Unknown` and is ignored
//! too. Members are only ever added, and each later one has a default. Durations are milliseconds, as `*_ms`.
//!
#![doc = include_str!("MESSAGES.md")]

mod failure;
mod node;
mod offer;
mod pipes;
mod purpose;
mod query;
mod record;
mod run;
mod session;

pub use self::{
    failure::{Ending, Failure, Outcome, Tried},
    node::{FromNode, Place, Terms, ToNode},
    offer::{
        Accept, Answer, EnvVar, Offer, Refusal, RefusalKind, StageAnswer, StageOffer, Upstream,
        Wiring,
    },
    pipes::{Limit, LimitedBy, PipeState, PipeView, StageHere, StageView},
    purpose::{LinkEndpoint, Purpose},
    query::{
        AppView, Conductor, NodeState, NodeView, NotDone, OfferView, Phase, Query, Reply, Silent,
        SourceView, StateView,
    },
    record::{Exit, LinkEnd, StageProgress, StageRecord, Waits, milliseconds},
    run::{Considered, FromEntry, RunMode, RunOptions, RunRequest, StagePlan, StderrMode, ToEntry},
    session::{AppsOffered, Hello, Load, Role},
};

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::Value;

    use super::*;

    /// Reads an example and writes it again: the document must hold every member, and no other.
    fn survives<T: Serialize + DeserializeOwned + Debug>(json: &str) {
        let message: T =
            serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
        let written = serde_json::to_value(&message).unwrap();
        assert_eq!(
            written,
            serde_json::from_str::<Value>(json).unwrap(),
            "{message:?}"
        );
    }

    #[test]
    fn the_examples_of_the_document_are_what_is_sent() {
        let mut examples = 0;
        for block in include_str!("MESSAGES.md").split("```json ").skip(1) {
            let (kind, rest) = block.split_once('\n').unwrap();
            let json = rest.split("```").next().unwrap();
            match kind {
                "hello" => survives::<Hello>(json),
                "purpose" => survives::<Purpose>(json),
                "to-entry" => survives::<ToEntry>(json),
                "from-entry" => survives::<FromEntry>(json),
                "to-node" => survives::<ToNode>(json),
                "from-node" => survives::<FromNode>(json),
                "terms" => survives::<Terms>(json),
                "query" => survives::<Query>(json),
                "reply" => survives::<Reply>(json),
                other => panic!("an example of unknown kind: {other}"),
            }
            examples += 1;
        }
        assert!(examples >= 10, "{examples} examples were found");
    }

    #[test]
    fn a_message_of_a_newer_peer_is_unknown_and_no_error() {
        let read = |json| serde_json::from_str::<FromNode>(json).unwrap();
        assert_eq!(
            read(r#"{"type": "something-new", "x": [1]}"#),
            FromNode::Unknown
        );
        let known = read(r#"{"type": "started", "stage": 1, "pid": 7, "more": {}}"#);
        assert!(matches!(known, FromNode::Started { pid: 7, .. }));
        assert_eq!(
            serde_json::from_str::<Purpose>(r#"{"purpose": "new"}"#).unwrap(),
            Purpose::Unknown
        );
        assert_eq!(
            serde_json::from_str::<RefusalKind>(r#""new""#).unwrap(),
            RefusalKind::Unknown
        );
    }

    #[test]
    fn an_exit_that_nobody_knows_is_never_a_code() {
        assert_eq!(
            serde_json::from_str::<Exit>(r#""vanished""#).unwrap(),
            Exit::Unknown
        );
        assert_eq!(
            serde_json::from_str::<Exit>(r#"{"code": 3}"#).unwrap(),
            Exit::Code(3)
        );
    }
}
