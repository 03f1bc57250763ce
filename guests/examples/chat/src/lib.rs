//! Chat rooms: one object each, with its history in SQL, everyone in it on a WebSocket, and the page to use it.
//!
//! Sockets belong to the node, so a room in which nobody speaks takes no instance, and knows who is in it when it is
//! woken: the name is the socket's attachment, and a tag by which a whisper finds it. A message carries a key of its
//! client's, so that one that is sent again after a cut is stored once.

use std::collections::BTreeSet;

use durabo::{Close, Context, Failure, Message, Request, Response, Socket, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Messages that a room keeps.
const KEPT_MAX: i64 = 1000;
/// Of them, those that someone gets who comes in.
const SHOWN_MAX: i64 = 100;
/// Characters of a name, and of a message.
const NAME_CHARS_MAX: usize = 32;
const TEXT_CHARS_MAX: usize = 2000;

const PAGE: &str = include_str!("page.html");
/// What the page may do: its own script and style, and sockets to where it came from.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A room.
pub struct Chat {
    ctx: Context,
}

/// A message of the room.
#[derive(Serialize, Deserialize)]
pub struct Entry {
    id: i64,
    from: String,
    key: String,
    text: String,
    at_ms: u64,
}

/// What a client sends.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    /// A message to all, under a key that its client has for no other.
    Say { key: String, text: String },
    /// One to those of a name, which is not kept.
    Whisper { to: String, text: String },
}

