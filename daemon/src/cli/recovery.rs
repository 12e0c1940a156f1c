//! What every command does first: a change that was cut off is taken up, so that nobody looks at a node between two configs.

use std::path::Path;

use super::{apply, message};
use crate::host::Root;
use crate::node::Node;
use crate::recover::{is_due, recover};

/// Takes up a change that was cut off on the node at `path`, for a command that only looks. Who may not change the node, or comes
/// while somebody else does, goes on without: that is told, and what such a command finds is only as good.
pub(crate) fn take_up_first(path: &Path) {
    if !Root::open(path).is_ok_and(|root| is_due(&root)) {
        return;
    }
    let taken_up = Node::open(path).and_then(|node| {
        let _lock = node.lock("recover")?;
        recover(&node.root, &node.acts(), &node.machine_id)
    });
    match taken_up {
        Ok(recovered) => apply::tell_recovered(&recovered),
        Err(finding) => message(&format!(
            "warning: a change is under way or was cut off, and is not taken up: {} {}\n",
            finding.object, finding.message
        )),
    }
}
