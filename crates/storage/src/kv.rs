//! Keys and values of an object, in a hidden table of its database and in the same turn as its SQL (rules KV).
//!
//! The table is made by the first write and undone with it (KV-18); reading makes nothing (KV-19). A call is
//! checked before it writes, and one that writes several entries does so within a savepoint: it is all or
//! nothing (KV-4). The bytes of a value come back as they were (KV-12).

use std::collections::BTreeSet;

use durabo_model::limits::{
    KV_ENTRY_BYTES_COUNTED, KV_ENTRY_BYTES_MAX, KV_GET_BYTES_MAX, KV_KEY_BYTES_MAX, KV_KEYS_MAX,
    KV_LIST_BYTES_MAX,
};
use rusqlite::types::ToSqlOutput;
use rusqlite::{OptionalExtension, Row, ToSql, ffi};

use crate::database::Database;
use crate::sql_error::SqlError;

pub use crate::kv_error::KvError;
pub use crate::kv_range::ListOptions;

const HAS_TABLE: &str = "SELECT count(*) FROM sqlite_schema WHERE name = '_cf_KV'";
const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS _cf_KV(key TEXT PRIMARY KEY, value BLOB, encoding INTEGER) WITHOUT ROWID";
const GET: &str = "SELECT key, value, encoding FROM _cf_KV WHERE key = ?1";
const EXISTS: &str = "SELECT 1 FROM _cf_KV WHERE key = ?1";
const PUT: &str = "INSERT OR REPLACE INTO _cf_KV(key, value, encoding) VALUES(?1, ?2, ?3)";
const DELETE: &str = "DELETE FROM _cf_KV WHERE key = ?1";

const SAVEPOINT: &str = "SAVEPOINT _cf_kv";
const RELEASE: &str = "RELEASE _cf_kv";
const ROLLBACK_TO: &str = "ROLLBACK TO _cf_kv";

