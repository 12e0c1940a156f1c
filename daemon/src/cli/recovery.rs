//! What every command does first: a change that was cut off is taken up, so that nobody looks at a node between two configs.

use std::path::Path;

use machineconfig::{Code, Finding};

use super::{apply, message};
use crate::host::Root;
use crate::node::Node;
use crate::recover::{is_due, recover};

/// Codes of a journal that no command can use: it has to be seen to by hand, or by another program.
const USELESS: [Code; 3] = [Code::JOURNAL_DAMAGED, Code::JOURNAL_NEWER, Code::JOURNAL_FOREIGN];

/// Takes up a change that was cut off on the node at `path`, for a command that only looks. Who may not change the node, or comes
/// while somebody else does, goes on without: that is told, and what such a command finds is only as good.
pub(crate) fn take_up_first(path: &Path) {
    if let Err(finding) = taken_up(path) {
        tell(&finding);
    }
}

/// As [`take_up_first`], for a command that says what a change would do.
///
/// # Errors
/// What such a change would be refused for: a journal that cannot be used.
pub(crate) fn take_up_to_plan(path: &Path) -> Result<(), Finding> {
    match taken_up(path) {
        Err(finding) if USELESS.contains(&finding.code) => Err(finding),
        Err(finding) => {
            tell(&finding);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn taken_up(path: &Path) -> Result<(), Finding> {
    if !Root::open(path).is_ok_and(|root| is_due(&root)) {
        return Ok(());
    }
    let node = Node::open(path)?;
    let _lock = node.lock("recover")?;
    let recovered = recover(&node.root, &node.acts(), &node.machine_id)?;
    apply::tell_recovered(&recovered);
    Ok(())
}

fn tell(finding: &Finding) {
    message(&format!(
        "warning: a change is under way or was cut off, and is not taken up: {} {}\n",
        finding.object, finding.message
    ));
}
