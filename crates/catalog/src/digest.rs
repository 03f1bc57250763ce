//! Name of a component: the SHA-256 of its bytes.
//!
//! Equal bytes have one name, on every node, and a name proves what bytes belong to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

const PREFIX: &str = "sha256:";
const BYTES: usize = 32;

/// SHA-256 of a component's bytes; printed as `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComponentDigest([u8; BYTES]);

/// A text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("digest `{0}` is not valid; write `sha256:` and 64 hex digits")]
pub struct DigestError(String);

impl ComponentDigest {
    /// Digest of a whole component. Costs some 3 ms per MiB: not for a thread that serves others.
    pub fn of(component: &[u8]) -> Self {
        Self(Sha256::digest(component).into())
    }

    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    /// The 64 hex digits alone, as file names use them.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads 64 hex digits, without prefix.
    pub(crate) fn from_hex(digits: &str) -> Option<Self> {
        if digits.len() != 2 * BYTES || !digits.is_ascii() {
            return None;
        }
        let mut bytes = [0; BYTES];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let pair = &digits[2 * at..2 * at + 2];
            // `from_str_radix` alone would take a sign for a digit.
            if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ComponentDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = text.strip_prefix(PREFIX);
        digits.and_then(Self::from_hex).ok_or_else(|| DigestError(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for ComponentDigest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<ComponentDigest> for String {
    fn from(digest: ComponentDigest) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_nothing_is_the_known_one() {
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(ComponentDigest::of(b"").to_string(), text);
        assert_eq!(text.parse(), Ok(ComponentDigest::of(b"")));
    }

    #[test]
    fn upper_case_digits_are_read_and_printed_in_lower_case() {
        let digest = ComponentDigest::of(b"x");
        let upper = format!("sha256:{}", digest.hex().to_uppercase());
        assert_eq!(upper.parse(), Ok(digest));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let hex = "a".repeat(64);
        for bad in ["", "sha256:", &hex, &format!("md5:{hex}"), &format!("sha256:{hex}a")] {
            assert!(bad.parse::<ComponentDigest>().is_err(), "{bad}");
        }
        assert!(format!("sha256:+{}", "a".repeat(63)).parse::<ComponentDigest>().is_err());
        assert!(format!("sha256:{}", "ä".repeat(32)).parse::<ComponentDigest>().is_err());
    }
}
