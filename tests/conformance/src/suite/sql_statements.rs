//! SQL: calls, bindings, values, errors of statements (SQ-1 to SQ-7, SQ-12, SQ-20, SQ-23, SQ-29).
//!
//! Texts of errors are those that programs match on.

use serde_json::json;

use crate::case::{Case, cases};
use crate::{guest, values};

use super::database::{Database, Refusal, refusal, step};
use super::standing::forgetful_node;

fn c_091_values_of_every_type_come_back_as_such() {
    let db = Database::new();
    let outcome = db.query("SELECT 7 AS n, 'x' AS s, x'00ff' AS b, NULL AS z, 1.5 AS r", json!([]));
    assert_eq!(outcome["columns"], json!(["n", "s", "b", "z", "r"]));
    assert_eq!(outcome["rows"], json!([[7, "x", values::bytes(&[0, 255]), null, 1.5]]));
}

fn c_092_a_write_takes_effect_although_its_cursor_is_ignored() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a)");
    db.run(&[step("INSERT INTO t VALUES (1)")]);
    assert_eq!(db.value("SELECT count(*) FROM t", json!([])), json!(1));
}

fn c_093_bindings_of_every_type_come_back_as_they_were() {
    let given = json!([null, "text", values::bytes(&[1, 0, 255]), 2.5]);
    assert_eq!(Database::new().rows("SELECT ?, ?, ?, ?", given.clone()), json!([given]));
}

fn c_094_an_integer_is_bound_as_integer() {
    assert_eq!(Database::new().value("SELECT typeof(?)", json!([1])), json!("integer"));
}

fn c_095_an_integer_in_a_text_has_no_point() {
    assert_eq!(Database::new().value("SELECT ? || ''", json!([1])), json!("1"));
}

fn c_096_a_boolean_is_bound_as_one_or_zero() {
    let db = Database::new();
    db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, active INTEGER); INSERT INTO t (active) VALUES (1), (0), (1)");
    assert_eq!(db.rows("SELECT id FROM t WHERE active = ?", json!([true])), json!([[1], [3]]));
    assert_eq!(db.rows("SELECT id FROM t WHERE active = ?", json!([false])), json!([[2]]));
}

fn c_097_a_limit_takes_a_whole_number_only() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)");
    assert_eq!(db.rows("SELECT * FROM t LIMIT ?", json!([2])), json!([[1], [2]]));
    db.error("SELECT * FROM t LIMIT ?", json!([2.5])).assert_says("datatype mismatch");
}

fn c_098_empty_blobs_and_texts_are_not_null() {
    let db = Database::new();
    let empty = values::bytes(&[]);
    let sql = "SELECT length(?1), ?1, typeof(?1)";
    assert_eq!(db.rows(sql, json!([empty])), json!([[0, empty, "blob"]]));
    assert_eq!(db.rows(sql, json!([""])), json!([[0, "", "text"]]));
}

fn c_099_the_number_of_bindings_must_be_right() {
    let db = Database::new();
    for (sql, bindings) in [("SELECT ?", json!([])), ("SELECT ?", json!([1, 2])), ("SELECT 1", json!([1]))] {
        db.error(sql, bindings).assert_says("Wrong number of parameter bindings");
    }
}

fn c_100_a_numbered_parameter_counts_once() {
    assert_eq!(Database::new().value("SELECT ?1 + ?1", json!([2])), json!(4));
}

fn c_101_named_parameters_are_filled_by_position() {
    let db = Database::new();
    assert_eq!(db.value("SELECT :x + :x", json!([4])), json!(8));
    assert_eq!(db.rows("SELECT @a, $b", json!([1, 2])), json!([[1, 2]]));
}

fn c_102_the_rows_of_several_statements_are_those_of_the_last() {
    let db = Database::new();
    let sql =
        "CREATE TABLE t (a); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); SELECT a FROM t WHERE a > ?";
    assert_eq!(db.rows(sql, json!([1])), json!([[2]]));
    assert_eq!(db.rows("SELECT a FROM t ORDER BY a", json!([])), json!([[1], [2]]));
}

fn c_103_only_the_last_statement_may_have_parameters() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a)");
    db.error("INSERT INTO t VALUES (?); SELECT 1", json!([1]))
        .assert_says("only the last statement can have parameters");
    assert_eq!(db.value("SELECT count(*) FROM t", json!([])), json!(0));
}

