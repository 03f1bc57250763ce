//! Class `Room`: sockets that do what they are told.
//!
//! A message is a command and its argument, `echo hi`. What happens is noted in the table `journal`, so that it can be
//! looked at whatever becomes of the instance.

use std::time::Duration;

use durabo::websocket::{Lifetime, ReadyState};
use durabo::{Close, Context, Failure, Message, Request, Response, Socket, State, timer};

/// Sockets and a journal.
pub struct Room {
    ctx: Context,
    /// Messages since the instance began.
    count: State<u32>,
    /// Sockets that the constructor found.
    found: usize,
}

#[durabo::object]
impl Room {
    /// Makes the tables on first use and counts the start.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql().exec(
            "CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, what TEXT NOT NULL);
             CREATE TABLE IF NOT EXISTS starts (id INTEGER PRIMARY KEY)",
            (),
        )?;
        ctx.sql().exec("INSERT INTO starts DEFAULT VALUES", ())?;
        let found = ctx.sockets().all().len();
        Ok(Self { ctx, count: State::new(0), found })
    }

    /// Accepts a socket with the tags of the query, or answers in the odd way that the path names.
    pub async fn fetch(&self, request: Request) -> Result<Response, Failure> {
        if !request.wants_websocket() {
            return Ok(Response::text("this is for WebSockets").with_status(426));
        }
        if request.path() == "/slow" {
            self.note("asked")?;
            timer::sleep(Duration::from_millis(300)).await;
        }
        let tags = request.query("tags").unwrap_or_default();
        let tags: Vec<&str> = tags.split(',').filter(|tag| !tag.is_empty()).collect();
        let lifetime = if request.path() == "/awake" { Lifetime::KeepAwake } else { Lifetime::Hibernate };
        let (socket, response) = self.ctx.sockets().accept_as(&tags, lifetime)?;
        match request.path() {
            "/refused" => Ok(Response::text("no").with_status(403)),
            "/failed" => Err(Failure::new("no room left")),
            "/aborted" => self.ctx.abort(Failure::new("closed for today")),
            "/greeted" => {
                socket.send("welcome")?;
                Ok(response)
            }
            "/headers" => Ok(response
                .with_header("set-cookie", "a=1")
                .with_header("set-cookie", "b=2")
                .with_header("x-room", "7")
                .with_header("sec-websocket-accept", "wrong")
                .with_header("sec-websocket-extensions", "permessage-deflate")
                .with_header("sec-websocket-protocol", "v2")),
            "/copy" => {
                let all = request.headers();
                Ok(all.fold(response, |response, (name, value)| response.with_header(name, value)))
            }
            "/plain" => Ok(response.with_status(200)),
            _ => Ok(match request.query("protocol") {
                Some(protocol) => response.with_header("sec-websocket-protocol", protocol),
                None => response,
            }),
        }
    }

    /// Does what the message says.
    pub async fn websocket_message(&self, socket: Socket, message: Message) -> Result<(), Failure> {
        let count = self.count.with(|count| {
            *count += 1;
            *count
        });
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(bytes) => {
                self.note(&format!("binary {}", bytes.len()))?;
                return socket.send(bytes);
            }
        };
        let (command, argument) = text.split_once(' ').unwrap_or((&text, ""));
        match command {
            "echo" => socket.send(argument),
            "length" => socket.send(argument.len().to_string()),
            "count" => socket.send(count.to_string()),
            "note" => self.note(argument),
            "write" => {
                self.note(argument)?;
                socket.send(format!("written {argument}"))
            }
            "write-send-sleep" => {
                self.note(argument)?;
                socket.send(format!("written {argument}"))?;
                timer::sleep(Duration::from_secs(3600)).await;
                Ok(())
            }
            "sleep-note" => {
                timer::sleep(Duration::from_millis(1)).await;
                self.note(argument)
            }
            "sleep" => {
                timer::sleep(Duration::from_millis(argument.parse().unwrap_or(0))).await;
                socket.send("slept")
            }
            "nap" => {
                socket.send("napping")?;
                timer::sleep(Duration::from_millis(argument.parse().unwrap_or(0))).await;
                socket.send(format!("awake {}", self.count.get()))
            }
            "tags" => socket.send(socket.tags().join(",")),
            "attach" => socket.set_attachment(&argument),
            "attachment" => {
                let attachment: Option<String> = socket.attachment()?;
                socket.send(attachment.unwrap_or_else(|| "none".to_owned()))
            }
            "broadcast" => {
                let count = self.ctx.sockets().broadcast(argument);
                self.note(&format!("broadcast to {count}"))
            }
            "others" => {
                self.ctx.sockets().broadcast_to(None, argument, &[socket]);
                Ok(())
            }
            "close" => {
                let (code, reason) = argument.split_once(' ').unwrap_or((argument, ""));
                socket.close(code.parse().unwrap_or(0), reason)
            }
            "close-and-send" => {
                socket.close(1000, "")?;
                let refused = socket.send("too late").expect_err("closed");
                self.note(&format!("refused {}: {}", refused.name(), refused.message()))
            }
            "found" => socket.send(self.found.to_string()),
            "transact-and-fail" => {
                let undone: Result<(), Failure> = self
                    .ctx
                    .storage()
                    .transaction(async |_| {
                        self.note(argument)?;
                        socket.send("sent within")?;
                        Err(Failure::new("thrown"))
                    })
                    .await;
                socket.send(undone.expect_err("it fails").message())
            }
            "fail" => Err(Failure::new(argument)),
            "trap" => core::arch::wasm32::unreachable(),
            "send-and-trap" => {
                self.note("lost")?;
                socket.send("never sent")?;
                core::arch::wasm32::unreachable()
            }
            "abort" => self.ctx.abort(Failure::new(argument)),
            _ => self.note(&format!("text {text}")),
        }
    }

    /// Notes it, with the state and what is listed meanwhile.
    pub fn websocket_close(&self, socket: Socket, close: Close) -> Result<(), Failure> {
        let Close { code, reason, was_clean } = close;
        let is_closed = socket.state() == ReadyState::Closed;
        let is_listed = self.ctx.sockets().all().contains(&socket);
        let tags = socket.tags().join(",");
        // Ignored here.
        socket.close(1000, "again")?;
        self.note(&format!("close {code} {reason:?} clean {was_clean}"))?;
        self.note(&format!("in close: closed {is_closed}, listed {is_listed}, tags {tags:?}"))
    }

    /// Notes it.
    pub fn websocket_error(&self, _socket: Socket, error: Failure) -> Result<(), Failure> {
        self.note(&format!("error {} {}", error.code(), error.message()))
    }

    /// All that was noted, in order.
    pub fn journal(&self) -> Result<Vec<String>, Failure> {
        Ok(self.ctx.sql().exec("SELECT what FROM journal ORDER BY id", ())?.all()?)
    }

    /// How often the constructor has run.
    pub fn starts(&self) -> Result<u32, Failure> {
        Ok(self.ctx.sql().exec("SELECT count(*) FROM starts", ())?.one()?)
    }

    /// How many sockets are listed, all or those with a tag.
    pub fn listed(&self, tag: Option<String>) -> usize {
        match tag {
            Some(tag) => self.ctx.sockets().tagged(&tag).len(),
            None => self.ctx.sockets().all().len(),
        }
    }

    /// What is known of the sockets, in the order of their acceptance: tags, protocol, last automatic answer.
    pub fn infos(&self) -> Vec<(Vec<String>, String, Option<u64>)> {
        let infos = self.ctx.sockets().all().into_iter().filter_map(Socket::info);
        infos.map(|info| (info.tags, info.protocol, info.auto_response_ms)).collect()
    }

    /// Accepts outside of an upgrade, to see what is refused.
    pub fn accept(&self, tags: Vec<String>) -> Result<Vec<String>, Failure> {
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let (socket, _response) = self.ctx.sockets().accept(&tags)?;
        Ok(socket.tags())
    }

    /// Sends to the sockets with a tag; returns to how many.
    pub fn broadcast(&self, tag: Option<String>, text: String) -> u32 {
        self.ctx.sockets().broadcast_to(tag.as_deref(), text, &[])
    }

    /// Sends so many bytes of text to all.
    pub fn send_large(&self, bytes: usize) -> Result<(), Failure> {
        self.ctx.sockets().all().into_iter().try_for_each(|socket| socket.send("x".repeat(bytes)))
    }

    /// Writes, so that nothing leaves before the turn's end, and sends messages of so many bytes to the first socket
    /// until one is refused; returns how many were not, and the refusal.
    pub fn flood(&self, bytes: usize) -> Result<(usize, String), Failure> {
        self.note("flood")?;
        let sockets = self.ctx.sockets().all();
        let first = sockets.first().ok_or_else(|| Failure::new("no socket"))?;
        for count in 0..10_000 {
            if let Err(refused) = first.send(vec![0_u8; bytes]) {
                return Ok((count, format!("{}: {}", refused.code(), refused.message())));
            }
        }
        Err(Failure::new("nothing was refused"))
    }

    /// Accepts as many as may be without returning any; returns how many, and the refusal.
    pub fn accept_without_end(&self) -> (usize, String) {
        let mut accepted = Vec::new();
        loop {
            match self.ctx.sockets().accept(&[]) {
                Ok(kept) => accepted.push(kept),
                Err(refused) => {
                    return (accepted.len(), format!("{}: {}", refused.code(), refused.message()));
                }
            }
        }
    }

    /// Closes all.
    pub fn close_all(&self, code: Option<u16>, reason: Option<String>) -> Result<(), Failure> {
        let mut sockets = self.ctx.sockets().all().into_iter();
        sockets.try_for_each(|socket| socket.close_with(code, reason.as_deref()))
    }

    /// Closes one that is not there, to see what is refused.
    pub fn close_none(&self, code: Option<u16>, reason: Option<String>) -> Result<(), Failure> {
        Socket::from_number(0).close_with(code, reason.as_deref())
    }

    /// Keeps so many bytes with the first socket, and says how many are kept.
    pub fn attach(&self, bytes: usize) -> Result<usize, Failure> {
        let sockets = self.ctx.sockets().all();
        let first = sockets.first().ok_or_else(|| Failure::new("no socket"))?;
        first.set_attachment_bytes(&vec![7; bytes])?;
        Ok(first.attachment_bytes().map_or(0, |bytes| bytes.len()))
    }

    /// Bytes that are kept with the first socket.
    pub fn attached(&self) -> Option<usize> {
        Some(self.ctx.sockets().all().first()?.attachment_bytes()?.len())
    }

    /// Sets or unsets the automatic answer.
    pub fn set_auto_response(&self, pair: Option<(String, String)>) -> Result<(), Failure> {
        match pair {
            Some((request, response)) => self.ctx.sockets().set_auto_response(&request, &response),
            None => self.ctx.sockets().unset_auto_response(),
        }
    }

    /// The automatic answer.
    pub fn auto_response(&self) -> Option<(String, String)> {
        self.ctx.sockets().auto_response()
    }

    /// Sets how long a handler may take.
    pub fn set_event_timeout(&self, ms: Option<u64>) -> Result<(), Failure> {
        self.ctx.sockets().set_event_timeout(ms.map(Duration::from_millis))
    }

    /// How long a handler may take.
    pub fn event_timeout(&self) -> Option<u64> {
        self.ctx.sockets().event_timeout().map(|timeout| timeout.as_millis() as u64)
    }

    /// Resets the object.
    pub fn abort(&self) {
        self.ctx.abort(None)
    }

    fn note(&self, what: &str) -> Result<(), Failure> {
        Ok(self.ctx.sql().exec("INSERT INTO journal (what) VALUES (?)", (what,)).map(drop)?)
    }
}
