//! dpipes runs every stage of a Unix pipeline on a node of a cluster, and behaves exactly like a local pipe or fails loudly.
//!
//! # The flow: one noun per arrow
//!
//! ```text
//! argv --cli--> Args --expr--> Pipeline --plan--> Candidates --schedule--> Plan
//!      --coordinator--> Offer <=> Answer --negotiate--> Agreement
//!      --transport--> links --exec--> children ... --coordinator--> Outcome --cli--> exit code
//! ```
//!
//! # Layers
//!
//! Imports go downwards only; `tests/suite/layers.rs` holds the table and enforces it.
//!
//! | layer | modules | rule |
//! |--:|---|---|
//! | 0 | [`id`] [`media`] [`variable`] [`word`] | words open to all |
//! | 1 | [`coding`] [`expr`] [`wire`] [`mux`] [`negotiate`] [`object`] [`plan`] [`schedule`] | pure: no tokio, no clock, no I/O |
//! | 2 | [`transport`] [`exec`] | I/O, one concern each; they never import each other |
//! | 3 | [`coordinator`] [`daemon`] [`client`] | the two sides; client and daemon never import each other |
//! | 4 | [`config`] [`api`] [`cli`] | edges |
//!
//! # Words
//!
//! *pipeline* the expression; *plan* a pipeline with places; *pipe* one running plan; *stage* one app in it; *app* a program a node
//! offers; *instance* an app on a node as registered; *node* a dpipesd; *entry* the dpipesd the client uses; *link* the stream between
//! two neighbouring stages; *session* the connection between two peers; *stream* one channel of a session; *offer, answer, agreement*
//! negotiation. Verbs: resolve, place, prepare, start, pump, finish (clean end), reset (writer gives up), stop (reader gone), drain.

pub mod id;
pub mod media;
pub mod variable;
pub mod word;

pub mod api;
pub mod cli;
pub mod client;
pub mod coding;
pub mod config;
pub mod coordinator;
pub mod daemon;
pub mod exec;
pub mod expr;
pub mod mux;
pub mod negotiate;
pub mod object;
pub mod plan;
pub mod schedule;
pub mod transport;
pub mod wire;
