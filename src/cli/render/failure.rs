//! What a failed run looks like: what, where, why, and one next step.

use crate::{
    cli::{
        caret::{Message, Place, Spans},
        exit,
        render::text::{age, bytes, count, plural, seconds},
    },
    expr,
    id::{NodeId, StageNumber},
    media::Format,
    wire::message::{
        Ending, Exit, Failure, LinkEnd, LinkEndpoint, Outcome, Refusal, RefusalKind, SourceView,
        StageRecord, Tried,
    },
};

/// What is known about the pipeline when its failure is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    /// The pipeline as the user wrote it.
    pub source: &'a str,
    /// Where its words stand.
    pub spans: &'a Spans,
}

/// Stages that are named when dpipes ended them. Of a thousand nobody reads more, and the record has them all.
const MOST_STOPPED: usize = 10;

/// The message for an outcome that is not the apps' own; `None` when it is.
pub(crate) fn message(outcome: &Outcome, scene: Scene<'_>) -> Option<Message> {
    match &outcome.ending {
        Ending::Failed(failure) => {
            let mut message = of_failure(failure, scene);
            let stopped: Vec<String> = outcome.stages.iter().filter_map(stopped).collect();
            let more = stopped.len().saturating_sub(MOST_STOPPED);
            message.lines.extend(stopped.into_iter().take(MOST_STOPPED));
            if more > 0 {
                message.lines.push(format!("and {more} more were stopped"));
            }
            Some(message)
        }
        Ending::Complete => exit::first_doubt(&outcome.stages).map(|stage| doubt(stage, scene)),
    }
}

/// What failed, on one line and without the pipeline.
pub(crate) fn summary(failure: &Failure) -> String {
    let spans = Spans::default();
    let scene = Scene {
        source: "",
        spans: &spans,
    };
    of_failure(failure, scene).title
}

/// One next step for whoever sees it, where there is one.
pub(crate) fn next_step(failure: &Failure) -> Option<String> {
    let spans = Spans::default();
    let scene = Scene {
        source: "",
        spans: &spans,
    };
    of_failure(failure, scene).help
}

