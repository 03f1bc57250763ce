//! The wire forms of the subject: calls in, answers and errors out.
//!
//! Values are byte strings; a text becomes its bytes.

use conformance_refusal::Refusal;
use durabo::kv::Value;
use durabo::{Bytes, Context, Failure, Timestamp};
use serde::{Deserialize, Serialize};

/// One call.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    Get(String),
    GetMany(Vec<String>),
    Put(String, Bytes),
    PutUnconfirmed(String, Bytes),
    PutMany(Vec<(String, Bytes)>),
    Delete(String),
    DeleteMany(Vec<String>),
    List(Options),
    /// As `List`, without the values.
    Keys(Options),
    Sql(String),
    /// Sets the alarm to so many milliseconds after 1970.
    SetAlarm(u64),
    GetAlarm,
    /// Rows of one column of texts.
    SqlTexts(String),
    DatabaseSize,
    DeleteAll,
}

/// Options of a list.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    prefix: Option<String>,
    start: Option<String>,
    start_after: Option<String>,
    end: Option<String>,
    reverse: bool,
    limit: Option<u32>,
}

/// What a call gave.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    Nothing(()),
    Time(Option<u64>),
    Value(Option<Bytes>),
    Entries(Vec<(String, Bytes)>),
    Keys(Vec<String>),
    Existed(bool),
    Count(u32),
    Size(u64),
    Integers(Vec<i64>),
    Failed { error: Refusal },
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed { error: failure.into() }
    }
}

impl Step {
    /// Makes the call.
    pub(crate) fn run(self, ctx: &Context) -> Result<Outcome, Failure> {
        let kv = ctx.kv();
        Ok(match self {
            Self::Get(key) => Outcome::Value(kv.get(&key)?),
            Self::GetMany(keys) => Outcome::Entries(kv.get_many(&keys)?),
            Self::Put(key, data) => Outcome::Nothing(kv.put_raw(&key, Value::bytes(data.0))?),
            Self::PutUnconfirmed(key, data) => {
                Outcome::Nothing(kv.unconfirmed().put_raw(&key, Value::bytes(data.0))?)
            }
            Self::PutMany(entries) => {
                let entries = entries.into_iter().map(|(key, data)| (key, Value::bytes(data.0)));
                Outcome::Nothing(kv.put_many_raw(entries)?)
            }
            Self::Delete(key) => Outcome::Existed(kv.delete(&key)?),
            Self::DeleteMany(keys) => Outcome::Count(kv.delete_many(&keys)?),
            Self::List(options) => Outcome::Entries(options.list(ctx).entries()?),
            Self::Keys(options) => {
                Outcome::Keys(options.list(ctx).raw()?.into_iter().map(|(key, _)| key).collect())
            }
            Self::SetAlarm(ms) => Outcome::Nothing(ctx.alarm().set(Timestamp::from_millis(ms))?),
            Self::GetAlarm => Outcome::Time(ctx.alarm().get()?.map(|time| time.millis())),
            Self::Sql(query) => Outcome::Integers(ctx.sql().exec(&query, ())?.all()?),
            Self::SqlTexts(query) => Outcome::Keys(ctx.sql().exec(&query, ())?.all()?),
            Self::DatabaseSize => Outcome::Size(ctx.sql().database_size()),
            Self::DeleteAll => Outcome::Nothing(ctx.storage().delete_all()?),
        })
    }
}

impl Options {
    fn list(self, ctx: &Context) -> durabo::kv::List {
        let mut list = ctx.kv().list();
        if let Some(prefix) = self.prefix {
            list = list.prefix(prefix);
        }
        if let Some(start) = self.start {
            list = list.start(start);
        }
        if let Some(key) = self.start_after {
            list = list.start_after(key);
        }
        if let Some(end) = self.end {
            list = list.end(end);
        }
        if self.reverse {
            list = list.reverse();
        }
        match self.limit {
            Some(limit) => list.limit(limit),
            None => list,
        }
    }
}