/// A room: messages, and the people in it.
#[durabo::object]
impl Chat {
    /// Makes the table on first use. A client that asks `ping` is answered without waking the room.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql().exec(
            "CREATE TABLE IF NOT EXISTS messages (
                id INTEGER PRIMARY KEY, name TEXT NOT NULL, key TEXT NOT NULL, text TEXT NOT NULL,
                at_ms INTEGER NOT NULL, UNIQUE (name, key))",
            (),
        )?;
        ctx.sockets().set_auto_response("ping", "pong")?;
        Ok(Self { ctx })
    }

    /// The page, and the WebSocket that it opens.
    pub fn fetch(&mut self, request: Request) -> Result<Response, Failure> {
        match request.path() {
            "/" => Ok(Response::new(200)
                .with_header("content-type", "text/html; charset=utf-8")
                .with_header("content-security-policy", PAGE_POLICY)
                .with_header("cache-control", "no-cache")
                .with_body(PAGE)),
            "/socket" if request.wants_websocket() => self.join(&request),
            "/socket" => Ok(Response::text("a WebSocket is served here").with_status(426)),
            _ => Ok(Response::text("not found").with_status(404)),
        }
    }

    /// Says something in the room, under a key for which it is stored once.
    pub fn say(&mut self, name: String, text: String, key: String) -> Result<(), Failure> {
        let name = valid_name(&name).map_err(Failure::new)?;
        match self.store(name, &key, &text)? {
            Stored::New(entry) => {
                self.ctx.sockets().broadcast(json!({"messages": [entry]}).to_string());
                Ok(())
            }
            Stored::Before(_) => Ok(()),
            Stored::Refused(reason) => Err(Failure::new(reason)),
        }
    }

    /// What was said after the message with the id `since`, the oldest first; the last 100 at most.
    pub fn history(&self, since: Option<i64>) -> Result<Vec<Entry>, Failure> {
        self.entries(since.unwrap_or(0))
    }

    /// Who is here.
    pub fn people(&self) -> Vec<String> {
        self.names(None).into_iter().collect()
    }

    /// Stores and sends what someone says.
    pub fn websocket_message(&mut self, socket: Socket, message: Message) -> Result<(), Failure> {
        let Some(name) = socket.attachment::<String>()? else { return Ok(()) };
        let answer = match message.as_text().map(serde_json::from_str) {
            Some(Ok(Said::Say { key, text })) => match self.store(&name, &key, &text)? {
                Stored::New(entry) => {
                    self.ctx.sockets().broadcast(json!({"messages": [entry]}).to_string());
                    return Ok(());
                }
                Stored::Before(entry) => json!({"messages": [entry]}),
                Stored::Refused(reason) => json!({"refused": reason, "key": key}),
            },
            Some(Ok(Said::Whisper { to, text })) => match self.whisper(&name, &to, &text) {
                Ok(()) => return Ok(()),
                Err(reason) => json!({"refused": reason}),
            },
            Some(Err(error)) => json!({"refused": format!("this is no message: {error}")}),
            None => json!({"refused": "messages are texts"}),
        };
        socket.send(answer.to_string())
    }

    /// Tells the others.
    pub fn websocket_close(&mut self, socket: Socket, _close: Close) {
        self.tell_who_is_here(Some(socket));
    }

    /// Tells the others too: nobody comes back on a socket that has failed.
    pub fn websocket_error(&mut self, socket: Socket, _error: Failure) {
        self.tell_who_is_here(Some(socket));
    }

    /// Lets someone in: with what was said since they were here last, if they say when that was.
    fn join(&self, request: &Request) -> Result<Response, Failure> {
        let name = request.query("name").unwrap_or_default();
        let name = match valid_name(&name) {
            Ok(name) => name,
            Err(reason) => return Ok(Response::text(reason).with_status(400)),
        };
        let since = request.query("since").and_then(|id| id.parse().ok()).unwrap_or(0);
        let (socket, response) = self.ctx.sockets().accept(&[&tag_of(name)])?;
        socket.set_attachment(&name)?;
        socket.send(json!({"messages": self.entries(since)?}).to_string())?;
        self.tell_who_is_here(None);
        Ok(response)
    }

    fn tell_who_is_here(&self, leaving: Option<Socket>) {
        self.ctx.sockets().broadcast(json!({"people": self.names(leaving)}).to_string());
    }

    /// Names of those in the room, each once, without a socket that is about to go.
    fn names(&self, leaving: Option<Socket>) -> BTreeSet<String> {
        let sockets = self.ctx.sockets().all().into_iter().filter(|socket| Some(*socket) != leaving);
        sockets.filter_map(|socket| socket.attachment().ok().flatten()).collect()
    }

    fn whisper(&self, from: &str, to: &str, text: &str) -> Result<(), String> {
        let text = valid_text(text)?;
        let whisper =
            json!({"whisper": {"from": from, "to": to, "text": text, "at_ms": Timestamp::now().millis()}});
        if self.ctx.sockets().broadcast_to(Some(&tag_of(valid_name(to)?)), whisper.to_string(), &[]) == 0 {
            return Err(format!("{to} is not here"));
        }
        if from != to {
            self.ctx.sockets().broadcast_to(Some(&tag_of(from)), whisper.to_string(), &[]);
        }
        Ok(())
    }

    fn store(&self, from: &str, key: &str, text: &str) -> Result<Stored, Failure> {
        let text = match valid_text(text) {
            Ok(text) => text,
            Err(reason) => return Ok(Stored::Refused(reason)),
        };
        if key.is_empty() || key.len() > 64 {
            return Ok(Stored::Refused("a key has 1 to 64 bytes".to_owned()));
        }
        let sql = self.ctx.sql();
        let known = "SELECT id, name AS \"from\", key, text, at_ms FROM messages WHERE name = ? AND key = ?";
        if let Some(entry) = sql.exec(known, (from, key))?.first()? {
            return Ok(Stored::Before(entry));
        }
        let at_ms = Timestamp::now().millis();
        let query = "INSERT INTO messages (name, key, text, at_ms) VALUES (?, ?, ?, ?) RETURNING id";
        let id: i64 = sql.exec(query, (from, key, text, i64::try_from(at_ms)?))?.one()?;
        sql.exec("DELETE FROM messages WHERE id <= ?", (id - KEPT_MAX,))?;
        Ok(Stored::New(Entry {
            id,
            from: from.to_owned(),
            key: key.to_owned(),
            text: text.to_owned(),
            at_ms,
        }))
    }

    fn entries(&self, since: i64) -> Result<Vec<Entry>, Failure> {
        let query = "SELECT id, name AS \"from\", key, text, at_ms FROM messages WHERE id > ? ORDER BY id DESC LIMIT ?";
        let mut entries: Vec<Entry> = self.ctx.sql().exec(query, (since, SHOWN_MAX))?.all()?;
        entries.reverse();
        Ok(entries)
    }
}

/// What became of a message.
enum Stored {
    New(Entry),
    /// It is sent again, and was stored the first time.
    Before(Entry),
    Refused(String),
}

/// The tag of everyone with a name.
fn tag_of(name: &str) -> String {
    format!("name:{name}")
}

fn valid_name(name: &str) -> Result<&str, String> {
    let name = name.trim();
    match name.chars().count() {
        1..=NAME_CHARS_MAX => Ok(name),
        _ => Err(format!("a name has 1 to {NAME_CHARS_MAX} characters")),
    }
}

fn valid_text(text: &str) -> Result<&str, String> {
    let text = text.trim();
    match text.chars().count() {
        1..=TEXT_CHARS_MAX => Ok(text),
        _ => Err(format!("a message has 1 to {TEXT_CHARS_MAX} characters")),
    }
}

durabo::export!(Chat);
