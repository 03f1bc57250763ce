//! From the contract's exports to the author's class: start, calls, requests, alarms.
//!
//! `#[durabo::object]` implements [`Class`], [`export!`](crate::export) names the classes of the component.
//! One instance is one object: `start` makes it, and it lives as long as the instance. Authors do not use
//! this module.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;

use crate::alarm::AlarmInfo;
use crate::bindings::durabo::object::{http as wit_http, types as wit, websocket as wit_websocket};
use crate::bindings::exports::durabo::object::{
    alarm_handler as wit_alarm, lifecycle::StartInfo, schedule_handler as wit_schedule,
};
use crate::context::Context;
use crate::failure::{Failure, FailureKind};
use crate::http::{Request, Response};
use crate::schedule::ScheduleInfo;
use crate::websocket::{Close, Message, Socket};

/// A class of objects, as `#[durabo::object]` describes it.
pub trait Class: Sized + 'static {
    /// Its name in deployments and addresses.
    const NAME: &'static str;

    /// How the object is held: [`Exclusive`] if methods take `&mut self`, else itself.
    type Held: 'static;

    /// The constructor.
    fn start(ctx: Context) -> impl Future<Output = Result<Self::Held, Failure>>;

    /// A call of a method with CBOR arguments.
    fn call(held: &Self::Held, method: &str, args: &[u8]) -> impl Future<Output = Result<Vec<u8>, Failure>>;

    /// An HTTP request; a class without `fetch` refuses it (LC-18).
    fn fetch(held: &Self::Held, request: Request) -> impl Future<Output = Result<Response, Failure>> {
        let _ = (held, request);
        async { Err(handler_missing("fetch")) }
    }

    /// A run of a named alarm; a class without `scheduled` refuses it (SC-17).
    fn scheduled(held: &Self::Held, info: ScheduleInfo) -> impl Future<Output = Result<(), Failure>> {
        let _ = (held, info);
        async { Err(handler_missing("scheduled")) }
    }

    /// A run of the alarm; a class without `alarm` refuses it (AL-13).
    fn alarm(held: &Self::Held, info: AlarmInfo) -> impl Future<Output = Result<(), Failure>> {
        let _ = (held, info);
        async { Err(handler_missing("alarm")) }
    }

    /// Something happened to a socket; what the class has no handler for is dropped (WS-14).
    fn websocket(
        held: &Self::Held,
        socket: Socket,
        event: SocketEvent,
    ) -> impl Future<Output = Result<(), Failure>> {
        let _ = (held, socket, event);
        async { Ok(()) }
    }
}

fn handler_missing(name: &str) -> Failure {
    Failure::new(format!("Handler does not export a {name}() function."))
        .with_kind(FailureKind::NotFound)
        .with_name("TypeError")
        .with_code("handler-missing")
}

/// What happened to a socket.
#[derive(Debug)]
pub enum SocketEvent {
    /// A message came.
    Message(Message),
    /// The connection ended.
    Close(Close),
    /// It failed.
    Error(Failure),
}

/// A class that a component exports.
#[diagnostic::on_unimplemented(
    message = "class `{Self}` is not exported by this component",
    note = "add `durabo::export!({Self});` to the root of the crate; one line names all classes"
)]
pub trait Exported {}

/// Holds an object whose methods take `&mut self`. All of them are plain functions, so one call ends
/// before the next begins and the borrow is never refused.
#[derive(Debug)]
pub struct Exclusive<T>(RefCell<T>);

impl<T> Exclusive<T> {
    /// Holds `object`.
    pub fn new(object: T) -> Self {
        Self(RefCell::new(object))
    }

    /// Runs `access` with the object.
    pub fn with<R>(&self, access: impl FnOnce(&mut T) -> R) -> R {
        access(&mut self.0.borrow_mut())
    }
}

/// The constructor's way into the component, for the list of classes.
pub type Starter = fn(Context) -> Local<'static, Rc<dyn Object>>;

