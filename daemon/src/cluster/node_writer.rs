//! What is written to the node object: annotations, as one merge patch each. [`annotations`] makes them, [`NodeWriter`] sends them.

use std::collections::BTreeMap;

use crds::annotations as keys;
use k8s_openapi::api::core::v1::{Node, ObjectReference};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::json;

use super::handshake::{Handshake, drain, uncordon};
use super::state_machine::Say;

/// Who writes, by the name that the API server keeps for each field.
pub(crate) const FIELD_MANAGER: &str = "machine-config-daemon";
/// Who reports events (MCO daemon 2.2).
const REPORTER: &str = "machineconfigdaemon";
/// Longest note of an event, in bytes: the API server takes no more.
const NOTE: usize = 1024;

/// The annotations by which a node says something; those that say it already are left out.
pub(crate) fn annotations(say: &Say, before: &Handshake) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut set = |key: &str, value: &str| all.insert(key.to_owned(), value.to_owned());
    match say {
        Say::LaidDown(laid_down) => {
            let ours = laid_down.iter().filter(|(key, _)| key.starts_with(keys::PREFIX));
            for (key, value) in ours {
                set(key, value);
            }
            keep_assignment(&mut all, before);
        }
        // Its value is empty, and an annotation that is absent would count as one.
        Say::Awaiting => return BTreeMap::from([(keys::AWAITS_CONFIG.to_owned(), String::new())]),
        Say::Adopted(config) => {
            set(keys::CURRENT_CONFIG, config);
            set(keys::DESIRED_CONFIG, config);
            keep_assignment(&mut all, before);
        }
        Say::Working {
            config,
            drain: asks,
            afresh,
        } => {
            if *afresh {
                set(keys::STATE, "Working");
                set(keys::REASON, "");
            }
            if *asks {
                set(keys::DESIRED_DRAIN, &drain(config));
            }
        }
        Say::Failing { state, reason, .. } => {
            set(keys::STATE, state.as_str());
            set(keys::REASON, reason);
        }
        Say::Done {
            config,
            uncordon: asks,
        } => {
            set(keys::CURRENT_CONFIG, config);
            set(keys::STATE, "Done");
            set(keys::REASON, "");
            // Left by the reference, which takes it for a sign of a reboot.
            set(keys::POST_CONFIG_ACTION, "");
            if *asks {
                set(keys::DESIRED_DRAIN, &uncordon(config));
            }
        }
    }
    all.retain(|key, value| before.said(key) != value);
    all
}

/// What the controller has said already is not said again by us.
fn keep_assignment(all: &mut BTreeMap<String, String>, before: &Handshake) {
    if !before.desired().is_empty() {
        all.remove(keys::DESIRED_CONFIG);
    }
}

/// Writes to the own node, with the kubelet's credential.
#[derive(Clone)]
pub(crate) struct NodeWriter {
    nodes: Api<Node>,
    name: String,
    client: Client,
}

/// A node object as its metadata tells.
pub(crate) type NodeObject = PartialObjectMeta<Node>;

impl NodeWriter {
    /// For the node of that name.
    pub(crate) fn new(client: Client, name: &str) -> Self {
        Self {
            nodes: Api::all(client.clone()),
            name: name.to_owned(),
            client,
        }
    }

    /// Sets annotations; gives the node back as it is then.
    pub(crate) async fn annotate(&self, annotations: &BTreeMap<String, String>) -> kube::Result<NodeObject> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        self.nodes.patch_metadata(&self.name, &parameters, &patch).await
    }

    /// Reports that something is wrong, as a warning about the node.
    pub(crate) async fn warn(&self, uid: Option<String>, reason: &str, text: &str) -> kube::Result<()> {
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(cut(text, NOTE).to_owned()),
            action: reason.to_owned(),
            secondary: None,
        };
        let node = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(self.name.clone()),
            uid,
            ..ObjectReference::default()
        };
        let reporter = Reporter {
            controller: REPORTER.to_owned(),
            instance: Some(self.name.clone()),
        };
        // One of its own for each: it would count those of one reason as the same and keep the words of the first.
        Recorder::new(self.client.clone(), reporter)
            .publish(&event, &node)
            .await
    }
}

/// The beginning of a text, in so many bytes at most.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use machineconfig::pool::State;

    use super::*;
    use crate::cluster::handshake::tests::handshake;
    use crate::cluster::state_machine::Cause;

    fn written(say: &Say, says: [&str; 6]) -> Vec<String> {
        let all = annotations(say, &handshake(says));
        let short = |key: &str| key.trim_start_matches(keys::PREFIX).to_owned();
        all.iter()
            .map(|(key, value)| format!("{}={value}", short(key)))
            .collect()
    }

    #[test]
    fn one_patch_says_all_of_a_step_and_nothing_twice() {
        let told = ["a", "b", "Done", "", "", ""];
        let working = |drain, afresh| Say::Working {
            config: "b".to_owned(),
            drain,
            afresh,
        };
        assert_eq!(
            written(&working(true, true), told),
            ["desiredDrain=drain-b", "state=Working"]
        );
        assert_eq!(written(&working(true, false), told), ["desiredDrain=drain-b"]);
        let failing = Say::Failing {
            state: State::Unreconcilable,
            reason: "no".to_owned(),
            cause: Cause::Update,
        };
        assert_eq!(written(&failing, told), ["reason=no", "state=Unreconcilable"]);
        let done = Say::Done {
            config: "b".to_owned(),
            uncordon: true,
        };
        assert_eq!(
            written(&done, ["a", "b", "Working", "", "drain-b", "drain-b"]),
            ["currentConfig=b", "desiredDrain=uncordon-b", "state=Done"]
        );
        assert_eq!(
            written(&Say::Awaiting, ["", "", "", "", "", ""]),
            ["machine-config.io/awaits-config="]
        );
        assert_eq!(
            written(&done, ["a", "b", "Degraded", "no", "uncordon-b", ""]),
            ["currentConfig=b", "reason=", "state=Done"]
        );
    }

    #[test]
    fn what_was_laid_down_is_ours_and_does_not_overrule_the_controller() {
        let laid_down = BTreeMap::from(
            [
                (keys::CURRENT_CONFIG, "a"),
                (keys::DESIRED_CONFIG, "a"),
                (keys::STATE, "Done"),
                ("example.com/other", "x"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        let say = Say::LaidDown(laid_down);
        assert_eq!(
            written(&say, ["", "", "", "", "", ""]),
            ["currentConfig=a", "desiredConfig=a", "state=Done"]
        );
        assert_eq!(
            written(&say, ["", "b", "", "", "", ""]),
            ["currentConfig=a", "state=Done"]
        );
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "ä");
        assert_eq!(cut("abc", 10), "abc");
    }
}
