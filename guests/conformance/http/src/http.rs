//! Class `Http`: one way of reading, writing or refusing a body for each path.
//!
//! Driven by requests, and over RPC where a stream is open.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use durabo::{Body, BodyWriter, Context, Failure, Namespace, Request, Response, State, event, timer};

use crate::queue::Queue;

/// What endless bodies are written in.
const PIECE_BYTES: usize = 16 * 1024;

/// A request that is under way.
type Asking = Pin<Box<dyn Future<Output = Result<Response, Failure>>>>;

/// What the object knows of its streams.
#[derive(Default)]
struct Streams {
    open: Vec<Queue>,
    written_bytes: u64,
    ended: Vec<String>,
}

/// Answers as the path says.
pub struct Http {
    ctx: Context,
    streams: Rc<State<Streams>>,
}

#[durabo::object]
impl Http {
    /// Makes the table on first use.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql().exec("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, what TEXT)", ())?;
        Ok(Self { ctx, streams: Rc::new(State::new(Streams::default())) })
    }

    /// Puts a text into every open event stream.
    pub async fn emit(&self, text: String) -> usize {
        self.streams.with(|streams| {
            streams.open.iter().for_each(|queue| queue.put(Some(text.clone())));
            streams.open.len()
        })
    }

    /// Ends every open event stream.
    pub async fn end(&self) {
        self.streams.with(|streams| streams.open.drain(..).for_each(|queue| queue.put(None)));
    }

    /// Bytes that `/endless` has written so far.
    pub async fn written(&self) -> u64 {
        self.streams.with(|streams| streams.written_bytes)
    }

    /// How streams ended, in order.
    pub async fn ended(&self) -> Vec<String> {
        self.streams.with(|streams| streams.ended.clone())
    }

    /// All that was noted.
    pub async fn notes(&self) -> Result<Vec<String>, Failure> {
        Ok(self.ctx.sql().exec("SELECT what FROM notes ORDER BY id", ())?.all()?)
    }

    /// Panics.
    pub async fn fall(&self) {
        panic!("as told")
    }

    /// Does what the first segment of the path says.
    pub async fn fetch(&self, mut request: Request) -> Result<Response, Failure> {
        let segments = request.segments();
        match segments.first().map_or("", String::as_str) {
            "count" => count(request.take_body()).await,
            "collect" => Ok(Response::text(request.bytes().await?.len().to_string())),
            "pass" => Ok(Response::new(200).with_body(request.take_body())),
            "first-then-pass" => first_then_pass(request.take_body()).await,
            "reverse" => Ok(reverse(request.take_body())),
            "refuse" => Ok(Response::text("no").with_status(401)),
            "wait-then-count" => {
                timer::sleep(milliseconds(&request)).await;
                count(request.take_body()).await
            }
            "wait-then-note" => {
                timer::sleep(milliseconds(&request)).await;
                self.note("waited")?;
                Ok(Response::text("noted"))
            }
            "note-when-gone" => {
                self.note("waits")?;
                event::cancelled().await;
                self.note("gone")?;
                Ok(Response::text("nobody reads this"))
            }
            "note-length" => {
                let outcome = match request.bytes().await {
                    Ok(bytes) => bytes.len().to_string(),
                    Err(failure) => failure.code().to_owned(),
                };
                self.note(&outcome)?;
                Ok(Response::text(outcome))
            }
            "note-pieces" => self.note_pieces(request.take_body()).await,
            "note-breaks" => self.note_breaks(request.take_body()).await,
            "give-up-then-read" => give_up_then_read(request.take_body()).await,
            "give-up-then-pass" => {
                give_up(request.body().chunk()).await?;
                Ok(Response::new(200).with_body(request.take_body()))
            }
            "give-up-a-write" => Ok(self.give_up_a_write()),
            "hold" => Ok(self.hold(request.take_body())),
            "events" => Ok(self.events()),
            "endless" => Ok(self.endless()),
            "endless-aside" => Ok(endless_aside()),
            "note-then-stream" => Ok(self.note_then_stream()),
            "break-then-stream" => Ok(self.break_then_stream()),
            "break-then-ask" => {
                break_turn(&self.ctx)?;
                Ok(ask(&url(&request)).await)
            }
            "fall-within-a-write" => Ok(self.fall_within_a_write()),
            "two-then-fail" => Ok(Response::stream(async |mut writer| {
                writer.write("one,").await?;
                writer.write("two").await?;
                Err(Failure::new("no more"))
            })),
            "one-then-fall" => Ok(Response::stream(async |mut writer| {
                writer.write("one,").await?;
                panic!("in the midst of a body")
            })),
            "cookies" => Ok(Response::new(200)
                .with_header("set-cookie", "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT")
                .with_header("set-cookie", "b=2; Expires=Thu, 22 Oct 2026 07:28:00 GMT")
                .with_header("set-cookie", "c=3")),
            "header" => {
                let values: Vec<_> =
                    request.headers().filter(|(name, _)| *name == "x-who").map(|(_, value)| value).collect();
                Ok(Response::text(values.join("|")).with_header("x-who", values.join("|")))
            }
            "via" => via(&segments, request).await,
            "via-with-an-emoji" => {
                let sent = Request::get("http://do/header").with_header("x-who", "\u{1f600}");
                Namespace::new("Http").get_by_name("never")?.fetch(sent).await
            }
            "relay" => relay(&url(&request), request.take_body()).await,
            "ask" => Ok(ask(&url(&request)).await),
            "note-then-ask" => {
                self.note("asked")?;
                Ok(ask(&url(&request)).await)
            }
            "ask-often" => ask_often(&url(&request), &request).await,
            "ask-and-forget" => {
                let mut asking = pin!(Request::get(url(&request)).send());
                poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx).is_ready())).await;
                Ok(Response::text("forgotten"))
            }
            _ => Ok(Response::text("nothing here").with_status(404)),
        }
    }

    fn note(&self, what: &str) -> Result<(), Failure> {
        Ok(self.ctx.sql().exec("INSERT INTO notes (what) VALUES (?)", (what,)).map(drop)?)
    }

    /// Notes each piece that it reads.
    async fn note_pieces(&self, mut body: Body) -> Result<Response, Failure> {
        while body.chunk().await?.is_some() {
            self.note("piece")?;
        }
        Ok(Response::text("read"))
    }

    /// Reads a body to where it breaks off, and once more; notes what both reads come to.
    async fn note_breaks(&self, mut body: Body) -> Result<Response, Failure> {
        while let Ok(Some(_)) = body.chunk().await.inspect_err(|failure| drop(self.note(failure.code()))) {}
        self.note(&code(body.chunk().await))?;
        Ok(Response::text("read"))
    }

    /// Gives up a write that waits, notes what the next one comes to, and ends as if all were well.
    fn give_up_a_write(&self) -> Response {
        let ctx = self.ctx.clone();
        Response::stream(async move |mut writer| {
            give_up(writer.write(vec![b'x'; 64 * PIECE_BYTES])).await?;
            let next = code(writer.write("more").await);
            ctx.sql().exec("INSERT INTO notes (what) VALUES (?)", (next,))?;
            Ok(())
        })
    }

    /// Enters a critical section, says so, and sends pieces back until one says `leave`.
    fn hold(&self, mut body: Body) -> Response {
        let ctx = self.ctx.clone();
        Response::stream(async move |mut writer| {
            let section = ctx.enter_section().await?;
            writer.write("in").await?;
            while let Some(piece) = body.chunk().await?.filter(|piece| piece != b"leave") {
                writer.write(piece).await?;
            }
            ctx.sql().exec("INSERT INTO notes (what) VALUES ('leaving')", ())?;
            drop(section);
            Ok(())
        })
    }

    /// An event stream that `emit` feeds, until `end`, or until the client has gone.
    fn events(&self) -> Response {
        let queue = Queue::default();
        self.streams.with(|streams| streams.open.push(queue.clone()));
        let streams = self.streams.clone();
        let write = async move |mut writer: BodyWriter| {
            let ended = tell_events(&mut writer, &queue).await;
            streams.with(|streams| streams.ended.push(ended));
            Ok(())
        };
        Response::stream(write).with_header("content-type", "text/event-stream")
    }

    /// Writes for ever and counts.
    fn endless(&self) -> Response {
        let streams = self.streams.clone();
        Response::stream(async move |mut writer| {
            while writer.write(vec![b'x'; PIECE_BYTES]).await.is_ok() {
                streams.with(|streams| streams.written_bytes += PIECE_BYTES as u64);
            }
            streams.with(|streams| streams.ended.push("unread".to_owned()));
            Ok(())
        })
    }

    /// Writes a piece, and then one in a turn whose commit fails.
    fn break_then_stream(&self) -> Response {
        let ctx = self.ctx.clone();
        Response::stream(async move |mut writer| {
            writer.write("one,").await?;
            break_turn(&ctx)?;
            writer.write("never").await
        })
    }

    /// Writes a piece, and then one in a turn that has written to storage and falls.
    fn fall_within_a_write(&self) -> Response {
        let ctx = self.ctx.clone();
        Response::stream(async move |mut writer| {
            writer.write("one,").await?;
            ctx.sql().exec("INSERT INTO notes (what) VALUES ('never')", ())?;
            let mut writing = pin!(writer.write("never"));
            poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx).is_ready())).await;
            panic!("in the turn of the write")
        })
    }

    /// Notes what it is about to write, then writes it, each time in one turn.
    fn note_then_stream(&self) -> Response {
        let ctx = self.ctx.clone();
        Response::stream(async move |mut writer| {
            for piece in ["a", "b", "c"] {
                ctx.sql().exec("INSERT INTO notes (what) VALUES (?)", (piece,))?;
                writer.write(piece).await?;
            }
            Ok(())
        })
    }
}

