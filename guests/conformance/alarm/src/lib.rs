//! Subject of the cases on alarms.
//!
//! What the handler and the constructor do is stored with the object beforehand; what they saw is in tables that
//! the suite reads by an operator's SQL, so that no request disturbs an object that is to wake by itself.

mod tables;
mod named;
mod step;
mod script;
mod subject;
mod silent;

use silent::Silent;
use subject::Alarm;

durabo::export!(Alarm, Silent);
