//! Class `Sections`: critical sections around waits, with a journal of what ran when.
//!
//! `Sections` whose name begins with `background-` start a section in the constructor and do not wait for it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use durabo::{Context, Failure, Namespace, Section, State, timer};

use crate::latch;

/// Enters and leaves.
pub struct Sections {
    ctx: Context,
    hits: State<u32>,
}

#[durabo::object]
impl Sections {
    /// Makes the journal.
    pub async fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql()
            .exec("CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, what TEXT NOT NULL)", ())?;
        let object = Self { ctx: ctx.clone(), hits: State::new(0) };
        if ctx.identity().name.as_deref().is_some_and(|name| name.starts_with("background-")) {
            let background = Self { ctx, hits: State::new(0) };
            let mut section: Pin<Box<dyn Future<Output = _>>> =
                Box::pin(async move { background.section("start".to_owned(), 100).await });
            // It begins here and goes on after the constructor has returned.
            poll_fn(|cx| Poll::Ready(section.as_mut().poll(cx).is_ready())).await;
            wit_bindgen::spawn_local(async move {
                drop(section.await);
            });
        }
        Ok(object)
    }

    /// Notes that it begins, waits and notes that it ends, all in a section; returns the name.
    pub async fn section(&self, name: String, ms: u64) -> Result<String, Failure> {
        let ctx = self.ctx.clone();
        ctx.critical_section(async |_| {
            self.note(&format!("{name} begins"))?;
            sleep(ms).await;
            self.note(&format!("{name} ends"))?;
            Ok(name.clone())
        })
        .await
    }

    /// Starts two sections in one turn.
    pub async fn two_sections(&self, ms: u64) -> Result<(), Failure> {
        let first = self.section("first".to_owned(), ms);
        let second = self.section("second".to_owned(), ms);
        both(first, second).await
    }

    /// Within a section: a wait that was begun before an inner section comes back after it.
    pub async fn nested(&self, ms: u64) -> Result<(), Failure> {
        self.ctx
            .critical_section(async |outer| {
                let wait = async {
                    sleep(ms / 2).await;
                    self.note("the outer one's wait is over").map(|()| String::new())
                };
                let inner = outer.nested(async |_| {
                    self.note("inner begins")?;
                    sleep(ms).await;
                    self.note("inner ends").map(|()| String::new())
                });
                both(wait, inner).await
            })
            .await
    }

    /// Opens so many sections, one within the other, and returns how many opened and what the next one said.
    pub async fn nest(&self, levels: u32) -> Result<(usize, Option<String>), Failure> {
        let mut open: Vec<Section> = vec![self.ctx.enter_section().await?];
        let mut refused = None;
        while open.len() < levels as usize {
            let Some(innermost) = open.last() else { break };
            match innermost.enter().await {
                Ok(section) => open.push(section),
                Err(failure) => {
                    refused = Some(format!("{}: {}", failure.code(), failure.message()));
                    break;
                }
            }
        }
        Ok((open.len(), refused))
    }

    /// Writes, tells the `Gates` called `signal` so, waits until that has noted `go`, and fails out of a section; what
    /// follows never runs.
    pub async fn fail_in_section(&self, text: String, signal: String) -> Result<(), Failure> {
        let failed: Result<(), Failure> = self
            .ctx
            .critical_section(async |_| {
                self.note("in the section")?;
                tell(&signal).await?;
                latch::wait_for_go(&signal).await?;
                Err(Failure::new(text))
            })
            .await;
        if failed.is_err() {
            self.note("caught")?;
        }
        Ok(())
    }

    /// Stays in a section for ever, and tells the `Gates` called `signal` so.
    pub async fn never_leave(&self, signal: String) -> Result<(), Failure> {
        let _section = self.ctx.enter_section().await?;
        tell(&signal).await?;
        loop {
            sleep(1000).await;
        }
    }

    /// Waits and notes something.
    pub async fn note_after(&self, what: String, ms: u64) -> Result<(), Failure> {
        self.note(&format!("{what} waits"))?;
        sleep(ms).await;
        self.note(&what)
    }

    /// Notes something.
    pub fn append(&self, what: String) -> Result<(), Failure> {
        self.note(&what)
    }

    /// Counts in memory.
    pub fn hit(&self) -> u32 {
        self.hits.with(|hits| {
            *hits += 1;
            *hits
        })
    }

    /// All that was noted, in order.
    pub fn journal(&self) -> Result<Vec<String>, Failure> {
        Ok(self.ctx.sql().exec("SELECT what FROM journal ORDER BY id", ())?.all()?)
    }

    fn note(&self, what: &str) -> Result<(), Failure> {
        Ok(self.ctx.sql().exec("INSERT INTO journal (what) VALUES (?)", (what,)).map(drop)?)
    }
}

async fn tell(signal: &str) -> Result<i64, Failure> {
    Namespace::new("Gates").get_by_name(signal)?.call("append", ("in the section",)).await
}

async fn sleep(ms: u64) {
    timer::sleep(Duration::from_millis(ms)).await;
}

/// Runs two futures at once.
async fn both<T>(
    first: impl Future<Output = Result<T, Failure>>,
    second: impl Future<Output = Result<T, Failure>>,
) -> Result<(), Failure> {
    let (mut first, mut second) = (Box::pin(first), Box::pin(second));
    let mut left = [true, true];
    poll_fn(move |cx| {
        if left[0]
            && let Poll::Ready(done) = first.as_mut().poll(cx)
        {
            done?;
            left[0] = false;
        }
        if left[1]
            && let Poll::Ready(done) = second.as_mut().poll(cx)
        {
            done?;
            left[1] = false;
        }
        if left == [false, false] { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}
