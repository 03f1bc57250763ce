//! What a guest may not do, and what it may (SQ-16 to SQ-22).
//!
//! Run on a database alone; over HTTP they are in the conformance suite.

use super::*;
use crate::kv::{Encoding, KvValue, KvWriteOptions};

#[test]
fn c_142_transaction_statements_are_refused_and_the_turn_goes_on() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    for query in ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT x", "RELEASE x", "begin transaction"] {
        f.assert_fails(query, "transactionSync()");
        f.assert_fails(
            query,
            "please use the state.storage.transaction() or state.storage.transactionSync() APIs",
        );
    }
    f.end_turn().expect("commit");
    assert_eq!(f.integer("SELECT count(*) FROM t"), 1);
}

#[test]
fn c_143_c_146_reserved_names_cannot_be_made() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    for query in [
        "CREATE TABLE _cf_x(a)",
        "CREATE TABLE _CF_x(a)",
        "CREATE TABLE _Cf_x(a)",
        "CREATE VIEW _cf_v AS SELECT 1",
        "CREATE VIRTUAL TABLE _cf_f USING fts5(x)",
        "CREATE INDEX _cf_i ON t(a)",
        "CREATE TRIGGER _cf_i AFTER INSERT ON t BEGIN SELECT 1; END",
        "ALTER TABLE t RENAME TO _cf_x",
        "ALTER TABLE t RENAME TO \"_CF_kv\"",
    ] {
        f.assert_fails(query, "not authorized");
    }
    assert_eq!(f.rows("SELECT name FROM sqlite_schema"), [text("t")]);
    f.exec("ALTER TABLE t RENAME TO u; ALTER TABLE u ADD COLUMN b; ALTER TABLE u RENAME COLUMN b TO c");
    f.exec("ALTER TABLE u DROP COLUMN c");
    assert_eq!(f.rows("SELECT name FROM sqlite_schema"), [text("u")]);
}

#[test]
fn c_144_c_145_hidden_tables_cannot_be_touched() {
    let mut f = fixture_with(DatabaseOptions { name: Some("room".into()), ..Default::default() });
    f.exec("CREATE TABLE t(a)");
    f.end_turn().expect("commit");
    for query in [
        "SELECT * FROM _cf_METADATA",
        "SELECT count(*) FROM _cf_METADATA",
        "INSERT INTO _cf_METADATA VALUES(9, 9)",
        "UPDATE _cf_METADATA SET value = 1",
        "DELETE FROM _cf_METADATA",
        "DROP TABLE _cf_METADATA",
        "ALTER TABLE _cf_METADATA RENAME TO x",
        "CREATE TRIGGER x AFTER INSERT ON _cf_METADATA BEGIN SELECT 1; END",
        "CREATE INDEX x ON _cf_METADATA(value)",
        "WITH w AS (SELECT * FROM _cf_METADATA) SELECT * FROM w",
        "SELECT (SELECT value FROM _CF_metadata)",
    ] {
        let error = f.error(query);
        assert!(error.message.contains("prohibited") || error.message.contains("not authorized"), "{error}");
        assert_eq!(error.name, "SQLITE_AUTH", "{query}");
    }
    f.exec("CREATE VIEW v AS SELECT value FROM _cf_METADATA");
    f.assert_fails("SELECT * FROM v", "access to _cf_METADATA.value is prohibited: SQLITE_AUTH");
    assert_eq!(f.integer("SELECT count(*) FROM sqlite_master WHERE name = '_cf_METADATA'"), 1);
    assert_eq!(f.database.stored_name().expect("name").as_deref(), Some("room"));
}

#[test]
fn c_147_only_the_main_database() {
    let mut f = fixture();
    for query in [
        "ATTACH ':memory:' AS o",
        "DETACH main",
        "VACUUM",
        "VACUUM INTO 'x'",
        "CREATE TEMP TABLE t(a)",
        "CREATE TABLE temp.t(a)",
        "CREATE TEMP VIEW v AS SELECT 1",
        "SELECT * FROM sqlite_temp_schema",
    ] {
        assert!(f.database.exec(query, &[], 100).is_err(), "{query}");
    }
    f.exec("CREATE TABLE t(a)");
    f.end_turn().expect("commit");
}

