//! URLs, by the rules of Go's parser (package `net/url`), which the reference reads them with.
//!
//! Messages never hold the URL: it may carry a password or file contents.

use std::net::Ipv6Addr;

use crate::contents;
use crate::problem::Kind as Fault;
use crate::version::Spec;

/// The parts of a URL that rules look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    /// In lower case; empty when there is none.
    pub(super) scheme: String,
    /// What stands between scheme and query, when it does not begin with a slash.
    opaque: &'a str,
    query: &'a str,
}

/// Checks that a source that is not empty can be fetched by a config of version `spec`.
pub(super) fn check_source(source: &str, spec: Spec) -> Result<(), (Fault, String)> {
    let fault = |message: &str| (Fault::Url, message.to_owned());
    let url = Url::parse(source).map_err(fault)?;
    match url.scheme.as_str() {
        "http" | "https" => Ok(()),
        "tftp" if spec > Spec::V2_0 => Ok(()),
        "oem" if spec.is_v2() => Ok(()),
        "gs" if spec >= Spec::V3_2 => Ok(()),
        "s3" if spec > Spec::V2_0 => url.check_version_id().map_err(fault),
        "arn" if spec >= Spec::V3_4 => url.check_arn().map_err(fault),
        "data" => contents::check_source(source).map_err(|error| (Fault::DataUrl, error.to_string())),
        "tftp" | "s3" | "gs" | "arn" => Err((
            Fault::Url,
            format!("a source of scheme {} is not known at version {spec}", url.scheme),
        )),
        "" => Err(fault(
            "a source needs a scheme: plain contents are written data:,<percent-encoded>",
        )),
        other => {
            let known = "use data, https, http, tftp, s3, arn or gs";
            Err((
                Fault::Url,
                format!("unknown scheme {} of a source: {known}", super::shorten(other)),
            ))
        }
    }
}

impl<'a> Url<'a> {
    /// Parses what Go's `url.Parse` parses.
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        // Without an early end, so that it runs many bytes at a time.
        if text.bytes().fold(0, |found, byte| {
            found | u8::from(byte < b' ') | u8::from(byte == 0x7f)
        }) != 0
        {
            return Err("the URL holds a control character");
        }
        let (scheme, rest) = split_scheme(text)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let url = Url {
            scheme: scheme.to_ascii_lowercase(),
            opaque: rest,
            query,
        };
        if rest.starts_with('/') || scheme.is_empty() {
            url.check_hierarchy(rest)?;
        }
        check_escapes(fragment)?;
        Ok(url)
    }

    /// Checks an authority and a path.
    fn check_hierarchy(&self, rest: &str) -> Result<(), &'static str> {
        let first_segment = rest.split('/').next().unwrap_or_default();
        if first_segment.contains(':') {
            return Err("the URL has a colon in its first part, but no scheme");
        }
        let has_authority = rest.starts_with("//") && (!self.scheme.is_empty() || !rest.starts_with("///"));
        let path = match rest.strip_prefix("//").filter(|_| has_authority) {
            None => rest,
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                check_authority(&self.scheme, &rest[..end])?;
                &rest[end..]
            }
        };
        check_escapes(path)
    }

    /// A version of an S3 object that is asked for must not be empty.
    fn check_version_id(&self) -> Result<(), &'static str> {
        for pair in self.query.split('&').filter(|pair| !pair.contains(';')) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if check_escapes(key).is_ok()
                && check_escapes(value).is_ok()
                && query_unescape(key) == "versionId"
            {
                return if value.is_empty() {
                    Err("the URL's versionId is empty")
                } else {
                    Ok(())
                };
            }
        }
        Ok(())
    }

    /// An Amazon resource name must name an object in S3.
    fn check_arn(&self) -> Result<(), &'static str> {
        const INVALID: &str =
            "the ARN does not name an S3 object: arn:<partition>:s3:<region>:<account>:<bucket>/<key>";
        // partition, service, region, account, resource
        let parts: Vec<&str> = self.opaque.splitn(5, ':').collect();
        let [_, "s3", _, _, resource] = parts[..] else {
            return Err(INVALID);
        };
        let slashes = self.opaque.matches('/').count();
        if slashes == 0 || (resource.starts_with("accesspoint/") && slashes < 2) {
            return Err(INVALID);
        }
        self.check_version_id()
    }
}

