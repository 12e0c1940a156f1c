//! A JSON value as the YAML text that the reference hashes: block style, sorted keys, two columns of
//! indent, text folded beyond 80 columns; the manner of libyaml's emitter as go-yaml 2.4 has it.
//!
//! [`emit`] streams into a sink, so that no copy of a large config is made.

use super::reread::reread;
use super::resolve::reads_as_text;
use analysis::{Analysis, analyse, is_solid, solid_may_be_plain};
use number::decimal;

mod analysis;
mod number;
mod scalar;
mod shape;

pub(crate) use shape::{Shape, Tree, fields};

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
pub(super) fn emit<'v, T: Tree>(
    fields: impl ExactSizeIterator<Item = (&'v str, Shape<'v, T>)>,
    sink: &mut dyn FnMut(&str),
) -> Result<(), Refused> {
    let mut emitter = Emitter {
        out: String::with_capacity(CHUNK),
        column: 0,
        sink,
    };
    if fields.len() == 0 {
        emitter.raw("{}");
    }
    emitter.mapping(fields, 0)?;
    emitter.end_line();
    emitter.flush();
    Ok(())
}

/// The state of the writing: what is not yet handed on, and the column, counted in characters.
struct Emitter<'a> {
    out: String,
    column: usize,
    sink: &'a mut dyn FnMut(&str),
}

impl Emitter<'_> {
    /// A mapping, its first key where the line stands: behind a dash, or in a line of its own.
    fn mapping<'v, T: Tree>(
        &mut self,
        fields: impl Iterator<Item = (&'v str, Shape<'v, T>)>,
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
    fn member<T: Tree>(&mut self, value: Shape<'_, T>, indent: usize) -> Result<(), Refused> {
        match value {
            Shape::List(items) if !items.is_empty() => {
                self.end_line();
                self.sequence(items, indent)
            }
            Shape::Object(fields) if fields.len() > 0 => {
                self.end_line();
                self.mapping(fields, indent + INDENT)
            }
            scalar => self.scalar_after_blank(&scalar, indent + INDENT),
        }
    }

    /// A sequence, its first dash where the line stands.
    fn sequence<T: Tree>(&mut self, items: &[T], indent: usize) -> Result<(), Refused> {
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
    fn item<T: Tree>(&mut self, item: &T, indent: usize) -> Result<(), Refused> {
        match item.shape() {
            Shape::List(items) if !items.is_empty() => self.sequence(items, indent + INDENT),
            Shape::Object(fields) if fields.len() > 0 => self.mapping(fields, indent + INDENT),
            scalar => self.scalar_after_blank(&scalar, indent + INDENT),
        }
    }

    fn scalar_after_blank<T: Tree>(&mut self, value: &Shape<'_, T>, indent: usize) -> Result<(), Refused> {
        self.raw(" ");
        self.scalar(value, indent)
    }

    /// Anything that fits behind a key or a dash, continued at `indent`.
    fn scalar<T: Tree>(&mut self, value: &Shape<'_, T>, indent: usize) -> Result<(), Refused> {
        match value {
            Shape::Null => self.raw("null"),
            Shape::Bool(true) => self.raw("true"),
            Shape::Bool(false) => self.raw("false"),
            Shape::Whole(number) => self.raw(&number.to_string()),
            Shape::Number(number) => self.raw(&decimal(number)),
            Shape::Text(text) => return self.text(text, indent),
            Shape::List(_) => self.raw("[]"),
            Shape::Object(_) => self.raw("{}"),
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
