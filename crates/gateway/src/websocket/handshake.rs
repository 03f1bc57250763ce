//! The handshake of a WebSocket: what a client must ask, and the response that it gets (WS-6).
//!
//! The accept key and extensions are the node's: what an object says of them goes no further.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_objects::event::Headers;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio::net::TcpStream;
use tungstenite::handshake::derive_accept_key;

use crate::client_link::ClientLink;
use crate::error_response::{Refusal, Refused, refuse};

/// The version of the protocol that is spoken.
pub const VERSION: &str = "13";

/// Characters of a key: 16 bytes in base64.
const KEY_CHARS: usize = 24;

/// What a client asked for that wants a WebSocket.
#[derive(Debug)]
pub struct Handshake {
    accept: HeaderValue,
    protocols: Vec<String>,
    /// What becomes the socket's.
    pub connection: ClientConnection,
}

/// The connection of a client that has asked for a WebSocket.
#[derive(Debug)]
pub struct ClientConnection {
    upgraded: OnUpgrade,
    /// The same connection, if it came by a server that says so.
    link: Option<ClientLink<TcpStream>>,
}

impl ClientConnection {
    /// The connection, once the response has been sent. From then on the runtime that polls this watches it, in place
    /// of the one by which it came.
    pub async fn opened(self) -> hyper::Result<Upgraded> {
        let upgraded = self.upgraded.await?;
        if let Some(link) = self.link
            && let Err(error) = link.move_here()
        {
            // No file was free. All works as it is, with one more thread woken for each message.
            tracing::debug!(%error, "a WebSocket stays with the threads of HTTP");
        }
        Ok(upgraded)
    }
}

/// The handshake that a request is, if it is one; refused if it is a bad one.
pub fn handshake(parts: &Parts) -> Result<Option<Handshake>, Refused> {
    if parts.version < Version::HTTP_11 || !has_token(&parts.headers, &UPGRADE, "websocket") {
        return Ok(None);
    }
    if parts.method != Method::GET {
        return Err(invalid(format!("a WebSocket is asked for with GET, not {}", parts.method)));
    }
    if parts.headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        let text = format!("version {VERSION} of the WebSocket protocol is served, and no other");
        return Err(Box::new(Refusal {
            failure: Failure::new(ErrorCode::InvalidUpgrade, text),
            status: Some(StatusCode::UPGRADE_REQUIRED),
            header: Some((SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION))),
        }));
    }
    let mut keys = parts.headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (key, more) = (keys.next(), keys.next());
    let Some(key) = key.filter(|key| more.is_none() && is_key(key.as_bytes())) else {
        return Err(invalid("a WebSocket needs one `sec-websocket-key` of 16 bytes in base64"));
    };
    let upgraded = parts.extensions.get::<OnUpgrade>().cloned();
    let Some(upgraded) = upgraded.filter(|_| has_token(&parts.headers, &CONNECTION, "upgrade")) else {
        return Err(invalid("a WebSocket needs `connection: upgrade`"));
    };
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    let accept = accept.expect("BUG: base64 is a header value");
    let protocols = tokens(&parts.headers, &SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
    let connection = ClientConnection { upgraded, link: parts.extensions.get().cloned() };
    Ok(Some(Handshake { accept, protocols, connection }))
}

impl Handshake {
    /// The sub-protocol that the object has chosen, empty for none, or what is wrong with it.
    pub fn protocol(&self, headers: &Headers) -> Result<String, String> {
        let mut chosen =
            headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(SEC_WEBSOCKET_PROTOCOL.as_str()));
        let Some((_, value)) = chosen.next() else { return Ok(String::new()) };
        let value = String::from_utf8_lossy(value);
        let value = value.trim();
        if chosen.next().is_none() && self.protocols.iter().any(|offered| offered == value) {
            return Ok(value.to_owned());
        }
        let offered = self.protocols.join(", ");
        Err(format!(
            "the object chose sub-protocol `{}`, the client offers `{offered}`",
            value.escape_debug()
        ))
    }

    /// Adds what makes a response the answer to this handshake. `protocol` is what [`protocol`](Self::protocol) gave.
    pub fn answer(&self, headers: &mut HeaderMap, protocol: &str) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(protocol) = HeaderValue::from_str(protocol).ok().filter(|protocol| !protocol.is_empty()) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
    }
}

/// Whether a header, in lower case, of the object's response with status 101 is the node's to say.
pub fn is_of_handshake(name: &str) -> bool {
    name.starts_with("sec-websocket-")
}

fn is_key(key: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == KEY_CHARS && key.ends_with(b"==") && key[..KEY_CHARS - 2].iter().all(is_base64)
}

/// Whether one of the words of a header is this one, in any letter case.
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|value| value.eq_ignore_ascii_case(token))
}

/// The words of a header that is a list.
pub fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn invalid(text: impl Into<String>) -> Refused {
    refuse(ErrorCode::InvalidUpgrade, text)
}
