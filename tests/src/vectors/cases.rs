//! The cases of a directory: which families there are, and each case read or the reason why it cannot be.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The family it belongs to.
    pub(crate) family: String,
    /// What it is about, in words.
    pub(crate) name: String,
    input: Value,
    expect: Value,
}

/// A family and its cases, each with the place it was read from.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) cases: Vec<(String, Result<Case>)>,
}

#[derive(Deserialize)]
struct Raw {
    case: String,
    input: Value,
    expect: Value,
}

impl Case {
    fn parse(family: &str, text: &str) -> Result<Self> {
        let raw: Raw = serde_json::from_str(text).context("the case is malformed")?;
        Ok(Self {
            family: family.to_owned(),
            name: raw.case,
            input: raw.input,
            expect: raw.expect,
        })
    }

    /// The input in the shape the family says.
    pub(crate) fn input<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.input).context("input")
    }

    /// The expectation in the shape the family says.
    pub(crate) fn expect<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.expect).context("expect")
    }
}

/// The families in `dir`, sorted by name: sub-directories, and `*.jsonl` files named by family.
pub(crate) fn find(dir: &Path) -> Result<Vec<Family>> {
    let mut families: Vec<Family> = Vec::new();
    for path in entries(dir)? {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let cases = if path.is_dir() {
            cases_of(&path, &name)?
        } else if extension(&path) == "jsonl" {
            lines(&path, &name)
        } else {
            continue;
        };
        match families.iter_mut().find(|family| family.name == name) {
            Some(family) => family.cases.extend(cases),
            None => families.push(Family { name, cases }),
        }
    }
    families.retain(|family| !family.cases.is_empty());
    families.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(families)
}

fn cases_of(dir: &Path, family: &str) -> Result<Vec<(String, Result<Case>)>> {
    let mut cases = Vec::new();
    for path in entries(dir)? {
        match extension(&path) {
            "json" => {
                let case = read(&path).and_then(|text| Case::parse(family, &text));
                cases.push((file_name(&path), case));
            }
            "jsonl" => cases.extend(lines(&path, family)),
            _ => {}
        }
    }
    Ok(cases)
}

/// A case per line; empty lines are skipped. A file that cannot be read is one case that cannot.
fn lines(path: &Path, family: &str) -> Vec<(String, Result<Case>)> {
    let text = match read(path) {
        Ok(text) => text,
        Err(error) => return vec![(file_name(path), Err(error))],
    };
    let numbered = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let case = |(i, line)| {
        (
            format!("{}:{}", file_name(path), i + 1),
            Case::parse(family, line),
        )
    };
    numbered.map(case).collect()
}

fn entries(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    if !dir.is_dir() {
        bail!("{} is no directory", dir.display());
    }
    let read = fs::read_dir(dir).with_context(|| format!("could not read {}", dir.display()))?;
    let mut paths = read
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| !file_name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn extension(path: &Path) -> &str {
    path.extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
}
