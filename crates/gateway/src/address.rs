//! Addresses of objects on the data plane: `/o/{app}/{Class}/{name}/{rest…}` and
//! `/rpc/{app}/{Class}/{name}/{method}`.
//!
//! The raw path is split first and each segment decoded once, so that `%2F` never becomes a separator
//! and nothing is decoded twice. The vectors in `docs/reference/addresses.md` are this file's tests.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use durabo_model::error_code::ErrorCode;
use percent_encoding::percent_decode_str;

use crate::error_response::{Refused, refuse};

/// Characters of an offending segment that an error repeats.
const ECHO_CHARS_MAX: usize = 100;

/// How an object is named in an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectSegment<'a> {
    /// By its name; any text.
    Name(Cow<'a, str>),
    /// `~id:…`: by the text of its id, not checked yet.
    Id(Cow<'a, str>),
    /// `~new`: a new object with a unique id.
    New,
}

/// The common part of both kinds of address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address<'a> {
    /// Name of the app, not checked yet.
    pub app: Cow<'a, str>,
    /// Name of the class, not checked yet.
    pub class: Cow<'a, str>,
    /// Which object.
    pub object: ObjectSegment<'a>,
    /// Raw path of the object itself, from the leading `/` on: what is stripped for the object.
    pub prefix: &'a str,
    /// Raw rest of the path: empty, or beginning with `/`.
    pub rest: &'a str,
}

impl<'a> Address<'a> {
    /// Reads a raw path whose first segment is `o` or `rpc`.
    pub fn parse(path: &'a str) -> Result<Self, Refused> {
        if !path.starts_with('/') {
            return Err(incomplete("o"));
        }
        // The first piece is what stands before the leading slash: nothing.
        let mut segments = path.splitn(6, '/').skip(1);
        let kind = segments.next().unwrap_or_default();
        let [app, class, object] = [segments.next(), segments.next(), segments.next()];
        let (Some(app), Some(class), Some(object)) = (app, class, object) else {
            return Err(incomplete(kind));
        };
        let prefix_end = 1 + kind.len() + 1 + app.len() + 1 + class.len() + 1 + object.len();
        let (prefix, rest) = path.split_at(prefix_end);
        if app.is_empty() || class.is_empty() {
            return Err(incomplete(kind));
        }
        Ok(Self {
            app: decode(app, "app")?,
            class: decode(class, "class")?,
            object: object_segment(object)?,
            prefix,
            rest,
        })
    }

    /// The path as the object sees it: what follows its address, `/` at least.
    pub const fn path_for_object(&self) -> &'a str {
        if self.rest.is_empty() { "/" } else { self.rest }
    }

    /// Name of the method, for an address of RPC.
    pub fn method(&self) -> Result<Cow<'a, str>, Refused> {
        let raw = self.rest.strip_prefix('/').unwrap_or_default();
        if raw.is_empty() || raw.contains('/') {
            return Err(refuse(
                ErrorCode::InvalidAddress,
                "an RPC address is `/rpc/{app}/{Class}/{name}/{method}`, with exactly one segment for the method",
            ));
        }
        decode(raw, "method")
    }
}

fn incomplete(kind: &str) -> Refused {
    let end = if kind == "rpc" { "{method}" } else { "{path…}" };
    refuse(
        ErrorCode::InvalidAddress,
        format!("the address is not complete; it is `/{kind}/{{app}}/{{Class}}/{{name}}/{end}`"),
    )
}

/// Decodes one segment, once.
pub fn decode<'a>(raw: &'a str, what: &str) -> Result<Cow<'a, str>, Refused> {
    if !percent_signs_are_good(raw) {
        let raw = echo(raw);
        return Err(refuse(
            ErrorCode::InvalidAddress,
            format!("{what} `{raw}` has a `%` without two hex digits; write a plain `%` as `%25`"),
        ));
    }
    percent_decode_str(raw).decode_utf8().map_err(|_| {
        let raw = echo(raw);
        refuse(ErrorCode::InvalidAddress, format!("{what} `{raw}` is not UTF-8 when decoded"))
    })
}

/// The decoder passes on what it cannot decode; here it is an error, lest `%2` and `%252` mean the same.
fn percent_signs_are_good(raw: &str) -> bool {
    let bytes = raw.as_bytes();
    let signs = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    signs
        .map(|(at, _)| bytes.get(at + 1..at + 3))
        .all(|digits| digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Reads the raw segment that names an object.
pub fn object_segment(raw: &str) -> Result<ObjectSegment<'_>, Refused> {
    let name = decode(raw, "name")?;
    let Some(form) = name.strip_prefix('~') else {
        return match plain_name_fault(&name) {
            None => Ok(ObjectSegment::Name(name)),
            Some(fault) => Err(refused_name(&name, fault)),
        };
    };
    if form == "new" {
        return Ok(ObjectSegment::New);
    }
    if let Some(id) = form.strip_prefix("id:") {
        return Ok(ObjectSegment::Id(Cow::Owned(id.to_owned())));
    }
    if let Some(encoded) = form.strip_prefix("b64:") {
        let decoded = BASE64_URL.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        return decoded.map(|name| ObjectSegment::Name(Cow::Owned(name))).ok_or_else(|| {
            let encoded = echo(encoded);
            refuse(
                ErrorCode::InvalidAddress,
                format!("`~b64:{encoded}` is not a name's UTF-8 in base64url without padding"),
            )
        });
    }
    Err(refused_name(&name, "starts with `~`, which is kept for `~id:`, `~new` and `~b64:`"))
}

/// Why a name cannot stand in an address as it is: something between client and node may rewrite it.
fn plain_name_fault(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("is empty"),
        "." | ".." => Some("is a path of its own"),
        _ if name.contains('/') => Some("holds a `/`"),
        _ if name.contains('\\') => Some("holds a `\\`"),
        _ if name.chars().any(char::is_control) => Some("holds a control character"),
        _ => None,
    }
}

