//! Random calls on keys and values against an ordered map of bytes (KV-6 to KV-9, B-15).
//!
//! The model knows nothing of ranges: it looks at every key and says whether the options let it pass.

use std::collections::BTreeMap;

use durabo_changelog::seeded::Seeded;

use super::*;
use crate::kv::{Encoding, KvEntry, KvValue, KvWriteOptions, ListOptions};

const LETTERS: [char; 17] = [
    ' ',
    '!',
    ',',
    '/',
    'Z',
    'a',
    'é',
    'ł',
    'Ж',
    '日',
    '\u{d7ff}',
    '\u{e000}',
    '\u{ff3a}',
    '\u{1d655}',
    '\0',
    '\u{7f}',
    '\u{10ffff}',
];

type Model = BTreeMap<Vec<u8>, KvValue>;

struct Draw(Seeded);

impl Draw {
    /// Short ones mostly, so that keys meet.
    fn text(&mut self) -> String {
        let longest = if self.0.chance(80) { 3 } else { 20 };
        (0..self.0.below(longest + 1)).map(|_| LETTERS[self.0.below(LETTERS.len() as u64) as usize]).collect()
    }

    fn texts(&mut self) -> Vec<String> {
        (0..self.0.below(6)).map(|_| self.text()).collect()
    }

    fn maybe(&mut self) -> Option<String> {
        self.0.chance(40).then(|| self.text())
    }

    fn value(&mut self) -> KvValue {
        let encoding = Encoding::ALL[self.0.below(5) as usize];
        KvValue { encoding, data: (0..self.0.below(20)).map(|_| self.0.draw() as u8).collect() }
    }

    fn options(&mut self) -> ListOptions {
        let (start, start_after) =
            if self.0.chance(50) { (self.maybe(), None) } else { (None, self.maybe()) };
        ListOptions {
            prefix: self.maybe(),
            start,
            start_after,
            end: self.maybe(),
            reverse: self.0.chance(50),
            limit: self.0.chance(40).then(|| 1 + self.0.below(8) as u32),
        }
    }
}

fn listed(model: &Model, options: &ListOptions) -> Vec<KvEntry> {
    let passes = |key: &[u8]| {
        options.prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix.as_bytes()))
            && options.start.as_ref().is_none_or(|start| key >= start.as_bytes())
            && options.start_after.as_ref().is_none_or(|start| key > start.as_bytes())
            && options.end.as_ref().is_none_or(|end| key < end.as_bytes())
    };
    let mut passing: Vec<_> = model.iter().filter(|(key, _)| passes(key)).collect();
    if options.reverse {
        passing.reverse();
    }
    passing.truncate(options.limit.map_or(usize::MAX, |limit| limit as usize));
    let text = |key: &[u8]| String::from_utf8(key.to_owned()).expect("a key");
    passing.into_iter().map(|(key, value)| (text(key), value.clone())).collect()
}

#[test]
fn b_15_random_keys_and_options_give_what_a_map_ordered_by_bytes_gives() {
    let (mut f, mut draw, mut compared, mut wipes) = (fixture(), Draw(Seeded::new(15)), 0, 0);
    let (mut model, mut committed) = (Model::new(), Model::new());
    for round in 0..10_000 {
        match draw.0.below(20) {
            0..=3 => {
                let entries: Vec<KvEntry> = draw.texts().into_iter().map(|key| (key, draw.value())).collect();
                f.database.kv_put(&entries, KvWriteOptions::default()).expect("put");
                model.extend(entries.into_iter().map(|(key, value)| (key.into_bytes(), value)));
            }
            4..=5 => {
                let keys = draw.texts();
                let deleted = f.database.kv_delete(&keys, KvWriteOptions::default()).expect("delete");
                let expected = keys.iter().filter(|key| model.remove(key.as_bytes()).is_some()).count();
                assert_eq!(deleted as usize, expected, "round {round}: {keys:?}");
            }
            6 => {
                let keys = draw.texts();
                let found = f.database.kv_get_many(&keys).expect("get");
                let all = listed(&model, &ListOptions::default());
                let expected: Vec<KvEntry> =
                    all.into_iter().filter(|entry| keys.contains(&entry.0)).collect();
                assert_eq!(found, expected, "round {round}: {keys:?}");
            }
            7 => {
                f.end_turn();
                committed = model.clone();
            }
            8 if draw.0.chance(30) => {
                f.database.discard_turn().expect("discard");
                // A wipe was undone: it takes a new connection.
                if !f.database.renew().expect("looked at") {
                    f.reset();
                }
                model = committed.clone();
            }
            9 if draw.0.chance(2) => {
                f.database.delete_all().expect("delete all");
                model.clear();
                wipes += 1;
            }
            9 if draw.0.chance(10) => {
                f.end_turn();
                committed = model.clone();
                f.reset();
            }
            _ => {
                let options = draw.options();
                let entries = f.database.kv_list(&options).expect("list");
                assert_eq!(entries, listed(&model, &options), "round {round}: {options:?}");
                compared += usize::from(!entries.is_empty());
            }
        }
    }
    assert!(compared > 1000 && model.len() > 50, "{compared} lists of {} keys", model.len());
    assert!(wipes > 4, "only {wipes} wipes");
}
