//! A unified diff that ends: bounded in what is compared, in lines and in columns.

use std::fmt::Write;

use similar::{ChangeTag, TextDiff};

use super::{Diff, Limits, printable};

/// Bytes of one side that are compared line by line. What people write is far below; what is above is data.
const MAX_BYTES: usize = 256 << 10;
/// Lines of both sides together. Finding the shortest difference takes time in the order of the square of it.
const MAX_LINES: usize = 8_000;
/// Unchanged lines shown round a change, as everywhere.
const CONTEXT: usize = 3;

/// Compares two contents that are no secrets.
pub(super) fn diff(before: &[u8], after: &[u8], limits: Limits) -> Diff {
    let (Some(before), Some(after)) = (text(before), text(after)) else {
        return Diff::Binary;
    };
    let lines = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count();
    if before.len().max(after.len()) > MAX_BYTES || lines(before) + lines(after) > MAX_LINES {
        return Diff::TooLarge;
    }
    let mut out = Bounded {
        limits,
        unified: String::new(),
        lines: 0,
        omitted_lines: 0,
    };
    let compared = TextDiff::from_lines(before, after);
    for hunk in compared.unified_diff().context_radius(CONTEXT).iter_hunks() {
        out.line("", hunk.header().to_string().trim_end());
        for change in hunk.iter_changes() {
            let sign = match change.tag() {
                ChangeTag::Equal => " ",
                ChangeTag::Delete => "-",
                ChangeTag::Insert => "+",
            };
            let value = change.value();
            out.line(sign, value.strip_suffix('\n').unwrap_or(value));
            if !value.ends_with('\n') {
                out.line("\\ ", "No newline at end of file");
            }
        }
    }
    Diff::Text {
        unified: out.unified,
        omitted_lines: out.omitted_lines,
    }
}

/// The bytes as text, if they are. No text file holds a NUL.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}

/// Lines up to the limits.
struct Bounded {
    limits: Limits,
    unified: String,
    lines: usize,
    omitted_lines: usize,
}

impl Bounded {
    fn line(&mut self, sign: &str, text: &str) {
        if self.lines == self.limits.lines {
            self.omitted_lines += 1;
            return;
        }
        self.lines += 1;
        self.unified.push_str(sign);
        match text.char_indices().nth(self.limits.columns) {
            None => self.unified.push_str(&printable(text)),
            Some((end, _)) => {
                let left_out = text[end..].chars().count();
                write!(self.unified, "{}… ({left_out} more)", printable(&text[..end]))
                    .expect("a String takes all that is written");
            }
        }
        self.unified.push('\n');
    }
}
