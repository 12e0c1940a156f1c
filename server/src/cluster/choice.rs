//! Which of its configs a pool serves to machines that join. Entry point: [`choose`].

use clap::ValueEnum;
use crds::MachineConfigPool;

/// How a pool's config is chosen while it rolls out another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Strategy {
    /// The config that most of its nodes have
    #[default]
    Majority,
    /// As the reference: the new config as soon as one node has it
    Reference,
}

/// The name of the rendered config that new machines of a pool get; empty when there is none yet.
///
/// A paused pool has no node at its new config, so that both ways serve the old one (`MCO server 1.7`). By the majority a canary that
/// turns out bad has not been given to new machines too; a pool without nodes, or one that was never updated, serves its target.
#[must_use]
pub fn choose(pool: &MachineConfigPool, strategy: Strategy) -> &str {
    let target = pool.spec.configuration.name.as_str();
    let Some(status) = &pool.status else {
        return match strategy {
            Strategy::Majority => target,
            Strategy::Reference => "",
        };
    };
    let settled = status.configuration.name.as_str();
    let has_proved = match strategy {
        Strategy::Reference => status.updated_machine_count > 0,
        Strategy::Majority => {
            // Counts that are older than the target are of the one before, which all may have: a paused pool, too, gets a new target.
            let is_of_target = status.observed_generation.is_none()
                || status.observed_generation >= pool.metadata.generation;
            settled.is_empty() || is_of_target && status.updated_machine_count * 2 > status.machine_count
        }
    };
    if has_proved { target } else { settled }
}

#[cfg(test)]
mod tests {
    use crds::machine_config_pool::{MachineConfigPoolStatus, PoolConfiguration};

    use super::*;

    fn pool(target: &str, status: Option<(&str, i32, i32)>) -> MachineConfigPool {
        let configuration = |name: &str| PoolConfiguration {
            name: name.to_owned(),
            ..PoolConfiguration::default()
        };
        let mut pool = MachineConfigPool::new("worker", crds::MachineConfigPoolSpec::default());
        pool.spec.configuration = configuration(target);
        pool.status = status.map(|(settled, machines, updated)| MachineConfigPoolStatus {
            configuration: configuration(settled),
            machine_count: machines,
            updated_machine_count: updated,
            ..MachineConfigPoolStatus::default()
        });
        pool
    }

    #[test]
    fn counts_of_the_target_before_prove_nothing() {
        let mut pool = pool("new", Some(("old", 1, 1)));
        pool.metadata.generation = Some(3);
        for (observed, expected) in [(Some(2), "old"), (Some(3), "new"), (None, "new")] {
            pool.status.as_mut().unwrap().observed_generation = observed;
            assert_eq!(choose(&pool, Strategy::Majority), expected, "{observed:?}");
        }
    }

    #[test]
    fn a_canary_does_not_decide_for_new_machines_unless_asked() {
        for (status, majority, reference) in [
            // Nothing rolled out to anybody.
            (Some(("old", 5, 0)), "old", "old"),
            (Some(("old", 5, 1)), "old", "new"),
            (Some(("old", 5, 2)), "old", "new"),
            (Some(("old", 5, 3)), "new", "new"),
            (Some(("old", 4, 2)), "old", "new"),
            (Some(("new", 5, 5)), "new", "new"),
            (Some(("new", 0, 0)), "new", "new"),
            // No node, and the status lags behind.
            (Some(("old", 0, 0)), "old", "old"),
            // Never settled.
            (Some(("", 2, 0)), "new", ""),
            (None, "new", ""),
        ] {
            let pool = pool("new", status);
            assert_eq!(choose(&pool, Strategy::Majority), majority, "{status:?}");
            assert_eq!(choose(&pool, Strategy::Reference), reference, "{status:?}");
        }
    }
}
