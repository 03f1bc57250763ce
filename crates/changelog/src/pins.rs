//! Which part of the log is still needed, and by which object.
//!
//! An object needs the log from its first commit that its file does not durably hold. Per object only
//! a few positions are kept: where an exact one was dropped, an earlier one answers, which keeps more
//! of the log and never less. All calls are cheap with 100,000 objects.

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
    by_position: BTreeSet<(LogPosition, ObjectKey)>,
}

#[derive(Debug, Default)]
struct Pin {
    /// Ascending. Commits from `0` on, up to the next entry, begin at `1` or later.
    positions: Vec<(Sequence, LogPosition)>,
}

impl Pins {
    /// The commit `sequence` of an object begins at `position`. In log order.
    pub fn appended(&mut self, key: ObjectKey, sequence: Sequence, position: LogPosition) {
        let pin = self.objects.entry(key).or_default();
        if pin.positions.is_empty() {
            self.by_position.insert((position, key));
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
        self.by_position.remove(&(old, key));
        if pin.positions.last().is_none_or(|(last, _)| *last <= through) {
            self.objects.remove(&key);
            return;
        }
        let needed = through.next();
        let keep = pin.positions.partition_point(|(sequence, _)| *sequence <= needed).saturating_sub(1);
        pin.positions.drain(..keep);
        pin.positions[0].0 = needed;
        self.by_position.insert((pin.positions[0].1, key));
    }

    /// The object that needs the oldest part of the log, and from where.
    pub fn oldest(&self) -> Option<(ObjectKey, LogPosition)> {
        self.by_position.first().map(|(position, key)| (*key, *position))
    }

    /// From where an object needs the log, if it does.
    pub fn needed_by(&self, key: &ObjectKey) -> Option<LogPosition> {
        self.objects.get(key)?.positions.first().map(|(_, position)| *position)
    }

    /// Objects that need a part of the log before `position`, and from where, those that need the oldest part
    /// first.
    pub fn holders_before(&self, position: LogPosition) -> impl Iterator<Item = (ObjectKey, LogPosition)> {
        let held = self.by_position.iter().take_while(move |(held, _)| *held < position);
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
        let before = |position: u64| pins.holders_before(LogPosition(position)).collect::<Vec<_>>();
        assert!(before(100).is_empty());
        assert_eq!(before(201), [(key(1), LogPosition(100)), (key(2), LogPosition(200))]);
        assert_eq!(before(200), [(key(1), LogPosition(100))]);
        assert_eq!(pins.needed_by(&key(2)), Some(LogPosition(200)));
        pins.checkpoint_durable(key(1), Sequence(8));
        assert_eq!(pins.oldest(), Some((key(2), LogPosition(200))));
        assert_eq!(pins.needed_by(&key(1)), None);
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
