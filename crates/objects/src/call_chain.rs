//! Call chains: the objects that wait for one another, from the first caller to the present call (ST-12).
//!
//! Each call carries its chain, so that an object knows a call that comes back to it. Such a call must not
//! queue behind others, and is refused at once where it would wait for itself.

use std::sync::Arc;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use durabo_model::object::ObjectKey;
use durabo_model::sequence::Epoch;

use crate::event_id::EventId;
use crate::input_gate::AskedAt;

/// Who made a call, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The object.
    pub key: ObjectKey,
    /// Its instance.
    pub epoch: Epoch,
    /// The event in whose code the call was made; `None` in a constructor, or if it is not known.
    pub event: Option<EventId>,
    /// How many critical sections of the object had opened by then.
    pub asked: AskedAt,
}

/// The callers of a call, one behind the other. Empty for what comes from outside.
#[derive(Debug, Clone, Default)]
pub struct CallChain(Option<Arc<Link>>);

#[derive(Debug)]
struct Link {
    caller: Caller,
    depth: usize,
    before: CallChain,
}

impl CallChain {
    /// The chain of a call that `caller` makes. Fails beyond the depth that a chain may have.
    pub fn then(&self, caller: Caller) -> Result<Self, Failure> {
        let depth = 1 + self.0.as_ref().map_or(0, |last| last.depth);
        if depth > limits::CALL_CHAIN_MAX {
            let text = format!(
                "the call would be the {depth}th of a chain of objects that wait for one another, the limit is \
                 {}; return from some calls before more are made",
                limits::CALL_CHAIN_MAX
            );
            return Err(Failure::new(ErrorCode::CallChainTooDeep, text));
        }
        Ok(Self(Some(Arc::new(Link { caller, depth, before: self.clone() }))))
    }

    /// Who made the last call, if any.
    pub fn last(&self) -> Option<&Caller> {
        self.0.as_ref().map(|link| &link.caller)
    }

    /// The last call that this object made in the chain.
    pub fn last_of(&self, key: &ObjectKey) -> Option<&Caller> {
        let mut at = self.0.as_deref();
        while let Some(link) = at {
            if link.caller.key == *key {
                return Some(&link.caller);
            }
            at = link.before.0.as_deref();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use durabo_model::object::NamespaceNumber;
    use durabo_model::object_id::ObjectId;

    fn caller(number: u8, event: u64) -> Caller {
        let key = ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([number; 32]) };
        Caller { key, epoch: Epoch(1), event: Some(EventId(event)), asked: AskedAt::default() }
    }

    #[test]
    fn the_last_call_of_an_object_is_found_and_those_of_others_are_not() {
        let chain = CallChain::default().then(caller(1, 1)).and_then(|c| c.then(caller(2, 2)));
        let chain = chain.and_then(|c| c.then(caller(1, 3))).expect("short");
        assert_eq!(chain.last_of(&caller(1, 0).key), Some(&caller(1, 3)));
        assert_eq!(chain.last_of(&caller(2, 0).key), Some(&caller(2, 2)));
        assert_eq!(chain.last_of(&caller(3, 0).key), None);
    }

    #[test]
    fn a_chain_ends_at_its_limit_with_a_code_of_its_own() {
        let mut chain = CallChain::default();
        for number in 0..limits::CALL_CHAIN_MAX {
            chain = chain.then(caller(number as u8, 0)).expect("within the limit");
        }
        let refused = chain.then(caller(255, 0)).expect_err("too deep");
        assert_eq!(refused.code, "call-chain-too-deep");
    }
}
