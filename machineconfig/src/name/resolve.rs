//! Whether a YAML 1.1 reader takes an unquoted word for text, by the rules of go-yaml 2.4: what it would
//! read as null, a boolean, a number or a timestamp must be quoted (`resolve.go` there is the source of the
//! rules, Go's `strconv` and `time` packages of what a number and a time are).

/// Words that mean something other than themselves.
const WORDS: &[&str] = &[
    "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
    "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", ".nan", ".NaN", ".NAN",
    ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
];

/// The longest of [`WORDS`].
const LONGEST_WORD: usize = 5;

/// Whether `text`, unquoted, is read back as a string.
pub(super) fn reads_as_text(text: &str) -> bool {
    let Some(&first) = text.as_bytes().first() else {
        return false;
    };
    let candidate = matches!(
        first,
        b'0'..=b'9'
            | b'+'
            | b'-'
            | b'.'
            | b'~'
            | b'y'
            | b'Y'
            | b'n'
            | b'N'
            | b't'
            | b'T'
            | b'f'
            | b'F'
            | b'o'
            | b'O'
    );
    if !candidate {
        return true;
    }
    if text.len() <= LONGEST_WORD && WORDS.contains(&text) {
        return false;
    }
    match first {
        b'.' => !(underscores_separate_digits(text) && is_finite_float(&text.replace('_', ""))),
        b'0'..=b'9' | b'+' | b'-' => {
            let plain = text.replace('_', "");
            !(is_timestamp(text) || is_integer(&plain) || is_finite_float(&plain) || is_sexagesimal(text))
        }
        _ => true,
    }
}

/// Integers that fit 64 bits, signed or not, in base 2, 8, 10 or 16 by their prefix.
fn is_integer(text: &str) -> bool {
    let (sign, digits) = split_sign(text);
    fits(sign, digits, None) || binary_after_prefix(text)
}

/// go-yaml tries `0b` and `-0b` by itself too, which lets a second sign through (`0b-1`).
fn binary_after_prefix(text: &str) -> bool {
    text.strip_prefix("0b").is_some_and(|rest| {
        let (sign, digits) = split_sign(rest);
        fits(sign, digits, Some(2))
    })
}

fn split_sign(text: &str) -> (Option<char>, &str) {
    match text.as_bytes().first() {
        Some(b'+') => (Some('+'), &text[1..]),
        Some(b'-') => (Some('-'), &text[1..]),
        _ => (None, text),
    }
}

/// Whether the number lies in `-2^63 ..= 2^63-1` with a sign, in `0 ..= 2^64-1` without.
fn fits(sign: Option<char>, digits: &str, radix: Option<u32>) -> bool {
    let Some(magnitude) = magnitude(digits, radix) else {
        return false;
    };
    match sign {
        None => true,
        Some('-') => magnitude <= 1 << 63,
        Some(_) => magnitude < 1 << 63,
    }
}

