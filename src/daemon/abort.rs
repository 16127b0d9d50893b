//! Ends stages so that none of them ever takes the end for an end of file.

use std::time::Duration;

use tokio::time::Instant;

use super::stage::StageHandle;

/// Marks every stage, then ends them from the last to the first. All share one deadline.
///
/// A stage is marked before any signal is sent: from then on its links end with Reset, whatever its output says. A stage's predecessor
/// on the same node is signalled when the stage is dead, for its death is an end of file on their common pipe.
pub(super) async fn end_stages(stages: Vec<StageHandle>, reason: String, grace: Duration) {
    for stage in &stages {
        stage.mark_aborting(&reason);
    }
    let deadline = Instant::now() + grace;
    for stage in stages.iter().rev() {
        stage
            .kill(deadline.saturating_duration_since(Instant::now()))
            .await;
    }
}
