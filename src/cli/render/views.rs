//! What the subcommands show: plans, nodes, apps, findings.

use serde::Serialize;

use super::{
    json, pipes,
    table::columns,
    text::{age, plural},
};
use crate::{
    id::{NodeId, PipeId},
    media::Format,
    wire::message::{
        AppView, AppsOffered, Ending, Load, NodeState, NodeView, OfferView, Outcome, PipeView,
        Silent, SourceView, StagePlan,
    },
};

/// One thing that `doctor` looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub check: String,
    /// How it is.
    pub state: Health,
    /// What was found.
    pub detail: String,
    /// One next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// How a thing is that `doctor` looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Health {
    /// Fine.
    Ok,
    /// It works, but somebody should know.
    Note,
    /// It does not work.
    Problem,
}

/// How results are shown.
pub(crate) trait Output {
    /// The plan of a pipeline and what each node answered.
    fn check(&self, pipe: PipeId, plan: &[StagePlan], elapsed_ms: u64, outcome: &Outcome)
    -> String;
    /// The nodes that are known.
    fn nodes(&self, nodes: &[NodeView], sources: &[SourceView]) -> String;
    /// The apps that are known.
    fn apps(&self, apps: &[AppView], any: &[NodeId], sources: &[SourceView]) -> String;
    /// Who offers one app.
    fn app(
        &self,
        app: &str,
        offers: &[OfferView],
        any: &[NodeId],
        sources: &[SourceView],
    ) -> String;
    /// The pipes that an entry conducts, how many it did not tell of, and the nodes that did not answer it.
    fn pipes(&self, pipes: &[PipeView], left_out: u64, silent: &[Silent]) -> String;
    /// All that is known of one pipe.
    fn pipe(&self, pipe: &PipeView) -> String;
    /// What `doctor` found.
    fn findings(&self, findings: &[Finding]) -> String;
}

/// Tables for people.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Human {
    /// Whether all columns are wanted.
    pub wide: bool,
}

/// Objects for programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json;

/// Nothing: the exit status is enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quiet;

/// A line of a table.
pub(super) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// How busy a node is: stages, and how many it takes at most where that is known.
pub(crate) fn busy(load: Option<Load>) -> String {
    match load {
        None => "-".to_owned(),
        Some(load) if load.capacity == 0 => load.stages.to_string(),
        Some(load) => format!("{}/{}", load.stages, load.capacity),
    }
}

/// Whether a node can be used, in a word.
pub(crate) const fn state_word(state: NodeState) -> &'static str {
    match state {
        NodeState::Here => "here",
        NodeState::Up => "up",
        NodeState::Unknown => "unknown",
        NodeState::Draining => "draining",
        NodeState::Avoided => "avoided",
        NodeState::Out => "out",
        NodeState::Absent => "absent",
        NodeState::Critical => "critical",
        NodeState::Other => "?",
    }
}

/// Why each stage runs where it does and not elsewhere, where there was anything to choose.
fn considered(plan: &[StagePlan]) -> String {
    let mut rows = vec![row(["stage", "node", "health", "weight", "load", "why"])];
    for stage in plan.iter().filter(|stage| stage.considered.len() > 1) {
        for (index, one) in stage.considered.iter().enumerate() {
            let mark = if index == 0 { "*" } else { "" };
            rows.push(vec![
                format!("{}{mark}", stage.stage),
                one.node.to_string(),
                one.health.clone(),
                one.weight.to_string(),
                busy(one.load),
                one.verdict.clone(),
            ]);
        }
        let more = (stage.candidates as usize).saturating_sub(stage.considered.len());
        if more > 0 {
            let text = format!("and {more} more");
            rows.push(row(["", &text, "", "", "", ""]));
        }
    }
    if rows.len() == 1 {
        return String::new();
    }
    format!("\n{}", columns(2, &rows))
}

