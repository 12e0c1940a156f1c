//! The difference between two configs and what it costs: the one computation of "what will happen".

use serde::{Deserialize, Serialize};

use crate::reconcile::Origins;
use crate::{Policy, RenderedConfig};

/// How much a change disturbs a node, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Disruption {
    /// Nothing is disturbed.
    None,
    /// A service, or systemd itself, reloads.
    Reload,
    /// A service restarts.
    Restart,
    /// Pods are evicted.
    Drain,
    /// The node is drained and reboots.
    Reboot,
}

/// What is known besides the two configs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Provenance of the two sides.
    pub origins: Origins<'a>,
}

/// What a change will do, and why. Serialisable; the schema is documented in docs/plan.md.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Name of the current config.
    pub from: String,
    /// Name of the desired config.
    pub to: String,
    /// The worst disruption of all steps.
    pub disruption: Disruption,
}

/// Plans the change from `current` to `desired`.
#[must_use]
pub fn plan(current: &RenderedConfig, desired: &RenderedConfig, policy: &Policy, facts: &Facts<'_>) -> Plan {
    let _ = (current, desired, policy, facts);
    todo!()
}
