//! The handshake of a WebSocket that an object opens: what is asked, and whether the server agrees (RFC 6455, 4.1).
//!
//! Key, version and extensions are the node's: what an object says of them is not sent. An extension is never asked
//! for, so a server that uses one is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::random::Random;
use durabo_objects::event::HttpRequest;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use tungstenite::handshake::derive_accept_key;

use crate::websocket::handshake::{VERSION, has_token};

/// Headers that an object cannot set, in lower case.
const OF_NODE: [&str; 5] = [
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "sec-websocket-accept",
];

/// What is asked of a server, and what its answer has to say.
#[derive(Debug)]
pub struct OutgoingHandshake {
    key: HeaderValue,
    accept: String,
    protocols: Vec<String>,
}

/// Why a server's answer opens no WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub enum NotAgreed {
    /// It is an answer of another kind.
    Status(StatusCode),
    /// It is wrong.
    Wrong(String),
}

impl OutgoingHandshake {
    /// Makes the request of an object one that asks for a WebSocket, or says why it cannot be one.
    pub fn new(request: &mut HttpRequest, random: &dyn Random) -> Result<Self, Failure> {
        let invalid = |text: &str| Failure::new(ErrorCode::InvalidArgument, text);
        if request.method != "GET" {
            return Err(invalid("a WebSocket is asked for with `GET`"));
        }
        if !request.body.is_empty() {
            return Err(invalid("a request for a WebSocket has no body"));
        }
        request.headers.retain(|(name, _)| !OF_NODE.contains(&name.to_ascii_lowercase().as_str()));
        let is_offer = |name: &str| name.eq_ignore_ascii_case(SEC_WEBSOCKET_PROTOCOL.as_str());
        let offers = request.headers.iter().filter(|(name, _)| is_offer(name));
        let offers: Vec<_> = offers.map(|(_, value)| String::from_utf8_lossy(value)).collect();
        let protocols = offers.iter().flat_map(|offer| offer.split(',')).map(str::trim);
        let protocols = protocols.filter(|protocol| !protocol.is_empty()).map(str::to_owned).collect();
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        let key = BASE64.encode(bytes);
        let accept = derive_accept_key(key.as_bytes());
        let key = HeaderValue::try_from(key).expect("BUG: base64 is a header value");
        Ok(Self { key, accept, protocols })
    }