/// Writes what comes out of the queue; says why it stopped.
async fn tell_events(writer: &mut BodyWriter, queue: &Queue) -> String {
    let mut gone = pin!(event::cancelled());
    loop {
        let mut next = pin!(queue.take());
        let next = poll_fn(|cx| match gone.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(())),
            Poll::Pending => next.as_mut().poll(cx).map(Ok),
        });
        match next.await {
            Err(()) => return format!("gone, {}", event::is_cancelled()),
            Ok(None) => return "ended".to_owned(),
            Ok(Some(text)) => {
                if writer.write(format!("data: {text}\n\n")).await.is_err() {
                    return "unread".to_owned();
                }
            }
        }
    }
}

/// Writes for ever as well, and tells nothing of it.
fn endless_aside() -> Response {
    Response::stream(async |mut writer| {
        while writer.write(vec![b'x'; PIECE_BYTES]).await.is_ok() {}
        Ok(())
    })
}

/// Makes the commit of the present turn fail.
fn break_turn(ctx: &Context) -> Result<(), Failure> {
    let family =
        "CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (p REFERENCES parent (id))";
    ctx.sql().exec(family, ())?;
    ctx.sql().exec("PRAGMA defer_foreign_keys = ON", ())?;
    Ok(ctx.sql().exec("INSERT INTO child VALUES (5)", ()).map(drop)?)
}

