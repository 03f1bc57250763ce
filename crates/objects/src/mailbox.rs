//! Mailbox: the bounded queue of events of one object.
//!
//! Full means refused at once with `overloaded` (ST-7): nothing waits to get in. Both the count and
//! the bytes of waiting events are bounded, so that neither many nor large events can fill memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::ObjectLimits;
use durabo_model::object_id::ObjectId;
use tokio::sync::mpsc;

use crate::event::{Delivery, Work};

/// What waits at present.
#[derive(Debug, Default)]
struct Load {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

/// The end where events are put in.
#[derive(Debug, Clone)]
pub struct Mailbox {
    sender: mpsc::UnboundedSender<Delivery>,
    load: Arc<Load>,
}

/// The end where the object takes them out.
#[derive(Debug)]
pub struct MailboxReceiver {
    receiver: mpsc::UnboundedReceiver<Delivery>,
    /// Taken from the channel to learn that it is there, and still counted as waiting.
    first: Option<Delivery>,
    load: Arc<Load>,
}

/// An empty mailbox.
pub fn mailbox() -> (Mailbox, MailboxReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let load = Arc::new(Load::default());
    (Mailbox { sender, load: load.clone() }, MailboxReceiver { receiver, first: None, load })
}

impl Mailbox {
    /// Puts an event in, or gives it back with the failure that its caller gets.
    pub fn put(
        &self,
        id: ObjectId,
        delivery: Delivery,
        limits: &ObjectLimits,
    ) -> Result<(), (Delivery, Failure)> {
        let events = self.load.events.load(Ordering::Relaxed);
        let bytes = self.load.bytes.load(Ordering::Relaxed);
        let size = delivery.work.bytes();
        let refusal = if events >= limits.mailbox_events_max {
            Some(format!("Too many requests queued: mailbox of object {id} holds {events} events"))
        } else if events > 0 && bytes + size > limits.mailbox_bytes_max {
            Some(format!("Too much data queued: mailbox of object {id} holds {bytes} bytes"))
        } else {
            None
        };
        if let Some(detail) = refusal {
            let text = format!("Durable Object is overloaded. {detail}; retry later");
            return Err((delivery, Failure::new(ErrorCode::Overloaded, text).of_object(id)));
        }
        self.load.events.fetch_add(1, Ordering::Relaxed);
        self.load.bytes.fetch_add(size, Ordering::Relaxed);
        self.sender.send(delivery).map_err(|refused| {
            let text = "the object left memory while the event arrived; retry";
            (refused.0, Failure::new(ErrorCode::Stopping, text).of_object(id))
        })
    }
}

impl MailboxReceiver {
    /// The next event, first in first out. Pending while the mailbox is empty; `None` once nobody can
    /// put anything in any more.
    pub fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        ready!(self.poll_waiting(cx));
        Poll::Ready(self.first.take().inspect(|delivery| self.load.taken(delivery)))
    }

    /// Ready when an event waits, or nobody can put one in any more.
    pub fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.first.is_none() {
            self.first = ready!(self.receiver.poll_recv(cx));
        }
        Poll::Ready(())
    }

    /// Takes an event if one is there.
    pub fn try_take(&mut self) -> Option<Delivery> {
        let delivery = self.first.take().or_else(|| self.receiver.try_recv().ok())?;
        self.load.taken(&delivery);
        Some(delivery)
    }

    /// What was found waiting by [`poll_waiting`](Self::poll_waiting).
    pub fn first(&self) -> Option<&Work> {
        self.first.as_ref().map(|delivery| &delivery.work)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.receiver.is_empty()
    }
}

impl Load {
    fn taken(&self, delivery: &Delivery) {
        self.events.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(delivery.work.bytes(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventId, Work};
    use bytes::Bytes;
    use tokio::sync::oneshot;

    fn delivery(bytes: usize) -> Delivery {
        let event = Event::Rpc { method: String::new(), args: Bytes::from(vec![0; bytes]) };
        Delivery { id: EventId(0), work: Work::Event(event), trace: None, reply: oneshot::channel().0 }
    }

    fn limits() -> ObjectLimits {
        ObjectLimits { mailbox_events_max: 2, mailbox_bytes_max: 10, ..ObjectLimits::default() }
    }

    #[test]
    fn the_event_beyond_the_count_is_refused_as_overloaded() {
        let (mailbox, mut receiver) = mailbox();
        let id = ObjectId::from_bytes([1; 32]);
        assert!(mailbox.put(id, delivery(1), &limits()).is_ok());
        assert!(mailbox.put(id, delivery(1), &limits()).is_ok());
        let (_, failure) = mailbox.put(id, delivery(1), &limits()).expect_err("full");
        assert!(
            failure.flags.overloaded && failure.message.contains("Too many requests queued"),
            "{failure}"
        );
        assert!(receiver.try_take().is_some());
        assert!(mailbox.put(id, delivery(1), &limits()).is_ok());
    }

    #[test]
    fn bytes_are_bounded_but_one_large_event_passes_an_empty_mailbox() {
        let (mailbox, _receiver) = mailbox();
        let id = ObjectId::from_bytes([1; 32]);
        assert!(mailbox.put(id, delivery(100), &limits()).is_ok());
        let (_, failure) = mailbox.put(id, delivery(1), &limits()).expect_err("full");
        assert!(failure.message.contains("Too much data queued"), "{failure}");
    }
}
