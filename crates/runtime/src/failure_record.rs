//! Failures of `model` as the contract's record, and back.
//!
//! The one place that knows both forms, so that no error text or flag is made twice.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::{Failure, FailureFlags, FailureKind};
use durabo_storage::alarm::AlarmError;
use durabo_storage::kv::KvError;
use durabo_storage::savepoint::SavepointError;
use durabo_storage::schedule::ScheduleError;
use durabo_storage::sql_error::SqlError;
use durabo_storage::wipe::WipeError;

use crate::bindings::object::types;
use crate::state::GuestState;

/// The interface of the record has no functions.
impl types::Host for GuestState {}

macro_rules! kinds {
    ($($kind:ident),+ $(,)?) => {
        fn kind_to_guest(kind: FailureKind) -> types::FailureKind {
            match kind { $(FailureKind::$kind => types::FailureKind::$kind,)+ }
        }

        fn kind_of_guest(kind: types::FailureKind) -> FailureKind {
            match kind { $(types::FailureKind::$kind => FailureKind::$kind,)+ }
        }
    };
}

kinds!(
    Application,
    InvalidArgument,
    InvalidState,
    NotFound,
    Denied,
    LimitExceeded,
    Overloaded,
    Cancelled,
    Disconnected,
    Reset,
    Storage,
    Unsupported,
    Internal,
);

/// The record that a guest gets.
pub fn to_guest(failure: Failure) -> types::Failure {
    let set = |is_set: bool, flag: types::FailureFlags| {
        if is_set { flag } else { types::FailureFlags::empty() }
    };
    let flags = set(failure.flags.remote, types::FailureFlags::REMOTE)
        | set(failure.flags.retryable, types::FailureFlags::RETRYABLE)
        | set(failure.flags.overloaded, types::FailureFlags::OVERLOADED)
        | set(failure.flags.object_reset, types::FailureFlags::OBJECT_RESET);
    types::Failure {
        kind: kind_to_guest(failure.kind),
        code: failure.code,
        name: failure.name,
        message: failure.message,
        details: failure.details,
        flags,
        object: failure.object.map(|object| object.to_string()),
    }
}

/// A failure that a guest returned, as others get it: `remote`, `object-reset` and the object are
/// the host's to say (contract: `types.failure`), all the rest is kept within its limits. The object
/// is set by who knows it.
pub fn of_guest(failure: types::Failure) -> Failure {
    let flags = FailureFlags {
        remote: true,
        retryable: failure.flags.contains(types::FailureFlags::RETRYABLE),
        overloaded: failure.flags.contains(types::FailureFlags::OVERLOADED),
        object_reset: false,
    };
    Failure {
        kind: kind_of_guest(failure.kind),
        code: failure.code,
        name: failure.name,
        message: failure.message,
        details: failure.details,
        flags,
        object: None,
    }
    .bounded()
}

/// The reason of an `abort`, as the events of the instance get it (LC-7).
pub fn of_abort(reason: Option<types::Failure>) -> Failure {
    let text = "Application called abort() to reset Durable Object.";
    let Some(reason) = reason else { return Failure::new(ErrorCode::ObjectAborted, text) };
    let mut failure = of_guest(reason);
    failure.flags.object_reset = true;
    if failure.code.is_empty() {
        failure.code = ErrorCode::ObjectAborted.as_str().to_owned();
    }
    failure
}

/// A call on keys and values that was refused or failed (KV-7, KV-11).
pub fn of_kv(error: KvError) -> Failure {
    match error {
        KvError::TooMany { .. } | KvError::KeyTooLarge { .. } | KvError::EntryTooLarge { .. } => {
            let failure = Failure::new(ErrorCode::LimitExceeded, error.to_string());
            Failure { name: "RangeError".to_owned(), ..failure }
        }
        KvError::ListTooLarge | KvError::ValuesTooLarge => {
            Failure::new(ErrorCode::LimitExceeded, error.to_string())
        }
        KvError::BothStarts | KvError::LimitNotPositive => {
            Failure::new(ErrorCode::InvalidArgument, error.to_string())
        }
        KvError::Sql(error) => of_sql(&error, error.message.clone()),
    }
}

/// A named alarm that could not be read or set.
pub fn of_schedule(error: ScheduleError) -> Failure {
    match error {
        ScheduleError::Sql(error) => of_sql(&error, error.message.clone()),
        ScheduleError::TooMany | ScheduleError::Payload { .. } | ScheduleError::ListTooLarge => {
            let failure = Failure::new(ErrorCode::LimitExceeded, error.to_string());
            Failure { name: "RangeError".to_owned(), ..failure }
        }
        ScheduleError::Name(_) | ScheduleError::Limit => {
            Failure::new(ErrorCode::InvalidArgument, error.to_string())
        }
    }
}