#[test]
fn c_148_c_150_other_pragmas_are_refused() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    for pragma in [
        "journal_mode",
        "journal_mode=DELETE",
        "user_version",
        "cache_size",
        "writable_schema=ON",
        "max_page_count=10",
        "integrity_check",
        "wal_checkpoint",
        "locking_mode=NORMAL",
        "synchronous",
        "data_version = 5",
        "page_size = 8192",
        "table_info(_cf_x)",
        "temp_store_directory",
        "database_list",
    ] {
        let name = pragma.split([' ', '=', '(']).next().expect("a name");
        let text = format!("PRAGMA `{name}` is not available, or not with this value");
        f.assert_fails(&format!("PRAGMA {pragma}"), &text);
        f.assert_fails(&format!("PRAGMA {pragma}"), "not authorized: SQLITE_AUTH");
    }
    f.assert_fails("SELECT * FROM pragma_database_list", "not authorized");
    f.assert_fails("ATTACH ':memory:' AS o", "not authorized");
    assert!(!f.error("ATTACH ':memory:' AS o").message.contains("PRAGMA"), "that is no PRAGMA");
}

#[test]
fn sq_17_no_foreign_key_leads_to_a_table_of_the_host() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    for query in [
        "CREATE TABLE c(k REFERENCES _cf_KV(key) ON DELETE CASCADE)",
        "CREATE TABLE c(k, FOREIGN KEY(k) REFERENCES \"_CF_metadata\")",
        "CREATE TABLE IF NOT EXISTS c(k REFERENCES '_cf_KV')",
        "ALTER TABLE t ADD COLUMN k REFERENCES [_cf_KV](key)",
    ] {
        f.assert_fails(query, "not authorized");
    }
    assert_eq!(f.rows("SELECT sql FROM sqlite_schema"), [text("CREATE TABLE t(a)")]);
    f.exec("CREATE TABLE d(a DEFAULT '_cf_KV', b REFERENCES t(a)); ALTER TABLE d ADD COLUMN c REFERENCES t");
}

#[test]
fn sq_17_foreign_keys_are_seen_whatever_a_guests_tables_are_called() {
    for made in [
        "CREATE TABLE pragma_foreign_key_list(a)",
        "CREATE VIEW pragma_foreign_key_list AS SELECT 'x' AS \"table\"",
        "CREATE VIRTUAL TABLE pragma_foreign_key_list USING fts5(\"table\")",
    ] {
        let mut f = fixture();
        f.exec(made);
        f.assert_fails("CREATE TABLE c(k REFERENCES _cf_KV(key))", "not authorized");
        f.exec("CREATE TABLE \"a-b\"(a DEFAULT '_cf_'); ALTER TABLE \"a-b\" ADD COLUMN b");
        assert_eq!(f.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'c'"), 0, "{made}");
    }
    let mut f = fixture();
    f.assert_fails("CREATE TABLE pragma_foreign_key_list(k REFERENCES _cf_KV(key))", "not authorized");
    assert_eq!(f.rows("SELECT name FROM sqlite_schema"), []);
}

#[test]
fn sq_17_a_foreign_key_of_an_older_version_can_be_taken_away() {
    let mut f = fixture();
    f.database.connection.run_once("CREATE TABLE c(a, k REFERENCES _cf_KV(key))", &[]).expect("made");
    f.exec("ALTER TABLE c RENAME COLUMN a TO b; ALTER TABLE c DROP COLUMN k");
    assert_eq!(f.rows("SELECT sql FROM sqlite_schema"), [text("CREATE TABLE c(b)")]);
}

#[test]
fn sq_17_a_guests_trigger_does_not_run_within_a_statement_of_the_host() {
    let mut f = fixture();
    f.exec("PRAGMA foreign_keys = OFF; CREATE TABLE leak(v)");
    // As an older version let a guest do.
    let key = "CREATE TABLE c(k REFERENCES _cf_KV(key) ON DELETE CASCADE)";
    f.database.connection.run_once(key, &[]).expect("made");
    f.exec(
        "CREATE TRIGGER g AFTER DELETE ON c BEGIN INSERT INTO leak SELECT key FROM _cf_KV; END;
         INSERT INTO c VALUES('k')",
    );
    f.end_turn().expect("commit");
    f.exec("PRAGMA foreign_keys = ON");
    let value = KvValue { encoding: Encoding::Bytes, data: vec![1] };
    let put = |f: &mut Fixture| {
        let entry = [("k".to_owned(), value.clone())];
        f.database.kv_put(&entry, KvWriteOptions::default()).map_err(|error| error.to_string())
    };
    let outcomes = [put(&mut f), put(&mut f)];
    assert!(outcomes.iter().any(|put| put.as_ref().is_err_and(|error| error.contains("not authorized"))));
    assert_eq!(f.integer("SELECT count(*) FROM leak"), 0);
}

#[test]
fn og_1_optimize_writes_in_its_turn_as_any_statement_that_writes() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a PRIMARY KEY); INSERT INTO t VALUES(1), (2)");
    f.end_turn().expect("commit");
    f.assert_fails("SELECT * FROM pragma_optimize", "prohibited");
    f.assert_fails("SELECT 1 FROM pragma_optimize(2)", "not authorized");
    let before = f.database.wal_bytes();
    f.exec("PRAGMA optimize");
    assert!(f.database.is_turn_open());
    assert_eq!(f.database.wal_bytes(), before, "it was committed apart");
    assert!(f.end_turn().expect("it has written").pages.len() > 1);
    f.exec("INSERT INTO t VALUES(3)");
    f.exec("DELETE FROM sqlite_stat1");
    f.end_turn().expect("commit");
    f.exec("PRAGMA optimize");
    f.database.discard_turn().expect("discard");
    assert_eq!(f.integer("SELECT count(*) FROM sqlite_stat1"), 0, "it goes with its turn");
}

