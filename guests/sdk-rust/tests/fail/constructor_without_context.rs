//! The constructor gets the context and returns the object.
pub struct Counter(u32);

#[durabo::object]
impl Counter {
    pub fn new() -> Self {
        Self(0)
    }
}

durabo::export!(Counter);

fn main() {}