/// An alarm that could not be read or set.
pub fn of_alarm(error: AlarmError) -> Failure {
    match error {
        AlarmError::NotPositive | AlarmError::TooFar(_) => {
            Failure::new(ErrorCode::InvalidArgument, error.to_string())
        }
        AlarmError::Sql(error) => of_sql(&error, error.message.clone()),
    }
}

/// A savepoint that could not be opened or ended.
pub fn of_savepoint(error: SavepointError) -> Failure {
    let text = error.to_string();
    match error {
        SavepointError::TooDeep => Failure::new(ErrorCode::LimitExceeded, text),
        SavepointError::NotOpen | SavepointError::NotInnermost => {
            Failure::new(ErrorCode::SavepointEnded, text)
        }
        SavepointError::Poisoned(cause) | SavepointError::Sql(cause) => of_sql(&cause, text),
    }
}

/// A `delete-all` that was refused or failed (TX-9).
pub fn of_wipe(error: WipeError) -> Failure {
    let text = error.to_string();
    match error {
        WipeError::WithinTransaction => Failure::new(ErrorCode::WipeInTransaction, text),
        WipeError::Sql(cause) => of_sql(&cause, text),
    }
}

fn of_sql(cause: &SqlError, text: String) -> Failure {
    let code = match cause.is_out_of_memory() {
        true => ErrorCode::MemoryLimitExceeded,
        false => ErrorCode::StorageFailed,
    };
    Failure::new(code, text)
}

/// What a function that this node does not serve answers.
pub fn unsupported(function: &str) -> Failure {
    Failure::new(ErrorCode::Unsupported, format!("`{function}` is not served by this node"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returned() -> types::Failure {
        types::Failure {
            kind: types::FailureKind::InvalidState,
            code: "sold-out".to_owned(),
            name: "RangeError".to_owned(),
            message: "nothing left".to_owned(),
            details: Some(vec![0xf6]),
            flags: types::FailureFlags::RETRYABLE | types::FailureFlags::OBJECT_RESET,
            object: Some("x".to_owned()),
        }
    }

    #[test]
    fn a_returned_failure_keeps_its_own_words_and_flags_of_its_own() {
        let failure = of_guest(returned());
        assert_eq!(failure.kind, FailureKind::InvalidState);
        assert_eq!((failure.code.as_str(), failure.name.as_str()), ("sold-out", "RangeError"));
        assert_eq!(failure.details, Some(vec![0xf6]));
        assert!(failure.flags.remote && failure.flags.retryable);
        assert!(!failure.flags.object_reset && failure.object.is_none());
    }

    #[test]
    fn an_endless_message_is_cut() {
        let message = "x".repeat(1 << 20);
        let failure = of_guest(types::Failure { message, ..returned() });
        assert_eq!(failure.message.len(), durabo_model::limits::FAILURE_MESSAGE_BYTES_MAX);
    }

    #[test]
    fn an_abort_says_that_the_object_was_reset() {
        let failure = of_abort(None);
        assert_eq!(failure.message, "Application called abort() to reset Durable Object.");
        assert!(failure.flags.object_reset);
        let failure = of_abort(Some(types::Failure { code: String::new(), ..returned() }));
        assert_eq!((failure.message.as_str(), failure.code.as_str()), ("nothing left", "object-aborted"));
        assert!(failure.flags.object_reset);
    }

    #[test]
    fn the_way_to_a_guest_and_back_keeps_every_kind() {
        for code in ErrorCode::ALL {
            let failure = Failure::new(*code, "x");
            assert_eq!(of_guest(to_guest(failure.clone())).kind, failure.kind);
        }
    }

    #[test]
    fn a_limit_of_keys_is_a_range_error_and_a_list_that_cannot_be_a_type_error() {
        let failure = of_kv(KvError::TooMany { count: 129 });
        assert_eq!((failure.code.as_str(), failure.name.as_str()), ("limit-exceeded", "RangeError"));
        let failure = of_kv(KvError::BothStarts);
        assert_eq!((failure.code.as_str(), failure.name.as_str()), ("invalid-argument", "TypeError"));
    }

    #[test]
    fn an_unserved_function_is_named() {
        let failure = to_guest(unsupported("kv.get"));
        assert_eq!((failure.kind, failure.code.as_str()), (types::FailureKind::Unsupported, "unsupported"));
        assert!(failure.message.contains("`kv.get`"));
    }
}
