//! Headers that speak of one connection and not of the message (RFC 9110, 7.6.1).
//!
//! They are the node's on both sides: what an object or a client says in them goes no further.

/// Whether a header, in lower case, belongs to the connection.
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "expect"
    )
}
