//! Runs guest code the way a component engine does, without WebAssembly.
//!
//! The loop is: poll the closure that `objects` gave, poll the host's futures, run one piece of guest code,
//! again. A piece of guest code runs to its next wait; when it is stopped in its midst, nothing else of
//! the instance runs until it goes on. An import is polled once when it is asked for, with a waker that
//! means nothing, and by the loop from then on.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use durabo_model::failure::Failure;
use durabo_objects::context::ObjectContext;
use durabo_objects::guest::GuestExit;
use futures::future::{AbortHandle, BoxFuture, abortable};
use futures::stream::{FuturesUnordered, StreamExt};

/// Number of a piece of guest code that waits or runs.
type TaskId = u64;

/// One instance.
pub struct Engine {
    /// Taken out only when the instance is dropped.
    context: Mutex<Option<Box<ObjectContext>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tasks: HashMap<TaskId, BoxFuture<'static, ()>>,
    next_task: TaskId,
    /// May go on, in this order.
    ready: VecDeque<TaskId>,
    imports: FuturesUnordered<BoxFuture<'static, TaskId>>,
    /// Whose code runs now, or was stopped in its midst.
    running: Option<TaskId>,
    is_stopped: bool,
    /// Handles of the host that the guest keeps.
    kept: Vec<Box<dyn Any + Send>>,
    ended: Option<Failure>,
}

impl Engine {
    /// An instance for the object of `context`.
    pub fn new(context: Box<ObjectContext>) -> Self {
        Self { context: Mutex::new(Some(context)), state: Mutex::default() }
    }

    /// Gives access to the context.
    pub fn with_context<R>(&self, f: impl FnOnce(&mut ObjectContext) -> R) -> R {
        f(self.context.lock().expect("unpoisoned").as_mut().expect("lives"))
    }

    /// Takes the instance apart.
    pub fn into_context(&self) -> Box<ObjectContext> {
        *self.state() = State::default();
        self.context.lock().expect("unpoisoned").take().expect("one owner")
    }

    /// Keeps something for as long as the instance lives.
    pub fn keep(&self, handles: impl Any + Send) {
        self.state().kept.push(Box::new(handles));
    }

    /// Starts guest code.
    pub fn spawn(&self, code: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state();
        let task = state.next_task;
        state.next_task += 1;
        state.tasks.insert(task, Box::pin(code));
        state.ready.push_back(task);
    }

    /// Whether no guest code is left.
    pub fn is_quiet(&self) -> bool {
        self.state().tasks.is_empty()
    }

    /// Ends the instance with `failure`. The code that calls this must not go on.
    pub fn end(&self, failure: Failure) {
        self.state().ended.get_or_insert(failure);
    }

    /// Asks the host for something, from guest code: it is polled now.
    pub fn import<T: Send + 'static>(&self, what: impl Future<Output = T> + Send + 'static) -> Asked<T> {
        let task = self.state().running.expect("guest code asks");
        let result = Arc::new(Mutex::new(None));
        let slot = result.clone();
        let (what, give_up) = abortable(what);
        let mut future: BoxFuture<'static, TaskId> = Box::pin(async move {
            let value = what.await.ok();
            *slot.lock().expect("unpoisoned") = value;
            task
        });
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.state().imports.push(future);
        }
        Asked { result, give_up }
    }

    /// Stops the guest code that calls this in its midst, once.
    pub async fn stop_in_midst(&self) {
        let mut stopped = false;
        poll_fn(|_| {
            if std::mem::replace(&mut stopped, true) {
                return Poll::Ready(());
            }
            self.state().is_stopped = true;
            Poll::Pending
        })
        .await;
    }

    /// Runs the loop over `closure`.
    pub async fn run(&self, closure: impl Future<Output = GuestExit>) -> GuestExit {
        let mut closure = Box::pin(closure);
        poll_fn(|cx| self.turn(cx, closure.as_mut())).await
    }

    fn turn(
        &self,
        cx: &mut Context<'_>,
        mut closure: Pin<&mut impl Future<Output = GuestExit>>,
    ) -> Poll<GuestExit> {
        loop {
            if !self.state().is_stopped {
                if let Poll::Ready(exit) = closure.as_mut().poll(cx) {
                    return Poll::Ready(exit);
                }
                self.poll_imports(cx);
                let next = self.state().ready.pop_front();
                let Some(next) = next else { return Poll::Pending };
                self.state().running = Some(next);
            }
            self.run_piece();
            if let Some(failure) = self.state().ended.clone() {
                return Poll::Ready(GuestExit::Reset(failure));
            }
            if self.state().is_stopped {
                self.with_context(|context| context.note_suspension());
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn poll_imports(&self, cx: &mut Context<'_>) {
        let mut imports = std::mem::take(&mut self.state().imports);
        while let Poll::Ready(Some(task)) = imports.poll_next_unpin(cx) {
            self.state().ready.push_back(task);
        }
        self.state().imports = imports;
    }

    fn run_piece(&self) {
        let (task, code) = {
            let mut state = self.state();
            state.is_stopped = false;
            let task = state.running.expect("chosen");
            (task, state.tasks.remove(&task))
        };
        // It may have ended while something it had asked for was still under way.
        let Some(mut code) = code else { return };
        let polled = code.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let mut state = self.state();
        if polled.is_pending() {
            state.tasks.insert(task, code);
        }
        if !state.is_stopped {
            state.running = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("unpoisoned")
    }
}

/// Something that the host was asked for. Waiting for it lets other guest code run; dropping it drops the
/// host's future too.
pub struct Asked<T> {
    result: Arc<Mutex<Option<T>>>,
    give_up: AbortHandle,
}

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        self.give_up.abort();
    }
}

impl<T> Future for Asked<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<T> {
        // The loop makes the task ready when the result is there.
        self.result.lock().expect("unpoisoned").take().map_or(Poll::Pending, Poll::Ready)
    }
}
