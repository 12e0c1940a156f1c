//! The ways of a machine from its pointer to a node of its pool.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Result, ensure};
use e2e::cluster::product::{annotation, static_programs};
use e2e::cluster::wait_on;
use serde_json::{Value, json};

use crate::world::{DEADLINE, Door, JOIN, LAID_DOWN, REQUESTS, World};

/// What completes the first boot of a host that has the daemon as a program.
const FIRST_BOOT: &str = "[Unit]\nDescription=Completion of the first boot\nBefore=kubelet.service\n\
     ConditionPathExists=/etc/ignition-machine-config-encapsulated.json\n\
     [Service]\nType=oneshot\nRemainAfterExit=yes\n\
     ExecStart=/usr/local/bin/machine-config-daemon firstboot-complete-machineconfig --root-mount=/\n\
     [Install]\nWantedBy=multi-user.target\n";
/// Its unit.
const FIRST_BOOT_UNIT: &str = "machine-config-daemon-firstboot.service";
/// The config of the first boot, and what it is called when that is done.
const ENCAPSULATED: [&str; 2] = [
    "etc/ignition-machine-config-encapsulated.json",
    "etc/ignition-machine-config-encapsulated.json.bak",
];

/// The requests of a user that nobody has decided on.
fn open_requests(world: &World, user: &str) -> Result<Vec<String>> {
    let requests = world.api().get(REQUESTS)?;
    let requests = requests["items"].as_array().cloned().unwrap_or_default();
    let is_open = |request: &&Value| {
        request["spec"]["username"] == user
            && request["status"]["conditions"]
                .as_array()
                .is_none_or(Vec::is_empty)
    };
    let names = requests.iter().filter(is_open);
    Ok(names
        .filter_map(|request| request["metadata"]["name"].as_str().map(str::to_owned))
        .collect())
}

/// As it is deployed: nothing is refused and nothing is approved, and an administrator adds a worker beside a control plane of one node.
pub(crate) fn a_machine_without_a_token_is_let_in_by_two_approvals(world: &mut World) -> Result<()> {
    let user_data = world.user_data("worker", None)?;
    ensure!(user_data["ignition"]["version"] == "3.0.0", "{user_data}");
    let machine = world.bare("hand", 0, &user_data)?;
    machine.provision()?;
    let config = world.served_to("hand")?;
    ensure!(config == world.target("worker")?, "it was served {config}");
    told_on(world, "ConfigWouldBeRefused", "the rule join-token")?;
    world.cluster.power_on("hand")?;
    for user in [
        "system:serviceaccount:machine-config-bootstrap:pool-worker",
        "system:node:hand",
    ] {
        let name = wait_on(format!("a request by {user}"), JOIN, || {
            Ok(open_requests(world, user)?.pop())
        })?;
        let ran = world.cluster.kubectl(&["certificate", "approve", &name])?;
        ensure!(ran.code == Some(0), "{}", ran.all());
    }
    let boot = wait_on("hand to be ready", JOIN, || world.cluster.look_ready("hand"))?;
    world.done_at("hand", &config, &boot)?;
    world.counted("worker", 1)
}

/// Waits until a pool's events say something of somebody.
pub(crate) fn told_on(world: &World, reason: &str, words: &str) -> Result<()> {
    wait_on(format!("an event {reason} with {words:?}"), DEADLINE, || {
        let events = world
            .api()
            .get("/apis/events.k8s.io/v1/namespaces/default/events")?;
        let events = events["items"].as_array().cloned().unwrap_or_default();
        let is_told = events.iter().any(|event| {
            event["reason"] == reason && event["note"].as_str().is_some_and(|note| note.contains(words))
        });
        Ok(is_told.then_some(()))
    })
}

/// The door is shut, and a machine with a token joins all by itself; so does one of a pool that is made for it.
pub(crate) fn a_machine_with_a_token_needs_no_hand(world: &mut World) -> Result<()> {
    world.change_door(Door::Guarded)?;
    world.make_pool("gpu")?;
    world.settled("gpu", "99-worker-testbed")?;
    for (name, pool, machines) in [("first", "worker", 2), ("gpu-1", "gpu", 1)] {
        let config = world.provisioned(name, pool)?;
        ensure!(
            config.starts_with(&format!("rendered-{pool}-")),
            "{name} was served {config}"
        );
        ensure!(config == world.target(pool)?, "{name} was served {config}");
        if name == "first" {
            complete_first_boot(world, name)?;
        }
        let boot = world.joined(name, pool)?;
        world.done_at(name, &config, &boot)?;
        world.counted(pool, machines)?;
        ensure!(
            !world.exists(name, LAID_DOWN),
            "what was laid down is still there"
        );
        approved_by_rule(world, name)?;
        if name == "first" {
            first_boot_is_complete(world, name)?;
        }
    }
    Ok(())
}