fn c_104_statements_before_the_failing_one_stay_in_effect() {
    let db = Database::new();
    db.exec("CREATE TABLE k (id INTEGER PRIMARY KEY, v)");
    let sql = "INSERT INTO k VALUES(1,'a'); INSERT INTO k VALUES(1,'b'); INSERT INTO k VALUES(2,'c')";
    db.error(sql, json!([])).assert_says("UNIQUE constraint failed: k.id");
    assert_eq!(db.rows("SELECT id, v FROM k", json!([])), json!([[1, "a"]]));
}

fn c_105_one_statement_is_all_or_nothing() {
    let db = Database::new();
    db.exec("CREATE TABLE k (id INTEGER PRIMARY KEY, v)");
    db.error("INSERT INTO k VALUES(1,'a'),(1,'b')", json!([])).assert_says("UNIQUE constraint failed: k.id");
    assert_eq!(db.value("SELECT count(*) FROM k", json!([])), json!(0));
}

fn c_106_a_text_without_a_statement_is_refused() {
    let db = Database::new();
    for sql in ["", ";", "-- only a comment"] {
        db.error(sql, json!([])).assert_says("did not contain a statement");
    }
}

fn c_107_white_space_may_follow_the_last_statement() {
    let db = Database::new();
    for space in [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'] {
        assert_eq!(db.value(&format!("SELECT 1;{space}"), json!([])), json!(1), "{space:?}");
    }
}

fn c_108_a_second_semicolon_is_refused_and_a_comment_within_is_not() {
    let db = Database::new();
    db.error("SELECT 1;;", json!([])).assert_says("did not contain a statement");
    assert_eq!(db.value("SELECT 1 -- note", json!([])), json!(1));
}

fn c_109_syntax_errors_tell_their_offset() {
    let db = Database::new();
    for (sql, offset) in [("SELECT ;", 7), ("SELECT -;", 8), ("SELECT * bunk;", 9)] {
        let error = db.error(sql, json!([]));
        error.assert_says(&format!("syntax error at offset {offset}"));
        assert_eq!(error.offset, Some(offset));
    }
}

fn c_110_a_missing_table_has_no_offset() {
    let error = Database::new().error("SELECT * FROM nope", json!([]));
    let message = "no such table: nope: SQLITE_ERROR".to_owned();
    assert_eq!(error, Refusal { code: 1, name: "SQLITE_ERROR".to_owned(), message, offset: None });
}

fn c_111_a_missing_column_has_an_offset() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a)");
    let error = db.error("SELECT nocol FROM t", json!([]));
    assert_eq!(error.message, "no such column: nocol at offset 7: SQLITE_ERROR");
    assert_eq!(error.offset, Some(7));
}

fn c_112_constraint_errors_carry_their_extended_code() {
    let db = Database::new();
    db.exec(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE, n NOT NULL DEFAULT 0, c CHECK (c > 0));
         CREATE TABLE child (parent REFERENCES t (id));
         INSERT INTO t (id, u, c) VALUES (1, 1, 1)",
    );
    let cases = [
        ("INSERT INTO t (id, u, c) VALUES (1, 2, 1)", "SQLITE_CONSTRAINT_PRIMARYKEY"),
        ("INSERT INTO t (id, u, c) VALUES (2, 1, 1)", "SQLITE_CONSTRAINT_UNIQUE"),
        ("INSERT INTO t (id, u, c, n) VALUES (2, 2, 1, NULL)", "SQLITE_CONSTRAINT_NOTNULL"),
        ("INSERT INTO t (id, u, c) VALUES (2, 2, 0)", "SQLITE_CONSTRAINT_CHECK"),
        ("INSERT INTO child VALUES (99)", "SQLITE_CONSTRAINT_FOREIGNKEY"),
    ];
    for (sql, name) in cases {
        let error = db.error(sql, json!([]));
        assert_eq!(error.name, name, "{error:?}");
        assert!(error.message.ends_with(&format!(": SQLITE_CONSTRAINT (extended: {name})")), "{error:?}");
        assert_eq!(error.code & 0xff, 19, "{error:?}");
    }
}

fn c_113_an_error_without_extended_code_shows_none() {
    let db = Database::new();
    db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let error = db.error("INSERT INTO t VALUES ('x')", json!([]));
    error.assert_says("datatype mismatch: SQLITE_MISMATCH");
    assert!(!error.message.contains("extended"), "{error:?}");
}

