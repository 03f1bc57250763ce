//! Something that its owner may hand out for a time, and must not use meanwhile.
//!
//! An object's database goes to another thread for a slow statement. Nothing else of the object runs
//! until it is back, so a use in between is a mistake, and panics instead of doing harm.

use std::ops::{Deref, DerefMut};

const AWAY: &str = "BUG: used while it was lent";

/// A value, or the knowledge that it is lent.
#[derive(Debug)]
pub(crate) struct Lendable<T>(Option<T>);

impl<T> Lendable<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Hands the value out.
    pub(crate) fn lend(&mut self) -> T {
        self.0.take().expect(AWAY)
    }

    /// Takes the value back.
    pub(crate) fn give_back(&mut self, value: T) {
        assert!(self.0.is_none(), "BUG: given back what was not lent");
        self.0 = Some(value);
    }

    pub(crate) fn is_here(&self) -> bool {
        self.0.is_some()
    }
}

impl<T> Deref for Lendable<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect(AWAY)
    }
}

impl<T> DerefMut for Lendable<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect(AWAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lent_is_the_same_when_it_is_back() {
        let mut lendable = Lendable::new(vec![1]);
        let mut lent = lendable.lend();
        assert!(!lendable.is_here());
        lent.push(2);
        lendable.give_back(lent);
        assert!(lendable.is_here());
        assert_eq!(*lendable, [1, 2]);
    }

    #[test]
    #[should_panic(expected = "used while it was lent")]
    fn what_is_lent_cannot_be_used() {
        let mut lendable = Lendable::new(String::new());
        let _lent = lendable.lend();
        lendable.push('a');
    }

    #[test]
    #[should_panic(expected = "used while it was lent")]
    fn what_is_lent_cannot_be_lent_again() {
        let mut lendable = Lendable::new(1);
        lendable.lend();
        lendable.lend();
    }
}
