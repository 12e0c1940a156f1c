//! Labels and annotations that are protocol: their texts are what the reference writes and reads
//! (MCO controller map 0.5, 1.2, 3.3, 6.3 and appendix A).

/// What nearly all of them begin with.
pub const PREFIX: &str = "machineconfiguration.openshift.io/";

// === Labels and annotations of MachineConfigs and what they are made from ===

/// Label on a MachineConfig: the role (pool) it is for. Also on PinnedImageSets, which pools select in
/// the same way.
pub const ROLE: &str = "machineconfiguration.openshift.io/role";
/// Annotation on generated MachineConfigs: the hash of the controller that wrote it.
pub const GENERATED_BY_CONTROLLER_VERSION: &str =
    "machineconfiguration.openshift.io/generated-by-controller-version";
/// Annotation on the ControllerConfig: the version of who wrote it.
pub const GENERATED_BY_VERSION: &str = "machineconfiguration.openshift.io/generated-by-version";
/// Annotation on ControllerConfig and rendered configs: the release they belong to.
pub const RELEASE_IMAGE_VERSION: &str = "machineconfiguration.openshift.io/release-image-version";
/// Annotation on a rendered config whose OS image is not the default one.
pub const OS_IMAGE_URL_OVERRIDDEN: &str = "machineconfiguration.openshift.io/os-image-url-overridden";
/// Annotation on a KubeletConfig or ContainerRuntimeConfig: the number at the end of the name of the
/// MachineConfig that is made of it; empty for none.
pub const MC_NAME_SUFFIX: &str = "machineconfiguration.openshift.io/mc-name-suffix";
/// Annotation on a rendered config: the image, by digest, that it was built into beforehand.
pub const PRE_BUILT_IMAGE: &str = "machineconfiguration.openshift.io/pre-built-image";

// === Our own, which the reference does not know ===

/// Annotation on a rendered config: which MachineConfig each part of it came from.
pub const PROVENANCE: &str = "machine-config.io/provenance";

// === Labels of pools ===

/// Label, with an empty value, on the pools that the system brings along.
pub const BUILT_IN_POOL: &str = "machineconfiguration.openshift.io/mco-built-in";
/// What the label of a pool begins with that KubeletConfigs and ContainerRuntimeConfigs select it by;
/// the pool's name follows, the value is empty.
pub const POOL_LABEL_PREFIX: &str = "pools.operator.machineconfiguration.openshift.io/";
/// Label, with an empty value, on pools that must be updated before the cluster is upgraded.
pub const REQUIRED_FOR_UPGRADE: &str = "operator.machineconfiguration.openshift.io/required-for-upgrade";

// === Labels and taints of nodes ===

/// What the label of a node's role begins with; the role follows, the value is empty.
pub const NODE_ROLE_PREFIX: &str = "node-role.kubernetes.io/";
/// Label of a node: the failure domain that it stands in.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// Taint, with the effect `PreferNoSchedule`, on nodes that an update will still come to.
pub const UPDATE_IN_PROGRESS_TAINT: &str = "UpdateInProgress";

// === Annotations of nodes: the handshake between controller and daemon ===

/// The rendered config that the node has. Written by the daemon.
pub const CURRENT_CONFIG: &str = "machineconfiguration.openshift.io/currentConfig";
/// The rendered config that the node is to have. Written by the controller; at first by who made the
/// node.
pub const DESIRED_CONFIG: &str = "machineconfiguration.openshift.io/desiredConfig";
/// The OS image, by digest, that the node has, where images are built on the cluster. Written by the
/// daemon.
pub const CURRENT_IMAGE: &str = "machineconfiguration.openshift.io/currentImage";
/// The OS image, by digest, that the node is to have. Written by the controller.
pub const DESIRED_IMAGE: &str = "machineconfiguration.openshift.io/desiredImage";
/// What the daemon is doing: Done, Working, Degraded, Unreconcilable or Rebooting.
pub const STATE: &str = "machineconfiguration.openshift.io/state";
/// Why it is Degraded or Unreconcilable; otherwise empty. Written by the daemon.
pub const REASON: &str = "machineconfiguration.openshift.io/reason";
/// What the daemon asks for: `drain-` or `uncordon-` and the name of a rendered config.
pub const DESIRED_DRAIN: &str = "machineconfiguration.openshift.io/desiredDrain";
/// What the controller has done of it: a copy of [`DESIRED_DRAIN`].
pub const LAST_APPLIED_DRAIN: &str = "machineconfiguration.openshift.io/lastAppliedDrain";
/// The topology of the control plane. Written by the controller.
pub const CONTROL_PLANE_TOPOLOGY: &str = "machineconfiguration.openshift.io/controlPlaneTopology";
/// The rendered config that the node was first started with. Written by the daemon.
pub const FIRST_PIVOT_CONFIG: &str = "machineconfiguration.openshift.io/firstPivotConfig";
/// Mark, with an empty value, that the labels of the node's custom pool were put on it.
pub const CUSTOM_POOL_LABELS_APPLIED: &str = "machineconfiguration.openshift.io/customPoolLabelsApplied";
/// The resource version of the ControllerConfig whose certificates the node has. Written by the daemon.
pub const LAST_SYNCED_CONTROLLER_CONFIG: &str =
    "machineconfiguration.openshift.io/lastSyncedControllerConfigResourceVersion";
/// The certificates of the API server that the node has seen. Written by the daemon.
pub const LAST_OBSERVED_SERVER_CA: &str = "machineconfiguration.openshift.io/lastObservedServerCAAnnotation";
/// What the daemon does after an update. For people.
pub const POST_CONFIG_ACTION: &str = "machineconfiguration.openshift.io/post-config-action";
/// Why an OS update was not finished at shutdown. For people.
pub const OSTREE_FINALIZE_STAGED_FAILURE: &str =
    "machineconfiguration.openshift.io/ostree-finalize-staged-failure";

// === Our own, beside those of the reference ===

/// What labels, annotations and condition types of our own begin with. They never change the meaning of
/// one of the reference's.
pub const OWN_PREFIX: &str = "machine-config.io/";
/// Annotation on a pool: the nodes that a rollout has set apart and has not finished yet, as JSON. Written
/// by the controller, with the resource version of the pool that it has read.
pub const RESERVATIONS: &str = "machine-config.io/reservations";
/// Annotation on a node: the reservation by which its [`DESIRED_CONFIG`] was written last. Written by the
/// controller.
pub const RESERVED_BY: &str = "machine-config.io/reserved-by";
/// Annotation on a node, with an empty value: it has no config and nobody has laid one down for it, so it waits for the
/// first one. Written by the daemon, removed by the controller with the first [`DESIRED_CONFIG`].
pub const AWAITS_CONFIG: &str = "machine-config.io/awaits-config";
/// Annotation on a node: the drain that the controller has begun, as JSON: which request, since when, and whether the cordon
/// is the controller's own. Written by the controller.
pub const DRAIN: &str = "machine-config.io/drain";
/// Annotation on a pool: how long a drain of one of its nodes may take before it is reported as overdue, such as `30m` or
/// `2h`. Written by people.
pub const DRAIN_TIMEOUT: &str = "machine-config.io/drain-timeout";
/// Annotation on a pool: why people have paused it, in their words. Written by who pauses, removed by who goes on.
pub const PAUSED_BECAUSE: &str = "machine-config.io/paused-because";
