//! Two real Ignitions against our server, our merge and our verification. They need root (Ignition creates users) and are run by
//! `cargo xtask test`, which provides both.

mod configs;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::program::{Ran, built, run};
use e2e::real_ignition::{Ignition, Machine, pointer};
use e2e::service::{Service, bootstrap};
use ignition::{Config, Severity, Version};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config as Settings, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Random pairs of configs merged by each Ignition and by us.
const PAIRS: usize = 100;

/// The pools of the examples.
const POOLS: [&str; 2] = ["worker", "edge"];

/// What Ignition takes to give up when it does give up at once; retries would take far longer.
const QUICKLY: Duration = Duration::from_secs(10);

struct Bed {
    dir: TempDir,
    service: Service,
}

impl Bed {
    /// The examples, rendered and served.
    fn new() -> Result<Self> {
        let dir = TempDir::with_prefix("machine-config-")?;
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/base");
        bootstrap(&examples, &dir.path().join("mcs"))?;
        let service = Service::start(&dir.path().join("mcs"), dir.path())?;
        Ok(Self { dir, service })
    }

    fn machine(&self, ignition: &Ignition, pool: &str) -> Result<Machine> {
        Machine::new(
            ignition,
            &pointer(&self.service.url(pool), &self.service.pki.ca_pem),
        )
    }

    /// The rendered MachineConfig of a pool, as the controller wrote it.
    fn rendered(&self, pool: &str) -> Result<PathBuf> {
        let dir = self.dir.path().join("mcs/machine-configs");
        let files = fs::read_dir(&dir)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>>>()?;
        let name = format!("rendered-{pool}-");
        let found = files.into_iter().find(|path| {
            path.file_name()
                .is_some_and(|file| file.to_string_lossy().starts_with(&name))
        });
        found.with_context(|| format!("no {name}* in {}", dir.display()))
    }
}

fn verify(root: &Path, config: &Path) -> Result<Ran> {
    let mut command = Command::new(built("machine-config-daemon")?);
    run(
        command
            .arg("verify")
            .arg("--root")
            .arg(root)
            .arg("--config")
            .arg(config),
        Duration::from_secs(30),
    )
}

#[test]
#[ignore = "needs root and two Ignitions: cargo xtask test"]
fn a_provisioned_machine_has_no_drift_and_a_damaged_one_has() -> Result<()> {
    let bed = Bed::new()?;
    for ignition in Ignition::both()? {
        for pool in POOLS {
            let machine = bed.machine(&ignition, pool)?;
            machine.provision()?;
            let body = bed.dir.path().join("body.json");
            // What this Ignition itself asked for and got.
            fs::write(&body, bed.service.body(pool, ignition.newest)?)?;
            let root = machine.root();
            for config in [bed.rendered(pool)?, body] {
                let ran = verify(&root, &config)?;
                ensure!(
                    ran.code == Some(0),
                    "{}, {pool}: drift after provisioning:\n{}",
                    ignition.name,
                    ran.all()
                );
                damage(&root, &config).with_context(|| format!("{}, {pool}", ignition.name))?;
            }
        }
    }
    Ok(())
}

/// Each damage is found by name and gone when it is undone.
fn damage(root: &Path, config: &Path) -> Result<()> {
    let chrony = root.join("etc/chrony.conf");
    let good = fs::read(&chrony)?;
    let timer = root.join("etc/systemd/system/image-prune.timer");
    let found = |what: &str| -> Result<()> {
        let ran = verify(root, config)?;
        ensure!(
            ran.code == Some(2) && ran.stdout.contains(what),
            "{what} was not found: {:?}\n{}",
            ran.code,
            ran.all()
        );
        Ok(())
    };
    fs::write(&chrony, "server evil.example.com\n")?;
    found("/etc/chrony.conf")?;
    fs::write(&chrony, good)?;
    fs::set_permissions(&chrony, Permissions::from_mode(0o666))?;
    found("/etc/chrony.conf")?;
    fs::set_permissions(&chrony, Permissions::from_mode(0o644))?;
    fs::rename(&timer, timer.with_extension("gone"))?;
    found("/etc/systemd/system/image-prune.timer")?;
    fs::rename(timer.with_extension("gone"), &timer)?;
    let ran = verify(root, config)?;
    ensure!(
        ran.code == Some(0),
        "drift although all damage was undone:\n{}",
        ran.all()
    );
    Ok(())
}

