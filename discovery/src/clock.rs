//! Waiting for moments that may never come.

use tokio::time::{Instant, sleep_until};

/// Waits until then; for ever without a moment.
pub(crate) async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
