//! The attribute takes the name of a typed stub and nothing else.
use durabo::Context;

pub struct Shop;

#[durabo::object(client = ShopStub)]
impl Shop {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
}

durabo::export!(Shop);

fn main() {}
