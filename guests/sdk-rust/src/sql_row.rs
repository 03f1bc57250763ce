//! Rows as Rust values: structs and maps by column names, tuples by position, single columns as they are.
//!
//! A column name that occurs twice keeps its last value in a struct or map (SQ-11). Stands below `sql`,
//! which reads the rows.

use std::fmt::Display;
use std::vec::IntoIter;

use serde::de::value::{Error, SeqDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::sql_error::SqlError;
use crate::sql_value::Value;

/// Names of the columns of a result.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) names: Vec<String>,
    /// Per column: a later one has the same name.
    shadowed: Vec<bool>,
}

impl Columns {
    pub(crate) fn new(names: Vec<String>) -> Self {
        let shadowed = (0..names.len()).map(|index| names[index + 1..].contains(&names[index])).collect();
        Self { names, shadowed }
    }
}

/// Reads one row, which has as many values as there are columns.
pub(crate) fn read<T: DeserializeOwned>(columns: &Columns, row: Vec<Value>) -> Result<T, SqlError> {
    T::deserialize(Row { columns, values: row.into_iter() }).map_err(|error| {
        SqlError::refused("row-mismatch", format!("row does not fit the type asked for: {error}"))
    })
}

struct Row<'a> {
    columns: &'a Columns,
    values: IntoIter<Value>,
}

impl Row<'_> {
    fn single(mut self) -> Result<Scalar, Error> {
        match (self.values.next(), self.values.len()) {
            (Some(value), 0) => Ok(Scalar(value)),
            (_, further) => {
                let count = self.columns.names.len();
                debug_assert!(further < count.max(1));
                Err(Error::custom(format!("it has {count} columns, one is wanted")))
            }
        }
    }
}

macro_rules! single_column {
    ($($method:ident)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.single()?.$method(visitor)
        })+
    };
}

impl<'de> Deserializer<'de> for Row<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(ByName { columns: self.columns, index: 0, values: self.values, current: None })
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let mut items = SeqDeserializer::new(self.values.by_ref().map(Scalar));
        let read = visitor.visit_seq(&mut items)?;
        items.end()?;
        Ok(read)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.single()?.deserialize_enum(name, variants, visitor)
    }

    single_column! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_option
    }

    forward_to_deserialize_any! { unit unit_struct map struct identifier ignored_any i128 u128 }
}

struct ByName<'a> {
    columns: &'a Columns,
    index: usize,
    values: IntoIter<Value>,
    current: Option<Value>,
}

impl<'de> MapAccess<'de> for ByName<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        for value in self.values.by_ref() {
            let index = self.index;
            self.index += 1;
            if !self.columns.shadowed[index] {
                self.current = Some(value);
                let name: StrDeserializer<'_, Error> = self.columns.names[index].as_str().into_deserializer();
                return seed.deserialize(name).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let value = self.current.take().ok_or_else(|| Error::custom("a value is read before its column"))?;
        seed.deserialize(Scalar(value))
            .map_err(|error| in_column(&self.columns.names[self.index - 1], &error))
    }
}

fn in_column(name: &str, error: &impl Display) -> Error {
    Error::custom(format!("column `{name}`: {error}"))
}

/// One value of a row.
struct Scalar(Value);

impl IntoDeserializer<'_, Error> for Scalar {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Scalar {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Integer(integer) => visitor.visit_i64(integer),
            Value::Real(real) => visitor.visit_f64(real),
            Value::Text(text) => visitor.visit_string(text),
            Value::Blob(blob) => visitor.visit_byte_buf(blob),
        }
    }

    /// Booleans are stored as 1 and 0.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Integer(0) => visitor.visit_bool(false),
            Value::Integer(1) => visitor.visit_bool(true),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A blob is a list of bytes too, so that `Vec<u8>` can be read.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Blob(blob) => visitor.visit_seq(SeqDeserializer::new(blob.into_iter())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// The text is the name of a variant.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Text(text) => visitor.visit_enum(text.into_deserializer()),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    fn row<T: DeserializeOwned>(columns: &[(&str, Value)]) -> Result<T, String> {
        let names = Columns::new(columns.iter().map(|(name, _)| (*name).to_owned()).collect());
        read(&names, columns.iter().map(|(_, value)| value.clone()).collect()).map_err(|error| error.message)
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Item {
        id: i64,
        done: bool,
        note: Option<String>,
        raw: Vec<u8>,
    }

    #[test]
    fn a_struct_is_filled_by_names() {
        let item: Item = row(&[
            ("raw", Value::Blob(vec![1, 2])),
            ("note", Value::Null),
            ("done", Value::Integer(1)),
            ("id", Value::Integer(i64::MAX)),
        ])
        .expect("fits");
        assert_eq!(item, Item { id: i64::MAX, done: true, note: None, raw: vec![1, 2] });
    }

    #[test]
    fn tuples_are_filled_by_position_and_must_take_every_column() {
        let columns = [("a", Value::Integer(1)), ("b", Value::Text("x".into()))];
        assert_eq!(row::<(i64, String)>(&columns), Ok((1, "x".to_owned())));
        assert!(row::<(i64,)>(&columns).is_err());
        assert!(row::<(i64, String, i64)>(&columns).is_err());
        assert_eq!(row::<Vec<Value>>(&columns).map(|values| values.len()), Ok(2));
    }

    #[test]
    fn a_single_column_is_read_without_a_tuple() {
        assert_eq!(row::<i64>(&[("n", Value::Integer(7))]), Ok(7));
        assert_eq!(row::<f64>(&[("n", Value::Integer(7))]), Ok(7.0));
        assert_eq!(row::<Option<String>>(&[("n", Value::Null)]), Ok(None));
        assert_eq!(row::<Option<i64>>(&[("n", Value::Integer(7))]), Ok(Some(7)));
    }

    #[test]
    fn a_column_too_many_or_of_another_kind_is_named() {
        let error = row::<i64>(&[("a", Value::Null), ("b", Value::Null)]).expect_err("two");
        assert_eq!(error, "row does not fit the type asked for: it has 2 columns, one is wanted");
        let error = row::<BTreeMap<String, i64>>(&[("a", Value::Text("x".into()))]).expect_err("text");
        assert!(error.contains("column `a`: invalid type: string \"x\""), "{error}");
    }

    #[test]
    fn c_129_a_name_twice_keeps_the_last_value_in_a_map() {
        let columns = [("a", Value::Integer(1)), ("b", Value::Integer(2)), ("a", Value::Integer(3))];
        let map: BTreeMap<String, i64> = row(&columns).expect("fits");
        assert_eq!(map, BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 2)]));
        assert_eq!(row::<(i64, i64, i64)>(&columns), Ok((1, 2, 3)));
    }
}
