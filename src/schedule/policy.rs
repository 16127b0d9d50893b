use std::{collections::BTreeMap, fmt, str::FromStr};

use thiserror::Error;

use super::{
    PlaceError,
    plan::{Placed, Plan},
    rank::{Choices, Rank},
};

/// How many alternatives a stage names: as many as a dry run shows.
const ALTERNATIVES: usize = 3;

/// A way to choose. The same choices give the same plan.
pub trait Policy: fmt::Debug {
    /// Chooses for all stages at once; `stages` are in order and none is empty.
    ///
    /// # Errors
    ///
    /// Returns [`PlaceError`] when the policy cannot be kept.
    fn place(&self, stages: &[Choices<'_>]) -> Result<Plan, PlaceError>;
}

/// The policies by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyName {
    /// [`Spread`].
    #[default]
    Spread,
    /// [`Pack`].
    Pack,
    /// [`Pin`].
    Pin,
}

/// A text that names no policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no policy: spread, pack and pin are")]
pub struct UnknownPolicy(pub String);

/// Different nodes where possible: never the neighbour's node if there is another, then one that this pipe uses least for its weight,
/// then one that is known to answer, then the least loaded.
#[derive(Clone, Copy, Debug)]
pub struct Spread;

/// As few changes of node as possible: each node takes as many neighbouring stages as it can, and one that the pipe already uses wins.
#[derive(Clone, Copy, Debug)]
pub struct Pack;

/// All stages on one node, or an error: whoever asks for one node has a reason. [`Pack`] is the lenient form.
#[derive(Clone, Copy, Debug)]
pub struct Pin;

// === impl PolicyName ===

impl PolicyName {
    /// The policy itself.
    #[must_use]
    pub const fn policy(self) -> &'static dyn Policy {
        match self {
            Self::Spread => &Spread,
            Self::Pack => &Pack,
            Self::Pin => &Pin,
        }
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Spread => "spread",
            Self::Pack => "pack",
            Self::Pin => "pin",
        })
    }
}

impl FromStr for PolicyName {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        match text {
            "spread" => Ok(Self::Spread),
            "pack" => Ok(Self::Pack),
            "pin" => Ok(Self::Pin),
            other => Err(UnknownPolicy(other.to_owned())),
        }
    }
}

// === impl Spread ===

impl Policy for Spread {
    fn place(&self, stages: &[Choices<'_>]) -> Result<Plan, PlaceError> {
        /// How far `used` is scaled up before it is divided by a weight.
        const SCALE: u64 = 1 << 20;
        // Asked about every candidate of every stage, and holds a few: a tree of numbers is quicker than hashing each of them.
        let mut used: BTreeMap<u32, u64> = BTreeMap::new();
        let mut previous = None;
        let mut placed = Vec::with_capacity(stages.len());
        for choices in stages {
            let best = best(choices, |index, rank| {
                let share = used
                    .get(&index)
                    .map_or(0, |used| used * SCALE / u64::from(rank.weight));
                (previous == Some(index), share)
            });
            let chosen = best[0];
            let count = used.entry(chosen).or_default();
            let why = match (only(choices), *count) {
                (Some(only), _) => only,
                (None, 0) => format!("least loaded of {}, not used yet", choices.nodes.len()),
                (None, n) => format!("least used of {}, has {n} already", choices.nodes.len()),
            };
            *count += 1;
            previous = Some(chosen);
            placed.push(Placed::new(choices, chosen, why, &best[1..]));
        }
        Ok(Plan { stages: placed })
    }
}

// === impl Pack ===

impl Policy for Pack {
    fn place(&self, stages: &[Choices<'_>]) -> Result<Plan, PlaceError> {
        let mut used: Vec<u32> = Vec::new();
        let mut placed = Vec::with_capacity(stages.len());
        let mut rest = stages;
        while !rest.is_empty() {
            // Whoever can go on for longest: taking as many stages as possible each time changes the node least often.
            let (length, able) = longest(rest);
            let (run, after) = rest.split_at(length);
            let choices = Choices {
                nodes: able.into(),
                ..run[0].clone()
            };
            let best = best(&choices, |index, _| !used.contains(&index));
            used.push(best[0]);
            for one in run {
                let why = only(one).unwrap_or_else(|| match length {
                    1 => "runs this stage alone".to_owned(),
                    n => format!("runs {n} neighbouring stages"),
                });
                placed.push(Placed::new(one, best[0], why, &best[1..]));
            }
            rest = after;
        }
        Ok(Plan { stages: placed })
    }
}

// === impl Pin ===

impl Policy for Pin {
    fn place(&self, stages: &[Choices<'_>]) -> Result<Plan, PlaceError> {
        let Some(first) = stages.first() else {
            return Ok(Plan { stages: Vec::new() });
        };
        let (length, able) = longest(stages);
        if let Some(breaks) = stages.get(length) {
            return Err(PlaceError::NoSingleNode {
                stage: breaks.candidates.stage,
                app: breaks.candidates.app.clone(),
                before: able
                    .iter()
                    .map(|i| breaks.view.at(*i).node.clone())
                    .collect(),
            });
        }
        let count = able.len();
        let choices = Choices {
            nodes: able.into(),
            ..first.clone()
        };
        let best = best(&choices, |_, _| ());
        let why = match count {
            1 => "only node that can run every stage".to_owned(),
            n => format!("least loaded of {n} that can run every stage"),
        };
        let one = |choices| Placed::new(choices, best[0], why.clone(), &best[1..]);
        Ok(Plan {
            stages: stages.iter().map(one).collect(),
        })
    }
}

/// How many stages from the first one on have a node in common, and which nodes those are. `stages` is not empty.
fn longest(stages: &[Choices<'_>]) -> (usize, Vec<u32>) {
    let mut able = stages[0].nodes.to_vec();
    let mut length = 1;
    for choices in &stages[1..] {
        let mut common = able.clone();
        common.retain(|index| choices.nodes.binary_search(index).is_ok());
        if common.is_empty() {
            break;
        }
        able = common;
        length += 1;
    }
    (length, able)
}

/// The best node and the few after it, by `key` first and rank then.
fn best<K: Ord>(choices: &Choices<'_>, key: impl Fn(u32, &Rank) -> K) -> Vec<u32> {
    let mut best: Vec<(K, Rank, u32)> = Vec::with_capacity(ALTERNATIVES + 2);
    for &index in choices.nodes.iter() {
        let rank = choices.rank(index);
        let key = key(index, &rank);
        let after = |(k, r, _): &(K, Rank, u32)| k.cmp(&key).then_with(|| r.compare(&rank)).is_le();
        let at = best.iter().rposition(after).map_or(0, |last| last + 1);
        if at <= ALTERNATIVES {
            best.insert(at, (key, rank, index));
            best.truncate(ALTERNATIVES + 1);
        }
    }
    best.into_iter().map(|(_, _, index)| index).collect()
}

/// The reason when there was nothing to choose.
fn only(choices: &Choices<'_>) -> Option<String> {
    let (left, all) = (choices.nodes.len(), choices.candidates.indices().len());
    let text = match (left, all) {
        (1, 1) if choices.candidates.constrained => "the pipeline says so".to_owned(),
        (1, 1) => "only node that offers it".to_owned(),
        (1, all) => format!("only one left of {all}"),
        _ => return None,
    };
    Some(text)
}
