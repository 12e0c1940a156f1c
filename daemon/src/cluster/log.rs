//! The log: JSON on standard error, a line for each thing that happens.

use std::io;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Verbosity from which debug messages are logged, as callers of the reference are used to.
const DEBUG_FROM: u8 = 4;

/// Begins to log, once per process.
pub(crate) fn init(verbosity: u8) {
    let level = if verbosity >= DEBUG_FROM {
        Level::DEBUG
    } else {
        Level::INFO
    };
    // Only what this program says: libraries would quote from the wire.
    let filter = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(io::stderr)
        .with_target(false);
    // Fails when a log has been set up before, which then stays.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
}
