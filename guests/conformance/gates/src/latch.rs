//! A latch: a `Gates` whose journal lets go whoever waits for it.
//!
//! It is asked again and again, since an object that waits in a critical section can be told nothing.

use std::time::Duration;

use durabo::{Failure, Namespace, timer};

/// Waits until the `Gates` of that name has noted `go`.
pub(crate) async fn wait_for_go(name: &str) -> Result<(), Failure> {
    let latch = Namespace::new("Gates").get_by_name(name)?;
    loop {
        let journal: Vec<String> = latch.call("journal", ()).await?;
        if journal.iter().any(|line| line == "go") {
            return Ok(());
        }
        timer::sleep(Duration::from_millis(5)).await;
    }
}
