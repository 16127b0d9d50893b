//! Following a service: the whole range first, then what changes after it.

use std::sync::Arc;

use etcd_client::{EventType, WatchOptions, WatchResponse, WatchStream};
use futures_util::stream::{self, BoxStream, StreamExt};

use super::{
    cluster::{Cluster, MAX_ANSWER, Moment},
    failure::Failure,
};
use crate::{Instance, NodeId, RegistryError, ServiceName};

/// What a watch does next.
enum State {
    /// Reads the range.
    Reading,
    /// Follows what changes after this moment.
    Opening(Moment),
    /// Waits for changes.
    Following(Moment, Box<WatchStream>),
    /// Has said its last word.
    Ended,
}

/// Follows a service. Nothing is taken over from an earlier watch: a server that was wiped accepts a watch from a revision that it has
/// yet to reach, and then says nothing for as long as that takes.
pub(super) fn follow(
    cluster: Arc<Cluster>,
    service: ServiceName,
) -> BoxStream<'static, Result<Vec<Instance>, RegistryError>> {
    stream::unfold(State::Reading, move |state| {
        let (cluster, service) = (Arc::clone(&cluster), service.clone());
        async move {
            match step(&cluster, &service, state).await {
                Ok(State::Ended) => None,
                Ok(state) => {
                    let set = state.set();
                    Some((Ok(set), state))
                }
                Err(failure) => Some((Err(failure.error()), State::Ended)),
            }
        }
    })
    .boxed()
}

impl State {
    fn set(&self) -> Vec<Instance> {
        match self {
            Self::Opening(moment) | Self::Following(moment, _) => {
                moment.instances.values().cloned().collect()
            }
            Self::Reading | Self::Ended => Vec::new(),
        }
    }
}

/// Goes on to the next moment worth telling.
async fn step(cluster: &Cluster, service: &ServiceName, state: State) -> Result<State, Failure> {
    let (mut moment, mut changes) = match state {
        State::Reading => return Ok(State::Opening(cluster.read(service).await?)),
        State::Opening(moment) => {
            let changes = open(cluster, service, &moment).await?;
            (moment, changes)
        }
        State::Following(moment, changes) => (moment, changes),
        State::Ended => return Ok(State::Ended),
    };
    loop {
        let message = changes.message().await;
        let message = message.map_err(|error| Failure::new(&error, &cluster.connection.endpoints));
        let Some(message) = message? else {
            return Err(RegistryError::stream_ended().into());
        };
        if message.canceled() {
            let (reason, compacted) = (message.cancel_reason(), message.compact_revision());
            let at = &cluster.connection.endpoints;
            return Err(Failure::canceled(reason, compacted, at));
        }
        check_not_behind(&message, &moment)?;
        // One message is one moment: a lease that ended and was made anew shows nobody missing in between.
        let before = moment.instances.clone();
        apply(cluster, &mut moment, &message);
        if moment.instances != before {
            return Ok(State::Following(moment, changes));
        }
    }
}

async fn open(
    cluster: &Cluster,
    service: &ServiceName,
    moment: &Moment,
) -> Result<Box<WatchStream>, Failure> {
    let prefix = cluster.keys.service(service);
    let options = WatchOptions::new()
        .with_prefix()
        .with_start_revision(moment.revision + 1);
    let watch = |client: etcd_client::Client| {
        let (prefix, options) = (prefix.clone(), options.clone());
        async move {
            let mut watch = client.watch_client().max_decoding_message_size(MAX_ANSWER);
            watch.watch(prefix, Some(options)).await
        }
    };
    cluster.connection.call(watch).await.map(Box::new)
}

/// The first message tells the revision of the store that serves the watch. One that is behind what was read was wiped in between, or
/// lags; neither would tell what happens now.
fn check_not_behind(message: &WatchResponse, moment: &Moment) -> Result<(), Failure> {
    let revision = message.header().map_or(0, |header| header.revision());
    if message.created() && revision < moment.revision {
        let read = moment.revision;
        let detail = format!("the server is at revision {revision}, but {read} was read before");
        return Err(RegistryError::unavailable(detail).into());
    }
    Ok(())
}

fn apply(cluster: &Cluster, moment: &mut Moment, message: &WatchResponse) {
    for event in message.events() {
        let Some(kv) = event.kv() else { continue };
        let put = event.event_type() == EventType::Put;
        match put.then(|| cluster.instance(kv)).flatten() {
            Some(instance) => {
                moment.instances.insert(instance.node.clone(), instance);
            }
            None => {
                if let Some(node) = node(cluster, kv.key()) {
                    moment.instances.remove(&node);
                }
            }
        }
    }
}

fn node(cluster: &Cluster, key: &[u8]) -> Option<NodeId> {
    cluster.keys.parse(key).map(|(_, node)| node)
}
