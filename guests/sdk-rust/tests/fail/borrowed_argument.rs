//! An argument is read from a message and owns its value.
use durabo::Context;

pub struct Store;

#[durabo::object]
impl Store {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    pub fn put(&self, _key: &str) {}
}

durabo::export!(Store);

fn main() {}
