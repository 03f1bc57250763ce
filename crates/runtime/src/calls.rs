//! Calls of the host into one instance: constructor and events.
//!
//! Lowers each event into the export that handles it and turns its answer into an outcome. A call
//! that the engine gives up ends the instance; it never leaves an event without an end.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use durabo_model::description::Handler;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::{limits, rpc};
use durabo_objects::context::ObjectContext;
use durabo_objects::event::{
    AlarmAnswer, AlarmInfo, Event, EventId, HttpRequest, Outcome, Reply, ScheduledEntry,
};
use durabo_objects::event_loop::GuestCalls;
use durabo_objects::socket::{Incident, Message, SocketId};
use wasmtime::component::{Accessor, TypedFunc};

use crate::bindings::exports::durabo::object as exports;
use crate::bindings::object::{types, websocket};
use crate::deployed::DeployedClass;
use crate::failure_record;
use crate::http_exchange::{request_to_guest, response_of_guest};
use crate::state::GuestState;

/// Exports of one instance, for those it has.
pub struct InstanceExports {
    pub lifecycle: Option<exports::lifecycle::Guest>,
    pub http: Option<exports::http_handler::Guest>,
    pub rpc: Option<exports::rpc_handler::Guest>,
    pub alarm: Option<exports::alarm_handler::Guest>,
    pub websocket: Option<exports::websocket_handler::Guest>,
    pub schedule: Option<exports::schedule_handler::Guest>,
}

/// What the loop of `objects` needs to run events in one instance.
pub struct InstanceCalls<'a> {
    accessor: &'a Accessor<GuestState>,
    exports: &'a InstanceExports,
    class: &'a DeployedClass,
    broken: Mutex<Broken>,
}

/// A call that could not be made or finished; the instance must not go on.
#[derive(Default)]
struct Broken {
    error: Option<wasmtime::Error>,
    waker: Option<Waker>,
}

impl<'a> InstanceCalls<'a> {
    /// Calls into the instance of `accessor`.
    pub fn new(
        accessor: &'a Accessor<GuestState>,
        exports: &'a InstanceExports,
        class: &'a DeployedClass,
    ) -> Self {
        Self { accessor, exports, class, broken: Mutex::default() }
    }