fn c_114_a_statement_works_after_it_has_failed_and_the_turn_is_kept() {
    let db = Database::new();
    db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
    let insert = "INSERT INTO t VALUES (?)";
    let outcomes = db.run(&[
        step("CREATE TABLE other (a)"),
        (insert, json!([1])),
        (insert, json!([1])),
        (insert, json!([1])),
        (insert, json!([2])),
    ]);
    for failed in &outcomes[1..4] {
        refusal(failed).assert_says("UNIQUE constraint failed: t.id");
    }
    assert!(outcomes[4].get("error").is_none(), "{}", outcomes[4]);
    assert_eq!(db.rows("SELECT id FROM t", json!([])), json!([[1], [2]]));
    assert_eq!(db.value("SELECT count(*) FROM other", json!([])), json!(0));
}

fn c_115_the_same_text_sees_a_changed_table() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let select = step("SELECT * FROM t");
    let outcomes = db.run(&[select.clone(), step("ALTER TABLE t ADD COLUMN b"), select]);
    assert_eq!((&outcomes[0]["columns"], &outcomes[0]["rows"]), (&json!(["a"]), &json!([[1]])));
    assert_eq!((&outcomes[2]["columns"], &outcomes[2]["rows"]), (&json!(["a", "b"]), &json!([[1, null]])));
}

fn c_116_a_double_quoted_word_that_is_no_column_is_a_text() {
    assert_eq!(Database::new().value("SELECT \"foo\"", json!([])), json!("foo"));
}

fn c_117_returning_upsert_recursion_and_windows_work() {
    let db = Database::new();
    db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, n)");
    assert_eq!(db.rows("INSERT INTO t (n) VALUES (5), (6) RETURNING id", json!([])), json!([[1], [2]]));
    db.exec("INSERT INTO t VALUES (1, 7) ON CONFLICT (id) DO UPDATE SET n = excluded.n");
    assert_eq!(db.rows("SELECT id, n FROM t ORDER BY id", json!([])), json!([[1, 7], [2, 6]]));
    let sum =
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5) SELECT sum(x) FROM c";
    assert_eq!(db.value(sum, json!([])), json!(15));
    let numbered = "SELECT n, row_number() OVER (ORDER BY n) FROM t ORDER BY n";
    assert_eq!(db.rows(numbered, json!([])), json!([[6, 1], [7, 2]]));
}

fn c_118_a_strict_table_refuses_another_type() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a INTEGER) STRICT");
    db.error("INSERT INTO t VALUES ('abc')", json!([]))
        .assert_says("cannot store TEXT value in INTEGER column");
}

fn c_119_delete_with_a_limit_is_a_syntax_error_as_documented() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3), (4), (5)");
    db.error("DELETE FROM t LIMIT 2", json!([])).assert_says("syntax error");
    assert_eq!(db.value("SELECT count(*) FROM t", json!([])), json!(5));
}

fn c_120_foreign_keys_are_enforced() {
    let db = Database::new();
    db.exec(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (p REFERENCES parent (id) ON DELETE CASCADE);
         INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (1), (1), (2)",
    );
    db.error("INSERT INTO child VALUES (9)", json!([])).assert_says("FOREIGN KEY constraint failed");
    db.exec("DELETE FROM parent WHERE id = 1");
    assert_eq!(db.rows("SELECT p FROM child", json!([])), json!([[2]]));
}

fn c_121_the_schema_outlives_the_instance() {
    let object = forgetful_node().fresh(guest::SQL, "Sql");
    let db = Database::of(object.clone());
    db.exec("CREATE TABLE t (a)");
    object.wait_until_evicted();
    db.exec("INSERT INTO t VALUES (1)");
    db.exec("CREATE TABLE IF NOT EXISTS t (a)");
    db.error("CREATE TABLE t (a)", json!([])).assert_says("already exists");
    assert_eq!(db.rows("SELECT a FROM t", json!([])), json!([[1]]));
}

fn c_122_an_integer_beyond_2_53_is_exact() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a INTEGER)");
    let large = values::int(9_007_199_254_740_993);
    db.query("INSERT INTO t VALUES (?)", json!([large]));
    assert_eq!(db.value("SELECT a FROM t", json!([])), large);
    assert_eq!(db.value("SELECT a - 1 FROM t", json!([])), json!(9_007_199_254_740_992_i64));
}

