//! Alarms: wakes objects whose time has come, and what an operator may ask about them.
//!
//! One loop per node takes what is due from the schedule, the oldest first and so many at once, and delivers it
//! like any event: a cold object is started by it (AL-21). The time of day is looked at when a wait is over and each
//! second, so that nothing runs early by the clock that objects see, and a step of that clock is noticed (AL-6).

use std::collections::HashSet;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::ALARM_PLACE_TIME;
use durabo_model::name::ClassName;
use durabo_model::object::{NamespaceNumber, ObjectKey};
use durabo_model::time::Timestamp;
use durabo_storage::error::StorageError;
use durabo_storage::object_index::AlarmEntry;
use tokio::runtime::Handle;
use tokio::select;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, warn};

use crate::address::ObjectAddress;
use crate::alarm_runs::{AlarmRun, after, retry_wait};
use crate::alarm_schedule::{READ_AT_ONCE, WakeUp, WokenEnd};
use crate::alarm_timer::AlarmTimer;
use crate::directory::Directory;
use crate::event::{AlarmAnswer, AlarmRequest, Origin, Reply, Work};
use crate::node::Node;

/// How often the time of day is looked at while something waits: a step of the clock is noticed so late.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A step of the clock from which on it is logged.
const STEP_LOGGED: Duration = Duration::from_secs(600);

/// Says which class serves a namespace now, if one does.
pub type ClassOf = Arc<dyn Fn(NamespaceNumber) -> Option<ClassName> + Send + Sync>;

/// What wakes the objects of a node.
pub struct Alarms {
    node: Arc<Node>,
    directory: Directory,
    class_of: ClassOf,
    timer: Box<dyn AlarmTimer>,
    tasks: Handle,
}

impl Alarms {
    /// For the objects of `directory`, whose time `timer` waits for; runs are tasks of `tasks`.
    pub fn new(
        node: Arc<Node>,
        directory: Directory,
        class_of: ClassOf,
        timer: Box<dyn AlarmTimer>,
        tasks: Handle,
    ) -> Self {
        Self { node, directory, class_of, timer, tasks }
    }

