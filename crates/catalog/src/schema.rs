//! The tables of `catalog.sqlite` and the version of their form.
//!
//! A file of a newer form is refused before anything in it is touched; an older one is migrated here, and a
//! copy of what it was is kept beside it. The file is private to the node, in WAL mode, and each transaction is synced.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::CatalogError;

/// Version of the form that this code reads and writes, kept in `user_version`.
pub const VERSION: i64 = 3;

/// `durb` in ASCII: tells a catalog from any other database, kept in `application_id`.
const APPLICATION_ID: i64 = 0x6475_7262;

/// Numbers of namespaces come from `AUTOINCREMENT`, which never gives one twice, not even after the
/// last was deleted: object files and log records name them.
const TABLES: &str = "
    CREATE TABLE namespaces (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        app TEXT NOT NULL,
        class TEXT NOT NULL,
        key TEXT NOT NULL UNIQUE,
        created_ms INTEGER NOT NULL,
        UNIQUE (app, class)
    ) STRICT;
    CREATE TABLE deployments (
        app TEXT NOT NULL,
        number INTEGER NOT NULL,
        digest BLOB NOT NULL,
        component_bytes INTEGER NOT NULL,
        description TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        egress TEXT NOT NULL DEFAULT '[]',
        keep_sockets INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (app, number)
    ) STRICT, WITHOUT ROWID;
";

/// What makes each version out of the one before, in order.
const STEPS: [(i64, &str); 2] = [
    (2, "ALTER TABLE deployments ADD COLUMN egress TEXT NOT NULL DEFAULT '[]'"),
    (3, "ALTER TABLE deployments ADD COLUMN keep_sockets INTEGER NOT NULL DEFAULT 0"),
];

/// Opens the file, making it if need be.
pub fn open(path: &Path) -> Result<Connection, CatalogError> {
    // SQLite gives a new file the mode of the process; made here first, it is private from the start.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(CatalogError::io("opening catalog", path))?;
    let mut connection = Connection::open(path).map_err(CatalogError::sqlite("opening the catalog"))?;
    check_version(&connection, path)?;
    settings(&connection).map_err(CatalogError::sqlite("setting up the catalog"))?;
    create(&mut connection).map_err(CatalogError::sqlite("creating the catalog's tables"))?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

fn check_version(connection: &Connection, path: &Path) -> Result<(), CatalogError> {
    let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let doing = "reading the catalog's version";
    let version = read("user_version").map_err(CatalogError::sqlite(doing))?;
    let application = read("application_id").map_err(CatalogError::sqlite(doing))?;
    if application != APPLICATION_ID && (application != 0 || version != 0 || !is_empty(connection)?) {
        return Err(CatalogError::NotACatalog { path: path.to_owned(), found: application });
    }
    if version > VERSION {
        return Err(CatalogError::SchemaNewer { path: path.to_owned(), found: version, known: VERSION });
    }
    Ok(())
}

fn is_empty(connection: &Connection) -> Result<bool, CatalogError> {
    let count = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    Ok(count.map_err(CatalogError::sqlite("reading the catalog's tables"))? == 0)
}

fn settings(connection: &Connection) -> rusqlite::Result<()> {
    // Answers a row, hence a query.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Tables and version appear in one transaction, so that a crash leaves an empty file or a whole one.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = begin(connection)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}

/// Brings an older form up to the present one, after a copy was made.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), CatalogError> {
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(CatalogError::sqlite("reading the catalog's version"))?;
    if version == VERSION {
        return Ok(());
    }
    let copy = path.with_extension(format!("sqlite.v{version}"));
    // One that a crash in the midst of this has left may be half a copy.
    match std::fs::remove_file(&copy) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(CatalogError::io("replacing an older copy", &copy)(error));
        }
        _ => {}
    }
    let text = copy.to_string_lossy();
    connection.execute("VACUUM INTO ?1", [&*text]).map_err(CatalogError::sqlite("copying the catalog"))?;
    for (reached, step) in STEPS.iter().filter(|(reached, _)| *reached > version) {
        take_step(connection, *reached, step).map_err(CatalogError::sqlite("migrating the catalog"))?;
    }
    Ok(())
}

fn take_step(connection: &mut Connection, reached: i64, step: &str) -> rusqlite::Result<()> {
    let transaction = begin(connection)?;
    transaction.execute_batch(step)?;
    transaction.pragma_update(None, "user_version", reached)?;
    transaction.commit()
}

/// Begins a transaction that will write.
pub fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_file_is_private_and_opens_again() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("catalog.sqlite");
        drop(open(&path).expect("new"));
        let connection = open(&path).expect("again");
        let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let synchronous: i64 =
            connection.pragma_query_value(None, "synchronous", |row| row.get(0)).expect("pragma");
        assert_eq!(synchronous, 2);
    }

    #[test]
    fn a_newer_file_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("catalog.sqlite");
        open(&path).expect("new").pragma_update(None, "user_version", 7).expect("raise");
        let error = open(&path).expect_err("newer");
        assert!(error.to_string().contains("has schema 7, this version reads schemas up to 3"), "{error}");
        let version: i64 = Connection::open(&path)
            .and_then(|connection| connection.pragma_query_value(None, "user_version", |row| row.get(0)))
            .expect("version");
        assert_eq!(version, 7);
    }

    #[test]
    fn a_file_of_the_first_form_is_migrated_and_a_copy_of_it_kept() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("catalog.sqlite");
        let old = open(&path).expect("new");
        old.execute_batch(
            "ALTER TABLE deployments DROP COLUMN egress;
             ALTER TABLE deployments DROP COLUMN keep_sockets;
             INSERT INTO deployments VALUES ('demo', 1, x'00', 1, '{}', 0);
             PRAGMA user_version = 1",
        )
        .expect("an old file");
        drop(old);
        std::fs::write(folder.path().join("catalog.sqlite.v1"), "half a copy").expect("a leftover");
        let migrated = open(&path).expect("migrated");
        let row: (String, bool) = migrated
            .query_row("SELECT egress, keep_sockets FROM deployments", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .expect("a row");
        assert_eq!(row, ("[]".to_owned(), false));
        let copy = Connection::open(folder.path().join("catalog.sqlite.v1")).expect("a copy");
        let version: i64 = copy.pragma_query_value(None, "user_version", |row| row.get(0)).expect("version");
        let apps: i64 =
            copy.query_row("SELECT count(*) FROM deployments", [], |row| row.get(0)).expect("rows");
        assert_eq!((version, apps), (1, 1));
        assert!(open(&path).is_ok(), "again");
    }

    #[test]
    fn a_foreign_database_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("catalog.sqlite");
        Connection::open(&path).and_then(|db| db.execute_batch("CREATE TABLE t (a)")).expect("foreign");
        assert!(matches!(open(&path), Err(CatalogError::NotACatalog { .. })));
    }
}
