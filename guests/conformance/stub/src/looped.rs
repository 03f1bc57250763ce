//! Class `Looped`: its constructor calls another object, which calls this one.
//!
//! Such a cycle has to end at once, since nothing can reach an object before it is started (ST-12).

use durabo::{Context, Failure, Namespace};

/// A class that waits for itself to start.
pub struct Looped;

#[durabo::object]
impl Looped {
    /// Calls the `Caller` of its own name, which calls back. An object called `straight` does not.
    pub async fn new(ctx: Context) -> Result<Self, Failure> {
        let name = ctx.identity().name.clone().unwrap_or_default();
        if name != "straight" {
            let caller = Namespace::new("Caller").get_by_name(&name)?;
            caller.call::<String>("ping_looped", (&name,)).await?;
        }
        Ok(Self)
    }

    /// Says that it is there.
    pub fn ping(&self) -> String {
        "pong".to_owned()
    }
}
