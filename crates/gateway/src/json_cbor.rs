//! JSON to CBOR, by the fixed rules of `docs/reference/rpc.md` (decision D5, RP-12).
//!
//! Reads the text in one pass and writes the items as they come; no tree of values is built. What
//! would silently lose something (an integer beyond 2^53, a key twice, half a surrogate pair) is
//! refused with the path of the value.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use thiserror::Error;

use crate::cbor::{
    ARRAY, BYTES, DEPTH_MAX, MAP, NEGATIVE, TAG, TAG_BIG, TAG_BIG_NEGATIVE, TAG_DATE, TEXT, UNSIGNED,
    close_head, write_float, write_head,
};
use crate::cbor_json::{DATE_MS_MAX, PLAIN_INTEGER_MAX, looks_like_form};
use crate::json_text::JsonText;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Characters of an offending text that an error repeats.
const ECHO_CHARS_MAX: usize = 40;

/// Why a text is not a value that can be passed on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("value at `{path}`: {reason}")]
pub struct JsonError {
    /// Where: `$` is the whole, `$[0].name` a part.
    pub path: String,
    /// What is wrong with it, and the way out.
    pub reason: String,
}

/// The CBOR item of one JSON value.
pub fn json_to_cbor(text: &[u8]) -> Result<Vec<u8>, JsonError> {
    let text = std::str::from_utf8(text)
        .map_err(|_| JsonError { path: "$".to_owned(), reason: "the text is not UTF-8".to_owned() })?;
    let out = Vec::with_capacity(text.len() + 16);
    let mut reader = Reader { text: JsonText::new(text), out, path: Vec::new() };
    reader.value()?;
    reader.text.skip_space();
    if reader.text.is_at_end() { Ok(reader.out) } else { Err(reader.error("there is more after the value")) }
}

enum Step {
    Index(usize),
    /// Range of the key in `out`: heads before it stay one byte long until their items are complete.
    Key(usize, usize),
}

struct Reader<'a> {
    text: JsonText<'a>,
    out: Vec<u8>,
    path: Vec<Step>,
}

