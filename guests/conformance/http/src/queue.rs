//! A queue of texts between two tasks of the object.
//!
//! What a method puts in, the task of an open event stream takes out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Clones are the same queue.
#[derive(Clone, Default)]
pub struct Queue(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    texts: VecDeque<Option<String>>,
    waiting: Option<Waker>,
}

impl Queue {
    /// Puts a text in; `None` for the end.
    pub fn put(&self, text: Option<String>) {
        let mut inner = self.0.borrow_mut();
        inner.texts.push_back(text);
        if let Some(waker) = inner.waiting.take() {
            waker.wake();
        }
    }

    /// Waits for the next text.
    pub async fn take(&self) -> Option<String> {
        poll_fn(|cx| {
            let mut inner = self.0.borrow_mut();
            match inner.texts.pop_front() {
                Some(text) => Poll::Ready(text),
                None => {
                    inner.waiting = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
