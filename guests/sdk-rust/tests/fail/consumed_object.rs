//! The object outlives every call.
use durabo::Context;

pub struct Once;

#[durabo::object]
impl Once {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    pub fn finish(self) {}
}

durabo::export!(Once);

fn main() {}
