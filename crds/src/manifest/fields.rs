//! Where the fields of a text's objects are, for what is found out about objects after they were read.

use super::decode;
use super::documents::{self, Document};
use super::path::{Segment, parse_path};
use super::places::Places;
use super::read;

/// The places of every field of every object of a text that [`super::parse`] has read.
pub struct Fields<'a> {
    documents: Vec<Read<'a>>,
}

/// One document.
struct Read<'a> {
    document: Document<'a>,
    places: Places,
    /// Where its objects are: at the top, or the items of a `List`.
    items: Vec<Vec<Segment>>,
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// Reads the text once more. Documents that cannot be read have no fields.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let documents = documents::split(text).into_iter().filter_map(|document| {
            let value = read::value(&document).ok()?;
            let items = decode::items(value).into_iter().map(|item| item.path).collect();
            Some(Read {
                places: read::places(&document),
                items,
                document,
            })
        });
        Self {
            documents: documents.collect(),
        }
    }

    /// Line and column, from 1, of a field such as `spec.config.storage.files[0].mode` of the object that begins on `line`; of
    /// the nearest field around it when it is not there. Nothing when no object begins there or nothing of the path is there.
    #[must_use]
    pub fn place(&self, line: usize, field: &str) -> Option<(usize, usize)> {
        let field = parse_path(field);
        self.documents.iter().find_map(|read| {
            let item = read.items.iter().find(|item| read.line_of(item) == line)?;
            // Nothing of the field is there if it leads no further than to its object.
            let object = read.places.of(item);
            let place = read.places.of(&[item.as_slice(), &field].concat());
            let (line, column) = place.filter(|_| place != object)?;
            Some(read.document.in_file(line, column))
        })
    }
}

// === impl Read ===

impl Read<'_> {
    fn line_of(&self, item: &[Segment]) -> usize {
        match self.places.of(item) {
            Some((line, column)) => self.document.in_file(line, column).0,
            None => self.document.first_line(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# about it
kind: A
metadata:
  labels:
    a.example/b: c
spec:
  list:
    - mode: 1
    - {mode: 2, \"x.y\": 3}
---
kind: List
items:
  - kind: A
    spec: {n: 1}
  - kind: A
    spec:
      n: 2
---
not: [readable
";

    #[test]
    fn a_field_is_found_in_the_object_that_begins_on_a_line() {
        let fields = Fields::of(TEXT);
        let table = [
            (2, "spec.list[0].mode", Some((8, 13))),
            (2, "spec.list[1].mode", Some((9, 14))),
            (2, "spec.list[1][\"x.y\"]", Some((9, 24))),
            (2, "metadata.labels[a.example/b]", Some((5, 18))),
            (13, "spec.n", Some((14, 15))),
            (15, "spec.n", Some((17, 10))),
            // The nearest field that is there.
            (2, "spec.list[0].contents.source", Some((8, 7))),
            (2, "spec.list[7].mode", Some((8, 5))),
            // Nothing of it is there, or no object is.
            (2, "status.phase", None),
            (13, "metadata.name", None),
            (2, "", None),
            (3, "spec.list[0].mode", None),
            (19, "not", None),
        ];
        for (line, field, expected) in table {
            assert_eq!(fields.place(line, field), expected, "{line} {field}");
        }
    }
}
