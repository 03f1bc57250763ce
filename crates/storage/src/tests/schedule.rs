//! Named alarms as rows of the turn (SC-1, SC-2, SC-7, SC-9, SC-11, SC-18, SC-19), and what the turn's end says of
//! them.
//!
//! What their triggers mean, and when they run, is not the database's business.

use durabo_changelog::record::AlarmChange;
use durabo_model::limits::{
    KV_LIST_BYTES_MAX, SCHEDULE_NAME_BYTES_MAX, SCHEDULE_PAYLOAD_BYTES_MAX, SCHEDULES_MAX,
};
use durabo_model::time::Timestamp;

use super::{Fixture, fixture};
use crate::alarm::{NewAlarm, StoredAlarm};
use crate::kv::KvWriteOptions;
use crate::schedule::{NewSchedule, ScheduleError, ScheduleListOptions};

fn new(name: &str, rule: &str, time: u64) -> NewSchedule {
    let (name, rule) = (name.to_owned(), rule.to_owned());
    NewSchedule { name, rule, payload: Vec::new(), time: Timestamp(time), gone: None }
}

fn set(f: &mut Fixture, name: &str, time: u64) {
    let new = new(name, &format!("at {time}"), time);
    f.database.set_schedule(new, KvWriteOptions::default()).expect("set");
}

fn set_alarm(f: &mut Fixture, time_ms: u64) {
    let new = NewAlarm { time_ms, now: Timestamp(1), running: None };
    f.database.set_alarm(new, KvWriteOptions::default()).expect("set");
}

fn delete(f: &mut Fixture, name: &str) -> bool {
    f.database.delete_schedule(name, KvWriteOptions::default()).expect("deleted")
}

fn run_of(f: &mut Fixture, name: &str) -> StoredAlarm {
    f.database.schedule(name).expect("readable").expect("it is set").run
}

fn listed(f: &mut Fixture, prefix: &str, start_after: Option<&str>, limit: u32) -> Vec<String> {
    let start_after = start_after.map(str::to_owned);
    let options = ScheduleListOptions { prefix: prefix.to_owned(), start_after, limit };
    let entries = f.database.list_schedules(&options).expect("a list");
    entries.into_iter().map(|entry| entry.name).collect()
}

fn names(f: &mut Fixture) -> Vec<String> {
    listed(f, "", None, 100)
}

fn change(f: &mut Fixture) -> Option<AlarmChange> {
    f.end_turn().map(|commit| commit.alarm)
}

fn woken_at(time: u64) -> Option<AlarmChange> {
    Some(AlarmChange::Set(Timestamp(time)))
}

#[test]
fn sc_1_names_and_payloads_are_bounded_and_what_is_larger_changes_nothing() {
    let mut f = fixture();
    for name in ["", &"x".repeat(SCHEDULE_NAME_BYTES_MAX + 1)] {
        let refused = Err(ScheduleError::Name(name.len()));
        assert_eq!(f.database.set_schedule(new(name, "r", 1), KvWriteOptions::default()), refused);
        assert_eq!(f.database.schedule(name).map(|_| ()), refused);
        assert_eq!(f.database.delete_schedule(name, KvWriteOptions::default()).map(|_| ()), refused);
    }
    let large = |bytes| NewSchedule { payload: vec![0; bytes], ..new("large", "r", 1) };
    let (name, bytes) = ("large".to_owned(), SCHEDULE_PAYLOAD_BYTES_MAX + 1);
    let refused = f.database.set_schedule(large(bytes), KvWriteOptions::default());
    assert_eq!(refused, Err(ScheduleError::Payload { name, bytes }));
    assert_eq!(f.end_turn(), None, "a refused entry was written");
    f.database.set_schedule(large(bytes - 1), KvWriteOptions::default()).expect("just small enough");
    let longest = "x".repeat(SCHEDULE_NAME_BYTES_MAX);
    set(&mut f, &longest, 5);
    assert_eq!(names(&mut f), ["large", longest.as_str()]);
}

#[test]
fn sc_1_an_object_has_so_many_entries_at_most_and_may_replace_them() {
    let mut f = fixture();
    (0..SCHEDULES_MAX).for_each(|number| set(&mut f, &number.to_string(), 5));
    let one_more = f.database.set_schedule(new("more", "r", 5), KvWriteOptions::default());
    assert_eq!(one_more, Err(ScheduleError::TooMany));
    set(&mut f, "7", 4);
    assert!(delete(&mut f, "8"));
    set(&mut f, "more", 5);
    assert_eq!(change(&mut f), woken_at(4));
}

