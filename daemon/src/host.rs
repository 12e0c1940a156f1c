//! The node as seen from outside: its files beneath one directory handle, its users, its units,
//! its systemd.

pub mod boot;
pub mod command;
pub mod enablement;
pub mod file_system;
pub mod identity;
pub mod inotify;
mod links;
pub mod lock;
pub mod os;
pub mod preset;
pub mod root;
pub mod shadow;
pub mod systemd;
mod unit_file;
mod unit_name;
pub mod write;

pub use command::Commands;
pub use lock::{Holder, Lock, LockError, Standing};
pub use os::Os;
pub use root::{Found, Looker, OpenFile, Root, WayError};
pub use systemd::Systemd;
pub use write::{Op, Rename, Tap, Traits, Writer};
