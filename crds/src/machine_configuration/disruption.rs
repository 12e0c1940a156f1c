//! NodeDisruptionPolicy: what a change of a file, a unit or the SSH keys does to a node.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema::{rule, unit_name};

/// Most entries of a list in the spec; in the status, where the defaults are added, there is room
/// for twice as many.
const MAX_ENTRIES_IN_SPEC: u32 = 50;

/// What a change does, for files, units and SSH keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeDisruptionPolicyConfig {
    /// Policies for files and directories. The longest path that matches decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["path"])
    )]
    pub files: Vec<NodeDisruptionPolicyFile>,
    /// Policies for units.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub units: Vec<NodeDisruptionPolicyUnit>,
    /// Policy for SSH keys and the password hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sshkey: Option<NodeDisruptionPolicySshKey>,
}

/// Policy for one path: the file itself, or everything below the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["actions", "path"]))]
pub struct NodeDisruptionPolicyFile {
    /// Absolute path.
    pub path: String,
    /// What to do when it changes, in order. Reboot and None stand alone.
    #[serde(default)]
    #[schemars(
        length(max = 10),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = stand_alone())
    )]
    pub actions: Vec<NodeDisruptionPolicyAction>,
}

/// Policy for one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["actions", "name"]))]
pub struct NodeDisruptionPolicyUnit {
    /// Full unit name, for instance crio.service.
    #[schemars(length(max = 255), extend("x-kubernetes-validations" = unit_name()))]
    pub name: String,
    /// What to do when it changes, in order. Reboot and None stand alone.
    #[serde(default)]
    #[schemars(
        length(max = 10),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = stand_alone())
    )]
    pub actions: Vec<NodeDisruptionPolicyAction>,
}

/// Policy for SSH keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["actions"]))]
pub struct NodeDisruptionPolicySshKey {
    /// What to do when they change, in order. Reboot and None stand alone.
    #[serde(default)]
    #[schemars(
        length(max = 10),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = stand_alone())
    )]
    pub actions: Vec<NodeDisruptionPolicyAction>,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [
    rule("self.type == 'Reload' ? has(self.reload) : !has(self.reload)", "reload goes with the type Reload, and only with it"),
    rule("self.type == 'Restart' ? has(self.restart) : !has(self.restart)", "restart goes with the type Restart, and only with it"),
]))]
pub struct NodeDisruptionPolicyAction {
    /// What kind of action.
    #[serde(rename = "type")]
    pub type_: NodeDisruptionPolicyActionType,
    /// The unit to reload; with Reload only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<ServiceAction>,
    /// The unit to restart; with Restart only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<ServiceAction>,
}

/// The kinds of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeDisruptionPolicyActionType {
    /// Drain and reboot. Stands alone.
    Reboot,
    /// Evict the pods.
    Drain,
    /// Reload a service.
    Reload,
    /// Restart a service.
    Restart,
    /// Make systemd read its units anew.
    DaemonReload,
    /// Nothing to do. Stands alone.
    None,
    /// In status only: the daemon decides by the change itself (registries.conf).
    Special,
}

/// The unit an action is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAction {
    /// Full unit name, for instance crio.service.
    #[schemars(length(max = 255), extend("x-kubernetes-validations" = unit_name()))]
    pub service_name: String,
}

/// The schema of a user's policy: fewer entries, and no action that only the system may name.
pub(super) fn as_in_spec(schema: &mut Schema) {
    if let Some(node) = schema.as_object_mut() {
        node.values_mut().for_each(narrow);
    }
}

fn narrow(node: &mut Value) {
    match node {
        Value::Object(map) => {
            if map.get("maxItems") == Some(&Value::from(2 * MAX_ENTRIES_IN_SPEC)) {
                map.insert("maxItems".to_owned(), MAX_ENTRIES_IN_SPEC.into());
            }
            map.values_mut().for_each(narrow);
        }
        Value::Array(list) => {
            list.retain(|variant| variant.get("const").is_none_or(|value| value != "Special"));
            list.iter_mut().for_each(narrow);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The rules that some actions stand alone.
fn stand_alone() -> Value {
    let alone = |kind: &str| {
        rule(
            &format!("self.exists(action, action.type == '{kind}') ? size(self) == 1 : true"),
            &format!("{kind} must be the only action"),
        )
    };
    Value::Array(vec![alone("Reboot"), alone("None")])
}
