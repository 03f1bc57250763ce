//! Who may ask: the `Host` of every request, the origin of those that a web page must not make, and the
//! token of the control plane.
//!
//! The `Host` check defeats DNS rebinding, where a page's own name is made to resolve to this machine:
//! the browser then takes the node for the page's own server, but still sends the page's name.

use std::collections::HashSet;
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use http::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode, Uri};

use crate::error_response::{Refusal, Refused, refuse};

/// Characters of a client's own header that an error repeats.
const ECHO_CHARS_MAX: usize = 100;

/// Where the page that asks comes from, as the browser says.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The names under which the node may be addressed, besides those of loopback.
#[derive(Debug, Clone, Default)]
pub struct AccessRules {
    hosts: HashSet<String>,
}

impl AccessRules {
    /// Admits loopback and `hosts`: names or addresses without port, IPv6 in brackets.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self { hosts: hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect() }
    }

    /// The authority that the request names, if it is one of ours: 400 without one, 403 for another.
    pub fn check_host<'a>(&self, uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Refused> {
        let mut fields = headers.get_all(HOST).iter();
        let (field, more) = (fields.next(), fields.next());
        let Some(field) = field.filter(|_| more.is_none()) else {
            return Err(refuse(ErrorCode::InvalidAddress, "the request needs exactly one `Host` header"));
        };
        let host = field.to_str().unwrap_or_default();
        // A target in absolute form names a host too; both must be ours.
        let target = uri.authority().map(http::uri::Authority::as_str);
        for named in [Some(host), target].into_iter().flatten() {
            if !self.admits(named) {
                let named: String = named.chars().take(ECHO_CHARS_MAX).collect();
                return Err(refuse(
                    ErrorCode::ForeignOrigin,
                    format!(
                        "host `{named}` is not one of this node's names; use `localhost`, or add the name \
                         to the node's configuration"
                    ),
                ));
            }
        }
        Ok(host)
    }

    fn admits(&self, authority: &str) -> bool {
        let Some(host) = without_port(authority) else { return false };
        is_loopback(host) || self.hosts.contains(host) || self.hosts.contains(&host.to_ascii_lowercase())
    }
}

/// `host`, `host:port` or `[v6]:port` without the port; `None` for anything else.
fn without_port(authority: &str) -> Option<&str> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at(end);
    let port_is_good = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.is_empty() || digits.parse::<u16>().is_ok());
    (port_is_good && !host.is_empty()).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    const SUFFIX: &str = ".localhost";
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    if let Some(at) = host.len().checked_sub(SUFFIX.len()).filter(|at| *at > 0) {
        // Browsers resolve these names to loopback themselves, whatever DNS says.
        if host.is_char_boundary(at) && host[at..].eq_ignore_ascii_case(SUFFIX) {
            return host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        }
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Refuses headers that are too large together. The server's own limit is a bound on its buffer, which
/// admits up to twice as much.
pub fn check_size(headers: &HeaderMap) -> Result<(), Refused> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes <= limits::HEADERS_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the headers are {bytes} bytes, the limit is {} bytes", limits::HEADERS_BYTES_MAX);
    Err(Box::new(Refusal {
        failure: Failure::new(ErrorCode::LimitExceeded, message),
        status: Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        header: None,
    }))
}

/// Refuses what a page of another origin sends. `host` is what [`AccessRules::check_host`] returned.
/// Programs other than browsers send neither header.
pub fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Refused> {
    let is_own = |site: &&HeaderValue| *site == "same-origin" || *site == "none";
    if let Some(site) = headers.get_all(SEC_FETCH_SITE).iter().find(|site| !is_own(site)) {
        return Err(foreign(SEC_FETCH_SITE, site));
    }
    match headers.get_all(ORIGIN).iter().find(|origin| !is_own_origin(origin, host)) {
        Some(origin) => Err(foreign("origin", origin)),
        None => Ok(()),
    }
}

fn is_own_origin(origin: &HeaderValue, host: &str) -> bool {
    // TLS may end in front of the node, hence either scheme.
    let authority = origin.to_str().ok().and_then(|origin| {
        let plain = origin.strip_prefix("http://").map(|rest| (rest, ":80"));
        plain.or_else(|| origin.strip_prefix("https://").map(|rest| (rest, ":443")))
    });
    authority.is_some_and(|(authority, default_port)| {
        let bare = |text: &str| text.strip_suffix(default_port).unwrap_or(text).to_ascii_lowercase();
        bare(authority) == bare(host)
    })
}

fn foreign(name: &str, value: &HeaderValue) -> Refused {
    let value: String = String::from_utf8_lossy(value.as_bytes()).chars().take(ECHO_CHARS_MAX).collect();
    refuse(
        ErrorCode::ForeignOrigin,
        format!(
            "a page of another origin may not ask here (`{name}: {value}`); ask from a program, or from \
                 a page of this node"
        ),
    )
}

/// Refuses a request without the control plane's token, or with another.
pub fn check_token(headers: &HeaderMap, token: &str) -> Result<(), Refused> {
    let sent = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let message = match sent.map(|sent| bearer(sent).is_some_and(|sent| is_same(sent, token.as_bytes()))) {
        Some(true) => return Ok(()),
        Some(false) => "the token is not that of this node; it is in the data folder, in the file `token`",
        None => {
            "a token is needed: `authorization: Bearer …` with the text of the file `token` in the data folder"
        }
    };
    Err(Box::new(Refusal {
        failure: Failure::new(ErrorCode::Unauthorized, message),
        status: None,
        header: Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"durabo\""))),
    }))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(token.trim_ascii())
}

