//! Limits that an operator may set, by name: what a value may be, and what is said of one that is none.
//!
//! Each limit is declared once in the table here; its name in documents and on the command line is the field's,
//! with the prefix of its group. The tidy test compares the table with the fields and with
//! `docs/reference/limits.md`, so that no field is without a name and no name without an explanation.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::limits::{CompileLimits, DiskLimits, HttpLimits, ObjectLimits, OutgoingLimits};

/// Largest number of anything.
const COUNT_MAX: u64 = u32::MAX as u64;
/// Largest number of bytes. Multiples of it are no overflow.
const BYTES_MAX: u64 = 1 << 50;
/// Longest time, in milliseconds: a year. A point in time that far ahead can be told.
const TIME_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1000;

/// Bytes of a mebibyte, for the table.
const MIB: u64 = 1 << 20;

/// Names that are offered for one that is not known.
const NEAR_MAX: usize = 3;

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plain number.
    Count,
    /// Bytes: `65536`, `64KiB`.
    Bytes,
    /// A time, which always has a unit: `250ms`, `5s`.
    Time,
}

/// Limits that are to be changed.
pub struct LimitsMut<'a> {
    /// Of objects.
    pub objects: &'a mut ObjectLimits,
    /// Of clients.
    pub http: &'a mut HttpLimits,
    /// Of requests to the outside.
    pub outgoing: &'a mut OutgoingLimits,
    /// Of the compiler.
    pub compile: &'a mut CompileLimits,
    /// Of the disk.
    pub disk: &'a mut DiskLimits,
}

/// One limit.
pub struct Setting {
    /// Its name, with the prefix of its group.
    pub name: &'static str,
    kind: Kind,
    /// Least amount, where less makes no sense. Times are in milliseconds.
    least: u64,
    set: fn(&mut LimitsMut<'_>, u64),
}

/// A new value of a limit.
#[derive(Clone, Copy)]
pub struct Change {
    setting: &'static Setting,
    amount: u64,
}

/// Declares the limits of each group, with what they count and the least that makes sense.
macro_rules! settings {
    ($($group:ident: $limits:ident, $prefix:literal { $($name:ident: $kind:ident from $least:expr,)+ })+) => {
        /// All limits that may be set.
        pub const SETTINGS: &[Setting] = &[$($(Setting {
            name: concat!($prefix, stringify!($name)),
            kind: Kind::$kind,
            least: $least,
            set: |limits, amount| {
                let limits: &mut $limits = limits.$group;
                limits.$name = FromAmount::from_amount(amount);
            },
        },)+)+];
    };
}

settings! {
    objects: ObjectLimits, "" {
        live_objects_max: Count from 1,
        node_resident_bytes_max: Bytes from 64 * MIB,
        place_wait: Time from 0,
        mailbox_events_max: Count from 1,
        mailbox_bytes_max: Bytes from 1,
        events_in_flight_max: Count from 1,
        imports_while_taking_max: Count from 1,
        imports_unfinished_max: Count from 1,
        bodies_open_max: Count from 0,
        requests_at_once_max: Count from 1,
        outputs_held_max: Count from 1,
        outputs_held_bytes_max: Bytes from 1,
        node_outputs_held_bytes_max: Bytes from 1,
        hibernate_after: Time from 0,
        close_after: Time from 0,
        drain: Time from 0,
        cpu_per_event: Time from 10,
        memory_bytes_max: Bytes from MIB,
        wal_bytes_max: Bytes from 64 * 1024,
        node_wal_bytes_max: Bytes from MIB,
        checkpoint_after: Time from 1,
        transaction_bytes_max: Bytes from 64 * 1024,
        sql_memory_bytes_max: Bytes from MIB,
        database_pages_max: Count from 16,
        operator_sql_time_max: Time from 1,
        start_timeout: Time from 1,
        resets_free: Count from 0,
        reset_wait: Time from 0,
        reset_wait_max: Time from 0,
        section_timeout: Time from 1,
        commit_timeout: Time from 1,
        pending_work_timeout: Time from 1,
        alarm_retry_wait: Time from 1,
        alarm_run_timeout: Time from 1,
        alarm_runs_max: Count from 1,
        socket_outgoing_bytes_max: Bytes from 1,
        sockets_outgoing_bytes_max: Bytes from 64 * 1024,
        node_sockets_outgoing_bytes_max: Bytes from MIB,
        node_sockets_incoming_bytes_max: Bytes from MIB,
        outgoing_sockets_max: Count from 0,
    }
    http: HttpLimits, "http." {
        connections_max: Count from 1,
        head_timeout: Time from 1,
        write_timeout: Time from 1,
        body_silence_max: Time from 1,
        request_body_bytes_max: Bytes from 0,
        arguments_bytes_max: Bytes from 0,
        sockets_max: Count from 0,
        socket_silence_max: Time from 10,
        socket_close_timeout: Time from 1,
    }
    outgoing: OutgoingLimits, "outgoing." {
        connections_max: Count from 1,
        lookups_max: Count from 1,
        connect_timeout: Time from 1,
        head_timeout: Time from 1,
        body_silence_max: Time from 1,
    }
    compile: CompileLimits, "compile." {
        memory_bytes_max: Bytes from 64 * MIB,
        cpu: Time from 1000,
        wall: Time from 1000,
    }
    disk: DiskLimits, "disk." {
        reserve_bytes: Bytes from 16 * MIB,
        log_bytes_max: Bytes from MIB,
    }
}

/// Why a text sets no limit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingError {
    /// It has no `=`.
    #[error(
        "`{0}` gives no value; write NAME=VALUE, such as `mailbox_events_max=100` or `http.head_timeout=5s`"
    )]
    NoValue(String),
    /// No limit has the name.
    #[error("no limit is named `{name}`; {hint}")]
    Unknown {
        /// The name.
        name: String,
        /// Names that are near, or all of them.
        hint: String,
    },
    /// The value cannot be read.
    #[error("`{value}` is no value of `{name}`; {way_out}")]
    NotRead {
        /// Whose value.
        name: &'static str,
        /// The value.
        value: String,
        /// What would be one.
        way_out: &'static str,
    },
    /// The value is too small or too large.
    #[error("`{value}` is no value of `{name}`; it is {least} at least and {most} at most")]
    OutOfRange {
        /// Whose value.
        name: &'static str,
        /// The value.
        value: String,
        /// Least value.
        least: String,
        /// Greatest value.
        most: String,
    },
}

