//! `status`: how the pools of a cluster stand, which nodes are not done and why, and what comes next.

mod changes;
mod table;
mod watch;

use jiff::Timestamp;
use machineconfig::Finding;
use machineconfig::standing::{Cluster, Standing, standing};

use crate::cli::Exit;
use crate::cluster::{self, Access, Connection, not_there, pool_name};
use crate::form::{self, Output};
use crate::terminal::Terminal;

/// Tell how the pools of a cluster stand, which nodes are on their way, what holds them up, and what comes next
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    mcctl status\n  \
    mcctl status pool/worker --watch\n  \
    mcctl status -o json | jq '.pools[].next'")]
pub(crate) struct Args {
    /// The pool, as pool/NAME; without it all. Of a single pool every node that waits is listed
    #[arg(value_name = "pool/NAME", value_parser = pool_name)]
    pool: Option<String>,
    /// Go on, and tell what changes: on a terminal the screen is drawn anew, elsewhere each change is a line
    #[arg(short, long)]
    watch: bool,
    /// How to print it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// How much is told, and how.
#[derive(Debug, Clone, Copy)]
struct View<'a> {
    pool: Option<&'a str>,
    output: Output,
}

// === impl Args ===

impl Args {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self {
            pool,
            watch,
            output,
            connection,
        } = self;
        let view = View {
            pool: pool.as_deref(),
            output,
        };
        cluster::run(&connection, terminal, async |access: &Access| {
            let found = cluster::cluster(access).await?;
            view.check(&found)?;
            if watch {
                return watch::run(access, found, view, terminal).await;
            }
            let now = Timestamp::now();
            terminal.print(&view.show(&found, now, terminal))?;
            Ok(Exit::Done)
        })
    }
}

// === impl View ===

impl View<'_> {
    /// Refuses a pool that is not there.
    fn check(self, cluster: &Cluster) -> Result<(), Finding> {
        match self.pool {
            Some(name) if cluster.pool(name).is_none() => {
                let names = cluster.pools.iter().map(|pool| pool.metadata.name.clone());
                Err(not_there("MachineConfigPool", name, names))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What is asked for of how a cluster stands.
    fn of(self, cluster: &Cluster, now: Timestamp) -> Standing {
        let mut all = standing(cluster, now);
        if let Some(name) = self.pool {
            all.pools.retain(|pool| pool.pool == name);
            all.unplaced.clear();
        }
        all
    }

    fn show(self, cluster: &Cluster, now: Timestamp, terminal: &Terminal) -> String {
        let standing = self.of(cluster, now);
        match self.output {
            Output::Text => table::text(&standing, self.pool.is_some(), now, &terminal.out),
            Output::Json => form::json(&standing),
        }
    }
}
