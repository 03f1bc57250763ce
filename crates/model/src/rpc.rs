//! What holds for every call of a method, wherever it comes from: reserved names and the limit of size.
//!
//! Clients call through `gateway`, objects through stubs; both are refused with the same texts.

use std::fmt::Display;

use crate::error_code::ErrorCode;
use crate::failure::Failure;

/// Names that are no methods, whatever a class has under them (RP-3): nobody outside may trigger an alarm
/// or a socket handler.
pub const RESERVED: [&str; 8] = [
    "fetch",
    "connect",
    "alarm",
    "webSocketMessage",
    "webSocketClose",
    "webSocketError",
    "dup",
    "constructor",
];

/// Refuses a reserved name.
pub fn check_method(method: &str) -> Result<(), Failure> {
    if !RESERVED.contains(&method) {
        return Ok(());
    }
    let text = format!("'{method}' is a reserved method and cannot be called over RPC.");
    Err(Failure::new(ErrorCode::MethodReserved, text))
}

/// The text for arguments or a result over [`crate::limits::RPC_BYTES_MAX`] (RP-6).
pub fn too_large(bytes: impl Display) -> String {
    format!(
        "Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was: {bytes} bytes."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_refused_by_their_exact_spelling() {
        for name in RESERVED {
            let failure = check_method(name).expect_err("reserved");
            assert!(failure.message.contains("is a reserved method"), "{failure}");
            assert_eq!((failure.code.as_str(), failure.name.as_str()), ("method-reserved", "TypeError"));
        }
        assert!(check_method("Alarm").is_ok() && check_method("").is_ok());
    }
}
