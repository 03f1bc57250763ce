//! Which part of the log is still needed, and by which object.
//!
//! An object needs the log from its first commit that its file does not durably hold. Per object only
//! a few positions are kept: where an exact one was dropped, an earlier one answers, which keeps more
//! of the log and never less.
//!
//! Who was asked to need it no longer is kept apart from the others, by when that was, so that whoever asks need
//! not search for either. All calls are cheap with 100,000 objects, also if all of them were asked.

use std::collections::{BTreeMap, BTreeSet};

use durabo_model::object::ObjectKey;
use durabo_model::sequence::{LogPosition, Sequence};

use crate::mutation::{Mutation, is_planted};

/// Positions kept per object: the oldest, and the newest few, where a checkpoint will cut.
const POSITIONS_MAX: usize = 8;

/// What every object still needs of the log. Whoever appends reports the records here before anyone
/// may ask for [`Pins::least_needed`] with a head beyond them: keep both under one lock, or pass a
/// head that was read before.
#[derive(Debug, Default)]
pub struct Pins {
    objects: BTreeMap<ObjectKey, Pin>,
    /// Those that were not asked since they need the log from there.
    unasked: BTreeSet<(LogPosition, ObjectKey)>,
    /// The others.
    asked: BTreeSet<(LogPosition, ObjectKey)>,
    /// The same, by when they were asked last.
    by_round: BTreeSet<(u64, LogPosition, ObjectKey)>,
}

#[derive(Debug, Default)]
struct Pin {
    /// Ascending. Commits from `0` on, up to the next entry, begin at `1` or later.
    positions: Vec<(Sequence, LogPosition)>,
    /// When it was asked last, if it was since the first of them is what it is.
    asked_in: Option<u64>,
}

impl Pins {
    /// The commit `sequence` of an object begins at `position`. In log order.
    pub fn appended(&mut self, key: ObjectKey, sequence: Sequence, position: LogPosition) {
        let pin = self.objects.entry(key).or_default();
        if pin.positions.is_empty() {
            self.unasked.insert((position, key));
        }
        pin.positions.push((sequence, position));
        if pin.positions.len() > POSITIONS_MAX {
            pin.positions.remove(1);
        }
    }

    /// The object's file durably holds everything up to the commit `through`, and the checkpoint record
    /// that says so is durable too: the object needs only what came after it.
    pub fn checkpoint_durable(&mut self, key: ObjectKey, through: Sequence) {
        let Some(pin) = self.objects.get_mut(&key) else { return };
        let Some(&(first, old)) = pin.positions.first() else { return };
        if first > through {
            return;
        }
        match pin.asked_in.take() {
            None => self.unasked.remove(&(old, key)),
            Some(round) => self.asked.remove(&(old, key)) && self.by_round.remove(&(round, old, key)),
        };
        if pin.positions.last().is_none_or(|(last, _)| *last <= through) {
            self.objects.remove(&key);
            return;
        }
        let needed = through.next();
        let keep = pin.positions.partition_point(|(sequence, _)| *sequence <= needed).saturating_sub(1);
        pin.positions.drain(..keep);
        pin.positions[0].0 = needed;
        self.unasked.insert((pin.positions[0].1, key));
    }

    /// The object is asked in `round` to need its part of the log no longer; rounds rise.
    pub fn ask(&mut self, key: ObjectKey, round: u64) {
        let Some(pin) = self.objects.get_mut(&key) else { return };
        let Some(&(_, position)) = pin.positions.first() else { return };
        match pin.asked_in.replace(round) {
            None => self.unasked.remove(&(position, key)) && self.asked.insert((position, key)),
            Some(earlier) => self.by_round.remove(&(earlier, position, key)),
        };
        self.by_round.insert((round, position, key));
    }

    /// How many of those that were asked in `round`, the newest, have not done it.
    pub fn asked_in(&self, round: u64) -> usize {
        self.by_round.iter().rev().take_while(|(asked_in, ..)| *asked_in == round).count()
    }

    /// Those that were asked before `round` and have not done it, and from where on they need the log; who waits for
    /// longest comes first, and of these who needs the oldest part.
    pub fn asked_before(&self, round: u64) -> impl Iterator<Item = (ObjectKey, LogPosition)> {
        let earlier = self.by_round.iter().take_while(move |(asked_in, ..)| *asked_in < round);
        earlier.map(|(_, position, key)| (*key, *position))
    }

    /// The object that needs the oldest part of the log, and from where.
    pub fn oldest(&self) -> Option<(ObjectKey, LogPosition)> {
        let oldest = [&self.unasked, &self.asked].into_iter().filter_map(BTreeSet::first).min();
        oldest.map(|(position, key)| (*key, *position))
    }

    /// Objects that need a part of the log before `position` and were not asked, and from where, those that need the
    /// oldest part first.
    pub fn unasked_before(&self, position: LogPosition) -> impl Iterator<Item = (ObjectKey, LogPosition)> {
        let held = self.unasked.iter().take_while(move |(held, _)| *held < position);
        held.map(|(held, key)| (*key, *held))
    }