/// A future of the instance's one thread.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + 'a>>;

/// A started object of whatever class.
pub trait Object {
    /// See [`Class::call`].
    fn call<'a>(&'a self, method: &'a str, args: &'a [u8]) -> Local<'a, Vec<u8>>;

    /// See [`Class::fetch`].
    fn fetch(&self, request: Request) -> Local<'_, Response>;

    /// See [`Class::alarm`].
    fn alarm(&self, info: AlarmInfo) -> Local<'_, ()>;

    /// See [`Class::websocket`].
    fn websocket(&self, socket: Socket, event: SocketEvent) -> Local<'_, ()>;

    /// See [`Class::scheduled`].
    fn scheduled(&self, info: ScheduleInfo) -> Local<'_, ()>;
}

struct Live<C: Class>(C::Held);

impl<C: Class> Object for Live<C> {
    fn call<'a>(&'a self, method: &'a str, args: &'a [u8]) -> Local<'a, Vec<u8>> {
        Box::pin(C::call(&self.0, method, args))
    }

    fn fetch(&self, request: Request) -> Local<'_, Response> {
        Box::pin(C::fetch(&self.0, request))
    }

    fn alarm(&self, info: AlarmInfo) -> Local<'_, ()> {
        Box::pin(C::alarm(&self.0, info))
    }

    fn websocket(&self, socket: Socket, event: SocketEvent) -> Local<'_, ()> {
        Box::pin(C::websocket(&self.0, socket, event))
    }

    fn scheduled(&self, info: ScheduleInfo) -> Local<'_, ()> {
        Box::pin(C::scheduled(&self.0, info))
    }
}

/// The name of a class and its constructor, for the list of classes.
pub fn class<C: Class>() -> (&'static str, Starter) {
    (C::NAME, |ctx| {
        Box::pin(async {
            let object: Rc<dyn Object> = Rc::new(Live::<C>(C::start(ctx).await?));
            Ok(object)
        })
    })
}

thread_local! {
    /// The object of this instance. A component has one thread.
    static LIVE: RefCell<Option<Rc<dyn Object>>> = const { RefCell::new(None) };
}

