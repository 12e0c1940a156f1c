//! A program that replaces many files at once, in the shape of the daemon's `apply` and `recover`. The power-cut tests are tried on
//! it: what they say of the right one and of the broken ones shows what they are worth.
//!
//! The config is a text of two words, `COUNT WORD`: that many files, whose contents are made of the word.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::syncfs;

/// Where the files lie, beneath the root.
const FILES: &str = "etc/standin";

/// Where the commit mark lies, beneath the root.
const STATE: &str = "var/lib/standin";

/// Bytes of a file: a block, so that contents never lie in the inode.
const SIZE: usize = 4096;

/// Where the staged contents of a file wait beside it.
const STAGED: &str = ".staged";

/// How careful it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// As it should be.
    Full,
    /// Never asks the kernel to write anything out: after a power cut, names may be there whose contents are not.
    NoSync,
    /// Goes file by file, without a commit mark: each file is right at any moment, all together are a mix.
    NoMark,
}

/// Replaces all files by those of `config`, beneath `root`.
pub fn apply(root: &Path, config: &str, care: Care) -> Result<()> {
    recover(root, care)?;
    let (count, word) = parse(config)?;
    let (files, state) = (root.join(FILES), root.join(STATE));
    fs::create_dir_all(&files)?;
    fs::create_dir_all(&state)?;
    for number in 0..count {
        let path = files.join(format!("{number:04}{STAGED}"));
        let mut file = File::create(&path).with_context(|| format!("could not stage {}", path.display()))?;
        file.write_all(contents(number, word).as_bytes())?;
        if care == Care::NoMark {
            file.sync_all()?;
            fs::rename(&path, path.with_extension(""))?;
        }
    }
    sync(&files, care)?;
    if care != Care::NoMark {
        let mark = state.join("commit.new");
        fs::write(&mark, word)?;
        sync(&state, care)?;
        fs::rename(&mark, state.join("commit"))?;
        sync(&state, care)?;
    }
    finish(&files, &state, care)
}

/// Finishes what was committed, and removes what was not.
pub fn recover(root: &Path, care: Care) -> Result<()> {
    let (files, state) = (root.join(FILES), root.join(STATE));
    if !files.exists() {
        return Ok(());
    }
    if state.join("commit").exists() {
        return finish(&files, &state, care);
    }
    for path in staged(&files)? {
        fs::remove_file(path)?;
    }
    remove(&state.join("commit.new"))?;
    sync(&files, care)
}

/// Puts everything staged in place, and only then takes the mark away.
fn finish(files: &Path, state: &Path, care: Care) -> Result<()> {
    for path in staged(files)? {
        fs::rename(&path, path.with_extension(""))
            .with_context(|| format!("could not put {} in place", path.display()))?;
    }
    sync(files, care)?;
    remove(&state.join("commit"))?;
    sync(state, care)
}

fn parse(config: &str) -> Result<(usize, &str)> {
    let Some((count, word)) = config.trim().split_once(' ') else {
        bail!("the config is not COUNT WORD: {config:?}");
    };
    Ok((count.parse().context("the count is no number")?, word))
}

fn contents(number: usize, word: &str) -> String {
    let mut text = String::with_capacity(SIZE + 64);
    while text.len() < SIZE {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{word} {number}");
    }
    text.truncate(SIZE);
    text
}

fn staged(files: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(files)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == &STAGED[1..]) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(anyhow::Error::new(error).context(format!("could not remove {}", path.display())))
        }
        _ => Ok(()),
    }
}

fn sync(dir: &Path, care: Care) -> Result<()> {
    match care {
        Care::NoSync => Ok(()),
        Care::Full | Care::NoMark => {
            syncfs(File::open(dir)?).with_context(|| format!("could not sync {}", dir.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Care, apply, contents, recover};
    use std::fs;

    #[test]
    fn files_are_replaced_and_nothing_else_is_left() {
        for care in [Care::Full, Care::NoSync, Care::NoMark] {
            let dir = tempfile::tempdir().unwrap();
            apply(dir.path(), "3 old", care).unwrap();
            apply(dir.path(), "3 new\n", care).unwrap();
            recover(dir.path(), care).unwrap();
            for number in 0..3 {
                let path = dir.path().join(format!("etc/standin/{number:04}"));
                assert_eq!(fs::read_to_string(path).unwrap(), contents(number, "new"));
            }
            assert_eq!(fs::read_dir(dir.path().join("etc/standin")).unwrap().count(), 3);
            assert_eq!(
                fs::read_dir(dir.path().join("var/lib/standin")).unwrap().count(),
                0
            );
        }
    }

    #[test]
    fn the_mark_decides_between_old_and_new() {
        for (mark, expected) in [("commit", "new"), ("commit.new", "old")] {
            let dir = tempfile::tempdir().unwrap();
            apply(dir.path(), "2 old", Care::Full).unwrap();
            let files = dir.path().join("etc/standin");
            fs::write(files.join("0001.staged"), contents(1, "new")).unwrap();
            fs::write(files.join("0000"), contents(0, expected)).unwrap();
            fs::write(dir.path().join("var/lib/standin").join(mark), "new").unwrap();
            recover(dir.path(), Care::Full).unwrap();
            assert_eq!(
                fs::read_to_string(files.join("0001")).unwrap(),
                contents(1, expected)
            );
            assert!(!files.join("0001.staged").exists());
        }
    }
}
