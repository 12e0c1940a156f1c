//! A text cut into its documents, before any of them is parsed: so one broken document does not
//! hide the others, and positions stay those of the whole file.

use serde::de::IgnoredAny;

/// One document of a file.
pub(super) struct Document<'a> {
    /// The text of this document alone, its `---` line included.
    pub(super) text: &'a str,
    /// Line of the file on which `text` begins, from 1.
    line: usize,
    /// Characters that stand before `text` on that line.
    column: usize,
}

/// Cuts `text` into documents. JSON objects may follow one another without a separator, as kubectl
/// allows; everything else is separated by YAML's `---` and `...` lines, which cannot occur at the
/// start of a line inside a document (YAML 1.2.2, production c-forbidden).
pub(super) fn split(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut cutter = Cutter {
        text,
        documents: Vec::new(),
        start: 0,
        line: 1,
        column: 0,
    };
    if text.trim_start().starts_with('{') {
        cutter.cut_json_stream();
    }
    cutter.cut_yaml();
    cutter.documents
}

/// Walks once over the text and remembers where it is.
struct Cutter<'a> {
    text: &'a str,
    documents: Vec<Document<'a>>,
    /// Where the document that is not yet cut begins: byte, line, characters before it on the line.
    start: usize,
    line: usize,
    column: usize,
}

// === impl Document ===

impl Document<'_> {
    /// Line of the file on which the document's content begins.
    pub(super) fn first_line(&self) -> usize {
        let skipped = self
            .text
            .lines()
            .take_while(|line| is_before_content(line))
            .count();
        self.line + skipped
    }

    /// The place in the file of a place in this document (both from 1).
    pub(super) fn in_file(&self, line: usize, column: usize) -> (usize, usize) {
        let shift = if line == 1 { self.column } else { 0 };
        (self.line + line.saturating_sub(1), column + shift)
    }
}

/// Whether a line can stand before a document's first content line.
fn is_before_content(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', '%']) || line == "---" || line.starts_with("--- #")
}

// === impl Cutter ===

impl Cutter<'_> {
    /// Ends the document at `end` and begins the next one there.
    fn cut(&mut self, end: usize) {
        let text = &self.text[self.start..end];
        self.documents.push(Document {
            text,
            line: self.line,
            column: self.column,
        });
        self.skip_to(end);
    }

    /// Begins the next document at `to`.
    fn skip_to(&mut self, to: usize) {
        let passed = &self.text[self.start..to];
        match passed.rfind('\n') {
            Some(last) => {
                self.line += passed.matches('\n').count();
                self.column = passed[last + 1..].chars().count();
            }
            None => self.column += passed.chars().count(),
        }
        self.start = to;
    }

    /// Cuts off the JSON objects at the beginning. What follows them is left to [`Self::cut_yaml`].
    fn cut_json_stream(&mut self) {
        let mut stream = serde_json::Deserializer::from_str(self.text).into_iter::<IgnoredAny>();
        while let Some(Ok(_)) = stream.next() {
            self.cut(stream.byte_offset());
        }
    }

    /// Cuts the rest at YAML's marker lines.
    fn cut_yaml(&mut self) {
        let mut only_directives = true;
        let mut offset = self.start;
        for line in self.text[self.start..].split_inclusive('\n') {
            let next = offset + line.len();
            if is_marker(line, "---") {
                // A document's own start line follows its `%` directives.
                if !only_directives {
                    self.cut(offset);
                }
                only_directives = false;
            } else if is_marker(line, "...") {
                self.cut(offset);
                self.skip_to(next);
                only_directives = true;
            } else if !(line.trim().is_empty() || line.starts_with(['#', '%'])) {
                only_directives = false;
            }
            offset = next;
        }
        self.cut(offset);
    }
}

/// Whether the line is a document marker.
fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(&str, usize, usize)> {
        split(text)
            .into_iter()
            .filter(|document| !document.text.trim().is_empty())
            .map(|document| (document.text, document.line, document.column))
            .collect()
    }

    #[test]
    fn documents_keep_their_place_in_the_file() {
        assert_eq!(
            cut("a: 1\n---\nb: 1\n"),
            [("a: 1\n", 1, 0), ("---\nb: 1\n", 2, 0)]
        );
        assert_eq!(
            cut("--- {a: 1}\n--- # x\nb: 1"),
            [("--- {a: 1}\n", 1, 0), ("--- # x\nb: 1", 2, 0)]
        );
        assert_eq!(cut("a: 1\n...\nb: 1\n"), [("a: 1\n", 1, 0), ("b: 1\n", 3, 0)]);
        assert_eq!(
            cut("a: 1\r\n---\r\nb: 1\r\n"),
            [("a: 1\r\n", 1, 0), ("---\r\nb: 1\r\n", 2, 0)]
        );
    }

    #[test]
    fn directives_belong_to_the_document_after_them() {
        assert_eq!(cut("%YAML 1.2\n---\na: 1\n"), [("%YAML 1.2\n---\na: 1\n", 1, 0)]);
        assert_eq!(
            cut("# x\n---\na: 1\n---\nb: 1"),
            [("# x\n---\na: 1\n", 1, 0), ("---\nb: 1", 4, 0)]
        );
    }

    #[test]
    fn what_only_looks_like_a_marker_is_none() {
        let text = "a: |\n  ---\n  ...\n---x: 1\n";
        assert_eq!(cut(text), [(text, 1, 0)]);
    }

    #[test]
    fn json_objects_may_follow_one_another() {
        assert_eq!(
            cut("{\"a\":1} {\"b\":1}\n{\"c\":1}\n"),
            [("{\"a\":1}", 1, 0), (" {\"b\":1}", 1, 7), ("\n{\"c\":1}", 1, 15)]
        );
        assert_eq!(cut("{\"a\":1}\n---\n{\"b\":1}\n").len(), 2);
        assert_eq!(cut("{a: 1}\n---\n{\"b\":1}\n").len(), 2);
    }

    #[test]
    fn the_line_of_a_document_is_its_first_line_with_content() {
        let documents = split("# why\n---\n\n# more\na: 1\n---\nb: 1\n{");
        let lines = documents.iter().map(Document::first_line).collect::<Vec<_>>();
        assert_eq!(lines, [5, 7]);
        let stream = split("{\"a\":1}\n\n{\"b\":1}");
        assert_eq!(stream[1].first_line(), 3);
    }

    #[test]
    fn a_byte_order_mark_is_no_content() {
        assert_eq!(cut("\u{feff}---\na: 1\n"), [("---\na: 1\n", 1, 0)]);
    }
}