/// Installs what completes the first boot.
fn complete_first_boot(world: &World, name: &str) -> Result<()> {
    let machine = world.cluster.node(name)?.machine();
    machine.install_program(&static_programs()?.join("machine-config-daemon"))?;
    let units = machine.root().join("usr/lib/systemd/system");
    fs::write(units.join(FIRST_BOOT_UNIT), FIRST_BOOT)?;
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    symlink(format!("../{FIRST_BOOT_UNIT}"), wants.join(FIRST_BOOT_UNIT))?;
    ensure!(
        world.exists(name, ENCAPSULATED[0]),
        "no config of a first boot was served"
    );
    Ok(())
}

fn first_boot_is_complete(world: &World, name: &str) -> Result<()> {
    let machine = world.cluster.node(name)?.machine();
    let result = machine.property(FIRST_BOOT_UNIT, "Result")?;
    let journal = machine.journal_of(FIRST_BOOT_UNIT)?;
    ensure!(
        result == "success" && journal.contains("the first boot is complete, no reboot is needed"),
        "the first boot is not complete ({result}):\n{journal}"
    );
    let there = ENCAPSULATED.map(|path| world.exists(name, path));
    ensure!(
        there == [false, true],
        "the config of the first boot is not put away: {there:?}"
    );
    Ok(())
}

/// Both certificates of a node were approved by the controller.
fn approved_by_rule(world: &World, node: &str) -> Result<()> {
    let requests = world.api().get(REQUESTS)?;
    let requests = requests["items"].as_array().cloned().unwrap_or_default();
    let by_rule = requests.iter().filter(|request| {
        let user = request["spec"]["username"].as_str().unwrap_or_default();
        let is_of = user == format!("system:node:{node}") || user.contains(":proved-");
        is_of && request["status"]["conditions"][0]["reason"] == "MachineConfigApproved"
    });
    ensure!(
        by_rule.count() >= 2,
        "the certificates of {node} were not approved by rule: {requests:?}"
    );
    Ok(())
}

/// A machine that was served a config which the cluster does not have, as when a bootstrap renders something else than the cluster. Its pool
/// is paused, or the controller would mostly lead it to the right one before anybody has read what was wrong.
pub(crate) fn a_machine_served_what_the_cluster_lacks_says_so_and_heals(world: &mut World) -> Result<()> {
    world.change_pool("gpu", &json!({"paused": true}))?;
    let served = world.provisioned("differs", "gpu")?;
    let absent = "rendered-gpu-00000000000000000000000000000000";
    let path = world.cluster.node("differs")?.machine().root().join(LAID_DOWN);
    let text = fs::read_to_string(&path)?.replace(&served, absent);
    fs::write(&path, text)?;
    world.joined("differs", "gpu")?;
    wait_on("the node to say what is wrong", DEADLINE, || {
        let node = world.node("differs")?;
        let said = annotation(&node, "reason").to_owned();
        let expected = format!("MC7031 MachineConfig/{absent}: was served at its first boot");
        let is_said = annotation(&node, "state") == "Degraded" && said.contains(&expected);
        ensure!(is_said, "it says {}", node["metadata"]["annotations"]);
        Ok(Some(()))
    })?;
    // As its code says: a config that the cluster has is named to it.
    let change =
        json!({"metadata": {"annotations": {"machineconfiguration.openshift.io/desiredConfig": served}}});
    world.api().merge("/api/v1/nodes/differs", &change)?;
    wait_on("the node to get the config of its pool", DEADLINE, || {
        let node = world.node("differs")?;
        let is_well = annotation(&node, "state") == "Done" && annotation(&node, "currentConfig") == served;
        ensure!(is_well, "it says {}", node["metadata"]["annotations"]);
        Ok(Some(()))
    })?;
    world.counted("gpu", 4)
}
