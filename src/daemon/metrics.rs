//! What this node counts, in the exposition format of Prometheus.
//!
//! Labels are bounded: an app is named where the configuration names it and is `other` else, and there are no names of pipes or arguments.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec,
    Opts, Registry, TextEncoder, process_collector::ProcessCollector,
};

use super::{
    node::Node,
    settings::{Access, Settings},
    stage::Spent,
};
use crate::{
    transport,
    wire::message::{Ending, Exit, Failure, Phase, StageRecord},
};

/// Upper ends of the classes of a stage's duration: from the shortest process to an hour.
const DURATIONS: [f64; 11] = [
    0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0,
];

/// The label of an app that no configuration names.
const OTHER: &str = "other";

/// How a pipe can end.
const OUTCOMES: [&str; 3] = ["complete", "failed", "aborted"];

/// The counters of a node.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    apps: BTreeSet<String>,
    pipes_started: IntCounter,
    pipes_finished: IntCounterVec,
    stage_duration: HistogramVec,
    stage_exits: IntCounterVec,
    link_bytes: IntCounterVec,
    link_stalled: CounterVec,
    handshake_failures: IntCounterVec,
    refusals: IntCounterVec,
    reload_failures: IntCounter,
}

// === impl Metrics ===

impl Metrics {
    /// Counters at zero. The apps that `settings` names now are the ones that are told apart for good.
    pub(super) fn new(settings: &Settings) -> Self {
        let registry = Registry::new();
        let this = Self {
            apps: settings.rules.apps.keys().cloned().collect(),
            pipes_started: counter(
                "dpipes_pipes_started_total",
                "Pipes that this node has begun to conduct.",
            ),
            pipes_finished: counters(
                "dpipes_pipes_finished_total",
                "Pipes that this node has conducted to their end, by outcome: complete, failed or aborted.",
                &["outcome"],
            ),
            stage_duration: made(HistogramVec::new(
                HistogramOpts::new(
                    "dpipes_stage_duration_seconds",
                    "From the start of a stage's app to the last byte of its output.",
                )
                .buckets(DURATIONS.to_vec()),
                &["app"],
            )),
            stage_exits: counters(
                "dpipes_stage_exits_total",
                "Stages that have ended here, by result: zero, nonzero, signal, killed or not-started.",
                &["app", "result"],
            ),
            link_bytes: counters(
                "dpipes_link_bytes_total",
                "Bytes that went into stages here over links, and out of them; nothing is counted in kernel pipes between them.",
                &["app", "direction"],
            ),
            link_stalled: made(CounterVec::new(
                Opts::new(
                    "dpipes_link_stalled_seconds_total",
                    "Time that stages here have waited: at side read for their input, at side write until their output was taken.",
                ),
                &["app", "side"],
            )),
            handshake_failures: counters(
                "dpipes_handshake_failures_total",
                "Connections that did not become a session, by reason: refused or broken.",
                &["reason"],
            ),
            refusals: counters(
                "dpipes_refusals_total",
                "Stages that this node did not agree to run, by parameter.",
                &["reason"],
            ),
            reload_failures: counter(
                "dpipes_config_reload_failures_total",
                "Times that the configuration was to be read again and was wrong.",
            ),
            registry,
        };
        this.register();
        // A counter that is not there before it counts hides its first step.
        for outcome in OUTCOMES {
            this.pipes_finished.with_label_values(&[outcome]);
        }
        this
    }

    fn register(&self) {
        let all: [Box<dyn prometheus::core::Collector>; 9] = [
            Box::new(self.pipes_started.clone()),
            Box::new(self.pipes_finished.clone()),
            Box::new(self.stage_duration.clone()),
            Box::new(self.stage_exits.clone()),
            Box::new(self.link_bytes.clone()),
            Box::new(self.link_stalled.clone()),
            Box::new(self.handshake_failures.clone()),
            Box::new(self.refusals.clone()),
            Box::new(self.reload_failures.clone()),
        ];
        for collector in all {
            made(self.registry.register(collector));
        }
    }

    /// All that is counted, and how the node is now, in the text format of Prometheus.
    pub(super) fn text(&self, node: &Node) -> String {
        let now = Registry::new();
        gauges(node, &now);
        // It looks into /proc, which a client with an entry of its own need not do at its start.
        made(now.register(Box::new(ProcessCollector::for_self())));
        let mut text = String::new();
        for registry in [&self.registry, &now] {
            made(TextEncoder::new().encode_utf8(&registry.gather(), &mut text));
        }
        text
    }

    /// A pipe has begun.
    pub(super) fn pipe_started(&self) {
        self.pipes_started.inc();
    }

    /// A pipe is over.
    pub(super) fn pipe_finished(&self, ending: &Ending) {
        let [complete, failed, aborted] = OUTCOMES;
        let outcome = match ending {
            Ending::Complete => complete,
            Ending::Failed(Failure::Aborted { .. }) => aborted,
            Ending::Failed(_) => failed,
        };
        self.pipes_finished.with_label_values(&[outcome]).inc();
    }

    /// A stage is over.
    pub(super) fn stage_ended(&self, record: &StageRecord) {
        let app = self.label(&record.app);
        let result = match record.exit {
            _ if record.killed.is_some() => "killed",
            Exit::Code(0) => "zero",
            Exit::Code(_) => "nonzero",
            Exit::Signal(_) => "signal",
            Exit::NotStarted | Exit::Unknown => "not-started",
        };
        self.stage_exits.with_label_values(&[app, result]).inc();
        if let Some(elapsed) = record.elapsed_ms {
            let took = Duration::from_millis(elapsed).as_secs_f64();
            self.stage_duration.with_label_values(&[app]).observe(took);
        }
    }

