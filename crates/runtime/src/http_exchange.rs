//! Requests and responses as the contract's records, and back. What a guest gives is checked here: it is
//! about to be written to a client or a server.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use durabo_objects::body::ReaderWatch;
use durabo_objects::event::{Headers, HttpRequest, HttpResponse};
use durabo_objects::socket::Upgrade;
use wasmtime::AsContextMut;
use wasmtime::component::Resource;

use crate::bindings::object::http::{Request, Response};
use crate::body_in::body_to_guest;
use crate::body_out::{BodyOut, body_of_guest, close};
use crate::state::GuestState;

/// The request as the guest gets it. Refused if no further body may be open.
pub fn request_to_guest<S: AsContextMut<Data = GuestState>>(
    store: S,
    request: HttpRequest,
) -> wasmtime::Result<Result<Request, Failure>> {
    let HttpRequest { method, url, headers, body } = request;
    let headers = headers_to_guest(headers);
    Ok(body_to_guest(store, body)?.map(|body| Request { method, url, headers, body }))
}

/// Schemes of a URL.
pub type Schemes = &'static [&'static str];

/// Of a request.
pub const HTTP: Schemes = &["http", "https"];

/// Of a WebSocket.
pub const WEBSOCKET: Schemes = &["ws", "wss", "http", "https"];

/// A request that the guest sends to another object or to the outside, unchanged (ST-13), or why it is none.
pub fn request_of_guest<S: AsContextMut<Data = GuestState>>(
    mut store: S,
    request: Request,
    schemes: Schemes,
) -> wasmtime::Result<Result<HttpRequest, Failure>> {
    let Request { method, url, headers, body } = request;
    let headers = match check_target(&method, &url, schemes).and_then(|()| headers_of_guest(headers)) {
        Ok(headers) => headers,
        Err(reason) => {
            close(store.as_context_mut(), body)?;
            let text = format!("the request is not valid: {reason}");
            return Ok(Err(Failure::new(ErrorCode::InvalidArgument, text)));
        }
    };
    Ok(body_of_guest(store, body)?.map(|body| HttpRequest { method, url, headers, body: body.body }))
}

/// A response of another object or from outside, unchanged (ST-13). Refused if no further body may be open.
pub fn response_to_guest<S: AsContextMut<Data = GuestState>>(
    mut store: S,
    response: HttpResponse,
) -> wasmtime::Result<Result<Response, Failure>> {
    let HttpResponse { status, headers, body, upgrade } = response;
    let headers = headers_to_guest(headers);
    let mut store = store.as_context_mut();
    let upgrade = upgrade.map(|upgrade| store.data_mut().table.push(upgrade)).transpose()?;
    Ok(body_to_guest(store, body)?.map(|body| Response { status, headers, body, upgrade }))
}

/// The guest's response and who reads its body, or why it is none.
pub fn response_of_guest<S: AsContextMut<Data = GuestState>>(
    mut store: S,
    response: Response,
) -> wasmtime::Result<Result<(HttpResponse, Option<ReaderWatch>), Failure>> {
    let Response { status, headers, body, upgrade } = response;
    // Taken in any case: in a response that is not valid it is dropped, and the socket with it (WS-5).
    let upgrade = take_upgrade(&mut store, upgrade)?;
    let headers = match check_head(status, upgrade.is_some())
        .and_then(|()| headers_of_guest(headers).map_err(invalid))
    {
        Ok(headers) => headers,
        Err(failure) => {
            close(store.as_context_mut(), body)?;
            return Ok(Err(failure));
        }
    };
    Ok(match body_of_guest(store, body)? {
        Ok(BodyOut { body, reader }) => {
            let upgrade = upgrade.map(Upgrade::returned);
            Ok((HttpResponse { status, headers, body, upgrade }, reader))
        }
        Err(failure) if failure.listed_code() == Some(ErrorCode::LimitExceeded) => {
            Err(invalid(failure.message))
        }
        Err(failure) => Err(failure),
    })
}

fn check_target(method: &str, url: &str, schemes: Schemes) -> Result<(), String> {
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(format!("{method:?} is not a method"));
    }
    if url.len() > limits::TARGET_BYTES_MAX {
        let max = limits::TARGET_BYTES_MAX;
        return Err(format!("the URL is {} bytes, the limit is {max}", url.len()));
    }
    let is_absolute = url.split_once("://").is_some_and(|(scheme, rest)| {
        schemes.contains(&scheme) && !rest.is_empty() && !rest.starts_with('/')
    });
    if !is_absolute || url.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
        let scheme = schemes[0];
        return Err(format!("{url:?} is not an absolute URL such as `{scheme}://do/path`"));
    }
    Ok(())
}

