//! Whether a registry shows the node that it has accepted.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{Registration, Registry};

/// How long an accepted node may take to be found: more than any registry needs to spread the news, and less than a person waits.
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// How often a node that was not found is looked for afterwards: a right that was granted is noticed within a minute.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How long one look may take. A registry in trouble must not keep the announcer from news.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks until the node is found. `is_visible` is true until that has taken too long, and again once it is found.
pub(super) async fn look(
    registry: Arc<dyn Registry>,
    what: Registration,
    is_visible: watch::Sender<bool>,
) {
    let late = Instant::now() + VISIBLE_WITHIN;
    loop {
        let look = registry.find(&what.primary.name, &what.node);
        match timeout(LOOK_TIMEOUT, look).await {
            Ok(Ok(Some(found))) if found.boot() == what.boot() => {
                is_visible.send_if_modified(|visible| !std::mem::replace(visible, true));
                return;
            }
            Ok(Ok(_)) if Instant::now() >= late => {
                is_visible.send_if_modified(|visible| std::mem::replace(visible, false));
            }
            // No answer is no news: whether the registry is well is the lease's and the directory's to say.
            _ => {}
        }
        let is_late = Instant::now() >= late;
        sleep(if is_late { LOOK_AGAIN } else { LOOK }).await;
    }
}
