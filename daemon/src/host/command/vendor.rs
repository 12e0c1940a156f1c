//! Which files belong to a package: one question to rpm or dpkg for all of them, not one for each.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::{CommandError, Commands, Output};

/// Bytes of paths in one command line. A process gets 2 MiB at least for arguments and environment together (execve(2)).
const BATCH: usize = 1 << 20;

/// What is known of packages where there is dpkg. Empty where dpkg is only a tool.
const DPKG_STATUS: &str = "/var/lib/dpkg/status";

/// Longest list of packages that is told from an empty one.
const SOME: u64 = 256 << 20;

/// Where distributions that compose images keep the originals of `/etc`.
const ORIGINALS: &str = "/usr/etc";

/// Directories that are one with those of the same name below `/usr`; a package may know a file by either name.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What an owned file's line begins with; rpm writes one for each package that owns it.
const OWNED: &str = "owned ";

/// Who knows about packages on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Rpm,
    Dpkg,
}

// === impl Commands ===

impl Commands {
    /// Those of `paths`, absolute ones of the host, that exist and belong to a package, or have an original below `/usr/etc`
    /// (MCO daemon 3.6). None where there is neither rpm nor dpkg. An answer that leaves a path open is an error.
    ///
    /// A path with a line break in it belongs to no package.
    pub fn vendor_owned<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a Path>,
    ) -> Result<BTreeSet<PathBuf>, CommandError> {
        let cannot = |source| CommandError::Run {
            command: "a search for vendor files".to_owned(),
            source,
        };
        let Some(manager) = self.manager().map_err(cannot)? else {
            return Ok(BTreeSet::new());
        };
        let mut existing = BTreeSet::new();
        let mut owned = BTreeSet::new();
        for path in paths {
            if !self.root.is_there(path).map_err(cannot)? {
                continue;
            }
            if self.has_original(path).map_err(cannot)? {
                owned.insert(path.to_owned());
            } else if path
                .to_str()
                .is_some_and(|path| path.starts_with('/') && !path.contains('\n'))
            {
                existing.insert(path.to_owned());
            }
        }
        for batch in batches(existing) {
            owned.extend(match manager {
                Manager::Rpm => self.owned_by_rpm(&batch)?,
                Manager::Dpkg => self.owned_by_dpkg(&batch)?,
            });
        }
        Ok(owned)
    }

    fn manager(&self) -> io::Result<Option<Manager>> {
        let knows_packages = || -> io::Result<bool> {
            let status = self.root.read(Path::new(DPKG_STATUS), SOME)?;
            Ok(status.is_some_and(|status| !status.is_empty()))
        };
        if self.has("/usr/bin/dpkg-query")? && knows_packages()? {
            return Ok(Some(Manager::Dpkg));
        }
        let rpm = self.has("/usr/bin/rpm")? || self.has("/bin/rpm")?;
        Ok(rpm.then_some(Manager::Rpm))
    }

    fn has_original(&self, path: &Path) -> io::Result<bool> {
        match path.strip_prefix("/etc") {
            Ok(rest) => self.root.is_there(&Path::new(ORIGINALS).join(rest)),
            Err(_) => Ok(false),
        }
    }

    /// rpm says of each path that it is not owned, by name, or which packages own it, by our format and without the path.
    fn owned_by_rpm(&self, paths: &BTreeSet<PathBuf>) -> Result<BTreeSet<PathBuf>, CommandError> {
        let format = format!("{OWNED}%{{NAME}}\\n");
        let mut arguments: Vec<OsString> = ["-q", "-f", "--queryformat", &format, "--"]
            .map(Into::into)
            .into();
        arguments.extend(paths.iter().map(Into::into));
        let output = self.run("rpm", arguments)?;
        let mut left = paths.clone();
        let mut lines = 0;
        for line in text(&output)?.lines() {
            if line.starts_with(OWNED) {
                lines += 1;
            } else if let Some(path) = line
                .strip_prefix("file ")
                .and_then(|line| line.strip_suffix(" is not owned by any package"))
            {
                left.remove(Path::new(path));
            } else {
                return Err(output.not_understood(line.to_owned()));
            }
        }
        // It says on standard error what it could not do: one failed look at its database must not make files owned. Its status
        // says whether all were.
        let complains = |line: &str| !line.is_empty() && !line.starts_with("warning:");
        let all_owned = left.len() == paths.len();
        let is_answer = output.status.success() == all_owned && output.status.code().is_some();
        if !is_answer || output.stderr.lines().any(complains) {
            return Err(output.failed());
        }
        if lines < left.len() {
            let what = format!("{} files have no answer", left.len() - lines);
            return Err(output.not_understood(what));
        }
        Ok(left)
    }

    /// dpkg says of each path that is owned by whom, and of the others that it knows none, on standard error.
    fn owned_by_dpkg(&self, paths: &BTreeSet<PathBuf>) -> Result<BTreeSet<PathBuf>, CommandError> {
        let mut asked = BTreeMap::new();
        for path in paths {
            asked.insert(path.clone(), path);
            if let Some(other) = other_name(path) {
                asked.insert(other, path);
            }
        }
        let mut arguments: Vec<OsString> = ["--search", "--"].map(Into::into).into();
        arguments.extend(asked.keys().map(|path| literal(path)));
        let output = self.run("dpkg-query", arguments)?;
        // 1: of some it knows nothing.
        if !matches!(output.status.code(), Some(0 | 1)) {
            return Err(output.failed());
        }
        let mut owned = BTreeSet::new();
        for line in text(&output)?.lines() {
            if line.starts_with("diversion by ") || line.starts_with("local diversion ") {
                continue;
            }
            let path = line
                .split_once(": ")
                .and_then(|(_, path)| asked.get(Path::new(path)));
            let Some(path) = path else {
                return Err(output.not_understood(line.to_owned()));
            };
            owned.insert((*path).clone());
        }
        Ok(owned)
    }
}