#[test]
fn b_10_a_refused_schema_number_names_the_pragma_and_another_place_for_it() {
    let mut f = fixture();
    for query in
        ["PRAGMA user_version", "PRAGMA User_Version = 3", "CREATE TABLE m(id); PRAGMA user_version = 1"]
    {
        f.assert_fails(query, "in a table or under a key: not authorized: SQLITE_AUTH");
    }
}

#[test]
fn c_149_c_152_allowed_pragmas() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a PRIMARY KEY)");
    f.end_turn().expect("commit");
    for query in [
        "PRAGMA table_info(t)",
        "PRAGMA table_list",
        "PRAGMA index_list(t)",
        "PRAGMA foreign_key_list(t)",
        "PRAGMA quick_check",
        "PRAGMA quick_check(5)",
        "PRAGMA data_version",
        "PRAGMA page_size",
        "PRAGMA foreign_key_check",
        "PRAGMA foreign_key_check(t)",
        "ANALYZE",
        "PRAGMA optimize",
        "REINDEX",
        "SELECT name FROM pragma_table_info('t')",
        "PRAGMA optimize(0x10002)",
    ] {
        let allowed = f.database.exec(query, &[], 100);
        assert!(allowed.is_ok(), "{query}: {allowed:?}");
    }
}

#[test]
fn c_152_analyze_leaves_the_hidden_table_alone() {
    let mut f = fixture_with(DatabaseOptions { name: Some("room".to_owned()), ..DatabaseOptions::default() });
    f.exec("CREATE TABLE t(a PRIMARY KEY); INSERT INTO t VALUES(1)");
    f.end_turn().expect("commit");
    f.exec("ANALYZE");
    assert_eq!(f.integer("SELECT count(*) FROM sqlite_stat1 WHERE tbl LIKE '!_cf!_%' ESCAPE '!'"), 0);
    assert_eq!(f.integer("SELECT count(*) FROM sqlite_stat1"), 1);
}

