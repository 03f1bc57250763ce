//! Calls, bindings, several statements, errors (SQ-1 to SQ-7, SQ-12, SQ-20, SQ-23).
//!
//! Run on a database alone; over HTTP they are in the conformance suite.

use super::*;

#[test]
fn c_091_values_of_every_kind() {
    let mut f = fixture();
    let result = f.exec("SELECT 7 AS n, 'x' AS s, x'00ff' AS b, NULL AS z, 1.5 AS r");
    let expected = [Value::Integer(7), text("x"), Value::Blob(vec![0, 255]), Value::Null, Value::Real(1.5)];
    assert_eq!(result.rows, expected);
    assert_eq!(result.columns, ["n", "s", "b", "z", "r"]);
}

#[test]
fn c_092_a_write_takes_effect_although_its_cursor_is_ignored() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.database.exec("INSERT INTO t VALUES(1) RETURNING a", &[], 0).expect("insert");
    assert_eq!(f.integer("SELECT count(*) FROM t"), 1);
}

#[test]
fn c_093_bindings_come_back_as_they_went_in() {
    let mut f = fixture();
    let values = [Value::Null, text("ä"), Value::Blob(vec![1, 2]), Value::Real(2.5)];
    assert_eq!(f.exec_with("SELECT ?, ?, ?, ?", &values).rows, values);
}

#[test]
fn c_094_c_095_an_integer_is_bound_as_integer() {
    let mut f = fixture();
    assert_eq!(f.exec_with("SELECT typeof(?)", &integers(&[1])).rows, [text("integer")]);
    assert_eq!(f.exec_with("SELECT ? || ''", &integers(&[1])).rows, [text("1")]);
}

#[test]
fn c_096_a_boolean_is_the_integer_one_and_matches() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(active INTEGER); INSERT INTO t VALUES(1),(0),(1)");
    let result = f.exec_with("SELECT count(*) FROM t WHERE active = ?", &integers(&[1]));
    assert_eq!(result.rows, integers(&[2]));
}

#[test]
fn c_097_limit_takes_whole_numbers_only() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a); INSERT INTO t VALUES(1),(2),(3)");
    assert_eq!(f.exec_with("SELECT * FROM t LIMIT ?", &integers(&[2])).rows.len(), 2);
    let error = f.error_with("SELECT * FROM t LIMIT ?", &[Value::Real(2.5)]);
    assert!(error.message.contains("datatype mismatch"), "{error}");
}

#[test]
fn c_098_empty_blobs_and_texts_are_not_null() {
    let mut f = fixture();
    let empty = [Value::Blob(Vec::new()), text("")];
    assert_eq!(f.exec_with("SELECT ?, ?", &empty).rows, empty);
    assert_eq!(f.exec_with("SELECT length(?)", &empty[..1]).rows, integers(&[0]));
}

#[test]
fn c_099_the_number_of_bindings_must_fit() {
    let mut f = fixture();
    let cases: [(&str, &[i64]); 3] = [("SELECT ?", &[]), ("SELECT ?", &[1, 2]), ("SELECT 1", &[1])];
    for (query, bindings) in cases {
        let error = f.error_with(query, &integers(bindings));
        assert!(error.message.contains("Wrong number of parameter bindings"), "{error}");
    }
}

#[test]
fn c_100_c_101_numbered_and_named_parameters() {
    let mut f = fixture();
    assert_eq!(f.exec_with("SELECT ?1 + ?1", &integers(&[2])).rows, integers(&[4]));
    assert_eq!(f.exec_with("SELECT :x + :x", &integers(&[4])).rows, integers(&[8]));
    assert_eq!(f.exec_with("SELECT @a, $b", &integers(&[1, 2])).rows, integers(&[1, 2]));
}

#[test]
fn c_102_several_statements_give_the_rows_of_the_last() {
    let mut f = fixture();
    let query = "CREATE TABLE t(a); INSERT INTO t VALUES(1); INSERT INTO t VALUES(2); \
                 SELECT a FROM t WHERE a > ?";
    assert_eq!(f.exec_with(query, &integers(&[1])).rows, integers(&[2]));
    assert_eq!(f.integer("SELECT count(*) FROM t"), 2);
}

#[test]
fn c_103_only_the_last_statement_can_have_parameters() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    let error = f.error_with("INSERT INTO t VALUES(?); SELECT 1", &integers(&[1]));
    assert!(error.message.contains("only the last statement can have parameters"), "{error}");
    assert_eq!(f.integer("SELECT count(*) FROM t"), 0);
}

#[test]
fn c_104_what_ran_before_the_failing_statement_stays() {
    let mut f = fixture();
    f.exec("CREATE TABLE k(id PRIMARY KEY, v)");
    f.assert_fails(
        "INSERT INTO k VALUES(1,'a'); INSERT INTO k VALUES(1,'b'); INSERT INTO k VALUES(2,'c')",
        "UNIQUE constraint failed: k.id",
    );
    assert_eq!(f.rows("SELECT * FROM k"), [Value::Integer(1), text("a")]);
}

