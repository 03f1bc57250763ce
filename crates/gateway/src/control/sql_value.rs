//! Values of SQLite in the JSON of the control plane, by the same rules as RPC values.
//!
//! Exact in both directions: what JSON cannot carry has a form of its own (`docs/reference/rpc.md`).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ciborium::Value;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::cbor_json::PLAIN_INTEGER_MAX;

/// One value, exact in both directions.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    /// No value.
    Null,
    /// INTEGER; booleans are bound as 1 and 0.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
}

impl SqlValue {
    /// The value that a binding stands for; the error says what cannot be bound.
    pub(super) fn from_cbor(value: Value) -> Result<Self, &'static str> {
        match value {
            Value::Null => Ok(Self::Null),
            Value::Bool(value) => Ok(Self::Integer(i64::from(value))),
            Value::Integer(value) => {
                let value = i64::try_from(value).map_err(|_| "an integer of more than 64 bits")?;
                Ok(Self::Integer(value))
            }
            Value::Float(value) => Ok(Self::Real(value)),
            Value::Text(value) => Ok(Self::Text(value)),
            Value::Bytes(value) => Ok(Self::Blob(value)),
            Value::Array(_) => Err("an array"),
            Value::Map(_) => Err("a map"),
            _ => Err("a date or an integer of more than 64 bits"),
        }
    }
}

impl Serialize for SqlValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Integer(value) if value.unsigned_abs() <= PLAIN_INTEGER_MAX => {
                serializer.serialize_i64(*value)
            }
            Self::Integer(value) => form(serializer, "$int", value),
            Self::Real(value) if value.is_finite() => serializer.serialize_f64(*value),
            Self::Real(value) if value.is_nan() => form(serializer, "$float", &"NaN"),
            Self::Real(value) => {
                form(serializer, "$float", &if *value > 0.0 { "Infinity" } else { "-Infinity" })
            }
            Self::Text(value) => serializer.serialize_str(value),
            Self::Blob(value) => form(serializer, "$bytes", &BASE64.encode(value)),
        }
    }
}

fn form<S: Serializer>(serializer: S, name: &str, value: &dyn fmt::Display) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, &value.to_string())?;
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_exactly() {
        let values = [
            SqlValue::Null,
            SqlValue::Integer(-5),
            SqlValue::Integer(i64::MIN),
            SqlValue::Real(1.0),
            SqlValue::Real(f64::NEG_INFINITY),
            SqlValue::Text("é".to_owned()),
            SqlValue::Blob(vec![1, 2, 3]),
        ];
        let expected =
            r#"[null,-5,{"$int":"-9223372036854775808"},1.0,{"$float":"-Infinity"},"é",{"$bytes":"AQID"}]"#;
        assert_eq!(serde_json::to_string(&values).expect("JSON"), expected);
    }

    #[test]
    fn bindings_keep_their_class() {
        assert_eq!(SqlValue::from_cbor(Value::Bool(true)), Ok(SqlValue::Integer(1)));
        assert_eq!(SqlValue::from_cbor(Value::Integer(i64::MIN.into())), Ok(SqlValue::Integer(i64::MIN)));
        assert_eq!(SqlValue::from_cbor(Value::Bytes(vec![1])), Ok(SqlValue::Blob(vec![1])));
        assert!(SqlValue::from_cbor(Value::Integer(u64::MAX.into())).is_err());
        assert!(SqlValue::from_cbor(Value::Array(Vec::new())).is_err());
    }
}
