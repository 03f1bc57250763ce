//! The object's alarm: a row of the hidden metadata table, written in the same turn as everything else (AL-4).
//!
//! So savepoints, transactions, roll-back and traps undo it like any write. The end of the turn finds out
//! what became of the time at which the object is to be woken, for the commit's record. Also stored is how
//! often a run has failed, so that a restart does not begin to count anew.

use durabo_model::limits::ALARM_TIME_MS_MAX;
use durabo_model::time::Timestamp;
use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::database::{ALARM_ROW, CREATE_METADATA, Database, HAS_METADATA};
use crate::kv::KvWriteOptions;
use crate::sql_error::SqlError;

const GET: &str = "SELECT value FROM _cf_METADATA WHERE key = ?1";
const PUT: &str = "INSERT OR REPLACE INTO _cf_METADATA(key, value) VALUES(?1, ?2)";
const DELETE: &str = "DELETE FROM _cf_METADATA WHERE key = ?1";

/// The alarm as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAlarm {
    /// The time that was set.
    pub time: Timestamp,
    /// Tells it from one that is set later for the same time. Unique while the object is in memory.
    pub serial: u64,
    /// When it is to run next: the time that was set, or a later one between two tries.
    pub due: Timestamp,
    /// Counted tries that have failed (AL-11).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// How often the wait before the next try has doubled.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub doublings: u32,
    /// Row of the named alarm that this is; `None` for the one without a name.
    #[serde(skip)]
    pub schedule: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What is to be set.
#[derive(Debug, Clone, Copy)]
pub struct NewAlarm {
    /// When it is to run, in ms since 1970; a past time means now (AL-1).
    pub time_ms: u64,
    /// The present time.
    pub now: Timestamp,
    /// The alarm that runs at present, which counts as not set (AL-9).
    pub running: Option<u64>,
}

/// Why an alarm could not be set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AlarmError {
    /// The time is 0.
    #[error("setAlarm() cannot be called with an alarm time <= 0")]
    NotPositive,
    /// The time is too far ahead.
    #[error("This API doesn't support dates after 2189. The time given is {0} ms after 1970")]
    TooFar(u64),
    /// SQLite failed.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl Database {
    /// The alarm, as the turn has left it so far (AL-3).
    pub fn alarm(&mut self) -> Result<Option<StoredAlarm>, SqlError> {
        self.for_alarm(Self::stored_alarm)
    }

    /// Sets or replaces the alarm (AL-1). Setting what is set already changes nothing (AL-24).
    pub fn set_alarm(&mut self, new: NewAlarm, options: KvWriteOptions) -> Result<(), AlarmError> {
        let time = match new.time_ms {
            0 => return Err(AlarmError::NotPositive),
            time if time > ALARM_TIME_MS_MAX => return Err(AlarmError::TooFar(time)),
            time => Timestamp(time).max(new.now),
        };
        self.for_alarm(|database| {
            let known = database.stored_alarm()?;
            let is_set = |known: &StoredAlarm| {
                known.time == time && known.retries == 0 && Some(known.serial) != new.running
            };
            if known.as_ref().is_some_and(is_set) {
                return Ok(());
            }
            let used = [Some(database.newest_alarm), known.map(|known| known.serial), new.running];
            let serial = used.into_iter().flatten().max().unwrap_or_default() + 1;
            database.newest_alarm = serial;
            let alarm = StoredAlarm { time, serial, due: time, retries: 0, doublings: 0, schedule: None };
            database.put_alarm(Some(&alarm), options)
        })?;
        Ok(())
    }

    /// Removes the alarm, if there is one (AL-3); says whether there was.
    pub fn delete_alarm(&mut self, options: KvWriteOptions) -> Result<bool, SqlError> {
        self.for_alarm(|database| {
            if database.stored_alarm()?.is_none() {
                return Ok(false);
            }
            database.put_alarm(None, options)?;
            Ok(true)
        })
    }

    /// After a run of the alarm `serial`: stores its next try, or removes it. Another alarm that was set
    /// meanwhile stays (AL-14); says whether it was still this one. Savepoints that its handler has left open are
    /// rolled back, as the end of the turn would: what follows of the run must not be undone with them.
    pub fn settle_alarm(&mut self, serial: u64, next: Option<StoredAlarm>) -> Result<bool, SqlError> {
        self.for_alarm(|database| {
            database.roll_back_savepoints();
            database.check_poison()?;
            if database.stored_alarm()?.is_none_or(|known| known.serial != serial) {
                return Ok(false);
            }
            database.put_alarm(next.as_ref(), KvWriteOptions::default())?;
            Ok(true)
        })
    }

    /// What every call has around it.
    fn for_alarm<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, SqlError>) -> Result<T, SqlError> {
        self.cost = 0;
        self.check_poison()?;
        self.within_memory(run).map_err(|error| self.explained(error))
    }

    pub(crate) fn stored_alarm(&mut self) -> Result<Option<StoredAlarm>, SqlError> {
        if !self.has_metadata()? {
            return Ok(None);
        }
        let read = self.connection.with_cached(GET, |statement| {
            statement.query_row([ALARM_ROW], |row| row.get::<_, String>(0)).optional()
        });
        let text = read.map_err(|error| self.noticed(error))?;
        let damaged = |text: &str| {
            let text = format!("the alarm is stored as `{text}`, which no node writes");
            SqlError::sqlite(rusqlite::ffi::SQLITE_CORRUPT, &text, None)
        };
        text.map(|text| serde_json::from_str(&text).map_err(|_| damaged(&text))).transpose()
    }

    fn put_alarm(&mut self, alarm: Option<&StoredAlarm>, options: KvWriteOptions) -> Result<(), SqlError> {
        self.begin_wake_write(options)?;
        let Some(alarm) = alarm else {
            let deleted = self.connection.run(DELETE, &[&ALARM_ROW]);
            return deleted.map_err(|error| self.noticed(error));
        };
        if !self.has_metadata()? {
            self.host_make(CREATE_METADATA)?;
            self.has_metadata = true;
        }
        let text = serde_json::to_string(alarm).expect("BUG: numbers are always JSON");
        let put = self.connection.run(PUT, &[&ALARM_ROW, &text]);
        put.map_err(|error| self.noticed(error))
    }

    fn has_metadata(&mut self) -> Result<bool, SqlError> {
        if !self.has_metadata {
            self.has_metadata = self.host_query::<bool>(HAS_METADATA)?;
        }
        Ok(self.has_metadata)
    }
}
