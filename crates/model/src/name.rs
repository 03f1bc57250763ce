//! Names that people choose: apps and classes, and their rules.
//!
//! An app becomes a host and a class an identifier in the guest, which is what their alphabets follow.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const NAME_BYTES_MAX: usize = 64;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Not a DNS label, which an app's name must be since it becomes a host.
    #[error("app name `{0}` is not valid; use 1 to 63 lower-case letters, digits and inner hyphens")]
    App(String),
    /// Not an identifier.
    #[error("class name `{0}` is not valid; use 1 to 64 letters, digits and `_`, not starting with a digit")]
    Class(String),
}

/// Name of an app: a DNS label in lower case, because it becomes the host `{app}.localhost`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);

/// Name of a class: an identifier, as the guest's language knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClassName(String);

impl AppName {
    /// Checks and wraps `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let ends_well = !text.starts_with('-') && !text.ends_with('-');
        if !text.is_empty() && text.len() < NAME_BYTES_MAX && ends_well && text.bytes().all(inner) {
            Ok(Self(text))
        } else {
            Err(NameError::App(text))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ClassName {
    /// Checks and wraps `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let starts_well = text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if starts_well && text.len() <= NAME_BYTES_MAX && text.bytes().all(inner) {
            Ok(Self(text))
        } else {
            Err(NameError::Class(text))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_conversions {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_conversions!(AppName);
text_conversions!(ClassName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_names_are_dns_labels() {
        for good in ["a", "demo", "my-app-2", &"a".repeat(63)] {
            assert_eq!(AppName::new(good).expect(good).as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", &"a".repeat(64)] {
            assert!(AppName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn class_names_are_identifiers() {
        for good in ["Counter", "_x", "A1", &"a".repeat(64)] {
            assert_eq!(ClassName::new(good).expect(good).as_str(), good);
        }
        for bad in ["", "1a", "a-b", "a b", "Zähler", &"a".repeat(65)] {
            assert!(ClassName::new(bad).is_err(), "{bad}");
        }
    }
}
