//! When a named alarm runs: once, at intervals, or by a cron rule in a time zone (SC-2 to SC-6).
//!
//! Pure: moments in, moments out. A cron rule is looked at by the local clock, and what is found becomes a moment
//! here: a skipped local time the first one that exists, a repeated one the first of the two. The database of
//! time zones is the one that is built in, so that every node computes alike.

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_model::limits::{
    ALARM_TIME_MS_MAX, SCHEDULE_INTERVAL_MS_MAX, SCHEDULE_INTERVAL_MS_MIN, SCHEDULE_RULE_BYTES_MAX,
};
use durabo_model::time::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cron_fields::CronFields;

/// Local times that are looked at for one moment: all of those that a zone skips or repeats at once, and some.
const LOCAL_TIMES_MAX: usize = 2 * 24 * 60;

/// When a named alarm runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// Once, at a time in ms since 1970.
    At(u64),
    /// Again and again, in steps of so many ms.
    Every(u64),
    /// By a rule.
    Cron(CronRule),
}

/// A cron rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CronRule {
    /// Five fields.
    pub expression: String,
    /// Name of the IANA database; UTC if there is none.
    pub time_zone: Option<String>,
}

/// Why a trigger cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TriggerError {
    /// A time of 0.
    #[error("a schedule cannot be set for a time <= 0")]
    NotPositive,
    /// A time that is too far ahead.
    #[error("This API doesn't support dates after 2189. The time given is {0} ms after 1970")]
    TooFar(u64),
    /// An interval out of range.
    #[error("an interval is {SCHEDULE_INTERVAL_MS_MIN} ms to {SCHEDULE_INTERVAL_MS_MAX} ms long, not {0}")]
    Interval(u64),
    /// A rule that cannot be read.
    #[error("`{rule}` is no cron rule: {reason}; write five fields, such as `30 9 * * mon-fri`")]
    Rule {
        /// As given, cut.
        rule: String,
        /// What is wrong.
        reason: String,
    },
    /// A rule that names no time.
    #[error("cron rule `{0}` names no time in the next 100 years")]
    Never(String),
    /// Not in the database.
    #[error("`{0}` is no time zone of the IANA database, such as `Europe/Berlin`")]
    Zone(String),
}

impl Trigger {
    /// What is stored of it.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("BUG: texts and numbers are always JSON")
    }

    /// The one that was stored so.
    pub fn of_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The first run of an entry that is set now; why the trigger cannot be used.
    pub fn first(&self, now: Timestamp) -> Result<Timestamp, TriggerError> {
        match self {
            Self::At(0) => Err(TriggerError::NotPositive),
            Self::At(time) if *time > ALARM_TIME_MS_MAX => Err(TriggerError::TooFar(*time)),
            Self::At(time) => Ok(Timestamp(*time).max(now)),
            Self::Every(ms) if !(SCHEDULE_INTERVAL_MS_MIN..=SCHEDULE_INTERVAL_MS_MAX).contains(ms) => {
                Err(TriggerError::Interval(*ms))
            }
            Self::Every(ms) => Ok(Timestamp(now.0.saturating_add(*ms).min(ALARM_TIME_MS_MAX))),
            Self::Cron(rule) => rule.next_after(now),
        }
    }

    /// The next run after one for `scheduled` that has ended now: behind both (SC-13). `None` if there is none.
    pub fn next(&self, scheduled: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let after = if is_planted(Mutation::RepeatWhatWasMissed) { scheduled } else { scheduled.max(now) };
        let next = match self {
            Self::At(_) => return None,
            Self::Every(ms) => {
                let steps = (after.0 - scheduled.0) / (*ms).max(1) + 1;
                Timestamp(scheduled.0.saturating_add(steps.saturating_mul(*ms)))
            }
            Self::Cron(rule) => rule.next_after(after).ok()?,
        };
        (next.0 <= ALARM_TIME_MS_MAX).then_some(next)
    }
}

