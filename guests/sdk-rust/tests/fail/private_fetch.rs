//! A handler of HTTP that is not public would never be asked.
use durabo::{Context, Request, Response};

pub struct Store;

#[durabo::object]
impl Store {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    async fn fetch(&self, _request: Request) -> Response {
        Response::new(204)
    }
}

durabo::export!(Store);

fn main() {}