fn of_failure(failure: &Failure, scene: Scene<'_>) -> Message {
    match failure {
        Failure::NoSuchApp {
            stage,
            app,
            near,
            sources,
            nodes,
        } => no_such_app(*stage, app, near, sources, *nodes, scene),
        Failure::NoRegistry { sources } => no_registry(sources),
        Failure::NoFit {
            stage,
            app,
            constraint,
            nodes,
        } => {
            let message = Message {
                label: Some(format!("offered by {}; none of them fits", names(nodes))),
                ..Message::new(format!("no node with the app `{app}` fits {constraint}"))
            };
            let span = scene.spans.placement(stage.index());
            Message {
                place: span.map(|span| place(scene, span)),
                ..message
            }
            .with_help("who is there, and with which labels: dpipes nodes --wide")
        }
        Failure::Refused {
            node,
            address,
            refusal,
        } => refused(node.as_ref(), address, refusal, scene),
        Failure::Unreachable { stage, app, tried } => unreachable(*stage, app, tried, scene),
        Failure::ExecFailed {
            stage,
            app,
            node,
            step,
            errno,
        } => {
            let why = std::io::Error::from_raw_os_error(*errno);
            let message = Message::new(format!("cannot run `{app}` on {node}: {step}: {why}"));
            at_word(
                message,
                scene,
                *stage,
                0,
                "everybody had agreed; it changed between the answer and the start".to_owned(),
            )
            .with_help("nothing is repeated after start; run again")
        }
        Failure::LostNode {
            node,
            stages,
            apps,
            detail,
            delivered,
        } => Message {
            lines: vec![delivered_text(*delivered)],
            help: Some(format!(
                "nothing is repeated after start; run again, or keep off that node: --avoid {node}"
            )),
            ..Message::new(format!(
                "lost {node} while {} ({detail})",
                running(stages, apps)
            ))
        },
        Failure::LostLink {
            from,
            to,
            node,
            peer,
            bytes,
            detail,
            delivered,
        } => Message {
            lines: vec![format!(
                "link {} -> {} broke after {} bytes; {}",
                endpoint(*from),
                endpoint(*to),
                count(*bytes),
                delivered_text(*delivered)
            )],
            help: Some(format!(
                "nothing is repeated after start; run again, or keep off that node: --avoid {peer}"
            )),
            ..Message::new(format!("{node} lost its link to {peer} ({detail})"))
        },
        Failure::Unbalanced {
            from,
            to,
            sent,
            received,
        } => {
            let bytes = |number: &Option<u64>| {
                number.map_or_else(|| "an unknown number of".to_owned(), count)
            };
            Message {
                lines: vec![format!(
                    "{} bytes were written and {} bytes were read",
                    bytes(sent),
                    bytes(received)
                )],
                ..Message::new(format!(
                    "link {} -> {} does not balance",
                    endpoint(*from),
                    endpoint(*to)
                ))
            }
            .with_help("the output is not to be trusted; run again, and please report it")
        }
        Failure::BadObject {
            from,
            app,
            node,
            to,
            format,
            number,
            offset,
            problem,
        } => bad_object(
            Bad {
                from: *from,
                app,
                node: node.as_ref(),
                to: *to,
                format: *format,
            },
            format!(
                "{} object {}, byte {}: {problem}",
                format.to_string().to_uppercase(),
                count(*number),
                count(*offset)
            ),
            scene,
        ),
        Failure::StatusUnknown { stage, detail } => {
            let message =
                Message::new(format!("the status of stage {stage} never came ({detail})"));
            at_word(
                message,
                scene,
                *stage,
                0,
                "it may or may not have succeeded".to_owned(),
            )
            .with_help("look at what it was to do before you run again")
        }
        Failure::LimitReached {
            stage,
            app,
            node,
            limit,
        } => at_word(
            Message::new(format!("`{app}` on {node} reached its limit, {limit}")),
            scene,
            *stage,
            0,
            "ended, and the pipe with it".to_owned(),
        )
        .with_help(format!(
            "the limit is set on {node}: apps.{app}.limits in its configuration"
        )),
        Failure::TimedOut { after_ms } => {
            Message::new(format!("--timeout reached after {}", seconds(*after_ms)))
                .with_help("every stage was ended; give it longer, or leave --timeout out")
        }
        Failure::Aborted { reason, signal: _ } => Message::new(format!("stopped: {reason}")),
        Failure::BadRequest { detail, span, hint } => Message {
            place: span.map(|(start, end)| place(scene, start as usize..end as usize)),
            help: hint.clone(),
            ..Message::new(detail.clone())
        },
        Failure::Entry { detail } => Message::new(format!("the entry failed: {detail}"))
            .with_help("see what is wrong there: dpipes doctor"),
        Failure::Unknown => {
            Message::new("the entry reports a failure that this version of dpipes does not know")
                .with_help("upgrade this side: dpipes version")
        }
    }
}

fn no_such_app(
    stage: StageNumber,
    app: &str,
    near: &[(String, Vec<NodeId>)],
    sources: &[SourceView],
    nodes: u32,
    scene: Scene<'_>,
) -> Message {
    let asked: Vec<String> = sources.iter().map(source).collect();
    let known = plural(u64::from(nodes), "node");
    let label = if asked.is_empty() {
        format!("asked {known}")
    } else {
        format!("asked {}: {known}", asked.join(", "))
    };
    let near = near
        .iter()
        .map(|(name, nodes)| format!("`{name}` ({})", names(nodes)))
        .collect::<Vec<_>>()
        .join(" or ");
    let help = match (expr::shell_only_hint(app), near.is_empty()) {
        (Some(hint), _) => hint.to_owned(),
        (None, true) if nodes == 0 => {
            "no node is known; look at the list of nodes, or see: dpipes doctor".to_owned()
        }
        (None, true) => "what the nodes offer: dpipes apps".to_owned(),
        (None, false) => format!("did you mean {near}?  all of them: dpipes apps"),
    };
    at_word(
        Message::new(format!("no node offers the app `{app}`")),
        scene,
        stage,
        0,
        label,
    )
    .with_help(help)
}

/// Who wrote what is no object, and who was to read it.
struct Bad<'a> {
    from: LinkEndpoint,
    app: &'a str,
    node: Option<&'a NodeId>,
    to: LinkEndpoint,
    format: Format,
}

