//! Foreign text made safe to show: what is in a config must not be able to steer the terminal of who reads it.

use std::borrow::Cow;
use std::fmt::Write as _;

use machineconfig::redact::{disturbs, printable};

/// `text` on one line: every character that acts on a terminal is spelled out, line breaks included.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    printable(text)
}

/// JSON text with the characters that act, of which its writer leaves some as they are (DEL, C1, bidirectional),
/// in JSON's own escapes. They can stand in strings only, so the text says the same.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if disturbs(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clear-screen, a window title, an 8-bit CSI, a right-to-left override, and harmless text.
    const HOSTILE: &str = "a\x1b[2Jb\x1b]0;t\x07c\u{9b}31md\u{202e}e\x7f\té ✓\r\nf";

    #[test]
    fn nothing_that_acts_is_left() {
        let acts = |c: char| disturbs(c) && c != '\n';
        for safe in [line(HOSTILE).into_owned(), json(HOSTILE)] {
            assert_eq!(
                safe.matches(acts).collect::<Vec<_>>(),
                Vec::<&str>::new(),
                "{safe}"
            );
        }
        assert!(!line(HOSTILE).contains('\n'));
    }

    #[test]
    fn json_says_the_same_once_escaped() {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "k": HOSTILE })).unwrap();
        let back: serde_json::Value = serde_json::from_str(&json(&text)).unwrap();
        assert_eq!(back["k"], HOSTILE);
    }
}
