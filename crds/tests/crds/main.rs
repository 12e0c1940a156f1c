//! The crate from outside: reading and writing manifests, every kind, every schema.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod checker;
mod kinds;
mod limits;
mod objects;
mod reading;
mod refusing;
mod schemas;
mod structural;
mod writing;
