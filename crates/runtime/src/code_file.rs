//! Format of a file of compiled code: a header that says of what and for what, facts, code.
//!
//! The engine trusts compiled code blindly. So a file counts only if it names the component and the
//! settings of this engine, and its checksum is right; anything else is rebuilt from the component.

use std::hash::{Hash, Hasher};

use durabo_catalog::ComponentDigest;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::component_facts::ComponentFacts;

/// Ends in the version of this format.
const MAGIC: &[u8; 8] = b"durcode1";
const HASH_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + 3 * HASH_BYTES + size_of::<u64>();

/// Hash of everything that compiled code depends on besides the component: engine and settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingsHash([u8; HASH_BYTES]);

impl SettingsHash {
    /// Hashes the engine's own description of its compatibility. The same in every process of one
    /// build, which the standard library's hasher does not promise.
    pub fn of(compatibility: impl Hash) -> Self {
        let mut hasher = StableHasher(Sha256::new());
        compatibility.hash(&mut hasher);
        Self(hasher.0.finalize().into())
    }
}

struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The first bytes only; whoever wants all of them asks for the digest.
    fn finish(&self) -> u64 {
        let digest: [u8; HASH_BYTES] = self.0.clone().finalize().into();
        digest.iter().take(size_of::<u64>()).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
    }
}

/// Whose code it is and for which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeKey {
    /// Component that was compiled.
    pub digest: ComponentDigest,
    /// Engine that compiled it.
    pub settings: SettingsHash,
}

/// The file's bytes. Layout: magic, digest, settings hash, SHA-256 of the rest, length of the facts
/// (8 bytes, little-endian), facts as JSON, code.
pub fn encode(key: CodeKey, facts: &ComponentFacts, code: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let facts = serde_json::to_vec(facts)?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + facts.len() + code.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(key.digest.as_bytes());
    bytes.extend_from_slice(&key.settings.0);
    let checksum_at = bytes.len();
    bytes.extend_from_slice(&[0; HASH_BYTES]);
    bytes.extend_from_slice(&(facts.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&facts);
    bytes.extend_from_slice(code);
    let checksum = Sha256::digest(&bytes[checksum_at + HASH_BYTES..]);
    bytes[checksum_at..checksum_at + HASH_BYTES].copy_from_slice(&checksum);
    Ok(bytes)
}

/// Why a file does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Of another format, component or engine: it was right once.
    #[error("it is of another component or another build of the node")]
    Stale,
    /// Cut or changed.
    #[error("it is damaged")]
    Damaged,
}

/// Facts and code of a file that was written for `key`.
pub fn decode(key: CodeKey, bytes: &[u8]) -> Result<(ComponentFacts, &[u8]), Refusal> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES - size_of::<u64>()).ok_or(Refusal::Damaged)?;
    let (magic, header) = header.split_at(MAGIC.len());
    let (digest, header) = header.split_at(HASH_BYTES);
    let (settings, checksum) = header.split_at(HASH_BYTES);
    if magic != MAGIC || digest != key.digest.as_bytes() || settings != key.settings.0 {
        return Err(Refusal::Stale);
    }
    if Sha256::digest(rest).as_slice() != checksum {
        return Err(Refusal::Damaged);
    }
    let (length, rest) = rest.split_first_chunk().ok_or(Refusal::Damaged)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| Refusal::Damaged)?;
    let (facts, code) = rest.split_at_checked(length).ok_or(Refusal::Damaged)?;
    // The facts have the shape of another build of the node if the checksum is right.
    let facts = serde_json::from_slice(facts).map_err(|_| Refusal::Stale)?;
    Ok((facts, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(settings: &str) -> CodeKey {
        CodeKey { digest: ComponentDigest::of(b"component"), settings: SettingsHash::of(settings) }
    }

    fn file() -> Vec<u8> {
        encode(key("a"), &facts(), b"code").expect("facts are JSON")
    }

    fn facts() -> ComponentFacts {
        ComponentFacts { description: Default::default(), suspends: true }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        assert_eq!(decode(key("a"), &file()), Ok((facts(), b"code".as_slice())));
    }

    #[test]
    fn code_of_another_engine_or_component_is_stale() {
        assert_eq!(decode(key("b"), &file()), Err(Refusal::Stale));
        let other = CodeKey { digest: ComponentDigest::of(b"other"), ..key("a") };
        assert_eq!(decode(other, &file()), Err(Refusal::Stale));
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let good = file();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(decode(key("a"), &bad).is_err(), "byte {at}");
            assert!(decode(key("a"), &good[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_settings_hash_is_the_same_each_time() {
        assert_eq!(SettingsHash::of("a"), SettingsHash::of("a"));
        assert_ne!(SettingsHash::of("a"), SettingsHash::of("b"));
    }
}
