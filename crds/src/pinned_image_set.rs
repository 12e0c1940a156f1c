//! PinnedImageSet: images that nodes pull before they are needed and never throw away.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::image_digest;

/// Which images to keep on the nodes.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "machineconfiguration.openshift.io",
    version = "v1",
    kind = "PinnedImageSet",
    plural = "pinnedimagesets",
    derive = "PartialEq",
    derive = "Default",
    doc = "Images that the nodes of a pool pull before they are needed and never throw away. A pool takes it up when the pool's machineConfigSelector matches its labels."
)]
#[serde(rename_all = "camelCase")]
pub struct PinnedImageSetSpec {
    /// The images.
    #[schemars(
        length(min = 1, max = 500),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub pinned_images: Vec<PinnedImage>,
}

/// An image by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PinnedImage {
    /// Pull spec with a digest: `host:port/path/name@sha256:digest`; port and path may be absent. Tags are not allowed, since
    /// what they mean changes.
    #[schemars(length(min = 1, max = 447), extend("x-kubernetes-validations" = image_digest()))]
    pub name: String,
}