impl Change {
    /// Reads `NAME=VALUE`. The limits of objects may be named with and without `objects.`.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        let (name, value) = text.split_once('=').ok_or_else(|| SettingError::NoValue(text.to_owned()))?;
        let (name, value) = (name.trim(), value.trim());
        let plain = name.strip_prefix("objects.").unwrap_or(name);
        let setting = SETTINGS.iter().find(|setting| setting.name == plain);
        let setting =
            setting.ok_or_else(|| SettingError::Unknown { name: name.to_owned(), hint: hint(plain) })?;
        let amount = setting.kind.read(value).ok_or_else(|| SettingError::NotRead {
            name: setting.name,
            value: value.to_owned(),
            way_out: setting.kind.way_out(),
        })?;
        let most = setting.kind.most();
        if !(setting.least..=most).contains(&amount) {
            let shown = |amount| Amount { amount, kind: setting.kind }.to_string();
            return Err(SettingError::OutOfRange {
                name: setting.name,
                value: value.to_owned(),
                least: shown(setting.least),
                most: shown(most),
            });
        }
        Ok(Self { setting, amount })
    }

    /// Changes the limit.
    pub fn apply(&self, mut limits: LimitsMut<'_>) {
        (self.setting.set)(&mut limits, self.amount);
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.setting.name, Amount { amount: self.amount, kind: self.setting.kind })
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Change({self})")
    }
}

