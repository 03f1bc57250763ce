//! The examples, as their readers would use them (C-312 to C-315).
//!
//! Of C-314 and C-315 the parts that no example shows are run with class `Sql`.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::guest;

use super::database::{Database, step};
use super::standing::{forgetful_node, node};
use super::together::together;

fn c_312_items_come_back_as_posted_and_in_order() {
    let todo = node().fresh(guest::TODO, "Todo");
    assert_eq!(todo.get("/items").json(), json!([]));
    let items =
        [json!({"title": "write", "done": false}), json!("plain text"), json!([1, 2, {"deep": null}])];
    let mut posted = Vec::new();
    for item in &items {
        let answer = todo.fetch(
            "POST",
            "/items",
            &[("content-type", "application/json")],
            item.to_string().as_bytes(),
        );
        assert_eq!(answer.status, 201, "{}", answer.text());
        let stored = answer.json();
        assert_eq!(&stored["data"], item);
        assert!(stored["created"].as_u64().is_some_and(|ms| ms > 1_700_000_000_000), "{stored}");
        posted.push(stored);
    }
    let ids: HashSet<&Value> = posted.iter().map(|item| &item["id"]).collect();
    assert_eq!(ids.len(), items.len());
    let answer = todo.get("/items");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.json(), json!(posted));
    assert_eq!(todo.fetch("POST", "/items", &[], b"{no json").status, 400);
    assert_eq!(todo.get("/items").json(), json!(posted));
}

fn c_313_fifty_concurrent_increments_are_fifty_numbers() {
    let counter = forgetful_node().fresh(guest::COUNTER, "Counter");
    let numbers: HashSet<Option<i64>> =
        together(50, |_| counter.ok("increment", json!([])).as_i64()).into_iter().collect();
    assert_eq!(numbers, (1..=50).map(Some).collect());
    counter.wait_until_evicted();
    assert_eq!(counter.ok("get", json!([])), json!(50));
    assert_eq!(counter.get("/").text(), "50");
}

fn c_314_a_missing_user_is_an_error_with_one_and_a_default_otherwise() {
    let db = Database::new();
    db.exec("CREATE TABLE users (id INTEGER PRIMARY KEY, n INTEGER)");
    let missing = db.call("one", json!(["SELECT n FROM users WHERE id = 7"])).expect_err("no row");
    missing.assert_says("got no results");
    assert_eq!(db.call("objects", json!(["SELECT n FROM users WHERE id = ?", [7]])), Ok(json!([])));
    let bank = node().fresh(guest::BANK, "Bank");
    assert_eq!(bank.ok("balance", json!(["nobody"])), json!(0));
}

fn c_315_a_transfer_is_whole_or_not_at_all() {
    let bank = node().fresh(guest::BANK, "Bank");
    assert_eq!(bank.ok("deposit", json!(["a", 100])), json!(100));
    assert_eq!(bank.ok("transfer", json!(["a", "b", 30])), json!(70));
    let error = bank.fails("transfer", json!(["a", "b", 71]));
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("insufficient-funds", "account `a` holds 70, 71 are wanted")
    );
    assert_eq!((bank.ok("balance", json!(["a"])), bank.ok("balance", json!(["b"]))), (json!(70), json!(30)));

    let db = Database::new();
    db.exec("CREATE TABLE accounts (name TEXT PRIMARY KEY, balance INTEGER); INSERT INTO accounts VALUES ('a', 100), ('b', 0)");
    let debit = json!([[
        {"query": "SELECT balance FROM accounts WHERE name = 'a'"},
        {"query": "UPDATE accounts SET balance = balance - 30 WHERE name = 'a'"},
    ]]);
    db.call("run_and_trap", debit).expect_err("a trap between the updates").assert_reset("guest-trapped");
    assert_eq!(db.rows("SELECT balance FROM accounts ORDER BY name", json!([])), json!([[100], [0]]));
    db.run(&[
        step("UPDATE accounts SET balance = balance - 30 WHERE name = 'a'"),
        step("UPDATE accounts SET balance = balance + 30 WHERE name = 'b'"),
    ]);
    assert_eq!(db.rows("SELECT balance FROM accounts ORDER BY name", json!([])), json!([[70], [30]]));
}

fn concurrent_transfers_keep_the_sum() {
    let bank = node().fresh(guest::BANK, "Bank");
    let accounts = ["a", "b", "c"];
    for account in accounts {
        bank.ok("deposit", json!([account, 100]));
    }
    together(12, |number| {
        for round in 0..5 {
            let (from, to) = (accounts[(number + round) % 3], accounts[(number + round + 1) % 3]);
            let _ = bank.call("transfer", json!([from, to, 40])); // refused when the account is empty
        }
    });
    assert_eq!(bank.ok("total", json!([])), json!(300));
}

/// What this module shows.
pub(super) const CASES: &[Case] = cases![
    c_312_items_come_back_as_posted_and_in_order,
    c_313_fifty_concurrent_increments_are_fifty_numbers,
    c_314_a_missing_user_is_an_error_with_one_and_a_default_otherwise,
    c_315_a_transfer_is_whole_or_not_at_all,
    concurrent_transfers_keep_the_sum,
];
