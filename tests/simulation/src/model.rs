//! What must be true of each object: a plain list of numbers that were seen to be there, and what some of
//! them say of others.
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
    /// The first is there only if the second is.
    shown: Vec<((u64, u64), (u64, u64))>,
    /// Written in this order with nothing in between.
    together: BTreeMap<u64, Vec<Vec<u64>>>,
    /// As these, and all of them or none.
    whole: BTreeMap<u64, Vec<Vec<u64>>>,
    /// Let out by itself: an object and a number of it.
    promised: Vec<(u64, u64)>,
    newest_number: u64,
}

impl Model {
    /// A number that was used by nobody yet, for `object` to write.
    pub fn new_number(&mut self, object: u64) -> u64 {
        self.newest_number += 1;
        self.attempt(object, self.newest_number);
        self.newest_number
    }

    /// Notes that `object` was asked to write `number`.
    pub fn attempt(&mut self, object: u64, number: u64) {
        self.attempted.entry(object).or_default().insert(number);
    }

    /// Notes that `number` was written in a turn that trapped.
    pub fn forbid(&mut self, number: u64) {
        self.forbidden.insert(number);
    }

    /// Notes that a call which writes `shown` was asked for after `by` had been written: whatever got out
    /// shows that `by` is durable. Both are an object and a number of it.
    pub fn shows(&mut self, shown: (u64, u64), by: (u64, u64)) {
        self.shown.push((shown, by));
    }

    /// Notes numbers that `object` writes within one critical section.
    pub fn together(&mut self, object: u64, numbers: Vec<u64>) {
        self.together.entry(object).or_default().push(numbers);
    }

    /// Notes numbers that `object` writes within one transaction, which is committed at its end.
    pub fn whole(&mut self, object: u64, numbers: Vec<u64>) {
        self.together(object, numbers.clone());
        self.whole.entry(object).or_default().push(numbers);
    }

    /// Notes that something was let out which says that `object` holds `number`.
    pub fn promised(&mut self, object: u64, number: u64) -> Result<(), String> {
        if self.forbidden.contains(&number) {
            return Err(format!("object {object} said that it holds {number}, which was undone"));
        }
        self.promised.push((object, number));
        Ok(())
    }

    /// Checks what all objects hold at one moment: nothing got out ahead of what it depended on.
    pub fn verify_shown(&self, held: &BTreeMap<u64, Vec<u64>>) -> Result<(), String> {
        let holds = |(object, number): &(u64, u64)| held.get(object).is_some_and(|all| all.contains(number));
        if let Some(promised) = self.promised.iter().find(|promised| !holds(promised)) {
            return Err(format!("{promised:?} was promised, and is not there"));
        }
        match self.shown.iter().find(|(shown, by)| holds(shown) && !holds(by)) {
            Some((shown, by)) => {
                Err(format!("{shown:?} got out, but {by:?}, on which it depends, is not there"))
            }
            None => Ok(()),
        }
    }

    /// What was written within a section stands together; of one that was broken only the beginning is there.
    fn verify_together(&self, object: u64, seen: &[u64]) -> Result<(), String> {
        for section in self.together.get(&object).into_iter().flatten() {
            let Some(at) = seen.iter().position(|number| section.contains(number)) else { continue };
            let there = section.iter().filter(|number| seen.contains(number)).count();
            if seen[at..].iter().take(there).ne(section.iter().take(there)) {
                return Err(format!("object {object}: section {section:?} was entered by others: {seen:?}"));
            }
        }
        Ok(())
    }

    /// Of what was written within a transaction everything is there or nothing.
    fn verify_whole(&self, object: u64, seen: &[u64]) -> Result<(), String> {
        for all in self.whole.get(&object).into_iter().flatten() {
            let there = all.iter().filter(|number| seen.contains(number)).count();
            if there != 0 && there != all.len() {
                return Err(format!("object {object}: of the transaction {all:?} a part is there: {seen:?}"));
            }
        }
        Ok(())
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
        let stray = seen.iter().find(|n| !attempted.contains(n) || self.forbidden.contains(n));
        if let Some(number) = stray {
            return Err(format!("object {object} holds {number}, which was never written or was undone"));
        }
        if seen.len() > kept.len() {
            *kept = seen.to_vec();
        }
        self.verify_together(object, seen)?;
        self.verify_whole(object, seen)
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
    fn a_part_of_a_transaction_is_noticed() {
        for (seen, is_good) in [(&[][..], true), (&[5, 6], true), (&[5], false), (&[6], false)] {
            let mut model = Model::default();
            (5..7).for_each(|number| model.attempt(1, number));
            model.whole(1, vec![5, 6]);
            assert_eq!(model.observe(1, seen).is_ok(), is_good, "{seen:?}");
        }
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
    fn what_got_out_ahead_of_its_cause_is_noticed() {
        let mut model = Model::default();
        model.shows((2, 7), (1, 5));
        let held = |one: &[u64]| BTreeMap::from([(1, one.to_vec()), (2, vec![7])]);
        assert!(model.verify_shown(&held(&[5])).is_ok());
        assert!(model.verify_shown(&held(&[])).is_err());
    }

    #[test]
    fn what_was_promised_and_is_not_there_is_noticed() {
        let mut model = Model::default();
        model.promised(1, 5).expect("not undone");
        assert!(model.verify_shown(&BTreeMap::from([(1, vec![5])])).is_ok());
        assert!(model.verify_shown(&BTreeMap::from([(1, vec![4])])).is_err());
        model.forbid(6);
        assert!(model.promised(1, 6).is_err());
    }

    #[test]
    fn a_section_that_others_entered_is_noticed_and_one_that_broke_off_is_not() {
        let mut model = Model::default();
        (5..9).for_each(|number| model.attempt(1, number));
        model.together(1, vec![5, 6]);
        assert!(model.observe(1, &[7, 5, 6, 8]).is_ok());
        let mut model = Model::default();
        (5..9).for_each(|number| model.attempt(1, number));
        model.together(1, vec![5, 6]);
        assert!(model.observe(1, &[5, 8]).is_ok());
        assert!(model.observe(1, &[5, 8, 6]).is_err());
    }

    #[test]
    fn an_undone_number_is_noticed() {
        let mut model = Model::default();
        model.attempt(1, 5);
        model.forbid(5);
        assert!(model.observe(1, &[5]).is_err());
    }
}
