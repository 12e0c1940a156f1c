//! The rights of the controller against what it does: the API server's own record says both what was refused and what was asked.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use e2e::cluster::{Account, Audit, Entry, NAMESPACE};
use serde_json::Value;

use crate::world::{World, wait};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// What an API server answers to whom it lets do nothing.
const FORBIDDEN: u64 = 403;
/// What it answers when an object was made, by an apply too.
const CREATED: u64 = 201;

/// What the API server asks by itself when an object is to be owned: group, resource, verb.
const ASKED_FOR_OWNERS: (&str, &str, &str) = (
    "machineconfiguration.openshift.io",
    "machineconfigpools/finalizers",
    "update",
);

/// Group, resource and verb.
type Right = (String, String, String);

/// To be tried when the controller has done all that it does.
pub(crate) fn all_that_is_granted_is_used_and_nothing_is_refused(world: &mut World) -> Result<()> {
    a_report_goes_with_its_node(world)?;
    let name = Account::Controller.name();
    let of = |path: String| Ok::<_, anyhow::Error>(granted(&world.api().get(&format!("{RBAC}/{path}"))?));
    let mut granted = of(format!("clusterroles/{name}"))?;
    granted.extend(of(format!("namespaces/{NAMESPACE}/roles/{name}"))?);
    let (group, resource, verb) = ASKED_FOR_OWNERS;
    granted.remove(&(group.to_owned(), resource.to_owned(), verb.to_owned()));
    // What was done a moment ago is recorded a moment later.
    wait("the controller to use all its rights", || {
        let asked = asked(world)?;
        let unused: Vec<_> = granted.difference(&used(&asked)).cloned().collect();
        ensure!(
            unused.is_empty(),
            "the controller may do what it never does: {unused:#?}"
        );
        Ok(Some(()))
    })?;
    let refused: BTreeSet<Right> = asked(world)?
        .entries
        .iter()
        .filter(|entry| entry.code == FORBIDDEN)
        .map(right)
        .collect();
    ensure!(
        refused.is_empty(),
        "the controller asks for what it may not: {refused:#?}"
    );
    Ok(())
}

fn asked(world: &World) -> Result<Audit> {
    let user = Account::Controller.user();
    Ok(world.cluster().audit()?.filtered(|entry| entry.user == user))
}

fn a_report_goes_with_its_node(world: &World) -> Result<()> {
    world.api().delete(&World::node_path("one-1"))?;
    wait("the MachineConfigNode of a node that is gone to go", || {
        let found = world
            .api()
            .find("/apis/machineconfiguration.openshift.io/v1/machineconfignodes/one-1")?;
        Ok(found.is_none().then_some(()))
    })
}

fn right(entry: &Entry) -> Right {
    (entry.group.clone(), entry.resource.clone(), entry.verb.clone())
}

/// An apply that makes an object takes the right to create it as well.
fn used(asked: &Audit) -> BTreeSet<Right> {
    let mut used: BTreeSet<Right> = asked.entries.iter().map(right).collect();
    let applied = asked
        .entries
        .iter()
        .filter(|entry| entry.verb == "patch" && entry.code == CREATED);
    used.extend(applied.map(|entry| (entry.group.clone(), entry.resource.clone(), "create".to_owned())));
    used
}

fn granted(role: &Value) -> BTreeSet<Right> {
    let texts = |rule: &Value, field: &str| -> Vec<String> {
        let list = rule[field].as_array().into_iter().flatten();
        list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                for verb in texts(rule, "verbs") {
                    rights.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    rights
}