#[test]
fn c_105_one_statement_is_all_or_nothing() {
    let mut f = fixture();
    f.exec("CREATE TABLE k(id PRIMARY KEY, v)");
    f.error("INSERT INTO k VALUES(1,'a'),(1,'b')");
    assert_eq!(f.integer("SELECT count(*) FROM k"), 0);
}

#[test]
fn c_106_c_108_text_without_a_statement() {
    let mut f = fixture();
    for query in ["", ";", "-- only a comment", "SELECT 1;;", "SELECT 1; -- note"] {
        f.assert_fails(query, "SQL code did not contain a statement.");
    }
    assert_eq!(f.integer("SELECT 1 -- note"), 1);
}

#[test]
fn c_107_white_space_after_the_last_statement() {
    let mut f = fixture();
    for space in [" ", "\t", "\n", "\r", "\u{b}", "\u{c}", " \n\t "] {
        assert_eq!(f.integer(&format!("SELECT 1;{space}")), 1, "{space:?}");
    }
}

#[test]
fn c_109_c_110_c_111_errors_say_where() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    for (query, offset) in [("SELECT ;", 7), ("SELECT -;", 8), ("SELECT * bunk;", 9)] {
        let error = f.error(query);
        assert!(error.message.contains(&format!("syntax error at offset {offset}")), "{error}");
        assert_eq!(error.offset, Some(offset));
    }
    assert_eq!(f.error("SELECT * bunk;").message, "near \"bunk\": syntax error at offset 9: SQLITE_ERROR");
    assert_eq!(f.error("SELECT * FROM nope").message, "no such table: nope: SQLITE_ERROR");
    assert_eq!(f.error("SELECT nocol FROM t").message, "no such column: nocol at offset 7: SQLITE_ERROR");
    assert_eq!(f.error("SELECT 1; SELECT nocol").offset, Some(17));
}

#[test]
fn c_112_constraints_name_their_extended_code() {
    let mut f = fixture();
    f.exec(
        "CREATE TABLE u(id PRIMARY KEY, a UNIQUE, b NOT NULL, c CHECK (c > 0)); \
         CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE ch(p REFERENCES p(id)); \
         INSERT INTO u VALUES(1, 1, 1, 1)",
    );
    for (query, name) in [
        ("INSERT INTO u VALUES(1, 2, 1, 1)", "PRIMARYKEY"),
        ("INSERT INTO u VALUES(2, 1, 1, 1)", "UNIQUE"),
        ("INSERT INTO u VALUES(2, 2, NULL, 1)", "NOTNULL"),
        ("INSERT INTO u VALUES(2, 2, 1, 0)", "CHECK"),
        ("INSERT INTO ch VALUES(9)", "FOREIGNKEY"),
    ] {
        let error = f.error(query);
        let ending = format!(": SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_{name})");
        assert!(error.message.ends_with(&ending), "{error}");
        assert_eq!(error.name, format!("SQLITE_CONSTRAINT_{name}"));
    }
}

#[test]
fn c_113_a_mismatch_has_no_extended_code() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY)");
    assert_eq!(f.error("INSERT INTO t VALUES('x')").message, "datatype mismatch: SQLITE_MISMATCH");
}

#[test]
fn c_114_a_failing_statement_leaves_the_turn_usable() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES(1)");
    for _ in 0..3 {
        f.error_with("INSERT INTO t VALUES(?)", &integers(&[1]));
    }
    f.exec_with("INSERT INTO t VALUES(?)", &integers(&[2]));
    f.end_turn().expect("commit");
    assert_eq!(f.integer("SELECT count(*) FROM t"), 2);
}

#[test]
fn c_115_a_cached_text_sees_the_new_schema() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    assert_eq!(f.exec("SELECT * FROM t").columns, ["a"]);
    f.exec("ALTER TABLE t ADD COLUMN b");
    let result = f.exec("SELECT * FROM t");
    assert_eq!(
        (result.columns, result.rows),
        (vec!["a".into(), "b".into()], vec![Value::Integer(1), Value::Null])
    );
}

#[test]
fn c_116_c_117_c_118_the_dialect() {
    let mut f = fixture();
    assert_eq!(f.rows("SELECT \"foo\""), [text("foo")]);
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, n)");
    assert_eq!(f.rows("INSERT INTO t(n) VALUES('a'), ('b') RETURNING id"), integers(&[1, 2]));
    f.exec("INSERT INTO t VALUES(1, 'c') ON CONFLICT(id) DO UPDATE SET n = excluded.n");
    assert_eq!(f.rows("SELECT n FROM t WHERE id = 1"), [text("c")]);
    let sum = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5) \
               SELECT sum(x) FROM c";
    assert_eq!(f.integer(sum), 15);
    assert_eq!(f.rows("SELECT row_number() OVER (ORDER BY id) FROM t"), integers(&[1, 2]));
    f.exec("CREATE TABLE s(a INTEGER) STRICT");
    f.assert_fails("INSERT INTO s VALUES('abc')", "cannot store TEXT value in INTEGER column");
}

