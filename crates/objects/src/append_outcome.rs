//! What became of a commit that was handed to the change log.
//!
//! The node's own log says `Committed`, or fails as a whole and stops the node (invariant 5). The rest is
//! what a log that others share may say; here only faults on demand say it.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::object_id::ObjectId;

/// What is known of a commit, and of none before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It is durable.
    Committed,
    /// Nothing of it is in the log, nor will be; whoever waited for it gets this.
    Failed(Failure),
    /// Another place owns the object by now. Nothing of the commit is in the log, nor will be.
    Fenced,
    /// Not known yet. Whoever says so owes one of the others for the same commit.
    Unknown,
}

impl AppendOutcome {
    /// What those get who waited for the commit; `None` if it is durable.
    pub fn failure(&self, object: ObjectId) -> Option<Failure> {
        let failure = match self {
            Self::Committed => return None,
            Self::Failed(failure) => failure.clone(),
            Self::Fenced => {
                let text = "the object was reset, since it has moved to another place; retry";
                let mut failure = Failure::new(ErrorCode::ObjectMoved, text);
                failure.flags.retryable = true;
                failure
            }
            Self::Unknown => {
                let text = "whether a commit is in the change log is not known at present; the object was \
                            reset and is started again when it is";
                Failure::new(ErrorCode::StorageFailed, text)
            }
        };
        Some(failure.of_object(object))
    }
}