fn bad_object(bad: Bad<'_>, problem: String, scene: Scene<'_>) -> Message {
    let format = bad.format.to_string().to_uppercase();
    let to = match bad.to {
        LinkEndpoint::Client => "the output".to_owned(),
        LinkEndpoint::Stage(stage) => format!("stage {stage}"),
    };
    match bad.from {
        LinkEndpoint::Client => Message {
            lines: vec![problem],
            ..Message::new(format!("standard input, for {to}, has a bad object"))
        }
        .with_help("if it is not meant for the pipe: -n; what it is: --format-in; to go on past bad objects: -o on-bad-object=skip"),
        LinkEndpoint::Stage(stage) => {
            let node = bad.node.map(|node| format!(" on {node}")).unwrap_or_default();
            let app = bad.app;
            let what = format!("stage {stage} `{app}`{node} wrote a bad object");
            at_word(Message::new(what), scene, stage, 0, problem).with_help(format!(
                "if `{app}` does not write {format}: --app-format {app}={}:bytes; to go on past bad objects: -o on-bad-object=skip",
                bad.format
            ))
        }
    }
}

fn no_registry(sources: &[SourceView]) -> Message {
    let unread: Vec<&str> = sources
        .iter()
        .filter(|source| source.age_ms.is_none())
        .map(|source| source.name.as_str())
        .collect();
    let asked: Vec<String> = sources.iter().map(source).collect();
    Message {
        label: Some(format!("asked {}", asked.join(", "))),
        ..Message::new(format!(
            "no other node is known: nothing was read yet from the registry {}",
            unread.join(" and ")
        ))
    }
    .with_help("whether the entry reaches its registry: dpipes doctor")
}

fn refused(node: Option<&NodeId>, address: &str, refusal: &Refusal, scene: Scene<'_>) -> Message {
    let who = match node {
        Some(node) if address.is_empty() => node.to_string(),
        Some(node) => format!("{node} ({address})"),
        None => "the entry".to_owned(),
    };
    let what = match (refusal.kind, refusal.stage) {
        (RefusalKind::Busy, _) => format!("{who} is busy"),
        (RefusalKind::Gone, _) => format!("{who} is leaving"),
        (RefusalKind::NoSuchApp, _) => format!("{who} has no app `{}`", refusal.wanted),
        (RefusalKind::NotExecutable, _) => format!("{who} cannot execute `{}`", refusal.wanted),
        // Each node knows its own app; that two of them do not fit is nobody's fault.
        (RefusalKind::Forbidden, Some(stage)) if refusal.parameter == "format" => {
            format!("formats do not fit at stage {stage}")
        }
        (RefusalKind::Forbidden | RefusalKind::Unknown, Some(stage)) => {
            format!("{who} refused stage {stage}: {}", refusal.parameter)
        }
        (RefusalKind::Forbidden | RefusalKind::Unknown, None) => {
            format!("{who} refused: {}", refusal.parameter)
        }
    };
    let label = match (refusal.wanted.is_empty(), refusal.got.is_empty()) {
        (_, true) => format!("asked for {}", refusal.wanted),
        (true, false) => refusal.got.clone(),
        // Two ends of a link, of which neither was asked for in so many words.
        (false, false) if refusal.parameter == "format" => {
            format!("{}, but {}", refusal.wanted, refusal.got)
        }
        (false, false) => format!("asked for `{}`; there: {}", refusal.wanted, refusal.got),
    };
    let mut message = match refusal.stage {
        Some(stage) => at_word(
            Message::new(what),
            scene,
            stage,
            usize::from(refusal.word.unwrap_or(0)),
            label,
        ),
        None => Message {
            label: Some(label),
            ..Message::new(what)
        },
    };
    message.help = refusal.hint.clone().or_else(|| match refusal.kind {
        RefusalKind::Busy => Some("try again, or add nodes: dpipes nodes".to_owned()),
        RefusalKind::Gone => Some("try again".to_owned()),
        _ => None,
    });
    message.lines.push("nothing was started".to_owned());
    message
}

fn unreachable(stage: StageNumber, app: &str, tried: &[Tried], scene: Scene<'_>) -> Message {
    let message = Message {
        lines: tried
            .iter()
            .map(|t| format!("{} at {}: {}", t.node, t.address, t.error))
            .collect(),
        ..Message::new(format!("no node that offers `{app}` was reached"))
    };
    let label = format!("tried {}", plural(tried.len() as u64, "node"));
    at_word(message, scene, stage, 0, label).with_help("see what is wrong there: dpipes doctor")
}

