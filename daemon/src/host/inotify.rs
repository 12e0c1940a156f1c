//! Notices of the kernel about entries of directories beneath a root. [`Inotify`] is the entry point.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::Root;

/// What is asked for: all that changes an entry. A file that is written through a mapping tells so only when it is closed.
const ENTRIES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);

/// Bytes of notices read at once: a thousand.
const BUFFER: usize = 32 << 10;
/// Reads after which draining gives the caller a turn, so that a storm cannot keep it for ever.
const READS: usize = 64;

/// A queue of notices about directories.
#[derive(Debug)]
pub struct Inotify {
    handle: OwnedFd,
}

/// What the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    /// Something happened to an entry of a directory.
    Entry {
        /// The directory, as [`Inotify::add`] numbered it.
        directory: i32,
        /// The name of the entry.
        name: &'a OsStr,
        /// It came or went, rather than changed.
        other: bool,
    },
    /// The directory is gone, or was moved; there may be another one at its path.
    Gone {
        /// As [`Inotify::add`] numbered it.
        directory: i32,
    },
    /// Notices were lost.
    Lost,
}

// === impl Inotify ===

impl Inotify {
    /// An empty queue.
    pub fn new() -> io::Result<Self> {
        let handle = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { handle })
    }

    /// Asks for notices about the entries of `directory`, a path beneath `root` without links. The same directory has the same
    /// number, however it is named; `None` when there is none.
    pub fn add(&self, root: &Root, directory: &Path) -> io::Result<Option<i32>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = match root.open_plain(directory, flags) {
            Ok(opened) => opened,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // By handle, not by path: what was opened is beneath the root.
        let path = format!("/proc/self/fd/{}", opened.as_raw_fd());
        Ok(Some(inotify::add_watch(&self.handle, path, ENTRIES)?))
    }

    /// Asks for no more notices about a directory.
    pub fn remove(&self, directory: i32) {
        // That it is gone already is as good.
        let _ = inotify::remove_watch(&self.handle, directory);
    }

    /// Hands every notice that has come to `each`. True when there may be more.
    pub fn drain(&self, mut each: impl FnMut(Notice<'_>)) -> io::Result<bool> {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&self.handle, &mut buffer);
        let mut reads = 0;
        loop {
            if reader.is_buffer_empty() {
                if reads == READS {
                    return Ok(true);
                }
                reads += 1;
            }
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => return Ok(false),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(notice) = Notice::of(&event) {
                each(notice);
            }
        }
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

// === impl Notice ===

impl<'a> Notice<'a> {
    fn of(event: &'a inotify::Event<'_>) -> Option<Self> {
        const OTHER: ReadFlags = ReadFlags::CREATE
            .union(ReadFlags::DELETE)
            .union(ReadFlags::MOVED_FROM)
            .union(ReadFlags::MOVED_TO);
        const GONE: ReadFlags = ReadFlags::DELETE_SELF
            .union(ReadFlags::MOVE_SELF)
            .union(ReadFlags::IGNORED)
            .union(ReadFlags::UNMOUNT);
        let (directory, what) = (event.wd(), event.events());
        if what.intersects(ReadFlags::QUEUE_OVERFLOW) {
            return Some(Notice::Lost);
        }
        if what.intersects(GONE) {
            return Some(Notice::Gone { directory });
        }
        // Without a name it is about the directory itself, which its own directory tells too.
        event.file_name().map(|name| Notice::Entry {
            directory,
            name: OsStr::from_bytes(name.to_bytes()),
            other: what.intersects(OTHER),
        })
    }
}