#[test]
fn sc_7_setting_what_is_stored_writes_nothing_and_another_rule_or_payload_replaces() {
    let mut f = fixture();
    set(&mut f, "a", 5000);
    let first = run_of(&mut f, "a");
    f.end_turn();
    f.database.set_schedule(new("a", "at 5000", 9000), KvWriteOptions::default()).expect("no change");
    assert_eq!((run_of(&mut f, "a"), f.end_turn()), (first, None));
    let other = NewSchedule { payload: b"p".to_vec(), ..new("a", "at 5000", 6000) };
    f.database.set_schedule(other, KvWriteOptions::default()).expect("set");
    assert_ne!(run_of(&mut f, "a").serial, first.serial);
    assert_eq!(change(&mut f), woken_at(6000));
    // One that runs at present and counts as gone is set anew by the same.
    let running = run_of(&mut f, "a");
    let again =
        NewSchedule { payload: b"p".to_vec(), gone: Some(running.serial), ..new("a", "at 5000", 7000) };
    f.database.set_schedule(again, KvWriteOptions::default()).expect("set");
    assert!(!f.database.settle_schedule(&running, None).expect("settled"), "the new one is another");
    assert_eq!(change(&mut f), woken_at(7000));
}

#[test]
fn sc_9_a_list_goes_by_bytes_with_prefix_start_and_limit() {
    let mut f = fixture();
    assert_eq!(names(&mut f), Vec::<String>::new());
    assert_eq!(f.end_turn(), None, "looking has made the table");
    for name in ["b", "a", "ab", "Z", "ä", "a\u{10ffff}", "ac"] {
        set(&mut f, name, 5);
    }
    assert_eq!(names(&mut f), ["Z", "a", "ab", "ac", "a\u{10ffff}", "b", "ä"]);
    assert_eq!(listed(&mut f, "a", None, 9), ["a", "ab", "ac", "a\u{10ffff}"]);
    assert_eq!(listed(&mut f, "a", Some("ab"), 1), ["ac"]);
    assert_eq!(listed(&mut f, "a", Some("Z"), 2), ["a", "ab"]);
    assert_eq!(listed(&mut f, "", Some("b"), 9), ["ä"]);
    assert_eq!(listed(&mut f, "a", Some("b"), 9), Vec::<String>::new());
    let none = f.database.list_schedules(&ScheduleListOptions::default());
    assert_eq!(none, Err(ScheduleError::Limit));
}

#[test]
fn sc_9_a_list_that_is_too_large_is_refused() {
    let mut f = fixture();
    for number in 0..=KV_LIST_BYTES_MAX / SCHEDULE_PAYLOAD_BYTES_MAX {
        let payload = vec![0; SCHEDULE_PAYLOAD_BYTES_MAX];
        let new = NewSchedule { payload, ..new(&number.to_string(), "r", 5) };
        f.database.set_schedule(new, KvWriteOptions::default()).expect("set");
    }
    let options = |limit| ScheduleListOptions { limit, ..ScheduleListOptions::default() };
    assert_eq!(f.database.list_schedules(&options(1000)), Err(ScheduleError::ListTooLarge));
    assert_eq!(f.database.list_schedules(&options(9)).map(|entries| entries.len()), Ok(9));
}

#[test]
fn sc_11_the_object_is_woken_at_the_least_of_its_alarm_and_its_entries() {
    let mut f = fixture();
    set(&mut f, "b", 5000);
    assert_eq!(change(&mut f), woken_at(5000));
    set(&mut f, "late", 9000);
    set_alarm(&mut f, 8000);
    assert_eq!(change(&mut f), Some(AlarmChange::Unchanged));
    set_alarm(&mut f, 5000);
    set(&mut f, "a", 5000);
    assert_eq!(change(&mut f), Some(AlarmChange::Unchanged));
    // At the same time the alarm comes first, then names.
    let alarm = f.database.next_run().expect("readable").expect("something is set");
    assert_eq!(alarm.schedule, None);
    assert!(f.database.settle_alarm(alarm.serial, None).expect("settled"));
    for expected in ["a", "b", "late"] {
        let next = f.database.next_run().expect("readable").expect("something is set");
        assert_eq!(f.database.schedule_of(&next).expect("readable").expect("an entry").name, expected);
        assert!(f.database.settle_schedule(&next, None).expect("settled"));
    }
    assert_eq!((f.database.next_run(), change(&mut f)), (Ok(None), Some(AlarmChange::Cleared)));
}

#[test]
fn sc_14_the_next_try_of_an_entry_is_what_the_record_says_and_outlives_a_new_start() {
    let mut f = fixture();
    set(&mut f, "a", 5000);
    set(&mut f, "b", 8000);
    f.end_turn();
    let run = run_of(&mut f, "a");
    let next = StoredAlarm { due: Timestamp(7000), retries: 2, doublings: 1, ..run };
    assert!(f.database.settle_schedule(&run, Some(next)).expect("settled"));
    assert_eq!(change(&mut f), woken_at(7000));
    f.reset();
    assert_eq!(f.database.next_run(), Ok(Some(next)));
    // A new one forgets the tries.
    set(&mut f, "a", 6000);
    let stored = run_of(&mut f, "a");
    assert_eq!((stored.due, stored.retries, stored.doublings), (Timestamp(6000), 0, 0));
}

