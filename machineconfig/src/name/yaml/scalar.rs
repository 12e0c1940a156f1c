//! Writing a string in one of the four styles that the reference's YAML uses.

use super::analysis::{is_break, is_printable};
use super::{Emitter, INDENT};

/// Text is folded at the first blank beyond this column.
const WIDTH: usize = 80;

impl Emitter<'_> {
    /// Without quotes. A single space beyond the width becomes a line break.
    pub(super) fn plain(&mut self, text: &str, indent: usize) {
        self.foldable(text, indent, |_| false);
    }

    /// In single quotes, which are doubled within.
    pub(super) fn single_quoted(&mut self, text: &str, indent: usize) {
        self.raw("'");
        self.foldable(text, indent, |c| c == '\'');
        self.raw("'");
    }

    /// Plain and single-quoted text: folded at single spaces; after a line break of its own (U+2028, U+2029)
    /// it goes on at the indent.
    fn foldable(&mut self, text: &str, indent: usize, is_doubled: impl Fn(char) -> bool) {
        if text.is_ascii() && !text.contains([' ', '\'']) {
            self.raw(text);
            return;
        }
        let mut characters = text.chars().peekable();
        let (mut previous, mut is_first) = ('\0', true);
        while let Some(c) = characters.next() {
            let folds = c == ' '
                && previous != ' '
                && self.column > WIDTH
                && !is_first
                && characters.peek().is_some_and(|next| *next != ' ');
            if folds {
                self.fold(indent);
            } else if is_break(c) {
                self.text_break(c);
            } else {
                if is_break(previous) {
                    self.fold(indent);
                }
                if is_doubled(c) {
                    self.character(c);
                }
                self.character(c);
            }
            (previous, is_first) = (c, false);
        }
    }

    /// In double quotes, escaped. Text that begins with a byte order mark is escaped throughout.
    pub(super) fn double_quoted(&mut self, text: &str, indent: usize) {
        let escape_all = text.starts_with('\u{feff}');
        self.raw("\"");
        let mut characters = text.chars().peekable();
        let (mut previous, mut is_first) = ('\0', true);
        while let Some(c) = characters.next() {
            if escape_all || !is_printable(c) || is_break(c) || matches!(c, '"' | '\\') {
                self.escape(c);
                previous = '\0';
            } else {
                let folds = c == ' '
                    && previous != ' '
                    && self.column > WIDTH
                    && !is_first
                    && characters.peek().is_some();
                if folds {
                    self.fold(indent);
                    if characters.peek() == Some(&' ') {
                        self.character('\\');
                    }
                } else {
                    self.character(c);
                }
                previous = c;
            }
            is_first = false;
        }
        self.raw("\"");
    }

    fn escape(&mut self, c: char) {
        let code = u32::from(c);
        let escape = match c {
            '\0' => "\\0",
            '\u{7}' => "\\a",
            '\u{8}' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\u{b}' => "\\v",
            '\u{c}' => "\\f",
            '\r' => "\\r",
            '\u{1b}' => "\\e",
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{85}' => "\\N",
            '\u{a0}' => "\\_",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            _ if code <= 0xff => return self.raw(&format!("\\x{code:02X}")),
            _ if code <= 0xffff => return self.raw(&format!("\\u{code:04X}")),
            _ => return self.raw(&format!("\\U{code:08X}")),
        };
        self.raw(escape);
    }

    /// As a block: `|`, what the reader must know about its ends, then its lines.
    pub(super) fn literal(&mut self, text: &str, indent: usize) {
        self.raw("|");
        if text.starts_with(|c: char| c == ' ' || is_break(c)) {
            self.raw(&INDENT.to_string());
        }
        let mut last = text.chars().rev();
        let ends_in_break = last.next().is_some_and(is_break);
        let only_or_second_break = last.next().is_none_or(is_break);
        match (ends_in_break, only_or_second_break) {
            (false, _) => self.raw("-"),
            (true, true) => self.raw("+"),
            (true, false) => {}
        }
        self.end_line();
        for line in text.split_inclusive(is_break) {
            let content = line.strip_suffix(is_break).unwrap_or(line);
            if !content.is_empty() {
                self.fill(indent);
                self.raw(content);
            }
            if let Some(end) = line[content.len()..].chars().next() {
                self.text_break(end);
            }
        }
    }
}
