//! An `async` method cannot have the object for itself.
use durabo::Context;

pub struct Counter(u32);

#[durabo::object]
impl Counter {
    pub fn new(_ctx: Context) -> Self {
        Self(0)
    }
    pub async fn increment(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

durabo::export!(Counter);

fn main() {}