/// Export `lifecycle.start`: makes the object of the class that the host names.
pub async fn start(info: StartInfo, classes: &[(&'static str, Starter)]) -> Result<(), wit::Failure> {
    let Some(ctx) = Context::from_host(info) else {
        return Err(Failure::new("this component has classes and no entry")
            .with_kind(FailureKind::Unsupported)
            .with_code("unsupported")
            .into());
    };
    let wanted = &ctx.identity().class_name;
    let Some((_, starter)) = classes.iter().find(|(name, _)| name == wanted) else {
        let names: Vec<_> = classes.iter().map(|(name, _)| format!("`{name}`")).collect();
        let names = names.join(", ");
        return Err(Failure::new(format!(
            "class `{wanted}` is not exported by this component; it exports {names}"
        ))
        .with_kind(FailureKind::NotFound)
        .with_code("class-not-found")
        .into());
    };
    let object = starter(ctx).await?;
    LIVE.set(Some(object));
    Ok(())
}

/// Export `rpc-handler.call`.
pub async fn call(method: String, args: Vec<u8>) -> Result<Vec<u8>, wit::Failure> {
    Ok(live()?.call(&method, &args).await?)
}

/// Export `http-handler.fetch`.
pub async fn fetch(request: wit_http::Request) -> Result<wit_http::Response, wit::Failure> {
    Ok(live()?.fetch(Request::from_host(request)).await?.into_host())
}

/// Export `alarm-handler.alarm`.
pub async fn alarm(info: wit_alarm::AlarmInfo) -> Result<(), wit::Failure> {
    Ok(live()?.alarm(AlarmInfo::from_host(info)).await?)
}

/// Exports `websocket-handler.websocket-message`, `websocket-close` and `websocket-error`.
pub async fn websocket(socket: u64, event: SocketEvent) -> Result<(), wit::Failure> {
    Ok(live()?.websocket(Socket::from_number(socket), event).await?)
}

/// A message as the host gives it.
pub fn message(message: wit_websocket::Message) -> SocketEvent {
    SocketEvent::Message(Message::from_host(message))
}

/// An error as the host gives it.
pub fn error(failure: wit::Failure) -> SocketEvent {
    SocketEvent::Error(Failure::from_host(failure))
}

/// Export `schedule-handler.scheduled`.
pub async fn scheduled(info: wit_schedule::ScheduleInfo) -> Result<(), wit::Failure> {
    Ok(live()?.scheduled(ScheduleInfo::from_host(info)).await?)
}

fn live() -> Result<Rc<dyn Object>, Failure> {
    LIVE.with_borrow(Clone::clone).ok_or_else(|| {
        Failure::new("an event arrived before the object was started")
            .with_kind(FailureKind::InvalidState)
            .with_code("not-started")
    })
}

/// Makes the component: names the classes that it exports. Once per crate, at its root.
///
/// ```
/// # use durabo::Context;
/// pub struct Counter;
/// pub struct Room;
/// # #[durabo::object] impl Counter { pub fn new(_: Context) -> Self { Self } }
/// # #[durabo::object] impl Room { pub fn new(_: Context) -> Self { Self } }
///
/// durabo::export!(Counter, Room);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export {
    ($($class:ty),+ $(,)?) => {
        $(impl $crate::lifecycle::Exported for $class {})+

        const _: () = {
            use $crate::bindings::durabo::object::{http, types, websocket};
            use $crate::bindings::exports::durabo::object as exports;

            struct Component;

            impl exports::lifecycle::Guest for Component {
                async fn start(info: exports::lifecycle::StartInfo) -> Result<(), types::Failure> {
                    $crate::lifecycle::start(info, &[$($crate::lifecycle::class::<$class>()),+]).await
                }
            }

            impl exports::rpc_handler::Guest for Component {
                async fn call(
                    method: ::std::string::String,
                    args: ::std::vec::Vec<u8>,
                ) -> Result<::std::vec::Vec<u8>, types::Failure> {
                    $crate::lifecycle::call(method, args).await
                }
            }

            impl exports::http_handler::Guest for Component {
                async fn fetch(request: http::Request) -> Result<http::Response, types::Failure> {
                    $crate::lifecycle::fetch(request).await
                }
            }

            impl exports::alarm_handler::Guest for Component {
                async fn alarm(info: exports::alarm_handler::AlarmInfo) -> Result<(), types::Failure> {
                    $crate::lifecycle::alarm(info).await
                }
            }

            impl exports::websocket_handler::Guest for Component {
                async fn websocket_message(
                    socket: u64,
                    message: websocket::Message,
                ) -> Result<(), types::Failure> {
                    $crate::lifecycle::websocket(socket, $crate::lifecycle::message(message)).await
                }

                async fn websocket_close(
                    socket: u64,
                    code: u16,
                    reason: ::std::string::String,
                    was_clean: bool,
                ) -> Result<(), types::Failure> {
                    let close = $crate::Close { code, reason, was_clean };
                    $crate::lifecycle::websocket(socket, $crate::lifecycle::SocketEvent::Close(close)).await
                }

                async fn websocket_error(socket: u64, error: types::Failure) -> Result<(), types::Failure> {
                    $crate::lifecycle::websocket(socket, $crate::lifecycle::error(error)).await
                }
            }

            impl exports::schedule_handler::Guest for Component {
                async fn scheduled(
                    info: exports::schedule_handler::ScheduleInfo,
                ) -> Result<(), types::Failure> {
                    $crate::lifecycle::scheduled(info).await
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::bindings::export_exports!(Component with_types_in $crate::bindings);
        };
    };
}
