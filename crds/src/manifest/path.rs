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

/// Reads a path as [`path_text`] writes it. In brackets, digits are an index, and everything else is a key, in quotes or not.
pub(super) fn parse_path(text: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, after) = inner.split_once(']').unwrap_or((inner, ""));
            segments.push(match step.parse() {
                Ok(index) => Segment::Index(index),
                Err(_) => Segment::Key(step.trim_matches('"').to_owned()),
            });
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, after) = rest.split_at(end);
            if !key.is_empty() {
                segments.push(Segment::Key(key.to_owned()));
            }
            // Two dots in a row are no path; what comes after them is not looked for.
            rest = if key.is_empty() && !after.starts_with('[') {
                ""
            } else {
                after
            };
        }
    }
    segments
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
