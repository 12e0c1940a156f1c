//! The files of the repository that are made from others: CRD manifests, base configs and the list of error codes.

mod base_configs;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};
use machineconfig::Code;

use crate::repository;

/// Where the CRD manifests lie. Every file there is generated.
const MANIFESTS: &str = "crds/manifests";

/// What makes a directory of manifests one that kustomize takes as a whole; the names follow.
const KUSTOMIZATION: &str = "# Generated. All custom resource definitions, for kustomize.\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n";

/// Codes by their first two digits, and what they are about.
const RANGES: [(u16, &str); 12] = [
    (10, "Reading objects"),
    (11, "One MachineConfig"),
    (12, "Rendering a pool"),
    (20, "Changes a running node refuses"),
    (30, "Policies"),
    (40, "Drift"),
    (50, "Server"),
    (60, "Command line"),
    (61, "Asking a cluster"),
    (70, "Changing a node"),
    (71, "What a node runs"),
    (80, "Rolling out to nodes"),
];

/// Writes every generated file, and removes those that are generated no longer.
pub fn write() -> Result<()> {
    let files = files()?;
    for stale in stale_files(&files)? {
        fs::remove_file(repository().join(&stale)).with_context(|| format!("could not remove {stale}"))?;
        println!("removed {stale}");
    }
    for (name, text) in &files {
        let path = repository().join(name);
        if fs::read_to_string(&path).is_ok_and(|old| old == *text) {
            continue;
        }
        fs::create_dir_all(path.parent().unwrap_or(repository()))?;
        fs::write(&path, text).with_context(|| format!("could not write {name}"))?;
        println!("wrote {name}");
    }
    Ok(())
}

/// Fails with the name of every file that [`write()`] would touch.
pub fn check() -> Result<()> {
    let files = files()?;
    let mut stale = stale_files(&files)?;
    let differs = |(name, text): &(&String, &String)| {
        !fs::read_to_string(repository().join(name)).is_ok_and(|old| old == **text)
    };
    stale.extend(files.iter().filter(differs).map(|(name, _)| name.clone()));
    if !stale.is_empty() {
        bail!("stale, run `cargo xtask generate`: {}", stale.join(", "));
    }
    println!("{} generated files are up to date", files.len());
    Ok(())
}

/// Contents by path from the root of the repository.
fn files() -> Result<BTreeMap<String, String>> {
    let mut files = base_configs::files()?;
    let manifests = crds::manifests();
    let names = manifests.keys().map(|name| format!("  - {name}\n"));
    let list = names.collect::<String>();
    files.insert(
        format!("{MANIFESTS}/kustomization.yaml"),
        format!("{KUSTOMIZATION}{list}"),
    );
    for (name, text) in manifests {
        files.insert(format!("{MANIFESTS}/{name}"), text);
    }
    files.insert("docs/errors.md".to_owned(), errors());
    Ok(files)
}

/// Manifests that are there and are not among `files`.
fn stale_files(files: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let dir = repository().join(MANIFESTS);
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&dir).with_context(|| format!("could not read {}", dir.display()))?;
    let names = entries.map(|entry| Ok(format!("{MANIFESTS}/{}", entry?.file_name().to_string_lossy())));
    let names: Vec<String> = names.collect::<Result<_>>()?;
    Ok(names
        .into_iter()
        .filter(|name| !files.contains_key(name))
        .collect())
}

/// docs/errors.md
fn errors() -> String {
    let mut text =
        "# Error codes\n\nEvery message about an object carries a code. A code keeps its meaning for ever. \
                    This page is generated from the registry in `machineconfig/src/finding/codes.rs`.\n"
            .to_owned();
    for (range, title) in RANGES {
        let entries: Vec<_> = Code::ALL
            .iter()
            .filter(|entry| entry.code.0 / 100 == range)
            .collect();
        if entries.is_empty() {
            continue;
        }
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n## {title}\n\n| code | what it means | what to do |\n|---|---|---|\n"
        );
        for entry in entries {
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                entry.code,
                cell(entry.what),
                cell(entry.remedy)
            );
        }
    }
    text
}

/// Text that keeps a table's columns apart and is not taken for markup.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*")
}

#[cfg(test)]
mod tests {
    use super::{RANGES, errors};
    use machineconfig::Code;

    #[test]
    fn every_code_is_on_the_page() {
        let page = errors();
        for entry in Code::ALL {
            assert!(
                RANGES.iter().any(|(range, _)| entry.code.0 / 100 == *range),
                "{}",
                entry.code
            );
            assert!(page.contains(&format!("| {} |", entry.code)), "{}", entry.code);
        }
    }
}
