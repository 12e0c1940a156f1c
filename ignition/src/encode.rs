//! Writing: canonical JSON in the reference's key order, with the reference's omissions and escapes.
//!
//! Absent fields, empty lists, and objects that hold nothing but such are left out, except as entries
//! of a list. Strings are escaped as Go's encoder does it for HTML.

use std::fmt::Write;

use crate::tree::{Map, Value};

use crate::schema::{Kind, Object, Presence};

/// The JSON text of an object of the table.
pub(crate) fn to_json(object: &'static Object, map: &Map) -> String {
    let mut out = String::new();
    write_object(object, map, &mut out);
    out
}

/// Appends the JSON text of an object of the table.
pub(crate) fn write_object(object: &'static Object, map: &Map, out: &mut String) {
    out.push('{');
    let mut first = true;
    for field in object.fields {
        let Some(value) = map.get(field.name) else {
            continue;
        };
        if is_omitted(field.kind, field.presence, value) {
            continue;
        }
        if !first {
            out.push(',');
        }
        first = false;
        write_string(field.name, out);
        out.push(':');
        write_value(field.kind, value, out);
    }
    out.push('}');
}

/// Whether the reference leaves the field out: an empty list, or an object by value of nothing else.
fn is_omitted(kind: Kind, presence: Presence, value: &Value) -> bool {
    match (kind, value) {
        (Kind::Texts(_) | Kind::Objects(..), Value::Array(items)) => items.is_empty(),
        (Kind::Object(object), Value::Object(map)) => presence == Presence::NonZero && is_empty(object, map),
        (_, _) => false,
    }
}

fn is_empty(object: &'static Object, map: &Map) -> bool {
    object.fields.iter().all(|field| match map.get(field.name) {
        None => true,
        Some(value) => is_omitted(field.kind, field.presence, value),
    })
}

/// Takes out of a config what is left out when it is written. Of each object `first` is done before, in the same walk: over thousands
/// of files a walk is a matter of what a cache holds.
pub(crate) fn prune(object: &'static Object, map: &mut Map, first: &impl Fn(&'static Object, &mut Map)) {
    first(object, map);
    map.retain(|name, value| {
        let Some(field) = object.fields.iter().find(|field| field.name == name) else {
            return true;
        };
        match (field.kind, &mut *value) {
            (Kind::Object(inner), Value::Object(map)) => prune(inner, map, first),
            (Kind::Objects(inner, _), Value::Array(items)) => {
                for item in items.iter_mut().filter_map(Value::as_object_mut) {
                    prune(inner, item, first);
                }
            }
            _ => {}
        }
        !is_omitted(field.kind, field.presence, value)
    });
}

fn write_value(kind: Kind, value: &Value, out: &mut String) {
    match (kind, value) {
        (Kind::Object(object), Value::Object(map)) => write_object(object, map, out),
        (Kind::Objects(object, _), Value::Array(items)) => {
            write_list(items, out, |item, out| {
                write_value(Kind::Object(object), item, out);
            });
        }
        (Kind::Texts(_), Value::Array(items)) => {
            write_list(items, out, |item, out| write_value(Kind::Text, item, out));
        }
        (_, Value::String(text)) => write_string(text, out),
        (_, Value::Number(number)) => {
            let _ = write!(out, "{number}");
        }
        (_, Value::Bool(set)) => out.push_str(if *set { "true" } else { "false" }),
        (_, Value::Array(_) | Value::Object(_)) => out.push_str("null"),
    }
}

fn write_list(items: &[Value], out: &mut String, write: impl Fn(&Value, &mut String)) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}

/// A JSON string as the reference's encoder writes it: `<`, `>`, `&`, U+2028, U+2029 and control
/// characters as `\uXXXX`; only `\n`, `\r`, `\t`, `\"` and `\\` short.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(end) = rest.bytes().position(|byte| IS_SPECIAL[usize::from(byte)]) {
        // A special byte begins a character.
        let (plain, tail) = rest.split_at(end);
        out.push_str(plain);
        let mut chars = tail.chars();
        if let Some(c) = chars.next() {
            write_char(c, out);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Which bytes begin a character that may need an escape. 0xe2 begins U+2028 and U+2029, among others.
const IS_SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[0xe2] = true;
    table
};

fn write_char(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '<' | '>' | '&' | '\u{0}'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        other => out.push(other),
    }
}
