//! Mailbox: the bounded queue of events of one object.
//!
//! Full means refused at once with `overloaded` (ST-7): nothing waits to get in. Both the count and
//! the bytes of waiting events are bounded, so that neither many nor large events can fill memory.
//!
//! Calls that come back to the object, since it stands in their chain, have a lane of their own: the
//! object waits for them, so others must not fill their way (ST-12).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::ObjectLimits;
use durabo_model::object::ObjectKey;
use tokio::sync::mpsc;

use crate::event::Delivery;

/// What waits at present.
#[derive(Debug, Default)]
struct Load {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

/// The end where events are put in.
#[derive(Debug, Clone)]
pub struct Mailbox {
    events: Lane,
    returning: Lane,
}

#[derive(Debug, Clone)]
struct Lane {
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
    returning_receiver: mpsc::UnboundedReceiver<Delivery>,
    /// As `first`, but all that there are.
    returning: VecDeque<Delivery>,
    returning_load: Arc<Load>,
}

/// An empty mailbox.
pub fn mailbox() -> (Mailbox, MailboxReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (returning_sender, returning_receiver) = mpsc::unbounded_channel();
    let (load, returning_load) = (Arc::new(Load::default()), Arc::new(Load::default()));
    let mailbox = Mailbox {
        events: Lane { sender, load: load.clone() },
        returning: Lane { sender: returning_sender, load: returning_load.clone() },
    };
    let receiver = MailboxReceiver {
        receiver,
        first: None,
        load,
        returning_receiver,
        returning: VecDeque::new(),
        returning_load,
    };
    (mailbox, receiver)
}

impl Mailbox {
    /// Puts an event for the object `key` in, or gives it back with the failure that its caller gets.
    pub fn put(
        &self,
        key: &ObjectKey,
        delivery: Delivery,
        limits: &ObjectLimits,
    ) -> Result<(), (Delivery, Failure)> {
        let lane = if delivery.origin.chain.last_of(key).is_some() { &self.returning } else { &self.events };
        lane.put(key, delivery, limits)
    }
}

impl Lane {
    fn put(
        &self,
        key: &ObjectKey,
        delivery: Delivery,
        limits: &ObjectLimits,
    ) -> Result<(), (Delivery, Failure)> {
        let id = key.id;
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
        ready!(self.poll_first(cx));
        Poll::Ready(self.first.take().inspect(|delivery| self.load.taken(delivery)))
    }

    /// Calls that came back and wait here, to be taken out in any order. Whoever takes one out of the queue
    /// says so by [`taken_back`](Self::taken_back).
    pub fn poll_returning(&mut self, cx: &mut Context<'_>) -> &mut VecDeque<Delivery> {
        while let Poll::Ready(Some(delivery)) = self.returning_receiver.poll_recv(cx) {
            self.returning.push_back(delivery);
        }
        &mut self.returning
    }

    /// Says that this call was taken out of [`poll_returning`](Self::poll_returning).
    pub fn taken_back(&self, delivery: &Delivery) {
        self.returning_load.taken(delivery);
    }

    /// Ready when an event waits, or nobody can put one in any more.
    pub fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let returns = !self.poll_returning(cx).is_empty();
        match self.poll_first(cx) {
            Poll::Pending if returns => Poll::Ready(()),
            first => first,
        }
    }

    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.first.is_none() {
            self.first = ready!(self.receiver.poll_recv(cx));
        }
        Poll::Ready(())
    }

    /// Takes an event if one is there.
    pub fn try_take(&mut self) -> Option<Delivery> {
        if let Some(delivery) = self.first.take().or_else(|| self.receiver.try_recv().ok()) {
            self.load.taken(&delivery);
            return Some(delivery);
        }
        let delivery = self.returning.pop_front().or_else(|| self.returning_receiver.try_recv().ok())?;
        self.returning_load.taken(&delivery);
        Some(delivery)
    }

    /// What was found waiting by [`poll_waiting`](Self::poll_waiting).
    pub fn first(&self) -> Option<&Delivery> {
        self.first.as_ref().or(self.returning.front())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
            && self.receiver.is_empty()
            && self.returning.is_empty()
            && self.returning_receiver.is_empty()
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
    use crate::call_chain::{CallChain, Caller};
    use crate::event::{Event, EventId, Origin, Work};
    use bytes::Bytes;
    use durabo_model::object::NamespaceNumber;
    use durabo_model::object_id::ObjectId;
    use durabo_model::sequence::Epoch;
    use tokio::sync::oneshot;

    fn key() -> ObjectKey {
        ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([1; 32]) }
    }

    fn delivery(bytes: usize) -> Delivery {
        let event = Event::Rpc { method: String::new(), args: Bytes::from(vec![0; bytes]) };
        let (work, origin) = (Work::Event(event), Origin::default());
        Delivery { id: EventId(0), work, origin, reply: oneshot::channel().0 }
    }

    fn limits() -> ObjectLimits {
        ObjectLimits { mailbox_events_max: 2, mailbox_bytes_max: 10, ..ObjectLimits::default() }
    }

    #[test]
    fn the_event_beyond_the_count_is_refused_as_overloaded() {
        let (mailbox, mut receiver) = mailbox();
        assert!(mailbox.put(&key(), delivery(1), &limits()).is_ok());
        assert!(mailbox.put(&key(), delivery(1), &limits()).is_ok());
        let (_, failure) = mailbox.put(&key(), delivery(1), &limits()).expect_err("full");
        assert!(
            failure.flags.overloaded && failure.message.contains("Too many requests queued"),
            "{failure}"
        );
        assert!(receiver.try_take().is_some());
        assert!(mailbox.put(&key(), delivery(1), &limits()).is_ok());
    }

    #[test]
    fn bytes_are_bounded_but_one_large_event_passes_an_empty_mailbox() {
        let (mailbox, _receiver) = mailbox();
        assert!(mailbox.put(&key(), delivery(100), &limits()).is_ok());
        let (_, failure) = mailbox.put(&key(), delivery(1), &limits()).expect_err("full");
        assert!(failure.message.contains("Too much data queued"), "{failure}");
    }

    #[test]
    fn a_call_that_comes_back_passes_a_full_mailbox_and_has_a_bound_of_its_own() {
        let (mailbox, mut receiver) = mailbox();
        let caller = Caller { key: key(), epoch: Epoch(1), event: None, asked: Default::default() };
        let chain = CallChain::default().then(caller).expect("short");
        let returning =
            || Delivery { origin: Origin { chain: chain.clone(), ..Origin::default() }, ..delivery(1) };
        assert!(mailbox.put(&key(), delivery(1), &limits()).is_ok());
        assert!(mailbox.put(&key(), delivery(1), &limits()).is_ok());
        assert!(mailbox.put(&key(), delivery(1), &limits()).is_err());
        assert!(mailbox.put(&key(), returning(), &limits()).is_ok());
        assert!(mailbox.put(&key(), returning(), &limits()).is_ok());
        assert!(mailbox.put(&key(), returning(), &limits()).is_err());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let taken = receiver.poll_returning(&mut cx).pop_front().expect("came back");
        receiver.taken_back(&taken);
        assert!(mailbox.put(&key(), returning(), &limits()).is_ok());
        let mut left = 0;
        while receiver.try_take().is_some() {
            left += 1;
        }
        assert!(left == 4 && receiver.is_empty());
    }
}
