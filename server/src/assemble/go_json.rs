//! JSON as the reference's encoder writes it: `<`, `>`, `&` and the two line separators of Unicode escaped.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

/// Without any white space.
pub(super) fn compact(value: &impl Serialize) -> String {
    write(value, CompactFormatter)
}

/// Indented by four spaces, without a line end after the last line.
pub(super) fn indented(value: &impl Serialize) -> String {
    write(value, PrettyFormatter::with_indent(b"    "))
}

fn write(value: &impl Serialize, layout: impl Formatter) -> String {
    let mut bytes = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, GoFormatter(layout)))
        .expect("writing to memory does not fail, and keys are strings");
    String::from_utf8(bytes).expect("the serialiser writes UTF-8")
}

/// A layout with Go's escapes in strings.
struct GoFormatter<F>(F);

/// The escape that Go writes where other encoders write the character itself.
fn escape(c: char) -> Option<&'static str> {
    match c {
        '<' => Some("\\u003c"),
        '>' => Some("\\u003e"),
        '&' => Some("\\u0026"),
        '\u{2028}' => Some("\\u2028"),
        '\u{2029}' => Some("\\u2029"),
        _ => None,
    }
}

impl<F: Formatter> Formatter for GoFormatter<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c, escaped)) = rest.char_indices().find_map(|(at, c)| Some((at, c, escape(c)?))) {
            writer.write_all(&rest.as_bytes()[..at])?;
            writer.write_all(escaped.as_bytes())?;
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let text = "<a> & \u{2028}\u{2029} é \u{7f} \u{8}\u{c}\u{1} \" \\ \n\t/";
        let expected = "\"\\u003ca\\u003e \\u0026 \\u2028\\u2029 é \u{7f} \\b\\f\\u0001 \\\" \\\\ \\n\\t/\"";
        assert_eq!(compact(&text), expected);
        assert_eq!(compact(&json!({"<": "&"})), "{\"\\u003c\":\"\\u0026\"}");
    }

    #[test]
    fn indentation_is_go_s() {
        let value = json!({"a": [], "b": {}, "c": [1, {"d": null}]});
        let expected = "{\n    \"a\": [],\n    \"b\": {},\n    \"c\": [\n        1,\n        {\n            \"d\": null\n        }\n    ]\n}";
        assert_eq!(indented(&value), expected);
    }
}
