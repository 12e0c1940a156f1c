//! API types of machine-config, and Kubernetes objects read from YAML or JSON text. No client, no I/O.
//!
//! One module per kind; [`manifest`] reads and writes documents, [`definitions`] lists the
//! `CustomResourceDefinitions` whose YAML is in `crds/manifests`.

pub mod annotations;
mod columns;
pub mod condition;
pub mod container_runtime_config;
pub mod controller_config;
mod definitions;
pub mod kubelet_config;
pub mod machine_config;
pub mod machine_config_node;
pub mod machine_config_pool;
pub mod machine_configuration;
pub mod manifest;
pub mod pinned_image_set;
mod schema;

pub use container_runtime_config::{ContainerRuntimeConfig, ContainerRuntimeConfigSpec};
pub use controller_config::{ControllerConfig, ControllerConfigSpec};
pub use definitions::{definitions, manifests};
pub use kubelet_config::{KubeletConfig, KubeletConfigSpec};
pub use machine_config::{MachineConfig, MachineConfigSpec};
pub use machine_config_node::{MachineConfigNode, MachineConfigNodeSpec};
pub use machine_config_pool::{MachineConfigPool, MachineConfigPoolSpec};
pub use machine_configuration::{MachineConfiguration, MachineConfigurationSpec};
pub use pinned_image_set::{PinnedImageSet, PinnedImageSetSpec};
