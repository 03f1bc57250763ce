//! Subject of the cases on HTTP: bodies in pieces both ways, clients that leave, odd requests.
//!
//! `fetch` does what the path says; methods tell what became of streams that are open or have ended.

mod queue;
mod http;

use http::Http;

durabo::export!(Http);
