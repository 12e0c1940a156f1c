//! Which styles can hold a string, by libyaml's `analyze_scalar` as go-yaml 2.4 has it, for block context.

/// The styles that are open to a string; double quotes always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Analysis {
    /// Without quotes.
    pub(super) plain_allowed: bool,
    /// In single quotes.
    pub(super) single_quoted_allowed: bool,
    /// As a block after `|`.
    pub(super) literal_allowed: bool,
}

/// What kind of character stood before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Previous {
    Space,
    Break,
    Other,
}

/// Printable ASCII without a blank, which most long strings (data URLs) are. Branch-free, so that it runs
/// many bytes at a time.
pub(super) fn is_solid(text: &str) -> bool {
    text.as_bytes()
        .iter()
        .fold(true, |solid, byte| solid & (0x21..=0x7e).contains(byte))
}

/// Of a solid string only the ends matter: indicators count at the start, a colon before a blank or the end.
pub(super) fn solid_may_be_plain(text: &str) -> bool {
    match text.as_bytes() {
        [] => true,
        [b'-' | b'?'] | [b'-', b'-', b'-', ..] | [b'.', b'.', b'.', ..] | [.., b':'] => false,
        [first, ..] => !is_indicator(*first),
    }
}

/// Characters that mean something at the start of a plain scalar, whatever follows.
const fn is_indicator(byte: u8) -> bool {
    matches!(
        byte,
        b'#' | b','
            | b'['
            | b']'
            | b'{'
            | b'}'
            | b'&'
            | b'*'
            | b'!'
            | b'|'
            | b'>'
            | b'\''
            | b'"'
            | b'%'
            | b'@'
            | b'`'
    )
}

/// Any string.
pub(super) fn analyse(text: &str) -> Analysis {
    let mut indicators = text.starts_with("---") || text.starts_with("...");
    let (mut breaks, mut special, mut space_before_break, mut break_before_space) =
        (false, false, false, false);
    let mut previous = Previous::Other;
    let mut after_blank = true;
    let mut characters = text.chars().enumerate().peekable();
    while let Some((index, c)) = characters.next() {
        let before_blank = characters
            .peek()
            .is_none_or(|(_, next)| matches!(next, ' ' | '\t'));
        indicators |= match c {
            '#' => after_blank || index == 0,
            ':' => before_blank,
            '-' | '?' if index == 0 => before_blank,
            _ => index == 0 && u8::try_from(c).is_ok_and(is_indicator),
        };
        special |= !is_printable(c);
        let kind = match c {
            ' ' => Previous::Space,
            _ if is_break(c) => Previous::Break,
            _ => Previous::Other,
        };
        breaks |= kind == Previous::Break;
        space_before_break |= kind == Previous::Break && previous == Previous::Space;
        break_before_space |= kind == Previous::Space && previous == Previous::Break;
        after_blank = is_break(c) || matches!(c, ' ' | '\t' | '\0');
        previous = kind;
    }
    let blank_at_an_end = text.starts_with(' ') || text.ends_with(' ');
    let unquotable = special || space_before_break;
    Analysis {
        plain_allowed: !(unquotable || breaks || indicators || blank_at_an_end),
        single_quoted_allowed: !(unquotable || break_before_space),
        literal_allowed: !(unquotable || text.ends_with(' ')),
    }
}

/// The line breaks of YAML 1.1. NEL and CR are among them; the first is folded away before, the second is
/// not printable.
pub(super) const fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What go-yaml writes unescaped: not tab, and nothing beyond the basic plane.
pub(super) const fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='\u{7e}' | '\u{a0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_short_cut_for_solid_text_says_what_the_long_way_says(text in "[!-~]{1,12}") {
            let long_way = Analysis {
                plain_allowed: solid_may_be_plain(&text),
                single_quoted_allowed: true,
                literal_allowed: true,
            };
            prop_assert!(is_solid(&text));
            prop_assert_eq!(long_way, analyse(&text));
        }
    }
}