/// Splits `scheme:rest`; the scheme is empty when there is none.
fn split_scheme(text: &str) -> Result<(&str, &str), &'static str> {
    for (i, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if i > 0 => {}
            ':' if i == 0 => return Err("the URL's scheme is empty"),
            ':' => return Ok((&text[..i], &text[i + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn check_authority(scheme: &str, authority: &str) -> Result<(), &'static str> {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let is_user_char = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    check_host(scheme, host)?;
    if !user.chars().all(is_user_char) {
        return Err("the URL's user holds a character that must be percent-encoded");
    }
    check_escapes(user)
}

fn check_host(scheme: &str, host: &str) -> Result<(), &'static str> {
    if let Some(start) = host.rfind('[') {
        let literal = host
            .strip_prefix('[')
            .filter(|_| start == 0)
            .and_then(|host| host.rsplit_once(']'));
        let (address, port) = literal.ok_or("the URL's host has unmatched brackets")?;
        check_port(port)?;
        return check_address(address);
    }
    if let Some(first) = host.find(':') {
        let strict = matches!(scheme, "http" | "https");
        let colon = if strict {
            first
        } else {
            host.rfind(':').unwrap_or(first)
        };
        check_port(&host[colon..])?;
    }
    check_host_chars(host)
}

/// Checks what stands after a host: nothing, or a colon and digits.
fn check_port(port: &str) -> Result<(), &'static str> {
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok(()),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        None | Some(_) => Err("the URL's port is not a number"),
    }
}

/// Checks an IPv6 address in brackets, which may name a zone after `%25`.
fn check_address(address: &str) -> Result<(), &'static str> {
    const INVALID: &str = "the URL's host in brackets is no IPv6 address";
    let (address, zone) = match address.split_once("%25") {
        Some((address, zone)) => (address, Some(zone)),
        None => (address, None),
    };
    if zone.is_some_and(|zone| zone.is_empty() || check_zone(zone).is_err()) {
        return Err(INVALID);
    }
    address.parse::<Ipv6Addr>().map(|_| ()).map_err(|_| INVALID)
}

fn check_zone(zone: &str) -> Result<(), &'static str> {
    check_escapes(zone)?;
    let is_fine = |byte: u8| byte >= 0x80 || byte == b'%' || is_host_char(byte);
    if zone.bytes().all(is_fine) {
        Ok(())
    } else {
        Err("the URL's zone holds an invalid character")
    }
}

/// Checks the characters of a host: only bytes beyond ASCII, and the percent sign, may be escaped.
fn check_host_chars(host: &str) -> Result<(), &'static str> {
    const INVALID: &str = "the URL's host holds an invalid character";
    check_escapes(host)?;
    let bytes = host.as_bytes();
    for (i, &byte) in bytes.iter().enumerate() {
        let escaped = &bytes[i + 1..];
        let fine = match byte {
            b'%' => escaped.starts_with(b"25") || escaped.first().is_some_and(|digit| *digit >= b'8'),
            byte => byte >= 0x80 || is_host_char(byte),
        };
        if !fine {
            return Err(INVALID);
        }
    }
    Ok(())
}

fn is_host_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
}

/// Checks that each percent sign has two hexadecimal digits after it.
fn check_escapes(text: &str) -> Result<(), &'static str> {
    let is_escape = |i: usize| {
        text.as_bytes()
            .get(i + 1..i + 3)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if text.match_indices('%').all(|(i, _)| is_escape(i)) {
        Ok(())
    } else {
        Err("the URL has a % without two hexadecimal digits after it")
    }
}

/// Undoes the escapes of a query whose escapes are valid, as far as ASCII text goes.
fn query_unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let code = after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(code.map_or('\u{fffd}', char::from));
        rest = after.get(2..).unwrap_or_default();
    }
    out.push_str(rest);
    out.replace('+', " ")
}
