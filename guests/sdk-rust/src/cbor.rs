//! Values of serde's as CBOR that is kept: what could be written can be read again.
//!
//! Reading stops at a depth, so that no bytes can fill the stack; so writing refuses what is deeper.

use serde::Serialize;

use crate::failure::{Failure, FailureKind};

/// How deep a value that is kept may be nested. `ciborium` reads 256 levels, and takes one more than there are for a
/// variant without content.
const NESTED_MAX: usize = 255;

/// Ends a list or map of unknown length.
const BREAK: u8 = 0xff;

/// Encodes a value. Fails if it has no CBOR form, and with code `limit-exceeded` if it is nested too deep.
pub(crate) fn write(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes)?;
    if is_nested_beyond(NESTED_MAX, &bytes) {
        let text = format!(
            "the value is nested deeper than {NESTED_MAX} levels and could not be read again; keep it flatter, or \
             its parts apart"
        );
        return Err(Failure::new(text).with_kind(FailureKind::LimitExceeded).with_code("limit-exceeded"));
    }
    Ok(bytes)
}

/// Whether lists, maps and tags in what `ciborium` wrote are nested deeper than that.
fn is_nested_beyond(levels_max: usize, mut bytes: &[u8]) -> bool {
    // Items that are still to come on each open level; `None` on one that ends with a break.
    let mut open: Vec<Option<u64>> = Vec::new();
    while let Some((head, rest)) = bytes.split_first() {
        let (major, size) = (head >> 5, head & 0x1f);
        let size_bytes = if (24..28).contains(&size) { 1_usize << (size - 24) } else { 0 };
        let Some((count, rest)) = rest.split_at_checked(size_bytes) else { break };
        let count = match count {
            [] => u64::from(size),
            bytes => bytes.iter().fold(0, |count, byte| count << 8 | u64::from(*byte)),
        };
        bytes = rest;
        if *head == BREAK {
            open.pop();
        } else {
            if let Some(Some(left)) = open.last_mut() {
                *left -= 1;
            }
            let has_count = size != 31;
            match major {
                // Bytes and texts, which are written in one piece.
                2 | 3 => {
                    let end = usize::try_from(count).unwrap_or(usize::MAX);
                    bytes = bytes.get(end..).unwrap_or_default();
                }
                4 => open.push(has_count.then_some(count)),
                5 => open.push(has_count.then_some(count.saturating_mul(2))),
                // A tag has one item.
                6 => open.push(Some(1)),
                _ => {}
            }
        }
        if open.len() > levels_max {
            return true;
        }
        while open.last() == Some(&Some(0)) {
            open.pop();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct List(Vec<List>);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Variants {
        End,
        Within(Box<Variants>),
    }

    fn list(levels: usize) -> List {
        (1..levels).fold(List(Vec::new()), |inner, _| List(vec![inner]))
    }

    fn variants(levels: usize) -> Variants {
        (0..levels).fold(Variants::End, |inner, _| Variants::Within(Box::new(inner)))
    }

    #[track_caller]
    fn assert_comes_back<T: Serialize + DeserializeOwned + PartialEq>(value: &T) {
        let bytes = write(value).expect("flat enough");
        assert!(ciborium::from_reader::<T, _>(&bytes[..]).expect("readable") == *value);
    }

    #[test]
    fn a_value_that_is_taken_can_be_read_again() {
        for levels in [1, 200, NESTED_MAX] {
            assert_comes_back(&list(levels));
            assert_comes_back(&variants(levels));
        }
    }

    #[test]
    fn a_value_that_is_nested_too_deep_is_refused() {
        for levels in [NESTED_MAX + 1, 300] {
            for refused in [write(&list(levels)), write(&variants(levels))] {
                let failure = refused.expect_err("too deep");
                assert_eq!((failure.kind(), failure.code()), (FailureKind::LimitExceeded, "limit-exceeded"));
            }
        }
    }

    #[test]
    fn only_what_is_open_counts_as_nested() {
        // Texts and bytes that look like lists, lists beside one another, and lists of unknown length.
        let flat: [&[u8]; 5] = [
            &[0x82, 0x62, 0x81, 0x81, 0x43, 0x81, 0x81, 0x81],
            &[0x83, 0x80, 0x81, 0x01, 0xa1, 0x01, 0x02],
            &[0x9f, 0x9f, 0x01, 0xff, 0xbf, 0x01, 0x02, 0xff, 0x80, 0xff],
            &[0x82, 0x19, 0x01, 0x00, 0xc1, 0x01],
            &[0x98, 0x02, 0xf6, 0x80],
        ];
        for bytes in flat {
            assert!(!is_nested_beyond(2, bytes), "{bytes:x?}");
        }
        let deep: [&[u8]; 4] = [
            &[0x81, 0x81, 0x80],
            &[0x9f, 0x80, 0x9f, 0xa0, 0xff, 0xff],
            &[0xa1, 0x01, 0xc1, 0x80],
            &[0x81; 3],
        ];
        for bytes in deep {
            assert!(is_nested_beyond(2, bytes), "{bytes:x?}");
        }
    }
}
