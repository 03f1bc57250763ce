//! What operators who watch are told of the object's events.
//!
//! While nobody watches this is a look at one number.

use durabo_model::failure::Failure;

use super::ObjectContext;
use crate::event::{Event, EventId};
use crate::tail::{Begun, Happened, Told};

impl ObjectContext {
    /// To be called when an event begins.
    pub(super) fn begun(&self, event: &Event) -> Option<Box<Begun>> {
        self.node.tail.is_watched().then(|| Box::new(Begun::now(event)))
    }

    /// To be called when its handler has returned, or with the failure that ended it.
    pub(super) fn tell_handled(&self, id: EventId, begun: Option<Box<Begun>>, failure: Option<&Failure>) {
        if let Some(begun) = begun {
            self.tell(begun.ended(id, failure));
        }
    }

    fn tell(&self, what: Happened) {
        let identity = &self.identity;
        self.node.tail.tell(&Told {
            at: self.node.clock.now(),
            object: identity.key,
            class: identity.class.clone(),
            name: identity.name.clone(),
            what,
        });
    }
}
