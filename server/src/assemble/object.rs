//! A MachineConfig as the reference writes it: its order of fields, and nothing where it omits.

use crds::MachineConfig;
use ignition::Version;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

/// The MachineConfig as it was read, with its keys in the reference's order.
pub(super) fn as_written(object: &MachineConfig) -> impl Serialize {
    Object {
        object,
        config: object.spec.config.clone(),
    }
}

/// The same with an empty Ignition config.
///
/// Its version is the newest, whatever a client asked for: that is what the reference does when it serves files.
pub(super) fn encapsulated(object: &MachineConfig) -> impl Serialize {
    Object {
        object,
        config: Some(json!({"ignition": {"version": Version::LATEST.as_str()}})),
    }
}

struct Object<'a> {
    object: &'a MachineConfig,
    config: Option<Value>,
}

struct Metadata<'a>(&'a MachineConfig);

struct Owner<'a>(&'a OwnerReference);

struct Managed<'a>(&'a ManagedFieldsEntry);

struct Spec<'a>(&'a Object<'a>);

/// Writes fields in the order of the calls, leaving out what is empty.
struct Fields<M>(M);

impl<M: SerializeMap> Fields<M> {
    fn always(&mut self, key: &str, value: &impl Serialize) -> Result<(), M::Error> {
        self.0.serialize_entry(key, value)
    }

    fn unless_none(&mut self, key: &str, value: Option<&impl Serialize>) -> Result<(), M::Error> {
        value.map_or(Ok(()), |value| self.0.serialize_entry(key, value))
    }

    fn unless_empty(&mut self, key: &str, value: Option<&String>) -> Result<(), M::Error> {
        self.unless_none(key, value.filter(|text| !text.is_empty()))
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields(serializer.serialize_map(None)?);
        fields.always("kind", &"MachineConfig")?;
        fields.always("apiVersion", &"machineconfiguration.openshift.io/v1")?;
        fields.always("metadata", &Metadata(self.object))?;
        fields.always("spec", &Spec(self))?;
        fields.0.end()
    }
}

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let metadata = &self.0.metadata;
        let mut fields = Fields(serializer.serialize_map(None)?);
        fields.unless_empty("name", metadata.name.as_ref())?;
        fields.unless_empty("generateName", metadata.generate_name.as_ref())?;
        fields.unless_empty("namespace", metadata.namespace.as_ref())?;
        fields.unless_empty("selfLink", metadata.self_link.as_ref())?;
        fields.unless_empty("uid", metadata.uid.as_ref())?;
        fields.unless_empty("resourceVersion", metadata.resource_version.as_ref())?;
        fields.unless_none("generation", metadata.generation.as_ref().filter(|n| **n != 0))?;
        fields.unless_none("creationTimestamp", metadata.creation_timestamp.as_ref())?;
        fields.unless_none("deletionTimestamp", metadata.deletion_timestamp.as_ref())?;
        fields.unless_none(
            "deletionGracePeriodSeconds",
            metadata.deletion_grace_period_seconds.as_ref(),
        )?;
        fields.unless_none("labels", metadata.labels.as_ref().filter(|m| !m.is_empty()))?;
        fields.unless_none(
            "annotations",
            metadata.annotations.as_ref().filter(|m| !m.is_empty()),
        )?;
        let owners = metadata.owner_references.as_ref().filter(|l| !l.is_empty());
        let owners = owners.map(|l| l.iter().map(Owner).collect::<Vec<_>>());
        fields.unless_none("ownerReferences", owners.as_ref())?;
        fields.unless_none(
            "finalizers",
            metadata.finalizers.as_ref().filter(|l| !l.is_empty()),
        )?;
        let managed = metadata.managed_fields.as_ref().filter(|l| !l.is_empty());
        let managed = managed.map(|l| l.iter().map(Managed).collect::<Vec<_>>());
        fields.unless_none("managedFields", managed.as_ref())?;
        fields.0.end()
    }
}

impl Serialize for Owner<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let owner = self.0;
        let mut fields = Fields(serializer.serialize_map(None)?);
        fields.always("apiVersion", &owner.api_version)?;
        fields.always("kind", &owner.kind)?;
        fields.always("name", &owner.name)?;
        fields.always("uid", &owner.uid)?;
        fields.unless_none("controller", owner.controller.as_ref())?;
        fields.unless_none("blockOwnerDeletion", owner.block_owner_deletion.as_ref())?;
        fields.0.end()
    }
}

impl Serialize for Managed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = self.0;
        let mut fields = Fields(serializer.serialize_map(None)?);
        fields.unless_empty("manager", entry.manager.as_ref())?;
        fields.unless_empty("operation", entry.operation.as_ref())?;
        fields.unless_empty("apiVersion", entry.api_version.as_ref())?;
        fields.unless_none("time", entry.time.as_ref())?;
        fields.unless_empty("fieldsType", entry.fields_type.as_ref())?;
        fields.unless_none("fieldsV1", entry.fields_v1.as_ref())?;
        fields.unless_empty("subresource", entry.subresource.as_ref())?;
        fields.0.end()
    }
}

impl Serialize for Spec<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Object { object, config } = self.0;
        let spec = &object.spec;
        let mut fields = Fields(serializer.serialize_map(None)?);
        fields.always("osImageURL", &spec.os_image_url)?;
        fields.always(
            "baseOSExtensionsContainerImage",
            &spec.base_os_extensions_container_image,
        )?;
        fields.unless_none("config", config.as_ref())?;
        fields.always("kernelArguments", &spec.kernel_arguments)?;
        fields.always("extensions", &spec.extensions)?;
        fields.always("fips", &spec.fips)?;
        fields.always("kernelType", &spec.kernel_type)?;
        fields.0.end()
    }
}