/// Counts bytes and pieces without keeping them.
async fn count(mut body: Body) -> Result<Response, Failure> {
    let whole = body.len().is_some();
    let (mut bytes, mut pieces) = (0_usize, 0_u32);
    while let Some(piece) = body.chunk().await? {
        bytes += piece.len();
        pieces += 1;
    }
    Ok(Response::text(format!("{bytes} {} {}", whole, pieces > 1)))
}

/// Begins to wait for something and gives it up. Fails if there is nothing to wait for.
async fn give_up<T>(waiting: impl Future<Output = Result<T, Failure>>) -> Result<(), Failure> {
    let mut waiting = pin!(waiting);
    match poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_ready())).await {
        true => Err(Failure::new("it did not wait")),
        false => Ok(()),
    }
}

/// The code of a failure, or `fine`.
fn code<T>(outcome: Result<T, Failure>) -> String {
    outcome.map_or_else(|failure| failure.code().to_owned(), |_| "fine".to_owned())
}

/// Gives up a read that waits, and tells what two more come to and whether the body looks empty.
async fn give_up_then_read(mut body: Body) -> Result<Response, Failure> {
    give_up(body.chunk()).await?;
    let (first, second) = (code(body.chunk().await), code(body.chunk().await));
    Ok(Response::text(format!("{first} {second} {}", body.is_empty())))
}

