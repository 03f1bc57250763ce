//! SQL: cursors, names of columns, counts of rows, size of the database (SQ-8 to SQ-15, SQ-26, SQ-31).
//!
//! Cursors are opened with one row at a time, so that the host really holds them open.

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::guest;

use super::database::{Database, opened, refusal, step};
use super::standing::lasting_node;

fn rows_of(outcomes: &Value) -> Vec<Value> {
    let outcomes = outcomes.as_array().expect("a list of outcomes");
    outcomes.iter().map(|outcome| outcome["rows"].clone()).collect()
}

/// Opens cursors and takes from them, all in one turn; the rows of each taking.
#[track_caller]
fn taken(db: &Database, opens: Value, takes: Value) -> Vec<Value> {
    rows_of(&db.call("open_and_take", json!([opens, takes])).unwrap_or_else(|error| panic!("{error:?}")))
}

fn with_numbers(count: u32) -> Database {
    let db = Database::in_memory();
    db.exec(&format!(
        "CREATE TABLE things (id INTEGER PRIMARY KEY, n INTEGER);
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {count})
         INSERT INTO things SELECT i, i * 10 FROM c"
    ));
    db
}

fn c_124_after_the_last_row_comes_the_end_again_and_again() {
    let db = with_numbers(3);
    let takes = json!([["c", 1], ["c", 1], ["c", 1], ["c", 1], ["c", 1]]);
    let rows = taken(&db, json!([opened("c", "SELECT id FROM things")]), takes);
    assert_eq!(rows, [json!([[1]]), json!([[2]]), json!([[3]]), json!([]), json!([])]);
}

fn c_125_the_rest_is_what_was_not_taken_yet() {
    let db = with_numbers(3);
    let rows =
        taken(&db, json!([opened("c", "SELECT id FROM things")]), json!([["c", 1], ["c", 100], ["c", 100]]));
    assert_eq!(rows, [json!([[1]]), json!([[2], [3]]), json!([])]);
}

fn c_126_one_wants_exactly_one_row() {
    let db = with_numbers(2);
    let error = |sql: &str| db.call("one", json!([sql])).expect_err("not one row");
    let none = error("SELECT id FROM things WHERE id = 9");
    none.assert_says("Expected exactly one result from SQL query, but got no results.");
    assert_eq!((none.kind.as_str(), none.remote, none.object_reset), ("storage", true, false));
    error("SELECT id FROM things")
        .assert_says("Expected exactly one result from SQL query, but got multiple results.");
}

fn c_127_one_takes_the_row() {
    let db = with_numbers(1);
    assert_eq!(db.call("one", json!(["SELECT id, n FROM things"])), Ok(json!([[1, 10], 0])));
}

fn c_128_raw_rows_are_lists_in_column_order() {
    assert_eq!(Database::new().rows("SELECT 1 AS a, 'x' AS b", json!([])), json!([[1, "x"]]));
}

fn c_129_of_columns_with_one_name_objects_keep_the_last() {
    let db = Database::new();
    let sql = "SELECT 1 AS a, 2 AS b, 3 AS a";
    let outcome = db.query(sql, json!([]));
    assert_eq!((&outcome["columns"], &outcome["rows"]), (&json!(["a", "b", "a"]), &json!([[1, 2, 3]])));
    assert_eq!(db.call("objects", json!([sql, []])), Ok(json!([{"a": 3, "b": 2}])));
}

fn c_130_column_names_are_there_without_rows_and_after_the_end() {
    let db = with_numbers(1);
    assert_eq!(db.query("UPDATE things SET n = 0", json!([]))["columns"], json!([]));
    assert_eq!(db.query("SELECT id, n FROM things WHERE id = 9", json!([]))["columns"], json!(["id", "n"]));
    let takes = json!([["c", 0], ["c", 5], ["c", 5]]);
    let outcomes =
        db.call("open_and_take", json!([[opened("c", "SELECT id, n FROM things")], takes])).expect("taken");
    for outcome in outcomes.as_array().expect("outcomes") {
        assert_eq!(outcome["columns"], json!(["id", "n"]));
    }
}

fn c_131_columns_without_alias_are_named_by_their_text() {
    let outcome = Database::new().query("SELECT count(*), 'hello', ?", json!([1]));
    assert_eq!(outcome["columns"], json!(["count(*)", "'hello'", "?"]));
}

