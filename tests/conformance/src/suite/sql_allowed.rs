//! SQL: which statements, names, PRAGMAs, functions and modules a guest may use (SQ-16 to SQ-22, SQ-32).
//!
//! Cases about the tables of the key-value storage come with it.

use serde_json::json;

use crate::case::{Case, cases};
use crate::values;

use super::database::{Database, refusal, step};

fn c_142_transaction_statements_are_refused_and_the_turn_goes_on() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a)");
    let statements = ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT x", "RELEASE x", "begin transaction", "END"];
    for statement in statements {
        let insert = step("INSERT INTO t VALUES (1)");
        let outcomes = db.run(&[insert.clone(), step(statement), insert]);
        refusal(&outcomes[1]).assert_says("transactionSync()");
        assert!(outcomes[2].get("error").is_none(), "{statement}: {}", outcomes[2]);
    }
    assert_eq!(db.value("SELECT count(*) FROM t", json!([])), json!(2 * statements.len()));
}

fn c_143_reserved_names_cannot_be_created_in_any_case() {
    let db = Database::new();
    for name in ["_cf_x", "_CF_x", "_Cf_x"] {
        db.error(&format!("CREATE TABLE {name} (a)"), json!([])).assert_says("not authorized");
    }
}

fn a_table_cannot_be_renamed_to_a_reserved_name() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    db.error("ALTER TABLE t RENAME TO _cf_x", json!([])).assert_says("not authorized");
    assert_eq!(db.value("SELECT a FROM t", json!([])), json!(1));
}

fn c_146_reserved_names_are_refused_for_modules_indexes_and_triggers() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a)");
    let statements = [
        "CREATE VIRTUAL TABLE _cf_f USING fts5(x)",
        "CREATE INDEX _cf_i ON t (a)",
        "CREATE TRIGGER _cf_i AFTER INSERT ON t BEGIN DELETE FROM t; END",
        "CREATE VIEW _cf_v AS SELECT 1",
    ];
    for statement in statements {
        db.error(statement, json!([])).assert_says("not authorized");
    }
}

fn c_147_only_the_main_database_exists() {
    let db = Database::new();
    let statements = [
        "ATTACH ':memory:' AS o",
        "ATTACH 'other.db' AS o",
        "DETACH main",
        "VACUUM",
        "VACUUM INTO 'x'",
        "CREATE TEMP TABLE t(a)",
        "CREATE TABLE temp.t(a)",
        "CREATE TEMP VIEW v AS SELECT 1",
    ];
    for statement in statements {
        let error = db.error(statement, json!([]));
        let refused = ["not authorized", "cannot VACUUM from within a transaction"];
        assert!(refused.iter().any(|part| error.message.contains(part)), "{statement}: {error:?}");
    }
    assert_eq!(
        db.rows(
            "SELECT name FROM pragma_table_list WHERE schema <> 'main' AND name NOT LIKE 'sqlite_%'",
            json!([])
        ),
        json!([])
    );
}

fn c_148_other_pragmas_are_refused() {
    let db = Database::new();
    let pragmas = [
        "journal_mode",
        "user_version",
        "cache_size",
        "writable_schema=ON",
        "max_page_count=10",
        "integrity_check",
        "synchronous=OFF",
        "locking_mode=NORMAL",
        "wal_checkpoint",
    ];
    for pragma in pragmas {
        db.error(&format!("PRAGMA {pragma}"), json!([])).assert_says("not authorized");
    }
}

fn c_149_pragmas_that_tell_about_the_schema_are_allowed() {
    let db = Database::new();
    db.exec("CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE t (a UNIQUE, b REFERENCES p (id))");
    let names = |sql: &str| db.rows(sql, json!([]));
    assert_eq!(names("SELECT name FROM pragma_table_info('t')"), json!([["a"], ["b"]]));
    assert_eq!(names("PRAGMA table_info(t)").as_array().map(Vec::len), Some(2));
    assert_eq!(names("PRAGMA index_list(t)").as_array().map(Vec::len), Some(1));
    assert_eq!(names("PRAGMA foreign_key_list(t)").as_array().map(Vec::len), Some(1));
    assert!(names("PRAGMA table_list").as_array().is_some_and(|list| list.len() >= 2));
    assert_eq!(names("PRAGMA quick_check"), json!([["ok"]]));
    assert_eq!(names("PRAGMA page_size"), json!([[4096]]));
    assert!(db.value("PRAGMA data_version", json!([])).is_i64());
}

fn c_150_read_only_pragmas_cannot_be_set() {
    let db = Database::new();
    for pragma in ["data_version = 5", "page_size = 8192"] {
        db.error(&format!("PRAGMA {pragma}"), json!([])).assert_says("not authorized");
    }
}

fn c_151_switches_take_booleans_in_every_form_and_nothing_else() {
    let db = Database::new();
    let forms = [
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
    ];
    for (form, value) in forms {
        let set = format!("PRAGMA defer_foreign_keys = {form}");
        let outcomes = db.run(&[step(&set), step("PRAGMA defer_foreign_keys")]);
        assert_eq!(outcomes[1]["rows"], json!([[value]]), "{form}: {outcomes:?}");
    }
    db.error("PRAGMA defer_foreign_keys = maybe", json!([])).assert_says("not authorized");
}

