//! One case of the suite: a sentence of behaviour and the function that checks it.
//!
//! Cases are data, so that the test program and the report run the same ones. A case fails by a panic; one
//! that the node at hand cannot show ends by [`not_here`], which is no failure.

use std::any::Any;
use std::panic::{self, catch_unwind};

/// One case.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    path: &'static str,
    run: fn(),
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As the contract says.
    Passed,
    /// Not so; what was found.
    Failed(String),
    /// The node cannot show it; why.
    NotHere(&'static str),
}

/// What [`not_here`] throws.
struct NotHere(&'static str);

impl Case {
    /// A case by the path of its function.
    pub const fn new(path: &'static str, run: fn()) -> Self {
        Self { path, run }
    }

    /// Its module and its sentence: `gates::c_062_other_events_run_while_one_waits`.
    pub fn name(&self) -> &'static str {
        self.path.split_once("::suite::").map_or(self.path, |(_, name)| name)
    }

    /// The words of its sentence.
    pub fn words(&self) -> impl Iterator<Item = &'static str> + use<> {
        let name = self.name();
        name.rsplit_once("::").map_or(name, |(_, sentence)| sentence).split('_')
    }

    /// Runs it.
    pub fn run(&self) -> Verdict {
        match catch_unwind(self.run) {
            Ok(()) => Verdict::Passed,
            Err(thrown) => verdict_of(&*thrown),
        }
    }
}

fn verdict_of(thrown: &(dyn Any + Send)) -> Verdict {
    if let Some(NotHere(reason)) = thrown.downcast_ref() {
        return Verdict::NotHere(reason);
    }
    let text = thrown.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| thrown.downcast_ref::<&str>().copied());
    Verdict::Failed(text.unwrap_or("it panicked without a text").to_owned())
}

/// Ends the case: the node at hand cannot show it.
pub fn not_here(reason: &'static str) -> ! {
    panic::panic_any(NotHere(reason))
}

/// Keeps the default report of panics, but for what [`not_here`] throws.
pub fn report_failures_only() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<NotHere>() {
            report(info);
        }
    }));
}

/// The cases of a module, by the names of their functions.
macro_rules! cases {
    [$($name:ident),* $(,)?] => {
        &[$($crate::case::Case::new(concat!(module_path!(), "::", stringify!($name)), $name)),*]
    };
}
pub(crate) use cases;
