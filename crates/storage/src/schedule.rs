//! Named alarms: a hidden table of the object's database, written in the turn as the alarm is (SC-18).
//!
//! What an entry's trigger says is not known here: whoever sets one gives its text and its first time, and after
//! a run the next time. The object is to be woken at the least of the alarm and the entries; the end of the turn
//! finds out whether that has changed.

use durabo_changelog::mutation::{Mutation, is_planted};
use durabo_changelog::record::AlarmChange;
use durabo_model::limits::{
    KV_LIST_BYTES_MAX, SCHEDULE_NAME_BYTES_MAX, SCHEDULE_PAYLOAD_BYTES_MAX, SCHEDULES_MAX,
};
use durabo_model::time::Timestamp;
use rusqlite::{OptionalExtension, Row, ToSql};
use thiserror::Error;

use crate::alarm::StoredAlarm;
use crate::database::Database;
use crate::kv::KvWriteOptions;
use crate::sql_error::SqlError;

const HAS_TABLE: &str = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = '_cf_SCHEDULE'";
const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS _cf_SCHEDULE(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
     serial INTEGER NOT NULL, time INTEGER NOT NULL, due INTEGER NOT NULL, retries INTEGER NOT NULL,
     doublings INTEGER NOT NULL, rule TEXT NOT NULL, payload BLOB NOT NULL)";
const CREATE_INDEX: &str = "CREATE INDEX IF NOT EXISTS _cf_SCHEDULE_due ON _cf_SCHEDULE(due, name)";
const COUNT: &str = "SELECT count(*) FROM _cf_SCHEDULE";
const BY_NAME: &str =
    "SELECT id, serial, time, due, retries, doublings, name, rule, payload FROM _cf_SCHEDULE WHERE name = ?1";
const BY_ID: &str =
    "SELECT id, serial, time, due, retries, doublings, name, rule, payload FROM _cf_SCHEDULE WHERE id = ?1";
const AFTER: &str = "SELECT id, serial, time, due, retries, doublings, name, rule, payload FROM _cf_SCHEDULE
     WHERE name > ?1 OR (name = ?1 AND ?2) ORDER BY name LIMIT ?3";
const NEXT: &str =
    "SELECT id, serial, time, due, retries, doublings FROM _cf_SCHEDULE ORDER BY due, name LIMIT 1";
const PUT: &str =
    "INSERT OR REPLACE INTO _cf_SCHEDULE(name, serial, time, due, retries, doublings, rule, payload)
     VALUES(?1, ?2, ?3, ?3, 0, 0, ?4, ?5)";
const SETTLE: &str =
    "UPDATE _cf_SCHEDULE SET time = ?2, due = ?3, retries = ?4, doublings = ?5 WHERE id = ?1";
const DELETE: &str = "DELETE FROM _cf_SCHEDULE WHERE id = ?1";

/// A named alarm as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSchedule {
    /// When it runs next, and how often it has failed.
    pub run: StoredAlarm,
    /// Its name.
    pub name: String,
    /// When it runs, as whoever set it wrote it.
    pub rule: String,
    /// For the handler.
    pub payload: Vec<u8>,
}

impl StoredSchedule {
    /// The error of whoever cannot read its rule.
    pub fn damaged(&self) -> SqlError {
        let text = format!("a schedule's rule is stored as `{}`, which no node writes", self.rule);
        SqlError::sqlite(rusqlite::ffi::SQLITE_CORRUPT, &text, None)
    }
}

/// What is to be set.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// Its name.
    pub name: String,
    /// When it runs; not looked at.
    pub rule: String,
    /// For the handler.
    pub payload: Vec<u8>,
    /// Its first run.
    pub time: Timestamp,
    /// The entry that runs at present and counts as gone (SC-12).
    pub gone: Option<u64>,
}

