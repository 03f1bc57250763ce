//! The alarm as a row of the turn (AL-1, AL-3, AL-4, AL-24), and what the turn's end says of it.
//!
//! When it runs is not the database's business.

use durabo_changelog::record::AlarmChange;
use durabo_model::limits::ALARM_TIME_MS_MAX;
use durabo_model::time::Timestamp;

use super::{Fixture, fixture};
use crate::alarm::{AlarmError, NewAlarm, StoredAlarm};
use crate::kv::KvWriteOptions;

const NOW: Timestamp = Timestamp(1000);

fn set(f: &mut Fixture, time_ms: u64) -> Result<(), AlarmError> {
    let new = NewAlarm { time_ms, now: NOW, running: None };
    f.database.set_alarm(new, KvWriteOptions::default())
}

fn time(f: &mut Fixture) -> Option<u64> {
    f.database.alarm().expect("readable").map(|alarm| alarm.time.0)
}

fn change(f: &mut Fixture) -> Option<AlarmChange> {
    f.end_turn().map(|commit| commit.alarm)
}

#[test]
fn al_3_an_alarm_is_seen_before_it_is_committed_and_after_a_new_start() {
    let mut f = fixture();
    assert_eq!(time(&mut f), None);
    set(&mut f, 5000).expect("set");
    assert_eq!(time(&mut f), Some(5000));
    assert_eq!(change(&mut f), Some(AlarmChange::Set(Timestamp(5000))));
    f.reset();
    assert_eq!(time(&mut f), Some(5000));
    assert!(f.database.delete_alarm(KvWriteOptions::default()).expect("deleted"));
    assert!(!f.database.delete_alarm(KvWriteOptions::default()).expect("nothing to delete"));
    assert_eq!((time(&mut f), change(&mut f)), (None, Some(AlarmChange::Cleared)));
}

#[test]
fn reading_and_deleting_where_nothing_is_make_nothing() {
    let mut f = fixture();
    assert!(!f.database.delete_alarm(KvWriteOptions::default()).expect("nothing to delete"));
    assert_eq!((time(&mut f), f.end_turn()), (None, None));
}

#[test]
fn al_1_times_that_cannot_be_are_refused_and_a_past_one_means_now() {
    let mut f = fixture();
    assert_eq!(set(&mut f, 0), Err(AlarmError::NotPositive));
    assert_eq!(set(&mut f, ALARM_TIME_MS_MAX + 1), Err(AlarmError::TooFar(ALARM_TIME_MS_MAX + 1)));
    assert_eq!(f.end_turn(), None);
    set(&mut f, 1).expect("past");
    assert_eq!(time(&mut f), Some(NOW.0));
    set(&mut f, ALARM_TIME_MS_MAX).expect("far ahead");
    assert_eq!(change(&mut f), Some(AlarmChange::Set(Timestamp(ALARM_TIME_MS_MAX))));
}

#[test]
fn al_4_a_turn_that_is_undone_leaves_the_alarm_before_it() {
    let mut f = fixture();
    set(&mut f, 5000).expect("set");
    f.end_turn();
    set(&mut f, 6000).expect("set");
    f.database.discard_turn().expect("discarded");
    assert_eq!(time(&mut f), Some(5000));
    f.exec("CREATE TABLE t(x)");
    assert_eq!(change(&mut f), Some(AlarmChange::Unchanged));
}

#[test]
fn c_222_a_savepoint_that_is_rolled_back_leaves_the_alarm_before_it() {
    let mut f = fixture();
    let first = f.database.savepoint_begin().expect("savepoint");
    set(&mut f, 5000).expect("set");
    f.database.savepoint_rollback(first).expect("rolled back");
    assert_eq!(time(&mut f), None);
    set(&mut f, 5000).expect("set");
    let second = f.database.savepoint_begin().expect("savepoint");
    set(&mut f, 6000).expect("set");
    f.database.savepoint_rollback(second).expect("rolled back");
    assert_eq!(time(&mut f), Some(5000));
    assert_eq!(change(&mut f), Some(AlarmChange::Set(Timestamp(5000))));
}

#[test]
fn al_24_setting_what_is_set_writes_nothing_save_while_it_runs() {
    let mut f = fixture();
    set(&mut f, 5000).expect("set");
    f.end_turn();
    set(&mut f, 5000).expect("no change");
    assert_eq!(f.end_turn(), None);
    let running = f.database.alarm().expect("readable").expect("set").serial;
    let again = NewAlarm { time_ms: 5000, now: NOW, running: Some(running) };
    f.database.set_alarm(again, KvWriteOptions::default()).expect("set");
    let serial = f.database.alarm().expect("readable").expect("set").serial;
    assert_ne!(serial, running);
    assert!(!f.database.settle_alarm(running, None).expect("settled"), "another one is set by now");
    assert_eq!(time(&mut f), Some(5000));
}

