//! A class without `new`.
pub struct Counter(u32);

#[durabo::object]
impl Counter {
    pub fn get(&self) -> u32 {
        self.0
    }
}

durabo::export!(Counter);

fn main() {}