fn c_132_cursors_of_the_same_text_do_not_disturb_each_other() {
    let db = with_numbers(3);
    let sql = "SELECT id FROM things";
    let opens = json!([opened("first", sql), opened("second", sql)]);
    let rows = taken(&db, opens, json!([["first", 1], ["second", 9], ["first", 9]]));
    assert_eq!(rows, [json!([[1]]), json!([[1], [2], [3]]), json!([[2], [3]])]);
}

fn c_133_a_loop_within_a_loop_gives_the_full_product() {
    let db = Database::in_memory();
    db.exec("CREATE TABLE a (x); CREATE TABLE b (y); INSERT INTO a VALUES (1), (2), (3); INSERT INTO b VALUES (7), (8)");
    let pairs = db.call("nested", json!(["SELECT x FROM a ORDER BY x", "SELECT y FROM b ORDER BY y"]));
    assert_eq!(pairs, Ok(json!([[1, 7], [1, 8], [2, 7], [2, 8], [3, 7], [3, 8]])));
}

fn c_134_rows_read_grow_with_the_rows_that_are_taken() {
    let db = with_numbers(10);
    let takes: Vec<Value> = (0..12).map(|_| json!(["c", 1])).collect();
    let opens = json!([opened("c", "SELECT * FROM things")]);
    let outcomes = db.call("open_and_take", json!([opens, takes])).expect("taken");
    let read: Vec<u64> = outcomes
        .as_array()
        .expect("outcomes")
        .iter()
        .map(|outcome| outcome["counts"]["rows_read"].as_u64().expect("a count"))
        .collect();
    let expected: Vec<u64> = (1..=12).map(|taken: u64| (taken + 1).min(10)).collect();
    assert_eq!(read, expected);
}

fn c_135_rows_read_are_those_that_were_visited() {
    let db = with_numbers(1000);
    let read = |sql: &str| db.query(sql, json!([]))["counts"]["rows_read"].clone();
    assert_eq!(read("SELECT * FROM things WHERE n = 5000"), json!(1000));
    assert_eq!(read("SELECT * FROM things WHERE id = 5"), json!(1));
    assert_eq!(read("SELECT * FROM things LIMIT 5"), json!(5));
    assert_eq!(read("SELECT * FROM things"), json!(1000));
}

fn c_136_rows_written_are_those_that_were_changed() {
    let db = with_numbers(3);
    let written = |sql: &str| db.query(sql, json!([]))["counts"]["rows_written"].clone();
    assert_eq!(written("INSERT INTO things VALUES (9, 9)"), json!(1));
    assert_eq!(written("DELETE FROM things WHERE id = 77"), json!(0));
    assert_eq!(written("UPDATE things SET n = 0 WHERE id < 3"), json!(2));
}

fn c_137_a_list_of_values_counts_the_rows_and_not_the_list() {
    let db = with_numbers(2);
    let counts = &db.query("SELECT * FROM things WHERE n IN (1, 2, 3, 4, 5, 6)", json!([]))["counts"];
    assert_eq!(counts, &json!({"rows_read": 2, "rows_written": 0}));
}

fn c_138_each_cursor_counts_its_own_rows() {
    let db = with_numbers(10);
    let opens =
        json!([opened("all", "SELECT * FROM things"), opened("some", "SELECT * FROM things WHERE id > 7")]);
    let takes = json!([["all", 2], ["some", 1], ["all", 99], ["some", 99], ["all", 9], ["some", 9]]);
    let outcomes = db.call("open_and_take", json!([opens, takes])).expect("taken");
    assert_eq!(outcomes[4]["counts"], json!({"rows_read": 10, "rows_written": 0}));
    assert_eq!(outcomes[5]["counts"], json!({"rows_read": 3, "rows_written": 0}));
}

fn c_139_a_large_row_counts_once() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a)");
    let written = db.query("INSERT INTO t VALUES (zeroblob(?))", json!([100_000]));
    assert_eq!(written["counts"]["rows_written"], json!(1));
    let read = db.query("SELECT length(a) FROM t", json!([]));
    assert_eq!((&read["rows"], &read["counts"]["rows_read"]), (&json!([[100_000]]), &json!(1)));
}

fn c_140_the_size_counts_pages_within_the_turn() {
    let db = Database::new();
    db.exec("CREATE TABLE t (a)");
    let steps = json!([[{"query": "CREATE TABLE other (a)"}, {"query": "DROP TABLE other"}]]);
    let sizes = db.call("size_probe", steps).expect("sizes");
    let before = sizes[0].as_u64().expect("a size");
    assert_eq!(before % 4096, 0);
    assert_eq!(sizes, json!([before, before + 4096, before]));
}