/// Reads one piece, drops it, and passes the rest on.
async fn first_then_pass(mut body: Body) -> Result<Response, Failure> {
    let first = body.chunk().await?.unwrap_or_default().len();
    Ok(Response::new(200).with_header("x-first", first.to_string()).with_body(body))
}

/// Answers with each piece turned round, while the request is still arriving.
fn reverse(mut body: Body) -> Response {
    Response::stream(async move |mut writer| {
        while let Some(mut piece) = body.chunk().await? {
            piece.reverse();
            writer.write(piece).await?;
        }
        Ok(())
    })
}

/// Passes a request on to the object that the path names, with the path behind it, and passes its answer
/// back; neither body is read.
async fn via(segments: &[String], mut request: Request) -> Result<Response, Failure> {
    let [_, name, rest @ ..] = segments else { return Ok(Response::new(404)) };
    let url = format!("http://do/{}", rest.join("/"));
    let mut sent = Request::new(request.method(), url).with_body(request.take_body());
    for (_, value) in request.headers().filter(|(name, _)| *name == "x-who") {
        sent = sent.with_header("x-who", value);
    }
    Namespace::new("Http").get_by_name(name)?.fetch(sent).await
}

/// Asks the outside with the body of the client, and answers with its answer; neither is read.
async fn relay(url: &str, body: Body) -> Result<Response, Failure> {
    let response = Request::post(url).with_header("x-relayed", "yes").with_body(body).send().await?;
    let (status, kind) = (response.status(), response.header("content-type").unwrap_or_default().to_owned());
    Ok(Response::new(status).with_header("content-type", kind).with_body(response.into_body()))
}

/// Asks the outside and tells what came of it.
async fn ask(url: &str) -> Response {
    let told = match Request::get(url).send().await {
        Ok(response) => {
            let status = response.status();
            match response.into_body().text().await {
                Ok(text) => format!("{status} {text}"),
                Err(failure) => failure.code().to_owned(),
            }
        }
        Err(failure) => failure.code().to_owned(),
    };
    Response::text(told)
}

/// Begins many requests and then waits for all of them.
async fn ask_often(url: &str, request: &Request) -> Result<Response, Failure> {
    let count: usize = request.query("count").and_then(|count| count.parse().ok()).unwrap_or_default();
    let mut asked: Vec<Asking> = Vec::new();
    for _ in 0..count {
        let mut asking: Asking = Box::pin(Request::get(url).send());
        // A request begins when it is polled.
        poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx).is_ready())).await;
        asked.push(asking);
    }
    let mut good = 0;
    for asking in asked {
        good += usize::from(asking.await?.status() == 200);
    }
    Ok(Response::text(good.to_string()))
}

fn url(request: &Request) -> String {
    request.query("url").unwrap_or_default()
}

fn milliseconds(request: &Request) -> Duration {
    Duration::from_millis(request.query("ms").and_then(|ms| ms.parse().ok()).unwrap_or_default())
}
