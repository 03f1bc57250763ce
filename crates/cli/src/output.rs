//! What commands print: tables and sentences for people, JSON for programs (`--json`).
//!
//! Answers go to standard output, remarks and progress to standard error, the latter only if that is a
//! terminal. Colour is used on a terminal only, and never if `NO_COLOR` is set. Text that comes from
//! elsewhere cannot move the cursor: control characters are shown escaped, in JSON as JSON does it.

use std::env;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    is_json: bool,
    has_colour: bool,
}

impl Output {
    /// Reads the environment for what the terminal can do.
    pub fn new(is_json: bool) -> Self {
        let is_plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_json, has_colour: !is_plain && io::stdout().is_terminal() }
    }

    /// Whether JSON was asked for.
    pub const fn is_json(self) -> bool {
        self.is_json
    }

    /// One line of an answer.
    pub fn line(self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// One value as a line of JSON.
    pub fn json(self, value: &impl Serialize) -> io::Result<()> {
        self.line(&printable_json(&serde_json::to_string(value)?))
    }

    /// JSON as it came from the node, as one line.
    pub fn text(self, bytes: &[u8]) -> io::Result<()> {
        self.line(&printable_json(&String::from_utf8_lossy(bytes.trim_ascii_end())))
    }

    /// Columns under their heads. Nothing but the heads is printed if there are no rows.
    pub fn table(self, heads: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let mut widths: Vec<usize> = heads.iter().map(|head| head.chars().count()).collect();
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let heads: Vec<String> = heads.iter().map(|head| printable(head)).collect();
        let head = aligned(&heads, &widths);
        self.line(&if self.has_colour { format!("\x1b[1m{head}\x1b[0m") } else { head })?;
        rows.iter().try_for_each(|row| self.line(&aligned(row, &widths)))
    }

    /// A remark beside the answer. Programs that asked for JSON find the same in it.
    pub fn remark(self, text: &str) {
        if !self.is_json {
            eprintln!("{}", printable(text));
        }
    }
}

/// Cells padded to their columns; the last one is not.
fn aligned(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
    }
    line.truncate(line.trim_end().len());
    line
}

/// Prints the error that ends the program, with its causes.
pub fn print_error(is_json: bool, code: &str, error: &anyhow::Error) {
    let message = format!("{error:#}");
    if is_json {
        let record = serde_json::json!({"error": {"code": code, "message": message}});
        eprintln!("{}", printable_json(&record.to_string()));
        return;
    }
    let is_plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let has_colour = !is_plain && io::stderr().is_terminal();
    let (on, off) = if has_colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let lines: Vec<String> = message.lines().map(printable).collect();
    eprintln!("{on}error:{off} {}", lines.join("\n"));
}

/// `text` with control characters escaped.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// JSON of the same value without control characters. What writes JSON escapes those below U+0020 only, and a
/// terminal obeys U+009B as well.
fn printable_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_control() && !matches!(character, '\t' | '\n' | '\r') {
            shown.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A size for people: `512 B`, `12.0 KiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// What is being done at the moment, in one line that is written over; nothing if standard error is
/// no terminal.
#[derive(Debug)]
pub struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Shows nothing yet.
    pub fn new(output: Output) -> Self {
        Self { is_shown: !output.is_json() && io::stderr().is_terminal() }
    }

    /// Says what is being done now.
    pub fn say(&self, text: &str) {
        if self.is_shown {
            eprint!("\r\x1b[K{}", printable(text));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_elsewhere_cannot_move_the_cursor() {
        assert_eq!(printable("a\x1b[2Jb\nc\u{85}é"), "a\\u{1b}[2Jb\\nc\\u{85}é");
    }

    #[test]
    fn json_from_elsewhere_cannot_move_the_cursor_and_stays_the_same_value() {
        let value = serde_json::json!({"\u{9b}2J": ["a\x1b[2J\n", "\u{7f}\u{80}\u{9f}\u{a0}é"]});
        let shown = printable_json(&value.to_string());
        assert_eq!(shown, r#"{"\u009b2J":["a\u001b[2J\n","\u007f\u0080\u009f"#.to_owned() + "\u{a0}é\"]}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
        assert_eq!(printable_json("{\n\t\"a\": 1\r\n}"), "{\n\t\"a\": 1\r\n}");
    }

    #[test]
    fn sizes_are_rounded_to_a_unit() {
        let shown = [0, 1023, 1024, 12_345_678, u64::MAX].map(size);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "11.8 MiB", "16777216.0 TiB"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let cells = |row: [&str; 2]| row.map(str::to_owned).to_vec();
        assert_eq!(aligned(&cells(["é", "x"]), &[3, 5]), "é    x");
        assert_eq!(aligned(&cells(["abc", ""]), &[3, 5]), "abc");
    }
}
