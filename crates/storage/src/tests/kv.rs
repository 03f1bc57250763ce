//! Keys and values: single calls, batches, limits, and what becomes of them with their turn (KV, OG-8, OG-10).
//!
//! Lists with random options are in `kv_model`.

use durabo_model::limits::{
    KV_ENTRY_BYTES_MAX, KV_GET_BYTES_MAX, KV_KEY_BYTES_MAX, KV_KEYS_MAX, KV_LIST_BYTES_MAX,
};

use super::*;
use crate::kv::{Encoding, KvEntry, KvError, KvValue, KvWriteOptions, ListOptions};

const UNCONFIRMED: KvWriteOptions = KvWriteOptions { allow_unconfirmed: true };

fn entry(key: &str, data: &[u8]) -> KvEntry {
    (key.to_owned(), KvValue { encoding: Encoding::Bytes, data: data.to_owned() })
}

fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("key {number:05}")).collect()
}

impl Fixture {
    fn put(&mut self, key: &str, data: &[u8]) {
        self.database.kv_put(&[entry(key, data)], KvWriteOptions::default()).expect("put");
    }

    fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.database.kv_get(key).expect("get").map(|value| value.data)
    }

    fn delete(&mut self, names: &[&str]) -> u32 {
        self.database.kv_delete(&keys(names), KvWriteOptions::default()).expect("delete")
    }

    fn listed(&mut self) -> Vec<String> {
        let entries = self.database.kv_list(&ListOptions::default()).expect("list");
        entries.into_iter().map(|(key, _)| key).collect()
    }

    fn tables(&mut self) -> i64 {
        self.database.host_query("SELECT count(*) FROM sqlite_schema").expect("schema")
    }
}

#[test]
fn kv_19_reading_and_deleting_what_never_was_makes_nothing() {
    let mut f = fixture();
    assert_eq!(f.get("k"), None);
    assert_eq!(f.database.kv_get_many(&keys(&["a", "b"])).expect("get"), []);
    assert_eq!(f.delete(&["a", "b"]), 0);
    assert_eq!(f.listed(), Vec::<String>::new());
    f.database.kv_put(&[], KvWriteOptions::default()).expect("no entries");
    assert!(!f.database.is_turn_open());
    assert_eq!(f.end_turn(), None);
    f.checkpoint();
    assert!(!f.file.is_present());
    assert_eq!(f.tables(), 0);
}

#[test]
fn kv_12_every_byte_and_every_encoding_comes_back_also_after_a_restart() {
    let mut f = fixture();
    let data: Vec<u8> = (0..100_000).map(|number| number as u8).collect();
    let entries: Vec<KvEntry> = Encoding::ALL
        .iter()
        .enumerate()
        .map(|(number, &encoding)| (format!("{number}\0é"), KvValue { encoding, data: data.clone() }))
        .chain([entry("empty", b""), entry("", b"under the empty key")])
        .collect();
    f.database.kv_put(&entries, KvWriteOptions::default()).expect("put");
    f.end_turn().expect("commit");
    f.reset();
    for (key, value) in &entries {
        assert_eq!(f.database.kv_get(key).expect("get").as_ref(), Some(value), "{key:?}");
    }
}

#[test]
fn kv_3_and_kv_4_and_kv_5_batches_count_each_key_once() {
    let mut f = fixture();
    let batch = [entry("b", b"1"), entry("a", b"2"), entry("b", b"3")];
    f.database.kv_put(&batch, KvWriteOptions::default()).expect("put");
    let found = f.database.kv_get_many(&keys(&["b", "zz", "a", "b"])).expect("get");
    assert_eq!(found, [entry("a", b"2"), entry("b", b"3")]);
    assert_eq!(f.delete(&["a", "b", "zz", "a"]), 2);
    assert_eq!(f.delete(&["a"]), 0);
    assert_eq!(f.listed(), Vec::<String>::new());
}

