//! Fetch of an object: the request as the object sees it, and its response as the client gets it.
//!
//! Both cross unchanged (ST-13, ST-4) but for what belongs to one connection only. Short bodies are carried
//! whole, all others in pieces, which nobody collects on the way.

use bytes::Bytes;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::HttpLimits;
use durabo_objects::body::Body;
use durabo_objects::event::{Event, Headers, HttpRequest, HttpResponse, Reply};
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};

use crate::access::check_origin;
use crate::address::Address;
use crate::body::{BodyName, RequestBody};
use crate::error_response::{Refused, with_header};
use crate::hop_by_hop::is_hop_by_hop;
use crate::received_body::{ReceiveLimit, receive};
use crate::resolve::{Deliver, Resolved, origin_of};
use crate::sent_body::SentBody;
use crate::websocket::handshake::{Handshake, handshake, is_of_handshake};
use crate::websocket::tasks::SocketTasks;

const FORWARDED_PREFIX: &str = "x-forwarded-prefix";

/// A request of a client, and where it goes.
pub struct FetchRequest<'a, B> {
    /// The object.
    pub resolved: Resolved,
    /// The address by which it was found.
    pub address: &'a Address<'a>,
    /// What the client called the node.
    pub host: &'a str,
    /// All but the body.
    pub parts: &'a Parts,
    /// The body.
    pub body: B,
}

/// What requests of clients are served with.
pub struct FetchContext<'a, O> {
    /// The objects.
    pub objects: &'a O,
    /// What clients may take.
    pub limits: &'a HttpLimits,
    /// Connections that have become WebSockets.
    pub sockets: &'a SocketTasks,
}

/// Delivers a request and waits for the response.
pub async fn fetch(
    context: FetchContext<'_, impl Deliver>,
    request: FetchRequest<'_, impl RequestBody>,
) -> Result<Response<SentBody>, Refused> {
    let FetchContext { objects, limits, sockets } = context;
    let FetchRequest { resolved, address, host, parts, body } = request;
    let handshake = handshake(parts)?;
    if handshake.is_some() {
        // Browsers let any page ask for a WebSocket anywhere.
        check_origin(&parts.headers, host)?;
    }
    let seat = handshake.as_ref().map(|_| sockets.seat()).transpose()?;
    let (bytes_max, silence_max) = (limits.request_body_bytes_max, limits.body_silence_max);
    let received = receive(&parts.headers, body, ReceiveLimit { bytes_max, silence_max }).await;
    let name = BodyName { name: "the body", bytes_max, silence_max };
    let body = received.map_err(|fault| fault.refusal(name))?;
    let mut request = request_for_object(parts, address, host, body);
    if handshake.is_some() {
        request.headers.push(("upgrade".to_owned(), b"websocket".to_vec()));
    }
    let new_id = resolved.new_id_header();
    let object = resolved.address.key.id;
    let origin = origin_of(parts);
    let client = origin.client.clone();
    let outcome = objects.deliver(resolved.address, Event::Fetch(request), origin).await;
    let response = match outcome {
        Ok(Reply::Fetch(mut response)) => {
            if let Body::Pieces(pieces) = &mut response.body {
                pieces.read_for(&client);
            }
            match (response.upgrade.take(), handshake, seat) {
                (None, ..) => client_response(&parts.method, response),
                (Some(upgrade), Some(handshake), Some(seat)) => {
                    switching(&handshake, response).map(|switched| {
                        let (response, protocol) = switched;
                        sockets.start(seat, handshake.connection, upgrade.join(protocol));
                        response
                    })
                }
                (Some(_), ..) => {
                    Err("the object accepted a WebSocket that the client did not ask for".to_owned())
                }
            }
        }
        Ok(_) => Err("the object answered a request with something that is no response".to_owned()),
        Err(failure) => return Err(with_header(failure.into(), new_id)),
    };
    match response {
        Ok(mut response) => {
            if let Some((name, value)) = new_id {
                response.headers_mut().insert(name, value);
            }
            Ok(response)
        }
        Err(message) => {
            let failure = Failure::new(ErrorCode::InvalidGuestResult, message).of_object(object);
            Err(with_header(failure.into(), new_id))
        }
    }
}

fn request_for_object(parts: &Parts, address: &Address<'_>, host: &str, body: Body) -> HttpRequest {
    let path = address.path_for_object();
    let query = parts.uri.query();
    let mut url = String::with_capacity(
        "http://".len() + host.len() + path.len() + query.map_or(0, |query| 1 + query.len()),
    );
    url.push_str("http://");
    url.push_str(host);
    url.push_str(path);
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    let mut headers = Headers::with_capacity(parts.headers.len() + 1);
    for (name, value) in &parts.headers {
        if !is_of_connection(name, &parts.headers) && name != FORWARDED_PREFIX {
            headers.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
        }
    }
    headers.push((FORWARDED_PREFIX.to_owned(), address.prefix.as_bytes().to_vec()));
    HttpRequest { method: parts.method.as_str().to_owned(), url, headers, body }
}

/// Whether a header of a request speaks of the connection and not of the request (RFC 9110, 7.6.1).
fn is_of_connection(name: &HeaderName, headers: &HeaderMap) -> bool {
    is_hop_by_hop(name.as_str()) || {
        let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
        let mut named = named.flat_map(|value| value.split(','));
        // The fields that routing and length rest on cannot be talked away.
        name != header::HOST
            && name != header::CONTENT_LENGTH
            && named.any(|option| option.trim().eq_ignore_ascii_case(name.as_str()))
    }
}

