//! Scenarios: what admins see on a real cluster in which our controller and daemons run as pods, as `deploy/base` has them.
//!
//! All share one [`World`], which is made for the first of them and ends after the last. Each has a [`Scene`] of its own: a custom pool and
//! nodes that bear its name. They run by name (`cargo xtask test scenarios NAME`) and beside each other, as far as nodes suffice. They take
//! root, the parts of clusters and static programs; `cargo xtask test` provides them.

mod calm;
mod clocks;
mod degraded;
mod drains;
mod held;
mod killed;
mod membership;
mod outages;
mod processes;
mod scene;
mod takeover;
mod updates;
mod vanishing;
mod watched;
mod world;
mod zones;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};

use world::Shared;

/// How many run at once when nobody says: they wait most of their time, and what bounds them are nodes.
const AT_ONCE: usize = 5;

/// What a scenario does, in a world that others use too.
type Scenario = fn(&world::World) -> Result<()>;

/// All scenarios: name and what it does. Those that take longest come first.
const ALL: [(&str, Scenario); 17] = [
    ("killed", killed::a_daemon_that_is_killed_ends_its_update_right),
    ("two-of-five", updates::two_of_five_are_never_exceeded),
    ("file-reboot", updates::a_file_change_reboots_one_node_at_a_time),
    ("policies", updates::each_policy_does_exactly_what_it_says),
    (
        "fails",
        degraded::a_config_that_fails_on_its_node_stops_there_and_heals,
    ),
    ("cordoned", drains::an_admins_cordon_is_respected),
    ("budget", drains::a_budget_that_blocks_is_named_until_it_is_freed),
    ("refused", degraded::bad_configs_are_named_and_hold_up_nobody_else),
    ("drift", degraded::drift_is_told_with_its_diff_and_heals),
    (
        "deleted",
        vanishing::a_node_that_is_deleted_holds_up_nobody_and_is_updated_when_it_returns,
    ),
    (
        "dissolved",
        vanishing::the_nodes_of_a_pool_that_is_deleted_become_workers,
    ),
    ("takeover", takeover::a_takeover_rolls_nothing_out),
    (
        "restored",
        vanishing::a_rendered_config_that_is_deleted_in_use_is_restored,
    ),
    ("zones", zones::nodes_go_by_zone_and_then_by_age),
    ("moved", membership::a_node_moves_into_a_custom_pool_and_back),
    ("paused", calm::a_paused_pool_stays_and_gets_certificates),
    ("keys", calm::keys_and_pull_secret_do_not_disrupt),
];

/// Those that nobody else would bear: they run one after the other when the rest has ended.
const ALONE: [(&str, Scenario); 2] = [
    ("outages", outages::outages_hold_up_nothing_for_good),
    ("clocks", clocks::clocks_an_hour_apart_do_not_matter),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(AT_ONCE));
    let shared = Arc::new(Shared::default());
    let beside = libtest_mimic::run(&arguments, trials(&ALL, &shared));
    arguments.test_threads = Some(1);
    let alone = libtest_mimic::run(&arguments, trials(&ALONE, &shared));
    // The cluster ends here: `exit` would leave it.
    drop(shared);
    if beside.has_failed() {
        beside.exit_code()
    } else {
        alone.exit_code()
    }
}

fn trials(scenarios: &[(&'static str, Scenario)], shared: &Arc<Shared>) -> Vec<Trial> {
    let trials = scenarios.iter().map(|&(name, scenario)| {
        let shared = Arc::clone(shared);
        let run = move || {
            let world = shared.world().map_err(|error| failed(&error))?;
            scenario(&world).map_err(|error| failed(&error))
        };
        // As with the other tests of clusters, whoever runs them has to ask for it.
        Trial::test(name, run).with_ignored_flag(true)
    });
    trials.collect()
}

fn failed(error: &anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
