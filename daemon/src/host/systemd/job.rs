//! Jobs: what is done to units, and how it ended.
//!
//! systemd answers a request with the path of a job before anything is done, and says later how the job ended; it may even
//! say so before the answer. So listening begins before asking, and all that is heard meanwhile is kept.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep, timeout_at};
use zbus::{MatchRule, MessageStream, OwnedObjectPath};

use super::bus::Bus;
use super::{ActiveState, BusError, Died, JobResult, Peer, UnitFailed};
use crate::host::unit_name;

/// How often a unit is looked at while it has to stay up: well below the tenth of a second after which systemd starts a failed
/// service again, so that the failure is seen.
const SETTLE_STEP: Duration = Duration::from_millis(30);

/// What a new job does to another one for the same unit: takes its place, as with `systemctl`.
const MODE: &str = "replace";

/// What can be done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Starts it unless it runs.
    Start,
    /// Stops it if it runs.
    Stop,
    /// Stops it if it runs, and starts it.
    Restart,
    /// Has it read its configuration anew. An error if it does not run or cannot.
    Reload,
    /// Stops and starts it if it runs.
    TryRestart,
    /// If it runs, has it read its configuration anew, or restarts it when it cannot.
    ReloadOrTryRestart,
}

// === impl Verb ===

impl Verb {
    /// Whether it leaves a unit alone that does not run.
    fn needs_running(self) -> bool {
        match self {
            Self::TryRestart | Self::ReloadOrTryRestart => true,
            Self::Start | Self::Stop | Self::Restart | Self::Reload => false,
        }
    }

    /// Whether the unit is to be up afterwards. After a reload too: a program may well die of its new configuration.
    fn leaves_up(self) -> bool {
        match self {
            Self::Start | Self::Restart | Self::Reload | Self::TryRestart | Self::ReloadOrTryRestart => true,
            Self::Stop => false,
        }
    }

    /// The method's name.
    fn method(self) -> &'static str {
        match self {
            Self::Start => "StartUnit",
            Self::Stop => "StopUnit",
            Self::Restart => "RestartUnit",
            Self::Reload => "ReloadUnit",
            Self::TryRestart => "TryRestartUnit",
            Self::ReloadOrTryRestart => "ReloadOrTryRestartUnit",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::TryRestart => "try-restart",
            Self::ReloadOrTryRestart => "reload-or-try-restart",
        })
    }
}

// === impl Bus ===

impl Bus {
    /// Does something to a unit, and makes sure that it is done and lasts.
    pub(super) async fn run(&self, verb: Verb, unit: &str) -> Result<(), UnitFailed> {
        let on_bus = |source| UnitFailed::Bus {
            unit: unit.to_owned(),
            verb,
            source,
        };
        let idle = verb.needs_running() && !self.state(unit).await.map_err(on_bus)?.active.is_up();
        let Some(result) = self.job(verb, unit).await.map_err(on_bus)? else {
            return Err(UnitFailed::NoResult {
                unit: unit.to_owned(),
                verb,
                after: self.limits.job,
                state: self.state(unit).await.ok().map(Box::new),
            });
        };
        if !result.is_success() {
            return Err(UnitFailed::Job {
                unit: unit.to_owned(),
                verb,
                result,
                state: self.state(unit).await.ok().map(Box::new),
            });
        }
        // One that was down and is left down may have failed long ago.
        if verb.leaves_up() && !idle {
            return self.settle(verb, unit).await;
        }
        Ok(())
    }

    /// Has a job queued, and leaves it at that.
    pub(super) async fn queue(&self, verb: Verb, unit: &str) -> Result<(), UnitFailed> {
        let queued = self.bounded(verb.method(), self.limits.call, self.ask(verb, unit));
        let queued = if unit_name::is_valid(unit) {
            queued.await
        } else {
            Err(BusError::UnitName(unit.to_owned()))
        };
        queued.map(drop).map_err(|source| UnitFailed::Bus {
            unit: unit.to_owned(),
            verb,
            source,
        })
    }

    async fn ask(&self, verb: Verb, unit: &str) -> zbus::Result<OwnedObjectPath> {
        match verb {
            Verb::Start => self.manager.start_unit(unit, MODE).await,
            Verb::Stop => self.manager.stop_unit(unit, MODE).await,
            Verb::Restart => self.manager.restart_unit(unit, MODE).await,
            Verb::Reload => self.manager.reload_unit(unit, MODE).await,
            Verb::TryRestart => self.manager.try_restart_unit(unit, MODE).await,
            Verb::ReloadOrTryRestart => self.manager.reload_or_try_restart_unit(unit, MODE).await,
        }
    }

