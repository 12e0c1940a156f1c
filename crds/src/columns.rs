//! The columns that `kubectl get` prints for each kind.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition as Column;

/// Columns of the kind, left to right. None means the name and the age alone, which is what an API
/// server prints without being told.
pub(crate) fn columns(kind: &str) -> Option<Vec<Column>> {
    match kind {
        "MachineConfig" => Some(machine_config()),
        "MachineConfigNode" => Some(machine_config_node()),
        "MachineConfigPool" => Some(machine_config_pool()),
        _ => None,
    }
}

fn machine_config() -> Vec<Column> {
    vec![
        column("GeneratedByController", "string")
            .at(r".metadata.annotations.machineconfiguration\.openshift\.io/generated-by-controller-version")
            .says("Version of the controller that wrote it; empty when a person did"),
        column("IgnitionVersion", "string")
            .at(".spec.config.ignition.version")
            .says("Version of the Ignition config"),
        age(),
    ]
}

fn machine_config_node() -> Vec<Column> {
    let mut columns = vec![
        column("PoolName", "string").at(".spec.pool.name"),
        column("DesiredConfig", "string").at(".spec.configVersion.desired"),
        column("CurrentConfig", "string").at(".status.configVersion.current"),
        column("Updated", "string").of_condition("Updated"),
        age(),
    ];
    // With `-o wide`: the steps of an update, in their order.
    columns.extend(
        [
            ("UpdatePrepared", "UpdatePrepared"),
            ("UpdateExecuted", "UpdateExecuted"),
            ("UpdatePostActionComplete", "UpdatePostActionComplete"),
            ("UpdateComplete", "UpdateComplete"),
            ("Resumed", "Resumed"),
            ("UpdatedFilesAndOS", "AppliedFilesAndOS"),
            ("CordonedNode", "Cordoned"),
            ("DrainedNode", "Drained"),
            ("RebootedNode", "RebootedNode"),
            ("UncordonedNode", "Uncordoned"),
        ]
        .map(|(name, condition)| Column {
            priority: Some(1),
            ..column(name, "string").of_condition(condition)
        }),
    );
    columns
}

fn machine_config_pool() -> Vec<Column> {
    vec![
        column("Config", "string").at(".status.configuration.name"),
        column("Updated", "string")
            .of_condition("Updated")
            .says("Whether all nodes of the pool have its config"),
        column("Updating", "string")
            .of_condition("Updating")
            .says("Whether nodes are on their way to the pool's config"),
        column("Degraded", "string")
            .of_condition("Degraded")
            .says("Whether rendering or a node has failed"),
        column("MachineCount", "number")
            .at(".status.machineCount")
            .says("Nodes in the pool"),
        column("ReadyMachineCount", "number")
            .at(".status.readyMachineCount")
            .says("Nodes that have the pool's config and are ready"),
        column("UpdatedMachineCount", "number")
            .at(".status.updatedMachineCount")
            .says("Nodes that have the pool's config"),
        column("DegradedMachineCount", "number")
            .at(".status.degradedMachineCount")
            .says("Nodes on which an update has failed"),
        age(),
    ]
}

fn age() -> Column {
    column("Age", "date").at(".metadata.creationTimestamp")
}

fn column(name: &str, type_: &str) -> Column {
    Column {
        name: name.to_owned(),
        type_: type_.to_owned(),
        ..Column::default()
    }
}

/// Says the rest of a column.
trait Says {
    /// The value's JSON path.
    fn at(self, json_path: &str) -> Self;
    /// The status of a condition is the value.
    fn of_condition(self, condition: &str) -> Self;
    /// What the column means.
    fn says(self, description: &str) -> Self;
}

impl Says for Column {
    fn at(self, json_path: &str) -> Self {
        Self {
            json_path: json_path.to_owned(),
            ..self
        }
    }

    fn of_condition(self, condition: &str) -> Self {
        self.at(&format!(r#".status.conditions[?(@.type=="{condition}")].status"#))
    }

    fn says(self, description: &str) -> Self {
        Self {
            description: Some(description.to_owned()),
            ..self
        }
    }
}