fn c_152_statistics_and_indexes_may_be_renewed() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a); CREATE INDEX i ON t (a); INSERT INTO t VALUES (1)");
    for statement in ["ANALYZE", "PRAGMA optimize", "REINDEX"] {
        let outcome = &db.run(&[step(statement)])[0];
        assert!(outcome.get("error").is_none(), "{statement}: {outcome}");
    }
}

fn c_153_functions_that_are_not_listed_are_refused() {
    let db = Database::new();
    let error = |sql: &str| db.error(sql, json!([]));
    error("SELECT sqlite_version()").assert_says("not authorized to use function: sqlite_version");
    error("SELECT md5('a')").assert_says("no such function: md5");
    let load = error("SELECT load_extension('x')");
    assert!(load.message.contains("load_extension"), "{load:?}");
    error("SELECT readfile('/etc/passwd')").assert_says("no such function: readfile");
}

fn c_154_functions_that_are_listed_work() {
    let db = Database::new();
    let value = |sql: &str| db.value(sql, json!([]));
    assert_eq!(value("SELECT cos(0)"), json!(1.0));
    assert_eq!(value("SELECT pow(2, 3)"), json!(8.0));
    assert_eq!(value(r#"SELECT json_extract('{"a":{"b":[5,6]}}', '$.a.b[1]')"#), json!(6));
    assert_eq!(value(r#"SELECT '{"a":7}' ->> 'a'"#), json!(7));
    assert_eq!(value("SELECT unixepoch('1970-01-02')"), json!(86400));
    assert_eq!(value("SELECT unhex('4142')"), values::bytes(&[65, 66]));
}

fn c_155_json_each_lists_an_array() {
    assert_eq!(
        Database::new().rows("SELECT value FROM json_each('[10,20]')", json!([])),
        json!([[10], [20]])
    );
}

fn c_156_full_text_search_finds_and_highlights() {
    let db = Database::new();
    db.exec(
        "CREATE VIRTUAL TABLE docs USING fts5(body);
         INSERT INTO docs VALUES ('the quick brown fox'), ('a lazy dog')",
    );
    let sql = "SELECT rowid, highlight(docs, 0, '[', ']') FROM docs WHERE docs MATCH 'brown'";
    assert_eq!(db.rows(sql, json!([])), json!([[1, "the quick [brown] fox"]]));
}

fn c_157_r_trees_find_what_overlaps() {
    let db = Database::new();
    db.exec("CREATE VIRTUAL TABLE boxes USING rtree(id, low, high); INSERT INTO boxes VALUES (1, 0, 5), (2, 10, 12)");
    let overlapping = "SELECT id FROM boxes WHERE low <= 4 AND high >= 1 ORDER BY id";
    assert_eq!(db.rows(overlapping, json!([])), json!([[1]]));
    // The module keeps statements of its own between calls, which no end of a turn may stumble over.
    let insert = json!([[{"query": "INSERT INTO boxes VALUES (?, 1, 2)", "bindings": [3]}]]);
    db.call("run_and_trap", insert.clone()).expect_err("a trap").assert_reset("guest-trapped");
    assert_eq!(db.rows(overlapping, json!([])), json!([[1]]));
    db.call("run", insert).expect("inserted");
    assert_eq!(db.rows(overlapping, json!([])), json!([[1], [3]]));
}

fn c_158_other_modules_are_refused() {
    let db = Database::new();
    for statement in [
        "CREATE VIRTUAL TABLE x USING fts4(a)",
        "CREATE VIRTUAL TABLE x USING dbstat",
        "SELECT * FROM dbstat",
    ] {
        let error = db.error(statement, json!([]));
        let refused = ["not authorized", "no such module", "no such table", "prohibited"];
        assert!(refused.iter().any(|part| error.message.contains(part)), "{statement}: {error:?}");
    }
}

fn sql_that_rolls_the_transaction_back_by_itself_resets_the_object() {
    let db = Database::new();
    db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
    let error = db.run_fails(&[
        step("INSERT INTO t VALUES (2)"),
        step("INSERT OR ROLLBACK INTO t VALUES (1)"),
        step("INSERT INTO t VALUES (3)"),
    ]);
    error.assert_reset("storage-failed");
    assert_eq!(db.rows("SELECT id FROM t", json!([])), json!([[1]]));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_142_transaction_statements_are_refused_and_the_turn_goes_on,
    c_143_reserved_names_cannot_be_created_in_any_case,
    a_table_cannot_be_renamed_to_a_reserved_name,
    c_146_reserved_names_are_refused_for_modules_indexes_and_triggers,
    c_147_only_the_main_database_exists,
    c_148_other_pragmas_are_refused,
    c_149_pragmas_that_tell_about_the_schema_are_allowed,
    c_150_read_only_pragmas_cannot_be_set,
    c_151_switches_take_booleans_in_every_form_and_nothing_else,
    c_152_statistics_and_indexes_may_be_renewed,
    c_153_functions_that_are_not_listed_are_refused,
    c_154_functions_that_are_listed_work,
    c_155_json_each_lists_an_array,
    c_156_full_text_search_finds_and_highlights,
    c_157_r_trees_find_what_overlaps,
    c_158_other_modules_are_refused,
    sql_that_rolls_the_transaction_back_by_itself_resets_the_object,
];