/// Names of nodes.
pub(super) fn list(nodes: &[NodeId]) -> String {
    nodes
        .iter()
        .map(NodeId::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

// === impl Human ===

impl Human {
    fn node_row(self, node: &NodeView) -> Vec<String> {
        let state = state_word(node.state);
        let apps = match &node.apps {
            None => "-".to_owned(),
            Some(AppsOffered::Any) => "any".to_owned(),
            Some(AppsOffered::Listed(apps)) if self.wide => apps
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(","),
            Some(AppsOffered::Listed(apps)) => apps.len().to_string(),
        };
        let load = busy(node.load);
        let mut seen = node.seen_ms.map_or_else(|| "-".to_owned(), age);
        if !node.detail.is_empty() {
            seen.push_str(&format!(" ({})", node.detail));
        }
        let version = node.version.clone().unwrap_or_else(|| "-".to_owned());
        let mut cells = vec![
            node.node.to_string(),
            node.address.clone(),
            state.to_owned(),
            apps,
            load,
            version,
            node.source.clone(),
            seen,
        ];
        if self.wide {
            let labels: Vec<String> = node
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            cells.insert(7, node.known_ms.map_or_else(|| "-".to_owned(), age));
            cells.insert(
                6,
                node.weight
                    .map_or_else(|| "-".to_owned(), |w| w.to_string()),
            );
            cells.insert(
                3,
                if labels.is_empty() {
                    "-".to_owned()
                } else {
                    labels.join(",")
                },
            );
        }
        cells
    }
}

/// A line for each registry whose knowledge is old, and one for each that does not show this node to others.
fn notes(sources: &[SourceView]) -> String {
    let old = |source: &SourceView| {
        let name = &source.name;
        match (&source.stale, source.age_ms) {
            (Some(why), Some(ms)) => Some(format!(
                "note: what {name} says is out of date, its last news came {} ago: {why}\n",
                age(ms)
            )),
            (Some(why), None) => Some(format!("note: {name} was never read: {why}\n")),
            (None, None) => Some(format!("note: {name} has not answered yet\n")),
            (None, Some(_)) => None,
        }
    };
    let hidden = |source: &SourceView| {
        let (why, name) = (source.unannounced.as_ref()?, &source.name);
        Some(format!(
            "note: others do not find this node through {name}: {why}\n"
        ))
    };
    let lines = sources
        .iter()
        .flat_map(|source| [old(source), hidden(source)]);
    lines
        .flatten()
        .map(|line| crate::cli::caret::printable(line.trim_end()) + "\n")
        .collect()
}

impl Output for Human {
    fn check(
        &self,
        _pipe: PipeId,
        plan: &[StagePlan],
        elapsed_ms: u64,
        outcome: &Outcome,
    ) -> String {
        if plan.is_empty() {
            return String::new();
        }
        let mut rows = vec![row([
            "stage", "app", "node", "address", "via", "version", "answer",
        ])];
        for stage in plan {
            let of = if stage.candidates > 1 {
                format!(" (of {})", stage.candidates)
            } else {
                String::new()
            };
            let version = stage
                .accept
                .as_ref()
                .and_then(|accept| accept.version.clone());
            let mut answer = if stage.accept.is_some() {
                "accepted".to_owned()
            } else {
                "-".to_owned()
            };
            if let Some(accept) = stage
                .accept
                .as_ref()
                .filter(|accept| accept.dropped_env > 0)
            {
                answer.push_str(&format!(
                    ", took all but {}",
                    plural(u64::from(accept.dropped_env), "variable")
                ));
            }
            if let Some(accept) = &stage.accept
                && (accept.input, accept.output) != (Format::Bytes, Format::Bytes)
            {
                answer.push_str(&format!(
                    ", reads {}, writes {}",
                    accept.input, accept.output
                ));
            }
            if !stage.ignored.is_empty() {
                answer.push_str(&format!(", ignored: {}", stage.ignored.join(" ")));
            }
            rows.push(vec![
                stage.stage.to_string(),
                stage.app.clone(),
                format!("{}{of}", stage.node),
                stage.address.clone(),
                stage.via.clone(),
                version.unwrap_or_else(|| "-".to_owned()),
                answer,
            ]);
        }
        let agreed = if outcome.ending == Ending::Complete {
            "agreed"
        } else {
            "did not agree"
        };
        format!(
            "{}  {agreed} in {elapsed_ms} ms; nothing was started\n{}",
            columns(2, &rows),
            considered(plan)
        )
    }

    fn nodes(&self, nodes: &[NodeView], sources: &[SourceView]) -> String {
        let mut heading = row([
            "NAME", "ADDRESS", "STATE", "APPS", "LOAD", "VERSION", "SOURCE", "SEEN",
        ]);
        if self.wide {
            heading.insert(7, "KNOWN".to_owned());
            heading.insert(6, "WEIGHT".to_owned());
            heading.insert(3, "LABELS".to_owned());
        }
        let rows: Vec<_> = std::iter::once(heading)
            .chain(nodes.iter().map(|node| self.node_row(node)))
            .collect();
        columns(0, &rows) + &notes(sources)
    }

    fn apps(&self, apps: &[AppView], any: &[NodeId], sources: &[SourceView]) -> String {
        let mut text = String::new();
        if !apps.is_empty() {
            let rows = apps
                .iter()
                .map(|app| vec![app.app.clone(), list(&app.nodes)]);
            let rows: Vec<_> = std::iter::once(row(["APP", "NODES"])).chain(rows).collect();
            text.push_str(&columns(0, &rows));
        }
        if !any.is_empty() {
            text.push_str(&format!(
                "any program of its search path is run by: {}\n",
                list(any)
            ));
        } else if apps.is_empty() {
            text.push_str("no app is known\n");
        }
        text + &notes(sources)
    }

    fn app(
        &self,
        _app: &str,
        offers: &[OfferView],
        any: &[NodeId],
        sources: &[SourceView],
    ) -> String {
        let mut text = String::new();
        if !offers.is_empty() {
            let heading = row(["NODE", "HEALTH", "WEIGHT", "VERSION", "SOURCE", "KNOWN"]);
            let rows = offers.iter().map(|offer| {
                let mut known = offer.known_ms.map_or_else(|| "-".to_owned(), age);
                if !offer.detail.is_empty() {
                    known.push_str(&format!(" ({})", offer.detail));
                }
                vec![
                    offer.node.to_string(),
                    offer.health.clone(),
                    offer.weight.to_string(),
                    offer.version.clone().unwrap_or_else(|| "-".to_owned()),
                    offer.source.clone(),
                    known,
                ]
            });
            let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
            text.push_str(&columns(0, &rows));
        }
        if !any.is_empty() {
            text.push_str(&format!(
                "any program of its search path is run by: {}\n",
                list(any)
            ));
        }
        text + &notes(sources)
    }

    fn pipes(&self, pipes: &[PipeView], left_out: u64, silent: &[Silent]) -> String {
        pipes::table(pipes, left_out, silent, self.wide)
    }

    fn pipe(&self, pipe: &PipeView) -> String {
        pipes::one(pipe, self.wide)
    }

    fn findings(&self, findings: &[Finding]) -> String {
        let mut text = String::new();
        for finding in findings {
            let word = match finding.state {
                Health::Ok => "ok",
                Health::Note => "note",
                Health::Problem => "PROBLEM",
            };
            let line = format!("{word:<8} {:<14} {}", finding.check, finding.detail);
            text.push_str(&crate::cli::caret::printable(&line));
            text.push('\n');
            if let Some(help) = &finding.help {
                text.push_str(&format!(
                    "{:24}= help: {}\n",
                    "",
                    crate::cli::caret::printable(help)
                ));
            }
        }
        let problems = findings
            .iter()
            .filter(|finding| finding.state == Health::Problem)
            .count();
        text.push_str(&match problems {
            0 => "no problems found\n".to_owned(),
            number => format!("{} found\n", plural(number as u64, "problem")),
        });
        text
    }
}

// === impl Json ===

impl Output for Json {
    fn check(
        &self,
        pipe: PipeId,
        plan: &[StagePlan],
        elapsed_ms: u64,
        outcome: &Outcome,
    ) -> String {
        json::check(pipe, plan, elapsed_ms, outcome)
    }

    fn nodes(&self, nodes: &[NodeView], sources: &[SourceView]) -> String {
        json::nodes(nodes, sources)
    }

    fn apps(&self, apps: &[AppView], any: &[NodeId], sources: &[SourceView]) -> String {
        json::apps(apps, any, sources)
    }

    fn app(
        &self,
        app: &str,
        offers: &[OfferView],
        any: &[NodeId],
        sources: &[SourceView],
    ) -> String {
        json::app(app, offers, any, sources)
    }

    fn pipes(&self, pipes: &[PipeView], left_out: u64, silent: &[Silent]) -> String {
        json::pipes(pipes, left_out, silent)
    }

    fn pipe(&self, pipe: &PipeView) -> String {
        json::pipes(std::slice::from_ref(pipe), 0, &[])
    }

    fn findings(&self, findings: &[Finding]) -> String {
        json::findings(findings)
    }
}

// === impl Quiet ===

impl Output for Quiet {
    fn check(
        &self,
        _pipe: PipeId,
        _plan: &[StagePlan],
        _elapsed_ms: u64,
        _outcome: &Outcome,
    ) -> String {
        String::new()
    }

    fn nodes(&self, _nodes: &[NodeView], _sources: &[SourceView]) -> String {
        String::new()
    }

    fn apps(&self, _apps: &[AppView], _any: &[NodeId], _sources: &[SourceView]) -> String {
        String::new()
    }

    fn app(
        &self,
        _app: &str,
        _offers: &[OfferView],
        _any: &[NodeId],
        _sources: &[SourceView],
    ) -> String {
        String::new()
    }

    fn pipes(&self, _pipes: &[PipeView], _left_out: u64, _silent: &[Silent]) -> String {
        String::new()
    }

    fn pipe(&self, _pipe: &PipeView) -> String {
        String::new()
    }

    fn findings(&self, _findings: &[Finding]) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use insta::assert_snapshot;

    use super::*;
    use crate::{
        cli::render::samples::{complete, node, plan},
        wire::message::Considered,
    };

    fn some_nodes() -> (Vec<NodeView>, Vec<SourceView>) {
        let up = NodeView {
            node: node("node-a"),
            address: "10.0.0.11:3747".to_owned(),
            state: NodeState::Up,
            detail: String::new(),
            apps: Some(AppsOffered::Listed(BTreeSet::from([
                "sort".to_owned(),
                "uniq".to_owned(),
            ]))),
            load: Some(Load {
                stages: 2,
                capacity: 16,
            }),
            version: Some("1.0.0".to_owned()),
            labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
            source: "static".to_owned(),
            seen_ms: Some(2_000),
            weight: Some(10),
            known_ms: Some(70_000),
        };
        let avoided = NodeView {
            node: node("node-c"),
            state: NodeState::Avoided,
            detail: "connect timeout\x1b[2J".to_owned(),
            apps: None,
            load: None,
            version: None,
            labels: BTreeMap::new(),
            seen_ms: Some(41_000),
            weight: None,
            known_ms: None,
            ..up.clone()
        };
        let source = SourceView {
            name: "static".to_owned(),
            age_ms: Some(70_000),
            stale: Some("the file is gone".to_owned()),
            unannounced: None,
        };
        (vec![up, avoided], vec![source])
    }

    #[test]
    fn nodes_are_a_table() {
        let (nodes, sources) = some_nodes();
        assert_snapshot!(Human::default().nodes(&nodes, &sources), @r##"
        NAME    ADDRESS         STATE    APPS  LOAD  VERSION  SOURCE  SEEN
        node-a  10.0.0.11:3747  up       2     2/16  1.0.0    static  2s
        node-c  10.0.0.11:3747  avoided  -     -     -        static  41s (connect timeout\u{1b}[2J)
        note: what static says is out of date, its last news came 70s ago: the file is gone
        "##);
        assert_snapshot!(Human { wide: true }.nodes(&nodes, &[]), @r##"
        NAME    ADDRESS         STATE    LABELS  APPS       LOAD  VERSION  WEIGHT  SOURCE  KNOWN  SEEN
        node-a  10.0.0.11:3747  up       zone=a  sort,uniq  2/16  1.0.0    10      static  70s    2s
        node-c  10.0.0.11:3747  avoided  -       -          -     -        -       static  -      41s (connect timeout\u{1b}[2J)
        "##);
    }

    #[test]
    fn nodes_are_objects_for_programs() {
        let (nodes, sources) = some_nodes();
        assert_snapshot!(Json.nodes(&nodes[..1], &sources), @r##"
        {"address":"10.0.0.11:3747","apps":{"listed":["sort","uniq"]},"detail":"","kind":"node","known_ms":70000,"labels":{"zone":"a"},"load":{"capacity":16,"stages":2},"node":"node-a","schema":"dpipes/v1","seen_ms":2000,"source":"static","state":"up","version":"1.0.0","weight":10}
        {"age_ms":70000,"kind":"source","name":"static","schema":"dpipes/v1","stale":"the file is gone","unannounced":null}
        "##);
    }

    #[test]
    fn apps_are_a_table() {
        let apps = [AppView {
            app: "sort".to_owned(),
            nodes: vec![node("a"), node("b")],
        }];
        assert_snapshot!(Human::default().apps(&apps, &[node("c")], &[]), @r##"
        APP   NODES
        sort  a, b
        any program of its search path is run by: c
        "##);
        assert_eq!(Human::default().apps(&[], &[], &[]), "no app is known\n");
        assert_snapshot!(Json.apps(&apps, &[node("c")], &[]), @r##"
        {"app":"sort","kind":"app","nodes":["a","b"],"schema":"dpipes/v1"}
        {"kind":"any-app","nodes":["c"],"schema":"dpipes/v1"}
        "##);
    }

    #[test]
    fn one_app_is_a_table_of_its_nodes() {
        let offer = |name: &str, weight, detail: &str| OfferView {
            node: node(name),
            health: "passing".to_owned(),
            weight,
            detail: detail.to_owned(),
            version: Some("9.1".to_owned()),
            source: "consul".to_owned(),
            known_ms: Some(1_200),
        };
        let offers = [
            offer("a", 10, ""),
            offer("b", 0, "taken out by an operator"),
        ];
        assert_snapshot!(Human::default().app("sort", &offers, &[node("c")], &some_nodes().1), @r##"
        NODE  HEALTH   WEIGHT  VERSION  SOURCE  KNOWN
        a     passing  10      9.1      consul  1s
        b     passing  0       9.1      consul  1s (taken out by an operator)
        any program of its search path is run by: c
        note: what static says is out of date, its last news came 70s ago: the file is gone
        "##);
        assert_snapshot!(Json.app("sort", &offers[..1], &[], &[]), @r##"
        {"app":"sort","detail":"","health":"passing","kind":"offer","known_ms":1200,"node":"a","schema":"dpipes/v1","source":"consul","version":"9.1","weight":10}
        "##);
    }

    #[test]
    fn a_choice_is_explained() {
        let one = |name: &str, weight, verdict: &str| Considered {
            node: node(name),
            health: "passing".to_owned(),
            weight,
            load: Some(Load {
                stages: 2,
                capacity: 16,
            }),
            source: "static".to_owned(),
            verdict: verdict.to_owned(),
        };
        let chosen = StagePlan {
            candidates: 5,
            considered: vec![
                one("node-c", 10, "least loaded of 2"),
                one("node-d", 0, "taken out by an operator (weight 0)"),
            ],
            ..plan(1)
        };
        assert_snapshot!(Human::default().check(PipeId::from_u128(1), &[chosen], 14, &complete(&[])), @r##"
        stage  app   node           address         via     version  answer
        2      sort  node-c (of 5)  10.0.0.12:3747  static  9.4      accepted
        agreed in 14 ms; nothing was started

        stage  node        health   weight  load  why
        2*     node-c      passing  10      2/16  least loaded of 2
        2      node-d      passing  0       2/16  taken out by an operator (weight 0)
               and 3 more
        "##);
    }

    #[test]
    fn a_plan_is_a_table_with_the_answers() {
        let plan = [plan(0), plan(1), plan(2)];
        assert_snapshot!(Human::default().check(PipeId::from_u128(1), &plan, 14, &complete(&[])), @r##"
        stage  app   node           address         via     version  answer
        1      cat   node-a         10.0.0.11:3747  static  9.4      accepted
        2      sort  node-c (of 2)  10.0.0.12:3747  static  9.4      accepted
        3      uniq  node-b         10.0.0.13:3747  static  9.4      accepted, ignored: window
        agreed in 14 ms; nothing was started
        "##);
    }

    #[test]
    fn findings_end_with_their_number() {
        let finding = |state, help| Finding {
            check: "entry".to_owned(),
            state,
            detail: "node-a".to_owned(),
            help,
        };
        let findings = [
            finding(Health::Ok, None),
            finding(Health::Problem, Some("start it: dpipesd".to_owned())),
        ];
        assert_snapshot!(Human::default().findings(&findings), @r##"
        ok       entry          node-a
        PROBLEM  entry          node-a
                                = help: start it: dpipesd
        1 problem found
        "##);
        assert!(
            Human::default()
                .findings(&findings[..1])
                .ends_with("no problems found\n")
        );
        assert_eq!(Quiet.findings(&findings), "");
    }
}
