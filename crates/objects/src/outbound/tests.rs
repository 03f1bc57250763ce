//! A stub on its own: order, what waits for a place, what breaks it.
//!
//! How calls leave their caller is in the simulation.

use std::sync::Mutex as StdMutex;

use durabo_model::error_code::ErrorCode;
use durabo_model::name::ClassName;
use durabo_model::object::{NamespaceNumber, ObjectKey};
use durabo_model::object_id::ObjectId;
use futures::FutureExt;
use tokio::sync::oneshot;

use super::*;
use crate::event::{Event, EventId, Origin, Outcome, Work};
use crate::unfinished::UnfinishedImports;

/// A mailbox that notes what it gets, has room or not, and keeps tasks for the test to run.
#[derive(Default)]
struct FakePost {
    got: StdMutex<Vec<u64>>,
    is_full: StdMutex<bool>,
    gives_up: bool,
    life: Arc<Life>,
    tasks: StdMutex<Vec<BoxFuture<'static, ()>>>,
}

impl Post for FakePost {
    fn put(&self, _to: &ObjectAddress, delivery: Delivery) -> Result<Arc<Life>, Undelivered> {
        if *self.is_full.lock().expect("unpoisoned") {
            return Err(Undelivered::NoPlace(delivery));
        }
        self.got.lock().expect("unpoisoned").push(delivery.id.0);
        Ok(self.life.clone())
    }

    fn put_in_place<'a>(
        &'a self,
        to: &'a ObjectAddress,
        delivery: Delivery,
    ) -> BoxFuture<'a, Result<Arc<Life>, (Delivery, Failure)>> {
        Box::pin(async move {
            if self.gives_up {
                return Err((delivery, Failure::new(ErrorCode::Overloaded, "full")));
            }
            *self.is_full.lock().expect("unpoisoned") = false;
            Ok(self.put(to, delivery).expect("there is room now"))
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.tasks.lock().expect("unpoisoned").push(task);
    }
}

fn stub(post: &Arc<FakePost>) -> Stub {
    let key = ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([7; 32]) };
    let class = ClassName::new("Fake").expect("a good name");
    Stub::new(ObjectAddress { key, class, name: None }, post.clone())
}

fn send(stub: &Stub, id: u64) -> oneshot::Receiver<Outcome> {
    let (reply, outcome) = oneshot::channel();
    let event = Event::Rpc { method: "m".to_owned(), args: bytes::Bytes::new() };
    let origin = Origin::default();
    let delivery = Delivery { id: EventId(id), work: Work::Event(event), origin, reply };
    let imports = UnfinishedImports::default();
    let import = Arc::new(imports.begin(1).expect("room"));
    let bytes = imports.hold_call(0, 1).expect("room");
    stub.send(delivery, OnItsWay { _import: import, _bytes: bytes });
    outcome
}

fn run_tasks(post: &FakePost) {
    for task in std::mem::take(&mut *post.tasks.lock().expect("unpoisoned")) {
        task.now_or_never().expect("done at once");
    }
}

#[test]
fn st_2_calls_keep_their_order_also_when_the_first_waits_for_a_place() {
    let post = Arc::new(FakePost { is_full: StdMutex::new(true), ..FakePost::default() });
    let stub = stub(&post);
    send(&stub, 1);
    *post.is_full.lock().expect("unpoisoned") = false;
    send(&stub, 2);
    assert!(post.got.lock().expect("unpoisoned").is_empty(), "the second must not pass the first");
    run_tasks(&post);
    send(&stub, 3);
    assert_eq!(*post.got.lock().expect("unpoisoned"), [1, 2, 3]);
}

#[test]
fn all_that_waited_for_a_place_are_refused_when_none_came_free() {
    let post = Arc::new(FakePost { is_full: StdMutex::new(true), gives_up: true, ..FakePost::default() });
    let stub = stub(&post);
    let (mut first, mut second) = (send(&stub, 1), send(&stub, 2));
    run_tasks(&post);
    for outcome in [&mut first, &mut second] {
        assert_eq!(outcome.try_recv().expect("answered").expect_err("refused").code, "overloaded");
    }
}

#[test]
fn st_3_a_stub_is_broken_by_the_reset_of_the_life_it_reached_and_a_new_one_is_not() {
    let post = Arc::new(FakePost::default());
    let old = stub(&post);
    send(&old, 1);
    post.life.end(Failure::new(ErrorCode::ObjectAborted, "x"));
    let refused = send(&old, 2).try_recv().expect("answered").expect_err("broken");
    assert_eq!(refused.message, "x");
    let fresh = FakePost::default();
    let fresh = Arc::new(fresh);
    let mut outcome = send(&stub(&fresh), 3);
    assert!(outcome.try_recv().is_err(), "not answered");
    assert_eq!(*fresh.got.lock().expect("unpoisoned"), [3]);
    assert_eq!(*post.got.lock().expect("unpoisoned"), [1]);
}
