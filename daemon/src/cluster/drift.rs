//! How the disk compares with its config, told by a monitor that runs on a thread of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use machineconfig::drift::policy::DriftPolicy;
use machineconfig::drift::{Drift, DriftKind};
use machineconfig::redact::Diff;
use tokio::sync::watch;

use super::state_machine::Look;
use crate::host::Root;
use crate::monitor::{Aspect, Config, Event, Monitor, Options, Watched};
use crate::store::CURRENT;

/// This program, whatever has become of its file.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// How long a turn without notices lasts. Nothing depends on it: the monitor knows by itself what is due.
const TURN: Duration = Duration::from_mins(1);
/// How soon a monitor that failed is begun anew.
const AGAIN: Duration = Duration::from_secs(10);

/// What a monitor has told so far.
#[derive(Debug, Default)]
pub(crate) struct View {
    config: Option<String>,
    drift: BTreeMap<(String, Aspect), Vec<Drift>>,
    failed: Option<String>,
}

impl View {
    /// Takes in one thing told.
    pub(crate) fn take(&mut self, event: Event) {
        match event {
            Event::Started(Watched { config, .. }) | Event::Reloaded(Watched { config, .. }) => {
                self.config = Some(config);
                self.failed = None;
            }
            Event::Drift(found) => {
                let drift = found.drift.into_iter().map(|since| since.drift).collect();
                self.drift.insert((found.path, found.aspect), drift);
            }
            Event::Resolved { path, aspect, .. } => {
                self.drift.remove(&(path, aspect));
            }
            Event::Failed { message, .. } => self.failed = Some(message),
            Event::Repaired { .. }
            | Event::RepairFailed { .. }
            | Event::Interrupted { .. }
            | Event::Overflow { .. } => {}
        }
    }

    /// How the disk compares. What fails after everything was compared once is found by the next sweep.
    pub(crate) fn look(&self) -> Look {
        match (&self.config, &self.failed) {
            (Some(config), _) => Look::Looked {
                config: config.clone(),
                drift: (!self.drift.is_empty()).then(|| text(config, self.drift.values().flatten())),
            },
            (None, Some(failed)) => Look::Failed(failed.clone()),
            (None, None) => Look::NotYet,
        }
    }
}

/// Watches the node at `root` from now on. An error is one of the operating system, that has no thread to give.
pub(crate) fn watch(root: &Path) -> std::io::Result<watch::Receiver<Look>> {
    let (told, look) = watch::channel(Look::NotYet);
    let root = root.to_owned();
    thread::Builder::new().name("drift".to_owned()).spawn(move || {
        while !told.is_closed() {
            if let Err(error) = turn(&root, &told) {
                tracing::warn!(error = %format!("{error:#}"), "Drift cannot be watched");
                told.send_replace(Look::Failed(format!("drift cannot be watched: {error:#}")));
            }
            thread::sleep(AGAIN);
        }
    })?;
    Ok(look)
}

fn turn(root: &Path, told: &watch::Sender<Look>) -> anyhow::Result<()> {
    let options = Options {
        config: Config::OfNode,
        policy: DriftPolicy::default(),
        program: THIS_PROGRAM.into(),
    };
    let mut monitor = Monitor::new(Root::open(root)?, options, None);
    let root = Root::open(root)?;
    let mut view = View::default();
    loop {
        monitor.turn(TURN, &mut |event| {
            log(&event);
            view.take(event);
            Ok(())
        })?;
        let look = of_config(&root, view.look());
        told.send_if_modified(|before| {
            let changed = *before != look;
            *before = look;
            changed
        });
        if told.is_closed() {
            return Ok(());
        }
    }
}

/// What was found out, about a config that is there. A node that has none yet is not one whose drift cannot be told: it gets its first
/// config, and what is said of that must not be about the time before.
fn of_config(root: &Root, look: Look) -> Look {
    match look {
        Look::Failed(_) if !root.is_there(Path::new(CURRENT)).unwrap_or(true) => Look::NotYet,
        Look::Failed(_) | Look::NotYet | Look::Looked { .. } => look,
    }
}

/// The first two are texts that tests of the reference wait for (MCO daemon 14).
fn log(event: &Event) {
    match event {
        Event::Started(watched) => {
            tracing::info!(config = %watched.config, paths = watched.paths, "Config Drift Monitor started");
        }
        Event::Reloaded(watched) => {
            tracing::info!(config = %watched.config, paths = watched.paths, "Config Drift Monitor started anew");
        }
        Event::Drift(found) => tracing::warn!(path = %found.path, "Drift was found"),
        Event::Resolved { path, .. } => tracing::info!(%path, "Drift is gone"),
        Event::Interrupted { .. } => tracing::warn!("A writer ended before it was done"),
        Event::Overflow { .. } => tracing::info!("Notices were lost, and everything is compared"),
        Event::Failed { message, .. } => tracing::warn!(%message, "Drift cannot be told"),
        Event::Repaired { .. } | Event::RepairFailed { .. } => {}
    }
}

/// Drift in words: first as the reference has it, which tests and people look for (MCO daemon 7.4), then what differs.
fn text<'a>(config: &str, drift: impl Iterator<Item = &'a Drift>) -> String {
    let mut text = format!("unexpected on-disk state validating against {config}: ");
    for (number, drift) in drift.enumerate() {
        if number > 0 {
            text.push('\n');
        }
        text.push_str(&mismatch(drift));
        match &drift.diff {
            Some(Diff::Text { unified, .. }) => {
                text.push('\n');
                text.push_str(unified.trim_end());
            }
            Some(Diff::Binary | Diff::Secret | Diff::TooLarge) => {
                let _ = write!(text, " (expected {}, found {})", drift.expected, drift.found);
            }
            None => {}
        }
    }
    text
}

