//! `fetch` is the HTTP handler and no method.
use durabo::Context;

pub struct Store;

#[durabo::object]
impl Store {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    pub fn fetch(&self, _key: String, _more: u8) -> String {
        String::new()
    }
}

durabo::export!(Store);

fn main() {}
