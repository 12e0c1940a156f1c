//! How far the node is, by the conditions of its own MachineConfigNode (MCO daemon 9). [`conditions`] makes them, [`Progress`] writes them.
//!
//! What the controller does (Cordoned, Drained, Uncordoned, `UpdateComplete`) it says itself, so each field has one writer. What happens
//! in one breath is written in one. Conditions of an update that ended stay until the next one begins.

use crds::MachineConfigNode;
use crds::condition::{Condition, ConditionStatus};
use crds::machine_config_node::NOT_YET_SET;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource};
use serde_json::{Value, json};

use super::handshake::Handshake;
use super::node_writer::{FIELD_MANAGER, cut};
use ConditionStatus::{False, True, Unknown};

/// The reason of a condition that nothing has happened to.
const NOT_YET: &str = "NotYetOccurred";
/// Longest message, in bytes: the schema's limit.
const MESSAGE: usize = 32768;

/// A type of condition that the daemon writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    UpdatePrepared,
    UpdateExecuted,
    AppliedFilesAndOS,
    UpdatePostActionComplete,
    RebootedNode,
    Resumed,
    Updated,
    NodeDegraded,
}

const ALL: [Type; 8] = [
    Type::UpdatePrepared,
    Type::UpdateExecuted,
    Type::AppliedFilesAndOS,
    Type::UpdatePostActionComplete,
    Type::RebootedNode,
    Type::Resumed,
    Type::Updated,
    Type::NodeDegraded,
];

impl Type {
    fn as_str(self) -> &'static str {
        match self {
            Type::UpdatePrepared => "UpdatePrepared",
            Type::UpdateExecuted => "UpdateExecuted",
            Type::AppliedFilesAndOS => "AppliedFilesAndOS",
            Type::UpdatePostActionComplete => "UpdatePostActionComplete",
            Type::RebootedNode => "RebootedNode",
            Type::Resumed => "Resumed",
            Type::Updated => "Updated",
            Type::NodeDegraded => "NodeDegraded",
        }
    }
}

/// What has happened on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// An update begins; what it takes, in words.
    Prepared(String),
    /// All is written, and the reboot is asked for.
    Rebooting,
    /// An update has ended well; the actions that were carried out, in words.
    Done(String),
    /// The node is as it should be, and was not before, or nobody knows.
    AtRest,
    /// Something is wrong.
    Failing {
        /// Why.
        reason: String,
        /// No running node can make the change.
        refused: bool,
    },
}

