//! The fields of the spec besides the Ignition config, merged (MCO render 2.5).

use crate::provenance::{Part, Recorder};

use super::Defaults;
use super::input::Input;

/// The kernel when no MachineConfig asks for another.
const DEFAULT_KERNEL: &str = "default";

/// The merged fields. Empty strings are what no MachineConfig decided.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) os_image_url: String,
    pub(super) extensions_image_url: String,
    pub(super) kernel_arguments: Vec<String>,
    pub(super) extensions: Vec<String>,
    pub(super) fips: bool,
    pub(super) kernel_type: String,
}

impl Fields {
    /// Merges the next MachineConfig over what is there.
    pub(super) fn add(&mut self, input: &Input<'_>, recorder: &mut Recorder<'_>) {
        let spec = &input.config.spec;
        let mut field = |target: &mut String, value: &str, name: &str| {
            value.clone_into(target);
            recorder.touch(Part::Field(name.to_owned()));
        };
        // Images are for users to choose; those of generated MachineConfigs are history.
        if input.generated_by().is_none() {
            if !spec.os_image_url.is_empty() {
                field(&mut self.os_image_url, &spec.os_image_url, "osImageURL");
            }
            let extensions_image = &spec.base_os_extensions_container_image;
            if !extensions_image.is_empty() {
                field(
                    &mut self.extensions_image_url,
                    extensions_image,
                    "baseOSExtensionsContainerImage",
                );
            }
        }
        // An explicit default does not override another kernel.
        if !spec.kernel_type.is_empty() && spec.kernel_type != DEFAULT_KERNEL {
            field(&mut self.kernel_type, &spec.kernel_type, "kernelType");
        }
        if spec.fips {
            self.fips = true;
            recorder.touch(Part::Field("fips".to_owned()));
        }
        for argument in spec.kernel_arguments.iter().flatten() {
            self.kernel_arguments.push(argument.clone());
            recorder.touch(Part::KernelArgument(argument.clone()));
        }
        for extension in spec.extensions.iter().flatten() {
            self.extensions.push(extension.clone());
            recorder.touch(Part::Extension(extension.clone()));
        }
    }

    /// With the defaults for what no MachineConfig decided.
    pub(super) fn or_defaults(self, defaults: &Defaults) -> Self {
        let or = |value: String, default: &str| {
            if value.is_empty() {
                default.to_owned()
            } else {
                value
            }
        };
        Self {
            os_image_url: or(self.os_image_url, &defaults.os_image_url),
            extensions_image_url: or(self.extensions_image_url, &defaults.extensions_image_url),
            kernel_type: or(self.kernel_type, DEFAULT_KERNEL),
            ..self
        }
    }
}
