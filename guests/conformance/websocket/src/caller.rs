//! Class `Caller`: opens sockets to servers outside, says on them what it is told, and notes what comes.
//!
//! Driven over RPC, and by the servers that it has called.

use std::future::{Future, poll_fn};
use std::task::Poll;

use durabo::websocket::ReadyState;
use durabo::{Close, Context, Failure, Message, Request, Response, Socket, State};

/// Sockets to the outside and a journal.
pub struct Caller {
    ctx: Context,
    /// Counts since the instance began.
    count: State<u32>,
}

#[durabo::object]
impl Caller {
    /// Makes the table on first use.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql()
            .exec("CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, what TEXT NOT NULL)", ())?;
        Ok(Self { ctx, count: State::new(0) })
    }

    /// Opens a socket and says its number.
    pub async fn open(
        &self,
        url: String,
        headers: Vec<(String, String)>,
        tags: Vec<String>,
    ) -> Result<u64, Failure> {
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let request = headers
            .into_iter()
            .fold(Request::get(url), |request, (name, value)| request.with_header(&name, value));
        Ok(self.ctx.sockets().connect(request, &tags).await?.number())
    }

    /// Opens so many at once; returns how many it got.
    pub async fn open_together(&self, url: String, count: usize) -> usize {
        let sockets = self.ctx.sockets();
        let open = || Box::pin(sockets.connect(Request::get(url.as_str()), &[]));
        let mut opening: Vec<_> = (0..count).map(|_| open()).collect();
        let mut opened = 0;
        poll_fn(|cx| {
            opening.retain_mut(|one| match one.as_mut().poll(cx) {
                Poll::Ready(outcome) => {
                    opened += usize::from(outcome.is_ok());
                    false
                }
                Poll::Pending => true,
            });
            if opening.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        opened
    }

    /// Asks for one with a method and a body, to see what is refused.
    pub async fn open_oddly(&self, method: String, url: String, body: String) -> Result<u64, Failure> {
        let request = Request::new(method, url).with_body(body.into_bytes());
        Ok(self.ctx.sockets().connect(request, &[]).await?.number())
    }

    /// Sends an ordinary request there.
    pub async fn ask(&self, url: String) -> Result<u16, Failure> {
        Ok(Request::get(url).send().await?.status())
    }

    /// Writes before it opens one.
    pub async fn note_then_open(&self, url: String) -> Result<u64, Failure> {
        self.note("opening")?;
        Ok(self.ctx.sockets().connect(Request::get(url), &[]).await?.number())
    }

    /// Opens one in a turn that cannot be committed.
    pub async fn break_then_open(&self, url: String) -> Result<u64, Failure> {
        let family =
            "CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (p REFERENCES parent (id))";
        self.ctx.sql().exec(family, ())?;
        self.ctx.sql().exec("PRAGMA defer_foreign_keys = ON", ())?;
        self.ctx.sql().exec("INSERT INTO child VALUES (5)", ())?;
        Ok(self.ctx.sockets().connect(Request::get(url), &[]).await?.number())
    }

    /// Accepts a client.
    pub async fn fetch(&self, _request: Request) -> Result<Response, Failure> {
        Ok(self.ctx.sockets().accept(&["client"])?.1)
    }

    /// Answers `ask`, writes and answers `write`, sends bytes back, falls at `trap`, and notes all else.
    pub async fn websocket_message(&self, socket: Socket, message: Message) -> Result<(), Failure> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(bytes) => return socket.send(bytes),
        };
        match text.split_once(' ').unwrap_or((&text, "")) {
            ("ask", question) => socket.send(format!("answer to {question}")),
            ("write", what) => {
                self.note(what)?;
                socket.send(format!("written {what}"))
            }
            ("tags", _) => socket.send(socket.tags().join(",")),
            ("trap", _) => core::arch::wasm32::unreachable(),
            _ => self.note(&format!("text {text}")),
        }
    }

    /// Notes it.
    pub async fn websocket_close(&self, socket: Socket, close: Close) -> Result<(), Failure> {
        let Close { code, reason, was_clean } = close;
        let is_closed = socket.state() == ReadyState::Closed;
        self.note(&format!("close {code} {reason:?} clean {was_clean} closed {is_closed}"))
    }

    /// Notes it.
    pub async fn websocket_error(&self, _socket: Socket, error: Failure) -> Result<(), Failure> {
        self.note(&format!("error {} {}", error.code(), error.message()))
    }

    /// Sends a text.
    pub async fn say(&self, socket: u64, text: String) -> Result<(), Failure> {
        Socket::from_number(socket).send(text)
    }

    /// Sends so many bytes of text.
    pub async fn say_much(&self, socket: u64, bytes: usize) -> Result<(), Failure> {
        Socket::from_number(socket).send("x".repeat(bytes))
    }

    /// Sends a text to all sockets, of clients and to the outside; returns to how many.
    pub async fn broadcast(&self, text: String) -> u32 {
        self.ctx.sockets().broadcast(text)
    }

    /// Closes a socket.
    pub async fn shut(&self, socket: u64, code: u16, reason: String) -> Result<(), Failure> {
        Socket::from_number(socket).close(code, &reason)
    }

    /// What is known of the sockets: tags, sub-protocol, whether they are open, whether the object has opened them.
    pub async fn infos(&self) -> Vec<(Vec<String>, String, bool, bool)> {
        let infos = self.ctx.sockets().all().into_iter().filter_map(Socket::info);
        infos
            .map(|info| (info.tags, info.protocol, info.state == ReadyState::Open, info.is_outgoing))
            .collect()
    }

    /// How many sockets are listed.
    pub async fn listed(&self) -> usize {
        self.ctx.sockets().all().len()
    }

    /// Counts in memory.
    pub async fn count(&self) -> u32 {
        self.count.with(|count| {
            *count += 1;
            *count
        })
    }

    /// Sets the automatic answer.
    pub async fn set_auto_response(&self, request: String, response: String) -> Result<(), Failure> {
        self.ctx.sockets().set_auto_response(&request, &response)
    }

    /// Resets the object.
    pub async fn abort(&self) {
        self.ctx.abort(None)
    }

    /// All that was noted, in order.
    pub async fn journal(&self) -> Result<Vec<String>, Failure> {
        Ok(self.ctx.sql().exec("SELECT what FROM journal ORDER BY id", ())?.all()?)
    }

    fn note(&self, what: &str) -> Result<(), Failure> {
        Ok(self.ctx.sql().exec("INSERT INTO journal (what) VALUES (?)", (what,)).map(drop)?)
    }
}