#[test]
fn kv_11_what_is_over_a_limit_is_refused_before_anything_is_written() {
    let mut f = fixture();
    f.put("old", b"1");
    f.end_turn().expect("commit");
    let key = "ä".repeat(KV_KEY_BYTES_MAX / 2);
    let largest = vec![0; KV_ENTRY_BYTES_MAX - 3];
    f.put(&key, b"x");
    f.put("big", &largest);
    f.end_turn().expect("commit");

    let mut refused = |entries: &[KvEntry]| f.database.kv_put(entries, KvWriteOptions::default());
    let batch: Vec<KvEntry> = numbered(KV_KEYS_MAX + 1).iter().map(|key| entry(key, b"")).collect();
    assert_eq!(refused(&batch), Err(KvError::TooMany { count: 129 }));
    let long = key.clone() + "x";
    assert_eq!(refused(&[entry("new", b""), entry(&long, b"")]), Err(KvError::KeyTooLarge { bytes: 2049 }));
    let bytes = KV_ENTRY_BYTES_MAX + 1;
    let large = [entry("old", b"2"), entry("big!", &largest), entry("big", b"")];
    assert_eq!(refused(&large), Err(KvError::EntryTooLarge { bytes }));
    refused(&batch[..KV_KEYS_MAX]).expect("as many as may be");

    let many = numbered(KV_KEYS_MAX + 1);
    assert_eq!(f.database.kv_get_many(&many), Err(KvError::TooMany { count: 129 }));
    assert_eq!(f.database.kv_delete(&many, UNCONFIRMED), Err(KvError::TooMany { count: 129 }));
    assert_eq!(f.database.kv_get_many(&many[..KV_KEYS_MAX]).expect("get").len(), KV_KEYS_MAX);
    assert_eq!(f.database.kv_delete(&many[..KV_KEYS_MAX], UNCONFIRMED), Ok(KV_KEYS_MAX as u32));
    assert_eq!(f.database.kv_get(&long), Err(KvError::KeyTooLarge { bytes: 2049 }));
    let prefix = ListOptions { prefix: Some(long), ..ListOptions::default() };
    assert_eq!(f.database.kv_list(&prefix), Err(KvError::KeyTooLarge { bytes: 2049 }));
    assert_eq!(f.get("old").as_deref(), Some(&b"1"[..]));
    assert_eq!(f.listed(), ["big", "old", &key]);
}

#[test]
fn a_list_and_a_batch_of_more_than_an_answer_holds_are_refused() {
    let mut f = fixture();
    let many = numbered(KV_GET_BYTES_MAX / 1_000_000 + 1);
    for key in &many {
        f.put(key, &vec![0; 1_000_000]);
    }
    let first = |count: usize| ListOptions { limit: Some(count as u32), ..ListOptions::default() };
    let fits = KV_LIST_BYTES_MAX / 1_000_100;
    assert_eq!(f.database.kv_list(&first(fits)).expect("list").len(), fits);
    assert_eq!(f.database.kv_list(&first(fits + 1)), Err(KvError::ListTooLarge));
    assert_eq!(f.database.kv_get_many(&many), Err(KvError::ValuesTooLarge));
    assert_eq!(f.database.kv_get_many(&many[1..]).expect("get").len(), many.len() - 1);
    f.end_turn().expect("a refusal undoes nothing");
}

#[test]
fn kv_11_small_entries_count_for_more_than_they_are() {
    let mut f = fixture();
    f.database
        .host_run("CREATE TABLE _cf_KV(key TEXT PRIMARY KEY, value BLOB, encoding INTEGER) WITHOUT ROWID")
        .expect("table");
    f.database.host_run("INSERT INTO _cf_KV VALUES ('000000', x'', 0)").expect("an entry");
    for _ in 0..19 {
        let double = "INSERT INTO _cf_KV \
                      SELECT printf('%06d', key + (SELECT count(*) FROM _cf_KV)), x'', 0 FROM _cf_KV";
        f.database.host_run(double).expect("as many again");
    }
    assert_eq!(f.database.kv_list(&ListOptions::default()), Err(KvError::ListTooLarge));
    assert!(f.database.cost() > 1_000_000, "a long list cost {}", f.database.cost());
}

#[test]
fn kv_1_and_og_1_keys_and_sql_are_one_transaction() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    f.put("k", b"1");
    f.end_turn().expect("commit");
    f.exec("INSERT INTO t VALUES(1)");
    f.put("k", b"2");
    f.delete(&["other"]);
    assert_eq!(f.get("k").as_deref(), Some(&b"2"[..]));
    f.database.discard_turn().expect("discard");
    assert_eq!(f.get("k").as_deref(), Some(&b"1"[..]));
    assert_eq!(f.integer("SELECT count(*) FROM t"), 0);
}

#[test]
fn kv_18_a_first_write_that_is_undone_takes_the_table_with_it_and_later_ones_work() {
    let mut f = fixture();
    f.put("k", b"1");
    assert_eq!(f.tables(), 1);
    f.database.discard_turn().expect("discard");
    assert_eq!((f.tables(), f.get("k")), (0, None));
    f.put("k", b"2");
    f.end_turn().expect("commit");
    f.reset();
    assert_eq!(f.get("k").as_deref(), Some(&b"2"[..]));
}

