//! A class that `durabo::export!` does not name.
use durabo::Context;

pub struct Counter;

#[durabo::object]
impl Counter {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
}

fn main() {}