/// Which entries a list has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleListOptions {
    /// Names that begin so.
    pub prefix: String,
    /// Names after this one.
    pub start_after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Why a call was refused or failed; it has written nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// An empty or a long name.
    #[error("a schedule's name has 1 to {SCHEDULE_NAME_BYTES_MAX} bytes, not {0}")]
    Name(usize),
    /// Too much for the handler.
    #[error(
        "the payload of schedule `{name}` has {bytes} bytes, the limit is {SCHEDULE_PAYLOAD_BYTES_MAX}; \
         store it and name it in the payload"
    )]
    Payload {
        /// Of the entry.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// Too many entries.
    #[error(
        "the object has {SCHEDULES_MAX} schedules, which is the limit; delete one, or use one for several"
    )]
    TooMany,
    /// A list of nothing.
    #[error("List limit must be positive.")]
    Limit,
    /// A list that is too large.
    #[error("the list has more than {KV_LIST_BYTES_MAX} bytes; page with `limit` and `start-after`")]
    ListTooLarge,
    /// SQLite failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Database {
    /// Adds or replaces an entry. Setting exactly what is stored changes nothing (SC-7).
    pub fn set_schedule(&mut self, new: NewSchedule, options: KvWriteOptions) -> Result<(), ScheduleError> {
        check_name(&new.name)?;
        if new.payload.len() > SCHEDULE_PAYLOAD_BYTES_MAX {
            return Err(ScheduleError::Payload { name: new.name, bytes: new.payload.len() });
        }
        self.for_schedules(|database| {
            let known = database.find_schedule(BY_NAME, &new.name)?;
            let is_same = |known: &StoredSchedule| {
                (&known.rule, &known.payload) == (&new.rule, &new.payload)
                    && Some(known.run.serial) != new.gone
            };
            if known.as_ref().is_some_and(is_same) && !is_planted(Mutation::SetSameAnew) {
                return Ok(());
            }
            let has_table = database.has_schedules()?;
            if known.is_none() && has_table && database.host_query::<i64>(COUNT)? >= SCHEDULES_MAX as i64 {
                return Err(ScheduleError::TooMany);
            }
            database.begin_wake_write(options)?;
            if !has_table {
                database.host_make(CREATE)?;
                database.host_make(CREATE_INDEX)?;
                database.has_schedules = Some(true);
            }
            let serial = known.map_or(0, |known| known.run.serial).max(database.newest_alarm) + 1;
            database.newest_alarm = serial;
            let (serial, time) = (serial as i64, new.time.0 as i64);
            Ok(database.schedule_run(PUT, &[&new.name, &serial, &time, &new.rule, &new.payload])?)
        })
    }

    /// The entry of that name, as the turn has left it so far.
    pub fn schedule(&mut self, name: &str) -> Result<Option<StoredSchedule>, ScheduleError> {
        check_name(name)?;
        self.for_schedules(|database| Ok(database.find_schedule(BY_NAME, &name)?))
    }

    /// The entry that a run is for; `None` if it was deleted or replaced meanwhile.
    pub fn schedule_of(&mut self, run: &StoredAlarm) -> Result<Option<StoredSchedule>, SqlError> {
        let found = self.for_schedules(|database| Ok(database.find_schedule(BY_ID, &run.schedule)?));
        let found = found.map_err(|error| match error {
            ScheduleError::Sql(error) => error,
            other => unreachable!("BUG: a look at an entry was refused: {other}"),
        })?;
        let is_this = |entry: &StoredSchedule| {
            entry.run.serial == run.serial || is_planted(Mutation::SettleReplacedEntry)
        };
        Ok(found.filter(is_this))
    }

    /// Removes an entry; whether it was there.
    pub fn delete_schedule(&mut self, name: &str, options: KvWriteOptions) -> Result<bool, ScheduleError> {
        check_name(name)?;
        self.for_schedules(|database| {
            let Some(known) = database.find_schedule(BY_NAME, &name)? else { return Ok(false) };
            database.begin_wake_write(options)?;
            database.schedule_run(DELETE, &[&known.run.schedule])?;
            Ok(true)
        })
    }

    /// Entries in the order of the bytes of their names, about 16 MiB at most.
    pub fn list_schedules(
        &mut self,
        options: &ScheduleListOptions,
    ) -> Result<Vec<StoredSchedule>, ScheduleError> {
        if options.limit == 0 {
            return Err(ScheduleError::Limit);
        }
        self.for_schedules(|database| {
            if !database.has_schedules()? {
                return Ok(Vec::new());
            }
            let after = options.start_after.as_deref().filter(|after| *after >= options.prefix.as_str());
            let (from, is_inclusive) = after.map_or((options.prefix.as_str(), true), |after| (after, false));
            let listed = database.connection.with_cached(AFTER, |statement| {
                let (mut entries, mut bytes) = (Vec::new(), 0);
                let mut rows = statement.query(rusqlite::params![from, is_inclusive, options.limit])?;
                while let Some(row) = rows.next()? {
                    let entry = entry_of(row)?;
                    if !entry.name.starts_with(&options.prefix) {
                        break;
                    }
                    bytes += entry.name.len() + entry.rule.len() + entry.payload.len();
                    if bytes > KV_LIST_BYTES_MAX {
                        return Ok(None);
                    }
                    entries.push(entry);
                }
                Ok(Some(entries))
            });
            listed.map_err(|error| database.noticed(error))?.ok_or(ScheduleError::ListTooLarge)
        })
    }

    /// What the object is to be woken for next: the alarm or an entry, whichever is due first (SC-11).
    pub fn next_run(&mut self) -> Result<Option<StoredAlarm>, SqlError> {
        let alarm = self.alarm()?;
        let entry = self.next_schedule()?;
        let next = match (alarm, entry) {
            (Some(alarm), Some(entry)) if entry.due < alarm.due => Some(entry),
            (alarm, entry) => alarm.or(entry),
        };
        // What is set during the run must differ from it.
        self.newest_alarm = self.newest_alarm.max(next.map_or(0, |next| next.serial));
        Ok(next)
    }

    /// After a run: stores the next one of its entry, or removes the entry. One that was set meanwhile stays; says
    /// whether it was still this one. Savepoints are rolled back as by [`settle_alarm`](Self::settle_alarm).
    pub fn settle_schedule(
        &mut self,
        run: &StoredAlarm,
        next: Option<StoredAlarm>,
    ) -> Result<bool, SqlError> {
        self.roll_back_savepoints();
        if self.schedule_of(run)?.is_none() {
            return Ok(false);
        }
        if is_planted(Mutation::KeepEntryThatRan) {
            return Ok(true);
        }
        self.begin_wake_write(KvWriteOptions::default())?;
        match next {
            None => self.schedule_run(DELETE, &[&run.schedule])?,
            Some(next) => {
                let (time, due) = (next.time.0 as i64, next.due.0 as i64);
                self.schedule_run(SETTLE, &[&run.schedule, &time, &due, &next.retries, &next.doublings])?;
            }
        }
        Ok(true)
    }

    /// When the object is to be woken, as the turn has left it so far.
    pub(crate) fn wake_time(&mut self) -> Result<Option<Timestamp>, SqlError> {
        let alarm = self.stored_alarm()?.map(|alarm| alarm.due);
        let entry = self.next_schedule()?.filter(|_| !is_planted(Mutation::LeaveEntriesOut));
        let entry = entry.map(|entry| entry.due);
        Ok(alarm.into_iter().chain(entry).min())
    }

    /// What became of the time at which the object is to be woken, in the turn that ends. A turn that has emptied the
    /// database says it in any case: alarm and entries went with the rest (KV-16).
    pub(crate) fn wake_change(&mut self, has_wiped: bool) -> Result<AlarmChange, SqlError> {
        let before = match self.alarm_before {
            None if !has_wiped => return Ok(AlarmChange::Unchanged),
            before => before,
        };
        let after = self.wake_time()?;
        Ok(match after {
            after if !has_wiped && before == Some(after) => AlarmChange::Unchanged,
            Some(due) => AlarmChange::Set(due),
            None => AlarmChange::Cleared,
        })
    }

    fn next_schedule(&mut self) -> Result<Option<StoredAlarm>, SqlError> {
        if !self.has_schedules()? {
            return Ok(None);
        }
        let next = self.connection.with_cached(NEXT, |statement| statement.query_row([], run_of).optional());
        next.map_err(|error| self.noticed(error))
    }

    fn has_schedules(&mut self) -> Result<bool, SqlError> {
        if let Some(known) = self.has_schedules {
            return Ok(known);
        }
        let has_schedules = self.host_query(HAS_TABLE)?;
        self.has_schedules = Some(has_schedules);
        Ok(has_schedules)
    }

    /// Begins a write that may change when the object is to be woken.
    pub(crate) fn begin_wake_write(&mut self, options: KvWriteOptions) -> Result<(), SqlError> {
        if self.alarm_before.is_none() {
            // As it was when the turn began: this is the turn's first change of it.
            self.alarm_before = Some(self.wake_time()?);
        }
        self.begin_host_write(options)
    }

    fn schedule_run(&mut self, text: &str, bindings: &[&dyn ToSql]) -> Result<(), SqlError> {
        let ran = self.connection.run(text, bindings);
        ran.map_err(|error| self.noticed(error))
    }

    fn find_schedule(&mut self, query: &str, by: &dyn ToSql) -> Result<Option<StoredSchedule>, SqlError> {
        if !self.has_schedules()? {
            return Ok(None);
        }
        let found =
            self.connection.with_cached(query, |statement| statement.query_row([by], entry_of).optional());
        found.map_err(|error| self.noticed(error))
    }

    /// What every call has around it.
    fn for_schedules<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, ScheduleError>,
    ) -> Result<T, ScheduleError> {
        self.cost = 0;
        self.check_poison()?;
        self.within_memory(run).map_err(|error| match error {
            ScheduleError::Sql(error) => ScheduleError::Sql(self.explained(error)),
            refused => refused,
        })
    }
}

fn check_name(name: &str) -> Result<(), ScheduleError> {
    let is_good = (1..=SCHEDULE_NAME_BYTES_MAX).contains(&name.len());
    if is_good { Ok(()) } else { Err(ScheduleError::Name(name.len())) }
}

fn run_of(row: &Row<'_>) -> rusqlite::Result<StoredAlarm> {
    Ok(StoredAlarm {
        schedule: Some(row.get(0)?),
        serial: row.get::<_, i64>(1)? as u64,
        time: Timestamp(row.get::<_, i64>(2)? as u64),
        due: Timestamp(row.get::<_, i64>(3)? as u64),
        retries: row.get(4)?,
        doublings: row.get(5)?,
    })
}

fn entry_of(row: &Row<'_>) -> rusqlite::Result<StoredSchedule> {
    Ok(StoredSchedule { run: run_of(row)?, name: row.get(6)?, rule: row.get(7)?, payload: row.get(8)? })
}