impl CronRule {
    /// The first moment after `after` that the rule names.
    fn next_after(&self, after: Timestamp) -> Result<Timestamp, TriggerError> {
        let fields = CronFields::read(&self.expression).map_err(|reason| TriggerError::Rule {
            rule: self.expression.chars().take(64).collect(),
            reason,
        })?;
        let zone = self.zone()?;
        let never = || TriggerError::Never(self.expression.clone());
        let moment = i64::try_from(after.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let mut local = zone.to_datetime(moment.ok_or_else(never)?);
        // Local times that a zone repeats lead to moments that are past, those that it skips to one and the same.
        for _ in 0..LOCAL_TIMES_MAX {
            local = fields.next_local(local).ok_or_else(never)?;
            let found = moment_of(&zone, local).ok_or_else(never)?;
            if found > after {
                return Ok(found);
            }
        }
        Err(never())
    }

    fn zone(&self) -> Result<TimeZone, TriggerError> {
        let Some(name) = &self.time_zone else { return Ok(TimeZone::UTC) };
        let unknown = || TriggerError::Zone(name.chars().take(64).collect());
        if name.len() > SCHEDULE_RULE_BYTES_MAX {
            return Err(unknown());
        }
        jiff::tz::db().get(name).map_err(|_| unknown())
    }
}

/// The moment of a local time: of one that is skipped the first that exists, of one that comes twice the first.
fn moment_of(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let is_skipped = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
    // Of a skipped one this is as long before the gap as it stands before the gap's end.
    let earlier = ambiguous.earlier().ok()?;
    let moment = if is_skipped { zone.following(earlier).next()?.timestamp() } else { earlier };
    u64::try_from(moment.as_millisecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment by its text, such as `2026-03-29T00:30Z`.
    fn at(text: &str) -> Timestamp {
        let moment: jiff::Timestamp = text.parse().expect("a moment");
        Timestamp(u64::try_from(moment.as_millisecond()).expect("after 1970"))
    }

    fn rule(expression: &str, time_zone: &str) -> Trigger {
        let time_zone = (!time_zone.is_empty()).then(|| time_zone.to_owned());
        Trigger::Cron(CronRule { expression: expression.to_owned(), time_zone })
    }

    fn refusal(expression: &str, time_zone: &str) -> String {
        rule(expression, time_zone).first(at("2026-01-01T00:00Z")).expect_err(expression).to_string()
    }

    /// The runs of a rule, each of which takes no time.
    fn runs(trigger: &Trigger, from: &str, count: usize) -> Vec<Timestamp> {
        let first = trigger.first(at(from)).expect("a good rule");
        std::iter::successors(Some(first), |last| trigger.next(*last, *last)).take(count).collect()
    }

    #[test]
    fn sc_2_a_time_is_as_an_alarms() {
        let now = Timestamp(1000);
        assert_eq!(Trigger::At(5000).first(now), Ok(Timestamp(5000)));
        assert_eq!(Trigger::At(1).first(now), Ok(now));
        assert_eq!(Trigger::At(0).first(now), Err(TriggerError::NotPositive));
        assert!(matches!(Trigger::At(ALARM_TIME_MS_MAX + 1).first(now), Err(TriggerError::TooFar(_))));
        assert_eq!(Trigger::At(5000).next(Timestamp(5000), Timestamp(5000)), None);
    }

    #[test]
    fn sc_3_and_sc_13_intervals_keep_their_steps_and_missed_ones_are_left_out() {
        let every = Trigger::Every(1000);
        assert_eq!(every.first(Timestamp(50)), Ok(Timestamp(1050)));
        assert_eq!(every.next(Timestamp(1050), Timestamp(1060)), Some(Timestamp(2050)));
        assert_eq!(every.next(Timestamp(1050), Timestamp(2050)), Some(Timestamp(3050)));
        assert_eq!(every.next(Timestamp(1050), Timestamp(9999)), Some(Timestamp(10_050)));
        // The clock was set back: no time comes twice (SC-22).
        assert_eq!(every.next(Timestamp(1050), Timestamp(10)), Some(Timestamp(2050)));
        for interval in [0, SCHEDULE_INTERVAL_MS_MIN - 1, SCHEDULE_INTERVAL_MS_MAX + 1] {
            assert_eq!(Trigger::Every(interval).first(Timestamp(0)), Err(TriggerError::Interval(interval)));
        }
    }

    #[test]
    fn sc_4_a_rule_has_five_fields_with_lists_ranges_steps_and_names() {
        let hours = runs(&rule("*/20 9-10 * * *", ""), "2026-01-01T09:00Z", 4);
        let expected =
            ["2026-01-01T09:20Z", "2026-01-01T09:40Z", "2026-01-01T10:00Z", "2026-01-01T10:20Z"].map(at);
        assert_eq!(hours, expected);
        let days = runs(&rule("30 8 1,15 feb,Mar *", ""), "2026-01-01T00:00Z", 3);
        assert_eq!(days, ["2026-02-01T08:30Z", "2026-02-15T08:30Z", "2026-03-01T08:30Z"].map(at));
        for sunday in ["0", "7", "sun", "SUN"] {
            let weeks = runs(&rule(&format!("0 0 * * {sunday}"), ""), "2026-01-01T00:00Z", 2);
            assert_eq!(weeks, ["2026-01-04T00:00Z", "2026-01-11T00:00Z"].map(at), "{sunday}");
        }
        // Day and weekday: either is enough.
        let either = runs(&rule("0 0 3 * mon", ""), "2026-01-01T00:00Z", 3);
        assert_eq!(either, ["2026-01-03T00:00Z", "2026-01-05T00:00Z", "2026-01-12T00:00Z"].map(at));
        // A field that begins with a star is no such restriction.
        let both = runs(&rule("0 0 */2 * mon", ""), "2026-01-01T00:00Z", 2);
        assert_eq!(both, ["2026-01-05T00:00Z", "2026-01-19T00:00Z"].map(at));
        let from = runs(&rule("50/5 23 31 12 *", ""), "2026-01-01T00:00Z", 3);
        assert_eq!(from, ["2026-12-31T23:50Z", "2026-12-31T23:55Z", "2027-12-31T23:50Z"].map(at));
        let leap = runs(&rule("0 0 29 2 *", ""), "2026-01-01T00:00Z", 1);
        assert_eq!(leap, [at("2028-02-29T00:00Z")]);
    }

    #[test]
    fn sc_4_what_is_no_such_rule_is_refused() {
        for expression in [
            "",
            "* * * *",
            "* * * * * *",
            "@daily",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 *",
            "* * * * 8",
            "* * L * *",
            "* * 15W * *",
            "* * * * 5#2",
            "* * ? * *",
            "a * * * *",
            "mon * * * *",
            "* * * mon *",
            "*/0 * * * *",
            "*/61 * * * *",
            "5-1 * * * *",
            "1- * * * *",
            ", * * * *",
            "-1 * * * *",
            "1-2-3 * * * *",
            "1/2/3 * * * *",
            "+1 * * * *",
            "1,,2 * * * *",
            "* * * * fri-mon",
        ] {
            let text = refusal(expression, "");
            assert!(text.contains("is no cron rule") && text.contains("mon-fri"), "`{expression}`: {text}");
        }
        assert!(refusal(&"1,".repeat(200), "").contains("longer than 256 bytes"));
        assert_eq!(refusal("0 0 30 2 *", ""), "cron rule `0 0 30 2 *` names no time in the next 100 years");
    }

    #[test]
    fn sc_5_a_zone_is_one_of_the_database() {
        let noon = |zone| runs(&rule("0 12 * * *", zone), "2026-07-01T00:00Z", 1)[0];
        assert_eq!(noon(""), at("2026-07-01T12:00Z"));
        assert_eq!(noon("Europe/Berlin"), at("2026-07-01T10:00Z"));
        assert_eq!(noon("America/New_York"), at("2026-07-01T16:00Z"));
        assert_eq!(noon("Asia/Kolkata"), at("2026-07-01T06:30Z"));
        for zone in ["Mars/Olympus", "", "+02:00", &"x".repeat(300)] {
            let refused = CronRule { expression: "* * * * *".to_owned(), time_zone: Some(zone.to_owned()) };
            let text = refused.next_after(Timestamp(0)).expect_err(zone).to_string();
            assert!(text.contains("is no time zone of the IANA database"), "{text}");
        }
    }

    #[test]
    fn sc_6_a_skipped_local_time_runs_at_the_first_that_exists_and_several_run_once() {
        // Clocks in Berlin go from 2:00 to 3:00 on 29 March 2026, at 1:00 UTC.
        let daily = runs(&rule("30 2 * * *", "Europe/Berlin"), "2026-03-28T00:00Z", 3);
        assert_eq!(daily, ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"].map(at));
        let often = runs(&rule("*/20 2,3 * * *", "Europe/Berlin"), "2026-03-28T12:00Z", 4);
        assert_eq!(
            often,
            ["2026-03-29T01:00Z", "2026-03-29T01:20Z", "2026-03-29T01:40Z", "2026-03-30T00:00Z"].map(at)
        );
        // A whole day was left out in Samoa: 30 December 2011, from 10:00 UTC on.
        let noon = runs(&rule("0 12 * * *", "Pacific/Apia"), "2011-12-29T00:00Z", 3);
        assert_eq!(noon, ["2011-12-29T22:00Z", "2011-12-30T10:00Z", "2011-12-30T22:00Z"].map(at));
    }

    #[test]
    fn sc_6_a_local_time_that_comes_twice_runs_the_first_time() {
        // Clocks in Berlin go from 3:00 back to 2:00 on 25 October 2026, at 1:00 UTC.
        let daily = runs(&rule("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00Z", 2);
        assert_eq!(daily, ["2026-10-25T00:30Z", "2026-10-26T01:30Z"].map(at));
        let often = runs(&rule("*/30 * * * *", "Europe/Berlin"), "2026-10-25T00:00Z", 3);
        assert_eq!(often, ["2026-10-25T00:30Z", "2026-10-25T02:00Z", "2026-10-25T02:30Z"].map(at));
        // Set while the hour comes for the second time.
        let later = runs(&rule("*/30 * * * *", "Europe/Berlin"), "2026-10-25T01:10Z", 1);
        assert_eq!(later, [at("2026-10-25T02:00Z")]);
    }

    #[test]
    fn sc_13_a_rule_goes_on_behind_both_the_time_it_ran_for_and_the_present() {
        let hourly = rule("0 * * * *", "");
        let (ran_for, late) = (at("2026-01-01T01:00Z"), at("2026-01-01T05:30Z"));
        assert_eq!(hourly.next(ran_for, late), Some(at("2026-01-01T06:00Z")));
        assert_eq!(hourly.next(ran_for, at("2026-01-01T00:10Z")), Some(at("2026-01-01T02:00Z")));
    }
}
