//! Other objects: their ids, and calls to them (rules ID, ST, RP).
//!
//! Without a manifest every class of the app is bound as a namespace under its own name. Calls through one
//! stub arrive in the order in which they were made, whether awaited or not; two stubs have no mutual
//! order (ST-2). A class that is marked `#[durabo::object(stub = …)]` has a typed stub besides.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::argument;
use crate::bindings::durabo::object::stub as wit;
use crate::failure::Failure;
use crate::http::{Request, Response};
use crate::rpc;

/// CBOR of `()`, and of an array without items.
const UNIT: &[u8] = &[0xf6];
const NO_ARGUMENTS: &[u8] = &[0x80];

/// A class whose objects can be reached, by the name of its binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    binding: String,
}

impl Namespace {
    /// The namespace that the deployment binds under this name. An unknown one fails at its first use, with
    /// code `binding-not-found`.
    pub fn new(binding: impl Into<String>) -> Self {
        Self { binding: binding.into() }
    }

    /// The id that belongs to a name: any text, compared by bytes (ID-4).
    pub fn id_from_name(&self, name: &str) -> Result<String, Failure> {
        wit::id_from_name(&self.binding, name).map_err(Failure::from_host)
    }

    /// Checks an id's text and returns it in lower case (ID-6).
    pub fn id_from_text(&self, text: &str) -> Result<String, Failure> {
        wit::id_from_text(&self.binding, text).map_err(Failure::from_host)
    }

    /// A new id that no other is equal to (ID-5).
    pub fn unique_id(&self) -> Result<String, Failure> {
        wit::unique_id(&self.binding).map_err(Failure::from_host)
    }

    /// The object of that id. No call is made. An id of another namespace is refused (ID-11).
    pub fn get(&self, id: &str) -> Result<Stub, Failure> {
        wit::Stub::get(&self.binding, id).map(Stub::from_host).map_err(Failure::from_host)
    }

    /// The object of that name, which will know it (ID-9).
    pub fn get_by_name(&self, name: &str) -> Result<Stub, Failure> {
        wit::Stub::get_by_name(&self.binding, name).map(Stub::from_host).map_err(Failure::from_host)
    }
}

/// A way to one object. After the object was reset the stub is broken: get a new one (ST-3). Clones are the
/// same stub.
#[derive(Debug, Clone)]
pub struct Stub {
    handle: std::rc::Rc<wit::Stub>,
}

impl Stub {
    fn from_host(handle: wit::Stub) -> Self {
        Self { handle: handle.into() }
    }

    /// Its id.
    pub fn id(&self) -> String {
        self.handle.id()
    }

    /// The name, if the stub was made from one.
    pub fn name(&self) -> Option<String> {
        self.handle.name()
    }

    /// Calls a method, now: `args` is a tuple of the arguments, `()` for none. Await what is returned for the
    /// result. Dropping it makes the call all the same and does not stop the callee (ST-10).
    ///
    /// The call leaves once what was written before it is durable (OG-3). Arguments and result are 32 MiB at
    /// most each (RP-6).
    pub fn call<R: DeserializeOwned>(&self, method: &str, args: impl Serialize) -> Call<R> {
        let (handle, method) = (self.handle.clone(), method.to_owned());
        let encoded = rpc::encode(&args);
        Call::begin(async move {
            let mut args = encoded?;
            if args == UNIT {
                args = NO_ARGUMENTS.to_vec();
            }
            handle.call(method, args).await.map_err(Failure::from_host)
        })
    }

    /// Sends a request to the object's `fetch`, unchanged, and returns its response (ST-4, ST-13).
    pub async fn fetch(&self, request: Request) -> Result<Response, Failure> {
        let response = self.handle.fetch(request.into_host()).await.map_err(Failure::from_host)?;
        Ok(Response::from_host(response))
    }
}

/// A call that was made; a future of its result.
#[must_use = "the call is made; await it for its result, or drop it"]
pub struct Call<R> {
    state: State,
    result: PhantomData<fn() -> R>,
}

enum State {
    UnderWay(Pin<Box<dyn Future<Output = Result<Vec<u8>, Failure>>>>),
    Answered(Option<Result<Vec<u8>, Failure>>),
}

impl<R> Call<R> {
    /// Makes the call: the host is asked when the future is polled first.
    fn begin(call: impl Future<Output = Result<Vec<u8>, Failure>> + 'static) -> Self {
        let mut call = Box::pin(call);
        let state = match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => State::Answered(Some(answer)),
            Poll::Pending => State::UnderWay(call),
        };
        Self { state, result: PhantomData }
    }
}

impl<R: DeserializeOwned> Future for Call<R> {
    type Output = Result<R, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.state {
            State::UnderWay(call) => std::task::ready!(call.as_mut().poll(cx)),
            State::Answered(answer) => answer.take().expect("a call is not awaited again"),
        };
        self.state = State::Answered(None);
        Poll::Ready(answer.and_then(|bytes| {
            argument::read(&mut &bytes[..])
                .map_err(|text| Failure::invalid_argument(format!("the result of the call: {text}")))
        }))
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}
