//! Whether a run is to be believed: pure, from what was seen to the [`Ending`].
//!
//! Status 0 may only come of [`Ending::Complete`], and that takes three things: nothing failed, every stage's record came, and every
//! link between two nodes balanced: equal counts at both ends, or stopped by its reader.

use super::relay::RelayEnd;
use crate::{
    id::{NodeId, StageNumber},
    wire::message::{Ending, Exit, Failure, LinkEnd, LinkEndpoint, StageRecord},
};

/// What was seen of a run.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) records: &'a [Option<StageRecord>],
    pub(super) places: &'a [NodeId],
    /// In the order they were noticed.
    pub(super) failures: &'a [Failure],
    /// Bytes the entry handed to the first stage's node, once that stream is over.
    pub(super) stdin_sent: Option<u64>,
    pub(super) stdout_end: Option<&'a RelayEnd>,
    /// Bytes the entry handed to the client.
    pub(super) delivered: u64,
}

pub(super) fn verdict(evidence: &Evidence<'_>) -> Ending {
    match failure(evidence) {
        Some(failure) => Ending::Failed(failure),
        None => Ending::Complete,
    }
}

fn failure(evidence: &Evidence<'_>) -> Option<Failure> {
    cause(evidence.failures)
        .cloned()
        .or_else(|| {
            evidence
                .records
                .iter()
                .enumerate()
                .find_map(|(index, record)| unreported(evidence, index, record.as_ref()))
        })
        .or_else(|| first_link(evidence))
        .or_else(|| evidence.records.windows(2).find_map(inner_link))
        .or_else(|| last_link(evidence))
}

/// The first failure, unless it is a broken link that a later one explains: a node that goes takes its links along, and which of the
/// two is noticed first is chance.
fn cause(failures: &[Failure]) -> Option<&Failure> {
    let first = failures.first()?;
    let explains = |failure: &&Failure| {
        matches!(
            failure,
            Failure::LostNode { .. }
                | Failure::ExecFailed { .. }
                | Failure::LimitReached { .. }
                | Failure::BadObject { .. }
        )
    };
    match first {
        Failure::LostLink { .. } => failures.iter().find(explains).or(Some(first)),
        _ => Some(first),
    }
}

fn unreported(
    evidence: &Evidence<'_>,
    index: usize,
    record: Option<&StageRecord>,
) -> Option<Failure> {
    let stage = StageNumber::from_index(index);
    let detail = match record.map(|record| record.exit) {
        None => format!("{} never reported its end", evidence.places[index]),
        Some(Exit::Unknown) => format!("{} does not know how it ended", evidence.places[index]),
        Some(Exit::NotStarted) => format!("{} never started it", evidence.places[index]),
        Some(Exit::Code(_) | Exit::Signal(_)) => return None,
    };
    Some(Failure::StatusUnknown { stage, detail })
}

fn inner_link(pair: &[Option<StageRecord>]) -> Option<Failure> {
    let [Some(writer), Some(reader)] = pair else {
        return None;
    };
    let balanced = match (writer.output, reader.input) {
        // Nothing is counted on a kernel pipe; its balance is the stages' status.
        (LinkEnd::Joined, LinkEnd::Joined) => true,
        (LinkEnd::Finished, LinkEnd::Finished) => {
            writer.bytes_out.is_some() && writer.bytes_out == reader.bytes_in
        }
        // The reader was done first, as `head` is; whether the writer had finished by then is chance.
        (LinkEnd::Finished | LinkEnd::Stopped, LinkEnd::Stopped) => true,
        _ => false,
    };
    (!balanced).then_some(Failure::Unbalanced {
        from: LinkEndpoint::Stage(writer.stage),
        to: LinkEndpoint::Stage(reader.stage),
        sent: writer.bytes_out,
        received: reader.bytes_in,
    })
}

fn first_link(evidence: &Evidence<'_>) -> Option<Failure> {
    let reader = evidence.records.first()?.as_ref()?;
    let balanced = match reader.input {
        LinkEnd::Finished => {
            evidence.stdin_sent.is_some() && evidence.stdin_sent == reader.bytes_in
        }
        LinkEnd::Stopped | LinkEnd::None => true,
        LinkEnd::Joined | LinkEnd::Reset | LinkEnd::Lost | LinkEnd::Unknown => false,
    };
    (!balanced).then_some(Failure::Unbalanced {
        from: LinkEndpoint::Client,
        to: LinkEndpoint::Stage(reader.stage),
        sent: evidence.stdin_sent,
        received: reader.bytes_in,
    })
}

