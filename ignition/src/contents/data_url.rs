//! Decoding `data:` URLs exactly as the reference's decoder (Go package `vincent-petithory/dataurl`)
//! accepts them: stricter than browsers in the media type, the characters and the padding.

use std::str::Chars;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::{ContentsError, hex};

/// Padding is needed; bits left over in the last character do not matter.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The types a media type may begin with, besides `x-…`.
const MEDIA_TYPES: [&str; 7] = [
    "text",
    "image",
    "audio",
    "video",
    "application",
    "message",
    "multipart",
];

/// The bytes of a data URL.
pub(super) fn decode(url: &str) -> Result<Vec<u8>, ContentsError> {
    let (is_base64, data) = split(url)?;
    if is_base64 {
        base64_data(data)
    } else {
        percent_data(data)
    }
    .map_err(malformed)
}

/// Whether [`decode`] succeeds, without keeping the bytes.
pub(super) fn check(url: &str) -> Result<(), ContentsError> {
    let (is_base64, data) = split(url)?;
    if is_base64 {
        base64_data(data).map(|_| ())
    } else {
        check_percent_data(data)
    }
    .map_err(malformed)
}

/// Whether the data of a data URL is base64, and the data.
fn split(url: &str) -> Result<(bool, &str), ContentsError> {
    let Some(rest) = url.strip_prefix("data:") else {
        return Err(ContentsError::NotData { scheme: scheme(url) });
    };
    header(rest).map_err(malformed)
}

fn malformed(reason: &str) -> ContentsError {
    ContentsError::Malformed {
        reason: reason.to_owned(),
    }
}

/// What stands before the first colon, as far as it can be a scheme.
fn scheme(url: &str) -> String {
    match url.split_once(':') {
        Some((scheme, _))
            if scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) =>
        {
            scheme.chars().take(32).collect()
        }
        _ => String::new(),
    }
}

/// Reads `[type/subtype](;attr=value)*[;base64],`: whether the data is base64, and the data.
fn header(text: &str) -> Result<(bool, &str), &'static str> {
    let mut chars = text.chars();
    match chars.clone().next() {
        None => return Err("missing comma before the data"),
        Some(';' | ',') => {}
        Some(_) => media_type(&mut chars)?,
    }
    loop {
        match chars.next() {
            Some(',') => return Ok((false, chars.as_str())),
            Some(';') => {
                if parameter(&mut chars)? {
                    return Ok((true, chars.as_str()));
                }
            }
            None => return Err("missing comma before the data"),
            Some(_) => {
                return Err("a semicolon or a comma is needed after the media type and each parameter");
            }
        }
    }
}

