//! Connections against the files that the process may have open, since each connection is one.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::process::METRICS_CONNECTIONS;

/// Files that are not connections of machines: standard streams, listeners, the runtime's own, one connection per listener that
/// waits for a slot, and the files and directories that are read. Some twenty; the rest is for what libraries may open.
const OTHER_FILES: usize = 48;

/// Lets the process have as many files open as the system lets it, and says how many of the connections that are wanted fit.
pub(crate) fn connections(wanted: usize) -> usize {
    let fitting = fitting(wanted, raised());
    if fitting < wanted {
        tracing::warn!(
            wanted,
            connections = fitting,
            "--max-connections is lowered to what the limit of open files (RLIMIT_NOFILE) leaves room for"
        );
    }
    fitting
}

/// The limit of open files after it was raised as far as it goes; nothing when there is none.
fn raised() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.current,
        Err(error) => {
            tracing::debug!(%error, "Limit of open files not raised");
            before
        }
    }
}

/// How many connections fit below a limit; at least one, which then may fail for want of a file.
fn fitting(wanted: usize, limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return wanted };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let room = limit.saturating_sub(OTHER_FILES + METRICS_CONNECTIONS);
    wanted.min(room.max(1))
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn what_is_wanted_is_cut_to_what_fits() {
        for (wanted, limit, expected) in [
            (4096, None, 4096),
            (4096, Some(1 << 20), 4096),
            (4096, Some(1024), 960),
            (100, Some(1024), 100),
            (4096, Some(64), 1),
            (4096, Some(0), 1),
            (4096, Some(u64::MAX), 4096),
        ] {
            assert_eq!(fitting(wanted, limit), expected, "{wanted} {limit:?}");
        }
    }
}
