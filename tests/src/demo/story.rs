//! How the story is told: numbered chapters, sentences, and commands with their real output.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::program::{Ran, built, run};

/// More than any command of the story takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// Where sentences are broken.
const WIDTH: usize = 100;

/// How much of an output is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// All of it.
    All,
    /// Its first lines, and how many there are more.
    First(usize),
    /// So many of its first and of its last lines, and how many there are in between.
    Ends(usize, usize),
}

/// A story on its way.
#[derive(Debug)]
pub struct Story {
    dir: TempDir,
    chapters: usize,
    styles: Styles,
}

#[derive(Debug, Default)]
struct Styles {
    heading: Style,
    command: Style,
}

impl Story {
    /// A story that plays in a new temporary directory. Colour is for terminals, unless `NO_COLOR` is set.
    pub fn begin() -> Result<Self> {
        let coloured =
            io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let styles = if coloured {
            Styles {
                heading: Style::new().bold(),
                command: AnsiColor::Cyan.on_default(),
            }
        } else {
            Styles::default()
        };
        Ok(Self {
            dir: TempDir::with_prefix("machine-config-demo-")?,
            chapters: 0,
            styles,
        })
    }

    /// The directory it plays in.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path below that directory, as text for commands.
    pub(super) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    pub(super) fn title(&self, title: &str) {
        let style = self.styles.heading;
        print(&format!("{style}{title}{style:#}"));
    }

    pub(super) fn chapter(&mut self, title: &str) {
        self.chapters += 1;
        let (number, style) = (self.chapters, self.styles.heading);
        print(&format!("\n{style}{number}. {title}{style:#}"));
    }

    /// A command that the story carries out by itself.
    pub(super) fn command(&self, line: &str) {
        let style = self.styles.command;
        print(&format!("\n{style}$ {}{style:#}", self.abbreviated(line)));
    }

    /// Lines as they are, set in.
    pub(super) fn lines(&self, lines: &[String]) {
        for line in lines {
            print(format!("  {}", cut(&self.abbreviated(line))).trim_end());
        }
    }

    /// Runs a real program and shows what it says; any exit code but `code` ends the story.
    pub(super) fn run(&self, program: &str, args: &[&str], code: i32, show: Show) -> Result<Ran> {
        self.command(&format!("{program} {}", args.join(" ")));
        let ran = run(
            Command::new(built(program)?)
                .args(args)
                .current_dir(crate::repository()),
            DEADLINE,
        )?;
        let text = ran.all();
        self.lines(&show.of(&text));
        if ran.code != Some(code) {
            bail!(
                "{program} was to end with {code}, it ended with {:?}:\n{text}",
                ran.code
            );
        }
        Ok(ran)
    }

    /// Runs a real program and keeps its output in a file below the directory of the story. It has to succeed.
    pub(super) fn save(&self, program: &str, args: &[&str], name: &str) -> Result<()> {
        let file = self.path(name);
        self.command(&format!("{program} {} > {file}", args.join(" ")));
        let ran = run(
            Command::new(built(program)?)
                .args(args)
                .current_dir(crate::repository()),
            DEADLINE,
        )?;
        if ran.code != Some(0) {
            bail!("{program} ended with {:?}:\n{}", ran.code, ran.all());
        }
        Ok(fs::write(file, ran.stdout)?)
    }

    /// The temporary directory by a short name.
    fn abbreviated(&self, text: &str) -> String {
        text.replace(&*self.dir.path().to_string_lossy(), "$DEMO")
    }
}

impl Show {
    /// The lines of a text that are shown.
    fn of(self, text: &str) -> Vec<String> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let (first, last) = match self {
            Show::All => (lines.len(), 0),
            Show::First(first) => (first, 0),
            Show::Ends(first, last) => (first, last),
        };
        if first + last >= lines.len() {
            return lines;
        }
        let (start, rest) = lines.split_at(first);
        let (left_out, end) = rest.split_at(rest.len() - last);
        let more = format!("… and {} more lines", left_out.len());
        [start, &[more], end].concat()
    }
}

/// A sentence or two, broken into lines.
pub(super) fn say(text: &str) {
    print(&format!("\n{}", wrapped(text)));
}

/// A reader that went away, such as `head`, ends nothing.
fn print(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// A line of output that would run over many lines of a terminal.
fn cut(line: &str) -> String {
    const MAX: usize = 160;
    if line.chars().count() <= MAX {
        return line.to_owned();
    }
    let head: String = line.chars().take(MAX).collect();
    format!("{head}…")
}

/// Text in lines of at most [`WIDTH`] characters.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            out.push('\n');
            column = 0;
        }
        if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Show, WIDTH, cut, wrapped};

    #[test]
    fn sentences_are_broken_between_words() {
        let text = "word ".repeat(60);
        let lines = wrapped(&text);
        assert!(
            lines.lines().count() > 2
                && lines
                    .lines()
                    .all(|line| line.len() <= WIDTH && !line.ends_with(' '))
        );
        assert_eq!(lines.split_whitespace().count(), 60);
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let text = "a\nb\nc\nd\n";
        assert_eq!(Show::All.of(text), ["a", "b", "c", "d"]);
        assert_eq!(Show::First(1).of(text), ["a", "… and 3 more lines"]);
        assert_eq!(Show::Ends(1, 1).of(text), ["a", "… and 2 more lines", "d"]);
        assert_eq!(Show::Ends(2, 2).of(text), Show::All.of(text));
    }

    #[test]
    fn long_lines_are_cut_and_say_so() {
        assert_eq!(cut("short"), "short");
        assert!(cut(&"ä".repeat(500)).ends_with("ä…"));
    }
}