macro_rules! encodings {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal,)+) => {
        /// What the bytes of a value are, as whoever wrote them says. Stored and never looked at.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Encoding { $($(#[doc = $doc])+ $name = $number,)+ }

        impl Encoding {
            /// Every encoding.
            pub const ALL: &'static [Encoding] = &[$(Encoding::$name,)+];

            fn of_number(number: i64) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

encodings! {
    /// Nothing is known of them.
    Bytes = 0,
    /// UTF-8.
    Text = 1,
    /// JSON.
    Json = 2,
    /// CBOR.
    Cbor = 3,
    /// Private to the guest's language.
    Custom = 4,
}

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvValue {
    /// What the bytes are.
    pub encoding: Encoding,
    /// The bytes.
    pub data: Vec<u8>,
}

/// A key and its value.
pub type KvEntry = (String, KvValue);

/// How a write is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KvWriteOptions {
    /// What leaves the object need not wait for it (OG-8).
    pub allow_unconfirmed: bool,
}

impl Database {
    /// The value under a key; `None` if the key does not exist (KV-2).
    pub fn kv_get(&mut self, key: &str) -> Result<Option<KvValue>, KvError> {
        check_key(key)?;
        self.for_kv(|database| {
            Ok(if database.has_kv_table()? { database.kv_find(key)?.map(|entry| entry.1) } else { None })
        })
    }

    /// Those of up to 128 keys that exist, in their order, each once (KV-3).
    pub fn kv_get_many(&mut self, keys: &[String]) -> Result<Vec<KvEntry>, KvError> {
        let keys = checked_keys(keys)?;
        self.for_kv(|database| {
            let (mut entries, mut bytes) = (Vec::new(), 0);
            if database.has_kv_table()? {
                for key in keys {
                    entries.extend(database.kv_find(key)?.inspect(|entry| bytes += size(entry)));
                    if bytes > KV_GET_BYTES_MAX {
                        return Err(KvError::ValuesTooLarge);
                    }
                }
            }
            Ok(entries)
        })
    }

    /// Writes up to 128 entries, or none of them if one cannot be written; of a repeated key the last one
    /// counts (KV-4).
    pub fn kv_put(&mut self, entries: &[KvEntry], options: KvWriteOptions) -> Result<(), KvError> {
        check_count(entries.len())?;
        for (key, value) in entries {
            check_key(key)?;
            let bytes = key.len() + value.data.len();
            if bytes > KV_ENTRY_BYTES_MAX {
                return Err(KvError::EntryTooLarge { bytes });
            }
        }
        if entries.is_empty() {
            return Ok(self.check_poison()?);
        }
        self.for_kv(|database| {
            database.begin_host_write(options)?;
            if !database.has_kv_table()? {
                database.host_make(CREATE)?;
                database.has_kv_table = true;
            }
            let rows: Vec<[&dyn ToSql; 3]> = entries
                .iter()
                .map(|(key, value)| [key as &dyn ToSql, &value.data, &value.encoding])
                .collect();
            database.kv_write_all(PUT, rows.iter().map(|row| &row[..]))
        })
    }

    /// Removes up to 128 keys, all or none; how many existed (KV-5). If none did, nothing is written.
    pub fn kv_delete(&mut self, keys: &[String], options: KvWriteOptions) -> Result<u32, KvError> {
        let keys = checked_keys(keys)?;
        self.for_kv(|database| {
            let mut found = Vec::new();
            if database.has_kv_table()? {
                for key in keys {
                    let exists = database.connection.with_cached(EXISTS, |statement| statement.exists([key]));
                    if exists.map_err(|error| database.noticed(error))? {
                        found.push(key);
                    }
                }
            }
            if found.is_empty() {
                return Ok(0);
            }
            database.begin_host_write(options)?;
            let rows: Vec<[&dyn ToSql; 1]> = found.iter().map(|key| [key as &dyn ToSql]).collect();
            database.kv_write_all(DELETE, rows.iter().map(|row| &row[..]))?;
            Ok(found.len() as u32)
        })
    }

    /// Entries in the order of their keys' bytes (KV-6), about 16 MiB at most.
    pub fn kv_list(&mut self, options: &ListOptions) -> Result<Vec<KvEntry>, KvError> {
        let texts = [&options.prefix, &options.start, &options.start_after, &options.end];
        texts.into_iter().flatten().try_for_each(|text| check_key(text))?;
        let range = options.range()?;
        self.for_kv(|database| {
            if range.is_empty() || !database.has_kv_table()? {
                return Ok(Vec::new());
            }
            let limit = options.limit.map_or(-1, i64::from);
            let (ends_before, order) = (range.end.is_some(), if options.reverse { "DESC" } else { "ASC" });
            let text = format!(
                "SELECT key, value, encoding FROM _cf_KV WHERE key >= ?2 {} ORDER BY key {order} LIMIT ?1",
                if ends_before { "AND key < ?3" } else { "" }
            );
            let mut bindings: Vec<&dyn ToSql> = vec![&limit, &range.start];
            bindings.extend(range.end.as_ref().map(|end| end as &dyn ToSql));
            let (listed, cost) = database.connection.with_cached_and_cost(&text, |statement| {
                let (mut entries, mut bytes) = (Vec::new(), 0);
                let mut rows = statement.query(&bindings[..])?;
                while let Some(row) = rows.next()? {
                    let entry = entry_of(row)?;
                    bytes += size(&entry);
                    if bytes > KV_LIST_BYTES_MAX {
                        return Ok(None);
                    }
                    entries.push(entry);
                }
                Ok(Some(entries))
            });
            database.cost = cost;
            listed.map_err(|error| database.noticed(error))?.ok_or(KvError::ListTooLarge)
        })
    }

    /// What every call has around it.
    fn for_kv<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, KvError>) -> Result<T, KvError> {
        self.cost = 0;
        self.check_poison()?;
        self.within_memory(run).map_err(|error| match error {
            KvError::Sql(error) => KvError::Sql(self.explained(error)),
            refused => refused,
        })
    }

    fn has_kv_table(&mut self) -> Result<bool, SqlError> {
        if !self.has_kv_table {
            self.has_kv_table = self.host_query::<i64>(HAS_TABLE)? > 0;
        }
        Ok(self.has_kv_table)
    }

    fn kv_find(&mut self, key: &str) -> Result<Option<KvEntry>, SqlError> {
        let found =
            self.connection.with_cached(GET, |statement| statement.query_row([key], entry_of).optional());
        found.map_err(|error| self.noticed(error))
    }

    /// Begins a write into one of the host's tables that will change something.
    pub(crate) fn begin_host_write(&mut self, options: KvWriteOptions) -> Result<(), SqlError> {
        self.begin_turn()?;
        if !self.turn_wrote && self.refuses_writes() {
            return Err(self.refuse_write());
        }
        self.turn_wrote = true;
        self.turn_confirmed |= !options.allow_unconfirmed;
        Ok(())
    }

    /// Runs one statement once for each row of bindings, all or nothing.
    fn kv_write_all<'a>(
        &mut self,
        text: &str,
        rows: impl ExactSizeIterator<Item = &'a [&'a dyn ToSql]>,
    ) -> Result<(), KvError> {
        let is_guarded = rows.len() > 1;
        if is_guarded {
            self.host_run(SAVEPOINT)?;
        }
        let written = self.connection.with_cached(text, |statement| {
            for row in rows {
                statement.execute(row)?;
            }
            Ok(())
        });
        let written = written.map_err(|error| self.noticed(error));
        if is_guarded && self.poison.is_none() {
            if written.is_err() {
                self.host_run(ROLLBACK_TO)?;
            }
            self.host_run(RELEASE)?;
        }
        Ok(written?)
    }
}

impl ToSql for Encoding {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok((*self as i64).into())
    }
}

fn entry_of(row: &Row<'_>) -> rusqlite::Result<KvEntry> {
    let number: i64 = row.get(2)?;
    let encoding = Encoding::of_number(number).ok_or_else(|| damaged(number))?;
    Ok((row.get(0)?, KvValue { encoding, data: row.get_ref(1)?.as_blob()?.to_vec() }))
}

fn damaged(number: i64) -> rusqlite::Error {
    let text = format!("a value is stored in encoding {number}, which no node writes");
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(text))
}

/// What an entry counts toward the bounds of an answer.
fn size((key, value): &KvEntry) -> usize {
    key.len() + value.data.len() + KV_ENTRY_BYTES_COUNTED
}

fn check_count(count: usize) -> Result<(), KvError> {
    if count > KV_KEYS_MAX { Err(KvError::TooMany { count }) } else { Ok(()) }
}

fn check_key(key: &str) -> Result<(), KvError> {
    if key.len() > KV_KEY_BYTES_MAX { Err(KvError::KeyTooLarge { bytes: key.len() }) } else { Ok(()) }
}

/// The keys in their order, each once.
fn checked_keys(keys: &[String]) -> Result<BTreeSet<&str>, KvError> {
    check_count(keys.len())?;
    keys.iter().try_for_each(|key| check_key(key))?;
    Ok(keys.iter().map(String::as_str).collect())
}