#[test]
fn c_119_delete_with_limit_is_a_syntax_error_here() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.assert_fails("DELETE FROM t LIMIT 2", "syntax error");
}

#[test]
fn c_120_foreign_keys_are_enforced() {
    let mut f = fixture();
    f.exec(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); \
         CREATE TABLE c(p REFERENCES p(id) ON DELETE CASCADE)",
    );
    f.assert_fails("INSERT INTO c VALUES(1)", "FOREIGN KEY constraint failed");
    f.exec("INSERT INTO p VALUES(1); INSERT INTO c VALUES(1); DELETE FROM p");
    assert_eq!(f.integer("SELECT count(*) FROM c"), 0);
}

#[test]
fn c_121_the_schema_persists() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.end_turn().expect("commit");
    f.reset();
    f.exec("INSERT INTO t VALUES(1); CREATE TABLE IF NOT EXISTS t(a)");
    f.assert_fails("CREATE TABLE t(a)", "already exists");
}

#[test]
fn c_122_c_123_integers_are_exact() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.exec_with("INSERT INTO t VALUES(?)", &integers(&[9_007_199_254_740_993]));
    assert_eq!(f.integer("SELECT a FROM t"), 9_007_199_254_740_993);
    let bounds = f.rows("SELECT -9223372036854775808, 9223372036854775807");
    assert_eq!(bounds, integers(&[i64::MIN, i64::MAX]));
}

#[test]
fn b_05_semicolons_inside_triggers_and_literals_do_not_split() {
    let mut f = fixture();
    let query = "CREATE TABLE item(id INTEGER PRIMARY KEY, note, \"odd;name\"); CREATE TABLE trail(id);
        /* ; */ CREATE TRIGGER t AFTER INSERT ON item BEGIN
            INSERT INTO trail VALUES(CASE WHEN new.id > 0 THEN new.id ELSE 0 END);
            UPDATE trail SET id = id;
        END;
        INSERT INTO item VALUES(1, 'a;b -- no comment', NULL);
        SELECT note FROM item WHERE id = ?";
    assert_eq!(f.exec_with(query, &integers(&[1])).rows, [text("a;b -- no comment")]);
    assert_eq!(f.integer("SELECT count(*) FROM trail"), 1);
}

#[test]
fn b_06_migration_files_with_breakpoint_marks() {
    let whole = "CREATE TABLE a(x);--> statement-breakpoint\nCREATE TABLE b(x);--> statement-breakpoint";
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('a', 'b')";
    let mut f = fixture();
    for part in whole.split("--> statement-breakpoint") {
        if part.trim().is_empty() {
            f.assert_fails(part, "did not contain a statement");
        } else {
            f.exec(part);
        }
    }
    assert_eq!(f.integer(tables), 2);
    let mut f = fixture();
    f.assert_fails(whole, "did not contain a statement");
    assert_eq!(f.integer(tables), 2);
    let mut f = fixture();
    f.exec(whole.strip_suffix("--> statement-breakpoint").expect("mark"));
    assert_eq!(f.integer(tables), 2);
}

#[test]
fn instr_and_replace_answer_as_the_stock_ones() {
    let mut f = fixture();
    crate::vfs::register().expect("SQLite is set up");
    let stock = rusqlite::Connection::open_in_memory().expect("stock");
    let values = [
        "NULL",
        "''",
        "'a'",
        "'äöü'",
        "'xäöüä'",
        "x''",
        "x'00ff00ff'",
        "x'ff00'",
        "12.5",
        "2",
        "'2.5'",
        "1e300",
        "'aaaa'",
        "'aa'",
        "CAST(x'c3' AS TEXT)",
        "CAST(x'a4' AS TEXT)",
        "'a' || char(0) || 'b'",
        "x'c3a4'",
        "0.1",
    ];
    for a in values {
        for b in values {
            for query in [
                format!("SELECT instr({a}, {b})"),
                format!(
                    "SELECT quote(CAST(replace({a}, {b}, 'Zz') AS BLOB)), typeof(replace({a}, {b}, 'Z'))"
                ),
                format!("SELECT quote(CAST(replace('xaay', {a}, {b}) AS BLOB)), replace(1, 2, {a})"),
            ] {
                let ours = f.exec(&query);
                let theirs = stock.query_row(&query, [], |row| {
                    (0..ours.columns.len())
                        .map(|i| row.get::<_, rusqlite::types::Value>(i))
                        .collect::<Result<Vec<_>, _>>()
                });
                assert_eq!(format!("{:?}", ours.rows), format!("{:?}", theirs.expect("stock")), "{query}");
            }
        }
    }
}

#[test]
fn instr_and_replace_of_long_texts_are_over_at_once() {
    let mut f = fixture();
    let query = "SELECT instr(hay, needle), length(replace(hay, needle, 'x')) FROM (SELECT \
        replace(printf('%.*c', 2000000, 'a'), 'b', '') AS hay, printf('%.*c', 1000000, 'a') || 'b' AS needle)";
    assert_eq!(f.rows(query), integers(&[0, 2_000_000]));
}