    /// How the job for `verb` ended; none when it did not in time.
    async fn job(&self, verb: Verb, unit: &str) -> Result<Option<JobResult>, BusError> {
        if !unit_name::is_valid(unit) {
            return Err(BusError::UnitName(unit.to_owned()));
        }
        let call = verb.method();
        let deadline = Instant::now() + self.limits.job;
        let mut removed = self.listen().await?;
        let mut ended = HashMap::new();
        let job = {
            // Signals are taken off the connection while the answer is awaited: a full queue of them would hold it up.
            let mut answer = pin!(self.bounded(call, self.limits.call, self.ask(verb, unit)));
            loop {
                tokio::select! {
                    biased;
                    signal = removed.next() => {
                        if let Some((job, result)) = read(signal, call)? {
                            ended.insert(job, result);
                        }
                    }
                    answer = &mut answer => break answer?,
                }
            }
        };
        if let Some(result) = ended.remove(&job) {
            return Ok(Some(result));
        }
        loop {
            match timeout_at(deadline, removed.next()).await {
                Ok(signal) => match read(signal, call)? {
                    Some((ended, result)) if ended == job => return Ok(Some(result)),
                    Some(_) | None => {}
                },
                Err(_) => return Ok(None),
            }
        }
    }

    /// The jobs that end from now on. On a bus only what systemd itself says is heard: any user may send a signal.
    async fn listen(&self) -> Result<MessageStream, BusError> {
        let call = async {
            let rule = MatchRule::builder()
                .msg_type(zbus::message::Type::Signal)
                .path("/org/freedesktop/systemd1")
                .interface("org.freedesktop.systemd1.Manager")
                .member("JobRemoved");
            let rule = match self.peer {
                Peer::Bus => {
                    let bus = zbus::fdo::DBusProxy::new(&self.connection).await?;
                    let owner = bus.get_name_owner("org.freedesktop.systemd1".try_into()?).await?;
                    rule.sender(owner).build()?.to_owned()
                }
                Peer::Systemd => rule.build()?.to_owned(),
            };
            MessageStream::for_match_rule(rule, &self.connection, None).await
        };
        self.bounded("AddMatch", self.limits.call, call).await
    }

    /// Watches a unit until it has stayed up long enough, or has done its work.
    async fn settle(&self, verb: Verb, unit: &str) -> Result<(), UnitFailed> {
        let on_bus = |source| UnitFailed::Bus {
            unit: unit.to_owned(),
            verb,
            source,
        };
        let end = Instant::now() + self.limits.settle;
        let first = self.state(unit).await.map_err(on_bus)?;
        let restarts = first.restarts;
        let mut state = first;
        loop {
            let died = match &state.active {
                ActiveState::Failed => Some(Died::Failed),
                _ if state.restarts_after_failure() || state.restarts > restarts => Some(Died::Restarting),
                ActiveState::Inactive => return Ok(()),
                ActiveState::Active if state.sub == "exited" => return Ok(()),
                ActiveState::Active
                | ActiveState::Reloading
                | ActiveState::Activating
                | ActiveState::Deactivating
                | ActiveState::Other(_) => None,
            };
            if let Some(how) = died {
                return Err(UnitFailed::Died {
                    unit: unit.to_owned(),
                    verb,
                    how,
                    state: Box::new(state),
                });
            }
            if Instant::now() >= end {
                return Ok(());
            }
            sleep(SETTLE_STEP.min(self.limits.settle)).await;
            state = self.state(unit).await.map_err(on_bus)?;
        }
    }
}

/// The job that a signal is about, and how it ended; none when it says something else.
fn read(
    signal: Option<zbus::Result<zbus::Message>>,
    call: &'static str,
) -> Result<Option<(OwnedObjectPath, JobResult)>, BusError> {
    let message = match signal {
        Some(Ok(message)) => message,
        Some(Err(source)) => {
            return Err(BusError::Lost {
                call,
                source: Some(source),
            });
        }
        None => return Err(BusError::Lost { call, source: None }),
    };
    match message.body().deserialize::<(u32, OwnedObjectPath, &str, &str)>() {
        Ok((_, job, _, result)) => Ok(Some((job, JobResult::parse(result)))),
        Err(error) => {
            // Whatever it is, it is no end of a job; ours ends with one that can be read, or at the deadline.
            tracing::debug!(%error, "A JobRemoved signal cannot be read");
            Ok(None)
        }
    }
}
