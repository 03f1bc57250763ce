//! What the statements of one component have cost so far, to tell which may run in place (S3).
//!
//! A text is known once a run of it has ended. The count of SQLite's steps is the measure, since time
//! misjudges on a busy machine; time is the second sign, for functions that work long in few steps.
//! The table has a fixed size and no lock; a text that lost its place is unknown again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// Steps of SQLite's machine from which a run is slow: about a millisecond.
const SLOW_STEPS: u32 = 20_000;

/// Costs are not told apart beyond this: a text that has become cheap is believed some thirty runs later.
const STEPS_MAX: u32 = 50 * SLOW_STEPS;

/// What one of many groups of bindings takes at least, in steps: it is bound and wound back whatever it does.
const GROUP_STEPS_MIN: u32 = 10;

/// Part of the way down to a cheaper run that is gone at once.
const DOWN: u32 = 8;

/// Places for one hash, and hashes with places of their own; together 32 KiB.
const WAYS: usize = 4;
const SETS: usize = 1024;

/// Where a statement is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Estimate {
    /// It is over soon.
    Cheap,
    /// No run of it has ended.
    Unknown,
    /// It takes long.
    Slow,
}

/// Names a text, or the reading on of its cursors, which has a cost of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextKey(u64);

impl TextKey {
    /// Running `text`.
    pub fn of(text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// Reading further rows of this text.
    pub fn reading_on(self) -> Self {
        Self(!self.0)
    }

    fn set(self) -> usize {
        self.0 as usize % SETS
    }

    /// Never 0, which marks an empty place.
    fn tag(self) -> u32 {
        (self.0 >> 32) as u32 | 1
    }
}

/// A run to be estimated: a text, and how many times it is run in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    key: TextKey,
    /// `None` for a text that is run by itself.
    groups: Option<u32>,
}

impl Run {
    /// Running `text` once for each of so many groups of bindings. What one group costs is known apart from what
    /// the text costs by itself.
    pub fn of_groups(text: &str, groups: u32) -> Self {
        // Another place and another tag, and neither those of reading on.
        let key = TextKey(TextKey::of(text).0 ^ 0x9e37_79b9_7f4a_7c15);
        Self { key, groups: Some(groups) }
    }

    /// Steps of the whole run if one of its groups takes `cost`.
    fn steps(self, cost: u32) -> u64 {
        let of_groups = |groups| u64::from(cost.max(GROUP_STEPS_MIN)) * u64::from(groups);
        self.groups.map_or(cost.into(), of_groups)
    }

    /// Steps of one group from which the whole run is slow.
    fn slow_steps(self) -> u32 {
        SLOW_STEPS.div_ceil(self.groups.unwrap_or(1).max(1))
    }
}

impl From<TextKey> for Run {
    fn from(key: TextKey) -> Self {
        Self { key, groups: None }
    }
}

/// The table of one component. Each place holds a tag and a cost, 32 bits each.
pub struct StatementCosts(Box<[[AtomicU64; WAYS]]>);

impl Default for StatementCosts {
    fn default() -> Self {
        Self((0..SETS).map(|_| Default::default()).collect())
    }
}

impl StatementCosts {
    /// What is known of such a run.
    pub fn estimate(&self, run: impl Into<Run>) -> Estimate {
        let run = run.into();
        match self.find(run.key) {
            Some((_, cost)) if run.steps(cost) < SLOW_STEPS.into() => Estimate::Cheap,
            Some(_) => Estimate::Slow,
            None => Estimate::Unknown,
        }
    }

    /// A run has ended after so many `steps`, of one group if it had many; `took_long` is the second sign. Costs
    /// rise at once and fall slowly. Of two runs that end at the same moment one may be lost.
    pub fn learn(&self, run: impl Into<Run>, steps: u64, took_long: bool) {
        let run = run.into();
        let key = run.key;
        let steps = u32::try_from(steps).unwrap_or(STEPS_MAX).min(STEPS_MAX);
        let steps = if took_long { steps.max(run.slow_steps()) } else { steps };
        match self.find(key) {
            Some((_, cost)) if cost == steps => {}
            Some((place, cost)) => {
                // Rounded up, so that a cost reaches what it falls to.
                let cost = if steps > cost { steps } else { cost - (cost - steps).div_ceil(DOWN) };
                place.store(entry(key, cost), Ordering::Relaxed);
            }
            None => self.place_for(key).store(entry(key, steps), Ordering::Relaxed),
        }
    }

    fn find(&self, key: TextKey) -> Option<(&AtomicU64, u32)> {
        self.0[key.set()].iter().find_map(|place| {
            let entry = place.load(Ordering::Relaxed);
            ((entry >> 32) as u32 == key.tag()).then_some((place, entry as u32))
        })
    }

