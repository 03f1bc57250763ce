//! Commits that are taken back: nothing of them is seen or logged, and the rest goes on.
//!
//! On the real disk; whole objects whose commits fail are in `tests/simulation`.

use durabo_changelog::record::PageContent;

use super::durability::{Dice, Replay, assert_sound, random_writes};
use super::*;

impl Fixture {
    fn undo_to(&mut self, frames: u32) {
        self.database.discard_turn().expect("discard");
        self.database = self.database.undo_commits(frames, &self.file, &self.options).expect("undo");
    }
}

#[test]
fn invariant_6_commits_behind_the_cut_are_gone_and_those_before_it_stay() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a)");
    let mut ends = vec![f.end_turn().expect("commit").wal_frames];
    for value in 1..=3 {
        f.exec_with("INSERT INTO t VALUES (?)", &integers(&[value]));
        ends.push(f.end_turn().expect("commit").wal_frames);
    }
    f.exec("INSERT INTO t VALUES (4)");
    f.undo_to(ends[1]);
    assert_eq!(f.rows("SELECT a FROM t"), integers(&[1]));
    f.exec("INSERT INTO t VALUES (5)");
    f.end_turn().expect("commit");
    f.reset();
    assert_eq!(f.rows("SELECT a FROM t"), integers(&[1, 5]));
}

#[test]
fn all_commits_of_a_new_object_can_be_taken_back_and_its_name_is_stored_again() {
    let name = Some("an object".to_owned());
    let mut f = fixture_with(DatabaseOptions { name: name.clone(), ..DatabaseOptions::default() });
    f.exec("CREATE TABLE t(a)");
    assert_eq!(f.end_turn().expect("commit").name, name);
    f.undo_to(0);
    assert_eq!(f.integer("SELECT count(*) FROM sqlite_schema"), 0);
    f.exec("CREATE TABLE u(a)");
    let commit = f.end_turn().expect("commit");
    assert_eq!((commit.name.as_ref(), commit.database_pages), (name.as_ref(), 3));
}

#[test]
fn what_changes_after_commits_were_taken_back_is_logged_whole() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 1)");
    let first = f.end_turn().expect("commit");
    let change = |f: &mut Fixture| {
        f.exec("UPDATE t SET b = b + 1");
        let commit = f.end_turn().expect("commit");
        commit.pages.iter().all(|entry| matches!(entry.content, PageContent::Difference(_)))
    };
    assert!(change(&mut f));
    f.undo_to(first.wal_frames);
    assert!(!change(&mut f));
    assert!(change(&mut f));
}

#[test]
fn whatever_is_taken_back_the_commits_that_stay_give_the_file() {
    let mut f = fixture();
    let (mut replay, mut dice) = (Replay::default(), Dice(11));
    f.exec("CREATE TABLE t(id INTEGER PRIMARY KEY, b)");
    let commit = f.end_turn().expect("commit");
    replay.apply(&commit);
    let (mut durable, mut undurable, mut undone) = (commit.wal_frames, Vec::new(), 0);
    for round in 0..400 {
        random_writes(&mut f, &mut dice);
        undurable.extend(f.end_turn());
        match dice.below(8) {
            0 => {
                undone += undurable.len();
                undurable.clear();
                f.undo_to(durable);
            }
            1..=3 => {
                for commit in undurable.drain(..) {
                    replay.apply(&commit);
                    durable = commit.wal_frames;
                }
                if dice.below(12) == 0 {
                    f.checkpoint();
                    durable = 0;
                    assert!(std::fs::read(f.file.path()).expect("file") == replay.0, "round {round}");
                }
            }
            _ => {}
        }
    }
    assert!(undone > 50, "only {undone} commits were taken back");
    f.undo_to(durable);
    f.checkpoint();
    assert!(std::fs::read(f.file.path()).expect("file") == replay.0);
    drop(f.database);
    assert_sound(f.file.path());
}

#[test]
fn an_undo_may_be_repeated_as_after_a_connection_that_could_not_be_opened() {
    let mut f = fixture();
    f.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    let kept = f.end_turn().expect("commit").wal_frames;
    f.exec("INSERT INTO t VALUES (2)");
    f.end_turn().expect("commit");
    drop(f.database.undo_commits(kept, &f.file, &f.options).expect("undo"));
    f.undo_to(kept);
    assert_eq!(f.rows("SELECT a FROM t"), integers(&[1]));
}