/// What a stage does to a condition: its status, reason and message.
type Change = (Type, ConditionStatus, &'static str, String);

/// The daemon's conditions after `stage`, those before given.
fn conditions(before: &[Condition], stage: &Stage, node: &str, now: Timestamp) -> Vec<Condition> {
    let was = |kind: Type| before.iter().find(|condition| condition.type_ == kind.as_str());
    let status = |kind: Type| was(kind).map_or(False, |was| was.status);
    let changes = changes(stage, &status, node);
    ALL.into_iter()
        .map(|kind| {
            let change = changes.iter().find(|(changed, ..)| *changed == kind);
            match (change, was(kind)) {
                (Some((_, status, reason, message)), was) => {
                    condition(kind, was, *status, reason, message, now)
                }
                (None, Some(was)) => was.clone(),
                (None, None) => {
                    let message = format!("This node has not yet entered the {} phase", kind.as_str());
                    condition(kind, None, False, NOT_YET, &message, now)
                }
            }
        })
        .collect()
}

/// What a stage changes; everything else stays.
fn changes(stage: &Stage, was: &dyn Fn(Type) -> ConditionStatus, node: &str) -> Vec<Change> {
    let set = |kind: Type, status, message: &str| (kind, status, kind.as_str(), message.to_owned());
    let written = [Type::UpdateExecuted, Type::AppliedFilesAndOS].map(|kind| {
        set(
            kind,
            True,
            "The files, units and keys of the config are on the node",
        )
    });
    let well = || {
        let degraded = (was(Type::NodeDegraded) != False).then(|| set(Type::NodeDegraded, False, ""));
        let updated = set(Type::Updated, True, &format!("Node {node} Updated"));
        degraded.into_iter().chain([updated])
    };
    match stage {
        Stage::Prepared(takes) => {
            let begun = [
                set(Type::Updated, False, &format!("Node {node} needs an update")),
                set(Type::UpdatePrepared, True, takes),
            ];
            let not_yet = [
                Type::UpdateExecuted,
                Type::AppliedFilesAndOS,
                Type::UpdatePostActionComplete,
                Type::RebootedNode,
                Type::Resumed,
            ];
            let not_yet = not_yet.map(|kind| (kind, False, NOT_YET, String::new()));
            begun.into_iter().chain(not_yet).collect()
        }
        Stage::Rebooting => {
            let rebooting = set(Type::RebootedNode, Unknown, &format!("Node {node} is rebooting"));
            written.into_iter().chain([rebooting]).collect()
        }
        Stage::Done(acted) => {
            let acted = if acted.is_empty() { "None" } else { acted };
            let done = [
                set(Type::UpdatePostActionComplete, True, acted),
                set(Type::Resumed, True, "The node takes work again"),
            ];
            let rebooted = (was(Type::RebootedNode) == Unknown)
                .then(|| set(Type::RebootedNode, True, "Node has rebooted"));
            let all = written.into_iter().chain(done).chain(rebooted);
            all.chain(well()).collect()
        }
        Stage::AtRest => well().collect(),
        Stage::Failing { reason, refused } => {
            let message = format!("Node {node} upgrade failure. {reason}");
            let degraded = set(Type::NodeDegraded, True, &message);
            let unprepared = refused.then(|| set(Type::UpdatePrepared, Unknown, reason));
            [degraded].into_iter().chain(unprepared).collect()
        }
    }
}

fn condition(
    kind: Type,
    was: Option<&Condition>,
    status: ConditionStatus,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Condition {
    let since = was.filter(|was| was.status == status);
    Condition {
        type_: kind.as_str().to_owned(),
        status,
        observed_generation: None,
        last_transition_time: since.map_or(Time(now), |was| was.last_transition_time.clone()),
        reason: reason.to_owned(),
        message: cut(message, MESSAGE).to_owned(),
    }
}

/// The status to write after these stages, the first of which was first; `None` when it is so already.
fn status(object: &MachineConfigNode, stages: &[Stage], said: &Handshake, now: Timestamp) -> Option<Value> {
    let before = object.status.clone().unwrap_or_default();
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let [first, rest @ ..] = stages else {
        return None;
    };
    let after = conditions(&before.conditions, first, name, now);
    let after = rest
        .iter()
        .fold(after, |after, stage| conditions(&after, stage, name, now));
    let own = |condition: &&Condition| ALL.iter().any(|kind| kind.as_str() == condition.type_);
    let is_same = after.len() == before.conditions.iter().filter(own).count()
        && after
            .iter()
            .all(|condition| before.conditions.contains(condition));
    let set = |name: &str| if name.is_empty() { NOT_YET_SET } else { name }.to_owned();
    let mut versions = json!({"desired": set(said.desired())});
    if !said.current().is_empty() {
        versions["current"] = said.current().into();
    }
    let versions_before = before.config_version.map(|versions| json!(versions));
    if is_same && versions_before.as_ref() == Some(&versions) {
        return None;
    }
    // The reference is one ahead, and it must not go back.
    let generation = object.metadata.generation.max(before.observed_generation);
    Some(json!({
        "apiVersion": MachineConfigNode::api_version(&()),
        "kind": MachineConfigNode::kind(&()),
        "metadata": {"name": name},
        "status": {
            "conditions": after,
            "configVersion": versions,
            "observedGeneration": generation.unwrap_or(1).max(1),
        },
    }))
}

/// Writes the node's MachineConfigNode.
#[derive(Clone)]
pub(crate) struct Progress {
    objects: Api<MachineConfigNode>,
    name: String,
}

impl Progress {
    /// Of the node of that name.
    pub(crate) fn new(client: Client, name: &str) -> Self {
        Self {
            objects: Api::all(client),
            name: name.to_owned(),
        }
    }

    /// Writes what these stages change, at once. True unless the object is not there: the controller makes it.
    pub(crate) async fn tell(&self, stages: &[Stage], said: &Handshake) -> kube::Result<bool> {
        let Some(object) = self.objects.get_opt(&self.name).await? else {
            return Ok(false);
        };
        if let Some(status) = status(&object, stages, said, Timestamp::now()) {
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            self.objects
                .patch_status(&self.name, &parameters, &Patch::Apply(status))
                .await?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::handshake::tests::handshake;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The conditions that are not False.
    fn holding(conditions: &[Condition]) -> Vec<String> {
        conditions
            .iter()
            .filter(|condition| condition.status != False)
            .map(|condition| match condition.status {
                Unknown => format!("{}?", condition.type_),
                True | False => condition.type_.clone(),
            })
            .collect()
    }

    #[test]
    fn an_update_with_a_reboot() {
        let stages = [
            (Stage::AtRest, vec!["Updated"]),
            (Stage::Prepared("drain, Reboot".into()), vec!["UpdatePrepared"]),
            (
                Stage::Rebooting,
                vec![
                    "UpdatePrepared",
                    "UpdateExecuted",
                    "AppliedFilesAndOS",
                    "RebootedNode?",
                ],
            ),
            (
                Stage::Done(String::new()),
                vec![
                    "UpdatePrepared",
                    "UpdateExecuted",
                    "AppliedFilesAndOS",
                    "UpdatePostActionComplete",
                    "RebootedNode",
                    "Resumed",
                    "Updated",
                ],
            ),
            (Stage::Prepared("None".into()), vec!["UpdatePrepared"]),
            (
                Stage::Failing {
                    reason: "no".into(),
                    refused: true,
                },
                vec!["UpdatePrepared?", "NodeDegraded"],
            ),
            (Stage::AtRest, vec!["UpdatePrepared?", "Updated"]),
        ];
        let mut before = Vec::new();
        for (second, (stage, expected)) in stages.iter().enumerate() {
            before = conditions(&before, stage, "n", at(i64::try_from(second).unwrap()));
            assert_eq!(before.len(), ALL.len());
            assert_eq!(&holding(&before), expected, "{stage:?}");
        }
    }

    #[test]
    fn a_time_moves_with_the_status_alone() {
        let first = conditions(&[], &Stage::AtRest, "n", at(1));
        let failing = |reason: &str| Stage::Failing {
            reason: reason.to_owned(),
            refused: false,
        };
        let second = conditions(&first, &failing("a"), "n", at(2));
        let third = conditions(&second, &failing("b"), "n", at(3));
        let of = |all: &[Condition], kind: &str| all.iter().find(|c| c.type_ == kind).unwrap().clone();
        assert_eq!(of(&third, "NodeDegraded").last_transition_time.0, at(2));
        assert_eq!(of(&third, "NodeDegraded").message, "Node n upgrade failure. b");
        assert_eq!(of(&third, "Updated").last_transition_time.0, at(1));
    }

    #[test]
    fn stages_that_are_told_at_once_leave_what_they_leave_one_by_one() {
        let said = handshake(["a", "b", "Working", "", "", ""]);
        let mut object = MachineConfigNode::default();
        object.metadata.name = Some("n".to_owned());
        let write = |object: &mut MachineConfigNode, stages: &[Stage], second| {
            let written = status(object, stages, &said, at(second)).unwrap();
            object.status = serde_json::from_value(written["status"].clone()).unwrap();
        };
        write(&mut object, &[Stage::AtRest], 1);
        let mut at_once = object.clone();
        let (begun, done) = (Stage::Prepared("Reboot".into()), Stage::Done("None".into()));
        write(&mut object, std::slice::from_ref(&begun), 2);
        write(&mut object, std::slice::from_ref(&done), 2);
        write(&mut at_once, &[begun, done], 2);
        assert_eq!(at_once.status, object.status);
        assert_eq!(status(&object, &[], &said, at(3)), None);
    }

    #[test]
    fn what_is_so_already_is_not_written() {
        let said = handshake(["a", "a", "Done", "", "", ""]);
        let mut object = MachineConfigNode::default();
        object.metadata.name = Some("n".to_owned());
        object.metadata.generation = Some(3);
        let written = status(&object, &[Stage::AtRest], &said, at(1)).unwrap();
        assert_eq!(written["status"]["observedGeneration"], 3);
        assert_eq!(
            written["status"]["configVersion"],
            json!({"current": "a", "desired": "a"})
        );
        object.status = serde_json::from_value(written["status"].clone()).unwrap();
        assert_eq!(status(&object, &[Stage::AtRest], &said, at(2)), None);
        // The reference is one ahead.
        object.status.as_mut().unwrap().observed_generation = Some(4);
        let next = status(&object, &[Stage::Rebooting], &said, at(2)).unwrap();
        assert_eq!(next["status"]["observedGeneration"], 4);
    }
}
