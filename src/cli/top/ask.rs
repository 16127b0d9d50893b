//! Asking the entry, again and again, over one session as long as it lasts.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, watch},
    time::{Interval, MissedTickBehavior},
};

use super::{dialog::Order, model::Answer, short};
use crate::{
    cli::{
        caret::Message,
        client::not_known,
        engine::{self, Entry, Session},
        pipes,
        render::text::signal,
    },
    config::Period,
    wire::message::{Query, Reply},
};

/// What comes of asking.
pub(super) enum News {
    /// What the entry told.
    Answer(Answer),
    /// It does not answer.
    Lost(Message),
    /// What came of an order.
    Done(String),
}

/// Who asks.
pub(super) struct Asker {
    entry: Entry,
    cluster: bool,
    session: watch::Sender<Option<Arc<Session>>>,
}

// === impl Asker ===

impl Asker {
    /// Nobody was asked yet.
    pub(super) fn new(entry: Entry, cluster: bool) -> Self {
        Self {
            entry,
            cluster,
            session: watch::Sender::new(None),
        }
    }

    /// The session, for orders.
    pub(super) fn session(&self) -> watch::Receiver<Option<Arc<Session>>> {
        self.session.subscribe()
    }

    /// Asks once. A session that has failed is left, and the next time there is a new one.
    ///
    /// # Errors
    ///
    /// Returns why there is no answer.
    pub(super) async fn ask(&self) -> Result<Answer, Message> {
        let answer = self.ask_session().await;
        if answer.is_err() {
            self.session.send_replace(None);
        }
        answer
    }

    async fn ask_session(&self) -> Result<Answer, Message> {
        let known = self.session.borrow().clone();
        let session = match known {
            Some(session) => session,
            None => {
                let session = Arc::new(pipes::daemon(&self.entry).await?);
                self.session.send_replace(Some(Arc::clone(&session)));
                session
            }
        };
        let query = Query::Pipes {
            over: false,
            cluster: self.cluster,
        };
        let (pipes, nodes) = tokio::join!(
            engine::ask(&session, query),
            engine::ask(&session, Query::Nodes)
        );
        match (pipes?, nodes?) {
            (
                Reply::Pipes {
                    pipes,
                    left_out,
                    silent,
                },
                Reply::Nodes { nodes, .. },
            ) => Ok(Answer {
                pipes,
                left_out,
                silent,
                nodes,
            }),
            _ => Err(not_known()),
        }
    }

    /// Asks at every tick, until nobody wants to know.
    pub(super) async fn watch(self, mut ticks: Interval, news: mpsc::Sender<News>) {
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = news.closed() => return,
            }
            let told = match self.ask().await {
                Ok(answer) => News::Answer(answer),
                Err(message) => News::Lost(message),
            };
            if news.send(told).await.is_err() {
                return;
            }
        }
    }
}

/// When to ask. After an entry that took long, or a pause of this process, nothing is made up for.
pub(super) fn ticks(interval: Period) -> Interval {
    let mut ticks = tokio::time::interval(interval.0);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Passes orders on, one after the other, until nobody gives any.
pub(super) async fn obey(
    session: watch::Receiver<Option<Arc<Session>>>,
    mut orders: mpsc::Receiver<Order>,
    news: mpsc::Sender<News>,
) {
    while let Some(order) = orders.recv().await {
        let known = session.borrow().clone();
        let done = match known {
            Some(session) => pass_on(&session, order).await,
            None => "the entry does not answer; nothing was done".to_owned(),
        };
        if news.send(News::Done(done)).await.is_err() {
            return;
        }
    }
}

async fn pass_on(session: &Session, order: Order) -> String {
    let name = short::name(order.pipe);
    let query = Query::Kill {
        pipe: order.pipe.to_string(),
        signal: order.signal.map(|signal| signal as i32),
        stage: order.stage,
    };
    match engine::ask(session, query).await {
        Ok(Reply::Killed { .. }) => match (order.signal, order.stage) {
            (None, _) => format!("{name} was told to end"),
            (Some(sent), None) => format!("{} was sent to {name}", signal(sent as i32)),
            (Some(sent), Some(stage)) => {
                format!(
                    "{} was sent to stage {stage} of {name}",
                    signal(sent as i32)
                )
            }
        },
        Ok(Reply::NotDone { reason, instead }) => {
            pipes::not_done(&name, order.stage, reason, instead.as_ref()).line()
        }
        Ok(_) => not_known().line(),
        Err(message) => message.line(),
    }
}
