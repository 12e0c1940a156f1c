//! shim
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
#[derive(Debug)]
pub struct Commands {
    root: PathBuf,
}
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(String);
impl Commands {
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }
    pub fn run(&self, p: &str, a: &[&str]) -> Result<String, CommandError> {
        self.run_within(p, a, Duration::from_secs(60))
    }
    pub fn run_within(&self, p: &str, a: &[&str], _d: Duration) -> Result<String, CommandError> {
        let o = std::process::Command::new("chroot")
            .arg(&self.root)
            .arg(p)
            .args(a)
            .output()
            .map_err(|e| CommandError(e.to_string()))?;
        if o.status.success() {
            Ok(String::from_utf8_lossy(&o.stdout).into_owned())
        } else {
            Err(CommandError(format!(
                "{}: {}",
                o.status,
                String::from_utf8_lossy(&o.stderr)
            )))
        }
    }
    pub fn vendor_owned(&self, _root: &super::Root, _p: &[&str]) -> anyhow::Result<BTreeSet<String>> {
        Ok(BTreeSet::new())
    }
}