/// A complete run that is not to be believed.
fn doubt(stage: &StageRecord, scene: Scene<'_>) -> Message {
    let (what, label) = match stage.exit {
        Exit::NotStarted => ("was never started", "its neighbours ran without it"),
        Exit::Unknown => ("has no known status", "it may or may not have succeeded"),
        Exit::Code(_) | Exit::Signal(_) => ("lost a link", "its output may be short"),
    };
    let message = Message::new(format!(
        "stage {} `{}` on {} {what}",
        stage.stage, stage.app, stage.node
    ));
    at_word(message, scene, stage.stage, 0, label.to_owned())
}

/// A line about a stage that dpipes ended.
fn stopped(stage: &StageRecord) -> Option<String> {
    let why = stage.killed.as_ref()?;
    let mut line = format!(
        "stopped: stage {} `{}` on {} ({why}",
        stage.stage, stage.app, stage.node
    );
    if let Some(elapsed) = stage.elapsed_ms {
        line.push_str(&format!(", after {}", seconds(elapsed)));
    }
    if let (Some(read), LinkEnd::Lost) = (stage.bytes_in, stage.input) {
        line.push_str(&format!(", {} read", bytes(read)));
    }
    line.push(')');
    Some(line)
}

/// Points at a word of a stage; without its place the label becomes a line.
fn at_word(
    message: Message,
    scene: Scene<'_>,
    stage: StageNumber,
    word: usize,
    label: String,
) -> Message {
    let span = scene.spans.word(stage.index(), word);
    Message {
        place: span.map(|span| place(scene, span)),
        label: Some(label),
        ..message
    }
}

fn place(scene: Scene<'_>, span: std::ops::Range<usize>) -> Box<Place> {
    Box::new(Place {
        source: scene.source.to_owned(),
        span,
    })
}

fn source(source: &SourceView) -> String {
    let age = source
        .age_ms
        .map(|ms| format!(" ({} ago)", age(ms)))
        .unwrap_or_default();
    let stale = source
        .stale
        .as_ref()
        .map(|why| format!(" [{why}]"))
        .unwrap_or_default();
    format!("{}{age}{stale}", source.name)
}

