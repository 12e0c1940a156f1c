//! Programs of our pods as processes of a node: they are found, and killed as a fault would kill them.

use std::fs;

use anyhow::{Context, Result};
use e2e::machine::COMMAND;
use e2e::program::run;

use crate::world::World;

/// A process of a node, by its number there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) number: u32,
    /// Its variables, as `NAME=value`.
    pub(crate) environment: Vec<String>,
}

/// The processes of a node whose command begins with this program; the node must be on.
pub(crate) fn find(world: &World, node: &str, program: &str) -> Result<Vec<Process>> {
    let all = world.cluster().node(node)?.machine().inside("/proc")?;
    let listed = fs::read_dir(&all).with_context(|| format!("could not list {}", all.display()))?;
    let mut found = Vec::new();
    for entry in listed {
        let entry = entry?;
        let Ok(number) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let words = |file: &str| {
            // It may be gone by now.
            let text = fs::read(entry.path().join(file)).unwrap_or_default();
            let words = text.split(|byte| *byte == 0);
            words
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect::<Vec<_>>()
        };
        if words("cmdline").first().is_some_and(|first| first == program) {
            found.push(Process {
                number,
                environment: words("environ"),
            });
        }
    }
    Ok(found)
}

/// Kills a process of a node: it has no time for anything. The result is whether it was there.
pub(crate) fn kill(world: &World, node: &str, process: &Process) -> Result<bool> {
    let kill = format!("kill -KILL {}", process.number);
    let mut command = world
        .cluster()
        .node(node)?
        .machine()
        .command(&["sh", "-c", &kill])?;
    Ok(run(&mut command, COMMAND)?.code == Some(0))
}
