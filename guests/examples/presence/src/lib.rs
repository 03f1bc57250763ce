//! Who is here: sockets with what is known of their people, and an alarm for those who fall silent.
//!
//! A sign of life changes the socket's attachment and nothing else: no storage, and nobody is told. The alarm is set
//! for the first who may fall silent, and looks at all when it runs; in between the object takes no instance.

use std::collections::BTreeMap;
use std::time::Duration;

use durabo::websocket::ReadyState;
use durabo::{Close, Context, Failure, Message, Request, Response, Socket, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Silence after which someone is away, and after which they have gone, unless set otherwise.
const AWAY_AFTER_MS: u64 = 30_000;
const GONE_AFTER_MS: u64 = 120_000;
/// Bytes of a name.
const USER_BYTES_MAX: usize = 64;
/// Tells a client that it was silent for too long.
const SILENT: u16 = 4000;

/// A place where people are or are not.
pub struct Presence {
    ctx: Context,
}

/// How someone is here. Of several sockets of one user, the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mood {
    /// Connected, but silent, or said so.
    Away,
    /// Heard of lately.
    Here,
}

/// What is kept with a socket.
#[derive(Clone, Serialize, Deserialize)]
struct Person {
    user: String,
    mood: Mood,
    heard: Timestamp,
}

/// People who are here, who are away, and when those who have left were seen last.
#[durabo::object]
impl Presence {
    /// Makes the table on first use.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql()
            .exec("CREATE TABLE IF NOT EXISTS seen (user TEXT PRIMARY KEY, at_ms INTEGER NOT NULL)", ())?;
        Ok(Self { ctx })
    }

    /// `/socket?user=ada` is a WebSocket: it takes `here` and `away`, and tells who is here whenever that changes.
    pub fn fetch(&mut self, request: Request) -> Result<Response, Failure> {
        if request.path() != "/socket" {
            return Ok(Response::text("not found").with_status(404));
        }
        if !request.wants_websocket() {
            return Ok(Response::text("a WebSocket is served here").with_status(426));
        }
        let user = request.query("user").unwrap_or_default();
        if user.is_empty() || user.len() > USER_BYTES_MAX {
            return Ok(Response::text(format!("a user has 1 to {USER_BYTES_MAX} bytes")).with_status(400));
        }
        let before = self.people();
        let (socket, response) = self.ctx.sockets().accept(&[&user])?;
        socket.set_attachment(&Person { user, mood: Mood::Here, heard: Timestamp::now() })?;
        if self.people() == before {
            socket.send(self.told())?;
        } else {
            self.tell();
        }
        self.wake_in_time()?;
        Ok(response)
    }

    /// Who is here, and how.
    pub fn people(&self) -> BTreeMap<String, Mood> {
        let mut people = BTreeMap::new();
        for (_, person) in self.connected() {
            let mood = people.entry(person.user).or_insert(person.mood);
            *mood = person.mood.max(*mood);
        }
        people
    }

    /// When someone was seen last who has left; nothing if they never left.
    pub fn last_seen(&self, user: String) -> Result<Option<Timestamp>, Failure> {
        Ok(self.ctx.sql().exec("SELECT at_ms FROM seen WHERE user = ?", (user,))?.first()?)
    }

    /// Sets after how much silence someone is away, and after how much they have gone.
    pub fn set_times(&mut self, away_after_ms: u64, gone_after_ms: u64) -> Result<(), Failure> {
        self.ctx.kv().put("times", &(away_after_ms, gone_after_ms))?;
        self.wake_in_time()
    }

    /// A sign of life.
    pub fn websocket_message(&mut self, socket: Socket, message: Message) -> Result<(), Failure> {
        let mood = match message.as_text() {
            Some("here") => Mood::Here,
            Some("away") => Mood::Away,
            _ => return socket.send(json!({"refused": "say `here` or `away`"}).to_string()),
        };
        let Some(person) = person(socket) else { return Ok(()) };
        socket.set_attachment(&Person { mood, heard: Timestamp::now(), ..person.clone() })?;
        if mood != person.mood {
            self.tell();
            self.wake_in_time()?;
        }
        Ok(())
    }

    /// Notes when they were here, and tells the others.
    pub fn websocket_close(&mut self, socket: Socket, _close: Close) -> Result<(), Failure> {
        self.left(socket)
    }

    /// The same.
    pub fn websocket_error(&mut self, socket: Socket, _error: Failure) -> Result<(), Failure> {
        self.left(socket)
    }

    /// Looks for those who have fallen silent, and sets the alarm for the next.
    pub fn alarm(&mut self) -> Result<(), Failure> {
        let (before, now) = (self.people(), Timestamp::now());
        for (socket, person) in self.connected() {
            if self.gone_at(&person)? <= now {
                socket.close(SILENT, "nothing was heard for too long")?;
            } else if person.mood == Mood::Here && self.away_at(&person)? <= now {
                socket.set_attachment(&Person { mood: Mood::Away, ..person })?;
            }
        }
        if self.people() != before {
            self.tell();
        }
        self.wake_in_time()
    }

    fn left(&self, socket: Socket) -> Result<(), Failure> {
        let Some(person) = person(socket) else { return Ok(()) };
        let query = "INSERT INTO seen (user, at_ms) VALUES (?, ?) ON CONFLICT (user) DO UPDATE SET at_ms = excluded.at_ms";
        self.ctx.sql().exec(query, (person.user, i64::try_from(person.heard.millis())?))?;
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        self.ctx.sockets().broadcast(self.told());
    }

    fn told(&self) -> String {
        json!({"people": self.people()}).to_string()
    }

    /// Sockets that nobody has closed, and whose they are.
    fn connected(&self) -> Vec<(Socket, Person)> {
        let open = |socket: &Socket| matches!(socket.state(), ReadyState::Open | ReadyState::Connecting);
        let sockets = self.ctx.sockets().all().into_iter().filter(open);
        sockets.filter_map(|socket| Some((socket, person(socket)?))).collect()
    }

    /// Sets the alarm for the first who may fall silent, unless it comes sooner anyway.
    fn wake_in_time(&self) -> Result<(), Failure> {
        let mut next = None;
        for (_, person) in self.connected() {
            let gone = self.gone_at(&person)?;
            let at = if person.mood == Mood::Here { gone.min(self.away_at(&person)?) } else { gone };
            next = Some(next.map_or(at, |next: Timestamp| next.min(at)));
        }
        let Some(next) = next else { return Ok(()) };
        match self.ctx.alarm().get()? {
            Some(set) if set <= next => Ok(()),
            _ => self.ctx.alarm().set(next),
        }
    }

    fn away_at(&self, person: &Person) -> Result<Timestamp, Failure> {
        Ok(person.heard + Duration::from_millis(self.times()?.0))
    }

    fn gone_at(&self, person: &Person) -> Result<Timestamp, Failure> {
        Ok(person.heard + Duration::from_millis(self.times()?.1))
    }

    fn times(&self) -> Result<(u64, u64), Failure> {
        Ok(self.ctx.kv().get("times")?.unwrap_or((AWAY_AFTER_MS, GONE_AFTER_MS)))
    }
}

fn person(socket: Socket) -> Option<Person> {
    socket.attachment().ok().flatten()
}

durabo::export!(Presence);