fn c_141_rows_of_a_writing_statement_are_bounded_and_a_reading_one_goes_on() {
    let db = with_numbers(100);
    db.exec("CREATE TABLE large (a)");
    let returning = "INSERT INTO large SELECT zeroblob(100000) FROM things RETURNING a";
    let outcomes = db.run(&[step(returning), step("SELECT count(*) FROM large")]);
    let error = refusal(&outcomes[0]);
    assert_eq!((error.code, error.name.as_str()), (0, "limit-exceeded"), "{error:?}");
    assert_eq!(outcomes[1]["rows"], json!([[0]]));
    let sum = "SELECT sum(length(a)) FROM (SELECT zeroblob(100000) AS a FROM things)";
    assert_eq!(db.value(sum, json!([])), json!(10_000_000));
    db.exec("INSERT INTO large SELECT zeroblob(100000) FROM things");
    let read = db.call("open_and_take", json!([[opened("c", "SELECT length(a) FROM large")], [["c", 1000]]]));
    assert_eq!(rows_of(&read.expect("taken"))[0].as_array().map(Vec::len), Some(100));
}

fn a_cursor_goes_on_over_events_as_far_as_it_was_read_ahead() {
    let db = with_numbers(1000);
    let open =
        |name: &str, sql: &str| db.call("open", json!([name, {"query": sql, "batch": 1}])).expect("opened");
    open("short", "SELECT id FROM things");
    db.exec("UPDATE things SET n = 0");
    let rest = db.call("take", json!(["short", 5000])).expect("taken");
    assert_eq!(rest["rows"].as_array().map(Vec::len), Some(1000));

    db.exec("CREATE TABLE large AS SELECT randomblob(3000) AS a FROM things");
    open("long", "SELECT a FROM large");
    let first = db.call("take", json!(["long", 5000])).expect("an outcome");
    let error = refusal(&first);
    assert_eq!((error.code, error.name.as_str()), (0, "cursor-closed"), "{error:?}");
    assert_eq!(db.value("SELECT count(*) FROM large", json!([])), json!(1000));
}

fn an_operators_sql_leaves_open_cursors_as_they_are() {
    let object = lasting_node().fresh(guest::SQL, "Sql");
    let db = Database::of(object.clone());
    db.exec("CREATE TABLE things (id INTEGER PRIMARY KEY); INSERT INTO things VALUES (1), (2), (3)");
    db.call("open", json!(["c", {"query": "SELECT id FROM things", "batch": 1}])).expect("opened");
    object.sql("DELETE FROM things").expect_err("it may not write");
    object.write_sql("DELETE FROM things WHERE id = 3").expect("it may");
    // Read ahead when the turn ended in which it was opened.
    assert_eq!(db.call("take", json!(["c", 10])).expect("taken")["rows"], json!([[1], [2], [3]]));
    assert_eq!(db.rows("SELECT id FROM things", json!([])), json!([[1], [2]]));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_124_after_the_last_row_comes_the_end_again_and_again,
    c_125_the_rest_is_what_was_not_taken_yet,
    c_126_one_wants_exactly_one_row,
    c_127_one_takes_the_row,
    c_128_raw_rows_are_lists_in_column_order,
    c_129_of_columns_with_one_name_objects_keep_the_last,
    c_130_column_names_are_there_without_rows_and_after_the_end,
    c_131_columns_without_alias_are_named_by_their_text,
    c_132_cursors_of_the_same_text_do_not_disturb_each_other,
    c_133_a_loop_within_a_loop_gives_the_full_product,
    c_134_rows_read_grow_with_the_rows_that_are_taken,
    c_135_rows_read_are_those_that_were_visited,
    c_136_rows_written_are_those_that_were_changed,
    c_137_a_list_of_values_counts_the_rows_and_not_the_list,
    c_138_each_cursor_counts_its_own_rows,
    c_139_a_large_row_counts_once,
    c_140_the_size_counts_pages_within_the_turn,
    c_141_rows_of_a_writing_statement_are_bounded_and_a_reading_one_goes_on,
    a_cursor_goes_on_over_events_as_far_as_it_was_read_ahead,
    an_operators_sql_leaves_open_cursors_as_they_are,
];