    /// Bytes have gone into and out of a stage.
    pub(super) fn moved(&self, app: &str, read: u64, written: u64) {
        let app = self.label(app);
        for (direction, bytes) in [("in", read), ("out", written)] {
            if bytes > 0 {
                let counter = self.link_bytes.with_label_values(&[app, direction]);
                counter.inc_by(bytes);
            }
        }
    }

    /// A stage has spent time.
    pub(super) fn spent(&self, app: &str, on: Spent, time: Duration) {
        let side = match on {
            Spent::AwaitingInput => "read",
            Spent::AwaitingOutput => "write",
            Spent::Working => return,
        };
        let counter = self
            .link_stalled
            .with_label_values(&[self.label(app), side]);
        counter.inc_by(time.as_secs_f64());
    }

    /// A peer was not let in.
    pub(super) fn peer_refused(&self) {
        self.handshake_failures
            .with_label_values(&["refused"])
            .inc();
    }

    /// A peer did not get through its handshake.
    pub(super) fn handshake_broken(&self) {
        self.handshake_failures.with_label_values(&["broken"]).inc();
    }

    /// A stage was refused because of this parameter of the agreement.
    pub(super) fn stage_refused(&self, parameter: &str) {
        self.refusals.with_label_values(&[parameter]).inc();
    }

    /// The configuration was wrong.
    pub(super) fn reload_failed(&self) {
        self.reload_failures.inc();
    }

    fn label<'a>(&self, app: &'a str) -> &'a str {
        if self.apps.contains(app) { app } else { OTHER }
    }
}

/// What is looked up when somebody asks, and lives no longer.
fn gauges(node: &Node, registry: &Registry) {
    let gauge = |name: &str, help: &str, labels: &[&str]| {
        let gauge = made(IntGaugeVec::new(Opts::new(name, help), labels));
        made(registry.register(Box::new(gauge.clone())));
        gauge
    };
    let set = |gauge: &IntGaugeVec, labels: &[&str], value: u64| {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        gauge.with_label_values(labels).set(value);
    };
    let build = gauge(
        "dpipes_build_info",
        "1, with the version of dpipesd.",
        &["version"],
    );
    set(&build, &[env!("CARGO_PKG_VERSION")], 1);
    let phases = gauge(
        "dpipes_phase",
        "1 for how far the daemon is: starting, ready or draining.",
        &["phase"],
    );
    for (name, phase) in [
        ("starting", Phase::Starting),
        ("ready", Phase::Ready),
        ("draining", Phase::Draining),
    ] {
        set(&phases, &[name], u64::from(node.phase() == phase));
    }
    let load = node.load();
    let stages = gauge(
        "dpipes_stages_running",
        "Stages that are prepared or run here.",
        &[],
    );
    set(&stages, &[], load.stages.into());
    let capacity = gauge(
        "dpipes_stages_capacity",
        "Stages that may run here at one time.",
        &[],
    );
    set(&capacity, &[], load.capacity.into());
    let pipes = gauge(
        "dpipes_pipes_running",
        "Pipes that are conducted here now.",
        &[],
    );
    set(&pipes, &[], node.runs().len() as u64);
    let links = gauge(
        "dpipes_links_open",
        "Ends of links at stages that run here.",
        &[],
    );
    set(&links, &[], node.running().links() as u64);
    let buffers = gauge(
        "dpipes_buffer_bytes",
        "What the windows of all open streams may come to in memory.",
        &[],
    );
    set(&buffers, &[], transport::window_bytes());
    let sessions = gauge(
        "dpipes_sessions",
        "Open sessions, by what is at their other end: node or client.",
        &["peer"],
    );
    let (nodes, clients) = node.session_counts();
    set(&sessions, &["node"], nodes as u64);
    set(&sessions, &["client"], clients as u64);
    let open = gauge(
        "dpipes_access_open",
        "1 if whoever reaches this node may run programs on it.",
        &[],
    );
    set(
        &open,
        &[],
        u64::from(node.settings().access == Access::Open),
    );
    registries(node, registry);
}

fn registries(node: &Node, registry: &Registry) {
    let gauge = |name: &str, help: &str| {
        let gauge = made(GaugeVec::new(Opts::new(name, help), &["backend"]));
        made(registry.register(Box::new(gauge.clone())));
        gauge
    };
    let up = gauge(
        "dpipes_registry_up",
        "1 if a registry's last answer was a good one.",
    );
    let entries = gauge("dpipes_registry_entries", "Nodes that a registry lists.");
    let success = gauge(
        "dpipes_registry_last_success_timestamp_seconds",
        "When a registry last gave a good answer.",
    );
    let known = node.registered();
    for source in known.sources.iter() {
        let name = source.name.to_string();
        let listed = known.candidates.iter();
        let listed = listed.filter(|candidate| candidate.from.contains(&source.name));
        let is_up = source.updated.is_some() && source.stale.is_none();
        up.with_label_values(&[&name])
            .set(f64::from(u8::from(is_up)));
        entries
            .with_label_values(&[&name])
            .set(listed.count() as f64);
        if let Some(at) = source.updated {
            let since = SystemTime::now().checked_sub(at.elapsed());
            let since = since.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            success
                .with_label_values(&[&name])
                .set(since.unwrap_or_default().as_secs_f64());
        }
    }
}

fn counter(name: &str, help: &str) -> IntCounter {
    made(IntCounter::new(name, help))
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    made(IntCounterVec::new(Opts::new(name, help), labels))
}

/// Names and labels are written above, so that a wrong one shows when any node starts.
fn made<T>(made: prometheus::Result<T>) -> T {
    made.expect("the names of metrics are right, and each is used once")
}