#[test]
fn a_serial_is_not_given_again_after_a_deletion() {
    let mut f = fixture();
    set(&mut f, 5000).expect("set");
    let running = f.database.alarm().expect("readable").expect("set").serial;
    f.end_turn();
    f.reset();
    f.database.delete_alarm(KvWriteOptions::default()).expect("deleted");
    let new = NewAlarm { time_ms: 5000, now: NOW, running: Some(running) };
    f.database.set_alarm(new, KvWriteOptions::default()).expect("set");
    assert_ne!(f.database.alarm().expect("readable").expect("set").serial, running);
}

#[test]
fn the_next_try_is_what_the_record_says_and_a_new_alarm_forgets_the_tries() {
    let mut f = fixture();
    set(&mut f, 5000).expect("set");
    f.end_turn();
    let alarm = f.database.alarm().expect("readable").expect("set");
    let next = StoredAlarm { due: Timestamp(7000), retries: 1, doublings: 1, ..alarm };
    assert!(f.database.settle_alarm(alarm.serial, Some(next)).expect("settled"));
    assert_eq!(change(&mut f), Some(AlarmChange::Set(Timestamp(7000))));
    f.reset();
    assert_eq!(f.database.alarm().expect("readable"), Some(next));
    set(&mut f, 5000).expect("set");
    let stored = f.database.alarm().expect("readable").expect("set");
    assert_eq!((stored.due, stored.retries), (Timestamp(5000), 0));
}

#[test]
fn og_8_an_alarm_may_be_set_without_anybody_waiting_for_it() {
    let mut f = fixture();
    let new = NewAlarm { time_ms: 5000, now: NOW, running: None };
    f.database.set_alarm(new, KvWriteOptions { allow_unconfirmed: true }).expect("set");
    assert!(!f.end_turn().expect("commit").confirmed);
    set(&mut f, 6000).expect("set");
    assert!(f.end_turn().expect("commit").confirmed);
}

#[test]
fn guests_do_not_reach_the_row_by_sql() {
    let mut f = fixture();
    set(&mut f, 5000).expect("set");
    f.assert_fails("SELECT * FROM _cf_METADATA", "prohibited");
}

#[test]
fn kv_16_a_wipe_clears_the_alarm_and_one_that_is_set_after_it_stands() {
    let mut f = fixture();
    set(&mut f, 5000).expect("set");
    f.end_turn().expect("a commit");
    // Also the one that its own turn has set before.
    for before in [None, Some(6000)] {
        before.into_iter().for_each(|time_ms| set(&mut f, time_ms).expect("set"));
        f.database.delete_all().expect("delete all");
        assert_eq!(time(&mut f), None);
        let commit = f.end_turn().expect("a commit");
        assert!(commit.has_wiped);
        assert_eq!(commit.alarm, AlarmChange::Cleared);
        f.reset();
        assert_eq!(time(&mut f), None);
        set(&mut f, 5000).expect("set");
        f.end_turn().expect("a commit");
    }
    for after in [7000, 7000] {
        f.database.delete_all().expect("delete all");
        set(&mut f, after).expect("set");
        // The record of a wipe says it all, whatever was set before.
        assert_eq!(change(&mut f), Some(AlarmChange::Set(Timestamp(after))));
        f.reset();
        assert_eq!(time(&mut f), Some(after));
    }
    f.database.delete_all().expect("delete all");
    f.reset();
    assert_eq!(time(&mut f), Some(7000), "the wipe was undone");
}

#[test]
fn kv_16_an_alarm_that_a_first_turn_sets_and_wipes_was_never_there() {
    let mut f = fixture();
    set(&mut f, 5000).expect("set");
    f.database.delete_all().expect("delete all");
    assert_eq!((time(&mut f), change(&mut f)), (None, None));
}

#[test]
fn al_10_the_end_of_a_run_is_stored_although_its_handler_has_left_a_savepoint_open() {
    let mut f = fixture();
    set(&mut f, 5000).expect("set");
    f.end_turn();
    let running = f.database.alarm().expect("readable").expect("set").serial;
    f.exec("CREATE TABLE t(x)");
    f.database.savepoint_begin().expect("savepoint");
    f.exec("INSERT INTO t VALUES (1)");
    assert!(f.database.settle_alarm(running, None).expect("settled"));
    assert_eq!(change(&mut f), Some(AlarmChange::Cleared));
    assert_eq!(f.integer("SELECT count(*) FROM t"), 0, "undone as at any end of a turn");
}
