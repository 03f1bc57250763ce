//! Class `Lifecycle`: what survives an error, a trap, a panic, an abort and a failed start.
//!
//! Rows are texts in one table; `keys` says which are there. `starts` counts constructors that were
//! committed, `born` tells instances apart, `hits` lives in memory only.

use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::time::Duration;

use durabo::{Context, Failure, Request, Response, State, timer};

/// A variable outside the class: one per instance, shared by nothing (B-78).
static OUTSIDE: Mutex<u32> = Mutex::new(0);

/// Does what it is told and notes it.
pub struct Lifecycle {
    ctx: Context,
    born: u64,
    hits: State<u32>,
}

#[durabo::object]
impl Lifecycle {
    /// Makes the tables, counts its runs, and fails with `no` while a row says so.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql().exec(
            "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS starts (id INTEGER PRIMARY KEY);
             INSERT INTO starts DEFAULT VALUES",
            (),
        )?;
        ctx.sql().exec("INSERT OR REPLACE INTO rows VALUES ('constructed', 1)", ())?;
        if ctx.sql().exec("SELECT 1 FROM rows WHERE key = 'fail-start'", ())?.first::<i64>()?.is_some() {
            return Err(Failure::new("no"));
        }
        Ok(Self { ctx, born: RandomState::new().hash_one("born"), hits: State::new(0) })
    }

    /// How many constructors of this object were committed.
    pub fn starts(&self) -> Result<i64, Failure> {
        Ok(self.ctx.sql().exec("SELECT count(*) FROM starts", ())?.one()?)
    }

    /// A number that was made when the instance was, as text.
    pub fn born(&self) -> String {
        format!("{:016x}", self.born)
    }

    /// Counts in memory.
    pub fn hit(&self) -> u32 {
        self.hits.with(|hits| {
            *hits += 1;
            *hits
        })
    }

    /// Counts in a variable outside the class.
    pub fn hit_outside(&self) -> Result<u32, Failure> {
        let mut count = OUTSIDE.lock().map_err(|_| Failure::new("the variable is poisoned"))?;
        *count += 1;
        Ok(*count)
    }

    /// Class, id and name of the object.
    pub fn identity(&self) -> (String, String, Option<String>) {
        let identity = self.ctx.identity();
        (identity.class_name.clone(), identity.id.clone(), identity.name.clone())
    }

    /// Writes a row.
    pub fn write(&self, key: String) -> Result<(), Failure> {
        self.put(&key, 1)
    }

    /// Writes a row with a value, over an older one.
    pub fn set(&self, key: String, value: i64) -> Result<(), Failure> {
        self.put(&key, value)
    }

    /// The value of a row.
    pub fn value(&self, key: String) -> Result<Option<i64>, Failure> {
        Ok(self.ctx.sql().exec("SELECT value FROM rows WHERE key = ?", (key,))?.first()?)
    }

    /// All keys in order.
    pub fn keys(&self) -> Result<Vec<String>, Failure> {
        Ok(self.ctx.sql().exec("SELECT key FROM rows ORDER BY key", ())?.all()?)
    }

    /// Makes the next start fail, or not. Only a start of a later instance sees it.
    pub fn fail_start(&self, on: bool) -> Result<(), Failure> {
        match on {
            true => self.put("fail-start", 1),
            false => Ok(self.ctx.sql().exec("DELETE FROM rows WHERE key = 'fail-start'", ()).map(drop)?),
        }
    }

    /// Writes a row, counts in memory, and fails.
    pub fn write_then_fail(&self, key: String) -> Result<(), Failure> {
        self.put(&key, 1)?;
        self.hit();
        Err(Failure::new("failed on purpose"))
    }

    /// Fails with an error of that class, text and code.
    pub fn fail_with(&self, name: String, message: String, code: Option<String>) -> Result<(), Failure> {
        Err(Failure::new(message).with_name(name).with_code(code.unwrap_or_default()))
    }

    /// Writes a row and traps.
    pub fn write_then_trap(&self, key: String) -> Result<(), Failure> {
        self.put(&key, 1)?;
        core::arch::wasm32::unreachable()
    }

    /// Writes a row and panics.
    pub fn write_then_panic(&self, key: String) -> Result<(), Failure> {
        self.put(&key, 1)?;
        panic!("panicked on purpose")
    }

    /// Writes a row, waits, writes another, traps: the first stays, the second does not.
    pub async fn write_await_write_trap(&self, before: String, after: String) -> Result<(), Failure> {
        self.put(&before, 1)?;
        timer::sleep(Duration::from_millis(1)).await;
        self.put(&after, 1)?;
        core::arch::wasm32::unreachable()
    }

    /// Waits, then returns a number from memory.
    pub async fn sleep(&self, ms: u64) -> u32 {
        timer::sleep(Duration::from_millis(ms)).await;
        self.hit()
    }

    /// Resets the object, with a reason or without.
    pub fn abort_with(&self, reason: Option<String>) {
        self.ctx.abort(reason.map(Failure::new))
    }

    /// Writes a row and resets the object; what follows never runs.
    pub fn write_then_abort(&self, key: String, reason: Option<String>) -> Result<(), Failure> {
        self.put(&key, 1)?;
        self.ctx.abort(reason.map(Failure::new))
    }

    /// `GET /status/{status}?header=x-a:b&body=tea` answers that; `/fail/{text}` fails; `/echo` sends back
    /// method, URL and body; `/hit-when-sent` counts in memory once it has the whole body.
    pub async fn fetch(&self, request: Request) -> Result<Response, Failure> {
        let segments = request.segments();
        match segments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["status", status] => {
                let mut response = Response::new(status.parse()?);
                if let Some((name, value)) =
                    request.query("header").as_deref().and_then(|h| h.split_once(':'))
                {
                    response = response.with_header(name, value);
                }
                Ok(response.with_body(request.query("body").unwrap_or_default()))
            }
            ["fail", text] => Err(Failure::new(text)),
            ["echo"] => {
                let head = format!("{} {}\n", request.method(), request.url()).into_bytes();
                Ok(Response::new(200).with_body([head, request.bytes().await?].concat()))
            }
            ["hit-when-sent"] => {
                request.bytes().await?;
                Ok(Response::text(self.hit().to_string()))
            }
            _ => Ok(Response::new(404)),
        }
    }

    fn put(&self, key: &str, value: i64) -> Result<(), Failure> {
        self.ctx.sql().exec("INSERT OR REPLACE INTO rows (key, value) VALUES (?, ?)", (key, value))?;
        Ok(())
    }
}
