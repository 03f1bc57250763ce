//! A cell for what an object keeps in memory, in a class that has `async` methods.
//!
//! While an `async` method waits, other events of the object run. So its methods take `&self`, and
//! what they change lives in cells. Access is a closure: a borrow cannot live over an `.await`, and what
//! happens inside the closure happens without anything in between.

use std::cell::RefCell;

/// A value that methods with `&self` may change.
///
/// ```
/// use durabo::State;
///
/// let hits = State::new(0_u32);
/// hits.with(|hits| *hits += 1);
/// assert_eq!(hits.get(), 1);
/// ```
#[derive(Debug, Default)]
pub struct State<T> {
    value: RefCell<T>,
}

impl<T> State<T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        Self { value: RefCell::new(value) }
    }

    /// Runs `access` with the value and returns what it returns.
    ///
    /// Panics if it is called inside the closure of an access to the same cell: two parts of one piece of
    /// code would change the value behind each other's back.
    pub fn with<R>(&self, access: impl FnOnce(&mut T) -> R) -> R {
        match self.value.try_borrow_mut() {
            Ok(mut value) => access(&mut value),
            Err(_) => panic!("`State` is accessed again inside the closure of an access to it"),
        }
    }

    /// A copy of the value.
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.with(|value| value.clone())
    }

    /// Puts `value` in and returns the one before.
    pub fn replace(&self, value: T) -> T {
        self.with(|old| std::mem::replace(old, value))
    }

    /// Takes the value out and leaves the default.
    pub fn take(&self) -> T
    where
        T: Default,
    {
        self.with(std::mem::take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_changes_the_value_and_returns_what_it_likes() {
        let cell = State::new(vec![1]);
        assert_eq!(
            cell.with(|items| {
                items.push(2);
                items.len()
            }),
            2
        );
        assert_eq!(cell.replace(vec![]), [1, 2]);
        assert!(cell.take().is_empty());
    }

    #[test]
    #[should_panic(expected = "accessed again inside the closure")]
    fn access_within_an_access_is_refused_with_its_reason() {
        let cell = State::new(0);
        cell.with(|_| cell.with(|_| ()));
    }
}
