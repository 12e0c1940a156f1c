//! The log: to standard error, in lines for people or in JSON.
//!
//! Lines are written by a thread of their own: a standard error that nobody reads any more holds up that thread and no
//! request. Lines beyond a bound are dropped and counted.

use std::io::{self, IsTerminal as _};

use tracing::Level;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::LogFormat;

/// Verbosity from which debug messages are logged, as callers of the reference are used to.
const DEBUG_FROM: u8 = 4;

/// Lines that wait to be written at most. A line is some 300 bytes.
const WAITING_LINES: usize = 16 << 10;

/// A log that has begun. Dropping it writes what waits, for a bounded time.
pub(crate) struct Log {
    _worker: WorkerGuard,
    /// The lines that were dropped because nobody took those before them.
    pub(crate) dropped: ErrorCounter,
}

/// Begins to log, once per process.
pub(crate) fn init(format: LogFormat, verbosity: u8) -> Log {
    let level = if verbosity >= DEBUG_FROM {
        Level::DEBUG
    } else {
        Level::INFO
    };
    // Only what this program says: libraries would quote from the wire.
    let filter = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("log")
        .finish(io::stderr());
    let dropped = writer.error_counter();
    let lines = fmt::layer().with_writer(writer).with_target(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Fails when a log has been set up before, which then stays.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    Log {
        _worker: worker,
        dropped,
    }
}
