//! Where a request to the outside goes, as its URL says.
//!
//! What is odd in a URL is refused rather than guessed: the host that is checked must be the host that is
//! asked.

use std::fmt::Display;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use http::Uri;

/// Scheme, host and port of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether it is encrypted.
    pub is_https: bool,
    /// A name, or an address without brackets.
    pub host: String,
    /// Port, also if it is the scheme's own.
    pub port: u16,
    /// Host and port as the header `host` says them.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// Schemes and whether they are encrypted.
type Schemes = &'static [(&'static str, bool)];

/// Of requests.
const HTTP: Schemes = &[("http", false), ("https", true)];

/// Of WebSockets; in either pair both mean the same.
const WEBSOCKET: Schemes = &[("ws", false), ("wss", true), ("http", false), ("https", true)];

impl Target {
    /// Reads the absolute URL of a request.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        Self::parse_with(url, HTTP)
    }

    /// Reads the absolute URL of a WebSocket.
    pub fn parse_websocket(url: &str) -> Result<Self, Failure> {
        Self::parse_with(url, WEBSOCKET)
    }

    fn parse_with(url: &str, schemes: Schemes) -> Result<Self, Failure> {
        let invalid = |reason: &str| {
            let shown: String = url.chars().take(200).collect();
            let known: Vec<_> = schemes.iter().map(|(scheme, _)| format!("`{scheme}`")).collect();
            let known = known.join(" or ");
            let text = format!("`{}` {reason}; write an absolute URL of {known}", shown.escape_debug());
            Failure::new(ErrorCode::InvalidArgument, text)
        };
        let uri: Uri = url.parse().map_err(|error| invalid(&format!("is no URL ({error})")))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let known = schemes.iter().find(|(known, _)| scheme.eq_ignore_ascii_case(known));
        let Some(&(_, is_https)) = known else { return Err(invalid("has another scheme")) };
        let authority = uri.authority().ok_or_else(|| invalid("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("holds a user's name"));
        }
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(invalid("names no host"));
        }
        let default_port = if is_https { 443 } else { 80 };
        // Taken from the text: a port that is none must not be left out as if it were not there.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => Some(default_port),
            rest => rest.and_then(|rest| rest.strip_prefix(':')?.parse().ok()).filter(|port| *port != 0),
        };
        let port = port.ok_or_else(|| invalid("has no valid port"))?;
        let shown = authority.host();
        let authority = if port == default_port { shown.to_owned() } else { format!("{shown}:{port}") };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { is_https, host: host.to_ascii_lowercase(), port, authority, path })
    }

    /// Says that no response came from there, and why.
    pub fn failed(&self, reason: &dyn Display) -> Failure {
        Failure::new(ErrorCode::OutgoingFailed, format!("request to `{}`: {reason}", self.shown()))
    }

    /// Host and port, for people.
    pub fn shown(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_with_the_port_of_its_scheme() {
        for (url, host, port, authority, path) in [
            ("http://Example.com", "example.com", 80, "Example.com", "/"),
            ("https://example.com/a?b=%20#c", "example.com", 443, "example.com", "/a?b=%20"),
            ("https://example.com:443/", "example.com", 443, "example.com", "/"),
            ("http://example.com:8080?x", "example.com", 8080, "example.com:8080", "/?x"),
            ("http://[::1]:9000/x", "::1", 9000, "[::1]:9000", "/x"),
            ("HTTP://127.0.0.1", "127.0.0.1", 80, "127.0.0.1", "/"),
        ] {
            let target = Target::parse(url).expect(url);
            let seen = (target.host.as_str(), target.port, target.authority.as_str(), target.path.as_str());
            assert_eq!(seen, (host, port, authority, path), "{url}");
        }
    }

    #[test]
    fn a_websocket_has_schemes_of_its_own_with_the_ports_of_the_others() {
        for (url, is_https, port) in [
            ("ws://example.com/feed", false, 80),
            ("WSS://example.com/feed", true, 443),
            ("http://example.com/feed", false, 80),
            ("https://example.com/feed", true, 443),
            ("wss://example.com:8443/feed", true, 8443),
        ] {
            let target = Target::parse_websocket(url).expect(url);
            assert_eq!(
                (target.is_https, target.port, target.path.as_str()),
                (is_https, port, "/feed"),
                "{url}"
            );
        }
        for failure in [Target::parse("ws://example.com/"), Target::parse_websocket("ftp://example.com/")] {
            assert_eq!(failure.expect_err("another scheme").code, "invalid-argument");
        }
    }

    #[test]
    fn what_is_no_plain_url_is_refused() {
        for url in [
            "",
            "/path",
            "example.com",
            "ftp://example.com",
            "http://",
            "http:///x",
            "http://user@example.com",
            "http://user:word@example.com",
            "http://example.com:0",
            "http://example.com:",
            "http://example.com:99999",
            "http://exa mple.com",
            "http://example.com/\r\nx: y",
            "http://ex\u{e4}mple.com",
            "http://[::1",
        ] {
            let failure = Target::parse(url).expect_err(url);
            assert_eq!(failure.code, "invalid-argument", "{url}");
        }
    }
}
