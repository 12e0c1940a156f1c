//! Machines that join, end to end: real Ignition fetches from the server that is deployed, the machine boots, its kubelet asks for
//! certificates, and the daemon finds it at its pool's config. Takes root, the parts of clusters, static programs and two Ignitions;
//! `cargo xtask test` provides them.

mod join;
mod refused;
mod served;
mod world;

use anyhow::{Context as _, Result};

use world::World;

#[test]
#[ignore = "needs root, parts of clusters, static programs and two Ignitions"]
fn bare_machines_become_nodes_of_their_pools() -> Result<()> {
    let mut world = World::up()?;
    let outcome = scenarios(&mut world);
    world.judged(outcome)
}

fn scenarios(world: &mut World) -> Result<()> {
    type Scenario = fn(&mut World) -> Result<()>;
    // In the order in which an administrator goes: by hand and watching first, then by rule.
    let all: [(&str, Scenario); 7] = [
        (
            "by-hand",
            join::a_machine_without_a_token_is_let_in_by_two_approvals,
        ),
        ("enforced", join::a_machine_with_a_token_needs_no_hand),
        ("refused", refused::who_should_not_gets_nothing),
        ("killed", served::a_server_that_is_killed_is_waited_for),
        (
            "paused",
            served::a_paused_pool_serves_its_old_config_with_fresh_authorities,
        ),
        (
            "rollout",
            served::a_machine_that_comes_during_a_rollout_follows_it,
        ),
        (
            "differs",
            join::a_machine_served_what_the_cluster_lacks_says_so_and_heals,
        ),
    ];
    for (name, scenario) in all {
        let begin = std::time::Instant::now();
        scenario(world).with_context(|| format!("scenario {name}"))?;
        println!("scenario {name}: ok in {:.1} s", begin.elapsed().as_secs_f64());
    }
    Ok(())
}
