//! Speed and memory against goals, in one table. Entry point: [`run`].
//!
//! Both sides are measured in one run where the other side can be installed; where it cannot, the figure it once gave on an idle
//! machine of the same size (2 cores) stands for it.

mod apply;
mod cluster;
mod drift;
mod load;
mod row;
mod rules;
mod serving;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

pub use row::{Goal, Row};

/// Rows that are measured together.
struct Group {
    /// The names of its rows.
    names: &'static [&'static str],
    measure: fn() -> Result<Vec<Row>>,
}

const GROUPS: [Group; 8] = [
    Group {
        names: &rules::HUNDRED,
        measure: rules::hundred,
    },
    Group {
        names: &rules::THOUSAND,
        measure: rules::thousand,
    },
    Group {
        names: &rules::PLAN,
        measure: rules::plan_rows,
    },
    Group {
        names: &serving::NAMES,
        measure: serving::rows,
    },
    Group {
        names: &drift::NAMES,
        measure: drift::rows,
    },
    Group {
        names: &apply::HUNDREDS,
        measure: apply::hundreds,
    },
    Group {
        names: &apply::THOUSANDS,
        measure: apply::thousands,
    },
    Group {
        names: &apply::MANAGED_NAMES,
        measure: apply::managed,
    },
];

/// What is measured with clusters, which takes root and what clusters are made of.
const CLUSTER_GROUPS: [Group; 2] = [
    Group {
        names: &cluster::SCALE,
        measure: cluster::scale_rows,
    },
    Group {
        names: &cluster::NODE,
        measure: cluster::node_rows,
    },
];

/// Which groups of rows are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Programs by themselves.
    Programs,
    /// Clusters with them.
    Clusters,
}

/// Measures every row of a part whose name contains `only`, prints the table and writes it as JSON when asked to. True when all goals hold.
pub fn run(part: Part, only: &str, json: Option<&Path>) -> Result<bool> {
    let groups: &[Group] = match part {
        Part::Programs => &GROUPS,
        Part::Clusters => &CLUSTER_GROUPS,
    };
    let mut rows = Vec::new();
    for group in groups
        .iter()
        .filter(|group| group.names.iter().any(|name| name.contains(only)))
    {
        rows.extend((group.measure)()?);
    }
    rows.retain(|row| row.name.contains(only));
    if rows.is_empty() {
        let names: Vec<_> = groups.iter().flat_map(|group| group.names).copied().collect();
        bail!("no row is called {only:?}; there are:\n  {}", names.join("\n  "));
    }
    print!("{}", row::table(&rows));
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&rows)?;
        fs::write(path, text + "\n").with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(rows.iter().all(Row::holds))
}