/// The value of an unsigned number; without a radix its prefix decides, and a leading zero means octal.
fn magnitude(text: &str, radix: Option<u32>) -> Option<u64> {
    let bytes = text.as_bytes();
    let (radix, digits) = match (radix, bytes) {
        (Some(radix), _) => (radix, text),
        (None, [b'0', b'b' | b'B', _, ..]) => (2, &text[2..]),
        (None, [b'0', b'o' | b'O', _, ..]) => (8, &text[2..]),
        (None, [b'0', b'x' | b'X', _, ..]) => (16, &text[2..]),
        (None, [b'0']) => return Some(0),
        (None, [b'0', ..]) => (8, &text[1..]),
        (None, _) => (10, text),
    };
    // from_str_radix itself would take one more sign.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, unless it is too large for a double.
fn is_finite_float(text: &str) -> bool {
    let (_, unsigned) = split_sign(text);
    let (whole, rest) = split_digits(unsigned);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => split_digits(after),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return false;
    }
    let exponent_is_well_formed = match rest.strip_prefix(['e', 'E']) {
        Some(exponent) => {
            let (digits, end) = split_digits(split_sign(exponent).1);
            !digits.is_empty() && end.is_empty()
        }
        None => rest.is_empty(),
    };
    exponent_is_well_formed && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// What Go asks of a number that begins with a point; from others go-yaml drops underscores wherever they are.
fn underscores_separate_digits(text: &str) -> bool {
    text.split('_').collect::<Vec<_>>().windows(2).all(|pair| {
        pair[0].ends_with(|c: char| c.is_ascii_digit()) && pair[1].starts_with(|c: char| c.is_ascii_digit())
    })
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Base 60, which is quoted for the sake of other readers:
/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`.
fn is_sexagesimal(text: &str) -> bool {
    let (_, unsigned) = split_sign(text);
    let (number, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut parts = number.split(':');
    let head = parts.next().unwrap_or_default();
    let is_tail = |part: &str| match part.as_bytes() {
        [ones] => ones.is_ascii_digit(),
        [tens, ones] => matches!(tens, b'0'..=b'5') && ones.is_ascii_digit(),
        _ => false,
    };
    let is_digits_and_underscores = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    head.starts_with(|c: char| c.is_ascii_digit())
        && is_digits_and_underscores(head)
        && number.contains(':')
        && parts.all(is_tail)
        && is_digits_and_underscores(fraction)
}

/// A date, or a date and a time: `2001-12-14`, `2001-12-14T21:59:43.1-05:00` (`t` too, `Z` too), or
/// `2001-12-14 21:59:43.1` without a zone. Month, day, hour, minute and second may have one digit; what
/// stands for no day, or no time of day, is no timestamp.
fn is_timestamp(text: &str) -> bool {
    let (year, rest) = split_digits(text);
    if year.len() != 4 {
        return false;
    }
    let date = rest.strip_prefix('-').and_then(number).and_then(|(month, rest)| {
        let (day, rest) = number(rest.strip_prefix('-')?)?;
        Some((month, day, rest))
    });
    let Some((month, day, rest)) = date else {
        return false;
    };
    if !is_day(year.parse().unwrap_or_default(), month, day) {
        return false;
    }
    match rest.as_bytes().first() {
        None => true,
        Some(b' ') => after_time(rest.trim_start_matches(' ')) == Some(""),
        Some(b'T' | b't') => after_time(&rest[1..]).is_some_and(is_zone),
        Some(_) => false,
    }
}

/// One or two digits.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    text[..end].parse().ok().map(|value| (value, &text[end..]))
}

fn is_day(year: u32, month: u32, day: u32) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// What follows `hour:minute:second[.fraction]`; the fraction may be set off by a comma.
fn after_time(text: &str) -> Option<&str> {
    let (hour, rest) = number(text)?;
    let (minute, rest) = number(rest.strip_prefix(':')?)?;
    let (second, rest) = number(rest.strip_prefix(':')?)?;
    if hour >= 24 || minute >= 60 || second >= 60 {
        return None;
    }
    let fraction = rest.strip_prefix(['.', ',']).map(split_digits);
    Some(match fraction {
        Some((digits, after)) if !digits.is_empty() => after,
        Some(_) | None => rest,
    })
}

/// `Z`, or an offset such as `+05:30`, where 24 hours and 60 minutes are still let through.
fn is_zone(text: &str) -> bool {
    if text == "Z" {
        return true;
    }
    let two = |digits: &[u8]| {
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| (digits[0] - b'0') * 10 + digits[1] - b'0')
    };
    match text.as_bytes() {
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            two(&[*h1, *h2]).is_some_and(|hours| hours <= 24)
                && two(&[*m1, *m2]).is_some_and(|minutes| minutes <= 60)
        }
        _ => false,
    }
}

#[cfg(test)]
#[rustfmt::skip::macros(vec)]
mod tests {
    use super::reads_as_text;

    #[test]
    fn what_means_something_else_is_no_text() {
        for text in vec![
            "", "~", "y", "On", "FALSE", "0", "-1", "+1", "0o17", "017", "0x1F", "0B1", "0b101", "0b-1", "1_000",
            "1__0", "08", "0.", ".5", ".5_0e1_0", "-.5e3", "1e3", "123456789012345678901234567890",
            "18446744073709551615", "-9223372036854775808", "0777777777777777777777777", ".inf", "+.INF", "1:20",
            "-190:20:30.15", "1_:2", "60:00", "2001-1-1", "2001-12-14t21:59:43.10-05:00", "2001-12-14   2:59:43,1",
            "2000-02-29", "2001-12-14T1:2:3+24:60",
        ] {
            assert!(!reads_as_text(text), "{text:?}");
        }
    }

    #[test]
    fn what_means_nothing_else_is_text() {
        for text in vec![
            "a", "_1", "tRUE", "NaN", "inf", "Infinity", "1,000", "0x", "0xg", "0o8", "0b2", "1.5e400", ".5e309", ".",
            "._5", ".5_", ".5__0", ".5_e3", "1e", "e1", "1.2.3", "-", "+", "--1", "+-1", "0b--1", "0b", "-0b", "-0b-1",
            "0xFFFFFFFFFFFFFFFFF", "-0x8000000000000001", "1:60", "1:2:", ":1", "1:2.5.", "20010-1-1", "2001-13-45",
            "2001-02-29", "2001-12-14 ", "2001-12-14T21:59:43", "2001-12-14 21:59:43.10 -5", "1999-12-31T24:00:00Z",
            "2001-12-14T1:2:3.Z", "2001-12-14T1:2:3+24:61", "<<", "=",
        ] {
            assert!(reads_as_text(text), "{text:?}");
        }
    }
}
