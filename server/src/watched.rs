//! One file that may change at any time: whether it did, and a bounded reading of it.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The largest file that is read. A rendered MachineConfig has at most 1.5 MiB, a few times that as YAML.
pub(crate) const MAX_FILE_BYTES: u64 = 16 << 20;

/// A file changed this recently may change again without its stamp changing, since clocks of file systems are coarse.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// A file by its path, and how it was when it was last read.
#[derive(Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    /// When it was last read.
    stamp: Option<Stamp>,
    /// When it was last looked at.
    seen: Option<Stamp>,
    /// Of the bytes, when the stamp alone cannot be trusted yet.
    unsettled: Option<u64>,
    /// The last reading failed for a reason that may pass without the file changing.
    again: bool,
}

/// What a look at a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// As it was when it was last read.
    Same,
    /// Another, and not the one of the look before either: perhaps somebody is still writing it.
    Settling,
    /// Another, and the same in two looks; or it is to be read again after an error.
    Changed,
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watched {
    /// A file that has not been read yet.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            stamp: None,
            seen: None,
            unsettled: None,
            again: false,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is another than when it was last read; also when it came or went. It stays changed until it is
    /// read.
    pub(crate) fn look(&mut self) -> Look {
        let now = stamp(&self.path);
        let before = mem::replace(&mut self.seen, now);
        if self.again {
            return Look::Changed;
        }
        if now != self.stamp {
            return if now == before {
                Look::Changed
            } else {
                Look::Settling
            };
        }
        let Some(before) = self.unsettled else {
            return Look::Same;
        };
        // Reading settles it, one way or the other.
        match self.read() {
            Ok(bytes) if digest(&bytes) == before => Look::Same,
            Ok(_) | Err(_) => Look::Changed,
        }
    }

    /// Reads the file whole.
    ///
    /// # Errors
    /// What the system says, and [`io::ErrorKind::InvalidData`] for what is no regular file or too large.
    pub(crate) fn read(&mut self) -> io::Result<Vec<u8>> {
        // The stamp comes first: a change after it is seen the next time.
        self.stamp = stamp(&self.path);
        self.unsettled = None;
        let result = read(&self.path);
        self.again = result.as_ref().is_err_and(may_pass);
        let bytes = result?;
        let recent = self.stamp.is_some_and(Stamp::is_recent);
        self.unsettled = recent.then(|| digest(&bytes));
        Ok(bytes)
    }
}

/// Whether an error is about the system, as a want of file descriptors is, and not about the file: then the stamp, which
/// was there to be had, says nothing about when it is worth reading again.
fn may_pass(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData)
}

impl Stamp {
    fn is_recent(self) -> bool {
        let seconds = u64::try_from(self.modified.0.max(self.changed.0)).unwrap_or_default();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        // A time in the future says nothing; such a file is as settled as it will get.
        SystemTime::now()
            .duration_since(then)
            .is_ok_and(|age| age < SETTLED_AFTER)
    }
}

/// Follows symlinks, so that a volume whose `..data` link is swung to new files counts as changed.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// Reads a regular file of at most [`MAX_FILE_BYTES`].
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    // Looked at before it is opened: opening a pipe would wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(invalid("not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(invalid(format!("larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_whatever_it_is_once_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = Watched::new(&path);
        assert_eq!(file.look(), Look::Same, "not there before, not there now");
        fs::write(&path, "one").unwrap();
        assert_eq!([file.look(), file.look()], [Look::Settling, Look::Changed]);
        assert_eq!(file.look(), Look::Changed, "until it is read");
        assert_eq!(file.read().unwrap(), b"one");
        assert_eq!(file.look(), Look::Same);
        // Written in two goes, the look between them sees nothing to take over.
        fs::write(&path, "tw").unwrap();
        assert_eq!(file.look(), Look::Settling);
        fs::write(&path, "two!").unwrap();
        assert_eq!([file.look(), file.look()], [Look::Settling, Look::Changed]);
        assert_eq!(file.read().unwrap(), b"two!");
        fs::rename(&path, dir.path().join("other")).unwrap();
        assert_eq!([file.look(), file.look()], [Look::Settling, Look::Changed]);
        assert_eq!(file.read().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(file.look(), Look::Same);
    }

    #[test]
    fn the_same_stamp_with_other_bytes_counts_as_changed_while_it_is_fresh() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "one").unwrap();
        let mut file = Watched::new(&path);
        file.read().unwrap();
        fs::write(&path, "two").unwrap();
        file.stamp = stamp(&path);
        assert_eq!(file.look(), Look::Changed);
    }

    #[test]
    fn a_reading_that_fails_for_want_of_the_system_is_tried_again() {
        // A regular file that can be opened and not be read from its beginning.
        let mut file = Watched::new("/proc/self/mem");
        assert!(may_pass(&file.read().unwrap_err()));
        assert_eq!([file.look(), file.look()], [Look::Changed; 2]);
        let dir = tempfile::tempdir().unwrap();
        let mut absent = Watched::new(dir.path().join("absent"));
        assert!(!may_pass(&absent.read().unwrap_err()));
        assert_eq!(absent.look(), Look::Same);
    }

    #[test]
    fn what_is_no_bounded_regular_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let large = dir.path().join("large");
        File::create(&large).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        assert!(read(&large).unwrap_err().to_string().contains("larger than"));
        File::create(&large).unwrap().set_len(MAX_FILE_BYTES).unwrap();
        assert_eq!(read(&large).unwrap().len() as u64, MAX_FILE_BYTES);
    }
}