    /// Position from which the log is needed; `head`, the end of the log, if no object needs it.
    pub fn least_needed(&self, head: LogPosition) -> LogPosition {
        match self.oldest() {
            Some((_, position)) if !is_planted(Mutation::IgnorePins) => position.min(head),
            _ => head,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use durabo_model::object::NamespaceNumber;
    use durabo_model::object_id::ObjectId;

    fn key(number: u32) -> ObjectKey {
        ObjectKey { namespace: NamespaceNumber(number), id: ObjectId::from_bytes([0; 32]) }
    }

    fn append(pins: &mut Pins, number: u32, sequence: u64, position: u64) {
        pins.appended(key(number), Sequence(sequence), LogPosition(position));
    }

    const HEAD: LogPosition = LogPosition(10_000);

    #[test]
    fn the_oldest_unchecked_commit_is_needed() {
        let mut pins = Pins::default();
        assert_eq!(pins.least_needed(HEAD), HEAD);
        append(&mut pins, 1, 7, 100);
        append(&mut pins, 2, 1, 200);
        append(&mut pins, 1, 8, 300);
        assert_eq!(
            (pins.oldest(), pins.least_needed(HEAD)),
            (Some((key(1), LogPosition(100))), LogPosition(100))
        );
        pins.checkpoint_durable(key(1), Sequence(8));
        assert_eq!(pins.oldest(), Some((key(2), LogPosition(200))));
    }

    #[test]
    fn who_was_asked_stands_apart_until_it_needs_a_later_part() {
        let mut pins = Pins::default();
        append(&mut pins, 1, 1, 100);
        append(&mut pins, 2, 1, 200);
        append(&mut pins, 1, 2, 300);
        let numbers = |holders: &mut dyn Iterator<Item = (ObjectKey, LogPosition)>| -> Vec<(u32, u64)> {
            holders.map(|(key, position)| (key.namespace.0, position.0)).collect()
        };
        let unasked = |pins: &Pins, position: u64| numbers(&mut pins.unasked_before(LogPosition(position)));
        let late = |pins: &Pins, round: u64| numbers(&mut pins.asked_before(round));
        assert_eq!(unasked(&pins, 100), []);
        assert_eq!(unasked(&pins, 200), [(1, 100)]);
        assert_eq!(unasked(&pins, 201), [(1, 100), (2, 200)]);
        pins.ask(key(1), 5);
        pins.ask(key(3), 5);
        assert_eq!(unasked(&pins, 1000), [(2, 200)]);
        assert_eq!([4, 5, 6].map(|round| pins.asked_in(round)), [0, 1, 0]);
        assert_eq!((late(&pins, 5), late(&pins, 6)), (vec![], vec![(1, 100)]));
        assert_eq!(pins.least_needed(HEAD), LogPosition(100), "asking is not doing");
        pins.ask(key(2), 6);
        assert_eq!(late(&pins, 7), [(1, 100), (2, 200)]);
        pins.ask(key(1), 7);
        assert_eq!(
            (pins.asked_in(5), late(&pins, 8)),
            (0, vec![(2, 200), (1, 100)]),
            "whoever waits for longest"
        );
        pins.checkpoint_durable(key(1), Sequence(1));
        assert_eq!(unasked(&pins, 1000), [(1, 300)], "this part it was not asked for");
        assert_eq!(late(&pins, 8), [(2, 200)]);
        pins.checkpoint_durable(key(2), Sequence(1));
        pins.checkpoint_durable(key(1), Sequence(2));
        assert_eq!((pins.oldest(), late(&pins, 8), unasked(&pins, 1000)), (None, vec![], vec![]));
    }

    #[test]
    fn commits_after_the_checkpoint_stay_needed() {
        let mut pins = Pins::default();
        append(&mut pins, 1, 1, 100);
        append(&mut pins, 1, 2, 200);
        append(&mut pins, 1, 3, 300);
        pins.checkpoint_durable(key(1), Sequence(1));
        assert_eq!(pins.least_needed(HEAD), LogPosition(200));
        pins.checkpoint_durable(key(1), Sequence(1));
        assert_eq!(pins.least_needed(HEAD), LogPosition(200), "a second report changes nothing");
    }

    #[test]
    fn dropped_positions_are_answered_by_an_earlier_one() {
        for through in 1..=40 {
            let mut pins = Pins::default();
            for sequence in 1..=40 {
                append(&mut pins, 1, sequence, sequence * 10);
            }
            pins.checkpoint_durable(key(1), Sequence(through));
            let needed = pins.least_needed(HEAD);
            match through {
                40 => assert_eq!(needed, HEAD),
                33.. => assert_eq!(needed, LogPosition((through + 1) * 10)),
                _ => assert!(needed <= LogPosition((through + 1) * 10)),
            }
        }
    }

    #[test]
    fn a_hundred_thousand_objects_are_quick() {
        let mut pins = Pins::default();
        for number in 0..100_000 {
            append(&mut pins, number, 1, u64::from(number));
        }
        for number in 0..99_999 {
            assert_eq!(pins.least_needed(LogPosition(1_000_000)), LogPosition(u64::from(number)));
            pins.checkpoint_durable(key(number), Sequence(1));
        }
        assert_eq!(pins.oldest(), Some((key(99_999), LogPosition(99_999))));
    }
}
