//! Which event a task of the guest belongs to.
//!
//! A task is known before it runs, so that its first import already finds its event. Work that goes
//! on after the handler returned still belongs to the event (LC-15); such tasks are forgotten when
//! the guest is quiet, or when there are very many of them.

use std::collections::{HashMap, VecDeque};

use durabo_objects::event::EventId;
use wasmtime::component::GuestTaskId;

use crate::log_lines::SoleEvent;

/// Tasks of returned events that are remembered; beyond it the oldest loses its event in logs.
const RETURNED_TASKS_MAX: usize = 4096;

/// The tasks of one instance.
#[derive(Debug, Default)]
pub struct EventTasks {
    tasks: HashMap<GuestTaskId, EventId>,
    returned: VecDeque<GuestTaskId>,
    sole: SoleEvent,
}

impl EventTasks {
    /// No tasks. `sole` is told when exactly one event is in the guest.
    pub fn new(sole: SoleEvent) -> Self {
        Self { sole, ..Self::default() }
    }

    /// Notes the task of an event that is about to be started.
    pub fn started(&mut self, task: GuestTaskId, event: EventId) {
        self.tasks.insert(task, event);
        self.tell();
    }

    /// Notes that the task's handler has returned.
    pub fn returned(&mut self, task: GuestTaskId) {
        self.returned.push_back(task);
        if self.returned.len() > RETURNED_TASKS_MAX
            && let Some(oldest) = self.returned.pop_front()
        {
            self.tasks.remove(&oldest);
        }
        self.tell();
    }

    /// Forgets all whose handlers have returned: nothing of them is left in the guest.
    pub fn quiet(&mut self) {
        for task in self.returned.drain(..) {
            self.tasks.remove(&task);
        }
        self.tell();
    }

    /// Event of a task, if it is known.
    pub fn event(&self, task: GuestTaskId) -> Option<EventId> {
        self.tasks.get(&task).copied()
    }

    fn tell(&self) {
        let sole = self.tasks.values().next().filter(|_| self.tasks.len() == 1);
        self.sole.set(sole.copied());
    }
}
