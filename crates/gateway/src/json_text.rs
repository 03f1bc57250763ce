//! The words of JSON (RFC 8259): strings, numbers, marks, taken one by one from a text.
//!
//! `json_cbor` makes values of them. Errors here are reasons only; the place of the value is added there.

use std::borrow::Cow;

/// Position in a text that is read word by word; always between characters.
#[derive(Debug)]
pub struct JsonText<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> JsonText<'a> {
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub const fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Takes `word` if it is next.
    pub fn take_word(&mut self, word: &str) -> bool {
        let taken = self.text[self.at..].starts_with(word);
        self.at += if taken { word.len() } else { 0 };
        taken
    }

    /// What is wrong with what comes next, which nothing here can begin with.
    pub fn unexpected(&self) -> String {
        match self.text[self.at..].chars().next() {
            Some(found) => format!("unexpected `{}` at byte {}", found.escape_debug(), self.at),
            None => "the text ends within the value".to_owned(),
        }
    }

    /// The next byte, without taking it.
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes white space.
    pub fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes `byte` if it is next, after white space.
    pub fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    /// Takes `byte`, which must be next, after white space.
    pub fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Takes a number by JSON's grammar.
    pub fn number_text(&mut self) -> Result<&'a str, String> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1
        } else {
            self.digits()?
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), String> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Takes a string that begins here.
    pub fn string(&mut self) -> Result<Cow<'a, str>, String> {
        self.at += 1;
        let mut joined = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            // Stops at ASCII only, hence never within a character.
            let part = &self.text[start..self.at];
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(if joined.is_empty() {
                        Cow::Borrowed(part)
                    } else {
                        Cow::Owned(joined + part)
                    });
                }
                Some(b'\\') => {
                    joined.push_str(part);
                    self.at += 1;
                    joined.push(self.escape()?);
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let escaped = match self.peek() {
            Some(plain @ (b'"' | b'\\' | b'/')) => plain as char,
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn unicode_escape(&mut self) -> Result<char, String> {
        let first = self.hex4()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        if first < 0xdc00 && self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..=0xdfff).contains(&second) {
                let pair = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(pair).ok_or_else(|| "a surrogate pair is no character".to_owned());
            }
        }
        Err("a string has half a surrogate pair, which is no character".to_owned())
    }

    fn hex4(&mut self) -> Result<u32, String> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else { return Err("`\\u` needs four hex digits".to_owned()) };
        self.at += 4;
        Ok(digits.iter().fold(0, |sum, digit| (sum << 4) | (*digit as char).to_digit(16).unwrap_or(0)))
    }
}