fn mismatch(drift: &Drift) -> String {
    let Drift {
        path,
        kind,
        expected,
        found,
        ..
    } = drift;
    match kind {
        DriftKind::Content => format!("content mismatch for file {path:?}"),
        DriftKind::Mode => format!(
            "mode mismatch for file: {path:?}; expected: {}; received: {}",
            mode(expected),
            mode(found)
        ),
        DriftKind::Missing => format!("could not stat file {path:?}: it is missing"),
        DriftKind::Type
        | DriftKind::Owner
        | DriftKind::Link
        | DriftKind::Mask
        | DriftKind::Enablement
        | DriftKind::Shadow
        | DriftKind::SshKeys
        | DriftKind::LeadsOut
        | DriftKind::Unreadable
        | DriftKind::Unsatisfiable => format!("{path:?}: expected {expected}, found {found}"),
    }
}

/// Permission bits as the reference writes them: symbolic, decimal and octal.
fn mode(words: &str) -> String {
    let octal = words.strip_prefix("mode ").unwrap_or(words);
    let Ok(bits) = u32::from_str_radix(octal, 8) else {
        return words.to_owned();
    };
    let letters = "rwxrwxrwx".chars().zip((0..9).rev());
    let symbolic: String = letters
        .map(|(letter, bit)| if bits & (1 << bit) == 0 { '-' } else { letter })
        .collect();
    format!("-{symbolic}/{bits}/{bits:#05o}").replace("0o", "0")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use machineconfig::drift::DriftKind;

    use super::*;
    use crate::monitor::{Found, Reaction, Since};

    fn watched(config: &str) -> Watched {
        Watched {
            at: Timestamp::UNIX_EPOCH,
            config: config.to_owned(),
            paths: 1,
            directories: 1,
            drifted: 0,
        }
    }

    fn found(path: &str, kind: DriftKind, expected: &str, found: &str, diff: Option<Diff>) -> Event {
        let drift = Drift {
            path: path.to_owned(),
            unit: None,
            kind,
            code: kind.code(),
            expected: expected.to_owned(),
            found: found.to_owned(),
            diff,
            machine_config: None,
            remedy: String::new(),
            beyond_reference: false,
        };
        Event::Drift(Found {
            at: Timestamp::UNIX_EPOCH,
            config: "a".to_owned(),
            path: path.to_owned(),
            aspect: Aspect::Path,
            reaction: Reaction::Reported,
            drift: vec![Since {
                drift,
                since: Timestamp::UNIX_EPOCH,
            }],
        })
    }

    #[test]
    fn a_node_without_a_config_has_no_drift_that_cannot_be_told() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let failed = || Look::Failed("there is no config".to_owned());
        assert_eq!(of_config(&root, failed()), Look::NotYet);
        let current = directory.path().join(CURRENT.trim_start_matches('/'));
        std::fs::create_dir_all(current.parent().unwrap()).unwrap();
        std::fs::write(&current, "damaged").unwrap();
        assert_eq!(of_config(&root, failed()), failed());
    }

    #[test]
    fn drift_counts_once_all_was_compared_and_until_it_is_gone() {
        let mut view = View::default();
        assert_eq!(view.look(), Look::NotYet);
        let diff = Diff::Text {
            unified: "@@ -1 +1 @@\n-a\n+b\n".to_owned(),
            omitted_lines: 0,
        };
        view.take(found(
            "/etc/x",
            DriftKind::Content,
            "2 bytes",
            "3 bytes",
            Some(diff),
        ));
        view.take(found("/etc/y", DriftKind::Mode, "mode 0644", "mode 0400", None));
        assert_eq!(
            view.look(),
            Look::NotYet,
            "nothing counts before the look is through"
        );
        view.take(Event::Started(watched("a")));
        let Look::Looked {
            config,
            drift: Some(drift),
        } = view.look()
        else {
            panic!("{:?}", view.look());
        };
        assert_eq!(config, "a");
        assert!(
            drift.contains("content mismatch for file \"/etc/x\"\n@@ -1 +1 @@\n-a\n+b\n"),
            "{drift}"
        );
        let expected = "mode mismatch for file: \"/etc/y\"; expected: -rw-r--r--/420/0644; received: -r--------/256/0400";
        assert!(drift.contains(expected), "{drift}");
        for path in ["/etc/x", "/etc/y"] {
            view.take(Event::Resolved {
                at: Timestamp::UNIX_EPOCH,
                path: path.to_owned(),
                aspect: Aspect::Path,
                since: Timestamp::UNIX_EPOCH,
            });
        }
        view.take(Event::Reloaded(watched("b")));
        let clean = Look::Looked {
            config: "b".to_owned(),
            drift: None,
        };
        assert_eq!(view.look(), clean);
    }

    #[test]
    fn secrets_are_told_by_size_and_hash() {
        let mut view = View::default();
        view.take(found(
            "/etc/s",
            DriftKind::Content,
            "2 bytes sha256:1",
            "3 bytes sha256:2",
            Some(Diff::Secret),
        ));
        view.take(Event::Started(watched("a")));
        let Look::Looked {
            drift: Some(drift), ..
        } = view.look()
        else {
            panic!("{:?}", view.look());
        };
        assert!(
            drift.ends_with("(expected 2 bytes sha256:1, found 3 bytes sha256:2)"),
            "{drift}"
        );
    }
}
