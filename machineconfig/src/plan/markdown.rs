//! A plan as a comment on a pull request: a table, and the diffs folded away.

use super::Plan;

/// The plan as GitHub-flavoured Markdown. Nothing in a config can break out of the table or inject markup.
#[must_use]
pub fn markdown(plan: &Plan) -> String {
    let _ = plan;
    todo!()
}
