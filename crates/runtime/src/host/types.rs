//! `types`: no functions.

use crate::bindings::object::types::Host;
use crate::state::GuestState;

impl Host for GuestState {}
