//! Class `Target`: notes what reaches it, echoes, waits, fails and resets as it is told.
//!
//! What is in its journal has got out of its caller.

use std::collections::BTreeMap;
use std::time::Duration;

use ciborium::Value;
use durabo::{Context, Failure, Namespace, Request, Response, State, event, timer};
use serde::{Deserialize, Serialize};

/// A record that is passed on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// A number.
    pub count: i64,
    /// A text.
    pub what: String,
    /// A list.
    pub parts: Vec<String>,
}

/// A recorder.
pub struct Target {
    ctx: Context,
    pings: State<u32>,
}

#[durabo::object(stub = TargetStub)]
impl Target {
    /// Makes the journal and counts its starts there.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql()
            .exec("CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, what TEXT NOT NULL)", ())?;
        Ok(Self { ctx, pings: State::new(0) })
    }

    /// Notes something and returns how much is noted.
    pub fn append(&self, what: String) -> Result<i64, Failure> {
        self.ctx.sql().exec("INSERT INTO journal (what) VALUES (?)", (what,))?;
        Ok(self.ctx.sql().exec("SELECT count(*) FROM journal", ())?.one()?)
    }

    /// Waits, then notes something.
    pub async fn append_after(&self, what: String, ms: u64) -> Result<i64, Failure> {
        self.append(format!("{what} begins"))?;
        timer::sleep(Duration::from_millis(ms)).await;
        self.append(what)
    }

    /// Lets nobody in until the `Caller` `latch` is told to go on.
    pub async fn hold(&self, latch: String) -> Result<(), Failure> {
        let latch = Namespace::new("Caller").get_by_name(&latch)?;
        self.ctx.critical_section(async |_| latch.call("wait_for_go", ()).await).await
    }

    /// All that was noted.
    pub fn journal(&self) -> Result<Vec<String>, Failure> {
        Ok(self.ctx.sql().exec("SELECT what FROM journal ORDER BY id", ())?.all()?)
    }

    /// Counts calls in memory.
    pub fn ping(&self) -> u32 {
        self.pings.with(|pings| {
            *pings += 1;
            *pings
        })
    }

    /// Gives back what it got.
    pub fn echo(&self, value: Value) -> Value {
        value
    }

    /// A record of what it got.
    pub fn item(&self, count: i64, what: String) -> Item {
        Item { count, what, parts: Vec::new() }
    }

    /// Changes the record that it got.
    pub fn change(&self, mut item: Item) -> Item {
        item.count += 1;
        item.what.clear();
        item.parts.push("changed".to_owned());
        item
    }

    /// How many bytes it got.
    pub fn length(&self, bytes: durabo::Bytes) -> usize {
        bytes.0.len()
    }

    /// Id, name and trace as the object sees them.
    pub fn identity(&self) -> (String, Option<String>, Option<String>) {
        let identity = self.ctx.identity();
        (identity.id.clone(), identity.name.clone(), event::trace().map(|trace| trace.traceparent))
    }

    /// Fails with an error of that class, text, code and details.
    pub fn fail(&self, name: String, message: String, code: String, retryable: bool) -> Result<(), Failure> {
        let details = BTreeMap::from([("sku", "x")]);
        let failure = Failure::new(message).with_name(name).with_code(code).with_details(&details)?;
        Err(if retryable { failure.with_retryable() } else { failure })
    }

    /// Resets the object.
    pub fn abort_with(&self, reason: String) {
        self.ctx.abort(Failure::new(reason))
    }

    /// Writes and traps.
    pub fn append_and_trap(&self, what: String) -> Result<i64, Failure> {
        self.append(what)?;
        core::arch::wasm32::unreachable()
    }

    /// Answers with the request as it was seen: `/status/{n}` with that status, `/fail` with an error.
    pub async fn fetch(&self, request: Request) -> Result<Response, Failure> {
        let segments = request.segments();
        if segments.first().is_some_and(|first| first == "fail") {
            return Err(Failure::new("boom"));
        }
        let status = segments.get(1).and_then(|text| text.parse().ok()).unwrap_or(200);
        let head = format!("{} {} {}", request.method(), request.url(), request.header("x-k").unwrap_or("-"));
        let body = request.bytes().await?;
        let response = Response::new(status).with_header("x-seen", head).with_header("set-cookie", "a=1");
        Ok(response.with_header("set-cookie", "b=2; Path=/").with_body(body))
    }
}