#[test]
fn sc_16_a_run_whose_entry_was_deleted_meanwhile_does_not_bring_it_back() {
    let mut f = fixture();
    set(&mut f, "a", 5000);
    f.end_turn();
    let run = f.database.next_run().expect("readable").expect("it is set");
    assert!(delete(&mut f, "a"));
    assert!(!delete(&mut f, "a"));
    assert!(!f.database.settle_schedule(&run, Some(run)).expect("settled"));
    assert_eq!((names(&mut f), change(&mut f)), (vec![], Some(AlarmChange::Cleared)));
    // Not even if the same is set once more.
    set(&mut f, "a", 5000);
    assert!(!f.database.settle_schedule(&run, None).expect("settled"));
    assert_eq!(names(&mut f), ["a"]);
}

#[test]
fn sc_18_a_turn_a_savepoint_and_a_transaction_that_are_undone_leave_the_entries_before_them() {
    let mut f = fixture();
    set(&mut f, "new", 4000);
    f.database.discard_turn().expect("discarded");
    assert_eq!((names(&mut f), f.end_turn()), (vec![], None));
    set(&mut f, "a", 5000);
    assert_eq!(change(&mut f), woken_at(5000));
    let savepoint = f.database.savepoint_begin().expect("savepoint");
    assert!(delete(&mut f, "a"));
    set(&mut f, "b", 3000);
    f.database.savepoint_rollback(savepoint).expect("rolled back");
    assert_eq!((names(&mut f), change(&mut f)), (vec!["a".to_owned()], Some(AlarmChange::Unchanged)));
}

#[test]
fn sc_18_the_end_of_a_run_is_stored_although_its_handler_has_left_a_savepoint_open() {
    let mut f = fixture();
    set(&mut f, "a", 5000);
    f.end_turn();
    let run = run_of(&mut f, "a");
    f.database.savepoint_begin().expect("savepoint");
    f.exec("CREATE TABLE t(x)");
    assert!(f.database.settle_schedule(&run, None).expect("settled"));
    assert_eq!(change(&mut f), Some(AlarmChange::Cleared));
    assert_eq!(
        f.integer("SELECT count(*) FROM sqlite_schema WHERE name = 't'"),
        0,
        "undone as at any end of a turn"
    );
}

#[test]
fn sc_19_a_wipe_removes_all_entries_and_one_that_is_set_after_it_stands() {
    let mut f = fixture();
    set(&mut f, "a", 5000);
    f.end_turn();
    let run = run_of(&mut f, "a");
    f.database.delete_all().expect("delete all");
    assert_eq!(names(&mut f), Vec::<String>::new());
    assert!(!f.database.settle_schedule(&run, Some(run)).expect("settled"), "a run brings nothing back");
    assert_eq!(change(&mut f), Some(AlarmChange::Cleared));
    set(&mut f, "a", 5000);
    f.end_turn();
    f.database.delete_all().expect("delete all");
    set(&mut f, "b", 6000);
    assert_eq!(change(&mut f), woken_at(6000));
    f.reset();
    assert_eq!(names(&mut f), ["b"]);
    f.database.delete_all().expect("delete all");
    f.reset();
    assert_eq!(names(&mut f), ["b"], "the wipe was undone");
}

#[test]
fn sc_18_the_first_entry_of_all_is_undone_with_a_nested_transaction_and_another_can_be_set() {
    let mut f = fixture();
    let outer = f.database.transaction_begin().expect("begin");
    let nested = f.database.transaction_begin().expect("begin");
    set(&mut f, "a", 5000);
    f.database.transaction_rollback(nested).expect("rolled back");
    assert_eq!(names(&mut f), Vec::<String>::new());
    set_alarm(&mut f, 9000);
    let commit = f.database.transaction_commit(outer).expect("committed").expect("the alarm was set");
    assert_eq!(Some(commit.alarm), woken_at(9000));
    set(&mut f, "b", 6000);
    assert_eq!(change(&mut f), woken_at(6000));
    assert_eq!(names(&mut f), ["b"]);
}

#[test]
fn og_8_an_entry_may_be_set_and_deleted_without_anybody_waiting_for_it() {
    let mut f = fixture();
    let unconfirmed = KvWriteOptions { allow_unconfirmed: true };
    f.database.set_schedule(new("a", "r", 5000), unconfirmed).expect("set");
    assert!(!f.end_turn().expect("commit").confirmed);
    assert!(f.database.delete_schedule("a", unconfirmed).expect("deleted"));
    assert!(!f.end_turn().expect("commit").confirmed);
    set(&mut f, "a", 6000);
    assert!(f.end_turn().expect("commit").confirmed);
}

#[test]
fn guests_do_not_reach_the_table_by_sql() {
    let mut f = fixture();
    set(&mut f, "a", 5000);
    f.assert_fails("SELECT * FROM _cf_SCHEDULE", "prohibited");
    f.assert_fails("DROP TABLE _cf_SCHEDULE", "not authorized");
}
