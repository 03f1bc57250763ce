//! Names of handlers cannot be called over RPC (RP-3).
use durabo::Context;

pub struct Clock;

#[durabo::object]
impl Clock {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    pub fn connect(&self) {}
}

durabo::export!(Clock);

fn main() {}
