//! What watchers see, and where lines are missing.
//!
//! Over HTTP and from the command line they are tested in `gateway` and beside the CLI.

use durabo_model::object::NamespaceNumber;
use durabo_model::object_id::ObjectId;
use futures::{FutureExt, StreamExt};

use super::*;
use crate::event::HttpRequest;

fn told(namespace: u32, id: u8) -> Told {
    Told {
        at: Timestamp(1),
        object: ObjectKey { namespace: NamespaceNumber(namespace), id: ObjectId::from_bytes([id; 32]) },
        class: ClassName::new("Room").expect("class"),
        name: None,
        what: Happened::SocketFailed { socket: SocketId(1), error: "no".to_owned() },
    }
}

fn tell(tail: &Tail, what: &Told) {
    tail.tell(&what.object, || what.clone());
}

fn next(watch: &mut Watch) -> Option<Option<Watched>> {
    watch.next().now_or_never()
}

fn seen(told: Told) -> Option<Option<Watched>> {
    Some(Some(Watched::Told(Arc::new(told))))
}

#[test]
fn a_watcher_sees_what_happens_to_its_objects_and_nothing_of_others() {
    let tail = Tail::default();
    let is_watched = |namespace, id| tail.is_watched(&told(namespace, id).object);
    assert!(!is_watched(2, 7));
    let mut of_two = tail.watch(Scope::Namespaces(vec![NamespaceNumber(2)])).expect("watched");
    let mut of_object = tail.watch(Scope::Object(told(2, 7).object)).expect("watched");
    for (namespace, id) in [(1, 7), (2, 1), (2, 7)] {
        tell(&tail, &told(namespace, id));
    }
    assert_eq!((next(&mut of_two), next(&mut of_two)), (seen(told(2, 1)), seen(told(2, 7))));
    assert_eq!((next(&mut of_object), next(&mut of_object)), (seen(told(2, 7)), None));
    assert_eq!(next(&mut of_two), None);
    assert_eq!(
        [(2, 1), (2, 7), (1, 7)].map(|(namespace, id)| is_watched(namespace, id)),
        [true, true, false]
    );
    drop(of_two);
    assert_eq!([is_watched(2, 1), is_watched(2, 7)], [false, true]);
    drop(of_object);
    assert!(!is_watched(2, 7));
}

/// Tells of so many objects of the namespace 1, which begin at `first`.
fn tell_of(tail: &Tail, first: usize, count: usize) {
    (first..first + count).for_each(|number| tell(tail, &told(1, number as u8)));
}

fn assert_sees(watch: &mut Watch, first: usize, count: usize) {
    for number in first..first + count {
        assert_eq!(next(watch), seen(told(1, number as u8)), "{number}");
    }
}

fn of_all() -> Scope {
    Scope::Namespaces(vec![NamespaceNumber(1)])
}

#[test]
fn what_a_slow_watcher_does_not_take_is_left_out_and_counted_behind_what_it_has() {
    let tail = Tail::default();
    let mut slow = tail.watch(of_all()).expect("watched");
    tell_of(&tail, 0, TAIL_EVENTS_WAITING_MAX + 3);
    assert_sees(&mut slow, 0, TAIL_EVENTS_WAITING_MAX);
    assert_eq!(next(&mut slow), Some(Some(Watched::LeftOut(3))));
    assert_eq!(next(&mut slow), None);
}

#[test]
fn a_watcher_that_never_catches_up_learns_where_lines_are_missing() {
    let max = TAIL_EVENTS_WAITING_MAX;
    let tail = Tail::default();
    let mut slow = tail.watch(of_all()).expect("watched");
    tell_of(&tail, 0, max + 3);
    assert_sees(&mut slow, 0, 2);
    // Two find a place behind the gap, and one does not.
    tell_of(&tail, 500, 3);
    assert_sees(&mut slow, 2, max - 2);
    assert_eq!(next(&mut slow), Some(Some(Watched::LeftOut(3))));
    // As long as there is a next line the watcher has not caught up.
    tell_of(&tail, 700, 1);
    assert_sees(&mut slow, 500, 2);
    assert_eq!(next(&mut slow), Some(Some(Watched::LeftOut(1))));
    assert_sees(&mut slow, 700, 1);
    assert_eq!(next(&mut slow), None);
}

#[test]
fn what_was_left_out_is_told_also_when_the_node_stops() {
    let tail = Tail::default();
    let mut slow = tail.watch(of_all()).expect("watched");
    tell_of(&tail, 0, TAIL_EVENTS_WAITING_MAX + 1);
    tail.close();
    assert_sees(&mut slow, 0, TAIL_EVENTS_WAITING_MAX);
    assert_eq!((next(&mut slow), next(&mut slow)), (Some(Some(Watched::LeftOut(1))), Some(None)));
}

#[tokio::test]
async fn a_task_that_has_to_make_way_sees_no_number_before_lines_that_wait() {
    let tail = Tail::default();
    let mut slow = tail.watch(of_all()).expect("watched");
    tell_of(&tail, 0, TAIL_EVENTS_WAITING_MAX + 3);
    // More than a task may take at once.
    for number in 0..TAIL_EVENTS_WAITING_MAX {
        assert_eq!(Some(slow.next().await), seen(told(1, number as u8)), "{number}");
    }
    assert_eq!(slow.next().await, Some(Watched::LeftOut(3)));
}

#[test]
fn nothing_is_made_that_nobody_sees_and_for_many_it_is_made_once() {
    let tail = Tail::default();
    let unseen = || -> Told { panic!("it is made") };
    let object = told(1, 1).object;
    tail.tell(&object, unseen);
    let _of_other = tail.watch(Scope::Object(told(1, 2).object)).expect("watched");
    tail.tell(&object, unseen);
    let mut both = [of_all(), Scope::Object(object)].map(|of| tail.watch(of).expect("watched"));
    for _ in 0..TAIL_EVENTS_WAITING_MAX {
        let mut made = 0;
        tail.tell(&object, || {
            made += 1;
            told(1, 1)
        });
        assert_eq!(made, 1);
    }
    tail.tell(&object, unseen);
    for watch in &mut both {
        (0..TAIL_EVENTS_WAITING_MAX).for_each(|_| assert_eq!(next(watch), seen(told(1, 1))));
        assert_eq!(next(watch), Some(Some(Watched::LeftOut(1))));
    }
}

#[test]
fn no_more_watch_than_may_and_all_end_when_the_node_stops() {
    let tail = Tail::default();
    let scope = || Scope::Object(told(1, 1).object);
    let mut watches: Vec<Watch> = (0..TAILS_MAX).map(|_| tail.watch(scope()).expect("watched")).collect();
    assert!(tail.watch(scope()).expect_err("too many").flags.overloaded);
    watches.pop();
    watches.push(tail.watch(scope()).expect("there is a place again"));
    tail.close();
    assert!(watches.iter_mut().all(|watch| next(watch) == Some(None)));
    assert_eq!(tail.watch(scope()).expect_err("stopping").listed_code(), Some(ErrorCode::Stopping));
}

#[test]
fn the_query_of_a_request_is_not_told() {
    let kind_of = |url: &str| {
        let (method, url) = ("GET".to_owned(), url.to_owned());
        let request = HttpRequest { method, url, headers: Vec::new(), body: String::new().into() };
        match EventKind::from(&Event::Fetch(request)) {
            EventKind::Fetch { path, .. } => path,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kind_of("http://do:1/a/b?token=secret"), "/a/b");
    assert_eq!(kind_of("http://do?token=secret/x"), "/");
    assert_eq!(kind_of("http://do"), "/");
}
