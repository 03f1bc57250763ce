//! The object index: one row for every object that has a file.
//!
//! Says how the file looked at its last checkpoint and where the object's history stood. A plain SQLite
//! database, synced at every transaction, and written before the checkpoint record that relies on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use durabo_changelog::disk::{Disk, OpenMode};
use durabo_changelog::record::FileMark;
use durabo_model::object::{NamespaceNumber, ObjectKey};
use durabo_model::object_id::ObjectId;
use durabo_model::sequence::Sequence;
use durabo_model::time::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};

use crate::error::{StorageError, disk_error};
use crate::sql_error::SqlError;
use crate::vfs::{self, VFS_NAME};
use crate::vfs_files::{FileSet, FileSetGuard};

/// Newest schema of the index that this program knows.
const SCHEMA_VERSION: i64 = 3;

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1024 * 1024;

const COLUMNS: &str = "namespace, id, name, file_bytes, first_page_crc, sequence, chain, last_commit, alarm";

/// What version 2 has beyond version 1, and its column.
const ALARMS: &str = "CREATE INDEX alarms ON objects(alarm, namespace, id) WHERE alarm IS NOT NULL";

/// What version 3 has beyond version 2: so that the alarms of a namespace are listed without a look at all others.
const NAMESPACE_ALARMS: &str =
    "CREATE INDEX namespace_alarms ON objects(namespace, alarm, id) WHERE alarm IS NOT NULL";

const ALARMS_OF_ALL: &str = "SELECT alarm, namespace, id FROM objects \
                             WHERE alarm IS NOT NULL AND (alarm, namespace, id) > (?1, ?2, ?3) \
                             ORDER BY alarm, namespace, id LIMIT ?4";

const ALARMS_OF_ONE: &str = "SELECT alarm, namespace, id FROM objects INDEXED BY namespace_alarms \
                             WHERE alarm IS NOT NULL AND namespace = ?2 AND (alarm, id) > (?1, ?3) \
                             ORDER BY alarm, id LIMIT ?4";

/// What the index says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// Which object.
    pub key: ObjectKey,
    /// Its name, if it was ever reached by name.
    pub name: Option<String>,
    /// How its file looked at the last checkpoint.
    pub mark: FileMark,
    /// Newest commit in the file.
    pub sequence: Sequence,
    /// Chain value after it.
    pub chain: u32,
    /// Time of that commit.
    pub last_commit: Timestamp,
    /// When the object is to be woken, if at all.
    pub alarm: Option<Timestamp>,
}

/// An object that is to be woken. Ordered by the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlarmEntry {
    /// When.
    pub due: Timestamp,
    /// Which object.
    pub key: ObjectKey,
}

/// The index. Fields are dropped in order: SQLite closes before its files go.
#[derive(Debug)]
pub struct ObjectIndex {
    db: Connection,
    path: PathBuf,
    _files: FileSetGuard,
}