/// The response that makes the connection a WebSocket, with its sub-protocol, or what is wrong with the guest's.
fn switching(handshake: &Handshake, mut reply: HttpResponse) -> Result<(Response<SentBody>, String), String> {
    let protocol = handshake.protocol(&reply.headers)?;
    reply.headers.retain(|(name, _)| !is_of_handshake(&name.to_ascii_lowercase()));
    reply.body = Body::default();
    // All else is as in any response, whose statuses begin at 200.
    let status = StatusCode::SWITCHING_PROTOCOLS;
    let mut response = client_response(&Method::GET, HttpResponse { status: 200, ..reply })?;
    *response.status_mut() = status;
    handshake.answer(response.headers_mut(), &protocol);
    Ok((response, protocol))
}

/// The response for the client, or what is wrong with the guest's.
fn client_response(method: &Method, reply: HttpResponse) -> Result<Response<SentBody>, String> {
    let status =
        StatusCode::from_u16(reply.status).ok().filter(|status| (200..600).contains(&status.as_u16()));
    let status =
        status.ok_or_else(|| format!("the object answered with status {}; use 200 to 599", reply.status))?;
    let mut response = Response::new(SentBody::default());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(reply.headers.len() + 2);
    for (name, value) in reply.headers {
        let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(format!(
                "the object answered with header name `{}`, which is none",
                name.escape_debug()
            ));
        };
        let value = HeaderValue::from_maybe_shared(Bytes::from(value))
            .map_err(|_| format!("the object answered with a line break or NUL in header `{parsed}`"))?;
        // The length of what a `HEAD` did not send is the object's to say.
        let is_framing =
            parsed == header::CONTENT_LENGTH && (*method != Method::HEAD || !reply.body.is_empty());
        if !is_framing && !is_hop_by_hop(parsed.as_str()) {
            headers.append(parsed, value);
        }
    }
    if *method == Method::HEAD {
        if let Some(bytes) = reply.body.bytes().filter(|_| !headers.contains_key(header::CONTENT_LENGTH)) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
        }
    } else if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        *response.body_mut() = reply.body.into();
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::BodyExt;

    use super::*;

    fn seen(request: Request<()>) -> HttpRequest {
        let (parts, ()) = request.into_parts();
        let address = Address::parse(parts.uri.path()).expect("address");
        request_for_object(&parts, &address, "do:1", Bytes::from_iter(0..=255).into())
    }

    fn reply(status: u16, headers: &[(&str, &str)], body: &'static str) -> HttpResponse {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        HttpResponse { status, headers: headers.collect(), body: body.into(), upgrade: None }
    }

    #[test]
    fn c_032_method_url_headers_and_body_arrive_unchanged() {
        let request =
            Request::post("/o/demo/Room/a/items?x=1").header("X-K", "v").header("x-k", "w").body(());
        let seen = seen(request.expect("request"));
        assert_eq!((seen.method.as_str(), seen.url.as_str()), ("POST", "http://do:1/items?x=1"));
        assert_eq!(seen.body, Bytes::from_iter(0..=255).into());
        let headers: Vec<_> = seen.headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
        assert_eq!(headers, [("x-k", &b"v"[..]), ("x-k", b"w"), ("x-forwarded-prefix", b"/o/demo/Room/a")]);
    }

    #[test]
    fn headers_of_the_connection_stay_behind() {
        let request = Request::get("/o/demo/Room/~b64:YQ?a=%20&b")
            .header("connection", "close, X-Private, host")
            .header("x-private", "1")
            .header("host", "h")
            .header("te", "trailers")
            .header("x-forwarded-prefix", "/evil")
            .body(());
        let seen = seen(request.expect("request"));
        let names: Vec<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["host", "x-forwarded-prefix"]);
        assert_eq!(seen.url, "http://do:1/?a=%20&b");
    }

    #[tokio::test]
    async fn c_024_status_header_and_body_reach_the_client() {
        let response = client_response(&Method::GET, reply(418, &[("x-a", "b")], "tea")).expect("response");
        assert_eq!((response.status().as_u16(), response.headers().len()), (418, 1));
        assert_eq!(response.headers()["x-a"], "b");
        assert_eq!(response.into_body().collect().await.expect("body").to_bytes(), "tea");
    }

    #[tokio::test]
    async fn framing_is_the_nodes_and_repeated_headers_are_kept() {
        let headers = [
            ("set-cookie", "a"),
            ("set-cookie", "b"),
            ("content-length", "99"),
            ("transfer-encoding", "chunked"),
        ];
        let response = client_response(&Method::GET, reply(200, &headers, "tea")).expect("response");
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(response.headers().len(), 2);
    }

    #[tokio::test]
    async fn head_and_304_have_no_body() {
        let head = client_response(&Method::HEAD, reply(200, &[], "tea")).expect("response");
        assert_eq!(head.headers()["content-length"], "3");
        assert!(head.into_body().collect().await.expect("body").to_bytes().is_empty());
        let head =
            client_response(&Method::HEAD, reply(200, &[("content-length", "99")], "")).expect("response");
        assert_eq!(head.headers()["content-length"], "99");
        let unchanged = client_response(&Method::GET, reply(304, &[], "tea")).expect("response");
        assert!(unchanged.into_body().collect().await.expect("body").to_bytes().is_empty());
    }

    #[test]
    fn a_response_that_is_none_is_refused() {
        for status in [0, 101, 199, 600, 1000] {
            assert!(client_response(&Method::GET, reply(status, &[], "")).is_err(), "{status}");
        }
        assert!(client_response(&Method::GET, reply(200, &[("a b", "c")], "")).is_err());
        assert!(client_response(&Method::GET, reply(200, &[("a", "b\r\nc: d")], "")).is_err());
    }
}