fn refused_name(name: &str, fault: &str) -> Refused {
    let way_out = if name.len() <= ECHO_CHARS_MAX {
        format!("write it as `~b64:{}`", BASE64_URL.encode(name))
    } else {
        "write it as `~b64:` and its UTF-8 in base64url without padding".to_owned()
    };
    let name = echo(name);
    refuse(ErrorCode::InvalidAddress, format!("name `{name}` {fault}; {way_out}"))
}

fn echo(text: &str) -> String {
    text.chars().take(ECHO_CHARS_MAX).flat_map(|character| character.escape_debug()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of the tables in the document: path, then app, class, object and rest, or the refusal.
    fn vectors() -> Vec<Vec<String>> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/addresses.md");
        let text = std::fs::read_to_string(path).expect("document");
        let rows = text.lines().filter(|line| line.starts_with("| `/"));
        rows.map(|row| {
            let cells = row.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
        })
        .collect()
    }

    fn shown(object: &ObjectSegment<'_>) -> String {
        match object {
            ObjectSegment::Name(name) => format!("name {}", name.escape_debug()),
            ObjectSegment::Id(id) => format!("id {id}"),
            ObjectSegment::New => "new".to_owned(),
        }
    }

    #[test]
    fn the_vectors_of_the_document_hold() {
        let vectors = vectors();
        let (good, bad): (Vec<_>, Vec<_>) = vectors.iter().partition(|cells| cells.len() == 5);
        assert!(good.len() >= 15 && bad.len() >= 15, "{} and {}", good.len(), bad.len());
        for cells in good {
            let address = Address::parse(&cells[0]).expect(&cells[0]);
            let found =
                [&address.app, &address.class, shown(&address.object).as_str(), address.path_for_object()]
                    .map(str::to_owned);
            assert_eq!(found[..], cells[1..], "{}", cells[0]);
        }
        for cells in bad {
            assert_eq!(cells.len(), 2, "{cells:?}");
            let parsed = Address::parse(&cells[0]);
            let parsed = parsed.and_then(|address| {
                if cells[0].starts_with("/rpc/") { address.method().map(|_| address) } else { Ok(address) }
            });
            let refused = parsed.expect_err(&cells[0]);
            assert_eq!(refused.failure.code, "invalid-address");
            let message = &refused.failure.message;
            assert!(message.contains(&cells[1]), "{}: {message}", cells[0]);
        }
    }

    #[test]
    fn the_form_shown_for_a_refused_name_leads_to_that_name() {
        for name in ["", ".", "..", "~x", "~~", "a/b", "a\\b", "a\nb", "\u{7f}", "\u{85}"] {
            let encoded =
                percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string();
            let path = format!("/o/demo/Room/{encoded}/x");
            let message = Address::parse(&path).expect_err(name).failure.message;
            let form = message.rsplit_once("write it as `").expect("form").1.trim_end_matches('`');
            let path = format!("/o/demo/Room/{form}/x");
            let address = Address::parse(&path).expect(form);
            assert_eq!(address.object, ObjectSegment::Name(name.into()));
        }
    }

    #[test]
    fn methods_are_decoded_once() {
        let method = |path| Address::parse(path).expect(path).method().map(Cow::into_owned).ok();
        assert_eq!(method("/rpc/demo/Room/a/say").as_deref(), Some("say"));
        assert_eq!(method("/rpc/demo/Room/a/s%61y%2525").as_deref(), Some("say%25"));
        assert_eq!(method("/rpc/demo/Room/a/"), None);
        assert_eq!(method("/rpc/demo/Room/a/b/c"), None);
    }

    #[test]
    fn mutated_paths_never_panic_and_what_parses_is_sound() {
        let seeds = [
            "/o/demo/Room/~b64:YQ/x%2Fy?",
            "/rpc/demo/Room/~id:00ff/m",
            "/o/a/B/%F0%9F%98%80/",
            "/o//~new/%00",
        ];
        let alphabet: Vec<char> = "/%~:.\\?#ab2Ff0é\u{0}\u{7f}😀".chars().collect();
        // A fixed seed: a failure is the same on every run.
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for _ in 0..50_000 {
            let mut text: Vec<char> = seeds[random(seeds.len())].chars().collect();
            for _ in 0..=random(6) {
                let at = random(text.len().max(1));
                match random(3) {
                    0 if !text.is_empty() => drop(text.remove(at)),
                    1 => text.insert(at.min(text.len()), alphabet[random(alphabet.len())]),
                    _ if !text.is_empty() => text[at] = alphabet[random(alphabet.len())],
                    _ => {}
                }
            }
            let path: String = text.into_iter().collect();
            if let Ok(address) = Address::parse(&path) {
                assert_eq!(format!("{}{}", address.prefix, address.rest), path);
                assert!(address.path_for_object().starts_with('/'), "{path}");
                let _ = address.method();
            }
        }
    }
}