impl Kind {
    /// Units, the smallest first, with how much of the first each is.
    const fn units(self) -> &'static [(&'static str, u64)] {
        match self {
            Self::Count => &[("", 1)],
            Self::Bytes => {
                &[("B", 1), ("", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)]
            }
            Self::Time => &[("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)],
        }
    }

    const fn most(self) -> u64 {
        match self {
            Self::Count => COUNT_MAX,
            Self::Bytes => BYTES_MAX,
            Self::Time => TIME_MS_MAX,
        }
    }

    const fn way_out(self) -> &'static str {
        match self {
            Self::Count => "write a number, such as `100`",
            Self::Bytes => "write a number of bytes, or one with B, KiB, MiB, GiB or TiB, such as `64MiB`",
            Self::Time => "write a number with ms, s, min, h or d, such as `5s`",
        }
    }

    /// The amount that a text means; a very large one as the largest number there is.
    fn read(self, text: &str) -> Option<u64> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return None;
        }
        let (_, factor) = self.units().iter().find(|(name, _)| *name == unit)?;
        Some(number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(*factor))
    }
}

/// An amount, in the largest unit of which it is a whole number.
struct Amount {
    amount: u64,
    kind: Kind,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = self.kind.units();
        let whole = units
            .iter()
            .rev()
            .find(|(_, factor)| self.amount >= *factor && self.amount.is_multiple_of(*factor));
        let (unit, factor) = whole.unwrap_or(&units[0]);
        write!(f, "{}{unit}", self.amount / factor)
    }
}

/// A field of limits, made from an amount within the bounds of its kind.
trait FromAmount {
    fn from_amount(amount: u64) -> Self;
}

impl FromAmount for u32 {
    fn from_amount(amount: u64) -> Self {
        Self::try_from(amount).expect("BUG: counts are bounded")
    }
}

impl FromAmount for u64 {
    fn from_amount(amount: u64) -> Self {
        amount
    }
}

impl FromAmount for usize {
    fn from_amount(amount: u64) -> Self {
        Self::try_from(amount).expect("BUG: amounts are bounded")
    }
}

impl FromAmount for Option<usize> {
    fn from_amount(amount: u64) -> Self {
        Some(usize::from_amount(amount))
    }
}

impl FromAmount for Duration {
    fn from_amount(amount: u64) -> Self {
        Self::from_millis(amount)
    }
}

/// The names that are nearest to one that is not known; if none is near, all.
fn hint(name: &str) -> String {
    let bare = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
    // A prefix that was left out or mistaken costs nothing, letters that differ count.
    let asked = name.rsplit('.').next().unwrap_or(name);
    let distance = |setting: &Setting| distance(name, setting.name).min(distance(asked, bare(setting.name)));
    let mut near: Vec<_> = SETTINGS.iter().map(|setting| (distance(setting), setting.name)).collect();
    near.sort_by_key(|(distance, _)| *distance);
    let nearest = near[0].0;
    // Two letters may be exchanged in a short name, and a third of a long one may be wrong.
    if nearest > (asked.len() / 3).max(2) {
        let all: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
        return format!("there are {}", all.join(", "));
    }
    let near = near.iter().take_while(|(distance, _)| *distance == nearest).take(NEAR_MAX);
    let near: Vec<_> = near.map(|(_, name)| format!("`{name}`")).collect();
    format!("did you mean {}?", near.join(" or "))
}

