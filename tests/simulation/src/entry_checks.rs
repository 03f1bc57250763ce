//! Named alarms in a seeded run: which are set, and what is said of the runs that objects have noted.
//!
//! For `alarm_scenario`; what objects note is made by `fake_schedule`.

use durabo_changelog::seeded::Seeded;
use durabo_storage::value::Value;

use crate::act::Act;
use crate::schedule_model::{When, Zone};

/// Names that a run uses; few, so that entries are replaced and meet.
pub(crate) const NAMES: u64 = 4;

/// All that is to be judged of an object's runs, for [`judge`].
pub(crate) const NOTED: &str =
    "SELECT name, kind, scheduled, retries, at, expected, wrong FROM entry_runs ORDER BY run";

/// What a run has seen of named alarms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntryRuns {
    /// Runs that are committed: of those that run once, at intervals, and by a rule.
    pub by_kind: [u64; 3],
    /// Those of them that were retries.
    pub retries: u64,
}

/// Something to do about an entry.
pub(crate) fn change(random: &mut Seeded) -> Act {
    let name = random.below(NAMES);
    match random.below(8) {
        0 => Act::DeleteEntry(name),
        _ => set(random, name),
    }
}

/// Deletes an entry and sets another one of its name, which is then not the one that runs.
pub(crate) fn replace(random: &mut Seeded) -> Vec<Act> {
    let name = random.below(NAMES);
    vec![Act::DeleteEntry(name), set(random, name)]
}

fn set(random: &mut Seeded, name: u64) -> Act {
    let when = match random.below(7) {
        0..=2 => When::In([-1000, 0, 1, 700, 3000, 20_000, 100_000][random.below(7) as usize]),
        3 | 4 => When::Every([1000, 2500, 10_000, 90_000][random.below(4) as usize]),
        _ => {
            let minutes =
                [(0..60).collect(), (0..60).step_by(2).collect(), vec![5, 14, 15, 16, 40, 45], vec![0, 30]];
            let zones = [Zone::Utc, Zone::Kolkata, Zone::Kathmandu];
            When::Minutes(minutes[random.below(4) as usize].clone(), zones[random.below(3) as usize])
        }
    };
    // Two payloads, so that some entries are set again exactly as they stand.
    Act::SetEntry { name, when, payload: random.below(2) as u8 }
}

/// Looks at what an object has noted of its runs.
pub(crate) fn judge(object: u64, noted: &[Value], seen: &mut EntryRuns) -> Result<(), String> {
    for row in noted.chunks_exact(7) {
        if let [Value::Integer(name), .., Value::Text(what)] = row {
            return Err(format!("object {object}: entry {name}: {what}"));
        }
        let [
            Value::Integer(name),
            kind,
            Value::Integer(scheduled),
            Value::Integer(retries),
            Value::Integer(at),
            expected,
            _,
        ] = row
        else {
            return Err(format!("object {object}: a run was noted as {row:?}"));
        };
        if at < scheduled {
            return Err(format!("object {object}: entry {name} for {scheduled} ran early, at {at}"));
        }
        if *expected != Value::Integer(*scheduled) {
            return Err(format!(
                "object {object}: entry {name} ran for {scheduled}, when {expected:?} was next"
            ));
        }
        let Value::Integer(kind) = kind else {
            return Err(format!("object {object}: entry {name} ran, which is not set"));
        };
        seen.by_kind[*kind as usize] += 1;
        seen.retries += u64::from(*retries > 0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scheduled: i64, at: i64, expected: Option<i64>, wrong: Option<&str>) -> Vec<Value> {
        let expected = expected.map_or(Value::Null, Value::Integer);
        let wrong = wrong.map_or(Value::Null, |wrong| Value::Text(wrong.to_owned()));
        let [name, kind, retries] = [1, 2, 0].map(Value::Integer);
        vec![name, kind, Value::Integer(scheduled), retries, Value::Integer(at), expected, wrong]
    }

    #[test]
    fn runs_that_are_early_or_not_those_that_were_next_are_noticed() {
        let is_good = |row: Vec<Value>| judge(0, &row, &mut EntryRuns::default()).is_ok();
        assert!(is_good(row(5, 5, Some(5), None)));
        assert!(!is_good(row(5, 4, Some(5), None)));
        assert!(!is_good(row(5, 9, Some(6), None)));
        assert!(!is_good(row(5, 9, None, None)));
        assert!(!is_good(row(5, 5, Some(5), Some("what"))));
    }
}
