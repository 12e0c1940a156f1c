//! What a cluster is made of, built once from Go modules and kept: the control plane, and what runs on its nodes. Which versions, and
//! what they rest on, is said by `tests/cluster/*/go.mod` and held by `go.sum`; a change of either makes a new build beside the old one.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::product::static_programs;
use crate::machine::place::{cache, locked};
use crate::program::line;
use crate::repository;

/// To be counted up when this file changes how things are built, and the modules do not.
const VERSION: &str = "1";

/// The program that is the process of every pod's sandbox, and of pods of tests.
const POD_PROGRAM: &str = "guest-pod";

/// One Go module of `tests/cluster`; every command that its `tool` lines name is built.
struct Module {
    name: &'static str,
    /// The module whose version the programs say that they have.
    of: &'static str,
    /// The variables that hold it, without the leading `v`.
    variables: &'static [&'static str],
    /// More flags for the linker.
    flags: &'static str,
    /// Commands that are named after their directory: from, to.
    renamed: &'static [(&'static str, &'static str)],
}

const CONTROL_PLANE: Module = Module {
    name: "control-plane",
    of: "k8s.io/kubernetes",
    variables: &[
        "k8s.io/component-base/version.gitVersion",
        "k8s.io/client-go/pkg/version.gitVersion",
    ],
    flags: "-X k8s.io/component-base/version.gitTreeState=clean",
    renamed: &[],
};

const RUNTIME: Module = Module {
    name: "runtime",
    of: "github.com/containerd/containerd/v2",
    variables: &["github.com/containerd/containerd/v2/version.Version"],
    flags: "",
    renamed: &[("server", "etcd")],
};

/// What is built, complete.
#[derive(Debug, Clone)]
pub struct Parts {
    control_plane: PathBuf,
    runtime: PathBuf,
    pod_program: PathBuf,
}

impl Parts {
    /// The parts, which are built if they are not there: that takes Go, its module proxy, and ten minutes or more. A build that was cut
    /// off leaves nothing that looks finished, and of several at once one builds and the others wait.
    pub fn provide() -> Result<Self> {
        let pod_program = static_programs()?.join(POD_PROGRAM);
        ensure!(
            pod_program.exists(),
            "{} is missing: run this by `cargo xtask`, which builds it",
            pod_program.display()
        );
        Ok(Self {
            control_plane: CONTROL_PLANE.provide()?,
            runtime: RUNTIME.provide()?,
            pod_program,
        })
    }

    /// A program of the control plane, or `kubectl`, or `kubelet`.
    #[must_use]
    pub fn kubernetes(&self, name: &str) -> PathBuf {
        self.control_plane.join(name)
    }

    /// `etcd`, and the container runtime with its network plug-ins.
    #[must_use]
    pub fn runtime(&self, name: &str) -> PathBuf {
        self.runtime.join(name)
    }

    /// The directory with the container runtime and its network plug-ins.
    #[must_use]
    pub fn runtime_dir(&self) -> &Path {
        &self.runtime
    }

    /// Our static program for pods: `guest-pod pause`, `guest-pod say WORD...`.
    #[must_use]
    pub fn pod_program(&self) -> &Path {
        &self.pod_program
    }
}

// === building ===

impl Module {
    fn provide(&self) -> Result<PathBuf> {
        let base = cache()?.join("cluster/parts");
        fs::create_dir_all(&base).with_context(|| format!("could not create {}", base.display()))?;
        let source = repository().join("tests/cluster").join(self.name);
        let dir = base.join(format!("{}-{}", self.name, self.key(&source)?));
        let _lock = locked(&base.join(format!("{}.lock", self.name)))?;
        if !dir.exists() {
            let partial = base.join(format!("{}.partial", self.name));
            if partial.exists() {
                fs::remove_dir_all(&partial)
                    .with_context(|| format!("could not remove {}", partial.display()))?;
            }
            fs::create_dir(&partial).with_context(|| format!("could not create {}", partial.display()))?;
            self.build(&source, &partial)
                .with_context(|| format!("could not build the {} of clusters", self.name))?;
            fs::rename(&partial, &dir)
                .with_context(|| format!("could not put {} in place", dir.display()))?;
        }
        Ok(dir)
    }

    /// Names what a build depends on.
    fn key(&self, source: &Path) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(VERSION);
        hash.update(self.flags);
        for file in ["go.mod", "go.sum"] {
            let path = source.join(file);
            hash.update(fs::read(&path).with_context(|| format!("could not read {}", path.display()))?);
        }
        let digest = hash.finalize();
        Ok(digest
            .iter()
            .take(8)
            .fold(String::new(), |key, byte| format!("{key}{byte:02x}")))
    }

    fn build(&self, source: &Path, dest: &Path) -> Result<()> {
        let text = fs::read_to_string(source.join("go.mod"))?;
        let version = required(&text, self.of)
            .with_context(|| format!("go.mod of {} does not require {}", self.name, self.of))?;
        eprintln!(
            "building {} {version} from its Go module (once, ten minutes or more) …",
            self.of
        );
        let variables = self.variables.iter().fold(String::new(), |flags, variable| {
            format!("{flags} -X {variable}={version}")
        });
        let mut command = Command::new(go()?);
        command
            .current_dir(source)
            .env("CGO_ENABLED", "0")
            .args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false"])
            .arg("-ldflags")
            .arg(format!("-s -w{variables} {}", self.flags))
            .arg("-o")
            // The slash says that it is a directory.
            .arg(format!("{}/", dest.display()))
            // Every command of a `tool` line.
            .arg("tool");
        let status = command
            .status()
            .with_context(|| format!("could not run {}", line(&command)))?;
        if !status.success() {
            bail!("{} ended with {status}", line(&command));
        }
        for (from, to) in self.renamed {
            fs::rename(dest.join(from), dest.join(to))
                .with_context(|| format!("the build left no {from}"))?;
        }
        Ok(())
    }
}

/// The version that a `require` line of go.mod names.
fn required<'text>(text: &'text str, module: &str) -> Option<&'text str> {
    text.lines().find_map(|line| {
        let mut words = line
            .trim_start()
            .trim_start_matches("require ")
            .split_whitespace();
        let found = words.next() == Some(module);
        words.next().filter(|version| found && version.starts_with('v'))
    })
}

/// The Go on the path, else where its own archive goes.
fn go() -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    dirs.push("/usr/local/go/bin".into());
    let mut files = dirs.into_iter().map(|dir| dir.join("go"));
    files
        .find(|file| file.is_file())
        .context("there is no Go: `cargo xtask` installs one")
}

#[cfg(test)]
mod tests {
    use super::required;

    #[test]
    fn the_version_of_a_module_is_read() {
        let text = "module x\n\nrequire one.org/a v1.2.3\n\nreplace one.org/b => one.org/b v9.9.9\n\nrequire (\n\tone.org/b v0.1.0 // indirect\n)\n";
        assert_eq!(required(text, "one.org/a"), Some("v1.2.3"));
        assert_eq!(required(text, "one.org/b"), Some("v0.1.0"));
        assert_eq!(required(text, "one.org/c"), None);
    }
}
