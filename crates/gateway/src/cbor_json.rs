//! CBOR to JSON, by the fixed rules of `docs/reference/rpc.md` (decision D5, RP-12).
//!
//! Written in one pass without a tree of values. What JSON cannot say has a form of its own: `$int`
//! beyond 2^53, `$bytes`, `$date`, `$float` for NaN and the infinities. A value without any form is an
//! error, never silently null; `undefined` alone becomes null, or is left out of a map.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::cbor::{
    ARRAY, BYTES, CborError, DEPTH_MAX, Head, MAP, NEGATIVE, Reader, SIMPLE, TAG, TAG_BIG, TAG_BIG_NEGATIVE,
    TAG_DATE, TAG_SELF, TEXT, UNDEFINED, UNSIGNED,
};

/// Largest integer that every reader of JSON keeps exact.
pub const PLAIN_INTEGER_MAX: u64 = 1 << 53;

/// Names of the forms; a map's own key that looks like one is written with one more `$`.
pub const FORMS: [&str; 4] = ["int", "bytes", "date", "float"];

/// Largest date in either direction, in milliseconds: the range of JavaScript's `Date`.
pub const DATE_MS_MAX: f64 = 8.64e15;

/// Whether `key` is a form's name behind one `$` or more.
pub fn looks_like_form(key: &str) -> bool {
    let name = key.trim_start_matches('$');
    name.len() < key.len() && FORMS.contains(&name)
}

/// The JSON form of one CBOR item. Fails if the bytes are not one well-formed item, or hold what has
/// no form in JSON.
pub fn cbor_to_json(bytes: &[u8]) -> Result<Vec<u8>, CborError> {
    let mut writer = Writer { reader: Reader::new(bytes), out: Vec::with_capacity(bytes.len() + 16) };
    writer.item(0)?;
    if writer.reader.is_at_end() {
        Ok(writer.out)
    } else {
        Err(writer.reader.error("there are bytes after the value"))
    }
}

