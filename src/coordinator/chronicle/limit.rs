//! What holds a pipe up, judged by what its stages wait for.
//!
//! A stage that has input and whose output is taken holds up the others: those before it wait until their output is taken, those behind it for
//! input. Where a stage cannot get rid of what it wrote and the next one has nothing to read, it is the way between them. And where the first
//! stage waits for what the client reads, or the last one until the client's output is taken, it is something outside of the pipe.

use crate::wire::message::{Limit, LimitedBy, StageView, Waits};

/// The least time that something must have been seen in all: the looks that two of them take.
const LEAST_MS: u64 = 400;

/// The least part of the time that is worth a word, in hundredths: with less, nothing in particular holds the pipe up.
const LEAST_PERCENT: u8 = 20;

/// What holds these stages up most, of which each has spent its time on this.
pub(super) fn limit(stages: &[StageView], waits: &[Option<Waits>]) -> Option<Limit> {
    let longest = waits.iter().flatten().map(Waits::total_ms).max()?;
    if longest < LEAST_MS {
        return None;
    }
    let groups = groups(stages, waits);
    let held = groups.iter().map(|group| {
        let (stage, last) = (group.first.stage, group.last.stage);
        let last = (last != stage).then_some(last);
        (group.waits.work_ms, LimitedBy::Stage { stage, last })
    });
    let links = groups.windows(2).map(|pair| {
        let (writer, reader) = (&pair[0], &pair[1]);
        let both = writer.waits.output_ms.min(reader.waits.input_ms);
        let stage = writer.last.stage;
        (both, LimitedBy::Link { stage })
    });
    let input = groups.first().map(|group| {
        let reads_client = group.first.bytes_in.is_some();
        let waited = group.waits.input_ms * u64::from(reads_client);
        (waited, LimitedBy::Input)
    });
    let output = groups.last();
    let output = output.map(|group| (group.waits.output_ms, LimitedBy::Output));
    let all = held.chain(links).chain(input).chain(output);
    // The first of those that are equal.
    let (most_ms, by) = all.reduce(|most, next| if next.0 > most.0 { next } else { most })?;
    let percent = u8::try_from(most_ms * 100 / longest).unwrap_or(100);
    (percent >= LEAST_PERCENT).then_some(Limit { by, percent })
}

/// What stages have spent their time on in about the same time, as if it had been the same. What a node tells comes at a time of its own.
pub(super) fn evened(waits: &[Option<Waits>]) -> Vec<Option<Waits>> {
    let longest = waits.iter().flatten().map(Waits::total_ms).max();
    let longest = longest.unwrap_or_default();
    let even = |waits: &Option<Waits>| {
        let waits = (*waits)?;
        let total = waits.total_ms();
        // Of one that has just begun too little is known.
        let part = |ms: u64| match total {
            LEAST_MS.. => u64::try_from(u128::from(ms) * u128::from(longest) / u128::from(total)),
            _ => Ok(ms),
        };
        Some(Waits {
            input_ms: part(waits.input_ms).unwrap_or(u64::MAX),
            output_ms: part(waits.output_ms).unwrap_or(u64::MAX),
            work_ms: part(waits.work_ms).unwrap_or(u64::MAX),
        })
    };
    waits.iter().map(even).collect()
}

/// Stages that kernel pipes join, which are looked at as one.
struct Group<'a> {
    first: &'a StageView,
    last: &'a StageView,
    waits: Waits,
}

fn groups<'a>(stages: &'a [StageView], waits: &[Option<Waits>]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (stage, waits) in stages.iter().zip(waits) {
        match groups.last_mut() {
            Some(group) if are_joined(group.last, stage) => {
                group.last = stage;
                // All are told the same while all run.
                group.waits = longer(group.waits, waits.unwrap_or_default());
            }
            _ => groups.push(Group {
                first: stage,
                last: stage,
                waits: waits.unwrap_or_default(),
            }),
        }
    }
    groups
}

fn are_joined(writer: &StageView, reader: &StageView) -> bool {
    writer.node == reader.node && writer.bytes_out.is_none() && reader.bytes_in.is_none()
}

