//! How a cluster stands as lines, one for each pool and node, so that a change of one is a line.

use std::collections::BTreeMap;

use machineconfig::standing::{Phase, Standing};

use super::table::{detail, word};
use crate::age::second;
use crate::escape;
use crate::report::plural;

/// What is said of each object, by its name.
pub(super) type Lines = BTreeMap<String, String>;

/// A line for each pool, and for each node that is not done.
pub(super) fn lines(standing: &Standing) -> Lines {
    let mut lines = Lines::new();
    for pool in &standing.pools {
        let have = match pool.desired.as_str() {
            "" => plural(usize::try_from(pool.nodes).unwrap_or_default(), "node"),
            config => format!("{} of {} nodes have {config}", pool.updated, pool.nodes),
        };
        let mut text = format!("{}, {have}", word(pool));
        if !pool.render_degraded.is_empty() {
            text = format!("{text}; {}", pool.render_degraded);
        }
        lines.insert(format!("pool/{}", pool.pool), text);
        for member in &pool.members {
            // Its place changes whenever another one's turn comes.
            let waits = member.phase == Phase::Waiting && member.unready.is_empty();
            let detail = if waits { String::new() } else { detail(member) };
            let since = member.since.filter(|_| member.phase != Phase::Updated);
            let since = since.map_or_else(String::new, |since| format!(" since {}", second(since)));
            let colon = if detail.is_empty() { "" } else { ": " };
            let text = format!("{}{since}{colon}{detail}", member.phase.words());
            lines.insert(format!("node/{}", member.node), text);
        }
    }
    for stray in &standing.unplaced {
        lines.insert(format!("node/{}", stray.node), stray.finding.message.clone());
    }
    lines
}

/// What has changed, each object in a line that ends in a newline. A node of which nothing is said any more is done.
pub(super) fn changes(before: &Lines, after: &Lines) -> String {
    let changed = after
        .iter()
        .filter(|(object, text)| before.get(*object) != Some(text));
    let changed = changed.map(|(object, text)| (object, text.as_str()));
    let gone = before.keys().filter(|object| !after.contains_key(*object));
    let gone = gone.map(|object| {
        (
            object,
            if object.starts_with("node/") {
                "updated, or not in the pool any more"
            } else {
                "gone"
            },
        )
    });
    let mut out = String::new();
    for (object, text) in changed.chain(gone) {
        out.push_str(&escape::line(&format!("{object}: {text}")));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use machineconfig::standing::Standing;

    use super::super::table::tests::{member, pool};
    use super::*;

    fn standing(phase: Phase, updated: i32) -> Lines {
        let members = match phase {
            Phase::Updated => Vec::new(),
            phase => vec![member("w0", phase, None)],
        };
        let mut pool = pool(members);
        pool.updated = updated;
        lines(&Standing {
            pools: vec![pool],
            unplaced: Vec::new(),
        })
    }

    #[test]
    fn only_what_changes_is_a_line() {
        let first = standing(Phase::Rebooting, 1);
        assert_eq!(
            changes(&Lines::new(), &first),
            "node/w0: rebooting since 2026-01-01T11:56:30Z\npool/worker: updating, 1 of 6 nodes have rendered-worker-b\n"
        );
        assert_eq!(changes(&first, &first), "");
        let second = standing(Phase::Updated, 1);
        assert_eq!(
            changes(&first, &second),
            "node/w0: updated, or not in the pool any more\n"
        );
        let third = standing(Phase::Updated, 2);
        assert_eq!(
            changes(&second, &third),
            "pool/worker: updating, 2 of 6 nodes have rendered-worker-b\n"
        );
    }
}
