//! What operators who watch are told of the object's events.
//!
//! While nobody watches the object, nothing is made.

use durabo_model::failure::Failure;
use durabo_model::object::ObjectIdentity;

use super::ObjectContext;
use crate::event::{Event, EventId};
use crate::tail::{Begun, Told};

impl ObjectContext {
    /// To be called when an event begins.
    pub(super) fn begun(&self, event: &Event) -> Option<Box<Begun>> {
        self.node.tail.is_watched(&self.identity.key).then(|| Box::new(Begun::now(event)))
    }

    /// To be called when its handler has returned, or with the failure that ended it.
    pub(super) fn tell_handled(&self, id: EventId, begun: Option<Box<Begun>>, failure: Option<&Failure>) {
        let Some(begun) = begun else { return };
        let ObjectIdentity { key, class, name, .. } = &self.identity;
        self.node.tail.tell(key, || Told {
            at: self.node.clock.now(),
            object: *key,
            class: class.clone(),
            name: name.clone(),
            what: begun.ended(id, failure),
        });
    }
}