fn longer(one: Waits, other: Waits) -> Waits {
    if one.total_ms() >= other.total_ms() {
        one
    } else {
        other
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::{NodeId, StageNumber};

    fn stage(index: usize, node: &str, counted: (bool, bool)) -> StageView {
        StageView {
            stage: StageNumber::from_index(index),
            app: "cat".to_owned(),
            node: NodeId::new(node).unwrap(),
            why: String::new(),
            exit: None,
            bytes_in: counted.0.then_some(0),
            bytes_out: counted.1.then_some(0),
            rate_in: None,
            rate_out: None,
            waits: None,
            stderr: String::new(),
        }
    }

    fn apart(count: usize) -> Vec<StageView> {
        let nodes = ["a", "b", "c", "d"];
        (0..count)
            .map(|index| stage(index, nodes[index], (true, true)))
            .collect()
    }

    const fn waits(input_ms: u64, work_ms: u64, output_ms: u64) -> Option<Waits> {
        Some(Waits {
            input_ms,
            output_ms,
            work_ms,
        })
    }

    fn by(stages: &[StageView], waits: &[Option<Waits>]) -> Option<LimitedBy> {
        limit(stages, waits).map(|limit| limit.by)
    }

    #[test]
    fn the_stage_that_works_while_the_others_wait_for_it_is_named() {
        let spent = [waits(0, 50, 950), waits(20, 970, 10), waits(960, 40, 0)];
        let found = limit(&apart(3), &spent).unwrap();
        let stage = StageNumber::new(2);
        assert_eq!(found.by, LimitedBy::Stage { stage, last: None });
        assert_eq!(found.percent, 97);
    }

    #[test]
    fn the_link_between_a_writer_and_a_reader_that_both_wait_is_named() {
        let spent = [waits(0, 50, 950), waits(960, 40, 0)];
        let stage = StageNumber::FIRST;
        assert_eq!(by(&apart(2), &spent), Some(LimitedBy::Link { stage }));
    }

    #[test]
    fn reports_that_come_at_different_times_do_not_make_a_part_smaller() {
        let spent = [waits(0, 0, 6_000), waits(0, 3_000, 0), waits(5_000, 0, 0)];
        let found = limit(&apart(3), &evened(&spent)).unwrap();
        assert_eq!(found.percent, 100);
        let begun = [waits(0, 0, 6_000), waits(0, 200, 0)];
        assert_eq!(evened(&begun)[1], begun[1]);
        assert_eq!(evened(&[None]), [None]);
    }

    #[test]
    fn what_is_outside_of_the_pipe_is_named() {
        let all_wait = |waits| [waits, waits];
        let starved = all_wait(waits(990, 10, 0));
        assert_eq!(by(&apart(2), &starved), Some(LimitedBy::Input));
        let stuffed = all_wait(waits(0, 10, 990));
        assert_eq!(by(&apart(2), &stuffed), Some(LimitedBy::Output));
    }

    #[test]
    fn stages_that_a_kernel_pipe_joins_are_named_together() {
        let stages = [
            stage(0, "a", (true, true)),
            stage(1, "b", (true, false)),
            stage(2, "b", (false, true)),
        ];
        let spent = [waits(0, 0, 900), waits(0, 900, 0), waits(0, 900, 0)];
        let (stage, last) = (StageNumber::new(2), Some(StageNumber::new(3)));
        assert_eq!(by(&stages, &spent), Some(LimitedBy::Stage { stage, last }));
    }

    #[test]
    fn nothing_is_said_of_what_was_hardly_seen() {
        assert_eq!(by(&apart(2), &[None, None]), None);
        assert_eq!(by(&apart(2), &[waits(0, 200, 0), None]), None);
        assert_eq!(by(&[], &[]), None);
        let stages = apart(4);
        let evenly = [
            waits(850, 150, 0),
            waits(0, 150, 850),
            waits(850, 150, 0),
            waits(850, 150, 0),
        ];
        let unread = StageView {
            bytes_in: None,
            ..stages[0].clone()
        };
        let stages = [&[unread], &stages[1..]].concat();
        let found = by(&stages, &evenly);
        assert_eq!(
            found,
            Some(LimitedBy::Link {
                stage: StageNumber::new(2)
            })
        );
    }

    proptest! {
        #[test]
        fn whatever_the_numbers_a_part_of_the_time_is_named(
            spent in prop::collection::vec(prop::option::of((0_u64..1 << 50, 0_u64..1 << 50, 0_u64..1 << 50)), 1..4),
        ) {
            let waits: Vec<_> = spent.iter().map(|spent| spent.and_then(|(i, w, o)| waits(i, w, o))).collect();
            if let Some(found) = limit(&apart(waits.len()), &waits) {
                prop_assert!((LEAST_PERCENT..=100).contains(&found.percent));
            }
        }
    }
}