    /// An empty place, or the one of a text that is given up for this one.
    fn place_for(&self, key: TextKey) -> &AtomicU64 {
        let set = &self.0[key.set()];
        let empty = set.iter().find(|place| place.load(Ordering::Relaxed) == 0);
        empty.unwrap_or(&set[key.0 as usize / SETS % WAYS])
    }
}

fn entry(key: TextKey, cost: u32) -> u64 {
    u64::from(key.tag()) << 32 | u64::from(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: u64 = 100;

    #[test]
    fn a_text_is_known_once_a_run_has_ended() {
        let costs = StatementCosts::default();
        let (key, other) = (TextKey::of("SELECT 1"), TextKey::of("SELECT 2"));
        assert_eq!(costs.estimate(key), Estimate::Unknown);
        costs.learn(key, CHEAP, false);
        assert_eq!(costs.estimate(key), Estimate::Cheap);
        assert_eq!(costs.estimate(key.reading_on()), Estimate::Unknown);
        assert_eq!(costs.estimate(other), Estimate::Unknown);
    }

    #[test]
    fn one_slow_run_makes_a_text_slow_and_many_cheap_ones_make_it_cheap_again() {
        let costs = StatementCosts::default();
        let key = TextKey::of("SELECT sum(a) FROM t");
        costs.learn(key, CHEAP, false);
        costs.learn(key, u64::MAX, false);
        let mut runs = 0;
        while costs.estimate(key) == Estimate::Slow {
            costs.learn(key, CHEAP, false);
            runs += 1;
        }
        assert!((10..50).contains(&runs), "{runs} runs");
        costs.learn(key, u64::from(SLOW_STEPS), false);
        assert_eq!(costs.estimate(key), Estimate::Slow);
    }

    #[test]
    fn few_steps_that_took_long_are_slow() {
        let costs = StatementCosts::default();
        let key = TextKey::of("SELECT replace(a, b, c) FROM t");
        costs.learn(key, CHEAP, true);
        assert_eq!(costs.estimate(key), Estimate::Slow);
        costs.learn(key, CHEAP, false);
        assert_eq!(costs.estimate(key), Estimate::Cheap);
    }

    #[test]
    fn em_11_what_is_cheap_for_one_group_is_slow_for_many_and_known_apart_from_the_text_alone() {
        let costs = StatementCosts::default();
        let text = "INSERT INTO t VALUES (?)";
        let groups = |count| Run::of_groups(text, count);
        costs.learn(TextKey::of(text), CHEAP, false);
        assert_eq!(costs.estimate(groups(1)), Estimate::Unknown);
        costs.learn(groups(1), CHEAP, false);
        assert_eq!(costs.estimate(groups(199)), Estimate::Cheap);
        assert_eq!(costs.estimate(groups(200)), Estimate::Slow);
        assert_eq!(costs.estimate(groups(u32::MAX)), Estimate::Slow);
        costs.learn(groups(100_000), u64::from(STEPS_MAX), false);
        assert_eq!(costs.estimate(groups(1)), Estimate::Slow);
        assert_eq!(costs.estimate(TextKey::of(text)), Estimate::Cheap);
    }

    #[test]
    fn em_11_groups_that_did_nothing_or_took_long_make_no_others_cheap() {
        let costs = StatementCosts::default();
        let nothing = |count| Run::of_groups("INSERT INTO t VALUES (?)", count);
        costs.learn(nothing(0), 0, false);
        assert_eq!(costs.estimate(nothing(1000)), Estimate::Cheap);
        assert_eq!(costs.estimate(nothing(2000)), Estimate::Slow);
        let long = |count| Run::of_groups("INSERT INTO t VALUES (replace(?, 'a', 'b'))", count);
        costs.learn(long(1000), CHEAP / 10, true);
        assert_eq!(costs.estimate(long(1000)), Estimate::Slow);
        assert_eq!(costs.estimate(long(100)), Estimate::Cheap);
    }

    #[test]
    fn texts_without_end_take_each_others_places_and_no_more() {
        let costs = StatementCosts::default();
        let keys: Vec<_> = (0..20_000).map(|number| TextKey::of(&format!("SELECT {number}"))).collect();
        keys.iter().for_each(|key| costs.learn(*key, CHEAP, false));
        let known = keys.iter().filter(|key| costs.estimate(**key) == Estimate::Cheap).count();
        assert!((SETS..=2 * SETS * WAYS).contains(&known), "{known} texts are known");
        let newest = keys[keys.len() - 1];
        assert_eq!(costs.estimate(newest), Estimate::Cheap);
    }
}
