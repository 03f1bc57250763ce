//! What each workload does, shared by both classes of the component.
//!
//! The tables are made at the first event that needs them, as the peer's class does, and not in the
//! constructor: `noop` and `born` must not pay for a database.

use durabo::{Context, Failure, Message, Request, Response, Socket, Timestamp};
use uuid::Uuid;

/// Rows that `rows` writes and reads unless the query says otherwise.
const ROWS_DEFAULT: i64 = 1000;

/// How `rows` and `rows-many` write.
enum Inserts {
    OneByOne,
    InOneCall,
}

/// State of one object.
pub(crate) struct Workloads {
    ctx: Context,
    /// Tells one in-memory instance from the next.
    born: String,
    has_schema: bool,
}

impl Workloads {
    pub(crate) fn new(ctx: Context) -> Self {
        Self { ctx, born: Uuid::new_v4().to_string(), has_schema: false }
    }

    pub(crate) fn fetch(&mut self, request: &Request) -> Result<Response, Failure> {
        let workload = request.path().split('/').nth(1).unwrap_or_default();
        let text = match workload {
            "noop" => "ok".to_owned(),
            "born" => self.born.clone(),
            "create" | "counter" => self.counter()?.to_string(),
            "peek" | "read" => {
                self.schema()?;
                self.count()?.to_string()
            }
            "kv" => self.kv()?.to_string(),
            "alarm" => self.set_alarm(request.query("at"))?.to_string(),
            "alarm-result" => self.alarm_result()?,
            "rows" => self.rows(request.query("n"), Inserts::OneByOne)?.to_string(),
            "rows-many" => self.rows(request.query("n"), Inserts::InOneCall)?.to_string(),
            "ws" => return Ok(self.ctx.sockets().accept(&[])?.1),
            _ => return Ok(Response::text("no such workload").with_status(404)),
        };
        Ok(Response::text(text))
    }

    pub(crate) fn hello(&self, name: Option<String>) -> String {
        let name = name.or_else(|| self.ctx.identity().name.clone());
        format!("hello {}", name.unwrap_or_default())
    }

    /// One SELECT, one upsert; the reply waits for the commit.
    fn counter(&mut self) -> Result<i64, Failure> {
        self.schema()?;
        let n = self.count()? + 1;
        self.ctx.sql().exec(
            "INSERT INTO counter (id, n) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
            (n,),
        )?;
        Ok(n)
    }

    /// One get, one put; the reply waits for the commit.
    fn kv(&self) -> Result<i64, Failure> {
        let kv = self.ctx.kv();
        let n = kv.get::<i64>("n")?.unwrap_or(0) + 1;
        kv.put("n", &n)?;
        Ok(n)
    }

    /// Stores when the alarm is due, and sets it; the reply waits for the commit of both.
    fn set_alarm(&mut self, at: Option<String>) -> Result<Timestamp, Failure> {
        self.schema()?;
        let due = at.map_or(Ok(Timestamp::now()), |text| text.parse().map(Timestamp::from_millis))?;
        let query = "INSERT OR REPLACE INTO alarms (id, due, fired) VALUES (1, ?, NULL)";
        self.ctx.sql().exec(query, (i64::try_from(due.millis())?,))?;
        self.ctx.alarm().set(due)?;
        Ok(due)
    }

    /// When the alarm was due and when it ran; nothing in place of a run that is still to come.
    fn alarm_result(&mut self) -> Result<String, Failure> {
        self.schema()?;
        let query = "SELECT due, fired FROM alarms WHERE id = 1";
        let (due, fired): (i64, Option<i64>) = self.ctx.sql().exec(query, ())?.one()?;
        Ok(format!("{due} {}", fired.map_or_else(|| "null".to_owned(), |fired| fired.to_string())))
    }

    /// The run of the alarm.
    pub(crate) fn alarm(&mut self) -> Result<(), Failure> {
        self.schema()?;
        let fired = i64::try_from(Timestamp::now().millis())?;
        self.ctx.sql().exec("UPDATE alarms SET fired = ? WHERE id = 1", (fired,))?;
        Ok(())
    }

    /// "b…" goes to all sockets of the object, "?" asks for the instance, and the rest is echoed.
    pub(crate) fn message(&self, socket: Socket, message: Message) -> Result<(), Failure> {
        match message.as_text() {
            Some(text) if text.starts_with('b') => {
                self.ctx.sockets().broadcast(message);
                Ok(())
            }
            Some("?") => socket.send(self.born.as_str()),
            _ => socket.send(message),
        }
    }

    fn count(&self) -> Result<i64, Failure> {
        Ok(self.ctx.sql().exec("SELECT n FROM counter WHERE id = 1", ())?.first()?.unwrap_or(0))
    }

    /// Single-row INSERTs in one transaction, which a turn is; then reads them all.
    fn rows(&mut self, count: Option<String>, inserts: Inserts) -> Result<usize, Failure> {
        self.schema()?;
        let count = count.map_or(Ok(ROWS_DEFAULT), |text| text.parse())?;
        let sql = self.ctx.sql();
        sql.exec("DELETE FROM rows", ())?;
        let insert = "INSERT INTO rows (id, v) VALUES (?, ?)";
        let rows = (0..count).map(|id| (id, format!("value-{id}")));
        match inserts {
            Inserts::OneByOne => {
                for row in rows {
                    sql.exec(insert, row)?;
                }
            }
            Inserts::InOneCall => {
                sql.exec_many(insert, rows)?;
            }
        }
        let mut bytes = 0;
        for row in sql.exec("SELECT id, v FROM rows ORDER BY id", ())?.rows::<(i64, String)>() {
            bytes += row?.1.len();
        }
        Ok(bytes)
    }

    fn schema(&mut self) -> Result<(), Failure> {
        if !self.has_schema {
            self.ctx.sql().exec(
                "CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
                 CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, v TEXT NOT NULL);
                 CREATE TABLE IF NOT EXISTS alarms (id INTEGER PRIMARY KEY, due INTEGER, fired INTEGER);",
                (),
            )?;
            self.has_schema = true;
        }
        Ok(())
    }
}
