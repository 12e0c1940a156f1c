//! `inspect`: what is in an Ignition config, decoded, fit for a review.

use std::path::PathBuf;

use machineconfig::style::Styles;

use crate::cli::Exit;
use crate::escape;
use crate::report::Findings;
use crate::source::{self, Source};
use crate::terminal::{Terminal, paint};

mod contents;
mod sections;

use contents::Shown;

/// Show what an Ignition config or a MachineConfig holds, decoded
///
/// Files and units are shown with their mode, owner, encoding and decoded text. Secrets (files that only their
/// owner may read, private keys, password hashes) are shown by size and hash only. Nothing in the contents can
/// act on the terminal: control characters are spelled out.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An Ignition config, or MachineConfigs; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Show secrets too
    #[arg(long)]
    show_secrets: bool,
    /// Show long contents to their end
    #[arg(long)]
    full: bool,
}

// === impl Args ===

impl Args {
    pub(crate) fn run(self, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self {
            file,
            show_secrets,
            full,
        } = self;
        let shown = Shown {
            secrets: show_secrets,
            full,
            styles: terminal.out,
        };
        let mut findings = Findings::default();
        let sources = source::read(&file, &mut findings);
        if sources.is_empty() {
            let why = source::not_one(&file, 0, &findings);
            findings.extend(why);
        }
        let mut text = String::new();
        for source in &sources {
            findings.extend(source.check());
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&heading(source, &terminal.out));
            if let Some(config) = &source.machine_config {
                text.push_str(&sections::spec(&config.spec));
            }
            if let Some(parsed) = source.parse_leniently() {
                text.push_str(&sections::config(&parsed.config, &shown));
            }
        }
        terminal.print(&text)?;
        let failed = findings.print(terminal);
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }
}

/// What the config is called, for whom it is, and its version.
fn heading(source: &Source, styles: &Styles) -> String {
    let name = match source.object() {
        object if object.is_empty() => source.place.file.clone(),
        object => object,
    };
    let role = source
        .role()
        .map(|role| format!(", role {role}"))
        .unwrap_or_default();
    let version = source.version().map_or_else(
        || ", no Ignition config".to_owned(),
        |version| format!(", Ignition {version}"),
    );
    let facts = escape::line(&format!("{role}{version}")).into_owned();
    format!("{}{facts}\n", paint(styles.strong, &escape::line(&name)))
}
