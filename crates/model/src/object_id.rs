//! Object ids: 32 bytes derived from a namespace key and a name, or from random bytes (ID-1 to ID-8).
//!
//! The second half of an id is a keyed hash of the first, so that an id proves by itself to which
//! namespace it belongs and no registry is needed.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::random::Random;

const HALF_BYTES: usize = 16;

/// Identity of an object within its namespace; printed as 64 lower-case hex digits (ID-2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId([u8; 2 * HALF_BYTES]);

/// Why a text is not an id of a namespace (ID-6). The texts are contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ObjectIdError {
    /// Not 64 hex digits.
    #[error("Invalid Durable Object ID: must be 64 hex digits")]
    NotHex,
    /// An id, but of another namespace, or no id that was ever made.
    #[error("Durable Object ID is not valid for this namespace.")]
    ForeignNamespace,
}

impl ObjectId {
    /// The id with these bytes; not checked against any namespace.
    pub const fn from_bytes(bytes: [u8; 2 * HALF_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 2 * HALF_BYTES] {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ObjectId {
    type Err = ObjectIdError;

    /// Reads 64 hex digits of either case. Does not know the namespace: see [`NamespaceKey::id_from_text`].
    fn from_str(text: &str) -> Result<Self, ObjectIdError> {
        let digits = text.as_bytes();
        if digits.len() != 4 * HALF_BYTES {
            return Err(ObjectIdError::NotHex);
        }
        let mut bytes = [0; 2 * HALF_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (hex_digit(pair[0])? << 4) | hex_digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn hex_digit(digit: u8) -> Result<u8, ObjectIdError> {
    (digit as char).to_digit(16).map(|value| value as u8).ok_or(ObjectIdError::NotHex)
}

/// The secret-free key of a namespace, hashed: makes and checks its ids (ID-3).
#[derive(Clone)]
pub struct NamespaceKey(Hmac<Sha256>);

impl NamespaceKey {
    /// The key of the namespace that is called `text`.
    pub fn new(text: &str) -> Self {
        let key = Sha256::digest(text.as_bytes());
        Self(Hmac::new_from_slice(&key).expect("BUG: HMAC takes keys of any length"))
    }

    /// The id that belongs to `name`: pure, the same in every process (ID-4).
    pub fn id_from_name(&self, name: &str) -> ObjectId {
        self.complete(self.hash(name.as_bytes()))
    }

    /// A new id that no other is equal to (ID-5).
    pub fn unique_id(&self, random: &dyn Random) -> ObjectId {
        let mut first = [0; HALF_BYTES];
        random.fill(&mut first);
        self.complete(first)
    }

    /// Reads an id and checks that it belongs to this namespace (ID-6).
    pub fn id_from_text(&self, text: &str) -> Result<ObjectId, ObjectIdError> {
        let id: ObjectId = text.parse()?;
        let mut first = [0; HALF_BYTES];
        first.copy_from_slice(&id.0[..HALF_BYTES]);
        if self.complete(first) == id { Ok(id) } else { Err(ObjectIdError::ForeignNamespace) }
    }

    fn complete(&self, first: [u8; HALF_BYTES]) -> ObjectId {
        let mut bytes = [0; 2 * HALF_BYTES];
        bytes[..HALF_BYTES].copy_from_slice(&first);
        bytes[HALF_BYTES..].copy_from_slice(&self.hash(&first));
        ObjectId(bytes)
    }

    fn hash(&self, input: &[u8]) -> [u8; HALF_BYTES] {
        let digest = self.0.clone().chain_update(input).finalize().into_bytes();
        let mut half = [0; HALF_BYTES];
        half.copy_from_slice(&digest[..HALF_BYTES]);
        half
    }
}

impl fmt::Debug for NamespaceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NamespaceKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Counter(AtomicU64);

    impl Random for Counter {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
            bytes[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        }
    }

    fn named(key: &str, name: &str) -> String {
        NamespaceKey::new(key).id_from_name(name).to_string()
    }

    #[test]
    fn c_001_id_of_a_plain_name() {
        assert_eq!(
            named("mykey", "name"),
            "3652ef6221834806dc8df802d1d216e27b7d07e0a6b7adf6cfdaeec90f06459a"
        );
    }

    #[test]
    fn c_002_id_of_a_url_and_the_other_vectors_of_id_3() {
        assert_eq!(
            named("mykey", "http://foo/"),
            "59002eb8cf872e541722977a258a12d6a93bbe8192b502e1c0cb250aa91af234"
        );
        assert_eq!(
            named("mykey", "http://foo/bar"),
            "02b496f65dd35cbac90e3e72dc5a398ee93926ea4a3821e26677082d2e6f9b79"
        );
        assert_eq!(named("mykey", ""), "5671fa8c78c77d33f1e2e2613dd33ef021665e44066444f8e9f9af35e972d39d");
        assert_eq!(
            named("demo-class", "alpha"),
            "0d37699f67d307c3bd18fb577efee7c2541a5880edf64ca7a8f277e80e9a4910"
        );
    }

    #[test]
    fn c_003_another_namespace_gives_another_id() {
        assert_eq!(
            named("otherkey", "foo"),
            "1b9258a967322c3d1c0e868b2e05ed6a5fb7a02b43f3227725baa4740d351ea9"
        );
        assert_eq!(named("mykey", "foo"), "2f15a1f797ff8950c1402f1b9d84e6175bf2d47280acc1fe330a0aaf708a99ea");
    }

    #[test]
    fn c_004_the_hash_is_of_the_utf_8_bytes() {
        assert_eq!(
            named("demo-class", "αβγ"),
            "4276af316ee80aa44cd58bff999c67d7e0e1881e57b3c655d05adf4797f604b2"
        );
    }

    #[test]
    fn c_005_the_same_name_gives_the_same_id_each_time() {
        assert_eq!(named("k", "a"), named("k", "a"));
    }

    #[test]
    fn c_006_names_are_compared_by_bytes() {
        let names = ["Room", "room", "room ", "\u{e9}", "e\u{301}"];
        let ids: HashSet<_> = names.iter().map(|name| named("k", name)).collect();
        assert_eq!(ids.len(), names.len());
    }

    #[test]
    fn c_007_a_thousand_unique_ids_differ_and_verify() {
        let key = NamespaceKey::new("k");
        let random = Counter(AtomicU64::new(0));
        let ids: HashSet<_> = (0..1000).map(|_| key.unique_id(&random).to_string()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
            assert_eq!(key.id_from_text(&id).expect("own id").to_string(), id);
        }
    }

    #[test]
    fn c_008_an_id_survives_the_way_through_text() {
        let key = NamespaceKey::new("k");
        let id = key.id_from_name("n");
        assert_eq!(key.id_from_text(&id.to_string()), Ok(id));
        assert_eq!(key.id_from_text(&id.to_string().to_uppercase()), Ok(id));
    }

    #[test]
    fn c_009_what_is_not_64_hex_digits_is_refused() {
        let key = NamespaceKey::new("k");
        let bad = [String::new(), "a".repeat(63), "a".repeat(65), format!("g{}", "a".repeat(63))];
        for text in bad {
            assert_eq!(key.id_from_text(&text), Err(ObjectIdError::NotHex), "{text}");
        }
        assert!(ObjectIdError::NotHex.to_string().contains("must be 64 hex digits"));
    }

    #[test]
    fn c_010_digits_that_were_never_an_id_are_refused() {
        assert_eq!(
            NamespaceKey::new("k").id_from_text(&"a".repeat(64)),
            Err(ObjectIdError::ForeignNamespace)
        );
        assert!(ObjectIdError::ForeignNamespace.to_string().contains("not valid for this namespace"));
    }

    #[test]
    fn c_011_an_id_of_another_class_is_refused() {
        let id = NamespaceKey::new("app-A").id_from_name("x").to_string();
        assert_eq!(NamespaceKey::new("app-B").id_from_text(&id), Err(ObjectIdError::ForeignNamespace));
    }

    #[test]
    fn c_012_a_changed_digit_is_noticed_in_either_half() {
        let key = NamespaceKey::new("k");
        let text = key.id_from_name("n").to_string();
        for at in [0, 63] {
            let other = if &text[at..=at] == "0" { "1" } else { "0" };
            let mut changed = text.clone();
            changed.replace_range(at..=at, other);
            assert_eq!(key.id_from_text(&changed), Err(ObjectIdError::ForeignNamespace));
        }
    }

    #[test]
    fn c_014_ids_are_equal_by_their_bytes_alone() {
        let key = NamespaceKey::new("k");
        let random = Counter(AtomicU64::new(7));
        assert_eq!(key.id_from_text(&named("k", "n")), Ok(key.id_from_name("n")));
        assert_ne!(key.unique_id(&random), key.unique_id(&random));
    }
}
