//! The attribute belongs on the `impl` block.
#[durabo::object]
pub struct Counter(u32);

fn main() {}
