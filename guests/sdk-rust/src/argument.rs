//! One argument of a call, read into the type that the method asks for.
//!
//! JavaScript and JSON know one kind of number, so `1` arrives as an integer where a method wants an
//! `f64`, also deep inside a value. The usual way reads the bytes as they are; only if a type does not
//! fit, the item is read again with the rules here: integers are floats too, byte strings lists too.

use ciborium::Value;
use ciborium::de::Error;
use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor, value};
use serde::forward_to_deserialize_any;

/// Reads the first item of `bytes` and moves past it. The error is for the caller, in words.
pub(crate) fn read<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, String> {
    let mut rest = *bytes;
    let text = match ciborium::from_reader(&mut rest) {
        Ok(argument) => {
            *bytes = rest;
            return Ok(argument);
        }
        Err(Error::Semantic(_, text)) => text,
        Err(error) => return Err(format!("not CBOR: {error}")),
    };
    let item = ciborium::from_reader(&mut *bytes).map_err(|error| format!("not CBOR: {error}"))?;
    T::deserialize(Item(item)).map_err(|_| text)
}

struct Item(Value);

impl IntoDeserializer<'_, value::Error> for Item {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Item {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
        match self.0 {
            Value::Integer(integer) => match (u64::try_from(integer), i64::try_from(integer)) {
                (Ok(integer), _) => visitor.visit_u64(integer),
                (_, Ok(integer)) => visitor.visit_i64(integer),
                _ => visitor.visit_i128(integer.into()),
            },
            Value::Float(float) => visitor.visit_f64(float),
            Value::Bool(bool) => visitor.visit_bool(bool),
            Value::Null => visitor.visit_unit(),
            Value::Text(text) => visitor.visit_string(text),
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Item))),
            Value::Map(entries) => visitor.visit_map(MapDeserializer::new(
                entries.into_iter().map(|(key, item)| (Item(key), Item(item))),
            )),
            Value::Tag(_, item) => Item(*item).deserialize_any(visitor),
            _ => Err(value::Error::custom("an unknown kind of item")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, value::Error> {
        match self.0 {
            Value::Bytes(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.into_iter())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, value::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, value::Error> {
        match self.0 {
            Value::Text(text) => visitor.visit_enum(text.into_deserializer()),
            Value::Map(entries) => {
                let entries = entries.into_iter().map(|(key, item)| (Item(key), Item(item)));
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(entries)))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Dot,
        Circle(f64),
        Box { width: f64, height: Option<f64> },
    }

    fn reread<T: DeserializeOwned>(value: &impl Serialize) -> Result<T, String> {
        let mut bytes = Vec::new();
        ciborium::into_writer(value, &mut bytes).expect("encodes");
        bytes.push(0x05);
        let mut rest = &bytes[..];
        let read = read(&mut rest)?;
        assert_eq!(rest, [0x05], "the next item is next");
        Ok(read)
    }

    #[test]
    fn an_integer_is_a_float_where_one_is_wanted() {
        assert_eq!(reread::<f64>(&1), Ok(1.0));
        assert_eq!(
            reread::<Vec<Option<f64>>>(&(1, None::<i64>, -2, 0.5)),
            Ok(vec![Some(1.0), None, Some(-2.0), Some(0.5)])
        );
        assert_eq!(
            reread::<i64>(&1.5),
            Err("invalid type: floating point `1.5`, expected integer".to_owned())
        );
    }

    #[test]
    fn enums_and_structs_are_read_the_same_way_twice() {
        assert_eq!(reread::<(f64, Shape)>(&(1, Shape::Dot)), Ok((1.0, Shape::Dot)));
        assert_eq!(reread::<(f64, Shape)>(&(1, Shape::Circle(2.0))), Ok((1.0, Shape::Circle(2.0))));
        let shape = Shape::Box { width: 3.0, height: None };
        assert_eq!(reread::<(f64, Shape)>(&(1, shape)), Ok((1.0, Shape::Box { width: 3.0, height: None })));
    }

    #[test]
    fn a_byte_string_is_a_list_of_bytes_where_one_is_wanted() {
        assert_eq!(reread::<Vec<u8>>(&crate::bytes::Bytes(vec![0, 255])), Ok(vec![0, 255]));
    }

    #[test]
    fn what_breaks_off_is_an_error() {
        assert!(read::<f64>(&mut &[0x82, 0x01][..]).expect_err("broken").starts_with("not CBOR"));
        assert!(read::<f64>(&mut &[][..]).is_err());
    }
}
