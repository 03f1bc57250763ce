//! What must be true of each object: a plain list of numbers that were seen to be there.
//!
//! A number is *kept* once an answer that shows it was let out, and *forbidden* if the turn that wrote
//! it was discarded. Whatever is read later must hold all that is kept, in the same order, and nothing
//! that is forbidden.

use std::collections::{BTreeMap, BTreeSet};

/// The model of all objects of a run.
#[derive(Debug, Default)]
pub struct Model {
    kept: BTreeMap<u64, Vec<u64>>,
    attempted: BTreeMap<u64, BTreeSet<u64>>,
    forbidden: BTreeSet<u64>,
}

impl Model {
    /// Notes that `object` was asked to write `number`.
    pub fn attempt(&mut self, object: u64, number: u64) {
        self.attempted.entry(object).or_default().insert(number);
    }

    /// Notes that `number` was written in a turn that trapped.
    pub fn forbid(&mut self, number: u64) {
        self.forbidden.insert(number);
    }

    /// Checks an answer that was let out: it shows all numbers of the object. Answers may come late,
    /// so a shorter one than the newest is fine if it is its beginning.
    pub fn observe(&mut self, object: u64, seen: &[u64]) -> Result<(), String> {
        let kept = self.kept.entry(object).or_default();
        let common = kept.len().min(seen.len());
        if kept[..common] != seen[..common] {
            return Err(format!("object {object} answered {seen:?}, but had shown {kept:?}"));
        }
        let attempted = self.attempted.entry(object).or_default();
        if let Some(number) = seen.iter().find(|n| !attempted.contains(n) || self.forbidden.contains(n)) {
            return Err(format!("object {object} holds {number}, which was never written or was undone"));
        }
        if seen.len() > kept.len() {
            *kept = seen.to_vec();
        }
        Ok(())
    }

    /// The power failed under relaxed durability: the newest of what an object showed may be gone,
    /// and must never come back if it is.
    pub fn verify_after_relaxed_loss(&mut self, object: u64, seen: &[u64]) -> Result<(), String> {
        self.observe(object, seen)?;
        self.kept.entry(object).or_default().truncate(seen.len());
        self.verify(object, seen)
    }

    /// Checks the first answer after a restart: nothing kept is missing. What the object does not hold
    /// now was never durable, and must not come back.
    pub fn verify(&mut self, object: u64, seen: &[u64]) -> Result<(), String> {
        self.observe(object, seen)?;
        let kept = &self.kept[&object];
        if seen.len() < kept.len() {
            return Err(format!("object {object} lost {:?}", &kept[seen.len()..]));
        }
        let gone = self.attempted[&object].iter().filter(|number| !seen.contains(number));
        self.forbidden.extend(gone.copied().collect::<Vec<_>>());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_number_is_noticed() {
        let mut model = Model::default();
        model.attempt(1, 5);
        model.observe(1, &[5]).expect("attempted");
        assert!(model.verify(1, &[]).is_err());
        assert!(model.verify(1, &[5]).is_ok());
    }

    #[test]
    fn after_a_relaxed_loss_the_newest_numbers_may_be_gone_and_must_stay_so() {
        let mut model = Model::default();
        (5..8).for_each(|number| model.attempt(1, number));
        model.observe(1, &[5, 6]).expect("attempted");
        assert!(model.verify_after_relaxed_loss(1, &[6]).is_err());
        model.verify_after_relaxed_loss(1, &[5]).expect("only the newest is gone");
        assert!(model.observe(1, &[5, 6]).is_err());
        model.attempt(1, 8);
        assert!(model.verify(1, &[5, 8]).is_ok());
    }

    #[test]
    fn what_a_restart_did_not_bring_back_must_stay_away() {
        let mut model = Model::default();
        model.attempt(1, 5);
        model.verify(1, &[]).expect("nobody was told that it is there");
        assert!(model.observe(1, &[5]).is_err());
    }

    #[test]
    fn an_undone_number_is_noticed() {
        let mut model = Model::default();
        model.attempt(1, 5);
        model.forbid(5);
        assert!(model.observe(1, &[5]).is_err());
    }
}
