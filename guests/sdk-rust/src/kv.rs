//! Keys and values of the object, in the same database and turn as its SQL (rules KV).
//!
//! Values are whatever serde can write and are stored as CBOR; [`Value`] stores bytes and texts as they are.
//! Calls do not wait and let no other event in.

use std::any::type_name;

use serde::Serialize;
use serde::de::value::{BytesDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};

use crate::bindings::durabo::object::kv as wit;
pub use crate::bindings::durabo::object::kv::Encoding;
use crate::bindings::durabo::object::types::WriteFlags;
use crate::cbor;
use crate::failure::Failure;

/// The object's keys and values.
#[derive(Debug, Clone, Copy)]
pub struct Kv {
    pub(crate) flags: WriteFlags,
}

/// A value as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// What the bytes are.
    pub encoding: Encoding,
    /// The bytes, which come back as they were (KV-12).
    pub data: Vec<u8>,
}

impl Value {
    /// Bytes of which nothing is known.
    pub fn bytes(data: impl Into<Vec<u8>>) -> Self {
        Self { encoding: Encoding::Bytes, data: data.into() }
    }

    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { encoding: Encoding::Text, data: text.into().into_bytes() }
    }

    /// A value of serde's, as CBOR. Fails if it cannot be written so, and with code `limit-exceeded` if it is nested
    /// deeper than 255 levels, since it could not be read again.
    pub fn cbor(value: &(impl Serialize + ?Sized)) -> Result<Self, Failure> {
        Ok(Self { encoding: Encoding::Cbor, data: cbor::write(value)? })
    }

    /// Reads it as `T`, by its encoding: CBOR, JSON, a text or bytes, whoever wrote it. Fails with code
    /// `value-unreadable` if it is none, or is private to another language.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let unreadable = |error: String| {
            let text = format!("a stored value cannot be read as `{}`: {error}", type_name::<T>());
            Failure::new(text).with_code("value-unreadable")
        };
        match self.encoding {
            Encoding::Cbor => {
                ciborium::from_reader(&self.data[..]).map_err(|error| unreadable(error.to_string()))
            }
            Encoding::Json => {
                serde_json::from_slice(&self.data).map_err(|error| unreadable(error.to_string()))
            }
            Encoding::Text => {
                let text = str::from_utf8(&self.data).map_err(|error| unreadable(error.to_string()))?;
                let text: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
                T::deserialize(text).map_err(|error| unreadable(error.to_string()))
            }
            Encoding::Bytes => {
                let bytes: BytesDeserializer<'_, serde::de::value::Error> =
                    BytesDeserializer::new(&self.data);
                T::deserialize(bytes).map_err(|error| unreadable(error.to_string()))
            }
            Encoding::Custom => Err(unreadable("it is private to another language".to_owned())),
        }
    }

    fn from_host(value: wit::Value) -> Self {
        Self { encoding: value.encoding, data: value.data }
    }

    fn into_host(self) -> wit::Value {
        wit::Value { encoding: self.encoding, data: self.data }
    }
}

impl Kv {
    /// The same, for writes that replies and messages need not wait for (OG-8). They commit with the turn; if
    /// that fails the object is reset all the same.
    pub fn unconfirmed(self) -> Self {
        Self { flags: WriteFlags::ALLOW_UNCONFIRMED }
    }

    /// The value under `key`; `None` if the key does not exist (KV-2).
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Failure> {
        self.get_raw(key)?.map(|value| value.read()).transpose()
    }

    /// Those of up to 128 keys that exist, in their order, each once (KV-3).
    pub fn get_many<T: DeserializeOwned>(
        &self,
        keys: &[impl AsRef<str>],
    ) -> Result<Vec<(String, T)>, Failure> {
        typed(self.get_many_raw(keys)?)
    }

