//! The five fields of a cron rule, and the local times that they name (SC-4).
//!
//! Each field is a set of numbers. A search goes over days and is bounded, so that a rule without any time costs
//! no more than some hundred microseconds. Knows nothing of time zones.

use durabo_model::limits::{SCHEDULE_DAYS_MAX, SCHEDULE_RULE_BYTES_MAX};
use jiff::civil::{Date, DateTime};

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A field's range, and the names that it knows for the numbers from the first on.
struct Kind {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const KINDS: [Kind; 5] = [
    Kind { name: "minute", first: 0, last: 59, names: &[] },
    Kind { name: "hour", first: 0, last: 23, names: &[] },
    Kind { name: "day", first: 1, last: 31, names: &[] },
    Kind { name: "month", first: 1, last: 12, names: &MONTHS },
    // 7 is Sunday too.
    Kind { name: "weekday", first: 0, last: 7, names: &WEEKDAYS },
];

/// Numbers below 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set(u64);

/// The fields of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CronFields {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    /// Day and weekday are both restricted, so that either is enough.
    is_either: bool,
}

impl Set {
    fn has(self, number: i8) -> bool {
        self.0 >> number & 1 == 1
    }

    /// The least that is not below `number`.
    fn from(self, number: i8) -> Option<i8> {
        let rest = self.0.checked_shr(number as u32)?;
        (rest != 0).then(|| number + rest.trailing_zeros() as i8)
    }
}

impl CronFields {
    /// Reads a rule; what is wrong with it.
    pub(crate) fn read(rule: &str) -> Result<Self, String> {
        if rule.len() > SCHEDULE_RULE_BYTES_MAX {
            return Err(format!("it is longer than {SCHEDULE_RULE_BYTES_MAX} bytes"));
        }
        let texts: Vec<&str> = rule.split_ascii_whitespace().collect();
        let Ok(texts) = <[&str; 5]>::try_from(texts) else {
            let count = rule.split_ascii_whitespace().count();
            return Err(format!("it has {count} fields"));
        };
        let mut sets = [Set(0); 5];
        for ((set, kind), text) in sets.iter_mut().zip(&KINDS).zip(texts) {
            for part in text.split(',') {
                let read = read_part(kind, part);
                set.0 |= read.ok_or_else(|| format!("`{part}` is not understood as a {}", kind.name))?;
            }
        }
        let [minutes, hours, days, months, mut weekdays] = sets;
        weekdays.0 |= weekdays.0 >> 7;
        let is_either = !texts[2].starts_with('*') && !texts[4].starts_with('*');
        Ok(Self { minutes, hours, days, months, weekdays, is_either })
    }

    /// The first local time after `local`, to the minute, that the rule names; `None` if there is none in 100 years.
    pub(crate) fn next_local(&self, local: DateTime) -> Option<DateTime> {
        let mut date = local.date();
        if self.fits(date)
            && let Some((hour, minute)) = self.next_in_day(local.hour(), local.minute() + 1)
        {
            return Some(date.at(hour, minute, 0, 0));
        }
        for _ in 0..SCHEDULE_DAYS_MAX {
            date = date.tomorrow().ok()?;
            if self.fits(date) {
                let (hour, minute) = self.next_in_day(0, 0)?;
                return Some(date.at(hour, minute, 0, 0));
            }
        }
        None
    }

    fn fits(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        self.months.has(date.month()) && if self.is_either { day || weekday } else { day && weekday }
    }

    /// The first hour and minute of a day that are not before these; `minute` may be 60.
    fn next_in_day(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        let in_hour = self.minutes.from(minute).filter(|_| self.hours.has(hour));
        if let Some(minute) = in_hour {
            return Some((hour, minute));
        }
        Some((self.hours.from(hour + 1)?, self.minutes.from(0)?))
    }
}

/// The numbers of `*`, `5`, `5-9`, each also with `/2`.
fn read_part(kind: &Kind, part: &str) -> Option<u64> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(read_number(step)?)),
        None => (part, None),
    };
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => (kind.first, kind.last),
        Some((first, last)) => (kind.number(first)?, kind.number(last)?),
        // With a step: from there to the end.
        None => (kind.number(range)?, if step.is_some() { kind.last } else { kind.number(range)? }),
    };
    let step = step.unwrap_or(1);
    if first > last || step == 0 || step > kind.last {
        return None;
    }
    Some((first..=last).step_by(step as usize).fold(0, |set, number| set | 1 << number))
}

/// Digits alone, without a sign.
fn read_number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl Kind {
    fn number(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = match named {
            Some(at) => self.first + u32::try_from(at).ok()?,
            None => read_number(text)?,
        };
        (self.first..=self.last).contains(&number).then_some(number)
    }
}
