//! The parameters of a statement: tuples of what can be bound, lists of values, or `()` for none.
//!
//! Stands between `sql_value` and `sql`.

use crate::sql_value::Value;

/// What may be given to [`Sql::exec`](crate::Sql::exec) as parameters, bound by position.
pub trait Params {
    /// The values in order.
    fn into_values(self) -> Vec<Value>;
}

impl Params for () {
    fn into_values(self) -> Vec<Value> {
        Vec::new()
    }
}

impl Params for Vec<Value> {
    fn into_values(self) -> Vec<Value> {
        self
    }
}

impl Params for &[Value] {
    fn into_values(self) -> Vec<Value> {
        self.to_vec()
    }
}

impl<T: Into<Value>, const N: usize> Params for [T; N] {
    fn into_values(self) -> Vec<Value> {
        self.into_iter().map(Into::into).collect()
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))+) => {
        $(impl<$($name: Into<Value>),+> Params for ($($name,)+) {
            fn into_values(self) -> Vec<Value> {
                #[allow(non_snake_case)]
                let ($($name,)+) = self;
                vec![$($name.into()),+]
            }
        })+
    };
}

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
    (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_bound_by_position() {
        let values = (1, "a", None::<f64>, vec![0_u8]).into_values();
        assert_eq!(values, [Value::Integer(1), Value::Text("a".into()), Value::Null, Value::Blob(vec![0])]);
        assert_eq!(().into_values(), []);
        assert_eq!(["x"; 2].into_values().len(), 2);
    }
}
