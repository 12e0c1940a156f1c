//! registries.conf: whether a change can be picked up by a reload alone (MCO daemon 4.5).

/// Where the file is.
pub const PATH: &str = "/etc/containers/registries.conf";

/// Which of the two files cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The file of the current config.
    Current,
    /// The file of the desired config.
    Desired,
}

/// A registries.conf that cannot be read; never quotes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{PATH} cannot be read: {reason}")]
pub struct Unreadable {
    /// Which file.
    pub side: Side,
    /// Line and column, or the key at fault, and what is wrong with it.
    pub reason: String,
}

/// Why the change from `current` to `desired` needs a drain, in the order of the file; empty when a reload is enough. Absent files are
/// empty. Contents are decoded already: unlike the reference, gzip has been undone.
pub fn reasons_to_drain(current: &[u8], desired: &[u8]) -> Result<Vec<String>, Unreadable> {
    let _ = (current, desired);
    todo!()
}