    /// Adds what makes a request this handshake.
    pub fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        headers.insert(SEC_WEBSOCKET_KEY, self.key.clone());
    }

    /// The sub-protocol that the server has chosen, empty for none.
    pub fn agreed(&self, response: &Parts) -> Result<String, NotAgreed> {
        if response.status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(NotAgreed::Status(response.status));
        }
        let headers = &response.headers;
        let wrong = |text: &str| Err(NotAgreed::Wrong(format!("its handshake is wrong: {text}")));
        if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
            return wrong("it lacks `upgrade: websocket` or `connection: upgrade`");
        }
        let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
        if accepts.next().is_none_or(|accept| *accept != self.accept) || accepts.next().is_some() {
            return wrong("`sec-websocket-accept` is no answer to the key that was sent");
        }
        let mut extensions = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
        if extensions.any(|extensions| !extensions.as_bytes().trim_ascii().is_empty()) {
            return wrong("it uses an extension that was not asked for");
        }
        let mut chosen = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let Some(protocol) = chosen.next() else { return Ok(String::new()) };
        let protocol = String::from_utf8_lossy(protocol.as_bytes());
        let protocol = protocol.trim();
        if chosen.next().is_none() && self.protocols.iter().any(|offered| offered == protocol) {
            return Ok(protocol.to_owned());
        }
        let offered = self.protocols.join(", ");
        wrong(&format!("it chose sub-protocol `{}`, offered was `{offered}`", protocol.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use durabo_objects::body::Body;
    use http::Response;

    use super::*;

    /// Bytes that are in the example of RFC 6455, 1.3.
    struct Sample;

    impl Random for Sample {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.copy_from_slice(b"the sample nonce");
        }
    }

    fn request(headers: &[(&str, &str)]) -> HttpRequest {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        HttpRequest {
            method: "GET".to_owned(),
            url: "ws://x/".to_owned(),
            headers: headers.collect(),
            body: Body::default(),
        }
    }

    fn handshake(protocols: &str) -> OutgoingHandshake {
        let mut request = request(&[("sec-websocket-protocol", protocols)]);
        OutgoingHandshake::new(&mut request, &Sample).expect("a handshake")
    }

    const GOOD: [(&str, &str); 3] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ];

    fn agreed(status: u16, headers: &[(&str, &str)]) -> Result<String, NotAgreed> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        agreed_bytes(status, &headers)
    }

    fn agreed_bytes(status: u16, headers: &[(&str, &[u8])]) -> Result<String, NotAgreed> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let (parts, ()) = response.body(()).expect("a response").into_parts();
        handshake("v1, v2").agreed(&parts)
    }

    #[test]
    fn the_key_of_the_example_is_asked_and_its_answer_taken() {
        let mut headers = HeaderMap::new();
        handshake("").ask(&mut headers);
        assert_eq!(headers[SEC_WEBSOCKET_KEY], "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(headers[SEC_WEBSOCKET_VERSION], "13");
        assert_eq!(headers[UPGRADE], "websocket");
        assert_eq!(headers[CONNECTION], "Upgrade");
        assert_eq!(agreed(101, &GOOD), Ok(String::new()));
    }

    #[test]
    fn what_an_object_says_of_key_version_and_extensions_is_not_sent() {
        let mut request = request(&[
            ("Sec-WebSocket-Key", "x"),
            ("sec-websocket-version", "8"),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
            ("upgrade", "websocket"),
            ("sec-websocket-protocol", "v1"),
            ("authorization", "me"),
        ]);
        OutgoingHandshake::new(&mut request, &Sample).expect("a handshake");
        let names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["sec-websocket-protocol", "authorization"]);
    }

    #[test]
    fn another_method_and_a_body_are_refused() {
        let post = HttpRequest { method: "POST".to_owned(), ..request(&[]) };
        let with_body = HttpRequest { body: Body::from("x"), ..request(&[]) };
        for mut request in [post, with_body] {
            let failure = OutgoingHandshake::new(&mut request, &Sample).expect_err("refused");
            assert_eq!(failure.code, "invalid-argument");
        }
    }

    #[test]
    fn a_sub_protocol_is_one_of_those_that_were_offered() {
        let choose = |protocol| agreed(101, &[&GOOD[..], &[("sec-websocket-protocol", protocol)]].concat());
        assert_eq!(choose("v2"), Ok("v2".to_owned()));
        for protocol in ["v3", "v1, v2", ""] {
            assert!(matches!(choose(protocol), Err(NotAgreed::Wrong(_))), "{protocol}");
        }
        let twice =
            [&GOOD[..], &[("sec-websocket-protocol", "v1"), ("sec-websocket-protocol", "v1")]].concat();
        assert!(matches!(agreed(101, &twice), Err(NotAgreed::Wrong(_))));
    }

    #[test]
    fn an_extension_is_one_also_if_its_name_is_no_text() {
        let with = |extension: &'static [u8]| {
            let good = GOOD.map(|(name, value)| (name, value.as_bytes()));
            agreed_bytes(101, &[&good[..], &[("sec-websocket-extensions", extension)]].concat())
        };
        assert_eq!(with(b""), Ok(String::new()));
        for extension in [&b"x-\xff"[..], b"permessage-deflate; \xe4"] {
            assert!(matches!(with(extension), Err(NotAgreed::Wrong(_))), "{extension:?}");
        }
    }

    #[test]
    fn an_answer_that_does_not_agree_opens_nothing() {
        assert_eq!(agreed(200, &GOOD), Err(NotAgreed::Status(StatusCode::OK)));
        for (without, _) in GOOD {
            let rest: Vec<_> = GOOD.into_iter().filter(|(name, _)| *name != without).collect();
            assert!(matches!(agreed(101, &rest), Err(NotAgreed::Wrong(_))), "without {without}");
        }
        let with = |name, value| agreed(101, &[&GOOD[..], &[(name, value)]].concat());
        for (name, value) in [
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("sec-websocket-extensions", "permessage-deflate"),
        ] {
            assert!(matches!(with(name, value), Err(NotAgreed::Wrong(_))), "with {name}");
        }
        let other_key = [GOOD[0], GOOD[1], ("sec-websocket-accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")];
        assert!(matches!(agreed(101, &other_key), Err(NotAgreed::Wrong(_))));
    }
}
