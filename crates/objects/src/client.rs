//! Whoever waits for an event's outcome at the other end of a connection, and may go away.
//!
//! That it has gone is a hint for the guest and cancels nothing (ST-10): a client that has only shut down
//! its sending side looks the same, and gets its answer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// A client; clones are the same one. By default one that stays.
#[derive(Clone, Default)]
pub struct Client(Option<Arc<Mutex<State>>>);

#[derive(Default)]
struct State {
    is_gone: bool,
    waiting: Vec<Waker>,
}

impl Client {
    /// A client that may [leave](Self::leave).
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// Says that it seems to have gone.
    pub fn leave(&self) {
        if let Some(mut state) = self.lock() {
            state.is_gone = true;
            state.waiting.drain(..).for_each(Waker::wake);
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
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
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
}
