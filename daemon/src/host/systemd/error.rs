//! What can go wrong between a caller and systemd.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use machineconfig::Code;

use super::{UnitState, Verb};

/// Why systemd or logind gave no answer, or none that is of use.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// A socket that cannot be connected to.
    #[error("cannot connect to {}", socket.display())]
    Connect {
        /// Where it should be.
        socket: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A socket behind which nobody speaks D-Bus, or refuses to with us.
    #[error("no D-Bus at {socket}")]
    Handshake {
        /// The socket.
        socket: String,
        /// Why not.
        #[source]
        source: zbus::Error,
    },
    /// Neither of the two ways to systemd leads to it.
    #[error("cannot reach systemd: {}; {}", chain(bus), chain(private))]
    NoSystemd {
        /// What happened on the system bus.
        bus: Box<BusError>,
        /// What happened on systemd's own socket.
        private: Box<BusError>,
    },
    /// The means to wait for an answer are lacking.
    #[error("cannot set up a connection to systemd")]
    Runtime(#[source] io::Error),
    /// No answer in time.
    #[error("no answer to {call} within {} s", after.as_secs_f32())]
    NoAnswer {
        /// The method.
        call: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The other end has gone, or the bus between.
    #[error("the connection to systemd was lost in {call}")]
    Lost {
        /// The method.
        call: &'static str,
        /// What was seen of it.
        #[source]
        source: Option<zbus::Error>,
    },
    /// An error for an answer.
    #[error("{call} was refused")]
    Refused {
        /// The method.
        call: &'static str,
        /// The error.
        #[source]
        source: zbus::Error,
    },
    /// An answer that cannot be understood.
    #[error("the answer to {call} is not understood: {what}")]
    Answer {
        /// The method.
        call: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A name that no unit can have; systemd was not asked.
    #[error("{0:?} is no name of a unit")]
    UnitName(String),
}

/// Why a unit is not as it was asked to be.
#[derive(Debug, thiserror::Error)]
pub enum UnitFailed {
    /// systemd did not take or answer the request.
    #[error("cannot {verb} {unit}")]
    Bus {
        /// The unit.
        unit: String,
        /// What was to be done.
        verb: Verb,
        /// Why not.
        #[source]
        source: BusError,
    },
    /// The job ended, and not well.
    #[error("cannot {verb} {unit}: the job ended with {result}{}", told(state.as_deref()))]
    Job {
        /// The unit.
        unit: String,
        /// What was to be done.
        verb: Verb,
        /// How the job ended.
        result: JobResult,
        /// How the unit was found after it, if it could be asked.
        state: Option<Box<UnitState>>,
    },
    /// The job did not end in time.
    #[error("cannot {verb} {unit}: no result within {} s{}", after.as_secs_f32(), told(state.as_deref()))]
    NoResult {
        /// The unit.
        unit: String,
        /// What was to be done.
        verb: Verb,
        /// How long was waited.
        after: Duration,
        /// How the unit was found then, if it could be asked.
        state: Option<Box<UnitState>>,
    },
    /// The job ended well, and the unit did not stay up.
    #[error("{verb} of {unit} did not last: it {how}{}", told(Some(state)))]
    Died {
        /// The unit.
        unit: String,
        /// What was to be done.
        verb: Verb,
        /// What became of it.
        how: Died,
        /// How the unit was found.
        state: Box<UnitState>,
    },
}

/// What became of a unit that did not stay up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Died {
    /// It has failed.
    Failed,
    /// It has failed, and systemd starts it again and again.
    Restarting,
}

/// How a job ended (org.freedesktop.systemd1(5), `JobRemoved`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobResult {
    /// Well.
    Done,
    /// There was nothing to do, or a condition of the unit said no.
    Skipped,
    /// Another job or somebody took it back.
    Canceled,
    /// It took longer than the job may.
    Timeout,
    /// The unit failed.
    Failed,
    /// A unit that it needs failed.
    Dependency,
    /// Another end: a word of systemd's.
    Other(String),
}

// === impl BusError ===

impl BusError {
    /// Its stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::NoSystemd { .. }
            | Self::Runtime(_)
            | Self::NoAnswer { .. }
            | Self::Lost { .. } => Code::SYSTEMD_UNREACHABLE,
            Self::Refused { .. } | Self::Answer { .. } | Self::UnitName(_) => Code::SYSTEMD_REFUSED,
        }
    }

    /// Whether systemd says that there is no such unit.
    pub(super) fn says_not_found(&self) -> bool {
        match self {
            Self::Refused { source, .. } => match source {
                zbus::Error::FDO(error) => matches!(**error, zbus::fdo::Error::FileNotFound(_)),
                zbus::Error::MethodError(name, ..) => name.as_str() == "org.freedesktop.systemd1.NoSuchUnit",
                _ => false,
            },
            Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::NoSystemd { .. }
            | Self::Runtime(_)
            | Self::NoAnswer { .. }
            | Self::Lost { .. }
            | Self::Answer { .. }
            | Self::UnitName(_) => false,
        }
    }

    /// Whether nobody is there who knows the object or the method.
    pub(super) fn says_absent(&self) -> bool {
        use zbus::fdo::Error;
        let Self::Refused {
            source: zbus::Error::FDO(error),
            ..
        } = self
        else {
            return false;
        };
        matches!(
            **error,
            Error::ServiceUnknown(_)
                | Error::NameHasNoOwner(_)
                | Error::UnknownObject(_)
                | Error::UnknownInterface(_)
                | Error::UnknownMethod(_)
        )
    }
}

// === impl UnitFailed ===

impl UnitFailed {
    /// Its stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Bus { source, .. } => source.code(),
            Self::Job { .. } | Self::NoResult { .. } | Self::Died { .. } => Code::UNIT_FAILED,
        }
    }
}

// === impl Died ===

impl fmt::Display for Died {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "failed",
            Self::Restarting => "keeps ending and being started again",
        })
    }
}

// === impl JobResult ===

impl JobResult {
    pub(super) fn parse(word: &str) -> Self {
        match word {
            "done" => Self::Done,
            "skipped" => Self::Skipped,
            "canceled" => Self::Canceled,
            "timeout" => Self::Timeout,
            "failed" => Self::Failed,
            "dependency" => Self::Dependency,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether the job did all there was to do.
    #[must_use]
    pub fn is_success(&self) -> bool {
        match self {
            Self::Done | Self::Skipped => true,
            Self::Canceled | Self::Timeout | Self::Failed | Self::Dependency | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for JobResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::Dependency => "dependency",
            Self::Other(word) => word,
        })
    }
}

/// What is known of the unit, for the end of a message.
fn told(state: Option<&UnitState>) -> String {
    state.map_or_else(String::new, |state| format!("; the unit is {state}"))
}

/// An error with its reasons, where two of them have to go into one line.
fn chain(error: &BusError) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
