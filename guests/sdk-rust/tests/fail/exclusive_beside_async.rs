//! A plain method with `&mut self` cannot stand beside an `async` one.
use durabo::{Context, Request, Response};

pub struct Counter(u32);

#[durabo::object]
impl Counter {
    pub fn new(_ctx: Context) -> Self {
        Self(0)
    }
    pub fn increment(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
    pub async fn fetch(&self, _request: Request) -> Response {
        Response::text(self.0.to_string())
    }
}

durabo::export!(Counter);

fn main() {}
