//! Methods are called by name with values: they cannot be generic.
use durabo::Context;

pub struct Store;

#[durabo::object]
impl Store {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    pub fn put<T: serde::de::DeserializeOwned>(&self, _value: T) {}
    pub fn show(&self, _value: impl ToString) {}
}

durabo::export!(Store);

fn main() {}