/// Takes the same time wherever the texts differ, so that it cannot be guessed byte by byte. The
/// length is no secret: all tokens have the same.
fn is_same(sent: &[u8], secret: &[u8]) -> bool {
    let difference = sent.iter().zip(secret).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    sent.len() == secret.len() && !secret.is_empty() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let fields = fields
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("value")));
        fields.collect()
    }

    fn code(result: Result<impl Sized, Refused>) -> Option<String> {
        result.err().map(|refused| refused.failure.code)
    }

    fn host_code(host: &str) -> Option<String> {
        let rules = AccessRules::new(["Node.example".to_owned()]);
        code(rules.check_host(&Uri::from_static("/"), &headers(&[("host", host)])))
    }

    #[test]
    fn loopback_and_configured_names_are_admitted_with_any_port() {
        let good = [
            "localhost",
            "LOCALHOST:7610",
            "demo.localhost",
            "a.b.localhost:80",
            "127.0.0.1",
            "127.9.8.7:1",
            "[::1]",
            "[::1]:7610",
            "node.example",
            "NODE.EXAMPLE:443",
            "localhost:",
        ];
        for host in good {
            assert_eq!(host_code(host), None, "{host}");
        }
    }

    #[test]
    fn names_that_dns_rebinding_would_use_are_refused() {
        let bad = [
            "evil.example",
            "evil.example:7610",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1.nip.io",
            "notlocalhost",
            ".localhost",
            "localhost.",
            "128.0.0.1",
            "0.0.0.0",
            "0",
            "127.1",
            "0177.0.0.1",
            "2130706433",
            "[::]",
            "[::2]",
            "[::ffff:10.0.0.1]",
            "[::1",
            "::1",
            "[::1]evil",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost:80:80",
            "localhost:99999",
            "localhost/",
            "evil example.localhost",
            "sub.node.example",
            "",
        ];
        for host in bad {
            assert_eq!(host_code(host).as_deref(), Some("foreign-origin"), "{host}");
        }
    }

    #[test]
    fn one_host_must_be_named() {
        let rules = AccessRules::default();
        let none = code(rules.check_host(&Uri::from_static("/"), &HeaderMap::new()));
        assert_eq!(none.as_deref(), Some("invalid-address"));
        let mut two = headers(&[("host", "localhost")]);
        two.append(HOST, HeaderValue::from_static("localhost"));
        assert_eq!(code(rules.check_host(&Uri::from_static("/"), &two)).as_deref(), Some("invalid-address"));
        let mut odd = HeaderMap::new();
        odd.insert(HOST, HeaderValue::from_bytes(b"loc\xff").expect("value"));
        assert_eq!(code(rules.check_host(&Uri::from_static("/"), &odd)).as_deref(), Some("foreign-origin"));
    }

    #[test]
    fn an_absolute_target_must_be_ours_too() {
        let rules = AccessRules::default();
        let fields = headers(&[("host", "localhost")]);
        let evil = Uri::from_static("http://evil.example/o/a/B/c");
        assert_eq!(code(rules.check_host(&evil, &fields)).as_deref(), Some("foreign-origin"));
        assert!(rules.check_host(&Uri::from_static("http://localhost:7610/"), &fields).is_ok());
    }

    #[test]
    fn foreign_pages_are_refused_and_programs_are_not() {
        let check = |fields: &[(&'static str, &str)]| code(check_origin(&headers(fields), "localhost:7610"));
        let good: [&[(&str, &str)]; 5] = [
            &[],
            &[("origin", "http://localhost:7610")],
            &[("origin", "https://LOCALHOST:7610"), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin")],
        ];
        for fields in good {
            assert_eq!(check(fields), None, "{fields:?}");
        }
        let bad: [&[(&str, &str)]; 10] = [
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "http://evil.example")],
            &[("origin", "http://localhost")],
            &[("origin", "http://localhost:3000")],
            &[("origin", "http://localhost:7610.evil.example")],
            &[("origin", "file://")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "http://localhost:7610"), ("sec-fetch-site", "cross-site")],
        ];
        for fields in bad {
            assert_eq!(check(fields).as_deref(), Some("foreign-origin"), "{fields:?}");
        }
        assert!(check_origin(&headers(&[("origin", "https://node.example")]), "node.example:443").is_ok());
    }

    #[test]
    fn headers_are_bounded_together() {
        let half = "a".repeat(limits::HEADERS_BYTES_MAX / 2);
        assert!(check_size(&headers(&[("x-a", &half)])).is_ok());
        let refused = check_size(&headers(&[("x-a", &half), ("x-b", &half)])).expect_err("too large");
        assert_eq!(refused.status, Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }

    #[test]
    fn only_the_whole_token_opens() {
        let check = |value: &str| code(check_token(&headers(&[("authorization", value)]), "s3cret"));
        assert_eq!(check("Bearer s3cret"), None);
        assert_eq!(check("bearer  s3cret "), None);
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer s3cre",
            "Bearer s3crets",
            "Bearer S3cret",
            "Basic s3cret",
            "s3cret",
        ] {
            assert_eq!(check(bad).as_deref(), Some("unauthorized"), "{bad}");
        }
        assert_eq!(
            code(check_token(&headers(&[("authorization", "Bearer ")]), "")).as_deref(),
            Some("unauthorized")
        );
        let missing = check_token(&HeaderMap::new(), "s3cret").expect_err("no token");
        assert_eq!(missing.header.map(|(name, _)| name), Some(WWW_AUTHENTICATE));
    }
}
