//! What the keys of an object must be: a plain map, made by the turns that its numbers say have been committed.
//!
//! Each turn writes a number first, so that the numbers that an object holds are its history.

use std::collections::BTreeMap;

use durabo_changelog::seeded::Seeded;

use crate::act::{Act, Shown};

/// Keys that turns use; few, so that they meet.
const KEYS: u64 = 12;

/// What the turns of a run do to keys.
#[derive(Debug, Default)]
pub struct KeysModel {
    turns: BTreeMap<u64, Vec<Act>>,
}

impl KeysModel {
    /// Acts of the turn that writes `number`: puts, deletes, wipes.
    pub fn turn(&mut self, number: u64, random: &mut Seeded) -> Vec<Act> {
        let acts: Vec<Act> = (0..random.below(4))
            .map(|_| match random.below(10) {
                0..=5 => Act::Put(random.below(KEYS), random.draw()),
                6 | 7 => Act::Delete(random.below(KEYS)),
                _ => Act::Wipe,
            })
            .collect();
        self.turns.insert(number, acts.clone());
        acts
    }

    /// Checks that an object with these numbers holds the keys that their turns have left, and no others.
    pub fn check(&self, object: u64, shown: &Shown) -> Result<(), String> {
        let mut map = BTreeMap::new();
        for act in shown.numbers.iter().filter_map(|number| self.turns.get(number)).flatten() {
            match act {
                Act::Put(key, value) => drop(map.insert(*key, *value)),
                Act::Delete(key) => drop(map.remove(key)),
                _ => map.clear(),
            }
        }
        if map == shown.keys {
            return Ok(());
        }
        Err(format!("object {object} holds {:?} and should hold {map:?}", shown.keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_should_not_be_there_are_noticed_and_those_that_are_missing_too() {
        let mut model = KeysModel::default();
        model.turns.insert(1, vec![Act::Put(1, 10), Act::Put(2, 20), Act::Delete(2)]);
        model.turns.insert(2, vec![Act::Wipe, Act::Put(3, 30)]);
        let holds = |numbers: &[u64], keys: &[(u64, u64)]| {
            let shown = Shown { numbers: numbers.to_vec(), keys: keys.iter().copied().collect() };
            model.check(0, &shown).is_ok()
        };
        assert!(holds(&[1], &[(1, 10)]));
        assert!(!holds(&[1], &[(1, 10), (2, 20)]));
        assert!(holds(&[1, 2], &[(3, 30)]));
        assert!(!holds(&[1, 2], &[(1, 10), (3, 30)]));
        assert!(!holds(&[1, 2], &[]));
    }
}
