//! A plan for a terminal: the verdict first, then a line per step.

use super::Plan;
use crate::style::Styles;

/// The plan as text, ending in a newline. Diffs are shown when the plan carries them.
#[must_use]
pub fn text(plan: &Plan, styles: &Styles) -> String {
    let _ = (plan, styles);
    todo!()
}