fn text(output: &Output) -> Result<&str, CommandError> {
    std::str::from_utf8(&output.stdout).map_err(|error| output.not_understood(error.to_string()))
}

/// A path as a pattern that matches nothing else.
fn literal(path: &Path) -> OsString {
    let mut pattern = String::new();
    for letter in path.to_string_lossy().chars() {
        if matches!(letter, '*' | '?' | '[' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.into()
}

/// The other name of a path in a directory that is one with another.
fn other_name(path: &Path) -> Option<PathBuf> {
    let is_merged = |rest: &Path| {
        rest.components()
            .next()
            .is_some_and(|first| MERGED.iter().any(|name| first.as_os_str() == *name))
    };
    if let Ok(rest) = path.strip_prefix("/usr") {
        return is_merged(rest).then(|| Path::new("/").join(rest));
    }
    let rest = path.strip_prefix("/").ok()?;
    is_merged(rest).then(|| Path::new("/usr").join(rest))
}

/// Cuts paths into lots that fit on a command line.
fn batches(paths: BTreeSet<PathBuf>) -> Vec<BTreeSet<PathBuf>> {
    let mut batches: Vec<BTreeSet<PathBuf>> = Vec::new();
    let mut room = 0;
    for path in paths {
        let length = path.as_os_str().len() + 1;
        if batches.is_empty() || length > room {
            batches.push(BTreeSet::new());
            room = BATCH;
        }
        room = room.saturating_sub(length);
        if let Some(batch) = batches.last_mut() {
            batch.insert(path);
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_pattern_of_itself_alone() {
        assert_eq!(literal(Path::new("/etc/a[1]*?\\b")), "/etc/a\\[1]\\*\\?\\\\b");
    }

    #[test]
    fn merged_directories_have_two_names() {
        for (path, other) in [
            (
                "/lib/systemd/system/a.service",
                Some("/usr/lib/systemd/system/a.service"),
            ),
            ("/usr/bin/a", Some("/bin/a")),
            ("/usr/share/a", None),
            ("/etc/a", None),
            ("/", None),
        ] {
            assert_eq!(
                other_name(Path::new(path)).as_deref(),
                other.map(Path::new),
                "{path}"
            );
        }
    }

    #[test]
    fn many_paths_are_few_lots_and_all_of_them_are_asked() {
        let paths: BTreeSet<PathBuf> = (0..50_000)
            .map(|number| PathBuf::from(format!("/etc/a/rather/long/directory/file-{number}")))
            .collect();
        let batches = batches(paths.clone());
        assert!(batches.len() < 4);
        assert_eq!(batches.into_iter().flatten().collect::<BTreeSet<_>>(), paths);
    }
}
