//! Routes of the control plane about sockets: lists, sending to one, closing one.
//!
//! The node knows the answers; here requests are read and answers written.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{delete, get, post};
use durabo_catalog::ClassTarget;
use durabo_model::error_code::ErrorCode;
use durabo_model::limits;
use durabo_model::object::ObjectKey;
use durabo_objects::scope::Scope;
use durabo_objects::socket::{Message, SocketId};
use durabo_objects::sockets::SocketPosition;

use super::queries;
use super::route::{
    Answer, Config, ControlState, body, class_target, classes_of_app, json, object_address, segment,
};
use super::socket_report::{SocketDone, SocketsPage};
use crate::error_response::{Refused, refuse};

/// The routes.
pub(super) fn routes() -> Router<ControlState> {
    Router::new()
        .route("/v1/apps/{app}/sockets", get(of_app))
        .route("/v1/apps/{app}/classes/{class}/sockets", get(of_class))
        .route("/v1/apps/{app}/classes/{class}/objects/{object}/sockets", get(of_object))
        .route("/v1/apps/{app}/classes/{class}/objects/{object}/sockets/{socket}", delete(close))
        .route("/v1/apps/{app}/classes/{class}/objects/{object}/sockets/{socket}/message", post(send))
}

async fn of_app(State(config): Config, request: Request) -> Answer {
    let classes = classes_of_app(&config, &request)?;
    let of = Scope::Namespaces(classes.iter().map(|class| class.namespace).collect());
    let page = page(&request, &classes)?;
    Ok(json(&config.node.sockets(of, page).await?))
}

async fn of_class(State(config): Config, request: Request) -> Answer {
    let class = class_target(&config, &request)?;
    let of = Scope::Namespaces(vec![class.namespace]);
    let page = page(&request, &[class])?;
    Ok(json(&config.node.sockets(of, page).await?))
}

async fn of_object(State(config): Config, request: Request) -> Answer {
    let class = class_target(&config, &request)?;
    let of = Scope::Object(object_address(&config, &request)?.key);
    let page = page(&request, &[class])?;
    Ok(json(&config.node.sockets(of, page).await?))
}

/// The part of a list that is asked for; its beginning is in one of these classes.
fn page(request: &Request, classes: &[Arc<ClassTarget>]) -> Result<SocketsPage, Refused> {
    let (after, limit) = queries::page(request.uri(), "after")?;
    let after = after.map(|text| position(classes, &text)).transpose()?;
    Ok(SocketsPage { after, limit })
}

/// The id of an object of one of these classes, and the number of a socket: `3652ef…-1099511627776`.
fn position(classes: &[Arc<ClassTarget>], text: &str) -> Result<SocketPosition, Refused> {
    let (id, socket) = text.split_once('-').unwrap_or_default();
    let socket = socket.parse().map(SocketId).map_err(|_| {
        let message =
            "`after` must be the id of an object and the number of a socket, such as `3652ef…-1099511627776`";
        refuse(ErrorCode::InvalidArgument, message)
    })?;
    let key_of = |class: &Arc<ClassTarget>| {
        class.key.id_from_text(id).map(|id| ObjectKey { namespace: class.namespace, id })
    };
    let found = classes.iter().map(key_of).reduce(|one, next| one.or(next));
    let invalid = |text: String| refuse(ErrorCode::InvalidObjectId, text);
    let object = found.ok_or_else(|| invalid("the app has no class, so it has no objects".to_owned()))?;
    Ok(SocketPosition { object: object.map_err(|error| invalid(error.to_string()))?, socket })
}

async fn send(State(config): Config, request: Request) -> Answer {
    let (object, socket) = (object_address(&config, &request)?, socket_id(&request)?);
    let is_binary = queries::is_binary(request.uri())?;
    let bytes = body(&config, request, limits::SOCKET_MESSAGE_BYTES_MAX).await?;
    let message = match is_binary {
        true => Message::Binary(bytes.into()),
        false => Message::Text(String::from_utf8(bytes.into()).map_err(|_| {
            refuse(ErrorCode::InvalidBody, "the text is not UTF-8; send bytes with `?binary=true`")
        })?),
    };
    config.node.send_to_socket(object, socket, message).await?;
    Ok(json(&SocketDone { done: "sent" }))
}

async fn close(State(config): Config, request: Request) -> Answer {
    let (object, socket) = (object_address(&config, &request)?, socket_id(&request)?);
    let (code, reason) = queries::close(request.uri())?;
    config.node.close_socket(object, socket, code, reason).await?;
    Ok(json(&SocketDone { done: "closing" }))
}

/// The number of a socket that a path names after its object.
fn socket_id(request: &Request) -> Result<SocketId, Refused> {
    let number = segment(request, 9).parse();
    let refused =
        |_| refuse(ErrorCode::InvalidArgument, "a socket is named by its number, as the list shows it");
    number.map(SocketId).map_err(refused)
}
