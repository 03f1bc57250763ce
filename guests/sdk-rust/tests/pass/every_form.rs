//! Every form that a class may have: constructors, plain and `async` methods, with and without results.
use durabo::{AlarmInfo, Bytes, Close, Context, Failure, Message, Request, Response, Socket, State};

pub struct Plain(u32);

#[durabo::object]
impl Plain {
    pub fn new(_ctx: Context) -> Self {
        Self(0)
    }
    pub fn bump(&mut self, by: Option<u32>) -> u32 {
        self.0 += by.unwrap_or(1);
        self.0
    }
    pub fn nothing(&self) {}
    pub fn parse(&self, text: String) -> Result<i64, std::num::ParseIntError> {
        text.parse()
    }
    pub fn bytes(&mut self, (a, b): (Bytes, Vec<Bytes>)) -> usize {
        a.len() + b.len()
    }
    // Names that the expansion uses itself.
    pub fn call(&self, held: String, method: String, args: i64, arguments: u8) -> (String, String, i64, u8) {
        (held, method, args, arguments)
    }
    pub fn start(&self) {}
    pub fn alarm(&mut self) {
        self.0 += 1;
    }
    pub fn websocket_message(&mut self, _socket: Socket, _message: Message) {
        self.0 += 1;
    }
    pub fn websocket_close(&mut self, _socket: Socket, _close: Close) -> std::fmt::Result {
        Ok(())
    }
    fn generic<T>(&self, _: &T) {}
    pub fn free() -> u8 {
        7
    }
}

pub struct Suspending {
    ctx: Context,
    hits: State<u32>,
}

#[durabo::object]
impl Suspending {
    pub async fn new(ctx: Context) -> Result<Self, Failure> {
        durabo::timer::sleep(std::time::Duration::ZERO).await;
        Ok(Self { ctx, hits: State::new(0) })
    }
    pub fn hit(&self) -> u32 {
        self.hits.with(|hits| {
            *hits += 1;
            *hits
        })
    }
    pub async fn slow(&self, ms: u64) -> Result<String, Failure> {
        durabo::timer::sleep(std::time::Duration::from_millis(ms)).await;
        Ok(self.ctx.identity().id.clone())
    }
    pub async fn fetch(&self, request: Request) -> Result<Response, Failure> {
        Ok(Response::text(request.text().await?))
    }
    pub async fn websocket_error(&self, _socket: Socket, error: Failure) -> Result<(), Failure> {
        Err(error)
    }
    pub async fn alarm(&self, info: AlarmInfo) -> Result<(), Failure> {
        match info.retry_count {
            0 => self.ctx.alarm().set_in(std::time::Duration::from_secs(1)).map(drop),
            1 => self.ctx.alarm().unconfirmed().set(info.scheduled_time),
            2 => self.ctx.alarm().delete(),
            3 => Ok(self.slow(u64::from(info.is_retry)).await.map(drop)?),
            _ => self.ctx.abort_and_abandon_alarm(Failure::new("enough")),
        }
    }
}

pub struct Called;

#[durabo::object(stub = CalledStub)]
impl Called {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    pub fn nothing(&self) {}
    pub fn add(&self, a: i64, b: Option<i64>) -> Result<i64, Failure> {
        Ok(a + b.unwrap_or_default())
    }
    // Words of the language as names.
    pub fn r#type(&self, r#in: u32) -> u32 {
        r#in
    }
    pub async fn list(&self, (from, to): (u8, u8)) -> Vec<u8> {
        (from..to).collect()
    }
    pub fn alarm(&self, AlarmInfo { scheduled_time, .. }: AlarmInfo) -> std::fmt::Result {
        let _ = scheduled_time;
        Ok(())
    }
    /// Calls others, in sections too.
    pub async fn sum(&self, ctx: bool) -> Result<i64, Failure> {
        let other = CalledStub::named("other")?;
        let (first, second) = (other.add(1, None), other.add(2, Some(3)));
        other.nothing().await?;
        let listed: Vec<u8> = other.list((1, 5)).await?;
        let typed = other.r#type(7).await?;
        Ok(first.await? + second.await? + listed.len() as i64 + i64::from(typed) + i64::from(ctx))
    }
}

async fn sections(ctx: Context) -> Result<u8, Failure> {
    ctx.critical_section(async |outer| outer.nested(async |_| Ok(1)).await).await
}

durabo::export!(Plain, Suspending, Called);

fn main() {
    let _ = (Plain::free(), Plain::generic::<u8>, sections);
}
