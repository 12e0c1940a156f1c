//! The size budget of source files. Functions are held short by clippy (`too-many-lines-threshold` in clippy.toml).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo::root;

/// Lines a source file may have, its tests not counted: what a reader still takes in as one thought.
const MAX_LINES: usize = 600;

/// Fails with every file that is over the budget.
pub(crate) fn check() -> Result<()> {
    let mut files = Vec::new();
    collect(root(), &mut files)?;
    files.sort();
    let mut over = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
        let lines = lines_without_tests(&text);
        if lines > MAX_LINES {
            let name = file.strip_prefix(root()).unwrap_or(file);
            over.push(format!("{} has {lines} lines", name.display()));
        }
    }
    if !over.is_empty() {
        bail!(
            "split these files, at most {MAX_LINES} lines without tests are allowed:\n  {}",
            over.join("\n  ")
        );
    }
    println!("{} files, none over {MAX_LINES} lines", files.len());
    Ok(())
}

/// Source files below `dir`; build products, hidden directories and pure test code are left out.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("could not read {}", dir.display()))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_symlink() || name.starts_with('.') || name == "target" || name == "tests.rs" {
            continue;
        }
        if path.is_dir() {
            // `tests/` at the root is the package e2e; in a package it is test code.
            if name != "tests" || dir == root() {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Test modules come last in a file, so the count ends where the first one begins.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "));
    tests.unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::lines_without_tests;

    #[test]
    fn test_modules_are_not_counted() {
        assert_eq!(lines_without_tests("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
        assert_eq!(lines_without_tests("a\n#[cfg(test)]\nuse x;\nb\n"), 4);
        assert_eq!(lines_without_tests(""), 0);
    }
}
