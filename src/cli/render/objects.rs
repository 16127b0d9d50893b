//! What became of objects, for people.

use super::text::{count, plural};
use crate::{media::Counts, wire::message::StageRecord};

/// As in "5 objects, 2 bad ones left out".
pub(crate) fn counted(counts: &Counts) -> String {
    let more = [
        (counts.replaced, "with metadata that were taken out"),
        (counts.non_objects, "whose root is no object"),
    ];
    let mut parts = vec![plural(counts.objects, "object")];
    parts.extend(
        more.into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{} {what}", count(number))),
    );
    parts.extend(bad(counts));
    parts.join(", ")
}

/// What the user should hear of a run that was to go on past bad objects: one line for each reader that saw some.
pub(crate) fn warnings(stages: &[StageRecord], client: Option<&Counts>) -> Vec<String> {
    let of_stage = |stage: &StageRecord| {
        let bad = bad(stage.objects.as_ref()?)?;
        Some(format!(
            "what came to stage {} `{}`: {bad}",
            stage.stage, stage.app
        ))
    };
    let of_client = client
        .and_then(bad)
        .map(|bad| format!("what the last stage wrote: {bad}"));
    stages
        .iter()
        .filter_map(of_stage)
        .chain(of_client)
        .collect()
}

fn bad(counts: &Counts) -> Option<String> {
    let of =
        |number: u64, what: &str| (number > 0).then(|| format!("{} bad {what}", count(number)));
    let all = [
        of(counts.skipped, "left out"),
        of(counts.passed, "passed on"),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::render::samples::record, wire::message::Exit};

    #[test]
    fn only_what_is_not_as_usual_is_told() {
        let usual = Counts {
            objects: 1,
            ..Counts::default()
        };
        assert_eq!(counted(&usual), "1 object");
        let odd = Counts {
            objects: 5,
            replaced: 1,
            non_objects: 2,
            skipped: 3,
            passed: 4,
        };
        assert_eq!(
            counted(&odd),
            "5 objects, 1 with metadata that were taken out, 2 whose root is no object, 3 bad left out, 4 bad passed on"
        );
    }

    #[test]
    fn bad_objects_that_went_by_are_never_silent() {
        let mut stage = record(1, Exit::Code(0));
        assert!(warnings(&[stage.clone()], None).is_empty());
        let bad = Counts {
            skipped: 2,
            ..Counts::default()
        };
        stage.objects = Some(bad);
        assert_eq!(
            warnings(&[stage], Some(&bad)),
            [
                "what came to stage 2 `head`: 2 bad left out",
                "what the last stage wrote: 2 bad left out"
            ]
        );
    }
}
