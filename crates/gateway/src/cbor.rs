//! Reads and writes the heads of CBOR items, and checks that bytes are one well-formed item (RFC 8949).
//!
//! What a guest or client calls CBOR is checked here before anybody else relies on it: lengths within
//! the bytes, nesting within [`DEPTH_MAX`], texts in UTF-8, nothing after the item.

use thiserror::Error;

/// Deepest nesting of arrays and maps in one value, in either form. Stops values that would exhaust the
/// stack of whoever reads them recursively.
pub const DEPTH_MAX: usize = 128;

/// Number carried by `undefined`, which JSON does not have.
pub const UNDEFINED: u8 = 0xf7;

pub const UNSIGNED: u8 = 0;
pub const NEGATIVE: u8 = 1;
pub const BYTES: u8 = 2;
pub const TEXT: u8 = 3;
pub const ARRAY: u8 = 4;
pub const MAP: u8 = 5;
pub const TAG: u8 = 6;
pub const SIMPLE: u8 = 7;

/// Tag of a date: seconds since the Unix epoch.
pub const TAG_DATE: u64 = 1;
/// Tag of an unsigned integer in a byte string.
pub const TAG_BIG: u64 = 2;
/// Tag of a negative integer `-1 - n`, `n` in a byte string.
pub const TAG_BIG_NEGATIVE: u64 = 3;
/// Tag that only says that CBOR follows.
pub const TAG_SELF: u64 = 55799;

/// Additional information of items without a length of their own, and of the mark that ends them.
const INDEFINITE: u8 = 31;

/// Why bytes are not a value that can be passed on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason} at byte {at}")]
pub struct CborError {
    /// Offset of the item.
    pub at: usize,
    /// What is wrong.
    pub reason: String,
}

/// First bytes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Major type, 0 to 7.
    pub major: u8,
    /// Additional information, 0 to 31.
    pub info: u8,
    /// Number that belongs to it; 0 if there is none.
    pub value: u64,
}

impl Head {
    /// A string, array or map that ends with a mark.
    pub const fn is_indefinite(self) -> bool {
        self.info == INDEFINITE
    }
}

/// Position in bytes that are read item by item.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// An error about the place reached so far.
    pub fn error(&self, reason: impl Into<String>) -> CborError {
        CborError { at: self.at, reason: reason.into() }
    }

    pub const fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The next byte, without taking it.
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Takes the mark that ends an indefinite item, if it is next.
    pub fn take_break(&mut self) -> bool {
        let is_break = self.peek() == Some(0xff);
        self.at += usize::from(is_break);
        is_break
    }

    pub fn take(&mut self, count: u64) -> Result<&'a [u8], CborError> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(count).ok().and_then(|count| rest.get(..count));
        let taken = taken.ok_or_else(|| self.error("the bytes end within an item"))?;
        self.at += taken.len();
        Ok(taken)
    }

    /// Takes the head of the next item. A mark that ends an item is an error here.
    pub fn head(&mut self) -> Result<Head, CborError> {
        let start = self.at;
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 0x1f);
        let value = match info {
            0..=23 => u64::from(info),
            24..=27 => self.take(1 << (info - 24))?.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)),
            INDEFINITE if (BYTES..=MAP).contains(&major) => 0,
            _ => return Err(CborError { at: start, reason: format!("byte {first:#04x} begins no item") }),
        };
        if major == SIMPLE && info == 24 && value < 32 {
            return Err(CborError { at: start, reason: format!("simple value {value} is written too long") });
        }
        Ok(Head { major, info, value })
    }

    /// Hands each piece of a string to `piece`: one, or several if it is indefinite.
    pub fn pieces(&mut self, head: Head, mut piece: impl FnMut(&'a [u8])) -> Result<(), CborError> {
        if !head.is_indefinite() {
            piece(self.string_piece(head)?);
            return Ok(());
        }
        while !self.take_break() {
            let part = self.head()?;
            if part.major != head.major || part.is_indefinite() {
                return Err(self.error("a piece of a string is no string"));
            }
            piece(self.string_piece(part)?);
        }
        Ok(())
    }

    fn string_piece(&mut self, head: Head) -> Result<&'a [u8], CborError> {
        let bytes = self.take(head.value)?;
        if head.major == TEXT && std::str::from_utf8(bytes).is_err() {
            return Err(self.error("a text is not UTF-8"));
        }
        Ok(bytes)
    }

    /// Takes the next item with all that is in it, `depth` levels being around it.
    fn skip(&mut self, depth: usize) -> Result<(), CborError> {
        let head = self.head()?;
        let items = match head.major {
            BYTES | TEXT => return self.pieces(head, |_| ()),
            ARRAY => Some(head.value),
            // An overflow here is a map that cannot fit into any bytes.
            MAP => head.value.checked_mul(2),
            TAG => Some(1),
            _ => return Ok(()),
        };
        let items = items.ok_or_else(|| self.error("the bytes end within an item"))?;
        if depth == DEPTH_MAX {
            return Err(self.error(format!("values are nested more than {DEPTH_MAX} deep")));
        }
        if !head.is_indefinite() {
            return (0..items).try_for_each(|_| self.skip(depth + 1));
        }
        while !self.take_break() {
            self.skip(depth + 1)?;
            if head.major == MAP {
                self.skip(depth + 1)?;
            }
        }
        Ok(())
    }
}