/// Letters that have to be added, left out or replaced to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, with) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *with);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Limits {
        objects: ObjectLimits,
        http: HttpLimits,
        outgoing: OutgoingLimits,
        compile: CompileLimits,
        disk: DiskLimits,
    }

    impl Limits {
        fn change(&mut self, text: &str) {
            let limits = LimitsMut {
                objects: &mut self.objects,
                http: &mut self.http,
                outgoing: &mut self.outgoing,
                compile: &mut self.compile,
                disk: &mut self.disk,
            };
            Change::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).apply(limits);
        }

        fn shown(&self) -> [String; 5] {
            let Self { objects, http, outgoing, compile, disk } = self;
            [
                format!("{objects:?}"),
                format!("{http:?}"),
                format!("{outgoing:?}"),
                format!("{compile:?}"),
                format!("{disk:?}"),
            ]
        }
    }

    fn refused(text: &str) -> String {
        Change::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn values_have_units_and_names_the_prefix_of_their_group() {
        let mut limits = Limits::default();
        for text in [
            "live_objects_max=17",
            "objects.mailbox_bytes_max = 64KiB",
            "resets_free=0",
            "memory_bytes_max=2097152",
            "http.head_timeout=250ms",
            "outgoing.head_timeout=2min",
            "compile.memory_bytes_max=3GiB",
        ] {
            limits.change(text);
        }
        assert_eq!(limits.objects.live_objects_max, Some(17));
        assert_eq!((limits.objects.mailbox_bytes_max, limits.objects.memory_bytes_max), (65_536, 2 << 20));
        assert_eq!(limits.objects.resets_free, 0);
        assert_eq!(limits.http.head_timeout, Duration::from_millis(250));
        assert_eq!(limits.outgoing.head_timeout, Duration::from_secs(120));
        assert_eq!(limits.compile.memory_bytes_max, 3 << 30);
    }

    /// A name that sets the field of another is as bad as none.
    #[test]
    fn each_name_sets_its_own_field_and_nothing_else() {
        for setting in SETTINGS {
            let mut limits = Limits::default();
            let before = limits.shown();
            let amount = Amount { amount: setting.least.max(1234), kind: setting.kind };
            limits.change(&format!("{}={amount}", setting.name));
            let after = limits.shown();
            let changed: Vec<_> =
                before.iter().zip(&after).filter(|(before, after)| before != after).collect();
            let [(before, after)] = changed[..] else { panic!("{}: {changed:?}", setting.name) };
            let differ: Vec<_> = before.split(", ").zip(after.split(", ")).filter(|(a, b)| a != b).collect();
            let field = setting.name.rsplit('.').next().expect("a name");
            assert!(differ.len() == 1 && differ[0].1.contains(&format!("{field}: ")), "{differ:?}");
        }
    }

    #[test]
    fn a_value_is_shown_as_it_may_be_written() {
        for text in
            ["mailbox_events_max=1000", "wal_bytes_max=64KiB", "wal_bytes_max=65537", "http.head_timeout=90s"]
        {
            assert_eq!(Change::parse(text).expect("good").to_string(), text);
        }
        assert_eq!(Change::parse("wal_bytes_max=1024KiB").expect("good").to_string(), "wal_bytes_max=1MiB");
        assert_eq!(Change::parse("place_wait=0s").expect("good").to_string(), "place_wait=0ms");
    }

    #[test]
    fn a_mistyped_name_is_answered_with_the_nearest_ones() {
        assert!(refused("mailbox_event_max=1").ends_with("did you mean `mailbox_events_max`?"));
        assert!(
            refused("head_timeout=1s")
                .ends_with("did you mean `http.head_timeout` or `outgoing.head_timeout`?")
        );
        assert!(refused("http.lookups_max=1").ends_with("did you mean `outgoing.lookups_max`?"));
        assert!(refused("objects.drian=1s").ends_with("did you mean `drain`?"));
        let all = refused("colour=red");
        assert!(all.contains("there are live_objects_max, ") && all.contains("compile.wall"), "{all}");
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused_with_the_way_out() {
        assert!(refused("drain").contains("write NAME=VALUE"));
        for text in ["drain=5", "drain=s", "drain=", "drain=1.5s", "drain=-1s", "drain=5 s", "drain=5sec"] {
            assert!(refused(text).contains("such as `5s`"), "{text}");
        }
        for text in ["wal_bytes_max=1MB", "wal_bytes_max=many", "wal_bytes_max=1mib"] {
            assert!(refused(text).contains("such as `64MiB`"), "{text}");
        }
        assert!(refused("mailbox_events_max=5k").contains("such as `100`"));
        assert!(refused("mailbox_events_max=0").contains("it is 1 at least"));
        assert!(refused("memory_bytes_max=1KiB").contains("it is 1MiB at least"));
        assert!(refused("compile.cpu=1ms").contains("it is 1s at least and 365d at most"));
        for text in ["drain=366d", "resets_free=4294967296", "wal_bytes_max=99999999999999999999TiB"] {
            assert!(refused(text).contains(" at most"), "{text}");
        }
    }
}
