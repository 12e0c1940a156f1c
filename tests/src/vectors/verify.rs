//! Family `verify`: what is on a disk against what a config demands. The tree of a case is really made, below a temporary root.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use crds::MachineConfig;
use daemon::host::Root;
use daemon::observe::Enablement;
use daemon::verify::verify;
use machineconfig::drift::{Drift, DriftKind, expected};
use serde::Deserialize;
use serde_json::Value;

use super::cases::Case;
use super::checks::Checks;
use super::deviations::Rule;
use super::mentions;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    machine_config: MachineConfig,
    tree: Vec<Node>,
    #[serde(default)]
    unit_states: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Node {
    File {
        path: String,
        #[serde(default)]
        contents: String,
        mode: Option<u32>,
    },
    Directory {
        path: String,
        mode: Option<u32>,
    },
    Symlink {
        path: String,
        target: String,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expect {
    Refused { error: String, kind: String },
    Accepted { ok: bool },
}

/// Compares one case.
pub(super) fn compare(case: &Case, checks: &mut Checks<'_>) -> Result<()> {
    let input: Input = case.input()?;
    let ours = ours(&input)?;
    match (case.expect()?, ours) {
        (Expect::Accepted { ok: false }, _) => bail!("expect.ok is false"),
        (Expect::Accepted { ok: true }, Ok(drift)) => no_drift(&input, drift, checks),
        (Expect::Accepted { ok: true }, Err(error)) => {
            checks.differs(format!(
                "the config is refused, the reference verifies against it: {error}"
            ));
        }
        (Expect::Refused { error, kind }, Ok(drift)) => {
            if kind == "other" {
                checks.differs(format!(
                    "the config is accepted, the reference refuses it: {error}"
                ));
            }
            found(&error, &drift, checks);
        }
        (Expect::Refused { error, .. }, Err(ours)) => checks.refused("the config", &error, Some(&ours)),
    }
    Ok(())
}

/// Every mismatch, or why there can be none.
fn ours(input: &Input) -> Result<Result<Vec<Drift>, String>> {
    let expectation = match expected(&input.machine_config) {
        Ok(expectation) => expectation,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let dir = tempfile::tempdir()?;
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
    for node in &input.tree {
        node.make(dir.path())?;
    }
    let root = Root::open(dir.path()).context("the root cannot be opened")?;
    Ok(Ok(verify(&root, &expectation, &States(&input.unit_states))?))
}

/// What `systemctl is-enabled` says, as the case tells it.
struct States<'a>(&'a BTreeMap<String, String>);

impl Enablement for States<'_> {
    fn answer(&self, unit: &str) -> io::Result<Option<String>> {
        Ok(Some(
            self.0.get(unit).map_or("not-found", String::as_str).to_owned(),
        ))
    }
}

impl Node {
    fn make(&self, root: &Path) -> Result<()> {
        match self {
            Node::File { path, contents, mode } => {
                let path = place(root, path)?;
                fs::write(&path, contents)?;
                fs::set_permissions(&path, Permissions::from_mode(mode.unwrap_or(0o644)))?;
            }
            Node::Directory { path, mode } => {
                let path = place(root, path)?;
                fs::create_dir_all(&path)?;
                fs::set_permissions(&path, Permissions::from_mode(mode.unwrap_or(0o755)))?;
            }
            Node::Symlink { path, target } => symlink(target, place(root, path)?)?,
        }
        Ok(())
    }
}

/// Where a path of the tree is, its parents made. Never by way of a link, which would lead out of the temporary root.
fn place(root: &Path, path: &str) -> Result<PathBuf> {
    let mut place = root.to_owned();
    let mut parts = Path::new(path)
        .components()
        .filter(|part| *part != Component::RootDir)
        .peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else {
            bail!("{path} is not clean");
        };
        place.push(name);
        if parts.peek().is_none() {
            return Ok(place);
        }
        if place.is_symlink() {
            bail!("{path} lies behind a link");
        }
        if !place.exists() {
            fs::create_dir(&place)?;
            fs::set_permissions(&place, Permissions::from_mode(0o755))?;
        }
    }
    bail!("{path} is no path below the root")
}

/// The reference finds nothing. What we find is beyond what it looks at, and listed as such.
fn no_drift(input: &Input, drift: Vec<Drift>, checks: &mut Checks<'_>) {
    for drift in drift {
        let beyond = drift.beyond_reference && never_looked_at(input, &drift);
        if !beyond || !checks.deviates(Rule::VerifyBeyond) {
            checks.differs(format!(
                "drift, the reference finds none: {}: expected {}, found {}",
                drift.path, drift.expected, drift.found
            ));
        }
    }
}

/// Owners, directories, links, SSH keys, enablement where the config says enabled, and everything about a unit without contents: the reference's check
/// of these is missing or dead.
fn never_looked_at(input: &Input, drift: &Drift) -> bool {
    let config = input.machine_config.spec.config.as_ref();
    let of_2_x = config
        .and_then(|config| config.pointer("/ignition/version")?.as_str())
        .is_some_and(|version| version.starts_with("2."));
    let units = config.and_then(|config| config.pointer("/systemd/units")?.as_array());
    let named = |unit: &&Value| drift.unit.as_deref() == unit["name"].as_str();
    let unit = units.into_iter().flatten().find(named);
    match drift.kind {
        DriftKind::Owner | DriftKind::SshKeys | DriftKind::Link => true,
        _ if is_directory_or_link(config, &drift.path) => true,
        DriftKind::Enablement => of_2_x || unit.is_some_and(|unit| unit["enabled"] == true || is_bare(unit)),
        _ => unit.is_some_and(is_bare),
    }
}

fn is_directory_or_link(config: Option<&Value>, path: &str) -> bool {
    let list = |pointer| config.and_then(|config| config.pointer(pointer)?.as_array());
    [list("/storage/directories"), list("/storage/links")]
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry["path"] == path)
}

fn is_bare(unit: &Value) -> bool {
    unit["contents"].as_str().unwrap_or_default().is_empty()
}

/// What the reference finds first is among what we find.
fn found(error: &str, drift: &[Drift], checks: &mut Checks<'_>) {
    let unit = error
        .strip_prefix("unit \"")
        .and_then(|rest| rest.split('"').next());
    let path = mentions::absolute_paths(error).next();
    let named = match (unit, &path) {
        (Some(unit), _) => drift.iter().any(|drift| drift.unit.as_deref() == Some(unit)),
        (None, Some(path)) => drift.iter().any(|drift| drift.path == *path),
        // It does not say which file: any that no disk can satisfy.
        (None, None) => drift.iter().any(|drift| drift.kind == DriftKind::Unsatisfiable),
    };
    if !named {
        let ours: Vec<_> = drift.iter().map(|drift| (&drift.path, drift.kind)).collect();
        checks.differs(format!("not found: {error}\n  found: {ours:?}"));
    }
}
