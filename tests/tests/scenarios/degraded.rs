//! What goes wrong: configs that are refused, that fail on the node, and nodes that drift. Each is named, and heals without hands.

use anyhow::{Result, ensure};
use e2e::cluster::product::annotation;
use serde_json::{Value, json};

use crate::scene::{Scene, condition, file, ignition, message, text};
use crate::watched::turns;
use crate::world::World;

/// A path that no node can have: a file is where it needs a directory.
const IMPOSSIBLE: &str = "/etc/hostname/below";

/// A class of refusal: its name, a spec, the code, and a word of the message that names the field.
type Refusal = (&'static str, Value, &'static str, &'static str);

/// What is refused of files.
fn refused_files() -> Vec<Refusal> {
    let with = |path: &str, mode: Value, source: &str| {
        let file = json!({"path": path, "mode": mode, "contents": {"source": source}});
        ignition(&json!({"storage": {"files": [file]}}))
    };
    let bad = |mode: Value, source: &str| with("/etc/bad", mode, source);
    let plain = json!({"path": "/etc/bad", "contents": {"source": "data:,x"}});
    let twice = ignition(&json!({"storage": {"files": [plain, plain]}}));
    vec![
        ("type", bad(json!("0644"), "data:,x"), "MC1102", "mode"),
        (
            "path",
            with("etc/bad", json!(420), "data:,x"),
            "MC1106",
            "files[0].path",
        ),
        ("twice", twice, "MC1107", "/etc/bad"),
        ("mode", bad(json!(99999), "data:,x"), "MC1108", "mode"),
        ("data", bad(json!(420), "data:;base64,*"), "MC1110", "contents"),
        (
            "remote",
            bad(json!(420), "https://example.com/x"),
            "MC1138",
            "contents",
        ),
    ]
}

/// What is refused of everything else, the last two on nodes that run already.
fn other_refusals() -> Vec<Refusal> {
    let version = json!({"config": {"ignition": {"version": "9.0.0"}}});
    let unit = json!({"systemd": {"units": [{"name": "bad.what", "contents": "[Unit]"}]}});
    let user = json!({"passwd": {"users": [{"name": "bob"}]}});
    let directory = json!({"storage": {"directories": [{"path": "/etc/made-once"}]}});
    vec![
        ("version", version, "MC1104", "ignition.version"),
        ("unit", ignition(&unit), "MC1114", "units[0].name"),
        (
            "kernel",
            json!({"kernelType": "slow"}),
            "MC1130",
            "spec.kernelType",
        ),
        (
            "extension",
            json!({"extensions": ["unheard-of"]}),
            "MC1131",
            "spec.extensions",
        ),
        ("user", ignition(&user), "MC2002", "bob"),
        ("directory", ignition(&directory), "MC2009", "/etc/made-once"),
    ]
}

/// Scenario 8: each class of refusal has a pool of its own, so that all are refused at once, and one more that goes on.
pub(crate) fn bad_configs_are_named_and_hold_up_nobody_else(world: &World) -> Result<()> {
    Scene::begin(world, "refused", 1)?.play(|scene| {
        let classes = [refused_files(), other_refusals()].concat();
        for (class, ..) in &classes {
            scene.create_pool(&format!("refused-{class}"), &json!({}))?;
        }
        let pool = |class: &str| {
            scene
                .world()
                .api()
                .get(&World::pool_path(&format!("refused-{class}")))
        };
        let target = |pool: &Value| text(&pool["spec"]["configuration"]["name"]).to_owned();
        let mut before = Vec::new();
        for (class, ..) in &classes {
            before.push(scene.wait(&format!("refused-{class} to be rendered"), || {
                Ok(Some(target(&pool(class)?)).filter(|target| !target.is_empty()))
            })?);
        }
        for (class, spec, ..) in &classes {
            scene.apply_config_of(&format!("refused-{class}"), "bad", spec)?;
        }
        scene.updated_by(|| scene.apply_config("good", &file("/etc/policy/none", "good")))?;
        for ((class, _, code, field), before) in classes.iter().zip(&before) {
            let mut said = String::new();
            scene
                .wait(
                    &format!("refused-{class} to be degraded by {code} and {field}"),
                    || {
                        let pool = pool(class)?;
                        message(&pool, "RenderDegraded").clone_into(&mut said);
                        ensure!(
                            target(&pool) == *before,
                            "a refused config was taken: {}",
                            pool["spec"]
                        );
                        let is_named = [&format!("MachineConfig/50-refused-{class}-bad"), *code, *field]
                            .iter()
                            .all(|word| said.contains(word));
                        Ok((is_named && condition(&pool, "Degraded") == "True").then_some(()))
                    },
                )
                .map_err(|error| error.context(format!("it says {said:?}")))?;
        }
        for (class, ..) in &classes {
            let path = World::config_path(&format!("50-refused-{class}-bad"));
            scene.world().api().delete(&path)?;
        }
        for (class, ..) in &classes {
            scene.wait(&format!("refused-{class} to heal"), || {
                let pool = pool(class)?;
                let well = ["RenderDegraded", "Degraded"].map(|type_| condition(&pool, type_) == "False");
                Ok((well == [true, true]).then_some(()))
            })?;
        }
        Ok(())
    })
}

/// Scenario 9: the first node fails, the second is left alone, and a new target heals, as does deletion.
pub(crate) fn a_config_that_fails_on_its_node_stops_there_and_heals(world: &World) -> Result<()> {
    Scene::begin(world, "fails", 2)?.play(|scene| {
        for heal in ["another target", "deletion"] {
            let before = scene.target()?;
            let nodes = scene.watch_nodes()?;
            let impossible = json!([
                {"path": "/etc/policy/none", "mode": 420, "overwrite": true, "contents": {"source": "data:,bad"}},
                {"path": IMPOSSIBLE, "mode": 420, "overwrite": true, "contents": {"source": "data:,x"}},
            ]);
            scene.apply_config("bad", &ignition(&json!({"storage": {"files": impossible}})))?;
            let bad = scene.wait_rendered(&before)?;
            let failed = scene.wait("a node to fail and its pool to say why", || {
                let pool = scene.pool()?;
                let said = message(&pool, "NodeDegraded");
                let failed = scene.nodes().iter().find(|node| said.contains(node.as_str()));
                let is_said = said.contains("/etc/hostname") && pool["status"]["degradedMachineCount"] == 1;
                Ok(failed.filter(|_| is_said && condition(&pool, "Degraded") == "True"))
            })?;
            let node = scene.node(failed)?;
            ensure!(annotation(&node, "state") == "Degraded", "it says {}", annotation(&node, "state"));
            ensure!(annotation(&node, "desiredConfig") == bad, "it failed on something else");
            ensure!(
                scene.read(failed, "/etc/policy/none")?.as_deref() != Some("bad"),
                "half of a config that failed was left on the node"
            );
            let healed = match heal {
                "deletion" => scene.delete_config("bad"),
                _ => scene.apply_config("bad", &file("/etc/policy/none", "good")),
            };
            healed?;
            scene.wait_rendered(&bad)?;
            scene.wait_updated()?;
            let pool = scene.pool()?;
            ensure!(condition(&pool, "Degraded") == "False", "the pool is still degraded: {}", pool["status"]);
            let nodes = nodes.end()?;
            let told = nodes.iter().filter(|node| annotation(node, "desiredConfig") == bad);
            let mut told: Vec<_> = told.map(|node| text(&node["metadata"]["name"])).collect();
            told.dedup();
            ensure!(told == [failed.as_str()], "{heal}: {told:?} were told of a config that fails");
            ensure!(!turns(&nodes).is_empty(), "nobody had a turn");
        }
        Ok(())
    })
}

/// Scenario 10: the diff is told; the file as it was heals, and so does force.
pub(crate) fn drift_is_told_with_its_diff_and_heals(world: &World) -> Result<()> {
    Scene::begin(world, "drift", 1)?.play(|scene| {
        let node = &scene.nodes()[0];
        scene.updated_by(|| scene.apply_config("none", &file("/etc/policy/none", "right")))?;
        let before = scene.traces(node)?;
        for heal in ["by hand", "by force"] {
            scene.write(node, "/etc/policy/none", "wrong")?;
            scene.wait("the drift to be told", || {
                let (node, pool) = (scene.node(node)?, scene.pool()?);
                let reason = annotation(&node, "reason");
                let is_told = ["/etc/policy/none", "-right", "+wrong"]
                    .iter()
                    .all(|word| reason.contains(word));
                let is_degraded =
                    annotation(&node, "state") == "Degraded" && condition(&pool, "Degraded") == "True";
                Ok(
                    (is_told && is_degraded && message(&pool, "NodeDegraded").contains("drift-1"))
                        .then_some(()),
                )
            })?;
            match heal {
                "by hand" => scene.write(node, "/etc/policy/none", "right")?,
                _ => {
                    scene.succeed(node, &["touch", "/run/machine-config-daemon-force"])?;
                }
            }
            scene.wait("the drift to be gone", || {
                let (node, pool) = (scene.node(node)?, scene.pool()?);
                let is_well = annotation(&node, "state") == "Done" && annotation(&node, "reason").is_empty();
                Ok((is_well && condition(&pool, "Degraded") == "False").then_some(()))
            })?;
            let contents = scene.read(node, "/etc/policy/none")?;
            ensure!(
                contents.as_deref() == Some("right"),
                "{heal}: the file has {contents:?}"
            );
        }
        let after = scene.traces(node)?;
        ensure!(
            after == before,
            "the node was disrupted: {before:?}, then {after:?}"
        );
        Ok(())
    })
}