fn take_upgrade<S: AsContextMut<Data = GuestState>>(
    store: &mut S,
    upgrade: Option<Resource<Upgrade>>,
) -> wasmtime::Result<Option<Upgrade>> {
    let mut store = store.as_context_mut();
    Ok(upgrade.map(|upgrade| store.data_mut().table.delete(upgrade)).transpose()?)
}

fn check_head(status: u16, has_upgrade: bool) -> Result<(), Failure> {
    match (status, has_upgrade) {
        (101, true) => return Ok(()),
        (101, false) => return Err(invalid("status 101 is only for an accepted WebSocket".to_owned())),
        (_, true) => return Err(invalid(format!("an accepted WebSocket needs status 101, not {status}"))),
        (_, false) => {}
    }
    if !(200..=599).contains(&status) {
        return Err(invalid(format!("status {status} is not in 200 to 599")));
    }
    Ok(())
}

fn headers_to_guest(headers: Headers) -> Vec<(String, String)> {
    headers.into_iter().map(|(name, value)| (name, to_latin1(&value))).collect()
}

fn headers_of_guest(headers: Vec<(String, String)>) -> Result<Headers, String> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > limits::HEADERS_BYTES_MAX {
        let max = limits::HEADERS_BYTES_MAX;
        return Err(format!("the headers are {bytes} bytes, the limit is {max}"));
    }
    headers.into_iter().map(header_of_guest).collect()
}

fn header_of_guest((name, value): (String, String)) -> Result<(String, Vec<u8>), String> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{name:?} is not the name of a header"));
    }
    let bytes = of_latin1(&value).filter(|bytes| !bytes.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')));
    match bytes {
        Some(bytes) => Ok((name, bytes)),
        None => Err(format!(
            "the value of header `{name}` has a line break, a NUL, or a character beyond U+00FF; encode it"
        )),
    }
}

fn invalid(reason: String) -> Failure {
    Failure::new(ErrorCode::InvalidGuestResult, format!("the guest's response is not valid: {reason}"))
}

/// Characters of a token (RFC 9110).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Each byte as one character.
fn to_latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn of_latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(headers: &[(&str, &str)]) -> Result<Headers, String> {
        headers_of_guest(
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    #[test]
    fn b_51_each_byte_of_a_header_is_one_character() {
        let raw = vec![("a".to_owned(), vec![b'x', 0xe4, 0xc3, 0xa9])];
        assert_eq!(headers_to_guest(raw.clone()), [("a".to_owned(), "xä\u{c3}©".to_owned())]);
        assert_eq!(headers(&[("a", "xä\u{c3}©")]), Ok(raw));
    }

    #[test]
    fn a_method_and_an_absolute_url_pass_and_others_are_refused() {
        assert_eq!(check_target("PURGE", "https://do/items?x=1#z", HTTP), Ok(()));
        assert_eq!(check_target("GET", "wss://do/feed", WEBSOCKET), Ok(()));
        let long = format!("http://do/{}", "x".repeat(limits::TARGET_BYTES_MAX));
        for (method, url) in [
            ("GE T", "http://do/"),
            ("", "http://do/"),
            ("GET", "/items"),
            ("GET", "ftp://do/items"),
            ("GET", "wss://do/feed"),
            ("GET", "http:///items"),
            ("GET", "http://do/\n"),
            ("GET", &long),
        ] {
            assert!(check_target(method, url, HTTP).is_err(), "{method} {url}");
        }
    }

    #[test]
    fn statuses_from_200_to_599_pass() {
        for status in [200, 404, 599] {
            assert_eq!(check_head(status, false), Ok(()), "{status}");
        }
        for status in [0, 100, 199, 600, 65535] {
            let failure = check_head(status, false).expect_err("refused");
            assert_eq!(failure.code, "invalid-guest-result", "{status}");
        }
    }

    #[test]
    fn ws_5_status_101_and_an_accepted_socket_need_each_other() {
        assert_eq!(check_head(101, true), Ok(()));
        for (status, has_upgrade) in [(101, false), (200, true), (426, true)] {
            let failure = check_head(status, has_upgrade).expect_err("refused");
            assert_eq!(failure.code, "invalid-guest-result", "{status}");
        }
    }

    #[test]
    fn headers_that_would_break_the_message_are_refused() {
        for (name, value) in
            [("", "x"), ("a b", "x"), ("a:", "x"), ("a", "x\r\ny: z"), ("a", "\0"), ("a", "€")]
        {
            assert!(headers(&[(name, value)]).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn headers_over_the_limit_are_refused() {
        let value = "x".repeat(limits::HEADERS_BYTES_MAX);
        assert!(headers(&[("a", &value)]).is_err());
        assert!(headers(&[("", &value)]).is_err());
        assert!(headers(&[("a", &value[1..])]).is_ok());
    }
}