#[test]
#[ignore = "needs root and two Ignitions: cargo xtask test"]
fn a_refused_request_ends_ignition_quickly() -> Result<()> {
    let bed = Bed::new()?;
    let mut unserved_version = pointer(&bed.service.url("worker"), &bed.service.pki.ca_pem);
    let accept = json!([{"name": "Accept", "value": "application/vnd.coreos.ignition+json;version=1.0.0"}]);
    unserved_version["ignition"]["config"]["merge"][0]["httpHeaders"] = accept;
    let unknown_pool = pointer(&bed.service.url("no-such-pool"), &bed.service.pki.ca_pem);
    for ignition in Ignition::both()? {
        for (status, config) in [(404, &unknown_pool), (400, &unserved_version)] {
            let start = Instant::now();
            let ran = Machine::new(&ignition, config)?.stage("fetch")?;
            let took = start.elapsed();
            ensure!(
                ran.code == Some(1),
                "{}: {status} ended with {:?}:\n{}",
                ignition.name,
                ran.code,
                ran.all()
            );
            ensure!(took < QUICKLY, "{}: {status} took {took:?}", ignition.name);
        }
        let served = bed.service.log();
        ensure!(
            served.contains("404") && served.contains("400"),
            "the server did not answer so:\n{served}"
        );
    }
    Ok(())
}

#[test]
#[ignore = "needs root and two Ignitions: cargo xtask test"]
fn every_body_is_accepted_at_every_version() -> Result<()> {
    let bed = Bed::new()?;
    for ignition in Ignition::both()? {
        for pool in POOLS {
            for version in Version::ALL.iter().map(|version| version.as_str()) {
                // 2.x is before their time, and nothing is served at 3.0.0.
                if version < "3.1.0" || version > ignition.newest {
                    continue;
                }
                let body = bed.service.body(pool, version)?;
                ignition
                    .validate(&body)
                    .with_context(|| format!("{pool} at {version}"))?;
            }
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs root and two Ignitions: cargo xtask test"]
fn our_merge_is_ignitions_merge() -> Result<()> {
    let settings = Settings::default();
    for ignition in Ignition::both()? {
        let version = if ignition.newest < "3.5.0" {
            ignition.newest
        } else {
            "3.5.0"
        };
        let strategy = (configs::config(version), configs::config(version));
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let mut runner = TestRunner::new_with_rng(settings.clone(), rng);
        let mut merged = 0;
        for pair in 0..PAIRS {
            let tree = strategy.new_tree(&mut runner).map_err(anyhow::Error::msg)?;
            let (parent, child) = tree.current();
            let compared = compare_merge(&ignition, &parent, &child);
            merged += usize::from(compared.with_context(|| format!("pair {pair}:\n{parent}\n{child}"))?);
        }
        ensure!(
            merged * 2 > PAIRS,
            "{}: only {merged} of {PAIRS} pairs were valid",
            ignition.name
        );
    }
    Ok(())
}

/// Merges both ways and compares; false when both refuse.
fn compare_merge(ignition: &Ignition, parent: &Value, child: &Value) -> Result<bool> {
    let ours = merge(parent, child);
    let mut user = parent.clone();
    let source = ignition::contents::base64(child.to_string().as_bytes());
    user["ignition"]["config"]["merge"] = json!([{"source": source}]);
    let machine = Machine::new(ignition, &user)?;
    let ran = machine.stage("fetch")?;
    match (ran.code, ours) {
        (Some(0), Ok(ours)) => {
            let theirs = comparable(machine.fetched()?);
            let ours = comparable(ours);
            ensure!(
                theirs == ours,
                "{} has\n{theirs:#}\nwe have\n{ours:#}",
                ignition.name
            );
            Ok(true)
        }
        (Some(1), Err(_)) => Ok(false),
        (code, Ok(ours)) => bail!(
            "{} refuses ({code:?}) what we accept:\n{ours}\n{}",
            ignition.name,
            ran.all()
        ),
        (_, Err(reason)) => bail!("{} accepts what we refuse: {reason}", ignition.name),
    }
}

fn merge(parent: &Value, child: &Value) -> Result<Value> {
    let merged = Config::from_value(parent)?
        .config
        .merge(&Config::from_value(child)?.config);
    let errors: Vec<_> = merged
        .validate()
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error)
        .collect();
    if !errors.is_empty() {
        bail!("{errors:?}");
    }
    Ok(merged.value().clone())
}

/// Without what differs by design: the version each holds internally, and the list of what was merged, which Ignition keeps.
fn comparable(mut config: Value) -> Value {
    if let Some(section) = config.get_mut("ignition").and_then(Value::as_object_mut) {
        section.remove("version");
        section.remove("config");
    }
    prune(&mut config);
    config
}

/// Removes null and whatever is empty. Returns whether the value itself is.
fn prune(value: &mut Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => {
            map.retain(|_, inner| !prune(inner));
            map.is_empty()
        }
        Value::Array(list) => {
            for inner in &mut *list {
                prune(inner);
            }
            list.is_empty()
        }
        _ => false,
    }
}
