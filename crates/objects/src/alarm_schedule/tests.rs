//! The schedule over an index that is a sorted list: what it keeps, what it hands out, and in which order.
//!
//! Objects that are really woken stand in the simulation.

use durabo_model::object_id::ObjectId;

use super::*;

fn key(number: u64) -> ObjectKey {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes(id) }
}

fn entry(due: u64, number: u64) -> AlarmEntry {
    AlarmEntry { due: Timestamp(due), key: key(number) }
}

/// Reads the index as `alarms` does.
fn read_index(schedule: &AlarmSchedule, index: &BTreeSet<AlarmEntry>) {
    while let Some(after) = schedule.begin_reading() {
        let entries: Vec<_> = match after {
            None => index.iter().take(READ_AT_ONCE).copied().collect(),
            Some(after) => index.range(after..).filter(|e| **e > after).take(READ_AT_ONCE).copied().collect(),
        };
        schedule.read(Some(&entries));
    }
}

/// What is due, which runs to its end at once and has no further alarm.
fn run_due(schedule: &AlarmSchedule, index: &mut BTreeSet<AlarmEntry>, now: u64) -> Vec<AlarmEntry> {
    let mut ran = Vec::new();
    loop {
        read_index(schedule, index);
        let due = schedule.take_due(Timestamp(now), 10);
        if due.is_empty() {
            return ran;
        }
        for WakeUp { entry, .. } in due {
            schedule.changed(entry.key, None);
            schedule.finished(entry, WokenEnd::Done, |_| unreachable!("no fault"));
            index.remove(&entry);
            schedule.indexed(entry.key, None);
            ran.push(entry);
        }
    }
}

fn known(schedule: &AlarmSchedule) -> usize {
    schedule.lock().known.len()
}

#[test]
fn all_stored_alarms_run_in_their_order_and_few_of_them_are_in_memory() {
    let mut index: BTreeSet<_> = (0..200_000).map(|number| entry(1 + number * 7 % 199_999, number)).collect();
    let expected: Vec<_> = index.iter().copied().collect();
    let schedule = AlarmSchedule::default();
    let mut ran = Vec::new();
    for now in (0..=200_000).step_by(10_000) {
        ran.extend(run_due(&schedule, &mut index, now));
        assert!(known(&schedule) <= 2 * READ_AT_ONCE, "{} are known", known(&schedule));
    }
    assert!(ran == expected, "{} of {} ran, or not in order", ran.len(), expected.len());
}

#[test]
fn alarms_that_come_into_the_index_one_by_one_are_not_kept_in_memory_for_ever() {
    let (schedule, mut index) = (AlarmSchedule::default(), BTreeSet::new());
    read_index(&schedule, &index);
    for number in 0..30_000 {
        let new = entry(1_000_000 - number, number);
        schedule.changed(new.key, Some(new.due));
        index.insert(new);
        schedule.indexed(new.key, Some(new.due));
    }
    assert!(known(&schedule) <= KEPT_MAX + READ_AT_ONCE + 1, "{} are known", known(&schedule));
    let expected: Vec<_> = index.iter().copied().collect();
    assert!(run_due(&schedule, &mut index, 1_000_000) == expected);
}

#[test]
fn a_change_counts_more_than_the_index_until_that_has_it() {
    let schedule = AlarmSchedule::default();
    let mut index = BTreeSet::from([entry(10, 1), entry(20, 2), entry(30, 3)]);
    schedule.changed(key(1), None);
    schedule.changed(key(3), Some(Timestamp(15)));
    let ran = run_due(&schedule, &mut index, 100);
    assert_eq!(ran, [entry(15, 3), entry(20, 2)]);
}

#[test]
fn what_changes_while_the_index_is_read_is_not_lost_and_not_brought_back() {
    let schedule = AlarmSchedule::default();
    schedule.changed(key(1), Some(Timestamp(5)));
    let after = schedule.begin_reading().expect("nothing was read");
    assert_eq!(after, None);
    // Read from an older state of the index: without the first, and with a second that is gone.
    let stale = [entry(7, 2)];
    schedule.indexed(key(1), Some(Timestamp(5)));
    schedule.changed(key(2), None);
    schedule.indexed(key(2), None);
    schedule.read(Some(&stale));
    let due = schedule.take_due(Timestamp(100), 10);
    assert_eq!(due.iter().map(|wake| wake.entry).collect::<Vec<_>>(), [entry(5, 1)]);
}

