//! The node as seen from outside: its files beneath one directory handle, its users, its units.

pub mod enablement;
pub mod identity;
pub mod inotify;
mod links;
pub mod lock;
pub mod preset;
pub mod root;
mod unit_file;
mod unit_name;
pub mod write;

pub use lock::{Holder, Lock, LockError, Standing};
pub use root::{Found, OpenFile, Root};
pub use write::{Op, Rename, Tap, Traits, Writer};