fn last_link(evidence: &Evidence<'_>) -> Option<Failure> {
    let writer = evidence.records.last()?.as_ref()?;
    let balanced = match (writer.output, evidence.stdout_end) {
        (LinkEnd::Finished, Some(RelayEnd::Finished)) => {
            writer.bytes_out == Some(evidence.delivered)
        }
        (LinkEnd::Finished | LinkEnd::Stopped, Some(RelayEnd::Stopped)) => true,
        _ => false,
    };
    (!balanced).then_some(Failure::Unbalanced {
        from: LinkEndpoint::Stage(writer.stage),
        to: LinkEndpoint::Client,
        sent: writer.bytes_out,
        received: Some(evidence.delivered),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(
        stage: u16,
        input: LinkEnd,
        bytes_in: Option<u64>,
        output: LinkEnd,
        bytes_out: Option<u64>,
    ) -> StageRecord {
        StageRecord {
            stage: StageNumber::new(stage),
            app: "cat".to_owned(),
            node: node(),
            pid: Some(1),
            exit: Exit::Code(0),
            killed: None,
            bytes_in,
            bytes_out,
            bytes_err: None,
            objects: None,
            compressed_in: None,
            compressed_out: None,
            input,
            output,
            elapsed_ms: None,
            user_ms: None,
            system_ms: None,
            waits: None,
        }
    }

    fn node() -> NodeId {
        NodeId::new("node-a").unwrap()
    }

    fn judge(
        records: &[Option<StageRecord>],
        failures: &[Failure],
        stdout: &RelayEnd,
        delivered: u64,
    ) -> Ending {
        let places = vec![node(); records.len()];
        verdict(&Evidence {
            records,
            places: &places,
            failures,
            stdin_sent: None,
            stdout_end: Some(stdout),
            delivered,
        })
    }

    fn two(middle_out: (LinkEnd, u64), middle_in: (LinkEnd, u64)) -> Vec<Option<StageRecord>> {
        vec![
            Some(record(
                1,
                LinkEnd::None,
                None,
                middle_out.0,
                Some(middle_out.1),
            )),
            Some(record(
                2,
                middle_in.0,
                Some(middle_in.1),
                LinkEnd::Finished,
                Some(7),
            )),
        ]
    }

    #[test]
    fn equal_counts_at_both_ends_are_complete() {
        let records = two((LinkEnd::Finished, 5), (LinkEnd::Finished, 5));
        assert_eq!(
            judge(&records, &[], &RelayEnd::Finished, 7),
            Ending::Complete
        );
    }

    #[test]
    fn a_byte_less_is_a_failure_whatever_the_apps_say() {
        let records = two((LinkEnd::Finished, 5), (LinkEnd::Finished, 4));
        assert!(matches!(
            judge(&records, &[], &RelayEnd::Finished, 7),
            Ending::Failed(Failure::Unbalanced { .. })
        ));
        let records = two((LinkEnd::Finished, 5), (LinkEnd::Finished, 5));
        assert!(matches!(
            judge(&records, &[], &RelayEnd::Finished, 6),
            Ending::Failed(Failure::Unbalanced { .. })
        ));
    }

    #[test]
    fn a_reader_that_stopped_first_is_no_failure() {
        for end in [LinkEnd::Stopped, LinkEnd::Finished] {
            let records = two((end, 500), (LinkEnd::Stopped, 4));
            assert_eq!(
                judge(&records, &[], &RelayEnd::Finished, 7),
                Ending::Complete
            );
        }
    }

    #[test]
    fn a_missing_record_is_never_status_zero() {
        let mut records = two((LinkEnd::Finished, 5), (LinkEnd::Finished, 5));
        records[0] = None;
        assert!(matches!(
            judge(&records, &[], &RelayEnd::Finished, 7),
            Ending::Failed(Failure::StatusUnknown { .. })
        ));
    }

    #[test]
    fn a_lost_node_explains_the_link_that_was_noticed_first() {
        let link = Failure::LostLink {
            from: LinkEndpoint::Stage(StageNumber::FIRST),
            to: LinkEndpoint::Stage(StageNumber::new(2)),
            node: node(),
            peer: node(),
            bytes: 1,
            detail: String::new(),
            delivered: 0,
        };
        let lost = Failure::LostNode {
            node: node(),
            stages: vec![],
            apps: vec![],
            detail: String::new(),
            delivered: 0,
        };
        let records = two((LinkEnd::Lost, 5), (LinkEnd::Lost, 5));
        assert_eq!(
            judge(
                &records,
                &[link.clone(), lost.clone()],
                &RelayEnd::Finished,
                7
            ),
            Ending::Failed(lost)
        );
        assert_eq!(
            judge(
                &records,
                std::slice::from_ref(&link),
                &RelayEnd::Finished,
                7
            ),
            Ending::Failed(link)
        );
    }

    fn any_end() -> impl Strategy<Value = LinkEnd> {
        prop_oneof![
            Just(LinkEnd::Finished),
            Just(LinkEnd::Stopped),
            Just(LinkEnd::Reset),
            Just(LinkEnd::Lost),
            Just(LinkEnd::Joined),
            Just(LinkEnd::None),
            Just(LinkEnd::Unknown),
        ]
    }

    proptest! {
        #[test]
        fn no_loss_or_reset_anywhere_is_ever_complete(
            ends in prop::collection::vec((any_end(), any_end(), 0_u64..3, 0_u64..3), 1..5),
            delivered in 0_u64..3,
        ) {
            let records: Vec<_> = ends
                .iter()
                .enumerate()
                .map(|(index, (input, output, bytes_in, bytes_out))| {
                    let stage = u16::try_from(index + 1).unwrap();
                    Some(record(stage, *input, Some(*bytes_in), *output, Some(*bytes_out)))
                })
                .collect();
            if judge(&records, &[], &RelayEnd::Finished, delivered) == Ending::Complete {
                let bad = [LinkEnd::Reset, LinkEnd::Lost, LinkEnd::Unknown];
                for (input, output, ..) in &ends {
                    prop_assert!(!bad.contains(input) && !bad.contains(output));
                }
                prop_assert_eq!(ends.last().unwrap().3, delivered);
            }
        }
    }
}
