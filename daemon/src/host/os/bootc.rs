//! What `bootc` says.

use serde::Deserialize;

use super::{Commands, Deployment, Images, OsError};

const PROGRAM: &str = "bootc";

/// `bootc status --json` (`org.containers.bootc/v1`, `BootcHost`), as far as it is used.
#[derive(Debug, Deserialize)]
struct Host {
    status: Status,
}

#[derive(Debug, Deserialize)]
struct Status {
    booted: Option<Entry>,
    staged: Option<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    image: Option<Image>,
    ostree: Option<Tree>,
}

#[derive(Debug, Deserialize)]
struct Image {
    #[serde(rename = "image")]
    reference: Reference,
    version: Option<String>,
    #[serde(rename = "imageDigest")]
    digest: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    image: String,
}

#[derive(Debug, Deserialize)]
struct Tree {
    checksum: String,
}

pub(super) fn images(commands: &Commands) -> Result<Images, OsError> {
    let host: Host = commands
        .json(PROGRAM, ["status", "--json"])
        .map_err(|source| OsError::Program {
            program: PROGRAM,
            source,
        })?;
    let booted = host
        .status
        .booted
        .ok_or(OsError::NotBooted { program: PROGRAM })?;
    Ok(Images {
        booted: Some(booted.into()),
        staged: host.status.staged.map(Deployment::from),
    })
}

impl From<Entry> for Deployment {
    fn from(entry: Entry) -> Self {
        let checksum = entry.ostree.map(|tree| tree.checksum).unwrap_or_default();
        let Some(image) = entry.image else {
            return Self {
                checksum,
                ..Self::default()
            };
        };
        Self {
            image: image.reference.image,
            digest: image.digest,
            version: image.version.unwrap_or_default(),
            checksum,
        }
    }
}
