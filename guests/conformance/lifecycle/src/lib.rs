//! Subject of the cases on start, memory, errors, traps and `abort`.
//!
//! `Lifecycle` does what it is told and notes it in rows; `Fetchless` has no `fetch`; `SlowStart` waits in
//! its constructor.

mod lifecycle;
mod fetchless;
mod slow_start;

use fetchless::Fetchless;
use lifecycle::Lifecycle;
use slow_start::SlowStart;

durabo::export!(Lifecycle, Fetchless, SlowStart);
