//! Class `Caller`: makes ids, stubs and calls as it is told, and tells what came of them.
//!
//! Driven over RPC by the conformance suite; the objects it calls are mostly of class `Target`.

use std::time::Duration;

use ciborium::Value;
use durabo::bindings::durabo::object::stub as wit;
use durabo::stub::Call;
use durabo::{Context, Failure, Namespace, Request, Response, timer};
use serde::Serialize;

use crate::target::{Item, TargetStub};

/// Calls others.
pub struct Caller {
    ctx: Context,
}

/// A failure as the guest sees it.
#[derive(Debug, Serialize)]
pub struct Seen {
    kind: String,
    code: String,
    name: String,
    message: String,
    remote: bool,
    retryable: bool,
    overloaded: bool,
    object_reset: bool,
    object: Option<String>,
    details: Option<Value>,
}

#[durabo::object]
impl Caller {
    /// Makes a journal of its own.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql()
            .exec("CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, what TEXT NOT NULL)", ())?;
        Ok(Self { ctx })
    }

    /// The ids of names.
    pub fn ids(&self, namespace: String, names: Vec<String>) -> Result<Vec<String>, Failure> {
        names.iter().map(|name| Namespace::new(&namespace).id_from_name(name)).collect()
    }

    /// The id that a text is.
    pub fn id_from_text(&self, namespace: String, text: String) -> Result<String, Failure> {
        Namespace::new(namespace).id_from_text(&text)
    }

    /// New ids.
    pub fn unique_ids(&self, namespace: String, count: u32) -> Result<Vec<String>, Failure> {
        (0..count).map(|_| Namespace::new(&namespace).unique_id()).collect()
    }

    /// Id and name of the stub of an id.
    pub fn stub_of_id(&self, namespace: String, id: String) -> Result<(String, Option<String>), Failure> {
        let stub = Namespace::new(namespace).get(&id)?;
        Ok((stub.id(), stub.name()))
    }

    /// Id and name of the stub of a name.
    pub fn stub_of_name(&self, namespace: String, name: String) -> Result<(String, Option<String>), Failure> {
        let stub = Namespace::new(namespace).get_by_name(&name)?;
        Ok((stub.id(), stub.name()))
    }

    /// Calls a method by name.
    pub async fn call(
        &self,
        namespace: String,
        name: String,
        method: String,
        args: Vec<Value>,
    ) -> Result<Value, Failure> {
        Namespace::new(namespace).get_by_name(&name)?.call(&method, args).await
    }

    /// Calls a method of the object of an id.
    pub async fn call_id(
        &self,
        namespace: String,
        id: String,
        method: String,
        args: Vec<Value>,
    ) -> Result<Value, Failure> {
        Namespace::new(namespace).get(&id)?.call(&method, args).await
    }

    /// Calls a method that fails, and tells how.
    pub async fn failure_of(
        &self,
        namespace: String,
        name: String,
        method: String,
        args: Vec<Value>,
    ) -> Seen {
        let stub = Namespace::new(namespace).get_by_name(&name);
        match stub {
            Ok(stub) => seen(stub.call::<Value>(&method, args).await.err()),
            Err(failure) => seen(Some(failure)),
        }
    }

    /// A record that was an argument, after the callee has changed it; and what the callee answered.
    pub async fn change_there(&self, name: String) -> Result<(Item, Item), Failure> {
        let item = Item { count: 1, what: "x".to_owned(), parts: vec!["a".to_owned()] };
        let changed: Item = Namespace::new("Target").get_by_name(&name)?.call("change", (&item,)).await?;
        Ok((item, changed))
    }

    /// A method that has the name of something of a stub's own.
    pub fn id(&self) -> String {
        "the method `id`".to_owned()
    }

    /// As [`id`](Self::id).
    pub fn name(&self) -> String {
        "the method `name`".to_owned()
    }

    /// Makes six calls through one stub and waits for none before all are made.
    pub async fn six_appends(&self, name: String) -> Result<Vec<i64>, Failure> {
        let target = TargetStub::named(&name)?;
        let calls: Vec<Call<i64>> = (1..=6).map(|n| target.append(n.to_string())).collect();
        let mut lengths = Vec::new();
        for call in calls {
            lengths.push(call.await?);
        }
        Ok(lengths)
    }

    /// Calls a slow method and a quick one through one stub; tells what the target noted, in order.
    pub async fn slow_and_quick(&self, name: String, ms: u64) -> Result<Vec<String>, Failure> {
        let target = TargetStub::named(&name)?;
        let slow = target.append_after("slow".to_owned(), ms);
        let quick = target.append("quick".to_owned());
        quick.await?;
        slow.await?;
        target.journal().await
    }

    /// Aborts the target through a stub; then calls it through the same stub and through a new one.
    pub async fn abort_and_call(&self, name: String) -> Result<(Seen, Seen, u32), Failure> {
        let old = TargetStub::named(&name)?;
        old.ping().await?;
        let aborted = seen(old.abort_with("x".to_owned()).await.err());
        let broken = seen(old.ping().await.err());
        Ok((aborted, broken, TargetStub::named(&name)?.ping().await?))
    }

    /// Reaches the target, and calls it again once somebody has noted `go` here.
    pub async fn call_when_told(&self, name: String) -> Result<(Seen, u32), Failure> {
        let old = TargetStub::named(&name)?;
        old.append("ready".to_owned()).await?;
        while !self.journal()?.contains(&"go".to_owned()) {
            timer::sleep(Duration::from_millis(5)).await;
        }
        Ok((seen(old.ping().await.err()), TargetStub::named(&name)?.ping().await?))
    }

    /// Returns once somebody has noted `go` here; notes that it waits for that.
    pub async fn wait_for_go(&self) -> Result<(), Failure> {
        self.note("waits")?;
        while !self.journal()?.contains(&"go".to_owned()) {
            timer::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Makes so many calls to a target before it lets the `Caller` `other` make one, and waits for all.
    pub async fn flood(&self, name: String, calls: u32, other: String, latch: String) -> Result<(), Failure> {
        let target = TargetStub::named(&name)?;
        let calls: Vec<Call<i64>> = (0..calls).map(|n| target.append(format!("flood {n}"))).collect();
        let other = Namespace::new("Caller").get_by_name(&other)?;
        other.call::<()>("call_and_let_go", (name, latch)).await?;
        for call in calls {
            call.await?;
        }
        Ok(())
    }

    /// Makes a call to a target, notes `go` at the `Caller` `latch`, and waits for both.
    pub async fn call_and_let_go(&self, name: String, latch: String) -> Result<(), Failure> {
        let call = TargetStub::named(&name)?.append("other".to_owned());
        Namespace::new("Caller").get_by_name(&latch)?.call::<()>("append", ("go",)).await?;
        call.await.map(drop)
    }

    /// Writes, calls, writes, waits, writes and traps, in three turns.
    pub async fn write_call_trap(&self, name: String) -> Result<(), Failure> {
        let target = TargetStub::named(&name)?;
        self.note("a")?;
        let first = target.append("first".to_owned());
        self.note("b")?;
        first.await?;
        self.note("c")?;
        let _second = target.append("second".to_owned());
        core::arch::wasm32::unreachable()
    }

    /// Makes a call and gives it up.
    pub async fn call_and_forget(&self, name: String) -> Result<(), Failure> {
        self.note("forgotten")?;
        drop(TargetStub::named(&name)?.append_after("heard".to_owned(), 50));
        Ok(())
    }

    /// Notes something, and has the target note something in the same turn.
    pub async fn note_and_append(&self, name: String) -> Result<i64, Failure> {
        self.note("noted")?;
        TargetStub::named(&name)?.append("heard".to_owned()).await
    }

    /// Notes something.
    pub fn append(&self, what: String) -> Result<(), Failure> {
        self.note(&what)
    }

    /// What it has noted itself.
    pub fn journal(&self) -> Result<Vec<String>, Failure> {
        Ok(self.ctx.sql().exec("SELECT what FROM journal ORDER BY id", ())?.all()?)
    }

    /// Calls through the objects of these names, one behind the other, and tells how many there were.
    pub async fn through(&self, names: Vec<String>) -> Result<u32, Failure> {
        let Some((next, rest)) = names.split_first() else { return Ok(0) };
        let passed: u32 = Namespace::new("Caller").get_by_name(next)?.call("through", (rest,)).await?;
        Ok(passed + 1)
    }

    /// As [`through`](Self::through), from within a critical section.
    pub async fn through_from_section(&self, names: Vec<String>) -> Result<u32, Failure> {
        let _section = self.ctx.enter_section().await?;
        self.through(names).await
    }

    /// Calls itself until the chain ends, and tells how.
    pub async fn endless(&self) -> Seen {
        let stub = Namespace::new("Caller").get(&self.ctx.identity().id);
        match stub {
            Ok(stub) => match stub.call::<Value>("endless", ()).await {
                Ok(Value::Map(fields)) => {
                    let code = fields.iter().find(|(key, _)| key.as_text() == Some("code"));
                    let mut failure = seen(None);
                    failure.code = code.and_then(|(_, code)| code.as_text()).unwrap_or_default().to_owned();
                    failure
                }
                Ok(_) => seen(None),
                Err(failure) => seen(Some(failure)),
            },
            Err(failure) => seen(Some(failure)),
        }
    }

    /// Calls `Looped`, which waits for this.
    pub async fn ping_looped(&self, name: String) -> Result<String, Failure> {
        Namespace::new("Looped").get_by_name(&name)?.call("ping", ()).await
    }

    /// So many calls one after the other through one stub, of so many bytes each.
    pub async fn call_often(&self, name: String, count: u32, bytes: usize) -> Result<u32, Failure> {
        let target = TargetStub::named(&name)?;
        for _ in 0..count {
            target.length(durabo::Bytes(vec![1; bytes])).await?;
        }
        target.ping().await
    }

    /// So many calls at once, without waiting for any.
    pub async fn call_at_once(&self, name: String, count: u32) -> Result<u32, Failure> {
        let target = TargetStub::named(&name)?;
        let calls: Vec<Call<u32>> = (0..count).map(|_| target.ping()).collect();
        let mut answered = 0;
        for call in calls {
            call.await?;
            answered += 1;
        }
        Ok(answered)
    }

    /// Sends arguments of so many bytes in all: an array of one byte string. Made by hand, since there is
    /// not memory enough for copies of it.
    pub async fn large(&self, name: String, total: u32) -> Result<usize, Failure> {
        let length = total - 6;
        let mut args = Vec::with_capacity(total as usize);
        args.extend([0x81, 0x5a]);
        args.extend(length.to_be_bytes());
        args.resize(total as usize, 7);
        let stub = wit::Stub::get_by_name("Target", &name).map_err(of_record)?;
        let result = stub.call("length".to_owned(), args).await.map_err(of_record)?;
        Ok(result.len())
    }

    /// Calls a reserved name on a stub.
    pub async fn reserved(&self, name: String, method: String) -> Seen {
        self.failure_of("Target".to_owned(), name, method, Vec::new()).await
    }

    /// Sends a request to a `Target`'s `fetch` and passes the response on; `/to/{name}/{rest}`. With header
    /// `x-url` that URL is sent.
    pub async fn fetch(&self, request: Request) -> Result<Response, Failure> {
        let segments = request.segments();
        let [_, name, ..] = &segments[..] else { return Ok(Response::new(404)) };
        let stub = Namespace::new("Target").get_by_name(name)?;
        let rest = format!("http://do/{}", segments[2..].join("/"));
        let url = request.header("x-url").map_or(rest, str::to_owned);
        let mut sent = Request::new(request.method(), url);
        if let Some(value) = request.header("x-k") {
            sent = sent.with_header("x-k", value);
        }
        stub.fetch(sent.with_body(request.bytes().await?)).await
    }

    fn note(&self, what: &str) -> Result<(), Failure> {
        Ok(self.ctx.sql().exec("INSERT INTO journal (what) VALUES (?)", (what,)).map(drop)?)
    }
}

fn of_record(record: durabo::bindings::durabo::object::types::Failure) -> Failure {
    Failure::new(record.message).with_code(record.code)
}

fn seen(failure: Option<Failure>) -> Seen {
    let failure = failure.unwrap_or_else(|| Failure::new("").with_code("none"));
    Seen {
        kind: format!("{:?}", failure.kind()),
        code: failure.code().to_owned(),
        name: failure.name().to_owned(),
        message: failure.message().to_owned(),
        remote: failure.is_remote(),
        retryable: failure.is_retryable(),
        overloaded: failure.is_overloaded(),
        object_reset: failure.is_object_reset(),
        object: failure.object().map(str::to_owned),
        details: failure.details(),
    }
}
