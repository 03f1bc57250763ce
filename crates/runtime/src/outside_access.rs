//! What an instance has of the outside: the way there, its app's rules, and turns for its requests.
//!
//! So many requests of one event wait for the head of their response at once; further ones wait for their
//! turn, first come, first served (LC-14).

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use durabo_model::egress::EgressRules;
use durabo_objects::event::EventId;
use durabo_objects::outside::Outside;
use tokio::sync::Semaphore;

/// The way to the outside.
pub struct OutsideAccess {
    /// Sends requests.
    pub way: Arc<dyn Outside>,
    /// Where they may go.
    pub rules: Arc<EgressRules>,
    at_once_max: usize,
    turns: HashMap<Option<EventId>, Weak<Semaphore>>,
}

impl OutsideAccess {
    /// Requests by `way` to where `rules` allow, `at_once_max` of one event at a time.
    pub fn new(way: Arc<dyn Outside>, rules: Arc<EgressRules>, at_once_max: usize) -> Self {
        Self { way, rules, at_once_max, turns: HashMap::new() }
    }

    /// The turns of an event's requests; those of no event share theirs.
    pub fn turns(&mut self, event: Option<EventId>) -> Arc<Semaphore> {
        if let Some(turns) = self.turns.get(&event).and_then(Weak::upgrade) {
            return turns;
        }
        self.turns.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(self.at_once_max));
        self.turns.insert(event, Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use durabo_model::failure::Failure;
    use durabo_objects::event::{HttpRequest, HttpResponse};
    use durabo_objects::outside::OpenedSocket;
    use futures::future::BoxFuture;

    use super::*;

    struct Nowhere;

    impl Outside for Nowhere {
        fn send(
            &self,
            _: Arc<EgressRules>,
            _: HttpRequest,
        ) -> BoxFuture<'static, Result<HttpResponse, Failure>> {
            Box::pin(std::future::pending())
        }

        fn connect(
            &self,
            _: Arc<EgressRules>,
            _: HttpRequest,
        ) -> BoxFuture<'static, Result<OpenedSocket, Failure>> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn each_event_has_turns_of_its_own_and_forgotten_ones_take_no_room() {
        let mut access = OutsideAccess::new(Arc::new(Nowhere), Arc::default(), 1);
        let one = access.turns(Some(EventId(1)));
        let taken = one.try_acquire().expect("a turn");
        assert!(access.turns(Some(EventId(1))).try_acquire().is_err());
        assert!(access.turns(Some(EventId(2))).try_acquire().is_ok());
        assert!(access.turns(None).try_acquire().is_ok());
        drop(taken);
        assert!(access.turns(Some(EventId(1))).try_acquire().is_ok());
        drop(one);
        for number in 3..100 {
            access.turns(Some(EventId(number)));
        }
        assert!(access.turns.len() <= 1);
    }
}
