//! Requests and responses as the contract's records, and back. What a guest returns is checked here:
//! it is about to be written to a client.

use bytes::Bytes;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use durabo_objects::event::{Headers, HttpRequest, HttpResponse};

use crate::bindings::object::http::{Body, Request, Response};
use crate::failure_record::unsupported;

/// The request as the guest gets it. Bodies are handed over whole.
pub fn request_to_guest(request: HttpRequest) -> Request {
    let body = body_to_guest(request.body);
    let headers = request.headers.into_iter().map(|(name, value)| (name, to_latin1(&value))).collect();
    Request { method: request.method, url: request.url, headers, body }
}

/// The guest's response, or why it is none.
pub fn response_of_guest(response: Response) -> Result<HttpResponse, Failure> {
    let Response { status, headers, body, upgrade } = response;
    if upgrade.is_some() || status == 101 {
        return Err(unsupported("a response with an upgrade"));
    }
    if !(200..=599).contains(&status) {
        return Err(invalid(format!("status {status} is not in 200 to 599")));
    }
    let headers = headers_of_guest(headers).map_err(invalid)?;
    let body = whole_body(body).ok_or_else(|| unsupported("a response body in chunks"))?;
    if body.len() > limits::BODY_BYTES_MAX {
        let max = limits::BODY_BYTES_MAX;
        return Err(invalid(format!("the body is {} bytes, the limit is {max}", body.len())));
    }
    Ok(HttpResponse { status, headers, body })
}

/// A response that another object gave, as the guest gets it.
pub fn response_to_guest(response: HttpResponse) -> Response {
    let HttpResponse { status, headers, body } = response;
    let headers = headers.into_iter().map(|(name, value)| (name, to_latin1(&value))).collect();
    Response { status, headers, body: body_to_guest(body), upgrade: None }
}

/// The guest's request to another object, unchanged (ST-13), or why it is none.
pub fn request_of_guest(request: Request) -> Result<HttpRequest, Failure> {
    let Request { method, url, headers, body } = request;
    let refused =
        |reason| Failure::new(ErrorCode::InvalidArgument, format!("the request is not valid: {reason}"));
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(refused(format!("{method:?} is not a method")));
    }
    if url.len() > limits::TARGET_BYTES_MAX {
        let max = limits::TARGET_BYTES_MAX;
        return Err(refused(format!("the URL is {} bytes, the limit is {max}", url.len())));
    }
    let is_absolute = url.split_once("://").is_some_and(|(scheme, rest)| {
        matches!(scheme, "http" | "https") && !rest.is_empty() && !rest.starts_with('/')
    });
    if !is_absolute || url.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
        return Err(refused(format!("{url:?} is not an absolute URL such as `https://do/path`")));
    }
    let headers = headers_of_guest(headers).map_err(refused)?;
    let body = whole_body(body).ok_or_else(|| unsupported("a request body in chunks"))?;
    Ok(HttpRequest { method, url, headers, body })
}

fn body_to_guest(body: Bytes) -> Body {
    if body.is_empty() { Body::Empty } else { Body::Bytes(body.into()) }
}

/// A body that is there as a whole; `None` for one in pieces.
fn whole_body(body: Body) -> Option<Bytes> {
    match body {
        Body::Empty => Some(Bytes::new()),
        Body::Bytes(bytes) => Some(Bytes::from(bytes)),
        Body::Chunks(_) => None,
    }
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

    fn response(status: u16, headers: &[(&str, &str)], body: Body) -> Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Response { status, headers, body, upgrade: None }
    }

    #[test]
    fn each_byte_of_a_header_is_one_character() {
        let request = HttpRequest {
            method: "GET".to_owned(),
            url: "http://x/".to_owned(),
            headers: vec![("a".to_owned(), vec![b'x', 0xe4])],
            body: Bytes::new(),
        };
        let request = request_to_guest(request);
        assert_eq!(request.headers, [("a".to_owned(), "xä".to_owned())]);
        assert!(matches!(request.body, Body::Empty));
        let response = response_of_guest(response(204, &[("a", "xä")], Body::Empty)).expect("good");
        assert_eq!(response.headers, [("a".to_owned(), vec![b'x', 0xe4])]);
    }

    #[test]
    fn a_request_of_a_guest_passes_unchanged_or_is_refused_as_an_argument() {
        let request = |method: &str, url: &str, header: (&str, &str)| Request {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: vec![(header.0.to_owned(), header.1.to_owned())],
            body: Body::Bytes(vec![0, 255]),
        };
        let sent =
            request_of_guest(request("PURGE", "https://do/items?x=1#z", ("x-k", "\u{e4}"))).expect("good");
        assert_eq!((sent.method.as_str(), sent.url.as_str()), ("PURGE", "https://do/items?x=1#z"));
        assert_eq!(sent.headers, [("x-k".to_owned(), vec![0xe4])]);
        assert_eq!(sent.body[..], [0, 255]);
        let long = format!("http://do/{}", "x".repeat(limits::TARGET_BYTES_MAX));
        for bad in [
            request("GE T", "http://do/", ("a", "b")),
            request("", "http://do/", ("a", "b")),
            request("GET", "/items", ("a", "b")),
            request("GET", "http:///items", ("a", "b")),
            request("GET", "http://do/\n", ("a", "b")),
            request("GET", &long, ("a", "b")),
            request("GET", "http://do/", ("a", "b\r\nc: d")),
        ] {
            assert_eq!(request_of_guest(bad).expect_err("refused").code, "invalid-argument");
        }
    }

    #[test]
    fn a_response_of_another_object_passes_unchanged() {
        let headers = vec![("set-cookie".to_owned(), b"a=1".to_vec()), ("set-cookie".to_owned(), vec![0xe4])];
        let response =
            response_to_guest(HttpResponse { status: 418, headers, body: Bytes::from_static(b"tea") });
        let expected = [("set-cookie", "a=1"), ("set-cookie", "\u{e4}")];
        assert_eq!(response.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(response.status == 418 && matches!(response.body, Body::Bytes(body) if body == b"tea"));
    }

    #[test]
    fn statuses_from_200_to_599_pass() {
        for status in [200, 404, 599] {
            assert!(response_of_guest(response(status, &[], Body::Empty)).is_ok(), "{status}");
        }
        for status in [0, 100, 199, 600, 65535] {
            let failure = response_of_guest(response(status, &[], Body::Empty)).expect_err("refused");
            assert_eq!(failure.code, "invalid-guest-result", "{status}");
        }
        let failure = response_of_guest(response(101, &[], Body::Empty)).expect_err("no upgrades yet");
        assert_eq!(failure.code, "unsupported");
    }

    #[test]
    fn headers_that_would_break_the_message_are_refused() {
        for (name, value) in
            [("", "x"), ("a b", "x"), ("a:", "x"), ("a", "x\r\ny: z"), ("a", "\0"), ("a", "€")]
        {
            let failure =
                response_of_guest(response(200, &[(name, value)], Body::Empty)).expect_err("refused");
            assert_eq!(failure.code, "invalid-guest-result", "{name}: {value}");
        }
    }

    #[test]
    fn a_body_or_headers_over_the_limit_are_refused() {
        let large = Body::Bytes(vec![0; limits::BODY_BYTES_MAX + 1]);
        assert!(response_of_guest(response(200, &[], large)).is_err());
        let value = "x".repeat(limits::HEADERS_BYTES_MAX);
        assert!(response_of_guest(response(200, &[("a", &value)], Body::Empty)).is_err());
    }
}
