//! A JSON value as the YAML text that the reference hashes: block style, sorted keys, two columns of
//! indent, text folded beyond 80 columns; the manner of libyaml's emitter as go-yaml 2.4 has it.
//!
//! [`emit`] streams into a sink, so that no copy of a large config is made.

use serde_json::{Map, Value};

use super::reread::reread;
use super::resolve::reads_as_text;
use analysis::{Analysis, analyse, is_solid, solid_may_be_plain};
use number::decimal;

mod analysis;
mod number;
mod scalar;

/// Columns per level.
const INDENT: usize = 2;
/// Text is handed to the sink once this much has gathered: enough that the sink's own cost does not matter.
const CHUNK: usize = 8 << 10;

/// A string that the YAML reader refuses: the character, and where it stands (keys and indices, innermost
/// first).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) character: char,
    pub(super) path: Vec<Step>,
}

/// One step of a path into a JSON value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// Writes an object of these fields, which are sorted, to `sink`, piece by piece. Keys must be ASCII letters and
/// digits, at most 128 of them, as all keys of a `MachineConfigSpec` are: for them the reference's natural order
/// is byte order, and none needs quotes.
pub(super) fn emit(fields: &[(&str, &Value)], sink: &mut dyn FnMut(&str)) -> Result<(), Refused> {
    let mut emitter = Emitter {
        out: String::with_capacity(CHUNK),
        column: 0,
        sink,
    };
    if fields.is_empty() {
        emitter.raw("{}");
    }
    emitter.mapping(fields.iter().copied(), 0)?;
    emitter.end_line();
    emitter.flush();
    Ok(())
}

/// The fields of a JSON object, sorted by key.
pub(super) fn fields(map: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    map.iter().map(|(key, value)| (key.as_str(), value))
}

/// The state of the writing: what is not yet handed on, and the column, counted in characters.
struct Emitter<'a> {
    out: String,
    column: usize,
    sink: &'a mut dyn FnMut(&str),
}

impl Emitter<'_> {
    /// A mapping, its first key where the line stands: behind a dash, or in a line of its own.
    fn mapping<'v>(
        &mut self,
        fields: impl Iterator<Item = (&'v str, &'v Value)>,
        indent: usize,
    ) -> Result<(), Refused> {
        for (index, (key, value)) in fields.enumerate() {
            if index > 0 {
                self.end_line();
            }
            self.fill(indent);
            self.raw(key);
            self.raw(":");
            self.member(value, indent)
                .map_err(|refused| refused.below(|| Step::Key(key.to_owned())))?;
        }
        Ok(())
    }

    /// The value of a key: a sequence stands in the column of its key, a mapping deeper.
    fn member(&mut self, value: &Value, indent: usize) -> Result<(), Refused> {
        match value {
            Value::Array(items) if !items.is_empty() => {
                self.end_line();
                self.sequence(items, indent)
            }
            Value::Object(map) if !map.is_empty() => {
                self.end_line();
                self.mapping(fields(map), indent + INDENT)
            }
            scalar => self.scalar_after_blank(scalar, indent + INDENT),
        }
    }

    /// A sequence, its first dash where the line stands.
    fn sequence(&mut self, items: &[Value], indent: usize) -> Result<(), Refused> {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.end_line();
            }
            self.fill(indent);
            self.raw("-");
            self.item(item, indent)
                .map_err(|refused| refused.below(|| Step::Index(index)))?;
        }
        Ok(())
    }

    /// An entry of a sequence: what it holds begins in the line of its dash.
    fn item(&mut self, item: &Value, indent: usize) -> Result<(), Refused> {
        match item {
            Value::Array(items) if !items.is_empty() => self.sequence(items, indent + INDENT),
            Value::Object(map) if !map.is_empty() => self.mapping(fields(map), indent + INDENT),
            scalar => self.scalar_after_blank(scalar, indent + INDENT),
        }
    }

    fn scalar_after_blank(&mut self, value: &Value, indent: usize) -> Result<(), Refused> {
        self.raw(" ");
        self.scalar(value, indent)
    }

    /// Anything that fits behind a key or a dash, continued at `indent`.
    fn scalar(&mut self, value: &Value, indent: usize) -> Result<(), Refused> {
        match value {
            Value::Null => self.raw("null"),
            Value::Bool(true) => self.raw("true"),
            Value::Bool(false) => self.raw("false"),
            Value::Number(number) => self.raw(&decimal(number)),
            Value::String(text) => return self.text(text, indent),
            Value::Array(_) => self.raw("[]"),
            Value::Object(_) => self.raw("{}"),
        }
        Ok(())
    }

    fn text(&mut self, text: &str, indent: usize) -> Result<(), Refused> {
        if is_solid(text) {
            self.solid(text, indent);
            return Ok(());
        }
        let text = reread(text).map_err(|character| Refused {
            character,
            path: Vec::new(),
        })?;
        let Analysis {
            plain_allowed,
            single_quoted_allowed,
            literal_allowed,
        } = analyse(&text);
        let is_literal = text.contains('\n');
        if is_literal && literal_allowed {
            self.literal(&text, indent);
        } else if is_literal || !reads_as_text(&text) {
            self.double_quoted(&text, indent);
        } else if plain_allowed {
            self.plain(&text, indent);
        } else if single_quoted_allowed {
            self.single_quoted(&text, indent);
        } else {
            self.double_quoted(&text, indent);
        }
        Ok(())
    }

    /// Printable ASCII without a blank: nothing that the YAML reader would alter, no line break, nothing to fold.
    fn solid(&mut self, text: &str, indent: usize) {
        if !reads_as_text(text) {
            self.double_quoted(text, indent);
        } else if solid_may_be_plain(text) {
            self.push(text, text.len());
        } else {
            self.single_quoted(text, indent);
        }
    }

    /// Text without line breaks.
    fn raw(&mut self, text: &str) {
        let width = if text.is_ascii() {
            text.len()
        } else {
            text.chars().count()
        };
        self.push(text, width);
    }

    /// Text without line breaks that is so many characters wide.
    fn push(&mut self, text: &str, width: usize) {
        if self.out.len() + text.len() > CHUNK {
            self.flush();
        }
        if text.len() > CHUNK {
            (self.sink)(text);
        } else {
            self.out.push_str(text);
        }
        self.column += width;
    }

    /// One character that is no line break.
    fn character(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    /// A line break that is part of the text: a newline, U+2028 or U+2029.
    fn text_break(&mut self, c: char) {
        self.character(c);
        self.column = 0;
    }

    /// Ends the line unless nothing stands in it.
    fn end_line(&mut self) {
        if self.column > 0 {
            self.out.push('\n');
            self.column = 0;
        }
    }

    /// Breaks the line and goes on at `indent`.
    fn fold(&mut self, indent: usize) {
        self.end_line();
        self.fill(indent);
    }

    /// Blanks up to `indent`.
    fn fill(&mut self, indent: usize) {
        let blanks = indent.saturating_sub(self.column);
        self.out.extend(std::iter::repeat_n(' ', blanks));
        self.column += blanks;
    }

    fn flush(&mut self) {
        (self.sink)(&self.out);
        self.out.clear();
    }
}

impl Refused {
    fn below(mut self, step: impl FnOnce() -> Step) -> Self {
        self.path.push(step());
        self
    }
}
