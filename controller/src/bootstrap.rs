//! `bootstrap`: from a directory of manifests to the directory that the server's file mode reads, with no API server.
//!
//! Reading and deciding come first and are told in full; writing comes last, in one step, and only when nothing is
//! refused.

use std::fs;
use std::path::{Path, PathBuf};

use crds::controller_config::ControllerConfigSpec;
use crds::{ControllerConfig, annotations};
use machineconfig::finding::{Located, Place, point_at_fields};
use machineconfig::{Code, Finding, Objects};

use crate::cli::{Exit, message, print, show};
use crate::version::{HASH, VERSION};

mod input;
mod output;
mod pools;
mod publish;
mod pull_secret;

/// The name a ControllerConfig has (MCO controller 0.4).
const CONTROLLER_CONFIG: &str = "machine-config-controller";

/// Render the pools of a directory of manifests into the directory that the server reads
///
/// Reads MachineConfigs, MachineConfigPools, a ControllerConfig and the APIServer named cluster. Without pools there are
/// master and worker. All problems are told in one run, and nothing is written when there is one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory with manifests (*.yaml, *.yml, *.json, or no extension); directories below it are not read
    #[arg(long, value_name = "DIR")]
    manifest_dir: PathBuf,
    /// Directory to write to; what is in it and not of an earlier run stays
    #[arg(long, value_name = "DIR")]
    dest_dir: PathBuf,
    /// Secret with the credentials for image registries, of type kubernetes.io/dockerconfigjson
    #[arg(long, value_name = "FILE")]
    pull_secret: Option<PathBuf>,
}

/// What flags before or after the command say.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Directory with templates of base configs; none are rendered yet, give them as MachineConfigs
    #[arg(long, global = true, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// Release that the rendered configs are annotated with, when the ControllerConfig does not say
    #[arg(long, global = true, value_name = "VERSION")]
    pub(crate) payload_version: Option<String>,
}

impl Args {
    pub(crate) fn run(self, common: Common) -> anyhow::Result<Exit> {
        let Self {
            manifest_dir,
            dest_dir,
            pull_secret,
        } = self;
        let Common {
            templates,
            payload_version,
        } = common;
        let mut findings = Vec::new();
        findings.extend(templates.as_deref().map(check_templates));
        if let Some(path) = &pull_secret {
            findings.extend(pull_secret::check(path).err().map(|located| *located));
        }
        let (texts, objects) = read(&manifest_dir, pull_secret.as_deref(), &mut findings);
        let controller_config = controller_config(&objects, payload_version.as_deref());
        let pools = decide(&objects, &controller_config, &manifest_dir, &mut findings);
        let texts = texts
            .iter()
            .map(|input::Text { file, text }| (file.as_str(), text.as_str()));
        point_at_fields(&mut findings, texts);
        if show(&findings) {
            message(&format!("nothing was written to {}\n", dest_dir.display()));
            return Ok(Exit::Failed);
        }
        let files = output::files(&pools, &controller_config, objects.api_server.as_ref());
        publish::publish(&dest_dir, &files)?;
        print(&summary(&pools))?;
        Ok(Exit::Done)
    }
}

/// The texts of a directory, and the objects in them.
fn read(
    directory: &Path,
    pull_secret: Option<&Path>,
    findings: &mut Vec<Located>,
) -> (Vec<input::Text>, Objects) {
    let (texts, failures) = input::read(directory, pull_secret);
    findings.extend(failures);
    let mut objects = Objects::default();
    for input::Text { file, text } in &texts {
        objects.add_text(file, text);
    }
    findings.append(&mut objects.findings);
    (texts, objects)
}

/// Renders the pools, and tells each finding once, at the place of its object: in `directory` when it is in none of its
/// files.
fn decide(
    objects: &Objects,
    controller_config: &ControllerConfig,
    directory: &Path,
    findings: &mut Vec<Located>,
) -> Vec<output::Pool> {
    // What could not be read is missing, and would be told a second time as what is not there.
    let complete = !findings.iter().any(Located::is_error);
    if complete && objects.configs.is_empty() {
        let message = "there is no MachineConfig among the manifests";
        let remedy = "Name a directory that holds MachineConfigs.";
        let finding = Finding::error(Code::NO_MANIFESTS, "", "", message).remedy(remedy);
        findings.push(input::located(directory, finding));
        return Vec::new();
    }
    let mut found = Vec::new();
    let pools = pools::render(objects, controller_config, HASH, &mut found);
    if !complete {
        let of_absence = [Code::POOL_UNKNOWN, Code::POOL_SELECTS_NOTHING, Code::NOT_SELECTED];
        found.retain(|finding| !of_absence.contains(&finding.code));
    }
    // That a built-in pool is left out is worth a word when all else is well; beside an error it mostly follows from that.
    if found.iter().any(Finding::is_error) {
        found.retain(|finding| finding.is_error() || finding.code != Code::POOL_SELECTS_NOTHING);
    }
    for finding in found {
        let mut located = objects.locate(finding);
        if located.place.file.is_empty() {
            located.place = Place::file(directory.to_string_lossy());
        }
        if !findings.contains(&located) {
            findings.push(located);
        }
    }
    pools
}

/// The ControllerConfig of the input, or one that says nothing but who wrote it. The release is noted where it is not yet.
fn controller_config(objects: &Objects, release: Option<&str>) -> ControllerConfig {
    let mut config = objects.controller_config.clone().unwrap_or_else(|| {
        let mut config = ControllerConfig::new(CONTROLLER_CONFIG, ControllerConfigSpec::default());
        let written_by = (annotations::GENERATED_BY_VERSION.to_owned(), VERSION.to_owned());
        config.metadata.annotations = Some([written_by].into());
        config
    });
    if let Some(release) = release {
        let annotations = config.metadata.annotations.get_or_insert_default();
        annotations
            .entry(annotations::RELEASE_IMAGE_VERSION.to_owned())
            .or_insert_with(|| release.to_owned());
    }
    config
}

/// Base configs are not rendered from templates; that is told, and a directory that is not there is refused.
fn check_templates(directory: &Path) -> Located {
    let finding = match fs::read_dir(directory) {
        Ok(_) => {
            let message = "base configs are not rendered from templates; these are left out";
            let remedy = "Give the base configs as MachineConfigs among the manifests.";
            Finding::warning(Code::KIND_LEFT_OUT, "", "", message).remedy(remedy)
        }
        Err(error) => Finding::error(Code::UNREADABLE, "", "", format!("cannot be read: {error}")),
    };
    input::located(directory, finding)
}

/// One line per pool: its name, its rendered config, and how many MachineConfigs went into it.
fn summary(pools: &[output::Pool]) -> String {
    let line = |pool: &output::Pool| {
        let name = pool.pool.metadata.name.as_deref().unwrap_or_default();
        let count = pool.rendered.sources.len();
        let plural = if count == 1 { "" } else { "s" };
        format!(
            "{name}: {} from {count} MachineConfig{plural}\n",
            pool.rendered.name
        )
    };
    pools.iter().map(line).collect()
}
