use std::fmt;

use super::{Considered, rank::Choices};
use crate::id::{NodeId, StageNumber};

/// A pipeline with places. Its `Display` is the dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The stages in order.
    pub stages: Vec<Placed>,
}

/// One stage's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The stage.
    pub stage: StageNumber,
    /// Its app.
    pub app: String,
    /// The node that is to run it.
    pub node: NodeId,
    /// Where that node is dialled.
    pub addresses: Vec<String>,
    /// Whether it is the entry itself.
    pub here: bool,
    /// Which registry told of it.
    pub source: String,
    /// How many nodes could run the stage.
    pub candidates: u32,
    /// Why this one, in a few words.
    pub why: String,
    /// Who would have been next, the best first; a few at most.
    pub alternatives: Vec<NodeId>,
    /// Why this node and not another; filled in by [`explain`](super::explain), for it takes longer than the choice itself.
    pub considered: Vec<Considered>,
}

// === impl Placed ===

impl Placed {
    pub(super) fn new(choices: &Choices<'_>, chosen: u32, why: String, next: &[u32]) -> Self {
        let node = choices.view.at(chosen);
        let alternatives = next.iter().map(|i| choices.view.at(*i).node.clone());
        Self {
            stage: choices.candidates.stage,
            app: choices.candidates.app.clone(),
            node: node.node.clone(),
            addresses: node.addresses.clone(),
            here: node.here,
            source: node.source.clone(),
            candidates: u32::try_from(choices.candidates.indices().len()).unwrap_or(u32::MAX),
            why,
            alternatives: alternatives.collect(),
            considered: Vec::new(),
        }
    }

    /// The address to show: `here` for the entry itself.
    #[must_use]
    pub fn address(&self) -> &str {
        if self.here {
            "here"
        } else {
            self.addresses.first().map_or("-", String::as_str)
        }
    }
}

// === impl Plan ===

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["stage", "app", "node", "address", "via", "why"].map(str::to_owned);
        let row = |placed: &Placed| {
            let node = match placed.candidates {
                1 => placed.node.to_string(),
                n => format!("{} (of {n})", placed.node),
            };
            [
                placed.stage.to_string(),
                placed.app.clone(),
                node,
                placed.address().to_owned(),
                placed.source.clone(),
                placed.why.clone(),
            ]
        };
        let rows: Vec<_> = std::iter::once(head)
            .chain(self.stages.iter().map(row))
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<_> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
        for row in &rows {
            for (text, width) in row.iter().zip(&widths) {
                write!(f, "{text:width$}  ")?;
            }
            writeln!(f, "{}", row[5])?;
        }
        Ok(())
    }
}
