//! What a config demands, in little memory: paths and where to read what is demanded of them.
//!
//! Parsing a config of some megabytes takes many times its size, and an allocator keeps what it once had. So a short-lived process
//! of the same program reads the config ([`write`]), and hands over one line per path in an anonymous file; [`Table::read`] keeps the paths, and
//! [`Table::piece`] reads a line again when its path was touched.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use machineconfig::drift::Expectation;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use crate::host::enablement::template_of;

/// Name of the sub-command that runs [`write`].
pub(crate) const READ_CONFIG: &str = "read-config";
/// Longest message of that process that is kept, in bytes.
const MAX_MESSAGE: u64 = 16 << 10;

/// The paths of a config.
#[derive(Debug)]
pub(super) struct Table {
    /// What reports call the config.
    pub(super) config: String,
    /// Units of which more is demanded than their files, with the templates of instances.
    pub(super) units: BTreeSet<String>,
    /// Directories whose drop-ins count.
    pub(super) drop_ins: Vec<PathBuf>,
    lines: File,
    /// The line about units.
    unit_line: Line,
    /// Sorted by path.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    path: Box<str>,
    line: Line,
}

/// Where a line is.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    offset: u64,
    length: u32,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    config: String,
}

// === impl Table ===

impl Table {
    /// Has `program` read the config in `config`, which reports call `name` unless it has a name of its own. `Err` inside is what is
    /// wrong with the config.
    pub(super) fn load(program: &Path, config: File, name: &str) -> anyhow::Result<Result<Self, String>> {
        let lines =
            File::from(memfd_create("config", MemfdFlags::CLOEXEC).context("cannot make an anonymous file")?);
        let mut child = Command::new(program)
            .args([READ_CONFIG, "--name", name])
            .stdin(Stdio::from(config))
            .stdout(Stdio::from(lines.try_clone()?))
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {} to read the config", program.display()))?;
        let mut message = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            // To its end, or the process would wait for ever.
            let mut stderr = BufReader::new(stderr);
            stderr
                .by_ref()
                .take(MAX_MESSAGE)
                .read_to_end(&mut message)
                .and_then(|_| io::copy(&mut stderr, &mut io::sink()))
                .context("cannot listen to the process that reads the config")?;
        }
        let status = child
            .wait()
            .context("cannot wait for the process that reads the config")?;
        if !status.success() {
            let message = String::from_utf8_lossy(&message).trim_end().to_owned();
            return match status.code() {
                Some(_) => Ok(Err(message)),
                None => bail!("the process that reads the config ended with {status}"),
            };
        }
        Self::read(lines).map(Ok)
    }

    /// From what [`write`] wrote.
    pub(super) fn read(mut lines: File) -> anyhow::Result<Self> {
        const CONTEXT: &str = "cannot read what was read of the config";
        lines.rewind().context(CONTEXT)?;
        let mut reader = BufReader::new(lines.try_clone().context(CONTEXT)?);
        let mut text = Vec::new();
        let mut offset = 0;
        let mut next = |text: &mut Vec<u8>| -> anyhow::Result<Option<Line>> {
            text.clear();
            let length = reader.read_until(b'\n', text).context(CONTEXT)?;
            let line = Line {
                offset,
                length: u32::try_from(length).context(CONTEXT)?,
            };
            offset += length as u64;
            Ok((length > 0).then_some(line))
        };
        next(&mut text)?.context(CONTEXT)?;
        let head: Head = serde_json::from_slice(&text).context(CONTEXT)?;
        let unit_line = next(&mut text)?.context(CONTEXT)?;
        let units: Expectation = serde_json::from_slice(&text).context(CONTEXT)?;
        let mut entries = Vec::new();
        while let Some(line) = next(&mut text)? {
            let piece: Expectation = serde_json::from_slice(&text).context(CONTEXT)?;
            let path = piece.paths().next().context(CONTEXT)?;
            entries.push(Entry {
                path: path.into(),
                line,
            });
        }
        entries.shrink_to_fit();
        let mut names: BTreeSet<String> = units.units().into_iter().map(str::to_owned).collect();
        let mut drop_ins = Vec::new();
        for (unit, beside) in units.beside() {
            names.insert(unit.to_owned());
            drop_ins.extend(beside.directories.into_iter().map(PathBuf::from));
        }
        let templates: Vec<_> = names.iter().filter_map(|unit| template_of(unit)).collect();
        names.extend(templates);
        Ok(Self {
            config: head.config,
            units: names,
            drop_ins,
            lines,
            unit_line,
            entries,
        })
    }

    /// How many paths there are.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.entries.len()).expect("a config of this size is refused long before")
    }

    /// The path of a number below [`Table::len`].
    pub(super) fn path(&self, path: u32) -> &Path {
        Path::new(self.text(path))
    }

    /// The same as text.
    pub(super) fn text(&self, path: u32) -> &str {
        &self.entries[path as usize].path
    }

    /// Its last part.
    pub(super) fn file_name(&self, path: u32) -> &OsStr {
        self.path(path).file_name().unwrap_or_default()
    }

    /// Whether the config demands anything of a path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.number(path).is_some()
    }

    /// The number of a path, if the config demands anything of it.
    pub(super) fn number(&self, path: &str) -> Option<u32> {
        let found = self.entries.binary_search_by(|entry| (*entry.path).cmp(path));
        found.ok().and_then(|number| u32::try_from(number).ok())
    }

    /// What is demanded of these paths.
    pub(super) fn piece(&self, paths: &[u32]) -> anyhow::Result<Expectation> {
        let mut together = Expectation::default();
        for path in paths {
            together.add(self.at(self.entries[*path as usize].line)?);
        }
        Ok(together)
    }

    /// What is demanded of units as a whole.
    pub(super) fn of_units(&self) -> anyhow::Result<Expectation> {
        self.at(self.unit_line)
    }

    fn at(&self, line: Line) -> anyhow::Result<Expectation> {
        let mut text = vec![0; line.length as usize];
        self.lines
            .read_exact_at(&mut text, line.offset)
            .and_then(|()| Ok(serde_json::from_slice(&text)?))
            .context("cannot read again what was read of the config")
    }
}

/// Writes what the config of this name demands as [`Table::read`] reads it.
pub(crate) fn write(name: String, expectation: Expectation, to: &mut impl Write) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    serde_json::to_writer(&mut to, &Head { config: name })?;
    to.write_all(b"\n")?;
    for piece in expectation.pieces() {
        serde_json::to_writer(&mut to, &piece)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}
