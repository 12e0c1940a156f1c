//! What `rpm-ostree` says.

use serde::Deserialize;

use super::{Commands, Deployment, Images, OsError, split_arguments};

const PROGRAM: &str = "rpm-ostree";

/// How the reference marks what it has deployed without naming a container image.
const PIVOT: &str = "pivot://";

/// `rpm-ostree status --json`, as far as it is used.
#[derive(Debug, Deserialize)]
struct Status {
    deployments: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    #[serde(default)]
    booted: bool,
    #[serde(default)]
    staged: bool,
    checksum: String,
    version: Option<String>,
    container_image_reference: Option<String>,
    container_image_reference_digest: Option<String>,
    #[serde(default)]
    custom_origin: Option<Vec<String>>,
}

pub(super) fn images(commands: &Commands) -> Result<Images, OsError> {
    let status: Status = commands
        .json(PROGRAM, ["status", "--json"])
        .map_err(|source| OsError::Program {
            program: PROGRAM,
            source,
        })?;
    let mut images = Images::default();
    for listed in status.deployments {
        if listed.booted {
            images.booted = Some(listed.into());
        } else if listed.staged {
            images.staged = Some(listed.into());
        }
    }
    if images.booted.is_none() {
        return Err(OsError::NotBooted { program: PROGRAM });
    }
    Ok(images)
}

pub(super) fn kernel_arguments(commands: &Commands) -> Result<Vec<String>, OsError> {
    let output = commands
        .run(PROGRAM, ["kargs"])
        .and_then(super::super::command::Output::success);
    let text = output.and_then(|output| Ok(output.text()?.to_owned()));
    let text = text.map_err(|source| OsError::Program {
        program: PROGRAM,
        source,
    })?;
    Ok(split_arguments(&text))
}

impl From<Listed> for Deployment {
    fn from(listed: Listed) -> Self {
        let reference = listed.container_image_reference.as_deref().map(image);
        let marked = listed
            .custom_origin
            .iter()
            .flatten()
            .next()
            .map(|origin| origin.strip_prefix(PIVOT).unwrap_or(origin));
        Self {
            image: reference.or(marked).unwrap_or_default().to_owned(),
            digest: listed.container_image_reference_digest,
            version: listed.version.unwrap_or_default(),
            checksum: listed.checksum,
        }
    }
}

/// The image in a reference that says first how its signature is checked and how it is fetched
/// (`ostree-remote-image:fedora:docker://quay.io/a`, `ostree-unverified-registry:quay.io/a`).
fn image(reference: &str) -> &str {
    let (kind, rest) = reference.split_once(':').unwrap_or(("", reference));
    let fetched = match kind {
        // The remote that knows the keys comes between.
        "ostree-remote-image" | "ostree-remote-registry" => {
            rest.split_once(':').map_or(rest, |(_, rest)| rest)
        }
        "ostree-image-signed" | "ostree-unverified-image" | "ostree-unverified-registry" => rest,
        _ => return reference,
    };
    let fetched = fetched.strip_prefix("registry:").unwrap_or(fetched);
    fetched.strip_prefix("docker://").unwrap_or(fetched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_what_follows_the_transport() {
        for reference in [
            "ostree-unverified-registry:quay.io/a/b@sha256:1",
            "ostree-unverified-image:docker://quay.io/a/b@sha256:1",
            "ostree-unverified-image:registry:quay.io/a/b@sha256:1",
            "ostree-image-signed:docker://quay.io/a/b@sha256:1",
            "ostree-remote-image:fedora:docker://quay.io/a/b@sha256:1",
            "ostree-remote-registry:fedora:quay.io/a/b@sha256:1",
            "quay.io/a/b@sha256:1",
        ] {
            assert_eq!(image(reference), "quay.io/a/b@sha256:1", "{reference}");
        }
    }
}
