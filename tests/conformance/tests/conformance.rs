//! Runs the conformance suite as tests: `cargo test --package durabo-conformance`, with the usual options.
//!
//! The cases are data of the library (`case`), so the program that runs them is not the compiler's own but one
//! that takes a list and understands the same command line.

use durabo_conformance::case::Verdict;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let trials = durabo_conformance::cases().into_iter().map(|case| {
        Trial::test(case.name(), move || match case.run() {
            Verdict::Passed => Ok(()),
            Verdict::Failed(found) => Err(Failed::from(found)),
            Verdict::NotHere(why) => Err(Failed::from(why)),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
