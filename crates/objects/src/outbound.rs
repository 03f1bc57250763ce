//! Calls from object to object: a stub is one line of calls to one object.
//!
//! Calls leave through the caller's output gate, in order; a stub puts them into the mailbox of its object
//! in that order, also when the object has to wait for a place in memory (ST-2). A stub whose object was
//! reset is broken (ST-3).
//!
//! How a mailbox is reached is the business of whoever implements [`Post`]: the directory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use durabo_model::failure::Failure;
use futures::future::BoxFuture;

use crate::address::ObjectAddress;
use crate::event::Delivery;
use crate::life::Life;
use crate::unfinished::{CallBytes, ImportUnderWay};

/// Why a call was not put into a mailbox.
#[derive(Debug)]
pub enum Undelivered {
    /// Its object is not in memory, and no place is free for it.
    NoPlace(Delivery),
    /// Its caller gets this.
    Refused(Delivery, Failure),
}

/// Brings calls to the mailboxes of objects, wherever these live.
pub trait Post: Send + Sync + 'static {
    /// Puts a call into the mailbox of its object, without waiting. Returns the life of the object.
    fn put(&self, to: &ObjectAddress, delivery: Delivery) -> Result<Arc<Life>, Undelivered>;

    /// As [`put`](Self::put), but waits for a place in memory.
    fn put_in_place<'a>(
        &'a self,
        to: &'a ObjectAddress,
        delivery: Delivery,
    ) -> BoxFuture<'a, Result<Arc<Life>, (Delivery, Failure)>>;

    /// Runs a task beside those of objects.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// What counts for its caller until a call is in the mailbox of its object.
pub(crate) struct OnItsWay {
    pub _import: Arc<ImportUnderWay>,
    pub _bytes: CallBytes,
}

/// A way to one object. Clones are the same stub.
#[derive(Clone)]
pub struct Stub(Arc<Line>);

struct Line {
    to: ObjectAddress,
    post: Arc<dyn Post>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Delivery, OnItsWay)>,
    /// Somebody is putting what is queued into the mailbox.
    is_moving: bool,
    life: Option<Arc<Life>>,
}

impl fmt::Debug for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stub").field(&self.0.to).finish()
    }
}

impl Stub {
    /// A stub for an object. Nothing is called or started (ID-10).
    pub(crate) fn new(to: ObjectAddress, post: Arc<dyn Post>) -> Self {
        Self(Arc::new(Line { to, post, state: Mutex::default() }))
    }

    /// Where its calls go.
    pub fn address(&self) -> &ObjectAddress {
        &self.0.to
    }

    /// Sends a call, behind those sent before. The caller's gate has let it out.
    pub(crate) fn send(&self, delivery: Delivery, on_its_way: OnItsWay) {
        let mut state = self.0.lock();
        state.queue.push_back((delivery, on_its_way));
        if !std::mem::replace(&mut state.is_moving, true) {
            drop(state);
            self.0.clone().move_on();
        }
    }
}

impl Line {
    /// Puts what is queued into the mailbox, one after the other.
    fn move_on(self: Arc<Self>) {
        while let Some((delivery, on_its_way)) = self.next() {
            if let Some(failure) = self.broken() {
                delivery.refuse(failure);
                continue;
            }
            match self.post.put(&self.to, delivery) {
                Ok(life) => self.lock().life = Some(life),
                Err(Undelivered::Refused(delivery, failure)) => delivery.refuse(failure),
                Err(Undelivered::NoPlace(delivery)) => {
                    let post = self.post.clone();
                    return post.spawn(Box::pin(self.wait_for_place(delivery, on_its_way)));
                }
            }
        }
    }

    async fn wait_for_place(self: Arc<Self>, delivery: Delivery, _on_its_way: OnItsWay) {
        match self.post.put_in_place(&self.to, delivery).await {
            Ok(life) => self.lock().life = Some(life),
            Err((delivery, failure)) => {
                // Those behind it have waited as well; each of them waiting again would add up.
                let behind = std::mem::take(&mut self.lock().queue);
                delivery.refuse(failure.clone());
                behind.into_iter().for_each(|(delivery, _)| delivery.refuse(failure.clone()));
            }
        }
        self.move_on();
    }

    fn next(&self) -> Option<(Delivery, OnItsWay)> {
        let mut state = self.lock();
        let next = state.queue.pop_front();
        state.is_moving = next.is_some();
        next
    }

    fn broken(&self) -> Option<Failure> {
        self.lock().life.as_ref()?.ended().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("BUG: a stub's lock is never held over a panic")
    }
}

#[cfg(test)]
mod tests;