impl<'a> Reader<'a> {
    fn error(&self, reason: impl Into<String>) -> JsonError {
        let mut path = "$".to_owned();
        for step in &self.path {
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Key(start, end) => {
                    write!(path, ".{}", String::from_utf8_lossy(&self.out[*start..*end]))
                }
            };
        }
        JsonError { path, reason: reason.into() }
    }

    /// Takes a word of the text; what is wrong with it is said of the present place.
    fn read<T>(&mut self, word: impl FnOnce(&mut JsonText<'a>) -> Result<T, String>) -> Result<T, JsonError> {
        word(&mut self.text).map_err(|reason| self.error(reason))
    }

    fn value(&mut self) -> Result<(), JsonError> {
        self.text.skip_space();
        match self.text.peek() {
            Some(b'"') => {
                let text = self.read(JsonText::string)?;
                self.write_text(&text);
                Ok(())
            }
            Some(b'[') => self.array(),
            Some(b'{') => self.object(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.literal(),
        }
    }

    fn literal(&mut self) -> Result<(), JsonError> {
        for (word, item) in [("null", 0xf6), ("true", 0xf5), ("false", 0xf4)] {
            if self.text.take_word(word) {
                self.out.push(item);
                return Ok(());
            }
        }
        Err(self.error(self.text.unexpected()))
    }

    fn write_text(&mut self, text: &str) {
        write_head(&mut self.out, TEXT, text.len() as u64);
        self.out.extend_from_slice(text.as_bytes());
    }

    fn enter(&mut self, step: Step) -> Result<(), JsonError> {
        if self.path.len() == DEPTH_MAX {
            return Err(self.error(format!("values are nested more than {DEPTH_MAX} deep")));
        }
        self.path.push(step);
        Ok(())
    }

    fn array(&mut self) -> Result<(), JsonError> {
        self.text.take(b'[');
        let start = self.out.len();
        self.out.push(0);
        let mut count = 0;
        if !self.text.take(b']') {
            loop {
                self.enter(Step::Index(count))?;
                self.value()?;
                self.path.pop();
                count += 1;
                if self.text.take(b']') {
                    break;
                }
                self.read(|text| text.expect(b','))?;
            }
        }
        close_head(&mut self.out, start, ARRAY, count as u64);
        Ok(())
    }

    fn object(&mut self) -> Result<(), JsonError> {
        self.text.take(b'{');
        let start = self.out.len();
        self.out.push(0);
        let mut keys = Vec::new();
        if !self.text.take(b'}') {
            loop {
                let key = self.key()?;
                if looks_like_form(&key) && !key.starts_with("$$") {
                    if !keys.is_empty() {
                        return Err(self.not_alone(&key));
                    }
                    self.out.truncate(start);
                    return self.form(&key);
                }
                let key = if looks_like_form(&key) { &key[1..] } else { &key[..] };
                self.write_text(key);
                let end = self.out.len();
                keys.push((end - key.len(), end));
                self.enter(Step::Key(end - key.len(), end))?;
                self.value()?;
                self.path.pop();
                if self.text.take(b'}') {
                    break;
                }
                self.read(|text| text.expect(b','))?;
            }
        }
        self.check_keys(&keys)?;
        close_head(&mut self.out, start, MAP, keys.len() as u64);
        Ok(())
    }

    fn key(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.text.skip_space();
        if self.text.peek() != Some(b'"') {
            return Err(self.error(self.text.unexpected()));
        }
        let key = self.read(JsonText::string)?;
        self.read(|text| text.expect(b':'))?;
        Ok(key)
    }

    fn not_alone(&self, key: &str) -> JsonError {
        self.error(format!("`{key}` must be the only key of its map; write `${key}` for a key of that name"))
    }

    /// A key twice would mean one thing here and another thing to the guest.
    fn check_keys(&self, keys: &[(usize, usize)]) -> Result<(), JsonError> {
        let mut keys: Vec<&[u8]> = keys.iter().map(|(start, end)| &self.out[*start..*end]).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                Err(self.error(format!("key `{}` occurs twice", echo(&String::from_utf8_lossy(pair[0])))))
            }
            None => Ok(()),
        }
    }

    /// `{"$int": …}` and its like, the key being read.
    fn form(&mut self, key: &str) -> Result<(), JsonError> {
        self.text.skip_space();
        if key == "$date" {
            self.date()?;
        } else if self.text.peek() == Some(b'"') {
            let text = self.read(JsonText::string)?;
            match key {
                "$int" => self.big_integer(&text)?,
                "$bytes" => self.bytes(&text)?,
                _ => self.odd_float(&text)?,
            }
        } else {
            return Err(self.error(format!("the value of `{key}` must be a string")));
        }
        if self.text.take(b'}') {
            return Ok(());
        }
        let more = self.text.take(b',');
        Err(if more { self.not_alone(key) } else { self.error(self.text.unexpected()) })
    }

    fn big_integer(&mut self, text: &str) -> Result<(), JsonError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(self.error(format!("`{}` is not an integer in decimal digits", echo(text))));
        }
        let Ok(value) = text.parse::<i128>() else {
            return Err(self.error("the integer has more than 127 bits"));
        };
        self.write_integer(value);
        Ok(())
    }

    fn write_integer(&mut self, value: i128) {
        // CBOR writes a negative number n as -1 - n, which is its complement.
        let negative = value < 0;
        let magnitude = if negative { !value } else { value };
        match u64::try_from(magnitude) {
            Ok(magnitude) => write_head(&mut self.out, if negative { NEGATIVE } else { UNSIGNED }, magnitude),
            Err(_) => {
                write_head(&mut self.out, TAG, if negative { TAG_BIG_NEGATIVE } else { TAG_BIG });
                let bytes = magnitude.to_be_bytes();
                let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
                write_head(&mut self.out, BYTES, bytes.len() as u64);
                self.out.extend_from_slice(bytes);
            }
        }
    }

    fn bytes(&mut self, text: &str) -> Result<(), JsonError> {
        let bytes = BASE64.decode(text).map_err(|error| self.error(format!("no base64 text: {error}")))?;
        write_head(&mut self.out, BYTES, bytes.len() as u64);
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    fn odd_float(&mut self, text: &str) -> Result<(), JsonError> {
        let value = match text {
            "NaN" => f64::NAN,
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ => {
                let text = echo(text);
                return Err(self.error(format!("`{text}` is none of `NaN`, `Infinity`, `-Infinity`")));
            }
        };
        write_float(&mut self.out, value);
        Ok(())
    }

    /// Milliseconds, or null for a date that is none (JavaScript's `new Date(NaN)`).
    fn date(&mut self) -> Result<(), JsonError> {
        let ms = if self.text.take_word("null") {
            f64::NAN
        } else if matches!(self.text.peek(), Some(b'-' | b'0'..=b'9')) {
            self.read(JsonText::number_text)?.parse().map_err(|_| self.error("the date is not a number"))?
        } else {
            return Err(self.error("the value of `$date` must be milliseconds since 1970, or null"));
        };
        if ms.fract() != 0.0 && !ms.is_nan() || ms.abs() > DATE_MS_MAX {
            return Err(self.error("a date must be whole milliseconds within ±8.64e15"));
        }
        write_head(&mut self.out, TAG, TAG_DATE);
        if ms % 1000.0 == 0.0 {
            self.write_integer((ms / 1000.0) as i128);
        } else {
            write_float(&mut self.out, ms / 1000.0);
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let text = self.read(JsonText::number_text)?;
        let is_integer = !text.contains(['.', 'e', 'E']);
        let value: f64 = text.parse().map_err(|_| self.error("not a number"))?;
        if value.is_infinite() {
            return Err(self.error(format!("number {} is too large", echo(text))));
        }
        let is_minus_zero = value == 0.0 && value.is_sign_negative();
        if is_integer && !is_minus_zero {
            let exact = text.parse::<i128>().ok();
            let plain = exact.filter(|value| value.unsigned_abs() <= u128::from(PLAIN_INTEGER_MAX));
            let value = plain.ok_or_else(|| {
                let text = echo(text);
                self.error(format!(
                    "integer {text} is beyond 2^53, where JSON numbers lose digits; write {{\"$int\":\"{text}\"}}"
                ))
            })?;
            self.write_integer(value);
        } else if value.fract() == 0.0 && value.abs() <= PLAIN_INTEGER_MAX as f64 && !is_minus_zero {
            self.write_integer(value as i128);
        } else {
            write_float(&mut self.out, value);
        }
        Ok(())
    }
}

fn echo(text: &str) -> String {
    text.chars().take(ECHO_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor::check_item;
    use crate::cbor_json::cbor_to_json;

    fn cbor(text: &str) -> Vec<u8> {
        let item = json_to_cbor(text.as_bytes()).expect(text);
        assert_eq!(check_item(&item), Ok(()), "{text}");
        item
    }

    fn refused(text: &str) -> String {
        json_to_cbor(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn plain_values_become_plain_items() {
        assert_eq!(cbor(r#" [1, -1, true, null, "a"] "#), [0x85, 0x01, 0x20, 0xf5, 0xf6, 0x61, b'a']);
        assert_eq!(cbor(r#"{"a":{"b":[]}}"#), [0xa1, 0x61, b'a', 0xa1, 0x61, b'b', 0x80]);
        assert_eq!(cbor(r#""\ud83d\ude00\n""#), [0x65, 0xf0, 0x9f, 0x98, 0x80, b'\n']);
    }

    #[test]
    fn a_long_array_gets_its_longer_head() {
        let item = cbor(&format!("[{}]", ["1"; 300].join(",")));
        assert_eq!((&item[..3], item.len()), (&[0x99, 1, 44][..], 303));
    }

    #[test]
    fn numbers_without_fraction_are_integers_up_to_2_53() {
        assert_eq!(cbor("1.0"), [0x01]);
        assert_eq!(cbor("1e3"), [0x19, 0x03, 0xe8]);
        assert_eq!(cbor("9007199254740992"), [0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0]);
        assert_eq!(cbor("-9007199254740992")[0], 0x3b);
        assert_eq!(cbor("1.5"), [0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(cbor("-0"), [0xfb, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(cbor("1e300")[0], 0xfb);
    }

    #[test]
    fn an_integer_that_json_cannot_keep_is_refused_with_the_form_to_write() {
        let text = refused(r#"[{"n":9007199254740993}]"#);
        assert!(text.starts_with("value at `$[0].n`: integer 9007199254740993 is beyond 2^53"), "{text}");
        assert!(text.ends_with(r#"write {"$int":"9007199254740993"}"#), "{text}");
        assert!(refused("123456789012345678901234567890123456789012345678901").contains("beyond 2^53"));
    }

    #[test]
    fn forms_become_what_they_stand_for() {
        assert_eq!(
            cbor(r#"{"$int":"18446744073709551615"}"#),
            [0x1b, 255, 255, 255, 255, 255, 255, 255, 255]
        );
        assert_eq!(cbor(r#"{"$int":"-1"}"#), [0x20]);
        assert_eq!(cbor(r#"{"$bytes":"AQID"}"#), [0x43, 1, 2, 3]);
        assert_eq!(cbor(r#"{ "$bytes" : "AQ" }"#), [0x41, 1]);
        assert_eq!(cbor(r#"{"$date":1363896240000}"#), [0xc1, 0x1a, 0x51, 0x4b, 0x67, 0xb0]);
        assert_eq!(cbor(r#"{"$float":"-Infinity"}"#), [0xfb, 0xff, 0xf0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(cbor(r#"{"$ref":1}"#), [0xa1, 0x64, b'$', b'r', b'e', b'f', 0x01]);
    }

    #[test]
    fn every_value_survives_the_way_there_and_back() {
        let values = [
            r#"[1,-1,2.5,-0.0,1e300,5e-324,true,false,null,"",[],{}]"#,
            r#"{"$int":"1000000000000000000000000000000"}"#,
            r#"{"$int":"-170141183460469231731687303715884105728"}"#,
            r#"{"$int":"-9223372036854775808"}"#,
            r#"{"$date":1700000000123}"#,
            r#"{"$date":-1}"#,
            r#"{"$date":null}"#,
            r#"{"$float":"NaN"}"#,
            r#"{"$bytes":""}"#,
            r#"{"$$int":{"$$$bytes":1,"$other":2}}"#,
        ];
        for text in values {
            assert_eq!(String::from_utf8_lossy(&cbor_to_json(&cbor(text)).expect(text)), text);
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let bad = [
            "",
            "[",
            "[1,]",
            "[1 2]",
            "{",
            r#"{"a"}"#,
            r#"{"a":}"#,
            "{1:2}",
            "01",
            "1.",
            "-",
            "1e",
            "+1",
            "tru",
            "'a'",
            "\"a",
            "\"\u{1}\"",
            r#""\x""#,
            r#""\u12g4""#,
            "NaN",
            "1 1",
            "1e999",
        ];
        for text in bad {
            assert!(json_to_cbor(text.as_bytes()).is_err(), "{text}");
        }
        assert!(json_to_cbor(&[b'"', 0xff, b'"']).is_err());
    }

    #[test]
    fn what_would_change_its_meaning_is_refused() {
        assert!(refused(r#"{"a":1,"a":2}"#).contains("key `a` occurs twice"));
        assert!(refused(r#""\ud800""#).contains("half a surrogate pair"));
        assert!(refused(r#""\ud800\u0041""#).contains("half a surrogate pair"));
        assert!(refused(r#"{"$int":"1","a":1}"#).contains("write `$$int` for a key of that name"));
        assert!(refused(r#"{"a":1,"$int":"1"}"#).contains("must be the only key"));
        assert!(refused(r#"{"$int":1}"#).contains("must be a string"));
        assert!(refused(r#"{"$int":"1.5"}"#).contains("not an integer"));
        assert!(refused(r#"{"$bytes":"?"}"#).contains("no base64"));
        assert!(refused(r#"{"$date":1.5}"#).contains("whole milliseconds"));
        assert!(refused(r#"{"$float":"1"}"#).contains("none of"));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        cbor(&nested(DEPTH_MAX));
        assert!(refused(&nested(DEPTH_MAX + 1)).contains("nested more than 128 deep"));
        assert!(json_to_cbor("[".repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn mutated_values_never_panic_and_what_is_read_is_well_formed() {
        let seeds = [
            r#"[{"a":[1,-2.5e3,"\\ud83d\\ude00"],"$$int":{"$bytes":"AQID"}},{"$date":-1},{"$int":"-9"},null]"#,
            r#"{"$float":"NaN"}"#,
        ];
        // A fixed seed: a failure is the same on every run.
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for _ in 0..50_000 {
            let mut text = seeds[random(seeds.len())].as_bytes().to_vec();
            for _ in 0..=random(4) {
                let at = random(text.len());
                match random(3) {
                    0 => drop(text.remove(at)),
                    1 => text.insert(at, b"[]{}\",:$\\0e.-u"[random(14)]),
                    _ => text[at] = random(256) as u8,
                }
            }
            if let Ok(mut item) = json_to_cbor(&text) {
                assert_eq!(check_item(&item), Ok(()), "{}", String::from_utf8_lossy(&text));
                let json = cbor_to_json(&item).expect("has a form");
                assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
                let at = random(item.len());
                item[at] = random(256) as u8;
                let well_formed = check_item(&item).is_ok();
                // What has a JSON form is well-formed; not the other way round.
                assert!(cbor_to_json(&item).is_err() || well_formed, "{item:x?}");
            }
        }
    }
}
