//! The texts in the manifest directory: bounded, in the order of their names, with every failure kept.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crds::manifest::MAX_TEXT_BYTES;
use machineconfig::finding::{Located, Place};
use machineconfig::{Code, Finding};

/// Names of files that are read end in this, or have no dot in them.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// One file of manifests.
pub(super) struct Text {
    /// Its path, as the user would name it.
    pub(super) file: String,
    /// What is in it.
    pub(super) text: String,
}

/// Reads the files in `directory` and none below it. Left out are hidden files and `except`; files that by their name
/// hold no manifests are warned of.
pub(super) fn read(directory: &Path, except: Option<&Path>) -> (Vec<Text>, Vec<Located>) {
    let mut texts = Vec::new();
    let mut findings = Vec::new();
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return (texts, vec![located(directory, unreadable(&error))]),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    let except = except.and_then(|path| fs::canonicalize(path).ok());
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        match one(&path, except.as_deref()) {
            Ok(Some(text)) => texts.push(Text {
                file: path.to_string_lossy().into_owned(),
                text,
            }),
            Ok(None) => {}
            Err(finding) => findings.push(located(&path, finding)),
        }
    }
    (texts, findings)
}

/// Reads one file of at most [`MAX_TEXT_BYTES`].
pub(super) fn text(path: &Path) -> Result<String, Finding> {
    let mut bytes = Vec::new();
    let limit = MAX_TEXT_BYTES as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(&error))?;
    if bytes.len() > MAX_TEXT_BYTES {
        let message = format!("is longer than {} MiB", MAX_TEXT_BYTES >> 20);
        return Err(Finding::error(Code::TEXT_TOO_LARGE, "", "", message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let message = format!("is no text: bytes that are not UTF-8 at offset {offset}");
        Finding::error(Code::NOT_TEXT, "", "", message)
    })
}

/// A finding about a whole file or directory.
pub(super) fn located(path: &Path, finding: Finding) -> Located {
    Located {
        place: Place::file(path.to_string_lossy()),
        finding,
    }
}

fn one(path: &Path, except: Option<&Path>) -> Result<Option<String>, Finding> {
    // Through a link, which is how ConfigMaps are mounted.
    let facts = fs::metadata(path).map_err(|error| unreadable(&error))?;
    if facts.is_dir() || (except.is_some() && fs::canonicalize(path).ok().as_deref() == except) {
        return Ok(None);
    }
    if !facts.is_file() {
        return Err(Finding::error(Code::UNREADABLE, "", "", "is no regular file"));
    }
    match path.extension().and_then(OsStr::to_str) {
        None if path.extension().is_none() => text(path).map(Some),
        Some(extension) if EXTENSIONS.contains(&extension) => text(path).map(Some),
        _ => {
            let message = "by its name it holds no manifest, and is not read";
            let remedy = "Call it *.yaml, *.yml or *.json if it does, or move it elsewhere.";
            Err(Finding::warning(Code::NO_MANIFESTS, "", "", message).remedy(remedy))
        }
    }
}

fn unreadable(error: &io::Error) -> Finding {
    Finding::error(Code::UNREADABLE, "", "", format!("cannot be read: {error}"))
}