/// Reads `type/subtype`.
fn media_type(chars: &mut Chars<'_>) -> Result<(), &'static str> {
    let kind = take_token(chars);
    match chars.next() {
        Some('/') => {}
        None => return Err("missing slash in the media type, or comma before the data"),
        Some(_) => return Err("invalid character in the media type"),
    }
    let known = MEDIA_TYPES.iter().any(|prefix| kind.starts_with(prefix));
    if !known && !kind.starts_with("x-") && !kind.starts_with("X-") {
        return Err("unknown media type");
    }
    take_token(chars);
    match chars.clone().next() {
        Some(';' | ',') => Ok(()),
        None => Err("missing comma before the data"),
        Some(_) => Err("invalid character in the media type"),
    }
}

/// Reads `attr=value`, or `base64` with the comma after it; whether it was the latter.
fn parameter(chars: &mut Chars<'_>) -> Result<bool, &'static str> {
    let attribute = take_token(chars);
    match chars.next() {
        _ if attribute.is_empty() => Err("a parameter needs a name"),
        Some(',') if attribute == "base64" => Ok(true),
        Some(',') => Err("a parameter needs a value, and an encoding must be base64"),
        Some('=') => value(chars).map(|()| false),
        None => Err("missing comma before the data"),
        Some(_) => Err("invalid character in a parameter"),
    }
}

/// Reads the value of a parameter, a token or a quoted string.
fn value(chars: &mut Chars<'_>) -> Result<(), &'static str> {
    if let Some(quoted) = chars.as_str().strip_prefix('"') {
        *chars = quoted.chars();
        return quoted_value(chars);
    }
    let token = take_token(chars);
    if token.is_empty() {
        return Err("a parameter needs a value");
    }
    let is_escape = |text: &str| {
        text.as_bytes()
            .get(..2)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if token.split('%').skip(1).all(is_escape) {
        Ok(())
    } else {
        Err("invalid escape in a parameter")
    }
}

/// Reads a quoted string with the escapes of Go, after its opening quote.
fn quoted_value(chars: &mut Chars<'_>) -> Result<(), &'static str> {
    loop {
        match chars.next() {
            None => return Err("unclosed quote in a parameter"),
            Some('"') => return Ok(()),
            Some('\\') => escape(chars)?,
            Some('\n') => return Err("line break in a quoted parameter"),
            Some(c) if c.is_ascii() => {}
            Some(_) => return Err("invalid character in a quoted parameter"),
        }
    }
}

fn escape(chars: &mut Chars<'_>) -> Result<(), &'static str> {
    const INVALID: &str = "invalid escape in a quoted parameter";
    let number = |chars: &mut Chars<'_>, first: Option<char>, digits: usize, radix: u32| {
        let mut number = first.map_or(Some(0), |c| c.to_digit(radix)).ok_or(INVALID)?;
        for _ in 0..digits {
            let digit = chars.next().and_then(|c| c.to_digit(radix)).ok_or(INVALID)?;
            number = number
                .checked_mul(radix)
                .and_then(|n| n.checked_add(digit))
                .ok_or(INVALID)?;
        }
        Ok(number)
    };
    match chars.next() {
        Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '"') => Ok(()),
        Some('x') => number(chars, None, 2, 16).map(|_| ()),
        Some('u') => char::from_u32(number(chars, None, 4, 16)?)
            .map(|_| ())
            .ok_or(INVALID),
        Some('U') => char::from_u32(number(chars, None, 8, 16)?)
            .map(|_| ())
            .ok_or(INVALID),
        Some(c @ '0'..='7') => (number(chars, Some(c), 2, 8)? <= 255)
            .then_some(())
            .ok_or(INVALID),
        _ => Err(INVALID),
    }
}

/// Takes the longest token (RFC 2045) off the front.
fn take_token<'t>(chars: &mut Chars<'t>) -> &'t str {
    let text = chars.as_str();
    let end = text.find(|c: char| !is_token(c)).unwrap_or(text.len());
    *chars = text[end..].chars();
    &text[..end]
}

fn is_token(c: char) -> bool {
    c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c)
}

fn percent_data(data: &str) -> Result<Vec<u8>, &'static str> {
    check_percent_data(data)?;
    let mut out = Vec::with_capacity(data.len());
    let mut rest = data.as_bytes();
    while let Some(end) = rest.iter().position(|byte| *byte == b'%') {
        let (before, escape) = rest.split_at(end);
        out.extend_from_slice(before);
        let (digits, after) = escape[1..].split_at(2);
        out.extend(
            digits
                .iter()
                .try_fold(0, |byte, digit| Some(byte << 4 | hex(*digit)?)),
        );
        rest = after;
    }
    out.extend_from_slice(rest);
    Ok(out)
}

/// Checks that every byte stands for itself or is an escape.
fn check_percent_data(data: &str) -> Result<(), &'static str> {
    let bytes = data.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if IS_PLAIN[usize::from(byte)] {
            at += 1;
            continue;
        }
        let digits = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let Some(digits) = digits else {
            return Err(
                "a character must be percent-encoded, or a % has not two hexadecimal digits after it",
            );
        };
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err("a % has not two hexadecimal digits after it");
        }
        at += 3;
    }
    Ok(())
}

/// Which bytes may stand for themselves. The percent sign may not.
const IS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0x21;
    while byte < 0x7f {
        table[byte as usize] = !matches!(
            byte,
            b'<' | b'>' | b'#' | b'"' | b'{' | b'}' | b'|' | b'\\' | b'^' | b'[' | b']' | b'`' | b'%'
        );
        byte += 1;
    }
    table
};

fn base64_data(data: &str) -> Result<Vec<u8>, &'static str> {
    // Line feeds are let through by the reference's decoder, though not by its check of the URL.
    let decoded = if data.contains('\n') {
        BASE64.decode(data.replace('\n', ""))
    } else {
        BASE64.decode(data)
    };
    decoded.map_err(|_| "not valid base64")
}
