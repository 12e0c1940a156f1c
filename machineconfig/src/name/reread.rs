//! What becomes of a string when its JSON is read again by the YAML reader of go-yaml 2.4, as the reference
//! does before it hashes (surprises of the reference: two specs can have one name).
//!
//! JSON written by Go escapes everything below U+0020, U+2028 and U+2029, and leaves the rest as it is. Of
//! that rest the YAML reader refuses control characters, and folds NEL (U+0085) as the line break it is in YAML.

use std::borrow::Cow;

/// NEL, next line: the one line break of YAML that JSON leaves raw.
const NEL: char = '\u{85}';

/// The string as the YAML reader returns it, or the character it stumbles over.
pub(super) fn reread(text: &str) -> Result<Cow<'_, str>, char> {
    if text.is_ascii() && !text.as_bytes().contains(&0x7f) {
        return Ok(Cow::Borrowed(text));
    }
    if let Some(refused) = text.chars().find(|&c| is_refused(c)) {
        return Err(refused);
    }
    if text.contains(NEL) {
        fold(text).map(Cow::Owned)
    } else {
        Ok(Cow::Borrowed(text))
    }
}

/// DEL, C1 controls except NEL, and the two non-characters at the end of the basic plane.
fn is_refused(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}')
}

/// Line folding of a double-quoted scalar: blanks round a run of breaks go, one break is a space, and of
/// more the first goes and each other is a newline. A document marker at the start of a line is refused,
/// which is reported as the NEL before it.
fn fold(text: &str) -> Result<String, char> {
    let mut lines = text.split(NEL);
    let first = lines.next().unwrap_or_default();
    let mut folded = first.trim_end_matches(' ').to_owned();
    let mut breaks = 0_usize;
    let mut lines = lines.peekable();
    while let Some(line) = lines.next() {
        breaks += 1;
        let is_last = lines.peek().is_none();
        if is_document_marker(line, is_last) {
            return Err(NEL);
        }
        let line = line.trim_start_matches(' ');
        if line.is_empty() && !is_last {
            continue;
        }
        if breaks == 1 {
            folded.push(' ');
        } else {
            folded.extend(std::iter::repeat_n('\n', breaks - 1));
        }
        breaks = 0;
        folded.push_str(if is_last { line } else { line.trim_end_matches(' ') });
    }
    Ok(folded)
}

/// `---` or `...` and then a blank or a break, right after a break. What ends the whole string is followed
/// by the closing quote, which is neither.
fn is_document_marker(line: &str, is_last: bool) -> bool {
    ["---", "..."].iter().any(|marker| {
        line.strip_prefix(marker).is_some_and(|rest| {
            if rest.is_empty() {
                !is_last
            } else {
                rest.starts_with(' ')
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_are_folded_with_the_blanks_around_them() {
        for (text, expected) in [
            ("a\u{85}b", "a b"),
            ("\u{85}", " "),
            ("a \u{85}  b", "a b"),
            ("a\u{85}\u{85}b", "a\nb"),
            ("a\u{85} \u{85} \u{85}b", "a\n\nb"),
            ("\u{85}\u{85}", "\n"),
            (" a\u{85}b\u{85}c ", " a b c "),
            ("a\u{85} ", "a "),
            ("a\u{85}---", "a ---"),
            ("a\u{85} --- b", "a --- b"),
            ("a\t\u{85}\tb", "a\t \tb"),
            ("ä", "ä"),
        ] {
            assert_eq!(reread(text).as_deref(), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_the_reader_stumbles_over_is_named() {
        for (text, refused) in [
            ("a\u{7f}", '\u{7f}'),
            ("\u{80}", '\u{80}'),
            ("\u{9f}", '\u{9f}'),
            ("\u{fffe}", '\u{fffe}'),
            ("\u{ffff}", '\u{ffff}'),
            ("a\u{85}--- b", NEL),
            ("a\u{85}...\u{85}b", NEL),
        ] {
            assert_eq!(reread(text), Err(refused), "{text:?}");
        }
        assert_eq!(
            reread("\u{1}\t\n\u{feff}\u{fffd}").as_deref(),
            Ok("\u{1}\t\n\u{feff}\u{fffd}")
        );
    }
}