#[test]
fn no_more_run_than_may_and_the_oldest_come_first() {
    let schedule = AlarmSchedule::default();
    (1..=5).for_each(|number| schedule.changed(key(number), Some(Timestamp(10 - number))));
    let numbers = |due: &[WakeUp]| due.iter().map(|wake| wake.entry.due.0).collect::<Vec<_>>();
    let first = schedule.take_due(Timestamp(100), 2);
    assert_eq!(numbers(&first), [5, 6]);
    assert!(schedule.take_due(Timestamp(100), 2).is_empty());
    assert_eq!(schedule.next_due(2), None, "nothing can be woken before one has ended");
    schedule.changed(first[0].entry.key, None);
    schedule.finished(first[0].entry, WokenEnd::Done, |_| unreachable!("no fault"));
    assert_eq!(numbers(&schedule.take_due(Timestamp(100), 2)), [7]);
}

#[test]
fn al_12_faults_of_the_node_hold_an_object_back_longer_and_longer_and_a_new_time_ends_that() {
    let schedule = AlarmSchedule::default();
    schedule.changed(key(1), Some(Timestamp(10)));
    let mut now = 10;
    for faults in 0..12 {
        let woken = schedule.take_due(Timestamp(now), 1);
        assert_eq!(woken, [WakeUp { entry: entry(10, 1), after_fault: faults > 0 }]);
        now += 100;
        schedule.finished(woken[0].entry, WokenEnd::Failed, |seen| {
            assert_eq!(seen, faults.min(ALARM_DOUBLINGS_MAX));
            Timestamp(now)
        });
        assert!(schedule.take_due(Timestamp(now - 1), 1).is_empty());
    }
    schedule.changed(key(1), Some(Timestamp(20)));
    let woken = schedule.take_due(Timestamp(20), 1);
    assert_eq!(woken, [WakeUp { entry: entry(20, 1), after_fault: false }]);
    schedule.finished(woken[0].entry, WokenEnd::Interrupted, |_| unreachable!("no fault"));
    assert_eq!(schedule.take_due(Timestamp(20), 1).len(), 1, "at once again");
}

#[test]
fn al_16_an_object_is_not_woken_while_it_runs_and_again_for_what_was_set_meanwhile() {
    let schedule = AlarmSchedule::default();
    schedule.changed(key(1), Some(Timestamp(10)));
    let woken = schedule.take_due(Timestamp(10), 9);
    schedule.changed(key(1), Some(Timestamp(10)));
    assert!(schedule.take_due(Timestamp(100), 9).is_empty());
    schedule.finished(woken[0].entry, WokenEnd::Done, |_| unreachable!("no fault"));
    assert_eq!(schedule.take_due(Timestamp(100), 9).len(), 1);
}

#[test]
fn a_deployment_lets_go_what_was_held_back_and_nothing_of_other_namespaces() {
    let schedule = AlarmSchedule::default();
    let other = ObjectKey { namespace: NamespaceNumber(2), ..key(2) };
    schedule.changed(key(1), Some(Timestamp(10)));
    schedule.changed(other, Some(Timestamp(10)));
    for WakeUp { entry, .. } in schedule.take_due(Timestamp(10), 9) {
        schedule.finished(entry, WokenEnd::Failed, |_| Timestamp(1000));
    }
    assert!(schedule.take_due(Timestamp(20), 9).is_empty());
    schedule.let_go(&[NamespaceNumber(1)]);
    let woken = schedule.take_due(Timestamp(20), 9);
    assert_eq!(woken, [WakeUp { entry: entry(10, 1), after_fault: true }]);
}

#[test]
fn a_run_that_takes_long_leaves_its_place_to_one_other() {
    let schedule = AlarmSchedule::default();
    (1..=3).for_each(|number| schedule.changed(key(number), Some(Timestamp(number))));
    let taken = |schedule: &AlarmSchedule| -> Vec<_> {
        schedule.take_due(Timestamp(10), 1).into_iter().map(|wake_up| wake_up.entry).collect()
    };
    assert_eq!(taken(&schedule), [entry(1, 1)]);
    assert_eq!(taken(&schedule), []);
    schedule.takes_long(key(1));
    assert_eq!(taken(&schedule), [entry(2, 2)]);
    // Its end frees no second place.
    schedule.finished(entry(1, 1), WokenEnd::Done, |_| unreachable!("no fault"));
    assert_eq!(taken(&schedule), []);
    schedule.finished(entry(2, 2), WokenEnd::Done, |_| unreachable!("no fault"));
    assert_eq!(taken(&schedule).len(), 1);
}