    /// Resolves when a call broke: the engine refused it, so that it will never return.
    pub async fn broken(&self) -> wasmtime::Error {
        poll_fn(|cx| {
            let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
            match broken.error.take() {
                Some(error) => Poll::Ready(error),
                None => {
                    broken.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Never ready. Whenever it is polled the guest has let go, so that its run of ticks is over.
    pub async fn end_runs(&self) -> Infallible {
        poll_fn(|_| {
            self.accessor.with(|mut access| access.get().hog.end());
            Poll::Pending
        })
        .await
    }

    fn give_up(&self, error: wasmtime::Error) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.error.get_or_insert(error);
        if let Some(waker) = broken.waker.take() {
            waker.wake();
        }
    }

    /// Runs one export to its return. The task is known before it runs, so that its first import
    /// finds the event; the budgets are filled only now, when the event starts in the guest (LC-14).
    async fn run<P, R>(&self, event: Option<EventId>, export: TypedFunc<P, (R,)>, params: P) -> R
    where
        P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower + Send + Sync + 'static,
        R: Send + Sync + 'static,
        (R,): wasmtime::component::ComponentNamedList + wasmtime::component::Lift + Send + Sync + 'static,
    {
        let started = self.accessor.with(|mut access| {
            let call = export.start_call_concurrent(&mut access, params)?;
            let state = access.get();
            state.begin_work();
            if let Some(event) = event {
                state.tasks.started(call.task(), event);
            }
            Ok(call)
        });
        let finished = match started {
            Ok(call) => {
                let task = call.task();
                let finished = export.finish_call_concurrent(self.accessor, call).await;
                self.accessor.with(|mut access| access.get().tasks.returned(task));
                finished
            }
            Err(error) => Err(error),
        };
        let (answer,) = self.or_give_up(finished).await;
        answer
    }

    async fn fetch(&self, id: EventId, request: HttpRequest) -> Outcome {
        let handler = self.exports.http.as_ref().filter(|_| self.handles(Handler::Http));
        let Some(handler) = handler else {
            let text = "Handler does not export a fetch() function.";
            return Err(Failure::new(ErrorCode::HandlerMissing, text));
        };
        let request = self.accessor.with(|access| request_to_guest(access, request));
        let request = self.or_give_up(request).await?;
        let answer = self.run(Some(id), handler.func_fetch(), (request,)).await;
        let response = answer.map_err(failure_record::of_guest)?;
        let response = self.accessor.with(|mut access| {
            let taken = response_of_guest(&mut access, response)?;
            Ok(taken.map(|(response, reader)| {
                if let Some(reader) = reader {
                    access.get().context.watch_reader(id, reader);
                }
                response
            }))
        });
        self.or_give_up(response).await.map(Reply::Fetch)
    }

    /// The value; an error of the engine ends the instance.
    async fn or_give_up<T>(&self, result: wasmtime::Result<T>) -> T {
        match result {
            Ok(value) => value,
            Err(error) => {
                self.give_up(error);
                pending().await
            }
        }
    }

    async fn rpc(&self, id: EventId, method: String, args: Bytes) -> Outcome {
        let handler = self.exports.rpc.as_ref().filter(|_| self.handles(Handler::Rpc));
        let Some(handler) = handler else {
            let text = format!(
                "The receiving Durable Object does not support RPC, because its class `{}` has no methods; it \
                 does not implement the method \"{method}\".",
                self.class.class
            );
            return Err(Failure::new(ErrorCode::MethodNotFound, text));
        };
        let answer = self.run(Some(id), handler.func_call(), (method, args.into())).await;
        let result = answer.map_err(failure_record::of_guest)?;
        if result.len() > limits::RPC_BYTES_MAX {
            let text = rpc::too_large(result.len());
            return Err(Failure::new(ErrorCode::LimitExceeded, text));
        }
        Ok(Reply::Rpc(Bytes::from(result)))
    }

    async fn alarm(&self, id: EventId, info: AlarmInfo) -> Outcome {
        if let Some(ScheduledEntry { name, payload }) = info.entry {
            let (scheduled_time, retry_count) = (info.scheduled_time.0, info.retry_count);
            let is_retry = retry_count > 0;
            let info = exports::schedule_handler::ScheduleInfo {
                name,
                payload,
                scheduled_time,
                retry_count,
                is_retry,
            };
            return self.scheduled(id, info).await;
        }
        let handler = self.exports.alarm.as_ref().filter(|_| self.handles(Handler::Alarm));
        let Some(handler) = handler else {
            let text = "Handler does not export an alarm() function.";
            return Err(Failure::new(ErrorCode::HandlerMissing, text));
        };
        let info = exports::alarm_handler::AlarmInfo {
            scheduled_time: info.scheduled_time.0,
            retry_count: info.retry_count,
            is_retry: info.retry_count > 0,
        };
        let ended: Result<(), types::Failure> = self.run(Some(id), handler.func_alarm(), (info,)).await;
        ended.map_err(failure_record::of_guest)?;
        Ok(Reply::Alarm(AlarmAnswer::Ran))
    }

    /// An event that the class has no handler for is dropped (WS-14).
    async fn socket(&self, id: EventId, SocketId(socket): SocketId, incident: Incident) -> Outcome {
        let handler = self.exports.websocket.as_ref().filter(|_| self.handles(Handler::Websocket));
        let Some(handler) = handler else { return Ok(Reply::Handled) };
        let event = Some(id);
        let handled = match incident {
            Incident::Message(message) => {
                let message = match message {
                    Message::Text(text) => websocket::Message::Text(text),
                    Message::Binary(bytes) => websocket::Message::Binary(bytes),
                };
                self.run(event, handler.func_websocket_message(), (socket, message)).await
            }
            Incident::Close { code, reason, was_clean } => {
                self.run(event, handler.func_websocket_close(), (socket, code, reason, was_clean)).await
            }
            Incident::Error(failure) => {
                let failure = failure_record::to_guest(*failure);
                self.run(event, handler.func_websocket_error(), (socket, failure)).await
            }
        };
        handled.map_err(failure_record::of_guest).map(|()| Reply::Handled)
    }

    async fn scheduled(&self, id: EventId, info: exports::schedule_handler::ScheduleInfo) -> Outcome {
        let handler = self.exports.schedule.as_ref().filter(|_| self.handles(Handler::Schedule));
        let Some(handler) = handler else {
            let text = "Handler does not export a scheduled() function.";
            return Err(Failure::new(ErrorCode::HandlerMissing, text));
        };
        let ended: Result<(), types::Failure> = self.run(Some(id), handler.func_scheduled(), (info,)).await;
        ended.map_err(failure_record::of_guest)?;
        Ok(Reply::Alarm(AlarmAnswer::Ran))
    }

    fn handles(&self, handler: Handler) -> bool {
        self.class.component.class_handles(&self.class.class, handler)
    }
}

impl GuestCalls for InstanceCalls<'_> {
    fn with_context<R>(&self, f: impl FnOnce(&mut ObjectContext) -> R) -> R {
        self.accessor.with(|mut access| f(&mut access.get().context))
    }

    fn apart<R>(&self, f: impl FnOnce(&mut ObjectContext) -> R) -> R {
        self.accessor.with(|mut access| {
            let state = access.get();
            let _paused = state.meter.pause();
            f(&mut state.context)
        })
    }

    async fn construct(&self) -> Result<(), Failure> {
        let Some(lifecycle) = &self.exports.lifecycle else { return Ok(()) };
        let object = self.accessor.with(|mut access| access.get().object_info());
        let info = exports::lifecycle::StartInfo { object: Some(object), deployment: self.class.deployment };
        let started: Result<(), types::Failure> = self.run(None, lifecycle.func_start(), (info,)).await;
        started.map_err(failure_record::of_guest)
    }

    async fn call(&self, id: EventId, event: Event) -> Outcome {
        match event {
            Event::Fetch(request) => self.fetch(id, request).await,
            Event::Rpc { method, args } => self.rpc(id, method, args).await,
            Event::Alarm(info) => self.alarm(id, info).await,
            Event::Socket(socket, incident) => self.socket(id, socket, incident).await,
        }
    }

    fn poll_quiet(&self, cx: &mut Context<'_>) -> Poll<()> {
        let quiet = self.accessor.poll_no_interesting_tasks(cx);
        if quiet.is_ready() {
            self.accessor.with(|mut access| access.get().tasks.quiet());
        }
        quiet
    }
}
