//! The parameters of a statement: tuples of what can be bound, lists of values, `()` for none; and groups of them.
//!
//! Stands between `sql_value` and `sql`.

use crate::sql_error::SqlError;
use crate::sql_value::Value;

/// What one call may carry to the host, in bytes.
const CALL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a value counts of it beside its text or blob.
const VALUE_BYTES: usize = 32;

/// What may be given to [`Sql::exec`](crate::Sql::exec) as parameters, bound by position.
pub trait Params {
    /// The values in order.
    fn into_values(self) -> Vec<Value>;

    /// Appends the values in order.
    fn append_to(self, values: &mut Vec<Value>)
    where
        Self: Sized,
    {
        values.extend(self.into_values());
    }
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

    fn append_to(self, values: &mut Vec<Value>) {
        values.extend_from_slice(self);
    }
}

impl<T: Into<Value>, const N: usize> Params for [T; N] {
    fn into_values(self) -> Vec<Value> {
        self.into_iter().map(Into::into).collect()
    }

    fn append_to(self, values: &mut Vec<Value>) {
        values.extend(self.into_iter().map(Into::<Value>::into));
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

            fn append_to(self, values: &mut Vec<Value>) {
                #[allow(non_snake_case)]
                let ($($name,)+) = self;
                $(values.push($name.into());)+
            }
        })+
    };
}

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
    (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
}

/// Groups of parameters, one behind the other.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) count: u32,
    pub(crate) values: Vec<Value>,
}

impl Groups {
    /// Takes the groups, which must be of one length, for a call with `query`. Refuses what is more than a call may
    /// carry as soon as it is.
    pub(crate) fn of<P: Params>(query: &str, groups: impl IntoIterator<Item = P>) -> Result<Self, SqlError> {
        let groups = groups.into_iter();
        let mut values = Vec::new();
        let (mut count, mut length) = (0, 0);
        let mut bytes = query.len();
        for group in groups {
            let begin = values.len();
            group.append_to(&mut values);
            let added = &values[begin..];
            count += 1;
            if count == 1 {
                length = added.len();
            }
            if added.len() != length || length == 0 {
                return Err(uneven(count, added.len(), length));
            }
            bytes += added.iter().map(call_bytes).sum::<usize>();
            if bytes > CALL_BYTES_MAX {
                return Err(too_much());
            }
        }
        Ok(Self { count, values })
    }
}

/// What a value takes of what a call may carry.
fn call_bytes(value: &Value) -> usize {
    VALUE_BYTES
        + match value {
            Value::Text(text) => text.len(),
            Value::Blob(blob) => blob.len(),
            _ => 0,
        }
}

fn uneven(group: u32, length: usize, first: usize) -> SqlError {
    let text = match length {
        0 => format!("group {group} has no values; a statement without parameters is run with `exec`"),
        _ => {
            format!("group {group} has {length} values and the first has {first}; each has one per parameter")
        }
    };
    SqlError::refused("wrong-bindings", text)
}

fn too_much() -> SqlError {
    let text = format!(
        "the values of one call are more than {CALL_BYTES_MAX} bytes, which is the limit; write fewer groups at once, \
         in a savepoint if they are to be undone together"
    );
    SqlError::refused("limit-exceeded", text)
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

    #[test]
    fn groups_stand_one_behind_the_other() {
        let of_tuples = Groups::of("", [(1, "a"), (2, "b")]).expect("even");
        assert_eq!((of_tuples.count, of_tuples.values.len()), (2, 4));
        assert_eq!(of_tuples.values[2..], [Value::Integer(2), Value::Text("b".into())]);
        let lists = [vec![Value::Null], vec![Value::Integer(1)]];
        let of_slices = Groups::of("", lists.iter().map(Vec::as_slice)).expect("even");
        let of_lists = Groups::of("", lists).expect("even");
        assert_eq!((of_lists.count, &of_lists.values), (2, &of_slices.values));
        let none = Groups::of("", Vec::<(i64,)>::new()).expect("none");
        assert_eq!((none.count, none.values.len()), (0, 0));
    }

    #[test]
    fn em_2_groups_of_unlike_or_no_length_are_refused() {
        let refused = |groups: Vec<Vec<Value>>| Groups::of("", groups).expect_err("refused");
        let unlike = refused(vec![vec![Value::Null; 2], vec![Value::Null], vec![Value::Null; 3]]);
        assert_eq!(unlike.name, "wrong-bindings");
        assert_eq!(unlike.message, "group 2 has 1 values and the first has 2; each has one per parameter");
        assert_eq!(refused(vec![vec![]]).name, "wrong-bindings");
        assert_eq!(refused(vec![vec![Value::Null], vec![]]).name, "wrong-bindings");
        // Also if they never end.
        assert_eq!(Groups::of("", std::iter::repeat(())).expect_err("refused").name, "wrong-bindings");
    }

    #[test]
    fn em_9_what_is_more_than_a_call_may_carry_is_refused_as_soon_as_it_is() {
        let text = "x".repeat(1024 * 1024 - VALUE_BYTES);
        let of = |query: &str, count| Groups::of(query, std::iter::repeat_n((&text,), count));
        assert_eq!(of("", 64).expect("as much as a call may carry").count, 64);
        for refused in [of("q", 64), of("", 65), Groups::of("", std::iter::repeat((&text,)))] {
            assert_eq!(refused.expect_err("more").name, "limit-exceeded");
        }
        let numbers = Groups::of("", std::iter::repeat((1, 2.5, None::<i64>)));
        assert_eq!(numbers.expect_err("more").name, "limit-exceeded");
    }
}