    /// Wakes objects for as long as it is polled.
    pub async fn run(self) {
        let alarms = Arc::new(self);
        let runs_max = alarms.node.limits.alarm_runs_max;
        let mut watch = ClockWatch::new(alarms.node.clock.now());
        loop {
            let is_read = alarms.read_index();
            let now = alarms.node.clock.now();
            watch.look(now);
            for wake_up in alarms.node.alarms.take_due(now, runs_max) {
                alarms.tasks.spawn(alarms.clone().wake(wake_up));
            }
            let something_new = alarms.node.alarms.something_new();
            let next = alarms.node.alarms.next_due(runs_max);
            if next.is_none() && is_read {
                something_new.await;
                continue;
            }
            // Over is over, whichever it was.
            select! {
                biased;
                () = something_new => {}
                () = alarms.wait_for(next) => {}
                // Nobody else would bring up what could not be read, or a step of the clock.
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn wait_for(&self, next: Option<Timestamp>) {
        match next {
            Some(due) => self.timer.wait_until(due).await,
            None => pending().await,
        }
    }

    /// Reads the index on, as far as the schedule needs it; false if that failed.
    fn read_index(&self) -> bool {
        while let Some(after) = self.node.alarms.begin_reading() {
            match self.node.index.with(|index| index.alarms(None, after, READ_AT_ONCE as u32)) {
                Ok(entries) => self.node.alarms.read(Some(&entries)),
                Err(error) => {
                    self.node.alarms.read(None);
                    error!(%error, "alarms cannot be read from the object index");
                    return false;
                }
            }
        }
        true
    }

    /// Waits for `run`, which leaves its place to others when it takes long.
    async fn in_its_place<T>(&self, key: ObjectKey, run: impl Future<Output = T>) -> T {
        let mut run = pin!(run);
        match timeout(ALARM_PLACE_TIME, &mut run).await {
            Ok(ended) => ended,
            Err(_) => {
                self.node.alarms.takes_long(key);
                run.await
            }
        }
    }

    async fn wake(self: Arc<Self>, wake_up: WakeUp) {
        let WakeUp { entry, after_fault } = wake_up;
        let end = match (self.class_of)(entry.key.namespace) {
            None => WokenEnd::Failed,
            Some(class) => {
                let to = ObjectAddress { key: entry.key, class, name: None };
                let asked = self.directory.ask_alarm(to, AlarmRequest::RunIfDue { after_fault });
                match self.in_its_place(entry.key, asked).await {
                    Ok(_) => WokenEnd::Done,
                    Err(failure) if is_interrupted(&failure) => WokenEnd::Interrupted,
                    Err(_) => WokenEnd::Failed,
                }
            }
        };
        self.node.alarms.finished(entry, end, |faults| {
            let wait = retry_wait(self.node.limits.alarm_retry_wait, faults, &*self.node.random);
            warn!(object = %entry.key.id, wait_ms = wait.as_millis(), "an alarm could not run and is tried again");
            after(self.node.clock.now(), wait)
        });
    }
}

/// A deployment came between: the new code gets the alarm at once.
fn is_interrupted(failure: &Failure) -> bool {
    !failure.flags.remote && failure.listed_code() == Some(ErrorCode::CodeUpdated)
}

/// Notices steps of the clock: no safety rests on it, but who reads the log should know.
struct ClockWatch {
    time: Timestamp,
    at: Instant,
}

impl ClockWatch {
    fn new(now: Timestamp) -> Self {
        Self { time: now, at: Instant::now() }
    }

    fn look(&mut self, now: Timestamp) {
        let passed = self.at.elapsed();
        let expected = after(self.time, passed);
        let step = Duration::from_millis(now.0.abs_diff(expected.0));
        if step >= STEP_LOGGED {
            let is_forward = now > expected;
            warn!(step_s = step.as_secs(), is_forward, "the clock has stepped; alarms go by the new time");
        }
        *self = Self::new(now);
    }
}

impl Directory {
    /// Runs an object's alarm now, whatever its time, and returns when the run has ended well. Fails with
    /// `not-found` if none is set, and with the handler's failure, after which it is tried again as any run.
    pub async fn run_alarm(&self, of: ObjectAddress) -> Result<(), Failure> {
        self.ask_alarm(of, AlarmRequest::RunNow).await.map(drop)
    }

    /// Removes an object's alarm; `not-found` if none is set. Does not stop a run.
    pub async fn cancel_alarm(&self, of: ObjectAddress) -> Result<(), Failure> {
        self.ask_alarm(of, AlarmRequest::Cancel).await.map(drop)
    }

    /// The last runs of an object's alarm since the node started, newest first, `limit` at most.
    pub fn alarm_runs(&self, of: &ObjectKey, limit: usize) -> Vec<AlarmRun> {
        self.node().alarm_runs.of(of, limit)
    }

    /// Objects of a namespace that are to be woken, in order of the time, those after `after`, `limit` at most. Of
    /// an alarm that has failed this is the time of the next try. May wait for the disk.
    pub fn list_alarms(
        &self,
        namespace: NamespaceNumber,
        after: Option<AlarmEntry>,
        limit: usize,
    ) -> Result<Vec<AlarmEntry>, StorageError> {
        // What the index gets between the two looks is in both of them, and what is known is newer.
        let known = self.node().alarms.of_namespace(namespace);
        let is_after = |entry: &AlarmEntry| after.is_none_or(|after| *entry > after);
        let mut listed: Vec<AlarmEntry> = known
            .iter()
            .filter_map(|(key, due)| due.map(|due| AlarmEntry { due, key: *key }))
            .filter(is_after)
            .collect();
        let mut seen: HashSet<ObjectKey> = HashSet::new();
        let mut from = after;
        loop {
            let entries =
                self.node().index.with(|index| index.alarms(Some(namespace), from, READ_AT_ONCE as u32))?;
            from = entries.last().copied();
            let is_last = entries.len() < READ_AT_ONCE;
            let new =
                entries.into_iter().filter(|entry| !known.contains_key(&entry.key) && seen.insert(entry.key));
            listed.extend(new);
            if is_last || seen.len() >= limit {
                break;
            }
        }
        listed.sort_unstable();
        listed.truncate(limit);
        Ok(listed)
    }

    async fn ask_alarm(&self, of: ObjectAddress, request: AlarmRequest) -> Result<AlarmAnswer, Failure> {
        match self.send(of, Work::Alarm(request), Origin::default()).await? {
            Reply::Alarm(answer) => Ok(answer),
            other => unreachable!("BUG: a request about an alarm was answered with {other:?}"),
        }
    }
}
