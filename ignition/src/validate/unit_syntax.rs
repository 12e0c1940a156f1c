//! The syntax of unit files, as the reference's reader (Go package `go-systemd/unit`) takes it.
//!
//! It refuses lines that systemd would cut off, but only sees those that fill its buffer of 4 KiB in a
//! certain way; [`Buffer`] behaves as that buffer (Go package `bufio`), so that the same files pass.

/// The longest line systemd reads.
const LINE_MAX: usize = 2048;
/// The size of the reference's buffer.
const BUFFER: usize = 4096;

/// What is of interest in a unit file that parses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    /// Whether there is an option in a section `[Install]`.
    pub(super) has_install: bool,
}

/// Where the reader stands in a unit file.
enum Step {
    /// Before the first section: skip to a bracket.
    NextSection,
    /// After an opening bracket.
    SectionName,
    /// After a closing bracket: nothing but space may follow.
    SectionSuffix,
    /// In a section, at the start of a line.
    NextOption,
    /// In the name of an option.
    OptionName,
    /// In the value of an option.
    OptionValue,
    /// In a comment, before the first section or in one.
    Comment { in_section: bool },
}

/// Reads a unit file.
pub(super) fn read(text: &str) -> Result<Syntax, &'static str> {
    let buffer = Buffer {
        text: text.as_bytes(),
        start: 0,
        end: 0,
    };
    let mut reader = Reader {
        buffer,
        section: "",
        has_install: false,
    };
    let mut next = Some(Step::NextSection);
    while let Some(step) = next {
        if reader.buffer.holds_long_line() {
            return Err("a line has more than 2048 bytes");
        }
        next = reader.take(step)?;
    }
    Ok(Syntax {
        has_install: reader.has_install,
    })
}

struct Reader<'a> {
    buffer: Buffer<'a>,
    /// The section the reader is in.
    section: &'a str,
    has_install: bool,
}

impl Reader<'_> {
    /// Takes a step; the next one, or none at the end of the file.
    fn take(&mut self, step: Step) -> Result<Option<Step>, &'static str> {
        match step {
            Step::NextSection | Step::NextOption => Ok(self.line_start(step)),
            Step::SectionName => self.section_name(),
            Step::SectionSuffix if is_blank(self.buffer.take_line()) => Ok(Some(Step::NextOption)),
            Step::SectionSuffix => Err("something follows a section name on its line"),
            Step::OptionName => option_name(&mut self.buffer),
            Step::OptionValue => {
                let line = self.buffer.take_line();
                if !is_blank(line) && line.ends_with(b"\\") {
                    return Ok(Some(Step::OptionValue));
                }
                self.has_install |= self.section == "Install";
                Ok(Some(Step::NextOption))
            }
            Step::Comment { in_section } => {
                self.buffer.skip_comment();
                Ok(Some(if in_section {
                    Step::NextOption
                } else {
                    Step::NextSection
                }))
            }
        }
    }

    fn line_start(&mut self, step: Step) -> Option<Step> {
        match self.buffer.next_char()? {
            '[' => Some(Step::SectionName),
            '#' | ';' => Some(Step::Comment {
                in_section: matches!(step, Step::NextOption),
            }),
            c if matches!(step, Step::NextSection) || c.is_whitespace() => Some(step),
            c => {
                self.buffer.start -= c.len_utf8();
                Some(Step::OptionName)
            }
        }
    }

    fn section_name(&mut self) -> Result<Option<Step>, &'static str> {
        let (name, closed) = self.buffer.take_until(b']');
        if !closed {
            return Err("a section has no closing bracket");
        }
        self.section = str_of(&name[..name.len() - 1]);
        Ok(Some(Step::SectionSuffix))
    }
}

fn option_name(buffer: &mut Buffer<'_>) -> Result<Option<Step>, &'static str> {
    loop {
        match buffer.next_char() {
            None => return Err("the file ends in the name of an option"),
            Some('\n' | '\r') => return Err("a line in a section is neither an option nor a comment"),
            Some('=') => return Ok(Some(Step::OptionValue)),
            Some(_) => {}
        }
    }
}

fn is_blank(line: &[u8]) -> bool {
    str_of(line).trim().is_empty()
}

/// Text cut at ASCII characters is text.
fn str_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The reference's buffer over the text: it holds `text[start..end]`.
struct Buffer<'a> {
    text: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Buffer<'a> {
    /// Whether the buffer begins with more than a line of systemd without a line break.
    fn holds_long_line(&self) -> bool {
        let held = &self.text[self.start..self.end];
        held.len() >= LINE_MAX && !held[..LINE_MAX].iter().any(|byte| matches!(byte, b'\r' | b'\n'))
    }

    fn fill(&mut self) {
        self.end = self.text.len().min(self.start + BUFFER);
    }

    fn next_char(&mut self) -> Option<char> {
        let width = char_width(*self.text.get(self.start)?);
        if self.start + width > self.end {
            self.fill();
        }
        let c = str_of(self.text.get(self.start..self.start + width)?)
            .chars()
            .next()?;
        self.start += width;
        Some(c)
    }

    /// Takes the text up to and with a byte, or all of it; whether the byte was there.
    fn take_until(&mut self, byte: u8) -> (&'a [u8], bool) {
        let from = self.start;
        let mut searched = self.start;
        loop {
            if let Some(found) = self.text[searched..self.end].iter().position(|b| *b == byte) {
                self.start = searched + found + 1;
                return (&self.text[from..self.start], true);
            }
            searched = self.end;
            if self.end == self.text.len() {
                self.start = self.end;
                return (&self.text[from..], false);
            }
            if self.end - self.start >= BUFFER {
                self.start = self.end;
            }
            self.fill();
        }
    }

    /// Takes the rest of the line, without its end.
    fn take_line(&mut self) -> &'a [u8] {
        let (line, _) = self.take_until(b'\n');
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.strip_suffix(b"\n").unwrap_or(line)
    }

    /// Skips the rest of a comment, which a backslash continues.
    fn skip_comment(&mut self) {
        loop {
            let line = self.take_line();
            if !line.strip_suffix(b" ").unwrap_or(line).ends_with(b"\\") {
                return;
            }
        }
    }
}

/// How many bytes the character takes that begins with this byte.
fn char_width(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}
