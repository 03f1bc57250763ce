//! Arguments and results of RPC methods (rules RP). What `#[durabo::object]` expands to calls this.
//!
//! Arguments are a CBOR array, read by position: what is missing reads as null, so an `Option` may be
//! left out, and what is further is ignored (RP-11). The result is one CBOR item.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::argument;
use crate::failure::{Failure, FailureKind};

/// `null` in CBOR.
const NULL: &[u8] = &[0xf6];
/// Ends an array of unknown length.
const BREAK: u8 = 0xff;

/// Reads the arguments of one call.
#[derive(Debug)]
pub struct Arguments<'a> {
    method: &'a str,
    rest: &'a [u8],
    left: Left,
}

#[derive(Debug, Clone, Copy)]
enum Left {
    Items(u64),
    UntilBreak,
}

impl<'a> Arguments<'a> {
    /// Begins to read; refuses what is no CBOR array.
    pub fn read(method: &'a str, args: &'a [u8]) -> Result<Self, Failure> {
        let (left, rest) = array_head(args).ok_or_else(|| {
            Failure::invalid_argument(format!("the arguments of method `{method}` are not a CBOR array"))
        })?;
        Ok(Self { method, rest, left })
    }

    /// The next argument, called `name` by the method.
    pub fn next<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Failure> {
        let present = match &mut self.left {
            Left::Items(0) => false,
            Left::Items(count) => {
                *count -= 1;
                true
            }
            Left::UntilBreak => self.rest.first().is_some_and(|first| *first != BREAK),
        };
        let read = if present { argument::read(&mut self.rest) } else { argument::read(&mut &NULL[..]) };
        read.map_err(|text| {
            let method = self.method;
            Failure::invalid_argument(match present {
                true => format!("argument `{name}` of method `{method}`: {text}"),
                false => format!("argument `{name}` of method `{method}` is missing"),
            })
        })
    }
}

/// The head of a CBOR array and what follows it.
fn array_head(bytes: &[u8]) -> Option<(Left, &[u8])> {
    let (head, rest) = bytes.split_first()?;
    if head >> 5 != 4 {
        return None;
    }
    let size_bytes = match head & 0x1f {
        count @ 0..24 => return Some((Left::Items(u64::from(count)), rest)),
        31 => return Some((Left::UntilBreak, rest)),
        code @ 24..28 => 1_usize << (code - 24),
        _ => return None,
    };
    let (size, rest) = rest.split_at_checked(size_bytes)?;
    Some((Left::Items(size.iter().fold(0, |count, byte| count << 8 | u64::from(*byte))), rest))
}

/// Encodes a result. Fails if the value has no CBOR form.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes)?;
    Ok(bytes)
}

/// The failure of a call to a method that does not exist or is not public (RP-2).
pub fn not_found(method: &str) -> Failure {
    Failure::new(format!("The RPC receiver does not implement the method \"{method}\"."))
        .with_kind(FailureKind::NotFound)
        .with_name("TypeError")
        .with_code("method-not-found")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;

    fn arguments(value: &impl Serialize) -> Vec<u8> {
        encode(value).expect("encodes")
    }

    #[test]
    fn missing_arguments_are_none_and_further_ones_ignored() {
        let bytes = arguments(&(1, "x"));
        let mut args = Arguments::read("m", &bytes).expect("array");
        assert_eq!(args.next::<i64>("a").expect("first"), 1);
        let mut args = Arguments::read("m", &[0x80]).expect("array");
        assert_eq!(args.next::<Option<i64>>("a").expect("none"), None);
    }

    #[test]
    fn undefined_reads_as_none() {
        let mut args = Arguments::read("m", &[0x82, 0xf7, 0x05]).expect("array");
        assert_eq!(args.next::<Option<i64>>("a").expect("undefined"), None);
        assert_eq!(args.next::<i64>("b").expect("five"), 5);
    }

    #[test]
    fn a_missing_or_wrong_argument_is_named() {
        let bytes = arguments(&["x"]);
        let mut args = Arguments::read("add", &bytes).expect("array");
        let wrong = args.next::<i64>("by").expect_err("text");
        assert!(
            wrong.message().starts_with("argument `by` of method `add`: invalid type: string"),
            "{wrong}"
        );
        let missing = args.next::<i64>("to").expect_err("nothing");
        assert_eq!(missing.message(), "argument `to` of method `add` is missing");
        assert_eq!((missing.name(), missing.code()), ("TypeError", "invalid-argument"));
    }

    #[test]
    fn arrays_of_every_head_are_read() {
        for bytes in [&[0x81, 7][..], &[0x98, 1, 7], &[0x99, 0, 1, 7], &[0x9f, 7, 0xff]] {
            let mut args = Arguments::read("m", bytes).expect("array");
            assert_eq!(args.next::<u8>("a").expect("seven"), 7, "{bytes:?}");
            assert_eq!(args.next::<Option<u8>>("b").expect("end"), None, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_array_or_breaks_off_is_refused() {
        for bytes in [&[][..], &[0x07], &[0xa0], &[0x9c], &[0x99, 0]] {
            assert!(Arguments::read("m", bytes).is_err(), "{bytes:?}");
        }
        let mut args = Arguments::read("m", &[0x81]).expect("head");
        assert!(args.next::<Option<u8>>("a").is_err());
    }

    #[test]
    fn bytes_and_64_bit_integers_cross_exactly() {
        let bytes = arguments(&(Bytes(vec![0, 255]), i64::MIN, u64::MAX));
        let mut args = Arguments::read("m", &bytes).expect("array");
        assert_eq!(args.next::<Bytes>("a").expect("bytes"), Bytes(vec![0, 255]));
        assert_eq!(args.next::<i64>("b").expect("min"), i64::MIN);
        assert_eq!(args.next::<u64>("c").expect("max"), u64::MAX);
    }

    #[test]
    fn a_date_reads_as_its_number() {
        let mut args = Arguments::read("m", &[0x81, 0xc1, 0x19, 0x03, 0xe8]).expect("array");
        assert_eq!(args.next::<f64>("at").expect("date"), 1000.0);
    }
}
