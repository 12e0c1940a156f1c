//! `plan --live`: what is still to be done to the nodes of a cluster, or would be once these objects are applied.

use std::fmt::Write as _;
use std::path::PathBuf;

use crds::{ControllerConfig, MachineConfig, MachineConfigPool};
use kube::api::ListParams;
use machineconfig::RenderedConfig;
use machineconfig::pool::{Pools, membership};
use machineconfig::standing::Cluster;
use serde::Serialize;

use super::{exit_of, rendered_config};
use crate::cli::Exit;
use crate::cluster::{self, Access, Connection, MachineConfigs, Rules, Subject, not_there, rules};
use crate::form;
use crate::objects::{self, Objects};
use crate::pending::{Pending, Target, pending};
use crate::pool::{self, Images};
use crate::report::Findings;
use crate::terminal::Terminal;

/// The one ControllerConfig (MCO controller 1.6).
const CONTROLLER_CONFIG: &str = "machine-config-controller";

/// What `plan --live` is asked.
pub(super) struct Question {
    /// The node or pool that is meant; none means all pools.
    pub(super) subject: Option<Subject>,
    /// Objects that would be applied.
    pub(super) files: Vec<PathBuf>,
    /// Directories below directories are read too.
    pub(super) recursive: bool,
    /// With what changes in the contents.
    pub(super) show_diff: bool,
    /// As JSON.
    pub(super) json: bool,
    /// Which cluster.
    pub(super) connection: Connection,
}

/// The JSON form.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    pools: &'a [Pending],
    drains: usize,
    reboots: usize,
}

/// What is asked about, besides the cluster itself.
struct Wanted<'a> {
    /// The pools, as they would be.
    pools: Vec<&'a MachineConfigPool>,
    /// The node that alone is meant.
    node: Option<&'a str>,
}

// === impl Question ===

impl Question {
    pub(super) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let connection = self.connection.clone();
        cluster::run(&connection, terminal, async |access: &Access| {
            Box::pin(self.answer(access, terminal)).await
        })
    }

    async fn answer(&self, access: &Access, terminal: &Terminal) -> anyhow::Result<Exit> {
        let mut found = cluster::cluster(access).await?;
        let mut in_force = rules(access).await?;
        let mut applied = None;
        if !self.files.is_empty() {
            let mut findings = Findings::default();
            let objects = objects::read(&self.files, self.recursive, &mut findings);
            if findings.print(terminal) {
                return Ok(Exit::Failed);
            }
            if let Some(settings) = objects.policies.first() {
                in_force = Rules::of(settings)?;
            }
            overlay_pools(&mut found, &objects);
            applied = Some(merged(access, &found, objects).await?);
        }
        let wanted = self.wanted(&found)?;
        let mut configs = MachineConfigs::of(access);
        let mut all = Vec::new();
        for pool in wanted.pools {
            let name = pool.metadata.name.as_deref().unwrap_or_default();
            let target = match &applied {
                None => None,
                Some(objects) => match render(objects, name, terminal) {
                    Some(config) => Some(config),
                    None => return Ok(Exit::Failed),
                },
            };
            let target = target.as_ref().map_or(Target::Own, Target::Other);
            let rules = (&in_force, self.show_diff);
            all.push(pending(&mut configs, &found, pool, wanted.node, target, rules).await?);
        }
        terminal.print(&self.shown(&all, terminal))?;
        let verdict = all.iter().map(Pending::verdict).max();
        Ok(verdict.map_or(Exit::Done, exit_of))
    }

    /// The pools that are asked about; of those that have no config yet and no files are given for, nothing can be said.
    fn wanted<'a>(&'a self, found: &'a Cluster) -> anyhow::Result<Wanted<'a>> {
        let names = || found.pools.iter().map(|pool| pool.metadata.name.clone());
        match &self.subject {
            None => {
                let mut pools: Vec<_> = found.pools.iter().collect();
                pools.retain(|pool| !pool.spec.configuration.name.is_empty());
                pools.sort_by_key(|pool| pool.metadata.name.as_deref());
                Ok(Wanted { pools, node: None })
            }
            Some(Subject::Pool(name)) => {
                let pool = found.pool(name);
                let pool = pool.ok_or_else(|| not_there("MachineConfigPool", name, names()))?;
                Ok(Wanted {
                    pools: vec![pool],
                    node: None,
                })
            }
            Some(Subject::Node(name)) => {
                let nodes = found.nodes.iter().map(|node| node.metadata.name.clone());
                let node = found.node(name).ok_or_else(|| not_there("Node", name, nodes))?;
                let placed = membership(node, &Pools::new(&found.pools))?;
                Ok(Wanted {
                    pools: placed
                        .into_iter()
                        .filter_map(|placed| found.pool(placed.pool.metadata.name.as_deref()?))
                        .collect(),
                    node: Some(name),
                })
            }
        }
    }

    fn shown(&self, all: &[Pending], terminal: &Terminal) -> String {
        let drains = all.iter().map(|pending| pending.drains).sum();
        let reboots = all.iter().map(|pending| pending.reboots).sum();
        if self.json {
            return form::json(&Answer {
                pools: all,
                drains,
                reboots,
            });
        }
        let texts: Vec<_> = all.iter().map(|pending| pending.text(&terminal.out)).collect();
        let mut out = texts.join("\n");
        if all.len() > 1 {
            let _ = writeln!(out, "\nin all: {drains} drained, {reboots} rebooted");
        }
        if all.is_empty() {
            out.push_str("no pool decides about it\n");
        }
        out
    }
}

/// Puts pools of files over those of the cluster, which keep what the controller writes.
fn overlay_pools(found: &mut Cluster, objects: &Objects) {
    for given in &objects.pools {
        let known = found
            .pools
            .iter_mut()
            .find(|known| known.metadata.name == given.metadata.name);
        match known {
            Some(known) => {
                let configuration = std::mem::take(&mut known.spec.configuration);
                known.spec = given.spec.clone();
                known.spec.configuration = configuration;
            }
            None => found.pools.push(given.clone()),
        }
    }
}

/// The objects of the cluster with those of files in place of those of the same name.
async fn merged(access: &Access, found: &Cluster, given: Objects) -> anyhow::Result<Objects> {
    let mut objects = given;
    let all = access.list::<MachineConfig>(ListParams::default()).await?;
    let new = |config: &MachineConfig| {
        let known = objects.configs.iter();
        !known
            .into_iter()
            .any(|given| given.metadata.name == config.metadata.name)
    };
    let kept: Vec<_> = all
        .into_iter()
        .filter(|config| new(config) && !pool::is_rendered(config))
        .collect();
    objects.configs.extend(kept);
    objects.pools.clone_from(&found.pools);
    if objects.controller_config.is_none() {
        objects.controller_config = access.get::<ControllerConfig>(CONTROLLER_CONFIG).await?;
    }
    Ok(objects)
}

/// The config that a pool would have. What refuses it is told, and nothing else: the objects of the cluster are not what is asked about.
fn render(objects: &Objects, pool: &str, terminal: &Terminal) -> Option<RenderedConfig> {
    let (rendered, said) = pool::render_strictly(objects, pool, &Images::default());
    let refuses = rendered.is_none();
    let mut findings = Findings::default();
    let told = said.into_iter().filter(|finding| refuses && finding.is_error());
    findings.extend(told.map(|finding| objects.locate(finding)));
    findings.print(terminal);
    rendered.map(rendered_config)
}
