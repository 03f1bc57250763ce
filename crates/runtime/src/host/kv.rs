//! `kv`: keys and values. Whatever uses time here counts against the event, as in `sql`.
//!
//! What one call may read or write is bounded, and its cost is learned like that of a text of SQL: what is
//! slow leaves the thread without ending the turn.

use durabo_storage::kv::{Encoding, KvEntry, KvError, KvValue, KvWriteOptions, ListOptions};

use crate::bindings::object::kv::{self as wit, Entry, Host, Value};
use crate::bindings::object::types::{self, WriteFlags};
use crate::failure_record;
use crate::state::GuestState;
use crate::statement_costs::TextKey;

type Answer<T> = wasmtime::Result<Result<T, types::Failure>>;

impl GuestState {
    async fn kv_put(&mut self, entries: Vec<Entry>, options: WriteFlags) -> Answer<()> {
        self.wait_for_room().await?;
        let entries: Vec<KvEntry> = entries.into_iter().map(of_guest).collect();
        let bytes: usize = entries.iter().map(|(key, value)| key.len() + value.data.len()).sum();
        let key = of_size("kv.put", bytes);
        answer(self.on_database(key, move |database| database.kv_put(&entries, write_options(options))).await)
    }

    async fn kv_delete(&mut self, keys: Vec<String>, options: WriteFlags) -> Answer<u32> {
        self.wait_for_room().await?;
        let key = of_size("kv.delete", keys.len());
        answer(self.on_database(key, move |database| database.kv_delete(&keys, write_options(options))).await)
    }
}

impl Host for GuestState {
    async fn get(&mut self, key: String) -> Answer<Option<Value>> {
        let got = self.on_database(TextKey::of("kv.get"), move |database| database.kv_get(&key)).await;
        Ok(answer(got)?.map(|value| value.map(value_to_guest)))
    }

    async fn get_many(&mut self, keys: Vec<String>) -> Answer<Vec<Entry>> {
        let key = of_size("kv.get-many", keys.len());
        let got = self.on_database(key, move |database| database.kv_get_many(&keys)).await;
        Ok(answer(got)?.map(entries_to_guest))
    }

    async fn put(&mut self, key: String, value: Value, options: WriteFlags) -> Answer<()> {
        self.kv_put(vec![(key, value)], options).await
    }

    async fn put_many(&mut self, entries: Vec<Entry>, options: WriteFlags) -> Answer<()> {
        self.kv_put(entries, options).await
    }

    async fn delete(&mut self, key: String, options: WriteFlags) -> Answer<bool> {
        Ok(self.kv_delete(vec![key], options).await?.map(|existed| existed > 0))
    }

    async fn delete_many(&mut self, keys: Vec<String>, options: WriteFlags) -> Answer<u32> {
        self.kv_delete(keys, options).await
    }

    async fn list(&mut self, options: wit::ListOptions) -> Answer<Vec<Entry>> {
        let wit::ListOptions { prefix, start, start_after, end, reverse, limit } = options;
        let options = ListOptions { prefix, start, start_after, end, reverse, limit };
        let key = of_size("kv.list", limit.unwrap_or(u32::MAX) as usize);
        let listed = self.on_database(key, move |database| database.kv_list(&options)).await;
        Ok(answer(listed)?.map(entries_to_guest))
    }
}

/// What a call of about this size costs is told apart from what larger ones cost.
fn of_size(call: &str, size: usize) -> TextKey {
    TextKey::of(&format!("{call} {}", size.checked_ilog2().unwrap_or_default()))
}

fn answer<T>(answer: wasmtime::Result<Result<T, KvError>>) -> Answer<T> {
    Ok(answer?.map_err(|error| failure_record::to_guest(failure_record::of_kv(error))))
}

pub(super) fn write_options(flags: WriteFlags) -> KvWriteOptions {
    KvWriteOptions { allow_unconfirmed: flags.contains(WriteFlags::ALLOW_UNCONFIRMED) }
}

macro_rules! encodings {
    ($($name:ident),+) => {
        fn encoding_to_guest(encoding: Encoding) -> wit::Encoding {
            match encoding { $(Encoding::$name => wit::Encoding::$name,)+ }
        }

        fn encoding_of_guest(encoding: wit::Encoding) -> Encoding {
            match encoding { $(wit::Encoding::$name => Encoding::$name,)+ }
        }
    };
}

encodings!(Bytes, Text, Json, Cbor, Custom);

fn of_guest((key, value): Entry) -> KvEntry {
    (key, KvValue { encoding: encoding_of_guest(value.encoding), data: value.data })
}

fn value_to_guest(value: KvValue) -> Value {
    Value { encoding: encoding_to_guest(value.encoding), data: value.data }
}

fn entries_to_guest(entries: Vec<KvEntry>) -> Vec<Entry> {
    entries.into_iter().map(|(key, value)| (key, value_to_guest(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_passes_in_both_directions() {
        for &encoding in Encoding::ALL {
            let entry = ("k".to_owned(), KvValue { encoding, data: vec![0, 255] });
            let there = entries_to_guest(vec![entry.clone()]).remove(0);
            assert_eq!(of_guest(there), entry);
        }
    }
}
