//! Subject of the cases on ids, stubs and calls: one class that calls, one that is called.
//!
//! `Target` notes what reaches it; `Looped` calls itself in its constructor, through others.

mod target;
mod caller;
mod looped;

use caller::Caller;
use looped::Looped;
use target::Target;

durabo::export!(Caller, Target, Looped);