/// Checks that `bytes` are exactly one well-formed item.
pub fn check_item(bytes: &[u8]) -> Result<(), CborError> {
    let mut reader = Reader::new(bytes);
    reader.skip(0)?;
    if reader.is_at_end() { Ok(()) } else { Err(reader.error("there are bytes after the value")) }
}

/// Whether well-formed `bytes` are an array.
pub fn is_array(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first >> 5 == ARRAY)
}

/// Appends the shortest head with this number.
pub fn write_head(out: &mut Vec<u8>, major: u8, value: u64) {
    let (head, length) = head_bytes(major, value);
    out.extend_from_slice(&head[..length]);
}

/// Puts the shortest head in the place of the one byte that was kept free for it at `at`.
pub fn close_head(out: &mut Vec<u8>, at: usize, major: u8, value: u64) {
    let (head, length) = head_bytes(major, value);
    out.splice(at..=at, head[..length].iter().copied());
}

pub fn write_float(out: &mut Vec<u8>, value: f64) {
    out.push(0xfb);
    out.extend_from_slice(&value.to_be_bytes());
}

fn head_bytes(major: u8, value: u64) -> ([u8; 9], usize) {
    let mut head = [0; 9];
    head[1..].copy_from_slice(&value.to_be_bytes());
    let (info, length) = match value {
        0..24 => (value as u8, 0),
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    head.copy_within(9 - length.., 1);
    head[0] = (major << 5) | info;
    (head, 1 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_items_are_accepted() {
        let good: [&[u8]; 10] = [
            &[0x00],
            &[0x1b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0x80],
            &[0x82, 0x01, 0xf6],
            &[0x9f, 0x01, 0xff],
            &[0xbf, 0x61, b'a', 0x01, 0xff],
            &[0x7f, 0x61, b'a', 0x61, b'b', 0xff],
            &[0xc1, 0x00],
            &[0xf9, 0x7e, 0x00],
            &[UNDEFINED],
        ];
        for bytes in good {
            assert_eq!(check_item(bytes), Ok(()), "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_not_one_item_is_refused() {
        let bad: [&[u8]; 14] = [
            &[],
            &[0x00, 0x00],
            &[0x1c],
            &[0x18],
            &[0x61],
            &[0x61, 0xff],
            &[0x82, 0x01],
            &[0xff],
            &[0x9f, 0x01],
            &[0xbf, 0x61, b'a', 0xff],
            &[0x7f, 0x41, b'a', 0xff],
            &[0xf8, 0x10],
            &[0xbb, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0x9b, 127, 255, 255, 255, 255, 255, 255, 255, 0x01],
        ];
        for bytes in bad {
            assert!(check_item(bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| [vec![0x81; depth], vec![0x00]].concat();
        assert_eq!(check_item(&nested(DEPTH_MAX)), Ok(()));
        assert!(check_item(&nested(DEPTH_MAX + 1)).is_err());
        assert!(check_item(&vec![0x9f; 1_000_000]).is_err());
    }

    #[test]
    fn heads_are_written_as_short_as_can_be() {
        for value in [0, 23, 24, 255, 256, 65535, 65536, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            let mut out = vec![0xaa, 0x00, 0xbb];
            close_head(&mut out, 1, ARRAY, value);
            assert_eq!((out[0], out.last()), (0xaa, Some(&0xbb)));
            let mut written = Vec::new();
            write_head(&mut written, ARRAY, value);
            assert_eq!(out[1..out.len() - 1], written);
            let head = Reader::new(&written).head().expect("head");
            assert_eq!((head.major, head.value), (ARRAY, value));
        }
    }
}