#[test]
fn sq_17_guests_sql_does_not_reach_the_table() {
    let mut f = fixture();
    f.put("k", b"1");
    for query in [
        "SELECT * FROM _cf_KV",
        "INSERT INTO _cf_KV VALUES('a', x'', 0)",
        "UPDATE _CF_kv SET value = x''",
        "DELETE FROM _cf_kv",
        "DROP TABLE _cf_KV",
        "CREATE TABLE _cf_KV2(a)",
        "CREATE INDEX i ON _cf_KV(value)",
        "CREATE TRIGGER t AFTER INSERT ON _cf_KV BEGIN SELECT 1; END",
        "CREATE VIEW v AS SELECT * FROM _cf_KV; SELECT * FROM v",
        "WITH x AS (SELECT key FROM _cf_KV) SELECT * FROM x",
    ] {
        let error = f.error(query);
        assert_eq!(error.primary(), rusqlite::ffi::SQLITE_AUTH, "{query}: {error}");
    }
    assert_eq!(f.get("k").as_deref(), Some(&b"1"[..]));
}

#[test]
fn og_8_a_turn_is_confirmed_by_one_write_that_is_and_by_any_of_sql() {
    type Act = fn(&mut Fixture);
    let unconfirmed: Act = |f| f.database.kv_put(&[entry("k", b"1")], UNCONFIRMED).expect("put");
    let acts: [(&[Act], bool); 4] = [
        (&[unconfirmed], false),
        (&[unconfirmed, |f| f.put("other", b"")], true),
        (&[|f| drop(f.exec("INSERT INTO t VALUES(1)")), unconfirmed], true),
        (&[|f| drop(f.exec("SELECT * FROM t")), unconfirmed], false),
    ];
    for (index, (acts, is_confirmed)) in acts.into_iter().enumerate() {
        let mut f = fixture();
        f.exec("CREATE TABLE t(a)");
        f.end_turn().expect("commit");
        acts.iter().for_each(|act| act(&mut f));
        assert_eq!(f.database.is_turn_confirmed(), is_confirmed, "{index}");
        assert_eq!(f.end_turn().expect("commit").confirmed, is_confirmed, "{index}");
        f.delete(&["k"]);
        assert!(f.end_turn().expect("commit").confirmed, "{index}");
        f.put("k", b"");
        f.database.discard_turn().expect("discard");
        f.database.kv_put(&[entry("k", b"1")], UNCONFIRMED).expect("put");
        assert!(!f.end_turn().expect("commit").confirmed, "{index}");
    }
}

#[test]
fn og_10_a_put_that_is_too_much_for_the_database_or_the_turn_poisons_and_undoes_the_turn() {
    let small = DatabaseOptions { pages_max: 40, ..DatabaseOptions::default() };
    let short = DatabaseOptions { transaction_bytes_max: 1024 * 1024, ..DatabaseOptions::default() };
    for options in [small, short] {
        let mut f = fixture_with(options);
        f.put("first", b"1");
        f.end_turn().expect("commit");
        f.put("second", b"2");
        let big: Vec<KvEntry> = numbered(5).iter().map(|key| entry(key, &vec![1; 1_000_000])).collect();
        let error = f.database.kv_put(&big, KvWriteOptions::default()).expect_err("too much");
        assert_eq!(error.to_string(), "database or disk is full: SQLITE_FULL");
        assert_eq!(f.database.kv_get("first"), Err(error.clone()));
        assert_eq!(f.database.kv_put(&[], UNCONFIRMED), Err(error.clone()));
        assert!(f.database.end_turn().is_err());
        f.reset();
        assert_eq!(f.listed(), ["first"]);
    }
}

#[test]
fn a_list_that_is_interrupted_fails_and_the_turn_goes_on() {
    let mut f = fixture();
    for batch in numbered(2000).chunks(KV_KEYS_MAX) {
        let batch: Vec<KvEntry> = batch.iter().map(|key| entry(key, b"x")).collect();
        f.database.kv_put(&batch, KvWriteOptions::default()).expect("put");
    }
    let brake = f.database.interrupt_handle();
    brake.interrupt();
    let error = f.database.kv_list(&ListOptions::default()).expect_err("interrupted");
    assert!(matches!(error, KvError::Sql(ref error) if error.name == "SQLITE_INTERRUPT"), "{error}");
    brake.allow();
    assert_eq!(f.listed().len(), 2000);
    f.end_turn().expect("commit");
}
