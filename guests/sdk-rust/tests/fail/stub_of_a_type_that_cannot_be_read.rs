//! A typed stub reads results, so their types must be readable by serde.
use durabo::Context;
use serde::Serialize;

pub struct Shop;

#[derive(Serialize)]
pub struct Price {
    cents: u64,
}

#[durabo::object(stub = ShopStub)]
impl Shop {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    pub fn price(&self) -> Price {
        Price { cents: 1 }
    }
}

durabo::export!(Shop);

fn main() {}
