//! Whoever waits for an event's outcome at the other end of a connection, and may go away.
//!
//! That it has gone is a hint for the guest and cancels nothing (ST-10): a client that has only shut down
//! its sending side looks the same, and gets its answer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::wakers::Wakers;

/// A client; clones are the same one. By default one that stays.
#[derive(Clone, Default)]
pub struct Client(Option<Arc<Mutex<State>>>);

#[derive(Default)]
struct State {
    is_gone: bool,
    waiting: Wakers,
}

/// Tells connections apart while something of them is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Connection(usize);

impl Client {
    /// A client that may [leave](Self::leave).
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// Its connection, if it has one: the same for clones of this client and for no other, while one of them
    /// is held.
    pub fn connection(&self) -> Option<Connection> {
        self.0.as_ref().map(|state| Connection(Arc::as_ptr(state).addr()))
    }

    /// Says that it seems to have gone.
    pub fn leave(&self) {
        if let Some(mut state) = self.lock() {
            state.is_gone = true;
            state.waiting.wake_all();
        }
    }

    /// Whether it seems to have gone.
    pub fn is_gone(&self) -> bool {
        self.lock().is_some_and(|state| state.is_gone)
    }

    /// Ready when [`is_gone`](Self::is_gone) is true.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut state) = self.lock() else { return Poll::Pending };
        if state.is_gone {
            return Poll::Ready(());
        }
        state.waiting.add(cx.waker());
        Poll::Pending
    }

    /// Forgets a task that [waits](Self::poll_gone) no more.
    pub(crate) fn forget(&self, waker: &Waker) {
        if let Some(mut state) = self.lock() {
            state.waiting.remove(waker);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.lock().is_some_and(|state| !state.waiting.is_empty())
    }

    fn lock(&self) -> Option<MutexGuard<'_, State>> {
        Some(self.0.as_ref()?.lock().expect("BUG: a client's lock is never held over a panic"))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("is_gone", &self.is_gone()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_client_that_leaves_is_noticed_by_all_who_wait() {
        let client = Client::new();
        let gone = || Box::pin(poll_fn(|cx| client.poll_gone(cx)));
        let (mut one, mut other) = (gone(), gone());
        assert!((&mut one).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        client.clone().leave();
        assert!(client.is_gone());
        futures::join!(one, other);
    }

    #[test]
    fn a_client_without_a_connection_stays() {
        let client = Client::default();
        client.leave();
        assert!(!client.is_gone());
    }

    #[tokio::test]
    async fn a_task_that_waits_no_more_is_forgotten() {
        let client = Client::new();
        let waker = futures::task::noop_waker();
        assert!(client.poll_gone(&mut Context::from_waker(&waker)).is_pending());
        client.forget(&waker);
        assert!(!client.is_waited_for());
    }

    #[test]
    fn clones_of_a_client_have_its_connection_and_others_do_not() {
        let [one, other] = [Client::new(), Client::new()];
        assert_eq!(one.connection(), one.clone().connection());
        assert_ne!(one.connection(), other.connection());
        assert_eq!(Client::default().connection(), None);
    }
}
