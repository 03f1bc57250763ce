//! Subject of the cases on start, memory, errors, traps and `abort`.
//!
//! `Lifecycle` does what it is told and notes it in rows; `Fetchless` has no `fetch`, `RequestOnly` nothing
//! else; `SlowStart` waits in its constructor, `BrokenStart` fails in it.

mod lifecycle;
mod fetchless;
mod request_only;
mod slow_start;
mod broken_start;

use broken_start::BrokenStart;
use fetchless::Fetchless;
use lifecycle::Lifecycle;
use request_only::RequestOnly;
use slow_start::SlowStart;

durabo::export!(Lifecycle, Fetchless, RequestOnly, SlowStart, BrokenStart);
