//! Values of the RPC edge that plain JSON has no form for (`docs/reference/rpc.md`).
//!
//! The suite compares exactly, so a float is written with a point and an integer without.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// A byte string.
pub fn bytes(bytes: &[u8]) -> Value {
    json!({"$bytes": BASE64.encode(bytes)})
}

/// An integer beyond 2^53.
pub fn int(integer: i64) -> Value {
    json!({"$int": integer.to_string()})
}
