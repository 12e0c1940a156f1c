//! Where in a document a node is.

/// One step from a node to a node below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Into a mapping.
    Key(String),
    /// Into a list, from 0.
    Index(usize),
}

/// `spec.storage.files[0]`; keys with other characters in brackets and quotes.
pub(super) fn path_text(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        let step = match segment {
            Segment::Index(index) => format!("[{index}]"),
            Segment::Key(key) if key.contains(['.', '/', '[', '"']) => format!("[{key:?}]"),
            Segment::Key(key) if text.is_empty() => key.clone(),
            Segment::Key(key) => format!(".{key}"),
        };
        text.push_str(&step);
    }
    text
}

/// The way that a failed deserialiser had gone.
pub(super) fn segments(path: &serde_path_to_error::Path) -> Vec<Segment> {
    use serde_path_to_error::Segment as Step;
    path.iter()
        .filter_map(|step| match step {
            Step::Seq { index } => Some(Segment::Index(*index)),
            Step::Map { key } => Some(Segment::Key(key.clone())),
            Step::Enum { .. } | Step::Unknown => None,
        })
        .collect()
}

/// The way to a field that nobody reads.
pub(super) fn ignored_path(path: &serde_ignored::Path<'_>) -> String {
    fn steps(path: &serde_ignored::Path<'_>, out: &mut Vec<Segment>) {
        use serde_ignored::Path;
        match path {
            Path::Root => {}
            Path::Seq { parent, index } => {
                steps(parent, out);
                out.push(Segment::Index(*index));
            }
            Path::Map { parent, key } => {
                steps(parent, out);
                out.push(Segment::Key(key.clone()));
            }
            Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
                steps(parent, out);
            }
        }
    }
    let mut out = Vec::new();
    steps(path, &mut out);
    path_text(&out)
}