    /// Writes or overwrites (KV-4). Key and value together have 2 MiB at most; see [`Value::cbor`] for what is refused.
    pub fn put(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Failure> {
        self.put_raw(key, Value::cbor(value)?)
    }

    /// Writes up to 128 entries, all or nothing; of a repeated key the last one counts.
    pub fn put_many<K: Into<String>, T: Serialize>(
        &self,
        entries: impl IntoIterator<Item = (K, T)>,
    ) -> Result<(), Failure> {
        let entries = entries.into_iter().map(|(key, value)| Ok((key, Value::cbor(&value)?)));
        self.put_many_raw(entries.collect::<Result<Vec<_>, Failure>>()?)
    }

    /// Removes a key; whether it existed (KV-5).
    pub fn delete(&self, key: &str) -> Result<bool, Failure> {
        wit::delete(key, self.flags).map_err(Failure::from_host)
    }

    /// Removes up to 128 keys, all or none; how many existed.
    pub fn delete_many(&self, keys: &[impl AsRef<str>]) -> Result<u32, Failure> {
        wit::delete_many(&owned(keys), self.flags).map_err(Failure::from_host)
    }

    /// Entries in the order of their keys' bytes (KV-6); narrowed by what is called on it.
    ///
    /// ```no_run
    /// # fn example(ctx: durabo::Context) -> Result<(), durabo::Failure> {
    /// let newest: Vec<(String, u32)> = ctx.kv().list().prefix("score:").reverse().limit(10).entries()?;
    /// # Ok(()) }
    /// ```
    pub fn list(&self) -> List {
        List {
            options: wit::ListOptions {
                prefix: None,
                start: None,
                start_after: None,
                end: None,
                reverse: false,
                limit: None,
            },
        }
    }

    /// As [`get`](Self::get), as it is stored.
    pub fn get_raw(&self, key: &str) -> Result<Option<Value>, Failure> {
        Ok(wit::get(key).map_err(Failure::from_host)?.map(Value::from_host))
    }

    /// As [`get_many`](Self::get_many), as they are stored.
    pub fn get_many_raw(&self, keys: &[impl AsRef<str>]) -> Result<Vec<(String, Value)>, Failure> {
        Ok(raw(wit::get_many(&owned(keys)).map_err(Failure::from_host)?))
    }

    /// As [`put`](Self::put), of bytes or a text as they are.
    pub fn put_raw(&self, key: &str, value: Value) -> Result<(), Failure> {
        wit::put(key, &value.into_host(), self.flags).map_err(Failure::from_host)
    }

    /// As [`put_many`](Self::put_many), of bytes or texts as they are.
    pub fn put_many_raw<K: Into<String>>(
        &self,
        entries: impl IntoIterator<Item = (K, Value)>,
    ) -> Result<(), Failure> {
        let entries: Vec<_> =
            entries.into_iter().map(|(key, value)| (key.into(), value.into_host())).collect();
        wit::put_many(&entries, self.flags).map_err(Failure::from_host)
    }
}

/// A list that is not read yet. One answer holds 16 MiB at most (`limit-exceeded`): page with
/// [`limit`](Self::limit) and [`start_after`](Self::start_after).
#[derive(Debug, Clone)]
#[must_use = "nothing is read before `entries`"]
pub struct List {
    options: wit::ListOptions,
}

impl List {
    /// Keys that begin so.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.prefix = Some(prefix.into());
        self
    }

    /// From this key on, inclusive. Not together with [`start_after`](Self::start_after).
    pub fn start(mut self, key: impl Into<String>) -> Self {
        self.options.start = Some(key.into());
        self
    }

    /// From behind this key on.
    pub fn start_after(mut self, key: impl Into<String>) -> Self {
        self.options.start_after = Some(key.into());
        self
    }

    /// Up to this key, exclusive.
    pub fn end(mut self, key: impl Into<String>) -> Self {
        self.options.end = Some(key.into());
        self
    }

    /// The same range from its end (KV-9).
    pub fn reverse(mut self) -> Self {
        self.options.reverse = true;
        self
    }

    /// So many at most; 0 is refused.
    pub fn limit(mut self, entries_max: u32) -> Self {
        self.options.limit = Some(entries_max);
        self
    }

    /// Reads them.
    pub fn entries<T: DeserializeOwned>(self) -> Result<Vec<(String, T)>, Failure> {
        typed(self.raw()?)
    }

    /// Reads them as they are stored.
    pub fn raw(self) -> Result<Vec<(String, Value)>, Failure> {
        Ok(raw(wit::list(&self.options).map_err(Failure::from_host)?))
    }
}

fn owned(keys: &[impl AsRef<str>]) -> Vec<String> {
    keys.iter().map(|key| key.as_ref().to_owned()).collect()
}

fn raw(entries: Vec<wit::Entry>) -> Vec<(String, Value)> {
    entries.into_iter().map(|(key, value)| (key, Value::from_host(value))).collect()
}

fn typed<T: DeserializeOwned>(entries: Vec<(String, Value)>) -> Result<Vec<(String, T)>, Failure> {
    entries.into_iter().map(|(key, value)| Ok((key, value.read()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;

    #[test]
    fn a_value_is_read_by_its_encoding_whoever_wrote_it() {
        let cbor = Value::cbor(&vec![Some(1), None]).expect("CBOR");
        assert_eq!(cbor.read::<Vec<Option<i64>>>().expect("a list"), [Some(1), None]);
        let json = Value { encoding: Encoding::Json, data: b"[1, null]".to_vec() };
        assert_eq!(json.read::<Vec<Option<i64>>>().expect("a list"), [Some(1), None]);
        assert_eq!(Value::text("ä").read::<String>().expect("a text"), "ä");
        assert_eq!(Value::bytes([0, 255]).read::<Bytes>().expect("bytes"), Bytes(vec![0, 255]));
    }

    #[test]
    fn a_value_that_could_not_be_read_again_is_not_taken() {
        let nested = |levels: usize| {
            (0..levels).fold(ciborium::Value::Null, |inner, _| ciborium::Value::Array(vec![inner]))
        };
        let value = nested(200);
        let stored = Value::cbor(&value).expect("flat enough");
        assert_eq!(stored.read::<ciborium::Value>().expect("readable"), value);
        assert_eq!(Value::cbor(&nested(300)).expect_err("too deep").code(), "limit-exceeded");
    }

    #[test]
    fn a_value_that_is_something_else_is_refused_by_code() {
        let custom = Value { encoding: Encoding::Custom, data: vec![1] };
        let broken = Value { encoding: Encoding::Text, data: vec![255] };
        let other = Value::cbor("a text").expect("CBOR");
        for value in [custom, broken, other, Value::bytes([1])] {
            assert_eq!(value.read::<u32>().expect_err("no number").code(), "value-unreadable");
        }
    }
}