fn c_123_the_ends_of_64_bit_integers_are_exact() {
    let rows = Database::new().rows("SELECT -9223372036854775808, 9223372036854775807", json!([]));
    assert_eq!(rows, json!([[values::int(i64::MIN), values::int(i64::MAX)]]));
}

fn b_05_a_script_is_split_by_the_parser_and_not_by_its_semicolons() {
    let db = Database::new();
    let script = "CREATE TABLE item (id INTEGER PRIMARY KEY, note, \"odd;name\"); CREATE TABLE trail (id);
        /* ; */
        CREATE TRIGGER t AFTER INSERT ON item BEGIN
            INSERT INTO trail VALUES (new.id);
            UPDATE trail SET id = CASE WHEN id > 0 THEN id ELSE 0 END;
        END;
        INSERT INTO item VALUES (1, 'a;b -- no comment', 2);
        SELECT note, \"odd;name\" FROM item WHERE id = ?";
    assert_eq!(db.rows(script, json!([1])), json!([["a;b -- no comment", 2]]));
    assert_eq!(db.rows("SELECT id FROM trail", json!([])), json!([[1]]));
}

fn b_06_migration_files_with_marks_work_as_far_as_they_hold_statements() {
    let text = "CREATE TABLE a(x);--> statement-breakpoint\nCREATE TABLE b(x);--> statement-breakpoint";
    let tables = |db: &Database| {
        db.rows("SELECT name FROM sqlite_master WHERE name NOT LIKE '_cf_%' ORDER BY name", json!([]))
    };
    let both = json!([["a"], ["b"]]);

    let split = Database::new();
    let parts: Vec<_> = text.split("--> statement-breakpoint").map(step).collect();
    let outcomes = split.run(&parts);
    refusal(&outcomes[2]).assert_says("did not contain a statement");
    assert_eq!(tables(&split), both);

    let whole = Database::new();
    whole.error(text, json!([])).assert_says("did not contain a statement");
    assert_eq!(tables(&whole), both);

    let without_last = Database::new();
    without_last.exec(text.strip_suffix("--> statement-breakpoint").expect("the last mark"));
    assert_eq!(tables(&without_last), both);
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_091_values_of_every_type_come_back_as_such,
    c_092_a_write_takes_effect_although_its_cursor_is_ignored,
    c_093_bindings_of_every_type_come_back_as_they_were,
    c_094_an_integer_is_bound_as_integer,
    c_095_an_integer_in_a_text_has_no_point,
    c_096_a_boolean_is_bound_as_one_or_zero,
    c_097_a_limit_takes_a_whole_number_only,
    c_098_empty_blobs_and_texts_are_not_null,
    c_099_the_number_of_bindings_must_be_right,
    c_100_a_numbered_parameter_counts_once,
    c_101_named_parameters_are_filled_by_position,
    c_102_the_rows_of_several_statements_are_those_of_the_last,
    c_103_only_the_last_statement_may_have_parameters,
    c_104_statements_before_the_failing_one_stay_in_effect,
    c_105_one_statement_is_all_or_nothing,
    c_106_a_text_without_a_statement_is_refused,
    c_107_white_space_may_follow_the_last_statement,
    c_108_a_second_semicolon_is_refused_and_a_comment_within_is_not,
    c_109_syntax_errors_tell_their_offset,
    c_110_a_missing_table_has_no_offset,
    c_111_a_missing_column_has_an_offset,
    c_112_constraint_errors_carry_their_extended_code,
    c_113_an_error_without_extended_code_shows_none,
    c_114_a_statement_works_after_it_has_failed_and_the_turn_is_kept,
    c_115_the_same_text_sees_a_changed_table,
    c_116_a_double_quoted_word_that_is_no_column_is_a_text,
    c_117_returning_upsert_recursion_and_windows_work,
    c_118_a_strict_table_refuses_another_type,
    c_119_delete_with_a_limit_is_a_syntax_error_as_documented,
    c_120_foreign_keys_are_enforced,
    c_121_the_schema_outlives_the_instance,
    c_122_an_integer_beyond_2_53_is_exact,
    c_123_the_ends_of_64_bit_integers_are_exact,
    b_05_a_script_is_split_by_the_parser_and_not_by_its_semicolons,
    b_06_migration_files_with_marks_work_as_far_as_they_hold_statements,
];
