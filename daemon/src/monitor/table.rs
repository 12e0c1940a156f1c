//! What a config demands, in little memory: paths and where to read what is demanded of them.
//!
//! Parsing a config of some megabytes takes many times its size, and an allocator keeps what it once had. So a short-lived process
//! of the same program reads the config ([`write`]), and hands over one line per path in an anonymous file, in blocks that are compressed;
//! [`Table::read`] keeps the paths, and [`Table::piece`] reads a line again when its path was touched.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use machineconfig::drift::Expectation;
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use crate::host::enablement::template_of;

/// Name of the sub-command that runs [`write`].
pub(crate) const READ_CONFIG: &str = "read-config";
/// Lines of a block: so many that what they have in common is stored once, and so few that one is found at once.
const BLOCK: usize = 64;
/// Longest block that is read, inflated, in bytes: as long as a config that is stored whole in each of its lines.
const MAX_BLOCK: u64 = 512 << 20;
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
    block: Block,
    /// Its number in the block.
    number: u32,
}

/// Where a block is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Block {
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
        let (mut head, mut units) = (None::<Head>, None::<(Line, Expectation)>);
        let mut entries = Vec::new();
        let mut offset = 0;
        while let Some((block, text)) = next_block(&mut reader, &mut offset).context(CONTEXT)? {
            for (number, line) in text
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .enumerate()
            {
                let at = Line {
                    block,
                    number: u32::try_from(number).context(CONTEXT)?,
                };
                if head.is_none() {
                    head = Some(serde_json::from_slice(line).context(CONTEXT)?);
                } else if units.is_none() {
                    units = Some((at, serde_json::from_slice(line).context(CONTEXT)?));
                } else {
                    let piece: Expectation = serde_json::from_slice(line).context(CONTEXT)?;
                    let path = piece.paths().next().context(CONTEXT)?;
                    entries.push(Entry {
                        path: path.into(),
                        line: at,
                    });
                }
            }
        }
        let (head, (unit_line, units)) = (head.context(CONTEXT)?, units.context(CONTEXT)?);
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
        // Neighbours are in one block.
        let mut last = (Block::default(), Vec::new());
        for path in paths {
            let Line { block, number } = self.entries[*path as usize].line;
            if last.0 != block {
                last = (block, self.inflated(block)?);
            }
            together.add(line_of(&last.1, number)?);
        }
        Ok(together)
    }

    /// What is demanded of units as a whole.
    pub(super) fn of_units(&self) -> anyhow::Result<Expectation> {
        let Line { block, number } = self.unit_line;
        line_of(&self.inflated(block)?, number)
    }

    fn inflated(&self, block: Block) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; block.length as usize];
        self.lines
            .read_exact_at(&mut bytes, block.offset)
            .and_then(|()| inflate(&bytes))
            .context(AGAIN)
    }
}

const AGAIN: &str = "cannot read again what was read of the config";

/// The line of this number in an inflated block.
fn line_of(text: &[u8], number: u32) -> anyhow::Result<Expectation> {
    let line = text
        .split(|byte| *byte == b'\n')
        .nth(number as usize)
        .context(AGAIN)?;
    serde_json::from_slice(line).context(AGAIN)
}

/// The next block and where it is; `None` at the end.
fn next_block(reader: &mut impl BufRead, offset: &mut u64) -> io::Result<Option<(Block, Vec<u8>)>> {
    if reader.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    let block = Block {
        offset: *offset + 4,
        length,
    };
    let mut bytes = vec![0; length as usize];
    reader.read_exact(&mut bytes)?;
    *offset = block.offset + u64::from(length);
    Ok(Some((block, inflate(&bytes)?)))
}

fn inflate(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    DeflateDecoder::new(bytes)
        .take(MAX_BLOCK)
        .read_to_end(&mut text)?;
    Ok(text)
}

/// Writes what the config of this name demands as [`Table::read`] reads it.
pub(crate) fn write(name: String, expectation: Expectation, to: &mut impl Write) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    let mut text = serde_json::to_vec(&Head { config: name })?;
    text.push(b'\n');
    let mut lines = 1;
    for piece in expectation.pieces() {
        serde_json::to_writer(&mut text, &piece)?;
        text.push(b'\n');
        lines += 1;
        if lines == BLOCK {
            write_block(&mut to, &text)?;
            text.clear();
            lines = 0;
        }
    }
    if lines > 0 {
        write_block(&mut to, &text)?;
    }
    to.flush()
}

/// The length of the compressed text, and that.
fn write_block(to: &mut impl Write, text: &[u8]) -> io::Result<()> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    let bytes = encoder.finish()?;
    let length =
        u32::try_from(bytes.len()).map_err(|_| io::Error::other("a block of the config is too long"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&bytes)
}