#[test]
fn c_151_switches_take_every_spelling() {
    let mut f = fixture();
    for (value, expected) in [
        ("true", 1),
        ("FALSE", 0),
        ("on", 1),
        ("Off", 0),
        ("yes", 1),
        ("no", 0),
        ("1", 1),
        ("0", 0),
        ("'true'", 1),
        ("\"yes\"", 1),
    ] {
        f.exec(&format!("PRAGMA defer_foreign_keys = {value}"));
        assert_eq!(f.integer("PRAGMA defer_foreign_keys"), expected, "{value}");
    }
    f.assert_fails("PRAGMA defer_foreign_keys = maybe", "not authorized");
}

#[test]
fn sq_20_foreign_keys_can_be_switched_first_in_a_turn_only() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.exec("PRAGMA foreign_keys = OFF");
    assert_eq!(f.integer("PRAGMA foreign_keys"), 1);
    f.end_turn().expect("commit");
    f.exec("PRAGMA foreign_keys = OFF");
    assert_eq!(f.integer("PRAGMA foreign_keys"), 0);
    f.reset();
    assert_eq!(f.integer("PRAGMA foreign_keys"), 1);
}

#[test]
fn c_153_functions_off_the_list() {
    let mut f = fixture();
    f.assert_fails("SELECT sqlite_version()", "not authorized to use function: sqlite_version");
    f.assert_fails("SELECT md5('a')", "no such function: md5");
    f.error("SELECT load_extension('x')");
    f.error("SELECT sqlite_rename_table(1,2,3,4,5,6,7)");
    f.assert_fails("SELECT fts3_tokenizer('x')", "not authorized");
}

#[test]
fn c_154_c_155_functions_on_the_list() {
    let mut f = fixture();
    assert_eq!(f.rows("SELECT cos(0), pow(2, 3)"), [Value::Real(1.0), Value::Real(8.0)]);
    assert_eq!(f.integer("SELECT json_extract('{\"a\":{\"b\":[5,6]}}', '$.a.b[1]')"), 6);
    assert_eq!(f.integer("SELECT '{\"a\":7}' ->> 'a'"), 7);
    assert_eq!(f.integer("SELECT unixepoch('1970-01-02')"), 86400);
    assert_eq!(f.rows("SELECT unhex('4142')"), [Value::Blob(vec![65, 66])]);
    assert_eq!(f.rows("SELECT value FROM json_each('[10,20]')"), integers(&[10, 20]));
    assert_eq!(f.rows("SELECT string_agg(value, '-') FROM json_each('[1,2]')"), [text("1-2")]);
}

#[test]
fn c_156_full_text_search() {
    let mut f = fixture();
    f.exec("CREATE VIRTUAL TABLE docs USING FTS5(body)");
    f.exec("INSERT INTO docs VALUES('the quick brown fox'), ('lazy dog')");
    f.end_turn().expect("commit");
    let query = "SELECT highlight(docs, 0, '[', ']') FROM docs WHERE docs MATCH 'brown'";
    assert_eq!(f.rows(query), [text("the quick [brown] fox")]);
    f.exec("CREATE VIRTUAL TABLE words USING fts5vocab(docs, 'row'); DELETE FROM docs; DROP TABLE docs");
}

#[test]
fn c_157_r_tree() {
    let mut f = fixture();
    f.exec(
        "CREATE VIRTUAL TABLE boxes USING rtree(id, a, b); INSERT INTO boxes VALUES(1, 0, 5), (2, 10, 12)",
    );
    assert_eq!(f.rows("SELECT id FROM boxes WHERE a <= 4 AND b >= 1"), integers(&[1]));
    // The table keeps a handle of its own open, which holds neither turn nor checkpoint back.
    f.end_turn().expect("a commit");
    f.checkpoint();
    assert_eq!(f.rows("SELECT id FROM boxes WHERE a >= 10"), integers(&[2]));
}

#[test]
fn c_158_other_virtual_tables() {
    let mut f = fixture();
    f.assert_fails("CREATE VIRTUAL TABLE x USING fts4(a)", "not authorized");
    f.assert_fails("CREATE VIRTUAL TABLE x USING dbstat", "not authorized");
    let error = f.error("SELECT * FROM dbstat");
    assert_eq!(error.name, "SQLITE_AUTH", "{error}");
    f.error("SELECT * FROM fts3tokenize");
}