struct Writer<'a> {
    reader: Reader<'a>,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn item(&mut self, depth: usize) -> Result<(), CborError> {
        let head = self.reader.head()?;
        match head.major {
            UNSIGNED => self.integer(i128::from(head.value)),
            NEGATIVE => self.integer(-1 - i128::from(head.value)),
            BYTES => self.bytes(head)?,
            TEXT => {
                let text = self.text(head)?;
                self.string(&text);
            }
            ARRAY | MAP | TAG if depth == DEPTH_MAX => {
                return Err(self.reader.error(format!("values are nested more than {DEPTH_MAX} deep")));
            }
            ARRAY => self.array(head, depth)?,
            MAP => self.map(head, depth)?,
            TAG => self.tagged(head.value, depth)?,
            _ => self.simple(head)?,
        }
        Ok(())
    }

    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn integer(&mut self, value: i128) {
        let plain = value.unsigned_abs() <= u128::from(PLAIN_INTEGER_MAX);
        let text = if plain { value.to_string() } else { format!("{{\"$int\":\"{value}\"}}") };
        self.push(&text);
    }

    fn float(&mut self, value: f64) {
        if value.is_finite() {
            // `{:?}` is the shortest text that reads back as the same number, always with a point or
            // an exponent, so that floats stay apart from integers.
            self.push(&format!("{value:?}"));
        } else if value.is_nan() {
            self.push(r#"{"$float":"NaN"}"#);
        } else {
            self.push(if value > 0.0 { r#"{"$float":"Infinity"}"# } else { r#"{"$float":"-Infinity"}"# });
        }
    }

    fn bytes(&mut self, head: Head) -> Result<(), CborError> {
        let bytes = self.gathered(head)?;
        self.push(r#"{"$bytes":""#);
        self.push(&BASE64.encode(bytes));
        self.push(r#""}"#);
        Ok(())
    }

    fn gathered(&mut self, head: Head) -> Result<Vec<u8>, CborError> {
        let mut bytes = Vec::new();
        self.reader.pieces(head, |piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    fn text(&mut self, head: Head) -> Result<String, CborError> {
        let bytes = self.gathered(head)?;
        // Each piece was checked; joined they are UTF-8 too.
        String::from_utf8(bytes).map_err(|_| self.reader.error("a text is not UTF-8"))
    }

    fn string(&mut self, text: &str) {
        serde_json::to_writer(&mut self.out, text).expect("BUG: a text has a JSON form");
    }

    fn array(&mut self, head: Head, depth: usize) -> Result<(), CborError> {
        self.push("[");
        let mut count = 0;
        while self.has_more(head, count) {
            if count > 0 {
                self.push(",");
            }
            self.item(depth + 1)?;
            count += 1;
        }
        self.push("]");
        Ok(())
    }

    fn has_more(&mut self, head: Head, count: u64) -> bool {
        if head.is_indefinite() { !self.reader.take_break() } else { count < head.value }
    }

    fn map(&mut self, head: Head, depth: usize) -> Result<(), CborError> {
        self.push("{");
        let mut count = 0;
        let mut first = true;
        while self.has_more(head, count) {
            count += 1;
            let key = self.reader.head()?;
            if key.major != TEXT {
                return Err(self.reader.error("a map has a key that is no text, which JSON cannot carry"));
            }
            let key = self.text(key)?;
            if self.reader.peek() == Some(UNDEFINED) {
                self.reader.take(1)?;
                continue;
            }
            if !first {
                self.push(",");
            }
            first = false;
            if looks_like_form(&key) {
                self.string(&format!("${key}"))
            } else {
                self.string(&key)
            }
            self.push(":");
            self.item(depth + 1)?;
        }
        self.push("}");
        Ok(())
    }

    fn tagged(&mut self, tag: u64, depth: usize) -> Result<(), CborError> {
        match tag {
            TAG_SELF => self.item(depth + 1),
            TAG_DATE => self.date(),
            TAG_BIG | TAG_BIG_NEGATIVE => self.big_integer(tag == TAG_BIG_NEGATIVE),
            _ => Err(self.reader.error(format!(
                "tag {tag} has no form in JSON; ask for the result with `accept: application/cbor`"
            ))),
        }
    }

    fn date(&mut self) -> Result<(), CborError> {
        let head = self.reader.head()?;
        let seconds = match head.major {
            UNSIGNED => head.value as f64,
            NEGATIVE => -1.0 - head.value as f64,
            SIMPLE => float_of(head).ok_or_else(|| self.reader.error("a date is not a number"))?,
            _ => return Err(self.reader.error("a date is not a number")),
        };
        let ms = (seconds * 1000.0).round();
        if ms.is_nan() {
            self.push(r#"{"$date":null}"#);
        } else if ms.abs() > DATE_MS_MAX {
            return Err(self.reader.error("a date is out of range"));
        } else {
            self.push(&format!("{{\"$date\":{}}}", ms as i64));
        }
        Ok(())
    }

    fn big_integer(&mut self, negative: bool) -> Result<(), CborError> {
        let head = self.reader.head()?;
        if head.major != BYTES {
            return Err(self.reader.error("a big integer is not a byte string"));
        }
        let bytes = self.gathered(head)?;
        let digits = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        let folded = digits.iter().fold(0u128, |sum, byte| (sum << 8) | u128::from(*byte));
        let value = i128::try_from(folded).ok().filter(|_| digits.len() <= size_of::<i128>());
        let value = value.ok_or_else(|| self.reader.error("an integer has more than 127 bits"))?;
        self.integer(if negative { -1 - value } else { value });
        Ok(())
    }

    fn simple(&mut self, head: Head) -> Result<(), CborError> {
        if let Some(value) = float_of(head) {
            self.float(value);
            return Ok(());
        }
        let text = match head.value {
            20 => "false",
            21 => "true",
            22 | 23 => "null",
            other => return Err(self.reader.error(format!("simple value {other} has no form in JSON"))),
        };
        self.push(text);
        Ok(())
    }
}

/// The number of a float of 16, 32 or 64 bits; `None` for other simple values.
fn float_of(head: Head) -> Option<f64> {
    match head.info {
        25 => Some(half(head.value as u16)),
        26 => Some(f64::from(f32::from_bits(head.value as u32))),
        27 => Some(f64::from_bits(head.value)),
        _ => None,
    }
}

/// A float of 16 bits: 1 sign, 5 exponent, 10 fraction.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match (bits >> 10) & 0x1f {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (fraction + 1024.0) * 2f64.powi(i32::from(exponent) - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &[u8]) -> String {
        String::from_utf8(cbor_to_json(bytes).expect("has a form")).expect("UTF-8")
    }

    #[test]
    fn plain_values_become_plain_json() {
        assert_eq!(json(&[0x83, 0x01, 0x20, 0xf5]), "[1,-1,true]");
        assert_eq!(json(&[0xa1, 0x61, b'a', 0xf6]), r#"{"a":null}"#);
        assert_eq!(json(&[0x64, b'"', b'\\', b'\n', 0x01]), r#""\"\\\n\u0001""#);
        assert_eq!(json(&[0x9f, 0x7f, 0x61, b'a', 0x61, b'b', 0xff, 0xff]), r#"["ab"]"#);
    }

    #[test]
    fn integers_beyond_2_53_have_a_form() {
        assert_eq!(json(&[0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0]), "9007199254740992");
        assert_eq!(json(&[0x1b, 0, 0x20, 0, 0, 0, 0, 0, 1]), r#"{"$int":"9007199254740993"}"#);
        assert_eq!(json(&[0x3b, 0, 0x20, 0, 0, 0, 0, 0, 0]), r#"{"$int":"-9007199254740993"}"#);
        assert_eq!(
            json(&[0x3b, 255, 255, 255, 255, 255, 255, 255, 255]),
            r#"{"$int":"-18446744073709551616"}"#
        );
        assert_eq!(json(&[0xc2, 0x41, 5]), "5");
    }

    #[test]
    fn floats_keep_their_point_and_odd_ones_have_a_form() {
        assert_eq!(json(&[0xf9, 0x3c, 0x00]), "1.0");
        assert_eq!(json(&[0xf9, 0x80, 0x00]), "-0.0");
        assert_eq!(json(&[0xf9, 0x00, 0x01]), "5.960464477539063e-8");
        assert_eq!(json(&[0xfa, 0x3f, 0x80, 0, 0]), "1.0");
        assert_eq!(json(&[0xfb, 0x7e, 0x37, 0xe4, 0x3c, 0x88, 0x00, 0x75, 0x9c]), "1e300");
        assert_eq!(json(&[0xf9, 0x7e, 0x00]), r#"{"$float":"NaN"}"#);
        assert_eq!(json(&[0xf9, 0xfc, 0x00]), r#"{"$float":"-Infinity"}"#);
    }

    #[test]
    fn bytes_and_dates_have_a_form() {
        assert_eq!(json(&[0x43, 1, 2, 3]), r#"{"$bytes":"AQID"}"#);
        assert_eq!(json(&[0xc1, 0x1a, 0x51, 0x4b, 0x67, 0xb0]), r#"{"$date":1363896240000}"#);
        assert_eq!(
            json(&[0xc1, 0xfb, 0x41, 0xd4, 0x52, 0xd9, 0xec, 0x20, 0, 0]),
            r#"{"$date":1363896240500}"#
        );
        assert_eq!(json(&[0xc1, 0xf9, 0x7e, 0x00]), r#"{"$date":null}"#);
    }

    #[test]
    fn undefined_is_null_and_left_out_of_maps() {
        assert_eq!(json(&[0x82, UNDEFINED, 0x01]), "[null,1]");
        assert_eq!(json(&[0xa2, 0x61, b'a', UNDEFINED, 0x61, b'b', 0x01]), r#"{"b":1}"#);
        assert_eq!(json(&[UNDEFINED]), "null");
    }

    #[test]
    fn a_key_that_looks_like_a_form_is_escaped() {
        assert_eq!(json(&[0xa1, 0x64, b'$', b'i', b'n', b't', 0x01]), r#"{"$$int":1}"#);
        assert_eq!(json(&[0xa1, 0x64, b'$', b'r', b'e', b'f', 0x01]), r#"{"$ref":1}"#);
    }

    #[test]
    fn what_has_no_form_is_an_error_with_its_place() {
        let tag = cbor_to_json(&[0x82, 0x01, 0xd8, 0x20, 0x61, b'x']).expect_err("tag 32");
        assert!(tag.to_string().contains("tag 32 has no form in JSON"), "{tag}");
        assert!(cbor_to_json(&[0xa1, 0x01, 0x01]).is_err());
        assert!(cbor_to_json(&[0xf8, 0xff]).is_err());
        assert!(cbor_to_json(&[0xc1, 0xfb, 0x7f, 0xe0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(cbor_to_json(&[0x01, 0x01]).is_err());
        assert!(cbor_to_json(&vec![0x81; 1000]).is_err());
    }
}
