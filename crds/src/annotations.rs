//! Labels and annotations that are protocol (MCO controller map, appendix A).

/// Label on a MachineConfig: the role (pool) it is for.
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
