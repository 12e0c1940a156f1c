//! Which build this is. Generated objects are stamped with it, and only those of the same build are rendered further.

/// The version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What generated MachineConfigs are stamped with: the commit when the build knows it, else the version.
pub const HASH: &str = match option_env!("MACHINE_CONFIG_COMMIT") {
    Some(commit) => commit,
    None => VERSION,
};
