//! What a context knows of one instance and of no other.
//!
//! The next instance gets a new one as a whole, so that nothing of an instance is forgotten to be forgotten.

use std::collections::HashMap;
use std::pin::Pin;

use durabo_model::failure::Failure;
use durabo_model::limits::ObjectLimits;
use durabo_storage::transaction::TransactionId;
use tokio::time::Sleep;

use super::cancelled::Answered;
use super::pending::PendingWork;
use crate::event::EventId;
use crate::input_gate::{InputGate, SectionSerial};
use crate::unfinished::UnfinishedImports;
use crate::wakers::Wakers;

/// The part of a context that ends with the instance.
pub(super) struct InstanceState {
    pub events_in_flight_max: usize,
    /// The guest lets other events in where it waits.
    pub suspends: bool,
    /// The constructor has returned.
    pub has_started: bool,
    /// When the constructor has taken too long.
    pub start_limit: Option<Pin<Box<Sleep>>>,
    /// It was given an event.
    pub has_delivered: bool,
    /// An event of it has come to its end.
    pub has_answered: bool,
    /// Its stubs were told that it was reset.
    pub has_ended: bool,
    pub imports: UnfinishedImports,
    /// Events that have answered with bodies that are still written.
    pub answered: HashMap<EventId, Answered>,
    /// Who waits to learn that the constructor has returned.
    pub start_listeners: Wakers,
    pub input: InputGate,
    pub section_limit: Option<Pin<Box<Sleep>>>,
    /// When the next handler of a socket's event has taken too long.
    pub socket_limit: Option<Pin<Box<Sleep>>>,
    pub has_ended_in_section: bool,
    /// Transactions over waits, and the sections that they live in.
    pub transactions: Vec<(SectionSerial, TransactionId)>,
    /// For a planted fault.
    pub was_gate_open: bool,
    pub pending: PendingWork,
    pub aborted: Option<Failure>,
    pub drain: Option<Pin<Box<Sleep>>>,
}

impl InstanceState {
    /// Of an instance that begins now.
    pub fn new(limits: &ObjectLimits) -> Self {
        Self {
            events_in_flight_max: limits.events_in_flight_max,
            suspends: true,
            has_started: false,
            start_limit: None,
            has_delivered: false,
            has_answered: false,
            has_ended: false,
            imports: UnfinishedImports::default(),
            answered: HashMap::new(),
            start_listeners: Wakers::default(),
            input: InputGate::default(),
            section_limit: None,
            socket_limit: None,
            has_ended_in_section: false,
            transactions: Vec::new(),
            was_gate_open: true,
            pending: PendingWork::new(),
            aborted: None,
            drain: None,
        }
    }
}