impl ObjectIndex {
    /// Opens the index, making it if it does not exist.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, StorageError> {
        let failed = |source| StorageError::Sql { doing: "opening the object index", source };
        vfs::register()
            .map_err(|code| failed(SqlError::sqlite(code, "the VFS cannot be registered", None)))?;
        let files = FileSetGuard::new(FileSet::Plain { disk: disk.clone(), path: path.to_owned() });
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags_and_vfs(files.path(), flags, VFS_NAME)
            .map_err(|error| failed(SqlError::of_rusqlite(error)))?;
        let index = Self { db, path: path.to_owned(), _files: files };
        let version = index.set_up().map_err(|error| index.failed("opening the object index", error))?;
        if version > SCHEMA_VERSION {
            let reason = format!(
                "holds an object index of version {version}, this program knows up to {SCHEMA_VERSION}; use \
                 a newer durabo"
            );
            return Err(StorageError::Folder { path: path.to_owned(), reason });
        }
        if version < SCHEMA_VERSION {
            index.migrate(&*disk, version)?;
        }
        Ok(index)
    }

    /// The row of an object.
    pub fn get(&self, key: &ObjectKey) -> Result<Option<ObjectRow>, StorageError> {
        let query = format!("SELECT {COLUMNS} FROM objects WHERE namespace = ?1 AND id = ?2");
        let read = || {
            let mut statement = self.db.prepare_cached(&query)?;
            statement.query_row(params![key.namespace.0, key.id.as_bytes()], row_of).optional()
        };
        read().map_err(|error| self.failed("reading the object index", error))
    }

    /// Writes all rows in one transaction; durable when it returns.
    pub fn upsert_all(&mut self, rows: &[ObjectRow]) -> Result<(), StorageError> {
        let statement =
            format!("INSERT OR REPLACE INTO objects({COLUMNS}) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
        let write = |db: &mut Connection| {
            let transaction = db.transaction()?;
            {
                let mut insert = transaction.prepare_cached(&statement)?;
                for row in rows {
                    insert.execute(params![
                        row.key.namespace.0,
                        row.key.id.as_bytes(),
                        row.name,
                        row.mark.file_bytes as i64,
                        row.mark.first_page_crc,
                        row.sequence.0 as i64,
                        row.chain,
                        row.last_commit.0 as i64,
                        row.alarm.map(|due| due.0 as i64),
                    ])?;
                }
            }
            transaction.commit()
        };
        write(&mut self.db).map_err(|error| self.failed("writing the object index", error))
    }

    /// Rows of a namespace in order of their ids, those after `after`, `limit` at most.
    pub fn list(
        &self,
        namespace: NamespaceNumber,
        after: Option<ObjectId>,
        limit: u32,
    ) -> Result<Vec<ObjectRow>, StorageError> {
        let query =
            format!("SELECT {COLUMNS} FROM objects WHERE namespace = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
        let after = after.as_ref().map_or(&[][..], |id| id.as_bytes());
        let read = || -> rusqlite::Result<Vec<ObjectRow>> {
            let mut statement = self.db.prepare_cached(&query)?;
            statement.query_map(params![namespace.0, after, limit], row_of)?.collect()
        };
        read().map_err(|error| self.failed("reading the object index", error))
    }

    /// Objects that are to be woken, in order, those after `after`, `limit` at most; of one namespace or of all.
    pub fn alarms(
        &self,
        namespace: Option<NamespaceNumber>,
        after: Option<AlarmEntry>,
        limit: u32,
    ) -> Result<Vec<AlarmEntry>, StorageError> {
        let (due, number, id) = after.as_ref().map_or((-1, 0, &[][..]), |after| {
            (after.due.0 as i64, after.key.namespace.0, &after.key.id.as_bytes()[..])
        });
        let (query, number) = match namespace {
            None => (ALARMS_OF_ALL, number),
            Some(namespace) => (ALARMS_OF_ONE, namespace.0),
        };
        let entry_of = |row: &Row<'_>| {
            let due = Timestamp(row.get::<_, i64>(0)? as u64);
            Ok(AlarmEntry { due, key: key_of(row, 1)? })
        };
        let read = || -> rusqlite::Result<Vec<AlarmEntry>> {
            let mut statement = self.db.prepare_cached(query)?;
            statement.query_map(params![due, number, id, limit], entry_of)?.collect()
        };
        read().map_err(|error| self.failed("reading the object index", error))
    }

    /// Number of objects of a namespace that have a file.
    pub fn count(&self, namespace: NamespaceNumber) -> Result<u64, StorageError> {
        let query = "SELECT count(*) FROM objects WHERE namespace = ?1";
        let read = || self.db.prepare_cached(query)?.query_row([namespace.0], |row| row.get::<_, i64>(0));
        read().map(|count| count as u64).map_err(|error| self.failed("reading the object index", error))
    }

    /// Sets the connection and, in a new file, the table up; gives the schema's version.
    fn set_up(&self) -> rusqlite::Result<i64> {
        self.db.execute_batch(
            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; \
             PRAGMA temp_store=MEMORY",
        )?;
        let version: i64 = self.db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version == 0 {
            self.db.execute_batch(&format!(
                "BEGIN; CREATE TABLE objects(namespace INTEGER, id BLOB, name TEXT, \
                 file_bytes INTEGER NOT NULL, first_page_crc INTEGER NOT NULL, sequence INTEGER NOT NULL, \
                 chain INTEGER NOT NULL, last_commit INTEGER NOT NULL, alarm INTEGER, \
                 PRIMARY KEY(namespace, id)) WITHOUT ROWID; {ALARMS}; {NAMESPACE_ALARMS}; \
                 PRAGMA user_version={SCHEMA_VERSION}; COMMIT"
            ))?;
            return Ok(SCHEMA_VERSION);
        }
        // Touches the table, so that a damaged index is noticed before anybody is served.
        self.db.query_row("SELECT count(*) FROM (SELECT 1 FROM objects LIMIT 1)", [], |_| Ok(()))?;
        Ok(version)
    }

    /// Brings an older form up to the present one, after a copy of the file was made beside it.
    fn migrate(&self, disk: &dyn Disk, version: i64) -> Result<(), StorageError> {
        let copy = self.path.with_extension(format!("sqlite.v{version}"));
        let emptied = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        emptied.map_err(|error| self.failed("bringing the object index into its file", error))?;
        copy_file(disk, &self.path, &copy).map_err(disk_error("copying the object index to", &copy))?;
        let second = match version {
            1 => format!("ALTER TABLE objects ADD COLUMN alarm INTEGER; {ALARMS};"),
            _ => String::new(),
        };
        let change =
            format!("BEGIN; {second} {NAMESPACE_ALARMS}; PRAGMA user_version={SCHEMA_VERSION}; COMMIT");
        self.db.execute_batch(&change).map_err(|error| self.failed("migrating the object index", error))
    }

    fn failed(&self, doing: &'static str, error: rusqlite::Error) -> StorageError {
        let is_damage =
            matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
                || matches!(
                    error,
                    rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)
                );
        let source = SqlError::of_rusqlite(error);
        if is_damage {
            return StorageError::IndexDamaged { path: self.path.clone(), reason: source.message };
        }
        StorageError::Sql { doing, source }
    }
}

