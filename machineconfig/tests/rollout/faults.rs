//! What goes wrong, and what people do.

use super::cluster::Cluster;
use super::machine::{cordon, set_ready};

impl Cluster {
    /// Something happens, or nothing.
    pub(super) fn fault(&mut self) {
        let names: Vec<String> = self.machines.keys().cloned().collect();
        let node = self.random.choice(&names).cloned();
        match (self.random.u8(0..24), node) {
            (0, Some(node)) => {
                self.tell(|| format!("{node} is cordoned by hand"));
                self.change_node(&node, |node| cordon(node, true));
            }
            (1, Some(node)) => {
                self.tell(|| format!("{node} is uncordoned by hand"));
                self.change_node(&node, |node| cordon(node, false));
            }
            (2, Some(node)) => {
                self.tell(|| format!("{node} is lost"));
                self.change_node(&node, |node| set_ready(node, false));
            }
            (3, Some(node)) => self.change_node(&node, |node| set_ready(node, true)),
            (4, Some(node)) if names.len() > 1 => {
                self.tell(|| format!("{node} is deleted"));
                self.account.deleted += 1;
                self.machines.remove(&node);
            }
            (5, _) if names.len() < 6 => self.join(true),
            (6, Some(node)) => self.drift(&node),
            (7 | 8, _) => self.pause(),
            (9 | 10, _) => self.resume(),
            (11, _) => self.choose_limit(),
            (12..=14, _) => self.retarget(),
            _ => {}
        }
    }

    /// People pause the pool, and it is known when.
    fn pause(&mut self) {
        if self.pool.spec.paused {
            return;
        }
        let at = self.revision() + 1;
        self.tell(|| "paused".to_owned());
        self.change_pool(|pool| {
            pool.spec.paused = true;
            let annotations = pool.metadata.annotations.get_or_insert_default();
            annotations.insert("paused-at".into(), at.to_string());
        });
    }

    fn resume(&mut self) {
        if self.pool.spec.paused {
            self.tell(|| "resumed".to_owned());
            self.change_pool(|pool| pool.spec.paused = false);
        }
    }

    /// The pool gets a new config, which may be a bad one, or one that it had before.
    fn retarget(&mut self) {
        let config = if self.random.u8(0..3) == 0 {
            "rendered-p-1".to_owned()
        } else {
            let config = self.new_config();
            let odds = [0, 50, 100][self.random.usize(0..3)];
            self.bad.insert(config.clone(), odds);
            config
        };
        let odds = self.bad.get(&config).copied();
        self.tell(|| format!("target {config}, bad {odds:?}"));
        self.change_pool(|pool| pool.spec.configuration.name = config);
    }

    /// People put everything right: nodes come back, nobody cordons, the pool goes on, to a config that works.
    pub(super) fn stop_faults(&mut self) {
        self.tell(|| "no more faults".to_owned());
        self.resume();
        if self
            .bad
            .get(&self.pool.spec.configuration.name)
            .is_some_and(|odds| *odds > 0)
        {
            let config = self.new_config();
            self.tell(|| format!("target {config}"));
            self.change_pool(|pool| pool.spec.configuration.name = config);
        }
        self.end_outages();
    }
}