fn names(nodes: &[NodeId]) -> String {
    /// More names than this are a number: a line is for reading.
    const MAX_NAMES: usize = 4;
    if nodes.len() > MAX_NAMES {
        return plural(nodes.len() as u64, "node");
    }
    nodes
        .iter()
        .map(NodeId::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn running(stages: &[StageNumber], apps: &[String]) -> String {
    let each: Vec<String> = stages
        .iter()
        .zip(apps)
        .map(|(stage, app)| format!("stage {stage} `{app}`"))
        .collect();
    match each.as_slice() {
        [] => "the pipe was running".to_owned(),
        [one] => format!("{one} was running"),
        several => format!("{} were running", several.join(", ")),
    }
}

fn delivered_text(delivered: u64) -> String {
    match delivered {
        0 => "nothing had been written to your stdout".to_owned(),
        _ => format!("{} bytes had been written to your stdout", count(delivered)),
    }
}

fn endpoint(end: LinkEndpoint) -> String {
    match end {
        LinkEndpoint::Client => "client".to_owned(),
        LinkEndpoint::Stage(stage) => stage.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::cli::render::samples::{complete, failed, node, record, refusal};

    const SOURCE: &str = "cat /data/a.txt | srot -o/etc/passwd";

    fn shown(failure: Failure) -> String {
        shown_outcome(&failed(failure))
    }

    fn shown_outcome(outcome: &Outcome) -> String {
        let spans = Spans::read(SOURCE).unwrap();
        message(
            outcome,
            Scene {
                source: SOURCE,
                spans: &spans,
            },
        )
        .unwrap()
        .render(false)
    }

    fn two() -> StageNumber {
        StageNumber::new(2)
    }

    #[test]
    fn an_app_that_nobody_offers() {
        let sources = vec![SourceView {
            name: "static".to_owned(),
            age_ms: Some(12),
            stale: None,
            unannounced: None,
        }];
        let near = vec![("sort".to_owned(), vec![node("node-b"), node("node-c")])];
        assert_snapshot!(shown(Failure::NoSuchApp { stage: two(), app: "srot".to_owned(), near, sources, nodes: 3 }), @r##"
        error: no node offers the app `srot`
         --> pipeline:1:19
          |
        1 | cat /data/a.txt | srot -o/etc/passwd
          |                   ^^^^ asked static (12ms ago): 3 nodes
          |
          = help: did you mean `sort` (node-b, node-c)?  all of them: dpipes apps
        "##);
    }

    #[test]
    fn a_constraint_that_nobody_fits() {
        let nodes = vec![node("node-a")];
        assert_snapshot!(shown(Failure::NoFit { stage: two(), app: "srot".to_owned(), constraint: "@gpu=yes".to_owned(), nodes }), @r##"
        error: no node with the app `srot` fits @gpu=yes
         --> pipeline:1:19
          |
        1 | cat /data/a.txt | srot -o/etc/passwd
          |                   ^^^^ offered by node-a; none of them fits
          |
          = help: who is there, and with which labels: dpipes nodes --wide
        "##);
    }

    #[test]
    fn a_refused_argument() {
        let refused = |refusal| Failure::Refused {
            node: Some(node("node-c")),
            address: "10.0.0.13:3747".to_owned(),
            refusal,
        };
        assert_snapshot!(shown(refused(refusal(RefusalKind::Forbidden))), @r##"
        error: node-c (10.0.0.13:3747) refused stage 2: argument
         --> pipeline:1:24
          |
        1 | cat /data/a.txt | srot -o/etc/passwd
          |                        ^^^^^^^^^^^^^ asked for `-o/etc/passwd`; there: none like `-o*`
          |
          = note: nothing was started
        "##);
        assert_snapshot!(shown(refused(refusal(RefusalKind::Busy))), @r##"
        error: node-c (10.0.0.13:3747) is busy
         --> pipeline:1:24
          |
        1 | cat /data/a.txt | srot -o/etc/passwd
          |                        ^^^^^^^^^^^^^ asked for `-o/etc/passwd`; there: none like `-o*`
          |
          = note: nothing was started
          = help: try again, or add nodes: dpipes nodes
        "##);
        let whole = Refusal {
            stage: None,
            hint: Some("show one".to_owned()),
            ..refusal(RefusalKind::Forbidden)
        };
        assert_snapshot!(shown(Failure::Refused { node: None, address: String::new(), refusal: whole }), @r##"
        error: the entry refused: argument
          asked for `-o/etc/passwd`; there: none like `-o*`
          nothing was started
          = help: show one
        "##);
    }

    #[test]
    fn nodes_that_were_not_reached() {
        let tried = vec![Tried {
            node: node("node-b"),
            address: "10.0.0.12:3747".to_owned(),
            error: "connection refused".to_owned(),
        }];
        assert_snapshot!(shown(Failure::Unreachable { stage: two(), app: "srot".to_owned(), tried }), @r##"
        error: no node that offers `srot` was reached
         --> pipeline:1:19
          |
        1 | cat /data/a.txt | srot -o/etc/passwd
          |                   ^^^^ tried 1 node
          |
          = note: node-b at 10.0.0.12:3747: connection refused
          = help: see what is wrong there: dpipes doctor
        "##);
    }

    #[test]
    fn a_program_that_vanished() {
        let failure = Failure::ExecFailed {
            stage: two(),
            app: "srot".to_owned(),
            node: node("node-b"),
            step: "execve".to_owned(),
            errno: 2,
        };
        assert_snapshot!(shown(failure), @r##"
        error: cannot run `srot` on node-b: execve: No such file or directory (os error 2)
         --> pipeline:1:19
          |
        1 | cat /data/a.txt | srot -o/etc/passwd
          |                   ^^^^ everybody had agreed; it changed between the answer and the start
          |
          = help: nothing is repeated after start; run again
        "##);
    }

    #[test]
    fn a_lost_node_with_what_was_stopped() {
        let mut outcome = failed(Failure::LostNode {
            node: node("node-c"),
            stages: vec![two()],
            apps: vec!["sort".to_owned()],
            detail: "no answer for 15.0 s".to_owned(),
            delivered: 0,
        });
        outcome.stages = vec![StageRecord {
            killed: Some("SIGTERM".to_owned()),
            ..record(0, Exit::Signal(15))
        }];
        assert_snapshot!(shown_outcome(&outcome), @r##"
        error: lost node-c while stage 2 `sort` was running (no answer for 15.0 s)
          nothing had been written to your stdout
          stopped: stage 1 `yes` on node-a (SIGTERM, after 0.08s)
          = help: nothing is repeated after start; run again, or keep off that node: --avoid node-c
        "##);
    }

    #[test]
    fn a_lost_link() {
        let failure = Failure::LostLink {
            from: LinkEndpoint::Stage(StageNumber::FIRST),
            to: LinkEndpoint::Stage(two()),
            node: node("node-a"),
            peer: node("node-c"),
            bytes: 1_288_490_188,
            detail: "connection reset by peer".to_owned(),
            delivered: 5_000,
        };
        assert_snapshot!(shown(failure), @r##"
        error: node-a lost its link to node-c (connection reset by peer)
          link 1 -> 2 broke after 1,288,490,188 bytes; 5,000 bytes had been written to your stdout
          = help: nothing is repeated after start; run again, or keep off that node: --avoid node-c
        "##);
    }

    #[test]
    fn the_other_failures() {
        let from = LinkEndpoint::Stage(two());
        assert_snapshot!(shown(Failure::Unbalanced { from, to: LinkEndpoint::Client, sent: Some(10), received: None }), @r##"
        error: link 2 -> client does not balance
          10 bytes were written and an unknown number of bytes were read
          = help: the output is not to be trusted; run again, and please report it
        "##);
        assert_snapshot!(shown(Failure::StatusUnknown { stage: two(), detail: "the node restarted".to_owned() }), @r##"
        error: the status of stage 2 never came (the node restarted)
         --> pipeline:1:19
          |
        1 | cat /data/a.txt | srot -o/etc/passwd
          |                   ^^^^ it may or may not have succeeded
          |
          = help: look at what it was to do before you run again
        "##);
        assert_snapshot!(shown(Failure::TimedOut { after_ms: 10_000 }), @r##"
        error: --timeout reached after 10.0s
          = help: every stage was ended; give it longer, or leave --timeout out
        "##);
        assert_snapshot!(shown(Failure::Aborted { reason: "interrupted".to_owned(), signal: Some(2) }), @"error: stopped: interrupted");
        let source = |name: &str, age_ms, stale: Option<&str>| SourceView {
            name: name.to_owned(),
            age_ms,
            stale: stale.map(str::to_owned),
            unannounced: None,
        };
        let sources = vec![
            source("consul", None, Some("connection refused")),
            source("static", Some(1_500), None),
        ];
        assert_snapshot!(shown(Failure::NoRegistry { sources }), @r##"
        error: no other node is known: nothing was read yet from the registry consul
          asked consul [connection refused], static (1s ago)
          = help: whether the entry reaches its registry: dpipes doctor
        "##);
        assert_snapshot!(shown(Failure::Entry { detail: "it is leaving".to_owned() }), @r##"
        error: the entry failed: it is leaving
          = help: see what is wrong there: dpipes doctor
        "##);
        assert_snapshot!(shown(Failure::Unknown), @r##"
        error: the entry reports a failure that this version of dpipes does not know
          = help: upgrade this side: dpipes version
        "##);
        let hint = Some("quote it".to_owned());
        assert_snapshot!(shown(Failure::BadRequest { detail: "unclosed quote".to_owned(), span: Some((4, 15)), hint }), @r##"
        error: unclosed quote
         --> pipeline:1:5
          |
        1 | cat /data/a.txt | srot -o/etc/passwd
          |     ^^^^^^^^^^^
          |
          = help: quote it
        "##);
    }

    #[test]
    fn a_complete_run_is_doubted_when_a_record_contradicts_it() {
        let spans = Spans::read(SOURCE).unwrap();
        let scene = Scene {
            source: SOURCE,
            spans: &spans,
        };
        assert_eq!(
            message(&complete(&[Exit::Code(1), Exit::Code(0)]), scene),
            None
        );
        assert_snapshot!(shown_outcome(&complete(&[Exit::Code(0), Exit::Unknown])), @r##"
        error: stage 2 `head` on node-b has no known status
         --> pipeline:1:19
          |
        1 | cat /data/a.txt | srot -o/etc/passwd
          |                   ^^^^ it may or may not have succeeded
        "##);
    }
}