/// Copies a file, durably. One that a crash has left half copied is written over.
fn copy_file(disk: &dyn Disk, from: &Path, to: &Path) -> std::io::Result<()> {
    let (from, to_file) = (disk.open(from, OpenMode::Existing)?, disk.open(to, OpenMode::Create)?);
    let len = from.len()?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    while at < len {
        let step = from.read_at(&mut buffer, at)?;
        if step == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        to_file.write_all_at(&buffer[..step], at)?;
        at += step as u64;
    }
    to_file.set_len(len)?;
    to_file.sync_data()?;
    to.parent().map_or(Ok(()), |folder| disk.sync_dir(folder))
}

fn row_of(row: &Row<'_>) -> rusqlite::Result<ObjectRow> {
    Ok(ObjectRow {
        key: key_of(row, 0)?,
        name: row.get(2)?,
        mark: FileMark { file_bytes: row.get::<_, i64>(3)? as u64, first_page_crc: row.get(4)? },
        sequence: Sequence(row.get::<_, i64>(5)? as u64),
        chain: row.get(6)?,
        last_commit: Timestamp(row.get::<_, i64>(7)? as u64),
        alarm: row.get::<_, Option<i64>>(8)?.map(|due| Timestamp(due as u64)),
    })
}

/// The namespace and id in the columns from `at` on.
fn key_of(row: &Row<'_>, at: usize) -> rusqlite::Result<ObjectKey> {
    let id = row.get::<_, [u8; 32]>(at + 1)?;
    Ok(ObjectKey { namespace: NamespaceNumber(row.get(at)?), id: ObjectId::from_bytes(id) })
}

#[cfg(test)]
mod tests {
    use durabo_changelog::disk::RealDisk;

    use super::*;

    /// How SQLite would run a query, step by step.
    fn plan(index: &ObjectIndex, query: &str) -> Vec<String> {
        let explained = index.db.prepare(&format!("EXPLAIN QUERY PLAN {query}"));
        let mut statement = explained.expect("a query");
        let parameters = params![0, 1, &[0_u8; 32][..], 10];
        let steps = statement.query_map(parameters, |row| row.get(3)).expect("a plan");
        steps.collect::<rusqlite::Result<_>>().expect("steps")
    }

    #[test]
    fn alarms_are_read_in_their_order_from_where_a_part_begins_and_no_others_are_looked_at() {
        let temp = tempfile::tempdir().expect("temp");
        let index = ObjectIndex::open(Arc::new(RealDisk), &temp.path().join("index.sqlite")).expect("index");
        let of_all = plan(&index, ALARMS_OF_ALL);
        let in_order = |plan: &[String], by: &str| {
            assert_eq!(plan.len(), 1, "it sorts: {plan:?}");
            assert!(plan[0].contains(&format!("SEARCH objects USING COVERING INDEX {by}")), "{plan:?}");
        };
        in_order(&of_all, "alarms ((alarm,namespace,id)>(?,?,?))");
        in_order(&plan(&index, ALARMS_OF_ONE), "namespace_alarms (namespace=? AND (alarm,id)>(?,?))");
    }
}
