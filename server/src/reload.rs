//! Looks for changed files now and then, off the request path, and publishes what becomes of them.

use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use machineconfig::{Code, Finding};

use crate::files::Loader;
use crate::metrics::Reload;
use crate::service::App;
use crate::snapshot::Snapshot;
use crate::tls::ServingPair;
use crate::watched::{Look, Watched};

/// How often files are looked at. A look is one `stat` per file, so this is about how long a change may wait, which is
/// to be well below the 10 s in which a certificate must be taken over.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// Certificate and key on disk, and the pair that is made of them.
#[derive(Debug)]
pub struct PairFiles {
    certificate: Watched,
    key: Watched,
    pair: Arc<ServingPair>,
    problem: Option<Finding>,
}

/// Looks for changes as long as it lives.
#[derive(Debug)]
pub struct Reloader {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

// === impl PairFiles ===

impl PairFiles {
    /// Reads the pair for the first time.
    ///
    /// # Errors
    /// When a file cannot be read, or they are no pair.
    pub fn new(certificate: PathBuf, key: PathBuf) -> Result<Self, Finding> {
        let (mut certificate, mut key) = (Watched::new(certificate), Watched::new(key));
        let (certificate_pem, key_pem) = (read(&mut certificate)?, read(&mut key)?);
        let pair = ServingPair::new(&certificate_pem, &key_pem)
            .map_err(|error| finding(&certificate, &error.to_string()))?;
        Ok(Self {
            certificate,
            key,
            pair: Arc::new(pair),
            problem: None,
        })
    }

    /// The pair, for a listener. It changes when the files do.
    #[must_use]
    pub fn pair(&self) -> Arc<ServingPair> {
        self.pair.clone()
    }

    /// What is wrong with the files as they are now; the pair before is served.
    #[must_use]
    pub(crate) fn problem(&self) -> Option<&Finding> {
        self.problem.as_ref()
    }

    /// When the certificate ends, if that can be told.
    #[must_use]
    pub(crate) fn end(&self) -> Option<Timestamp> {
        self.pair.end()
    }

    /// Looks at the files. Whether there is something new to say; it has been counted and logged.
    pub(crate) fn look(&mut self, app: &App) -> bool {
        if !self.refresh() {
            return false;
        }
        app.metrics()
            .reloaded(Reload::Certificate, self.problem.is_none());
        if self.problem.is_none() {
            tracing::info!("Certificate reloaded");
        }
        true
    }

    /// Takes over a changed pair, or keeps the old one and says why. Whether there is something new to say.
    fn refresh(&mut self) -> bool {
        // Both are to be looked at: each look takes note of what it saw.
        let looks = [self.certificate.look(), self.key.look()];
        if looks.contains(&Look::Settling) || !looks.contains(&Look::Changed) {
            return false;
        }
        let problem = self.take_over().err();
        let before = mem::replace(&mut self.problem, problem);
        // A reading that is tried again and fails again is no news.
        self.problem.is_none() || self.problem != before
    }

    fn take_over(&mut self) -> Result<(), Finding> {
        // Read both before judging either, so that the next look starts from what is there now.
        let (certificate, key) = (read(&mut self.certificate), read(&mut self.key));
        self.pair
            .replace(&certificate?, &key?)
            .map_err(|error| finding(&self.certificate, &error.to_string()))
    }
}

fn read(file: &mut Watched) -> Result<Vec<u8>, Finding> {
    file.read()
        .map_err(|error| finding(file, &format!("it cannot be read: {error}")))
}

fn finding(file: &Watched, message: &str) -> Finding {
    Finding::error(Code::SERVER_PAIR, file.path().display().to_string(), "", message)
}

// === impl Reloader ===

impl Reloader {
    /// Publishes what `loader` has, and from then on what changes.
    ///
    /// # Panics
    /// When the system gives no thread to a process that has just begun.
    #[must_use]
    pub fn start(app: Arc<App>, mut loader: Loader, mut pair: PairFiles, interval: Duration) -> Self {
        let (stop, stopped) = mpsc::channel();
        app.publish(loader.snapshot());
        let thread = thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    // A defect of ours that some file brings to light must not end the reloading of all others.
                    let look = AssertUnwindSafe(|| look(&app, &mut loader, &mut pair));
                    report_panic(&app, panic::catch_unwind(look).is_err());
                }
            })
            .expect("a process that has just started may start a thread");
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Reloader {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed already, and there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// Tells once that looks end in a panic, and counts each.
fn report_panic(app: &App, panicked: bool) {
    if !panicked {
        return;
    }
    app.metrics().reloaded(Reload::Files, false);
    let before = app.snapshot();
    let message = "changed files cannot be taken over because of a defect of the server; what was good before is served";
    let problem = Finding::error(Code::SERVER_DIRECTORY, "reload", "", message);
    if !before.problems.contains(&problem) {
        let mut snapshot = Snapshot::clone(&before);
        snapshot.problems.push(problem);
        log_new_problems(&snapshot.problems, &before.problems);
        app.publish(snapshot);
    }
}

/// One look at all files.
fn look(app: &App, loader: &mut Loader, pair: &mut PairFiles) {
    let (files_changed, pair_changed) = (loader.refresh(), pair.look(app));
    if !files_changed && !pair_changed {
        return;
    }
    let before = app.snapshot();
    let mut snapshot = loader.snapshot();
    if files_changed {
        let failed = snapshot
            .problems
            .iter()
            .any(|problem| !before.problems.contains(problem));
        app.metrics().reloaded(Reload::Files, !failed);
        tracing::info!(problems = snapshot.problems.len(), "Files reloaded");
    }
    snapshot.problems.extend(pair.problem.clone());
    snapshot.certificate_end = pair.end();
    log_new_problems(&snapshot.problems, &before.problems);
    app.publish(snapshot);
}

/// Tells each problem once, not at every look. What was good before is still served.
pub(crate) fn log_new_problems(now: &[Finding], before: &[Finding]) {
    for problem in now.iter().filter(|problem| !before.contains(problem)) {
        tracing::warn!(%problem, "Input cannot be used");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_problem_and_told_once() {
        let app = App::default();
        report_panic(&app, false);
        assert!(app.snapshot().problems.is_empty());
        report_panic(&app, true);
        report_panic(&app, true);
        assert_eq!(app.snapshot().problems.len(), 1);
        let failures = "reloads_total{what=\"files\",result=\"failure\"} 2";
        assert!(app.metrics().text().contains(failures));
    }
}
