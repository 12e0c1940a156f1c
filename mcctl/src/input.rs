//! Files, directories and standard input, read into texts: bounded, in order, with every failure kept.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crds::manifest::MAX_TEXT_BYTES;
use machineconfig::{Code, Finding};

use crate::report::{Located, Place};

/// What files in a directory are read: those kubectl reads.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Where the objects are.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Files {
    /// Files with YAML or JSON objects, directories of them (*.yaml, *.yml, *.json), or `-` for standard input
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true, num_args = 1..)]
    pub(crate) paths: Vec<PathBuf>,
    /// Read the directories below a directory too
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
}

/// One text and what the user calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// The path as given or found, `-` for standard input.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) text: String,
}

/// Reads `paths` in order, directories in the order of their names. A file that is reached twice is read once.
pub(crate) fn read(paths: &[PathBuf], recursive: bool) -> (Vec<Text>, Vec<Located>) {
    let mut reader = Reader {
        recursive,
        seen: BTreeSet::new(),
        texts: Vec::new(),
        failures: Vec::new(),
    };
    for path in paths {
        reader.argument(path);
    }
    (reader.texts, reader.failures)
}

/// Reads one file, `-` for standard input.
pub(crate) fn read_file(path: &Path) -> (Vec<Text>, Vec<Located>) {
    if path.is_dir() {
        let finding = Finding::error(Code::UNREADABLE, "", "", "is a directory").remedy("Name a file in it.");
        let place = Place::file(path.to_string_lossy());
        return (Vec::new(), vec![Located { place, finding }]);
    }
    read(&[path.to_owned()], false)
}

struct Reader {
    recursive: bool,
    /// Files that were read, by their real path.
    seen: BTreeSet<PathBuf>,
    texts: Vec<Text>,
    failures: Vec<Located>,
}

// === impl Reader ===

impl Reader {
    fn argument(&mut self, path: &Path) {
        if path == Path::new("-") {
            if self.seen.insert(path.to_owned()) {
                self.take("-", io::stdin().lock());
            }
            return;
        }
        match fs::metadata(path) {
            Ok(facts) if facts.is_dir() => self.directory(path),
            // Not only regular files: `<(command)` is a pipe.
            Ok(_) => self.file(path),
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn directory(&mut self, path: &Path) {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(path, &error),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut any = false;
        for entry in entries {
            any |= self.entry(&entry);
        }
        if !any {
            let message = "the directory holds no *.yaml, *.yml or *.json file";
            let mut finding = Finding::error(Code::NO_MANIFESTS, "", "", message);
            if self.recursive {
                finding = finding.remedy(
                    "Name the files or the directory that hold the objects; links to directories are not followed.",
                );
            }
            self.fail(path, finding);
        }
    }

    /// One entry of a directory; whether it is one to read. Hidden files are left alone: editors and mounted
    /// ConfigMaps keep copies there.
    fn entry(&mut self, entry: &fs::DirEntry) -> bool {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            return false;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                if self.recursive {
                    self.directory(&path);
                }
                self.recursive
            }
            _ if !is_manifest(&path) => false,
            // Through a link, which is how ConfigMaps are mounted.
            _ => {
                match fs::metadata(&path) {
                    Ok(facts) if facts.is_file() => self.file(&path),
                    Ok(_) => {
                        let message = "is no regular file";
                        self.fail(&path, Finding::error(Code::UNREADABLE, "", "", message));
                    }
                    Err(error) => self.unreadable(&path, &error),
                }
                true
            }
        }
    }

    fn file(&mut self, path: &Path) {
        // A pipe has no path; whether the file can be read is told by opening it.
        if fs::canonicalize(path).is_ok_and(|real| !self.seen.insert(real)) {
            return;
        }
        match File::open(path) {
            Ok(file) => self.take(&path.to_string_lossy(), file),
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn take(&mut self, name: &str, mut from: impl Read) {
        let mut bytes = Vec::new();
        let limit = MAX_TEXT_BYTES as u64 + 1;
        if let Err(error) = from.by_ref().take(limit).read_to_end(&mut bytes) {
            return self.unreadable(Path::new(name), &error);
        }
        match text(bytes) {
            Ok(text) => self.texts.push(Text {
                name: name.to_owned(),
                text,
            }),
            Err(finding) => self.fail(Path::new(name), finding),
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.fail(
            path,
            Finding::error(Code::UNREADABLE, "", "", format!("cannot be read: {error}")),
        );
    }

    fn fail(&mut self, path: &Path, finding: Finding) {
        self.failures.push(Located {
            place: Place::file(path.to_string_lossy()),
            finding,
        });
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|e| EXTENSIONS.contains(&e))
}

/// Bytes as text, if they are text.
fn text(bytes: Vec<u8>) -> Result<String, Finding> {
    if bytes.len() > MAX_TEXT_BYTES {
        let message = format!("is longer than {} MiB", MAX_TEXT_BYTES >> 20);
        return Err(Finding::error(Code::TEXT_TOO_LARGE, "", "", message));
    }
    let not_text = |what: &str, offset: usize| {
        let message = format!("is no text: {what} at offset {offset}");
        Finding::error(Code::NOT_TEXT, "", "", message)
    };
    let text = String::from_utf8(bytes)
        .map_err(|error| not_text("bytes that are not UTF-8", error.utf8_error().valid_up_to()))?;
    match text.find('\0') {
        Some(offset) => Err(not_text("a NUL byte", offset)),
        // Editors of other systems write a byte order mark.
        None => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded() {
        assert_eq!(text(vec![b' '; MAX_TEXT_BYTES]).unwrap().len(), MAX_TEXT_BYTES);
        let finding = text(vec![b' '; MAX_TEXT_BYTES + 1]).unwrap_err();
        assert_eq!(finding.code, Code::TEXT_TOO_LARGE);
        assert_eq!(finding.message, "is longer than 64 MiB");
    }

    #[test]
    fn a_stream_without_end_is_read_to_the_bound_only() {
        let (texts, failures) = read(&[PathBuf::from("/dev/zero")], false);
        assert_eq!(texts, []);
        assert_eq!(failures[0].finding.code, Code::TEXT_TOO_LARGE);
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        assert_eq!(text(b"\xef\xbb\xbfkind: A".to_vec()).unwrap(), "kind: A");
    }
}
