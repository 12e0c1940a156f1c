//! The one limit of the host that several nodes meet: how many watchers of files (inotify) root may have. Every node is root on this host, so
//! all nodes of all clusters share it. Making a cluster looks at it and never changes it: who needs more says so, by [`MoreWatchers`].

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Where the host keeps the limit.
const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";

/// What a node takes, or a control plane: 15 and 11 were counted, and pods take some too.
const EACH: usize = 16;

/// What is enough for as many nodes as the memory of a host bears.
const MANY: usize = 4096;

/// A host that allows many watchers of files until the value goes, which is when it allows as many as before. A process that is killed
/// leaves it as it is, which harms nobody.
#[derive(Debug)]
pub struct MoreWatchers {
    before: usize,
}

impl MoreWatchers {
    /// Lets root have that many; does nothing on a host that allows as many anyhow.
    pub fn allow() -> Result<Self> {
        let before = limit()?;
        if before < MANY {
            set(MANY)?;
        }
        Ok(Self { before })
    }
}

impl Drop for MoreWatchers {
    fn drop(&mut self) {
        // Whoever has changed it meanwhile has meant it.
        if self.before < MANY
            && limit().is_ok_and(|now| now == MANY)
            && let Err(error) = set(self.before)
        {
            eprintln!("{error:#}");
        }
    }
}

fn set(limit: usize) -> Result<()> {
    fs::write(LIMIT, limit.to_string()).with_context(|| format!("could not set {LIMIT} to {limit}"))
}

fn limit() -> Result<usize> {
    let text = fs::read_to_string(LIMIT).with_context(|| format!("could not read {LIMIT}"))?;
    text.trim()
        .parse()
        .with_context(|| format!("{LIMIT} holds no number"))
}

/// Fails when so many more nodes and control planes do not fit: the kubelet of one of them would not start, and would say why in its
/// journal only.
pub(super) fn ensure_room(more: usize) -> Result<()> {
    fits(limit()?, used()?, more)
}

fn fits(limit: usize, used: usize, more: usize) -> Result<()> {
    let wanted = used + more * EACH;
    if wanted > limit {
        bail!(
            "this host allows root {limit} watchers of files, {used} are in use, and the cluster takes {} more: \
             allow more with `sysctl -w fs.inotify.max_user_instances={}`",
            more * EACH,
            (2 * wanted).next_power_of_two()
        );
    }
    Ok(())
}

/// How many there are in all processes; those of other users count too, which are few.
fn used() -> Result<usize> {
    let mut used = 0;
    for process in fs::read_dir("/proc").context("could not list the processes")? {
        // It may end while we look; what is no process has no such directory.
        let Ok(open) = fs::read_dir(process?.path().join("fd")) else {
            continue;
        };
        let links = open.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        used += links
            .filter(|link| link == Path::new("anon_inode:inotify"))
            .count();
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn what_does_not_fit_is_refused_with_the_setting() {
        assert!(fits(128, 0, 8).is_ok());
        let error = fits(128, 30, 11).unwrap_err().to_string();
        assert!(error.contains("max_user_instances=512"), "{error}");
    }
}
