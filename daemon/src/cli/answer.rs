//! How commands answer: findings on standard error, colours where they are wanted, results for people or programs.

use std::io;
use std::path::Path;

use clap::ValueEnum;
use machineconfig::Finding;
use machineconfig::finding::{Located, Place};
use machineconfig::style::Styles;

use super::{Exit, message};

/// Form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people
    Text,
    /// For programs: one object, the same from version to version
    Json,
}

/// Tells findings, and that nothing was done.
pub(crate) fn refuse(findings: impl IntoIterator<Item = Located>, exit: Exit) -> Exit {
    let styles = styles(&io::stderr());
    for located in findings {
        message(&located.show(&styles));
    }
    exit
}

/// Findings about a node or a config, which no line of a file is about.
pub(crate) fn unplaced(findings: impl IntoIterator<Item = Finding>) -> impl Iterator<Item = Located> {
    findings.into_iter().map(|finding| Located {
        place: Place::default(),
        finding,
    })
}

/// A finding about a file.
pub(crate) fn about(path: &Path, finding: Finding) -> Located {
    Located {
        place: Place::file(path.to_string_lossy()),
        finding,
    }
}

/// Colours on a terminal that knows them, unless `NO_COLOR` is set.
pub(crate) fn styles(stream: &impl anstream::stream::RawStream) -> Styles {
    match anstream::AutoStream::choice(stream) {
        anstream::ColorChoice::Never => Styles::plain(),
        _ => Styles::coloured(),
    }
}
