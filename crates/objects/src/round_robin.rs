//! A queue that serves its callers in turn: one thing of each, and within each first in, first out.
//!
//! Whoever comes new stands at the end, so that it waits for one thing of each other at most, however many
//! those have waiting. Bounds are the business of whoever owns the queue.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// What waits, by caller.
#[derive(Debug)]
pub(crate) struct RoundRobin<K, T> {
    /// The callers that have something waiting, in the order in which they are served.
    turns: VecDeque<K>,
    lines: HashMap<K, VecDeque<T>>,
}

impl<K, T> Default for RoundRobin<K, T> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), lines: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash, T> RoundRobin<K, T> {
    /// Puts `thing` behind those of the same caller.
    pub(crate) fn push(&mut self, caller: K, thing: T) {
        let line = self.lines.entry(caller).or_default();
        if line.is_empty() {
            self.turns.push_back(caller);
        }
        line.push_back(thing);
    }

    /// What [`pop`](Self::pop) takes next.
    pub(crate) fn front(&self) -> Option<&T> {
        self.lines.get(self.turns.front()?)?.front()
    }

    /// Takes the first thing of the caller whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let caller = self.turns.pop_front()?;
        let line = self.lines.get_mut(&caller)?;
        let thing = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&caller);
        } else {
            self.turns.push_back(caller);
        }
        thing
    }

    /// How many things wait.
    pub(crate) fn len(&self) -> usize {
        self.lines.values().map(VecDeque::len).sum()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut RoundRobin<char, u32>) -> Vec<u32> {
        std::iter::from_fn(|| {
            let front = queue.front().copied();
            let popped = queue.pop();
            assert_eq!(front, popped);
            popped
        })
        .collect()
    }

    #[test]
    fn things_of_one_caller_come_first_in_first_out() {
        let mut queue = RoundRobin::default();
        (1..5).for_each(|thing| queue.push('a', thing));
        queue.push('b', 5);
        assert_eq!(queue.len(), 5);
        assert_eq!(drain(&mut queue), [1, 5, 2, 3, 4]);
        assert_eq!((queue.is_empty(), queue.len(), queue.lines.len()), (true, 0, 0));
    }

    #[test]
    fn a_flood_of_one_caller_delays_another_by_one_thing() {
        let mut queue = RoundRobin::default();
        (1..100).for_each(|thing| queue.push('a', thing));
        queue.push('b', 1000);
        queue.push('c', 2000);
        queue.push('b', 1001);
        assert_eq!(drain(&mut queue)[..6], [1, 1000, 2000, 2, 1001, 3]);
    }

    #[test]
    fn who_asks_again_after_its_turn_stands_behind_the_others() {
        let mut queue = RoundRobin::default();
        queue.push('a', 1);
        queue.push('b', 2);
        assert_eq!(queue.pop(), Some(1));
        queue.push('a', 3);
        queue.push('c', 4);
        assert_eq!(drain(&mut queue), [2, 3, 4]);
    }
}
