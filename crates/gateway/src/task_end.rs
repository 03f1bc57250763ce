//! Why a task ended without its outcome: it panicked, which is the node's own fault, or the node is stopping.
//!
//! What it panicked with goes to the log and to nobody else (ST-6).

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use tokio::task::JoinError;

/// The failure that whoever waits for the task gets.
pub fn failure_of_task(error: JoinError) -> Failure {
    if error.is_panic() {
        tracing::error!(%error, "work of the node panicked");
        return Failure::new(ErrorCode::Internal, "work of the node panicked; its log has the detail");
    }
    Failure::new(ErrorCode::Stopping, "the node is stopping; the work was given up")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_from_a_stop() {
        let panicked: Result<(), _> = tokio::spawn(async { panic!("as told") }).await;
        let failure = failure_of_task(panicked.expect_err("panicked"));
        assert!(failure.code == "internal" && !failure.message.contains("as told"), "{failure}");
        let task = tokio::spawn(std::future::pending::<()>());
        task.abort();
        assert_eq!(failure_of_task(task.await.expect_err("cancelled")).code, "stopping");
    }
}
