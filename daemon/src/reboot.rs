//! The reboot that a config needs: asked for, and proved by another boot id.

use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use machineconfig::{Code, Finding};

use crate::node::Node;
use crate::store::{self, REBOOT, RebootDue};

/// How long a reboot may take to end this process. Services that stop slowly take minutes; what takes longer is being held up.
pub(crate) const BOUND: Duration = Duration::from_mins(5);

/// Asks for the reboot that is due, and waits for it to end this process.
///
/// # Errors
/// When it cannot be asked for, or does not come within five minutes.
pub fn request(node: &Node) -> Result<(), Finding> {
    let failed = |message: String| Finding::error(Code::RECORD_FAILED, REBOOT, "", message);
    let Some(due) = due(node)? else {
        return Ok(());
    };
    let systemd = node.systemd().ok_or_else(|| {
        Finding::error(
            Code::SYSTEMD_UNREACHABLE,
            "reboot",
            "",
            "this root is not that of the running system",
        )
    })?;
    let asked = RebootDue {
        requested: Some(Timestamp::now()),
        ..due
    };
    store::replace(&node.root, REBOOT, &store::encode(&asked))
        .map_err(|error| failed(crate::apply::chain(&error)))?;
    let reason = format!("machine-config: {} needs a reboot", asked.config);
    systemd
        .reboot(&reason)
        .map_err(|error| Finding::error(error.code(), "reboot", "", crate::apply::chain(&error)))?;
    // The shutdown ends this process; when it does not, somebody should know.
    thread::sleep(BOUND);
    Err(overdue(&asked, Timestamp::now())
        .unwrap_or_else(|| failed("the clock was set back while waiting for the reboot".to_owned())))
}

/// The reboot that is due, if this is still the boot that has to end.
pub fn due(node: &Node) -> Result<Option<RebootDue>, Finding> {
    let due = store::reboot_due(&node.root)
        .map_err(|error| Finding::error(Code::NODE_UNREADABLE, REBOOT, "", error.to_string()))?;
    Ok(due.filter(|due| due.boot_id == node.boot_id))
}

/// Takes a reboot that has come off the list. True when it has.
///
/// # Errors
/// When the record cannot be read or removed.
pub fn settle(node: &Node) -> Result<bool, Finding> {
    let failed = |message: String| Finding::error(Code::RECORD_FAILED, REBOOT, "", message);
    let record = store::reboot_due(&node.root).map_err(|error| failed(error.to_string()))?;
    // A root that is looked at from outside is in no boot, which proves nothing.
    match record {
        Some(due) if node.is_running() && due.boot_id != node.boot_id => {
            store::remove(&node.root, REBOOT).map_err(|error| failed(crate::apply::chain(&error)))?;
            Ok(true)
        }
        Some(_) | None => Ok(false),
    }
}

/// That a reboot was asked for too long ago, if it was.
#[must_use]
pub fn overdue(due: &RebootDue, now: Timestamp) -> Option<Finding> {
    let requested = due.requested?;
    let waited = now.duration_since(requested).as_secs();
    let bound = i64::try_from(BOUND.as_secs()).unwrap_or(i64::MAX);
    (waited >= bound).then(|| {
        let message = format!(
            "was asked for at {requested:.0} for {}, and this is still the same boot",
            due.config
        );
        Finding::error(Code::REBOOT_OVERDUE, "reboot", "", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(requested: Option<i64>) -> RebootDue {
        let at = |second| Timestamp::from_second(second).unwrap();
        RebootDue {
            boot_id: "b".to_owned(),
            config: "rendered-a".to_owned(),
            since: at(0),
            requested: requested.map(at),
        }
    }

    #[test]
    fn a_reboot_that_does_not_come_within_the_bound_is_told() {
        let now = Timestamp::from_second(1000).unwrap();
        assert_eq!(overdue(&due(None), now), None, "nobody asked for it");
        assert_eq!(overdue(&due(Some(701)), now), None);
        let finding = overdue(&due(Some(700)), now).unwrap();
        assert_eq!(finding.code, Code::REBOOT_OVERDUE);
        assert!(finding.message.contains("rendered-a"), "{}", finding.message);
        // A clock that was set back makes nothing overdue.
        assert_eq!(overdue(&due(Some(5000)), now), None);
    }
}
