//! What a decision writes: to the pool, and to each of its nodes.

use std::collections::BTreeMap;

use crds::annotations;
use k8s_openapi::api::core::v1::{Node, Taint};
use serde_json::{Map, Value, json};

use super::{Decision, Reservations};
use crate::pool::NodeView;

/// The effect of the taint on nodes that an update will still come to: pods rather go to nodes that have had theirs.
const EFFECT: &str = "PreferNoSchedule";

/// What is to be written to a node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodePatch {
    /// The resource version that was decided on: the write is refused when the node has changed since.
    pub version: Option<String>,
    /// Annotations to set, or to remove.
    pub annotations: BTreeMap<&'static str, Option<String>>,
    /// Labels to set.
    pub labels: BTreeMap<String, String>,
    /// All taints, when they change.
    pub taints: Option<Vec<Taint>>,
}

impl NodePatch {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.annotations.is_empty() && self.labels.is_empty() && self.taints.is_none()
    }

    /// As a JSON merge patch.
    #[must_use]
    pub fn merge_patch(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(version) = &self.version {
            metadata.insert("resourceVersion".into(), json!(version));
        }
        if !self.annotations.is_empty() {
            metadata.insert("annotations".into(), json!(self.annotations));
        }
        if !self.labels.is_empty() {
            metadata.insert("labels".into(), json!(self.labels));
        }
        let mut patch = Map::from_iter([("metadata".to_owned(), Value::Object(metadata))]);
        if let Some(taints) = &self.taints {
            patch.insert("spec".into(), json!({ "taints": taints }));
        }
        Value::Object(patch)
    }
}

/// What is to be written to a node of the pool; none when it is as it should be. To be carried out only after the reservations of the same
/// decision are written.
///
/// The taint is on every node that is not done with the target, until it is: a node in the midst of its update is no better place for
/// pods than one that waits for it.
#[must_use]
pub fn node_patch(decision: &Decision, node: &Node) -> Option<NodePatch> {
    if !decision.moves() {
        return None;
    }
    let view = NodeView::of(node);
    let mut patch = NodePatch {
        version: node.metadata.resource_version.clone(),
        taints: taints(node, !view.is_updated(&decision.target)),
        ..NodePatch::default()
    };
    let annotations = node.metadata.annotations.as_ref();
    let said = |key: &str| annotations.and_then(|all| all.get(key));
    if let Some(topology) = &decision.topology
        && said(annotations::CONTROL_PLANE_TOPOLOGY) != Some(topology)
    {
        let told = Some(topology.clone());
        patch
            .annotations
            .insert(annotations::CONTROL_PLANE_TOPOLOGY, told);
    }
    if let Some(labels) = decision.adopt.get(view.name) {
        patch.labels.clone_from(labels);
        let mark = Some(String::new());
        patch
            .annotations
            .insert(annotations::CUSTOM_POOL_LABELS_APPLIED, mark);
    }
    if let Some(grant) = decision.grants().iter().find(|grant| grant.node == view.name) {
        let target = Some(decision.target.clone());
        patch.annotations.insert(annotations::DESIRED_CONFIG, target);
        patch
            .annotations
            .insert(annotations::RESERVED_BY, Some(grant.id.clone()));
        if view.desired_image.is_some() {
            patch.annotations.insert(annotations::DESIRED_IMAGE, None);
        }
        if view.awaits {
            patch.annotations.insert(annotations::AWAITS_CONFIG, None);
        }
    }
    (!patch.is_empty()).then_some(patch)
}

/// All taints of a node without ours, once it is done with the target; none when there is nothing to take away yet. For a write that is due
/// anyway.
#[must_use]
pub fn untainted(node: &Node, target: &str) -> Option<Vec<Taint>> {
    let is_done = NodeView::of(node).is_updated(target);
    is_done.then(|| taints(node, false)).flatten()
}

/// All taints of a node once it has ours, or not; none when that is so already.
fn taints(node: &Node, wanted: bool) -> Option<Vec<Taint>> {
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default();
    let is_ours =
        |taint: &Taint| taint.key == annotations::UPDATE_IN_PROGRESS_TAINT && taint.effect == EFFECT;
    if taints.iter().any(is_ours) == wanted {
        return None;
    }
    let mut taints: Vec<_> = taints.iter().filter(|taint| !is_ours(taint)).cloned().collect();
    if wanted {
        taints.push(Taint {
            key: annotations::UPDATE_IN_PROGRESS_TAINT.to_owned(),
            effect: EFFECT.to_owned(),
            ..Taint::default()
        });
    }
    Some(taints)
}

/// The JSON merge patch that writes reservations to the pool that was decided on, and to no later version of it. None for
/// a pool that was never read from a cluster.
#[must_use]
pub fn pool_patch(decision: &Decision, reservations: &Reservations) -> Option<Value> {
    let version = decision.version.as_ref()?;
    Some(json!({"metadata": {
        "resourceVersion": version,
        "annotations": {annotations::RESERVATIONS: reservations.annotation()},
    }}))
}
